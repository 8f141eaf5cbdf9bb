//! Windows at the waist: memory of every rank into which the others reach, in bytes.
//!
//! Who may reach where and when is decided above, in `comm/window`; how it is done is below, in each engine's
//! `window`. Here is what the two have in common: the memory, the operators, and the words by which ranks make sure
//! that they are in the same phase of the same window.

#[cfg(feature = "mpi")]
use super::mpi;
use super::{Fault, Outcome, Place, Reduction, local};
use crate::comm::element::{Element, Kind, Scalar};
use crate::comm::op::Builtin;
use std::alloc::Layout;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// The allocation of a `Vec` of elements, without their type.
pub(crate) struct Block {
    data: NonNull<u8>,
    len: usize,
    capacity: usize,
    element: Layout,
}

// SAFETY: elements are plain data, and the block owns them.
unsafe impl Send for Block {}

impl Block {
    pub fn new<T: Element>(data: Vec<T>) -> Block {
        let mut data = ManuallyDrop::new(data);
        let address = NonNull::new(data.as_mut_ptr().cast()).unwrap_or(NonNull::dangling());
        Block { data: address, len: data.len(), capacity: data.capacity(), element: Layout::new::<T>() }
    }

    /// `len` elements of zeroes; `None` if there is not so much memory.
    pub fn zeroed<T: Element>(len: usize) -> Option<Block> {
        let layout = Layout::array::<T>(len).ok()?;
        if layout.size() == 0 {
            // Elements without bytes can be of any number.
            return Some(Block::new(vec![T::zeroed(); len]));
        }
        // SAFETY: the layout has a size.
        let data = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })?;
        Some(Block { data, len, capacity: len, element: Layout::new::<T>() })
    }

    /// The vector again; `None` if it was one of another type.
    pub fn into_vec<T: Element>(self) -> Option<Vec<T>> {
        if self.element != Layout::new::<T>() {
            return None;
        }
        let block = ManuallyDrop::new(self);
        // SAFETY: the parts of a `Vec` of elements of this size and alignment; any bytes are a `T`.
        Some(unsafe { Vec::from_raw_parts(block.data.as_ptr().cast(), block.len, block.capacity) })
    }

    pub fn data(&self) -> *mut u8 {
        self.data.as_ptr()
    }

    pub fn bytes(&self) -> usize {
        self.len * self.element.size()
    }

    pub fn align(&self) -> usize {
        self.element.align()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let size = self.capacity * self.element.size();
        if size > 0 {
            // SAFETY: allocated with this layout, by a `Vec` of the element's type or as one would.
            unsafe {
                let layout = Layout::from_size_align_unchecked(size, self.element.align());
                std::alloc::dealloc(self.data.as_ptr(), layout);
            }
        }
    }
}

/// Where a rank's part of a new window lies.
pub(crate) enum Memory {
    /// In memory of the author's.
    Owned(Block),
    /// In zeroed memory wherever the engine likes; the function makes some for so many elements.
    Fresh(fn(usize) -> Option<Block>),
    /// As `Fresh`, and all ranks can read each other's as their own.
    Shared(fn(usize) -> Option<Block>),
}

/// What a rank brings to a new window.
pub(crate) struct Part {
    pub kind: Kind,
    /// Of an element, in bytes.
    pub size: usize,
    pub align: usize,
    /// In elements.
    pub len: usize,
    pub memory: Memory,
}

/// What a rank tells the others of its part: whether it has memory, its length, its element's size, alignment and code,
/// a number for the window, of which rank 0's counts, and the mark of its element's kind.
pub(super) const RECORD: usize = 5;

pub(super) fn record(part: &Part, ready: bool) -> [u64; RECORD] {
    static WINDOWS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let id = WINDOWS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let element =
        (part.size as u64) << 16 | u64::from(part.align.trailing_zeros()) << 8 | u64::from(part.kind.code());
    [u64::from(ready), part.len as u64, element, id, part.kind.mark()]
}

/// The lengths of all ranks' parts and the window's number; the same answer, or fault, on every rank.
pub(super) fn agreed(records: &[[u64; RECORD]]) -> Outcome<(Box<[usize]>, u64)> {
    if let Some(rank) = records.iter().position(|record| record[0] == 0) {
        let text = format!("rank {rank} has no memory for {} elements", records[rank][1]);
        return Err(Fault::Library { call: "allocation", text });
    }
    let element = |record: &[u64; RECORD]| [record[2], record[4]];
    if let Some(rank) = records.iter().position(|record| element(record) != element(&records[0])) {
        let of = |rank: usize| {
            let word = records[rank][2];
            let (size, align) = (word >> 16, 1 << (word >> 8 & 0xff));
            format!("{} of {size} bytes aligned to {align}", Kind::name_of((word & 0xff) as u32))
        };
        let text = format!("elements are {} on rank 0, {} on rank {rank}", of(0), of(rank));
        return Err(Fault::Mismatch(text));
    }
    Ok((records.iter().map(|record| record[1] as usize).collect(), records[0][3]))
}

/// Where in the life of a window all its ranks meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    FenceBegins,
    FenceEnds,
    ShareBegins,
    ShareEnds,
    ReadBegins,
    ReadEnds,
    Close,
}

impl Step {
    const ALL: [(Step, &'static str); 7] = [
        (Step::FenceBegins, "beginning a fence"),
        (Step::FenceEnds, "ending a fence"),
        (Step::ShareBegins, "beginning a share"),
        (Step::ShareEnds, "ending a share"),
        (Step::ReadBegins, "beginning a read"),
        (Step::ReadEnds, "ending a read"),
        (Step::Close, "closing"),
    ];

    /// The word by which ranks recognise that they are at the same step of the same window.
    pub(super) fn word(self, id: u64) -> u64 {
        id << 8 | self as u64
    }
}

/// What is wrong when rank `rank` brings the word `other` instead of `mine`.
#[cold]
pub(super) fn apart(mine: u64, rank: usize, other: u64) -> Fault {
    let doing = |word: u64| Step::ALL.get((word & 0xff) as usize).map_or("elsewhere", |step| step.1);
    let which = if mine >> 8 == other >> 8 { "the same window" } else { "another window" };
    Fault::Mismatch(format!("this rank is {}, rank {rank} is {} of {which}", doing(mine), doing(other)))
}

/// What an accumulate does to an element at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Combines it with what is sent.
    Op(Builtin),
    /// Takes what is sent.
    Replace,
    /// Keeps it.
    Keep,
}

/// An operator of accumulate on numbers of a known type.
#[derive(Clone, Copy)]
pub(crate) struct Merge {
    pub how: How,
    /// On one number: its size is the unit of atomicity.
    pub reduction: Reduction,
}

impl Merge {
    pub fn scalar(&self) -> Scalar {
        self.reduction.kind.scalar()
    }
}

/// One rank's handle of a window. Every access has been checked above: the target exists, the range lies in its part
/// and begins at a whole element, and this rank is in a phase in which it may.
pub(crate) enum Window {
    Local(local::Window),
    #[cfg(feature = "mpi")]
    Mpi(mpi::Window),
}

macro_rules! either {
    ($self:expr, $window:ident => $body:expr) => {
        match $self {
            Window::Local($window) => $body,
            #[cfg(feature = "mpi")]
            Window::Mpi($window) => $body,
        }
    };
}

impl super::Engine {
    /// Makes a window. Collective.
    pub fn window(&self, part: Part, place: Place) -> Outcome<Window> {
        match self {
            super::Engine::Local(e) => Ok(Window::Local(e.window(part, place)?)),
            #[cfg(feature = "mpi")]
            super::Engine::Mpi(e) => Ok(Window::Mpi(e.window(part, place)?)),
        }
    }
}

impl Window {
    /// The length of each rank's part, in elements.
    pub fn lens(&self) -> &[usize] {
        either!(self, w => w.lens())
    }

    /// The start of a rank's part in this rank's memory; of another's only in a window of [`Memory::Shared`].
    pub fn base(&self, rank: usize) -> *mut u8 {
        either!(self, w => w.base(rank))
    }

    /// Whether an access may use its buffers after it has returned, until it is flushed or its epoch ends.
    pub fn lends(&self) -> bool {
        match self {
            Window::Local(_) => false,
            #[cfg(feature = "mpi")]
            Window::Mpi(_) => true,
        }
    }

    /// Whether [`Window::close`] hands a vector back.
    pub fn keeps(&self) -> bool {
        either!(self, w => w.keeps())
    }

    /// Waits until every rank is at the same step of the same window; ends the accesses of the step that ends.
    /// A [`Fault::Mismatch`] is one on every rank. Collective.
    pub fn step(&self, step: Step, place: Place) -> Outcome<()> {
        either!(self, w => w.step(step, place))
    }

    /// Waits for `origins` to come, and until all `targets` expect this rank.
    pub fn post_start(&self, origins: &[usize], targets: &[usize]) -> Outcome<()> {
        either!(self, w => w.post_start(origins, targets))
    }

    /// Ends the accesses to `targets` and waits until `origins` have ended theirs.
    pub fn complete_wait(&self, origins: &[usize], targets: &[usize]) -> Outcome<()> {
        either!(self, w => w.complete_wait(origins, targets))
    }

    pub fn lock(&self, target: usize, exclusive: bool) -> Outcome<()> {
        either!(self, w => w.lock(target, exclusive))
    }

    /// Ends the accesses to `target` and lets others at it.
    pub fn unlock(&self, target: usize) -> Outcome<()> {
        either!(self, w => w.unlock(target))
    }

    pub fn lock_all(&self) -> Outcome<()> {
        either!(self, w => w.lock_all())
    }

    pub fn unlock_all(&self) -> Outcome<()> {
        either!(self, w => w.unlock_all())
    }

    /// Ends the accesses so far to `target` (`None`: to all), at the target too unless `local`.
    pub fn flush(&self, target: Option<usize>, local: bool) -> Outcome<()> {
        either!(self, w => w.flush(target, local))
    }

    /// Copies to the target.
    ///
    /// # Safety
    /// `data` is valid for reads of `len` bytes, and nobody writes them, until the access has ended.
    pub unsafe fn put(&self, data: *const u8, len: usize, target: usize, at: usize) -> Outcome<()> {
        // SAFETY: the caller's promise is passed on.
        either!(self, w => unsafe { w.put(data, len, target, at) })
    }

    /// Copies from the target.
    ///
    /// # Safety
    /// `data` is valid for writes of `len` bytes, and nobody else touches them, until the access has ended.
    pub unsafe fn get(&self, data: *mut u8, len: usize, target: usize, at: usize) -> Outcome<()> {
        // SAFETY: the caller's promise is passed on.
        either!(self, w => unsafe { w.get(data, len, target, at) })
    }

    /// Combines with the numbers at the target, each atomically.
    ///
    /// # Safety
    /// As [`Window::put`].
    pub unsafe fn accumulate(
        &self,
        data: *const u8,
        len: usize,
        merge: &Merge,
        target: usize,
        at: usize,
    ) -> Outcome<()> {
        // SAFETY: the caller's promise is passed on.
        either!(self, w => unsafe { w.accumulate(data, len, merge, target, at) })
    }

    /// As [`Window::accumulate`], and copies what was there before into `result`.
    ///
    /// # Safety
    /// `data` as for [`Window::put`], `result` as for [`Window::get`], each of `len` bytes.
    pub unsafe fn get_accumulate(
        &self,
        data: *const u8,
        result: *mut u8,
        len: usize,
        merge: &Merge,
        target: usize,
        at: usize,
    ) -> Outcome<()> {
        // SAFETY: the caller's promise is passed on.
        either!(self, w => unsafe { w.get_accumulate(data, result, len, merge, target, at) })
    }

    /// Puts the number `value` where `compare` is, atomically, and copies what was there before into `result`.
    ///
    /// # Safety
    /// `compare` and `value` as for [`Window::put`], `result` as for [`Window::get`], each one number of `scalar`.
    pub unsafe fn compare_swap(
        &self,
        compare: *const u8,
        value: *const u8,
        result: *mut u8,
        scalar: Scalar,
        target: usize,
        at: usize,
    ) -> Outcome<()> {
        // SAFETY: the caller's promise is passed on.
        either!(self, w => unsafe { w.compare_swap(compare, value, result, scalar, target, at) })
    }

    /// Ends the window and hands its vector back where it has one. Collective; the caller is in no epoch.
    pub fn close(&self, place: Place) -> Outcome<Option<Block>> {
        either!(self, w => w.close(place))
    }

    /// The handle goes, perhaps in the middle of an epoch, but no access of this rank is under way.
    pub fn release(&self) {
        match self {
            Window::Local(_) => {}
            #[cfg(feature = "mpi")]
            Window::Mpi(w) => w.release(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_its_vector() {
        let mut data = Vec::with_capacity(10);
        data.extend([1u32, 2, 3]);
        let address = data.as_ptr();
        let block = Block::new(data);
        assert_eq!((block.bytes(), block.align()), (12, 4));
        let back = block.into_vec::<u32>().unwrap();
        assert_eq!((back.as_ptr(), back.capacity(), &back[..]), (address, 10, &[1, 2, 3][..]));
        assert!(Block::new(vec![1u32]).into_vec::<u64>().is_none());
    }

    #[test]
    fn zeroed_blocks() {
        assert_eq!(Block::zeroed::<u64>(3).unwrap().into_vec::<u64>().unwrap(), [0, 0, 0]);
        assert!(Block::zeroed::<u64>(0).unwrap().into_vec::<u64>().unwrap().is_empty());
        assert_eq!(Block::zeroed::<[u8; 0]>(5).unwrap().into_vec::<[u8; 0]>().unwrap().len(), 5);
        assert!(Block::zeroed::<u64>(usize::MAX / 4).is_none());
    }

    #[test]
    fn steps_are_told_apart() {
        for (i, (step, _)) in Step::ALL.iter().enumerate() {
            assert_eq!(*step as usize, i);
        }
        let Fault::Mismatch(text) = apart(Step::FenceBegins.word(3), 2, Step::Close.word(3)) else {
            panic!("ranks disagree");
        };
        assert_eq!(text, "this rank is beginning a fence, rank 2 is closing of the same window");
    }
}
