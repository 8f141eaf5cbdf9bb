//! PNG line plots: curves over one axis, with a frame, round numbers, names with units, and a legend.
//!
//! For a quick look and a report, as `picture` is for fields of more axes; it draws what rank 0 has. [`profile`] brings a
//! field of one axis there, sampled down to what a plot can show.

use super::files;
use super::font;
use super::picture::{Canvas, Rgb, number, slices};
use super::slab::{Numeric, Slab};
use crate::comm::Comm;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Lines that people with any eyes can tell apart (Okabe and Ito, *Color Universal Design*, 2008), in this order.
const LINES: [Rgb; 7] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [86, 180, 233],
    [230, 159, 0],
    [60, 60, 60],
];
const GRID: Rgb = [225, 225, 225];
const FRAME: Rgb = [30, 30, 30];

/// A plot: what is along its axes, and curves.
///
/// ```
/// use rankine::output::plot::Plot;
/// let decay = (0..50).map(|n| (f64::from(n), (-0.1 * f64::from(n)).exp()));
/// let plot = Plot::new("cooling", "time, s", "temperature, K").curve("middle", decay);
/// assert!(plot.png()?.starts_with(b"\x89PNG"));
/// # Ok::<(), rankine::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    title: String,
    axes: [String; 2],
    logarithmic: bool,
    curves: Vec<(String, Vec<(f64, f64)>)>,
}

impl Plot {
    /// A plot without curves. Units belong to the names of the axes: `time, s`.
    pub fn new(title: impl Into<String>, across: impl Into<String>, up: impl Into<String>) -> Plot {
        Plot { title: title.into(), axes: [across.into(), up.into()], logarithmic: false, curves: Vec::new() }
    }

    /// Draws powers of ten upwards; what is not above zero is left out.
    pub fn logarithmic(mut self) -> Plot {
        self.logarithmic = true;
        self
    }

    /// Adds a curve through points, in their order; a point that is not finite interrupts it.
    pub fn curve(mut self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Plot {
        self.curves.push((name.into(), points.into_iter().collect()));
        self
    }

    /// Whether it has no curve.
    pub fn is_empty(&self) -> bool {
        self.curves.is_empty()
    }

    /// The plot as a PNG file's bytes.
    ///
    /// # Errors
    /// No point that can be shown.
    pub fn png(&self) -> Result<Vec<u8>> {
        self.draw()?.encode()
    }

    /// Writes the plot, whole or not at all. One rank calls it.
    ///
    /// # Errors
    /// No point that can be shown; what the system says, with the path.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        files::make_folder_of(path.as_ref())?;
        files::write_bytes(path.as_ref(), &self.png()?)
    }

    fn draw(&self) -> Result<Canvas> {
        const WIDTH: usize = 640;
        const HEIGHT: usize = 400;
        const LINE: usize = 22;
        let height = |value: f64| if self.logarithmic { value.log10() } else { value };
        let shown = |&(x, y): &(f64, f64)| {
            let y = height(y);
            (x.is_finite() && y.is_finite()).then_some((x, y))
        };
        let points = || self.curves.iter().flat_map(|(_, points)| points).filter_map(shown);
        if points().next().is_none() {
            return Err(Error::usage("plot: there is nothing to show").help("add a curve of finite numbers"));
        }
        let across = Scale::of(points().map(|point| point.0), false);
        let up = Scale::of(points().map(|point| point.1), self.logarithmic);
        let widest = up.ticks.iter().map(|(_, words)| Canvas::text_width(words)).max().unwrap_or(0);
        let legend = self.curves.iter().filter(|(name, _)| !name.is_empty()).count();
        let (left, top) = (16 + widest + 8, 12 + 2 * LINE);
        let below = top + HEIGHT + 8 + 2 * LINE;
        let mut canvas = Canvas::new(left + WIDTH + 40, below + legend * LINE + 8);
        canvas.text(left, 12, &self.title);
        canvas.text(16, 12 + LINE, &self.axes[1]);
        let x = |value: f64| left as f64 + across.share(value) * (WIDTH - 1) as f64;
        let y = |value: f64| top as f64 + (1.0 - up.share(value)) * (HEIGHT - 1) as f64;
        for (value, words) in &across.ticks {
            let at = x(*value).round() as usize;
            (top..top + HEIGHT).for_each(|row| canvas.set(at, row, GRID));
            canvas.text(at.saturating_sub(Canvas::text_width(words) / 2), top + HEIGHT + 8, words);
        }
        for (value, words) in &up.ticks {
            let at = y(*value).round() as usize;
            (left..left + WIDTH).for_each(|column| canvas.set(column, at, GRID));
            canvas.text(left - 8 - Canvas::text_width(words), at.saturating_sub(font::HEIGHT), words);
        }
        for side in [left, left + WIDTH - 1] {
            (top..top + HEIGHT).for_each(|row| canvas.set(side, row, FRAME));
        }
        for side in [top, top + HEIGHT - 1] {
            (left..left + WIDTH).for_each(|column| canvas.set(column, side, FRAME));
        }
        let name = &self.axes[0];
        canvas.text(
            left + (WIDTH.saturating_sub(Canvas::text_width(name))) / 2,
            top + HEIGHT + 8 + LINE,
            name,
        );
        let mut row = below;
        for (number, (name, points)) in self.curves.iter().enumerate() {
            let color = LINES[number % LINES.len()];
            let mut before = None;
            for point in points.iter().map(shown) {
                let here = point.map(|(across, up)| [x(across), y(up)]);
                match (before, here) {
                    (Some(from), Some(to)) => canvas.line(from, to, color),
                    (None, Some(to)) => canvas.line(to, to, color),
                    _ => {}
                }
                before = here;
            }
            if !name.is_empty() {
                let middle = (row + font::HEIGHT) as f64;
                canvas.line([left as f64, middle], [left as f64 + 30.0, middle], color);
                canvas.text(left + 40, row, name);
                row += LINE;
            }
        }
        Ok(canvas)
    }
}

/// From where to where an axis goes, and the numbers along it.
struct Scale {
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>, powers: bool) -> Scale {
        let (low, high) = values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        // A width that can be counted; of one number only, room around it.
        let (low, high) = (low.max(-1e300), high.min(1e300));
        let (low, high) = match low < high {
            true => (low, high),
            false => {
                let room = if low == 0.0 { 1.0 } else { 0.1 * low.abs() };
                (low - room, high + room)
            }
        };
        let mut step = 10f64.powf(((high - low) / 5.0).log10().floor());
        step *= [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .find(|times| (high - low) / (step * times) <= 6.0)
            .unwrap_or(10.0);
        if powers {
            step = step.ceil().max(1.0);
        }
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let ticks = (0..=((last - first) as usize).min(20)).map(|tick| {
            let value = (first + tick as f64) * step;
            (value, if powers { number(10f64.powf(value)) } else { number(value) })
        });
        Scale { low: first * step, high: last * step, ticks: ticks.collect() }
    }

    fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// The cells of a field of one axis on rank 0, sampled down to at most 1024, each with the place of its middle, where
/// cells are `spacing` wide; the other ranks get `None`. Collective.
///
/// # Errors
/// A width that is not above zero; a failure of a message.
pub fn profile<T: Numeric>(
    comm: &Comm,
    slab: &Slab<'_, T, 1>,
    spacing: f64,
) -> Result<Option<Vec<(f64, f64)>>> {
    let [cells] = slab.layout().cells();
    let panel = slices(comm, slab, [spacing])?.and_then(|slices| slices.panels.into_iter().next());
    Ok(panel.map(|panel| {
        let count = panel.values.len().max(1);
        // As the slices are sampled: the middles of equal shares.
        let place = |n: usize| ((2 * n + 1) as u128 * cells as u128 / (2 * count) as u128) as f64;
        panel.values.iter().enumerate().map(|(n, &value)| ((place(n) + 0.5) * spacing, value)).collect()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_along_an_axis_are_round_and_few() {
        for (low, high, first, last) in [
            (0.0, 1.0, 0.0, 1.0),
            (0.13, 0.87, 0.0, 1.0),
            (-3.0, 1000.0, -200.0, 1000.0),
            (5.0, 5.0, 4.4, 5.6),
        ] {
            let scale = Scale::of([low, high].into_iter(), false);
            assert!((3..=9).contains(&scale.ticks.len()), "{low} {high}: {:?}", scale.ticks);
            assert!(scale.low <= low && scale.high >= high, "{low} {high}");
            assert!((scale.low - first).abs() < 0.21 * (high - low).max(1.0), "{:?}", scale.ticks);
            assert!((scale.high - last).abs() < 0.21 * (high - low).max(1.0), "{:?}", scale.ticks);
        }
        let powers = Scale::of([-3.0, 2.0].into_iter(), true);
        assert_eq!(powers.ticks[0].1, "0.001");
        for wild in [f64::MIN_POSITIVE, 1e300] {
            assert!(Scale::of([-wild, wild].into_iter(), false).ticks.len() > 2);
        }
    }

    #[test]
    fn a_rising_line_goes_from_corner_to_corner() {
        let plot = Plot::new("T", "x, m", "y").curve("", [(0.0, 0.0), (1.0, 1.0)]);
        let canvas = plot.draw().unwrap();
        let colored: Vec<(usize, usize)> = (0..canvas.height)
            .flat_map(|y| (0..canvas.width).map(move |x| (x, y)))
            .filter(|&(x, y)| canvas.pixels[y * canvas.width + x] == LINES[0])
            .collect();
        let right = colored.iter().max_by_key(|place| place.0).unwrap();
        let left = colored.iter().min_by_key(|place| place.0).unwrap();
        assert!(
            (636..=644).contains(&(right.0 - left.0)) && (396..=404).contains(&(left.1 - right.1)),
            "{left:?} {right:?}"
        );
        // On the way it is where it must be.
        for share in [0.25, 0.5, 0.75] {
            let x = left.0 + (640.0 * share) as usize;
            let y = left.1 as f64 - 400.0 * share;
            assert!(colored.iter().any(|place| place.0 == x && (place.1 as f64 - y).abs() < 3.0), "{share}");
        }
    }

    #[test]
    fn what_cannot_be_shown_is_left_out() {
        let plot = Plot::new("", "", "").curve("gap", [(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.0)]);
        let canvas = plot.draw().unwrap();
        let middle = canvas.width / 2;
        let top = (0..240).filter(|y| canvas.pixels[y * canvas.width + middle] == LINES[0]).count();
        assert_eq!(top, 0);
        assert!(plot.png().is_ok() && Plot::new("", "", "").png().is_err());
        assert!(Plot::new("", "", "").curve("", [(f64::NAN, 0.0)]).png().is_err());
        assert!(Plot::new("", "", "").logarithmic().curve("", [(0.0, -1.0)]).png().is_err());
        assert!(Plot::new("", "", "").logarithmic().curve("", [(0.0, 1e-3), (1.0, 1e5)]).png().is_ok());
    }
}
