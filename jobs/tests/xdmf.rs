//! What VTK's XDMF reader, which ParaView has too, sees of a run's files: moments, places and values, against formulas.
//!
//! Python with VTK is in RANKINE_VTK_PYTHON, or where `tools/install.sh test` puts it: `target/vtk`.

use rankine::output::xdmf::Series;
use rankine::output::{Numeric, Writer};
use rankine::run::Output;
use rankine::testing::ranks;
use rankine::{Comm, Field, Grid, Kernel, Result};
use std::collections::BTreeMap;
use std::f64::consts::PI;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// A process that one test starts inherits the files that another has open just then, with HDF5's locks.
static ALONE: Mutex<()> = Mutex::new(());

/// Values with their places, x, y, z.
type Values = BTreeMap<String, Vec<[f64; 4]>>;

/// A moment as VTK sees it; axes are x, y, z.
#[derive(Debug, serde::Deserialize)]
struct Moment {
    time: f64,
    kind: String,
    points: [usize; 3],
    origin: [f64; 3],
    spacing: [f64; 3],
    cells: Values,
    nodes: Values,
}

fn read(xdmf: &Path) -> Vec<Moment> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("RANKINE_VTK_PYTHON").map_or_else(
        || root.join("../target/vtk/bin/python"),
        |given| root.join("..").join(PathBuf::from(given)),
    );
    let mut command = Command::new(&python);
    command.arg(root.join("tests/xdmf.py")).arg(xdmf);
    let found = command.output().unwrap_or_else(|error| {
        panic!("{}: {error}; `sh tools/install.sh test` makes a Python with VTK there", python.display())
    });
    let said = String::from_utf8_lossy(&found.stderr);
    assert!(found.status.success(), "{}: {}\n{said}", xdmf.display(), found.status);
    assert_eq!(said, "", "{}", xdmf.display());
    serde_json::from_slice(&found.stdout).unwrap()
}

fn near(found: &[f64], wanted: &[f64]) -> bool {
    found.len() == wanted.len() && found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12)
}

fn heat(folder: &Path, name: &str, mpirun: bool, ranks: usize) -> Vec<Moment> {
    let launcher = std::env::var("RANKINE_MPIRUN").unwrap_or_else(|_| "mpirun --oversubscribe".to_string());
    let (ranks, program) = (ranks.to_string(), env!("CARGO_BIN_EXE_rankine"));
    let mut words: Vec<&str> = Vec::new();
    if mpirun {
        words.extend(launcher.split_whitespace().chain(["-n", &ranks]));
    }
    words.extend([program, "run", "heat3d"]);
    if !mpirun {
        words.extend(["--ranks", &ranks]);
    }
    let parameters =
        "--cells 4,5,6 --spacing 0.5,1,2 --dt 0.03125 --steps 6 --every 2 --walls fixed --mode 1,2,3";
    words.extend(parameters.split(' ').chain(["--out", name]));
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(folder);
    for name in ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] {
        command.env(name, "1");
    }
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{name}: {}", String::from_utf8_lossy(&ended.stderr));
    read(&folder.join(name).join("out/fields.xdmf"))
}

/// The mode of fixed walls, one cell beyond the outermost, and its exact decay, at the places that VTK says.
#[test]
fn heat_is_where_and_when_it_should_be() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let (cells, spacing, mode, dt) = ([6.0, 5.0, 4.0], [2.0, 1.0, 0.5], [3.0, 2.0, 1.0], 0.03125);
    let phase = |axis: usize| PI * mode[axis] / (cells[axis] + 1.0);
    let decay: f64 = 1.0
        - (0..3)
            .map(|axis| 4.0 * dt / (spacing[axis] * spacing[axis]) * (phase(axis) / 2.0).sin().powi(2))
            .sum::<f64>();
    for (name, mpirun, ranks) in [("a", false, 1), ("b", false, 3), ("c", true, 3)] {
        let moments = heat(folder.path(), name, mpirun, ranks);
        assert_eq!(moments.len(), 4, "{name}");
        for (n, moment) in moments.iter().enumerate() {
            let steps = 2 * n as i32;
            assert_eq!((moment.time, moment.kind.as_str()), (f64::from(steps) * dt, "vtkImageData"));
            assert_eq!((moment.points, moment.origin, moment.spacing), ([7, 6, 5], [0.0; 3], spacing));
            assert!(moment.nodes.is_empty() && moment.cells.len() == 1, "{name}");
            let values = &moment.cells["temperature"];
            assert_eq!(values.len(), 4 * 5 * 6);
            for &[x, y, z, value] in values {
                let wave = |axis: usize, at: f64| (phase(axis) * (at / spacing[axis] + 0.5)).sin();
                let wanted = decay.powi(steps) * wave(0, x) * wave(1, y) * wave(2, z);
                assert!((value - wanted).abs() < 1e-13, "{name}, step {steps}: {value}, not {wanted}");
            }
        }
    }
}

/// Fields of which every value says where it is.
#[derive(Clone, clap::Args, serde::Serialize, serde::Deserialize)]
struct Places {}

struct Data {
    rod: Field<f64, 1>,
    rod_nodes: Field<f64, 1>,
    plate: Field<f32, 2>,
    plate_faces: Field<f64, 2>,
    plate_nodes: Field<f64, 2>,
    box_cells: Field<f64, 3>,
    box_faces: Field<f64, 3>,
    box_edges: Field<f64, 3>,
    box_nodes: Field<f64, 3>,
    ring_faces: Field<f64, 2>,
    steps: u64,
}

const ORIGIN: [f64; 3] = [-4.0, 10.0, 0.5];
const WIDTH: [f64; 3] = [2.0, 0.25, 0.5];

/// The last `D` of three.
fn last<T: Copy, const D: usize>(of: [T; 3]) -> [T; D] {
    std::array::from_fn(|axis| of[3 - D + axis])
}

fn told(z: f64, y: f64, x: f64) -> f64 {
    1.0 + 100.0 * z + 10.0 * y + x
}

fn filled<T: Numeric + From<f32>, const D: usize>(
    grid: &Grid<D>,
    on_faces: [bool; D],
) -> Result<Field<T, D>> {
    let mut field = Field::staggered(grid, on_faces, T::from(0.0))?;
    let (origin, width) = (last::<_, D>(ORIGIN), last::<_, D>(WIDTH));
    field.each_mut(|point, value| {
        let mut at = [0.0; 3];
        for axis in 0..D {
            let middle = if on_faces[axis] { 0.0 } else { 0.5 };
            at[3 - D + axis] = origin[axis] + (point[axis] as f64 + middle) * width[axis];
        }
        // A multiple of 1/32, which both types hold.
        *value = T::from(told(at[0], at[1], at[2]) as f32);
    });
    Ok(field)
}

impl Kernel for Places {
    const NAME: &'static str = "places";
    const ABOUT: &'static str = "where values are";
    type Data = Data;
    fn steps(&self) -> Option<u64> {
        Some(2)
    }
    fn init(&self, comm: &Comm) -> Result<Data> {
        let line = Grid::over(comm, [7]).origin(last(ORIGIN)).spacing(last(WIDTH)).build()?;
        let plane = Grid::over(comm, [4, 7]).origin(last(ORIGIN)).spacing(last(WIDTH)).build()?;
        let space = Grid::over(comm, [3, 4, 7]).origin(ORIGIN).spacing(WIDTH).build()?;
        let ring =
            Grid::over(comm, [4, 7]).periodic([true; 2]).origin(last(ORIGIN)).spacing(last(WIDTH)).build()?;
        Ok(Data {
            rod: filled(&line, [false])?,
            rod_nodes: filled(&line, [true])?,
            plate: filled(&plane, [false; 2])?,
            plate_faces: filled(&plane, [false, true])?,
            plate_nodes: filled(&plane, [true; 2])?,
            box_cells: filled(&space, [false; 3])?,
            box_faces: filled(&space, [true, false, false])?,
            box_edges: filled(&space, [false, true, true])?,
            box_nodes: filled(&space, [true; 3])?,
            ring_faces: filled(&ring, [true, false])?,
            steps: 0,
        })
    }
    fn step(&self, _: &Comm, data: &mut Data) -> Result<ControlFlow<()>> {
        data.rod.each_mut(|_, value| *value += 1000.0);
        data.steps += 1;
        Ok(ControlFlow::Continue(()))
    }
    fn observe(&self, _: &Comm, data: &mut Data, out: &mut Output) -> Result<()> {
        out.time(data.steps as f64 * 0.75);
        out.field("rod", &data.rod)?;
        out.field("rod_nodes", &data.rod_nodes)?;
        out.field("plate", &data.plate)?;
        out.field("plate_faces", &data.plate_faces)?;
        out.field("plate_nodes", &data.plate_nodes)?;
        out.field("box", &data.box_cells)?;
        out.field("box_again", &data.box_cells)?;
        out.field("box_faces", &data.box_faces)?;
        out.field("box_edges", &data.box_edges)?;
        out.field("box_nodes", &data.box_nodes)?;
        out.field("ring_faces", &data.ring_faces)
    }
}

/// The file's number, its fields, whether they are on nodes; of VTK the points, the origin, the spacing, x, y, z.
type Row = (&'static str, &'static [&'static str], bool, [usize; 3], [f64; 3], [f64; 3]);

#[test]
fn every_value_is_where_its_grid_says() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let (half, quarter) = (0.25, 0.125);
    let table: [Row; 10] = [
        ("", &["rod"], false, [8, 2, 2], [0.5, -half, -half], [0.5; 3]),
        ("-2", &["rod_nodes"], true, [8, 1, 1], [0.5, 0.0, 0.0], [0.5; 3]),
        ("-3", &["plate"], false, [8, 5, 2], [0.5, 10.0, -quarter], [0.5, 0.25, 0.25]),
        ("-4", &["plate_faces"], false, [9, 5, 2], [0.25, 10.0, -quarter], [0.5, 0.25, 0.25]),
        ("-5", &["plate_nodes"], true, [8, 5, 1], [0.5, 10.0, 0.0], [0.5, 0.25, 0.25]),
        ("-6", &["box", "box_again"], false, [8, 5, 4], [0.5, 10.0, -4.0], [0.5, 0.25, 2.0]),
        ("-7", &["box_faces"], false, [8, 5, 5], [0.5, 10.0, -5.0], [0.5, 0.25, 2.0]),
        ("-8", &["box_edges"], false, [9, 6, 4], [0.25, 9.875, -4.0], [0.5, 0.25, 2.0]),
        ("-9", &["box_nodes"], true, [8, 5, 4], [0.5, 10.0, -4.0], [0.5, 0.25, 2.0]),
        ("-10", &["ring_faces"], false, [8, 5, 2], [0.5, 9.875, -quarter], [0.5, 0.25, 0.25]),
    ];
    for size in [1, 3] {
        let run = folder.path().join(size.to_string());
        ranks([size], |world| rankine::Run::new(Places {}).directory(&run).every(1).on(world).map(drop));
        for (number, fields, on_nodes, points, origin, spacing) in table {
            let moments = read(&run.join(format!("out/fields{number}.xdmf")));
            assert_eq!(moments.iter().map(|moment| moment.time).collect::<Vec<_>>(), [0.0, 0.75, 1.5]);
            for (step, moment) in moments.iter().enumerate() {
                assert_eq!(moment.points, points, "{fields:?}");
                assert!(
                    near(&moment.origin, &origin) && near(&moment.spacing, &spacing),
                    "{fields:?}: {moment:?}"
                );
                let (shown, none) = match on_nodes {
                    true => (&moment.nodes, &moment.cells),
                    false => (&moment.cells, &moment.nodes),
                };
                assert!(none.is_empty() && shown.keys().eq(fields), "{fields:?}: {moment:?}");
                let count: usize = points.iter().map(|n| n - usize::from(!on_nodes)).product();
                for (name, values) in shown {
                    assert_eq!(values.len(), count, "{name}");
                    let later = if name == "rod" { 1000.0 * step as f64 } else { 0.0 };
                    for &[x, y, z, value] in values {
                        assert!(
                            (value - told(z, y, x) - later).abs() < 1e-9,
                            "{name}: {value} at {x}, {y}, {z}"
                        );
                    }
                }
            }
        }
    }
}

/// Extremes of every type, as far as doubles, in which VTK is asked, hold them.
#[test]
fn numbers_of_every_type_arrive() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let mut wanted: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    let mut series = Series::new(&[2], &[0.0], &[1.0]).unwrap();
    macro_rules! written {
        ($name:expr, $type:ty, $low:expr, $high:expr) => {
            let file = format!("{}.h5", wanted.len());
            ranks([2], |world| {
                let numbers: [$type; 2] = [$low, $high];
                let grid = Grid::new(world, [2])?;
                let mut out = Writer::create(world, folder.path().join(&file))?;
                out.write_field("some & more", &Field::from_fn(&grid, |[x]| numbers[x])?)?;
                out.finish()
            });
            series.add(3, 1e-9, $name, &file, "some & more", <$type>::FORMAT).unwrap();
            wanted.insert($name.to_string(), [$low as $type as f64, $high as $type as f64]);
        };
    }
    written!("<i8>", i8, i8::MIN, i8::MAX);
    written!("u8", u8, 1, u8::MAX);
    written!("i16", i16, i16::MIN, i16::MAX);
    written!("u16", u16, 1, u16::MAX);
    written!("i32", i32, i32::MIN, i32::MAX);
    written!("u32", u32, 1, u32::MAX);
    written!("i64", i64, i64::MIN, 1i64 << 53);
    written!("u64", u64, 1, 1u64 << 62);
    written!("f32", f32, f32::MIN, 0.1);
    written!("f64", f64, f64::MIN, 0.1);
    let path = folder.path().join("all & any.xdmf");
    series.write(&path).unwrap();
    let moments = read(&path);
    let [Moment { time, cells, .. }] = &moments[..] else { panic!("{moments:?}") };
    assert_eq!(*time, 1e-9);
    let found: BTreeMap<String, [f64; 2]> =
        cells.iter().map(|(name, rows)| (name.clone(), [rows[0][3], rows[1][3]])).collect();
    assert_eq!(found, wanted);
}
