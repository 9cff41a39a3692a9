//! Stream tokens: 32 random bytes, base64url, of which only the SHA-256 is kept. One admits the media sockets of its own call.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::TryRngCore;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::Instant;
use trunkline_base::Secret;

/// How long a token may be shown after it was handed out. A carrier opens its stream within seconds of the document.
pub(super) const VALID_FOR: Duration = Duration::from_secs(120);

/// What is kept of a token.
#[derive(Debug, Clone)]
pub(super) struct TokenHash {
    hash: [u8; 32],
    expires: Instant,
}

/// Makes a token; the hash is to be kept, the token handed out.
pub(super) fn mint(now: Instant) -> (Secret, TokenHash) {
    let mut bytes = [0; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).expect("the operating system has randomness");
    let token = URL_SAFE_NO_PAD.encode(bytes);
    let hash = hash(&token);
    (Secret::new(token), TokenHash { hash, expires: now + VALID_FOR })
}

/// What is stored of a token.
pub(super) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl TokenHash {
    /// The SHA-256.
    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Whether this is the token, and still good.
    pub(super) fn admits(&self, token: &str, now: Instant) -> bool {
        bool::from(hash(token).ct_eq(&self.hash)) && now < self.expires
    }

    /// When it stops being good.
    pub(super) const fn expires(&self) -> Instant {
        self.expires
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_admits_until_it_expires_and_no_other_does() {
        let now = Instant::now();
        let (token, hash) = mint(now);
        assert_eq!(URL_SAFE_NO_PAD.decode(token.expose()).unwrap().len(), 32);
        assert!(hash.admits(token.expose(), now));
        assert!(!hash.admits("something else", now));
        assert!(!hash.admits(token.expose(), now + VALID_FOR));
        assert!(!format!("{token:?} {hash:?}").contains(token.expose()));
    }
}
