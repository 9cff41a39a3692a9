//! What was heard can be heard again: through the API, whatever the store does meanwhile, until it is erased.

use std::{net::SocketAddr, time::Instant};

use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};
use trunkline::config::Objects;
use trunkline_base::Secret;
use trunkline_sim::{
    audio::mulaw_encode,
    deepgram::CallbackTiming,
    s3::{S3Config, S3Sim},
    twilio::phone::Step,
};

use crate::{
    hearing::{self, words},
    process::{Process, To},
    raw::form,
    world::{ACCOUNT, ANSWER, GREETING, LIMIT, Scene, World, clip, id_of, ms, open_shop, report, ring, transcript},
};

fn recorded() -> Scene {
    Scene::default().agent("/call_config/recording/enabled", json!(true))
}

impl World {
    pub(crate) async fn recording(&self, method: Method, id: &str, headers: &[(header::HeaderName, &str)]) -> Response {
        let url = format!("{}/v1/conversations/{id}/recording", self.url);
        let mut request = self.http.request(method, url).bearer_auth(self.api.token().expose());
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        request.send().await.unwrap()
    }

    /// A call in which either side says something.
    async fn recorded_call(&self) -> String {
        let finish = || Step::WaitForAgentToFinish { quiet: ms(600) };
        let report = self.call([finish(), Step::Say(clip("cards_001")), finish(), Step::HangUp]).await;
        let id = id_of(&report);
        self.watch.summary(&id).await;
        id
    }

    async fn conversation(&self, id: &str) -> Value {
        self.api.get(&format!("/v1/conversations/{id}")).await.unwrap()
    }
}

/// The sides of a WAV file: caller, agent.
fn sides(wav: &[u8]) -> (Vec<i16>, Vec<i16>) {
    let mut reader = hound::WavReader::new(wav).unwrap();
    let spec = reader.spec();
    assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (2, 8000, 16));
    let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    (samples.iter().copied().step_by(2).collect(), samples.iter().copied().skip(1).step_by(2).collect())
}

/// What the agent is heard to say in a recording.
fn agent_in(wav: &[u8]) -> String {
    let (_, agent) = sides(wav);
    hearing::read(&agent.iter().map(|sample| mulaw_encode(*sample)).collect::<Vec<_>>())
}

fn loud(side: &[i16]) -> bool {
    side.iter().any(|sample| sample.unsigned_abs() > 500)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_heard_is_what_the_api_plays() {
    let world = recorded().start().await;
    let going_on = world.ring([Step::WaitForAgentToFinish { quiet: ms(2500) }, Step::HangUp]);
    let id = world.recorded_call().await;
    world.server.stored().await;
    assert_eq!(world.conversation(&id).await["recording_url"], format!("/v1/conversations/{id}/recording"));

    let whole = world.recording(Method::GET, &id, &[]).await;
    assert_eq!(whole.status(), 200);
    let told = |response: &Response, name: header::HeaderName| {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(told(&whole, header::CONTENT_TYPE).as_deref(), Some("audio/wav"));
    let etag = told(&whole, header::ETAG).unwrap();
    let whole = whole.bytes().await.unwrap();
    assert_eq!(words(&agent_in(&whole)), words(&format!("{GREETING} {ANSWER}")));
    assert!(loud(&sides(&whole).0));
    let duration = (whole.len() as f64 - 44.0) / 32_000.0;
    let seconds = world.conversation(&id).await["duration_seconds"].as_f64().unwrap();
    assert!((duration - seconds).abs() <= 1.0, "{duration} of {seconds}");

    let part = world.recording(Method::GET, &id, &[(header::RANGE, "bytes=40-1043")]).await;
    assert_eq!((part.status(), part.content_length()), (StatusCode::PARTIAL_CONTENT, Some(1004)));
    assert_eq!(told(&part, header::CONTENT_RANGE), Some(format!("bytes 40-1043/{}", whole.len())));
    assert_eq!(part.bytes().await.unwrap(), whole[40..1044]);
    let end = world.recording(Method::GET, &id, &[(header::RANGE, "bytes=-7"), (header::IF_RANGE, &etag)]).await;
    assert_eq!(
        (end.status(), end.bytes().await.unwrap()),
        (StatusCode::PARTIAL_CONTENT, whole.slice(whole.len() - 7..))
    );
    let older =
        world.recording(Method::GET, &id, &[(header::RANGE, "bytes=0-0"), (header::IF_RANGE, "\"older\"")]).await;
    assert_eq!((older.status(), older.bytes().await.unwrap().len()), (StatusCode::OK, whole.len()));
    let behind = world.recording(Method::GET, &id, &[(header::RANGE, "bytes=999999999-")]).await;
    assert_eq!(behind.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(told(&behind, header::CONTENT_RANGE), Some(format!("bytes */{}", whole.len())));
    assert_eq!(behind.json::<Value>().await.unwrap()["error_code"], "VALIDATION_ERROR");
    let known = world.recording(Method::GET, &id, &[(header::IF_NONE_MATCH, &etag)]).await;
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    let head = world.recording(Method::HEAD, &id, &[]).await;
    assert_eq!((head.status(), told(&head, header::CONTENT_LENGTH)), (StatusCode::OK, Some(whole.len().to_string())));
    assert!(head.bytes().await.unwrap().is_empty());

    // What nobody recorded, and what is nobody's.
    report(going_on).await;
    for other in ["0190a8b0-0000-7000-8000-000000000000", "x"] {
        let missing = world.recording(Method::GET, other, &[]).await;
        assert_eq!(missing.status(), 404);
        assert_eq!(missing.json::<Value>().await.unwrap()["error_code"], "CONVERSATION_NOT_FOUND");
    }

    let eve = world.another_tenant();
    eve.get("/v1/tenant").await.unwrap();
    for refused in [
        eve.download(&format!("/v1/conversations/{id}/recording")).await.unwrap_err(),
        eve.post(&format!("/v1/conversations/{id}/transcribe"), &json!({})).await.unwrap_err(),
    ] {
        assert!(refused.to_string().contains("CONVERSATION_NOT_FOUND"), "{refused}");
    }

    // Erased, it is nowhere: neither for the API nor on the disk.
    let folder = world.data().join("recordings");
    let kept = || walk(&folder).iter().filter(|path| path.contains(&id)).count();
    assert_eq!(kept(), 1);
    world.api.delete(&format!("/v1/conversations/{id}")).await.unwrap();
    assert_eq!(world.recording(Method::GET, &id, &[]).await.status(), 404);
    world.server.stored().await;
    assert_eq!(kept(), 0);
    world.settled().await;
}

/// All files below a folder.
fn walk(folder: &std::path::Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path) } else { vec![path.display().to_string()] }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_goes_on_has_no_recording_yet_and_one_that_is_not_recorded_has_none() {
    let world = recorded().start().await;
    let call = world.ring([Step::WaitForAgentToSpeak, Step::Silence(ms(2500)), Step::HangUp]);
    let begun = Instant::now();
    let id = loop {
        let list = world.api.get("/v1/conversations").await.unwrap();
        if let Some(id) = list["conversations"][0]["id"].as_str() {
            let id = id.to_owned();
            if world.recording(Method::GET, &id, &[]).await.status() == 409 {
                break id;
            }
        }
        assert!(begun.elapsed() < LIMIT, "it is being recorded");
        tokio::time::sleep(ms(20)).await;
    };
    assert_eq!(world.recording(Method::HEAD, &id, &[]).await.status(), 409);
    let transcribe = world.api.post(&format!("/v1/conversations/{id}/transcribe"), &json!({})).await;
    assert!(transcribe.unwrap_err().to_string().contains("409"));
    report(call).await;
    world.watch.summary(&id).await;
    world.server.stored().await;
    assert_eq!(world.recording(Method::GET, &id, &[]).await.status(), 200);

    let world = Scene::default().start().await;
    let id = world.recorded_call().await;
    world.server.stored().await;
    let none = world.recording(Method::GET, &id, &[]).await;
    assert_eq!(
        (none.status(), &none.json::<Value>().await.unwrap()["error_code"]),
        (StatusCode::NOT_FOUND, &json!("NOT_FOUND"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_is_no_concern_of_the_call_and_loses_nothing() {
    let config = S3Config { base_path: "/storage/v1/s3".into(), ..S3Config::new("calls") };
    let store = S3Sim::start(SocketAddr::from(([127, 0, 0, 1], 0)), config.clone(), None).await.unwrap();
    let mut scene = recorded();
    scene.objects = Objects {
        storage_url: Some("s3://calls/eu".parse().unwrap()),
        storage_endpoint: Some(store.endpoint().parse().unwrap()),
        storage_access_key_id: config.access_key_id,
        storage_secret_access_key: Secret::new(config.secret_access_key.as_str()),
        ..Objects::default()
    };
    let world = scene.start().await;
    store.set_down(true);
    let id = world.recorded_call().await;
    world.server.stored().await;
    assert!(store.keys().is_empty());
    let waiting = world.recording(Method::GET, &id, &[]).await;
    assert_eq!((waiting.status(), waiting.headers().contains_key(header::RETRY_AFTER)), (StatusCode::CONFLICT, true));

    store.set_down(false);
    world.server.stored().await;
    let [key]: [String; 1] = store.keys().try_into().unwrap();
    assert!(key.starts_with("eu/") && key.contains(&id), "{key}");
    let whole = world.recording(Method::GET, &id, &[]).await.bytes().await.unwrap();
    assert_eq!(whole, store.object(&key).unwrap());
    assert_eq!(words(&agent_in(&whole)), words(&format!("{GREETING} {ANSWER}")));
    let part = world.recording(Method::GET, &id, &[(header::RANGE, "bytes=100-199")]).await;
    assert_eq!(part.bytes().await.unwrap(), whole[100..200]);
    assert!(walk(&world.data().join("spool")).iter().all(|path| !path.contains(&id)));

    // Down again, it says so at once, and what has to go goes when it is back.
    store.set_down(true);
    assert_eq!(world.recording(Method::GET, &id, &[]).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    store.set_down(false);
    world.api.delete(&format!("/v1/conversations/{id}")).await.unwrap();
    world.server.stored().await;
    assert!(store.keys().is_empty(), "{:?}", store.keys());
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_cut_by_kill_9_has_one_recording_of_both_processes() {
    let scene = recorded();
    let agent = scene.agent.clone();
    let sims = scene.simulate().await;
    let mut process = Process::start(&sims, "recorded").await;
    let api = process.api();
    open_shop(&api, &agent).await;
    let finish = || Step::WaitForAgentToFinish { quiet: ms(1500) };
    let call = ring(
        &sims.twilio,
        &process.url(),
        [
            finish(),
            Step::Silence(ms(1500)),
            Step::WaitForAgentToSpeak,
            finish(),
            Step::Say(clip("cards_001")),
            finish(),
            Step::HangUp,
        ],
    );
    let begun = Instant::now();
    let id = loop {
        let list = api.get("/v1/conversations").await.unwrap();
        let conversation = &list["conversations"][0];
        let heard = match conversation["id"].as_str() {
            Some(id) => api.get(&format!("/v1/conversations/{id}")).await.unwrap()["transcript"][0]["text"] == GREETING,
            None => false,
        };
        if heard {
            break conversation["id"].as_str().unwrap().to_owned();
        }
        assert!(begun.elapsed() < LIMIT, "the greeting is stored");
        tokio::time::sleep(ms(50)).await;
    };
    // What is on the disk is a second behind.
    tokio::time::sleep(ms(1300)).await;
    process.kill(To::Hold).await;
    process.run().await;
    let report = report(call).await;
    assert_eq!(report.streams.len(), 2, "{:?}", report.errors);
    let begun = Instant::now();
    let stored = loop {
        let stored = api.get(&format!("/v1/conversations/{id}")).await.unwrap();
        if !stored["recording_url"].is_null()
            && api.download(&format!("/v1/conversations/{id}/recording")).await.is_ok()
        {
            break stored;
        }
        assert!(begun.elapsed() < LIMIT, "{stored:#}");
        tokio::time::sleep(ms(100)).await;
    };
    let wav = api.download(&format!("/v1/conversations/{id}/recording")).await.unwrap();
    // All that the phone heard, on either stream, lies in one file, where the transcript says.
    let squeezed = |text: &str| words(text).concat();
    let heard: String = report.streams.iter().map(|stream| squeezed(&hearing::heard(stream))).collect();
    let (in_file, back) = (squeezed(&agent_in(&wav)), squeezed(stored["transcript"][1]["text"].as_str().unwrap()));
    assert!(in_file.starts_with(&squeezed(GREETING)) && in_file.contains(&back), "{in_file} of {heard}");
    assert!(in_file.ends_with(&squeezed(ANSWER)), "{in_file} of {heard}");
    let (caller, agent) = sides(&wav);
    for entry in stored["transcript"].as_array().unwrap() {
        let side = if entry["speaker"] == "agent" { &agent } else { &caller };
        let at = |name: &str| entry[name].as_u64().unwrap() as usize * 8;
        let (from, to) = (at("started_ms").min(side.len()), at("ended_ms").min(side.len()));
        assert!(loud(&side[from..to]), "{entry:#}");
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_transcribed_anew_beside_what_was_heard_live() {
    let mut scene = recorded();
    scene.deepgram.callback =
        CallbackTiming { interval: ms(10), twice: true, delay: ms(100), ..CallbackTiming::default() };
    let world = scene.start().await;
    let id = world.recorded_call().await;
    world.server.stored().await;
    let before = world.conversation(&id).await;
    assert!(before.get("retranscription").is_none());
    let path = format!("/v1/conversations/{id}/transcribe");
    let asked = world.api.post(&path, &json!({})).await.unwrap();
    assert_eq!(asked, json!({ "conversation_id": id, "model": "nova-3", "status": "requested" }));
    let begun = Instant::now();
    while world.deepgram.delivered().len() < 2 {
        assert!(begun.elapsed() < LIMIT, "{:?}", world.deepgram.delivered());
        tokio::time::sleep(ms(20)).await;
    }
    assert_eq!(world.deepgram.delivered(), [204, 204], "what is brought again changes nothing");
    let after = world.conversation(&id).await;
    assert_eq!(after["transcript"], before["transcript"]);
    let again = &after["retranscription"];
    assert_eq!((&again["status"], &again["model"]), (&json!("done"), &json!("nova-3")));
    let said = again["transcript"].as_array().unwrap();
    let customer = said.iter().find(|entry| entry["speaker"] == "customer").unwrap();
    assert_eq!(words(customer["text"].as_str().unwrap()), words(&transcript("cards_001")));
    let live = before["transcript"].as_array().unwrap().iter().find(|entry| entry["speaker"] == "customer").unwrap();
    let (again, live) = (customer["started_ms"].as_i64().unwrap(), live["started_ms"].as_i64().unwrap());
    assert!((again - live).abs() < 1000, "{again} and {live} are the same time");

    // Neither somebody who guesses nor somebody who knows no credentials brings anything.
    let url = format!("{}/webhooks/deepgram", world.url);
    let body =
        json!({ "results": { "utterances": [{ "transcript": "forged", "start": 0.0, "end": 1.0, "channel": 0 }] } });
    for request in [world.http.post(&url), world.http.post(&url).basic_auth("trunkline", Some("guess"))] {
        let answer = request.json(&body).send().await.unwrap();
        assert_eq!(
            (answer.status(), &answer.json::<Value>().await.unwrap()["error_code"]),
            (StatusCode::FORBIDDEN, &json!("WEBHOOK_SIGNATURE_INVALID"))
        );
    }
    assert_eq!(world.conversation(&id).await, after);
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_with_other_credentials_and_a_vendor_that_refuses_change_nothing() {
    let mut scene = recorded();
    scene.deepgram.callback =
        CallbackTiming { retries: 1, interval: ms(10), forged: true, ..CallbackTiming::default() };
    let rest = scene.deepgram.rest_script.clone();
    let world = scene.start().await;
    let id = world.recorded_call().await;
    world.server.stored().await;
    let path = format!("/v1/conversations/{id}/transcribe");
    world.api.post(&path, &json!({})).await.unwrap();
    let begun = Instant::now();
    while world.deepgram.delivered().len() < 2 {
        assert!(begun.elapsed() < LIMIT, "{:?}", world.deepgram.delivered());
        tokio::time::sleep(ms(20)).await;
    }
    assert_eq!(world.deepgram.delivered(), [403, 403]);
    assert_eq!(world.conversation(&id).await["retranscription"]["status"], "requested");
    rest.push(Some(trunkline_sim::fault::Fault::Refuse { status: 429, retry_after: None }));
    let refused = world.api.post(&path, &json!({})).await.unwrap_err().to_string();
    assert!(refused.contains("502") && refused.contains("EXTERNAL_API_ERROR"), "{refused}");
    assert_eq!(world.conversation(&id).await["retranscription"]["status"], "failed");
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_carrier_has_recorded_is_heard_through_us_and_erased_there() {
    const RECORDING: &str = "RE00000000000000000000000000000007";
    let world = Scene::default().start().await;
    let report = world.call([Step::WaitForAgentToSpeak, Step::HangUp]).await;
    let id = id_of(&report);
    world.twilio.put_recording(ACCOUNT, RECORDING, &b"RIFF of the carrier's"[..]);
    let told = |status: &str| {
        form(
            &report.call_sid,
            &[
                ("RecordingSid", RECORDING),
                ("RecordingStatus", status),
                ("RecordingDuration", "2"),
                ("RecordingUrl", "https://169.254.169.254/x"),
            ],
        )
    };
    let url = format!("{}/webhooks/twilio?kind=recording", world.url);
    assert_eq!(world.post(&url, "", &told("completed")).await.0, 403);
    assert_eq!(world.webhook("kind=recording", &told("in-progress")).await.0, 204);
    assert_eq!(world.conversation(&id).await["recording_url"], Value::Null);
    for query in ["kind=recording", "kind=recording", "more=1", &format!("kind=recording&conversation={id}")] {
        assert_eq!(world.webhook(query, &told("completed")).await.0, 204, "{query}");
    }
    assert_eq!(world.conversation(&id).await["recording_url"], format!("/v1/conversations/{id}/recording"));
    let heard = world.recording(Method::GET, &id, &[]).await;
    assert_eq!(
        (heard.status(), heard.bytes().await.unwrap().as_ref()),
        (StatusCode::OK, &b"RIFF of the carrier's"[..])
    );

    world.watch.summary(&id).await;
    world.server.stored().await;
    world.api.delete(&format!("/v1/conversations/{id}")).await.unwrap();
    world.server.stored().await;
    assert_eq!(world.twilio.recording(ACCOUNT, RECORDING), None);
    // Told of it late, what is erased is not kept after all.
    world.twilio.put_recording(ACCOUNT, RECORDING, &b"again"[..]);
    assert_eq!(world.webhook("kind=recording", &told("completed")).await.0, 204);
    assert_eq!(world.twilio.recording(ACCOUNT, RECORDING), None);
    world.settled().await;
}
