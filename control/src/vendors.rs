//! The outside that the control plane asks about credentials and numbers. It knows no vendor's protocol: whoever runs it brings one
//! [`Vendors`].

use std::{fmt, future::Future, pin::Pin, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
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

/// What the control plane asks vendors. Every method has a time limit of its own, of at most 10 s.
pub trait Vendors: fmt::Debug + Send + Sync {
    /// Makes the vendor's connectivity request with these fields: whether they work.
    fn probe<'a>(&'a self, provider: Provider, fields: &'a Fields) -> BoxFuture<'a, Result<Probe, VendorError>>;

    /// Asks the carrier whether the account of these fields owns a number in E.164: its id there if it does.
    fn owns_number<'a>(
        &'a self,
        provider: Provider,
        fields: &'a Fields,
        e164: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, VendorError>>;

    /// Whether a user-given address may be connected to: an `https` (or allowed) URL that resolves, and to nothing inside. The error
    /// says what is wrong with it.
    fn check_url<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<(), String>>;
}

/// A credential that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// How long the vendor took.
    pub response_time: Duration,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// This version does not speak with that vendor yet.
    NotYet,
}
