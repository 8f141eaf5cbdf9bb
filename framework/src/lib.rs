//! Rankine: a rank-based SPMD framework. One kernel, written once, runs on threads of a laptop, under `mpirun` on
//! any MPI, and under Slurm.
//!
//! Six nouns: [`Comm`] (ranks that talk), [`op`] (reductions), [`Grid`] (how cells are split over ranks),
//! [`Field`] (a distributed array with halos), [`Kernel`] (what to compute), [`Run`] (one execution).
//! One door in: [`launch()`].
//!
//! ```
//! use rankine::op::Sum;
//! rankine::testing::ranks([1, 2, 3, 4], |world| {
//!     let total = world.allreduce(1u64, Sum)?;
//!     assert_eq!(total, world.size() as u64);
//!     Ok(())
//! });
//! ```

pub mod checkpoint;
pub mod collection;
mod comm;
mod engine;
mod error;
mod fft;
mod field;
mod grid;
mod halo;
pub mod kernel;
pub mod launch;
pub mod matrix;
mod memory;
pub mod output;
pub mod particles;
mod pipeline;
mod redistribute;
mod refinement;
pub mod run;
pub mod sparse;
mod stop;
pub mod testing;
pub mod timing;
pub mod watch;

/// The crate behind [`Element`]: views of elements as bytes and back.
pub use bytemuck;
pub use collection::DistVec;
pub use comm::{
    ANY_SOURCE, ANY_TAG, Bits, Buckets, Buffer, Builtin, Cart, Comm, Comparison, Element, Graph, Group, Kind,
    NeighborPlan, Number, Op, Ordered, OwnedRecv, OwnedSend, RankRange, Request, Scalar, Scope, Source,
    Status, TAG_MAX, Tag, Test, Topology, dims_create,
};
pub use comm::{Alltoallw, ValueRecv, ValueSend, ViewRecv, ViewSend};
pub use comm::{Blocks, CollectivePlan, OwnedCollective, Vectors};
pub use comm::{Cancel, Message, Pending, Requests, VecRecv, wait_all};
pub use comm::{Plan, RecvPlan, SendPlan, finish_all, start_all};
pub use comm::{SharedWindow, Window};
pub use error::{Error, ErrorKind, Result};
pub use fft::{Fft, RealFft};
pub use field::{
    Field, Histogram, Magnitude, Near, Norm, Prolongation, Reader, Rows, Scaled, Span, Wall, Walls,
};
pub use grid::{Block, Grid, GridBuilder, Levels, Side, Stencil};
pub use halo::AnyField;
pub use kernel::Kernel;
pub use launch::{Launch, launch};
pub use matrix::{BlockCyclic, Matrix, ProcessGrid};
pub use memory::Memory;
pub use pipeline::Pipeline;
pub use rankine_derive::{Bits, Element, Number, Ordered};
pub use redistribute::{Ends, Redistribution};
pub use refinement::Refinement;
pub use run::{Run, main};
/// What a rank says: `rankine::tracing::info!` and its like, in kernels. See `--log`.
pub use tracing;

/// The reduction operators that come with the framework; [`Op`] says how to write your own.
pub mod op {
    pub use crate::comm::op::{
        And, BitAnd, BitOr, BitXor, Commutative, Exact, First, Last, Located, Max, MaxLoc, Min, MinLoc, Or,
        Prod, Sum, Summable, Xor, commutative,
    };
}

/// What goes with [`Window`] and [`SharedWindow`], one-sided communication.
pub mod window {
    pub use crate::comm::window::{
        Access, Active, Atomic, Epoch, Lock, Locked, Merge, NoOp, Parts, Passive, Replace, Sharing, Swap,
    };
}

/// The examples of the project's README, compiled and run with the others.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
