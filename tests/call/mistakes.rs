//! What can be wrong with a call is said in words that help, and the program's code tells a script that it went wrong.

use std::fs;

use axum::http::StatusCode;

use crate::{
    Folder, call,
    server::{Behaviour, Server},
};

/// Runs a call that cannot take place, and checks what is said of it.
async fn fails(folder: &Folder, arguments: &[&str], why: &[&str]) {
    let done = call(folder, arguments).await;
    assert!(done.code.is_some_and(|code| code != 0), "{arguments:?} should fail: {done:?}");
    for why in why {
        assert!(done.err.contains(why), "{arguments:?} says nothing of {why:?}: {done:?}");
    }
    assert!(!done.err.contains("panicked"), "{}", done.err);
}

#[tokio::test]
async fn what_is_wrong_with_the_command_is_said_before_anybody_is_called() {
    let folder = Folder::new();
    let server = Server::start(Behaviour::default()).await;
    let url = server.voice_url();
    let to = ["--voice-webhook", url.as_str()];
    let write = |name: &str, text: &str| fs::write(folder.0.join(name), text).unwrap();
    write("not.wav", "not a sound");
    write("broken.json", r#"{ "steps": [ "#);
    write("unknown.json", r#"{ "steps": [{ "shout": "hello" }] }"#);
    write("key.json", r#"{ "steps": [{ "dtmf": "1x" }] }"#);
    write("nothing.json", r#"{ "steps": [{ "say": "nothing.wav" }] }"#);
    let cases: &[(&[&str], &[&str])] = &[
        (&["--say", "missing.wav"], &["missing.wav", "built-in recordings are", "goforward"]),
        (&["--say", "not.wav"], &["not.wav", "WAV"]),
        (&["--script", "missing.json"], &["cannot read the script missing.json"]),
        (&["--script", "broken.json"], &["broken.json is not valid", "line 1"]),
        (&["--script", "unknown.json"], &["unknown.json is not valid", "shout"]),
        (&["--script", "key.json"], &["'x' cannot be pressed"]),
        (&["--script", "nothing.json"], &["nothing.wav"]),
        (&["--dtmf", "12z"], &["'z' cannot be pressed"]),
        (&["--pause", "2"], &["no length of time"]),
        (&["--ca", "missing.pem", "--hang-up"], &["missing.pem"]),
        (&["--script", "key.json", "--say", "goforward"], &["cannot be used with"]),
        (&["--stream", "ws://127.0.0.1:9/", "--hang-up"], &["cannot be used with"]),
        (&["--parameter", "a=b", "--hang-up"], &["cannot be used with", "--parameter"]),
    ];
    for (arguments, why) in cases {
        fails(&folder, &[&to, *arguments].concat(), why).await;
    }
    fails(&folder, &["--hang-up"], &["--voice-webhook", "--stream"]).await;
    assert!(server.heard().voice.is_none(), "nobody was called");
}

#[tokio::test]
async fn a_server_that_takes_no_call_is_told_by_what_it_said() {
    let folder = Folder::new();
    let cases: [((StatusCode, &'static str), &[&str]); 5] = [
        ((StatusCode::FORBIDDEN, ""), &["403", "TWILIO_AUTH_TOKEN", "PUBLIC_URL"]),
        ((StatusCode::INTERNAL_SERVER_ERROR, "out of order"), &["500", "out of order"]),
        ((StatusCode::OK, r#"<Response><Reject reason="busy"/></Response>"#), &["rejection (busy)"]),
        ((StatusCode::OK, "<Response><Hangup/></Response>"), &["no media stream"]),
        ((StatusCode::OK, "hello"), &["no document"]),
    ];
    for (voice, why) in cases {
        let server = Server::start(Behaviour { voice: Some(voice), ..Behaviour::default() }).await;
        fails(&folder, &["--voice-webhook", &server.voice_url(), "--pause", "100ms", "--out", "out.wav"], why).await;
        assert!(!folder.0.join("out.wav").exists(), "nothing was heard, and nothing is written");
    }
}

#[tokio::test]
async fn a_stream_that_is_refused_is_told() {
    let folder = Folder::new();
    let server = Server::start(Behaviour { refuses_stream: true, ..Behaviour::default() }).await;
    fails(&folder, &["--stream", &server.stream_url(), "--pause", "100ms"], &["403", "signature"]).await;
    fails(&folder, &["--voice-webhook", &server.voice_url(), "--pause", "100ms"], &["403", "signature"]).await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let folder = Folder::new();
    let url = {
        let server = Server::start(Behaviour::default()).await;
        server.voice_url()
    };
    fails(&folder, &["--voice-webhook", &url, "--pause", "100ms"], &["cannot be reached", &url]).await;
    let stream = url.replace("http:", "ws:");
    fails(&folder, &["--stream", &stream, "--pause", "100ms"], &["could not be opened"]).await;
}

#[tokio::test]
async fn a_recording_that_cannot_be_written_is_told_after_the_call() {
    let folder = Folder::new();
    let server = Server::start(Behaviour::default()).await;
    let out = ["--out", "no/such/folder/out.wav"];
    let to = ["--voice-webhook", &server.voice_url(), "--wait-agent=300ms"];
    fails(&folder, &[&to[..], &out].concat(), &["no/such/folder/out.wav"]).await;
    assert!(server.heard().stopped, "the call took place");
}
