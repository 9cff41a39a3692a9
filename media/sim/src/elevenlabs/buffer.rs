//! When text that was sent is spoken: ElevenLabs' chunk length schedule.

/// The schedule of a context that asks for none, in characters.
pub(super) const DEFAULT_SCHEDULE: [usize; 4] = [120, 160, 250, 290];
/// What one item of a schedule may be.
pub(super) const SCHEDULE_ITEM: std::ops::RangeInclusive<u64> = 50..=500;
/// What `try_trigger_generation` needs to have any effect. The vendor has such a minimum and does not tell it.
const TRIGGER_MINIMUM: usize = 50;

/// Text waiting to be spoken.
#[derive(Debug)]
pub(super) struct TextBuffer {
    text: String,
    schedule: Vec<usize>,
    /// How many times text was taken: the place in the schedule.
    taken: usize,
    /// Every message is spoken at once.
    auto: bool,
}

impl TextBuffer {
    /// An empty buffer. With `auto`, the schedule is not looked at.
    pub(super) fn new(schedule: Option<Vec<usize>>, auto: bool) -> Self {
        let schedule = schedule.filter(|items| !items.is_empty()).unwrap_or_else(|| DEFAULT_SCHEDULE.to_vec());
        Self { text: String::new(), schedule, taken: 0, auto }
    }

    /// Adds text. Returns what is to be spoken now, if anything is.
    pub(super) fn push(&mut self, text: &str, flush: bool, try_trigger: bool) -> Option<String> {
        // Blank text keeps the connection alive; alone it is nothing to say.
        if !(self.text.is_empty() && text.trim().is_empty()) {
            self.text.push_str(text);
        }
        let length = self.text.chars().count();
        let due = flush || self.auto || length >= self.threshold() || (try_trigger && length >= TRIGGER_MINIMUM);
        if due { self.take() } else { None }
    }

    /// Everything that waits, if it is anything to say.
    pub(super) fn take(&mut self) -> Option<String> {
        if self.text.trim().is_empty() {
            return None;
        }
        self.taken += 1;
        Some(std::mem::take(&mut self.text))
    }

    fn threshold(&self) -> usize {
        self.schedule.get(self.taken).or(self.schedule.last()).copied().unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_waits_for_the_next_threshold_each_time() {
        let mut buffer = TextBuffer::new(Some(vec![50, 60]), false);
        let word = "123456789 ";
        let spoken: Vec<usize> = (1..=30)
            .filter_map(|count| buffer.push(word, false, false).map(|text| count * 1_000 + text.len()))
            .collect();
        assert_eq!(spoken, [5_050, 11_060, 17_060, 23_060, 29_060]);
    }

    #[test]
    fn flush_and_auto_mode_do_not_wait() {
        let mut buffer = TextBuffer::new(None, false);
        assert_eq!(buffer.push("Hello ", false, false), None);
        assert_eq!(buffer.push("there. ", true, false).as_deref(), Some("Hello there. "));
        assert_eq!(buffer.push(" ", true, false), None);
        assert_eq!(TextBuffer::new(None, true).push("Hi. ", false, false).as_deref(), Some("Hi. "));
    }

    #[test]
    fn a_trigger_needs_a_minimum() {
        let mut buffer = TextBuffer::new(None, false);
        assert_eq!(buffer.push(&"x".repeat(49), false, true), None);
        assert!(buffer.push("x", false, true).is_some());
    }

    #[test]
    fn blank_text_is_no_speech() {
        let mut buffer = TextBuffer::new(None, true);
        assert_eq!(buffer.push(" ", false, false), None);
        assert_eq!(buffer.push("A", false, false).as_deref(), Some("A"));
        assert_eq!(buffer.take(), None);
    }
}
