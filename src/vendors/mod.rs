//! The vendors themselves, for the control plane: whether a credential works, and who owns a number.
//!
//! A credential's `endpoint_url` goes before the operator's `*_BASE_URL`, which goes before the vendor's default; it is a user's word, so
//! the guard decides about it.

mod explain;

use std::time::{Duration, Instant};

use trunkline_base::Secret;
use trunkline_control::{
    vault::Fields,
    vendors::{BoxFuture, Probe, Provider, VendorError, Vendors},
};
use trunkline_media::{
    account::AccountError,
    llm::openai,
    net::{BaseUrl, Http, Net},
    stt::deepgram,
    telephony::twilio::{account as twilio, rest::TwilioAuth},
    tts::elevenlabs,
};

use crate::config;

/// How long connecting may take, TLS included: it leaves time for the answer within the limit of a probe.
const CONNECT: Duration = Duration::from_secs(5);

/// Twilio's default address, whose regions have names of their own.
const TWILIO: &str = "https://api.twilio.com";

/// Asks the vendors over the network.
#[derive(Debug)]
pub struct LiveVendors {
    http: Http,
    openai: String,
    deepgram: String,
    elevenlabs: String,
    twilio: String,
}

/// Why a question to a vendor has no good answer, before it is put in words.
enum Failure {
    Account(AccountError),
    /// A field of the credential's that is not set.
    Missing(&'static str),
    /// Twilio's region or edge is none.
    Region,
    NotYet,
    /// Numbers were asked of somebody who has none.
    NoCarrier,
}

impl From<AccountError> for Failure {
    fn from(error: AccountError) -> Self {
        Self::Account(error)
    }
}

impl LiveVendors {
    /// Over connections of its own. The guard of `net` decides about users' addresses.
    pub fn new(settings: &config::Vendors, net: &Net) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: Http::new(net, CONNECT)?,
            openai: settings.openai_base_url.clone(),
            deepgram: settings.deepgram_base_url.clone(),
            elevenlabs: settings.elevenlabs_base_url.clone(),
            twilio: settings.twilio_base_url.clone(),
        })
    }

    async fn ask(&self, provider: Provider, fields: &Fields) -> Result<(), Failure> {
        match provider {
            Provider::Openai => {
                let base = base_url(fields, &self.openai);
                // Compatible servers of a user's own may do without a key.
                let key = match fields.get("api_key") {
                    Some(key) => key.clone(),
                    None if fields.get("endpoint_url").is_some() => Secret::default(),
                    None => return Err(Failure::Missing("api_key")),
                };
                let organization = fields.get("organization").map(Secret::expose);
                Ok(openai::account::probe(&self.http, &base, &key, organization).await?)
            }
            Provider::Deepgram => {
                let base = base_url(fields, &self.deepgram);
                Ok(deepgram::account::probe(&self.http, &base, required(fields, "api_key")?).await?)
            }
            Provider::Elevenlabs => {
                let base = base_url(fields, &self.elevenlabs);
                Ok(elevenlabs::account::probe(&self.http, &base, required(fields, "api_key")?).await?)
            }
            Provider::Twilio => {
                let base = self.twilio(fields)?;
                let sid = required(fields, "account_sid")?.expose();
                // The token signs webhooks, so it must be right even where a key is used for requests.
                let token = TwilioAuth { user: sid.to_owned(), password: required(fields, "auth_token")?.clone() };
                twilio::probe(&self.http, &base, sid, &token).await?;
                match api_key(fields)? {
                    Some(key) => Ok(twilio::probe(&self.http, &base, sid, &key).await?),
                    None => Ok(()),
                }
            }
            Provider::Claude | Provider::Vonage | Provider::Salesforce => Err(Failure::NotYet),
        }
    }

    async fn find(&self, provider: Provider, fields: &Fields, e164: &str) -> Result<Option<String>, Failure> {
        match provider {
            Provider::Twilio => {
                let base = self.twilio(fields)?;
                let sid = required(fields, "account_sid")?.expose();
                let auth = match api_key(fields)? {
                    Some(key) => key,
                    None => TwilioAuth { user: sid.to_owned(), password: required(fields, "auth_token")?.clone() },
                };
                Ok(twilio::owns_number(&self.http, &base, sid, &auth, e164).await?)
            }
            Provider::Vonage => Err(Failure::NotYet),
            _ => Err(Failure::NoCarrier),
        }
    }

    /// Where an account's API is: `api.{edge}.{region}.twilio.com` for one with a region, unless the operator has it elsewhere.
    fn twilio(&self, fields: &Fields) -> Result<BaseUrl, Failure> {
        let base = base_url(fields, &self.twilio);
        let (region, edge) = (fields.get("region"), fields.get("edge"));
        if base != BaseUrl::operator(TWILIO) || (region.is_none() && edge.is_none()) {
            return Ok(base);
        }
        // Twilio's own defaults for the one that is not given.
        let region = region.map_or("us1", Secret::expose);
        let edge = edge.map_or("ashburn", Secret::expose);
        let is_label = |name: &str| {
            (1..=32).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if !is_label(region) || !is_label(edge) {
            return Err(Failure::Region);
        }
        Ok(BaseUrl::operator(format!("https://api.{edge}.{region}.twilio.com")))
    }
}

impl Vendors for LiveVendors {
    fn probe<'a>(&'a self, provider: Provider, fields: &'a Fields) -> BoxFuture<'a, Result<Probe, VendorError>> {
        Box::pin(async move {
            let begun = Instant::now();
            match limited(self.ask(provider, fields)).await {
                Ok(()) => Ok(Probe { response_time: begun.elapsed() }),
                Err(failure) => Err(explain::failure(provider, fields, failure)),
            }
        })
    }

    fn owns_number<'a>(
        &'a self,
        provider: Provider,
        fields: &'a Fields,
        e164: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, VendorError>> {
        Box::pin(async move {
            limited(self.find(provider, fields, e164))
                .await
                .map_err(|failure| explain::failure(provider, fields, failure))
        })
    }

    fn check_url<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.http.guard().check(url).await.map(|_| ()).map_err(|error| error.to_string()) })
    }
}

/// Keeps what may be several probes to the limit of one.
async fn limited<T>(asking: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    use trunkline_media::account::{PROBE_LIMIT, Unreachable};
    let timed_out = || Err(Failure::Account(AccountError::Unreachable(Unreachable::Timeout)));
    tokio::time::timeout(PROBE_LIMIT, asking).await.unwrap_or_else(|_| timed_out())
}

/// The credential's own address, or else the operator's.
fn base_url(fields: &Fields, configured: &str) -> BaseUrl {
    match fields.get("endpoint_url") {
        Some(url) => BaseUrl::user(url.expose()),
        None => BaseUrl::operator(configured.trim_end_matches('/')),
    }
}

fn required<'a>(fields: &'a Fields, name: &'static str) -> Result<&'a Secret, Failure> {
    fields.get(name).ok_or(Failure::Missing(name))
}

/// Twilio's API key, if the credential has one.
fn api_key(fields: &Fields) -> Result<Option<TwilioAuth>, Failure> {
    match (fields.get("api_key_sid"), fields.get("api_key_secret")) {
        (Some(sid), Some(secret)) => Ok(Some(TwilioAuth { user: sid.expose().to_owned(), password: secret.clone() })),
        (Some(_), None) => Err(Failure::Missing("api_key_secret")),
        (None, Some(_)) => Err(Failure::Missing("api_key_sid")),
        (None, None) => Ok(None),
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests;
