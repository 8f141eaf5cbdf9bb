//! XDMF 3: a small text file beside the HDF5 files, so that ParaView and VisIt show them over time.
//!
//! It says which datasets are which field at which time on which uniform grid; it holds no numbers of the fields.
//! Nothing here is collective: one rank writes the file.

use super::files;
use super::slab::Format;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::Path;

/// What happens on one uniform grid, moment by moment.
///
/// Axes are in the order of the arrays, slowest first: z, y, x for three of them, y, x for two, x for one. Values are
/// in the middle of cells ([`new`](Series::new)) or on nodes ([`on_nodes`](Series::on_nodes)). Along axes that are not
/// there, cells are one layer around 0, as thick as the narrowest cell is wide, and nodes lie at 0: VTK's reader wants
/// cells to have a volume, and would lay a mesh of two axes into the plane of y and z.
/// A series can be kept in a checkpoint (it is serde's) and continued.
///
/// ```
/// use rankine::output::{Format, xdmf::Series};
/// let mut series = Series::new(&[3, 4], &[0.0, 0.0], &[0.5, 0.5])?;
/// series.add(0, 0.0, "temperature", "fields-000000.h5", "temperature", Format::F64)?;
/// series.add(10, 0.1, "temperature", "fields-000010.h5", "temperature", Format::F64)?;
/// assert!(series.text().contains("fields-000010.h5:/temperature"));
/// # Ok::<(), rankine::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    cells: Vec<usize>,
    origin: Vec<f64>,
    spacing: Vec<f64>,
    center: Center,
    steps: Vec<Step>,
}

/// Where values are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Center {
    Cell,
    Node,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Step {
    step: u64,
    time: f64,
    fields: Vec<FieldAt>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct FieldAt {
    name: String,
    file: String,
    dataset: String,
    format: Format,
}

impl Series {
    /// A series on a grid of `cells`, whose first corner is at `origin` and whose cells are `spacing` wide.
    ///
    /// # Errors
    /// Not one to three axes, lists of different lengths, an axis without cells, widths that are not positive.
    pub fn new(cells: &[usize], origin: &[f64], spacing: &[f64]) -> Result<Series> {
        Series::of(Center::Cell, cells, origin, spacing)
    }

    /// A series of values on `nodes`, of which the first is at `origin`, `spacing` apart.
    ///
    /// # Errors
    /// Those of [`new`](Series::new).
    pub fn on_nodes(nodes: &[usize], origin: &[f64], spacing: &[f64]) -> Result<Series> {
        Series::of(Center::Node, nodes, origin, spacing)
    }

    fn of(center: Center, cells: &[usize], origin: &[f64], spacing: &[f64]) -> Result<Series> {
        let bad = |what: String| Err(Error::usage(format!("XDMF: {what}")));
        if !(1..=3).contains(&cells.len()) || cells.contains(&0) {
            return bad(format!("a grid of {cells:?} cells; one to three axes with cells can be shown"));
        }
        if origin.len() != cells.len() || spacing.len() != cells.len() {
            return bad(format!("{} axes, origin {origin:?}, spacing {spacing:?}", cells.len()));
        }
        if !origin.iter().all(|x| x.is_finite()) || !spacing.iter().all(|x| x.is_finite() && *x > 0.0) {
            return bad(format!("origin {origin:?}, spacing {spacing:?}; widths of cells are above zero"));
        }
        Ok(Series {
            cells: cells.to_vec(),
            origin: origin.to_vec(),
            spacing: spacing.to_vec(),
            center,
            steps: Vec::new(),
        })
    }

    /// Whether both have their values in the same places, whatever they show.
    pub(crate) fn same_places(&self, other: &Series) -> bool {
        fn places(series: &Series) -> (Center, &[usize], &[f64], &[f64]) {
            (series.center, &series.cells, &series.origin, &series.spacing)
        }
        places(self) == places(other)
    }

    /// Says that the field `name` at this step and time is `dataset` of `file`. The file's name is relative to the
    /// folder of the XDMF file. What was said of later steps is forgotten, and the same field at the same step is
    /// replaced: a run that was resumed from a checkpoint goes on from there.
    ///
    /// # Errors
    /// A time that is not finite.
    pub fn add(
        &mut self,
        step: u64,
        time: f64,
        name: &str,
        file: &str,
        dataset: &str,
        format: Format,
    ) -> Result<()> {
        if !time.is_finite() {
            return Err(Error::usage(format!("XDMF: step {step} is at time {time}")));
        }
        self.steps.retain(|known| known.step <= step);
        if self.steps.last().is_none_or(|last| last.step < step) {
            self.steps.push(Step { step, time, fields: Vec::new() });
        }
        if let Some(at) = self.steps.last_mut() {
            at.time = time;
            at.fields.retain(|field| field.name != name);
            at.fields.push(FieldAt {
                name: name.into(),
                file: file.into(),
                dataset: dataset.trim_start_matches('/').into(),
                format,
            });
        }
        Ok(())
    }

    /// Whether nothing has been added.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The files that it shows datasets of; some several times.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().flat_map(|step| &step.fields).map(|field| field.file.as_str())
    }

    /// The XDMF file's text.
    pub fn text(&self) -> String {
        let mut out = String::from(concat!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n",
            "<Xdmf Version=\"3.0\">\n",
            "  <Domain>\n",
            "    <Grid Name=\"series\" GridType=\"Collection\" CollectionType=\"Temporal\">\n",
        ));
        for step in &self.steps {
            self.step(&mut out, step);
        }
        out.push_str("    </Grid>\n  </Domain>\n</Xdmf>\n");
        out
    }

    fn step(&self, out: &mut String, step: &Step) {
        // Writing to a string cannot fail.
        let _ = self.try_step(out, step);
    }

    fn try_step(&self, out: &mut String, step: &Step) -> std::fmt::Result {
        let missing = 3 - self.cells.len();
        let pad = |first: f64, values: &[f64]| [&vec![first; missing], values].concat();
        let thick = self.spacing.iter().copied().fold(f64::INFINITY, f64::min);
        let (center, low, more) = match self.center {
            Center::Cell => ("Cell", -0.5 * thick, 1),
            Center::Node => ("Node", 0.0, 0),
        };
        let (origin, spacing) = (pad(low, &self.origin), pad(thick, &self.spacing));
        let cells = [&vec![1; missing], &self.cells[..]].concat();
        let nodes = cells.iter().map(|cells| cells + more);
        writeln!(out, "      <Grid Name=\"step-{:06}\" GridType=\"Uniform\">", step.step)?;
        writeln!(out, "        <Time Value=\"{}\"/>", step.time)?;
        writeln!(out, "        <Topology TopologyType=\"3DCoRectMesh\" Dimensions=\"{}\"/>", spaced(nodes))?;
        writeln!(out, "        <Geometry GeometryType=\"ORIGIN_DXDYDZ\">")?;
        for (name, values) in [("Origin", &origin), ("Spacing", &spacing)] {
            writeln!(
                out,
                "          <DataItem Name=\"{name}\" Dimensions=\"{}\" NumberType=\"Float\" Precision=\"8\" Format=\"XML\">{}</DataItem>",
                values.len(),
                spaced(values)
            )?;
        }
        writeln!(out, "        </Geometry>")?;
        for field in &step.fields {
            writeln!(
                out,
                "        <Attribute Name=\"{}\" AttributeType=\"Scalar\" Center=\"{center}\">",
                escaped(&field.name)
            )?;
            let (number, bytes) = number_type(field.format);
            writeln!(
                out,
                "          <DataItem Dimensions=\"{}\" NumberType=\"{number}\" Precision=\"{bytes}\" Format=\"HDF\">{}:/{}</DataItem>",
                spaced(&cells),
                escaped(&field.file),
                escaped(&field.dataset)
            )?;
            writeln!(out, "        </Attribute>")?;
        }
        writeln!(out, "      </Grid>")
    }

    /// Writes the file, whole or not at all; an older one is replaced.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        files::make_folder_of(path.as_ref())?;
        files::write_text(path.as_ref(), &self.text())
    }
}

fn number_type(format: Format) -> (&'static str, usize) {
    let number = match format {
        Format::F32 | Format::F64 => "Float",
        Format::I8 => "Char",
        Format::U8 => "UChar",
        Format::U16 | Format::U32 => "UInt",
        // VTK cuts a UInt of 8 bytes to 4; as an Int it is right up to 2^63.
        Format::I16 | Format::I32 | Format::I64 | Format::U64 => "Int",
    };
    (number, format.bytes())
}

fn spaced(values: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(" ")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // XML 1.0 has no words for other control characters.
            letter if letter.is_control() && !matches!(letter, '\t' | '\n' | '\r') => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        let mut series = Series::new(&[2], &[0.0], &[1.0]).unwrap();
        series.add(0, 0.0, "a<b>&\"c\"\u{1}", "x&y.h5", "/d", Format::I32).unwrap();
        let text = series.text();
        assert!(text.contains("Name=\"a&lt;b&gt;&amp;&quot;c&quot;\u{fffd}\""), "{text}");
        assert!(text.contains(">x&amp;y.h5:/d<") && text.contains("Dimensions=\"2 2 3\""), "{text}");
    }

    #[test]
    fn a_resumed_run_goes_on_from_its_checkpoint() {
        let mut series = Series::new(&[2, 2], &[0.0; 2], &[1.0; 2]).unwrap();
        for step in [0, 10, 20, 10] {
            series.add(step, step as f64, "u", &format!("{step}.h5"), "u", Format::F64).unwrap();
        }
        assert_eq!(series.steps.iter().map(|step| step.step).collect::<Vec<_>>(), [0, 10]);
        assert_eq!(series.steps[1].fields.len(), 1);
        let kept: Series = serde_json::from_str(&serde_json::to_string(&series).unwrap()).unwrap();
        assert_eq!(kept, series);
    }

    #[test]
    fn one_axis_is_a_bar_of_cells_or_a_line_of_nodes() {
        for (series, wanted) in [
            (Series::new(&[3], &[7.0], &[0.5]), ["\"2 2 4\"", ">-0.25 -0.25 7<", "\"Cell\""]),
            (Series::on_nodes(&[3], &[7.0], &[0.5]), ["\"1 1 3\"", ">0 0 7<", "\"Node\""]),
        ] {
            let mut series = series.unwrap();
            series.add(0, 0.0, "u", "f.h5", "u", Format::F64).unwrap();
            let text = series.text();
            for part in wanted.iter().chain(&[">0.5 0.5 0.5<", "<DataItem Dimensions=\"1 1 3\""]) {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }

    #[test]
    fn grids_that_cannot_be_shown_are_refused() {
        assert!(Series::new(&[2, 2, 2, 2], &[0.0; 4], &[1.0; 4]).is_err());
        assert!(Series::new(&[2, 0], &[0.0; 2], &[1.0; 2]).is_err());
        assert!(Series::new(&[2, 2], &[0.0; 2], &[1.0; 3]).is_err());
        assert!(Series::new(&[2, 2], &[0.0; 2], &[1.0, 0.0]).is_err());
        assert!(
            Series::new(&[2], &[0.0], &[1.0]).unwrap().add(0, f64::NAN, "u", "f", "d", Format::F64).is_err()
        );
    }
}
