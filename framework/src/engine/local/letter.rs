//! One message on its way between two threads: its envelope, and its contents in one of three forms.
//!
//! Small ones travel inside the letter. Larger ones are lent: the receiver copies straight out of the sender's
//! buffer, once. Vectors sent by value are moved. Who matches which letter is `inbox`'s business.

use super::World;
use super::queue::{NONE, bucket};
use super::sync::{AtomicU32, Ordering};
use crate::comm::element::Kind;
use crate::engine::{Envelope, Fault, From, Outcome, Parcel, Tagged};
use std::mem::MaybeUninit;

/// The largest message that travels inside the letter; with the envelope it makes one cache line.
pub(super) const INLINE: usize = 38;

/// The largest lent message that is copied while its letter stands in the ring: others may wait for the lock meanwhile.
const BRIEF: usize = 64 << 10;

pub(super) struct Letter {
    pub context: u32,
    /// The sender's rank in the communicator.
    pub source: u32,
    pub tag: i32,
    /// Its kind's print.
    pub kind: u32,
    pub body: Body,
}

pub(super) enum Body {
    Inline { len: u8, data: [MaybeUninit<u8>; INLINE] },
    Lent { data: *const u8, len: usize, loan: *const Loan },
    Moved(Box<dyn Parcel>),
}

// SAFETY: the pointers of a lent body stay valid until the receiver has marked the loan, on whatever thread.
unsafe impl Send for Letter {}

/// The sender's side of a lent buffer: says when it has been given back.
pub(super) struct Loan {
    returned: AtomicU32,
    /// Where its letter stands among the receiver's unexpected ones, once it does; under the receiver's lock.
    place: AtomicU32,
    /// The world rank to wake.
    owner: u32,
}

impl Loan {
    pub fn new(owner: usize) -> Loan {
        Loan { returned: AtomicU32::new(0), place: AtomicU32::new(NONE), owner: owner as u32 }
    }

    /// As new, for another send. The last one is over: nobody looks at the loan any more.
    pub fn renew(&self) {
        self.returned.store(0, Ordering::Relaxed);
        self.place.store(NONE, Ordering::Relaxed);
    }

    pub fn place(&self) -> u32 {
        self.place.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub fn returned(&self) -> bool {
        self.returned.load(Ordering::Acquire) != 0
    }

    /// The sender itself has ended the loan: no letter refers to it any more.
    pub fn end(&self) {
        self.returned.store(1, Ordering::Release);
    }

    /// Gives the buffer back and wakes its owner.
    ///
    /// # Safety
    /// `loan` is valid and not yet returned. It may be gone as soon as it is.
    #[inline]
    unsafe fn give_back(loan: *const Loan, world: &World) {
        // SAFETY: valid until the store, which is the last thing done to it.
        let owner = unsafe {
            let owner = (*loan).owner;
            (*loan).returned.store(1, Ordering::Release);
            owner
        };
        world.wake(owner as usize);
    }
}

/// Whom and what a receive or probe accepts.
#[derive(Clone, Copy)]
pub(super) struct Want {
    pub context: u32,
    pub from: From,
    pub tag: Tagged,
}

impl Want {
    #[inline(always)]
    pub fn accepts(&self, letter: &Letter) -> bool {
        self.takes(letter.context, letter.source, letter.tag)
    }

    #[inline(always)]
    pub fn takes(&self, context: u32, source: u32, tag: i32) -> bool {
        context == self.context
            && match self.from {
                From::Any => true,
                From::Rank(rank) => rank == source as usize,
            }
            && match self.tag {
                Tagged::Any => true,
                Tagged::Tag(wanted) => wanted == tag,
            }
    }

    /// The bucket in which all it accepts is; `None` with a wildcard.
    #[inline]
    pub fn bucket(&self) -> Option<usize> {
        match (self.from, self.tag) {
            (From::Rank(source), Tagged::Tag(tag)) => Some(bucket(self.context, source as u32, tag)),
            _ => None,
        }
    }
}

impl Letter {
    /// Writes a letter with `data` inside; it fits.
    #[inline(always)]
    pub fn write_inline(
        slot: &mut MaybeUninit<Letter>,
        context: u32,
        source: usize,
        tag: i32,
        kind: Kind,
        data: &[u8],
    ) {
        let body = Body::Inline { len: data.len() as u8, data: [MaybeUninit::uninit(); INLINE] };
        let letter = slot.write(Letter { context, source: source as u32, tag, kind: kind.print(), body });
        if let Body::Inline { data: body, .. } = &mut letter.body {
            assert!(data.len() <= INLINE);
            // SAFETY: it fits, and a slot overlaps with no buffer.
            unsafe { copy_small(data.as_ptr(), body.as_mut_ptr().cast(), data.len()) };
        }
    }

    /// What an inline letter does in [`Letter::deliver`], without moving it; `None` if it is not inline.
    ///
    /// # Safety
    /// As [`Letter::deliver`].
    #[inline(always)]
    pub unsafe fn read_inline(
        &self,
        kind: Kind,
        data: *mut u8,
        capacity: usize,
    ) -> Option<Outcome<Envelope>> {
        let Body::Inline { len, data: body } = &self.body else { return None };
        let bytes = usize::from(*len);
        let envelope = Envelope { source: self.source as usize, tag: self.tag, kind: self.kind, bytes };
        if bytes > capacity || self.kind != kind.print() {
            return Some(Err(misfit(envelope, kind, capacity)));
        }
        // SAFETY: `len` bytes are written in the body, and fit, the caller says.
        unsafe { copy_small(body.as_ptr().cast(), data, bytes) };
        Some(Ok(envelope))
    }

    /// What [`Letter::deliver`] does to an inline or briefly lent letter, without moving it; `None` if it is neither.
    ///
    /// # Safety
    /// As [`Letter::deliver`]. After an answer the letter must not be used again.
    #[inline(always)]
    pub unsafe fn read_front(
        &self,
        world: &World,
        kind: Kind,
        data: *mut u8,
        capacity: usize,
    ) -> Option<Outcome<Envelope>> {
        let Body::Lent { data: from, len, loan } = self.body else {
            // SAFETY: the caller's promise.
            return unsafe { self.read_inline(kind, data, capacity) };
        };
        if len > BRIEF || len > capacity || self.kind != kind.print() {
            return None;
        }
        let envelope = Envelope { source: self.source as usize, tag: self.tag, kind: self.kind, bytes: len };
        // SAFETY: a lent buffer is valid until it is given back; it fits, and the rest is the caller's promise.
        unsafe {
            std::ptr::copy_nonoverlapping(from, data, len);
            Loan::give_back(loan, world);
        }
        Some(Ok(envelope))
    }

    pub fn envelope(&self) -> Envelope {
        let bytes = match &self.body {
            Body::Inline { len, .. } => usize::from(*len),
            Body::Lent { len, .. } => *len,
            Body::Moved(parcel) => parcel.bytes().len(),
        };
        Envelope { source: self.source as usize, tag: self.tag, kind: self.kind, bytes }
    }

    /// Ends the letter: copies what it holds to `data`, of `capacity` bytes, and gives a lent buffer back. The
    /// sender is served also when the receiver cannot take it.
    ///
    /// # Safety
    /// `data` is valid for writes of `capacity` bytes and does not overlap a lent buffer.
    #[inline]
    pub unsafe fn deliver(
        self,
        world: &World,
        kind: Kind,
        data: *mut u8,
        capacity: usize,
    ) -> Outcome<Envelope> {
        // SAFETY: the caller's promise.
        if let Some(outcome) = unsafe { self.read_inline(kind, data, capacity) } {
            return outcome;
        }
        let envelope = self.envelope();
        let fits = envelope.bytes <= capacity && envelope.kind == kind.print();
        match self.body {
            Body::Inline { .. } => {}
            Body::Lent { data: from, len, loan } => {
                // SAFETY: a lent buffer is valid until it is given back; the rest is the caller's promise.
                unsafe {
                    if fits {
                        std::ptr::copy_nonoverlapping(from, data, len);
                    }
                    Loan::give_back(loan, world);
                }
            }
            Body::Moved(parcel) => {
                if fits {
                    let from = parcel.bytes();
                    // SAFETY: the caller's promise; a parcel is the letter's own.
                    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), data, from.len()) };
                }
            }
        }
        if fits { Ok(envelope) } else { Err(misfit(envelope, kind, capacity)) }
    }

    /// The sender no longer lends: the letter keeps a copy.
    ///
    /// # Safety
    /// The body is lent and not yet given back.
    pub unsafe fn keep_copy(&mut self) {
        if let Body::Lent { data, len, .. } = self.body {
            // SAFETY: a lent buffer is valid until it is given back.
            let copy = unsafe { std::slice::from_raw_parts(data, len) }.to_vec();
            self.body = Body::Moved(Box::new(copy));
        }
    }

    /// Tells the sender, if it lends, where its letter is among the unexpected.
    #[inline]
    pub fn note_place(&self, index: u32) {
        if let Body::Lent { loan, .. } = self.body {
            // SAFETY: a loan is valid until it is given back, which is done with the letter in hand.
            unsafe { (*loan).place.store(index, Ordering::Relaxed) };
        }
    }

    pub fn is_lent_as(&self, wanted: *const Loan) -> bool {
        matches!(self.body, Body::Lent { loan, .. } if std::ptr::eq(loan, wanted))
    }
}

#[cold]
fn misfit(envelope: Envelope, kind: Kind, capacity: usize) -> Fault {
    let Envelope { source, tag, kind: sent, bytes } = envelope;
    if sent != kind.print() {
        Fault::WrongKind { source, tag, sent }
    } else {
        Fault::Truncated { source, tag, sent: Some(bytes), capacity }
    }
}

/// Copies a few bytes; the lengths of single numbers without a call.
///
/// # Safety
/// As `copy_nonoverlapping`.
#[inline(always)]
unsafe fn copy_small(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's promise, with the length spelled out.
    unsafe {
        match len {
            8 => std::ptr::copy_nonoverlapping(from, to, 8),
            4 => std::ptr::copy_nonoverlapping(from, to, 4),
            n => std::ptr::copy_nonoverlapping(from, to, n),
        }
    }
}

const _: () = assert!(size_of::<Letter>() <= 56, "a letter and its slot's number share a cache line");
