//! What can go wrong, said once: every failure carries the rank, the source line and the remedy.
//!
//! This file gives errors their words and their exit codes. It prints nothing and ends no process;
//! `launch` does that, in one place.

use std::fmt;
use std::panic::Location;

/// The result of every call in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of an [`Error`], which decides the exit code of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The answer does not agree with the analytic or published one.
    Verification,
    /// A parameter, rank, tag or length that no call can accept.
    Usage,
    /// MPI or the launcher is not set up as the job needs it.
    Setup,
    /// A file could not be read or written, or holds what it should not.
    Io,
    /// A message was longer than the buffer that was to receive it.
    Truncated,
    /// A message of one element type met a receive of another.
    TypeMismatch,
    /// Ranks entered different collectives, or the same one with different arguments.
    Mismatch,
    /// Accesses to a window meet at one place in one epoch, and what comes of it is left open.
    Conflict,
    /// Ranks wait for each other and none can go on; the report names them and their calls.
    Deadlock,
    /// The engine's library reported a failure.
    Engine,
    /// A rank panicked.
    Panic,
    /// Another rank failed and the job is going down; that rank's error is the one to read.
    Elsewhere,
    /// The run was saved and has stopped before it was done, as somebody wished: it is to be resumed.
    Stopped,
}

impl ErrorKind {
    /// The exit code of a job that ends with this class of error.
    pub const fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Verification => 1,
            ErrorKind::Usage => 2,
            ErrorKind::Setup => 3,
            ErrorKind::Io => 4,
            ErrorKind::Truncated
            | ErrorKind::TypeMismatch
            | ErrorKind::Mismatch
            | ErrorKind::Conflict
            | ErrorKind::Deadlock => 5,
            ErrorKind::Engine | ErrorKind::Panic | ErrorKind::Elsewhere => 6,
            ErrorKind::Stopped => 75,
        }
    }
}

/// A failure: what happened, on which rank, at which source line, and what to do about it.
///
/// ```
/// use rankine::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Usage, "--steps 0: nothing to do").help("give one step or more");
/// assert_eq!(error.exit_code(), 2);
/// assert_eq!(error.to_string(), "--steps 0: nothing to do\n  help: give one step or more");
/// ```
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    rank: Option<usize>,
    place: Option<String>,
    what: String,
    help: Option<String>,
}

impl Error {
    /// An error of class `kind`; `what` says what happened, without a full stop.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, rank: None, place: None, what: what.into(), help: None }))
    }

    /// A wrong parameter ([`ErrorKind::Usage`]).
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, what)
    }

    /// A file that cannot be read or written, or its contents ([`ErrorKind::Io`]).
    pub fn io(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Io, what)
    }

    /// Adds what the reader should do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Adds the rank on which it happened, unless one is named already.
    pub fn on_rank(mut self, rank: usize) -> Self {
        self.0.rank.get_or_insert(rank);
        self
    }

    /// Adds the source line of the call that failed, unless one is named already.
    pub fn at(mut self, place: &Location<'_>) -> Self {
        self.0.place.get_or_insert_with(|| place.to_string());
        self
    }

    /// The class of this error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The rank on which it happened, where one is known.
    pub fn rank(&self) -> Option<usize> {
        self.0.rank
    }

    /// What happened, without rank, place and help.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// The exit code of a job that ends with this error.
    pub fn exit_code(&self) -> u8 {
        self.0.kind.exit_code()
    }
}

impl Clone for Error {
    fn clone(&self) -> Self {
        Error(self.0.clone())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rank) = self.0.rank {
            write!(f, "rank {rank}: ")?;
        }
        f.write_str(&self.0.what)?;
        if let Some(place) = &self.0.place {
            write!(f, " ({place})")?;
        }
        if let Some(help) = &self.0.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:?}] {self}", self.0.kind)
    }
}

impl std::error::Error for Error {}
