//! Collective calls: every rank of the communicator makes them, in the same order.
//!
//! Lengths and roots are checked here as far as one rank can see them; that all ranks agree is checked by the
//! engine (always on Local, in the checked mode on Mpi). `split` and `dup` are in `group`.

use super::op::Op;
use super::p2p::named;
use super::{Comm, Element};
use crate::engine::{Place, Reduction};
use crate::error::Result;
use std::panic::Location;

impl Comm {
    /// Returns when every rank has entered it.
    #[track_caller]
    pub fn barrier(&self) -> Result<()> {
        let place = Location::caller();
        let _timed = self.inner.clock.communicating();
        self.engine().barrier(place).map_err(|fault| self.fault("barrier", place, fault, ("", 1)))
    }

    /// Copies `data` of rank `root` into `data` of all others; every rank gives the same length.
    #[track_caller]
    pub fn bcast<T: Element>(&self, data: &mut [T], root: usize) -> Result<()> {
        let place = Location::caller();
        self.check_root("bcast", root, place)?;
        let _timed = self.inner.clock.communicating();
        self.engine()
            .bcast(bytemuck::cast_slice_mut(data), T::KIND, root, place)
            .map_err(|fault| self.fault("bcast", place, fault, named::<T>()))
    }

    /// Combines one element of each rank; `root` gets the answer, the others `None`.
    #[track_caller]
    pub fn reduce<T: Element>(&self, value: T, op: impl Op<T>, root: usize) -> Result<Option<T>> {
        let place = Location::caller();
        let mut answer = [T::zeroed()];
        self.reduce_at("reduce", &[value], &mut answer, op, root, place)?;
        Ok((self.rank() == root).then_some(answer[0]))
    }

    /// Combines `send` of all ranks, element by element, into `recv` on `root`; `recv` is ignored elsewhere and may
    /// be empty there.
    #[track_caller]
    pub fn reduce_into<T: Element>(
        &self,
        send: &[T],
        recv: &mut [T],
        op: impl Op<T>,
        root: usize,
    ) -> Result<()> {
        self.reduce_at("reduce_into", send, recv, op, root, Location::caller())
    }

    fn reduce_at<T: Element, O: Op<T>>(
        &self,
        call: &str,
        send: &[T],
        recv: &mut [T],
        op: O,
        root: usize,
        place: Place,
    ) -> Result<()> {
        self.check_root(call, root, place)?;
        let recv = if self.rank() == root {
            self.check_len(call, "recv", recv.len(), send.len(), place)?;
            Some(bytemuck::cast_slice_mut(recv))
        } else {
            None
        };
        let _timed = self.inner.clock.communicating();
        self.engine()
            .reduce(bytemuck::cast_slice(send), recv, &Reduction::of::<T, O>(op), root, place)
            .map_err(|fault| self.fault(call, place, fault, named::<T>()))
    }

    /// Combines one element of each rank; every rank gets the same answer, to the bit.
    ///
    /// ```
    /// use rankine::op::{Max, Sum};
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let n = world.size();
    ///     assert_eq!(world.allreduce(world.rank(), Sum)?, n * (n - 1) / 2);
    ///     assert_eq!(world.allreduce([world.rank() as f64, -1.0], Max)?, [n as f64 - 1.0, -1.0]);
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn allreduce<T: Element, O: Op<T>>(&self, value: T, op: O) -> Result<T> {
        let place = Location::caller();
        let _timed = self.inner.clock.communicating();
        let mut answer = [value];
        self.engine()
            .allreduce(bytemuck::cast_slice_mut(&mut answer), &Reduction::of::<T, O>(op), place)
            .map_err(|fault| self.fault("allreduce", place, fault, named::<T>()))?;
        Ok(answer[0])
    }

    /// Combines `send` of all ranks, element by element, into `recv` on every rank.
    #[track_caller]
    pub fn allreduce_into<T: Element, O: Op<T>>(&self, send: &[T], recv: &mut [T], op: O) -> Result<()> {
        let place = Location::caller();
        self.check_len("allreduce_into", "recv", recv.len(), send.len(), place)?;
        let _timed = self.inner.clock.communicating();
        self.engine()
            .allreduce_into(
                bytemuck::cast_slice(send),
                bytemuck::cast_slice_mut(recv),
                &Reduction::of::<T, O>(op),
                place,
            )
            .map_err(|fault| self.fault("allreduce_into", place, fault, named::<T>()))
    }

    /// Combines `data` of all ranks, element by element, and leaves the answer in it on every rank.
    #[track_caller]
    pub fn allreduce_in_place<T: Element, O: Op<T>>(&self, data: &mut [T], op: O) -> Result<()> {
        let place = Location::caller();
        let _timed = self.inner.clock.communicating();
        self.engine()
            .allreduce(bytemuck::cast_slice_mut(data), &Reduction::of::<T, O>(op), place)
            .map_err(|fault| self.fault("allreduce_in_place", place, fault, named::<T>()))
    }

    /// Brings `send` of every rank, all of one length, to `root` in rank order; the others get `None`.
    #[track_caller]
    pub fn gather<T: Element>(&self, send: &[T], root: usize) -> Result<Option<Vec<T>>> {
        let place = Location::caller();
        if self.rank() != root {
            self.gather_at("gather", send, &mut [], root, place)?;
            return Ok(None);
        }
        let mut all = vec![T::zeroed(); self.total("gather", send.len(), place)?];
        self.gather_at("gather", send, &mut all, root, place)?;
        Ok(Some(all))
    }

    /// As [`Comm::gather`], into `recv` on `root`, of `send.len() * size()` elements; elsewhere it may be empty.
    #[track_caller]
    pub fn gather_into<T: Element>(&self, send: &[T], recv: &mut [T], root: usize) -> Result<()> {
        self.gather_at("gather_into", send, recv, root, Location::caller())
    }

    fn gather_at<T: Element>(
        &self,
        call: &str,
        send: &[T],
        recv: &mut [T],
        root: usize,
        place: Place,
    ) -> Result<()> {
        self.check_root(call, root, place)?;
        let recv = if self.rank() == root {
            self.check_len(call, "recv", recv.len(), self.total(call, send.len(), place)?, place)?;
            Some(bytemuck::cast_slice_mut(recv))
        } else {
            None
        };
        let _timed = self.inner.clock.communicating();
        self.engine()
            .gather(bytemuck::cast_slice(send), recv, T::KIND, root, place)
            .map_err(|fault| self.fault(call, place, fault, named::<T>()))
    }

    /// Brings `send` of every rank, all of one length, to every rank in rank order.
    #[track_caller]
    pub fn allgather<T: Element>(&self, send: &[T]) -> Result<Vec<T>> {
        let place = Location::caller();
        let mut all = vec![T::zeroed(); self.total("allgather", send.len(), place)?];
        self.allgather_at("allgather", send, &mut all, place)?;
        Ok(all)
    }

    /// As [`Comm::allgather`], into `recv` of `send.len() * size()` elements.
    #[track_caller]
    pub fn allgather_into<T: Element>(&self, send: &[T], recv: &mut [T]) -> Result<()> {
        self.allgather_at("allgather_into", send, recv, Location::caller())
    }

    fn allgather_at<T: Element>(&self, call: &str, send: &[T], recv: &mut [T], place: Place) -> Result<()> {
        self.check_len(call, "recv", recv.len(), self.total(call, send.len(), place)?, place)?;
        let _timed = self.inner.clock.communicating();
        self.engine()
            .allgather(bytemuck::cast_slice(send), bytemuck::cast_slice_mut(recv), T::KIND, place)
            .map_err(|fault| self.fault(call, place, fault, named::<T>()))
    }

    fn total(&self, call: &str, len: usize, place: Place) -> Result<usize> {
        len.checked_mul(self.size()).ok_or_else(|| {
            self.usage(call, place, format!("{len} elements a rank"), "the total must fit in memory")
        })
    }

    fn check_root(&self, call: &str, root: usize, place: Place) -> Result<()> {
        if root < self.size() {
            return Ok(());
        }
        let help = format!("this communicator has ranks 0 to {}", self.size() - 1);
        Err(self.usage(call, place, format!("root {root}: there is no such rank"), &help))
    }

    fn check_len(&self, call: &str, what: &str, len: usize, need: usize, place: Place) -> Result<()> {
        if len == need {
            return Ok(());
        }
        let help = format!("give {what} exactly {need} elements");
        Err(self.usage(call, place, format!("{what} has {len} elements, {need} are needed"), &help))
    }
}
