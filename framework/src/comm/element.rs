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

/// The type signature of a message. Two kinds are equal when their 64-bit marks are: a number's is its code, a struct's
/// a hash of its definition.
///
/// How much of the mark a message carries is the engine's choice. On the Local engine a message has 32 bits of it, and a
/// collective all 64. Under MPI a message has eight bits in its tag, [`Kind::code`]; windows and, in the checked mode,
/// collectives compare all 64.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    mark: u64,
    /// What a letter of the Local engine carries.
    print: u32,
    code: u8,
    scalar: Scalar,
    name: &'static str,
}

/// Codes below this one are numbers and the serialized value; a struct's are its mark in what is left.
const FIRST_RECORD: u8 = 64;
/// Set in the mark of every struct and of no number, so that neither a mark nor a print is ever one of the other's.
const RECORD: u64 = 1 << 63;
/// The code of what serde wrote: no receive of elements takes it, and no receive of a value takes elements.
const VALUE: u8 = 15;

impl Kind {
    const fn number(scalar: Scalar, name: &'static str) -> Kind {
        Kind::plain(scalar as u8 + 1, scalar, name)
    }

    const fn plain(code: u8, scalar: Scalar, name: &'static str) -> Kind {
        Kind { mark: code as u64, print: code as u32, code, scalar, name }
    }

    /// The kind of a plain struct, told apart from others by `name` and its size.
    pub const fn record<T>(name: &'static str) -> Kind {
        Kind::of_fields::<T>(name, &[])
    }

    /// The kind of a plain struct, told apart from others by `name`, its size, and the kind and size of each field in
    /// order. `#[derive(rankine::Element)]` writes it.
    ///
    /// Two structs that differ share a mark with odds of 2⁻⁶³, and a message of one is taken for the other with odds of
    /// 2⁻³¹ on the Local engine. Under MPI, whose tags have room for 191 kinds of structs, the odds are 1 in 191: a
    /// program with two structs on one tag has that risk that a wrong receive is not noticed.
    pub const fn of_fields<T>(name: &'static str, fields: &[(Kind, usize)]) -> Kind {
        let mut mark = stir(size_of::<T>() as u64, fields.len() as u64);
        let bytes = name.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            mark = stir(mark, bytes[i] as u64);
            i += 1;
        }
        i = 0;
        while i < fields.len() {
            mark = stir(stir(mark, fields[i].0.mark), fields[i].1 as u64);
            i += 1;
        }
        let code = FIRST_RECORD + (mark % (255 - FIRST_RECORD as u64)) as u8;
        let mark = mark | RECORD;
        Kind { mark, print: (mark >> 32) as u32, code, scalar: Scalar::Record, name }
    }

    /// The kind of a serialized value, as one byte of it.
    pub(crate) const fn value() -> Kind {
        Kind::plain(VALUE, Scalar::Record, "a serialized value")
    }

    /// The number that stands for this kind in a message under MPI.
    pub const fn code(self) -> u8 {
        self.code
    }

    /// The number that stands for this kind in a message of the Local engine: a number's code, and more of a struct.
    pub(crate) const fn print(self) -> u32 {
        self.print
    }

    /// All that is known of this kind, as a number.
    pub(crate) const fn mark(self) -> u64 {
        self.mark
    }

    /// Whether a message that carries `sent`, a print or a code, is one of this kind.
    #[inline]
    pub(crate) const fn is(self, sent: u32) -> bool {
        // Codes are below all prints of structs.
        sent == self.print || sent == self.code as u32
    }

    /// The number format.
    pub const fn scalar(self) -> Scalar {
        self.scalar
    }

    /// The name in error messages, as Rust writes the type.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// The name behind a mark.
    pub(crate) fn name_of_mark(mark: u64) -> &'static str {
        Kind::name_of(if mark & RECORD == 0 { mark as u32 } else { (mark >> 32) as u32 })
    }

    /// The name behind a code or a print, as well as a receiver can tell it.
    pub(crate) fn name_of(sent: u32) -> &'static str {
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
        let known = NUMBERS.iter().copied().chain([Kind::value()]).find(|kind| kind.print == sent);
        known.map_or("another struct", |kind| kind.name)
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Kind) -> bool {
        self.mark == other.mark
    }
}

impl Eq for Kind {}

/// Another word into a hash: the finalizer of MurmurHash3, in which every bit of either reaches every bit of the result.
const fn stir(hash: u64, word: u64) -> u64 {
    let mut x = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ word;
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// A type that can be sent: plain data, no padding, every bit pattern a value.
///
/// All integers and floats, complex numbers and arrays of elements are elements. A struct of elements becomes one with a
/// derive, which checks at compile time that it has no padding; `rankine::Number`, `rankine::Ordered` and
/// `rankine::Bits` add reductions field by field.
///
/// ```
/// #[derive(Clone, Copy, PartialEq, Debug, rankine::Element)]
/// #[repr(C)]
/// struct Particle { position: [f64; 3], charge: f64, id: u32, cell: u32 }
///
/// rankine::testing::ranks([1, 2, 3], |world| {
///     let mine = Particle { position: [0.5; 3], charge: -1.0, id: world.rank() as u32, cell: 7 };
///     let all = world.allgather(&[mine])?;
///     assert_eq!(all[world.size() - 1].id, world.size() as u32 - 1);
///     Ok(())
/// });
/// ```
///
/// Lengths of arrays may be generic where all fields align alike:
///
/// ```
/// #[derive(Clone, Copy, rankine::Element)]
/// #[repr(C)]
/// struct Polynomial<const N: usize> { at: f64, coefficients: [f64; N] }
/// assert_eq!(<Polynomial<4> as rankine::Element>::KIND.name(), "Polynomial");
/// ```
///
/// Not every bit pattern is a `bool`, a `char` or a value of an enum, so they are no elements, nor are fields of one.
/// Send `u8::from(flag)` (or reduce with [`Comm::all`](crate::Comm::all) and [`Comm::any`](crate::Comm::any)),
/// `u32::from(letter)`, `value as u32`, and convert back with a check; or send the value itself with serde.
///
/// ```compile_fail
/// rankine::testing::ranks([1], |world| world.send(&[true], 0, 1));
/// ```
/// ```compile_fail
/// #[derive(Clone, Copy, rankine::Element)]
/// #[repr(C)]
/// struct Flagged { value: u8, valid: bool }
/// ```
/// ```compile_fail
/// #[derive(Clone, Copy, rankine::Element)]
/// #[repr(u8)]
/// enum Side { Left, Right }
/// ```
///
/// References mean nothing to another rank, padding is bytes that nobody wrote, and without `#[repr(C)]` the order of
/// the fields is the compiler's:
///
/// ```compile_fail
/// #[derive(Clone, Copy, rankine::Element)]
/// #[repr(C)]
/// struct Borrowed { value: &'static f64 }
/// ```
/// ```compile_fail
/// #[derive(Clone, Copy, rankine::Element)]
/// #[repr(C)]
/// struct Padded { value: f64, rank: u32 }
/// ```
/// ```compile_fail
/// #[derive(Clone, Copy, rankine::Element)]
/// #[repr(C)]
/// struct PaddedForSomeN<const N: usize> { bytes: [u8; N], value: f64 }
/// ```
/// ```compile_fail
/// #[derive(Clone, Copy, rankine::Element)]
/// struct Unordered { value: f64 }
/// ```
///
/// A struct that already has bytemuck's `Pod` says its kind itself:
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an element of a message",
    label = "not an `Element`",
    note = "an element is plain data whose every bit pattern is a value: integers, floats, complex numbers, arrays of \
            elements, and #[repr(C)] structs with #[derive(Clone, Copy, rankine::Element)]",
    note = "instead of `bool` send `u8::from(flag)`, instead of `char` `u32::from(letter)`, instead of an enum its number"
)]
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
        let of = |fields: &[Kind]| {
            Kind::of_fields::<[u64; 2]>("A", &fields.iter().map(|k| (*k, 8)).collect::<Vec<_>>())
        };
        assert_eq!(of(&[f64::KIND, i64::KIND]), of(&[f64::KIND, i64::KIND]));
        assert_ne!(of(&[f64::KIND, i64::KIND]), of(&[i64::KIND, f64::KIND]));
        assert_ne!(of(&[f64::KIND, f64::KIND]), of(&[f64::KIND]));
        assert_eq!(Kind::name_of(u16::KIND.print()), "u16");
        assert_eq!(Kind::name_of(200), "another struct");
        assert_eq!(Kind::name_of(Kind::value().print()), "a serialized value");
        assert!(!(1..=14).contains(&Kind::value().code()) && Kind::value().code() < FIRST_RECORD);
    }

    #[test]
    fn a_record_never_has_the_code_of_a_number() {
        for name in ["Particle", "x", "", "a longer name of a struct"] {
            let kind = Kind::record::<u64>(name);
            assert!(kind.code() >= FIRST_RECORD && kind.print() > 255 && kind.mark() & RECORD != 0);
            assert!(kind.is(kind.print()) && kind.is(kind.code().into()) && !kind.is(f64::KIND.print()));
        }
    }

    /// Names and fields enough that codes of eight bits must collide many times over.
    #[test]
    fn structs_that_share_a_code_have_prints_of_their_own() {
        let names: Vec<&'static str> = (0..500).map(|i| &*format!("Struct{i}").leak()).collect();
        let mut kinds: Vec<Kind> = names.iter().map(|name| Kind::record::<u64>(name)).collect();
        for fields in [[u8::KIND, i8::KIND], [i8::KIND, u8::KIND], [kinds[0], kinds[1]], [kinds[1], kinds[0]]]
        {
            kinds.push(Kind::of_fields::<u64>("Struct0", &fields.map(|kind| (kind, 4))));
        }
        for (i, a) in kinds.iter().enumerate() {
            assert!(kinds[..i].iter().all(|b| a != b && a.print() != b.print()), "{}", a.name());
        }
        assert!(kinds.iter().any(|a| kinds.iter().any(|b| a != b && a.code() == b.code())));
    }
}
