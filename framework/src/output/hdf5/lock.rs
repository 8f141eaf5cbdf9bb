//! The lock that the library takes on each file it opens (`flock`), and who has it by accident: a process started by
//! this one has whatever was open here, until it runs its program at least, and the lock is held as long as anybody has
//! the file.

use super::{File, Id, Said, call};
use ::hdf5::globals::H5FD_SEC2;
use hdf5_sys::h5f::{H5Fget_access_plist, H5Fget_vfd_handle};
use hdf5_sys::h5p::{H5P_DEFAULT, H5Pclose, H5Pget_driver};
use rustix::io::{FdFlags, fcntl_setfd};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// How often a locked file is tried again, and the time between: longer than a process takes to run its program. Counted, so
/// that a process that is stopped meanwhile has lost one try.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// Whether the library was refused a file since somebody else has it open.
pub(in crate::output) fn locked(said: &str) -> bool {
    said.contains("lock file") && said.contains("temporarily unavailable")
}

/// Opens a file; while it is locked, again and again for a second.
pub(super) fn patiently<T>(mut open: impl FnMut() -> Said<T>) -> Said<T> {
    for _ in 0..TRIES {
        match open() {
            Err(said) if locked(&said) => std::thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
    open()
}

impl File {
    /// Keeps the file from programs that this process starts while it is open.
    pub(super) fn keep_from_children(&self) -> Said<()> {
        // SAFETY: the file is open.
        let access = Id::new(H5Pclose, || unsafe { H5Fget_access_plist(self.id()) })?;
        // SAFETY: the list is open and of this class.
        if call(|| unsafe { H5Pget_driver(access.id) })? != *H5FD_SEC2 {
            // Somebody has set another driver (HDF5_DRIVER), and what it has open is its own business.
            return Ok(());
        }
        let mut handle = std::ptr::null_mut();
        // SAFETY: the file is open, and `handle` outlives the call.
        call(|| unsafe { H5Fget_vfd_handle(self.id(), H5P_DEFAULT, &raw mut handle) })?;
        // SAFETY: this driver's handle is an open file descriptor, which belongs to the open file.
        let file = unsafe { BorrowedFd::borrow_raw(*handle.cast::<i32>()) };
        fcntl_setfd(file, FdFlags::CLOEXEC).map_err(|errno| errno.to_string())
    }
}
