//! Many requests at once: MPI_Testsome on a contiguous copy of their handles.
//!
//! One call looks at all of them and drives progress once, so thousands cost what a loop over them costs.

use super::Mpi;
use super::patience::Patience;
use super::request::{Request, Role};
use super::status::{SUCCESS, blank, class, failure};
use crate::engine::many::{Ended, Many};
use crate::engine::{self, Engine, Outcome};
use mpi::ffi;
use std::cell::{Cell, RefCell};
use std::ffi::c_int;

/// How many requests one diagnosis looks into.
const WINDOW: usize = 64;

/// Fruitless looks before a diagnosis by a rank that never blocks.
const LOOKS: u32 = 4096;

/// What is kept from one call to the next.
#[derive(Default)]
pub(super) struct Scratch {
    arrays: RefCell<Arrays>,
    /// Looks without success since the last diagnosis.
    looks: Cell<u32>,
    /// Where the next diagnosis begins.
    cursor: Cell<usize>,
}

#[derive(Default)]
struct Arrays {
    raws: Vec<ffi::MPI_Request>,
    indices: Vec<c_int>,
    statuses: Vec<ffi::MPI_Status>,
}

impl Mpi {
    /// See [`Engine::some`].
    pub fn some(&self, many: &mut dyn Many, block: bool, ended: &mut Vec<Ended>) -> Outcome<()> {
        let mut arrays = self.shared.scratch.arrays.take();
        let outcome = self.some_of(many, block, ended, &mut arrays);
        self.shared.scratch.arrays.replace(arrays);
        outcome
    }

    fn some_of(
        &self,
        many: &mut dyn Many,
        block: bool,
        ended: &mut Vec<Ended>,
        arrays: &mut Arrays,
    ) -> Outcome<()> {
        arrays.raws.clear();
        let null = self.constants().request_null;
        let mut exchanges = false;
        for index in 0..many.len() {
            look_at(many, index, |mpi, request| {
                // What MPI holds no request of is over, or a collective with more behind it.
                if request.raw == null {
                    ended.extend(mpi.poll(request).transpose().map(|outcome| (index, outcome)));
                }
                arrays.raws.push(request.raw);
            });
            // An exchange has several requests, and is asked by itself.
            if arrays.raws.len() == index {
                arrays.raws.push(null);
                exchanges = true;
            }
        }
        arrays.indices.resize(arrays.raws.len(), 0);
        arrays.statuses.resize(arrays.raws.len(), blank());
        let tight = self.tight() / (1 + arrays.raws.len() as u32 / 16);
        let (mut polls, mut patience) = (0, Patience::new());
        loop {
            self.harvest(many, ended, arrays)?;
            if exchanges {
                ask_exchanges(many, ended);
            }
            if !ended.is_empty() {
                return Ok(());
            }
            polls += 1;
            let diagnose = if block { polls > tight && patience.is_over() } else { self.looked_enough() };
            if diagnose {
                self.diagnose_some(many, ended);
            }
            if !block || !ended.is_empty() {
                return Ok(());
            }
        }
    }

    /// One MPI_Testsome.
    fn harvest(&self, many: &mut dyn Many, ended: &mut Vec<Ended>, arrays: &mut Arrays) -> Outcome<()> {
        let Arrays { raws, indices, statuses } = arrays;
        let mut count = 0;
        // SAFETY: the three arrays have as many entries as are announced; the requests are live or null.
        let code = unsafe {
            ffi::MPI_Testsome(
                raws.len() as c_int,
                raws.as_mut_ptr(),
                &mut count,
                indices.as_mut_ptr(),
                statuses.as_mut_ptr(),
            )
        };
        let some_failed = code != SUCCESS;
        if some_failed && class(code) != self.constants().err_in_status {
            return Err(failure("MPI_Testsome", code));
        }
        // MPI_UNDEFINED, which is negative, says that all were null.
        for (&index, status) in indices.iter().zip(&*statuses).take(usize::try_from(count).unwrap_or(0)) {
            let index = index as usize;
            look_at(many, index, |mpi, request| {
                request.raw = raws[index];
                let outcome = match status.MPI_ERROR {
                    code if some_failed && code != SUCCESS => {
                        Some(Err(mpi.failed(request, "MPI_Testsome", code, status)))
                    }
                    _ => mpi.after(request, status).transpose(),
                };
                raws[index] = request.raw;
                ended.extend(outcome.map(|outcome| (index, outcome)));
            });
        }
        Ok(())
    }

    fn looked_enough(&self) -> bool {
        let looks = self.shared.scratch.looks.get() + 1;
        self.shared.scratch.looks.set(looks % LOOKS);
        looks == LOOKS
    }

    /// Looks into some of the receives: is a message of another type there instead?
    #[cold]
    fn diagnose_some(&self, many: &mut dyn Many, ended: &mut Vec<Ended>) {
        let (total, start) = (many.len(), self.shared.scratch.cursor.get());
        for index in (start..start + WINDOW.min(total)).map(|index| index % total) {
            look_at(many, index, |mpi, request| {
                if matches!(request.role, Role::Receive { .. })
                    && let Some(outcome) = mpi.diagnose(request).transpose()
                {
                    ended.push((index, outcome));
                }
            });
        }
        self.shared.scratch.cursor.set(start.wrapping_add(WINDOW) % total.max(1));
    }
}

fn ask_exchanges(many: &mut dyn Many, ended: &mut Vec<Ended>) {
    for index in 0..many.len() {
        many.at(index, &mut |_, request| {
            if let engine::Request::Exchange(exchange) = request {
                ended.extend(exchange.ended().map(|outcome| (index, outcome)));
            }
        });
    }
}

fn look_at(many: &mut dyn Many, index: usize, mut look: impl FnMut(&Mpi, &mut Request)) {
    many.at(index, &mut |engine, request| {
        if let (Engine::Mpi(mpi), engine::Request::Mpi(request)) = (engine, request) {
            look(mpi, request);
        }
    });
}
