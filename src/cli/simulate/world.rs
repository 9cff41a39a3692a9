//! The simulators together, and the settings that point a server at them.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::Instant;
use trunkline_base::Secret;
use trunkline_sim::{
    anthropic::{AnthropicConfig, AnthropicSim},
    deepgram::{DeepgramConfig, DeepgramSim},
    elevenlabs::{ElevenLabsConfig, ElevenLabsSim},
    keys::RSA_PUBLIC,
    openai::{OpenAiConfig, OpenAiSim, Rules},
    recogniser::Library,
    salesforce::{App, SalesforceConfig, SalesforceSim},
    server::TlsIdentity,
    supabase::{SupabaseConfig, SupabaseSim, User},
    twilio::{Account, TwilioConfig, TwilioSim},
    voice::Voice,
    vonage::{Application, VonageConfig, VonageSim},
};
use url::Url;

use super::fault::{Faults, Vendor};
use crate::config::Vendors;

/// The simulated carrier's one customer.
pub const ACCOUNT_SID: &str = "AC00000000000000000000000000000001";
/// Its token.
pub const AUTH_TOKEN: &str = "simulated-twilio-auth-token";
/// Its number.
pub const NUMBER: &str = "+15005550006";
const DEEPGRAM_KEY: &str = "simulated-deepgram-key";
const VONAGE_KEY: &str = "a1b2c3d4";
const VONAGE_SECRET: &str = "simulated-vonage-secret";
const VONAGE_SIGNATURE_SECRET: &str = "simulated-vonage-signature-secret";
const VONAGE_APPLICATION: &str = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab";
/// Vonage's number, which it writes without the plus.
const VONAGE_NUMBER: &str = "15005550007";
const SALESFORCE_ID: &str = "simulated-salesforce-client-id";
const SALESFORCE_SECRET: &str = "simulated-salesforce-client-secret";
const SALESFORCE_USER: &str = "agent@example.com";
/// The one user of the simulated project, who can log in with this password.
const SUPABASE_USER: (&str, &str) = ("ann@example.com", "simulated-password");
/// How many simulators there are.
pub const COUNT: usize = 8;

/// How the simulators behave.
#[derive(Clone)]
pub struct SimulatorConfig {
    /// Where Deepgram, ElevenLabs, OpenAI, Twilio, Anthropic, Vonage, Salesforce and Supabase listen, in this order. Port 0 picks a free
    /// one.
    pub addresses: [SocketAddr; COUNT],
    /// TLS with a certificate of their own.
    pub tls: bool,
    /// What the recogniser knows.
    pub library: Arc<Library>,
    /// What the voice sounds like.
    pub voice: Voice,
    /// What the model answers.
    pub rules: Rules,
    /// How long they take.
    pub delays: Delays,
    /// Where the simulated Vonage's application is asked and told; nowhere without.
    pub vonage_webhook: Option<String>,
    /// What goes wrong.
    pub faults: Faults,
}

/// How long the simulators take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delays {
    /// Every result of the recogniser is held back for so long.
    pub stt: Duration,
    /// From a completion's request to its first token.
    pub llm_ttft: Duration,
    /// From one token to the next.
    pub llm_token: Duration,
    /// From text to the voice's first audio.
    pub tts_first_byte: Duration,
    /// How much the model's and the voice's delays vary, as a share of them: 0 to 1.
    pub jitter: f64,
    /// What the variation is drawn from.
    pub seed: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            stt: Duration::ZERO,
            llm_ttft: Duration::from_millis(150),
            llm_token: Duration::from_millis(15),
            tts_first_byte: Duration::from_millis(120),
            jitter: 0.0,
            seed: 0,
        }
    }
}

/// The simulators, running. Dropping it cuts all their connections.
pub struct Simulators {
    pub deepgram: DeepgramSim,
    pub elevenlabs: ElevenLabsSim,
    pub openai: OpenAiSim,
    pub twilio: TwilioSim,
    pub anthropic: AnthropicSim,
    pub vonage: VonageSim,
    pub salesforce: SalesforceSim,
    pub supabase: SupabaseSim,
    tls: Option<TlsIdentity>,
    keys: Keys,
}

struct Keys {
    openai: String,
    elevenlabs: String,
    anthropic: String,
    supabase: [String; 2],
    /// What the project's tokens can be checked with too.
    supabase_jwt: String,
}

/// Why the simulators don't start.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    #[error("the {vendor} simulator cannot listen on {address}: {cause}")]
    Bind { vendor: &'static str, address: SocketAddr, cause: io::Error },
    #[error("cannot make a certificate: {0}")]
    Tls(String),
}

impl Simulators {
    /// Starts them all.
    pub async fn start(config: SimulatorConfig) -> Result<Self, SimulatorError> {
        let tls = config.tls.then(TlsIdentity::generate).transpose();
        let tls = tls.map_err(|error| SimulatorError::Tls(error.to_string()))?;
        let bind = |vendor, address| move |cause| SimulatorError::Bind { vendor, address, cause };
        let SimulatorConfig { addresses, delays, faults, .. } = config;
        let deepgram = DeepgramConfig {
            result_delay: delays.stt,
            script: faults.script(Vendor::Deepgram),
            seed: delays.seed,
            ..DeepgramConfig::new(DEEPGRAM_KEY, config.library)
        };
        let elevenlabs = ElevenLabsConfig {
            voice: config.voice,
            voices: Vec::new(),
            first_byte_delay: delays.tts_first_byte,
            script: faults.script(Vendor::ElevenLabs),
            jitter: delays.jitter,
            seed: delays.seed,
            ..ElevenLabsConfig::default()
        };
        let anthropic = AnthropicConfig {
            any_model: true,
            rules: config.rules.clone(),
            ttft: delays.llm_ttft,
            token_interval: delays.llm_token,
            script: faults.script(Vendor::Anthropic),
            jitter: delays.jitter,
            seed: delays.seed,
            ..AnthropicConfig::default()
        };
        let openai = OpenAiConfig {
            models: Vec::new(),
            rules: config.rules,
            ttft: delays.llm_ttft,
            token_interval: delays.llm_token,
            script: faults.script(Vendor::OpenAi),
            jitter: delays.jitter,
            seed: delays.seed,
            ..OpenAiConfig::default()
        };
        let account = Account { sid: ACCOUNT_SID.into(), auth_token: AUTH_TOKEN.into(), numbers: vec![NUMBER.into()] };
        let twilio = TwilioConfig { script: faults.script(Vendor::Twilio), ..TwilioConfig::new(account) };
        let webhook = config.vonage_webhook.unwrap_or_default();
        let application =
            Application { answer_url: webhook.clone(), event_url: webhook, ..Application::new(VONAGE_APPLICATION) };
        let vonage = VonageConfig {
            signature_secret: VONAGE_SIGNATURE_SECRET.into(),
            script: faults.script(Vendor::Vonage),
            ..VonageConfig::new(VONAGE_KEY, VONAGE_SECRET, application, VONAGE_NUMBER)
        };
        let app = App {
            client_id: SALESFORCE_ID.into(),
            client_secret: SALESFORCE_SECRET.into(),
            certificate: Some(RSA_PUBLIC.into()),
            run_as: Some(SALESFORCE_USER.into()),
            approved: vec![SALESFORCE_USER.into()],
            refresh_token: None,
        };
        let salesforce = SalesforceConfig { script: faults.script(Vendor::Salesforce), ..SalesforceConfig::new(app) };
        let supabase = SupabaseConfig {
            users: vec![User::new(SUPABASE_USER.0, SUPABASE_USER.1)],
            auth_script: faults.script(Vendor::Supabase),
            ..SupabaseConfig::default()
        };
        let keys = Keys {
            openai: openai.api_key.clone(),
            elevenlabs: elevenlabs.api_key.clone(),
            anthropic: anthropic.api_key.clone(),
            supabase: [supabase.publishable_key.clone(), supabase.secret_key.clone()],
            supabase_jwt: supabase.jwt_secret.clone(),
        };
        let [at_deepgram, at_elevenlabs, at_openai, at_twilio, at_anthropic, at_vonage, at_salesforce, at_supabase] =
            addresses;
        let tls_ref = tls.as_ref();
        Ok(Self {
            deepgram: DeepgramSim::start(at_deepgram, deepgram, tls_ref)
                .await
                .map_err(bind("Deepgram", at_deepgram))?,
            elevenlabs: ElevenLabsSim::start(at_elevenlabs, elevenlabs, tls_ref)
                .await
                .map_err(bind("ElevenLabs", at_elevenlabs))?,
            openai: OpenAiSim::start(at_openai, openai, tls_ref).await.map_err(bind("OpenAI", at_openai))?,
            twilio: TwilioSim::start(at_twilio, twilio, tls_ref).await.map_err(bind("Twilio", at_twilio))?,
            anthropic: AnthropicSim::start(at_anthropic, anthropic, tls_ref)
                .await
                .map_err(bind("Anthropic", at_anthropic))?,
            vonage: VonageSim::start(at_vonage, vonage, tls_ref).await.map_err(bind("Vonage", at_vonage))?,
            salesforce: SalesforceSim::start(at_salesforce, salesforce, tls_ref)
                .await
                .map_err(bind("Salesforce", at_salesforce))?,
            supabase: SupabaseSim::start(at_supabase, supabase, tls_ref)
                .await
                .map_err(bind("Supabase", at_supabase))?,
            tls,
            keys,
        })
    }

    /// The certificate of the authority to trust, PEM, if the simulators speak TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.tls.as_ref().map(TlsIdentity::ca_pem)
    }

    /// The settings that point a server at the simulators.
    pub fn vendors(&self) -> Vendors {
        Vendors {
            deepgram_api_key: Secret::new(DEEPGRAM_KEY),
            deepgram_base_url: self.deepgram.http_url(),
            openai_api_key: Secret::new(self.keys.openai.clone()),
            openai_base_url: self.openai.base_url(),
            elevenlabs_api_key: Secret::new(self.keys.elevenlabs.clone()),
            elevenlabs_base_url: self.elevenlabs.server().http_url(),
            twilio_account_sid: ACCOUNT_SID.into(),
            twilio_auth_token: Secret::new(AUTH_TOKEN),
            twilio_base_url: self.twilio.http_url(),
            anthropic_api_key: Secret::new(self.keys.anthropic.clone()),
            anthropic_base_url: self.anthropic.base_url(),
            vonage_base_url: self.vonage.server().http_url(),
            salesforce_login_url: Url::parse(&self.salesforce.login_url()).ok(),
            ..Vendors::default()
        }
    }

    /// The same settings as environment variables, with what the other simulators are reached by. The keys are the simulators' own: no
    /// secret.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let vendors = self.vendors();
        vec![
            ("DEEPGRAM_BASE_URL", vendors.deepgram_base_url),
            ("DEEPGRAM_API_KEY", vendors.deepgram_api_key.expose().to_owned()),
            ("ELEVENLABS_BASE_URL", vendors.elevenlabs_base_url),
            ("ELEVENLABS_API_KEY", vendors.elevenlabs_api_key.expose().to_owned()),
            ("OPENAI_BASE_URL", vendors.openai_base_url),
            ("OPENAI_API_KEY", vendors.openai_api_key.expose().to_owned()),
            ("TWILIO_BASE_URL", vendors.twilio_base_url),
            ("TWILIO_ACCOUNT_SID", vendors.twilio_account_sid),
            ("TWILIO_AUTH_TOKEN", vendors.twilio_auth_token.expose().to_owned()),
            ("ANTHROPIC_BASE_URL", vendors.anthropic_base_url),
            ("ANTHROPIC_API_KEY", vendors.anthropic_api_key.expose().to_owned()),
            ("VONAGE_BASE_URL", vendors.vonage_base_url),
            ("SALESFORCE_LOGIN_URL", self.salesforce.login_url()),
        ]
    }

    /// What the simulators without a setting of the server's own know: credentials to be given to the API, and the Supabase project, which
    /// would make a server believe that it is in production.
    pub fn notes(&self) -> Vec<String> {
        let key = "private key: media/sim/src/keys/test-only-rsa-private.pem";
        let [publishable, secret] = &self.keys.supabase;
        let (email, password) = SUPABASE_USER;
        vec![
            format!(
                "Vonage: api_key {VONAGE_KEY}, api_secret {VONAGE_SECRET}, application_id {VONAGE_APPLICATION}, signature_secret \
                 {VONAGE_SIGNATURE_SECRET}, number +{VONAGE_NUMBER}; {key}"
            ),
            format!(
                "Salesforce: client_id {SALESFORCE_ID}, client_secret {SALESFORCE_SECRET}, username {SALESFORCE_USER}; {key}"
            ),
            format!(
                "Supabase: SUPABASE_URL={} SUPABASE_JWT_SECRET={}",
                self.supabase.base_url(),
                self.keys.supabase_jwt
            ),
            format!("Supabase: keys {publishable} and {secret}, user {email} with the password {password}"),
        ]
    }

    /// Connections and requests that are open now, by simulator; those with none are left out.
    pub fn open_connections(&self) -> Vec<(&'static str, usize)> {
        let open = [
            ("deepgram", self.deepgram.connections()),
            ("elevenlabs", self.elevenlabs.connections()),
            ("openai", self.openai.running()),
            ("anthropic", self.anthropic.running()),
        ];
        open.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// Waits until no connection is open; what is open still after `limit` is returned.
    pub async fn settled(&self, limit: Duration) -> Vec<(&'static str, usize)> {
        const LOOK_EVERY: Duration = Duration::from_millis(20);
        let deadline = Instant::now() + limit;
        loop {
            let open = self.open_connections();
            if open.is_empty() || Instant::now() >= deadline {
                return open;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
