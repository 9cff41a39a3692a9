//! A call as a picture: both sides as waveforms on one line of time, broken like lines of text; what was said; and below it each
//! answer's latency.

mod lanes;
mod latency;
mod text;

use std::{path::Path, time::Duration};

use plotters::{
    coord::Shift,
    prelude::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea, RGBColor, SVGBackend, WHITE},
};

use super::{audio::Sides, waterfall::Waterfall};

/// A call to be drawn.
pub(super) struct Picture<'a> {
    pub(super) title: String,
    pub(super) sides: &'a Sides,
    /// By when they began.
    pub(super) spoken: Vec<Spoken>,
    /// Each answer's latency, with a name for it.
    pub(super) answers: Vec<(String, Waterfall)>,
}

/// A turn.
pub(super) struct Spoken {
    pub(super) agent: bool,
    pub(super) from: Duration,
    pub(super) to: Duration,
    /// What was said; of the agent, what was heard.
    pub(super) text: String,
    /// What was not heard, because the turn was cut.
    pub(super) lost: Option<String>,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct PictureError(String);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), PictureError>;

/// Whole picture, pixels.
const WIDTH: u32 = 1_400;
/// Left of what is drawn to scale: names.
const LEFT: i32 = 74;
/// Right of it.
const RIGHT: i32 = 24;
/// The title's.
const HEADER: i32 = 52;

const INK: RGBColor = RGBColor(40, 44, 52);
const FAINT: RGBColor = RGBColor(150, 156, 166);
const GRID: RGBColor = RGBColor(228, 231, 236);
const CALLER: RGBColor = RGBColor(31, 111, 178);
const AGENT: RGBColor = RGBColor(214, 118, 22);
const CUT: RGBColor = RGBColor(200, 30, 45);

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for PictureError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Self(error.to_string())
    }
}

/// Draws a call into an SVG file.
pub(super) fn write(path: &Path, picture: &Picture<'_>) -> Drawn {
    let rows = lanes::rows(picture);
    let lanes_end = HEADER + rows as i32 * lanes::HEIGHT;
    let height = lanes_end + latency::height(picture.answers.len());
    let area = SVGBackend::new(path, (WIDTH, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    text::line(&area, (LEFT, 18), 20, INK, &picture.title)?;
    lanes::draw(&area, HEADER, picture)?;
    latency::draw(&area, lanes_end, &picture.answers)?;
    area.present()?;
    Ok(())
}

/// Pixels between the margins.
const fn breadth() -> i32 {
    WIDTH as i32 - LEFT - RIGHT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_every_turn_and_every_answer() {
        let sides = Sides { caller: vec![1_000; 8 * 25_000], agent: vec![-1_000; 8 * 25_000] };
        let ms = Duration::from_millis;
        let spoken = |agent, from, to, text: &str, lost: Option<&str>| Spoken {
            agent,
            from: ms(from),
            to: ms(to),
            text: text.into(),
            lost: lost.map(str::to_owned),
        };
        let stage = super::super::waterfall::Stage { name: "ttft", from: ms(100), to: ms(300) };
        let picture = Picture {
            title: "A call <of two>".into(),
            sides: &sides,
            spoken: vec![
                spoken(true, 200, 2_000, "Hello there", Some("and so on")),
                spoken(false, 19_900, 24_000, "goforward", None),
            ],
            answers: vec![("first".into(), Waterfall { stages: vec![stage], total: ms(300), speculative: true })],
        };
        let path = std::env::temp_dir().join(format!("trunkline-timeline-{}.svg", std::process::id()));
        write(&path, &picture).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        for text in ["A call &lt;of two&gt;", "Hello there", "and so on", "goforward", "first", "300 ms"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(write(Path::new("/no/such/folder/x.svg"), &picture).is_err());
    }
}
