//! The last seconds of sound, a contiguous slice a band.

use super::features::BANDS;

/// Frames that can always be looked back at: 4 s.
pub(super) const KEPT: usize = 400;

/// A bounded record of frames, addressed by their number since the beginning.
#[derive(Debug, Default)]
pub(super) struct History {
    bands: [Vec<f32>; BANDS],
    first: u64,
}

impl History {
    pub(super) fn push(&mut self, frame: [f32; BANDS]) {
        if self.bands[0].len() == 2 * KEPT {
            for band in &mut self.bands {
                band.drain(..KEPT);
            }
            self.first += KEPT as u64;
        }
        for (band, value) in self.bands.iter_mut().zip(frame) {
            band.push(value);
        }
    }

    /// Frames `from..to`, or as much of their beginning as is no longer kept left out.
    pub(super) fn window(&self, from: u64, to: u64) -> [&[f32]; BANDS] {
        let index = |frame: u64| (frame.saturating_sub(self.first) as usize).min(self.bands[0].len());
        let (from, to) = (index(from), index(to));
        std::array::from_fn(|band| &self.bands[band][from.min(to)..to])
    }

    /// One frame, if it is still kept.
    pub(super) fn frame(&self, at: u64) -> Option<[f32; BANDS]> {
        let index = usize::try_from(at.checked_sub(self.first)?).ok()?;
        (index < self.bands[0].len()).then(|| std::array::from_fn(|band| self.bands[band][index]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_frames_go_and_numbers_stay() {
        let mut history = History::default();
        for number in 0..1_000u16 {
            history.push([f32::from(number); BANDS]);
        }
        assert_eq!(history.frame(999), Some([999.0; BANDS]));
        assert_eq!(history.frame(600), Some([600.0; BANDS]));
        assert_eq!(history.frame(100), None);
        assert_eq!(history.frame(1_000), None);
        assert_eq!(history.window(990, 993)[2], [990.0, 991.0, 992.0]);
        assert!(history.bands[0].len() <= 2 * KEPT);
    }
}
