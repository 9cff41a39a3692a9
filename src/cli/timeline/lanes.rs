//! The two sides of the call, in rows of so many seconds.

use plotters::{
    prelude::{PathElement, Polygon, RGBColor, Rectangle},
    style::Color,
};

use super::{AGENT, Area, CALLER, CUT, Drawn, FAINT, GRID, INK, LEFT, Picture, Spoken, breadth, text};

/// Seconds in a row.
const ROW: u32 = 20;
/// One row with its texts, pixels.
pub(super) const HEIGHT: i32 = 226;
/// Lines of text above and below the waveforms, and their height.
const LINES: usize = 3;
const LINE: i32 = 15;
const SIZE: i32 = 13;
/// One waveform.
const LANE: i32 = 50;
/// From a row's top to its parts.
const CALLER_TOP: i32 = 48;
const AGENT_TOP: i32 = CALLER_TOP + LANE + 6;
const TEXT_TOP: i32 = AGENT_TOP + LANE + 4;
/// The least room for a text.
const NARROW: i32 = 60;

/// How many rows the call takes.
pub(super) fn rows(picture: &Picture<'_>) -> u32 {
    (picture.sides.duration().as_secs_f64() / f64::from(ROW)).ceil().max(1.0) as u32
}

/// Draws all rows, from `top` down.
pub(super) fn draw(area: &Area<'_>, top: i32, picture: &Picture<'_>) -> Drawn {
    let rows = rows(picture);
    for row in 0..rows {
        Row { area, top: top + row as i32 * HEIGHT, from: f64::from(row * ROW) }.frame(picture)?;
    }
    for agent in [false, true] {
        let turns: Vec<_> = picture.spoken.iter().filter(|turn| turn.agent == agent).collect();
        for (index, turn) in turns.iter().enumerate() {
            let next = turns.get(index + 1).map(|next| next.from.as_secs_f64());
            label(area, top, rows, turn, next)?;
        }
    }
    Ok(())
}

/// Pixels from the left for a time in a row.
fn column(seconds: f64) -> i32 {
    LEFT + (seconds.clamp(0.0, f64::from(ROW)) / f64::from(ROW) * f64::from(breadth())) as i32
}

struct Row<'a, 'b> {
    area: &'a Area<'b>,
    top: i32,
    /// Seconds of the call at its left end.
    from: f64,
}

impl Row<'_, '_> {
    fn frame(&self, picture: &Picture<'_>) -> Drawn {
        let bottom = self.top + AGENT_TOP + LANE;
        for second in 0..=ROW {
            let x = column(f64::from(second));
            let line = [(x, self.top + CALLER_TOP), (x, bottom)];
            self.area.draw(&PathElement::new(line, GRID.stroke_width(1)))?;
            if second % 5 == 0 {
                let name = format!("{} s", self.from as u32 + second);
                text::line(
                    self.area,
                    (x - if second == ROW { 26 } else { 0 }, bottom + LINES as i32 * LINE + 8),
                    11,
                    FAINT,
                    &name,
                )?;
            }
        }
        for turn in &picture.spoken {
            self.turn(turn)?;
        }
        for (name, samples, top, colour) in
            [("caller", &picture.sides.caller, CALLER_TOP, CALLER), ("agent", &picture.sides.agent, AGENT_TOP, AGENT)]
        {
            text::line(self.area, (10, self.top + top + LANE / 2 - 8), 15, colour, name)?;
            self.wave(samples, self.top + top + LANE / 2, colour)?;
        }
        Ok(())
    }

    /// The background of a turn, as far as it lies in this row, and where it was cut.
    fn turn(&self, turn: &Spoken) -> Drawn {
        let (from, to) = (turn.from.as_secs_f64() - self.from, turn.to.as_secs_f64() - self.from);
        if to <= 0.0 || from >= f64::from(ROW) {
            return Ok(());
        }
        let (top, colour) = if turn.agent { (AGENT_TOP, AGENT) } else { (CALLER_TOP, CALLER) };
        let corners = [(column(from), self.top + top), (column(to), self.top + top + LANE)];
        self.area.draw(&Rectangle::new(corners, colour.mix(0.13).filled()))?;
        if turn.lost.is_some() && to <= f64::from(ROW) {
            let x = column(to);
            let line = [(x, self.top + AGENT_TOP - 4), (x, self.top + AGENT_TOP + LANE + 4)];
            self.area.draw(&PathElement::new(line, CUT.stroke_width(3)))?;
        }
        Ok(())
    }

    fn wave(&self, samples: &[i16], middle: i32, colour: RGBColor) -> Drawn {
        let peak = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0).max(1);
        let columns = breadth();
        let part = |x: i32| {
            let seconds = self.from + f64::from(x) / f64::from(columns) * f64::from(ROW);
            ((seconds * 8_000.0) as usize).min(samples.len())
        };
        let height = |sample: i16| (f64::from(sample) / f64::from(peak) * f64::from(LANE / 2 - 2)) as i32;
        let (mut upper, mut lower) = (Vec::new(), Vec::new());
        for x in 0..columns {
            let Some(part) = samples.get(part(x)..part(x + 1)).filter(|part| !part.is_empty()) else { break };
            upper.push((LEFT + x, middle - height(part.iter().copied().max().unwrap_or(0).max(0))));
            lower.push((LEFT + x, middle - height(part.iter().copied().min().unwrap_or(0).min(0)) + 1));
        }
        if !upper.is_empty() {
            upper.extend(lower.into_iter().rev());
            self.area.draw(&Polygon::new(upper, colour.filled()))?;
        }
        Ok(())
    }
}

/// What was said in a turn, above the caller's waveform or below the agent's. `next`: when the same side's next turn begins.
fn label(area: &Area<'_>, top: i32, rows: u32, turn: &Spoken, next: Option<f64>) -> Drawn {
    let length = f64::from(ROW);
    let (from, to) = (turn.from.as_secs_f64(), turn.to.as_secs_f64());
    let mut row = ((from / length) as u32).min(rows - 1);
    let mut left = column(from - f64::from(row) * length);
    let right = |row: u32| next.map_or(LEFT + breadth(), |next| column(next - f64::from(row) * length) - 8);
    // A turn that goes on in the next row has its text where there is more room for it.
    let goes_on = row + 1 < rows && to > f64::from(row + 1) * length;
    if goes_on && right(row + 1) - LEFT > right(row) - left {
        row += 1;
        left = LEFT;
    }
    let room = (right(row) - left).max(NARROW);
    let top = top + row as i32 * HEIGHT;
    let said = text::wrap(&turn.text, SIZE, room, LINES);
    let lost = match &turn.lost {
        None => Vec::new(),
        Some(lost) => text::wrap(&format!("▏not heard: {lost}"), SIZE, room, LINES.saturating_sub(said.len())),
    };
    let count = (said.len() + lost.len()) as i32;
    let first = if turn.agent { top + TEXT_TOP } else { top + CALLER_TOP - 3 - count * LINE };
    let lines = said.iter().map(|line| (line, INK)).chain(lost.iter().map(|line| (line, CUT)));
    for (index, (line, colour)) in lines.enumerate() {
        text::line(area, (left, first + index as i32 * LINE), SIZE, colour, line)?;
    }
    Ok(())
}
