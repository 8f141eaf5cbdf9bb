//! `rankine doctor`: looks for the faults in a set-up that people lose days on, and says how to mend each.
//!
//! It changes nothing, and never waits without end. What it looks at on one machine is in a file each: `mpi` (by their words),
//! `start` (for real), `machine`, `transport`, `files`, `slurm`; what ranks find among themselves, in `ranks`.

mod files;
mod finding;
mod machine;
mod mpi;
mod probe;
mod ranks;
mod slurm;
mod start;
mod transport;

use finding::{Finding, Report, State};
use rankine::launch::Launcher;
use rankine::run::show;
use rankine::{Error, ErrorKind, Result};
use std::path::PathBuf;
use std::time::Duration;

/// Look for faults in the set-up, and print the command that mends each
///
/// Alone it looks at this machine and starts two ranks with the mpirun on PATH. Under a launcher (mpirun -n 8 rankine
/// doctor, srun --mpi=pmix -N 4 -n 4 rankine doctor) the ranks look at their nodes and measure the messages between
/// each two of them. Exit code 3 says that there are faults.
#[derive(Clone, Debug, clap::Args)]
pub struct Doctor {
    /// As JSON
    #[arg(long)]
    json: bool,
    /// The ranks a node is to run
    #[arg(long, value_name = "N")]
    ranks: Option<usize>,
    /// The threads of each
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// The folder that runs are to be written to
    #[arg(long, value_name = "FOLDER", default_value = "runs")]
    dir: PathBuf,
    /// Start the ranks with these words, such as 'srun --mpi=pmix -N 4 -n 4' [default: two with the mpirun on PATH]
    #[arg(long, value_name = "WORDS")]
    launch: Option<String>,
    /// Start no ranks
    #[arg(long, conflicts_with = "launch")]
    no_launch: bool,
    /// Seconds after which ranks that have not answered are a finding
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    deadline: f64,
    /// As a rank of a start that this command tries
    #[arg(long, hide = true)]
    inside: bool,
    /// Read memory that another process offers
    #[arg(long, hide = true, value_name = "OFFER")]
    read_memory: Option<String>,
}

impl Doctor {
    /// How long ranks may take.
    fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.deadline)
    }
}

/// Looks and tells.
///
/// # Errors
/// [`ErrorKind::Setup`] if there is a fault.
pub fn doctor(wanted: &Doctor) -> Result<()> {
    if let Some(offer) = &wanted.read_memory {
        show(&transport::read_for_parent(offer));
        return Ok(());
    }
    if !(0.1..=3600.0).contains(&wanted.deadline) {
        return Err(Error::usage(format!("--deadline {}", wanted.deadline)).help("give 0.1 to 3600 seconds"));
    }
    match Launcher::detect(|name| std::env::var(name).ok())? {
        Some(launcher) => ranks::look(wanted, &launcher),
        // A copy that knows of no other: its report is counted.
        None if wanted.inside => {
            show(&Report::new(1).shown(true));
            Ok(())
        }
        None => alone(wanted),
    }
}

/// On one machine, started by nobody.
fn alone(wanted: &Doctor) -> Result<()> {
    let library = rankine::launch::mpi_library();
    let library = library.as_deref();
    let mpirun = mpi::Mpirun::meant(wanted.launch.as_deref());
    let mut report = Report::new(0);
    report.extend(mpi::look(library, mpirun.as_ref()));
    report.extend(machine::look(wanted));
    report.extend(transport::look(wanted.ranks.unwrap_or(2), true));
    report.extend(files::look(&wanted.dir));
    report.extend(slurm::look(library));
    if library.is_some() && !wanted.no_launch {
        let mut ours = report.findings.len();
        start::look(wanted, library, mpirun.as_ref(), &mut report)?;
        // Of a launcher that was named, what came of it replaces what was to be expected.
        let of_launcher = |finding: &Finding| finding.what == "launcher" && finding.state == State::Fault;
        if wanted.launch.is_some()
            && report.findings[ours..].iter().any(of_launcher)
            && let Some(foreseen) = report.findings[..ours].iter().position(of_launcher)
        {
            report.findings.remove(foreseen);
            ours -= 1;
        }
        // What ranks of this machine found as well is told once.
        let (known, new) = report.findings.split_at(ours);
        let again = |finding: &Finding| {
            known.iter().any(|known| {
                known.what == finding.what && known.state == finding.state && finding.nodes.len() < 2
            })
        };
        let new: Vec<Finding> = new.iter().filter(|finding| !again(finding)).cloned().collect();
        report.findings.truncate(ours);
        report.findings.extend(new);
    }
    show(&report.shown(wanted.json));
    faults(report.faults)
}

/// The end of a command that has found so many.
fn faults(faults: usize) -> Result<()> {
    match faults {
        0 => Ok(()),
        faults => {
            Err(Error::new(ErrorKind::Setup, format!("{faults} fault{} in the set-up", plural(faults)))
                .help("each fault above has its fix beside it"))
        }
    }
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}
