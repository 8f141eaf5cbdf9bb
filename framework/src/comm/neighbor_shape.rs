//! Which blocks of their buffers the calls between neighbours exchange, and whether the lengths are right.
//!
//! The calls themselves are in `neighbor`, `neighbor_nonblocking` and `neighbor_plan`; all of them ask here.

use super::collective::{Blocks, Site};
use super::topology::Topology;
use crate::engine::exchange::{Places, Shape};
use crate::error::Result;

/// Which call it is, with the blocks that the author gave.
#[derive(Clone, Copy)]
pub(super) enum Form<'a> {
    Allgather,
    Allgatherv { received: Blocks<'a> },
    Alltoall,
    Alltoallv { sent: Blocks<'a>, received: Blocks<'a> },
}

impl Topology {
    /// Fills in the shape for buffers of these lengths.
    pub(super) fn shape(
        &self,
        site: Site,
        form: Form<'_>,
        shape: &mut Shape,
        send: usize,
        recv: usize,
    ) -> Result<()> {
        let (sources, destinations) = (self.inlets.len(), self.outlets.len());
        match form {
            Form::Allgather => {
                self.check_equal(site, "recv", recv, send, sources)?;
                shape.into.set((0..sources).map(|block| block * send..(block + 1) * send));
            }
            Form::Alltoall => {
                // Without a destination the length comes from the other side.
                let len = match (destinations, sources) {
                    (0, 0) => 0,
                    (0, _) => recv / sources,
                    _ => send / destinations,
                };
                self.check_equal(site, "send", send, len, destinations)?;
                self.check_equal(site, "recv", recv, len, sources)?;
                shape.from.set((0..destinations).map(|block| block * len..(block + 1) * len));
                shape.into.set((0..sources).map(|block| block * len..(block + 1) * len));
            }
            Form::Allgatherv { received } => {
                self.place(site, "recv", &mut shape.into, received, recv, sources)?;
            }
            Form::Alltoallv { sent, received } => {
                self.place(site, "send", &mut shape.from, sent, send, destinations)?;
                self.place(site, "recv", &mut shape.into, received, recv, sources)?;
            }
        }
        if matches!(form, Form::Allgather | Form::Allgatherv { .. }) {
            shape.from.set((0..destinations).map(|_| 0..send));
        }
        match shape.into.overlap() {
            None => Ok(()),
            Some((a, b)) => {
                let what = format!("recv: blocks {a} and {b} overlap");
                let help = "blocks that are received into must not share elements";
                Err(self.comm.usage(site.call, site.place, what, help))
            }
        }
    }

    fn check_equal(&self, site: Site, what: &str, have: usize, len: usize, neighbors: usize) -> Result<()> {
        if len.checked_mul(neighbors) == Some(have) {
            return Ok(());
        }
        let what = format!("{what} has {have} elements for {neighbors} neighbours");
        let help = "give a block for each neighbour, all of one length";
        Err(self.comm.usage(site.call, site.place, what, help))
    }

    fn place(
        &self,
        site: Site,
        what: &str,
        places: &mut Places,
        blocks: Blocks<'_>,
        have: usize,
        neighbors: usize,
    ) -> Result<()> {
        places.set(blocks.iter().map(|(start, len)| start..start.saturating_add(len)));
        let given = blocks.iter().count();
        if given != neighbors {
            let (what, help) = (format!("{what} has {given} blocks"), one_for_each(neighbors));
            return Err(self.comm.usage(site.call, site.place, what, &help));
        }
        let fits = blocks.iter().all(|(start, len)| start.checked_add(len).is_some());
        if fits && places.reach() <= have {
            return Ok(());
        }
        let end = if fits { places.reach() } else { usize::MAX };
        let what = format!("{what} has {have} elements, and its blocks end at {end}");
        let help = "every block must lie inside the buffer";
        Err(self.comm.usage(site.call, site.place, what, help))
    }

    /// Whether there is one block for every neighbour.
    pub(super) fn check_blocks(&self, site: Site, what: &str, given: usize, neighbors: usize) -> Result<()> {
        if given == neighbors {
            return Ok(());
        }
        let (what, help) = (format!("{what} has {given} blocks"), one_for_each(neighbors));
        Err(self.comm.usage(site.call, site.place, what, &help))
    }
}

fn one_for_each(neighbors: usize) -> String {
    format!("give {neighbors}, one for each neighbour, also where it is missing")
}
