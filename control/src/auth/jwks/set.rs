//! A JSON Web Key Set, as far as user tokens are signed with it.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// A project has two or three. More than so many are not read.
const MAX_KEYS: usize = 64;
/// RSA keys of less than 2048 bits can be broken.
const MIN_MODULUS: usize = 256;

/// A key that verifies tokens, with the one algorithm that it verifies.
pub(in crate::auth) struct PublicKey {
    pub(in crate::auth) algorithm: Algorithm,
    pub(in crate::auth) decoding: DecodingKey,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.algorithm.fmt(f)
    }
}

/// Keys by their ids.
#[derive(Debug)]
pub(super) struct KeySet(HashMap<String, Arc<PublicKey>>);

impl KeySet {
    /// Reads a set. A key of a kind that is not used is left out, as RFC 7517 has it; an empty set is a set, for a project that signs
    /// with its secret alone publishes none.
    pub(super) fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Raw {
            keys: Vec<Value>,
        }
        let raw: Raw = serde_json::from_slice(body)?;
        let mut keys = HashMap::new();
        for value in raw.keys.into_iter().take(MAX_KEYS) {
            let Ok(jwk) = serde_json::from_value::<Jwk>(value) else { continue };
            let (Some(id), Some(key)) = (jwk.common.key_id.clone(), usable(&jwk)) else { continue };
            // Of two with one id, the first has it.
            keys.entry(id).or_insert_with(|| Arc::new(key));
        }
        Ok(Self(keys))
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<PublicKey>> {
        self.0.get(id).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A key of a type that signs tokens, if it says of itself nothing else. A shared secret has no place in what is published.
fn usable(jwk: &Jwk) -> Option<PublicKey> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::RSA(key) => {
            let modulus = URL_SAFE_NO_PAD.decode(&key.n).ok()?;
            let bytes = modulus.iter().skip_while(|&&byte| byte == 0).count();
            (bytes >= MIN_MODULUS).then_some(Algorithm::RS256)?
        }
        _ => return None,
    };
    let common = &jwk.common;
    let for_it = common.key_algorithm.is_none_or(|stated| stated == algorithm.into());
    let to_sign = common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    let to_verify = common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    if !(for_it && to_sign && to_verify) {
        return None;
    }
    Some(PublicKey { algorithm, decoding: DecodingKey::from_jwk(jwk).ok()? })
}
