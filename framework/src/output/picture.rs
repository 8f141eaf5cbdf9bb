//! PNG pictures of distributed fields: the middle slices side by side, before and after, with a colour bar.
//!
//! A picture is for a quick look and a report; ParaView gets its numbers from `xdmf`. Slices are sampled down to at
//! most 1024 points a side by the ranks that own them before they travel, so rank 0 never holds anything whose size
//! grows with the field.
//!
//! Which way up: an axis that is drawn upwards has its highest index at the top, one that is drawn to the right has
//! it at the right, as in ParaView. Of a field with axes z, y, x the panels are z through the middle (y up, x right), y
//! through the middle (z up, x right) and x through the middle (z up, y right), so a head whose z points to the crown
//! stands upright. A field of two axes is one panel, one of one axis a strip.

use super::files;
use super::font;
use super::slab::{Numeric, Slab};
use crate::comm::Comm;
use crate::error::{Error, Result};
use colorgrad::Gradient;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Most points of a panel along a side.
pub const MAX_SIDE: usize = 1024;

/// Small panels are scaled up by a whole number as long as their longer side stays within this.
const LEGIBLE: f64 = 320.0;

/// Fewest pixels of a panel along a side, so that a thin field can be seen.
const THIN: usize = 12;

const PIECE: i32 = 1;

/// Which numbers get which colours. Both are perceptually uniform: equal steps look equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Colors {
    /// Dark blue to green to yellow; readable by colour-blind people too.
    #[default]
    Viridis,
    /// Black to red to light yellow.
    Inferno,
}

/// A colour: red, green, blue.
pub type Rgb = [u8; 3];

/// What is not a number.
const NOT_A_NUMBER: Rgb = [160, 160, 160];
const PAPER: Rgb = [255, 255, 255];
const INK: Rgb = [30, 30, 30];

impl Colors {
    /// The 256 colours, lowest number first.
    pub fn table(self) -> [Rgb; 256] {
        let gradient = match self {
            Colors::Viridis => colorgrad::preset::viridis(),
            Colors::Inferno => colorgrad::preset::inferno(),
        };
        std::array::from_fn(|step| {
            let [red, green, blue, _] = gradient.at(step as f32 / 255.0).to_rgba8();
            [red, green, blue]
        })
    }
}

/// One slice of a field, sampled; complete on rank 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Panel {
    /// Which slice it is, such as `z = 94`.
    pub title: String,
    /// Points upwards and to the right.
    pub points: [usize; 2],
    /// How wide a point is upwards and to the right, in any unit.
    pub spacing: [f64; 2],
    /// The points, row-major, the first row at the bottom of the picture.
    pub values: Vec<f64>,
}

/// The slices of a field at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slices {
    /// Three for a field of three axes, otherwise one.
    pub panels: Vec<Panel>,
}

/// Which points of `cells` are shown, at most [`MAX_SIDE`] of them: the middles of equal shares.
fn sampled(cells: usize) -> impl Iterator<Item = usize> + Clone {
    let points = cells.min(MAX_SIDE) as u128;
    (0..points).map(move |point| ((2 * point + 1) * cells as u128 / (2 * points)) as usize)
}

/// Gathers the middle slices of a field to rank 0; the other ranks get `None`. `spacing` is the width of a cell along
/// each axis, in any unit; it makes the picture's proportions. Collective.
///
/// # Errors
/// A field of more than three axes, widths that are not above zero, a failure of a message.
pub fn slices<T: Numeric, const D: usize>(
    comm: &Comm,
    slab: &Slab<'_, T, D>,
    spacing: [f64; D],
) -> Result<Option<Slices>> {
    if D > 3 || !spacing.iter().all(|width| width.is_finite() && *width > 0.0) {
        return Err(Error::usage(format!("picture of {D} axes with cells {spacing:?} wide"))
            .help("one to three axes can be shown; widths of cells are above zero"));
    }
    let comm = comm.dup()?;
    let mut panels = Vec::new();
    // The axis that is cut, then the axes that are drawn upwards and to the right.
    let views: &[(Option<usize>, Option<usize>, usize)] = match D {
        1 => &[(None, None, 0)],
        2 => &[(None, Some(0), 1)],
        _ => &[(Some(0), Some(1), 2), (Some(1), Some(0), 2), (Some(2), Some(0), 1)],
    };
    for &(cut, up, right) in views {
        panels.extend(gather(&comm, slab, spacing, cut, up, right)?);
    }
    Ok((comm.rank() == 0).then_some(Slices { panels }))
}

fn gather<T: Numeric, const D: usize>(
    comm: &Comm,
    slab: &Slab<'_, T, D>,
    spacing: [f64; D],
    cut: Option<usize>,
    up: Option<usize>,
    right: usize,
) -> Result<Option<Panel>> {
    let layout = slab.layout();
    let (cells, start, shape) = (layout.cells(), layout.start(), layout.shape());
    let middle = cut.map_or(0, |axis| cells[axis] / 2);
    let owns = |axis: usize, index: usize| (start[axis]..start[axis] + shape[axis]).contains(&index);
    // The shown points of an axis that are ours: how many there are in all, the first of ours, and their indices.
    let mine = |axis: Option<usize>| {
        let Some(axis) = axis else { return (1, 0, vec![0]) };
        let all = sampled(cells[axis]);
        let first = all.clone().take_while(|&index| index < start[axis]).count();
        let indices: Vec<usize> = all.clone().filter(|&index| owns(axis, index)).collect();
        (all.count(), first, indices)
    };
    let (height, bottom, ups) = mine(up);
    let (width, left, rights) = mine(Some(right));
    let here = cut.is_none_or(|axis| owns(axis, middle)) && !layout.is_empty();
    let mut piece = Vec::new();
    if here {
        piece.reserve_exact(ups.len() * rights.len());
        for &at in &ups {
            for &to in &rights {
                let mut local = [0; D];
                if let Some(axis) = cut {
                    local[axis] = middle - start[axis];
                }
                if let Some(axis) = up {
                    local[axis] = at - start[axis];
                }
                local[right] = to - start[right];
                piece.push(slab.storage()[layout.position(local)].to_f64());
            }
        }
    }
    let (rows, columns) = if piece.is_empty() { (0, 0) } else { (ups.len(), rights.len()) };
    let Some(places) = comm.gather(&[[bottom as u64, left as u64, rows as u64, columns as u64]], 0)? else {
        if !piece.is_empty() {
            comm.send_vec(piece, 0, PIECE)?;
        }
        return Ok(None);
    };
    let mut values = vec![f64::NAN; height * width];
    for (rank, place) in places.into_iter().enumerate() {
        let [bottom, left, rows, columns] = place.map(|n| n as usize);
        if rows * columns == 0 {
            continue;
        }
        let part = if rank == 0 { std::mem::take(&mut piece) } else { comm.recv_vec::<f64>(rank, PIECE)?.0 };
        for (row, line) in part.chunks_exact(columns).enumerate() {
            let at = (bottom + row) * width + left;
            values[at..at + columns].copy_from_slice(line);
        }
    }
    const NAMES: [&str; 3] = ["z", "y", "x"];
    let title = cut.map_or(String::new(), |axis| format!("{} = {middle}", NAMES[axis + 3 - D]));
    // A sampled point stands for several cells.
    let wide = |axis: usize, points: usize| spacing[axis] * cells[axis] as f64 / points as f64;
    Ok(Some(Panel {
        title,
        points: [height, width],
        spacing: [up.map_or(wide(right, width), |axis| wide(axis, height)), wide(right, width)],
        values,
    }))
}

/// A picture under way, on rank 0: rows of slices that share one colour scale.
///
/// ```
/// use rankine::output::{Layout, Slab, picture::{Colors, Picture, slices}};
/// rankine::testing::ranks([1, 2, 3], |world| {
///     let layout = Layout::new([4, 3 * world.size()], [0, 3 * world.rank()], [4, 3], 0)?;
///     let data: Vec<f64> = layout_ramp(world.rank());
///     let after = slices(world, &Slab::new(&data, layout)?, [1.0, 1.0])?;
///     if let Some(after) = after {
///         let picture = Picture::new("ramp").colors(Colors::Inferno).row("after", after);
///         assert!(picture.png()?.starts_with(b"\x89PNG"));
///     }
///     Ok(())
/// });
/// fn layout_ramp(rank: usize) -> Vec<f64> { (0..12).map(|i| (i % 3 + 3 * rank) as f64).collect() }
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Picture {
    title: String,
    rows: Vec<(String, Slices)>,
    colors: Colors,
    range: Option<(f64, f64)>,
}

impl Picture {
    /// A picture without rows.
    pub fn new(title: impl Into<String>) -> Picture {
        Picture { title: title.into(), rows: Vec::new(), colors: Colors::default(), range: None }
    }

    /// Chooses the colours; without it, viridis.
    pub fn colors(mut self, colors: Colors) -> Picture {
        self.colors = colors;
        self
    }

    /// Fixes the numbers at the ends of the colour bar; without it, the least and the greatest that are shown.
    pub fn range(mut self, low: f64, high: f64) -> Picture {
        self.range = Some((low, high));
        self
    }

    /// Adds a row of slices, such as those before or after the run.
    pub fn row(mut self, label: impl Into<String>, slices: Slices) -> Picture {
        self.rows.push((label.into(), slices));
        self
    }

    /// The picture as a PNG file's bytes.
    ///
    /// # Errors
    /// A picture without rows.
    pub fn png(&self) -> Result<Vec<u8>> {
        self.draw()?.encode()
    }

    /// Writes the picture, whole or not at all.
    ///
    /// # Errors
    /// A picture without rows; what the system says, with the path.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        files::make_folder_of(path.as_ref())?;
        files::write_bytes(path.as_ref(), &self.png()?)
    }

    /// The least and the greatest number of the colour bar.
    fn ends(&self) -> (f64, f64) {
        let shown = self.rows.iter().flat_map(|(_, row)| &row.panels).flat_map(|panel| &panel.values);
        let (low, high) = self.range.unwrap_or_else(|| {
            shown
                .filter(|value| value.is_finite())
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| {
                    (low.min(value), high.max(value))
                })
        });
        if low <= high { (low, high) } else { (0.0, 0.0) }
    }

    fn draw(&self) -> Result<Canvas> {
        const MARGIN: usize = 16;
        const LINE: usize = 22;
        let panels = || self.rows.iter().flat_map(|(_, row)| &row.panels);
        if panels().any(|panel| panel.values.len() != panel.points[0] * panel.points[1]) {
            return Err(Error::usage("picture: a panel has more or fewer values than points"));
        }
        if panels().all(|panel| panel.values.is_empty()) {
            return Err(Error::usage("picture: there is nothing to show").help("add a row of slices"));
        }
        let (low, high) = self.ends();
        let table = self.colors.table();
        // One scale for all panels, so that a centimetre is as long in each.
        let finest = panels().flat_map(|panel| panel.spacing).fold(f64::INFINITY, f64::min);
        let longest = panels()
            .flat_map(|panel| [0, 1].map(|side| panel.points[side] as f64 * panel.spacing[side]))
            .fold(0.0, f64::max);
        let scale = match longest / finest {
            longest if longest <= LEGIBLE => (LEGIBLE / longest).floor().min(32.0) / finest,
            longest if longest <= MAX_SIDE as f64 => 1.0 / finest,
            longest => MAX_SIDE as f64 / longest / finest,
        };
        let pixels = |panel: &Panel| {
            [0, 1].map(|side| {
                ((panel.points[side] as f64 * panel.spacing[side] * scale).round() as usize).max(THIN)
            })
        };
        // Above every panel its caption.
        let row_size = |label: &str, row: &Slices| {
            let (mut height, mut width) = (0, 0);
            for (number, panel) in row.panels.iter().enumerate() {
                let [up, right] = pixels(panel);
                height = height.max(up);
                width += right.max(Canvas::text_width(&caption(label, number, panel))) + MARGIN;
            }
            (height, width)
        };
        let heading = if self.title.is_empty() { 0 } else { LINE };
        let (mut height, mut width) = (MARGIN + heading, Canvas::text_width(&self.title) + MARGIN);
        for (label, row) in &self.rows {
            let (tall, wide) = row_size(label, row);
            height += LINE + tall + MARGIN;
            width = width.max(wide);
        }
        let height = height.max(heading + 160);
        let ticks = ticks(low, high);
        let bar =
            ticks.iter().map(|(_, words)| Canvas::text_width(words)).max().unwrap_or(0) + 20 + 8 + MARGIN;
        let mut canvas = Canvas::new(MARGIN + width + bar, height);
        canvas.text(MARGIN, MARGIN, &self.title);
        let mut y = MARGIN + heading;
        for (label, row) in &self.rows {
            let mut x = MARGIN;
            let (tall, _) = row_size(label, row);
            for (number, panel) in row.panels.iter().enumerate() {
                let [up, right] = pixels(panel);
                let words = caption(label, number, panel);
                canvas.text(x, y, &words);
                canvas.panel(x, y + LINE, up, right, panel, (low, high), &table);
                x += right.max(Canvas::text_width(&words)) + MARGIN;
            }
            y += LINE + tall + MARGIN;
        }
        let (x, top) = (MARGIN + width, MARGIN + heading + LINE);
        canvas.bar(x, top, height - MARGIN - top, &ticks, &table);
        Ok(canvas)
    }
}

/// What stands above a panel: the row's label before the first.
fn caption(label: &str, number: usize, panel: &Panel) -> String {
    match (number, panel.title.is_empty()) {
        (0, true) => label.to_string(),
        (0, false) if !label.is_empty() => format!("{label}: {}", panel.title),
        _ => panel.title.clone(),
    }
}

/// Five numbers along the colour bar: how far up each is (0 to 1), and its words.
fn ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    if low == high {
        return vec![(0.0, number(low))];
    }
    (0..5).map(|tick| tick as f64 / 4.0).map(|up| (up, number(low * (1.0 - up) + high * up))).collect()
}

/// A number in four digits.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".into();
    }
    if !(1e-3..1e5).contains(&size) {
        let text = format!("{value:.2e}");
        return text.replace(".00e", "e").replace("0e", "e").replacen("e-", "E-", 1).replacen('e', "E", 1);
    }
    let digits = (3 - size.log10().floor() as i64).max(0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

/// Pixels, the first row at the top.
pub(super) struct Canvas {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<Rgb>,
}

impl Canvas {
    /// Pixels a dot of the font.
    const DOT: usize = 2;

    pub fn new(width: usize, height: usize) -> Canvas {
        Canvas { width, height, pixels: vec![PAPER; width * height] }
    }

    pub fn set(&mut self, x: usize, y: usize, color: Rgb) {
        if x < self.width && y < self.height {
            self.pixels[y * self.width + x] = color;
        }
    }

    pub fn text_width(text: &str) -> usize {
        text.chars().count() * (font::WIDTH + 1) * Self::DOT
    }

    pub fn text(&mut self, x: usize, y: usize, text: &str) {
        for (place, letter) in text.chars().enumerate() {
            let left = x + place * (font::WIDTH + 1) * Self::DOT;
            for (row, bits) in font::rows(letter).into_iter().enumerate() {
                for column in (0..font::WIDTH).filter(|column| bits >> (font::WIDTH - 1 - column) & 1 == 1) {
                    for dot in 0..Self::DOT * Self::DOT {
                        let (across, down) = (dot % Self::DOT, dot / Self::DOT);
                        self.set(left + column * Self::DOT + across, y + row * Self::DOT + down, INK);
                    }
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn panel(
        &mut self,
        x: usize,
        y: usize,
        up: usize,
        right: usize,
        panel: &Panel,
        (low, high): (f64, f64),
        table: &[Rgb; 256],
    ) {
        let [rows, columns] = panel.points;
        for down in 0..up {
            let row = rows - 1 - down * rows / up;
            for across in 0..right {
                let value = panel.values[row * columns + across * columns / right];
                self.set(x + across, y + down, color(value, low, high, table));
            }
        }
    }

    fn bar(&mut self, x: usize, y: usize, height: usize, ticks: &[(f64, String)], table: &[Rgb; 256]) {
        const WIDE: usize = 20;
        // Room for half a letter above and below the bar.
        let half = font::HEIGHT * Self::DOT / 2;
        let (top, last) = (y + half, height.saturating_sub(2 * half + 1).max(1));
        for down in 0..=last {
            let color = table[(last - down) * 255 / last];
            (0..WIDE).for_each(|across| self.set(x + across, top + down, color));
        }
        for (up, words) in ticks {
            let at = top + ((1.0 - up) * last as f64).round() as usize;
            (WIDE..WIDE + 4).for_each(|across| self.set(x + across, at, INK));
            self.text(x + WIDE + 8, at - half, words);
        }
    }

    /// A line of two pixels' width.
    pub fn line(&mut self, from: [f64; 2], to: [f64; 2], color: Rgb) {
        let steps = (to[0] - from[0]).abs().max((to[1] - from[1]).abs()).ceil().max(1.0);
        for step in 0..=steps as usize {
            let share = step as f64 / steps;
            let at =
                [0, 1].map(|axis| (from[axis] + share * (to[axis] - from[axis])).round().max(0.0) as usize);
            for dot in 0..4 {
                self.set(at[0] + dot % 2, at[1] + dot / 2, color);
            }
        }
    }

    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut encoder = png::Encoder::new(&mut out, size(self.width), size(self.height));
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder
            .write_header()
            .and_then(|mut writer| {
                writer.write_image_data(self.pixels.as_flattened())?;
                writer.finish()
            })
            .map_err(|error| Error::io(format!("cannot make a PNG picture: {error}")))?;
        Ok(out)
    }
}

fn color(value: f64, low: f64, high: f64, table: &[Rgb; 256]) -> Rgb {
    if value.is_nan() {
        return NOT_A_NUMBER;
    }
    // Halved first: the width of the range may be beyond f64.
    let (above, all) = (value / 2.0 - low / 2.0, high / 2.0 - low / 2.0);
    let share = if all > 0.0 { (above / all).clamp(0.0, 1.0) } else { 0.0 };
    table[(share * 255.0).round() as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_is_shown_until_there_are_too_many() {
        assert_eq!(sampled(5).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(sampled(1024).collect::<Vec<_>>(), (0..1024).collect::<Vec<_>>());
        let many: Vec<_> = sampled(1_000_000_007).collect();
        assert_eq!(many.len(), MAX_SIDE);
        assert!(many.is_sorted() && many[0] > 400_000 && many[1023] < 1_000_000_007);
    }

    #[test]
    fn numbers_are_short() {
        for (value, words) in [
            (0.0, "0"),
            (1.0, "1"),
            (-0.25, "-0.25"),
            (1234.5678, "1235"),
            (0.001234567, "0.001235"),
            (99999.0, "99999"),
            (1e5, "1E5"),
            (-1.234e-7, "-1.23E-7"),
            (6.02e23, "6.02E23"),
            (2.5e10, "2.5E10"),
            (1e10, "1E10"),
        ] {
            assert_eq!(number(value), words);
        }
    }

    #[test]
    fn extreme_ranges_have_colours() {
        let table = Colors::Viridis.table();
        assert_eq!(color(f64::MAX, f64::MIN, f64::MAX, &table), table[255]);
        assert_eq!(color(0.0, f64::MIN, f64::MAX, &table), table[128]);
        assert_eq!(color(f64::NAN, 0.0, 1.0, &table), NOT_A_NUMBER);
        assert_eq!(color(f64::INFINITY, 0.0, 1.0, &table), table[255]);
        assert_eq!(color(3.0, 3.0, 3.0, &table), table[0]);
        // Viridis goes from dark violet to yellow; splines may miss its ends by a little.
        for (found, known) in [(table[0], [68u8, 1, 84]), (table[255], [253, 231, 37])] {
            assert!(found.iter().zip(known).all(|(a, b)| a.abs_diff(b) <= 3), "{found:?}, not {known:?}");
        }
    }

    #[test]
    fn a_ramp_has_the_expected_pixels() {
        // Two rows of four points: 0 to 3 at the bottom, 4 to 7 at the top; each point 32 pixels wide at most.
        let panel = Panel {
            title: String::new(),
            points: [2, 4],
            spacing: [1.0, 1.0],
            values: (0..8).map(f64::from).collect(),
        };
        let canvas = Picture::new("").row("", Slices { panels: vec![panel] }).draw().unwrap();
        let table = Colors::Viridis.table();
        for (value, (x, y)) in (0..8).map(|value| (value, (value % 4, 1 - value / 4))) {
            let pixel = canvas.pixels[(16 + 22 + y * 32 + 16) * canvas.width + 16 + x * 32 + 16];
            assert_eq!(pixel, table[(value as f64 / 7.0 * 255.0).round() as usize], "{value}");
        }
    }

    #[test]
    fn cells_are_as_wide_as_they_are() {
        let panel = |points, spacing| Panel {
            title: String::new(),
            points,
            spacing,
            values: vec![1.0; points[0] * points[1]],
        };
        // 10 x 10 cells of 3 x 1: three times as high as wide, 300 x 100 pixels, on white.
        let tall = panel([10, 10], [3.0, 1.0]);
        let canvas = Picture::new("").row("", Slices { panels: vec![tall] }).draw().unwrap();
        let at = |x: usize, y: usize| canvas.pixels[y * canvas.width + x];
        let first = Colors::Viridis.table()[0];
        assert_eq!((at(16, 38), at(115, 337)), (first, first));
        assert_eq!((at(116, 38), at(16, 338)), (PAPER, PAPER));
    }

    #[test]
    fn nothing_to_show_is_an_error() {
        assert!(Picture::new("").png().is_err());
        assert!(Picture::new("").row("", Slices { panels: Vec::new() }).png().is_err());
    }
}
