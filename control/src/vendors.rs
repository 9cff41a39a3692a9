//! The outside that the control plane asks about credentials and numbers. It knows no vendor's protocol: whoever runs it brings one
//! [`Vendors`].

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, str::FromStr};

use serde::{Deserialize, Serialize};
use trunkline_base::{Personal, Secret};
use utoipa::ToSchema;

use crate::vault::Fields;

/// Whose service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Language models of OpenAI, and servers that are compatible.
    Openai,
    /// Language models of Anthropic.
    Claude,
    /// Speech to text.
    Deepgram,
    /// Text to speech.
    Elevenlabs,
    /// A carrier.
    Twilio,
    /// A carrier.
    Vonage,
    /// A CRM.
    Salesforce,
}

impl Provider {
    /// All there are, in the catalogue's order.
    pub const ALL: [Self; 7] =
        [Self::Openai, Self::Claude, Self::Deepgram, Self::Elevenlabs, Self::Twilio, Self::Vonage, Self::Salesforce];

    /// The name in the database and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Claude => "claude",
            Self::Deepgram => "deepgram",
            Self::Elevenlabs => "elevenlabs",
            Self::Twilio => "twilio",
            Self::Vonage => "vonage",
            Self::Salesforce => "salesforce",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(name: &str) -> Result<Self, UnknownProvider> {
        Self::ALL.into_iter().find(|provider| provider.name() == name).ok_or(UnknownProvider)
    }
}

/// No provider has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown provider")]
pub struct UnknownProvider;

/// A future that a trait object returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the control plane asks vendors. Every method but [`Vendors::renew`] has a time limit of its own, of at most 10 s; `speak` has 20 s.
pub trait Vendors: fmt::Debug + Send + Sync {
    /// Makes the vendor's connectivity requests with these fields: whether they work. A credential that [is renewed](Self::is_renewed)
    /// comes with the session that [`Self::renew`] gave.
    fn probe<'a>(
        &'a self,
        provider: Provider,
        fields: &'a Fields,
        session: Option<&'a Session>,
    ) -> BoxFuture<'a, Result<(), VendorError>>;

    /// Whether a credential's fields are exchanged for a session first, which may replace some of them.
    fn is_renewed(&self, provider: Provider, fields: &Fields) -> bool;

    /// Exchanges the fields for a session. What the answer replaces is dead at the vendor from then on: whoever calls keeps the new
    /// values before anything else, never calls twice at a time for one credential, and does not give up half-way. Takes at most 25 s.
    fn renew<'a>(&'a self, provider: Provider, fields: &'a Fields) -> BoxFuture<'a, Result<Renewed, VendorError>>;

    /// Asks the carrier whether the account of these fields owns a number in E.164: its id there if it does.
    fn owns_number<'a>(
        &'a self,
        provider: Provider,
        fields: &'a Fields,
        e164: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, VendorError>>;

    /// The fields of the platform's own credential, for tenants without one of theirs.
    fn platform(&self, provider: Provider) -> Option<Fields>;

    /// The voices that these fields may speak with.
    fn voices<'a>(&'a self, provider: Provider, fields: &'a Fields) -> BoxFuture<'a, Result<Voices, VendorError>>;

    /// A text spoken, as MP3.
    fn speak<'a>(
        &'a self,
        provider: Provider,
        fields: &'a Fields,
        speech: &'a Speech,
    ) -> BoxFuture<'a, Result<Vec<u8>, VendorError>>;

    /// Whether a user-given address may be connected to: an `https` (or allowed) URL that resolves, and to nothing inside. The error
    /// says what is wrong with it.
    fn check_url<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<(), String>>;
}

/// What a credential was exchanged for.
#[derive(Debug, Clone)]
pub struct Session {
    /// Opens what the credential may do.
    pub token: Secret,
    /// Where that is, as the vendor says.
    pub address: String,
}

/// A session, and the credential's fields as they are from now on.
#[derive(Debug, Clone)]
pub struct Renewed {
    /// The session.
    pub session: Session,
    /// Fields whose former values are dead.
    pub replaced: Vec<(&'static str, Secret)>,
}

/// A vendor's voices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voices {
    /// In the vendor's order.
    pub voices: Vec<Voice>,
    /// Whether there are more than were read.
    pub more: bool,
}

/// A voice, as far as one chooses by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Voice {
    /// The vendor's id, which an agent's `voice_config.voice_id` takes.
    pub voice_id: String,
    /// What the vendor calls it.
    pub name: String,
    /// The vendor's word for its kind, such as `premade`, `cloned` or `professional`.
    pub category: Option<String>,
    /// What it is good for, in the vendor's words.
    pub description: Option<String>,
    /// What it speaks, as far as the vendor says; models may speak more.
    pub languages: Vec<String>,
    /// Where the vendor has a sample of it.
    pub preview_url: Option<String>,
    /// The vendor's labels, such as gender, accent and age.
    pub labels: BTreeMap<String, String>,
}

/// A text to speak.
#[derive(Debug, Clone)]
pub struct Speech {
    /// The vendor's id of the voice.
    pub voice_id: String,
    /// What to say.
    pub text: Personal<String>,
    /// The vendor's model.
    pub model: String,
    /// The text's language, as a BCP 47 tag; otherwise the model finds it.
    pub language: Option<String>,
}

/// Why a vendor did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{provider}: {explanation}")]
pub struct VendorError {
    /// Whose service.
    pub provider: Provider,
    /// What kind of failure.
    pub kind: VendorErrorKind,
    /// For people: what is wrong and what to do. Holds nothing secret.
    pub explanation: String,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// The vendor's own code, where it gave one.
    pub code: Option<String>,
}

/// What kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VendorErrorKind {
    /// The key is wrong, revoked or expired.
    WrongKey,
    /// The key is good and may not do this.
    NoPermission,
    /// The account has used up what it has, or asks too fast.
    Quota,
    /// Nobody answered in time, or not at all.
    Unreachable,
    /// Somebody answered, and it isn't that vendor.
    NotThatVendor,
    /// The vendor answered with an error of its own.
    Failed,
    /// A field that this needs is not set.
    MissingField,
    /// The address is not one that may be connected to.
    AddressRefused,
    /// That vendor has no such thing, as a model's maker has no phone numbers.
    Unsupported,
}
