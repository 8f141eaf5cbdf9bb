//! The atomics and cells that the lock-free parts are written with.
//!
//! `tests/loom.rs` compiles those parts once more with a module of this name made of loom's types, and explores
//! their interleavings; so they take these from here, and nothing else from std.

pub(super) use super::asymmetric::{heavy_fence, light_fence};
pub(super) use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    sync::{Mutex, MutexGuard},
    thread::{self, Thread},
};

/// std's cell with loom's interface, which hands out pointers for the time of a closure.
pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub fn new(value: T) -> Self {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    #[inline(always)]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A value on cache lines of its own; two lines, because the hardware fetches them in pairs.
#[repr(align(128))]
pub(super) struct Padded<T>(pub T);

impl<T> std::ops::Deref for Padded<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}
