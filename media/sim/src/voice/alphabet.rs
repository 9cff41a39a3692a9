//! The characters the coded voice can say, and the two tones of each.

/// What every character outside the alphabet sounds like, and is read back as.
pub const FALLBACK: char = '\u{fffd}';

/// The lower tone of a symbol, in Hz. Far enough apart to be told from 12 ms of sound, inside the telephone band.
pub(super) const LOW: [f64; 8] = [350.0, 470.0, 590.0, 710.0, 830.0, 950.0, 1_070.0, 1_190.0];
/// The upper tone of a symbol, in Hz. The widest gap of the grid keeps the two groups apart.
pub(super) const HIGH: [f64; 8] = [1_400.0, 1_630.0, 1_860.0, 2_090.0, 2_320.0, 2_550.0, 2_780.0, 3_010.0];

/// Symbol `n` is the tones `LOW[n % 8]` and `HIGH[n / 8]`. The last two places of the grid are unused and read as no speech.
const SYMBOLS: [char; 62] = [
    ' ', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v',
    'w', 'x', 'y', 'z', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '.', ',', '?', '!', '\'', '-', ':', ';', '…',
    '"', '(', ')', '/', '$', '%', '&', '+', '@', '#', '*', '=', '_', '€', '£', FALLBACK,
];

/// The character that is said for `ch`: lower case, typographic signs as their plain forms, [`FALLBACK`] for what has no symbol.
pub fn spoken(ch: char) -> char {
    let folded = match ch {
        '‘' | '’' | '`' | '´' => '\'',
        '“' | '”' | '„' | '«' | '»' => '"',
        '–' | '—' | '‑' | '−' => '-',
        _ if ch.is_whitespace() => ' ',
        _ => {
            let mut lower = ch.to_lowercase();
            match (lower.next(), lower.next()) {
                (Some(only), None) => only,
                _ => ch,
            }
        }
    };
    if SYMBOLS.contains(&folded) { folded } else { FALLBACK }
}

/// The text that is heard when `text` is said: one character for each of its characters.
pub fn normalise(text: &str) -> String {
    text.chars().map(spoken).collect()
}

/// The two tones of `ch`, as places in [`LOW`] and [`HIGH`].
pub(super) fn tones_of(ch: char) -> (usize, usize) {
    let spoken = spoken(ch);
    let place = SYMBOLS.iter().position(|symbol| *symbol == spoken).unwrap_or(SYMBOLS.len() - 1);
    (place % LOW.len(), place / LOW.len())
}

/// The character of two tones.
pub(super) fn character_of(low: usize, high: usize) -> Option<char> {
    SYMBOLS.get(high * LOW.len() + low).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_symbol_has_tones_of_its_own() {
        for symbol in SYMBOLS {
            let (low, high) = tones_of(symbol);
            assert_eq!(character_of(low, high), Some(symbol));
        }
        assert_eq!(character_of(6, 7), None);
    }

    #[test]
    fn text_is_folded_character_by_character() {
        assert_eq!(normalise("It’s 10 O'CLOCK – “fine”…\n"), "it's 10 o'clock - \"fine\"… ");
        assert_eq!(normalise("Zoë ß 漢"), format!("zo{FALLBACK} {FALLBACK} {FALLBACK}"));
        assert_eq!(normalise("İx").chars().count(), 2);
    }
}
