//! Slurm for Rankine: what a job needs ([`Resources`]), the exact batch script ([`Job`]) in a site's frame
//! ([`Template`]), submission
//! ([`Slurm`]), and a real cluster on one machine for tests ([`Testbed`]).
//!
//! It is not a scheduler and knows nothing of kernels: a program is an argument vector. It links no MPI,
//! so it works on a login node that has none.
//!
//! ```
//! use rankine_slurm::{Job, Resources};
//!
//! let mut job = Job::new(["rankine", "run", "heat3d"]);
//! job.resources = Resources { ranks: 8, threads: 2, nodes: Some(4), ..Resources::default() };
//! assert!(job.script()?.contains("#SBATCH --ntasks=8"));
//! # Ok::<(), rankine_slurm::Error>(())
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod again;
pub mod choose;
pub mod cluster;
mod command;
pub mod error;
pub mod linked;
pub mod points;
pub mod quote;
pub mod resources;
pub mod script;
pub mod state;
pub mod submit;
pub mod task;
pub mod template;
pub mod testbed;

pub use choose::{Choice, Wish, choose};
pub use cluster::Nodes;
pub use error::Error;
pub use linked::{Family, Linked, linked};
pub use points::Points;
pub use resources::Resources;
pub use script::{Binding, Job, Launcher};
pub use state::{JobState, State};
pub use submit::{JobId, Slurm, cancel, submit, wait};
pub use task::{cancel_task, task_state};
pub use template::Template;
pub use testbed::Testbed;
