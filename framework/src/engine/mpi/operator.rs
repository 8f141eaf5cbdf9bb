//! Operators of Rankine's own as MPI takes them.
//!
//! MPI calls a C function that gets no word of ours; so for every element type and operator there is a function of its
//! own, compiled with the program, and a handle that is made when it is first asked for. There may be any number of
//! them, and any number of reductions under way.

use super::status::check;
use crate::comm::element::Element;
use crate::comm::op::Op;
use crate::engine::{Outcome, Reduction, reduction};
use mpi::ffi;
use std::any::Any;
use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// MPI's type of a reduction function.
pub(crate) type UserFunction =
    unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_int, *mut ffi::MPI_Datatype);

/// What the authors' operators panicked with, and which of them: a panic must not cross MPI's frames.
static PANICS: Mutex<Vec<(usize, Box<dyn Any + Send>)>> = Mutex::new(Vec::new());

/// Whether there may be any, to be looked at without the lock.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// MPI's handles for our operators and element sizes; made once and kept to the end.
#[derive(Default)]
pub(super) struct Operators {
    /// By function and whether it commutes.
    ops: RefCell<Vec<((usize, bool), ffi::MPI_Op)>>,
    /// Contiguous bytes by size, so that MPI counts elements.
    types: RefCell<Vec<(usize, ffi::MPI_Datatype)>>,
}

impl Operators {
    /// The handle for a reduction.
    #[inline]
    pub fn handle(&self, reduction: &Reduction) -> Outcome<ffi::MPI_Op> {
        self.of(reduction.user_function, reduction.commutative)
    }

    /// The handle for a function.
    #[inline]
    pub fn of(&self, function: UserFunction, commutative: bool) -> Outcome<ffi::MPI_Op> {
        let key = (function as usize, commutative);
        let known = self.ops.borrow().iter().find(|(known, _)| *known == key).map(|(_, op)| *op);
        known.map_or_else(|| self.make(function, commutative), Ok)
    }

    #[cold]
    fn make(&self, function: UserFunction, commutative: bool) -> Outcome<ffi::MPI_Op> {
        let mut op = std::mem::MaybeUninit::uninit();
        // SAFETY: the function has the signature MPI asks for; MPI stores a handle on success.
        let op = unsafe {
            let code = ffi::MPI_Op_create(Some(function), c_int::from(commutative), op.as_mut_ptr());
            check("MPI_Op_create", code)?;
            op.assume_init()
        };
        self.ops.borrow_mut().push(((function as usize, commutative), op));
        Ok(op)
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

impl Operators {
    /// Before the end of MPI, when no reduction is under way.
    pub fn free(&self) {
        for (_, mut op) in self.ops.take() {
            // SAFETY: made by `make`, and nobody asks for it any more. A failure leaks a small record.
            let _ = unsafe { ffi::MPI_Op_free(&mut op) };
        }
        for (_, mut datatype) in self.types.take() {
            // SAFETY: as above, of `datatype`.
            let _ = unsafe { ffi::MPI_Type_free(&mut datatype) };
        }
    }
}

/// MPI's user function for an operator: `acc[i] = x[i] op acc[i]`, where `x` comes from lower ranks.
///
/// # Safety
/// MPI calls it with two buffers of `*len` elements of `T` each that do not overlap.
pub(crate) unsafe extern "C" fn user_function<T: Element, O: Op<T>>(
    x: *mut c_void,
    acc: *mut c_void,
    len: *mut c_int,
    _: *mut ffi::MPI_Datatype,
) {
    let fold = || {
        // SAFETY: MPI's promise; the loop reads and writes unaligned.
        unsafe { reduction::fold_left::<T, O>(acc.cast(), x.cast(), usize::try_from(*len).unwrap_or(0)) }
    };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(fold)) {
        let this: UserFunction = user_function::<T, O>;
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).push((this as usize, payload));
        PANICKED.store(true, Ordering::Release);
    }
}

/// After a reduction with `function`: a panic in it continues here.
#[inline]
pub(super) fn panics_continue(function: UserFunction) {
    if PANICKED.load(Ordering::Acquire) {
        continue_panic(function as usize);
    }
}

#[cold]
fn continue_panic(function: usize) {
    let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut mine = None;
    // One panic can be told; those of the same function beside it say the same.
    panics.retain_mut(|(address, payload)| {
        *address != function || {
            mine.get_or_insert(std::mem::replace(payload, Box::new(())));
            false
        }
    });
    PANICKED.store(!panics.is_empty(), Ordering::Release);
    drop(panics);
    if let Some(payload) = mine {
        resume_unwind(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    fn combine<O: Op<i32>>(_: O, x: &mut [i32], acc: &mut [i32]) -> UserFunction {
        let mut len = x.len() as c_int;
        let function: UserFunction = user_function::<i32, O>;
        // SAFETY: both slices have `len` elements; the datatype is not looked at.
        unsafe { function(x.as_mut_ptr().cast(), acc.as_mut_ptr().cast(), &mut len, ptr::null_mut()) };
        function
    }

    #[test]
    fn lower_ranks_come_from_the_left() {
        let mut acc = [1, 2];
        combine(|a: i32, b: i32| 10 * a + b, &mut [4, 5], &mut acc);
        assert_eq!(acc, [41, 52]);
    }

    #[test]
    fn a_panic_waits_for_its_own_reduction() {
        let other = combine(|a: i32, _: i32| a, &mut [1], &mut [1]);
        let function = combine(|_: i32, _: i32| panic!("on purpose"), &mut [1], &mut [1]);
        panics_continue(other);
        let payload = catch_unwind(|| panics_continue(function)).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"on purpose"));
        panics_continue(function);
    }
}
