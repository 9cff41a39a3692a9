//! The vendors themselves, for the control plane: whether a credential works, who owns a number, which voices there are.
//!
//! A credential's `endpoint_url` goes before the operator's `*_BASE_URL`, which goes before the vendor's default; it is a user's word, so
//! the guard decides about it.

pub(crate) mod access;
mod explain;

use std::time::Duration;

use trunkline_base::{Clock, Secret, SystemClock};
use trunkline_control::{
    vault::Fields,
    vendors::{BoxFuture, Provider, Renewed, Session, Speech, VendorError, Vendors, Voice, Voices},
};
use trunkline_media::{
    account::{AccountError, PROBE_LIMIT, Unreachable},
    llm::{anthropic, openai},
    net::{Http, Net},
    stt::deepgram,
    telephony::{twilio::account as twilio, vonage::account as vonage},
    tools::salesforce::{self, Token},
    tts::elevenlabs::{
        self,
        voices::{ListedVoice, SPEAK_LIMIT, Utterance},
    },
};
use uuid::Uuid;

use self::access::{
    base_url, flow, org, platform, required, twilio_base, twilio_key, twilio_token, vonage_auth, vonage_hosts,
};
use crate::config;

/// How long connecting may take, TLS included: it leaves time for the answer within the limit of a probe.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an exchange may take. It is more patient than whoever waits for it: giving up on an answer may lose a token for good.
const RENEW_LIMIT: Duration = Duration::from_secs(25);

/// Asks the vendors over the network.
#[derive(Debug)]
pub struct LiveVendors {
    http: Http,
    settings: config::Vendors,
}

/// Why a question to a vendor has no good answer, before it is put in words.
pub(crate) enum Failure {
    Account(AccountError),
    /// A field of the credential's that is not set.
    Missing(&'static str),
    /// Twilio's region or edge is none.
    Region,
    /// A credential that has to be exchanged first came without a session.
    NoSession,
    /// Numbers were asked of somebody who has none.
    NoCarrier,
    /// Voices were asked of somebody who has none.
    NoVoices,
}

impl From<AccountError> for Failure {
    fn from(error: AccountError) -> Self {
        Self::Account(error)
    }
}

impl LiveVendors {
    /// Over connections of its own. The guard of `net` decides about users' addresses.
    pub fn new(settings: &config::Vendors, net: &Net) -> Result<Self, reqwest::Error> {
        Ok(Self { http: Http::new(net, CONNECT)?, settings: settings.clone() })
    }

    async fn ask(&self, provider: Provider, fields: &Fields, session: Option<&Session>) -> Result<(), Failure> {
        let base = base_url(&self.settings, provider, fields);
        match provider {
            Provider::Openai => {
                // Compatible servers of a user's own may do without a key.
                let key = match fields.get("api_key") {
                    Some(key) => key.clone(),
                    None if fields.get("endpoint_url").is_some() => Secret::default(),
                    None => return Err(Failure::Missing("api_key")),
                };
                let organization = fields.get("organization").map(Secret::expose);
                Ok(openai::account::probe(&self.http, &base, &key, organization).await?)
            }
            Provider::Claude => Ok(anthropic::account::probe(&self.http, &base, required(fields, "api_key")?).await?),
            Provider::Deepgram => Ok(deepgram::account::probe(&self.http, &base, required(fields, "api_key")?).await?),
            Provider::Elevenlabs => {
                Ok(elevenlabs::account::probe(&self.http, &base, required(fields, "api_key")?).await?)
            }
            Provider::Twilio => {
                let base = twilio_base(&self.settings, fields)?;
                // The token signs webhooks, so it must be right even where a key is used for requests.
                let token = twilio_token(fields)?;
                twilio::probe(&self.http, &base, &token.user, &token).await?;
                match twilio_key(fields)? {
                    Some(key) => Ok(twilio::probe(&self.http, &base, &token.user, &key).await?),
                    None => Ok(()),
                }
            }
            Provider::Vonage => {
                let (now, jti) = (SystemClock.wall(), Uuid::now_v7().to_string());
                Ok(vonage::probe(&self.http, &vonage_hosts(&self.settings, fields), &vonage_auth(fields)?, now, &jti)
                    .await?)
            }
            Provider::Salesforce => {
                let org = org(&self.settings, fields)?;
                let (token, instance_url) = match session {
                    Some(session) => (session.token.clone(), session.address.clone()),
                    // What an exchange replaces has to be kept by whoever began it.
                    None if self.is_renewed(provider, fields) => return Err(Failure::NoSession),
                    None => {
                        let token = self.salesforce_token(fields).await?;
                        (token.access_token, token.instance_url)
                    }
                };
                let instance = org.instance(&instance_url)?;
                Ok(salesforce::account::probe(&self.http, &instance, &token).await?)
            }
        }
    }

    async fn salesforce_token(&self, fields: &Fields) -> Result<Token, Failure> {
        let (org, flow) = (org(&self.settings, fields)?, flow(fields)?);
        let client_id = required(fields, "client_id")?.expose();
        Ok(salesforce::token(&self.http, &org, client_id, &flow, SystemClock.wall()).await?)
    }

    async fn exchange(&self, provider: Provider, fields: &Fields) -> Result<Renewed, Failure> {
        if provider != Provider::Salesforce {
            return Err(Failure::NoSession);
        }
        let token = self.salesforce_token(fields).await?;
        let session = Session { token: token.access_token, address: token.instance_url };
        Ok(Renewed { session, replaced: token.refresh_token.map(|new| ("refresh_token", new)).into_iter().collect() })
    }

    async fn find(&self, provider: Provider, fields: &Fields, e164: &str) -> Result<Option<String>, Failure> {
        match provider {
            Provider::Twilio => {
                let (base, token) = (twilio_base(&self.settings, fields)?, twilio_token(fields)?);
                let sid = token.user.clone();
                let auth = twilio_key(fields)?.unwrap_or(token);
                Ok(twilio::owns_number(&self.http, &base, &sid, &auth, e164).await?)
            }
            Provider::Vonage => {
                Ok(vonage::owns_number(&self.http, &vonage_hosts(&self.settings, fields), &vonage_auth(fields)?, e164)
                    .await?)
            }
            _ => Err(Failure::NoCarrier),
        }
    }

    async fn list(&self, provider: Provider, fields: &Fields) -> Result<Voices, Failure> {
        if provider != Provider::Elevenlabs {
            return Err(Failure::NoVoices);
        }
        let (base, key) = (base_url(&self.settings, provider, fields), required(fields, "api_key")?);
        let list = elevenlabs::voices::voices(&self.http, &base, key).await?;
        Ok(Voices { voices: list.voices.into_iter().map(shown).collect(), more: list.more })
    }

    async fn say(&self, provider: Provider, fields: &Fields, speech: &Speech) -> Result<Vec<u8>, Failure> {
        if provider != Provider::Elevenlabs {
            return Err(Failure::NoVoices);
        }
        let (base, key) = (base_url(&self.settings, provider, fields), required(fields, "api_key")?);
        let Speech { voice_id, text, model, language } = speech;
        let utterance = Utterance { voice_id, text, model, language: language.as_deref() };
        Ok(elevenlabs::voices::speak(&self.http, &base, key, &utterance).await?)
    }
}

impl Vendors for LiveVendors {
    fn probe<'a>(
        &'a self,
        provider: Provider,
        fields: &'a Fields,
        session: Option<&'a Session>,
    ) -> BoxFuture<'a, Result<(), VendorError>> {
        let asking = self.ask(provider, fields, session);
        Box::pin(async move { explained(provider, fields, within(PROBE_LIMIT, asking).await) })
    }

    fn is_renewed(&self, provider: Provider, fields: &Fields) -> bool {
        provider == Provider::Salesforce && fields.get("flow").is_some_and(|flow| flow.expose() == "refresh_token")
    }

    fn renew<'a>(&'a self, provider: Provider, fields: &'a Fields) -> BoxFuture<'a, Result<Renewed, VendorError>> {
        let asking = self.exchange(provider, fields);
        Box::pin(async move { explained(provider, fields, within(RENEW_LIMIT, asking).await) })
    }

    fn owns_number<'a>(
        &'a self,
        provider: Provider,
        fields: &'a Fields,
        e164: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, VendorError>> {
        let asking = self.find(provider, fields, e164);
        Box::pin(async move { explained(provider, fields, within(PROBE_LIMIT, asking).await) })
    }

    fn platform(&self, provider: Provider) -> Option<Fields> {
        platform(&self.settings, provider)
    }

    fn voices<'a>(&'a self, provider: Provider, fields: &'a Fields) -> BoxFuture<'a, Result<Voices, VendorError>> {
        let asking = self.list(provider, fields);
        Box::pin(async move { explained(provider, fields, within(PROBE_LIMIT, asking).await) })
    }

    fn speak<'a>(
        &'a self,
        provider: Provider,
        fields: &'a Fields,
        speech: &'a Speech,
    ) -> BoxFuture<'a, Result<Vec<u8>, VendorError>> {
        let asking = self.say(provider, fields, speech);
        Box::pin(async move { explained(provider, fields, within(SPEAK_LIMIT, asking).await) })
    }

    fn check_url<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.http.guard().check(url).await.map(|_| ()).map_err(|error| error.to_string()) })
    }
}

/// Keeps what may be several requests to the limit of one.
async fn within<T>(limit: Duration, asking: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let timed_out = || Err(Failure::Account(AccountError::Unreachable(Unreachable::Timeout)));
    tokio::time::timeout(limit, Box::pin(asking)).await.unwrap_or_else(|_| timed_out())
}

fn explained<T>(provider: Provider, fields: &Fields, outcome: Result<T, Failure>) -> Result<T, VendorError> {
    outcome.map_err(|failure| explain::failure(provider, fields, failure))
}

fn shown(voice: ListedVoice) -> Voice {
    let ListedVoice { voice_id, name, category, description, languages, preview_url, labels } = voice;
    Voice { voice_id, name, category, description, languages, preview_url, labels }
}

#[cfg(all(test, feature = "sim"))]
mod tests;
