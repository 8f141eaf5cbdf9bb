//! `alltoallw`: a view for any ranks, each of a shape and an element type of its own; MPI_Alltoallw.
//!
//! First the ranks tell each other what every pair is about to exchange, in one small alltoall. So a pair that disagrees is an
//! error on both its sides before anything is moved between them, a pair that exchanges nothing costs nothing more, and no
//! message can be left for a later call. Views of one element type for all ranks, without that first step, are in `alltoall`.

use super::copy;
use crate::comm::backstage::tags;
use crate::comm::p2p::{Source, Tag};
use crate::comm::{Comm, Element, Kind, Scope};
use crate::engine::Place;
use crate::error::{Error, ErrorKind, Result};
use ndarray::{ArrayView, ArrayViewMut, Dimension};
use std::panic::Location;

/// What one rank sends and receives in an [`alltoallw`](Comm::alltoallw).
pub struct Alltoallw<'env> {
    comm: &'env Comm,
    sends: Vec<Option<Box<dyn Outgoing + 'env>>>,
    receives: Vec<Option<Box<dyn Incoming + 'env>>>,
}

/// A block without its element type and shape.
trait Block {
    fn terms(&self) -> Terms;
    /// Its elements' name and size.
    fn element(&self) -> (&'static str, usize);
}

trait Outgoing: Block {
    fn start<'scope, 'env>(
        self: Box<Self>,
        scope: &'scope Scope<'scope, 'env>,
        dest: usize,
        place: Place,
    ) -> Result<()>
    where
        Self: 'env;
    /// Calls `take` with the elements in logical order.
    fn lend(&self, comm: &Comm, take: &mut dyn FnMut(&[u8]));
}

trait Incoming: Block {
    fn start<'scope, 'env>(
        self: Box<Self>,
        scope: &'scope Scope<'scope, 'env>,
        source: usize,
        place: Place,
    ) -> Result<()>
    where
        Self: 'env;
    /// Lays as many bytes as it has into the view.
    fn fill(&mut self, packed: &[u8]);
}

/// What one of a pair says of a block: its kind's mark and its bytes. Of blocks without bytes the type does not matter.
#[derive(Clone, Copy, Default, PartialEq)]
struct Terms {
    mark: u64,
    bytes: u64,
}

impl Terms {
    fn of<T: Element>(elements: usize) -> Terms {
        match (elements * size_of::<T>()) as u64 {
            0 => Terms::default(),
            bytes => Terms { mark: T::KIND.mark(), bytes },
        }
    }
}

impl<T: Element, D: Dimension> Block for ArrayView<'_, T, D> {
    fn terms(&self) -> Terms {
        Terms::of::<T>(self.len())
    }
    fn element(&self) -> (&'static str, usize) {
        (T::KIND.name(), size_of::<T>())
    }
}

impl<T: Element, D: Dimension> Block for ArrayViewMut<'_, T, D> {
    fn terms(&self) -> Terms {
        Terms::of::<T>(self.len())
    }
    fn element(&self) -> (&'static str, usize) {
        (T::KIND.name(), size_of::<T>())
    }
}

impl<T: Element, D: Dimension> Outgoing for ArrayView<'_, T, D> {
    fn start<'scope, 'env>(
        self: Box<Self>,
        scope: &'scope Scope<'scope, 'env>,
        dest: usize,
        place: Place,
    ) -> Result<()>
    where
        Self: 'env,
    {
        let _completed_by_the_scope = scope.isend_view_at(*self, dest, tags::PAIRS, place)?;
        Ok(())
    }

    fn lend(&self, comm: &Comm, take: &mut dyn FnMut(&[u8])) {
        match self.as_slice() {
            Some(data) => take(bytemuck::cast_slice(data)),
            None => {
                let packed = comm.packed(self);
                take(bytemuck::cast_slice(&packed));
                comm.spares().put(packed);
            }
        }
    }
}

impl<T: Element, D: Dimension + 'static> Incoming for ArrayViewMut<'_, T, D> {
    fn start<'scope, 'env>(
        self: Box<Self>,
        scope: &'scope Scope<'scope, 'env>,
        source: usize,
        place: Place,
    ) -> Result<()>
    where
        Self: 'env,
    {
        let (source, tag) = (Source::Rank(source), Tag::Is(tags::PAIRS));
        let _completed_by_the_scope = scope.irecv_view_at(*self, source, tag, place)?;
        Ok(())
    }

    fn fill(&mut self, packed: &[u8]) {
        match bytemuck::try_cast_slice(packed) {
            Ok(data) => copy::unpack(data, self),
            // Elements of the same kind may be aligned less.
            Err(_) => copy::unpack(&bytemuck::pod_collect_to_vec::<u8, T>(packed), self),
        }
    }
}

impl<'env> Alltoallw<'env> {
    /// Sends the elements of `view` to rank `dest`, in logical order.
    ///
    /// # Errors
    /// There is no such rank; it has been given a view to send already.
    #[track_caller]
    pub fn send_to<T: Element, D: Dimension + 'static>(
        &mut self,
        dest: usize,
        view: ArrayView<'env, T, D>,
    ) -> Result<()> {
        let slot = self.sends.get_mut(dest).filter(|slot| slot.is_none());
        match slot {
            Some(slot) => *slot = Some(Box::new(view)),
            None => return Err(self.refused(dest, "send_to", Location::caller())),
        }
        Ok(())
    }

    /// Receives from rank `source` as many elements as `view` has into it, in logical order.
    ///
    /// # Errors
    /// There is no such rank; it has been given a view to receive already.
    #[track_caller]
    pub fn recv_from<T: Element, D: Dimension + 'static>(
        &mut self,
        source: usize,
        view: ArrayViewMut<'env, T, D>,
    ) -> Result<()> {
        let slot = self.receives.get_mut(source).filter(|slot| slot.is_none());
        match slot {
            Some(slot) => *slot = Some(Box::new(view)),
            None => return Err(self.refused(source, "recv_from", Location::caller())),
        }
        Ok(())
    }

    #[cold]
    fn refused(&self, rank: usize, call: &str, place: Place) -> Error {
        let size = self.comm.size();
        let (what, help) = match rank < size {
            true => ("named twice", "give every rank one view at most each way".to_string()),
            false => ("there is no such rank", format!("this communicator has ranks 0 to {}", size - 1)),
        };
        self.comm.usage("alltoallw", place, format!("{call}: rank {rank}: {what}"), &help)
    }
}

impl Comm {
    /// Exchanges views between any ranks, each of an element type, a shape and strides of its own: `f` names what this rank
    /// sends and receives, and the exchange happens when it returns. Of a pair, the one sends as many bytes of the same
    /// element type as the other receives; ranks that are not named get, or give, nothing. Collective.
    ///
    /// ```
    /// use ndarray::{Array1, Array2};
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     // Rank 0 deals out the columns of a table, and the others tell it a count.
    ///     let (me, size) = (world.rank(), world.size());
    ///     let table = Array2::from_shape_fn((5, size), |(i, j)| (10 * i + j) as f64);
    ///     let (mut column, mut counts) = (Array1::<f64>::zeros(5), Array1::<u32>::zeros(size));
    ///     let count = Array1::from_elem(1, me as u32 + 1);
    ///     world.alltoallw(|pairs| {
    ///         if me != 0 {
    ///             pairs.send_to(0, count.view())?;
    ///             return pairs.recv_from(0, column.view_mut());
    ///         }
    ///         for (rank, place) in counts.exact_chunks_mut(1).into_iter().enumerate().skip(1) {
    ///             pairs.recv_from(rank, place)?;
    ///             pairs.send_to(rank, table.column(rank))?;
    ///         }
    ///         Ok(())
    ///     })?;
    ///     assert!(me == 0 || column[4] == (40 + me) as f64);
    ///     assert!(me != 0 || counts.iter().enumerate().skip(1).all(|(rank, &n)| n == rank as u32 + 1));
    ///     Ok(())
    /// });
    /// ```
    ///
    /// Nonblocking, between ranks that know of each other: [`Scope::isend_view`] and [`Scope::irecv_view`].
    ///
    /// # Errors
    /// Those of `f`: then this rank exchanges nothing, which is an error for the ranks that expected it to.
    /// [`ErrorKind::TypeMismatch`] or [`ErrorKind::Mismatch`] on both ranks of a pair whose types or lengths differ; nothing is
    /// moved between these two, and all that other pairs exchange is in its place.
    #[track_caller]
    pub fn alltoallw<'env>(&'env self, f: impl FnOnce(&mut Alltoallw<'env>) -> Result<()>) -> Result<()> {
        let (place, me, size) = (Location::caller(), self.rank(), self.size());
        let sends = (0..size).map(|_| None).collect();
        let receives = (0..size).map(|_| None).collect();
        let mut pairs = Alltoallw { comm: self, sends, receives };
        let given = f(&mut pairs);
        let Alltoallw { mut sends, mut receives, .. } = pairs;
        if given.is_err() {
            sends.iter_mut().for_each(|send| *send = None);
            receives.iter_mut().for_each(|recv| *recv = None);
        }
        let _in = self.inner.collective(&"alltoallw", place);
        let said: Vec<[Terms; 2]> = sends
            .iter()
            .zip(&receives)
            .map(|(send, recv)| {
                let of = |terms: Option<Terms>| terms.unwrap_or_default();
                [of(send.as_ref().map(|b| b.terms())), of(recv.as_ref().map(|b| b.terms()))]
            })
            .collect();
        let words: Vec<[u64; 4]> =
            said.iter().map(|[send, recv]| [send.mark, send.bytes, recv.mark, recv.bytes]).collect();
        let heard = self.alltoall(&words)?;
        let mut first = given;
        for (rank, (&[out, inward], &[mark, bytes, wanted, room])) in said.iter().zip(&heard).enumerate() {
            let (theirs, takes) = (Terms { mark, bytes }, Terms { mark: wanted, bytes: room });
            if inward != theirs {
                let mine = receives[rank].take().map(|block| block.element());
                first = first.and(Err(self.disagree(rank, inward, theirs, mine, Way::In, place)));
            }
            if out != takes {
                let mine = sends[rank].take().map(|block| block.element());
                first = first.and(Err(self.disagree(rank, out, takes, mine, Way::Out, place)));
            }
            if inward.bytes == 0 {
                receives[rank] = None;
            }
            if out.bytes == 0 {
                sends[rank] = None;
            }
        }
        if let (Some(send), Some(mut recv)) = (sends[me].take(), receives[me].take()) {
            send.lend(self, &mut |packed| recv.fill(packed));
        }
        self.backstage().scope(|s| {
            for (rank, recv) in receives.into_iter().enumerate() {
                recv.map_or(Ok(()), |recv| recv.start(s, rank, place))?;
            }
            for rank in (1..size).map(|step| (me + step) % size) {
                sends[rank].take().map_or(Ok(()), |send| send.start(s, rank, place))?;
            }
            Ok(())
        })?;
        first
    }

    #[cold]
    fn disagree(
        &self,
        rank: usize,
        mine: Terms,
        theirs: Terms,
        element: Option<(&'static str, usize)>,
        way: Way,
        place: Place,
    ) -> Error {
        let typed = mine.bytes != 0 && theirs.bytes != 0 && mine.mark != theirs.mark;
        let there = match theirs.bytes {
            0 => "nothing".to_string(),
            bytes => format!("{bytes} bytes of {}", Kind::name_of_mark(theirs.mark)),
        };
        let here = match element.filter(|_| mine.bytes != 0) {
            Some((name, size)) => {
                let elements = mine.bytes as usize / size;
                format!("{elements} {name} ({} bytes)", mine.bytes)
            }
            None => "nothing".to_string(),
        };
        let what = match way {
            Way::In => format!("alltoallw: rank {rank} sends {there}; this rank receives {here} from it"),
            Way::Out => format!("alltoallw: rank {rank} receives {there}; this rank sends {here} to it"),
        };
        let kind = if typed { ErrorKind::TypeMismatch } else { ErrorKind::Mismatch };
        Error::new(kind, what)
            .help("name every pair on both ranks, with the same element type and as many elements")
            .on_rank(self.rank())
            .at(place)
    }
}

/// Which way a block goes, seen from this rank.
enum Way {
    In,
    Out,
}
