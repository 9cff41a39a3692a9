//! Telling endpoints what happened: one signed request an attempt.
//!
//! The address is a user's word, so each attempt goes by way of the guard, which connects to an address that it has checked; redirects are
//! answers like any other that is no success.

use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use tokio::time::timeout;
use trunkline_base::{Clock, SystemClock, guard::GuardedError};
use trunkline_control::{
    Control,
    jobs::{Job, Kind, queue},
    webhooks::{
        deliveries::{self, Attempt, Due, Fate},
        signature,
    },
};
use trunkline_media::net::{Http, Net, Trust};

use super::{JobError, Policy, Settled, Task};

/// How long connecting may take, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an attempt may take, all together.
const LIMIT: Duration = Duration::from_secs(10);
/// How much of an answer's body is read, and kept.
const BODY: usize = 1024;
/// What an endpoint answers that wants to hear nothing more.
const GONE: u16 = 410;

/// The pauses between attempts: 24 hours in all.
const WAITS: [Duration; 11] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(4 * 60 * 60),
    Duration::from_secs(4 * 60 * 60),
    Duration::from_secs(4 * 60 * 60),
    Duration::from_secs(8 * 60 * 60),
];

/// Tells endpoints.
pub(super) struct Messenger {
    control: Control,
    http: Http,
}

impl Messenger {
    pub(super) fn new(control: Control, net: &Net) -> Result<Self, reqwest::Error> {
        Ok(Self { control, http: Http::new(net, CONNECT)? })
    }

    async fn deliver(&self, job: &Job) -> Result<Settled, JobError> {
        let tenant = job.tenant;
        let mut tx = self.control.db.begin(tenant).await?;
        let due = deliveries::due(&mut tx, tenant, job.subject).await?;
        let Some(due) = due else {
            // The endpoint has been removed.
            let done = queue::done(&mut tx, tenant, job).await?;
            tx.commit().await?;
            return if done { Ok(Settled::Done) } else { Err(JobError::Lost) };
        };
        drop(tx);
        let (attempt, fate) = if due.is_enabled {
            let (attempt, asked) = self.attempt(&due).await?;
            let fate = match (&attempt.error, attempt.response_status) {
                (None, _) => Fate::Delivered,
                (Some(_), Some(GONE)) => Fate::Unwanted,
                _ => self.policy().wait(job.attempt, asked).map_or(Fate::GivenUp, Fate::Again),
            };
            (attempt, fate)
        } else {
            let error = Some("the webhook is disabled".to_owned());
            (Attempt { error, ..Attempt::default() }, Fate::Unwanted)
        };
        let mut tx = self.control.db.begin(tenant).await?;
        if attempt.response_status == Some(GONE) {
            deliveries::disable(&mut tx, tenant, due.endpoint, "it answered 410 Gone").await?;
        }
        if !deliveries::settle(&mut tx, tenant, job, &due, &attempt, fate).await? {
            return Err(JobError::Lost);
        }
        tx.commit().await?;
        let (settled, word) = match fate {
            Fate::Delivered => (Settled::Done, "delivered"),
            Fate::Unwanted => (Settled::Done, "unwanted"),
            Fate::Again(_) => (Settled::Again, "again"),
            Fate::GivenUp => (Settled::Dead, "given_up"),
        };
        metrics::counter!("trunkline_webhook_attempts_total", "outcome" => word).increment(1);
        Ok(settled)
    }

    /// One request; and how long the endpoint asks us to wait, if it does.
    async fn attempt(&self, due: &Due) -> Result<(Attempt, Option<Duration>), JobError> {
        let wall = SystemClock.wall();
        let secrets = due.secrets(&self.control.vault, wall.into());
        let secrets =
            secrets.map_err(|error| JobError::Dead(format!("the webhook's secret cannot be used: {error}")))?;
        let body = serde_json::to_vec(&due.payload).unwrap_or_default();
        let timestamp = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let id = due.id.to_string();
        let signatures: Vec<String> =
            secrets.iter().filter_map(|secret| signature::sign(secret, &id, timestamp, &body)).collect();
        if signatures.is_empty() {
            return Err(JobError::Dead("the webhook has no secret".to_owned()));
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("webhook-timestamp", HeaderValue::from(timestamp));
        for (name, value) in [("webhook-id", id), ("webhook-signature", signatures.join(" "))] {
            headers.insert(name, HeaderValue::from_str(&value).map_err(|_| dead("its headers cannot be sent"))?);
        }
        let started = SystemClock.now();
        let sent = timeout(LIMIT, Box::pin(self.post(&due.url, headers, body))).await;
        let (mut attempt, asked) = match sent {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => (Attempt { error: Some(error), ..Attempt::default() }, None),
            Err(_) => {
                let error = format!("no answer within {} s", LIMIT.as_secs());
                (Attempt { error: Some(error), ..Attempt::default() }, None)
            }
        };
        attempt.duration_ms = i32::try_from(started.elapsed().as_millis()).unwrap_or(i32::MAX);
        Ok((attempt, asked))
    }

    async fn post(&self, url: &str, headers: HeaderMap, body: Vec<u8>) -> Result<(Attempt, Option<Duration>), String> {
        let url = self.http.guard().parse(url).map_err(|error| format!("the address is refused: {error}"))?;
        let request = self.http.direct().post(url).headers(headers).body(body).build();
        let request = request.map_err(|_| "the request cannot be made".to_owned())?;
        let mut response = self.http.execute(Trust::User, request).await.map_err(|error| unsent(&error))?;
        let status = response.status();
        let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut kept = Vec::new();
        while kept.len() < BODY {
            match response.chunk().await {
                Ok(Some(chunk)) => kept.extend_from_slice(&chunk),
                // Its status is its answer, whatever becomes of the rest.
                Ok(None) | Err(_) => break,
            }
        }
        kept.truncate(BODY);
        let attempt = Attempt {
            response_status: Some(status.as_u16()),
            response_body: Some(String::from_utf8_lossy(&kept).into_owned()),
            error: (!status.is_success()).then(|| refused(status.as_u16())),
            duration_ms: 0,
        };
        Ok((attempt, asked.map(Duration::from_secs)))
    }
}

impl Task for Messenger {
    fn policy(&self) -> Policy {
        Policy { kind: Kind::Webhook, at_once: 16, per_tenant: 8, waits: &WAITS, limit: 3 * LIMIT }
    }

    fn run<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Settled, JobError>> {
        Box::pin(self.deliver(job))
    }
}

fn dead(reason: &str) -> JobError {
    JobError::Dead(reason.to_owned())
}

fn refused(status: u16) -> String {
    match status {
        300..=399 => format!("it was answered with {status}: redirects are not followed"),
        _ => format!("it was answered with {status}"),
    }
}

/// Why there is no answer, without the address: there may be a secret in it.
fn unsent(error: &GuardedError) -> String {
    match error {
        GuardedError::Refused(error) => format!("the address is refused: {error}"),
        GuardedError::Http(error) if error.is_timeout() => "no connection in time".to_owned(),
        GuardedError::Http(error) if error.is_connect() => "no connection".to_owned(),
        GuardedError::Http(_) => "the connection was lost before an answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_tried_at_growing_intervals() {
        let all: Duration = WAITS.iter().sum();
        assert!((23 * 3600..=25 * 3600).contains(&all.as_secs()), "{all:?}");
        assert!(WAITS.is_sorted());
    }
}
