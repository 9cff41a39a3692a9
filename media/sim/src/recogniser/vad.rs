//! Whether anything is heard at all, by level alone.

/// Nothing below this level is voice, in decibels over an RMS of 1 (an RMS of 100).
const QUIETEST_VOICE: f32 = 40.0;
/// Voice is this far above the background.
const ABOVE_BACKGROUND: f32 = 10.0;
/// How fast the background is believed to grow, in decibels a frame (1.5 a second).
const GROWTH: f32 = 0.015;
/// Frames looked at to tell voice from a click, and how many of them must be loud.
const SPAN: u32 = 5;
const LOUD: u32 = 3;

/// Watches the level of a line.
#[derive(Debug)]
pub(super) struct Vad {
    background: f32,
    /// One bit a frame, the most recent in bit 0.
    recent: u32,
}

impl Vad {
    pub(super) fn new() -> Self {
        Self { background: QUIETEST_VOICE - ABOVE_BACKGROUND, recent: 0 }
    }

    /// Takes the level of a frame; says whether it is loud.
    pub(super) fn push(&mut self, level: f32) -> bool {
        self.background = if level < self.background { level } else { self.background + GROWTH };
        let loud = level > (self.background + ABOVE_BACKGROUND).max(QUIETEST_VOICE);
        self.recent = (self.recent << 1 | u32::from(loud)) & ((1 << SPAN) - 1);
        loud
    }

    /// If voice has begun: how many frames ago its first loud frame was (1 is the last frame pushed).
    pub(super) fn onset(&self) -> Option<u32> {
        (self.recent.count_ones() >= LOUD).then(|| u32::BITS - self.recent.leading_zeros())
    }

    /// Forgets what was loud: it has been accounted for.
    pub(super) fn reset(&mut self) {
        self.recent = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_is_no_voice_and_a_vowel_is() {
        let mut vad = Vad::new();
        for level in [20.0, 70.0, 20.0, 20.0, 20.0, 20.0] {
            vad.push(level);
            assert_eq!(vad.onset(), None);
        }
        for level in [60.0, 60.0, 60.0] {
            vad.push(level);
        }
        assert_eq!(vad.onset(), Some(3));
    }

    #[test]
    fn a_steady_background_is_got_used_to() {
        let mut vad = Vad::new();
        let loud = (0..3_000).filter(|_| vad.push(50.0)).count();
        assert!((100..1_500).contains(&loud), "{loud}");
        assert!(vad.push(65.0));
    }
}
