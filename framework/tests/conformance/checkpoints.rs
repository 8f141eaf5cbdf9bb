//! Checkpoints: saved by all ranks, gone on with by some of them and by others; damaged ones named and passed over.
//!
//! What may be in a checkpoint, and every way of damaging one, is tested on threads (`tests/checkpoint.rs`).

use super::scratch::{first, refused, with_folder};
use rankine::checkpoint::{Every, State};
use rankine::kernel::{Check, Verdict};
use rankine::{Comm, Element, Error, Field, Grid, Kernel, Result, Run};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A plate whose cells turn over and over, points that belong to nobody, and a counter.
#[derive(Clone, clap::Args, Serialize, Deserialize)]
struct Plate {
    #[arg(long)]
    steps: u64,
    /// The step that fails, on the last rank
    #[arg(long)]
    fails: Option<u64>,
}

#[derive(Clone, Copy, Element)]
#[repr(C)]
struct Point {
    x: f64,
    id: u64,
}

struct Data {
    cells: Field<u64, 2>,
    points: Vec<Point>,
    steps: u64,
}

impl Kernel for Plate {
    const NAME: &'static str = "plate";
    const ABOUT: &'static str = "a plate";
    const MAY_CHANGE: &'static [&'static str] = &["steps", "fails"];
    type Data = Data;

    fn steps(&self) -> Option<u64> {
        Some(self.steps)
    }

    fn init(&self, comm: &Comm) -> Result<Data> {
        let grid = Grid::over(comm, [23, 4]).leave_idle().build()?;
        let mine = (0..10).filter(|id| *id as usize % comm.size() == comm.rank());
        Ok(Data {
            cells: Field::from_fn(&grid, |[y, x]| (4 * y + x) as u64)?,
            points: mine.map(|id| Point { x: id as f64, id }).collect(),
            steps: 0,
        })
    }

    fn step(&self, comm: &Comm, data: &mut Data) -> Result<ControlFlow<()>> {
        let falls = self.fails == Some(data.steps) && comm.rank() + 1 == comm.size();
        comm.agree(if falls { Err(Error::io("fell")) } else { Ok(()) })?;
        data.cells.each_mut(|_, cell| *cell = turned(*cell));
        data.points.iter_mut().for_each(|point| point.x = 0.5 * point.x + point.id as f64);
        data.steps += 1;
        Ok(ControlFlow::Continue(()))
    }

    fn persist(&self, data: &mut Data, s: &mut State) -> Result<()> {
        s.field("cells", &mut data.cells)?;
        s.list("points", &mut data.points)?;
        s.value("steps", &mut data.steps)
    }

    fn verify(&self, comm: &Comm, data: &mut Data) -> Result<Verdict> {
        // What the start and the number of steps come to, by themselves.
        let expected = |[y, x]: [usize; 2]| (0..self.steps).fold((4 * y + x) as u64, |cell, _| turned(cell));
        let mut wrong = data.cells.iter().filter(|(cell, found)| *found != expected(*cell)).count();
        for point in &data.points {
            let x = (0..self.steps).fold(point.id as f64, |x, _| 0.5 * x + point.id as f64);
            wrong += usize::from(x.to_bits() != point.x.to_bits());
        }
        let [wrong, points] = comm.allreduce([wrong, data.points.len()], rankine::op::Sum)?;
        wrong_is_none(wrong + points.abs_diff(10))
    }
}

fn wrong_is_none(wrong: usize) -> Result<Verdict> {
    Ok(Verdict::of([Check::new("wrong", wrong as f64, 0.0)]))
}

fn turned(cell: u64) -> u64 {
    cell.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

/// Another kernel.
#[derive(Clone, clap::Args, Serialize, Deserialize)]
struct Stranger {}

impl Kernel for Stranger {
    const NAME: &'static str = "stranger";
    const ABOUT: &'static str = "another one";
    type Data = u64;
    fn init(&self, _: &Comm) -> Result<u64> {
        Ok(0)
    }
    fn step(&self, _: &Comm, _: &mut u64) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Break(()))
    }
    fn persist(&self, data: &mut u64, s: &mut State) -> Result<()> {
        s.value("steps", data)
    }
}

/// The same name, another shape.
#[derive(Clone, clap::Args, Serialize, Deserialize)]
struct Wider {}

impl Kernel for Wider {
    const NAME: &'static str = "plate";
    const ABOUT: &'static str = "another version";
    const MAY_CHANGE: &'static [&'static str] = &["steps", "fails"];
    type Data = Field<u64, 2>;
    fn init(&self, comm: &Comm) -> Result<Field<u64, 2>> {
        Field::new(&Grid::over(comm, [23, 5]).leave_idle().build()?, 0)
    }
    fn step(&self, _: &Comm, _: &mut Field<u64, 2>) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Break(()))
    }
    fn persist(&self, data: &mut Field<u64, 2>, s: &mut State) -> Result<()> {
        s.field("cells", data)
    }
}

const PLATE: Plate = Plate { steps: 9, fails: None };

/// A run of all ranks that fell at step 7, with checkpoints of steps 4 and 6; the newer one's name and the older one's.
fn interrupted(world: &Comm, path: &Path) -> Result<[PathBuf; 2]> {
    let fallen = Run::new(Plate { fails: Some(7), ..PLATE })
        .directory(path)
        .checkpoint_every(Every::Steps(2))
        .on(world);
    let said = refused(world, fallen)?;
    assert!(said.contains("fell"), "{said}");
    let step = |name: &str| {
        let file = hdf5::File::open(path.join("ckpt").join(name)).expect("a checkpoint");
        file.attr("step").expect("its step").read_scalar::<f64>().expect("a number")
    };
    let mut names = ["a.h5", "b.h5"];
    let steps = (world.rank() == 0).then(|| names.map(step));
    let steps = world.bcast_value(steps, 0)?;
    if steps[0] < steps[1] {
        names.reverse();
    }
    assert_eq!(steps[0].max(steps[1]), 6.0);
    Ok(names.map(|name| path.join("ckpt").join(name)))
}

/// Every second rank, or the upper half: fewer ranks than have saved, if there are any.
fn parts(world: &Comm) -> Result<Vec<Option<Comm>>> {
    let (rank, size) = (world.rank(), world.size());
    let every_second = (rank % 2 == 0).then_some(1);
    let upper = (rank >= size / 2).then_some(1);
    Ok(vec![world.split(every_second, 0)?, world.split(upper, -(rank as i64))?, Some(world.dup()?)])
}

pub fn other_ranks_go_on(world: &Comm) -> Result<()> {
    with_folder(world, |folder| {
        for (n, part) in parts(world)?.into_iter().enumerate() {
            let path = folder.join(format!("run-{n}"));
            interrupted(world, &path)?;
            if let Some(part) = part {
                let summary = Run::new(PLATE).resume(&path).on(&part)?;
                assert_eq!((summary.from, summary.steps), (6, 9));
                assert!(matches!(summary.verdict, Verdict::Passed { .. }), "{:?}", summary.verdict);
            }
            world.barrier()?;
        }
        Ok(())
    })
}

/// Torn, changed in a number, changed in what it says of itself, not HDF5: the older one is used, and somebody says why.
pub fn damaged_ones_are_passed_over(world: &Comm) -> Result<()> {
    with_folder(world, |folder| {
        let path = folder.join("run");
        let [newer, older] = interrupted(world, &path)?;
        let whole = std::fs::read(&newer).expect("the newer");
        let before = std::fs::read(&older).expect("the older");
        world.barrier()?;
        let number = turned(turned(turned(turned(turned(turned(50u64)))))).to_ne_bytes();
        let place = |bytes: &[u8]| whole.windows(bytes.len()).position(|window| window == bytes);
        let (number, word) =
            (place(&number).expect("a cell"), place(b"\"kernel\": \"plate\"").expect("words"));
        for case in 0..4 {
            first(world, || {
                let mut bytes = whole.clone();
                match case {
                    0 => bytes.truncate(whole.len() / 3),
                    1 => bytes[number] ^= 1,
                    2 => bytes[word + 12] ^= 1,
                    _ => bytes = b"nothing of the kind".to_vec(),
                }
                std::fs::write(&newer, bytes).expect("damage");
                let _ = std::fs::remove_file(path.join("result.json"));
            })?;
            let part = world.split((world.rank() % 2 == case % 2 || world.size() == 1).then_some(1), 0)?;
            if let Some(part) = part {
                let summary = Run::new(PLATE).resume(&path).on(&part)?;
                assert_eq!((summary.from, summary.steps), (4, 9), "case {case}");
                assert!(matches!(summary.verdict, Verdict::Passed { .. }), "{:?}", summary.verdict);
                let name = newer.file_name().expect("a name").display();
                let says = format!("the checkpoint {name} is not used: ");
                assert!(part.rank() > 0 || summary.notes.iter().any(|note| note.starts_with(&says)));
            }
            world.barrier()?;
            assert!(std::fs::read(&older).expect("the older") == before, "case {case}");
            world.barrier()?;
        }
        first(world, || {
            std::fs::write(&newer, &whole[..whole.len() / 2]).expect("damage");
            std::fs::write(&older, &before[..100]).expect("damage");
            let _ = std::fs::remove_file(path.join("result.json"));
        })?;
        let said = refused(world, Run::new(PLATE).resume(&path).on(world))?;
        for words in ["no checkpoint in", "a.h5 is not used", "b.h5 is not used", "cut short"] {
            assert!(said.starts_with("4 ") && said.contains(words), "{words}: {said}");
        }
        Ok(())
    })
}

pub fn those_of_others_are_refused(world: &Comm) -> Result<()> {
    with_folder(world, |folder| {
        let path = folder.join("run");
        let both = interrupted(world, &path)?;
        let before = both.each_ref().map(|file| std::fs::read(file).expect("a checkpoint"));
        world.barrier()?;
        let said = refused(world, Run::new(Stranger {}).resume(&path).on(world))?;
        assert!(said.starts_with("4 ") && said.contains("of the kernel plate, not stranger"), "{said}");
        let said = refused(world, Run::new(Wider {}).resume(&path).on(world))?;
        assert!(said.starts_with("4 ") && said.contains("[23, 4]") && said.contains("[23, 5]"), "{said}");
        world.barrier()?;
        assert!(before == both.each_ref().map(|file| std::fs::read(file).expect("a checkpoint")));
        world.barrier()?;
        // Of a version that is not known here, sealed as it should be.
        first(world, || {
            for file in &both {
                let open = hdf5::File::open_rw(file).expect("a checkpoint");
                let header = open.dataset("header").expect("its header");
                let text = String::from_utf8(header.read_raw::<u8>().expect("bytes")).expect("text");
                let text = text.replacen("\"version\": 2", "\"version\": 8", 1);
                header.write_raw(text.as_bytes()).expect("another text");
                let seal = blake3::hash(text.as_bytes()).to_hex().to_string();
                let seal = hdf5::types::FixedAscii::<64>::from_ascii(seal.as_bytes()).expect("ASCII");
                header.delete_attr("seal").expect("a seal");
                let new = header.new_attr::<hdf5::types::FixedAscii<64>>().create("seal").expect("a seal");
                new.write_scalar(&seal).expect("a seal");
            }
        })?;
        let said = refused(world, Run::new(PLATE).resume(&path).on(world))?;
        assert!(
            said.starts_with("4 ") && said.contains("of version 8; this program reads version 2"),
            "{said}"
        );
        Ok(())
    })
}
