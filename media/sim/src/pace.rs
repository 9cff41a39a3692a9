//! Delays that vary a little, the same way for the same seed.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};

/// Spreads delays around their nominal length.
#[derive(Debug)]
pub(crate) struct Pace {
    rng: StdRng,
    jitter: f64,
}

impl Pace {
    /// Delays of up to `jitter` (a share, 0 to 1) more or less. `stream` sets apart the connections of one seed.
    pub(crate) fn new(seed: u64, stream: u64, jitter: f64) -> Self {
        let seed = seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { rng: StdRng::seed_from_u64(seed), jitter: jitter.clamp(0.0, 1.0) }
    }

    /// A delay of about `nominal`.
    pub(crate) fn delay(&mut self, nominal: Duration) -> Duration {
        if self.jitter == 0.0 {
            nominal
        } else {
            nominal.mul_f64(1.0 + self.rng.random_range(-self.jitter..=self.jitter))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_delays() {
        let delays = |stream| {
            let mut pace = Pace::new(5, stream, 0.2);
            (0..20).map(|_| pace.delay(Duration::from_millis(100))).collect::<Vec<_>>()
        };
        assert_eq!(delays(1), delays(1));
        assert_ne!(delays(1), delays(2));
        assert!(delays(1).iter().all(|delay| (80..=120).contains(&delay.as_millis())));
    }
}
