//! How a request to an endpoint is signed: Standard Webhooks 1.0, symmetric
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac};
use rand::TryRngCore;
use sha2::Sha256;
use trunkline_base::Secret;

/// What secrets begin with.
const PREFIX: &str = "whsec_";

/// A new secret: `whsec_` and 32 random bytes in base64.
pub(super) fn new_secret() -> Secret {
    let mut bytes = [0; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).expect("the system has random bytes");
    Secret::new(format!("{PREFIX}{}", BASE64_STANDARD.encode(bytes)))
}

/// The value of `webhook-signature` by one secret: `v1,` and the HMAC-SHA256 of `{id}.{timestamp}.{body}` in base64. `timestamp` is in
/// seconds since 1970. `None` if the secret is none of ours.
pub fn sign(secret: &Secret, id: &str, timestamp: u64, body: &[u8]) -> Option<String> {
    let key = BASE64_STANDARD.decode(secret.expose().strip_prefix(PREFIX)?).ok()?;
    let mut hmac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    hmac.update(format!("{id}.{timestamp}.").as_bytes());
    hmac.update(body);
    Some(format!("v1,{}", BASE64_STANDARD.encode(hmac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the specification's own libraries.
    #[test]
    fn the_specification_s_example_is_signed_alike() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signature =
            sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_differ_and_what_is_none_signs_nothing() {
        let (one, other) = (new_secret(), new_secret());
        assert_ne!(one.expose(), other.expose());
        assert_ne!(sign(&one, "a", 1, b"x"), sign(&other, "a", 1, b"x"));
        for none in ["", "whsec_", "whsec_!", "sk-1"] {
            let signed = sign(&Secret::new(none), "a", 1, b"x");
            assert!(signed.is_none() || none == "whsec_", "{none}");
        }
    }
}
