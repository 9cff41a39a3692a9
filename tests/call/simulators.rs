//! `trunkline simulate` as a process: it prints the settings of a server, and what is behind them answers to those keys and to no others.

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    time::timeout,
};

use crate::{Folder, trunkline};

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_printed_settings_lead_to_the_simulators() {
    let folder = Folder::new();
    let mut process = trunkline(&folder.0)
        .args(["simulate", "--port", "0", "--voice", "coded"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut settings = BTreeMap::new();
    let read = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((name, value)) = line.strip_prefix("export ").and_then(|setting| setting.split_once('=')) {
                settings.insert(name.to_owned(), value.to_owned());
            }
            if line.contains("Ctrl-C") {
                return;
            }
        }
    };
    timeout(LIMIT, read).await.expect("the simulators are soon there");
    let names: Vec<_> = settings.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_BASE_URL",
            "DEEPGRAM_API_KEY",
            "DEEPGRAM_BASE_URL",
            "ELEVENLABS_API_KEY",
            "ELEVENLABS_BASE_URL",
            "OPENAI_API_KEY",
            "OPENAI_BASE_URL",
            "SALESFORCE_LOGIN_URL",
            "TWILIO_ACCOUNT_SID",
            "TWILIO_AUTH_TOKEN",
            "TWILIO_BASE_URL",
            "VONAGE_BASE_URL",
        ]
    );

    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::new();
    let completion = |key: &str| {
        let body = serde_json::json!({
            "model": "gpt-4", "stream": true, "messages": [{ "role": "user", "content": "go forward ten meters" }],
        });
        http.post(format!("{}/chat/completions", settings["OPENAI_BASE_URL"])).bearer_auth(key).json(&body).send()
    };
    let answer = completion(&settings["OPENAI_API_KEY"]).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("Going"), "the demo's answers are the default");
    assert_eq!(completion("another key").await.unwrap().status(), 401);
    let account =
        format!("{}/2010-04-01/Accounts/{}.json", settings["TWILIO_BASE_URL"], settings["TWILIO_ACCOUNT_SID"]);
    for (token, expected) in [(settings["TWILIO_AUTH_TOKEN"].as_str(), true), ("another token", false)] {
        let answer = http.get(&account).basic_auth(&settings["TWILIO_ACCOUNT_SID"], Some(token)).send().await.unwrap();
        assert_eq!(answer.status() != 401, expected, "{}", answer.status());
    }
    let models = |key: &str| {
        let url = format!("{}/v1/models", settings["ANTHROPIC_BASE_URL"]);
        http.get(url).header("x-api-key", key).header("anthropic-version", "2023-06-01").send()
    };
    assert_eq!(models(&settings["ANTHROPIC_API_KEY"]).await.unwrap().status(), 200);
    assert_eq!(models("another key").await.unwrap().status(), 401);
    let versions = http.get(format!("{}/services/data/", settings["SALESFORCE_LOGIN_URL"])).send().await.unwrap();
    assert_eq!(versions.status(), 200);
    let balance = http.get(format!("{}/account/get-balance", settings["VONAGE_BASE_URL"])).send().await.unwrap();
    assert_eq!(balance.status(), 401);

    // Ctrl-C.
    let id = process.id().unwrap().cast_signed();
    rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), rustix::process::Signal::INT).unwrap();
    let status = timeout(LIMIT, process.wait()).await.expect("it ends when it is told to").unwrap();
    assert!(status.success(), "{status}");
}
