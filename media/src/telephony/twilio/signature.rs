//! `X-Twilio-Signature`: whether a request is Twilio's.
//!
//! The signature is the base64 of an HMAC over the URL as it was configured and, for forms, over the sorted parameters. Twilio itself is
//! not consistent about ports, so both of the vendor's libraries accept the URL with and without one; so do we.

use std::borrow::Cow;

use base64_simd::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use trunkline_base::Secret;

/// The header of the signature.
pub const SIGNATURE_HEADER: &str = "X-Twilio-Signature";

/// The header that names a shared key and its algorithm, where one is used in place of the account's token.
pub const SETTINGS_HEADER: &str = "X-Twilio-Webhooks-Signature-Settings";

/// What a request may be signed with.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// The account's primary token; it signs even where REST uses an API key.
    pub auth_token: &'a Secret,
    /// The shared key for webhooks, if the account has one.
    pub shared: Option<SharedKey<'a>>,
}

impl<'a> Keys<'a> {
    /// The account's token alone.
    pub const fn token(auth_token: &'a Secret) -> Self {
        Self { auth_token, shared: None }
    }
}

/// A key for webhooks alone.
#[derive(Debug, Clone, Copy)]
pub struct SharedKey<'a> {
    /// Its id, which the settings header names.
    pub id: &'a str,
    /// The key.
    pub secret: &'a Secret,
}

/// The part of a request's body that is signed.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// None: a GET, whose parameters are in its URL, or a WebSocket's upgrade.
    None,
    /// A form's names and values, decoded; in any order.
    Form(&'a [(String, String)]),
    /// JSON, as it came: its hash is in the URL's `bodySHA256`.
    Json(&'a [u8]),
}

/// A request as far as it is signed.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// The URL as Twilio was told it, with its query as it was sent; `wss://` for a media socket's upgrade. It is made from our own
    /// configuration, never from the request's headers.
    pub url: &'a str,
    /// The value of [`SIGNATURE_HEADER`].
    pub signature: Option<&'a str>,
    /// The value of [`SETTINGS_HEADER`].
    pub settings: Option<&'a str>,
    /// Its body.
    pub body: Body<'a>,
}

/// Why a request is not Twilio's, as far as we can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The header is missing or empty.
    #[error("no signature")]
    Missing,
    /// The header is not base64.
    #[error("malformed signature")]
    Malformed,
    /// It asks for an algorithm that we don't know.
    #[error("unknown signature algorithm")]
    UnknownAlgorithm,
    /// It names a shared key that the account doesn't have.
    #[error("unknown signature key")]
    UnknownKey,
    /// The body is not the one whose hash was signed, or no hash was.
    #[error("the body does not match its hash")]
    BodyHash,
    /// It was made with another key, for another URL or for other parameters.
    #[error("wrong signature")]
    Mismatch,
}

#[derive(Debug, Clone, Copy)]
enum Algorithm {
    HmacSha1,
    HmacSha256,
}

/// Checks a request's signature, in constant time as far as the key is concerned.
pub fn verify(keys: Keys<'_>, request: &SignedRequest<'_>) -> Result<(), SignatureError> {
    let given = match request.signature.map(str::trim) {
        None | Some("") => return Err(SignatureError::Missing),
        Some(text) => STANDARD.decode_to_vec(text).map_err(|_| SignatureError::Malformed)?,
    };
    let (key, algorithm) = choose(keys, request.settings)?;
    let mut matched = Choice::from(0);
    let parameters = sorted(request.body);
    for url in spellings(request.url) {
        matched |= sign(algorithm, key, &url, &parameters).ct_eq(&given);
    }
    if !bool::from(matched) {
        return Err(SignatureError::Mismatch);
    }
    match request.body {
        Body::Json(raw) if !body_matches(request.url, raw) => Err(SignatureError::BodyHash),
        _ => Ok(()),
    }
}

/// The key and the algorithm that the settings header asks for: `key=<id>,algorithm=HMAC_SHA256`.
fn choose<'a>(keys: Keys<'a>, settings: Option<&str>) -> Result<(&'a Secret, Algorithm), SignatureError> {
    let field = |name: &str| {
        let mut fields = settings.unwrap_or_default().split(',').filter_map(|field| field.split_once('='));
        fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    };
    let Some(algorithm) = field("algorithm") else { return Ok((keys.auth_token, Algorithm::HmacSha1)) };
    let algorithm = match algorithm {
        "HMAC_SHA1" => Algorithm::HmacSha1,
        "HMAC_SHA256" => Algorithm::HmacSha256,
        _ => return Err(SignatureError::UnknownAlgorithm),
    };
    match keys.shared {
        Some(shared) if field("key") == Some(shared.id) => Ok((shared.secret, algorithm)),
        _ => Err(SignatureError::UnknownKey),
    }
}

/// Names and values in the order in which they are signed: by name, and the distinct values of a repeated name by value.
fn sorted(body: Body<'_>) -> Vec<(&str, &str)> {
    let Body::Form(form) = body else { return Vec::new() };
    let mut pairs: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

fn sign(algorithm: Algorithm, key: &Secret, url: &str, parameters: &[(&str, &str)]) -> Vec<u8> {
    match algorithm {
        Algorithm::HmacSha1 => {
            let mac = Hmac::<Sha1>::new_from_slice(key.expose().as_bytes()).expect("HMAC takes a key of any length");
            digest(mac, url, parameters)
        }
        Algorithm::HmacSha256 => {
            let mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("HMAC takes a key of any length");
            digest(mac, url, parameters)
        }
    }
}

fn digest(mut mac: impl Mac, url: &str, parameters: &[(&str, &str)]) -> Vec<u8> {
    mac.update(url.as_bytes());
    for (name, value) in parameters {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    mac.finalize().into_bytes().to_vec()
}

/// The URLs that Twilio may have signed when it was told this one: without a port and with one, and, for a socket, each with a slash
/// added as well.
fn spellings(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host_port = authority.rsplit_once('@').map_or(authority, |(_, host_port)| host_port);
    // A port follows the last colon, unless that colon is inside an IPv6 address's brackets.
    let (host, port) = match host_port.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Cow::Borrowed(port)),
        _ => (host_port, Cow::Borrowed(if scheme.eq_ignore_ascii_case("https") { "443" } else { "80" })),
    };
    let mut urls = vec![format!("{scheme}://{host}{path}"), format!("{scheme}://{host}:{port}{path}")];
    let socket = scheme.eq_ignore_ascii_case("wss") || scheme.eq_ignore_ascii_case("ws");
    if socket && !path.ends_with('/') && !path.contains(['?', '#']) {
        urls.extend_from_within(..);
        urls[2..].iter_mut().for_each(|url| url.push('/'));
    }
    urls
}

/// Whether the URL's `bodySHA256` is the body's.
fn body_matches(url: &str, raw: &[u8]) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let Some(said) = query.split('&').find_map(|pair| pair.strip_prefix("bodySHA256=")) else { return false };
    let hash: String = Sha256::digest(raw).iter().map(|byte| format!("{byte:02x}")).collect();
    hash.as_bytes().ct_eq(said.to_ascii_lowercase().as_bytes()).into()
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
