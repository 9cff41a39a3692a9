//! The project's signing keys: which one signs, which ones are listed, and what a token may say.

use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    jwk::{Jwk, KeyOperations, PublicKeyUse},
};
use serde_json::{Map, Value, json};

use crate::{dates::unix_now, keys::RSA_PRIVATE};

/// What new tokens are signed with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Signing {
    /// A key on the curve P-256, made at start.
    #[default]
    Es256,
    /// The RSA key that is published for tests.
    Rs256,
    /// The shared secret alone: no key is listed.
    Hs256,
}

/// Who signs a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Signer {
    /// The key that is in use.
    #[default]
    Current,
    /// The shared secret.
    Secret,
    /// A key that is nowhere listed, though it has a name as those have.
    Stranger,
    /// Nobody: `alg` is `none`.
    Nobody,
}

/// A token to be minted. Each field can be made to say what a healthy token does not.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// The user's id.
    pub subject: String,
    /// The user's address; may be empty.
    pub email: String,
    /// From now to its end in seconds; negative: it is over already.
    pub lifetime: i64,
    /// `iss`; the project's own if none.
    pub issuer: Option<String>,
    /// `aud`: a string or a list.
    pub audience: Value,
    /// `role`.
    pub role: String,
    /// `aal1` or `aal2`.
    pub aal: String,
    /// Whether the user has not said who they are.
    pub anonymous: bool,
    /// What the server alone may write.
    pub app_metadata: Value,
    /// What the user may write.
    pub user_metadata: Value,
    /// The session's id; a new one if none.
    pub session: Option<String>,
    /// Further claims; null takes one away.
    pub claims: Map<String, Value>,
    /// Who signs it.
    pub signer: Signer,
}

impl Token {
    /// A healthy token of a user's, for an hour.
    pub fn of(subject: &str, email: &str) -> Self {
        Self {
            subject: subject.into(),
            email: email.into(),
            lifetime: 3_600,
            issuer: None,
            audience: "authenticated".into(),
            role: "authenticated".into(),
            aal: "aal1".into(),
            anonymous: false,
            app_metadata: json!({"provider": "email", "providers": ["email"]}),
            user_metadata: json!({}),
            session: None,
            claims: Map::new(),
            signer: Signer::Current,
        }
    }

    fn claims(&self, issuer: &str) -> Value {
        let now = unix_now();
        let mut claims = json!({
            "iss": self.issuer.as_deref().unwrap_or(issuer),
            "aud": self.audience,
            "exp": now.saturating_add_signed(self.lifetime),
            "iat": now.saturating_add_signed(self.lifetime.min(0)),
            "sub": self.subject,
            "role": self.role,
            "aal": self.aal,
            "amr": [{"method": "password", "timestamp": now}],
            "session_id": self.session.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            "email": self.email,
            "phone": "",
            "is_anonymous": self.anonymous,
            "app_metadata": self.app_metadata,
            "user_metadata": self.user_metadata,
        });
        if let Some(fields) = claims.as_object_mut() {
            for (name, value) in &self.claims {
                if value.is_null() {
                    fields.remove(name);
                } else {
                    fields.insert(name.clone(), value.clone());
                }
            }
        }
        claims
    }
}

#[derive(Clone)]
struct Key {
    kid: String,
    algorithm: Algorithm,
    private: EncodingKey,
    /// The public half, as it is listed.
    jwk: Value,
}

impl Key {
    fn new(algorithm: Algorithm, private: EncodingKey) -> Self {
        let kid = uuid::Uuid::new_v4().to_string();
        let mut jwk = Jwk::from_encoding_key(&private, algorithm).expect("the key was made for this algorithm");
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk.common.key_operations = Some(vec![KeyOperations::Verify]);
        let jwk = serde_json::to_value(jwk).unwrap_or_default();
        Self { kid, algorithm, private, jwk }
    }

    fn es256() -> Self {
        let pair = rcgen::KeyPair::generate().expect("ring makes keys on P-256");
        Self::new(Algorithm::ES256, EncodingKey::from_ec_der(&pair.serialize_der()))
    }

    fn rs256() -> Self {
        let private = EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).expect("the published key is valid PEM");
        Self::new(Algorithm::RS256, private)
    }
}

/// All keys of a project.
pub(super) struct Keys {
    ring: Mutex<Ring>,
    secret: String,
}

struct Ring {
    /// What signs; none: the secret.
    current: Option<Key>,
    /// What is listed.
    listed: Vec<Key>,
}

impl Keys {
    pub(super) fn new(signing: Signing, secret: &str) -> Self {
        let current = match signing {
            Signing::Es256 => Some(Key::es256()),
            Signing::Rs256 => Some(Key::rs256()),
            Signing::Hs256 => None,
        };
        let listed = current.iter().cloned().collect();
        Self { ring: Mutex::new(Ring { current, listed }), secret: secret.into() }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new key signs from now on; the others stay listed. Tells the new key's id.
    pub(super) fn rotate(&self) -> String {
        let key = Key::es256();
        let kid = key.kid.clone();
        let mut ring = self.ring();
        ring.listed.push(key.clone());
        ring.current = Some(key);
        kid
    }

    /// Takes a key off the list.
    pub(super) fn revoke(&self, kid: &str) {
        self.ring().listed.retain(|key| key.kid != kid);
    }

    /// The id of the key that signs, if one does.
    pub(super) fn current(&self) -> Option<String> {
        self.ring().current.as_ref().map(|key| key.kid.clone())
    }

    /// The list that everybody may read.
    pub(super) fn jwks(&self) -> Value {
        json!({"keys": self.ring().listed.iter().map(|key| key.jwk.clone()).collect::<Vec<_>>()})
    }

    pub(super) fn mint(&self, token: &Token, issuer: &str) -> String {
        let claims = token.claims(issuer);
        let current = self.ring().current.clone();
        let key = match token.signer {
            Signer::Current => current,
            Signer::Secret => None,
            Signer::Stranger => Some(Key::es256()),
            Signer::Nobody => {
                let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
                return format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(&claims));
            }
        };
        match key {
            Some(key) => {
                let header = Header { kid: Some(key.kid), ..Header::new(key.algorithm) };
                encode(&header, &claims, &key.private)
            }
            None => encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(self.secret.as_bytes())),
        }
        .expect("claims are JSON, and the key was made for its algorithm")
    }

    /// A token's claims, if a key of the project signed it and it is not over.
    pub(super) fn verify(&self, token: &str) -> Option<Map<String, Value>> {
        let header = decode_header(token).ok()?;
        let key = match &header.kid {
            Some(kid) => {
                let ring = self.ring();
                let key = ring.listed.iter().find(|key| key.kid == *kid && key.algorithm == header.alg)?;
                DecodingKey::from_jwk(&serde_json::from_value(key.jwk.clone()).ok()?).ok()?
            }
            None if header.alg == Algorithm::HS256 => DecodingKey::from_secret(self.secret.as_bytes()),
            None => return None,
        };
        let mut rules = Validation::new(header.alg);
        (rules.leeway, rules.validate_aud) = (0, false);
        decode(token, &key, &rules).ok().map(|decoded| decoded.claims)
    }

    /// A text that only the project can have signed, such as a signed URL's token.
    pub(super) fn seal(&self, claims: &Value) -> String {
        let key = EncodingKey::from_secret(format!("storage {}", self.secret).as_bytes());
        encode(&Header::new(Algorithm::HS256), claims, &key).expect("claims are JSON, and the key is a secret")
    }

    /// The claims of such a text, whether it is over or not.
    pub(super) fn unseal(&self, sealed: &str) -> Option<Map<String, Value>> {
        let mut rules = Validation::new(Algorithm::HS256);
        (rules.validate_exp, rules.validate_aud) = (false, false);
        rules.required_spec_claims.clear();
        let key = DecodingKey::from_secret(format!("storage {}", self.secret).as_bytes());
        decode(sealed, &key, &rules).ok().map(|decoded| decoded.claims)
    }
}
