//! When a run is saved and when it stops: intervals, limits and wishes, for the time loop. What a checkpoint is and how
//! ranks agree is `checkpoint`'s and `stop`'s business.

use super::directory::{CKPT, RESULT, RUN, STOP};
use super::jobfile::JobFile;
use super::limit;
use super::options::Options;
use super::output::Kept;
use super::provenance::now;
use crate::checkpoint::{Every, Found, Moment, State, Store, daly};
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::stop::{Agreement, Lookout, Reason, Wish};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Saves a run and says when it stops.
pub(super) struct Keeper {
    store: Store,
    agreement: Option<Agreement>,
    lookout: Option<Lookout>,
    every: Option<Every>,
    mtbf: Duration,
    parameters: String,
    stop_file: PathBuf,
    first: bool,
    saved: (Option<u64>, Instant),
}

/// What to do after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    GoOn,
    Save,
    Stop(Reason),
}

impl Keeper {
    /// For a run in `directory`; `None` if the kernel keeps nothing or this build cannot. Collective.
    ///
    /// # Errors
    /// Checkpoints or a limit that were asked for where there can be none.
    pub fn new<K: Kernel>(
        comm: &Comm,
        kernel: &K,
        data: &mut K::Data,
        options: &Options,
        parameters: String,
        directory: Option<&Path>,
    ) -> Result<Option<Keeper>> {
        let asked = [
            options.checkpoint_every.map(|_| "--checkpoint-every"),
            options.time_limit.map(|_| "--time-limit"),
            options.resume.as_ref().map(|_| "--resume"),
        ];
        let asked = asked.into_iter().flatten().next();
        let refuse = |what: &str, help: &str| match asked {
            Some(flag) => comm.agree(Err(Error::usage(format!("{flag}: {what}")).help(help))),
            None => Ok(None),
        };
        let Some(directory) = directory else {
            return refuse("a run without files has no checkpoints", "leave --no-output out");
        };
        if !cfg!(feature = "hdf5") {
            return refuse(
                "this program was built without HDF5, in which checkpoints are kept",
                "build with `make`, or with cargo's --features hdf5 where the HDF5 library is installed",
            );
        }
        let store = Store::open(comm, directory.join(CKPT), |state| kernel.persist(data, state))?;
        let Some(store) = store else {
            return refuse(
                &format!("the kernel {} keeps no state to go on from", K::NAME),
                "implement its `persist`, or run it without",
            );
        };
        Ok(Some(Keeper {
            store,
            agreement: None,
            lookout: None,
            every: options.checkpoint_every,
            mtbf: options.mtbf.map_or(Duration::MAX, |mtbf| mtbf.duration()),
            parameters,
            stop_file: directory.join(STOP),
            first: comm.rank() == 0,
            saved: (None, Instant::now()),
        }))
    }

    /// The newest checkpoint that is whole, restored into `data`. Collective.
    ///
    /// # Errors
    /// As [`Store::restore`]; one that was written with other parameters.
    pub fn restore<K: Kernel>(
        &mut self,
        comm: &Comm,
        kernel: &K,
        data: &mut K::Data,
    ) -> Result<Option<Found<Option<Kept>>>> {
        let found = self.store.restore(
            K::NAME,
            data,
            || kernel.init(comm),
            |header| same_parameters::<K>(&header.parameters, &self.parameters),
            |data, state| kernel.persist(data, state),
        )?;
        self.saved.0 = found.as_ref().map(|found| found.step);
        if found.is_none() {
            comm.agree(if self.first { self.may_begin_again::<K>() } else { Ok(()) })?;
        }
        Ok(found)
    }

    /// Whether a run that has no checkpoint may begin again in its directory.
    fn may_begin_again<K: Kernel>(&self) -> Result<()> {
        let there = self.stop_file.with_file_name(RESULT);
        if there.exists() {
            return Err(Error::io(format!(
                "the run is done ({}) and has no checkpoint to go on from",
                there.display()
            ))
            .help("make it again with --overwrite, or another one in another directory with --out"));
        }
        let file = JobFile::read(&self.stop_file.with_file_name(RUN))?;
        let then = file.table("parameters").map(ToString::to_string).unwrap_or_default();
        same_parameters::<K>(&then, &self.parameters)
    }

    /// From now on signals are caught. Collective.
    pub fn listen(&mut self, comm: &Comm, began: Instant, options: &Options) -> Result<()> {
        let limit = self.first.then(|| limit::of(options.time_limit, began)).flatten();
        self.lookout = Some(Lookout::new(comm, &self.stop_file, limit)?);
        Ok(())
    }

    /// The time loop begins at `step`. Collective.
    pub fn begin(&mut self, comm: &Comm, step: u64) -> Result<()> {
        self.agreement = Some(Agreement::new(comm, step)?);
        self.saved.1 = Instant::now();
        Ok(())
    }

    /// What to do after `step` steps; the same on every rank. `ended` says that it was the last. Collective.
    #[inline]
    pub fn act(&mut self, step: u64, ended: bool) -> Result<Act> {
        let (Some(agreement), Some(lookout)) = (&mut self.agreement, &mut self.lookout) else {
            return Ok(Act::GoOn);
        };
        let there = self.saved.0 == Some(step);
        if ended {
            agreement.end()?;
            (self.agreement, self.lookout) = (None, None);
            return Ok(if self.every.is_some() && !there { Act::Save } else { Act::GoOn });
        }
        let (first, cost, since) = (self.first, self.store.cost(), self.saved.1);
        let (every, mtbf) = (self.every, self.mtbf);
        let delay = agreement.delay();
        let agreed = agreement.at(step, || {
            let due = match every {
                Some(Every::Time(span)) => since.elapsed() >= span.duration(),
                Some(Every::Auto) => since.elapsed() >= daly(cost, mtbf),
                _ => false,
            };
            let wish = if first && due { Wish::Save } else { Wish::Nothing };
            // Room for a checkpoint that takes twice what the last one took.
            wish.max(lookout.wish(2 * cost + delay))
        })?;
        let due = matches!(self.every, Some(Every::Steps(every)) if step > 0 && step.is_multiple_of(every));
        Ok(match agreed {
            Wish::Stop(reason) => Act::Stop(reason),
            Wish::Save if !there => Act::Save,
            _ if due && !there => Act::Save,
            _ => Act::GoOn,
        })
    }

    /// Saves the state after `step` steps, and what the output keeps; gives the file's name in the run's directory.
    /// Collective.
    pub fn save<K: Kernel>(
        &mut self,
        kernel: &K,
        data: &mut K::Data,
        (step, broke): (u64, bool),
        kept: Kept,
    ) -> Result<PathBuf> {
        let moment = Moment { kernel: K::NAME, parameters: &self.parameters, step, broke, written: now() };
        let name =
            self.store.save(&moment, &mut Some(kept), |state: &mut State| kernel.persist(data, state))?;
        self.saved = (Some(step), Instant::now());
        Ok(Path::new(CKPT).join(name))
    }

    /// Whether the state after `step` steps is saved already.
    pub fn has(&self, step: u64) -> bool {
        self.saved.0 == Some(step)
    }

    /// The file that asked to stop has been heeded. On rank 0.
    pub fn heeded(&mut self) {
        self.lookout.as_mut().map(Lookout::over);
        if self.first {
            // If it stays, the run that goes on stops at once, and says why.
            let _ = std::fs::remove_file(&self.stop_file);
        }
    }
}

/// Whether a run may go on with these parameters from a checkpoint that was made with those.
fn same_parameters<K: Kernel>(then: &str, now: &str) -> Result<()> {
    let table = |text: &str| text.parse::<toml::Table>().unwrap_or_default();
    let (then, now) = (table(then), table(now));
    let shown = |table: &toml::Table, key: &str| match table.get(key) {
        Some(value) => value.to_string(),
        None => "none".to_string(),
    };
    let differs = then
        .keys()
        .chain(now.keys())
        .find(|key| then.get(*key) != now.get(*key) && !K::MAY_CHANGE.contains(&key.as_str()));
    let Some(key) = differs else { return Ok(()) };
    let may = K::MAY_CHANGE.iter().map(|key| format!("--{}", key.replace('_', "-"))).collect::<Vec<_>>();
    Err(Error::usage(format!(
        "--{} is {}; the run that goes on was begun with {}",
        key.replace('_', "-"),
        shown(&now, key),
        shown(&then, key)
    ))
    .help(match may.is_empty() {
        true => "leave it out: a run goes on with its own parameters".to_string(),
        false => format!("leave it out: of a run that goes on, only {} may change", may.join(", ")),
    }))
}
