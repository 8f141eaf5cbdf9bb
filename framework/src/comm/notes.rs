//! What an author hangs on a communicator: a name, and values of his own; MPI's names and attributes.
//!
//! All of it is local, and of this communicator only: neither `dup` nor `split` copies it.

use super::{Comm, Group};
use crate::error::Result;
use std::any::{Any, TypeId};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::panic::Location;
use std::rc::Rc;

/// The notes of one communicator.
#[derive(Default)]
pub(crate) struct Notes {
    name: RefCell<Option<Rc<str>>>,
    attached: RefCell<HashMap<TypeId, Rc<dyn Any>>>,
    /// Which world ranks it has, once somebody has asked.
    pub(super) group: OnceCell<Group>,
}

impl Comm {
    /// Names the communicator, for errors and, under MPI, for debuggers. Local. `dup` and `split` do not copy it.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2], |world| {
    ///     let ring = world.dup()?;
    ///     ring.set_name("ring")?;
    ///     assert_eq!((ring.name().as_deref(), world.name()), (Some("ring"), None));
    ///     let error = ring.send(&[1], 99, 0).unwrap_err();
    ///     assert_eq!(error.what(), "send on ring: there is no rank 99");
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn set_name(&self, name: &str) -> Result<()> {
        let place = Location::caller();
        let named = self.engine().set_name(name);
        named.map_err(|fault| self.fault("set_name", place, fault, ("", 1)))?;
        *self.inner.notes.name.borrow_mut() = Some(name.into());
        Ok(())
    }

    /// The name, if it has one.
    pub fn name(&self) -> Option<Rc<str>> {
        self.inner.notes.name.borrow().clone()
    }

    /// A call's name for an error: with the communicator's, where it has one.
    pub(super) fn spoken(&self, call: &str) -> String {
        match &*self.inner.notes.name.borrow() {
            Some(name) => format!("{call} on {name}"),
            None => call.to_string(),
        }
    }

    /// Keeps a value with the communicator, one of each type; gives back the one it replaces. Local. It is dropped
    /// with the communicator, and neither `dup` nor `split` copies it.
    ///
    /// A library keeps here what it makes once for a communicator that it gets from its caller:
    ///
    /// ```
    /// struct Lanes(rankine::Comm);
    /// fn lanes(comm: &rankine::Comm) -> rankine::Result<std::rc::Rc<Lanes>> {
    ///     if comm.attached::<Lanes>().is_none() {
    ///         comm.attach(Lanes(comm.dup()?));
    ///     }
    ///     Ok(comm.attached().expect("just attached"))
    /// }
    /// rankine::testing::ranks([1, 2], |world| {
    ///     assert!(std::rc::Rc::ptr_eq(&lanes(world)?, &lanes(world)?));
    ///     Ok(())
    /// });
    /// ```
    pub fn attach<T: Any>(&self, value: T) -> Option<Rc<T>> {
        let before = self.inner.notes.attached.borrow_mut().insert(TypeId::of::<T>(), Rc::new(value));
        before.and_then(|before| before.downcast().ok())
    }

    /// The value of this type that was attached. Local.
    pub fn attached<T: Any>(&self) -> Option<Rc<T>> {
        let found = self.inner.notes.attached.borrow().get(&TypeId::of::<T>()).cloned();
        found.and_then(|found| found.downcast().ok())
    }

    /// Takes the value of this type off the communicator. Local.
    pub fn detach<T: Any>(&self) -> Option<Rc<T>> {
        let found = self.inner.notes.attached.borrow_mut().remove(&TypeId::of::<T>());
        found.and_then(|found| found.downcast().ok())
    }
}
