//! Sample rate conversion of one mono stream.

use std::{fmt, time::Duration};

use rubato::{
    Async, FixedAsync, Indexing, Resampler as _, Resizable as _, SincInterpolationParameters, SincInterpolationType,
    WindowFunction, audioadapter_buffers::direct::InterleavedSlice,
};

use super::{FRAME, SampleRate, Samples};

/// Converts between 8, 16, 24 and 48 kHz, in chunks of any size.
///
/// A windowed sinc, band limited to the lower of the two rates: tones up to 0.85 of its half come through flat, what would alias is
/// more than 100 dB down. It needs to see [`Resampler::delay`] ahead, so output comes that much later than its input; its *position* is
/// kept, to half a sample: the nth that comes out belongs to the time n / rate after the first that went in, and after
/// [`Resampler::flush`] there are exactly as many as the input lasts. Equal rates pass unchanged and undelayed.
///
/// Nothing is allocated after construction as long as the caller's vector has room.
#[derive(Debug)]
pub struct Resampler {
    from: SampleRate,
    to: SampleRate,
    /// None if the rates are equal.
    sinc: Option<Box<Sinc>>,
}

impl Resampler {
    /// Between these rates.
    pub fn new(from: SampleRate, to: SampleRate) -> Self {
        Self { from, to, sinc: (from != to).then(|| Box::new(Sinc::new(from, to))) }
    }

    /// The rate that comes out.
    pub const fn to(&self) -> SampleRate {
        self.to
    }

    /// Converts a chunk of any size and appends what is ready to `output`.
    pub fn process(&mut self, input: &[i16], output: &mut Vec<i16>) {
        match &mut self.sinc {
            None => output.extend_from_slice(input),
            Some(sinc) => {
                for chunk in input.chunks(sinc.input.len()) {
                    sinc.feed(chunk, output);
                }
            }
        }
    }

    /// Ends the stream: appends what the filter still holds, and forgets all.
    pub fn flush(&mut self, output: &mut Vec<i16>) {
        let Some(sinc) = &mut self.sinc else { return };
        // As many as the input lasts, rounded up: the last input sample has its place.
        let (from, to) = (u64::from(self.from.hz()), u64::from(self.to.hz()));
        let missing = (sinc.consumed * to).div_ceil(from).saturating_sub(sinc.produced);
        let end = output.len() + missing as usize;
        while output.len() < end {
            sinc.feed_silence(output);
        }
        output.truncate(end);
        sinc.reset();
    }

    /// Forgets what the filter holds: for when the stream is cut, so that the next one doesn't begin with its tail.
    pub fn reset(&mut self) {
        if let Some(sinc) = &mut self.sinc {
            sinc.reset();
        }
    }

    /// How long what went in lasts that has not come out yet: so much before the next input is where the next output belongs.
    pub fn withheld(&self) -> Duration {
        self.sinc.as_ref().map_or(Duration::ZERO, |sinc| {
            Samples(sinc.consumed).duration(self.from).saturating_sub(Samples(sinc.produced).duration(self.to))
        })
    }

    /// How much later output comes than its input, in samples of the output.
    pub fn delay(&self) -> Samples {
        Samples(self.sinc.as_ref().map_or(0, |sinc| sinc.delay as u64))
    }
}

struct Sinc {
    inner: Async<f32>,
    /// One chunk of input at the most.
    input: Vec<f32>,
    output: Vec<f32>,
    /// The filter's delay, in samples of the output.
    delay: usize,
    /// How many of the first samples are still to be dropped, because they lie before the stream.
    early: usize,
    consumed: u64,
    produced: u64,
}

impl Sinc {
    /// Zero crossings of the sinc, counted at the lower rate. 64 make 4 ms of delay at 8 kHz.
    const LENGTH: usize = 64;
    /// All ratios of the four rates are multiples of a sixth, so the nearest of six phases is the exact one.
    const PHASES: usize = 6;
    /// Of half the lower rate.
    const CUTOFF: f32 = 0.91;

    fn new(from: SampleRate, to: SampleRate) -> Self {
        let chunk = from.samples_in(FRAME).0 as usize;
        // The length counts input samples: towards a lower rate the same filter needs more of them.
        let sinc_len = (Self::LENGTH * from.hz() as usize / to.hz() as usize).max(Self::LENGTH);
        let parameters = SincInterpolationParameters {
            sinc_len,
            f_cutoff: Some(Self::CUTOFF),
            oversampling_factor: Self::PHASES,
            interpolation: SincInterpolationType::Nearest,
            window: WindowFunction::BlackmanHarris,
        };
        let ratio = f64::from(to.hz()) / f64::from(from.hz());
        let inner = Async::new_sinc(ratio, 1.0, &parameters, chunk, 1, FixedAsync::Input)
            .expect("the ratio is positive and the chunk not empty");
        let output = vec![0.0; inner.output_frames_max()];
        // Half the filter, less the one output sample and the one phase by which rubato begins early.
        let delay = (sinc_len as f64 / 2.0 - 1.0 / Self::PHASES as f64) * ratio - 1.0;
        let delay = delay.round() as usize;
        Self { inner, input: vec![0.0; chunk], output, delay, early: delay, consumed: 0, produced: 0 }
    }

    fn feed(&mut self, chunk: &[i16], output: &mut Vec<i16>) {
        for (to, &from) in self.input.iter_mut().zip(chunk) {
            *to = f32::from(from);
        }
        self.consumed += chunk.len() as u64;
        self.run(chunk.len(), None, output);
    }

    /// A chunk of silence that isn't part of the stream.
    fn feed_silence(&mut self, output: &mut Vec<i16>) {
        self.run(self.input.len(), Some(&Indexing::new().partial_len(0)), output);
    }

    fn run(&mut self, chunk: usize, indexing: Option<&Indexing>, output: &mut Vec<i16>) {
        const FITS: &str = "the buffers are as large as the resampler wants them";
        self.inner.set_chunk_size(chunk).expect("a chunk is neither empty nor larger than the first");
        let input = InterleavedSlice::new(&self.input, 1, self.input.len()).expect(FITS);
        let room = self.output.len();
        let mut converted = InterleavedSlice::new_mut(&mut self.output, 1, room).expect(FITS);
        let (_, count) = self.inner.process_into_buffer(&input, &mut converted, indexing).expect(FITS);
        let early = self.early.min(count);
        self.early -= early;
        self.produced += (count - early) as u64;
        // A float beyond an i16's range becomes its nearest.
        output.extend(self.output[early..count].iter().map(|sample| sample.round() as i16));
    }

    fn reset(&mut self) {
        self.inner.reset();
        self.early = self.delay;
        self.consumed = 0;
        self.produced = 0;
    }
}

impl fmt::Debug for Sinc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sinc")
            .field("delay", &self.delay)
            .field("consumed", &self.consumed)
            .field("produced", &self.produced)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    const RATES: [SampleRate; 4] =
        [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_24000, SampleRate::HZ_48000];

    fn pairs() -> impl Iterator<Item = (SampleRate, SampleRate)> {
        RATES.into_iter().flat_map(|from| RATES.into_iter().map(move |to| (from, to))).filter(|(from, to)| from != to)
    }

    const AMPLITUDE: f64 = 10_000.0;

    /// Half a second.
    fn tone(hz: f64, rate: SampleRate) -> Vec<i16> {
        let step = TAU * hz / f64::from(rate.hz());
        (0..rate.hz() / 2).map(|n| ((step * f64::from(n)).sin() * AMPLITUDE).round() as i16).collect()
    }

    fn convert(resampler: &mut Resampler, input: &[i16], chunk: usize) -> Vec<i16> {
        let mut output = Vec::new();
        for chunk in input.chunks(chunk) {
            resampler.process(chunk, &mut output);
        }
        resampler.flush(&mut output);
        output
    }

    /// Amplitude and phase of the tone in the middle of `samples`, and the root mean square of what else there is.
    fn measure(samples: &[i16], hz: f64, rate: SampleRate) -> (f64, f64, f64) {
        let step = TAU * hz / f64::from(rate.hz());
        // A fifth to four fifths of half a second: whole periods of every multiple of 10 Hz.
        let middle = samples.len() / 5..samples.len() * 4 / 5;
        let n = middle.len() as f64;
        let (mut sine, mut cosine) = (0.0, 0.0);
        for i in middle.clone() {
            let (s, c) = (step * i as f64).sin_cos();
            sine += f64::from(samples[i]) * s * 2.0 / n;
            cosine += f64::from(samples[i]) * c * 2.0 / n;
        }
        let rest: f64 = middle
            .map(|i| {
                let (s, c) = (step * i as f64).sin_cos();
                (f64::from(samples[i]) - sine * s - cosine * c).powi(2)
            })
            .sum();
        (sine.hypot(cosine), cosine.atan2(sine), (rest / n).sqrt())
    }

    #[test]
    fn tones_pass_clean_level_and_in_place() {
        for (from, to) in pairs() {
            let half = f64::from(from.hz().min(to.hz())) / 2.0;
            for share in [0.05, 0.25, 0.5, 0.8, 0.85] {
                let hz = (half * share / 10.0).round() * 10.0;
                let output = convert(&mut Resampler::new(from, to), &tone(hz, from), 160);
                let (amplitude, phase, rest) = measure(&output, hz, to);
                let case = format!("{hz} Hz, {from:?} to {to:?}: {amplitude:.1}, {phase:.4}, {rest:.2}");
                let gain = 20.0 * (amplitude / AMPLITUDE).log10();
                assert!(gain.abs() < 0.5, "{case}");
                // Rounding to 16 bits, twice, leaves 0.4.
                assert!(rest < 0.8, "{case}");
                let shift = phase / (TAU * hz) * f64::from(to.hz());
                assert!(shift.abs() <= 0.51, "{shift} samples: {case}");
            }
        }
    }

    #[test]
    fn what_would_alias_is_gone() {
        for (from, to) in pairs().filter(|(from, to)| from > to) {
            let half = f64::from(to.hz()) / 2.0;
            for share in [1.1, 1.3, 1.6, 1.9] {
                let hz = half * share;
                if hz >= f64::from(from.hz()) / 2.0 {
                    continue;
                }
                let output = convert(&mut Resampler::new(from, to), &tone(hz, from), 480);
                let middle = &output[output.len() / 4..output.len() * 3 / 4];
                let loudest = middle.iter().map(|sample| sample.abs()).max().unwrap();
                assert!(loudest <= 1, "{loudest} of 10000 at {hz} Hz, {from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn chunks_make_no_difference() {
        let mut rng = StdRng::seed_from_u64(8);
        let input: Vec<i16> = (0..5000).map(|_| rng.random_range(-20_000..20_000)).collect();
        for (from, to) in pairs() {
            let expected = convert(&mut Resampler::new(from, to), &input, 480);
            for chunk in [1, 7, 160, 961, 5000] {
                let output = convert(&mut Resampler::new(from, to), &input, chunk);
                assert_eq!(output.len(), expected.len());
                let worst = output.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                assert!(worst <= 1, "chunks of {chunk}, {from:?} to {to:?}: {worst}");
            }
        }
    }

    #[test]
    fn a_long_stream_has_exactly_the_samples_that_it_lasts() {
        for (from, to) in pairs() {
            let mut resampler = Resampler::new(from, to);
            let frame = vec![100; from.samples_in(FRAME).0 as usize];
            let mut output = Vec::with_capacity(2000);
            let (mut total, mut most) = (0, 0);
            for _ in 0..10_000 {
                resampler.process(&frame, &mut output);
                total += output.len();
                most = most.max(output.capacity());
                output.clear();
            }
            let expected = 200 * to.hz() as usize;
            let late = expected - total;
            let delay = resampler.delay().0 as usize;
            assert!((delay..=delay + 3 * to.hz().div_ceil(from.hz()) as usize).contains(&late), "{late} of {delay}");
            resampler.flush(&mut output);
            assert_eq!(total + output.len(), expected, "{from:?} to {to:?}");
            assert_eq!(most, 2000, "the vector grew");
        }
    }

    #[test]
    fn the_delay_is_four_milliseconds_of_the_lower_rate_at_the_most() {
        for (from, to) in pairs() {
            let delay = Resampler::new(from, to).delay().duration(to);
            assert!(delay.as_micros() <= 4000 * 8000 / u128::from(from.hz().min(to.hz())), "{delay:?}");
        }
    }

    #[test]
    fn equal_rates_pass_unchanged() {
        let mut resampler = Resampler::new(SampleRate::HZ_8000, SampleRate::HZ_8000);
        assert_eq!(convert(&mut resampler, &[1, -2, i16::MIN], 2), [1, -2, i16::MIN]);
        assert_eq!(resampler.delay(), Samples(0));
    }

    #[test]
    fn full_scale_does_not_wrap() {
        let square: Vec<i16> = (0..800).map(|n| if n / 20 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        let output = convert(&mut Resampler::new(SampleRate::HZ_8000, SampleRate::HZ_16000), &square, 160);
        // The filter overshoots at the edges; between them the sign is the input's.
        for (n, sample) in output.iter().enumerate().filter(|(n, _)| (8..32).contains(&(n % 40))) {
            assert_eq!(*sample > 0, n / 40 % 2 == 0, "sample {n}");
        }
    }

    /// Trap: the resampler's filter tail leaks the old reply.
    #[test]
    fn reset_leaves_no_tail() {
        for (from, to) in pairs() {
            let mut resampler = Resampler::new(from, to);
            let mut output = Vec::new();
            resampler.process(&[20_000; 1000], &mut output);
            resampler.reset();
            let silence = convert(&mut resampler, &[0; 2000], 160);
            assert!(silence.iter().all(|&sample| sample == 0), "{from:?} to {to:?}");
            assert_eq!(silence.len() as u64, (2000 * u64::from(to.hz())).div_ceil(u64::from(from.hz())));
        }
    }
}
