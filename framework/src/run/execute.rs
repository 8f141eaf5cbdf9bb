//! One run from its parameters to its verdict: the order of things, and who may fail when.

use super::directory::{self, Made};
use super::door::{Door, Listening};
use super::keep::{Act, Keeper};
use super::logbook::{self, Logbook};
use super::logs::Logs;
use super::options::Options;
use super::output::Output;
use super::progress::{self, Holder, Ticker};
use super::provenance::{Provenance, now};
use super::rate::Rate;
use super::report::{Reporter, Silent, Stopped, Summary};
use super::times::Readings;
use super::{account, cores, memory, parameters, results};
use crate::checkpoint::Every;
use crate::comm::Comm;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{Kernel, Timed, Verdict};
use crate::output::files::{write_json, write_text};
use crate::timing::Traffic;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use toml::{Table, Value};

/// A kernel about to be run. Without options it writes no files and tells nobody, as tests want it.
///
/// ```
/// # use rankine::{Comm, Result, kernel::Kernel, run::Run};
/// # use std::ops::ControlFlow;
/// # #[derive(Clone, clap::Args, serde::Serialize, serde::Deserialize)]
/// # struct Count {}
/// # impl Kernel for Count {
/// #     const NAME: &'static str = "count";
/// #     const ABOUT: &'static str = "counts";
/// #     type Data = u64;
/// #     fn init(&self, _: &Comm) -> Result<u64> { Ok(0) }
/// #     fn step(&self, _: &Comm, n: &mut u64) -> Result<ControlFlow<()>> {
/// #         *n += 1;
/// #         Ok(if *n == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
/// #     }
/// # }
/// rankine::testing::ranks([1, 2], |world| {
///     let summary = Run::new(Count {}).on(world)?;
///     assert_eq!(summary.steps, 5);
///     Ok(())
/// });
/// ```
pub struct Run<K> {
    kernel: K,
    options: Options,
    reporter: Arc<dyn Reporter>,
}

impl<K: Kernel> Run<K> {
    /// A run of `kernel` that writes no files.
    pub fn new(kernel: K) -> Run<K> {
        let options = Options { no_output: true, ..Options::default() };
        Run { kernel, options, reporter: Arc::new(Silent) }
    }

    /// All options at once, as the command line gives them. Ranks and threads are the launcher's business: here they
    /// are ignored.
    pub fn options(mut self, options: Options) -> Run<K> {
        self.options = options;
        self
    }

    /// Writes its files into this directory, which must not hold another run.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Run<K> {
        self.options.out = Some(directory.into());
        self.options.no_output = false;
        self
    }

    /// Goes on with the run in this directory, from its newest checkpoint that is whole; begins it there if there is
    /// none.
    pub fn resume(mut self, directory: impl Into<PathBuf>) -> Run<K> {
        self.options.resume = Some(directory.into());
        self.options.out = None;
        self.options.no_output = false;
        self
    }

    /// Saves the run that often.
    pub fn checkpoint_every(mut self, every: Every) -> Run<K> {
        self.options.checkpoint_every = Some(every);
        self
    }

    /// Observes every that many steps, beside the start and the end.
    pub fn every(mut self, steps: u64) -> Run<K> {
        self.options.every = Some(steps);
        self
    }

    /// Who is told how it goes.
    pub fn reporter(mut self, reporter: Box<dyn Reporter>) -> Run<K> {
        self.reporter = reporter.into();
        self
    }

    /// Runs it. Collective: every rank of `comm` has the same kernel and options.
    ///
    /// An answer that fails its verification is no error here: see [`Summary::verdict`].
    ///
    /// # Errors
    /// Parameters that cannot be, too little memory, files that cannot be read or written, and whatever the
    /// kernel's steps fail with. Before the first step, a failure leaves no file behind.
    pub fn on(mut self, comm: &Comm) -> Result<Summary> {
        let (began, started, cpu_before) = (Instant::now(), now(), account::processor_time());
        let replaced_at = Some(SystemTime::now()).filter(|_| self.options.resume.is_none());
        let mut logs = Logs::start();
        comm.agree(self.options.check())?;
        comm.agree(self.kernel.prepare(comm))?;
        let (path, goes_on) = self.check(comm)?;
        let mut data = comm.agree(self.kernel.init(comm))?;
        let text = comm.agree(parameters::table(&self.kernel))?.to_string();
        let (kernel, options) = (&self.kernel, &self.options);
        let mut keeper = Keeper::new(comm, kernel, &mut data, options, text, path.as_deref())?;
        // A directory that is there already is claimed before its checkpoints are looked at.
        let claimed = match &path {
            Some(path) if goes_on => Some(directory::claim(comm, path)?),
            _ => None,
        };
        let found = match &mut keeper {
            Some(keeper) if goes_on => keeper.restore(comm, kernel, &mut data)?,
            _ => None,
        };
        let mut made = match &path {
            Some(path) if found.is_some() => directory::reopen(comm, path)?,
            Some(path) => directory::make(comm, path, replaced_at)?,
            None => Made::default(),
        };
        let _claim = match (&path, claimed) {
            (Some(path), None) => Some(directory::claim(comm, path)?),
            (_, claimed) => claimed,
        };
        logs.files(comm, path.as_deref(), self.options.log)?;
        let interval = Duration::from_secs_f64(self.options.progress.min(1e9));
        let directory = path.as_deref().filter(|_| comm.rank() == 0);
        let book = Arc::new(comm.agree(Logbook::open(self.reporter.clone(), directory, interval))?);
        self.reporter = book.clone();
        let mut output = Output::new(comm, path.as_deref())?;
        let mut at = Place::default();
        if let Some(found) = found {
            at = Place { from: found.step, step: found.step, broke: found.broke };
            for warning in &found.warnings {
                self.reporter.warning(warning);
            }
            output.note(format!("it goes on from {} at step {}", found.name.display(), found.step));
            output.go_on(found.step, found.run, found.warnings)?;
        } else if goes_on {
            output.note("there was no checkpoint yet: it begins again".to_string());
        }
        let (threads, node) = (rayon::current_num_threads(), comm.node());
        book.note(&format!(
            "{}: begins {started} at step {} on {} ranks of {threads} threads ({} engine), rank 0 on {node}",
            K::NAME,
            at.step,
            comm.size(),
            comm.engine_name(),
        ));
        tracing::info!(
            rank = comm.rank(),
            of = comm.size(),
            threads,
            node,
            step = at.step,
            "begins {}",
            K::NAME
        );
        // Before there is a word of the run: whoever reads one may send it a signal.
        if let Some(keeper) = &mut keeper {
            keeper.listen(comm, began, &self.options)?;
        }
        let holder = Holder { pid: std::process::id(), node, saves: keeper.is_some() };
        let opened = self.open(comm, &mut data, (path.as_deref(), holder), started, &mut output, at.step);
        let (ticker, provenance) = match comm.agree(opened) {
            Ok(opened) => opened,
            Err(error) => {
                // The job may be gone as soon as one rank has returned: clean up while all are here.
                output.discard();
                drop(made);
                let _ = comm.barrier();
                return Err(error);
            }
        };
        made.keep();
        let door = Door::open(comm, path.as_deref());
        let listening = Listening::start(comm, &self.reporter);
        let mut readings = Readings { setup: began.elapsed(), cpu_before, ..Readings::default() };
        let mut ticker = ticker;
        let begun = match &mut keeper {
            Some(keeper) => keeper.begin(comm, at.step),
            None => Ok(()),
        };
        let summary = begun
            .and_then(|()| logs.fold(comm, &*self.reporter))
            .and_then(|()| {
                let keeper = (&mut keeper, &logs);
                self.advance(comm, &mut data, &mut output, &mut ticker, keeper, &mut at, &mut readings)
            })
            .and_then(|stopped| {
                self.conclude(comm, &mut data, output, &path, provenance, (at, stopped), readings)
            })
            .and_then(|summary| logs.fold(comm, &*self.reporter).map(|()| summary));
        drop((listening, door));
        match summary {
            Ok(summary) => {
                if comm.rank() == 0 {
                    self.reporter.finished(&summary);
                }
                Ok(summary)
            }
            Err(error) => {
                if let Some(ticker) = &ticker {
                    ticker.fail(at.step);
                    logs.own(comm.rank(), &*self.reporter);
                }
                let failed = path.as_deref().filter(|_| error.kind() != ErrorKind::Elsewhere);
                if let Some(path) = failed {
                    logbook::failed(path, &error);
                    if ticker.is_none() {
                        progress::failed(path, comm.rank());
                    }
                }
                tracing::error!(step = at.step, "{error}");
                Err(error)
            }
        }
    }

    /// Everything that can be said against the run before anything is allocated; gives its directory, and whether there
    /// is a run in it to go on with.
    fn check(&self, comm: &Comm) -> Result<(Option<PathBuf>, bool)> {
        let first = comm.rank() == 0;
        comm.agree(if first { self.kernel.check(comm.size()) } else { Ok(()) })?;
        memory::check(comm, if first { self.kernel.bytes_per_rank(comm.size()) } else { None })?;
        if self.options.no_output {
            return Ok((None, false));
        }
        if let Some(path) = &self.options.resume {
            let goes_on = directory::resume(comm, path, K::NAME)?;
            return Ok((Some(path.clone()), goes_on));
        }
        let chosen = directory::choose(comm, self.options.out.as_deref(), K::NAME, self.options.overwrite)?;
        Ok((Some(chosen), false))
    }

    /// The first files and the first look at the data.
    fn open(
        &self,
        comm: &Comm,
        data: &mut K::Data,
        (path, holder): (Option<&Path>, Holder),
        started: String,
        output: &mut Output,
        step: u64,
    ) -> Result<(Option<Ticker<'_>>, Option<Provenance>)> {
        let threads = rayon::current_num_threads();
        let (cores, warning) = cores::check(comm, threads)?;
        if let Some(warning) = warning {
            self.reporter.warning(&warning);
        }
        let provenance = match path {
            Some(path) => Some(Provenance::new(comm, K::NAME, (threads, cores), started, (step, path))?),
            None => None,
        };
        let written = match (path, &provenance) {
            (Some(path), Some(provenance)) if comm.rank() == 0 => {
                self.job(comm.size(), threads).and_then(|job| {
                    write_text(path.join(directory::RUN), &job)?;
                    write_json(path.join(directory::PROVENANCE), provenance)
                })
            }
            _ => Ok(()),
        };
        comm.agree(written)?;
        if step == 0 {
            output.at(0, self.kernel.steps() == Some(0));
            self.kernel.observe(comm, data, output)?;
            output.written(false)?;
        }
        let ticker = (comm.rank() == 0).then(|| {
            Ticker::new(
                K::NAME,
                self.kernel.work(data),
                (step, self.kernel.steps()),
                &*self.reporter,
                (path, holder),
                Duration::from_secs_f64(self.options.progress.min(1e9)),
            )
        });
        comm.agree(ticker.as_ref().map_or(Ok(()), Ticker::begin))?;
        Ok((ticker, provenance))
    }

    /// The time loop; says why it ended, if that was before the end.
    #[expect(clippy::too_many_arguments, reason = "the whole of a run meets here, once")]
    fn advance(
        &self,
        comm: &Comm,
        data: &mut K::Data,
        output: &mut Output,
        ticker: &mut Option<Ticker<'_>>,
        (keeper, logs): (&mut Option<Keeper>, &Logs),
        at: &mut Place,
        readings: &mut Readings,
    ) -> Result<Option<Stopped>> {
        // All ranks begin together, so that nobody's wait for a late starter counts as communication.
        comm.barrier()?;
        let clock = comm.clock();
        clock.start();
        let (mut began, mut before) = (Instant::now(), clock.spent());
        let warm = self.kernel.warm_up();
        let planned = self.kernel.steps();
        let stopped = loop {
            // What is saved is the state before it is observed, so that a run that goes on observes it.
            let ended = at.broke || planned.is_some_and(|planned| at.step >= planned);
            if let Some(keeper) = keeper {
                let act = keeper.act(at.step, ended)?;
                let mut saved = None;
                if matches!(act, Act::Save | Act::Stop(_)) && !keeper.has(at.step) {
                    output.written(true)?;
                    let kept = output.kept();
                    saved =
                        Some(clock.output(|| keeper.save(&self.kernel, data, (at.step, at.broke), kept))?);
                    tracing::info!(step = at.step, "saved");
                }
                if let Act::Stop(why) = act {
                    tracing::info!(step = at.step, "stops: {why}");
                    keeper.heeded();
                    break Some(Stopped { why, step: at.step, checkpoint: saved });
                }
            }
            let due = self.options.every.is_some_and(|every| at.step.is_multiple_of(every));
            if at.step > 0 && (ended || due) {
                output.at(at.step, ended);
                clock.output(|| {
                    self.kernel.observe(comm, data, output)?;
                    output.written(false)?;
                    logs.fold(comm, &*self.reporter)
                })?;
                tracing::info!(step = at.step, "observed");
            }
            if ended {
                break None;
            }
            comm.at_step(at.step);
            tracing::trace!(step = at.step, "step");
            at.broke = self.kernel.step(comm, data)? == ControlFlow::Break(());
            at.step += 1;
            if at.step == warm {
                readings.setup += began.elapsed();
                comm.barrier()?;
                (began, before) = (Instant::now(), clock.spent());
                readings.warm_up = at.step - at.from;
            }
            if let Some(ticker) = ticker {
                ticker.after(at.step);
            }
        };
        readings.time_loop = began.elapsed();
        let spent = clock.spent();
        readings.spent = spent.since(&before);
        let state = if stopped.is_some() { "stopped" } else { "finished" };
        comm.agree(ticker.as_ref().map_or(Ok(()), |ticker| ticker.end(at.step, state)))?;
        Ok(stopped)
    }

    /// The last files and the verdict.
    #[expect(clippy::too_many_arguments, reason = "the whole of a run meets here, once")]
    fn conclude(
        &self,
        comm: &Comm,
        data: &mut K::Data,
        output: Output,
        path: &Option<PathBuf>,
        provenance: Option<Provenance>,
        (at, stopped): (Place, Option<Stopped>),
        mut readings: Readings,
    ) -> Result<Summary> {
        let closing = Instant::now();
        let written = comm.clock().output(|| output.finish())?;
        let mut files = written.files;
        readings.time_loop += closing.elapsed();
        readings.spent.output += closing.elapsed();
        let verifying = Instant::now();
        let (verdict, checksum) = match &stopped {
            Some(_) => (Verdict::NotChecked("the run is not done".to_string()), None),
            None => (self.kernel.verify(comm, data)?, self.kernel.checksum(comm, data)?),
        };
        readings.verification = verifying.elapsed();
        let times = readings.account(comm)?;
        let timed = Timed { steps: at.step - at.from - readings.warm_up, seconds: times.steps };
        let quoted = match &verdict {
            Verdict::Passed(_) if timed.steps > 0 => self.kernel.quoted(data, timed),
            _ => Vec::new(),
        };
        if path.is_some() {
            files.push(directory::TIMINGS.into());
            files.extend(stopped.is_none().then(|| PathBuf::from(directory::RESULT)));
        }
        let summary = Summary {
            kernel: K::NAME,
            verdict,
            checksum: checksum.map(|sum| format!("{sum:016x}")),
            steps: at.step,
            from: at.from,
            stopped,
            ranks: comm.size(),
            threads: rayon::current_num_threads(),
            engine: comm.engine_name(),
            rate: Rate::new(self.kernel.work(data), timed.steps, timed.seconds),
            quoted,
            times,
            traffic: traffic(comm, readings.spent.traffic)?,
            peak_memory: memory::peak(comm)?,
            directory: path.clone(),
            files,
            notes: written.notes,
            parameters: parameters::table(&self.kernel)?,
        };
        let account = match path {
            Some(_) => {
                let cpu = account::processor_time().saturating_sub(readings.cpu_before);
                account::gather(comm, &readings, Duration::from_secs_f64(times.total), cpu)?
            }
            None => None,
        };
        let written = match (path, provenance) {
            (Some(path), Some(provenance)) if comm.rank() == 0 => {
                results::write(path, provenance, &summary, account.as_ref())
            }
            _ => Ok(()),
        };
        comm.agree(written)?;
        Ok(summary)
    }

    /// The text of `run.toml`.
    fn job(&self, ranks: usize, threads: usize) -> Result<String> {
        let mut job = Table::new();
        job.insert("kernel".to_string(), Value::String(K::NAME.to_string()));
        job.insert("parameters".to_string(), Value::Table(parameters::table(&self.kernel)?));
        let options = self.options.reproducing(ranks, threads);
        job.insert("run".to_string(), Value::Table(parameters::table(&options)?));
        let text = toml::to_string(&job)
            .map_err(|error| Error::usage(format!("the parameters cannot be written as TOML: {error}")))?;
        Ok(format!("# The same run again: --job with this file, from the same working directory.\n{text}"))
    }
}

/// What all ranks have sent. Collective.
fn traffic(comm: &Comm, own: Traffic) -> Result<Traffic> {
    let [messages, collectives, bytes] =
        comm.allreduce([own.messages, own.collectives, own.bytes], crate::op::Sum)?;
    Ok(Traffic { messages, collectives, bytes })
}

/// How far a run is.
#[derive(Clone, Copy, Default)]
struct Place {
    /// The steps that were done when this job began.
    from: u64,
    step: u64,
    /// Whether the kernel has said that it is done.
    broke: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Check;
    use crate::testing::ranks;
    use serde::{Deserialize, Serialize};
    use std::sync::Mutex;

    /// Fails on the last rank at the place it is told to.
    #[derive(Clone, clap::Args, Serialize, Deserialize)]
    struct Clumsy {
        #[arg(long)]
        at: String,
    }

    impl Clumsy {
        fn stumble(&self, comm: &Comm, place: &str) -> Result<()> {
            let falls = self.at == place && comm.rank() + 1 == comm.size();
            comm.agree(if falls { Err(Error::io(format!("fell in {place}"))) } else { Ok(()) })
        }
    }

    impl Kernel for Clumsy {
        const NAME: &'static str = "clumsy";
        const ABOUT: &'static str = "fails";
        type Data = u64;

        fn prepare(&mut self, comm: &Comm) -> Result<()> {
            self.stumble(comm, "prepare")
        }
        fn check(&self, _: usize) -> Result<()> {
            if self.at == "check" { Err(Error::io("fell in check")) } else { Ok(()) }
        }
        fn init(&self, comm: &Comm) -> Result<u64> {
            self.stumble(comm, "init").map(|()| 0)
        }
        fn step(&self, comm: &Comm, n: &mut u64) -> Result<ControlFlow<()>> {
            *n += 1;
            if *n == 2 {
                self.stumble(comm, "step")?;
            }
            Ok(if *n == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        }
        fn observe(&self, comm: &Comm, n: &mut u64, out: &mut Output) -> Result<()> {
            out.scalar("n", *n as f64)?;
            self.stumble(comm, if out.is_first() { "first observe" } else { "observe" })
        }
        fn verify(&self, _: &Comm, n: &mut u64) -> Result<Verdict> {
            Ok(Verdict::of([Check::new("steps", *n as f64, if self.at == "verify" { 3.0 } else { 4.0 })]))
        }
        fn bytes_per_rank(&self, _: usize) -> Option<u64> {
            (self.at == "memory").then_some(u64::MAX / 8)
        }
    }

    fn clumsy(at: &str) -> Run<Clumsy> {
        Run::new(Clumsy { at: at.to_string() })
    }

    #[test]
    fn a_failure_before_the_first_step_leaves_nothing_and_one_rank_tells() {
        for at in ["prepare", "check", "memory", "init", "first observe"] {
            let root = tempfile::tempdir().unwrap();
            let told = Mutex::new(Vec::new());
            ranks([1, 2, 3], |world| {
                let error = clumsy(at).directory(root.path().join("runs/one")).on(world).unwrap_err();
                if error.kind() != ErrorKind::Elsewhere {
                    told.lock().unwrap().push((world.size(), error.to_string()));
                }
                world.barrier()?;
                assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0, "{at}");
                Ok(())
            });
            let told = told.into_inner().unwrap();
            assert_eq!(told.len(), 3, "{at}: {told:?}");
        }
    }

    #[test]
    fn a_failure_later_says_so_in_its_directory() {
        for at in ["step", "observe"] {
            let root = tempfile::tempdir().unwrap();
            let path = root.path().join("run");
            ranks([2], |world| {
                assert!(clumsy(at).directory(&path).every(1).on(world).is_err());
                Ok(())
            });
            let progress = std::fs::read_to_string(path.join("progress.json")).unwrap();
            assert!(progress.contains("\"failed\""), "{progress}");
            assert!(!path.join("result.json").exists());
        }
    }

    #[test]
    fn a_wrong_answer_is_told_after_everything_is_written() {
        let root = tempfile::tempdir().unwrap();
        ranks([1, 3], |world| {
            let path = root.path().join(world.size().to_string());
            let summary = clumsy("verify").directory(&path).every(2).on(world)?;
            assert!(summary.steps == 4 && path.join("result.json").exists());
            let error = summary.verified(world.rank()).unwrap_err();
            assert_eq!(error.kind() == ErrorKind::Verification, world.rank() == 0);
            if world.rank() == 0 {
                assert_eq!(error.exit_code(), 1);
                assert!(error.to_string().contains("steps: 4.000e0, NOT within 3.000e0"), "{error}");
                let scalars = std::fs::read_to_string(path.join("out/scalars.csv")).unwrap();
                assert_eq!(scalars, "step,time,n\n0,0.0,0.0\n2,2.0,2.0\n4,4.0,4.0\n");
            }
            Ok(())
        });
    }
}
