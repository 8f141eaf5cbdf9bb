//! One collective in all its forms: each is given the same buffers and must leave the same in them.

use super::reference::Value;
use rankine::{CollectivePlan, Comm, OwnedCollective, Request, Result, Scope, Test};

pub type One<'s, T> = Request<'s, (&'s mut [T],)>;
pub type Two<'s, T> = Request<'s, (&'s [T], &'s mut [T])>;
pub type Pair<T> = (Vec<T>, Vec<T>);

/// A call on one buffer that holds `before` and must hold `after`.
pub fn one<T: Value>(
    comm: &Comm,
    (before, after): (&[T], &[T]),
    blocking: impl Fn(&mut [T]) -> Result<()>,
    scoped: impl for<'s, 'e> Fn(&'s Scope<'s, 'e>, &'s mut [T]) -> Result<One<'s, T>>,
) -> Result<()> {
    let mut data = before.to_vec();
    blocking(&mut data)?;
    assert_eq!(data, after, "in place");
    let mut data = before.to_vec();
    comm.scope(|s| {
        assert_eq!(scoped(s, &mut data)?.wait()?, after, "nonblocking in place");
        Ok(())
    })?;
    let mut forgotten = before.to_vec();
    comm.scope(|s| {
        let _ = scoped(s, &mut forgotten)?;
        Ok(())
    })?;
    assert_eq!(forgotten, after, "forgotten");
    Ok(())
}

/// A call on a vector of its own.
pub fn one_owned<T: Value>(
    (before, after): (&[T], &[T]),
    owned: impl Fn(Vec<T>) -> Result<OwnedCollective<Vec<T>>>,
    plan: impl Fn(Vec<T>) -> Result<CollectivePlan<Vec<T>>>,
) -> Result<()> {
    assert_eq!(owned(before.to_vec())?.wait()?, after, "owned");
    let mut plan = plan(before.to_vec())?;
    for _ in 0..3 {
        plan.buffers()?.copy_from_slice(before);
        plan.start()?;
        assert_eq!(plan.wait()?, after, "plan");
    }
    Ok(())
}

/// A call from `send` into a buffer that holds `before` and must hold `after`.
pub fn two<T: Value>(
    comm: &Comm,
    (send, before, after): (&[T], &[T], &[T]),
    blocking: impl Fn(&[T], &mut [T]) -> Result<()>,
    scoped: impl for<'s, 'e> Fn(&'s Scope<'s, 'e>, &'s [T], &'s mut [T]) -> Result<Two<'s, T>>,
) -> Result<()> {
    let mut recv = before.to_vec();
    blocking(send, &mut recv)?;
    assert_eq!(recv, after, "into");
    let mut recv = before.to_vec();
    comm.scope(|s| {
        let mut request = scoped(s, send, &mut recv)?;
        let (sent, received) = loop {
            match request.test()? {
                Test::Done(done) => break done,
                Test::Pending(again) => request = again,
            }
            std::thread::yield_now();
        };
        assert_eq!((sent, &*received), (send, after), "nonblocking");
        Ok(())
    })
}

/// A call on two vectors of its own.
pub fn two_owned<T: Value>(
    (send, before, after): (&[T], &[T], &[T]),
    owned: impl Fn(Vec<T>, Vec<T>) -> Result<OwnedCollective<Pair<T>>>,
    plan: impl Fn(Vec<T>, Vec<T>) -> Result<CollectivePlan<Pair<T>>>,
) -> Result<()> {
    let mut owned = owned(send.to_vec(), before.to_vec())?;
    let (sent, received) = loop {
        match owned.test()? {
            Test::Done(done) => break done,
            Test::Pending(again) => owned = again,
        }
        std::thread::yield_now();
    };
    assert_eq!((&sent[..], &received[..]), (send, after), "owned");
    // Each time on other vectors.
    let mut plan = plan(send.to_vec(), before.to_vec())?;
    for _ in 0..2 {
        plan.start()?;
        while plan.test()?.is_none() {
            std::thread::yield_now();
        }
        let (sent, received) = plan.swap((send.to_vec(), before.to_vec()))?;
        assert_eq!((&sent[..], &received[..]), (send, after), "plan");
    }
    plan.start()?;
    let (_, received) = plan.into_buffers()?;
    assert_eq!(received, after, "plan, given back");
    Ok(())
}
