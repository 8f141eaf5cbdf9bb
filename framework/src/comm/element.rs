//! What a message may be made of: types whose every bit pattern is a value.
//!
//! An [`Element`] names its [`Kind`], which travels with every message so that a receive of the wrong
//! type is an error instead of wrong numbers. Arithmetic on elements is in `op`.

use bytemuck::Pod;
use num_complex::Complex;

/// The number format behind an element, as far as an engine must know it to reduce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Scalar {
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    C32,
    C64,
    /// A plain struct: bytes to an engine.
    Record,
}

/// The type signature of a message. Two kinds are equal when their codes are.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    code: u8,
    scalar: Scalar,
    name: &'static str,
}

/// Codes below this one are numbers; a record hashes its name and size into the rest.
const FIRST_RECORD: u8 = 64;

impl Kind {
    const fn number(scalar: Scalar, name: &'static str) -> Kind {
        Kind { code: scalar as u8 + 1, scalar, name }
    }

    /// The kind of a plain struct, told apart from others by `name` and its size.
    pub const fn record<T>(name: &'static str) -> Kind {
        // FNV-1a over the name and the size.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ size_of::<T>() as u64;
        let bytes = name.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            i += 1;
        }
        let span = 255 - FIRST_RECORD as u64;
        Kind { code: FIRST_RECORD + ((hash >> 17) % span) as u8, scalar: Scalar::Record, name }
    }

    /// The number that stands for this kind in a message.
    pub const fn code(self) -> u8 {
        self.code
    }

    /// The number format.
    pub const fn scalar(self) -> Scalar {
        self.scalar
    }

    /// The name in error messages, as Rust writes the type.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// The name behind a code, as well as a receiver can tell it.
    pub(crate) fn name_of(code: u8) -> &'static str {
        const NUMBERS: [Kind; 14] = [
            i8::KIND,
            i16::KIND,
            i32::KIND,
            i64::KIND,
            i128::KIND,
            u8::KIND,
            u16::KIND,
            u32::KIND,
            u64::KIND,
            u128::KIND,
            f32::KIND,
            f64::KIND,
            Complex::<f32>::KIND,
            Complex::<f64>::KIND,
        ];
        NUMBERS.iter().find(|kind| kind.code == code).map_or("another struct", |kind| kind.name)
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Kind) -> bool {
        self.code == other.code
    }
}

impl Eq for Kind {}

/// A type that can be sent: plain data, no padding, every bit pattern a value.
///
/// Implement it for your own `#[repr(C)]` struct that derives bytemuck's `Pod` and `Zeroable`:
///
/// ```
/// use rankine::{Element, Kind};
/// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
/// #[repr(C)]
/// struct Particle { position: [f64; 3], charge: f64 }
/// impl Element for Particle {
///     const KIND: Kind = Kind::record::<Particle>("Particle");
/// }
/// ```
///
/// `bool` and references are not elements:
///
/// ```compile_fail
/// rankine::testing::ranks([1], |world| world.send(&[true], 0, 1));
/// ```
pub trait Element: Pod + Send + Sync + 'static {
    /// The type signature that travels with a message.
    const KIND: Kind;
}

macro_rules! numbers {
    ($($type:ty, $scalar:ident, $name:literal;)*) => {$(
        impl Element for $type {
            const KIND: Kind = Kind::number(Scalar::$scalar, $name);
        }
    )*};
}

numbers! {
    i8, I8, "i8";
    i16, I16, "i16";
    i32, I32, "i32";
    i64, I64, "i64";
    i128, I128, "i128";
    u8, U8, "u8";
    u16, U16, "u16";
    u32, U32, "u32";
    u64, U64, "u64";
    u128, U128, "u128";
    f32, F32, "f32";
    f64, F64, "f64";
    Complex<f32>, C32, "Complex<f32>";
    Complex<f64>, C64, "Complex<f64>";
}

#[cfg(target_pointer_width = "64")]
impl Element for usize {
    const KIND: Kind = u64::KIND;
}

#[cfg(target_pointer_width = "64")]
impl Element for isize {
    const KIND: Kind = i64::KIND;
}

/// An array is its elements in a row: `[f64; 3]` may be received as three `f64`.
impl<T: Element, const N: usize> Element for [T; N] {
    const KIND: Kind = T::KIND;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        struct A;
        struct B;
        assert_ne!(f64::KIND, i64::KIND);
        assert_eq!(<[f64; 3]>::KIND, f64::KIND);
        assert_ne!(Kind::record::<A>("A"), Kind::record::<B>("B"));
        assert_eq!(Kind::name_of(u16::KIND.code()), "u16");
        assert_eq!(Kind::name_of(200), "another struct");
    }

    #[test]
    fn a_record_never_has_the_code_of_a_number() {
        for name in ["Particle", "x", "", "a longer name of a struct"] {
            assert!(Kind::record::<u64>(name).code() >= FIRST_RECORD);
        }
    }
}
