//! Settings from the environment. Each is documented here, once, with its default and unit; the command line shows them too.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use trunkline_base::Secret;
use url::Url;

/// What `serve` needs to know.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Address to listen on. Port 0 picks a free one.
    #[arg(long, env = "BIND", default_value = "127.0.0.1:8000")]
    pub bind: SocketAddr,
    /// Where carriers reach this server, without a trailing slash. Signatures are checked against it, never against what a request
    /// claims. Default: http:// and the address listened on.
    #[arg(long, env = "PUBLIC_URL")]
    pub public_url: Option<Url>,
    /// Folder for what the server keeps: recordings.
    #[arg(long, env = "TRUNKLINE_DATA", default_value = "data")]
    pub data: PathBuf,
    /// Calls at once, ringing ones included. Above it, callers hear busy.
    #[arg(long, env = "MAX_CALLS", default_value_t = 1000)]
    pub max_calls: usize,
    /// Seconds that live calls have to end after SIGTERM.
    #[arg(long, env = "DRAIN_SECONDS", default_value_t = 300)]
    pub drain_seconds: u64,
    /// Whether calls are recorded where the agent does not say.
    #[arg(long, env = "RECORD_CALLS", default_value_t = true, action = clap::ArgAction::Set)]
    pub record: bool,
    /// Milliseconds that audio is sent ahead of playing, 100 to 200. Less risks gaps on a busy machine; more cannot be taken back
    /// when the caller interrupts.
    #[arg(long, env = "LEAD_MS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(100..=200))]
    pub lead_ms: u64,
    /// PEM file with authorities to trust beside the web's: a proxy's or a simulator's.
    #[arg(long, env = "EXTRA_CA_FILE")]
    pub extra_ca_file: Option<PathBuf>,
    /// Vendors.
    #[command(flatten)]
    pub vendors: Vendors,
}

/// Vendors' keys and addresses. Any address can be a proxy, a compatible server or a simulator.
#[derive(Debug, Clone, Args)]
pub struct Vendors {
    /// Deepgram's key.
    #[arg(long, env = "DEEPGRAM_API_KEY", hide_env_values = true, default_value = "", value_parser = secret)]
    pub deepgram_api_key: Secret,
    /// Deepgram's address.
    #[arg(long, env = "DEEPGRAM_BASE_URL", default_value = "https://api.deepgram.com")]
    pub deepgram_base_url: String,
    /// OpenAI's key.
    #[arg(long, env = "OPENAI_API_KEY", hide_env_values = true, default_value = "", value_parser = secret)]
    pub openai_api_key: Secret,
    /// OpenAI's address, with its version.
    #[arg(long, env = "OPENAI_BASE_URL", default_value = "https://api.openai.com/v1")]
    pub openai_base_url: String,
    /// ElevenLabs' key.
    #[arg(long, env = "ELEVENLABS_API_KEY", hide_env_values = true, default_value = "", value_parser = secret)]
    pub elevenlabs_api_key: Secret,
    /// ElevenLabs' address.
    #[arg(long, env = "ELEVENLABS_BASE_URL", default_value = "https://api.elevenlabs.io")]
    pub elevenlabs_base_url: String,
    /// Twilio's account.
    #[arg(long, env = "TWILIO_ACCOUNT_SID", default_value = "")]
    pub twilio_account_sid: String,
    /// The account's primary token: webhooks and media sockets are checked with it.
    #[arg(long, env = "TWILIO_AUTH_TOKEN", hide_env_values = true, default_value = "", value_parser = secret)]
    pub twilio_auth_token: Secret,
    /// Twilio's address.
    #[arg(long, env = "TWILIO_BASE_URL", default_value = "https://api.twilio.com")]
    pub twilio_base_url: String,
}

/// What makes settings unusable.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error(
        "BIND is {0}, which is not a loopback address: until there are tenants and credentials to check callers against, the \
             server listens on 127.0.0.1 or [::1] only; put a tunnel or a TLS proxy in front of it and set PUBLIC_URL to its address"
    )]
    NotLoopback(IpAddr),
    #[error("these settings are missing: {}. `trunkline serve --help` describes them; `trunkline simulate` prints a set for trying out", .0.join(", "))]
    Missing(Vec<&'static str>),
    #[error(
        "PUBLIC_URL must be http:// or https:// with a host and without path, query or user, such as https://voice.example.com"
    )]
    PublicUrl,
    #[error("cannot read EXTRA_CA_FILE {path}: {cause}")]
    ExtraCa { path: PathBuf, cause: String },
}

impl Settings {
    /// Names all that is wrong at once.
    pub fn check(&self) -> Result<(), SettingsError> {
        if !self.bind.ip().is_loopback() {
            return Err(SettingsError::NotLoopback(self.bind.ip()));
        }
        if let Some(url) = &self.public_url {
            let plain = matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.path() == "/"
                && url.query().is_none()
                && url.username().is_empty();
            if !plain {
                return Err(SettingsError::PublicUrl);
            }
        }
        let vendors = &self.vendors;
        let missing: Vec<_> = [
            ("DEEPGRAM_API_KEY", vendors.deepgram_api_key.is_empty()),
            ("OPENAI_API_KEY", vendors.openai_api_key.is_empty()),
            ("ELEVENLABS_API_KEY", vendors.elevenlabs_api_key.is_empty()),
            ("TWILIO_ACCOUNT_SID", vendors.twilio_account_sid.is_empty()),
            ("TWILIO_AUTH_TOKEN", vendors.twilio_auth_token.is_empty()),
        ]
        .into_iter()
        .filter_map(|(name, missing)| missing.then_some(name))
        .collect();
        if missing.is_empty() { Ok(()) } else { Err(SettingsError::Missing(missing)) }
    }

    /// Where carriers reach this server that listens on `local`; no trailing slash.
    pub fn public_url(&self, local: SocketAddr) -> String {
        match &self.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("http://{local}"),
        }
    }

    /// How far ahead of playing audio is sent.
    pub const fn lead(&self) -> Duration {
        Duration::from_millis(self.lead_ms)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "clap's value parsers return a result")]
fn secret(value: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(value))
}
