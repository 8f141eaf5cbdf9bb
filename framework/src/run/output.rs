//! What a kernel's `observe` hands over, and the files it becomes: `out/fields.h5` with `out/fields.xdmf`, pictures and
//! `out/scalars.csv`.
//!
//! It decides names and moments; formats are `crate::output`'s business. A build without HDF5 writes the rest and
//! says what is missing.

use super::directory::OUT;
use super::scalars::Scalars;
use crate::comm::Comm;
use crate::error::Result;
use crate::field::Field;
use crate::output::files::write_text;
use crate::output::picture::{Picture, Slices, slices};
use crate::output::xdmf::Series;
use crate::output::{Numeric, Writer};
use std::path::{Path, PathBuf};

const FIELDS: &str = "fields.h5";
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
    series: Vec<(Vec<usize>, Series)>,
    pictures: Vec<(String, Picture)>,
    scalars: Scalars,
    notes: Vec<String>,
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
            series: Vec::new(),
            pictures: Vec::new(),
            scalars: Scalars::default(),
            notes: Vec::new(),
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

    /// How far apart cells are along each axis, from now on and for every field; without it, 1. Local.
    pub fn spacing(&mut self, spacing: &[f64]) {
        self.spacing = spacing.to_vec();
    }

    /// A number of this moment, the same on every rank: a column of `scalars.csv`. Local.
    ///
    /// # Errors
    /// A name that cannot be a column's.
    pub fn scalar(&mut self, name: &str, value: f64) -> Result<()> {
        match self.comm.as_ref().map(Comm::rank) {
            Some(0) => self.scalars.set(self.step, self.moment(), name, value),
            _ => Ok(()),
        }
    }

    /// The whole field at this moment: dataset `step-000000/<name>` of `fields.h5`, and shown by `fields.xdmf`.
    /// Collective.
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
        let slab = field.slab()?;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(Writer::create(comm, self.folder.join(FIELDS))?),
        };
        let group = format!("step-{:06}", self.step);
        let dataset = format!("{group}/{name}");
        writer.write(&dataset, &slab)?;
        let (moment, spacing) = (self.moment(), self.spacing_of(D));
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.attribute(&dataset, "time", moment)?;
        writer.attribute(&dataset, "spacing", &spacing[..])?;
        let cells = field.points().to_vec();
        let at = match self.series.iter().position(|(known, _)| *known == cells) {
            Some(at) => at,
            None => {
                let series = Series::new(&cells, &vec![0.0; D], &spacing)?;
                self.series.push((cells, series));
                self.series.len() - 1
            }
        };
        self.series[at].1.add(self.step, moment, name, FIELDS, &dataset, T::FORMAT)
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
        let spacing = self.spacing_of(D);
        let shown = slices(comm, &field.slab()?, std::array::from_fn(|axis| spacing[axis]))?;
        if let Some(shown) = shown {
            self.show(name, shown);
        }
        Ok(())
    }

    fn show(&mut self, name: &str, shown: Slices) {
        let label = format!("step {}", self.step);
        let at = self.pictures.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.pictures.push((name.to_string(), Picture::new("")));
            self.pictures.len() - 1
        });
        let picture = std::mem::replace(&mut self.pictures[at].1, Picture::new(""));
        self.pictures[at].1 = picture.row(label, shown);
    }

    fn moment(&self) -> f64 {
        self.time.unwrap_or(self.step as f64)
    }

    fn spacing_of(&self, axes: usize) -> Vec<f64> {
        if self.spacing.len() == axes { self.spacing.clone() } else { vec![1.0; axes] }
    }

    /// The moment that is observed next.
    pub(super) fn at(&mut self, step: u64, last: bool) {
        self.first = step == 0;
        self.last = last;
        self.step = step;
        self.time = None;
    }

    /// Drops everything; on every rank, since files are closed together.
    pub(super) fn discard(&mut self) {
        self.writer = None;
    }

    /// Gives all files their names. Collective.
    pub(super) fn finish(mut self) -> Result<Written> {
        let Some(comm) = self.comm.take() else { return Ok(Written::default()) };
        let mut files = Vec::new();
        if let Some(writer) = self.writer.take() {
            writer.finish()?;
            files.push(FIELDS.to_string());
        }
        for (n, (_, series)) in self.series.iter().enumerate() {
            // One file has one grid: fields on others get files of their own.
            let name = if n == 0 { XDMF.to_string() } else { XDMF.replace('.', &format!("-{}.", n + 1)) };
            comm.agree(if comm.rank() == 0 { series.write(self.folder.join(&name)) } else { Ok(()) })?;
            files.push(name);
        }
        let written = if comm.rank() == 0 { self.alone(&mut files) } else { Ok(()) };
        comm.agree(written)?;
        let files = files.into_iter().map(|name| Path::new(OUT).join(name)).collect();
        Ok(Written { files, notes: self.notes })
    }

    /// The files that rank 0 has all of.
    fn alone(&self, files: &mut Vec<String>) -> Result<()> {
        for (name, picture) in &self.pictures {
            let name = format!("{name}.png");
            picture.write(self.folder.join(&name))?;
            files.push(name);
        }
        if !self.scalars.is_empty() {
            write_text(self.folder.join(SCALARS), &self.scalars.text())?;
            files.push(SCALARS.to_string());
        }
        Ok(())
    }
}
