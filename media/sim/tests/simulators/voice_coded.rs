//! What the coded voice says can be read from any recording of it: through G.711, from any point, cut anywhere, with pauses.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};
use trunkline_sim::{
    audio::{load_wav, mulaw_decode, mulaw_encode},
    voice::{CodedVoice, FALLBACK, coded, normalise},
};

const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz0123456789 .,?!'-:;…\"()/$%&+@#*=_€£";

fn random_text(rng: &mut StdRng) -> String {
    let alphabet: Vec<char> = ALPHABET.chars().collect();
    let mut text = String::new();
    for _ in 0..rng.random_range(1..40) {
        let ch = alphabet[rng.random_range(0..alphabet.len())];
        // Repeated characters are the hard case, so they are common here.
        for _ in 0..if rng.random_bool(0.2) { rng.random_range(2..5) } else { 1 } {
            text.push(ch);
        }
    }
    text
}

fn through_mulaw(samples: &[i16]) -> Vec<i16> {
    samples.iter().map(|sample| mulaw_decode(mulaw_encode(*sample))).collect()
}

fn padded(rng: &mut StdRng, samples: &[i16]) -> (usize, Vec<i16>) {
    let before = rng.random_range(0..3_000);
    let mut all = vec![0; before];
    all.extend_from_slice(samples);
    all.resize(all.len() + rng.random_range(0..3_000), 0);
    (before, all)
}

#[test]
fn random_texts_come_back_at_every_rate_from_any_offset() {
    let mut rng = StdRng::seed_from_u64(1);
    for round in 0..150 {
        let rate = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000][round % 6];
        let voice = CodedVoice::new(Duration::from_millis([40, 50, 60, 85][round % 4]));
        let text = random_text(&mut rng);
        let speech = voice.encode(&text, rate);
        let (before, recording) = padded(&mut rng, &speech.samples);
        let found = voice.decode(&recording, rate);
        assert_eq!(found.iter().map(|found| found.ch).collect::<String>(), text, "round {round} at {rate}");
        for (found, time) in found.iter().zip(&speech.chars) {
            let start = (found.start as f64 - before as f64) * 1_000.0 / f64::from(rate);
            let end = (found.end as f64 - before as f64) * 1_000.0 / f64::from(rate);
            assert!((start - f64::from(time.start_ms)).abs() < 4.0, "{start} for {time:?}");
            assert!((end - f64::from(time.start_ms + time.duration_ms)).abs() < 4.0, "{end} for {time:?}");
        }
    }
}

#[test]
fn telephone_sound_comes_back_also_when_faint_or_noisy() {
    let mut rng = StdRng::seed_from_u64(2);
    for round in 0..120 {
        let text = random_text(&mut rng);
        let gain = rng.random_range(0.06..1.5);
        let noise = rng.random_range(0.0..0.15) * 8_000.0 * gain;
        let (_, recording) = padded(&mut rng, &coded::encode(&text, 8_000));
        let recording: Vec<i16> = recording
            .iter()
            .map(|sample| (f64::from(*sample) * gain + rng.random_range(-1.0..=1.0) * noise) as i16)
            .collect();
        assert_eq!(CodedVoice::default().read(&through_mulaw(&recording), 8_000), text, "round {round}, gain {gain}");
    }
}

#[test]
fn a_cut_leaves_the_symbols_of_which_more_than_half_is_there() {
    let mut rng = StdRng::seed_from_u64(3);
    let voice = CodedVoice::default();
    for round in 0..150 {
        let text: Vec<char> = random_text(&mut rng).chars().collect();
        let samples = through_mulaw(&voice.encode(&text.iter().collect::<String>(), 8_000).samples);
        let symbol = samples.len() as f64 / text.len() as f64;
        let from = rng.random_range(0..samples.len());
        let to = rng.random_range(from..=samples.len());
        let read = voice.read(&samples[from..to], 8_000);
        // A symbol is expected by the share of it that is inside the cut; close to a half either is right.
        let (mut least, mut most) = (String::new(), String::new());
        let mut undecided = 0;
        for (index, ch) in text.iter().enumerate() {
            let (start, end) = (index as f64 * symbol, (index + 1) as f64 * symbol);
            let share = (end.min(to as f64) - start.max(from as f64)) / symbol;
            // Cut at both ends, the tone that is left of a symbol is shorter than its share.
            let both_ends = start < from as f64 && end > to as f64;
            if share > 0.56 && !both_ends {
                least.push(*ch);
                most.push(*ch);
            } else if share > 0.40 {
                most.push(*ch);
                undecided += 1;
            }
        }
        assert!(undecided <= 2);
        assert!(most.contains(&read) && read.contains(&least), "round {round}: {read:?} not {least:?} to {most:?}");
    }
}

#[test]
fn a_pause_costs_at_most_the_symbol_it_falls_into() {
    let mut rng = StdRng::seed_from_u64(4);
    let voice = CodedVoice::default();
    for round in 0..150 {
        let text: Vec<char> = random_text(&mut rng).chars().collect();
        let mut samples = through_mulaw(&voice.encode(&text.iter().collect::<String>(), 8_000).samples);
        let at = rng.random_range(0..samples.len());
        let hit = at * text.len() / samples.len();
        let pause = rng.random_range(80..8_000);
        samples.splice(at..at, std::iter::repeat_n(0, pause));
        let read = voice.read(&samples, 8_000);
        let whole: String = text.iter().collect();
        let without: String = text.iter().enumerate().filter(|(index, _)| *index != hit).map(|(_, ch)| ch).collect();
        assert!(read == whole || read == without, "round {round}: {read:?} of {whole:?}, paused in symbol {hit}");
    }
}

#[test]
fn sound_lost_in_the_middle_garbles_no_more_than_its_edges() {
    let mut rng = StdRng::seed_from_u64(5);
    let voice = CodedVoice::default();
    for round in 0..150 {
        let text = random_text(&mut rng);
        let mut samples = through_mulaw(&voice.encode(&text, 8_000).samples);
        let from = rng.random_range(0..samples.len());
        let to = rng.random_range(from..=samples.len());
        samples.drain(from..to);
        let read = voice.read(&samples, 8_000);
        let kept_before: String = text.chars().take(from / 400).collect();
        let kept_after: String = text.chars().skip(to.div_ceil(400)).collect();
        assert!(read.starts_with(&kept_before) && read.ends_with(&kept_after), "round {round}: {read:?} of {text:?}");
        assert!(read.chars().count() <= kept_before.chars().count() + kept_after.chars().count() + 2);
    }
}

#[test]
fn neither_silence_nor_noise_nor_a_single_tone_is_read_as_text() {
    let mut rng = StdRng::seed_from_u64(6);
    let noise: Vec<i16> = (0..80_000).map(|_| rng.random_range(-9_000..9_000)).collect();
    let tone: Vec<i16> =
        (0..80_000).map(|at| (f64::from(at) * 0.55).sin() * 9_000.0).map(|sample| sample as i16).collect();
    for recording in [vec![0; 80_000], noise, tone, Vec::new()] {
        assert_eq!(CodedVoice::default().read(&recording, 8_000), "");
    }
}

#[test]
fn people_are_not_read_as_text() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/audio/free");
    let mut heard = 0;
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "wav") {
            let clip = load_wav(&file).unwrap();
            assert_eq!(CodedVoice::default().read(&clip.samples, clip.rate), "", "{}", file.display());
            heard += 1;
        }
    }
    assert!(heard > 0);
}

#[test]
fn text_is_heard_as_its_normal_form() {
    let text = "Good morning, Zoë: “it’s” 9:30 …";
    let heard = CodedVoice::default().read(&coded::encode(text, 8_000), 8_000);
    assert_eq!(heard, normalise(text));
    assert!(heard.contains(FALLBACK));
}

#[test]
fn times_are_one_symbol_a_character() {
    let speech = CodedVoice::default().encode("Hi!", 16_000);
    assert_eq!(speech.samples.len(), 3 * 800);
    let times: Vec<_> = speech.chars.iter().map(|time| (time.ch, time.start_ms, time.duration_ms)).collect();
    assert_eq!(times, [('H', 0, 50), ('i', 50, 50), ('!', 100, 50)]);
}
