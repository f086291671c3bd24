//! One line over time, drawn by plotters as the inside of an SVG whose colours the page sets.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::{format, ticks};

/// Charts are drawn at twice the size that they are shown at, so that whole pixels are fine enough.
pub(crate) const SCALE: i32 = 2;
/// The width of every chart, as drawn.
pub(crate) const WIDTH: i32 = 1120 * SCALE;
const LEFT: i32 = 76 * SCALE;
/// Half of the last time's label stands here.
const RIGHT: i32 = 32 * SCALE;
const BOTTOM: i32 = 24 * SCALE;

/// plotters writes colours as numbers; these stand for the page's and are exchanged for them.
const STAND_INS: [(RGBColor, &str, &str); 4] = [
    (GRID, "#010001", "var(--chart-grid)"),
    (TEXT, "#010002", "var(--chart-text)"),
    (LINE, "#010003", "var(--chart-line)"),
    (AXIS, "#010004", "var(--chart-axis)"),
];
const GRID: RGBColor = RGBColor(1, 0, 1);
const TEXT: RGBColor = RGBColor(1, 0, 2);
const LINE: RGBColor = RGBColor(1, 0, 3);
const AXIS: RGBColor = RGBColor(1, 0, 4);

/// What to draw.
pub(crate) struct Line<'a> {
    pub(crate) height: i32,
    /// Room above for marks.
    pub(crate) top: i32,
    pub(crate) from_us: u64,
    pub(crate) until_us: u64,
    /// The line in pieces: where nothing was measured there is a gap.
    pub(crate) pieces: &'a [Vec<(u64, f64)>],
    /// Round numbers, rising; the first and the last bound the axis.
    pub(crate) amounts: &'a [f64],
    pub(crate) label: &'a dyn Fn(f64) -> String,
    /// Whether the times are written below.
    pub(crate) times: bool,
    /// Whether the room under the line is filled, which is right only if the axis begins at zero.
    pub(crate) filled: bool,
}

/// A drawn line, and where things are on it.
pub(crate) struct Drawn {
    /// The elements, without the `<svg>` round them.
    pub(crate) inside: String,
    pub(crate) top: i32,
    pub(crate) bottom: i32,
    from_us: u64,
    until_us: u64,
}

impl Drawn {
    /// Where a time is, in pixels from the left, if it is on the chart.
    pub(crate) fn x(&self, us: u64) -> Option<i32> {
        if us < self.from_us || us > self.until_us {
            return None;
        }
        let part = (us - self.from_us) as f64 / (self.until_us - self.from_us) as f64;
        Some(LEFT + (part * f64::from(WIDTH - LEFT - RIGHT)).round() as i32)
    }
}

/// Draws it, or says what plotters had against it.
pub(crate) fn draw(line: &Line<'_>) -> Result<Drawn, String> {
    let until_us = line.until_us.max(line.from_us.saturating_add(1));
    let bottom = if line.times { BOTTOM } else { 4 * SCALE };
    let mut svg = String::new();
    draw_into(&mut svg, line, until_us, bottom).map_err(|e| e.to_string())?;
    Ok(Drawn {
        inside: themed(inside(&svg)),
        top: line.top,
        bottom: line.height - bottom,
        from_us: line.from_us,
        until_us,
    })
}

fn draw_into(
    svg: &mut String,
    line: &Line<'_>,
    until_us: u64,
    bottom: i32,
) -> Result<(), Box<dyn std::error::Error>> {
    let (times, pattern) = ticks::of_time(line.from_us, until_us, 9);
    let low = line.amounts.first().copied().unwrap_or(0.0);
    let high = line.amounts.last().copied().unwrap_or(1.0);
    // Relative to the start: an f64 of µs since 1970 has only a quarter of a µs left.
    let x = |us: u64| us.saturating_sub(line.from_us) as f64;

    let root = SVGBackend::with_string(svg, (WIDTH as u32, line.height as u32)).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin_top(line.top)
        .margin_right(RIGHT)
        .set_label_area_size(LabelAreaPosition::Left, LEFT)
        .set_label_area_size(LabelAreaPosition::Bottom, bottom)
        .build_cartesian_2d(
            Axis {
                range: 0.0..x(until_us),
                marks: times.iter().map(|t| x(*t)).collect(),
            },
            Axis {
                range: low..high,
                marks: line.amounts.to_vec(),
            },
        )?;
    let label = ("sans-serif", 14.9 * f64::from(SCALE))
        .into_font()
        .color(&TEXT);
    let x_label = |offset: &f64| {
        if line.times {
            format::in_utc(line.from_us + *offset as u64, pattern)
        } else {
            String::new()
        }
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(SCALE as u32))
        .axis_style(AXIS.stroke_width(SCALE as u32))
        .set_tick_mark_size(LabelAreaPosition::Left, 0)
        .set_tick_mark_size(LabelAreaPosition::Bottom, 4 * SCALE)
        .label_style(label)
        .x_labels(times.len().max(1))
        .y_labels(line.amounts.len().max(1))
        .x_label_formatter(&x_label)
        // The last character keeps the label off the axis.
        .y_label_formatter(&|v| format!("{}\u{a0}\u{a0}", (line.label)(*v)))
        .draw()?;
    for piece in line.pieces {
        let points = || piece.iter().map(|(us, v)| (x(*us), v.clamp(low, high)));
        if line.filled {
            chart.draw_series(AreaSeries::new(points(), low, LINE.mix(0.12)))?;
        }
        if let [(us, v)] = piece[..] {
            let dot = Circle::new((x(us), v.clamp(low, high)), SCALE * 2, LINE.filled());
            chart.draw_series([dot])?;
        } else {
            chart.draw_series(LineSeries::new(
                points(),
                LINE.stroke_width(2 * SCALE as u32),
            ))?;
        }
    }
    root.present()?;
    Ok(())
}

/// An axis whose marks are given: plotters' own are not round in time.
struct Axis {
    range: Range<f64>,
    marks: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.range.clone()).map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

fn inside(svg: &str) -> &str {
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    body.rsplit_once("</svg>").map_or(body, |(body, _)| body)
}

fn themed(svg: &str) -> String {
    let mut out = svg.replace(" font-family=\"sans-serif\"", "");
    for (_, stand_in, variable) in STAND_INS {
        out = out.replace(stand_in, variable);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(pieces: &'a [Vec<(u64, f64)>], amounts: &'a [f64]) -> Line<'a> {
        Line {
            height: 200,
            top: 20,
            from_us: 1_000_000,
            until_us: 11_000_000,
            pieces,
            amounts,
            label: &|v| format!("{v}"),
            times: true,
            filled: true,
        }
    }

    #[test]
    fn every_colour_is_the_pages() {
        let pieces = [
            vec![(1_000_000, 1.0), (2_000_000, 2.0)],
            vec![(9_000_000, 3.0)],
        ];
        let drawn = draw(&line(&pieces, &[0.0, 2.0, 4.0])).unwrap();
        assert!(drawn.inside.contains("var(--chart-line)"));
        assert!(drawn.inside.contains("var(--chart-text)"));
        assert!(!drawn.inside.contains('#'), "{}", drawn.inside);
        assert!(!drawn.inside.contains("<svg"));
        assert!(drawn.inside.contains("00:00:04"));
    }

    #[test]
    fn times_off_the_chart_have_no_place() {
        let drawn = draw(&line(&[], &[0.0, 1.0])).unwrap();
        assert_eq!(drawn.x(1_000_000), Some(LEFT));
        assert_eq!(drawn.x(11_000_000), Some(WIDTH - RIGHT));
        assert_eq!(drawn.x(0), None);
        assert_eq!(drawn.x(11_000_001), None);
    }

    #[test]
    fn a_chart_of_no_width_is_drawn_too() {
        let mut flat = line(&[], &[]);
        flat.until_us = flat.from_us;
        assert!(draw(&flat).is_ok());
    }
}
