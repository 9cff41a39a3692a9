//! Text in the picture.

use plotters::{
    prelude::{IntoFont, RGBColor, Text},
    style::Color,
};

use super::{Area, Drawn};

/// Writes one line; `at` is its upper left corner.
pub(super) fn line(area: &Area<'_>, at: (i32, i32), size: i32, colour: RGBColor, text: &str) -> Drawn {
    if !text.is_empty() {
        let style = ("sans-serif", size).into_font().color(&colour.to_rgba());
        area.draw(&Text::new(text.to_owned(), at, style))?;
    }
    Ok(())
}

/// About how wide a text is: SVG leaves the font to whoever shows it.
pub(super) fn width(text: &str, size: i32) -> i32 {
    text.chars().count() as i32 * size * 52 / 100
}

/// Breaks a text into at most `most` lines of this width; what does not fit ends in an ellipsis.
pub(super) fn wrap(text: &str, size: i32, breadth: i32, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let full = lines.len() == most;
        match lines.last_mut() {
            Some(line) if width(line, size) + width(word, size) + size / 2 <= breadth => {
                line.push(' ');
                line.push_str(word);
            }
            Some(line) if full => {
                line.push('…');
                break;
            }
            _ if full => break,
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words_and_ends_in_an_ellipsis() {
        assert_eq!(wrap("one two three four", 10, 42, 9), ["one two", "three", "four"]);
        assert_eq!(wrap("one two three four", 10, 42, 2), ["one two", "three…"]);
        assert!(wrap("", 10, 42, 2).is_empty());
    }
}
