//! Room for a reference to something that lives for ever, shared between threads: a call's name, a source line.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Empty at first.
pub(super) struct Fixed<T: 'static>(AtomicPtr<T>);

impl<T: Sync> Fixed<T> {
    pub const fn new() -> Self {
        Fixed(AtomicPtr::new(ptr::null_mut()))
    }

    #[inline(always)]
    pub fn set(&self, value: &'static T) {
        self.0.store(ptr::from_ref(value).cast_mut(), Ordering::Release);
    }

    pub fn get(&self) -> Option<&'static T> {
        // SAFETY: null, or one of the shared references that `set` was given, which are valid for ever.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }
}
