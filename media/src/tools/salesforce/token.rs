//! Tokens, by each of the three flows that need no browser.

use std::time::SystemTime;

use serde::Serialize;
use trunkline_base::Secret;

use super::{
    Org,
    wire::{TokenAnswer, no_token, oauth_code},
};
use crate::{
    account::{self, AccountError, Answer, NoToken},
    jwt::{seconds, sign},
    net::Http,
};

/// How long an assertion is valid, in seconds: the vendor takes 180 at most, by its own clock.
const VALID: u64 = 120;

/// How a token is got.
#[derive(Debug, Clone)]
pub enum Flow {
    /// As the app itself, with its secret.
    ClientCredentials {
        /// The consumer secret.
        client_secret: Secret,
    },
    /// As a user, with the key of the certificate that the app has.
    JwtBearer {
        /// As whom.
        username: String,
        /// RSA in PEM.
        private_key: Secret,
    },
    /// As whoever once gave consent.
    RefreshToken {
        /// The consumer secret; public clients have none.
        client_secret: Option<Secret>,
        /// What consent was answered with, or the last answer's.
        refresh_token: Secret,
    },
}

/// What opens an organisation's data.
#[derive(Debug, Clone)]
pub struct Token {
    /// Goes into each request.
    pub access_token: Secret,
    /// Where the data is, as the answer says: [`Org::instance`] decides about it.
    pub instance_url: String,
    /// Given where the one that was used is dead: the vendor rotates them.
    pub refresh_token: Option<Secret>,
}

#[derive(Debug, Serialize)]
struct Assertion {
    iss: String,
    sub: String,
    aud: &'static str,
    exp: u64,
}

/// Asks for a token. No limit of its own: an answer that nobody waits for may hold the only refresh token that is good.
pub async fn token(
    http: &Http,
    org: &Org,
    client_id: &str,
    flow: &Flow,
    now: SystemTime,
) -> Result<Token, AccountError> {
    let mut form: Vec<(&str, &str)> = Vec::new();
    let assertion;
    match flow {
        Flow::ClientCredentials { client_secret } => form.extend([
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", client_secret.expose()),
        ]),
        Flow::JwtBearer { username, private_key } => {
            let claims = Assertion {
                iss: client_id.to_owned(),
                sub: username.clone(),
                aud: org.audience(),
                exp: seconds(now) + VALID,
            };
            assertion = sign(claims, private_key).await?;
            form.extend([
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", assertion.expose()),
            ]);
        }
        Flow::RefreshToken { client_secret, refresh_token } => {
            form.extend([
                ("grant_type", "refresh_token"),
                ("client_id", client_id),
                ("refresh_token", refresh_token.expose()),
            ]);
            form.extend(client_secret.as_ref().map(|secret| ("client_secret", secret.expose())));
        }
    }
    let url = account::resource(http, org.login(), &["services", "oauth2", "token"])?;
    let request = http.direct().post(url).form(&form);
    let answer = account::ask(http, org.login().trust(), request).await?;
    if !(200..=299).contains(&answer.status) {
        return Err(refused(&answer, flow));
    }
    let given: TokenAnswer =
        serde_json::from_value(answer.success(oauth_code)?).map_err(|_| answer.not_that_vendor())?;
    let refresh_token = match flow {
        Flow::RefreshToken { refresh_token: used, .. } => {
            given.refresh_token.filter(|new| !new.is_empty() && new.expose() != used.expose())
        }
        _ => None,
    };
    Ok(Token { access_token: given.access_token, instance_url: given.instance_url, refresh_token })
}

fn refused(answer: &Answer, flow: &Flow) -> AccountError {
    let refusal = answer.refusal(oauth_code);
    match (answer.status, refusal.code.as_deref()) {
        (_, Some("rate_limit_exceeded")) | (429, _) => AccountError::Quota(refusal),
        (500.., _) => AccountError::Vendor(refusal),
        (400..=403, Some(_)) => {
            let why = answer.json().map_or(NoToken::Other, |body| no_token(&body));
            match (why, flow) {
                // All that is left to be wrong is what the assertion says or who signed it.
                (NoToken::Other | NoToken::Expired, Flow::JwtBearer { .. }) => AccountError::WrongSignature(refusal),
                (NoToken::Other, Flow::RefreshToken { .. }) => AccountError::NoToken(NoToken::Expired, refusal),
                _ => AccountError::NoToken(why, refusal),
            }
        }
        _ => answer.not_that_vendor(),
    }
}
