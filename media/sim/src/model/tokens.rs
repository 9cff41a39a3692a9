//! The tokens of the simulated model.

/// Words with the space before them, as models have it.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = String> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let word = rest.find(|ch: char| !ch.is_whitespace()).unwrap_or(rest.len());
        let end = rest[word..].find(char::is_whitespace).map_or(rest.len(), |length| word + length);
        let (token, left) = rest.split_at(end);
        rest = left;
        (!token.is_empty()).then(|| token.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_words_and_lose_nothing() {
        for text in ["Hello, how are  you?", " lead", "trail \n", "", "one"] {
            assert_eq!(tokens(text).collect::<String>(), text);
        }
        assert_eq!(tokens("Hello, how are you?").collect::<Vec<_>>(), ["Hello,", " how", " are", " you?"]);
    }
}
