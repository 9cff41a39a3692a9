//! A server, its vendors and its callers.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use trunkline::{
    cli::{Server, api::Api},
    config::{Objects, Settings, Vendors},
    storage::Storage,
};
use trunkline_base::{CallId, Secret};
use trunkline_control::{lookup, testing::ScratchDb, vault::Vault};
use trunkline_sim::{
    deepgram::{DeepgramConfig, DeepgramSim},
    elevenlabs::{ElevenLabsConfig, ElevenLabsSim},
    openai::{OpenAiConfig, OpenAiSim, Rule, Rules},
    phone::Directory,
    recogniser::Library,
    twilio::{
        Account, CallReport, Creates, InboundCall, OngoingCall, TwilioConfig, TwilioSim,
        phone::{PhoneConfig, Speech, Step},
    },
    voice::Voice,
    vonage::{Application, VonageConfig, VonageSim},
};

use crate::{carriers::Carrier, hearing, vonage, watch::Watch};

/// How long anything is waited for: far longer than it takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// The carrier's account.
pub(crate) const ACCOUNT: &str = "AC00000000000000000000000000000001";
/// Its token.
pub(crate) const TOKEN: &str = "2f6a1e5d9c8b7a6f5e4d3c2b1a098765";
/// Its number.
pub(crate) const NUMBER: &str = "+15005550006";
/// The vendors' key.
pub(crate) const KEY: &str = "journey-key";
/// What the agent says first.
pub(crate) const GREETING: &str = "Hello there, this is the workshop. What can I do for you today?";
/// What it answers to everything.
pub(crate) const ANSWER: &str = "That is ten meters straight ahead of you.";

/// A short moment, in milliseconds.
pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What a world is made of; a test changes what it is about.
pub(crate) struct Scene {
    pub(crate) agent: Value,
    pub(crate) deepgram: DeepgramConfig,
    pub(crate) openai: OpenAiConfig,
    pub(crate) elevenlabs: ElevenLabsConfig,
    pub(crate) twilio: TwilioConfig,
    pub(crate) vonage: VonageConfig,
    pub(crate) max_calls: usize,
    /// What nodes share.
    pub(crate) redis: Option<Secret>,
    /// Where recordings are kept.
    pub(crate) objects: Objects,
    /// The server's keys of Deepgram, OpenAI and ElevenLabs.
    pub(crate) keys: [&'static str; 3],
    /// Whether the server does jobs too, as the analysis of calls that are over.
    pub(crate) jobs: bool,
}

impl Default for Scene {
    fn default() -> Self {
        let account = Account { sid: ACCOUNT.into(), auth_token: TOKEN.into(), numbers: vec![NUMBER.into()] };
        Self {
            agent: json!({
                "name": "Workshop",
                "voice_config": { "provider": "elevenlabs", "voice_id": "JBFqnCBsd6RMkjVDRZzb", "language": "en-US" },
                "ai_config": { "provider": "openai", "model": "gpt-4o-mini", "instructions": "Answer briefly." },
                "speech_config": { "provider": "deepgram", "model": "nova-3" },
                "turn_config": { "eager": false },
                "call_config": { "greeting": { "text": GREETING }, "recording": { "enabled": false } },
                "tools": [{ "kind": "end_call", "name": "end_call", "description": "" }]
            }),
            deepgram: DeepgramConfig::new(KEY, library()),
            openai: OpenAiConfig {
                api_key: KEY.into(),
                rules: Rules { rules: Vec::new(), default: Rule { reply: ANSWER.into(), ..Rule::default() } },
                ttft: ms(50),
                token_interval: ms(2),
                ..OpenAiConfig::default()
            },
            elevenlabs: ElevenLabsConfig {
                api_key: KEY.into(),
                first_byte_delay: ms(50),
                voice: Voice::Coded(hearing::voice()),
                ..ElevenLabsConfig::default()
            },
            twilio: TwilioConfig::new(account),
            vonage: VonageConfig {
                signature_secret: vonage::SIGNATURE_SECRET.into(),
                ..VonageConfig::new(
                    vonage::API_KEY,
                    vonage::API_SECRET,
                    Application::new(vonage::APPLICATION),
                    vonage::MSISDN,
                )
            },
            max_calls: 100,
            redis: None,
            objects: Objects::default(),
            keys: [KEY; 3],
            jobs: false,
        }
    }
}

impl Scene {
    /// Replaces a part of the agent, named by its JSON pointer; its parent must be there.
    pub(crate) fn agent(mut self, pointer: &str, value: Value) -> Self {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        self.agent.pointer_mut(parent).unwrap()[name] = value;
        self
    }

    /// The agent's first words.
    pub(crate) fn greeting(self, text: &str) -> Self {
        self.agent("/call_config/greeting/text", text.into())
    }

    /// What the model answers.
    pub(crate) fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.openai.rules.rules = rules.into_iter().collect();
        self
    }

    /// The vendors alone.
    pub(crate) async fn simulate(self) -> Sims {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let deepgram = DeepgramSim::start(any, self.deepgram, None).await.unwrap();
        let openai = OpenAiSim::start(any, self.openai, None).await.unwrap();
        let elevenlabs = ElevenLabsSim::start(any, self.elevenlabs, None).await.unwrap();
        let twilio = TwilioSim::start(any, self.twilio, None).await.unwrap();
        let vonage = VonageSim::start(any, self.vonage, None).await.unwrap();
        let [deepgram_key, openai_key, elevenlabs_key] = self.keys.map(Secret::new);
        // The vendors' keys are the platform's, so that they may be wrong; the carrier's account is the tenant's.
        let vendors = Vendors {
            deepgram_api_key: deepgram_key,
            deepgram_base_url: deepgram.http_url(),
            openai_api_key: openai_key,
            openai_base_url: openai.base_url(),
            elevenlabs_api_key: elevenlabs_key,
            elevenlabs_base_url: elevenlabs.server().http_url(),
            twilio_account_sid: String::new(),
            twilio_auth_token: Secret::default(),
            twilio_base_url: twilio.http_url(),
            vonage_base_url: vonage.server().http_url(),
            ..Vendors::default()
        };
        Sims { deepgram, openai, elevenlabs, twilio, vonage, vendors }
    }

    pub(crate) async fn start(self) -> World {
        let (agent, max_calls, redis, run_jobs) = (self.agent.clone(), self.max_calls, self.redis.clone(), self.jobs);
        let (callees, faults) = (self.twilio.callees.clone(), self.twilio.creates.clone());
        let (vonage_callees, vonage_faults) = (self.vonage.callees.clone(), self.vonage.creates.clone());
        let objects = self.objects.clone();
        let Sims { deepgram, openai, elevenlabs, twilio, vonage, vendors } = self.simulate().await;
        let data = std::env::temp_dir().join(format!("trunkline-journeys-{}", std::process::id()));
        let mut settings = Settings {
            max_calls,
            record: false,
            run_jobs,
            objects,
            // The most that there is: these machines are busy with many calls at once.
            lead_ms: 200,
            ..Settings::local(data, vendors)
        };
        let secret = Secret::new("a secret of more than thirty-two bytes, for tests");
        settings.security.supabase_jwt_secret = secret.clone();
        settings.security.api_key_secret = secret.clone();
        settings.security.encryption_key = Vault::generate_key();
        settings.edge.redis_url = redis.unwrap_or_default();
        let scratch = ScratchDb::new().await;
        let watch = Arc::new(Watch::default());
        let storage = Storage::of(scratch.db.clone());
        let server = Server::start(settings.clone(), storage, Some(watch.clone())).await.unwrap();
        let url = server.public_url().to_owned();
        let api = Api::of_new_owner(&url, &secret);
        let agent = open_shop(&api, &agent).await;
        vonage::open_line(&api, &agent).await;
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
        World {
            deepgram,
            openai,
            elevenlabs,
            twilio,
            faults,
            vonage,
            vonage_callees,
            vonage_faults,
            url,
            server,
            watch,
            http,
            api,
            callees,
            dialling: tokio::sync::Mutex::default(),
            settings,
            scratch,
        }
    }
}

/// The vendors.
pub(crate) struct Sims {
    pub(crate) deepgram: DeepgramSim,
    pub(crate) openai: OpenAiSim,
    pub(crate) elevenlabs: ElevenLabsSim,
    pub(crate) twilio: TwilioSim,
    pub(crate) vonage: VonageSim,
    /// What points a server at them.
    pub(crate) vendors: Vendors,
}

/// Everything that runs.
pub(crate) struct World {
    pub(crate) deepgram: DeepgramSim,
    pub(crate) openai: OpenAiSim,
    pub(crate) elevenlabs: ElevenLabsSim,
    pub(crate) twilio: TwilioSim,
    /// Whom calls reach that are placed at Twilio.
    pub(crate) callees: Directory<PhoneConfig>,
    /// What goes wrong when they are placed.
    pub(crate) faults: Creates,
    pub(crate) vonage: VonageSim,
    /// Whom calls reach that are placed at Vonage.
    pub(crate) vonage_callees: Directory<PhoneConfig>,
    /// What goes wrong when they are placed.
    pub(crate) vonage_faults: Creates,
    pub(crate) url: String,
    pub(crate) server: Server,
    pub(crate) watch: Arc<Watch>,
    pub(crate) http: reqwest::Client,
    /// The API, as the tenant's owner.
    pub(crate) api: Api,
    /// Who has the agent call somebody just now.
    pub(crate) dialling: tokio::sync::Mutex<()>,
    settings: Settings,
    scratch: ScratchDb,
}

/// Makes the carrier's account the tenant's, and lets the agent answer its number; gives the agent's id.
pub(crate) async fn open_shop(api: &Api, agent: &Value) -> Value {
    let catalogue = api.get("/v1/integrations").await.unwrap();
    let twilio = catalogue["integrations"].as_array().unwrap().iter().find(|it| it["provider"] == "twilio").unwrap();
    let credential = json!({
        "integration_id": twilio["id"],
        "credential_name": "carrier",
        "credential_type": "basic_auth",
        "credentials": { "account_sid": ACCOUNT, "auth_token": TOKEN },
    });
    let credential = api.post("/v1/integrations/credentials", &credential).await.unwrap();
    let agent = api.post("/v1/voice-agents", agent).await.unwrap();
    let number = json!({
        "provider": "twilio",
        "phone_number": NUMBER,
        "credential_id": credential["credential_id"],
        "agent_id": agent["id"],
    });
    api.post("/v1/phone-numbers", &number).await.unwrap();
    agent["id"].clone()
}

impl World {
    /// One more server, on the same database and with the same secrets, which nobody watches.
    pub(crate) async fn another_node(&self) -> Server {
        let storage = Storage::of(self.scratch.db.clone());
        Server::start(self.settings.clone(), storage, None).await.unwrap()
    }

    /// The owner of another tenant.
    pub(crate) fn another_tenant(&self) -> Api {
        Api::of_new_owner(&self.url, &self.settings.security.supabase_jwt_secret)
    }

    /// How the legs are that were rung to hand a call over.
    pub(crate) async fn consult_legs(&self, id: &str) -> Vec<String> {
        let id: CallId = id.parse().unwrap();
        let tenant = lookup::conversation(&self.scratch.db, id).await.unwrap().unwrap();
        let mut tx = self.scratch.db.begin(tenant).await.unwrap();
        sqlx::query_scalar(
            "select status from call_legs where tenant_id = $1 and conversation_id = $2 and kind = 'consult'",
        )
        .bind(tenant.as_uuid())
        .bind(id.as_uuid())
        .fetch_all(tx.connection())
        .await
        .unwrap()
    }

    /// Which conversation one of a carrier's calls is: waits until it is one.
    pub(crate) async fn conversation_of(&self, carrier: Carrier, name: &str) -> String {
        let looking = async {
            loop {
                if let Some((_, id)) = lookup::call(&self.scratch.db, carrier.provider(), name).await.unwrap() {
                    return id.to_string();
                }
                tokio::time::sleep(ms(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, looking).await.expect("the call is stored")
    }

    /// Where the server keeps what it keeps.
    pub(crate) fn data(&self) -> &std::path::Path {
        &self.settings.data
    }

    /// Somebody calls.
    pub(crate) fn ring(&self, steps: impl IntoIterator<Item = Step>) -> OngoingCall {
        ring(&self.twilio, &self.url, steps)
    }

    /// Somebody calls, and all of it is told at the end.
    pub(crate) async fn call(&self, steps: impl IntoIterator<Item = Step>) -> CallReport {
        report(self.ring(steps)).await
    }

    /// A call like any other that goes on while something happens to others.
    pub(crate) fn neighbour(&self) -> Neighbour {
        let quiet = || Step::WaitForAgentToFinish { quiet: ms(500) };
        Neighbour(self.ring([quiet(), Step::Say(clip("cards_001")), quiet(), Step::HangUp]))
    }

    /// How many webhooks' receipts are stored.
    pub(crate) async fn receipts(&self) -> i64 {
        self.scratch.count("webhook_receipts").await
    }

    /// Waits until a conversation is stored as over.
    pub(crate) async fn until_over(&self, id: &str) -> Value {
        let path = format!("/v1/conversations/{id}");
        let begun = Instant::now();
        loop {
            let stored = self.api.get(&path).await;
            if let Ok(stored) = &stored
                && stored["end_time"].is_string()
            {
                return stored.clone();
            }
            assert!(begun.elapsed() < LIMIT, "the conversation is not over in time: {stored:#?}");
            tokio::time::sleep(ms(20)).await;
        }
    }

    /// Waits until every call is forgotten and no vendor's socket is open.
    pub(crate) async fn settled(&self) {
        let settling = async {
            loop {
                let live = self.server.calls().registry().gauges().live;
                if live == 0 && self.deepgram.connections() == 0 && self.elevenlabs.connections() == 0 {
                    return;
                }
                tokio::time::sleep(ms(20)).await;
            }
        };
        let done = tokio::time::timeout(LIMIT, settling).await;
        assert!(
            done.is_ok(),
            "still there: {:?}, Deepgram {}, ElevenLabs {}",
            self.server.calls().registry().gauges(),
            self.deepgram.connections(),
            self.elevenlabs.connections()
        );
    }
}

/// Somebody calls a server.
pub(crate) fn ring(twilio: &TwilioSim, url: &str, steps: impl IntoIterator<Item = Step>) -> OngoingCall {
    let call = InboundCall {
        from: "+14155550100".into(),
        to: NUMBER.into(),
        voice_url: format!("{url}/webhooks/twilio?kind=voice"),
        phone: PhoneConfig { steps: steps.into_iter().collect(), ..PhoneConfig::default() },
        ..InboundCall::default()
    };
    twilio.ring(call).unwrap()
}

/// All that a call has to tell, once it is over.
pub(crate) async fn report(call: OngoingCall) -> CallReport {
    tokio::time::timeout(ms(120_000), call.report()).await.expect("the call comes to its end").unwrap()
}

/// The conversation's id of a call, which its stream's address tells.
pub(crate) fn id_of(report: &CallReport) -> String {
    report.streams[0].url.rsplit('/').next().unwrap().to_owned()
}

/// A call whose owner must not notice what happens to others.
pub(crate) struct Neighbour(OngoingCall);

impl Neighbour {
    /// Waits for its end: greeting and answer were heard whole, and without a gap.
    pub(crate) async fn missed_nothing(self, world: &World) {
        let report = report(self.0).await;
        assert_eq!(report.errors, [], "the carrier's log");
        let stream = &report.streams[0];
        hearing::assert_heard(stream, &[GREETING, ANSWER]);
        let summary = world.watch.summary(&id_of(&report)).await;
        assert_eq!((summary.bad_messages, stream.invalid_count), (0, 0));
        // Where this machine stood still, nobody could have sent in time.
        if stream.worst_lateness < ms(100) && summary.max_lateness < ms(100) {
            assert_eq!((summary.underruns, stream.playback.underruns(ms(400))), (0, 0));
        }
    }
}

/// The recordings.
fn library() -> Arc<Library> {
    static LIBRARY: OnceLock<Arc<Library>> = OnceLock::new();
    let load = || {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio");
        Arc::new(Library::load(folder).unwrap())
    };
    LIBRARY.get_or_init(load).clone()
}

/// A recording, as a caller says it.
pub(crate) fn clip(name: &str) -> Speech {
    Speech::new(library().get(name).unwrap().samples())
}

/// A recording's samples, at 8 kHz.
pub(crate) fn samples(name: &str) -> Vec<i16> {
    library().get(name).unwrap().samples().to_vec()
}

/// The words of a recording.
pub(crate) fn transcript(name: &str) -> String {
    library().get(name).unwrap().transcript().to_owned()
}
