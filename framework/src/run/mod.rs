//! `Run`: one execution of a kernel, with its directory, output, progress, timings and verdict; and the command line
//! that starts one.
//!
//! This folder knows what a run is; it knows no kernel and no engine, and writes to no stream that it was not
//! handed. Files appear in the run's directory whole or not at all:
//!
//! ```text
//! run.toml          the merged parameters and options: a job file that makes the same run again
//! provenance.json   program, machine, call, time
//! progress.json     how far it is, renewed while it runs
//! timings.json      seconds by phase, over the ranks and of each; who sent how much to whom; what was used
//! result.json       verdict, checksum, rate
//! out/              what the kernel hands over: fields-000000.h5 …, fields.xdmf, pictures, scalars.csv
//! ckpt/             the two checkpoints, by turns
//! slurm.log         what the job wrote to its terminal; job.sh, job.toml, slurm.json: the script, its job file, the jobs; log/ (`rankine submit`)
//! log/              what the run told (run.txt), how far it was when (progress.csv), what each rank said
//! STOP              not written but looked for: whoever makes it asks the run to save and stop
//! ```

mod account;
mod command;
mod cores;
mod directory;
mod door;
mod entry;
mod execute;
mod jobfile;
mod keep;
mod limit;
mod logbook;
mod logs;
mod memory;
mod nearest;
mod nodes;
mod options;
mod output;
mod parameters;
mod progress;
mod provenance;
mod rate;
mod report;
mod results;
mod scalars;
mod schema;
mod terminal;
mod times;

pub use command::{main, once, run, show, usage};
pub use directory::reserve;
pub use entry::{Asked, Entry, Job, Parameter};
pub use execute::Run;
pub use jobfile::{JobFile, is_job_file};
pub use logs::LogLevel;
pub use nearest::nearest;
pub use options::Options;
pub use output::Output;
pub use parameters::merge;
pub use rate::{Rate, duration, scaled};
pub use report::{Progress, Reason, Reporter, Silent, Stopped, Summary};
pub use schema::{schema, schema_of};
pub use terminal::Terminal;
pub use times::{Spread, Times};
