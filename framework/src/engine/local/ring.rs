//! A ring of letters from one rank to another: one producer, one consumer at a time, no lock.
//!
//! It keeps order and nothing else: what a letter means, and who may consume, is `inbox`'s business. A slot's own
//! sequence number says that it is filled, so a waiting consumer watches the very cache line that the letter comes
//! on, and a message costs one transfer of it.

use super::sync::{AtomicU32, Ordering, Padded, UnsafeCell};
use std::mem::MaybeUninit;

#[repr(align(64))]
struct Slot<T> {
    /// One more than the position of the letter that is in it.
    filled: AtomicU32,
    value: UnsafeCell<MaybeUninit<T>>,
}

/// The producer's own.
struct Producer {
    /// The position of the next letter.
    tail: u32,
    /// `head` as last seen.
    head: u32,
}

pub(super) struct Ring<T> {
    slots: Box<[Slot<T>]>,
    /// The position of the letter to be taken next; written by the consumer.
    head: Padded<AtomicU32>,
    producer: Padded<UnsafeCell<Producer>>,
}

// SAFETY: letters are handed from one thread to the other through `filled` (release, acquire) and back through
// `head`; the contracts of `push` and `pop` keep the sides to one thread at a time.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> Ring<T> {
    /// `capacity` is a power of two.
    pub fn new(capacity: usize) -> Self {
        debug_assert!(capacity.is_power_of_two());
        let slot = |_| Slot { filled: AtomicU32::new(0), value: UnsafeCell::new(MaybeUninit::uninit()) };
        Ring {
            slots: (0..capacity).map(slot).collect(),
            head: Padded(AtomicU32::new(0)),
            producer: Padded(UnsafeCell::new(Producer { tail: 0, head: 0 })),
        }
    }

    #[inline(always)]
    fn slot(&self, position: u32) -> &Slot<T> {
        &self.slots[position as usize & (self.slots.len() - 1)]
    }

    /// Puts a letter in; gives it back if the ring is full.
    ///
    /// # Safety
    /// Only one thread at a time pushes.
    #[inline]
    pub unsafe fn push(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        // SAFETY: the caller's promise; the closure fills the slot, since `value` is there once.
        let pushed = unsafe {
            self.push_with(|slot| {
                if let Some(value) = value.take() {
                    slot.write(value);
                }
            })
        };
        match value {
            Some(value) if !pushed => Err(value),
            _ => Ok(()),
        }
    }

    /// Lets `fill` write a letter into its slot, where it will be read; `false`, without calling it, if the ring is
    /// full.
    ///
    /// # Safety
    /// Only one thread at a time pushes, and `fill` initialises the slot.
    #[inline(always)]
    pub unsafe fn push_with(&self, fill: impl FnOnce(&mut MaybeUninit<T>)) -> bool {
        // SAFETY: the caller is the only producer, and nobody else looks at these.
        let (tail, seen) = self.producer.with(|p| unsafe { ((*p).tail, (*p).head) });
        if tail.wrapping_sub(seen) as usize == self.slots.len() {
            let head = self.head.load(Ordering::Acquire);
            // SAFETY: as above.
            self.producer.with_mut(|p| unsafe { (*p).head = head });
            if head == seen {
                return false;
            }
        }
        let slot = self.slot(tail);
        // SAFETY: the consumer has left this slot (seen through `head`) and enters it again only after `filled`.
        slot.value.with_mut(|v| fill(unsafe { &mut *v }));
        slot.filled.store(tail.wrapping_add(1), Ordering::Release);
        // SAFETY: as above.
        self.producer.with_mut(|p| unsafe { (*p).tail = tail.wrapping_add(1) });
        true
    }

    /// Whether there is a letter. Anybody may ask.
    #[inline(always)]
    pub fn ready(&self) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        self.slot(head).filled.load(Ordering::Acquire) == head.wrapping_add(1)
    }

    /// Takes the oldest letter.
    ///
    /// # Safety
    /// Only one thread at a time pops; when that changes to another thread, a lock or alike orders the two.
    #[inline]
    pub unsafe fn pop(&self) -> Option<T> {
        // SAFETY: the caller's promise; the letter is moved out and its slot left.
        unsafe { self.pop_with(|value| Some(std::ptr::read(value))) }
    }

    /// Lets `read` look at the oldest letter where it stands; if it answers, the letter is gone, without being
    /// dropped.
    ///
    /// # Safety
    /// As [`Ring::pop`].
    #[inline(always)]
    pub unsafe fn pop_with<R>(&self, read: impl FnOnce(&T) -> Option<R>) -> Option<R> {
        let head = self.head.load(Ordering::Relaxed);
        let slot = self.slot(head);
        if slot.filled.load(Ordering::Acquire) != head.wrapping_add(1) {
            return None;
        }
        // SAFETY: the slot is filled, and the producer comes back to it only after `head` has moved on.
        let answer = slot.value.with(|v| read(unsafe { (*v).assume_init_ref() }))?;
        self.head.store(head.wrapping_add(1), Ordering::Release);
        Some(answer)
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        // SAFETY: `&mut self`: there is no other thread.
        while unsafe { self.pop() }.is_some() {}
    }
}
