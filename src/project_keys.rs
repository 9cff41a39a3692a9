//! Where a Supabase project publishes the keys that verify its users' tokens.

use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::{Client, Response, StatusCode, header};
use trunkline_control::auth::{FetchedKeys, KeySource, KeySourceError};
use trunkline_media::net::{Http, Net};

/// How long connecting may take, TLS included.
const CONNECT: Duration = Duration::from_secs(3);
/// A set of two or three keys has about a kilobyte.
const MAX_BODY: usize = 64 * 1024;

/// A project's published keys. Its address is the operator's word, so it may point inside.
#[derive(Debug)]
pub(crate) struct ProjectKeys {
    http: Client,
    url: String,
}

impl ProjectKeys {
    /// Of the project with this issuer.
    pub(crate) fn new(net: &Net, issuer: &str) -> Result<Self, reqwest::Error> {
        let http = Http::new(net, CONNECT)?.direct().clone();
        Ok(Self { http, url: format!("{issuer}/.well-known/jwks.json") })
    }

    async fn ask(&self) -> Result<FetchedKeys, KeySourceError> {
        let answer = self.http.get(&self.url).header(header::ACCEPT, "application/json").send().await.map_err(why)?;
        if answer.status() != StatusCode::OK {
            return Err(KeySourceError(format!("the answer is {}", answer.status())));
        }
        let max_age = max_age(&answer);
        Ok(FetchedKeys { body: read(answer).await?, max_age })
    }
}

impl KeySource for ProjectKeys {
    fn fetch(&self) -> BoxFuture<'_, Result<FetchedKeys, KeySourceError>> {
        Box::pin(self.ask())
    }
}

async fn read(mut answer: Response) -> Result<Vec<u8>, KeySourceError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(why)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(KeySourceError(format!("the answer has more than {MAX_BODY} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn max_age(answer: &Response) -> Option<Duration> {
    let text = answer.headers().get(header::CACHE_CONTROL)?.to_str().ok()?;
    let seconds =
        text.split(',').find_map(|part| part.trim().to_ascii_lowercase().strip_prefix("max-age=")?.parse().ok());
    seconds.map(Duration::from_secs)
}

/// The whole chain: reqwest's own text stops before the cause.
#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn why(error: reqwest::Error) -> KeySourceError {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    KeySourceError(text)
}

#[cfg(test)]
mod tests {
    use axum::{
        Router,
        response::{IntoResponse, Redirect},
        routing::get,
    };
    use tokio::net::TcpListener;

    use super::*;

    /// What comes of asking a project that answers so.
    async fn asked<R: IntoResponse + Clone + Send + Sync + 'static>(answer: R) -> Result<FetchedKeys, KeySourceError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}/auth/v1", listener.local_addr().unwrap());
        let answer = move || std::future::ready(answer.clone().into_response());
        let router = Router::new().route("/auth/v1/.well-known/jwks.json", get(answer));
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let fetched = ProjectKeys::new(&Net::new(&[]).unwrap(), &issuer).unwrap().fetch().await;
        server.abort();
        fetched
    }

    fn keys(cache_control: &'static str) -> impl IntoResponse + Clone {
        ([(header::CACHE_CONTROL, cache_control)], r#"{"keys":[]}"#)
    }

    #[tokio::test]
    async fn a_set_comes_with_how_long_it_is_good() {
        let max_age = async |cache_control| asked(keys(cache_control)).await.unwrap().max_age;
        assert_eq!(max_age("public, max-age=600").await, Some(Duration::from_secs(600)));
        assert_eq!(max_age("Max-Age=5, public").await, Some(Duration::from_secs(5)));
        for silent in ["no-store", "max-age=soon", "max-age=-1", "s-maxage=9"] {
            assert_eq!(max_age(silent).await, None, "{silent}");
        }
        assert_eq!(asked(r#"{"keys":[1]}"#).await.unwrap().body, br#"{"keys":[1]}"#);
    }

    #[tokio::test]
    async fn what_is_no_set_says_why() {
        let why = |fetched: Result<FetchedKeys, KeySourceError>| fetched.unwrap_err().to_string();
        assert!(why(asked(StatusCode::BAD_GATEWAY).await).contains("502"));
        // Nobody but the project says where its keys are.
        assert!(why(asked(Redirect::temporary("/elsewhere")).await).contains("307"));
        assert!(why(asked("x".repeat(MAX_BODY + 1)).await).contains("more than 65536 bytes"));
        assert_eq!(asked("x".repeat(MAX_BODY)).await.unwrap().body.len(), MAX_BODY);
        let nobody = ProjectKeys::new(&Net::new(&[]).unwrap(), "http://127.0.0.1:9/auth/v1").unwrap();
        assert!(why(nobody.fetch().await).contains("refused"));
    }
}
