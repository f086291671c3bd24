//! Flame graphs as SVG, drawn by inferno.

use inferno::flamegraph::{self, Options};

use super::folded;
use super::tree::Profile;

const BACKGROUND: &str = "#ececea";
/// Frames side by side are told apart by it, also those that are nearly white.
const BORDER: &str = "#d4d4d0";
/// Of a letter's height. The usual fonts are wider than inferno takes them to be, so that names ran into the next frame.
const LETTER_WIDTH: f64 = 0.62;

/// Why no graph was drawn.
#[derive(Debug, thiserror::Error)]
pub enum FlamegraphError {
    /// No chain of calls costs more than nothing.
    #[error("nothing in the profile costs anything, so there is no flame graph of it")]
    Empty,
    /// The drawing failed.
    #[error("the flame graph cannot be drawn")]
    Drawing(#[from] std::io::Error),
}

/// Draws a profile.
///
/// # Errors
/// If nothing in it costs more than nothing.
pub fn draw(profile: &Profile, title: &str) -> Result<Vec<u8>, FlamegraphError> {
    render(&folded::write(profile), title, &profile.timer().unit, "")
}

/// Draws what changed: as wide as after, red where a function itself became dearer, blue where cheaper.
/// Per million requests of either side.
///
/// # Errors
/// If nothing on either side costs more than nothing.
pub fn draw_difference(
    before: &Profile,
    after: &Profile,
    title: &str,
) -> Result<Vec<u8>, FlamegraphError> {
    let unit = format!("{} per million requests", after.timer().unit);
    let text = folded::write_difference(before, after);
    render(
        &text,
        title,
        &unit,
        "wide as after; red: dearer, blue: cheaper",
    )
}

fn render(text: &str, title: &str, unit: &str, subtitle: &str) -> Result<Vec<u8>, FlamegraphError> {
    if text.is_empty() {
        return Err(FlamegraphError::Empty);
    }
    let mut options = Options::default();
    options.title = title.to_owned();
    options.subtitle = (!subtitle.is_empty()).then(|| subtitle.to_owned());
    options.count_name = unit.to_owned();
    // Grey enough that a frame that did not change, which is nearly white, stands out.
    options.bgcolors = BACKGROUND.parse().ok();
    options.stroke_color = BORDER.parse().unwrap_or(options.stroke_color);
    options.font_width = LETTER_WIDTH;
    // The same profile is the same picture.
    options.deterministic = true;
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, text.lines(), &mut svg)?;
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::testing::parse;
    use crate::profile::{Function, Timer};

    fn text(svg: Vec<u8>) -> String {
        String::from_utf8(svg).unwrap()
    }

    #[test]
    fn functions_and_their_costs_are_in_the_picture() {
        let profile = parse(&["feed;query 700", "feed 300"]);
        let svg = text(draw(&profile, "/feed").unwrap());
        assert!(
            svg.starts_with("<?xml") && svg.contains("<title>query (700 ns, 70.00%)"),
            "{svg}"
        );
        assert_eq!(
            svg,
            text(draw(&profile, "/feed").unwrap()),
            "always the same"
        );
    }

    #[test]
    fn a_difference_tells_both_ways() {
        let before = parse(&["feed;query 700", "feed;old 100"]);
        let after = parse(&["feed;query 900", "feed;render 100"]);
        let svg = text(draw_difference(&before, &after, "8f2c1a9").unwrap());
        assert!(
            svg.contains("query")
                && svg.contains("per million requests")
                && svg.contains(BACKGROUND)
                && svg.contains("stroke:rgb(212,212,208)"),
            "{svg}"
        );
    }

    #[test]
    fn hostile_names_are_escaped() {
        let mut profile = Profile::new(Timer::new("cpu", "ns"));
        let node = profile.child(
            profile.root(),
            &Function::named("<script>alert(1)</script>"),
        );
        profile.add(node, 1, 5);
        let svg = text(draw(&profile, "</title><script>alert(2)</script>").unwrap());
        assert!(!svg.contains("<script>alert"), "{svg}");
    }

    #[test]
    fn nothing_is_no_picture() {
        let nothing = parse(&["freed -5"]);
        assert!(matches!(draw(&nothing, ""), Err(FlamegraphError::Empty)));
    }
}
