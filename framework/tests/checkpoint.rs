//! Runs that are interrupted and resumed on other numbers of ranks come to the same bits; damaged checkpoints are named
//! and passed over; what cannot be resumed is an error on every rank.
//!
//! Ranks are threads here. Processes that are killed, and the Mpi engine, are in `jobs/tests/resume.rs` and in the
//! conformance suite.
#![cfg(feature = "hdf5")]

use num_complex::Complex;
use rankine::checkpoint::{Every, State};
use rankine::output::{Partitioned, PartitionedMut, Piece};
use rankine::run::{Reason, Summary};
use rankine::testing::{ranks, try_ranks};
use rankine::{Comm, Element, Error, ErrorKind, Field, Grid, Kernel, Result, Run};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// Something of every kind that can be kept; the coming steps depend on all of it.
#[derive(Clone, clap::Args, Serialize, Deserialize)]
struct Zoo {
    #[arg(long)]
    cells: usize,
    #[arg(long)]
    steps: u64,
    /// The step that fails
    #[arg(long)]
    fails: Option<u64>,
    /// Milliseconds a step takes
    #[arg(long)]
    pause: u64,
    /// Says so and ends the run
    #[arg(long)]
    breaks: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Element)]
#[repr(C)]
struct Particle {
    x: f64,
    id: u32,
    state: u32,
}

/// A vector dealt to the ranks in blocks of three, by turns.
struct Cyclic {
    all: usize,
    ranks: usize,
    rank: usize,
    own: Vec<i64>,
}

impl Cyclic {
    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let starts = (0..self.all).step_by(3).skip(self.rank).step_by(self.ranks);
        starts.map(|start| (start, (self.all - start).min(3)))
    }
}

impl Partitioned for Cyclic {
    type Item = i64;
    fn global_shape(&self) -> Vec<usize> {
        vec![self.all]
    }
    fn pieces(&self) -> Vec<Piece> {
        let mut base = 0;
        let piece = |(start, len)| {
            base += len;
            Piece::packed(vec![start], vec![len], base - len)
        };
        self.blocks().map(piece).collect()
    }
    fn elements(&self) -> &[i64] {
        &self.own
    }
}

impl PartitionedMut for Cyclic {
    fn elements_mut(&mut self) -> &mut [i64] {
        &mut self.own
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Plain {
    steps: u64,
    names: BTreeMap<String, f64>,
    nothing: Option<u8>,
}

struct Data {
    heat: [Field<f64, 3>; 2],
    phases: Field<Complex<f64>, 2>,
    bytes: Field<u8, 1>,
    cyclic: Cyclic,
    particles: Vec<Particle>,
    random: u64,
    plain: Plain,
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

impl Kernel for Zoo {
    const NAME: &'static str = "zoo";
    const ABOUT: &'static str = "something of every kind";
    const MAY_CHANGE: &'static [&'static str] = &["steps", "fails", "pause"];
    type Data = Data;

    fn steps(&self) -> Option<u64> {
        Some(self.steps)
    }

    fn init(&self, comm: &Comm) -> Result<Data> {
        let n = self.cells;
        let grid = Grid::over(comm, [n, n + 1, n + 2]).periodic([true, false, true]).build()?;
        let heat = Field::from_fn(&grid, |[z, y, x]| ((z * 7 + y * 5 + x * 3) % 11) as f64)?;
        let plane = Grid::over(comm, [n, 2 * n]).halo(0).build()?;
        let phases = Field::from_fn(&plane, |[y, x]| Complex::new(y as f64, x as f64))?;
        let line = Grid::over(comm, [4 * n]).halo(2).build()?;
        let mut cyclic = Cyclic { all: 5 * n + 1, ranks: comm.size(), rank: comm.rank(), own: Vec::new() };
        let own: Vec<i64> =
            cyclic.blocks().flat_map(|(start, len)| start as i64..(start + len) as i64).collect();
        cyclic.own = own;
        let mine = (0..n as u32).filter(|id| *id as usize % comm.size() == comm.rank());
        Ok(Data {
            heat: [heat, Field::new(&grid, 0.0)?],
            phases,
            bytes: Field::from_fn(&line, |[x]| x as u8)?,
            cyclic,
            particles: mine.map(|id| Particle { x: f64::from(id), id, state: id }).collect(),
            random: 1,
            plain: Plain::default(),
        })
    }

    fn step(&self, comm: &Comm, data: &mut Data) -> Result<ControlFlow<()>> {
        std::thread::sleep(Duration::from_millis(self.pause));
        if self.fails == Some(data.plain.steps) {
            let mine = if comm.rank() + 1 == comm.size() { Err(Error::io("fell")) } else { Ok(()) };
            comm.agree(mine)?;
        }
        let drawn = next(&mut data.random);
        let [now, new] = &mut data.heat;
        new.update_from(now, |out, rows| {
            let (u, d, e) = (rows.at([0, 0, 0]), rows.at([-1, 0, 0]), rows.at([0, 0, 1]));
            for i in 0..out.len() {
                out[i] = 0.5 * u[i] + 0.25 * (d[i] + e[i]);
            }
        })?;
        data.heat.swap(0, 1);
        let turn = Complex::from_polar(1.0, drawn as f64);
        data.phases.each_mut(|_, z| *z *= turn);
        data.bytes.each_mut(|[x], byte| *byte = byte.wrapping_mul(5).wrapping_add(x as u8));
        data.cyclic.own.iter_mut().for_each(|n| *n = n.wrapping_mul(31).wrapping_add(drawn as i64));
        for particle in &mut data.particles {
            particle.state = particle.state.wrapping_mul(48_271).wrapping_add(particle.id);
            particle.x += f64::from(particle.state) * 1e-9 + drawn as f64;
        }
        data.plain.steps += 1;
        data.plain.names.insert(format!("step {}", data.plain.steps % 3), drawn as f64 * 0.1);
        data.plain.nothing = drawn.is_multiple_of(2).then_some(drawn as u8);
        let ends = self.breaks == Some(data.plain.steps);
        Ok(if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn observe(&self, _: &Comm, data: &mut Data, out: &mut rankine::run::Output) -> Result<()> {
        out.scalar("drawn", data.random as f64)?;
        out.field("heat", &data.heat[0])?;
        out.picture("heat", &data.heat[0])
    }

    fn persist(&self, data: &mut Data, s: &mut State) -> Result<()> {
        s.field("heat", &mut data.heat[0])?;
        s.field("phases", &mut data.phases)?;
        s.field("bytes", &mut data.bytes)?;
        s.array("cyclic", &mut data.cyclic)?;
        s.list("particles", &mut data.particles)?;
        s.value("random", &mut data.random)?;
        s.value("plain", &mut data.plain)
    }

    /// Of everything, whoever has it.
    fn checksum(&self, comm: &Comm, data: &Data) -> Result<Option<u64>> {
        let mut own = 0u64;
        for (block, (start, len)) in data.cyclic.blocks().enumerate() {
            for n in 0..len {
                own = own.wrapping_add(
                    (data.cyclic.own[3 * block + n] as u64).wrapping_mul((start + n) as u64 | 1),
                );
            }
        }
        for particle in &data.particles {
            let bits = particle.x.to_bits() ^ u64::from(particle.state);
            own = own.wrapping_add(bits.wrapping_mul(u64::from(2 * particle.id + 1)));
        }
        let all = comm.allreduce(own, rankine::op::Sum)?;
        let plain = serde_json::to_string(&data.plain).unwrap();
        let plain = plain.bytes().fold(data.random, |all, byte| all.wrapping_mul(257) ^ u64::from(byte));
        let fields = [data.heat[0].checksum()?, data.phases.checksum()?, data.bytes.checksum()?];
        Ok(Some(fields.iter().fold(all ^ plain, |all, sum| all.rotate_left(7) ^ sum)))
    }
}

/// A folder in memory where there is one: bringing hundreds of small files to a disk takes its time.
fn folder_in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

const ZOO: Zoo = Zoo { cells: 7, steps: 30, fails: None, pause: 0, breaks: None };

/// Runs it on so many ranks; what rank 0 was told.
fn run(size: usize, make: impl Fn() -> Run<Zoo> + Send + Sync) -> Result<Summary> {
    let told = Mutex::new(None);
    try_ranks(size, false, |world| {
        let summary = make().on(world)?;
        if world.rank() == 0 {
            *told.lock().unwrap() = Some(summary);
        }
        Ok(())
    })?;
    Ok(told.into_inner().unwrap().expect("rank 0 has run"))
}

fn reference(folder: &Path, zoo: &Zoo) -> Summary {
    run(1, || Run::new(zoo.clone()).directory(folder.join("reference")).every(6)).unwrap()
}

/// All files of `out` but pictures' names, with their bytes.
fn written(run: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(run.join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().into(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn same_output(run: &Path, reference: &Path) {
    let (found, wanted) = (written(run), written(reference));
    let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|file| file.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found), names(&wanted));
    for (found, wanted) in found.iter().zip(&wanted) {
        assert!(found.1 == wanted.1, "{}: other bytes", found.0.display());
    }
}

#[test]
fn interrupted_and_resumed_on_other_ranks_it_comes_to_the_same_bits() {
    let folder = folder_in_memory();
    let wanted = reference(folder.path(), &ZOO);
    for (n, (first, then, fails, every)) in
        [(1, 3, 20, 7), (4, 2, 13, 5), (3, 1, 29, 1), (7, 4, 6, 4), (2, 7, 3, 4), (2, 3, 24, 6)]
            .into_iter()
            .enumerate()
    {
        let path = folder.path().join(format!("run-{n}"));
        let zoo = Zoo { fails: Some(fails), ..ZOO };
        let every = Every::Steps(every);
        let begin = || Run::new(zoo.clone()).directory(&path).every(6).checkpoint_every(every);
        assert_eq!(run(first, begin).unwrap_err().what(), "fell");
        let resume = || Run::new(ZOO).resume(&path).every(6).checkpoint_every(every);
        let summary = run(then, resume).unwrap();
        assert_eq!((summary.steps, &summary.checksum), (30, &wanted.checksum), "case {n}");
        let Every::Steps(steps) = every else { unreachable!() };
        assert_eq!(summary.from, fails / steps * steps, "case {n}");
        same_output(&path, &folder.path().join("reference"));
        // It is done: nothing is left to do, and the same is said of it.
        let again = run(1, || Run::new(ZOO).resume(&path).every(6)).unwrap();
        assert_eq!((again.from, &again.checksum), (30, &wanted.checksum));
        same_output(&path, &folder.path().join("reference"));
    }
}

#[test]
fn a_run_that_is_done_may_be_made_longer() {
    let folder = folder_in_memory();
    let wanted = reference(folder.path(), &ZOO);
    let path = folder.path().join("run");
    let short = Zoo { steps: 17, ..ZOO };
    let every = Every::Time("1h".parse().unwrap());
    let _ = run(3, || Run::new(short.clone()).directory(&path).every(6).checkpoint_every(every)).unwrap();
    let summary = run(2, || Run::new(ZOO).resume(&path).every(6)).unwrap();
    assert_eq!((summary.from, &summary.checksum), (17, &wanted.checksum));
    same_output(&path, &folder.path().join("reference"));
}

#[test]
fn a_kernel_that_said_it_is_done_is_done() {
    let folder = folder_in_memory();
    let path = folder.path().join("run");
    let zoo = Zoo { breaks: Some(9), ..ZOO };
    let every = Every::Steps(9);
    let first = run(3, || Run::new(zoo.clone()).directory(&path).checkpoint_every(every)).unwrap();
    let again = run(2, || Run::new(zoo.clone()).resume(&path).checkpoint_every(every)).unwrap();
    assert_eq!((first.steps, again.steps, again.from), (9, 9, 9));
    assert_eq!(first.checksum, again.checksum);
}

#[test]
fn stops_as_asked_and_goes_on() {
    let folder = folder_in_memory();
    let wanted = reference(folder.path(), &ZOO);
    let slow = Zoo { pause: 200, ..ZOO };
    for (n, size) in [1, 3].into_iter().enumerate() {
        let path = folder.path().join(format!("file-{n}"));
        let stop = path.join("STOP");
        let summary = std::thread::scope(|threads| {
            threads.spawn(|| {
                while !path.join("progress.json").exists() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                std::fs::write(&stop, "").unwrap();
            });
            run(size, || Run::new(slow.clone()).directory(&path).every(6)).unwrap()
        });
        let stopped = summary.stopped.expect("it was asked to stop");
        assert_eq!(stopped.why, Reason::StopFile);
        assert!(stopped.step < 30 && summary.checksum.is_none(), "{}", stopped.step);
        assert!(!stop.exists() && !path.join("result.json").exists());
        assert!(std::fs::read_to_string(path.join("progress.json")).unwrap().contains("\"stopped\""));
        let summary = run(2, || Run::new(ZOO).resume(&path).every(6)).unwrap();
        assert_eq!((summary.from, &summary.checksum), (stopped.step, &wanted.checksum));
        same_output(&path, &folder.path().join("reference"));
    }
    // A limit: it stops before, with time for a checkpoint.
    let path = folder.path().join("limit");
    let mut options = rankine::run::Options { out: Some(path.clone()), every: Some(6), ..Default::default() };
    options.time_limit = Some("1s".parse().unwrap());
    let slow = Zoo { pause: 60, ..ZOO };
    let summary = run(3, || Run::new(slow.clone()).options(options.clone())).unwrap();
    let stopped = summary.stopped.expect("the limit");
    // Each step takes 60 ms or more: those that are done fit into the second.
    assert!(stopped.why == Reason::TimeLimit && stopped.step * 60 < 1000, "{}", stopped.step);
    let summary = run(1, || Run::new(ZOO).resume(&path).every(6)).unwrap();
    assert_eq!(summary.checksum, wanted.checksum);
}

#[test]
fn asked_to_stop_before_it_begins() {
    let folder = folder_in_memory();
    let wanted = reference(folder.path(), &ZOO);
    let path = folder.path().join("run");
    let stop = path.join("STOP");
    for size in [1, 3] {
        std::fs::create_dir(&path).unwrap();
        std::fs::write(&stop, "").unwrap();
        let stopped = run(size, || Run::new(ZOO).directory(&path).every(6)).unwrap().stopped.unwrap();
        assert_eq!(stopped.why, Reason::StopFile);
        assert!(!stop.exists() && stopped.step < 5, "{}", stopped.step);
        let summary = run(2, || Run::new(ZOO).resume(&path).every(6)).unwrap();
        assert_eq!((summary.from, &summary.checksum), (stopped.step, &wanted.checksum));
        same_output(&path, &folder.path().join("reference"));
        // One that the run before has not seen is not for the run that replaces it, but one that is newer is.
        let anew = rankine::run::Options { out: Some(path.clone()), overwrite: true, ..Default::default() };
        let made = std::fs::File::create(&stop).unwrap();
        made.set_modified(std::time::SystemTime::now() - Duration::from_secs(60)).unwrap();
        let summary = run(size, || Run::new(ZOO).options(anew.clone())).unwrap();
        assert!(summary.stopped.is_none() && !stop.exists());
        let made = std::fs::File::create(&stop).unwrap();
        made.set_modified(std::time::SystemTime::now() + Duration::from_secs(60)).unwrap();
        let stopped = run(size, || Run::new(ZOO).options(anew.clone())).unwrap().stopped.unwrap();
        assert_eq!(stopped.why, Reason::StopFile);
        std::fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn by_time_and_as_often_as_costs_least() {
    let folder = folder_in_memory();
    let slow = Zoo { pause: 20, ..ZOO };
    for (name, every, mtbf) in [("time", "100ms", None), ("auto", "auto", Some("1s"))] {
        let path = folder.path().join(name);
        let options = rankine::run::Options {
            out: Some(path.clone()),
            checkpoint_every: Some(every.parse().unwrap()),
            mtbf: mtbf.map(|mtbf| mtbf.parse().unwrap()),
            ..Default::default()
        };
        // Killed late: there is a checkpoint of before, and not of long before.
        let falls = Zoo { fails: Some(29), ..slow.clone() };
        assert!(run(2, || Run::new(falls.clone()).options(options.clone())).is_err());
        let summary = run(3, || Run::new(ZOO).resume(&path)).unwrap();
        assert!(summary.from >= 1, "{name}: {}", summary.from);
        assert_eq!(summary.steps, 30);
    }
}

/// A run that has failed at step 29 and has checkpoints of steps 20 and 25.
fn interrupted(path: &Path) {
    let zoo = Zoo { fails: Some(29), ..ZOO };
    let every = Every::Steps(5);
    assert!(run(2, || Run::new(zoo.clone()).directory(path).checkpoint_every(every)).is_err());
}

/// The newer checkpoint and the older one.
fn checkpoints(path: &Path) -> [PathBuf; 2] {
    let step = |name: &str| {
        let dump = hdf5::File::open(path.join("ckpt").join(name)).unwrap();
        dump.attr("step").unwrap().read_scalar::<f64>().unwrap()
    };
    let mut both = ["a.h5", "b.h5"];
    both.sort_by(|a, b| step(b).total_cmp(&step(a)));
    both.map(|name| path.join("ckpt").join(name))
}

fn random(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as usize
}

#[test]
fn a_damaged_checkpoint_is_named_and_passed_over() {
    let folder = folder_in_memory();
    let path = folder.path().join("run");
    let wanted = run(1, || Run::new(ZOO)).unwrap().checksum;
    interrupted(&path);
    let [newer, older] = checkpoints(&path);
    let (bytes, before) = (std::fs::read(&newer).unwrap(), std::fs::read(&older).unwrap());
    let mut state = 3;
    let (mut passed_over, cases) = (0, 240);
    for case in 0..cases {
        let mut damaged = bytes.clone();
        match case % 3 {
            // Torn: cut short anywhere.
            0 => damaged.truncate(bytes.len() * (case / 3) / (cases / 3)),
            // A bit here and there.
            1 => {
                let at = random(&mut state) % bytes.len();
                damaged[at] ^= 1 << (random(&mut state) % 8);
            }
            // A page that never came to the disk, or came from elsewhere.
            _ => {
                let at = random(&mut state) % bytes.len();
                let end = (at + 512).min(bytes.len());
                let from = if random(&mut state).is_multiple_of(2) {
                    vec![0; end - at]
                } else {
                    bytes[..end - at].to_vec()
                };
                damaged[at..end].copy_from_slice(&from);
            }
        }
        std::fs::write(&newer, &damaged).unwrap();
        let size = 1 + case % 3;
        let summary = run(size, || Run::new(ZOO).resume(&path))
            .unwrap_or_else(|error| panic!("case {case}: {error:?}"));
        assert_eq!(summary.checksum, wanted, "case {case}");
        match summary.from {
            20 => {
                passed_over += 1;
                let name = newer.file_name().unwrap().display();
                let named = format!("the checkpoint {name} is not used: ");
                assert!(summary.notes.iter().any(|note| note.starts_with(&named)), "{:?}", summary.notes);
            }
            from => assert_eq!(from, 25, "case {case}"),
        }
        assert_eq!(std::fs::read(&older).unwrap(), before);
        std::fs::remove_file(path.join("result.json")).unwrap();
    }
    // All that was cut, and nearly all that lost a page; a bit may be one that nobody reads.
    assert!(passed_over > cases / 2, "{passed_over} of {cases}");
    // Both of them: nobody guesses.
    std::fs::write(&newer, &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(&older, b"").unwrap();
    for size in [1, 3] {
        let error = run(size, || Run::new(ZOO).resume(&path)).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        let said = error.to_string();
        for words in ["no checkpoint in", "a.h5 is not used", "b.h5 is not used", "cut short", "it is empty"]
        {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}

/// A kernel of the same name as `K` with other state.
macro_rules! impostor {
    ($name:ident, $called:expr, $data:ty, $init:expr, $persist:expr) => {
        #[derive(Clone, clap::Args, Serialize, Deserialize)]
        struct $name {
            #[arg(long)]
            cells: usize,
        }
        impl Kernel for $name {
            const NAME: &'static str = $called;
            const ABOUT: &'static str = "another one";
            const MAY_CHANGE: &'static [&'static str] = &["cells", "steps", "fails", "pause", "breaks"];
            type Data = $data;
            fn init(&self, comm: &Comm) -> Result<$data> {
                #[allow(clippy::redundant_closure_call)]
                ($init)(comm)
            }
            fn step(&self, _: &Comm, _: &mut $data) -> Result<ControlFlow<()>> {
                Ok(ControlFlow::Break(()))
            }
            fn persist(&self, data: &mut $data, s: &mut State) -> Result<()> {
                #[allow(clippy::redundant_closure_call)]
                ($persist)(data, s)
            }
        }
    };
}

fn grid3(comm: &Comm, cells: [usize; 3]) -> Result<Grid<3>> {
    Grid::new(comm, cells)
}

impostor!(Other, "other", u64, |_: &Comm| Ok(0), |data: &mut u64, s: &mut State| s.value("random", data));
impostor!(
    Shape,
    "zoo",
    Field<f64, 3>,
    |comm: &Comm| Field::new(&grid3(comm, [7, 8, 10])?, 0.0),
    |data: &mut Field<f64, 3>, s: &mut State| s.field("heat", data)
);
impostor!(
    Kind,
    "zoo",
    Field<f32, 3>,
    |comm: &Comm| Field::new(&grid3(comm, [7, 8, 9])?, 0.0),
    |data: &mut Field<f32, 3>, s: &mut State| s.field("heat", data)
);
impostor!(Missing, "zoo", u64, |_: &Comm| Ok(0), |data: &mut u64, s: &mut State| s.value("seed", data));
impostor!(Value, "zoo", f64, |_: &Comm| Ok(0.0), |data: &mut f64, s: &mut State| s.value("random", data));
impostor!(Less, "zoo", u64, |_: &Comm| Ok(0), |data: &mut u64, s: &mut State| s.value("random", data));
impostor!(Twice, "zoo", u64, |_: &Comm| Ok(0), |data: &mut u64, s: &mut State| {
    s.value("random", data)?;
    s.value("random", data)
});
impostor!(Slash, "zoo", u64, |_: &Comm| Ok(0), |data: &mut u64, s: &mut State| s.value("a/b", data));
impostor!(Differs, "zoo", usize, |comm: &Comm| Ok(comm.rank()), |data: &mut usize, s: &mut State| {
    s.value("rank", data)
});
impostor!(Nothing, "zoo", (), |_: &Comm| Ok(()), |_: &mut (), _: &mut State| Ok(()));

fn refused<K: Kernel>(make: impl Fn() -> Run<K> + Send + Sync, code: u8, says: &[&str]) {
    for size in [1, 3] {
        let told = Mutex::new(Vec::new());
        ranks([size], |world| {
            let error = make().on(world).expect_err("it cannot be");
            if error.kind() != ErrorKind::Elsewhere {
                told.lock().unwrap().push(error);
            }
            Ok(())
        });
        let told = told.into_inner().unwrap();
        assert!(!told.is_empty());
        let error = &told[0];
        assert_eq!(error.exit_code(), code, "{error}");
        for words in says {
            assert!(error.to_string().contains(words), "{words}: {error}");
        }
    }
}

#[test]
fn a_checkpoint_of_something_else_is_refused_and_stays() {
    let folder = folder_in_memory();
    let path = folder.path().join("run");
    interrupted(&path);
    let before = checkpoints(&path).map(|file| std::fs::read(file).unwrap());
    let (p, cells) = (&path, 7);
    refused(|| Run::new(Other { cells }).resume(p), 4, &["is a checkpoint of the kernel zoo, not other"]);
    refused(
        || Run::new(Shape { cells }).resume(p),
        4,
        &["/state/heat is of [7, 8, 9] f64", "[7, 8, 10] f64"],
    );
    refused(|| Run::new(Kind { cells }).resume(p), 4, &["/state/heat is of [7, 8, 9] f64", "f32"]);
    refused(|| Run::new(Missing { cells }).resume(p), 4, &["has no value `seed`", "another version"]);
    refused(|| Run::new(Value { cells }).resume(p), 4, &["has `random` as u64; the kernel's is f64"]);
    refused(|| Run::new(Less { cells }).resume(p), 4, &["has `heat`, which the kernel does not ask for"]);
    refused(|| Run::new(Twice { cells }).resume(p), 2, &["persist names `random` twice"]);
    refused(|| Run::new(Slash { cells }).resume(p), 2, &["\"a/b\" cannot be named so"]);
    refused(|| Run::new(Nothing { cells }).resume(p), 2, &["--resume: the kernel zoo keeps no state"]);
    let other = Zoo { cells: 8, ..ZOO };
    refused(
        || Run::new(other.clone()).resume(p),
        2,
        &["--cells is 8; the run that goes on was begun with 7"],
    );
    for (file, before) in checkpoints(&path).iter().zip(&before) {
        assert!(&std::fs::read(file).unwrap() == before);
    }
    // Of another version: what is sealed says so.
    for file in checkpoints(&path) {
        let open = hdf5::File::open_rw(&file).unwrap();
        let header = open.dataset("header").unwrap();
        let text = String::from_utf8(header.read_raw::<u8>().unwrap()).unwrap();
        let text = text.replacen("\"version\": 2", "\"version\": 9", 1);
        header.write_raw(text.as_bytes()).unwrap();
        let seal = blake3::hash(text.as_bytes()).to_hex().to_string();
        let fixed: hdf5::types::FixedAscii<64> =
            hdf5::types::FixedAscii::from_ascii(seal.as_bytes()).unwrap();
        header.delete_attr("seal").unwrap();
        header
            .new_attr::<hdf5::types::FixedAscii<64>>()
            .create("seal")
            .unwrap()
            .write_scalar(&fixed)
            .unwrap();
    }
    refused(|| Run::new(ZOO).resume(p), 4, &["is a checkpoint of version 9; this program reads version 2"]);
}

#[test]
fn what_cannot_be_saved_is_refused() {
    let folder = folder_in_memory();
    let at = |name: &str| folder.path().join(name);
    let every = Every::Steps(1);
    let run = |name: &str| Run::new(Nothing { cells: 1 }).directory(at(name)).checkpoint_every(every);
    refused(|| run("nothing"), 2, &["--checkpoint-every: the kernel zoo keeps no state", "persist"]);
    refused(|| Run::new(ZOO).checkpoint_every(every), 2, &["a run without files has no checkpoints"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let error = try_ranks(3, true, |world| {
        Run::new(Differs { cells: 1 }).directory(at("differs")).checkpoint_every(every).on(world).map(drop)
    });
    let error = error.unwrap_err();
    assert!(error.what().contains("the value `rank` is not the same on every rank"), "{error}");
    let done = at("done");
    try_ranks(2, true, |world| Run::new(ZOO).directory(&done).on(world).map(drop)).unwrap();
    refused(|| Run::new(ZOO).resume(&done), 4, &["the run is done", "no checkpoint"]);
}

#[test]
fn two_runs_do_not_share_a_directory() {
    let folder = folder_in_memory();
    let path = folder.path().join("run");
    let slow = Zoo { pause: 20, steps: 1_000_000, ..ZOO };
    std::thread::scope(|threads| {
        let first = threads.spawn(|| run(2, || Run::new(slow.clone()).directory(&path)));
        while !path.join("progress.json").exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let second = run(2, || Run::new(ZOO).resume(&path));
        std::fs::write(path.join("STOP"), "").unwrap();
        let error = second.unwrap_err();
        assert!(error.what().contains("another run is going on in"), "{error}");
        assert!(first.join().unwrap().unwrap().stopped.is_some());
    });
}
