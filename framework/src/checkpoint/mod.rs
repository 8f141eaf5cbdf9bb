//! Checkpoints: what a kernel must keep to go on later, in files that are whole or not there.
//!
//! A kernel names its state once, in [`Kernel::persist`](crate::Kernel::persist), and the same body saves and restores.
//! When that happens is `run`'s business; how arrays get into files is `output`'s. This folder knows what a checkpoint
//! holds, which of the two there are is the newest that is whole, and how often to make one.
//!
//! A run's directory has `ckpt/a.h5` and `ckpt/b.h5`, written by turns: beside, brought to the disk, and renamed, so
//! that the one before stays untouched. Each says what it is (version, kernel, parameters, step, when and by whom it
//! was written) and has a checksum for every array, which does not depend on how it was split; the whole of what it
//! says is sealed by a checksum of its own. A file that is not what it says is passed over, with a warning that says
//! why. Any number of ranks of either engine may go on from it, to the same bits.
//!
//! ```
//! use rankine::{Comm, Field, Grid, Kernel, Result, checkpoint::State};
//! # use std::ops::ControlFlow;
//! # #[derive(Clone, clap::Args, serde::Serialize, serde::Deserialize)]
//! # struct Wave {}
//! struct Data { now: Field<f64, 2>, before: Field<f64, 2>, time: f64 }
//! impl Kernel for Wave {
//! #   const NAME: &'static str = "wave";
//! #   const ABOUT: &'static str = "waves";
//!     type Data = Data;
//!     fn persist(&self, data: &mut Data, s: &mut State) -> Result<()> {
//!         s.field("now", &mut data.now)?;
//!         s.field("before", &mut data.before)?;
//!         s.value("time", &mut data.time)
//!     }
//!     // init, step, …
//! #   fn init(&self, comm: &Comm) -> Result<Data> {
//! #       let grid = Grid::new(comm, [4, 4])?;
//! #       Ok(Data { now: Field::new(&grid, 0.0)?, before: Field::new(&grid, 0.0)?, time: 0.0 })
//! #   }
//! #   fn step(&self, _: &Comm, _: &mut Data) -> Result<ControlFlow<()>> { Ok(ControlFlow::Break(())) }
//! }
//! ```

mod header;
mod interval;
mod span;
mod state;
mod store;

pub use interval::{Every, daly};
pub use span::Span;
pub use state::State;

pub(crate) use store::{Found, Moment, Store};
