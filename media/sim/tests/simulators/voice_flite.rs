//! Flite speaks at the asked rate, with a time for each character; without it, the error says what to install.

use trunkline_sim::voice::{FliteModel, FliteVoice, Voice, VoiceError};

#[tokio::test]
async fn a_missing_program_says_what_to_install() {
    let voice = Voice::Flite(FliteVoice::with_program("/nonexistent/flite", FliteModel::Slt));
    let error = voice.speak("Hello", 8_000).await.unwrap_err();
    assert!(matches!(error, VoiceError::FliteMissing));
    assert!(error.to_string().contains("apt-get install flite"));
}

#[tokio::test]
async fn a_failing_program_is_an_error() {
    let voice = FliteVoice::with_program("false", FliteModel::Slt);
    assert!(matches!(voice.speak("Hello", 8_000).await, Err(VoiceError::Flite(_))));
}

#[tokio::test]
async fn text_is_spoken_at_every_rate() {
    let text = "Hello there. It is ten thirty, isn't it?";
    for model in [FliteModel::Slt, FliteModel::Kal] {
        let voice = FliteVoice::new(model);
        for rate in [8_000, 16_000, 22_050, 44_100] {
            let speech = match voice.speak(text, rate).await {
                // Not every machine that builds this has the program.
                Err(VoiceError::FliteMissing) => return println!("not tried: there is no flite here"),
                spoken => spoken.unwrap(),
            };
            let seconds = speech.samples.len() as f64 / f64::from(rate);
            assert!((1.5..6.0).contains(&seconds), "{seconds} s");
            let loudest = speech.samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
            assert!(loudest > 3_000, "{loudest}");
            assert_eq!(speech.chars.iter().map(|time| time.ch).collect::<String>(), text);
            for pair in speech.chars.windows(2) {
                assert!(pair[0].start_ms + pair[0].duration_ms <= pair[1].start_ms + 1, "{pair:?}");
            }
            let last = speech.chars.last().unwrap();
            assert!(f64::from(last.start_ms + last.duration_ms) <= seconds * 1_000.0);
            assert_eq!(voice.speak(text, rate).await.unwrap(), speech);
        }
    }
}
