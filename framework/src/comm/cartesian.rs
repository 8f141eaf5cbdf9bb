//! `Cart`: ranks on a grid; MPI's Cartesian topology.
//!
//! Balanced sizes are found in `dims`; the calls between neighbours are in the `neighbor_` files.

use super::p2p::Status;
use super::topology::{Pairing, Topology};
use super::{Comm, Element};
use crate::engine::{Fault, Place};
use crate::error::Result;
use crate::watch::Name;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::panic::Location;

/// A communicator whose ranks stand on a grid, in row-major order: the last coordinate varies fastest.
///
/// It is a [`Topology`] and a [`Comm`]. Its neighbours are, axis by axis, the one below and the one above, on a
/// periodic axis round the edge.
///
/// ```
/// use rankine::dims_create;
/// rankine::testing::ranks([1, 2, 3, 4, 6], |world| {
///     let dims = dims_create(world.size(), &[0, 0])?;
///     let cart = world.cart(&dims, &[true, false])?.expect("all ranks are on the grid");
///     // Every rank gets the number of the one to its left, one step down on axis 1.
///     let mut left = [usize::MAX];
///     cart.shift_exchange(1, 1, &[cart.rank()], &mut left, 0)?;
///     let expected = if cart.coords()[1] == 0 { usize::MAX } else { cart.rank() - 1 };
///     assert_eq!(left, [expected]);
///     Ok(())
/// });
/// ```
pub struct Cart {
    topology: Topology,
    grid: Lattice,
    coords: Vec<usize>,
}

/// The grid alone.
#[derive(Clone)]
struct Lattice {
    dims: Vec<usize>,
    periodic: Vec<bool>,
}

impl Lattice {
    fn size(&self) -> Option<usize> {
        self.dims.iter().try_fold(1usize, |a, &b| a.checked_mul(b))
    }

    /// Of a rank that is on the grid.
    fn coords(&self, mut rank: usize) -> Vec<usize> {
        let mut coords = vec![0; self.dims.len()];
        for (coord, dim) in coords.iter_mut().zip(&self.dims).rev() {
            *coord = rank % dim;
            rank /= dim;
        }
        coords
    }

    /// `None`: not on the grid. There are as many coordinates as dimensions.
    fn rank(&self, coords: impl Iterator<Item = i128>) -> Option<usize> {
        let mut rank = 0;
        for ((coord, &dim), periodic) in coords.zip(&self.dims).zip(&self.periodic) {
            let coord = if *periodic { coord.rem_euclid(dim as i128) } else { coord };
            rank = rank * dim + usize::try_from(coord).ok().filter(|&coord| coord < dim)?;
        }
        Some(rank)
    }

    /// The rank `by` steps along an axis.
    fn step(&self, from: &[usize], axis: usize, by: i128) -> Option<usize> {
        let step = |(i, &coord): (usize, &usize)| coord as i128 + if i == axis { by } else { 0 };
        self.rank(from.iter().enumerate().map(step))
    }
}

impl Comm {
    /// Puts the first ranks on a grid of these sizes, in row-major order, periodic on the axes that say so; ranks that are
    /// not needed get `None`. Collective. Ranks keep their order. A grid without axes has one rank.
    ///
    /// [`dims_create`](crate::dims_create) finds sizes.
    ///
    /// # Errors
    /// A size of 0, more ranks than there are, not one `periodic` for every axis; ranks that give different grids (in the
    /// checked mode).
    #[track_caller]
    pub fn cart(&self, dims: &[usize], periodic: &[bool]) -> Result<Option<Cart>> {
        let (call, place): (Name, _) = (&"cart", Location::caller());
        if dims.len() != periodic.len() {
            let what = format!("{} sizes and {} times periodic or not", dims.len(), periodic.len());
            return Err(self.usage(call, place, what, "give both for every axis"));
        }
        let grid = Lattice { dims: dims.to_vec(), periodic: periodic.to_vec() };
        let size = match grid.size() {
            Some(size) if (1..=self.size()).contains(&size) => size,
            _ => {
                let help = format!("give sizes of 1 or more whose product is at most {}", self.size());
                return Err(self.usage(call, place, format!("a grid {dims:?}"), &help));
            }
        };
        let mut hasher = std::hash::DefaultHasher::new();
        (dims, periodic).hash(&mut hasher);
        self.agree_on(call, "grids", hasher.finish())?;
        let part = self.split_at(call, (self.rank() < size).then_some(0), 0, place)?;
        part.map(|comm| Cart::on(comm, grid, call, place)).transpose()
    }
}

impl Cart {
    fn on(comm: Comm, grid: Lattice, call: &str, place: Place) -> Result<Cart> {
        if grid.size() != Some(comm.size()) {
            let text = format!("{} ranks have come to a grid {:?}", comm.size(), grid.dims);
            return Err(comm.fault(call, place, Fault::Mismatch(text), ("", 1)));
        }
        let coords = grid.coords(comm.rank());
        let neighbors: Vec<Option<usize>> = (0..grid.dims.len())
            .flat_map(|axis| [-1, 1].map(|by| (axis, by)))
            .map(|(axis, by)| grid.step(&coords, axis, by))
            .collect();
        let topology = Topology::new(comm, neighbors.clone(), neighbors, Pairing::OppositeEnds);
        Ok(Cart { topology, grid, coords })
    }

    /// The size of each axis.
    pub fn dims(&self) -> &[usize] {
        &self.grid.dims
    }

    /// Whether each axis is periodic.
    pub fn periodic(&self) -> &[bool] {
        &self.grid.periodic
    }

    /// Where this rank stands.
    pub fn coords(&self) -> &[usize] {
        &self.coords
    }

    /// Where a rank stands; `None` if there is no such rank. Local.
    pub fn coords_of(&self, rank: usize) -> Option<Vec<usize>> {
        (rank < self.size()).then(|| self.grid.coords(rank))
    }

    /// Which rank stands there: round the edge on periodic axes, `None` outside on others. Local.
    ///
    /// # Errors
    /// Not one coordinate for every axis.
    #[track_caller]
    pub fn rank_of(&self, coords: &[isize]) -> Result<Option<usize>> {
        self.check_axes("rank_of", coords.len(), Location::caller())?;
        Ok(self.grid.rank(coords.iter().map(|&coord| coord as i128)))
    }

    /// From whom this rank receives and to whom it sends when everything moves `displacement` steps along an axis;
    /// `None` beyond an edge. Local.
    ///
    /// # Errors
    /// There is no such axis.
    #[track_caller]
    pub fn shift(&self, axis: usize, displacement: isize) -> Result<(Option<usize>, Option<usize>)> {
        self.check_axis("shift", axis, Location::caller())?;
        let by = displacement as i128;
        let step = |by| self.grid.step(&self.coords, axis, by);
        Ok((step(-by), step(by)))
    }

    /// Moves data `displacement` steps along an axis: sends `send` to the rank there, if there is one, and receives into
    /// `recv` from the rank as far the other way; beyond an edge nothing comes, `recv` is untouched, and the status is
    /// `None`. Otherwise as [`Comm::sendrecv`].
    #[track_caller]
    pub fn shift_exchange<T: Element>(
        &self,
        axis: usize,
        displacement: isize,
        send: &[T],
        recv: &mut [T],
        tag: i32,
    ) -> Result<Option<Status>> {
        Ok(match self.shift(axis, displacement)? {
            (Some(source), Some(dest)) => Some(self.sendrecv(send, dest, tag, recv, source, tag)?),
            (Some(source), None) => Some(self.recv(recv, source, tag)?),
            (None, Some(dest)) => {
                self.send(send, dest, tag)?;
                None
            }
            (None, None) => None,
        })
    }

    /// The lower-dimensional grid that this rank is in when only the axes with `keep` are kept: ranks that differ on no
    /// other axis. Collective. With no axis kept it is this rank alone.
    ///
    /// # Errors
    /// Not one `keep` for every axis; ranks that keep different axes (in the checked mode).
    #[track_caller]
    pub fn sub(&self, keep: &[bool]) -> Result<Cart> {
        let (call, place): (Name, _) = (&"sub", Location::caller());
        self.check_axes(call, keep.len(), place)?;
        let mut hasher = std::hash::DefaultHasher::new();
        keep.hash(&mut hasher);
        self.agree_on(call, "axes", hasher.finish())?;
        let part = |kept: bool| {
            let axes = (0..keep.len()).filter(move |&axis| keep[axis] == kept);
            let dims = axes.clone().map(|axis| self.grid.dims[axis]).collect();
            let periodic = axes.clone().map(|axis| self.grid.periodic[axis]).collect();
            let coords = axes.map(|axis| self.coords[axis] as i128).collect::<Vec<_>>();
            (Lattice { dims, periodic }, coords)
        };
        let ((inside, _), (outside, fixed)) = (part(true), part(false));
        let color = outside.rank(fixed.into_iter()).unwrap_or(0);
        match self.split_at(call, Some(color as u32), 0, place)? {
            Some(comm) => Cart::on(comm, inside, call, place),
            None => unreachable!("every rank gave a colour"),
        }
    }

    #[track_caller]
    fn check_axis(&self, call: &str, axis: usize, place: Place) -> Result<()> {
        if axis < self.grid.dims.len() {
            return Ok(());
        }
        let help = format!("this grid has {} axes, from 0 on", self.grid.dims.len());
        Err(self.usage(call, place, format!("axis {axis}: there is no such axis"), &help))
    }

    fn check_axes(&self, call: &str, given: usize, place: Place) -> Result<()> {
        if given == self.grid.dims.len() {
            return Ok(());
        }
        let help = format!("this grid has {} axes", self.grid.dims.len());
        Err(self.usage(call, place, format!("{given} values"), &help))
    }
}

impl Deref for Cart {
    type Target = Topology;
    fn deref(&self) -> &Topology {
        &self.topology
    }
}
