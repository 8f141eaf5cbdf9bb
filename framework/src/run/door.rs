//! How a run is looked at while it goes on: where `rankine top` finds it, and who is told of ranks that are late.

use super::directory;
use super::report::Reporter;
use crate::comm::Comm;
use crate::output::files::write_secret;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// While it is there, people may look at the job: the run's directory says where.
pub(super) struct Door(Option<PathBuf>);

impl Door {
    /// On the rank whose process sees all ranks, if there is one. A job that cannot be looked at runs all the same.
    pub fn open(comm: &Comm, directory: Option<&Path>) -> Door {
        let file = directory.filter(|_| comm.rank() == 0).map(|directory| directory.join(directory::WATCH));
        let opened = file.filter(|file| match comm.open_door() {
            Some(Ok(endpoint)) => write_secret(file, &endpoint).is_ok(),
            _ => false,
        });
        Door(opened)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            // Nobody answers there any more; a file that stays says no more than that.
            let _ = std::fs::remove_file(file);
        }
    }
}

/// While it is there, the reporter is told which rank the others are waiting for.
pub(super) struct Listening<'c>(&'c Comm);

impl Listening<'_> {
    pub fn start<'c>(comm: &'c Comm, reporter: &Arc<dyn Reporter>) -> Listening<'c> {
        let reporter = reporter.clone();
        comm.listen_for_late_ranks(Some(Box::new(move |note| reporter.late(note))));
        Listening(comm)
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.listen_for_late_ranks(None);
    }
}
