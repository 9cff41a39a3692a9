//! From an agent's stored configuration and decrypted credentials to what one call of the engine needs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use trunkline_base::{CallId, Clock, Secret, SystemClock};
use trunkline_control::{
    agents::config::{self as stored, AgentConfig, ToolKind, TurnState},
    tenants::TenantSettings,
    vault::{Fields, VaultError},
    vendors::Provider,
};
use trunkline_media::{
    audio::{AudioFormat, vad::VadConfig},
    call::{CallConfig, CallLimits, CallPeers, Carrier},
    llm::{
        Llm, LlmLimits, ToolSpec,
        openai::{self, complete::Asked},
    },
    net::{BaseUrl, Http, Net},
    stt::{self, SttConfig, SttLimits},
    telephony::{Transfer, TransferMode},
    tools::{self, NoTools},
    tts::{self, TtsConfig, TtsLimits, VoiceSettings},
    turn::{
        AgentState, Greeting, IdleConfig, Profile, Resumed, TransferTool, TurnConfig, Voicemail, VoicemailAction,
        default_backchannels,
    },
};

use crate::{calls::recording::spool::Spool, config::Settings};

/// What all calls share.
#[derive(Debug, Clone)]
pub struct Composer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Arc<Settings>,
    net: Net,
    http: Http,
    clock: Arc<dyn Clock>,
}

/// A tenant's credentials for one call, decrypted, by provider.
#[derive(Debug, Clone, Default)]
pub struct CallKeys(BTreeMap<Provider, Fields>);

impl FromIterator<(Provider, Fields)> for CallKeys {
    fn from_iter<I: IntoIterator<Item = (Provider, Fields)>>(keys: I) -> Self {
        Self(keys.into_iter().collect())
    }
}

/// One agent's calls, ready to begin.
#[derive(Debug, Clone)]
pub struct Composed {
    shared: Arc<Shared>,
    agent: Arc<AgentConfig>,
    tenant: TenantSettings,
    speech: Access,
    voice: Access,
    models: openai::OpenAiConfig,
    /// What the carrier sends and plays.
    line: AudioFormat,
}

/// A vendor as one tenant reaches it.
#[derive(Debug, Clone)]
struct Access {
    base_url: BaseUrl,
    key: Secret,
}

/// Why an agent cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    #[error("the agent asks for {0}, which this version cannot do yet")]
    NotYet(&'static str),
    #[error(transparent)]
    Vault(VaultError),
    #[error("the tenant has no credential for {0}, and the platform has no key of its own")]
    NoCredential(Provider),
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    #[error("cannot set up the HTTP client for vendors: {0}")]
    Http(String),
    #[error("cannot set up the model's client: {0}")]
    Llm(String),
}

impl Composer {
    /// Sets up what calls share.
    pub fn new(settings: Arc<Settings>, net: Net) -> Result<Self, ComposeError> {
        let http =
            Http::new(&net, LlmLimits::default().connect).map_err(|error| ComposeError::Http(error.to_string()))?;
        Ok(Self(Arc::new(Shared { settings, net, http, clock: Arc::new(SystemClock) })))
    }

    /// The HTTP clients for vendors, users' addresses included.
    pub fn vendors_http(&self) -> &Http {
        &self.0.http
    }

    /// The HTTP client for vendors that the operator names.
    pub fn http(&self) -> &reqwest::Client {
        self.0.http.direct()
    }

    /// Where and with what key recordings are heard.
    pub(crate) fn speech(&self, keys: &CallKeys) -> Result<(BaseUrl, Secret), ComposeError> {
        let vendors = &self.0.settings.vendors;
        let access = access(keys, Provider::Deepgram, &vendors.deepgram_base_url, &vendors.deepgram_api_key)?;
        Ok((access.base_url, access.key))
    }

    /// Checks that the agent asks for nothing that is not there, and that there are keys for what it asks for.
    pub fn compose(
        &self,
        agent: AgentConfig,
        keys: &CallKeys,
        tenant: TenantSettings,
    ) -> Result<Composed, ComposeError> {
        check(&agent)?;
        let vendors = &self.0.settings.vendors;
        let access = |provider, base_url: &str, platform: &Secret| access(keys, provider, base_url, platform);
        let speech = access(Provider::Deepgram, &vendors.deepgram_base_url, &vendors.deepgram_api_key)?;
        let voice = access(Provider::Elevenlabs, &vendors.elevenlabs_base_url, &vendors.elevenlabs_api_key)?;
        let mind = access(Provider::Openai, &vendors.openai_base_url, &vendors.openai_api_key)?;
        let ai = &agent.ai_config;
        let first = (ai.model.clone(), ai.first_token_timeout_ms);
        let rest = ai.fallbacks.iter().map(|fallback| (fallback.model.clone(), fallback.first_token_timeout_ms));
        let models = std::iter::once(first)
            .chain(rest)
            .map(|(model, first_token)| openai::OpenAiModel {
                base_url: mind.base_url.clone(),
                api_key: mind.key.clone(),
                model,
                first_token: Some(Duration::from_millis(u64::from(first_token))),
                temperature: ai.temperature.map(|value| value as f32),
                max_output_tokens: ai.max_output_tokens,
                reasoning_effort: ai.reasoning_effort.and_then(name_of),
                stream_options: true,
            })
            .collect();
        let models = openai::OpenAiConfig { models, limits: LlmLimits::default(), tag: String::new() };
        let line = AudioFormat::MULAW_8K;
        let composed = Composed { shared: self.0.clone(), agent: Arc::new(agent), tenant, speech, voice, models, line };
        // What is wrong with the models shows now, not when the call begins.
        composed.llm(String::new())?;
        Ok(composed)
    }
}

impl Composer {
    /// Who analyses an agent's conversations, and by which client: its own provider, its own model unless it names another.
    pub(crate) fn analyst(&self, agent: &AgentConfig, keys: &CallKeys) -> Result<(Http, Asked), ComposeError> {
        let vendors = &self.0.settings.vendors;
        let mind = access(keys, Provider::Openai, &vendors.openai_base_url, &vendors.openai_api_key)?;
        let model = agent.analysis_config.model.as_ref().unwrap_or(&agent.ai_config.model).clone();
        Ok((self.0.http.clone(), Asked { base_url: mind.base_url, api_key: mind.key, model }))
    }
}

/// A tenant's credential goes before the platform's key, and a credential's own address before the platform's.
fn access(keys: &CallKeys, provider: Provider, base_url: &str, platform: &Secret) -> Result<Access, ComposeError> {
    let Some(fields) = keys.0.get(&provider) else {
        if platform.is_empty() {
            return Err(ComposeError::NoCredential(provider));
        }
        return Ok(Access { base_url: BaseUrl::operator(base_url), key: platform.clone() });
    };
    let key = fields.get("api_key").cloned().ok_or(ComposeError::NoCredential(provider))?;
    Ok(match fields.get("endpoint_url") {
        Some(url) => Access { base_url: BaseUrl::user(url.expose()), key },
        None => Access { base_url: BaseUrl::operator(base_url), key },
    })
}

impl Composed {
    /// The agent.
    pub fn agent(&self) -> &AgentConfig {
        &self.agent
    }

    /// For a line of another format than the telephone's own: vendors are asked for that, so that nothing is lost on the way.
    #[must_use]
    pub fn on_line(mut self, line: AudioFormat) -> Self {
        self.line = line;
        self
    }

    /// Opens a call's vendor sockets: done while it still rings, so that the first turn does not pay for it.
    pub fn peers(&self, id: CallId, carrier: Arc<dyn Carrier>) -> Result<CallPeers, ComposeError> {
        let clock = self.shared.clock.clone();
        let speech = &self.agent.speech_config;
        let stt = SttConfig {
            base_url: self.speech.base_url.clone(),
            api_key: self.speech.key.clone(),
            model: speech.model.clone(),
            language: speech.language.clone(),
            keyterms: speech.keyterms.clone(),
            redact_numbers: self.tenant.redaction.numbers,
            format: self.line,
            eager: self.agent.turn_config.eager,
            endpointing: Duration::from_millis(300),
            tag: id.to_string(),
            limits: SttLimits::default(),
        };
        let voice = &self.agent.voice_config;
        let tts = TtsConfig {
            base_url: self.voice.base_url.clone(),
            api_key: self.voice.key.clone(),
            voice_id: voice.voice_id.clone(),
            model: voice.model.clone(),
            language: voice.language.split('-').next().map(str::to_lowercase),
            settings: VoiceSettings {
                stability: voice.settings.stability.map(|value| value as f32),
                similarity_boost: voice.settings.similarity_boost.map(|value| value as f32),
                style: voice.settings.style.map(|value| value as f32),
                use_speaker_boost: voice.settings.use_speaker_boost,
                speed: voice.settings.speed.map(|value| value as f32),
            },
            format: self.line,
            tag: id.to_string(),
            limits: TtsLimits::default(),
        };
        let llm = self.llm(id.to_string())?;
        llm.warm();
        Ok(CallPeers {
            stt: stt::deepgram::open(stt, self.shared.net.clone(), clock.clone()),
            tts: tts::elevenlabs::open(tts, self.shared.net.clone(), clock.clone()),
            llm: Arc::new(llm),
            tools: Arc::new(NoTools),
            carrier,
            clock,
        })
    }

    fn llm(&self, tag: String) -> Result<openai::OpenAi, ComposeError> {
        openai::OpenAi::with_client(openai::OpenAiConfig { tag, ..self.models.clone() }, self.shared.http.clone())
            .map_err(|error| ComposeError::Llm(error.to_string()))
    }

    /// How one call is to go. `context` fills the variables of the instructions, over the agent's own. A call that comes back after its
    /// process died goes on from what is known of it, and is recorded as one more part.
    pub fn config(
        &self,
        id: CallId,
        context: &BTreeMap<String, String>,
        resumed: Option<(Resumed, u32)>,
    ) -> CallConfig {
        let recorded = self.agent.call_config.recording.enabled.or(self.tenant.recording_enabled);
        let recorded = recorded.unwrap_or(self.shared.settings.record);
        let resumed = resumed.map(|(resumed, _)| resumed);
        let begins = resumed.as_ref().map_or(0, |resumed| resumed.clock.as_millis());
        CallConfig {
            id,
            turn: self.turn(context),
            vad: VadConfig::default(),
            lead: self.shared.settings.lead(),
            voice_format: self.line,
            recording: recorded.then(|| Spool::new(&self.shared.settings.data).next(id, begins)),
            limits: CallLimits::default(),
            resumed,
        }
    }

    fn turn(&self, context: &BTreeMap<String, String>) -> TurnConfig {
        let agent = &self.agent;
        let mut variables = agent.ai_config.variables.clone();
        variables.extend(context.iter().map(|(name, value)| (name.clone(), value.clone())));
        let render = |text: &str| stored::render(text, &variables);
        let transfer_tool = transfer_tool(agent);
        let keys_tool = tool_of(agent, ToolKind::Dtmf).map(|tool| tool.name.clone());
        let turn = &agent.turn_config;
        let call = &agent.call_config;
        let defaults = TurnConfig::default();
        let states = [
            (AgentState::Listening, TurnState::Listening),
            (AgentState::Thinking, TurnState::Thinking),
            (AgentState::Speaking, TurnState::Speaking),
            (AgentState::ToolRunning, TurnState::ToolRunning),
        ];
        TurnConfig {
            instructions: render(&agent.ai_config.instructions),
            tools: specs(agent, transfer_tool.as_ref()).into(),
            turn_detection: if agent.speech_config.model.starts_with("flux") {
                stt::TurnDetection::Recogniser
            } else {
                stt::TurnDetection::Endpointing
            },
            eager: turn.eager,
            consent: call.recording.consent_text.as_deref().map(render),
            greeting: call
                .greeting
                .text
                .as_deref()
                .map(|text| Greeting { text: render(text), interruptible: call.greeting.interruptible }),
            transfer_tool,
            keys_tool,
            voicemail: Voicemail {
                action: match call.voicemail.action {
                    stored::VoicemailAction::HangUp => VoicemailAction::HangUp,
                    stored::VoicemailAction::LeaveMessage => VoicemailAction::LeaveMessage,
                    stored::VoicemailAction::Continue => VoicemailAction::Continue,
                },
                message: call.voicemail.message.as_deref().map(render),
                ..Voicemail::default()
            },
            goodbye: agent.call_config.goodbye.as_deref().map(render),
            idle: IdleConfig {
                after: Duration::from_secs(u64::from(agent.call_config.idle.after_s)),
                prompts: agent.call_config.idle.prompts.clone(),
                hang_up_after: agent.call_config.idle.hang_up_after,
            },
            max_duration: Duration::from_secs(u64::from(agent.call_config.max_duration_s)),
            dtmf_collect: Duration::from_millis(u64::from(agent.call_config.dtmf.collect_ms)),
            dtmf_terminator: match agent.call_config.dtmf.terminator {
                stored::Terminator::Hash => Some('#'),
                stored::Terminator::Star => Some('*'),
                stored::Terminator::None => None,
            },
            profile: profile(turn),
            profiles: states.map(|(state, stored)| (state, profile(&turn.in_state(stored)))).into(),
            backchannels: if turn.interruptions.backchannels.is_empty() {
                default_backchannels()
            } else {
                turn.interruptions.backchannels.clone()
            },
            ..defaults
        }
    }
}

/// The first of an agent's tools of a kind.
fn tool_of(agent: &AgentConfig, kind: ToolKind) -> Option<&stored::Tool> {
    agent.tools.iter().find(|tool| tool.kind == kind)
}

/// What the agent may call to hand callers over; `None`: it may not, or has nobody to hand them to.
fn transfer_tool(agent: &AgentConfig) -> Option<TransferTool> {
    let tool = tool_of(agent, ToolKind::Transfer)?;
    let mode = |mode| match mode {
        stored::TransferMode::Cold => TransferMode::Cold,
        stored::TransferMode::Warm => TransferMode::Warm,
    };
    let targets: Vec<_> = agent
        .call_config
        .transfer_targets
        .iter()
        .filter_map(|target| Some((target.name.clone(), Transfer::new(target.number.expose(), mode(target.mode))?)))
        .collect();
    (!targets.is_empty()).then(|| TransferTool { name: tool.name.clone(), targets })
}

/// What the model is told of the tools that it has.
fn specs(agent: &AgentConfig, transfer: Option<&TransferTool>) -> Vec<ToolSpec> {
    let described = |kind, spec: ToolSpec| match tool_of(agent, kind) {
        Some(tool) if !tool.description.is_empty() => ToolSpec { description: tool.description.clone(), ..spec },
        _ => spec,
    };
    let end_call = tool_of(agent, ToolKind::EndCall).map(|_| described(ToolKind::EndCall, tools::end_call()));
    let transfer = transfer.map(|tool| {
        let names: Vec<_> = tool.targets.iter().map(|(name, _)| name.as_str()).collect();
        described(ToolKind::Transfer, tools::transfer(&tool.name, &names))
    });
    let keys = tool_of(agent, ToolKind::Dtmf).map(|tool| described(ToolKind::Dtmf, tools::press_keys(&tool.name)));
    [end_call, transfer, keys].into_iter().flatten().collect()
}

fn profile(turn: &stored::TurnConfig) -> Profile {
    let ms = |ms: u32| Duration::from_millis(u64::from(ms));
    Profile {
        min_endpoint: ms(turn.min_endpoint_ms),
        max_endpoint: ms(turn.max_endpoint_ms),
        interruptions: turn.interruptions.enabled,
        min_speech: ms(turn.interruptions.min_speech_ms),
        min_words: turn.interruptions.min_words,
        false_after: ms(turn.interruptions.false_after_ms),
    }
}

/// What an agent may ask for and this version does not have is refused, not ignored.
fn check(agent: &AgentConfig) -> Result<(), ComposeError> {
    use stored::{AiProvider, Mode, SpeechProvider, VoiceProvider};
    let refused = [
        (agent.mode != Mode::Pipeline, "mode speech_to_speech"),
        (agent.ai_config.provider != AiProvider::Openai, "an AI provider other than openai"),
        (
            agent.ai_config.fallbacks.iter().any(|f| f.provider != AiProvider::Openai),
            "an AI fallback other than openai",
        ),
        (agent.speech_config.provider != SpeechProvider::Deepgram, "a speech provider other than deepgram"),
        (!agent.speech_config.fallbacks.is_empty(), "speech fallbacks"),
        (agent.voice_config.provider != VoiceProvider::Elevenlabs, "a voice provider other than elevenlabs"),
        (!agent.voice_config.fallbacks.is_empty(), "voice fallbacks"),
        (
            agent.tools.iter().any(|tool| matches!(tool.kind, ToolKind::Http | ToolKind::Mcp | ToolKind::Salesforce)),
            "a tool other than end_call, transfer and dtmf",
        ),
        (!agent.voice_config.pronunciations.is_empty(), "pronunciations"),
        (agent.voice_config.background.is_some(), "background sound"),
        (!agent.knowledge.document_ids.is_empty(), "knowledge documents"),
    ];
    match refused.into_iter().find(|(refused, _)| *refused) {
        Some((_, what)) => Err(ComposeError::NotYet(what)),
        None => Ok(()),
    }
}

/// The name that a unit variant is serialised as.
fn name_of(value: impl serde::Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}
