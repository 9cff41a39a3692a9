use std::time::Duration;

use super::*;
use crate::stt::{SttEvent as E, deepgram::wire::parse};

/// An assembler, and how far the caller's audio was sent. Samples are at 8 kHz: 8 a millisecond.
struct Session {
    assembler: Assembler,
    position: Samples,
}

impl Session {
    fn new(family: Family) -> Self {
        Self { assembler: Assembler::new(family, SampleRate::HZ_8000), position: Samples(0) }
    }

    /// The caller's audio from `at` on was sent.
    fn audio(&mut self, at: u64, ms: u64) -> &mut Self {
        self.assembler.sent_audio(Place { position: self.position, at: MediaTime::from_millis(at) }, Samples(ms * 8));
        self.position += Samples(ms * 8);
        self
    }

    fn hear(&mut self, json: &str) -> Vec<String> {
        let mut out = Vec::new();
        assert_eq!(self.assembler.handle(parse(json).unwrap(), &mut out), Verdict::Fine, "{json}");
        out.iter().map(show).collect()
    }

    fn acknowledged_ms(&self) -> u64 {
        self.assembler.acknowledged().0 / 8
    }
}

/// An event in one short line.
fn show(event: &E) -> String {
    let span = |name: &str, text: &trunkline_base::Personal<String>, start: &MediaTime, end: &MediaTime| {
        format!("{name} {:?} {}-{}", text.expose(), start.as_millis(), end.as_millis())
    };
    match event {
        E::SpeechStarted { at } => format!("started {}", at.as_millis()),
        E::Interim { text, start, end } => span("interim", text, start, end),
        E::Final { text, start, end } => span("final", text, start, end),
        E::EndpointHint { last_word_end } => format!("hint {:?}", last_word_end.map(MediaTime::as_millis)),
        E::EagerEndOfTurn { text, start, end } => span("eager", text, start, end),
        E::TurnResumed => "resumed".into(),
        E::EndOfTurn { text, start, end } => span("end", text, start, end),
        other => format!("{other:?}"),
    }
}

fn words(text: &str, from: f64) -> String {
    let word = |(n, word): (usize, &str)| {
        let start = from + n as f64 * 0.5;
        format!(r#"{{"word":"{word}","start":{start:.2},"end":{:.2}}}"#, start + 0.4)
    };
    text.split_whitespace().enumerate().map(word).collect::<Vec<_>>().join(",")
}

/// Nova's `Results` for `[start, end]`; a word takes 0.4 s of every 0.5 s from `start` on.
fn results(text: &str, start: f64, end: f64, flags: &str) -> String {
    let flag = |name: &str| flags.contains(name);
    format!(
        r#"{{"type":"Results","start":{start},"duration":{},"is_final":{},"speech_final":{},"from_finalize":{},
            "channel":{{"alternatives":[{{"transcript":"{text}","words":[{}]}}]}}}}"#,
        end - start,
        flag("is_final"),
        flag("speech_final"),
        flag("from_finalize"),
        words(text, start)
    )
}

/// Flux's `TurnInfo` for `[start, end]`, with words as for [`results`].
fn turn(event: &str, text: &str, start: f64, end: f64) -> String {
    format!(
        r#"{{"type":"TurnInfo","event":"{event}","audio_window_start":{start},"audio_window_end":{end},
            "transcript":"{text}","words":[{}]}}"#,
        words(text, start)
    )
}

#[test]
fn nova_interims_follow_finals_and_an_endpoint_ends_them() {
    let mut nova = Session::new(Family::Nova);
    nova.audio(10_000, 8_000);
    assert_eq!(nova.hear(r#"{"type":"SpeechStarted","timestamp":0.1}"#), ["started 10100"]);
    assert_eq!(nova.hear(&results("ask not", 0.0, 1.0, "")), [r#"interim "ask not" 10000-10900"#]);
    assert_eq!(nova.hear(&results("ask not", 0.0, 1.2, "")), [""; 0], "a repeated text is no news");
    assert_eq!(nova.hear(&results("ask not what", 0.0, 2.0, "is_final")), [r#"final "ask not what" 10000-11400"#]);
    assert_eq!(nova.acknowledged_ms(), 2_000);
    assert_eq!(nova.hear(&results("you can", 2.0, 3.0, "")), [r#"interim "you can" 12000-12900"#]);
    assert_eq!(
        nova.hear(&results("you can do", 2.0, 4.0, "is_final speech_final")),
        [r#"final "you can do" 12000-13400"#, "hint Some(13400)"]
    );
    assert_eq!(nova.hear(r#"{"type":"UtteranceEnd","last_word_end":3.4}"#), [""; 0], "the endpoint was told already");
}

#[test]
fn nova_utterance_end_is_the_backstop_of_a_missing_speech_final() {
    let mut nova = Session::new(Family::Nova);
    nova.audio(0, 9_000);
    nova.hear(&results("yes", 0.0, 1.0, "is_final"));
    nova.hear(&results("please", 3.0, 4.0, "is_final"));
    assert_eq!(nova.hear(r#"{"type":"UtteranceEnd","last_word_end":0.4}"#), [""; 0], "a later word was heard");
    assert_eq!(nova.hear(r#"{"type":"UtteranceEnd","last_word_end":-1}"#), [""; 0]);
    assert_eq!(nova.hear(r#"{"type":"UtteranceEnd","last_word_end":3.4}"#), ["hint Some(3400)"]);
    assert_eq!(nova.hear(r#"{"type":"UtteranceEnd","last_word_end":3.4}"#), [""; 0]);
}

#[test]
fn nova_empty_transcripts_acknowledge_audio_and_say_nothing() {
    let mut nova = Session::new(Family::Nova);
    nova.audio(0, 9_000);
    assert_eq!(nova.hear(&results("", 0.0, 1.0, "")), [""; 0]);
    assert_eq!(nova.hear(&results("", 0.0, 3.0, "is_final speech_final")), [""; 0]);
    assert_eq!(nova.acknowledged_ms(), 3_000);
    nova.hear(&results("yes", 3.0, 4.0, "is_final"));
    assert_eq!(nova.hear(&results("", 4.0, 4.2, "is_final speech_final")), ["hint Some(3400)"]);
}

#[test]
fn nova_answers_a_finalize_even_if_nothing_was_left() {
    let mut nova = Session::new(Family::Nova);
    nova.audio(0, 9_000);
    assert_eq!(nova.hear(&results("", 0.0, 1.0, "is_final speech_final from_finalize")), ["hint None"]);
    assert_eq!(
        nova.hear(&results("yes", 1.0, 2.0, "is_final speech_final from_finalize")),
        [r#"final "yes" 1000-1400"#, "hint Some(1400)"]
    );
}

#[test]
fn nova_audio_without_words_is_an_endpoint_when_the_connection_that_heard_them_is_gone() {
    let mut nova = Session::new(Family::Nova);
    nova.audio(0, 3_000);
    nova.hear(&results("yes", 0.0, 2.0, "is_final"));
    let begin = nova.assembler.restart(Place { position: Samples(16_000), at: MediaTime::from_millis(2_000) });
    assert_eq!(begin, Samples(16_000));
    nova.position = begin;
    nova.audio(2_000, 3_000);
    assert_eq!(nova.hear(&results("", 0.0, 3.0, "is_final")), ["hint Some(400)"]);
}

#[test]
fn nova_withholds_interims_of_replayed_audio_until_they_tell_more_than_is_known() {
    let mut nova = Session::new(Family::Nova);
    nova.audio(0, 3_000);
    assert_eq!(nova.hear(r#"{"type":"SpeechStarted","timestamp":0}"#), ["started 0"]);
    nova.hear(&results("one two three four five", 0.0, 2.5, ""));
    nova.assembler.restart(Place::default());
    nova.position = Samples(0);
    nova.audio(0, 4_000);
    assert_eq!(nova.hear(r#"{"type":"SpeechStarted","timestamp":0}"#), [""; 0]);
    assert_eq!(nova.hear(&results("one two", 0.0, 1.0, "")), [""; 0]);
    assert_eq!(
        nova.hear(&results("one two three four five six", 0.0, 3.0, "")),
        [r#"interim "one two three four five six" 0-2900"#]
    );
}

#[test]
fn flux_tells_a_turn_with_guesses() {
    let mut flux = Session::new(Family::Flux);
    flux.audio(5_000, 20_000);
    assert_eq!(flux.hear(r#"{"type":"Connected"}"#), [""; 0]);
    assert_eq!(flux.hear(&turn("Update", "", 0.0, 0.25)), [""; 0]);
    assert_eq!(flux.hear(&turn("StartOfTurn", "ask", 1.0, 1.5)), ["started 6000", r#"interim "ask" 6000-6400"#]);
    assert_eq!(flux.hear(&turn("Update", "ask", 1.0, 1.75)), [""; 0], "the text did not change");
    assert_eq!(flux.hear(&turn("Update", "ask not", 1.0, 2.0)), [r#"interim "ask not" 6000-6900"#]);
    assert_eq!(flux.hear(&turn("EagerEndOfTurn", "ask not", 1.0, 2.25)), [r#"eager "ask not" 6000-6900"#]);
    assert_eq!(flux.hear(&turn("TurnResumed", "ask not", 1.0, 2.5)), ["resumed"]);
    assert_eq!(flux.hear(&turn("Update", "ask not what", 1.0, 3.0)), [r#"interim "ask not what" 6000-7400"#]);
    assert_eq!(flux.hear(&turn("EagerEndOfTurn", "ask not what", 1.0, 3.25)), [r#"eager "ask not what" 6000-7400"#]);
    assert_eq!(flux.acknowledged_ms(), 0);
    assert_eq!(flux.hear(&turn("EndOfTurn", "ask not what", 1.0, 3.5)), [r#"end "ask not what" 6000-7400"#]);
    assert_eq!(flux.acknowledged_ms(), 3_500);
    assert_eq!(flux.hear(&turn("Update", "", 3.5, 9.0)), [""; 0]);
    assert_eq!(flux.acknowledged_ms(), 7_000, "outside a turn all but the last 2 s");
}

#[test]
fn flux_withdraws_a_guess_before_its_text_changes_even_if_the_vendor_does_not() {
    let mut flux = Session::new(Family::Flux);
    flux.audio(0, 9_000);
    flux.hear(&turn("Update", "yes", 0.0, 1.0));
    flux.hear(&turn("EagerEndOfTurn", "yes", 0.0, 1.0));
    assert_eq!(flux.hear(&turn("EndOfTurn", "yes please", 0.0, 2.0)), ["resumed", r#"end "yes please" 0-900"#]);
    assert_eq!(flux.hear(&turn("TurnResumed", "", 2.0, 2.5)), [""; 0], "nothing was guessed");
}

#[test]
fn flux_tells_a_turn_once_although_two_connections_heard_it() {
    let mut flux = Session::new(Family::Flux);
    flux.audio(0, 3_000);
    flux.hear(&turn("StartOfTurn", "one", 0.0, 0.5));
    flux.hear(&turn("Update", "one two three", 0.0, 1.5));
    assert_eq!(flux.hear(&turn("EagerEndOfTurn", "one two three", 0.0, 2.0)).len(), 1);
    flux.assembler.restart(Place::default());
    flux.position = Samples(0);
    flux.audio(0, 5_000);
    assert_eq!(flux.hear(&turn("StartOfTurn", "one", 0.0, 0.5)), [""; 0]);
    assert_eq!(flux.hear(&turn("Update", "one two", 0.0, 1.0)), [""; 0]);
    assert_eq!(flux.hear(&turn("EagerEndOfTurn", "one two three", 0.0, 2.0)), [""; 0], "the guess stands");
    assert_eq!(flux.hear(&turn("EndOfTurn", "one two three", 0.0, 2.5)), [r#"end "one two three" 0-1400"#]);
}

#[test]
fn flux_keeps_the_words_of_a_turn_that_is_longer_than_the_replay() {
    let mut flux = Session::new(Family::Flux);
    flux.audio(1_000, 4_000);
    flux.hear(&turn("StartOfTurn", "One, two three four five six", 0.0, 3.0));
    // The oldest audio that is kept begins within "three" (1.0 s to 1.4 s of the vendor's time).
    let front = Place { position: Samples(1_200 * 8), at: MediaTime::from_millis(2_200) };
    let begin = flux.assembler.restart(front);
    assert_eq!(begin, Samples(1_400 * 8), "no word is cut in two");
    flux.position = begin;
    flux.audio(2_400, 3_000);
    flux.hear(&turn("StartOfTurn", "four", 0.1, 0.5));
    assert_eq!(
        flux.hear(&turn("EndOfTurn", "four five six", 0.1, 2.5)),
        [r#"end "One, two three four five six" 1000-3900"#]
    );
}

#[test]
fn flux_ends_a_turn_that_the_next_connection_does_not_hear() {
    let mut flux = Session::new(Family::Flux);
    flux.audio(0, 3_000);
    flux.hear(&turn("StartOfTurn", "yes", 0.0, 1.0));
    flux.assembler.restart(Place::default());
    flux.position = Samples(0);
    flux.audio(0, 9_000);
    assert_eq!(flux.hear(&turn("Update", "", 0.0, 2.0)), [""; 0]);
    assert_eq!(flux.hear(&turn("Update", "", 0.0, 3.0)), [r#"end "yes" 0-400"#]);
    assert_eq!(flux.hear(&turn("Update", "", 0.0, 5.0)), [""; 0]);
}

#[test]
fn the_other_protocols_messages_and_complaints_are_odd_and_only_flux_errors_are_fatal() {
    let problem = |code: &str| Problem { code: code.into(), description: "x".into() };
    let verdict = |family, json: &str| {
        let mut out = Vec::new();
        let verdict = Assembler::new(family, SampleRate::HZ_8000).handle(parse(json).unwrap(), &mut out);
        assert!(out.is_empty());
        verdict
    };
    assert_eq!(verdict(Family::Nova, &turn("EndOfTurn", "x", 0.0, 1.0)), Verdict::Odd(Problem::default()));
    assert_eq!(verdict(Family::Flux, &results("x", 0.0, 1.0, "is_final")), Verdict::Odd(Problem::default()));
    assert_eq!(verdict(Family::Flux, r#"{"type":"Brand new"}"#), Verdict::Odd(Problem::default()));
    let nova = r#"{"type":"Error","variant":"SchemaError","description":"x"}"#;
    assert_eq!(verdict(Family::Nova, nova), Verdict::Odd(problem("SchemaError")));
    let flux = r#"{"type":"Error","code":"INACTIVE_CLIENT","description":"x"}"#;
    assert_eq!(verdict(Family::Flux, flux), Verdict::Fatal(problem("INACTIVE_CLIENT")));
}

#[test]
fn times_of_words_leave_out_what_was_sent_to_keep_the_socket_open() {
    for family in [Family::Nova, Family::Flux] {
        let mut session = Session::new(family);
        session.assembler.sent_silence(Samples(4_000 * 8));
        session.audio(20_000, 2_000);
        let heard = match family {
            Family::Nova => session.hear(&results("yes", 4.5, 5.5, "is_final")),
            Family::Flux => session.hear(&turn("EndOfTurn", "yes", 4.5, 5.5)),
        };
        assert!(heard[0].ends_with(r#""yes" 20500-20900"#), "{heard:?}");
        assert_eq!(session.acknowledged_ms(), 1_500);
        assert_eq!(Duration::from_millis(1_500), session.assembler.acknowledged().duration(SampleRate::HZ_8000));
    }
}
