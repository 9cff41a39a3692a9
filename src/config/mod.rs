//! Settings from the environment. Each is documented here, once, with its default and unit; the command line shows them too.

mod edge;
mod objects;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use trunkline_base::{
    Secret,
    guard::{AllowedRanges, BadRange},
};
use trunkline_control::{credentials::private_key, vault::Vault};
use url::Url;

pub use self::{
    edge::Edge,
    objects::{Objects, Place},
};

/// What `serve` needs to know.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// `production` or `development`. Unset: development, if neither DATABASE_URL nor SUPABASE_URL is set. Production starts with
    /// nothing missing and nothing weak; development makes what is missing, and keeps it in its data folder.
    #[arg(long, env = "TRUNKLINE_ENV", value_enum)]
    pub environment: Option<Environment>,
    /// Address to listen on. Port 0 picks a free one.
    #[arg(long, env = "BIND", default_value = "127.0.0.1:8000")]
    pub bind: SocketAddr,
    /// Where carriers reach this server, without a trailing slash. Signatures are checked against it, never against what a request
    /// claims. Default: http:// and the address listened on. A worker dials for campaigns only if it is set.
    #[arg(long, env = "PUBLIC_URL")]
    pub public_url: Option<Url>,
    /// Where carriers reach this node of several. Default: PUBLIC_URL.
    #[arg(long, env = "NODE_URL")]
    pub node_url: Option<Url>,
    /// Folder for what the server keeps: the private Postgres, generated keys, recordings until they are stored.
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
    /// Whether this process does background jobs too: analyses, webhooks, campaigns. Without, `trunkline worker` has to run beside it.
    #[arg(long, env = "RUN_JOBS", default_value_t = true, action = clap::ArgAction::Set)]
    pub run_jobs: bool,
    /// PEM file with authorities to trust beside the web's: a proxy's or a simulator's.
    #[arg(long, env = "EXTRA_CA_FILE")]
    pub extra_ca_file: Option<PathBuf>,
    /// Where things are stored.
    #[command(flatten)]
    pub store: Store,
    /// Where recordings are kept.
    #[command(flatten)]
    pub objects: Objects,
    /// Who may do what.
    #[command(flatten)]
    pub security: Security,
    /// Who may ask, and how often.
    #[command(flatten)]
    pub edge: Edge,
    /// Vendors.
    #[command(flatten)]
    pub vendors: Vendors,
}

/// What a server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Environment {
    Production,
    Development,
}

/// The database.
#[derive(Debug, Clone, Args)]
pub struct Store {
    /// Postgres 15 or newer, on its direct or session port. Default: a private one, in the data folder.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, default_value = "", value_parser = secret)]
    pub database_url: Secret,
    /// The same database as its owner, who migrates it. Default: DATABASE_URL.
    #[arg(long, env = "MIGRATE_DATABASE_URL", hide_env_values = true, default_value = "", value_parser = secret)]
    pub migrate_database_url: Secret,
    /// Folder with the server programs of Postgres, for the private one. Default: the newest that is found.
    #[arg(long, env = "PG_BIN")]
    pub pg_bin: Option<PathBuf>,
}

/// Tokens and keys.
#[derive(Debug, Clone, Args)]
pub struct Security {
    /// The Supabase project's address, without a trailing slash. Users' tokens that are signed with one of its published keys (ES256,
    /// RS256) are taken if their issuer is this address with `/auth/v1` behind it.
    #[arg(long, env = "SUPABASE_URL")]
    pub supabase_url: Option<Url>,
    /// The project's JWT secret, for users' tokens that are signed with it (HS256). At least 32 bytes. Default: such tokens are
    /// refused; in development, one that is made once. Production needs this or SUPABASE_URL.
    #[arg(long, env = "SUPABASE_JWT_SECRET", hide_env_values = true, default_value = "", value_parser = secret)]
    pub supabase_jwt_secret: Secret,
    /// The project's secret key, with which its health is asked.
    #[arg(long, env = "SUPABASE_SERVICE_KEY", hide_env_values = true, default_value = "", value_parser = secret)]
    pub supabase_service_key: Secret,
    /// Fernet keys with commas between: the first encrypts credentials, all decrypt them. `trunkline keys generate` makes one.
    #[arg(long, env = "ENCRYPTION_KEY", hide_env_values = true, default_value = "", value_parser = secret)]
    pub encryption_key: Secret,
    /// What API keys are hashed under. At least 32 bytes. With another one, all keys that were made before are refused.
    #[arg(long, env = "API_KEY_SECRET", hide_env_values = true, default_value = "", value_parser = secret)]
    pub api_key_secret: Secret,
    /// Whether a user's own word is enough to begin a tenant that does not exist. Default: in development.
    #[arg(long, env = "TENANT_AUTO_PROVISION")]
    pub tenant_auto_provision: Option<bool>,
    /// Address ranges inside which the addresses of credentials may point, with commas between, such as `10.1.0.0/16`. Default: none;
    /// in development, loopback.
    #[arg(long, env = "ALLOWED_PRIVATE_RANGES")]
    pub allowed_private_ranges: Option<String>,
}

/// Vendors' keys, for tenants without their own, and addresses. Any address can be a proxy, a compatible server or a simulator.
#[derive(Debug, Clone, Args)]
pub struct Vendors {
    /// Deepgram's key.
    #[arg(long, env = "DEEPGRAM_API_KEY", hide_env_values = true, default_value = "", value_parser = secret)]
    pub deepgram_api_key: Secret,
    /// Deepgram's address.
    #[arg(long, env = "DEEPGRAM_BASE_URL", default_value = "https://api.deepgram.com")]
    pub deepgram_base_url: String,
    /// Anthropic's key.
    #[arg(long, env = "ANTHROPIC_API_KEY", hide_env_values = true, default_value = "", value_parser = secret)]
    pub anthropic_api_key: Secret,
    /// Anthropic's address.
    #[arg(long, env = "ANTHROPIC_BASE_URL", default_value = "https://api.anthropic.com")]
    pub anthropic_base_url: String,
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
    /// That account's primary token: its webhooks and media sockets are checked with it.
    #[arg(long, env = "TWILIO_AUTH_TOKEN", hide_env_values = true, default_value = "", value_parser = secret)]
    pub twilio_auth_token: Secret,
    /// Twilio's address.
    #[arg(long, env = "TWILIO_BASE_URL", default_value = "https://api.twilio.com")]
    pub twilio_base_url: String,
    /// Vonage's account: its API key. An account counts when all five of its settings are there.
    #[arg(long, env = "VONAGE_API_KEY", default_value = "")]
    pub vonage_api_key: String,
    /// That account's API secret.
    #[arg(long, env = "VONAGE_API_SECRET", hide_env_values = true, default_value = "", value_parser = secret)]
    pub vonage_api_secret: Secret,
    /// The account's voice application.
    #[arg(long, env = "VONAGE_APPLICATION_ID", default_value = "")]
    pub vonage_application_id: String,
    /// That application's private key, RSA in PEM; its line breaks may be written as `\n`.
    #[arg(long, env = "VONAGE_PRIVATE_KEY", hide_env_values = true, default_value = "", value_parser = secret)]
    pub vonage_private_key: Secret,
    /// What Vonage signs webhooks with.
    #[arg(long, env = "VONAGE_SIGNATURE_SECRET", hide_env_values = true, default_value = "", value_parser = secret)]
    pub vonage_signature_secret: Secret,
    /// Vonage's address, or a region's. Any other than Vonage's own stands for its account and its numbers too.
    #[arg(long, env = "VONAGE_BASE_URL", default_value = "https://api.nexmo.com")]
    pub vonage_base_url: String,
    /// An address that stands for every Salesforce organisation: a proxy's or a simulator's. Default: each organisation's own.
    #[arg(long, env = "SALESFORCE_LOGIN_URL")]
    pub salesforce_login_url: Option<Url>,
}

impl Default for Vendors {
    /// The vendors' own addresses, and no keys, whatever the environment says.
    fn default() -> Self {
        Self {
            deepgram_api_key: Secret::default(),
            deepgram_base_url: "https://api.deepgram.com".into(),
            anthropic_api_key: Secret::default(),
            anthropic_base_url: "https://api.anthropic.com".into(),
            openai_api_key: Secret::default(),
            openai_base_url: "https://api.openai.com/v1".into(),
            elevenlabs_api_key: Secret::default(),
            elevenlabs_base_url: "https://api.elevenlabs.io".into(),
            twilio_account_sid: String::new(),
            twilio_auth_token: Secret::default(),
            twilio_base_url: "https://api.twilio.com".into(),
            vonage_api_key: String::new(),
            vonage_api_secret: Secret::default(),
            vonage_application_id: String::new(),
            vonage_private_key: Secret::default(),
            vonage_signature_secret: Secret::default(),
            vonage_base_url: "https://api.nexmo.com".into(),
            salesforce_login_url: None,
        }
    }
}

impl Vendors {
    /// The same addresses, without the platform's own keys.
    #[must_use]
    pub fn without_keys(&self) -> Self {
        Self {
            deepgram_base_url: self.deepgram_base_url.clone(),
            anthropic_base_url: self.anthropic_base_url.clone(),
            openai_base_url: self.openai_base_url.clone(),
            elevenlabs_base_url: self.elevenlabs_base_url.clone(),
            twilio_base_url: self.twilio_base_url.clone(),
            vonage_base_url: self.vonage_base_url.clone(),
            salesforce_login_url: self.salesforce_login_url.clone(),
            ..Self::default()
        }
    }
}

/// Everything that makes settings unusable.
#[derive(Debug, thiserror::Error)]
#[error("these settings are not usable:\n  {}\n`trunkline serve --help` describes them", .0.join("\n  "))]
pub struct SettingsError(Vec<String>);

/// The least that a secret has to have, in bytes.
const STRONG: usize = 32;

impl Settings {
    /// As with nothing set, on any free port of this machine and with this data folder, and without background jobs, whose requests would
    /// stand among those of calls: for demonstrations and tests.
    pub fn local(data: PathBuf, vendors: Vendors) -> Self {
        Self {
            environment: Some(Environment::Development),
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_url: None,
            node_url: None,
            data,
            max_calls: 1000,
            drain_seconds: 5,
            record: true,
            lead_ms: 120,
            run_jobs: false,
            extra_ca_file: None,
            store: Store { database_url: Secret::default(), migrate_database_url: Secret::default(), pg_bin: None },
            objects: Objects::default(),
            security: Security {
                supabase_url: None,
                supabase_jwt_secret: Secret::default(),
                supabase_service_key: Secret::default(),
                encryption_key: Secret::default(),
                api_key_secret: Secret::default(),
                tenant_auto_provision: None,
                allowed_private_ranges: None,
            },
            edge: Edge::default(),
            vendors,
        }
    }

    /// What this server is for.
    pub fn environment(&self) -> Environment {
        self.environment.unwrap_or(if self.store.database_url.is_empty() && self.security.supabase_url.is_none() {
            Environment::Development
        } else {
            Environment::Production
        })
    }

    /// Names all that is wrong at once.
    pub fn check(&self) -> Result<(), SettingsError> {
        let mut wrong = Vec::new();
        let supabase = &self.security.supabase_url;
        for (name, url) in [("PUBLIC_URL", &self.public_url), ("NODE_URL", &self.node_url), ("SUPABASE_URL", supabase)]
        {
            if url.as_ref().is_some_and(|url| !is_origin(url)) {
                wrong.push(format!(
                    "{name} must be http:// or https:// with a host and without path, query or user, such as https://voice.example.com"
                ));
            }
        }
        let login = &self.vendors.salesforce_login_url;
        if login.as_ref().is_some_and(|url| !is_origin(url)) {
            wrong.push(
                "SALESFORCE_LOGIN_URL must be http:// or https:// with a host and without path, query or user".into(),
            );
        }
        let key = &self.vendors.vonage_private_key;
        if !key.is_empty()
            && let Err(what) = private_key(key)
        {
            wrong.push(format!("VONAGE_PRIVATE_KEY {what}"));
        }
        let security = &self.security;
        let production = self.environment() == Environment::Production;
        let jwt = &security.supabase_jwt_secret;
        if !jwt.is_empty() && jwt.expose().len() < STRONG {
            wrong.push(format!("SUPABASE_JWT_SECRET has fewer than {STRONG} bytes"));
        }
        if production && jwt.is_empty() && security.supabase_url.is_none() {
            wrong.push(
                "SUPABASE_JWT_SECRET and SUPABASE_URL are missing: one of them says whose tokens are taken".into(),
            );
        }
        if let Some(url) = &security.supabase_url {
            if !is_origin(url) {
                wrong.push("SUPABASE_URL must be http:// or https:// with a host and without path, query or user, such as https://project.supabase.co".into());
            } else if production && url.scheme() != "https" && !is_loopback(url) {
                wrong.push(
                    "SUPABASE_URL must be https:// in production: the keys that tokens are verified with come from it"
                        .into(),
                );
            }
        }
        let api_keys = &security.api_key_secret;
        if (production || !api_keys.is_empty()) && api_keys.expose().len() < STRONG {
            wrong.push(format!("API_KEY_SECRET is missing or has fewer than {STRONG} bytes"));
        }
        if (production || !security.encryption_key.is_empty())
            && let Err(error) = Vault::new(&security.encryption_key)
        {
            wrong.push(format!("ENCRYPTION_KEY: {error}"));
        }
        if let Err(error) = self.allowed_ranges() {
            wrong.push(format!("ALLOWED_PRIVATE_RANGES: {error}"));
        }
        self.edge.check(&mut wrong);
        self.objects.check(production, &mut wrong);
        if production {
            if self.store.database_url.is_empty() {
                wrong.push("DATABASE_URL is missing: production has no private Postgres".into());
            }
            match &self.public_url {
                None => wrong.push("PUBLIC_URL is missing: carriers' signatures are checked against it".into()),
                Some(url) if url.scheme() != "https" => {
                    wrong.push("PUBLIC_URL must be https:// in production: audio and tokens travel over it".into());
                }
                Some(_) => {}
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(SettingsError(wrong)) }
    }

    /// Whether a user's own word is enough to begin a tenant.
    pub fn auto_provision(&self) -> bool {
        self.security.tenant_auto_provision.unwrap_or(self.environment() == Environment::Development)
    }

    /// Who issues the project's tokens, which is also where its keys are.
    pub fn issuer(&self) -> Option<String> {
        let url = self.security.supabase_url.as_ref()?;
        Some(format!("{}/auth/v1", url.as_str().trim_end_matches('/')))
    }

    /// Where the addresses of credentials may point, beside the outside.
    pub fn allowed_ranges(&self) -> Result<AllowedRanges, BadRange> {
        match &self.security.allowed_private_ranges {
            Some(ranges) => ranges.parse(),
            None if self.environment() == Environment::Development => Ok(AllowedRanges::loopback()),
            None => Ok(AllowedRanges::none()),
        }
    }

    /// Where carriers reach this server that listens on `local`; no trailing slash.
    pub fn public_url(&self, local: SocketAddr) -> String {
        origin(self.public_url.as_ref(), || format!("http://{local}"))
    }

    /// Where carriers reach this node; no trailing slash.
    pub fn node_url(&self, local: SocketAddr) -> String {
        origin(self.node_url.as_ref(), || self.public_url(local))
    }

    /// How far ahead of playing audio is sent.
    pub const fn lead(&self) -> Duration {
        Duration::from_millis(self.lead_ms)
    }
}

fn origin(url: Option<&Url>, default: impl FnOnce() -> String) -> String {
    url.map_or_else(default, |url| url.as_str().trim_end_matches('/').to_owned())
}

fn is_origin(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.path() == "/"
        && url.query().is_none()
        && url.username().is_empty()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "clap's value parsers return a result")]
fn secret(value: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(value))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    fn settings(arguments: &[&str]) -> Settings {
        Line::parse_from(std::iter::once(&"trunkline").chain(arguments)).settings
    }

    #[test]
    fn production_names_all_that_is_missing_or_weak_at_once() {
        let error =
            settings(&["--environment", "production", "--supabase-jwt-secret", "short", "--encryption-key", "x"])
                .check()
                .unwrap_err()
                .to_string();
        for name in ["SUPABASE_JWT_SECRET", "ENCRYPTION_KEY", "API_KEY_SECRET", "DATABASE_URL", "PUBLIC_URL"] {
            assert!(error.contains(name), "{name} is not in {error}");
        }
        assert!(!error.contains("short"), "{error}");
    }

    #[test]
    fn production_takes_tokens_by_a_secret_or_by_a_projects_keys() {
        let error = |more: &[&str]| {
            let line = [&["--environment", "production"], more].concat();
            settings(&line).check().unwrap_err().to_string()
        };
        let neither = "SUPABASE_JWT_SECRET and SUPABASE_URL are missing";
        assert!(error(&[]).contains(neither));
        let url = |url| error(&["--supabase-url", url]);
        for good in ["https://project.supabase.co", "http://127.0.0.1:54321", "http://localhost:54321/"] {
            assert!(!url(good).contains("SUPABASE"), "{good}: {}", url(good));
        }
        assert!(url("http://project.example").contains("SUPABASE_URL must be https://"));
        assert!(url("https://project.example/auth/v1").contains("SUPABASE_URL must be http:// or https://"));
        let secret = "0123456789abcdef0123456789abcdef";
        assert!(!error(&["--supabase-jwt-secret", secret]).contains("SUPABASE"));
        let settings = settings(&["--supabase-url", "https://project.supabase.co/"]);
        assert_eq!(settings.issuer().as_deref(), Some("https://project.supabase.co/auth/v1"));
    }

    #[test]
    fn development_needs_nothing_and_a_database_makes_it_production() {
        let local = settings(&["--environment", "development"]);
        assert!(local.check().is_ok() && local.auto_provision());
        let served = settings(&["--database-url", "postgres://localhost/x"]);
        assert_eq!(served.environment(), Environment::Production);
        assert!(!served.auto_provision());
    }

    #[test]
    fn what_stands_before_the_api_is_checked_and_keeps_its_password() {
        let line = [
            "--environment",
            "development",
            "--cors-origins",
            "https://app.example.com,*",
            "--trusted-proxies",
            "10.0.0.0/99",
            "--redis-url",
            "http://:hush@localhost",
            "--otlp-endpoint",
            "grpc://localhost:4317",
            "--supabase-url",
            "https://x.supabase.co/auth",
        ];
        let settings = settings(&line);
        let error = settings.check().unwrap_err().to_string();
        for name in ["CORS_ORIGINS", "TRUSTED_PROXIES", "REDIS_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "SUPABASE_URL"] {
            assert!(error.contains(name), "{name} is not in {error}");
        }
        assert!(!error.contains("hush") && !format!("{settings:?}").contains("hush"), "{error}");
    }

    #[test]
    fn what_is_no_origin_or_no_range_is_refused() {
        let line =
            ["--environment", "development", "--public-url", "https://a.example/x", "--allowed-private-ranges", "10/8"];
        let error = settings(&line).check().unwrap_err().to_string();
        assert!(error.contains("PUBLIC_URL") && error.contains("ALLOWED_PRIVATE_RANGES"), "{error}");
    }
}
