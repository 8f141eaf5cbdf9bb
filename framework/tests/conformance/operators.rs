//! The operators beyond sums and extremes: logical, first and last, with places, and the author's own.

use rankine::op::{And, First, Last, Located, MaxLoc, MinLoc, Or, Xor, commutative};
use rankine::{Bits, Comm, Op, Result};

fn one_logical<T: Bits + PartialEq + std::fmt::Debug>(world: &Comm, of: impl Fn(u8) -> T) -> Result<()> {
    let n = world.size();
    // Rank 0 brings no true value in the first and third column, rank n - 1 none in the third.
    let (rank, last) = (world.rank(), n - 1);
    let mine = [of(if rank == 0 { 0 } else { 6 }), of(5), of(0), of(if rank == last { 9 } else { 0 })];
    let got = (world.allreduce(mine, And)?, world.allreduce(mine, Or)?, world.allreduce(mine, Xor)?);
    if n == 1 {
        assert_eq!(got, (mine, mine, mine));
        return Ok(());
    }
    let (no, yes) = (of(0), of(1));
    let odd = |count: usize| if count % 2 == 1 { yes } else { no };
    assert_eq!(got.0, [no, yes, no, no]);
    assert_eq!(got.1, [yes, yes, no, yes]);
    assert_eq!(got.2, [odd(n - 1), odd(n), no, yes]);
    let mut many = vec![mine; 500];
    world.allreduce_in_place(&mut many, Or)?;
    assert!(many.iter().all(|x| *x == got.1));
    Ok(())
}

pub fn logical(world: &Comm) -> Result<()> {
    one_logical(world, |x| x)?;
    one_logical(world, |x| x as i8)?;
    one_logical(world, i16::from)?;
    one_logical(world, u16::from)?;
    one_logical(world, i32::from)?;
    one_logical(world, u32::from)?;
    one_logical(world, i64::from)?;
    one_logical(world, u64::from)?;
    one_logical(world, usize::from)?;
    // Those MPI does not know, with bits only in the upper half.
    one_logical(world, |x| if x > 1 { i128::from(x) << 70 } else { i128::from(x) })?;
    one_logical(world, |x| if x > 1 { u128::from(x) << 70 } else { u128::from(x) })?;
    one_logical(world, |x| if x > 1 { u64::from(x) << 40 } else { u64::from(x) })
}

pub fn all_and_any(world: &Comm) -> Result<()> {
    for who in 0..world.size() {
        let me = world.rank() == who;
        assert_eq!(world.all(me)?, world.size() == 1);
        assert!(world.any(me)? && !world.all(!me)?);
        assert_eq!(world.any(!me)?, world.size() > 1);
    }
    assert!(world.all(true)? && !world.any(false)?);
    Ok(())
}

pub fn first_and_last(world: &Comm) -> Result<()> {
    let last = world.size() - 1;
    assert_eq!(world.allreduce(world.rank(), First)?, 0);
    assert_eq!(world.allreduce(world.rank(), Last)?, last);
    assert_eq!(world.reduce(world.rank(), Last, 0)?, (world.rank() == 0).then_some(last));
    let mut many = vec![[world.rank() as u64; 3]; 400];
    world.allreduce_in_place(&mut many, First)?;
    assert!(many.iter().all(|x| *x == [0; 3]));
    Ok(())
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

pub fn functions_said_to_commute(world: &Comm) -> Result<()> {
    let mine = 12 * (world.rank() as u64 + 1);
    assert_eq!(world.allreduce(mine, commutative(gcd))?, 12);
    assert_eq!(world.allreduce(mine, gcd)?, 12);
    let mut many: Vec<u64> = (1..=900).map(|i| i * mine).collect();
    world.allreduce_in_place(&mut many, commutative(|a: u64, b: u64| gcd(a, b)))?;
    assert!((1..).zip(&many).all(|(i, &x)| x == 12 * i));
    Ok(())
}

pub fn located_extremes(world: &Comm) -> Result<()> {
    let (rank, n) = (world.rank(), world.size());
    // Ties everywhere: the lowest rank wins.
    assert_eq!(world.allreduce_minloc(3.5)?, (3.5, 0));
    assert_eq!(world.allreduce_maxloc([1u8, 2])?, ([1, 2], 0));
    for who in 0..n {
        let peak = |value: f64| if rank >= who { value } else { 0.0 };
        assert_eq!(world.allreduce_maxloc(peak(2.0))?, (2.0, who));
        assert_eq!(world.allreduce_minloc(peak(-2.0))?, (-2.0, who));
        let hole = if rank == who { f64::NAN } else { rank as f64 };
        for (value, at) in [world.allreduce_minloc(hole)?, world.allreduce_maxloc(hole)?] {
            assert!(value.is_nan() && at == who);
        }
    }
    let mine: Vec<_> = (0..600).map(|i| Located::new(((rank * 7 + i) % 5) as i32, rank * 1000 + i)).collect();
    let reference = |i: usize, largest: bool| {
        let all = (0..n).map(|r| (((r * 7 + i) % 5) as i32, r * 1000 + i));
        all.min_by_key(|&(value, at)| (if largest { -value } else { value }, at)).unwrap()
    };
    let (mut least, mut most) = (mine.clone(), mine);
    world.allreduce_in_place(&mut least, MinLoc)?;
    world.allreduce_in_place(&mut most, MaxLoc)?;
    for i in 0..600 {
        assert_eq!((least[i].value(), least[i].at()), reference(i, false));
        assert_eq!((most[i].value(), most[i].at()), reference(i, true));
    }
    Ok(())
}

pub fn located_of_every_type(world: &Comm) -> Result<()> {
    let last = world.size() - 1;
    macro_rules! types {
        ($($type:ty)*) => {$(
            let mine = world.rank() as $type;
            assert_eq!(world.allreduce_maxloc(mine)?, (last as $type, last));
            assert_eq!(world.allreduce_minloc(mine)?, (0 as $type, 0));
            let op: &dyn Fn(_, _) -> _ = &|a, b| Op::<Located<$type>>::combine(MaxLoc, a, b);
            assert_eq!(op(Located::new(1 as $type, 4), Located::new(1 as $type, 2)).at(), 2);
        )*};
    }
    types! { i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64 }
    Ok(())
}
