//! Windows of the Local engine: the origin's thread reaches into the target's memory itself.
//!
//! All parts are shared by all ranks and live until the last handle is gone. The memory is touched through [`cells`],
//! so whatever accesses meet, the outcome is a defined one; ranks wait for each other at the communicator's gate and
//! in [`turnstile`]s.

mod cells;
mod turnstile;

use super::Local;
use super::turns::{Act, Look};
use crate::comm::element::Scalar;
use crate::comm::op::Builtin;
use crate::engine::signature::size_of_scalar;
use crate::engine::window::{self, Block, How, Memory, Merge, RECORD, Step};
use crate::engine::{Outcome, Place};
use cells::Cells;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use turnstile::Turnstile;

/// One rank's part, shared by all.
struct Part {
    cells: Cells,
    /// Taken when the window is closed.
    memory: Mutex<Option<Block>>,
    lock: Turnstile,
    /// Held while numbers that are no unit of `cells` are combined.
    merging: Mutex<()>,
    /// The origins that may come and have not yet (communicator ranks).
    expected: Mutex<Vec<usize>>,
    /// How many are expected or there.
    visitors: AtomicU32,
}

// SAFETY: the memory that `cells` points to is used through atomics by all, or by its owner while nobody else may;
// that is what phases, locks and posts are for.
unsafe impl Sync for Part {}
// SAFETY: as above.
unsafe impl Send for Part {}

/// A rank's handle.
pub(crate) struct Window {
    local: Local,
    id: u64,
    parts: Box<[Arc<Part>]>,
    lens: Box<[usize]>,
    /// Whether ranks take turns.
    explored: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Local {
    pub fn window(&self, part: window::Part, place: Place) -> Outcome<Window> {
        if let Some(turns) = &self.world.turns {
            turns.entangle();
        }
        let mut record = [0; RECORD + 1];
        let (len, blank) = (part.len, window::record(&part, true));
        record[..RECORD].copy_from_slice(&blank);
        let block = match part.memory {
            Memory::Owned(block) => Some(block),
            Memory::Fresh(zeroed) | Memory::Shared(zeroed) => zeroed(len),
        };
        match block {
            None => record[0] = 0,
            Some(block) => {
                let mine = Arc::into_raw(Arc::new(Part::new(block)));
                for _ in 1..self.size() {
                    // SAFETY: a live part; these counts are for the others.
                    unsafe { Arc::increment_strong_count(mine) };
                }
                record[RECORD] = mine.expose_provenance() as u64;
            }
        }
        let mut records = vec![[0; RECORD]; self.size()];
        let mut parts = Vec::with_capacity(self.size());
        // If this fails some may have the address and some not, so the part is leaked.
        self.exchange("the making of a window", &record, place, |rank, theirs| {
            records[rank].copy_from_slice(&theirs[..RECORD]);
            if theirs[RECORD] != 0 {
                let part = std::ptr::with_exposed_provenance::<Part>(theirs[RECORD] as usize);
                // SAFETY: a live part of this process, of which this rank owns one count.
                parts.push(unsafe { Arc::from_raw(part) });
            }
        })?;
        let (lens, id) = window::agreed(&records)?;
        Ok(Window { local: self.private(), id, parts: parts.into(), lens, explored: self.is_explored() })
    }
}

impl Part {
    fn new(block: Block) -> Part {
        Part {
            cells: Cells::new(block.data(), block.bytes(), block.align()),
            memory: Mutex::new(Some(block)),
            lock: Turnstile::default(),
            merging: Mutex::new(()),
            expected: Mutex::default(),
            visitors: AtomicU32::new(0),
        }
    }

    /// Changes the number at `at` by `merge` with `with`; copies what it was into `old`.
    ///
    /// # Safety
    /// The number lies in the part, which is lent out; `with` and `old` have its size.
    unsafe fn merge(&self, at: usize, old: &mut [u8], with: &[u8], merge: &Merge) {
        let sum = merge.how == How::Op(Builtin::Sum) && matches!(merge.scalar(), Scalar::I64 | Scalar::U64);
        // SAFETY: the caller's promise.
        if let Some(word) = sum.then(|| unsafe { self.cells.word(at) }).flatten() {
            let mut number = [0; 8];
            number.copy_from_slice(with);
            let before = word.fetch_add(u64::from_ne_bytes(number), Ordering::AcqRel);
            old.copy_from_slice(&before.to_ne_bytes());
            return;
        }
        // SAFETY: the caller's promise.
        unsafe { self.change(at, old, |number| merge.reduction.fold(number, with)) };
    }

    /// Changes the bytes at `at` as one; copies what they were into `old`.
    ///
    /// # Safety
    /// As [`Part::merge`].
    unsafe fn change(&self, at: usize, old: &mut [u8], mut f: impl FnMut(&mut [u8])) {
        // SAFETY: the caller's promise.
        if unsafe { self.cells.update(at, old, &mut f) }.is_some() {
            return;
        }
        let _merging = locked(&self.merging);
        let mut space = [0u128; 1];
        let new = &mut bytemuck::cast_slice_mut(&mut space)[..old.len()];
        // SAFETY: the caller's promise.
        unsafe {
            self.cells.read(at, old.as_mut_ptr(), old.len());
            new.copy_from_slice(old);
            f(new);
            self.cells.write(at, new.as_ptr(), new.len());
        }
    }
}

impl Window {
    pub fn lens(&self) -> &[usize] {
        &self.lens
    }

    pub fn base(&self, rank: usize) -> *mut u8 {
        self.parts[rank].cells.base()
    }

    pub fn keeps(&self) -> bool {
        true
    }

    pub fn step(&self, step: Step, place: Place) -> Outcome<()> {
        let mine = step.word(self.id);
        let mut other = None;
        self.local.exchange("an epoch of a window", &[mine], place, |rank, theirs| {
            if theirs[0] != mine && other.is_none() {
                other = Some((rank, theirs[0]));
            }
        })?;
        match other {
            None => Ok(()),
            Some((rank, theirs)) => Err(window::apart(mine, rank, theirs)),
        }
    }

    pub fn post_start(&self, origins: &[usize], targets: &[usize]) -> Outcome<()> {
        let (local, me) = (&self.local, self.local.rank);
        let mine = &self.parts[me];
        mine.visitors.store(origins.len() as u32, Ordering::Relaxed);
        locked(&mine.expected).extend_from_slice(origins);
        for &origin in origins {
            local.world.wake(local.world_rank(origin));
        }
        for &target in targets {
            let expected = &self.parts[target].expected;
            let mut found = false;
            local.world.wait(local.me, || {
                if !found {
                    let mut expected = locked(expected);
                    if let Some(at) = expected.iter().position(|&rank| rank == me) {
                        expected.swap_remove(at);
                        found = true;
                    }
                }
                found
            })?;
        }
        Ok(())
    }

    pub fn complete_wait(&self, _origins: &[usize], targets: &[usize]) -> Outcome<()> {
        let local = &self.local;
        for &target in targets {
            self.parts[target].visitors.fetch_sub(1, Ordering::Release);
            local.world.wake(local.world_rank(target));
        }
        let visitors = &self.parts[local.rank].visitors;
        local.world.wait(local.me, || visitors.load(Ordering::Acquire) == 0)
    }

    pub fn lock(&self, target: usize, exclusive: bool) -> Outcome<()> {
        self.parts[target].lock.enter(&self.local.world, self.local.me, exclusive)
    }

    pub fn unlock(&self, target: usize) -> Outcome<()> {
        self.parts[target].lock.leave(&self.local.world);
        Ok(())
    }

    pub fn lock_all(&self) -> Outcome<()> {
        for target in 0..self.parts.len() {
            if let Err(fault) = self.lock(target, false) {
                (0..target).try_for_each(|target| self.unlock(target))?;
                return Err(fault);
            }
        }
        Ok(())
    }

    pub fn unlock_all(&self) -> Outcome<()> {
        (0..self.parts.len()).try_for_each(|target| self.unlock(target))
    }

    /// Every access is over when it returns; what is left is that others see them in this order.
    pub fn flush(&self, _target: Option<usize>, _local: bool) -> Outcome<()> {
        fence(Ordering::SeqCst);
        Ok(())
    }

    /// # Safety
    /// See [`window::Window`].
    pub unsafe fn put(&self, data: *const u8, len: usize, target: usize, at: usize) -> Outcome<()> {
        // SAFETY: the range was checked, and the part is lent out in this phase.
        unsafe { self.parts[target].cells.write(at, data, len) };
        Ok(())
    }

    /// # Safety
    /// See [`window::Window`].
    pub unsafe fn get(&self, data: *mut u8, len: usize, target: usize, at: usize) -> Outcome<()> {
        self.give_way()?;
        // SAFETY: as for `put`.
        unsafe { self.parts[target].cells.read(at, data, len) };
        Ok(())
    }

    /// # Safety
    /// See [`window::Window`].
    pub unsafe fn accumulate(
        &self,
        data: *const u8,
        len: usize,
        merge: &Merge,
        target: usize,
        at: usize,
    ) -> Outcome<()> {
        let size = merge.reduction.element_size;
        let mut old = [0; 16];
        for i in (0..len).step_by(size) {
            // SAFETY: the ranges were checked, and the part is lent out in this phase.
            unsafe {
                let with = std::slice::from_raw_parts(data.add(i), size);
                self.parts[target].merge(at + i, &mut old[..size], with, merge);
            }
        }
        Ok(())
    }

    /// # Safety
    /// See [`window::Window`].
    pub unsafe fn get_accumulate(
        &self,
        data: *const u8,
        result: *mut u8,
        len: usize,
        merge: &Merge,
        target: usize,
        at: usize,
    ) -> Outcome<()> {
        self.give_way()?;
        let size = merge.reduction.element_size;
        for i in (0..len).step_by(size) {
            // SAFETY: as for `accumulate`; the result is a buffer of the caller's own.
            unsafe {
                let with = std::slice::from_raw_parts(data.add(i), size);
                let old = std::slice::from_raw_parts_mut(result.add(i), size);
                self.parts[target].merge(at + i, old, with, merge);
            }
        }
        Ok(())
    }

    /// # Safety
    /// See [`window::Window`].
    pub unsafe fn compare_swap(
        &self,
        compare: *const u8,
        value: *const u8,
        result: *mut u8,
        scalar: Scalar,
        target: usize,
        at: usize,
    ) -> Outcome<()> {
        self.give_way()?;
        let size = size_of_scalar(scalar);
        // SAFETY: each is one number; the range was checked, and the part is lent out in this phase.
        unsafe {
            let compare = std::slice::from_raw_parts(compare, size);
            let value = std::slice::from_raw_parts(value, size);
            let old = std::slice::from_raw_parts_mut(result, size);
            self.parts[target].change(at, old, |number| {
                if number == compare {
                    number.copy_from_slice(value);
                }
            });
        }
        Ok(())
    }

    /// Where ranks take turns, who reads may be waiting for what another one writes.
    #[inline(always)]
    fn give_way(&self) -> Outcome<()> {
        if self.explored { self.let_others_go() } else { Ok(()) }
    }

    #[cold]
    fn let_others_go(&self) -> Outcome<()> {
        let Some(turns) = &self.local.world.turns else { return Ok(()) };
        let look = &mut || Look::Open(vec![Act::Read]);
        self.local.world.in_turn(turns, self.local.me, look).map(drop)
    }

    pub fn close(&self, place: Place) -> Outcome<Option<Block>> {
        self.step(Step::Close, place)?;
        Ok(locked(&self.parts[self.local.rank].memory).take())
    }
}
