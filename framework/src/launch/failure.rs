//! The end of a job that failed: one report, one exit code, every rank down.
//!
//! Which rank failed first is decided by who gets here first. Errors themselves are in `error`.

use crate::error::{Error, ErrorKind, Result};
use std::any::Any;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};

/// Writes an error to standard error as a person reads it, in one write. Errors of other ranks' making
/// ([`ErrorKind::Elsewhere`]) are not repeated, and a run that has stopped ([`ErrorKind::Stopped`]) has said so.
pub fn report(error: &Error) {
    if matches!(error.kind(), ErrorKind::Elsewhere | ErrorKind::Stopped) {
        return;
    }
    let class = if error.kind() == ErrorKind::Deadlock { "[deadlock]" } else { "" };
    let text = format!("error{class}: {error}\n");
    // Nothing can be done about a standard error that is closed.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Writes to standard error what a person should know, in one write.
pub(crate) fn warn(text: &str) {
    // What begins with the ranks that say it has its colon behind them.
    let mark = if text.starts_with('(') { "" } else { ":" };
    let text = format!("warning{mark} {}\n", text.replace("\nrank", "\nwarning: rank"));
    // Nothing can be done about a standard error that is closed.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Whether this process should speak for the job before ranks are known: the launcher's rank 0, or a process that
/// no launcher started. N copies of a usage error help nobody.
pub fn is_first_process() -> bool {
    match super::Launcher::detect(|name| std::env::var(name).ok()) {
        Ok(Some(launcher)) => launcher.rank.unwrap_or(0) == 0,
        _ => true,
    }
}

/// The last panic's message and place, kept by the hook for `catching`.
static PANICKED: Mutex<Option<(std::thread::ThreadId, String, String)>> = Mutex::new(None);

/// Makes panics silent and remembered: the job's report says them, once.
pub(super) fn remember_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let mine = std::thread::current().name().is_some_and(|name| name.starts_with("rank "));
            if !mine && std::thread::current().name() != Some("main") {
                return earlier(info);
            }
            let place = info.location().map(|place| place.to_string()).unwrap_or_default();
            let what = message(info.payload());
            *PANICKED.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((std::thread::current().id(), what, place));
        }));
    });
}

/// Runs a rank's work; a panic becomes an error with its message and place.
pub(super) fn catching(rank: usize, work: impl FnOnce() -> Result<()>) -> Result<()> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| error.on_rank(rank)),
        Err(payload) => Err(panicked(payload.as_ref()).on_rank(rank)),
    }
}

fn panicked(payload: &(dyn Any + Send)) -> Error {
    remembered().unwrap_or_else(|| Error::new(ErrorKind::Panic, format!("panicked: {}", message(payload))))
}

/// The current thread's last panic, if the hook has seen it.
fn remembered() -> Option<Error> {
    match PANICKED.lock().unwrap_or_else(PoisonError::into_inner).clone() {
        Some((thread, what, place)) if thread == std::thread::current().id() => {
            Some(Error::new(ErrorKind::Panic, format!("panicked: {what} ({place})")))
        }
        _ => None,
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| text.to_string())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "with a value that is no text".to_string())
}

/// How long a launcher has to pass on what was written.
#[cfg(feature = "mpi")]
const SAID: std::time::Duration = std::time::Duration::from_millis(150);

/// Reports and ends an MPI job from the rank that failed. Ranks that fail at the same time say it once: on a node
/// whoever takes the job's name first, between nodes the lowest rank by a head start.
#[cfg(feature = "mpi")]
pub(crate) fn bring_down(error: &Error) -> ! {
    use std::time::Duration;
    // Whoever unwinds knows only that something panicked.
    let panic = remembered().filter(|_| error.kind() == ErrorKind::Panic);
    let panic = panic.map(|panic| match error.rank() {
        Some(rank) => panic.on_rank(rank),
        None => panic,
    });
    let error = panic.as_ref().unwrap_or(error);
    let head_start = match error.rank() {
        _ if error.kind() == ErrorKind::Elsewhere => Duration::from_secs(5),
        Some(rank) if rank > 0 => Duration::from_millis(60 * rank.min(5) as u64),
        _ => Duration::ZERO,
    };
    let claim = if error.kind() == ErrorKind::Elsewhere { None } else { claim_node() };
    if claim.is_some() {
        std::thread::sleep(head_start);
        report(error);
    } else {
        // The rank that reports ends this one; if it cannot, this one ends the job after all.
        std::thread::sleep(Duration::from_secs(5));
        report(error);
    }
    // MPICH's launcher throws away what it has not read yet when it learns of the end.
    std::thread::sleep(SAID);
    crate::engine::mpi::abort(i32::from(error.exit_code()))
}

/// An abstract socket that one process of the job on this node can have; it goes with the process.
#[cfg(all(feature = "mpi", target_os = "linux"))]
fn claim_node() -> Option<std::os::unix::net::UnixListener> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let job =
        ["PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "OMPI_MCA_orte_ess_jobid", "PMI_JOBID", "SLURM_JOB_ID"]
            .iter()
            .filter_map(|name| std::env::var(name).ok())
            .collect::<Vec<_>>()
            .join(".");
    let step = std::env::var("SLURM_STEP_ID").unwrap_or_default();
    let name = format!("rankine-failure-{job}-{step}");
    let address = SocketAddr::from_abstract_name(&name.as_bytes()[..name.len().min(100)]).ok()?;
    UnixListener::bind_addr(&address).ok()
}

#[cfg(all(feature = "mpi", not(target_os = "linux")))]
fn claim_node() -> Option<()> {
    Some(())
}
