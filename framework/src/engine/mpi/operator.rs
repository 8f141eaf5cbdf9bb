//! Operators of Rankine's own as MPI takes them.
//!
//! MPI calls a C function that gets no word of ours, so what to compute lies in a static while the (blocking) call
//! runs. Two MPI operators are enough: one that may swap its arguments and one that may not.

use super::status::check;
use crate::engine::{Outcome, Reduction};
use mpi::ffi;
use std::any::Any;
use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};

/// The reduction under way; a process is one rank and its collectives block, so there is one at most.
static CURRENT: AtomicPtr<Reduction> = AtomicPtr::new(ptr::null_mut());

/// What the author's function panicked with: a panic must not cross MPI's frames.
static PANIC: Mutex<Option<Box<dyn Any + Send>>> = Mutex::new(None);

/// MPI's handles for our operators and element sizes; made once and never freed before the end of MPI.
pub(super) struct Operators {
    commutative: ffi::MPI_Op,
    ordered: ffi::MPI_Op,
    /// Contiguous bytes by size, so that MPI counts elements.
    types: RefCell<Vec<(usize, ffi::MPI_Datatype)>>,
}

impl Operators {
    pub fn new() -> Outcome<Operators> {
        let make = |commutes: c_int| {
            let mut op = std::mem::MaybeUninit::uninit();
            // SAFETY: `apply` has the signature of an MPI user function; MPI stores a handle on success.
            unsafe {
                check("MPI_Op_create", ffi::MPI_Op_create(Some(apply), commutes, op.as_mut_ptr()))?;
                Ok(op.assume_init())
            }
        };
        Ok(Operators { commutative: make(1)?, ordered: make(0)?, types: RefCell::default() })
    }

    /// The handle for a reduction.
    pub fn handle(&self, reduction: &Reduction) -> ffi::MPI_Op {
        if reduction.commutative { self.commutative } else { self.ordered }
    }

    /// A datatype of `size` bytes, at least one.
    pub fn datatype(&self, size: usize, byte: ffi::MPI_Datatype) -> Outcome<ffi::MPI_Datatype> {
        let mut types = self.types.borrow_mut();
        if let Some((_, datatype)) = types.iter().find(|(known, _)| *known == size) {
            return Ok(*datatype);
        }
        let mut datatype = byte;
        // SAFETY: `byte` is live; an element of 2³¹ bytes would not fit on the stack it is passed on.
        unsafe {
            check("MPI_Type_contiguous", ffi::MPI_Type_contiguous(size as c_int, byte, &mut datatype))?;
            check("MPI_Type_commit", ffi::MPI_Type_commit(&mut datatype))?;
        }
        types.push((size, datatype));
        Ok(datatype)
    }
}

/// Runs a blocking MPI call that may call [`apply`] for `reduction`. A panic in the operator continues here.
pub(super) fn during(reduction: &Reduction, call: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
    CURRENT.store(ptr::from_ref(reduction).cast_mut(), Ordering::Release);
    let outcome = call();
    CURRENT.store(ptr::null_mut(), Ordering::Release);
    let panic = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
    match panic {
        Some(payload) => resume_unwind(payload),
        None => outcome,
    }
}

/// MPI's user function: `acc[i] = x[i] op acc[i]`.
///
/// # Safety
/// MPI calls it with two buffers of `*len` elements each, of the datatype that was given with the reduction.
unsafe extern "C" fn apply(x: *mut c_void, acc: *mut c_void, len: *mut c_int, _: *mut ffi::MPI_Datatype) {
    // SAFETY: non-null only inside `during`, whose borrow of the reduction lives as long.
    let Some(reduction) = (unsafe { CURRENT.load(Ordering::Acquire).as_ref() }) else { return };
    let fold = || {
        // SAFETY: MPI's promise: both buffers hold `*len` elements of the reduction's type and do not overlap; the
        // loop reads and writes unaligned.
        unsafe { (reduction.fold_left)(acc.cast(), x.cast(), usize::try_from(*len).unwrap_or(0)) }
    };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(fold)) {
        PANIC.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
    }
}
