//! A reduction operator as engines take it: the element type is gone, its loops are compiled.
//!
//! The operators themselves are in `comm/op.rs`.

use crate::comm::element::{Element, Kind, Scalar};
use crate::comm::op::{Builtin, Op};

/// An operator on a known type, without the type.
#[derive(Clone, Copy)]
pub(crate) struct Reduction {
    pub kind: Kind,
    pub element_size: usize,
    #[cfg_attr(not(feature = "mpi"), allow(dead_code, reason = "only MPI asks"))]
    pub commutative: bool,
    pub builtin: Option<Builtin>,
    /// `acc[i] = combine(acc[i], x[i])` for `n` elements. See [`Reduction::fold`].
    fold: unsafe fn(acc: *mut u8, x: *const u8, n: usize),
    /// `acc[i] = combine(x[i], acc[i])` as MPI calls it.
    #[cfg(feature = "mpi")]
    pub user_function: super::mpi::UserFunction,
    /// Which function it is, to see whether all ranks gave the same.
    pub name: &'static str,
}

impl Reduction {
    pub fn of<T: Element, O: Op<T>>(_op: O) -> Reduction {
        const {
            assert!(
                size_of::<O>() == 0,
                "a reduction operator captures nothing: use a plain function or a unit struct"
            )
        };
        Reduction {
            kind: T::KIND,
            element_size: size_of::<T>(),
            commutative: O::COMMUTATIVE,
            builtin: O::BUILTIN,
            fold: fold::<T, O>,
            #[cfg(feature = "mpi")]
            user_function: super::mpi::user_function::<T, O>,
            name: std::any::type_name::<O>(),
        }
    }

    /// Whether the scalar and the operator are ones that MPI computes with the same answer as we do.
    /// Its treatment of NaN under min and max is its own, so floats keep ours; and MPICH 4.0.2 compares unsigned
    /// numbers as if they were signed.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code))]
    pub fn known_to_mpi(&self) -> Option<(Builtin, Scalar)> {
        let builtin = self.builtin?;
        match (self.kind.scalar(), builtin) {
            (Scalar::Record | Scalar::I128 | Scalar::U128, _) => None,
            (Scalar::F32 | Scalar::F64, Builtin::Min | Builtin::Max) => None,
            (Scalar::U8 | Scalar::U16 | Scalar::U32 | Scalar::U64, Builtin::Min | Builtin::Max) => None,
            (scalar, builtin) => Some((builtin, scalar)),
        }
    }

    /// `acc = combine(acc, x)`, element by element.
    ///
    /// Panics if the lengths differ or are no multiple of the element's size.
    pub fn fold(&self, acc: &mut [u8], x: &[u8]) {
        let n = acc.len() / self.element_size.max(1);
        assert!(acc.len() == x.len() && (n * self.element_size == acc.len() || self.element_size == 0));
        // SAFETY: both slices hold `n` elements of the type that `fold` was compiled for, they do not overlap
        // (one is `&mut`), and `fold` reads and writes unaligned.
        unsafe { (self.fold)(acc.as_mut_ptr(), x.as_ptr(), n) }
    }
}

/// A zero-sized operator, made from nothing: every value of its type is the same.
fn the<O: Copy>() -> O {
    const { assert!(size_of::<O>() == 0) };
    // SAFETY: O is zero-sized and Copy, and `Reduction::of` was given a value of it, so it is inhabited.
    unsafe { std::mem::zeroed() }
}

/// # Safety
/// `acc` and `x` are valid for `n` elements of `T` and do not overlap.
unsafe fn fold<T: Element, O: Op<T>>(acc: *mut u8, x: *const u8, n: usize) {
    let (acc, x, op) = (acc.cast::<T>(), x.cast::<T>(), the::<O>());
    for i in 0..n {
        // SAFETY: i < n; the caller vouches for the rest.
        unsafe {
            let value = op.combine(acc.add(i).read_unaligned(), x.add(i).read_unaligned());
            acc.add(i).write_unaligned(value);
        }
    }
}

/// `acc[i] = combine(x[i], acc[i])` for `n` elements: MPI's order of arguments, where `x` comes from lower ranks.
///
/// # Safety
/// As for [`fold`].
#[cfg(any(test, feature = "mpi"))]
pub(super) unsafe fn fold_left<T: Element, O: Op<T>>(acc: *mut u8, x: *const u8, n: usize) {
    let (acc, x, op) = (acc.cast::<T>(), x.cast::<T>(), the::<O>());
    for i in 0..n {
        // SAFETY: i < n; the caller vouches for the rest.
        unsafe {
            let value = op.combine(x.add(i).read_unaligned(), acc.add(i).read_unaligned());
            acc.add(i).write_unaligned(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<O: Op<i32>>(digits: O) {
        let mut acc = [1, 2, 3];
        let reduction = Reduction::of::<i32, O>(digits);
        reduction.fold(bytemuck::cast_slice_mut(&mut acc), bytemuck::cast_slice(&[4, 5, 6]));
        assert_eq!(acc, [14, 25, 36]);
        let (mut acc, x) = ([1, 2, 3], [4, 5, 6]);
        // SAFETY: three elements on both sides.
        unsafe { fold_left::<i32, O>(acc.as_mut_ptr().cast(), x.as_ptr().cast(), 3) };
        assert_eq!(acc, [41, 52, 63]);
    }

    #[test]
    fn the_erased_loop_is_the_operator() {
        check(|a: i32, b: i32| 10 * a + b);
    }
}
