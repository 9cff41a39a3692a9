use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::audio::{mulaw_decode, mulaw_encode};

use super::*;

fn library() -> Arc<Library> {
    Arc::new(Library::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/audio")).unwrap())
}

fn silence(seconds: f64) -> Vec<i16> {
    vec![0; (seconds * 8_000.0) as usize]
}

/// The sound as a telephone line delivers it: quieter or louder, with hiss, through µ-law.
fn line(samples: &[i16], gain: f64, hiss_rms: f64, seed: u64) -> Vec<i16> {
    let mut rng = StdRng::seed_from_u64(seed);
    let send = |&sample: &i16| {
        let hiss: f64 = (0..3).map(|_| rng.random_range(-1.0..1.0)).sum();
        mulaw_decode(mulaw_encode((f64::from(sample) * gain + hiss * hiss_rms) as i16))
    };
    samples.iter().map(send).collect()
}

/// Noise that comes and goes like syllables.
fn babble(seconds: f64, seed: u64) -> Vec<i16> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut samples = Vec::new();
    let (mut low, mut target, mut level) = (0.0, 0.0, 0.0);
    while samples.len() < (seconds * 8_000.0) as usize {
        if samples.len() % 640 == 0 {
            target = if rng.random_bool(0.25) { 30.0 } else { rng.random_range(300.0..6_000.0) };
        }
        level += (target - level) * 0.004;
        low += (rng.random_range(-1.0..1.0) - low) * 0.4;
        samples.push((low * level * 2.0) as i16);
    }
    samples
}

struct Heard {
    words: Vec<Word>,
    unrecognised: u64,
}

impl Heard {
    fn text(&self) -> String {
        let texts: Vec<&str> = self.words.iter().map(|word| &*word.text).collect();
        texts.join(" ")
    }
}

fn hear(library: &Arc<Library>, samples: &[i16]) -> Heard {
    let mut recogniser = Recogniser::new(library.clone());
    let mut words = Vec::new();
    for chunk in samples.chunks(160) {
        recogniser.push(chunk);
        while let Some(word) = recogniser.poll_word() {
            assert!(word.end_s <= recogniser.now_s() + 0.011, "{word:?} at {}", recogniser.now_s());
            words.push(word);
        }
    }
    recogniser.flush();
    words.extend(std::iter::from_fn(|| recogniser.poll_word()));
    Heard { words, unrecognised: recogniser.unrecognised() }
}

#[test]
fn every_recording_is_heard_at_any_phase_and_gain_through_mulaw_and_hiss() {
    let library = library();
    for recording in library.recordings() {
        for (lead, gain, hiss) in [
            (0, 1.0, 0.0),
            (4_000, 1.0, 10.0),
            (4_013, 0.5, 20.0),
            (1_627, 0.25, 20.0),
            (12_039, 2.0, 10.0),
            (20_050, 1.0, 50.0),
            (799, 0.7, 40.0),
        ] {
            let mut samples = vec![0; lead];
            samples.extend(recording.samples());
            samples.extend(silence(1.0));
            let heard = hear(&library, &line(&samples, gain, hiss, lead as u64));
            assert_eq!(heard.text(), recording.transcript(), "{} {lead} {gain} {hiss}", recording.name());
            assert_eq!(heard.unrecognised, 0);
            for (word, (_, start, end)) in heard.words.iter().zip(recording.words()) {
                let lead = lead as f64 / 8_000.0;
                assert!((word.start_s - lead - start).abs() < 0.02, "{word:?} {start}");
                assert!((word.end_s - lead - end).abs() < 0.02, "{word:?} {end}");
                assert!(word.confidence > 0.9);
            }
        }
    }
}

#[test]
fn the_first_word_is_known_soon_after_it_was_said() {
    let library = library();
    for recording in library.recordings() {
        let mut recogniser = Recogniser::new(library.clone());
        recogniser.push(&silence(0.5));
        let (_, start, end) = recording.words().next().unwrap();
        for chunk in recording.samples().chunks(80) {
            recogniser.push(chunk);
            if let Some(word) = recogniser.poll_word() {
                let due = (0.5 + start + 0.7).max(0.5 + end + 0.1);
                assert!(recogniser.now_s() <= due, "{} {word:?} at {}", recording.name(), recogniser.now_s());
                break;
            }
        }
    }
}

#[test]
fn a_pause_inside_a_recording_keeps_it() {
    let library = library();
    let jfk = library.get("jfk").unwrap();
    let mut recogniser = Recogniser::new(library.clone());
    let mut pauses = Vec::new();
    let mut said = 0;
    for chunk in jfk.samples().chunks(80) {
        recogniser.push(chunk);
        said += std::iter::from_fn(|| recogniser.poll_word()).count();
        let activity = recogniser.activity();
        let silent = recogniser.now_s() - activity.last_voice_s.unwrap_or(f64::MAX);
        if !activity.speaking && (silent - 0.4).abs() < 0.004 {
            assert_eq!(activity.words_remain, said < 22, "after {said} words");
            pauses.push(said);
        }
    }
    // … americans | ask not | what your country can do for you | ask … country
    assert_eq!(pauses, [5, 7, 14, 22]);
}

#[test]
fn recordings_follow_each_other_and_repeat() {
    let library = library();
    for (gap, order) in [(0.6, [0, 1, 2, 3, 5, 8]), (0.1, [6, 6, 7, 5, 1, 0]), (0.0, [3, 2, 2, 0, 8, 3])] {
        let clips: Vec<&Recording> = order.iter().map(|&index| &library.recordings()[index]).collect();
        let mut samples = silence(0.3);
        for clip in &clips {
            samples.extend(clip.samples());
            samples.extend(silence(gap));
        }
        let wanted: Vec<&str> = clips.iter().map(|clip| clip.transcript()).collect();
        assert_eq!(hear(&library, &line(&samples, 1.0, 10.0, 7)).text(), wanted.join(" "), "gap {gap}");
    }
}

#[test]
fn a_recording_that_is_cut_yields_what_was_heard() {
    let library = library();
    let jfk = library.get("jfk").unwrap();
    let mut samples = jfk.samples()[..(1.6 * 8_000.0) as usize].to_vec();
    samples.extend(silence(1.5));
    samples.extend(library.get("goforward").unwrap().samples());
    let heard = hear(&library, &line(&samples, 1.0, 5.0, 3));
    assert_eq!(heard.text(), "and so my fellow go forward ten meters");
    assert_eq!(heard.unrecognised, 0);
}

#[test]
fn lost_audio_loses_only_the_words_it_held() {
    let library = library();
    let jfk = library.get("jfk").unwrap();
    let (gone_from, gone_to) = ((5.9 * 8_000.0) as usize, (6.9 * 8_000.0) as usize);
    let samples = [&jfk.samples()[..gone_from], &jfk.samples()[gone_to..]].concat();
    let text = hear(&library, &line(&samples, 1.0, 5.0, 3)).text();
    assert!(text.starts_with("and so my fellow americans ask not what your"), "{text}");
    assert!(text.ends_with("you ask what you can do for your country"), "{text}");
    assert!(!text.contains("your country can do"), "{text}");
}

#[test]
fn lost_packets_lose_nothing() {
    let library = library();
    for recording in library.recordings() {
        let mut samples = recording.samples().to_vec();
        for packet in samples.chunks_mut(160).skip(40).step_by(37) {
            packet.fill(0);
        }
        assert_eq!(hear(&library, &samples).text(), recording.transcript());
    }
}

#[test]
fn a_replay_from_the_middle_is_found() {
    let library = library();
    for recording in library.recordings().iter().filter(|recording| recording.seconds() > 2.4) {
        for from in [0.9, 1.2, 1.51] {
            let samples = &recording.samples()[(from * 8_000.0) as usize..];
            let heard = hear(&library, &line(samples, 1.0, 5.0, 5));
            let wanted: Vec<&str> = recording
                .words()
                .filter(|(_, start, end)| start + end >= 2.0 * from - 0.1)
                .map(|(text, ..)| text)
                .collect();
            assert_eq!(heard.text(), wanted.join(" "), "{} from {from}", recording.name());
            assert_eq!(heard.unrecognised, 0);
        }
    }
}

#[test]
fn what_is_in_no_recording_is_unrecognised() {
    let library = library();
    for seed in 0..60 {
        let mut samples = silence(0.4);
        samples.extend(babble(2.5, seed));
        samples.extend(silence(1.0));
        let heard = hear(&library, &line(&samples, 1.0, 10.0, seed));
        assert!(heard.unrecognised >= 1, "seed {seed}");
        assert!(heard.words.iter().all(|word| &*word.text == UNRECOGNISED), "seed {seed}: {}", heard.text());
        assert_eq!(heard.words.len() as u64, heard.unrecognised);
    }
}

#[test]
fn a_recording_that_is_not_in_the_library_is_unrecognised() {
    let everything = library();
    for missing in 0..everything.recordings().len() {
        let known =
            everything.recordings().iter().enumerate().filter(|(index, _)| *index != missing).map(|(_, clip)| {
                (clip.name(), clip.transcript(), crate::audio::Clip { samples: clip.samples().to_vec(), rate: 8_000 })
            });
        let library = Arc::new(Library::from_clips(known).unwrap());
        let stranger = &everything.recordings()[missing];
        let mut samples = stranger.samples().to_vec();
        samples.extend(silence(0.6));
        let heard = hear(&library, &line(&samples, 1.0, 10.0, 1));
        assert!(heard.unrecognised >= 1);
        assert!(heard.words.iter().all(|word| &*word.text == UNRECOGNISED), "{}: {}", stranger.name(), heard.text());
    }
}

#[test]
fn tones_and_noise_are_unrecognised_and_silence_is_nothing() {
    let library = library();
    let tone: Vec<i16> = (0..12_000).map(|n| ((f64::from(n) * 0.35).sin() * 8_000.0) as i16).collect();
    let mut rng = StdRng::seed_from_u64(9);
    let noise: Vec<i16> = (0..12_000).map(|_| rng.random_range(-6_000..6_000)).collect();
    for sound in [tone, noise] {
        let samples = [silence(0.5), sound, silence(1.0)].concat();
        let heard = hear(&library, &samples);
        assert_eq!(heard.text(), UNRECOGNISED);
        let word = &heard.words[0];
        assert!((word.start_s - 0.5).abs() < 0.05 && (word.end_s - 2.0).abs() < 0.05, "{word:?}");
    }
    let heard = hear(&library, &line(&silence(20.0), 1.0, 40.0, 2));
    assert_eq!((heard.text().as_str(), heard.unrecognised), ("", 0));
}

#[test]
fn flushing_settles_a_word_that_was_mostly_said() {
    let library = library();
    let clip = library.get("goforward").unwrap();
    let (_, start, end) = clip.words().nth(1).unwrap();
    let mut recogniser = Recogniser::new(library.clone());
    recogniser.push(&clip.samples()[..((start + (end - start) * 0.8) * 8_000.0) as usize]);
    assert_eq!(
        std::iter::from_fn(|| recogniser.poll_word()).map(|word| word.text.to_string()).collect::<Vec<_>>(),
        ["go"]
    );
    recogniser.flush();
    assert_eq!(&*recogniser.poll_word().unwrap().text, "forward");
    recogniser.push(&clip.samples()[((start + (end - start) * 0.8) * 8_000.0) as usize..]);
    assert_eq!(
        std::iter::from_fn(|| recogniser.poll_word()).map(|word| word.text.to_string()).collect::<Vec<_>>(),
        ["ten", "meters"]
    );
}

#[test]
fn a_missing_manifest_is_an_error() {
    assert!(matches!(Library::load("/nowhere"), Err(LibraryError::Manifest { .. })));
}
