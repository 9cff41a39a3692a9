//! Supabase's user tokens: signed JWTs that say who somebody is, and claim which tenant they belong to.
//!
//! The algorithm is the key's, never the token's. There are two kinds of key, of which either or both may be configured: a project's
//! shared secret, which is for HS256 alone, and its published keys ([`Jwks`]), each for the algorithm of its own type. So a token can
//! choose which key it is held against, but not how.

use std::fmt;

use chrono::{DateTime, Utc};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode, errors::ErrorKind,
};
use serde::{Deserialize, Serialize};
use trunkline_base::Secret;
use uuid::Uuid;

use super::{Jwks, Role};
use crate::{error::ApiError, http::now, tenant::TenantId};

/// Clocks differ by so much, in seconds.
const LEEWAY: u64 = 10;
/// Longest token that is read. Supabase's have about a kilobyte.
const MAX_TOKEN: usize = 8 * 1024;
/// Whom tokens are for, and the role that all users of Supabase have.
const AUTHENTICATED: &str = "authenticated";

/// What tokens are verified with.
#[derive(Default)]
pub struct TokenKeys {
    /// HS256 with SUPABASE_JWT_SECRET.
    shared: Option<DecodingKey>,
    /// ES256 and RS256 with the keys that the project publishes.
    project: Option<Project>,
}

struct Project {
    issuer: String,
    keys: Jwks,
}

/// Why a token is refused. For its bearer: holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none.
    #[error("Authentication is required: send Authorization: Bearer <token>, or X-API-Key: <key>")]
    Missing,
    /// There are several, or a token and a key.
    #[error("Send one token or one API key, in one header")]
    Several,
    /// It is not a JWT.
    #[error("The token is malformed")]
    Malformed,
    /// It was signed by somebody else, with a key that is not known or no longer, or with another algorithm.
    #[error("The token's signature is not valid")]
    Signature,
    /// Its time is over, or not yet come.
    #[error("The token has expired, or is not valid yet")]
    Expired,
    /// It is for somebody else.
    #[error("The token is not for this service")]
    Audience,
    /// Another project issued it.
    #[error("The token is not from this service's issuer")]
    Issuer,
    /// It is a key of the project, not a user's token.
    #[error("The token is not a user's")]
    NotAUser,
    /// The keys that it could be verified with have not been reached yet.
    #[error("Tokens cannot be verified at the moment; try again")]
    NoKeys,
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::NoKeys => Self::overloaded(error.to_string(), Jwks::FIRST_PAUSE),
            _ => Self::auth(error.to_string()),
        }
    }
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
    /// Whether the user has not said who they are.
    pub is_anonymous: bool,
    /// When the token ends.
    pub expires_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct RawClaims {
    iss: Option<String>,
    sub: Option<String>,
    /// RFC 7519 allows fractions of seconds in times.
    exp: f64,
    iat: Option<f64>,
    role: Option<String>,
    email: Option<String>,
    is_anonymous: Option<bool>,
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
        Self { shared: Some(DecodingKey::from_secret(secret.expose().as_bytes())), project: None }
    }

    /// Also ES256 and RS256 with a project's published keys, for tokens of exactly this issuer.
    #[must_use]
    pub fn and_project(self, issuer: impl Into<String>, keys: Jwks) -> Self {
        Self { project: Some(Project { issuer: issuer.into(), keys }), ..self }
    }

    /// Verifies a token: signature, times, audience, issuer where its key is a project's, and that it is a user's.
    pub async fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Malformed);
        }
        let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
        // What must be understood, and isn't.
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let claims = match header.alg {
            Algorithm::HS256 => read(token, self.shared.as_ref().ok_or(TokenError::Signature)?, Algorithm::HS256)?,
            Algorithm::ES256 | Algorithm::RS256 => {
                let project = self.project.as_ref().ok_or(TokenError::Signature)?;
                let id = header.kid.as_deref().ok_or(TokenError::Signature)?;
                let key = project.keys.find(id).await?.ok_or(TokenError::Signature)?;
                let claims = read(token, &key.decoding, key.algorithm)?;
                if claims.iss.as_deref() != Some(project.issuer.as_str()) {
                    return Err(TokenError::Issuer);
                }
                claims
            }
            _ => return Err(TokenError::Signature),
        };
        let now = now();
        if claims.iat.is_some_and(|issued| issued > now.timestamp() as f64 + LEEWAY as f64) {
            return Err(TokenError::Expired);
        }
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
            is_anonymous: claims.is_anonymous.unwrap_or(false),
            expires_at: DateTime::from_timestamp(claims.exp as i64, 0).unwrap_or(DateTime::<Utc>::MAX_UTC),
        })
    }
}

/// What a token says that this key has signed, with this algorithm, for us and for now.
fn read(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<RawClaims, TokenError> {
    let mut rules = Validation::new(algorithm);
    rules.leeway = LEEWAY;
    rules.validate_nbf = true;
    rules.set_audience(&[AUTHENTICATED]);
    rules.set_required_spec_claims(&["exp", "aud"]);
    let claims = decode::<RawClaims>(token, key, &rules).map_err(|error| match error.kind() {
        ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature => TokenError::Expired,
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => TokenError::Audience,
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm | ErrorKind::InvalidKeyFormat => {
            TokenError::Signature
        }
        _ => TokenError::Malformed,
    })?;
    Ok(claims.claims)
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeys")
            .field("shared", &self.shared.is_some())
            .field("issuer", &self.project.as_ref().map(|project| &project.issuer))
            .finish()
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
