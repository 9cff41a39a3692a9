//! A tenant whose agent calls people, the vendors around it, and what is stored.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use trunkline::cli::api::{Api, ApiFailure};
use trunkline_base::Secret;
use trunkline_control::{testing::ScratchDb, vault::Vault};
use trunkline_sim::{
    deepgram::{DeepgramConfig, DeepgramSim},
    elevenlabs::{ElevenLabsConfig, ElevenLabsSim},
    openai::{OpenAiConfig, OpenAiSim},
    phone::Directory,
    recogniser::Library,
    twilio::{Account, Creates, TwilioConfig, TwilioSim, phone::PhoneConfig},
};

use crate::{
    carrier::Record,
    program::{Program, Running, free_address},
};

/// How long anything may take before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
/// The tenant's number.
const NUMBER: &str = "+15005550006";
const ACCOUNT: &str = "AC00000000000000000000000000000001";
const TOKEN: &str = "2f6a1e5d9c8b7a6f5e4d3c2b1a098765";
const KEY: &str = "campaign-key";
const SECRET: &str = "a secret of more than thirty-two bytes, for tests";

pub(crate) struct Scene {
    /// The API, as the tenant's owner.
    pub(crate) api: Api,
    pub(crate) twilio: Arc<TwilioSim>,
    pub(crate) record: Record,
    /// Whom calls reach.
    pub(crate) callees: Directory<PhoneConfig>,
    /// What goes wrong when calls are placed.
    pub(crate) faults: Creates,
    pub(crate) program: Program,
    pub(crate) agent: Value,
    pub(crate) scratch: ScratchDb,
    _server: Running,
    _vendors: (DeepgramSim, OpenAiSim, ElevenLabsSim),
}

impl Scene {
    /// Sets it, with a server that dials for campaigns or leaves that to others.
    pub(crate) async fn set(name: &str, server_dials: bool) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio");
        let library = Arc::new(Library::load(library).unwrap());
        let deepgram = DeepgramSim::start(any, DeepgramConfig::new(KEY, library), None).await.unwrap();
        let openai = OpenAiConfig { api_key: KEY.into(), ..OpenAiConfig::default() };
        let openai = OpenAiSim::start(any, openai, None).await.unwrap();
        let elevenlabs = ElevenLabsConfig { api_key: KEY.into(), ..ElevenLabsConfig::default() };
        let elevenlabs = ElevenLabsSim::start(any, elevenlabs, None).await.unwrap();
        let account = Account { sid: ACCOUNT.into(), auth_token: TOKEN.into(), numbers: vec![NUMBER.into()] };
        let config = TwilioConfig::new(account);
        let (callees, faults) = (config.callees.clone(), config.creates.clone());
        let twilio = Arc::new(TwilioSim::start(any, config, None).await.unwrap());

        let scratch = ScratchDb::new().await;
        let bind = free_address().await;
        let service = &scratch.service;
        let database = format!(
            "postgres://{}@localhost/{}?host={}",
            service.get_username(),
            service.get_database().unwrap(),
            service.get_socket().unwrap().display()
        );
        let program = Program {
            data: std::env::temp_dir().join(format!("trunkline-{name}-{}", std::process::id())),
            environment: vec![
                ("TRUNKLINE_ENV", "development".into()),
                ("PUBLIC_URL", format!("http://{bind}")),
                ("DATABASE_URL", database),
                ("SUPABASE_JWT_SECRET", SECRET.into()),
                ("API_KEY_SECRET", SECRET.into()),
                ("ENCRYPTION_KEY", Vault::generate_key().expose().to_owned()),
                ("RECORD_CALLS", "false".into()),
                ("LOG_LEVEL", "info".into()),
                ("DEEPGRAM_BASE_URL", deepgram.http_url()),
                ("DEEPGRAM_API_KEY", KEY.into()),
                ("OPENAI_BASE_URL", openai.base_url()),
                ("OPENAI_API_KEY", KEY.into()),
                ("ELEVENLABS_BASE_URL", elevenlabs.server().http_url()),
                ("ELEVENLABS_API_KEY", KEY.into()),
                ("TWILIO_BASE_URL", twilio.http_url()),
            ],
        };
        let server = program.serve(bind, server_dials).await;
        let api = Api::of_new_owner(&format!("http://{bind}"), &Secret::new(SECRET));
        let agent = set_up(&api).await;
        let record = Record::of(twilio.clone());
        let vendors = (deepgram, openai, elevenlabs);
        Self { api, twilio, record, callees, faults, program, agent, scratch, _server: server, _vendors: vendors }
    }

    /// A campaign that calls at any time, with these contacts; its path.
    pub(crate) async fn campaign(&self, changes: Value, numbers: &[String]) -> String {
        let mut body = json!({
            "name": "Renewals", "agent_id": self.agent, "calls_per_second": 100, "ring_timeout_s": 5,
            "calling_hours": { "start": "00:00", "end": "00:00" },
        });
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let campaign = self.api.post("/v1/campaigns", &body).await.unwrap();
        let path = format!("/v1/campaigns/{}", campaign["id"].as_str().unwrap());
        for numbers in numbers.chunks(2000) {
            let contacts: Vec<Value> = numbers.iter().map(|number| json!({ "phone_number": number })).collect();
            let added = self.api.post(&format!("{path}/contacts"), &json!({ "contacts": contacts })).await.unwrap();
            assert_eq!(added["added"], numbers.len());
        }
        path
    }

    /// Starts or pauses a campaign.
    pub(crate) async fn tell(&self, campaign: &str, what: &str) -> Value {
        self.api.post(&format!("{campaign}/{what}"), &Value::Null).await.unwrap()
    }

    /// A campaign, once it is as it should be.
    pub(crate) async fn until(&self, campaign: &str, limit: Duration, mut is: impl FnMut(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let found = self.api.get(campaign).await.unwrap();
            if is(&found) {
                return found;
            }
            assert!(begun.elapsed() < limit, "{found:#}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// All its contacts, by number.
    pub(crate) async fn contacts(&self, campaign: &str) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        for page in 1.. {
            let path = format!("{campaign}/contacts?limit=100&page={page}");
            let found = self.api.get(&path).await.unwrap();
            let contacts = found["contacts"].as_array().unwrap();
            if contacts.is_empty() {
                break;
            }
            let numbered = |it: &Value| (it["phone_number"].as_str().unwrap().to_owned(), it.clone());
            all.extend(contacts.iter().map(numbered));
        }
        all
    }

    /// A connection that is bound by nothing.
    async fn owner(&self) -> PgConnection {
        self.scratch.owner.connect().await.unwrap()
    }

    /// Counts what no API shows.
    pub(crate) async fn count(&self, from: &str) -> i64 {
        let count = AssertSqlSafe(format!("select count(*) from {from}"));
        sqlx::query_scalar(count).fetch_one(&mut self.owner().await).await.unwrap()
    }

    /// Waits until so many are counted.
    pub(crate) async fn counted(&self, from: &str, n: i64) {
        let begun = Instant::now();
        loop {
            let found = self.count(from).await;
            if found == n {
                return;
            }
            assert!(begun.elapsed() < LIMIT, "{from}: {found}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The carrier's account, with as many calls a second as it may have, an agent, and its number.
async fn set_up(api: &Api) -> Value {
    let catalogue = api.get("/v1/integrations").await.unwrap();
    let twilio = catalogue["integrations"].as_array().unwrap().iter().find(|it| it["provider"] == "twilio").unwrap();
    let credential = json!({
        "integration_id": twilio["id"],
        "credential_name": "carrier",
        "credential_type": "basic_auth",
        "credentials": { "account_sid": ACCOUNT, "auth_token": TOKEN },
    });
    let credential = api.post("/v1/integrations/credentials", &credential).await.unwrap()["credential_id"].clone();
    let install =
        json!({ "integration_id": twilio["id"], "credential_id": credential, "config": { "calls_per_second": 500 } });
    api.post("/v1/integrations/install", &install).await.unwrap();
    let agent = json!({
        "name": "Caller",
        "voice_config": { "provider": "elevenlabs", "voice_id": "JBFqnCBsd6RMkjVDRZzb" },
        "ai_config": { "provider": "openai", "model": "gpt-4o-mini", "instructions": "Answer briefly." },
        "speech_config": { "provider": "deepgram", "model": "nova-3" },
        "call_config": { "recording": { "enabled": false } },
        "analysis_config": { "enabled": false },
    });
    let agent = api.post("/v1/voice-agents", &agent).await.unwrap()["id"].clone();
    let number = json!({
        "provider": "twilio", "phone_number": NUMBER, "credential_id": credential, "agent_id": agent,
    });
    api.post("/v1/phone-numbers", &number).await.unwrap();
    agent
}

/// What an API's refusal says: its status and message.
pub(crate) fn refusal(answer: Result<Value, ApiFailure>) -> (u16, String) {
    match answer {
        Err(ApiFailure::Refused { status, body, .. }) => (status, body["message"].as_str().unwrap().to_owned()),
        other => panic!("{other:?}"),
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.program.data);
    }
}
