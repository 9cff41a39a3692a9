//! What happened between the caller's last word and the agent's first sound, an answer a row.

use std::time::Duration;

use plotters::{
    prelude::{PathElement, RGBColor, Rectangle},
    style::Color,
};

use super::{Area, Drawn, FAINT, GRID, INK, LEFT, Waterfall, breadth, text};

/// Left of the bars: the answers' names.
const NAMES: i32 = 190;
/// Right of them: the sums.
const SUMS: i32 = 150;
const TITLE: i32 = 58;
const ROW: i32 = 40;
const BAR: i32 = 8;
/// The least that the bars' breadth stands for.
const LEAST: Duration = Duration::from_millis(700);

const STAGES: [(&str, &str, RGBColor); 4] = [
    ("endpoint_delay", "the turn is decided to be over", RGBColor(120, 130, 146)),
    ("ttft", "the model's first token", RGBColor(46, 134, 88)),
    ("ttfb", "the voice's first sound", RGBColor(136, 84, 168)),
    ("playout", "the first frame leaves", RGBColor(200, 30, 45)),
];

/// Pixels that so many answers take.
pub(super) const fn height(answers: usize) -> i32 {
    if answers == 0 { 0 } else { TITLE + answers as i32 * ROW + 36 }
}

/// Draws all answers, from `top` down.
pub(super) fn draw(area: &Area<'_>, top: i32, answers: &[(String, Waterfall)]) -> Drawn {
    if answers.is_empty() {
        return Ok(());
    }
    let longest = answers.iter().map(|(_, waterfall)| waterfall.total).max().unwrap_or_default().max(LEAST);
    let left = LEFT + NAMES;
    let room = breadth() - NAMES - SUMS;
    let column = |at: Duration| left + (at.as_secs_f64() / longest.as_secs_f64() * f64::from(room)) as i32;
    text::line(area, (10, top), 15, INK, "From the caller's last word to the agent's first sound")?;
    let mut x = left;
    for (_, what, colour) in STAGES {
        area.draw(&Rectangle::new([(x, top + 28), (x + 12, top + 40)], colour.filled()))?;
        text::line(area, (x + 18, top + 26), 13, INK, what)?;
        x += 40 + text::width(what, 13);
    }
    let bottom = top + TITLE + answers.len() as i32 * ROW;
    let mut tick = Duration::ZERO;
    while tick <= longest {
        let line = [(column(tick), top + TITLE - 6), (column(tick), bottom)];
        area.draw(&PathElement::new(line, GRID.stroke_width(1)))?;
        text::line(area, (column(tick) - 8, bottom + 4), 11, FAINT, &format!("{} ms", tick.as_millis()))?;
        tick += Duration::from_millis(100);
    }
    for (index, (name, waterfall)) in answers.iter().enumerate() {
        let y = top + TITLE + index as i32 * ROW;
        text::line(area, (LEFT, y + 6), 13, INK, name)?;
        for stage in &waterfall.stages {
            let Some(lane) = STAGES.iter().position(|(known, ..)| *known == stage.name) else { continue };
            // Endpoint and first token may lie over each other: the guess was right. The others follow one another.
            let lane_y = y + [0, BAR + 2, BAR * 2 + 4, BAR * 2 + 4][lane];
            let (from, to) = (column(stage.from), column(stage.to).max(column(stage.from) + 2));
            area.draw(&Rectangle::new([(from, lane_y), (to, lane_y + BAR)], STAGES[lane].2.filled()))?;
        }
        let note = if waterfall.speculative { ", on a guess" } else { "" };
        let sum = format!("{} ms{note}", waterfall.total.as_millis());
        text::line(area, (column(waterfall.total) + 10, y + 6), 13, INK, &sum)?;
    }
    Ok(())
}
