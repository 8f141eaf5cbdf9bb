//! The drawings of a report, as SVG within the page: a curve, bars in parts, a matrix in shades. Nothing here knows what it
//! draws; labels are escaped.

use super::html::escape;
use std::fmt::Write;

/// Colours that people with colour blindness can tell apart (Okabe and Ito 2008).
pub const COLOURS: [&str; 7] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999"];

const WIDTH: f64 = 720.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;

/// A drawing of that height.
fn drawing(height: f64, about: &str, content: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" height=\"{height:.0}\" role=\"img\">\n\
         <title>{}</title>\n{content}</svg>\n",
        escape(about)
    )
}

/// A number as short as it can be told from its neighbours.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_string(),
        v if !(0.01..1e6).contains(&v) => format!("{value:.1e}"),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 1.0 => format!("{}", (value * 100.0).round() / 100.0),
        _ => format!("{}", (value * 1e4).round() / 1e4),
    }
}

/// Round numbers from 0 to `most`, four to six of them.
fn round_numbers(most: f64) -> impl Iterator<Item = f64> {
    let power = 10f64.powf((most / 5.0).log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0].map(|n| n * power).into_iter().find(|step| most / step < 5.999);
    let step = step.unwrap_or(10.0 * power);
    (0..=(most / step + 1e-9) as u32).map(move |n| f64::from(n) * step)
}

/// Curves over one axis from 0: pieces are not joined.
pub fn curve(about: &str, axes: [&str; 2], pieces: &[Vec<(f64, f64)>]) -> String {
    let points = || pieces.iter().flatten();
    if points().count() < 2 {
        return String::new();
    }
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::MIN_POSITIVE, f64::max);
    let (wide, high) = (most(|p| p.0), most(|p| p.1));
    let (height, top, bottom) = (260.0, 15.0, 45.0);
    let x = |value: f64| LEFT + (WIDTH - LEFT - RIGHT) * value / wide;
    let y = |value: f64| height - bottom - (height - top - bottom) * value / high;
    let mut svg = String::new();
    // Writing to a String cannot fail.
    for value in round_numbers(high) {
        let up = y(value);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{up:.1}\" x2=\"{:.1}\" y2=\"{up:.1}\" stroke=\"#e3e6ea\" />",
            WIDTH - RIGHT
        );
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            up + 4.0,
            short(value)
        );
    }
    for value in round_numbers(wide) {
        let across = x(value);
        let _ = writeln!(
            svg,
            "<text x=\"{across:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            height - bottom + 17.0,
            short(value)
        );
    }
    for piece in pieces {
        let points: Vec<String> = piece.iter().map(|&(a, b)| format!("{:.1},{:.1}", x(a), y(b))).collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\" points=\"{}\" />",
            COLOURS[0],
            points.join(" ")
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        height - 8.0,
        escape(axes[0])
    );
    let _ = writeln!(
        svg,
        "<text transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        (height - bottom + top) / 2.0,
        escape(axes[1])
    );
    drawing(height, about, &svg)
}

/// A bar a row, in parts one after the other; `names` are of the parts.
pub fn bars(about: &str, unit: &str, names: &[&str], rows: &[(String, Vec<f64>)]) -> String {
    let most = rows.iter().map(|(_, parts)| parts.iter().sum::<f64>()).fold(0.0, f64::max);
    if rows.is_empty() || most <= 0.0 {
        return String::new();
    }
    let (top, each) = (30.0, (480.0 / rows.len() as f64).clamp(6.0, 22.0));
    let height = top + each * rows.len() as f64 + 30.0;
    let across = |value: f64| (WIDTH - LEFT - RIGHT) * value / most;
    let mut svg = String::new();
    let mut at = LEFT;
    for (i, name) in names.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let _ = writeln!(
            svg,
            "<rect x=\"{at:.1}\" y=\"6\" width=\"10\" height=\"10\" fill=\"{colour}\" /><text x=\"{:.1}\" y=\"15\">{}</text>",
            at + 14.0,
            escape(name)
        );
        at += 30.0 + 6.5 * name.chars().count() as f64;
    }
    // Labels would stand on each other where bars are thin.
    let label = (11.0 / each).ceil().max(1.0) as usize;
    for (row, (name, parts)) in rows.iter().enumerate() {
        let y = top + each * row as f64;
        if row % label == 0 {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + each / 2.0 + 4.0,
                escape(name)
            );
        }
        let mut x = LEFT;
        for (i, &part) in parts.iter().enumerate() {
            let wide = across(part.max(0.0));
            let tip = format!("{name}, {}: {} {unit}", names.get(i).unwrap_or(&""), short(part));
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.2}\" y=\"{y:.1}\" width=\"{wide:.2}\" height=\"{:.1}\" fill=\"{}\"><title>{}</title></rect>",
                each * 0.85,
                COLOURS[i % COLOURS.len()],
                escape(&tip)
            );
            x += wide;
        }
    }
    for value in round_numbers(most) {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} {}</text>",
            LEFT + across(value),
            height - 10.0,
            short(value),
            escape(unit)
        );
    }
    drawing(height, about, &svg)
}

/// A square matrix in shades from white to dark by the logarithm; `tip` says what stands in a cell, and nothing is drawn where it is 0.
pub fn matrix(
    about: &str,
    axes: [&str; 2],
    size: usize,
    value: impl Fn(usize, usize) -> f64,
    tip: impl Fn(usize, usize) -> String,
) -> String {
    let cells = || (0..size).flat_map(|row| (0..size).map(move |column| (row, column)));
    let some = || cells().map(|(row, column)| value(row, column)).filter(|&v| v > 0.0);
    let (least, most) = (some().fold(f64::MAX, f64::min), some().fold(0.0, f64::max));
    if most <= 0.0 {
        return String::new();
    }
    let (top, side) = (20.0, 400.0);
    let each = side / size as f64;
    let height = top + side + 45.0;
    let mut svg = format!(
        "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{side}\" height=\"{side}\" fill=\"#f6f8fa\" stroke=\"#d0d7de\" />\n"
    );
    for (row, column) in cells() {
        let here = value(row, column);
        if here <= 0.0 {
            continue;
        }
        let shade = if most > least { (here / least).ln() / (most / least).ln() } else { 1.0 };
        let _ = writeln!(
            svg,
            "<rect x=\"{:.2}\" y=\"{:.2}\" width=\"{each:.2}\" height=\"{each:.2}\" fill=\"#0072b2\" fill-opacity=\"{:.2}\"><title>{}</title></rect>",
            LEFT + each * column as f64,
            top + each * row as f64,
            0.15 + 0.85 * shade,
            escape(&tip(row, column))
        );
    }
    let label = (16.0 / each).ceil().max(1.0) as usize;
    for i in (0..size).step_by(label) {
        let middle = each * (i as f64 + 0.5);
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{i}</text>",
            LEFT - 6.0,
            top + middle + 4.0
        );
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{i}</text>",
            LEFT + middle,
            top + side + 15.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        LEFT + side / 2.0,
        height - 8.0,
        escape(axes[1])
    );
    let _ = writeln!(
        svg,
        "<text transform=\"translate(20 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        top + side / 2.0,
        escape(axes[0])
    );
    drawing(height, about, &svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_are_well_formed_and_within_their_frame() {
        let hostile = "</title><script>x</script>\"";
        let all = [
            curve(hostile, [hostile, "y"], &[vec![(0.0, 0.0), (1.0, 5.0)], vec![(2.0, 5.0), (3.0, 10.0)]]),
            bars(
                hostile,
                hostile,
                &[hostile, "b"],
                &[(hostile.to_string(), vec![1.0, 2.0]), ("1".to_string(), vec![0.0, 3.0])],
            ),
            matrix(hostile, [hostile, "to"], 3, |i, j| (i * j) as f64, |_, _| hostile.to_string()),
        ];
        for svg in &all {
            let read = roxmltree::Document::parse(svg).unwrap();
            assert!(read.descendants().all(|node| node.tag_name().name() != "script"), "{svg}");
            for node in read.descendants().filter(|node| node.tag_name().name() == "rect") {
                let number = |name: &str| node.attribute(name).unwrap().parse::<f64>().unwrap();
                assert!(number("x") + number("width") <= WIDTH && number("x") >= 0.0, "{svg}");
            }
        }
        // Bars are as long as their parts: 3 of 3 is the whole width.
        let widest = all[1].match_indices("width=\"620.00\"").count();
        assert_eq!(widest, 1, "{}", all[1]);
        assert_eq!(all[0].matches("<polyline").count(), 2);
        assert_eq!(all[2].matches("fill-opacity").count(), 4);
    }

    #[test]
    fn numbers_along_an_axis_are_round() {
        for (most, expected) in [
            (0.457, "0 0.1 0.2 0.3 0.4"),
            (400.0, "0 100 200 300 400"),
            (1.0, "0 0.2 0.4 0.6 0.8 1"),
            (5.9e8, "0 1.0e8 2.0e8 3.0e8 4.0e8 5.0e8"),
            (7.0, "0 2 4 6"),
            (13.0, "0 2.5 5 7.5 10 12.5"),
        ] {
            let all: Vec<String> = round_numbers(most).map(short).collect();
            assert_eq!(all.join(" "), expected);
        }
        for power in -300..300 {
            for digits in 1..100 {
                let most = f64::from(digits) * 10f64.powi(power);
                assert!((4..=6).contains(&round_numbers(most).count()), "{most}");
            }
        }
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(curve("", ["", ""], &[vec![(0.0, 1.0)]]), "");
        assert_eq!(bars("", "", &[], &[("0".to_string(), vec![0.0])]), "");
        assert_eq!(matrix("", ["", ""], 2, |_, _| 0.0, |_, _| String::new()), "");
    }
}
