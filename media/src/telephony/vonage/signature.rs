//! Whether a webhook, or a media socket's upgrade, is Vonage's: an HS256 JWT in `Authorization`, made with the account's signature
//! secret, with the hash of what it came with.
//!
//! The token names the account that it is for, so that a server with many accounts reads it before it can check it: see
//! [`unverified`], whose word is good for choosing a secret and for nothing else.

use std::time::{Duration, SystemTime};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use trunkline_base::Secret;

use crate::{jwt::seconds, telephony::scalar::Scalar};

/// How old a token may be, and how far its clock may be ahead of ours.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The longest token that is looked at.
const MAX_TOKEN: usize = 4 * 1024;

/// The longest `jti` that is taken: it is stored.
const MAX_JTI: usize = 128;

/// What a token says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The token's own name, which is used once: for the caller's cache of replays. Never empty, at most 128 characters.
    pub jti: String,
    /// When it was made, in seconds since 1970.
    pub iat: u64,
    /// The account that it is for.
    pub api_key: String,
    /// The application that it is for, if it says.
    pub application_id: Option<String>,
}

/// What came with the token, whose hash is in it.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// A POST's body, as it came.
    Body(&'a [u8]),
    /// A GET's parameters, decoded, in the order of the URL.
    Query(&'a [(String, String)]),
    /// A socket's upgrade, which has no hash.
    Upgrade,
}

/// Who the token has to be for, and made with what.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// The account's key.
    pub api_key: &'a str,
    /// The voice application.
    pub application_id: &'a str,
    /// The account's signature secret, which is not its API secret.
    pub signature_secret: &'a Secret,
}

/// Why a request is not Vonage's, as far as we can tell. In the order in which it is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SignatureError {
    /// There is no `Authorization`, or another kind of one.
    #[error("no bearer token")]
    Missing,
    /// It is no JWT of three parts, or too long.
    #[error("malformed token")]
    Malformed,
    /// It is not signed with HS256, or not at all.
    #[error("unknown signature algorithm")]
    Algorithm,
    /// It was made with another secret.
    #[error("wrong signature")]
    Mismatch,
    /// Somebody else made it.
    #[error("another issuer's token")]
    Issuer,
    /// It is another account's.
    #[error("another account's token")]
    Account,
    /// It is another application's.
    #[error("another application's token")]
    Application,
    /// It is older than [`TOLERANCE`], or past its end.
    #[error("the token is too old")]
    Expired,
    /// It is of a time to come.
    #[error("the token is of a time to come")]
    NotYet,
    /// It has no name, so that nobody could tell it from its replay.
    #[error("the token has no id")]
    Id,
    /// It has no hash of what it came with.
    #[error("the token has no hash of the request")]
    NoPayloadHash,
    /// It came with something else.
    #[error("the request does not match its hash")]
    PayloadHash,
}

impl SignatureError {
    /// A name for metrics, which never changes.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::Mismatch => "mismatch",
            Self::Issuer => "issuer",
            Self::Account => "account",
            Self::Application => "application",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Id => "id",
            Self::NoPayloadHash => "no_payload_hash",
            Self::PayloadHash => "payload_hash",
        }
    }
}

/// What a token says before anybody has checked it: for finding the account whose secret it is to be checked with. `authorization` is
/// the header's value.
pub fn unverified(authorization: Option<&str>) -> Result<Claims, SignatureError> {
    let token = Token::parse(authorization)?;
    token.check_algorithm()?;
    token.claims()?.public()
}

/// Checks a request's token: everything but whether its `jti` was seen before, which is the caller's to know. In constant time as far
/// as the secret is concerned. `now` is wall-clock time.
pub fn verify(
    account: &Account<'_>,
    authorization: Option<&str>,
    payload: Payload<'_>,
    now: SystemTime,
) -> Result<Claims, SignatureError> {
    let token = Token::parse(authorization)?;
    token.check_algorithm()?;
    token.check_signature(account.signature_secret)?;
    let claims = token.claims()?;
    if claims.iss.as_str() != "Vonage" {
        return Err(SignatureError::Issuer);
    }
    if claims.api_key.as_str() != account.api_key {
        return Err(SignatureError::Account);
    }
    if !claims.application_id.is_empty() && !claims.application_id.as_str().eq_ignore_ascii_case(account.application_id)
    {
        return Err(SignatureError::Application);
    }
    claims.check_age(seconds(now))?;
    let public = claims.public()?;
    check_payload(claims.payload_hash.as_str(), payload)?;
    Ok(public)
}

/// A token taken apart.
struct Token<'a> {
    /// What is signed: the first two parts with the dot between them.
    signed: &'a str,
    header: Vec<u8>,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    fn parse(authorization: Option<&'a str>) -> Result<Self, SignatureError> {
        let (scheme, token) =
            authorization.and_then(|value| value.trim().split_once(' ')).ok_or(SignatureError::Missing)?;
        if !scheme.eq_ignore_ascii_case("Bearer") {
            return Err(SignatureError::Missing);
        }
        let token = token.trim();
        if token.len() > MAX_TOKEN {
            return Err(SignatureError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(SignatureError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(SignatureError::Malformed)?;
        // The alphabet has no dot: a fourth part does not decode.
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| SignatureError::Malformed);
        Ok(Self { signed, header: part(header)?, claims: part(claims)?, signature: part(signature)? })
    }

    fn check_algorithm(&self) -> Result<(), SignatureError> {
        let header: Header = serde_json::from_slice(&self.header).map_err(|_| SignatureError::Malformed)?;
        if header.alg == "HS256" { Ok(()) } else { Err(SignatureError::Algorithm) }
    }

    fn check_signature(&self, secret: &Secret) -> Result<(), SignatureError> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes a key of any length");
        mac.update(self.signed.as_bytes());
        let expected = mac.finalize().into_bytes();
        // An empty secret signs nothing: whoever knows that there is none could.
        let same = expected.as_slice().ct_eq(&self.signature);
        if !secret.is_empty() && bool::from(same) { Ok(()) } else { Err(SignatureError::Mismatch) }
    }

    fn claims(&self) -> Result<RawClaims<'_>, SignatureError> {
        serde_json::from_slice(&self.claims).map_err(|_| SignatureError::Malformed)
    }
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    alg: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawClaims<'a> {
    #[serde(borrow)]
    iss: Scalar<'a>,
    #[serde(borrow)]
    iat: Scalar<'a>,
    #[serde(borrow)]
    exp: Scalar<'a>,
    #[serde(borrow)]
    jti: Scalar<'a>,
    #[serde(borrow)]
    api_key: Scalar<'a>,
    #[serde(borrow)]
    application_id: Scalar<'a>,
    #[serde(borrow)]
    payload_hash: Scalar<'a>,
}

impl RawClaims<'_> {
    fn check_age(&self, now: u64) -> Result<(), SignatureError> {
        let iat = self.iat.number().ok_or(SignatureError::Malformed)?;
        let tolerance = TOLERANCE.as_secs();
        if iat > now.saturating_add(tolerance) {
            return Err(SignatureError::NotYet);
        }
        if now > iat.saturating_add(tolerance) {
            return Err(SignatureError::Expired);
        }
        match self.exp.is_empty() {
            true => Ok(()),
            false if self.exp.number().ok_or(SignatureError::Malformed)? > now => Ok(()),
            false => Err(SignatureError::Expired),
        }
    }

    fn public(&self) -> Result<Claims, SignatureError> {
        let jti = self.jti.as_str();
        if jti.is_empty() || jti.chars().count() > MAX_JTI {
            return Err(SignatureError::Id);
        }
        Ok(Claims {
            jti: jti.to_owned(),
            iat: self.iat.number().ok_or(SignatureError::Malformed)?,
            api_key: self.api_key.as_str().to_owned(),
            application_id: (!self.application_id.is_empty()).then(|| self.application_id.as_str().to_owned()),
        })
    }
}

/// Whether what came is what the hash was made of. What is hashed is JSON without white space, with its members in their order: the
/// raw bytes are tried first, for how numbers and letters are written out again is not documented.
fn check_payload(hash: &str, payload: Payload<'_>) -> Result<(), SignatureError> {
    let matches = |bytes: &[u8]| {
        let text: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        bool::from(text.as_bytes().ct_eq(hash.to_ascii_lowercase().as_bytes()))
    };
    let matched = match payload {
        Payload::Upgrade => return Ok(()),
        _ if hash.is_empty() => return Err(SignatureError::NoPayloadHash),
        Payload::Body(raw) => matches(raw) || matches(&compact(raw)),
        Payload::Query(query) => matches(query_object(query).as_bytes()),
    };
    if matched { Ok(()) } else { Err(SignatureError::PayloadHash) }
}

/// JSON without the white space between its parts. Bytes that are no JSON come out as some other bytes.
fn compact(json: &[u8]) -> Vec<u8> {
    let (mut out, mut inside, mut escaped) = (Vec::with_capacity(json.len()), false, false);
    for &byte in json {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' if !inside => continue,
            b'"' if !escaped => inside = !inside,
            _ => {}
        }
        escaped = inside && byte == b'\\' && !escaped;
        out.push(byte);
    }
    out
}

/// The object of a query's parameters, all of them text.
fn query_object(query: &[(String, String)]) -> String {
    let text = |value: &str| serde_json::Value::from(value).to_string();
    let members: Vec<String> = query.iter().map(|(name, value)| format!("{}:{}", text(name), text(value))).collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
