//! What a kernel's `observe` hands over, and the files it becomes: `out/fields-000000.h5` and so on with
//! `out/fields.xdmf`, pictures and `out/scalars.csv`.
//!
//! Each moment's fields are a file of their own, which is whole when it has its name; so whatever ends a run leaves all
//! that can be read. A run that goes on takes up the tables as they were at its checkpoint. It decides names and moments; formats are `crate::output`'s business. A build without HDF5 writes the rest and
//! says what is missing.

use super::directory::OUT;
use super::scalars::Scalars;
use crate::comm::Comm;
use crate::error::Result;
use crate::field::Field;
use crate::output::files::{failure, write_bytes, write_text};
use crate::output::picture::{Picture, Slices, slices};
use crate::output::plot::{Plot, profile};
use crate::output::xdmf::Series;
use crate::output::{Numeric, Writer};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The name of a moment's fields is this, a dash, and the step.
const FIELDS: &str = "fields";
const XDMF: &str = "fields.xdmf";
const SCALARS: &str = "scalars.csv";

/// Takes what a kernel shows at one moment. Every rank makes the same calls, in the same order.
///
/// In a run without files it takes everything and keeps nothing.
pub struct Output {
    /// A communicator of its own; only in a run with files.
    comm: Option<Comm>,
    first: bool,
    last: bool,
    step: u64,
    time: Option<f64>,
    spacing: Vec<f64>,
    folder: PathBuf,
    writer: Option<Writer>,
    kept: Kept,
    notes: Vec<String>,
    /// When tables were last written.
    tables: Option<Instant>,
}

/// Tables that are written again and again are so no more often than this, but at the end.
const TABLES: Duration = Duration::from_secs(1);

/// What a checkpoint keeps of it. Scalars and pictures are rank 0's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    series: Vec<Series>,
    pictures: Vec<(String, Picture)>,
    plots: Vec<(String, Plot)>,
    scalars: Scalars,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Relative to the run's directory.
    pub files: Vec<PathBuf>,
    pub notes: Vec<String>,
}

impl Output {
    /// An output into the folder `out` of the run's directory. Collective.
    pub(super) fn new(comm: &Comm, directory: Option<&Path>) -> Result<Output> {
        Ok(Output {
            comm: directory.map(|_| comm.dup()).transpose()?,
            first: true,
            last: false,
            step: 0,
            time: None,
            spacing: Vec::new(),
            folder: directory.map(|directory| directory.join(OUT)).unwrap_or_default(),
            writer: None,
            kept: Kept::default(),
            notes: Vec::new(),
            tables: None,
        })
    }

    /// The steps done before this moment. Local.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Whether this is the state before the first step. Local.
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// Whether this is the state after the last step. Local.
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// Whether anything of it will be kept; what is dear to compute need not be, otherwise. Local.
    pub fn is_kept(&self) -> bool {
        self.comm.is_some()
    }

    /// The time of this moment, in the kernel's unit; without it, the number of steps. Local; call it first.
    pub fn time(&mut self, time: f64) {
        self.time = Some(time);
    }

    /// How far apart cells are along each axis, from now on and for every field of so many axes; without it, what the
    /// field's grid says. The origin is the grid's. Local; call it before the fields.
    pub fn spacing(&mut self, spacing: &[f64]) {
        self.spacing = spacing.to_vec();
    }

    /// A number of this moment, the same on every rank: a column of `scalars.csv`. Local.
    ///
    /// # Errors
    /// A name that cannot be a column's.
    pub fn scalar(&mut self, name: &str, value: f64) -> Result<()> {
        match self.comm.as_ref().map(Comm::rank) {
            Some(0) => self.kept.scalars.set(self.step, self.moment(), name, value),
            _ => Ok(()),
        }
    }

    /// The whole field at this moment: dataset `<name>` of `fields-<step>.h5`, and shown by `fields.xdmf`, if it has up to
    /// three axes; of one with four a note says that it is not. Its values are shown where its grid's origin and
    /// spacing put them: on nodes, if it is staggered along all axes, else in the middle of cells, which are shifted by
    /// half a cell along staggered axes. Fields in other places are in `fields-2.xdmf` and so on. Collective.
    ///
    /// # Errors
    /// What HDF5 or the system says.
    pub fn field<T: Numeric, const D: usize>(&mut self, name: &str, field: &Field<T, D>) -> Result<()> {
        let Some(comm) = &self.comm else { return Ok(()) };
        if !cfg!(feature = "hdf5") {
            let note = format!("no {FIELDS}: this program was built without HDF5");
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
            return Ok(());
        }
        let file = fields_of(self.step);
        let (moment, spacing, step) = (self.moment(), self.spacing_of(field), self.step);
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let writer = self.writer.insert(Writer::create_there(comm, self.folder.join(&file))?);
                writer.attribute("/", "step", step as f64)?;
                writer.attribute("/", "time", moment)?;
                writer
            }
        };
        writer.write_field(name, field)?;
        writer.attribute(name, "time", moment)?;
        writer.attribute(name, "spacing", &spacing[..])?;
        if D > 3 {
            let note =
                format!("{name} has {D} axes: it is in {FIELDS}-*.h5, but in no XDMF, which shows three");
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
            return Ok(());
        }
        let shown = self.places(field)?;
        let series = &mut self.kept.series;
        let at = series.iter().position(|known| known.same_places(&shown)).unwrap_or_else(|| {
            series.push(shown);
            series.len() - 1
        });
        series[at].add(step, moment, name, &file, name, T::FORMAT)
    }

    /// The field's middle slices before the first step and after the last, in `<name>.png`; at other moments it does
    /// nothing. Collective.
    ///
    /// # Errors
    /// A field that cannot be shown; a failure of the engine.
    pub fn picture<T: Numeric, const D: usize>(&mut self, name: &str, field: &Field<T, D>) -> Result<()> {
        let Some(comm) = &self.comm else { return Ok(()) };
        if !(self.first || self.last) {
            return Ok(());
        }
        let shown = slices(comm, &field.slab()?, self.spacing_of(field))?;
        if let Some(shown) = shown {
            self.show(name, shown);
        }
        Ok(())
    }

    /// A field of one axis before the first step and after the last, as curves in `<name>.png`, over its grid's origin
    /// and spacing; `axes` say what is along the axis and what the field is, with units, such as
    /// `["place, m", "temperature, K"]`. At other moments it does nothing. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    pub fn profile<T: Numeric>(&mut self, name: &str, axes: [&str; 2], field: &Field<T, 1>) -> Result<()> {
        let Some(comm) = &self.comm else { return Ok(()) };
        if !(self.first || self.last) {
            return Ok(());
        }
        let ([low], [width]) = (self.corner_of(field), self.spacing_of(field));
        let points = profile(comm, &field.slab()?, width)?;
        if let Some(points) = points {
            let points: Vec<_> = points.into_iter().map(|(place, value)| (low + place, value)).collect();
            let curve = format!("step {}", self.step);
            let plots = &mut self.kept.plots;
            let at = plots.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                plots.push((name.to_string(), Plot::new(name, axes[0], axes[1])));
                plots.len() - 1
            });
            plots[at].1 = plots[at].1.clone().curve(curve, points);
        }
        Ok(())
    }

    fn show(&mut self, name: &str, shown: Slices) {
        let label = format!("step {}", self.step);
        let at = self.kept.pictures.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.kept.pictures.push((name.to_string(), Picture::new("")));
            self.kept.pictures.len() - 1
        });
        let picture = std::mem::replace(&mut self.kept.pictures[at].1, Picture::new(""));
        self.kept.pictures[at].1 = picture.row(label, shown);
    }

    fn moment(&self) -> f64 {
        self.time.unwrap_or(self.step as f64)
    }

    /// What the kernel said of so many axes, or else the grid's.
    fn spacing_of<T: Numeric, const D: usize>(&self, field: &Field<T, D>) -> [f64; D] {
        self.spacing.as_slice().try_into().unwrap_or_else(|_| field.grid().spacing())
    }

    /// The low corner of the cells around a field's points.
    fn corner_of<T: Numeric, const D: usize>(&self, field: &Field<T, D>) -> [f64; D] {
        let (origin, spacing, staggered) =
            (field.grid().origin(), self.spacing_of(field), field.staggering());
        std::array::from_fn(|axis| match staggered[axis] {
            true => origin[axis] - 0.5 * spacing[axis],
            false => origin[axis],
        })
    }

    /// An empty series of where a field's points are.
    fn places<T: Numeric, const D: usize>(&self, field: &Field<T, D>) -> Result<Series> {
        match field.staggering().contains(&false) {
            true => Series::new(&field.points(), &self.corner_of(field), &self.spacing_of(field)),
            false => Series::on_nodes(&field.points(), &field.grid().origin(), &self.spacing_of(field)),
        }
    }

    /// The moment that is observed next.
    pub(super) fn at(&mut self, step: u64, last: bool) {
        self.first = step == 0;
        self.last = last;
        self.step = step;
        self.time = None;
    }

    /// What the reader should know.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Goes on after `step` steps from what a checkpoint kept; what an interrupted run has written of later moments is
    /// removed. Collective.
    pub(super) fn go_on(&mut self, step: u64, kept: Option<Kept>, warnings: Vec<String>) -> Result<()> {
        self.kept = kept.unwrap_or_default();
        self.notes.extend(warnings);
        self.first = false;
        let Some(comm) = &self.comm else { return Ok(()) };
        let removed = if comm.rank() == 0 { remove_later(&self.folder, step) } else { Ok(()) };
        comm.agree(removed)
    }

    /// What a checkpoint keeps.
    pub(super) fn kept(&self) -> Kept {
        self.kept.clone()
    }

    /// Drops everything; on every rank, since files are closed together.
    pub(super) fn discard(&mut self) {
        self.writer = None;
    }

    /// Ends a moment: its fields get their name, and tables are brought up to date: now and then, or `all` of them.
    /// Collective.
    pub(super) fn written(&mut self, all: bool) -> Result<()> {
        let Some(comm) = &self.comm else { return Ok(()) };
        let fields = self.writer.take();
        let any = fields.is_some();
        if let Some(writer) = fields {
            writer.finish()?;
        }
        let due = all || self.tables.is_none_or(|last| last.elapsed() >= TABLES);
        let written = match comm.rank() {
            0 if due => self.write_tables(&mut Vec::new()),
            0 if any => self.write_series(&mut Vec::new()),
            _ => Ok(()),
        };
        if due {
            self.tables = Some(Instant::now());
        }
        comm.agree(written)
    }

    fn write_series(&self, files: &mut Vec<String>) -> Result<()> {
        for (n, series) in self.kept.series.iter().enumerate() {
            // One file has one grid: fields on others get files of their own.
            let name = if n == 0 { XDMF.to_string() } else { XDMF.replace('.', &format!("-{}.", n + 1)) };
            write_text(self.folder.join(&name), &series.text())?;
            files.extend(series.files().map(str::to_string));
            files.push(name);
        }
        Ok(())
    }

    fn write_tables(&self, files: &mut Vec<String>) -> Result<()> {
        self.write_series(files)?;
        if !self.kept.scalars.is_empty() {
            write_text(self.folder.join(SCALARS), &self.kept.scalars.text())?;
            files.push(SCALARS.to_string());
        }
        Ok(())
    }

    /// Writes what is left to write. Collective.
    pub(super) fn finish(mut self) -> Result<Written> {
        self.written(false)?;
        let Some(comm) = self.comm.take() else { return Ok(Written::default()) };
        let mut files = Vec::new();
        let written = if comm.rank() == 0 { self.alone(&mut files) } else { Ok(()) };
        comm.agree(written)?;
        files.sort();
        files.dedup();
        let files = files.into_iter().map(|name| Path::new(OUT).join(name)).collect();
        Ok(Written { files, notes: self.notes })
    }

    /// The files that rank 0 has all of.
    fn alone(&self, files: &mut Vec<String>) -> Result<()> {
        for (name, picture) in &self.kept.pictures {
            let name = format!("{name}.png");
            write_bytes(self.folder.join(&name), &picture.png()?)?;
            files.push(name);
        }
        for (name, plot) in &self.kept.plots {
            let name = format!("{name}.png");
            write_bytes(self.folder.join(&name), &plot.png()?)?;
            files.push(name);
        }
        self.write_tables(files)
    }
}

/// The file of a moment's fields.
fn fields_of(step: u64) -> String {
    format!("{FIELDS}-{step:06}.h5")
}

/// Removes the fields of moments after `step`, and of that one, which is observed again.
fn remove_later(folder: &Path, step: u64) -> Result<()> {
    let said = |error| failure("look into", folder, &error);
    for entry in std::fs::read_dir(folder).map_err(said)? {
        let path = entry.map_err(said)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let moment = name
            .strip_prefix(FIELDS)
            .and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".h5")?.parse().ok());
        if moment.is_some_and(|moment: u64| moment >= step && step > 0) {
            std::fs::remove_file(&path).map_err(|error| failure("remove", &path, &error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grid;
    use crate::testing::ranks;

    #[test]
    fn profiles_lie_where_their_grid_says() {
        let folder = tempfile::tempdir().unwrap();
        ranks([1, 3], |world| {
            let grid = Grid::over(world, [5]).origin([-10.0]).spacing([0.5]).build()?;
            let mut out = Output::new(world, Some(folder.path()))?;
            out.profile("cells", ["x", "u"], &Field::new(&grid, 1.0)?)?;
            out.profile("faces", ["x", "u"], &Field::staggered(&grid, [true], 1.0)?)?;
            let told = serde_json::to_string(&out.kept().plots).unwrap();
            if world.rank() == 0 {
                assert!(told.contains("[-9.75,1.0],[-9.25,1.0]") && told.contains("[[-10.0,1.0]"), "{told}");
            }
            Ok(())
        });
    }
}
