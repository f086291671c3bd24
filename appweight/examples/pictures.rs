//! Draws the pictures of docs/method.md from simulated days: `cargo xtask pictures`.

use std::error::Error;
use std::path::{Path, PathBuf};

use appweight::detect::Ruling;
use appweight::simulate::{Cause, Score, ScoredPair, Shape, Simulation, score};
use plotters::coord::Shift;
use plotters::prelude::*;

/// Days that nothing was tuned on.
const SEEDS: std::ops::Range<u64> = 11..17;
/// The day whose alarms are drawn.
const DAY: u64 = 12;
const SIZE: (u32, u32) = (720, 420);
const FONT: (&str, u32) = ("sans-serif", 15);
const TITLE: (&str, u32) = ("sans-serif", 18);
const BLUE: RGBColor = RGBColor(38, 98, 176);
const ORANGE: RGBColor = RGBColor(206, 94, 20);
const GREY: RGBColor = RGBColor(130, 130, 130);

type Drawn = Result<(), Box<dyn Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn main() -> Drawn {
    let folder = std::env::args_os().nth(1).ok_or("usage: pictures FOLDER")?;
    let folder = PathBuf::from(folder);
    let peaks = [
        ("300 requests/s", 300.0, BLUE),
        ("3,000 requests/s", 3_000.0, ORANGE),
    ];
    let scores: Vec<(&str, Score, RGBColor)> = peaks
        .into_iter()
        .map(|(name, peak, colour)| (name, days(&Shape::usual(peak)), colour))
        .collect();
    coverage(&folder.join("coverage.svg"), &scores)?;
    power(&folder.join("power.svg"), &scores)?;
    day(&folder.join("day.svg"))
}

fn days(shape: &Shape) -> Score {
    let mut all = Score::default();
    for seed in SEEDS {
        all.absorb(score(shape, seed, 1));
    }
    all
}

fn canvas(path: &Path) -> Result<Area<'_>, Box<dyn Error>> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    Ok(area)
}

/// How many of the intervals of each level hold the truth.
fn coverage(path: &Path, scores: &[(&str, Score, RGBColor)]) -> Drawn {
    // Normal quantiles of two-sided intervals.
    const LEVELS: [(f64, f64); 8] = [
        (50.0, 0.6745),
        (60.0, 0.8416),
        (70.0, 1.0364),
        (80.0, 1.2816),
        (90.0, 1.6449),
        (95.0, 1.96),
        (98.0, 2.3263),
        (99.0, 2.5758),
    ];
    let area = canvas(path)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Intervals that hold the true change", TITLE)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(48.0..101.0, 48.0..101.0)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("promised, %")
        .y_desc("held, %")
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .label_style(FONT)
        .draw()?;
    chart
        .draw_series(LineSeries::new([(50.0, 50.0), (99.0, 99.0)], GREY))?
        .label("exact")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], GREY));
    for (name, score, colour) in scores {
        let held = LEVELS.map(|(level, z)| (level, 100.0 * held(&score.pairs, z)));
        let colour = *colour;
        chart.draw_series(LineSeries::new(held, colour.stroke_width(2)))?;
        chart
            .draw_series(held.map(|point| Circle::new(point, 4, colour.filled())))?
            .label(format!("{name}, {} pairs", score.intervals))
            .legend(move |(x, y)| Circle::new((x + 9, y), 4, colour.filled()));
    }
    legend(&mut chart, SeriesLabelPosition::LowerRight)?;
    Ok(area.present()?)
}

fn held(pairs: &[ScoredPair], z: f64) -> f64 {
    let with = pairs.iter().filter_map(|pair| {
        let (low, high) = pair.interval?;
        let error = (high - low) / 2.0 / 1.96;
        Some(((low + high) / 2.0 - pair.effect).abs() <= z * error)
    });
    let (held, all) = with.fold((0, 0), |(held, all), holds| {
        (held + u32::from(holds), all + 1)
    });
    f64::from(held) / f64::from(all)
}

/// How many of the changes of each size are called.
fn power(path: &Path, scores: &[(&str, Score, RGBColor)]) -> Drawn {
    const BOUNDS: [f64; 9] = [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 9.0, 15.0, 1000.0];
    const NAMES: [&str; 8] = ["< 1", "1–2", "2–3", "3–4", "4–6", "6–9", "9–15", "≥ 15"];
    let area = canvas(path)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Changes of an endpoint that are called", TITLE)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(-0.5..7.5, 0.0..105.0)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .disable_x_mesh()
        .x_labels(9)
        .x_desc(
            "size of the change, in the oracle's standard errors (below: how many were planted)",
        )
        .y_desc("called, %")
        .x_label_formatter(&|value: &f64| {
            let at = value.round() as usize;
            NAMES.get(at).copied().unwrap_or_default().to_owned()
        })
        .y_label_formatter(&|value| format!("{value:.0}"))
        .label_style(FONT)
        .draw()?;
    for (offset, (name, score, colour)) in scores.iter().enumerate() {
        let colour = *colour;
        let mut points = Vec::new();
        for (at, bound) in BOUNDS.windows(2).enumerate() {
            let of_size = score.pairs.iter().filter(|pair| {
                let errors = pair.effect.abs() / pair.oracle_error;
                pair.effect != 0.0 && (bound[0]..bound[1]).contains(&errors)
            });
            let (called, all) = of_size.fold((0, 0), |(called, all), pair| {
                let is_called = matches!(pair.ruling, Ruling::Regressed | Ruling::Improved);
                (called + u32::from(is_called), all + 1)
            });
            let x = at as f64 + 0.16 * (offset as f64 - 0.5);
            if all > 0 {
                points.push((x, 100.0 * f64::from(called) / f64::from(all)));
            }
            let place = chart.backend_coord(&(at as f64 + 0.4 * (offset as f64 - 0.5), 3.0));
            let style = TextStyle::from(("sans-serif", 12)).color(&colour);
            area.draw_text(&all.to_string(), &style, place)?;
        }
        chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
        chart
            .draw_series(
                points
                    .into_iter()
                    .map(|point| Circle::new(point, 4, colour.filled())),
            )?
            .label(*name)
            .legend(move |(x, y)| Circle::new((x + 9, y), 4, colour.filled()));
    }
    legend(&mut chart, SeriesLabelPosition::LowerRight)?;
    Ok(area.present()?)
}

/// What happened in a day, and what was called.
fn day(path: &Path) -> Drawn {
    let shape = Shape::usual(3_000.0);
    let simulation = Simulation::new(&shape, DAY, 1);
    let plan = &simulation.plan;
    let hours = |minute: i64| (minute - plan.start) as f64 / 60.0;
    let scored = score(&shape, DAY, 1);
    let area = canvas(path)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("A day of 40 deploys at 3,000 requests/s", TITLE)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..24.0, -22.0..22.0)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .disable_x_mesh()
        .x_desc("hours (dashes at the foot: roll-outs; shaded: everything costs more for a while)")
        .y_desc("change of one endpoint, %")
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| format!("{value:+.0}"))
        .label_style(FONT)
        .draw()?;
    let spikes = plan
        .truth
        .iter()
        .filter(|truth| truth.cause == Cause::Spike);
    chart.draw_series(spikes.map(|spike| {
        let end = spike.end.unwrap_or(spike.start);
        let corners = [(hours(spike.start), -22.0), (hours(end + 1), 22.0)];
        Rectangle::new(corners, ORANGE.mix(0.18).filled())
    }))?;
    chart.draw_series(plan.deploys.iter().skip(1).map(|deploy| {
        let ends = [(hours(deploy.start), -21.5), (hours(deploy.end + 1), -21.5)];
        PathElement::new(ends, GREY.stroke_width(3))
    }))?;
    let percent = |logs: f64| 100.0 * logs.exp_m1();
    let planted = scored.pairs.iter().filter(|pair| pair.effect != 0.0);
    chart
        .draw_series(planted.map(|pair| {
            Circle::new(
                (hours(pair.start), percent(pair.effect)),
                6,
                BLUE.stroke_width(2),
            )
        }))?
        .label("planted")
        .legend(|(x, y)| Circle::new((x + 9, y), 6, BLUE.stroke_width(2)));
    let called = |is_standing: bool| {
        scored.pairs.iter().filter_map(move |pair| {
            let standing = matches!(pair.ruling, Ruling::Regressed | Ruling::Improved);
            let (low, high) = pair.interval?;
            let minute = pair.called?;
            (standing == is_standing).then_some((minute, low, high))
        })
    };
    for (is_standing, name, colour) in [(true, "called", ORANGE), (false, "withdrawn", GREY)] {
        chart
            .draw_series(called(is_standing).flat_map(|(minute, low, high)| {
                let x = hours(minute);
                let line = [(x, percent(low)), (x, percent(high))];
                [
                    PathElement::new(line, colour.stroke_width(2)).into_dyn(),
                    Circle::new((x, percent(f64::midpoint(low, high))), 3, colour.filled())
                        .into_dyn(),
                ]
            }))?
            .label(format!("{name}, with its interval, when it was sure"))
            .legend(move |(x, y)| Circle::new((x + 9, y), 3, colour.filled()));
    }
    legend(&mut chart, SeriesLabelPosition::UpperRight)?;
    Ok(area.present()?)
}

fn legend<'a, X, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    place: SeriesLabelPosition,
) -> Drawn
where
    X: plotters::coord::ranged1d::Ranged,
    Y: plotters::coord::ranged1d::Ranged,
{
    chart
        .configure_series_labels()
        .position(place)
        .background_style(WHITE.mix(0.85))
        .border_style(GREY)
        .label_font(FONT)
        .draw()?;
    Ok(())
}
