//! Supabase's user tokens: signed JWTs that say who somebody is, and claim which tenant they belong to.
//!
//! The algorithm is the key's, never the token's. Today there is one kind of key, the project's shared secret; a project's JWKS is
//! another variant of [`TokenKeys`].

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, errors::ErrorKind};
use serde::{Deserialize, Serialize};
use trunkline_base::Secret;
use uuid::Uuid;

use super::Role;
use crate::tenant::TenantId;

/// Clocks differ by so much, in seconds.
const LEEWAY: u64 = 10;
/// Longest token that is read. Supabase's have about a kilobyte.
const MAX_TOKEN: usize = 8 * 1024;
/// Whom tokens are for, and the role that all users of Supabase have.
const AUTHENTICATED: &str = "authenticated";

/// What tokens are verified with.
pub enum TokenKeys {
    /// HS256 with SUPABASE_JWT_SECRET.
    Shared(DecodingKey),
}

/// Why a token is refused. For its bearer: holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none.
    #[error("Authentication is required: send Authorization: Bearer <token>")]
    Missing,
    /// It is not a JWT.
    #[error("The token is malformed")]
    Malformed,
    /// It was signed by somebody else, or with another algorithm.
    #[error("The token's signature is not valid")]
    Signature,
    /// Its time is over.
    #[error("The token has expired")]
    Expired,
    /// It is for somebody else.
    #[error("The token is not for this service")]
    Audience,
    /// It is a key of the project, not a user's token.
    #[error("The token is not a user's")]
    NotAUser,
}

/// What a verified token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The user.
    pub user: Uuid,
    /// Their address, where the token has one.
    pub email: Option<String>,
    /// The tenant, as the server wrote it: only its administrators can.
    pub app_tenant: Option<TenantId>,
    /// The role with which the server's tenant is entered.
    pub app_role: Option<Role>,
    /// The tenant, as the user wrote it: anybody can write anything.
    pub user_tenant: Option<TenantId>,
    /// When the token ends, in seconds since 1970.
    pub expires: u64,
}

#[derive(Deserialize)]
struct RawClaims {
    sub: Option<String>,
    exp: u64,
    role: Option<String>,
    email: Option<String>,
    #[serde(default)]
    app_metadata: Metadata,
    #[serde(default)]
    user_metadata: Metadata,
}

/// Metadata is free-form: what is there of another type counts as absent.
#[derive(Default, Deserialize)]
#[serde(from = "serde_json::Value")]
struct Metadata {
    tenant_id: Option<Uuid>,
    role: Option<Role>,
}

impl From<serde_json::Value> for Metadata {
    fn from(value: serde_json::Value) -> Self {
        let text = |key: &str| value.get(key).and_then(serde_json::Value::as_str);
        Self {
            tenant_id: text("tenant_id").and_then(|id| Uuid::try_parse(id).ok()),
            role: text("role").and_then(|role| role.parse().ok()),
        }
    }
}

impl TokenKeys {
    /// HS256 with a shared secret.
    pub fn shared(secret: &Secret) -> Self {
        Self::Shared(DecodingKey::from_secret(secret.expose().as_bytes()))
    }

    /// Verifies a token: signature, times, audience, and that it is a user's.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Malformed);
        }
        let (key, algorithm) = match self {
            Self::Shared(key) => (key, Algorithm::HS256),
        };
        let mut rules = Validation::new(algorithm);
        rules.leeway = LEEWAY;
        rules.validate_nbf = true;
        rules.set_audience(&[AUTHENTICATED]);
        rules.set_required_spec_claims(&["exp", "aud"]);
        let claims = decode::<RawClaims>(token, key, &rules).map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature => TokenError::Expired,
            ErrorKind::InvalidAudience => TokenError::Audience,
            ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => TokenError::Audience,
            ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => TokenError::Signature,
            _ => TokenError::Malformed,
        })?;
        let claims = claims.claims;
        if claims.role.as_deref().is_some_and(|role| role != AUTHENTICATED) {
            return Err(TokenError::NotAUser);
        }
        let user = claims.sub.as_deref().and_then(|sub| Uuid::try_parse(sub).ok()).ok_or(TokenError::NotAUser)?;
        Ok(Claims {
            user,
            email: claims.email.filter(|email| !email.is_empty()),
            app_tenant: claims.app_metadata.tenant_id.map(TenantId::new),
            app_role: claims.app_metadata.role,
            user_tenant: claims.user_metadata.tenant_id.map(TenantId::new),
            expires: claims.exp,
        })
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared(_) => f.write_str("Shared"),
        }
    }
}

#[derive(Serialize)]
struct DevelopmentClaims<'a> {
    sub: Uuid,
    aud: &'a str,
    role: &'a str,
    email: &'a str,
    iat: u64,
    exp: u64,
    app_metadata: DevelopmentMetadata,
}

#[derive(Serialize)]
struct DevelopmentMetadata {
    tenant_id: TenantId,
    role: Role,
}

/// A token as Supabase would issue it to a user of this tenant: for development and tests, by whoever has the secret. Times are
/// seconds since 1970.
pub fn development_token(
    secret: &Secret,
    user: Uuid,
    tenant: TenantId,
    role: Role,
    issued: u64,
    expires: u64,
) -> Secret {
    let claims = DevelopmentClaims {
        sub: user,
        aud: AUTHENTICATED,
        role: AUTHENTICATED,
        email: "developer@example.com",
        iat: issued,
        exp: expires,
        app_metadata: DevelopmentMetadata { tenant_id: tenant, role },
    };
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    Secret::new(encode(&Header::new(Algorithm::HS256), &claims, &key).expect("plain claims can be signed"))
}
