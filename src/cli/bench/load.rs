//! The load: simulated vendors and telephones, and the calls that they make.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{interval, sleep},
};
use trunkline_base::Secret;
use trunkline_sim::{
    deepgram::{self, DeepgramConfig, DeepgramSim},
    elevenlabs::{ElevenLabsConfig, ElevenLabsSim},
    event::SimEvent,
    fault::Script,
    openai::{OpenAiConfig, OpenAiSim, Rule, Rules},
    recogniser::Library,
    twilio::{
        Account, InboundCall, TwilioConfig, TwilioSim,
        phone::{PhoneConfig, PhoneReport, Speech, Step},
    },
    voice::{CodedVoice, Voice},
};

use super::{
    super::{Failure, api::Api},
    process::{Sample, ServerProcess},
};
use crate::secrets::Secrets;

/// The agent that is measured: a recogniser with a turn model, so that no deliberate wait of ours is in a figure, and no guesses.
pub(super) const AGENT: &str = r#"{
  "name": "Bench",
  "voice_config": { "provider": "elevenlabs", "voice_id": "JBFqnCBsd6RMkjVDRZzb", "language": "en-US" },
  "ai_config": { "provider": "openai", "model": "gpt-4o-mini", "instructions": "Answer briefly." },
  "speech_config": { "provider": "deepgram", "model": "flux-general-en" },
  "turn_config": { "eager": false },
  "call_config": { "greeting": { "text": "Hello, you are being measured." } },
  "tools": [{ "kind": "end_call", "name": "end_call", "description": "" }]
}"#;

const ACCOUNT: &str = "AC000000000000000000000000000bench";
const TOKEN: &str = "bench-auth-token";
const NUMBER: &str = "+15005550006";
const KEY: &str = "bench-key";
/// What every caller asks, again and again.
const CLIP: &str = "goforward";

/// The vendors, and everything that they saw.
pub(super) struct Vendors {
    deepgram: DeepgramSim,
    openai: OpenAiSim,
    elevenlabs: ElevenLabsSim,
    twilio: TwilioSim,
    speech: Speech,
    events: Arc<Mutex<Events>>,
}

/// What the simulators reported, in the order of arrival here.
#[derive(Debug, Clone, Default)]
pub(super) struct Events {
    pub(super) deepgram: Vec<deepgram::SimEvent>,
    pub(super) vendors: Vec<SimEvent>,
}

impl Vendors {
    pub(super) async fn start(script: Script) -> Result<Self, Failure> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let library = Arc::new(Library::load(super::super::fixtures::audio()?)?);
        let speech = Speech::new(library.get(CLIP).ok_or("the fixture is missing")?.samples());
        let (heard, mut hears) = mpsc::unbounded_channel();
        let (seen, mut sees) = mpsc::unbounded_channel();
        let deepgram = DeepgramConfig { events: Some(heard), log_capacity: 16, ..DeepgramConfig::new(KEY, library) };
        let rules = Rules {
            rules: Vec::new(),
            default: Rule { reply: "That is ten meters ahead of you.".into(), ..Rule::default() },
        };
        let openai = OpenAiConfig {
            api_key: KEY.into(),
            rules,
            ttft: Duration::from_millis(150),
            token_interval: Duration::ZERO,
            script,
            events: Some(seen.clone()),
            ..OpenAiConfig::default()
        };
        let elevenlabs = ElevenLabsConfig {
            api_key: KEY.into(),
            voice: Voice::Coded(CodedVoice::new(Duration::from_millis(60))),
            first_byte_delay: Duration::from_millis(80),
            events: Some(seen),
            ..ElevenLabsConfig::default()
        };
        let account = Account { sid: ACCOUNT.into(), auth_token: TOKEN.into(), numbers: vec![NUMBER.into()] };
        let events = Arc::new(Mutex::new(Events::default()));
        let (into, also_into) = (events.clone(), events.clone());
        tokio::spawn(async move {
            while let Some(event) = hears.recv().await {
                lock(&into).deepgram.push(event);
            }
        });
        tokio::spawn(async move {
            while let Some(event) = sees.recv().await {
                lock(&also_into).vendors.push(event);
            }
        });
        Ok(Self {
            deepgram: DeepgramSim::start(any, deepgram, None).await?,
            openai: OpenAiSim::start(any, openai, None).await?,
            elevenlabs: ElevenLabsSim::start(any, elevenlabs, None).await?,
            twilio: TwilioSim::start(any, TwilioConfig::new(account), None).await?,
            speech,
            events,
        })
    }

    /// What points a server here.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DEEPGRAM_BASE_URL", self.deepgram.http_url()),
            ("OPENAI_BASE_URL", self.openai.base_url()),
            ("ELEVENLABS_BASE_URL", self.elevenlabs.server().http_url()),
            ("TWILIO_BASE_URL", self.twilio.http_url()),
        ]
    }

    /// Sets a tenant up on a server, whose calls come here.
    pub(super) async fn set_up(&self, server: &ServerProcess, data: &Path) -> Result<(), Failure> {
        let secrets = Secrets::load_or_make(data)?;
        let keys = crate::config::Vendors {
            deepgram_api_key: Secret::new(KEY),
            deepgram_base_url: self.deepgram.http_url(),
            openai_api_key: Secret::new(KEY),
            openai_base_url: self.openai.base_url(),
            elevenlabs_api_key: Secret::new(KEY),
            elevenlabs_base_url: self.elevenlabs.server().http_url(),
            twilio_account_sid: ACCOUNT.into(),
            twilio_auth_token: Secret::new(TOKEN),
            twilio_base_url: self.twilio.http_url(),
            ..crate::config::Vendors::default()
        };
        Api::of_new_owner(&server.url, &secrets.jwt_secret)
            .set_up(&keys, &serde_json::from_str(AGENT)?, NUMBER, |_, _| {})
            .await?;
        Ok(())
    }

    pub(super) fn events(&self) -> Events {
        lock(&self.events).clone()
    }

    pub(super) fn forget(&self) {
        *lock(&self.events) = Events::default();
    }
}

fn lock(events: &Mutex<Events>) -> std::sync::MutexGuard<'_, Events> {
    events.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many calls.
pub(super) struct Load {
    pub(super) calls: usize,
    pub(super) turns: usize,
    pub(super) stagger: Duration,
}

/// What became of them.
pub(super) struct Outcome {
    pub(super) reports: Vec<PhoneReport>,
    pub(super) failed: usize,
    /// CPU seconds a call and second, over the time in which all calls were up.
    pub(super) cpu_per_call: Option<f64>,
    /// The same of the database.
    pub(super) store_cpu_per_call: Option<f64>,
    /// The most memory that was used.
    pub(super) peak: Sample,
}

impl Load {
    pub(super) async fn run(&self, vendors: &Vendors, server: &ServerProcess) -> Result<Outcome, Failure> {
        let mut steps =
            vec![Step::WaitForAgentToSpeak, Step::WaitForAgentToFinish { quiet: Duration::from_millis(400) }];
        for _ in 0..self.turns {
            steps.push(Step::Say(vendors.speech.clone()));
            steps.push(Step::WaitForAgentToFinish { quiet: Duration::from_millis(400) });
        }
        steps.push(Step::HangUp);
        let mut running = JoinSet::new();
        let (mut reports, mut failed) = (Vec::new(), 0);
        let mut usage: VecDeque<(Instant, Sample, usize)> = VecDeque::new();
        let mut tick = interval(Duration::from_millis(500));
        let started = Instant::now();
        let mut placed = 0;
        while placed < self.calls || !running.is_empty() {
            let next = self.stagger.saturating_mul(u32::try_from(placed)?).saturating_sub(started.elapsed());
            tokio::select! {
                () = sleep(next), if placed < self.calls => {
                    let call = vendors.twilio.ring(InboundCall {
                        from: format!("+1415555{:04}", placed % 10_000),
                        to: NUMBER.into(),
                        voice_url: format!("{}/webhooks/twilio?kind=voice", server.url),
                        phone: PhoneConfig { steps: steps.clone(), record: false, ..PhoneConfig::default() },
                        ..InboundCall::default()
                    })?;
                    placed += 1;
                    running.spawn(call.report());
                }
                Some(done) = running.join_next(), if !running.is_empty() => {
                    match done {
                        Ok(Ok(mut call)) if call.streams.len() == 1 && call.errors.is_empty() => reports.append(&mut call.streams),
                        _ => failed += 1,
                    }
                }
                _ = tick.tick() => usage.push_back((Instant::now(), server.usage()?, running.len())),
            }
        }
        let peak = usage.iter().map(|(_, sample, _)| *sample).max_by_key(|sample| sample.rss_kib).unwrap_or_default();
        Ok(Outcome {
            reports,
            failed,
            cpu_per_call: per_call(&usage, self.calls, |sample| sample.cpu_seconds),
            store_cpu_per_call: per_call(&usage, self.calls, |sample| sample.store_cpu_seconds),
            peak,
        })
    }
}

/// CPU over the longest time in which all calls were up.
fn per_call(usage: &VecDeque<(Instant, Sample, usize)>, calls: usize, seconds: impl Fn(&Sample) -> f64) -> Option<f64> {
    let full: Vec<_> = usage.iter().filter(|(_, _, up)| *up == calls).collect();
    let (first, last) = (full.first()?, full.last()?);
    let wall = last.0.duration_since(first.0).as_secs_f64();
    (wall >= 2.0).then(|| (seconds(&last.1) - seconds(&first.1)) / wall / calls as f64)
}
