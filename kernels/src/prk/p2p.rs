//! `p2p`: synchronisation of neighbours in a wavefront, by the recurrence `A(i,j) = A(i-1,j) + A(i,j-1) - A(i-1,j-1)`.
//!
//! The m columns are dealt to the ranks; of each of the n lines a rank needs the last value of the rank before, one message a line
//! unless lines are grouped. After each iteration minus the value of the last corner becomes the first one's, so the next
//! iteration depends on it; the last corner's is (iterations + 1) (m + n - 2) in the end.

use super::{at_least_one, bytes, part};
use rankine::kernel::{Check, Kernel, Quoted, Timed, Verdict, Work};
use rankine::{Comm, Error, Memory, Pipeline, Result};
use serde::{Deserialize, Serialize};
use std::ops::{ControlFlow, Range};

/// A wavefront: its parameters.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
pub struct P2p {
    /// Timed iterations, after one that is not
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub iterations: u64,
    /// Columns of the grid, which are dealt to the ranks
    #[arg(long, value_name = "N", default_value_t = 4000)]
    pub m: usize,
    /// Lines of the grid
    #[arg(long, value_name = "N", default_value_t = 4000)]
    pub n: usize,
    /// Lines that are sent together: more than 1 is not what the specification measures
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub group: usize,
}

/// This rank's columns, a segment for each of its threads.
pub struct Segments {
    pub(super) segments: Vec<Segment>,
    pipeline: Pipeline<f64>,
    done: u64,
}

/// Some columns of all lines, one line after the other.
pub struct Segment {
    pub(super) values: Memory<f64>,
    pitch: usize,
    columns: Range<usize>,
    /// The value left of this segment on the line before.
    corner: f64,
}

/// Lines that are computed together, so that their dependent operations overlap.
const TOGETHER: usize = 8;

const CORNER: i32 = 2;

impl Kernel for P2p {
    const NAME: &'static str = "p2p";
    const ABOUT: &'static str = "pipelined wavefront on a grid (Parallel Research Kernels)";
    const VERIFIES: &'static str = "the last corner's value against (iterations + 1) (m + n - 2)";
    const MAY_CHANGE: &'static [&'static str] = &["iterations"];
    type Data = Segments;

    fn check(&self, ranks: usize) -> Result<()> {
        at_least_one(self.iterations)?;
        for (flag, value, least) in [("m", self.m, ranks + 1), ("n", self.n, 2), ("group", self.group, 1)] {
            if value < least {
                let what = format!("--{flag} {value}: at least {least} on {ranks} ranks");
                return Err(Error::usage(what).help("give more, or fewer ranks"));
            }
        }
        Ok(())
    }

    fn bytes_per_rank(&self, ranks: usize) -> Option<u64> {
        let columns = self.m.div_ceil(ranks) as u128 + 16;
        bytes((self.n as u128).saturating_mul(8 * columns))
    }

    fn init(&self, comm: &Comm) -> Result<Segments> {
        let own = part(self.m, comm.rank(), comm.size());
        let threads = rayon::current_num_threads().min(own.len());
        let segments = (0..threads).map(|thread| {
            let columns = part(own.len(), thread, threads);
            Segment::new(own.start + columns.start..own.start + columns.end, self.n)
        });
        let segments = segments.collect::<Result<Vec<_>>>()?;
        Ok(Segments {
            segments,
            pipeline: Pipeline::new(comm, self.n - 1, self.group.min(self.n - 1))?,
            done: 0,
        })
    }

    fn steps(&self) -> Option<u64> {
        Some(self.iterations + 1)
    }

    fn warm_up(&self) -> u64 {
        1
    }

    fn step(
        &self,
        comm: &Comm,
        Segments { segments, pipeline, done }: &mut Segments,
    ) -> Result<ControlFlow<()>> {
        segments.iter_mut().for_each(|segment| segment.corner = segment.columns.start as f64 - 1.0);
        pipeline.run(segments, Segment::advance)?;
        // The last corner to the first one, which makes the next iteration depend on this one.
        let last = comm.size() - 1;
        let mut corner = [-segments[segments.len() - 1].last(self.n - 1)];
        if comm.rank() == last && last > 0 {
            comm.send(&corner, 0, CORNER)?;
        }
        if comm.rank() == 0 {
            if last > 0 {
                comm.recv(&mut corner, last, CORNER)?;
            }
            segments[0].values[0] = corner[0];
        }
        *done += 1;
        Ok(ControlFlow::Continue(()))
    }

    fn verify(&self, comm: &Comm, Segments { segments, done, .. }: &mut Segments) -> Result<Verdict> {
        let expected = *done as f64 * (self.m + self.n - 2) as f64;
        let mut found = [segments[segments.len() - 1].last(self.n - 1)];
        comm.bcast(&mut found, comm.size() - 1)?;
        let error = (found[0] - expected).abs() / expected;
        Ok(Verdict::of([Check::new("value of the last corner, relative error", error, 1e-8)]))
    }

    fn work(&self, _: &Segments) -> Work {
        // Lines are written, and so read; the one before is still in the cache.
        Work::of(self.points(), "points").flops_each(2.0).bytes_each(16.0)
    }

    fn quoted(&self, _: &Segments, timed: Timed) -> Vec<Quoted> {
        vec![Quoted::per_step("MFlops/s", 2e-6 * self.points(), timed)]
    }
}

impl P2p {
    fn points(&self) -> f64 {
        (self.m - 1) as f64 * (self.n - 1) as f64
    }
}

impl Segment {
    /// The grid's edges: the first line counts columns, the first column lines.
    fn new(columns: Range<usize>, lines: usize) -> Result<Segment> {
        let pitch = columns.len().next_multiple_of(8) + 8;
        let mut values = Memory::zeroed(pitch * lines)?;
        columns.clone().zip(values.iter_mut()).for_each(|(column, value)| *value = column as f64);
        if columns.start == 0 {
            (0..lines).for_each(|line| values[line * pitch] = line as f64);
        }
        Ok(Segment { values, pitch, columns, corner: 0.0 })
    }

    pub(super) fn last(&self, line: usize) -> f64 {
        self.values[line * self.pitch + self.columns.len() - 1]
    }

    /// Computes lines `lines` behind the first one: `before` is left of them. The very first segment's first column is there.
    fn advance(&mut self, lines: Range<usize>, before: Option<&[f64]>, after: &mut [f64]) {
        let skip = usize::from(before.is_none());
        let len = self.columns.len() - skip;
        let (above, below) = self.values.split_at_mut((lines.start + 1) * self.pitch);
        let mut above = &above[lines.start * self.pitch..];
        let mut rest = &mut below[..lines.len() * self.pitch];
        let mut line = 0;
        while !rest.is_empty() {
            let together = if rest.len() >= TOGETHER * self.pitch { TOGETHER } else { 1 };
            let (now, later) = rest.split_at_mut(together * self.pitch);
            let left: [f64; TOGETHER] = std::array::from_fn(|k| match before {
                Some(before) => before.get(line + k).copied().unwrap_or(0.0),
                None => now.get(k * self.pitch).copied().unwrap_or(0.0),
            });
            let corner = if skip == 1 { above[0] } else { self.corner };
            let top = &above[skip..][..len];
            if together == TOGETHER {
                let mut rows = now.chunks_exact_mut(self.pitch);
                let rows: [&mut [f64]; TOGETHER] =
                    std::array::from_fn(|_| &mut rows.next().unwrap_or_default()[skip..][..len]);
                sweep(top, rows, left, corner);
            } else {
                sweep(top, [&mut now[skip..][..len]], [left[0]], corner);
            }
            for (k, row) in now.chunks_exact(self.pitch).enumerate() {
                after[line + k] = row[skip + len - 1];
            }
            (self.corner, line) = (left[together - 1], line + together);
            above = &now[(together - 1) * self.pitch..];
            rest = later;
        }
    }
}

/// The recurrence on some lines below `top`, column after column: each line is a chain of dependent additions, and the chains of
/// all lines and of the next columns overlap in the processor. `left` is left of the lines and `corner` of `top`.
#[inline(never)]
fn sweep<const LINES: usize>(top: &[f64], rows: [&mut [f64]; LINES], left: [f64; LINES], corner: f64) {
    let rows = rows.map(|row| &mut row[..top.len()]);
    let (mut values, mut above) = (left, corner);
    for i in 0..top.len() {
        let mut rise = top[i] - above;
        above = top[i];
        for line in 0..LINES {
            let value = values[line] + rise;
            rise = value - values[line];
            values[line] = value;
            rows[line][i] = value;
        }
    }
}
