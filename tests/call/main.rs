//! `trunkline call` as somebody uses it who has only the program: what it says, what it leaves, how it ends.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

mod mistakes;
mod server;
mod simulators;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use self::server::{ACCOUNT, Behaviour, Server, TOKEN, tone};

/// No call here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A folder of this test's own.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("trunkline-call-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Somebody's second of speech, as it comes from a recorder: 16 kHz.
    fn speech(&self, name: &str) {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 16_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(self.0.join(name), spec).unwrap();
        for sample in tone(16_000, Duration::from_secs(1)) {
            writer.write_sample(sample).unwrap();
        }
        writer.finalize().unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the program did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The program, in a folder, without this shell's settings.
pub(crate) fn trunkline(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    for name in ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "EXTRA_CA_FILE"] {
        command.env_remove(name);
    }
    command.current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command
}

pub(crate) async fn call(folder: &Folder, arguments: &[&str]) -> Done {
    let output = trunkline(&folder.0)
        .arg("call")
        .args(["--account-sid", ACCOUNT, "--auth-token", TOKEN])
        .args(arguments)
        .output();
    let output = timeout(LIMIT, output).await.expect("the call comes to its end").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Fails unless these are in the text, in this order.
fn assert_in_order(text: &str, wanted: &[&str]) {
    let mut rest = text;
    for wanted in wanted {
        rest = rest.split_once(wanted).unwrap_or_else(|| panic!("{wanted:?} does not follow in:\n{text}")).1;
    }
}

/// The sides of a recording: for each, when sound begins and how long it lasts, in milliseconds.
fn sides(path: &Path) -> [(u64, u64); 2] {
    let mut wav = hound::WavReader::open(path).unwrap();
    let spec = wav.spec();
    assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (2, 8_000, 16));
    let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
    [0, 1].map(|side| {
        let frame_is_loud =
            |frame: &[i16]| frame.iter().skip(side).step_by(2).any(|sample| sample.unsigned_abs() > 1_000);
        let loud: Vec<_> = samples.chunks(320).map(frame_is_loud).collect();
        let first = loud.iter().position(|loud| *loud).unwrap_or(loud.len());
        (20 * first as u64, 20 * loud.iter().filter(|loud| **loud).count() as u64)
    })
}

#[tokio::test]
async fn a_call_is_told_recorded_and_ended() {
    let folder = Folder::new();
    folder.speech("question.wav");
    let server = Server::start(Behaviour::default()).await;
    let url = server.voice_url();
    let steps = ["--wait-agent=500ms", "--say", "question.wav", "--wait-agent=500ms", "--hang-up"];
    let done =
        call(&folder, &[&["--voice-webhook", &url, "--from", "+14155550123", "--out", "out.wav"], &steps[..]].concat())
            .await;
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{}", done.out);
    assert_in_order(
        &done.out,
        &[
            "has begun",
            "waits for the agent",
            "agent",
            "speaks",
            "will say question.wav",
            "caller",
            "speaks",
            "has hung up",
        ],
    );
    assert_in_order(&done.out, &["The stream lasted", "1.0 s of audio were played, 2 marks returned, 0 clears."]);
    assert_in_order(&done.out, &["Both sides of the call are in out.wav."]);

    // Left is the caller: a second, between the beeps of 600 and 400 ms.
    let [(caller_began, caller), (agent_began, agent)] = sides(&folder.0.join("out.wav"));
    assert!((980..=1_040).contains(&caller) && (980..=1_040).contains(&agent), "{caller} and {agent} ms");
    assert!(agent_began + 1_000 < caller_began, "the agent at {agent_began}, the caller at {caller_began}");

    // And the server was called as the carrier calls it.
    let heard = server.heard();
    let (form, signed) = heard.voice.clone().unwrap();
    assert!(signed && heard.stream_signed == Some(true), "the signatures are right");
    let field = |name: &str| form.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone()).unwrap();
    assert_eq!((field("From").as_str(), field("AccountSid").as_str()), ("+14155550123", ACCOUNT));
    assert_eq!(heard.start["customParameters"]["token"], "t1");
    assert_eq!(heard.start["callSid"], field("CallSid").as_str());
    let loud =
        heard.caller.chunks(160).filter(|frame| frame.iter().any(|sample| sample.unsigned_abs() > 1_000)).count();
    assert!((49..=52).contains(&loud), "{loud} frames of a second of speech");
    assert!(heard.stopped, "the server is told that the caller has hung up");
}

#[tokio::test]
async fn a_stream_can_be_opened_without_a_webhook() {
    let folder = Folder::new();
    let server = Server::start(Behaviour { closes_on: Some('#'), ..Behaviour::default() }).await;
    let script = r##"{ "steps": [{ "wait_agent": { "quiet_ms": 300 } }, { "dtmf": "4#" }, { "wait_end": {} }] }"##;
    fs::write(folder.0.join("keys.json"), script).unwrap();
    let url = server.stream_url();
    let done = call(
        &folder,
        &["--stream", &url, "--parameter", "token=abc", "--parameter", "node=n1", "--script", "keys.json"],
    )
    .await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_in_order(&done.out, &["will press 4#", "presses 4", "presses #", "the server has closed the stream"]);
    let heard = server.heard();
    assert_eq!(heard.start["customParameters"], serde_json::json!({ "token": "abc", "node": "n1" }));
    assert_eq!(heard.start["accountSid"], ACCOUNT);
    assert_eq!((heard.keys.as_str(), heard.stream_signed), ("4#", Some(true)));
    assert!(heard.voice.is_none());
}

#[tokio::test]
async fn a_caller_who_talks_over_the_agent_hears_it_stop() {
    let folder = Folder::new();
    fs::create_dir(folder.0.join("sounds")).unwrap();
    folder.speech("sounds/stop.wav");
    // Beside the script, as the script says.
    let script = r#"{ "steps": [{ "barge_in": { "say": "stop.wav", "after_ms": 1000 } }, "hang_up"] }"#;
    fs::write(folder.0.join("sounds/rude.json"), script).unwrap();
    let greeting = Duration::from_secs(8);
    let server = Server::start(Behaviour { greeting, stops_for_caller: true, ..Behaviour::default() }).await;
    let url = server.voice_url();
    let done = call(&folder, &["--voice-webhook", &url, "--script", "sounds/rude.json", "--out", "out.wav"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_in_order(&done.out, &["caller", "speaks", "ms that were not heard yet", "has hung up", "1 clears"]);
    let [(caller_began, _), (_, agent)] = sides(&folder.0.join("out.wav"));
    // The phone counts the agent's frames as they come, the recording as they are played.
    assert!(caller_began >= 900, "not before the agent has spoken for a second: {caller_began}");
    assert!((1_000..3_000).contains(&agent), "of eight seconds, {agent} ms were heard");
}
