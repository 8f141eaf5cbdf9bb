//! The picture of the measurements: one panel an operation, time over size, both logarithmic, a line a side.

use super::operation::Unit;
use super::report::Line;
use super::stage::{Side, Stage};
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use std::error::Error;
use std::path::Path;

/// Points of a panel.
const PANEL: (u32, u32) = (420, 320);

/// Panels side by side.
const COLUMNS: usize = 4;

fn color(side: Side) -> RGBColor {
    match side {
        Side::Bare => RGBColor(120, 120, 120),
        Side::Local => RGBColor(0, 114, 178),
        Side::Mpi => RGBColor(213, 94, 0),
        Side::C => RGBColor(0, 0, 0),
    }
}

/// Draws all operations that have more than one size.
///
/// # Errors
/// Nothing to draw, or a file that cannot be written.
pub fn plot(path: &Path, lines: &[Line], stage: &Stage<'_>) -> Result<(), Box<dyn Error>> {
    register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| "the font cannot be read")?;
    let panels: Vec<&[Line]> = lines
        .chunk_by(|a, b| a.operation == b.operation)
        .filter(|lines| lines.len() > 1 && lines[0].operation.unit() != Unit::Percent)
        .collect();
    if panels.is_empty() {
        return Err("every operation was measured at one size only: there is no curve to draw".into());
    }
    let rows = panels.len().div_ceil(COLUMNS);
    let columns = panels.len().min(COLUMNS);
    let size = (PANEL.0 * columns as u32, PANEL.1 * rows as u32 + 40);
    let root = BitMapBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    let (top, below) = root.split_vertically(40);
    title(&top, stage)?;
    for (area, lines) in below.split_evenly((rows, columns)).iter().zip(panels) {
        panel(area, lines, stage)?;
    }
    root.present()?;
    Ok(())
}

type Area<'p> = DrawingArea<BitMapBackend<'p>, plotters::coord::Shift>;

fn title(area: &Area<'_>, stage: &Stage<'_>) -> Result<(), Box<dyn Error>> {
    let text = format!("messaging, {} ranks on {} cores", stage.ranks(), super::pinning::cores().len());
    area.draw(&Text::new(text, (16, 12), ("sans-serif", 22)))?;
    for (index, &side) in stage.sides().iter().enumerate() {
        let x = 460 + 110 * index as i32;
        area.draw(&PathElement::new([(x, 22), (x + 30, 22)], color(side).stroke_width(3)))?;
        area.draw(&Text::new(side.name(), (x + 36, 12), ("sans-serif", 20)))?;
    }
    Ok(())
}

fn panel(area: &Area<'_>, lines: &[Line], stage: &Stage<'_>) -> Result<(), Box<dyn Error>> {
    let curves: Vec<(Side, Vec<(f64, f64)>)> = stage
        .sides()
        .iter()
        .map(|&side| {
            let point = |line: &Line| Some((line.bytes.max(1) as f64, line.shown(line.median(side)?)));
            (side, lines.iter().filter_map(point).filter(|point| point.1 > 0.0).collect())
        })
        .collect();
    let points = || curves.iter().flat_map(|(_, points)| points);
    let (mut low, mut high) = (f64::INFINITY, 0.0f64);
    points().for_each(|&(_, y)| (low, high) = (low.min(y), high.max(y)));
    let first = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let last = points().map(|point| point.0).fold(0.0, f64::max);
    let unit = if lines[0].operation.unit() == Unit::Rate { "GB/s" } else { "us" };
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .caption(format!("{} ({unit})", lines[0].operation.name()), ("sans-serif", 18))
        .x_label_area_size(28)
        .y_label_area_size(56)
        .build_cartesian_2d((first..last).log_scale(), (low / 1.5..high * 1.5).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_label_formatter(&|bytes| bytes_in_short(*bytes))
        .y_label_formatter(&|value| format!("{}", (*value * 1e4).round() / 1e4))
        .label_style(("sans-serif", 14))
        .x_labels(6)
        .draw()?;
    for (side, points) in curves {
        chart.draw_series(LineSeries::new(points.iter().copied(), color(side).stroke_width(2)))?;
        chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, color(side).filled())))?;
    }
    Ok(())
}

fn bytes_in_short(bytes: f64) -> String {
    match bytes {
        b if b >= (1 << 20) as f64 => format!("{:.0}M", b / (1 << 20) as f64),
        b if b >= 1024.0 => format!("{:.0}K", b / 1024.0),
        b => format!("{b:.0}"),
    }
}
