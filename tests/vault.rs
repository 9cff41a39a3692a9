//! Credentials at rest: others can read them with the key, nobody can without, and the key can be changed while the service runs.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sqlx::{ConnectOptions, Row};
use tokio::{io::AsyncWriteExt, process::Command, task::JoinSet};
use trunkline::{
    cli::{Server, api::Api},
    config::{Settings, Vendors},
    storage::Storage,
};
use trunkline_base::Secret;
use trunkline_control::{credentials::rotation::rotate_all, testing::ScratchDb, vault::Vault};
use uuid::Uuid;

const DEEPGRAM: &str = "01900000-0000-7000-8000-000000000003";

/// A server on a database, with a ring of keys; and its API as a new tenant's owner.
async fn serve(scratch: &ScratchDb, ring: &[&Secret]) -> (Server, Api) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let nowhere = || "http://127.0.0.1:9".to_owned();
    let vendors = Vendors {
        deepgram_api_key: Secret::default(),
        deepgram_base_url: nowhere(),
        openai_api_key: Secret::default(),
        openai_base_url: nowhere(),
        elevenlabs_api_key: Secret::default(),
        elevenlabs_base_url: nowhere(),
        twilio_account_sid: String::new(),
        twilio_auth_token: Secret::default(),
        twilio_base_url: nowhere(),
        ..Vendors::default()
    };
    let secret = Secret::new("a secret of more than thirty-two bytes, for tests");
    let mut settings = Settings::local(std::env::temp_dir().join("trunkline-vault-test"), vendors);
    settings.security.supabase_jwt_secret = secret.clone();
    settings.security.api_key_secret = secret.clone();
    settings.security.encryption_key = Secret::new(ring.iter().map(|key| key.expose()).collect::<Vec<_>>().join(","));
    let server = Server::start(settings, Storage::of(scratch.db.clone()), None).await.unwrap();
    let api = Api::of_new_owner(server.public_url(), &secret);
    (server, api)
}

fn credential(key: &str) -> Value {
    json!({
        "integration_id": DEEPGRAM, "credential_name": "ears", "credential_type": "api_key",
        "credentials": { "api_key": key },
    })
}

/// What is really stored: id, token and fingerprint.
async fn stored(scratch: &ScratchDb) -> Vec<(Uuid, String, String)> {
    let mut connection = scratch.owner.connect().await.unwrap();
    let rows = sqlx::query("select id, encrypted_credentials, key_fingerprint from credentials order by id")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pythons_cryptography_reads_what_is_stored() {
    let key = Vault::generate_key();
    let scratch = ScratchDb::new().await;
    let (server, api) = serve(&scratch, &[&key]).await;
    api.post("/v1/integrations/credentials", &credential("sk-\u{e9}\u{2603}")).await.unwrap();
    let [(_, token, _)] = stored(&scratch).await.try_into().unwrap();
    assert!(!token.contains("sk-"));

    let script = "import json, sys\nfrom cryptography.fernet import Fernet\nkey, token = sys.stdin.read().split()\n\
                  print(json.dumps(json.loads(Fernet(key.encode()).decrypt(token.encode())), sort_keys=True))";
    let mut python = Command::new(python())
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = python.stdin.take().unwrap();
    stdin.write_all(format!("{} {token}", key.expose()).as_bytes()).await.unwrap();
    drop(stdin);
    let output = python.wait_with_output().await.unwrap();
    assert!(output.status.success(), "run `make sdks` first");
    let fields: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(fields, json!({ "api_key": "sk-\u{e9}\u{2603}" }));
    server.stop(std::time::Duration::ZERO).await;
}

/// Both nodes of a rolling change serve: one that knows both keys goes on writing while all is encrypted anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_changed_under_load_and_no_credential_is_lost() {
    const CREDENTIALS: usize = 60;
    const CHANGED: usize = 20;
    let (old, new) = (Vault::generate_key(), Vault::generate_key());
    let scratch = ScratchDb::new().await;
    let (before, api) = serve(&scratch, &[&old]).await;
    let mut ids = Vec::new();
    for n in 0..CREDENTIALS {
        let made = api.post("/v1/integrations/credentials", &credential(&format!("first-{n}"))).await.unwrap();
        ids.push(made["credential_id"].as_str().unwrap().to_owned());
    }
    let (during, _) = serve(&scratch, &[&new, &old]).await;
    let api = api.at(during.public_url());
    let mut changes = JoinSet::new();
    for (n, id) in ids.iter().cloned().enumerate().take(CHANGED) {
        let api = api.clone();
        changes.spawn(async move {
            for round in 0..5 {
                let body = json!({ "credentials": { "api_key": format!("changed-{n}-{round}") } });
                api.patch(&format!("/v1/integrations/credentials/{id}"), &body).await.unwrap();
            }
        });
    }
    let vault = Vault::new(&Secret::new(format!("{},{}", new.expose(), old.expose()))).unwrap();
    let report = rotate_all(&scratch.db, &vault, 7).await.unwrap();
    while let Some(changed) = changes.join_next().await {
        changed.unwrap();
    }
    assert_eq!(report.failed, 0);
    let after = Vault::new(&new).unwrap();
    let rows = stored(&scratch).await;
    assert_eq!(rows.len(), CREDENTIALS);
    for (id, token, fingerprint) in rows {
        assert_eq!(fingerprint, after.fingerprint());
        let n = ids.iter().position(|known| *known == id.to_string()).unwrap();
        let expected = if n < CHANGED { format!("changed-{n}-4") } else { format!("first-{n}") };
        assert_eq!(after.open(&token).unwrap().get("api_key").unwrap().expose(), expected);
    }
    before.stop(std::time::Duration::ZERO).await;
    during.stop(std::time::Duration::ZERO).await;
}

fn python() -> PathBuf {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    std::env::var_os("SDK_PYTHON").map_or(venv, PathBuf::from)
}
