//! Windows of the Mpi engine: MPI's own.
//!
//! When they are freed is in `family`.

use super::count::{self, pieces};
use super::family::Life;
use super::status::{blank, check};
use super::window_faults::Faults;
use super::{Mpi, Shared, tag};
use crate::comm::element::Scalar;
use crate::comm::op::Builtin;
use crate::engine::window::{self, Block, How, Memory, Merge, RECORD, Step};
use crate::engine::{Fault, Outcome, Place};
use mpi::ffi;
use std::cell::RefCell;
use std::ffi::c_int;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{Ordering, fence};

/// One rank's handle.
pub(crate) struct Window {
    win: ffi::MPI_Win,
    id: u64,
    rank: usize,
    /// The framework's own communicator of the same ranks.
    comm: ffi::MPI_Comm,
    byte: ffi::MPI_Datatype,
    checked: bool,
    lens: Box<[usize]>,
    /// The start of this rank's part; of all parts where they can be read as memory.
    bases: Box<[*mut u8]>,
    /// How far each part begins after MPI's own memory for it; none where all begin there.
    shifts: Box<[usize]>,
    /// Whether the memory is a vector of the author's.
    owned: bool,
    faults: Faults,
    /// What has been asked for and may not be there yet, where the library's own synchronisation does not wait for it.
    gets: RefCell<Vec<ffi::MPI_Request>>,
    shared: Rc<Shared>,
    life: Rc<Life>,
    parent: Rc<Life>,
}

impl Mpi {
    pub fn window(&self, part: window::Part, place: Place) -> Outcome<Window> {
        self.agree("window", None, Some((0, part.kind)), None, place)?;
        self.reap()?;
        let (shared, ready) = match &part.memory {
            Memory::Owned(_) => (false, true),
            // What is not to be had at all must not reach MPI, which answers some ranks only.
            Memory::Fresh(zeroed) => (false, zeroed(part.len).is_some()),
            Memory::Shared(zeroed) => (true, zeroed(part.len).is_some()),
        };
        let mut part = part;
        let faults = Faults::of(&super::library_version());
        if let (Memory::Fresh(zeroed), true) = (&part.memory, faults.allocates_wrongly)
            && let Some(block) = zeroed(part.len)
        {
            part.memory = Memory::Owned(block);
        }
        let mut records = vec![[0; RECORD]; self.size];
        gather(self.shadow, self.byte, &window::record(&part, ready), &mut records)?;
        let (lens, id) = window::agreed(&records)?;
        if shared {
            self.on_one_node()?;
        }
        let (bytes, align) = (lens[self.rank] * part.size, part.align);
        let (win, base, memory) = self.make(part.memory, bytes, align)?;
        let owned = memory.is_some();
        let life = self.life.add_window(win, memory, self.constants().comm_null);
        // SAFETY: the window is live.
        check("MPI_Win_set_errhandler", unsafe {
            ffi::MPI_Win_set_errhandler(win, self.constants().errors_return)
        })?;
        let mut bases = vec![ptr::null_mut(); self.size];
        if shared {
            for (rank, base) in bases.iter_mut().enumerate() {
                *base = shared_base(win, rank)?;
            }
        } else {
            bases[self.rank] = base;
        }
        for base in &mut bases {
            // Null for parts without bytes, and those that are not for this rank's eyes.
            *base = if base.is_null() {
                ptr::without_provenance_mut(align)
            } else {
                // SAFETY: memory that MPI allocates is that much longer; a vector is aligned.
                unsafe { base.add(base.align_offset(align)) }
            };
        }
        let mut shifts = vec![[0]; if align > ALIGN { self.size } else { 0 }];
        if !shifts.is_empty() {
            let shift = if base.is_null() { 0 } else { bases[self.rank].addr() - base.addr() };
            gather(self.shadow, self.byte, &[shift as u64], &mut shifts)?;
        }
        if !owned && bytes > 0 {
            // SAFETY: this rank's part, which nobody else touches before the first epoch.
            unsafe { bases[self.rank].write_bytes(0, bytes) };
        }
        Ok(Window {
            win,
            id,
            rank: self.rank,
            comm: self.shadow,
            byte: self.byte,
            checked: self.checked,
            lens,
            bases: bases.into(),
            shifts: shifts.iter().map(|shift| shift[0] as usize).collect(),
            owned,
            faults,
            gets: RefCell::default(),
            shared: self.shared.clone(),
            life,
            parent: self.life.clone(),
        })
    }

    /// MPI's window, where its memory for this rank begins, and the block that it is over.
    fn make(
        &self,
        memory: Memory,
        bytes: usize,
        align: usize,
    ) -> Outcome<(ffi::MPI_Win, *mut u8, Option<Block>)> {
        let (mut base, mut win) = (ptr::null_mut::<u8>(), self.constants().win_null);
        let (comm, info) = (self.shadow, self.constants().info_null);
        let room = if bytes > 0 && align > ALIGN { bytes + align } else { bytes } as ffi::MPI_Aint;
        let out = (&raw mut base).cast();
        // SAFETY: the communicator is live; MPI stores a window and, where it allocates, an address. A given block
        // stays until the window has been freed.
        unsafe {
            match memory {
                Memory::Fresh(_) => {
                    let code = ffi::MPI_Win_allocate(room, 1, info, comm, out, &mut win);
                    check("MPI_Win_allocate", code)?;
                    Ok((win, base, None))
                }
                Memory::Shared(_) => {
                    let code = ffi::MPI_Win_allocate_shared(room, 1, info, comm, out, &mut win);
                    check("MPI_Win_allocate_shared", code)?;
                    Ok((win, base, None))
                }
                Memory::Owned(block) => {
                    base = if bytes > 0 { block.data() } else { base };
                    let size = bytes as ffi::MPI_Aint;
                    let code = ffi::MPI_Win_create(base.cast(), size, 1, info, comm, &mut win);
                    if let Err(fault) = check("MPI_Win_create", code) {
                        // A library that says so may have it all the same.
                        std::mem::forget(block);
                        return Err(fault);
                    }
                    Ok((win, base, Some(block)))
                }
            }
        }
    }

    /// A fault on every rank unless all ranks can share memory.
    fn on_one_node(&self) -> Outcome<()> {
        let mut node = self.constants().comm_null;
        let mut size = 0;
        // SAFETY: the communicator is live, and so is the one made, until it is freed; the outputs are valid for writes.
        unsafe {
            let (kind, info) = (self.constants().comm_type_shared, self.constants().info_null);
            let code = ffi::MPI_Comm_split_type(self.shadow, kind, 0, info, &mut node);
            check("MPI_Comm_split_type", code)?;
            check("MPI_Comm_size", ffi::MPI_Comm_size(node, &mut size))?;
            check("MPI_Comm_free", ffi::MPI_Comm_free(&mut node))?;
        }
        let mut sizes = vec![[0]; self.size];
        gather(self.shadow, self.byte, &[size as u64], &mut sizes)?;
        match sizes.iter().position(|size| size[0] != self.size as u64) {
            None => Ok(()),
            Some(rank) => Err(Fault::Mismatch(format!(
                "only {} of the {} ranks are on rank {rank}'s node, and memory is shared within a node only",
                sizes[rank][0], self.size
            ))),
        }
    }
}

/// What the libraries align their memory to at least. (Open MPI's begins 8 bytes after a multiple of 16.)
const ALIGN: usize = 8;

/// The tag of a message that says that its sender has posted.
const POSTED: c_int = tag::LARGEST;

/// Debian builds Open MPI 4.1 without `osc/pt2pt` (its openmpi-mca-params.conf says `osc = ^ucx,pt2pt`), and on
/// shared memory and TCP no other component takes a window over given memory: MPI_Win_create fails with MPI_ERR_WIN;
/// so does MPI_Win_allocate between nodes. Before MPI is initialised: makes it what the library itself would say,
/// unless the user or mpirun has chosen.
pub(super) fn prepare() {
    const CHOICE: &str = "OMPI_MCA_osc";
    let version = super::library_version();
    let debian = version.starts_with("Open MPI v4") && version.contains("Debian OpenMPI");
    if debian && std::env::var_os(CHOICE).is_none() {
        // SAFETY: MPI_Init_thread, which comes next, changes the environment in the same way; whoever may call it may
        // call this.
        unsafe { std::env::set_var(CHOICE, "^ucx") };
    }
}

/// Every rank's few words.
fn gather<const N: usize>(
    comm: ffi::MPI_Comm,
    byte: ffi::MPI_Datatype,
    mine: &[u64; N],
    all: &mut [[u64; N]],
) -> Outcome<()> {
    let len = size_of_val(mine) as c_int;
    // SAFETY: `mine` has `len` bytes, and `all` that many for every rank.
    check("MPI_Allgather", unsafe {
        ffi::MPI_Allgather(mine.as_ptr().cast(), len, byte, all.as_mut_ptr().cast(), len, byte, comm)
    })
}

/// Where the part of `rank` lies in this process.
fn shared_base(win: ffi::MPI_Win, rank: usize) -> Outcome<*mut u8> {
    let (mut size, mut unit, mut base) = (0, 0, ptr::null_mut::<u8>());
    // SAFETY: a window of shared memory; the outputs are valid for writes.
    check("MPI_Win_shared_query", unsafe {
        ffi::MPI_Win_shared_query(win, rank as c_int, &mut size, &mut unit, (&raw mut base).cast())
    })?;
    Ok(base)
}

impl Window {
    pub fn lens(&self) -> &[usize] {
        &self.lens
    }

    /// MPI's name for the place `at` of rank `target`.
    #[inline]
    fn place(&self, target: usize, at: usize) -> ffi::MPI_Aint {
        (at + self.shifts.get(target).copied().unwrap_or(0)) as ffi::MPI_Aint
    }

    pub fn base(&self, rank: usize) -> *mut u8 {
        self.bases[rank]
    }

    pub fn keeps(&self) -> bool {
        self.owned
    }

    pub fn step(&self, step: Step, place: Place) -> Outcome<()> {
        match step {
            Step::FenceBegins => {
                if self.checked {
                    self.meet(step, place)?;
                }
                self.fence(0)?;
                self.life.open.borrow_mut().fence = true;
                Ok(())
            }
            Step::FenceEnds => {
                self.fence(self.shared.constants.mode_nosucceed)?;
                self.life.open.borrow_mut().fence = false;
                Ok(())
            }
            // These are not MPI's: without a word that tells them apart, ranks could be in different windows.
            Step::ShareBegins | Step::ShareEnds | Step::ReadBegins | Step::ReadEnds | Step::Close => {
                // What this rank wrote as memory becomes visible to the others, and then the other way round.
                if matches!(step, Step::ShareBegins | Step::ReadBegins) {
                    self.synchronise()?;
                }
                self.meet(step, place)?;
                if matches!(step, Step::ShareEnds | Step::ReadBegins) {
                    self.synchronise()?;
                }
                Ok(())
            }
        }
    }

    fn synchronise(&self) -> Outcome<()> {
        fence(Ordering::SeqCst);
        // MPI_Win_sync is allowed while the own part is locked only, and a lock synchronises by itself.
        self.lock(self.rank, false)?;
        self.unlock(self.rank)
    }

    fn fence(&self, assert: c_int) -> Outcome<()> {
        self.await_gets()?;
        // SAFETY: the window is live.
        check("MPI_Win_fence", unsafe { ffi::MPI_Win_fence(assert, self.win) })
    }

    /// Returns when all ranks have come; they must bring the same word.
    fn meet(&self, step: Step, place: Place) -> Outcome<()> {
        let _ = place;
        let mine = step.word(self.id);
        // The largest of all, and the complement of the smallest.
        let mut ends = [mine, !mine];
        let constants = &self.shared.constants;
        // SAFETY: two words on every rank.
        check("MPI_Allreduce", unsafe {
            ffi::MPI_Allreduce(
                constants.in_place,
                ends.as_mut_ptr().cast(),
                2,
                constants.datatype(Scalar::U64),
                constants.op(Builtin::Max),
                self.comm,
            )
        })?;
        if ends[0] == !ends[1] { Ok(()) } else { Err(self.explain(mine)?) }
    }

    #[cold]
    fn explain(&self, mine: u64) -> Outcome<Fault> {
        let mut words = vec![[0]; self.lens.len()];
        gather(self.comm, self.byte, &[mine], &mut words)?;
        let other = words.iter().position(|word| word[0] != mine).unwrap_or(self.rank);
        Ok(window::apart(mine, other, words[other][0]))
    }

    pub fn post_start(&self, origins: &[usize], targets: &[usize]) -> Outcome<()> {
        let assert = if self.faults.counts_posts { self.shared.constants.mode_nocheck } else { 0 };
        self.with_group(origins, "MPI_Win_post", |group| {
            // SAFETY: the window and the group are live; with the assertion no target of these starts before it is told.
            unsafe { ffi::MPI_Win_post(group, assert, self.win) }
        })?;
        self.life.open.borrow_mut().origins.extend_from_slice(origins);
        if self.faults.counts_posts {
            self.tell_posted(origins, targets)?;
        }
        self.with_group(targets, "MPI_Win_start", |group| {
            // SAFETY: as above; with the assertion all of these have posted.
            unsafe { ffi::MPI_Win_start(group, assert, self.win) }
        })?;
        self.life.open.borrow_mut().targets.extend_from_slice(targets);
        Ok(())
    }

    /// Tells `origins` that this rank has posted, and waits until all `targets` have said so. A rank posts to another again
    /// only when that one has taken its word, so each word is of the epoch it is taken for.
    fn tell_posted(&self, origins: &[usize], targets: &[usize]) -> Outcome<()> {
        let null = self.shared.constants.request_null;
        let mut words = vec![null; origins.len() + targets.len()];
        let (told, heard) = words.split_at_mut(origins.len());
        // SAFETY: messages without data, on a live communicator.
        unsafe {
            for (raw, &rank) in heard.iter_mut().zip(targets) {
                let source = rank as c_int;
                let code = ffi::MPI_Irecv(ptr::null_mut(), 0, self.byte, source, POSTED, self.comm, raw);
                check("MPI_Irecv", code)?;
            }
            for (raw, &rank) in told.iter_mut().zip(origins) {
                let code = ffi::MPI_Isend(ptr::null(), 0, self.byte, rank as c_int, POSTED, self.comm, raw);
                check("MPI_Isend", code)?;
            }
        }
        self.wait_all(&mut words)
    }

    pub fn complete_wait(&self, origins: &[usize], targets: &[usize]) -> Outcome<()> {
        self.await_gets()?;
        if !targets.is_empty() {
            // SAFETY: the window is live and started.
            check("MPI_Win_complete", unsafe { ffi::MPI_Win_complete(self.win) })?;
            self.life.open.borrow_mut().targets.clear();
        }
        if !origins.is_empty() {
            // SAFETY: the window is live and posted.
            check("MPI_Win_wait", unsafe { ffi::MPI_Win_wait(self.win) })?;
            self.life.open.borrow_mut().origins.clear();
        }
        Ok(())
    }

    /// Calls `f` with the group of these ranks, if there are any.
    fn with_group(
        &self,
        ranks: &[usize],
        call: &'static str,
        f: impl FnOnce(ffi::MPI_Group) -> c_int,
    ) -> Outcome<()> {
        if ranks.is_empty() {
            return Ok(());
        }
        let ranks: Vec<c_int> = ranks.iter().map(|&rank| rank as c_int).collect();
        let mut all = std::mem::MaybeUninit::uninit();
        let mut some = std::mem::MaybeUninit::uninit();
        // SAFETY: the communicator is live, the ranks exist, and MPI stores a group where it succeeds.
        unsafe {
            check("MPI_Comm_group", ffi::MPI_Comm_group(self.comm, all.as_mut_ptr()))?;
            let len = ranks.len() as c_int;
            let code = ffi::MPI_Group_incl(all.assume_init(), len, ranks.as_ptr(), some.as_mut_ptr());
            check("MPI_Group_free", ffi::MPI_Group_free(all.as_mut_ptr()))?;
            check("MPI_Group_incl", code)?;
            let code = f(some.assume_init());
            check("MPI_Group_free", ffi::MPI_Group_free(some.as_mut_ptr()))?;
            check(call, code)
        }
    }

    pub fn lock(&self, target: usize, exclusive: bool) -> Outcome<()> {
        let constants = &self.shared.constants;
        let kind = if exclusive { constants.lock_exclusive } else { constants.lock_shared };
        // SAFETY: the window is live.
        check("MPI_Win_lock", unsafe { ffi::MPI_Win_lock(kind, target as c_int, 0, self.win) })?;
        self.life.open.borrow_mut().locked.push(target as c_int);
        Ok(())
    }

    pub fn unlock(&self, target: usize) -> Outcome<()> {
        self.await_gets()?;
        // SAFETY: the window is live.
        check("MPI_Win_unlock", unsafe { ffi::MPI_Win_unlock(target as c_int, self.win) })?;
        self.life.open.borrow_mut().locked.retain(|&other| other != target as c_int);
        Ok(())
    }

    pub fn lock_all(&self) -> Outcome<()> {
        // SAFETY: the window is live.
        check("MPI_Win_lock_all", unsafe { ffi::MPI_Win_lock_all(0, self.win) })?;
        self.life.open.borrow_mut().all = true;
        Ok(())
    }

    pub fn unlock_all(&self) -> Outcome<()> {
        self.await_gets()?;
        // SAFETY: the window is live.
        check("MPI_Win_unlock_all", unsafe { ffi::MPI_Win_unlock_all(self.win) })?;
        self.life.open.borrow_mut().all = false;
        Ok(())
    }

    fn wait_all(&self, requests: &mut [ffi::MPI_Request]) -> Outcome<()> {
        let (count, mut done) = (requests.len() as c_int, 0);
        let mut statuses = vec![blank(); requests.len()];
        loop {
            // SAFETY: requests that are not complete yet, and a status for each.
            check("MPI_Testall", unsafe {
                ffi::MPI_Testall(count, requests.as_mut_ptr(), &mut done, statuses.as_mut_ptr())
            })?;
            if done != 0 {
                return Ok(());
            }
            if self.shared.crowded {
                std::thread::yield_now();
            }
        }
    }

    /// Waits for the gets so far, if the library itself does not.
    fn await_gets(&self) -> Outcome<()> {
        let mut gets = self.gets.take();
        if gets.is_empty() { Ok(()) } else { self.wait_all(&mut gets) }
    }

    pub fn flush(&self, target: Option<usize>, local: bool) -> Outcome<()> {
        self.await_gets()?;
        // SAFETY: the window is live.
        unsafe {
            match (target.map(|target| target as c_int), local) {
                (None, false) => check("MPI_Win_flush_all", ffi::MPI_Win_flush_all(self.win)),
                (None, true) => check("MPI_Win_flush_local_all", ffi::MPI_Win_flush_local_all(self.win)),
                (Some(target), false) => check("MPI_Win_flush", ffi::MPI_Win_flush(target, self.win)),
                (Some(target), true) => {
                    check("MPI_Win_flush_local", ffi::MPI_Win_flush_local(target, self.win))
                }
            }
        }
    }

    /// # Safety
    /// See [`window::Window`].
    pub unsafe fn put(&self, data: *const u8, len: usize, target: usize, at: usize) -> Outcome<()> {
        for range in pieces(len, count::block()) {
            let (count, place) = (range.len() as c_int, self.place(target, at + range.start));
            let rank = target as c_int;
            // SAFETY: the caller's promise; the target's range was checked.
            check("MPI_Put", unsafe {
                let data = data.add(range.start).cast();
                ffi::MPI_Put(data, count, self.byte, rank, place, count, self.byte, self.win)
            })?;
        }
        Ok(())
    }

    /// # Safety
    /// See [`window::Window`].
    pub unsafe fn get(&self, data: *mut u8, len: usize, target: usize, at: usize) -> Outcome<()> {
        for range in pieces(len, count::block()) {
            let (count, place) = (range.len() as c_int, self.place(target, at + range.start));
            let rank = target as c_int;
            // SAFETY: the caller's promise; the target's range was checked. A request is waited for before the access ends.
            unsafe {
                let data = data.add(range.start).cast();
                if self.faults.loses_gets {
                    let mut raw = self.shared.constants.request_null;
                    let byte = self.byte;
                    let code = ffi::MPI_Rget(data, count, byte, rank, place, count, byte, self.win, &mut raw);
                    check("MPI_Rget", code)?;
                    self.gets.borrow_mut().push(raw);
                } else {
                    let code = ffi::MPI_Get(data, count, self.byte, rank, place, count, self.byte, self.win);
                    check("MPI_Get", code)?;
                }
            }
        }
        Ok(())
    }

    fn op(&self, merge: &Merge) -> ffi::MPI_Op {
        match merge.how {
            How::Op(builtin) => self.shared.constants.op(builtin),
            How::Replace => self.shared.constants.replace,
            How::Keep => self.shared.constants.no_op,
        }
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
        if merge.how == How::Keep {
            // Open MPI refuses MPI_NO_OP here, as an old standard did; it does nothing.
            return Ok(());
        }
        let (size, datatype) = (merge.reduction.element_size, self.shared.constants.datatype(merge.scalar()));
        let (op, rank) = (self.op(merge), target as c_int);
        for range in pieces(len, count::block() * size) {
            let (count, place) = ((range.len() / size) as c_int, self.place(target, at + range.start));
            // SAFETY: the caller's promise; the target's range was checked.
            check("MPI_Accumulate", unsafe {
                let data = data.add(range.start).cast();
                ffi::MPI_Accumulate(data, count, datatype, rank, place, count, datatype, op, self.win)
            })?;
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
        let (size, datatype) = (merge.reduction.element_size, self.shared.constants.datatype(merge.scalar()));
        let (op, rank) = (self.op(merge), target as c_int);
        if len == size {
            // SAFETY: one number each; the target's range was checked.
            return check("MPI_Fetch_and_op", unsafe {
                let place = self.place(target, at);
                ffi::MPI_Fetch_and_op(data.cast(), result.cast(), datatype, rank, place, op, self.win)
            });
        }
        for range in pieces(len, count::block() * size) {
            let (n, place) = ((range.len() / size) as c_int, self.place(target, at + range.start));
            // SAFETY: the caller's promise; the target's range was checked.
            check("MPI_Get_accumulate", unsafe {
                let (data, result) = (data.add(range.start).cast(), result.add(range.start).cast());
                ffi::MPI_Get_accumulate(
                    data, n, datatype, result, n, datatype, rank, place, n, datatype, op, self.win,
                )
            })?;
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
        let datatype = self.shared.constants.datatype(scalar);
        // SAFETY: one number each; the target's range was checked.
        check("MPI_Compare_and_swap", unsafe {
            let (place, target) = (self.place(target, at), target as c_int);
            let (compare, value) = (compare.cast(), value.cast());
            ffi::MPI_Compare_and_swap(value, compare, result.cast(), datatype, target, place, self.win)
        })
    }

    pub fn close(&self, place: Place) -> Outcome<Option<Block>> {
        self.step(Step::Close, place)?;
        self.parent.free_window(&self.life)
    }

    pub fn release(&self) {
        self.life.end();
    }
}
