//! How ranks of one node exchange messages: segments in /dev/shm, and reading each other's memory (cross-memory attach, CMA).
//! Both are tried for real. How fast it goes is measured in `ranks`.

use super::Finding;
use super::probe::hear;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::io::IoSliceMut;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// What Open MPI takes in /dev/shm for each rank (its `btl_vader_segment_size`); MPICH takes about as much.
const SEGMENT: u64 = 4 << 20;

/// Bytes that another process is to read.
const LEN: usize = 1 << 16;

/// Looks at both, for so many ranks on this node; the second only where no launcher started this process.
pub fn look(ranks: usize, alone: bool) -> Vec<Finding> {
    let mut findings = vec![shared_memory(Path::new("/dev/shm"), ranks)];
    // Under a launcher the ranks try it with each other.
    if alone {
        findings.push(read_by_a_child());
    }
    findings
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Takes what the ranks would take, and gives it back.
fn shared_memory(folder: &Path, ranks: usize) -> Finding {
    const WHAT: &str = "/dev/shm";
    let needed = SEGMENT * ranks as u64;
    let elsewhere = "(Open MPI: or elsewhere with OMPI_MCA_btl_vader_backing_directory=/tmp)";
    let larger = format!("mount -o remount,size={}M /dev/shm", (needed >> 20).max(64) * 2);
    let docker = format!("make it larger {elsewhere}; a container: docker run --shm-size=1g");
    let path = folder.join(format!("rankine-doctor-{}", std::process::id()));
    let taken = std::fs::File::create_new(&path).and_then(|file| {
        let taken = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, needed);
        // Kept only for as long as the call.
        std::fs::remove_file(&path)?;
        taken.map_err(Into::into)
    });
    let room = rustix::fs::statvfs(folder).map(|fs| (fs.f_bavail * fs.f_frsize, fs.f_blocks * fs.f_frsize));
    let sizes =
        room.map_or(String::new(), |(free, all)| format!("{} free of {}", megabytes(free), megabytes(all)));
    match taken {
        Ok(()) => Finding::ok(WHAT, format!("{sizes}; {ranks} ranks take about {}", megabytes(needed))),
        Err(error) if error.raw_os_error() == Some(Errno::NOSPC.raw_os_error()) => Finding::fault(
            WHAT,
            format!(
                "{sizes}; {ranks} ranks take about {} for their messages, and crash or crawl without",
                megabytes(needed)
            ),
            docker,
        )
        .by(larger),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Finding::fault(
            WHAT,
            "not there: ranks of one node have no shared memory",
            format!("mount it {elsewhere}"),
        )
        .by("mkdir -p /dev/shm && mount -t tmpfs -o mode=1777 tmpfs /dev/shm"),
        Err(error) => Finding::fault(
            WHAT,
            format!("cannot be written: {error}"),
            format!("make it writable for all {elsewhere}"),
        )
        .by("mount -o remount,rw /dev/shm && chmod 1777 /dev/shm"),
    }
}

/// Memory that another process may try to read.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Offer {
    pid: i32,
    address: u64,
}

impl Offer {
    /// A piece of this process's.
    pub fn mine() -> Offer {
        static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
        let pattern = PATTERN.get_or_init(|| (0..LEN).map(value).collect());
        Offer { pid: std::process::id() as i32, address: pattern.as_ptr() as u64 }
    }

    /// As words of a command line.
    fn word(self) -> String {
        format!("{}:{}", self.pid, self.address)
    }

    fn of_word(word: &str) -> Option<Offer> {
        let (pid, address) = word.split_once(':')?;
        Some(Offer { pid: pid.parse().ok()?, address: address.parse().ok()? })
    }

    /// Reads it, as a rank reads a neighbour's message.
    ///
    /// # Errors
    /// The system's number of why not.
    pub fn read(self) -> Result<(), i32> {
        let mut into = vec![0; LEN];
        let from = [RemoteIoVec { base: self.address as usize, len: LEN }];
        let read = process_vm_readv(Pid::from_raw(self.pid), &mut [IoSliceMut::new(&mut into)], &from);
        match read {
            Ok(LEN) if into.iter().enumerate().all(|(at, byte)| *byte == value(at)) => Ok(()),
            // Somebody else's memory: the number means another process here, in a namespace of its own.
            Ok(_) => Err(Errno::SRCH.raw_os_error()),
            Err(error) => Err(error as i32),
        }
    }
}

fn value(at: usize) -> u8 {
    (at * 31 % 251) as u8
}

/// What a child does that is asked to read: says how it went.
pub fn read_for_parent(word: &str) -> String {
    match Offer::of_word(word).map(Offer::read) {
        Some(Ok(())) => "read\n".to_string(),
        Some(Err(number)) => format!("{number}\n"),
        None => "no offer\n".to_string(),
    }
}

/// Ranks are no ancestors of each other, so a child is asked: where only ancestors may read, it may not.
fn read_by_a_child() -> Finding {
    let Ok(program) = std::env::current_exe() else { return attach(Err(None)) };
    let mut command = Command::new(program);
    command.args(["doctor", "--read-memory", &Offer::mine().word()]);
    match hear(command, Duration::from_secs(5)) {
        Ok(said) if said.out.trim() == "read" => attach(Ok(())),
        Ok(said) => attach(Err(said.out.trim().parse().ok())),
        Err(_) => attach(Err(None)),
    }
}

/// Tells the linked MPI that its ranks do not read each other's memory.
pub fn do_without() -> &'static str {
    match rankine::launch::mpi_library().as_deref().and_then(super::mpi::family) {
        // UCX otherwise opens segments through /proc, which is as forbidden, and ends the job.
        Some("MPICH") => "export UCX_TLS=^cma UCX_POSIX_USE_PROC_LINK=n",
        // It then copies through shared memory; untold, some versions fail with "Read -1, expected ...".
        _ => "export OMPI_MCA_btl_vader_single_copy_mechanism=none",
    }
}

/// What it means that one rank can read another's memory, or not, and what stands in the way.
pub fn attach(read: Result<(), Option<i32>>) -> Finding {
    const WHAT: &str = "CMA";
    let around = do_without();
    let number = match read {
        Ok(()) => return Finding::ok(WHAT, "ranks of a node can read each other's memory"),
        Err(number) => number,
    };
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let scope = file("/proc/sys/kernel/yama/ptrace_scope");
    let filtered =
        file("/proc/self/status").lines().any(|line| line.starts_with("Seccomp:") && line.ends_with('2'));
    let slower = "long messages within a node are copied twice, or fail";
    let why = number.map(|number| std::io::Error::from_raw_os_error(number).to_string()).unwrap_or_default();
    match number {
        Some(_) if !matches!(scope.trim(), "" | "0") => Finding::warn(
            WHAT,
            format!(
                "the kernel lets only ancestors read a process's memory (yama ptrace_scope {}): {slower}",
                scope.trim()
            ),
            format!("allow it (as root), or tell MPI to do without: {around}"),
        )
        .by("sysctl -w kernel.yama.ptrace_scope=0"),
        Some(number) if number == Errno::SRCH.raw_os_error() => Finding::warn(
            WHAT,
            format!(
                "ranks of one node do not see each other's processes (containers of their own): {slower}"
            ),
            "start them in one container or with --pid=host, or tell MPI to do without",
        )
        .by(around),
        Some(_) if filtered => Finding::warn(
            WHAT,
            format!("a filter of system calls (a container's) forbids process_vm_readv: {why}: {slower}"),
            "docker run --cap-add=SYS_PTRACE, or tell MPI to do without",
        )
        .by(around),
        _ => Finding::warn(
            WHAT,
            format!("ranks of a node cannot read each other's memory: {why}: {slower}"),
            "start the ranks as one user in one container, or tell MPI to do without",
        )
        .by(around),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn an_offer_is_read_and_a_stranger_is_not() {
        let mine = Offer::mine();
        assert_eq!(Offer::of_word(&mine.word()).unwrap().read(), Ok(()));
        assert!(Offer { pid: i32::MAX, ..mine }.read().is_err());
        assert_eq!(attach(Ok(())).state, State::Ok);
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_shared_memory() {
        assert_eq!(shared_memory(Path::new("/nowhere"), 2).state, State::Fault);
        // More than any machine has.
        let much = shared_memory(Path::new("/dev/shm"), 1 << 24);
        assert!(much.state == State::Fault && much.found.contains("16777216 ranks"), "{much:?}");
    }
}
