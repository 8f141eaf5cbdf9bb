//! What can be asked of a submission: flags, and keys of `[slurm]` in a job file; and the resources they come to.

use clap::Args;
use rankine::{Error, Result};
use rankine_slurm::{Binding, Resources, Wish};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Flags of a submission, and keys of `[slurm]` in a job file.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Slurm")]
pub struct Wanted {
    /// Nodes to spread the ranks over [default: as many as they need]
    #[arg(long, value_name = "N")]
    pub nodes: Option<u32>,
    /// Ranks on each node; with --nodes, --ranks need not be said
    #[arg(long, value_name = "N")]
    pub ranks_per_node: Option<u32>,
    /// Time limit: minutes, HH:MM:SS or D-HH:MM:SS
    #[arg(long)]
    pub time: Option<String>,
    /// Partition, or several with commas
    #[arg(long)]
    pub partition: Option<String>,
    /// Account to charge
    #[arg(long)]
    pub account: Option<String>,
    /// Quality of service
    #[arg(long)]
    pub qos: Option<String>,
    /// Features the nodes must have
    #[arg(long)]
    pub constraint: Option<String>,
    /// Memory for each CPU, such as 2G
    #[arg(long, value_name = "SIZE")]
    pub mem_per_cpu: Option<String>,
    /// Memory on each node, such as 64G
    #[arg(long, value_name = "SIZE", visible_alias = "mem-per-node")]
    pub mem: Option<String>,
    /// Share the nodes with no other job
    #[arg(long)]
    pub exclusive: bool,
    /// Begin after a job has ended well (its number), or another dependency: afterany:17, singleton
    #[arg(long, value_name = "JOB")]
    pub after: Option<String>,
    /// Write to this address when the job ends, fails or is started again
    #[arg(long, value_name = "ADDRESS")]
    pub mail: Option<String>,
    /// Further options of sbatch, quoted as in a shell: --extra '--gres=gpu:1 --nice'
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    pub extra: Option<String>,
    /// Go on after the time limit, preemption or a node's failure: saved, started again, resumed
    #[arg(long)]
    pub requeue: bool,
    /// The most times that --requeue starts the job again
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub max_requeues: u32,
    /// The job's name in the queue [default: the kernel's]
    #[arg(long, value_name = "NAME")]
    pub job_name: Option<String>,
    /// File for what the job writes to its terminal [default: slurm.log in the run's directory]
    #[arg(long, value_name = "FILE")]
    pub job_log: Option<String>,
    /// What starts the ranks: srun, mpirun, or auto: whichever the program's MPI goes with here
    #[arg(long, default_value = "auto", value_parser = ["auto", "srun", "mpirun"])]
    pub launcher: String,
    /// srun's process-management interface [default: found out; `srun --mpi=list` shows all]
    #[arg(long, value_name = "TYPE")]
    pub mpi: Option<String>,
    /// CPUs of each rank: auto (what is safe with the launcher), cores (as many as threads, or fail), none
    #[arg(long, default_value = "auto", value_parser = ["auto", "cores", "none"])]
    pub bind: String,
    /// The program that the job runs, a `rankine` built for the compute nodes [default: this one]
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// Frame of the batch script [default: RANKINE_TEMPLATE, ~/.config/rankine/submit.sh, /etc/rankine/submit.sh, built in]
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,
    /// A run for each value (NAME=64,128 or NAME=FROM:TO:STEP), as a job array; several are combined
    #[arg(long, value_name = "NAME=VALUES")]
    #[serde(default)]
    pub sweep: Vec<String>,
    /// A run for each row of a table, whose first line names parameters
    #[arg(long, value_name = "FILE.csv")]
    pub sweep_csv: Option<PathBuf>,
    /// The most runs of a sweep at once
    #[arg(long, value_name = "N")]
    pub at_once: Option<u32>,
}

/// What is no key of a job file.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Slurm")]
pub struct How {
    /// Show the script and submit nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Ask Slurm whether and when it could run, and submit nothing
    #[arg(long, conflicts_with = "dry_run")]
    pub check: bool,
    /// Show the built-in frame of batch scripts, to make another of it
    #[arg(long)]
    pub show_template: bool,
}

impl Wanted {
    /// The resources; `ranks` and whether they stand on the command line, and `threads` of each.
    ///
    /// # Errors
    /// A number that Slurm cannot count.
    pub fn resources(&self, (ranks, by_hand): (Option<usize>, bool), threads: usize) -> Result<Resources> {
        let number = |what: &str, n: usize| {
            u32::try_from(n)
                .map_err(|_| Error::usage(format!("--{what} {n}")).help("that is more than Slurm can count"))
        };
        let said = ranks.map(|ranks| number("ranks", ranks)).transpose()?;
        let (nodes, ranks) = match (self.nodes, self.ranks_per_node) {
            // A job file's number of ranks is that of the laptop.
            (Some(nodes), Some(each)) => {
                let product = nodes.saturating_mul(each);
                (Some(nodes), said.filter(|_| by_hand).unwrap_or(product))
            }
            (None, Some(each)) => {
                let ranks = said.unwrap_or(each);
                (Some(ranks.div_ceil(each.max(1))), ranks)
            }
            // Slurm's own default: a rank on each node.
            (nodes, None) => (nodes, said.unwrap_or(nodes.unwrap_or(1).max(1))),
        };
        Ok(Resources {
            nodes,
            ranks,
            threads: number("threads", threads)?,
            ranks_per_node: self.ranks_per_node,
            mem_per_cpu: self.mem_per_cpu.clone(),
            mem_per_node: self.mem.clone(),
            time: self.time.clone(),
            partition: self.partition.clone(),
            account: self.account.clone(),
            qos: self.qos.clone(),
            constraint: self.constraint.clone(),
            exclusive: self.exclusive,
            after: self.after.clone(),
            mail: self.mail.clone(),
            extra: self.extra.clone(),
            requeue: self.requeue,
            ..Resources::default()
        })
    }

    /// What shall start the ranks.
    ///
    /// # Errors
    /// A word of a job file that is none of those.
    pub fn wish(&self) -> Result<Wish> {
        match self.launcher.as_str() {
            "auto" => Ok(Wish::Auto),
            "srun" => Ok(Wish::Srun),
            "mpirun" => Ok(Wish::Mpirun),
            other => Err(Error::usage(format!("launcher = {other:?}")).help("it is auto, srun or mpirun")),
        }
    }

    /// How ranks are bound.
    ///
    /// # Errors
    /// As [`wish`](Wanted::wish).
    pub fn binding(&self) -> Result<Binding> {
        match self.bind.as_str() {
            "auto" => Ok(Binding::Auto),
            "cores" => Ok(Binding::Cores),
            "none" => Ok(Binding::None),
            other => Err(Error::usage(format!("bind = {other:?}")).help("it is auto, cores or none")),
        }
    }
}
