//! What a key looks like, and what of it is kept: `tlk_<key id, 12 hex>_<64 hex>`, of which the database has the id and a keyed hash
//! of the whole.
//!
//! A slow hash would protect what people choose; these are 256 random bits, so a keyed one is as good and costs a request nothing.

use hmac::{Hmac, Mac};
use rand::TryRngCore;
use sha2::Sha256;
use trunkline_base::Secret;

/// What every key begins with, so that a key that has leaked is found by those who look for such things.
pub(crate) const PREFIX: &str = "tlk_";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;

/// A key that has just been made. Shown once.
#[derive(Debug)]
pub(super) struct NewKey {
    /// The part by which it is found.
    pub(super) key_id: String,
    /// All of it.
    pub(super) whole: Secret,
}

impl NewKey {
    pub(super) fn generate() -> Self {
        let (key_id, secret) = (hex(&random::<ID_BYTES>()), hex(&random::<SECRET_BYTES>()));
        let whole = Secret::new(format!("{PREFIX}{key_id}_{secret}"));
        Self { key_id, whole }
    }
}

/// The part by which a key is found; `None` if this is no key.
pub(crate) fn key_id(key: &str) -> Option<&str> {
    let (id, secret) = key.strip_prefix(PREFIX)?.split_once('_')?;
    (is_hex(id, ID_BYTES) && is_hex(secret, SECRET_BYTES)).then_some(id)
}

/// What is stored of a key.
pub(crate) fn hash(secret: &Secret, key: &str) -> [u8; 32] {
    mac(secret, key).finalize().into_bytes().into()
}

/// Whether this is the key of which that is stored. Takes as long whatever differs.
pub(crate) fn matches(secret: &Secret, key: &str, stored: &[u8]) -> bool {
    mac(secret, key).verify_slice(stored).is_ok()
}

fn mac(secret: &Secret, key: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes keys of every length");
    mac.update(key.as_bytes());
    mac
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).expect("the operating system has randomness");
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_hex(text: &str, bytes: usize) -> bool {
    text.len() == 2 * bytes && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_id_and_known_by_its_hash() {
        let secret = Secret::new("a secret");
        let (one, other) = (NewKey::generate(), NewKey::generate());
        assert_eq!(key_id(one.whole.expose()), Some(one.key_id.as_str()));
        assert_eq!(one.whole.expose().len(), 81);
        let stored = hash(&secret, one.whole.expose());
        assert!(matches(&secret, one.whole.expose(), &stored));
        assert!(!matches(&secret, other.whole.expose(), &stored));
        assert!(!matches(&Secret::new("another"), one.whole.expose(), &stored));
        assert!(!matches(&secret, one.whole.expose(), &stored[..31]));
        assert!(!format!("{one:?}").contains(one.whole.expose()));
    }

    #[test]
    fn what_is_no_key_has_no_id() {
        let (id, secret) = ("0123456789ab", "0".repeat(64));
        assert_eq!(key_id(&format!("tlk_{id}_{secret}")), Some(id));
        let wrong = [
            String::new(),
            "tlk_".into(),
            format!("TLK_{id}_{secret}"),
            format!("tlk_{id}{secret}"),
            format!("tlk_{id}_{secret}0"),
            format!("tlk_{id}_{}", &secret[1..]),
            format!("tlk_0{id}_{secret}"),
            format!("tlk_{}_{secret}", "0123456789AB"),
            format!("tlk_{id}_{}", "é".repeat(32)),
            format!(" tlk_{id}_{secret}"),
        ];
        for key in wrong {
            assert_eq!(key_id(&key), None, "{key}");
        }
    }
}
