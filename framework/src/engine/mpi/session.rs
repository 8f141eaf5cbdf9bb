//! MPI from its initialisation to its end, once a process.
//!
//! Which ranks there are and who may start them is `launch`'s business.

use super::family::{Life, When};
use super::operator::Operators;
use super::status::check;
use super::{Constants, Mpi, Shared, crowd, overrun, status, tag, window};
use crate::engine::{Fault, Outcome};
use crate::error::{Error, ErrorKind};
use crate::launch::short_version;
use mpi::ffi;
use std::cell::Cell;
use std::ffi::c_int;
use std::ptr;
use std::rc::Rc;

/// MPI, initialised.
pub(crate) struct Session {
    shared: Rc<Shared>,
    /// Rankine's duplicate of MPI_COMM_WORLD; it lives to the end.
    world: ffi::MPI_Comm,
    shadow: ffi::MPI_Comm,
    life: Rc<Life>,
    rank: usize,
    size: usize,
}

/// Initialises MPI. With `checked`, sends wait for their receive and collectives compare what the ranks give.
/// Collective over the job.
///
/// # Errors
/// [`ErrorKind::Setup`]: an MPI that cannot be called from a process with other threads, or whose tags are too small.
pub(crate) fn start(checked: bool) -> Result<Session, Error> {
    let constants = Constants::read();
    if is_initialised() {
        return Err(Error::new(ErrorKind::Setup, "MPI is already initialised in this process")
            .help("let rankine::launch initialise it"));
    }
    let overruns = overrun::prepare(checked);
    window::prepare();
    initialise(&constants)?;
    begin(constants, checked, overruns).map_err(|fault| setup(&fault))
}

fn initialise(constants: &Constants) -> Result<(), Error> {
    let mut provided = 0;
    // SAFETY: MPI is not initialised yet; it accepts null for the arguments.
    let code = unsafe {
        ffi::MPI_Init_thread(ptr::null_mut(), ptr::null_mut(), constants.thread_funneled, &mut provided)
    };
    check("MPI_Init_thread", code).map_err(|fault| setup(&fault))?;
    if provided < constants.thread_funneled {
        return Err(Error::new(
            ErrorKind::Setup,
            format!(
                "this MPI does not allow other threads beside the one that calls it ({})",
                short_version(&library_version())
            ),
        )
        .help("use an MPI library built with MPI_THREAD_FUNNELED or better"));
    }
    Ok(())
}

fn begin(constants: Constants, checked: bool, overruns: bool) -> Outcome<Session> {
    for comm in [constants.comm_world, constants.comm_self] {
        // SAFETY: both are live from initialisation to the end.
        check("MPI_Comm_set_errhandler", unsafe {
            ffi::MPI_Comm_set_errhandler(comm, constants.errors_return)
        })?;
    }
    let largest = largest_tag(&constants)?;
    if largest < tag::LARGEST {
        let library = short_version(&library_version());
        let text = format!("tags go to {largest} only, and {} is needed ({library})", tag::LARGEST);
        return Err(Fault::Library { call: "MPI_TAG_UB", text });
    }
    let mut world = constants.comm_null;
    // SAFETY: MPI_COMM_WORLD is live; every process of the job comes here.
    check("MPI_Comm_dup", unsafe { ffi::MPI_Comm_dup(constants.comm_world, &mut world) })?;
    let shared = Rc::new(Shared {
        constants,
        over: super::send::request_over(&constants)?,
        checked,
        crowded: crowd::is_crowded(&constants, world)?,
        overruns,
        operators: Operators::default(),
        loners: Default::default(),
        works: Default::default(),
        ints: Default::default(),
        kept: Default::default(),
        scratch: Default::default(),
    });
    let engine = Mpi::new(shared.clone(), world)?;
    Ok(Session {
        shared,
        world,
        shadow: engine.shadow,
        life: engine.life.clone(),
        rank: engine.rank(),
        size: engine.size(),
    })
}

/// The value of MPI_TAG_UB; what the standard promises where the library says nothing.
fn largest_tag(constants: &Constants) -> Outcome<c_int> {
    let mut value: *mut c_int = ptr::null_mut();
    let mut found = 0;
    // SAFETY: for a predefined attribute MPI stores a pointer to an int of its own, which outlives this function.
    unsafe {
        let out = ptr::from_mut(&mut value).cast();
        let code = ffi::MPI_Comm_get_attr(constants.comm_world, constants.tag_ub, out, &mut found);
        check("MPI_Comm_get_attr", code)?;
        Ok(if found != 0 && !value.is_null() { *value } else { 32_767 })
    }
}

fn setup(fault: &Fault) -> Error {
    let what = match fault {
        Fault::Library { call, text } => format!("MPI could not be set up: {call}: {text}"),
        other => format!("MPI could not be set up: {other:?}"),
    };
    Error::new(ErrorKind::Setup, what)
        .help("run `rankine doctor`, or try the launcher that came with this MPI")
}

impl Session {
    pub fn world_size(&self) -> usize {
        self.size
    }

    pub fn world_rank(&self) -> usize {
        self.rank
    }

    /// The communicator of all ranks. Local.
    pub fn comm(&self) -> Mpi {
        Mpi {
            comm: self.world,
            shadow: self.shadow,
            byte: self.shared.constants.byte,
            checked: self.shared.checked,
            crowded: self.shared.crowded,
            rank: self.rank,
            size: self.size,
            started: Cell::new(0),
            shared: self.shared.clone(),
            life: self.life.clone(),
        }
    }

    /// Completes buffered sends.
    pub fn settle(&self) -> Result<(), Error> {
        self.shared.kept.complete(self.shadow, self.shared.constants.request_null).map_err(|fault| {
            Error::new(ErrorKind::Engine, format!("a buffered send failed at the end of the job: {fault:?}"))
        })
    }

    /// Lets MPI see to what other ranks want of this one.
    pub fn progress(&self) {
        let (mut flag, mut status) = (0, status::blank());
        let Constants { any_source, any_tag, .. } = self.shared.constants;
        // SAFETY: the communicator is live; the outputs are valid for writes.
        let _ = unsafe { ffi::MPI_Iprobe(any_source, any_tag, self.shadow, &mut flag, &mut status) };
    }

    /// Ends MPI, once buffered sends are complete; nothing of it may be called afterwards. Collective over the job.
    pub fn finish(self) -> Result<(), Error> {
        self.settle()?;
        let constants = &self.shared.constants;
        let freed =
            self.shared.loners.reap(constants).and_then(|()| self.life.reap(constants, When::AtTheEnd));
        freed.map_err(|fault| {
            Error::new(ErrorKind::Engine, format!("what the job left could not be freed: {fault:?}"))
        })?;
        self.shared.operators.free();
        // SAFETY: MPI is initialised, and the session, which only `start` makes, is consumed.
        let code = unsafe { ffi::MPI_Finalize() };
        if code == status::SUCCESS {
            return Ok(());
        }
        // The library's words can no longer be asked for.
        Err(Error::new(ErrorKind::Engine, format!("MPI_Finalize failed with code {code}")))
    }
}

/// Whether MPI can be called: initialised and not ended.
pub(crate) fn is_initialised() -> bool {
    let (mut begun, mut ended) = (0, 0);
    // SAFETY: both may be called at any time and from any thread.
    let codes = unsafe { (ffi::MPI_Initialized(&mut begun), ffi::MPI_Finalized(&mut ended)) };
    codes == (status::SUCCESS, status::SUCCESS) && begun != 0 && ended == 0
}

/// What the library allows to threads, in MPI's word; `None` where MPI cannot be called.
pub(crate) fn thread_level() -> Option<&'static str> {
    if !is_initialised() {
        return None;
    }
    let constants = Constants::read();
    let mut level = 0;
    // SAFETY: MPI is initialised; the output is valid for writes.
    if unsafe { ffi::MPI_Query_thread(&mut level) } != status::SUCCESS {
        return None;
    }
    Some(match level {
        level if level >= constants.thread_multiple => "MPI_THREAD_MULTIPLE",
        level if level >= constants.thread_serialized => "MPI_THREAD_SERIALIZED",
        level if level >= constants.thread_funneled => "MPI_THREAD_FUNNELED",
        _ => "MPI_THREAD_SINGLE",
    })
}

/// The library's name and version, in its own words. Callable at any time.
pub(crate) fn library_version() -> String {
    let capacity = Constants::read().max_library_version_string;
    // SAFETY: the buffer has the length MPI asks for; the call is allowed before initialisation.
    status::text(capacity, |buffer, len| unsafe { ffi::MPI_Get_library_version(buffer, len) })
        .unwrap_or_else(|| "unknown MPI".to_string())
}

/// Ends every rank of the job with exit code `code`. From a thread other than the rank's own it works on all known
/// libraries, although at this thread level MPI does not promise it.
pub(crate) fn abort(code: i32) -> ! {
    if is_initialised() {
        // SAFETY: MPI is initialised; the call does not use the program's memory.
        let _ = unsafe { ffi::MPI_Abort(Constants::read().comm_world, code) };
    }
    std::process::exit(code)
}
