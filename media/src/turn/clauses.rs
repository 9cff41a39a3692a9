//! Cuts a model's stream of text into clauses that can be spoken: the first clause goes to the voice before the second exists.

/// A first clause shorter than this is not worth a voice's attention, unless it is a sentence.
const SHORTEST_CLAUSE: usize = 12;
/// Text without punctuation is cut at a space after so many characters.
const LONGEST_CLAUSE: usize = 160;

/// Collects text and gives out clauses. Every clause but the last ends in white space, so that no word is ever split.
#[derive(Debug, Clone, Default)]
pub(super) struct Clauses {
    buffer: String,
}

impl Clauses {
    /// Adds text; gives the clauses that are complete by now.
    pub(super) fn push(&mut self, text: &str) -> Vec<String> {
        self.buffer.push_str(text);
        let mut clauses = Vec::new();
        while let Some(end) = self.boundary() {
            let rest = self.buffer.split_off(end);
            clauses.push(std::mem::replace(&mut self.buffer, rest));
        }
        clauses
    }

    /// The rest, if it holds anything to be spoken. White space waits for what follows it.
    pub(super) fn finish(&mut self) -> Option<String> {
        (!self.buffer.trim().is_empty()).then(|| std::mem::take(&mut self.buffer))
    }

    /// Byte position after the first complete clause and the white space behind it.
    fn boundary(&self) -> Option<usize> {
        let mut chars = self.buffer.char_indices().peekable();
        let mut length = 0;
        let mut last_space = None;
        while let Some((_, ch)) = chars.next() {
            length += 1;
            // White space behind the mark tells a clause from a number or an address ("3.14", "example.com").
            let Some(&(next_at, next)) = chars.peek() else { break };
            if ch.is_whitespace() && !next.is_whitespace() {
                last_space = Some(next_at);
            }
            let ends = match ch {
                '.' | '!' | '?' | '…' | '\n' => length > 1,
                ',' | ';' | ':' | '–' | '—' => length >= SHORTEST_CLAUSE,
                _ => false,
            };
            if ends && next.is_whitespace() {
                return Some(next_at + next.len_utf8());
            }
            if length >= LONGEST_CLAUSE
                && let Some(at) = last_space
            {
                return Some(at);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[&str]) -> Vec<String> {
        let mut clauses = Clauses::default();
        let mut out: Vec<_> = pieces.iter().flat_map(|piece| clauses.push(piece)).collect();
        out.extend(clauses.finish());
        out
    }

    #[test]
    fn a_clause_leaves_as_soon_as_it_is_known_to_be_one() {
        let mut clauses = Clauses::default();
        assert!(clauses.push("Of course.").is_empty());
        assert_eq!(clauses.push(" The"), ["Of course. "]);
        assert_eq!(clauses.finish().as_deref(), Some("The"));
    }

    #[test]
    fn numbers_and_addresses_are_not_split() {
        assert_eq!(all(&["It is 3", ".14 at example", ".com now. Yes"]), ["It is 3.14 at example.com now. ", "Yes"]);
    }

    #[test]
    fn short_starts_wait_for_more() {
        assert_eq!(all(&["Well, that is fine, I think so"]), ["Well, that is fine, ", "I think so"]);
    }

    #[test]
    fn text_without_punctuation_is_cut_at_a_space() {
        let long = "word ".repeat(60);
        let clauses = all(&[&long]);
        assert!(clauses.len() > 1 && clauses.iter().all(|clause| clause.len() <= LONGEST_CLAUSE + 5), "{clauses:?}");
        assert_eq!(clauses.concat(), long);
    }

    #[test]
    fn nothing_is_lost() {
        let text = "Hello there! How are you; fine, I hope? 1.5 plus 2 is 3.5.\nGood.";
        for size in 1..9 {
            let pieces: Vec<String> =
                text.chars().collect::<Vec<_>>().chunks(size).map(|c| c.iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            assert_eq!(all(&pieces).concat(), text);
        }
    }
}
