//! Blocking collectives of a few ranks that have a core each: everybody looks at everybody.
//!
//! What a rank shows is one cache line where little is contributed, two at most. All ranks then know all they need for
//! a small call. For a large one they show addresses, each does a fixed share of the work, and a rank waits at the end
//! for those only that work in its buffers.

use super::check::{self, Claim, Words};
use super::counted;
use super::part::Part;
use super::posts::{End, Posts};
use super::small::{self, SMALL, Small};
use super::work::{self, Work};
use super::{Call, Collective};
use crate::engine::local::Local;
use crate::engine::{Fault, Outcome, Place, Reduction};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a rank shows.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Shown {
    /// They fill the first cache line together with the stamp and the first 32 bytes of what is contributed.
    words: Words,
    /// In a small call: what it contributes.
    small: Small,
    /// In a large call.
    part: Part,
}

/// The meeting place of a few ranks.
pub(super) struct Direct {
    posts: Posts<Shown>,
    claims: Posts<Option<Claim>>,
    own: Box<[super::Padded<Own>]>,
}

/// What a rank keeps for itself.
struct Own {
    /// The number of its last call.
    number: AtomicU64,
    /// It has left a call that the others may still be in: it must not show anything any more.
    left: AtomicBool,
}

// SAFETY: the pointers shown are followed only until their owner has left the call.
unsafe impl Send for Shown {}
// SAFETY: as above.
unsafe impl Sync for Shown {}

impl Direct {
    /// The most ranks that meet this way.
    pub const MOST: usize = 8;

    pub fn new(size: usize) -> Direct {
        let own = || super::Padded(Own { number: AtomicU64::new(0), left: AtomicBool::new(false) });
        Direct {
            posts: Posts::new(size, || Shown {
                words: Words::NONE,
                small: Small::EMPTY,
                part: Part::nothing(),
            }),
            claims: Posts::new(size, || None),
            own: (0..size).map(|_| own()).collect(),
        }
    }
}

impl Direct {
    /// What `rank`, which has been seen to show something, says of its call.
    fn claim(&self, rank: usize, number: u64) -> Claim {
        while !self.claims.shown(rank, number) {
            // It comes right after what has been seen.
            std::hint::spin_loop();
        }
        // SAFETY: just seen to be shown.
        match unsafe { self.claims.value(rank, number, |claim| *claim) } {
            Some(claim) => claim,
            None => unreachable!("shown with a claim"),
        }
    }
}

/// A call that all ranks are in.
struct Met<'d> {
    direct: &'d Direct,
    number: u64,
}

impl<'d> Met<'d> {
    fn small(&self, rank: usize) -> &'d [u8; SMALL] {
        // SAFETY: all show something, and have seen that they agree.
        unsafe { self.direct.posts.value(rank, self.number, |shown| &(*shown).small.0) }
    }

    fn part(&self, rank: usize) -> &'d Part {
        // SAFETY: as above.
        unsafe { self.direct.posts.value(rank, self.number, |shown| &(*shown).part) }
    }

    /// What another rank shows of a call with counts.
    fn counted(&self, rank: usize, mine: &Part, size: usize) -> Part {
        // SAFETY: as above.
        let small = unsafe { self.direct.posts.value(rank, self.number, |shown| &(*shown).small) };
        counted::unpack(mine.call, mine.root, size, small).unwrap_or_else(|| *self.part(rank))
    }
}

impl Local {
    /// # Safety
    /// As [`Local::collective`].
    pub(super) unsafe fn exchange_and_work(
        &self,
        direct: &Direct,
        part: Part,
        call: &Collective<'_>,
        place: Place,
    ) -> Outcome<()> {
        let size = self.size();
        let claim = || self.claim(&part, call, place);
        if part.is_small(size, SMALL) {
            let (given, len) = part.contribution(self.rank, size);
            // SAFETY: the caller's promise: `given` is the send side, or where that is in place the receive side.
            let met = self.show(direct, &part, call, claim, |shown| unsafe {
                small::copy(given, shown.small.0.as_mut_ptr(), len);
            })?;
            // SAFETY: the caller's promise, and the ranks agree.
            unsafe { small::answer(&part, self.rank, size, call.op, |rank| met.small(rank)) };
            return Ok(());
        }
        if part.is_counted() {
            let mut packed = false;
            let met = self.show(direct, &part, call, claim, |shown| {
                // SAFETY: the caller's promise.
                packed = unsafe { counted::pack(&part, self.rank, size, &mut shown.small) };
                if !packed {
                    shown.part = part;
                }
            })?;
            let mut parts = [part; Direct::MOST];
            for rank in (0..size).filter(|&rank| rank != self.rank) {
                parts[rank] = met.counted(rank, &part, size);
            }
            // SAFETY: the caller's promise, and that of all others; what is packed stays there until the call after next.
            return unsafe { self.do_share(&met, &|rank| &parts[rank], !packed, call.op) };
        }
        let met = self.show(direct, &part, call, claim, |shown| shown.part = part)?;
        // SAFETY: the caller's promise, and that of all others.
        unsafe { self.do_share(&met, &|rank| met.part(rank), true, call.op) }
    }

    /// Agrees with the others about a call of another kind, such as a split.
    pub(super) fn agree_directly(&self, direct: &Direct, claim: Claim) -> Outcome<()> {
        // No barrier has a name.
        let (mix, name) = (claim.started as u32, claim.signature.call.as_ptr() as usize);
        let words = Words { mix, name, ..Words::NONE };
        self.show_words(direct, words, || claim, false, |_| ()).map(drop)
    }

    #[inline(always)]
    fn show<'d>(
        &self,
        direct: &'d Direct,
        part: &Part,
        call: &Collective<'_>,
        claim: impl FnOnce() -> Claim,
        bring: impl FnOnce(&mut Shown),
    ) -> Outcome<Met<'d>> {
        let words = Words::of(part, call, self.started_so_far());
        let large = !part.is_small(self.size(), SMALL);
        self.show_words(direct, words, claim, large, bring)
    }

    /// Shows what it brings and waits until all have shown theirs and agree.
    #[inline(always)]
    fn show_words<'d>(
        &self,
        direct: &'d Direct,
        words: Words,
        claim: impl FnOnce() -> Claim,
        large: bool,
        bring: impl FnOnce(&mut Shown),
    ) -> Outcome<Met<'d>> {
        let (size, me) = (self.size(), self.rank);
        let own = &*direct.own[me];
        if own.left.load(Ordering::Relaxed) {
            return Err(Fault::Aborted);
        }
        let number = own.number.load(Ordering::Relaxed) + 1;
        own.number.store(number, Ordering::Relaxed);
        // SAFETY: numbered one after the other, and left for good where one was not seen to be shown by all.
        unsafe {
            direct.posts.show(me, number, |shown| {
                shown.words = words;
                bring(shown);
            });
        }
        self.wake_members();
        // The others wait for the words, and hardly ever look at the claim.
        // SAFETY: as above.
        unsafe { direct.claims.show(me, number, |at| *at = Some(claim())) };
        let mut next = 0;
        let waited = self.world.wait(self.me, || {
            while next < size && (next == me || direct.posts.shown(next, number)) {
                next += 1;
            }
            next == size
        });
        if let Err(fault) = waited {
            self.leave_directly(direct, number, large);
            return Err(fault);
        }
        let agree = |rank: usize| {
            // SAFETY: seen to be shown.
            unsafe { direct.posts.value(rank, number, |shown| (*shown).words == words) }
        };
        if (0..size).all(agree) {
            return Ok(Met { direct, number });
        }
        self.look_closer(direct, number)
    }

    /// The ranks show different words: they may mean the same, such as an operator whose name stands twice in the
    /// program.
    #[cold]
    fn look_closer<'d>(&self, direct: &'d Direct, number: u64) -> Outcome<Met<'d>> {
        let claim = |rank: usize| direct.claim(rank, number);
        let size = self.size();
        let first = claim(0);
        if (1..size).all(|rank| check::same(&claim(rank), &first)) {
            return Ok(Met { direct, number });
        }
        Err(Fault::Mismatch(check::told(self.rank, size, &claim, None)))
    }

    /// Leaves a call for which not all have come; the job is going down.
    #[cold]
    fn leave_directly(&self, direct: &Direct, number: u64, large: bool) {
        direct.own[self.rank].left.store(true, Ordering::Relaxed);
        if large {
            // What a small call shows is a copy; here somebody may be following our addresses.
            direct.posts.withdraw(self.rank, number, |other| {
                while direct.posts.ended(other, number) == End::NotYet {
                    std::thread::yield_now();
                }
            });
        }
    }

    /// Does this rank's share of the work, and waits until its buffers are its own again: `lent` says that it has shown
    /// where they are.
    ///
    /// # Safety
    /// All parts are as promised to [`Local::collective`].
    #[inline(never)]
    unsafe fn do_share<'a>(
        &self,
        met: &Met<'_>,
        parts: &'a (dyn Fn(usize) -> &'a Part + 'a),
        lent: bool,
        op: Option<&'a Reduction>,
    ) -> Outcome<()> {
        let (size, me, posts, number) = (self.size(), self.rank, &met.direct.posts, met.number);
        let part = parts(me);
        let work = Work { size, part: parts, op };
        // SAFETY: everybody is in it, until all have ended where there are spans.
        let misfit = unsafe { check::misfit(size, parts) };
        let worked = match misfit {
            Some(_) => Ok(()),
            // A panic of an operator must not keep the others waiting.
            None if op.is_some() => {
                // SAFETY: the caller's promise; ranks have different shares.
                catch_unwind(AssertUnwindSafe(|| unsafe { work.share(me) }))
            }
            None => {
                // SAFETY: as above.
                unsafe { work.share(me) };
                Ok(())
            }
        };
        posts.end(me, number, worked.is_ok());
        self.wake_members();
        let mut outcome = Ok(());
        for other in (0..size).filter(|&other| lent && other != me && awaits(part, me, other)) {
            // No user code stands between, but a reduction's.
            while posts.ended(other, number) == End::NotYet {
                if self.world.wait(self.me, || posts.ended(other, number) != End::NotYet).is_err() {
                    std::thread::yield_now();
                }
            }
            if posts.ended(other, number) != End::Well {
                outcome = Err(Fault::Aborted);
            }
        }
        if let Err(payload) = worked {
            resume_unwind(payload);
        }
        if let Some(misfit) = misfit {
            let claim = |rank: usize| met.direct.claim(rank, number);
            return Err(Fault::Mismatch(check::told(me, size, &claim, Some(misfit))));
        }
        if outcome.is_ok() {
            // SAFETY: all have ended their shares.
            unsafe { work::settle(part, me) };
        }
        outcome
    }
}

/// Whether rank `me` must know that `other` has ended: because it works in our buffers, reads our spans, or makes a
/// part of our answer.
fn awaits(part: &Part, me: usize, other: usize) -> bool {
    let rooted =
        matches!(part.call, Call::Bcast | Call::Scatter | Call::Scatterv | Call::Gather | Call::Gatherv);
    if !rooted {
        return true;
    }
    match (me == part.root, other == part.root) {
        (true, _) => true,
        (_, false) => false,
        // Below that length the receiver does it all.
        (false, true) => matches!(part.call, Call::Gather | Call::Gatherv) || Work::is_shared(part),
    }
}
