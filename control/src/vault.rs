//! Credentials at rest: a Fernet token (<https://github.com/fernet/spec>) of the fields as JSON, under a ring of keys of which the
//! first encrypts and all decrypt. Python's `cryptography` reads it with the same key.
//!
//! A token doesn't say which key made it. The key's fingerprint is stored beside it, so that rotation finds what is left to do.

use std::{collections::BTreeMap, fmt};

use fernet::Fernet;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use trunkline_base::Secret;

/// A credential's fields, decrypted. They print nothing and are wiped.
#[derive(Debug, Clone, Default)]
pub struct Fields(BTreeMap<String, Secret>);

impl Fields {
    /// The value of a field; `None` if it is not set or empty.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name).filter(|value| !value.is_empty())
    }

    /// The same with other values for these.
    #[must_use]
    pub fn with(mut self, replaced: impl IntoIterator<Item = (impl Into<String>, Secret)>) -> Self {
        self.0.extend(replaced.into_iter().map(|(name, value)| (name.into(), value)));
        self
    }

    /// The names of the fields that are set, in order.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.clone()).collect()
    }
}

impl FromIterator<(String, Secret)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, Secret)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self)
    }
}

/// What is stored of a credential's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The Fernet token.
    pub token: String,
    /// Which key made it.
    pub key_fingerprint: String,
}

/// Why keys or tokens are unusable. Never quotes either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The ring is empty.
    #[error(
        "there is no key: ENCRYPTION_KEY is one or more Fernet keys with commas between; `trunkline keys generate` makes one"
    )]
    NoKey,
    /// A key has the wrong form.
    #[error("key {0} is not a Fernet key, which is 32 bytes in URL-safe base64; `trunkline keys generate` makes one")]
    BadKey(usize),
    /// No key of the ring opens the token.
    #[error("no key of the ring opens a stored credential: is a former key missing from ENCRYPTION_KEY?")]
    CannotOpen,
    /// The token opens, and holds something else.
    #[error("a stored credential opens and does not hold fields")]
    NotFields,
}

/// The ring of keys.
pub struct Vault {
    keys: Vec<Fernet>,
    /// One a key of the ring, derived from it: a key that encrypts is used for nothing else.
    digest_keys: Vec<Secret>,
    fingerprint: String,
}

impl Vault {
    /// Keys with commas between them; the first encrypts.
    pub fn new(ring: &Secret) -> Result<Self, VaultError> {
        let keys: Vec<&str> = ring.expose().split(',').map(str::trim).filter(|key| !key.is_empty()).collect();
        let first = keys.first().ok_or(VaultError::NoKey)?;
        let fingerprint = hex(&Sha256::digest(first.as_bytes())[..8]);
        let digest_keys = keys
            .iter()
            .map(|key| Secret::new(hex(&hmac(key, [b"trunkline digest".as_slice()]).finalize().into_bytes())));
        let digest_keys = digest_keys.collect();
        let keys = keys.iter().enumerate().map(|(n, key)| Fernet::new(key).ok_or(VaultError::BadKey(n + 1)));
        Ok(Self { keys: keys.collect::<Result<_, _>>()?, digest_keys, fingerprint })
    }

    /// A new key.
    pub fn generate_key() -> Secret {
        Secret::new(Fernet::generate_key())
    }

    /// Which key encrypts: the first 8 bytes of its SHA-256, in hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Encrypts under the first key.
    pub fn seal(&self, fields: &Fields) -> Sealed {
        let plain: BTreeMap<&str, &str> =
            fields.0.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        self.seal_text(&Secret::new(json(&plain)))
    }

    /// Decrypts, under whichever key made it.
    pub fn open(&self, token: &str) -> Result<Fields, VaultError> {
        serde_json::from_str(self.open_text(token)?.expose()).map_err(|_| VaultError::NotFields)
    }

    /// The same content under the first key.
    pub fn reseal(&self, token: &str) -> Result<Sealed, VaultError> {
        Ok(self.seal_text(&self.open_text(token)?))
    }

    /// Encrypts a text that is no credential under the first key.
    pub(crate) fn seal_text(&self, text: &Secret) -> Sealed {
        let first = self.keys.first().expect("a vault is not made without a key");
        Sealed { token: first.encrypt(text.expose().as_bytes()), key_fingerprint: self.fingerprint.clone() }
    }

    /// Decrypts what [`Vault::seal_text`] has encrypted.
    pub(crate) fn open_text(&self, token: &str) -> Result<Secret, VaultError> {
        let plain = self.keys.iter().find_map(|key| key.decrypt(token).ok()).ok_or(VaultError::CannotOpen)?;
        String::from_utf8(plain).map(Secret::new).map_err(|_| VaultError::NotFields)
    }
}

/// Digests of parts, told apart by their lengths, that nobody can make without a key of the ring: for comparing what is not stored.
impl Vault {
    /// Under the first key.
    pub(crate) fn digest<const N: usize>(&self, parts: [&[u8]; N]) -> [u8; 32] {
        let first = self.digest_keys.first().expect("a vault is not made without a key");
        hmac(first.expose(), parts).finalize().into_bytes().into()
    }

    /// Whether it is the digest of these parts, under whichever key made it.
    pub(crate) fn is_digest<const N: usize>(&self, digest: &[u8], parts: [&[u8]; N]) -> bool {
        self.digest_keys.iter().any(|key| hmac(key.expose(), parts).verify_slice(digest).is_ok())
    }
}

fn hmac<const N: usize>(key: &str, parts: [&[u8]; N]) -> Hmac<Sha256> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    for part in parts {
        hmac.update(&(part.len() as u64).to_be_bytes());
        hmac.update(part);
    }
    hmac
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings by strings are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        [("api_key".to_owned(), Secret::new("sk-1")), ("organization".to_owned(), Secret::new(""))]
            .into_iter()
            .collect()
    }

    fn ring(keys: &[&Secret]) -> Vault {
        let keys: Vec<_> = keys.iter().map(|key| key.expose()).collect();
        Vault::new(&Secret::new(keys.join(","))).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_and_prints_nothing() {
        let vault = ring(&[&Vault::generate_key()]);
        let sealed = vault.seal(&fields());
        assert!(!sealed.token.contains("sk-1"));
        let opened = vault.open(&sealed.token).unwrap();
        assert_eq!(opened.get("api_key").unwrap().expose(), "sk-1");
        assert!(opened.get("organization").is_none());
        assert_eq!(opened.names(), ["api_key"]);
        assert!(!format!("{opened:?} {vault:?}").contains("sk-1"));
    }

    #[test]
    fn former_keys_open_and_the_first_one_seals() {
        let (old, new) = (Vault::generate_key(), Vault::generate_key());
        let (before, during, after) = (ring(&[&old]), ring(&[&new, &old]), ring(&[&new]));
        let sealed = before.seal(&fields());
        assert_eq!(after.open(&sealed.token).unwrap_err(), VaultError::CannotOpen);
        let resealed = during.reseal(&sealed.token).unwrap();
        assert_eq!(resealed.key_fingerprint, after.fingerprint());
        assert_ne!(sealed.key_fingerprint, resealed.key_fingerprint);
        assert_eq!(after.open(&resealed.token).unwrap().get("api_key").unwrap().expose(), "sk-1");
    }

    #[test]
    fn a_digest_is_of_its_parts_and_its_ring() {
        let (old, new) = (Vault::generate_key(), Vault::generate_key());
        let (before, during, after) = (ring(&[&old]), ring(&[&new, &old]), ring(&[&new]));
        let parts = |a: &'static str, b: &'static str| [a.as_bytes(), b.as_bytes()];
        let digest = before.digest(parts("a", "bc"));
        assert!(before.is_digest(&digest, parts("a", "bc")) && during.is_digest(&digest, parts("a", "bc")));
        assert!(!after.is_digest(&digest, parts("a", "bc")));
        assert!(!before.is_digest(&digest, parts("ab", "c")) && !before.is_digest(&digest, parts("a", "bd")));
        assert_ne!(digest, during.digest(parts("a", "bc")));
    }

    #[test]
    fn a_ring_says_which_key_is_wrong() {
        let good = Vault::generate_key();
        let ring = Secret::new(format!("{},short", good.expose()));
        assert_eq!(Vault::new(&ring).unwrap_err(), VaultError::BadKey(2));
        assert_eq!(Vault::new(&Secret::new(" , ")).unwrap_err(), VaultError::NoKey);
    }
}
