//! The lock of a window's part: one holder, or many that share, in the order they came.
//!
//! An ordinary lock would not do: a rank that waits here must leave when the job goes down.

use super::super::World;
use super::super::turns::{Act, Look};
use crate::engine::Outcome;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub(super) struct Turnstile(Mutex<State>);

#[derive(Default)]
struct State {
    exclusive: bool,
    sharing: usize,
    queue: VecDeque<Waiting>,
}

struct Waiting {
    /// World rank.
    who: usize,
    exclusive: bool,
    granted: Arc<AtomicBool>,
}

impl State {
    fn free(&self, exclusive: bool) -> bool {
        !self.exclusive && (!exclusive || self.sharing == 0)
    }

    fn take(&mut self, exclusive: bool) {
        if exclusive {
            self.exclusive = true;
        } else {
            self.sharing += 1;
        }
    }

    fn give(&mut self) {
        if self.exclusive {
            self.exclusive = false;
        } else {
            self.sharing -= 1;
        }
    }

    /// Lets in whose turn it is.
    fn admit(&mut self, world: &World) {
        while let Some(next) = self.queue.front()
            && self.free(next.exclusive)
            && let Some(next) = self.queue.pop_front()
        {
            self.take(next.exclusive);
            next.granted.store(true, Ordering::Release);
            world.wake(next.who);
        }
    }
}

impl Turnstile {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its turn, unless the job goes down.
    pub fn enter(&self, world: &World, who: usize, exclusive: bool) -> Outcome<()> {
        if let Some(turns) = &world.turns {
            // It is decided who comes first.
            let mut look = || match self.state().free(exclusive) {
                true => Look::Open(vec![Act::Lock]),
                false => Look::Blocked,
            };
            world.in_turn(turns, who, &mut look)?;
            self.state().take(exclusive);
            return Ok(());
        }
        let granted = {
            let mut state = self.state();
            if state.queue.is_empty() && state.free(exclusive) {
                state.take(exclusive);
                return Ok(());
            }
            let granted = Arc::new(AtomicBool::new(false));
            state.queue.push_back(Waiting { who, exclusive, granted: granted.clone() });
            granted
        };
        world.wait(who, || granted.load(Ordering::Acquire)).inspect_err(|_| {
            let mut state = self.state();
            if granted.load(Ordering::Acquire) {
                state.give();
            } else {
                state.queue.retain(|waiting| !Arc::ptr_eq(&waiting.granted, &granted));
            }
            state.admit(world);
        })
    }

    pub fn leave(&self, world: &World) {
        let mut state = self.state();
        state.give();
        state.admit(world);
    }
}
