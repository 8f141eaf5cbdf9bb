//! What messages are made of: derived structs, all widths, arrays, nothing, and large things.

use bytemuck::Zeroable;
use num_complex::Complex;
use rankine::op::{BitXor, Max, Min, Prod, Sum};
use rankine::{Comm, Element, ErrorKind, Kind, Number, Result};

#[derive(Clone, Copy, PartialEq, Debug, Element, Number, rankine::Ordered)]
#[repr(C)]
struct Totals {
    energy: f64,
    count: i64,
    momentum: [f32; 2],
}

/// The same size and name length as [`Totals`], other fields.
#[derive(Clone, Copy, PartialEq, Debug, Element)]
#[repr(C)]
struct Tracer {
    place: [f32; 4],
    id: u64,
}

#[derive(Clone, Copy, PartialEq, Debug, Element, Number, rankine::Bits)]
#[repr(C)]
struct Masks(u32, [u16; 2]);

#[derive(Clone, Copy, PartialEq, Debug, Element)]
#[repr(C)]
struct Series<const N: usize> {
    first: f64,
    rest: [f64; N],
}

/// Not a multiple of anything, and unaligned.
#[derive(Clone, Copy, PartialEq, Debug, Element)]
#[repr(C, packed)]
struct Packed {
    flag: u8,
    value: f64,
    inner: Masks,
}

#[derive(Clone, Copy, PartialEq, Debug, Element)]
#[repr(C)]
struct Nothing;

/// Sends once around the ring, by every kind of call that there is for elements.
fn around<T: Element + PartialEq + std::fmt::Debug>(world: &Comm, of: impl Fn(usize) -> T) -> Result<()> {
    let (rank, size) = (world.rank(), world.size());
    let (next, previous) = ((rank + 1) % size, (rank + size - 1) % size);
    let mine = [of(rank), of(rank + 100)];
    let mut got = [of(999); 2];
    let send = world.isend_owned(mine.to_vec(), next, 3)?;
    let status = world.recv(&mut got, previous, 3)?;
    send.wait()?;
    // Things of no size are not counted.
    assert_eq!(status.len, if size_of::<T>() == 0 { 0 } else { 2 });
    assert_eq!(got, [of(previous), of(previous + 100)]);
    let all = world.allgather(&mine)?;
    assert!((0..size).all(|r| all[2 * r] == of(r) && all[2 * r + 1] == of(r + 100)));
    let mut told = mine;
    world.bcast(&mut told, size - 1)?;
    assert_eq!(told, [of(size - 1), of(size + 99)]);
    Ok(())
}

fn totals(rank: usize) -> Totals {
    Totals { energy: rank as f64 + 0.5, count: -(rank as i64), momentum: [rank as f32, 1.0] }
}

pub fn structs_travel(world: &Comm) -> Result<()> {
    around(world, totals)?;
    around(world, |r| Tracer { place: [r as f32; 4], id: r as u64 })?;
    around(world, |r| Masks(r as u32, [1, r as u16]))?;
    around(world, |r| Series::<3> { first: r as f64, rest: [0.25; 3] })?;
    around(world, |r| Packed { flag: r as u8, value: r as f64, inner: Masks(r as u32, [7, 8]) })?;
    around(world, |r| [[totals(r); 2]; 3])
}

pub fn structs_reduce_field_by_field(world: &Comm) -> Result<()> {
    let n = world.size();
    let sum = n * (n - 1) / 2;
    let got = world.allreduce(totals(world.rank()), Sum)?;
    let expected = Totals {
        energy: sum as f64 + 0.5 * n as f64,
        count: -(sum as i64),
        momentum: [sum as f32, n as f32],
    };
    assert_eq!(got, expected);
    let mut many = vec![totals(world.rank()); 700];
    world.allreduce_in_place(&mut many, Sum)?;
    assert!(many.iter().all(|got| *got == expected));
    let least = world.allreduce(totals(world.rank()), Min)?;
    assert_eq!(least, Totals { energy: 0.5, count: 1 - n as i64, momentum: [0.0, 1.0] });
    let most = world.reduce(totals(world.rank()), Max, n - 1)?;
    assert_eq!(most.map(|most| most.energy), (world.rank() == n - 1).then_some(n as f64 - 0.5));
    let masks = world.allreduce(Masks(1 << world.rank(), [3, 1]), BitXor)?;
    let odd = (n % 2) as u16;
    assert_eq!(masks, Masks((1 << n) - 1, [3 * odd, odd]));
    assert_eq!(world.allreduce(Masks(2, [1, 3]), Prod)?, Masks(1 << n, [1, 3u16.wrapping_pow(n as u32)]));
    Ok(())
}

pub fn two_structs_are_told_apart(world: &Comm) -> Result<()> {
    assert_eq!(size_of::<Totals>(), size_of::<Tracer>());
    assert!(Totals::KIND != Tracer::KIND && Totals::KIND != f64::KIND && Totals::KIND.name() == "Totals");
    assert!(Series::<3>::KIND != Series::<4>::KIND && <[Totals; 4]>::KIND == Totals::KIND);
    let send = world.isend_owned(vec![totals(0)], world.rank(), 5)?;
    let mut wrong = [Tracer { place: [0.0; 4], id: 0 }];
    let error = world.recv(&mut wrong, world.rank(), 5).expect_err("a struct came as another");
    assert!(error.kind() == ErrorKind::TypeMismatch && error.to_string().contains("Tracer"), "{error}");
    send.wait().map(drop)
}

/// Two structs whose codes in MPI's tags are the same number.
#[derive(Clone, Copy, PartialEq, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
struct Numbered<const N: usize>(u64);

impl<const N: usize> Element for Numbered<N> {
    const KIND: Kind = numbered(N);
}

const fn numbered(n: usize) -> Kind {
    Kind::of_fields::<u64>("Numbered", &[(u64::KIND, n)])
}

const TWIN: usize = {
    let mut n = 1;
    while numbered(n).code() != numbered(0).code() {
        n += 1;
    }
    n
};

/// Where there is room for more than the code they are told apart: in collectives and windows, and on the Local engine
/// in every message.
pub fn structs_that_share_a_code(world: &Comm) -> Result<()> {
    type One = Numbered<0>;
    type Other = Numbered<TWIN>;
    let (me, n) = (world.rank(), world.size());
    assert!(One::KIND != Other::KIND && One::KIND.code() == Other::KIND.code());
    let kind = |result: Result<()>| result.expect_err("a struct came as another").kind();
    let gathered = if me == 0 {
        world.allgather(&[One::zeroed()]).map(drop)
    } else {
        world.allgather(&[Other::zeroed()]).map(drop)
    };
    assert_eq!(kind(gathered), ErrorKind::Mismatch);
    let made =
        if me == n - 1 { world.window::<One>(1).map(drop) } else { world.window::<Other>(1).map(drop) };
    assert_eq!(kind(made), ErrorKind::Mismatch);
    if world.engine_name() == "local" {
        let send = world.isend_owned(vec![One::zeroed(); 1], me, 5)?;
        assert_eq!(kind(world.recv(&mut [Other::zeroed()], me, 5).map(drop)), ErrorKind::TypeMismatch);
        send.wait()?;
        let send = world.isend_owned(vec![One::zeroed(); 100], me, 5)?;
        assert_eq!(kind(world.recv_vec::<Other>(me, 5).map(drop)), ErrorKind::TypeMismatch);
        send.wait()?;
    }
    world.barrier()
}

pub fn every_width_reduces(world: &Comm) -> Result<()> {
    let n = world.size();
    macro_rules! integers {
        ($($type:ty)*) => {$(
            let mine = world.rank() as $type + 1;
            let all: Vec<$type> = (1..=n).map(|r| r as $type).collect();
            let folded = |op: fn($type, $type) -> $type| all.iter().copied().reduce(op).unwrap();
            assert_eq!(world.allreduce(mine, Sum)?, folded(<$type>::wrapping_add));
            assert_eq!(world.allreduce(mine, Prod)?, folded(<$type>::wrapping_mul));
            assert_eq!(world.allreduce(mine, Min)?, 1);
            assert_eq!(world.allreduce(mine, Max)?, n as $type);
            assert_eq!(world.allreduce(<$type>::MAX, BitXor)?, if n % 2 == 1 { <$type>::MAX } else { 0 });
            assert_eq!(world.allreduce([<$type>::MIN, <$type>::MAX], Max)?, [<$type>::MIN, <$type>::MAX]);
            around(world, |r| r as $type)?;
        )*};
    }
    integers! { i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize }
    macro_rules! floats {
        ($($type:ty)*) => {$(
            let mine = world.rank() as $type + 1.0;
            let sum = (n * (n + 1) / 2) as $type;
            assert_eq!(world.allreduce(mine, Sum)?, sum);
            assert_eq!(world.allreduce(-mine, Min)?, -(n as $type));
            assert_eq!(world.allreduce(mine, Max)?, n as $type);
            assert_eq!(world.allreduce(2.0 as $type, Prod)?, (1u32 << n) as $type);
            let z = Complex::new(mine, -mine);
            assert_eq!(world.allreduce(z, Sum)?, Complex::new(sum, -sum));
            let i = Complex::<$type>::i();
            assert_eq!(world.allreduce(i, Prod)?, (1..n).fold(i, |z, _| z * i));
            around(world, |r| Complex::new(r as $type, 0.5))?;
        )*};
    }
    floats! { f32 f64 }
    Ok(())
}

pub fn arrays_of_arrays(world: &Comm) -> Result<()> {
    let n = world.size() as i32;
    around(world, |r| [[[r as i32; 2]; 3]; 4])?;
    assert_eq!(world.allreduce([[1i32, 2], [3, 4]], Sum)?, [[n, 2 * n], [3 * n, 4 * n]]);
    // An array is its elements in a row.
    let send = world.isend_owned(vec![[1.0f64, 2.0], [3.0, 4.0]], world.rank(), 9)?;
    let mut flat = [0.0f64; 4];
    let status = world.recv(&mut flat, world.rank(), 9)?;
    send.wait()?;
    assert_eq!((flat, status.len), ([1.0, 2.0, 3.0, 4.0], 4));
    Ok(())
}

pub fn nothing_at_all(world: &Comm) -> Result<()> {
    around(world, |_| Nothing)?;
    around(world, |_| [0.0f64; 0])?;
    assert_eq!(world.allreduce([0.0f64; 0], Sum)?, [0.0; 0]);
    let mut many = [[0i32; 0]; 100];
    world.allreduce_in_place(&mut many, Sum)?;
    world.allreduce_into(&[Nothing; 3], &mut [Nothing; 3], |a: Nothing, _| a)?;
    assert_eq!(
        world.gather(&[Nothing; 3], 0)?.map(|all| all.len()),
        (world.rank() == 0).then_some(3 * world.size())
    );
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Debug, Element, Number)]
#[repr(C)]
struct Large {
    values: [f64; 1500],
    count: u64,
}

pub fn large_structs(world: &Comm) -> Result<()> {
    around(world, |r| Large { values: [r as f64; 1500], count: r as u64 })?;
    let mut mine = vec![Large { values: [1.5; 1500], count: 2 }; 3];
    world.allreduce_in_place(&mut mine, Sum)?;
    let n = world.size();
    assert!(mine.iter().all(|got| *got == Large { values: [1.5 * n as f64; 1500], count: 2 * n as u64 }));
    Ok(())
}
