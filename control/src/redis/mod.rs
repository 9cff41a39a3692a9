//! Redis: what nodes share for a moment. Nothing is lost that matters if it is gone.
//!
//! The crate's connection manager makes whoever asks wait while it connects again. Here one task connects, and everybody else is told
//! at once that there is no connection: a request never waits for a dead Redis longer than the limit of the one command that found out.

mod keeper;
mod subscription;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use redis::{Client, FromRedisValue, ScriptInvocation, aio::MultiplexedConnection};
use trunkline_base::Secret;

use self::keeper::Keeper;
pub use self::subscription::{Notice, Subscription};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a published message may take to be taken.
const PUBLISH: Duration = Duration::from_secs(1);

/// Why Redis did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    /// The address is none.
    #[error("{0} is not the address of a Redis, such as redis://:password@host:6379/0 or rediss://host:6380")]
    Url(&'static str),
    /// There is no connection; it is being made.
    #[error("Redis is not connected")]
    Down,
    /// It did not answer in time.
    #[error("Redis did not answer in time")]
    Timeout,
    /// It refused, or the connection broke. Holds what the crate says, which quotes no address and no value.
    #[error("Redis failed: {0}")]
    Failed(String),
}

/// One server, and the connection to it. Cloning shares the connection.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    keeper: Arc<Keeper>,
}

impl Redis {
    /// Takes `redis://`, `rediss://` and `redis+unix://` addresses. Connects in the background, now and whenever the connection is
    /// lost; `name` is the setting that the address is from.
    pub fn open(name: &'static str, url: &Secret) -> Result<Self, RedisError> {
        let client = Client::open(url.expose()).map_err(|_| RedisError::Url(name))?;
        let keeper = Arc::new(Keeper::start(client.clone()));
        Ok(Self { client, keeper })
    }

    /// Whether an address is one that [`Redis::open`] takes.
    pub fn check(name: &'static str, url: &Secret) -> Result<(), RedisError> {
        Client::open(url.expose()).map(drop).map_err(|_| RedisError::Url(name))
    }

    /// Whether there is a connection.
    pub fn is_up(&self) -> bool {
        self.keeper.connection().is_some()
    }

    /// Waits until there is a connection, at most this long; whether there is.
    pub async fn connected(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.keeper.connected()).await.is_ok()
    }

    /// Whether it answers, within this time.
    pub async fn ping(&self, limit: Duration) -> bool {
        let ask = async {
            self.keeper.connected().await;
            self.run(limit, async |mut connection| redis::cmd("PING").query_async::<String>(&mut connection).await)
                .await
        };
        matches!(tokio::time::timeout(limit, ask).await, Ok(Ok(_)))
    }

    /// Sends bytes to whoever subscribes to a channel now, and says how many do. Nobody need.
    pub async fn publish(&self, channel: &str, bytes: &[u8]) -> Result<u64, RedisError> {
        self.run(PUBLISH, async |mut connection| {
            redis::cmd("PUBLISH").arg(channel).arg(bytes).query_async(&mut connection).await
        })
        .await
    }

    /// What is sent to these channels from now on, until it is dropped. It has a connection of its own, makes it anew when it is lost,
    /// and says then that there was a gap.
    pub fn subscribe(&self, channels: Vec<String>) -> Subscription {
        Subscription::start(self.client.clone(), channels)
    }

    /// Runs a script within a time.
    pub(crate) async fn eval<T: FromRedisValue>(
        &self,
        limit: Duration,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, RedisError> {
        self.run(limit, async |mut connection| script.invoke_async(&mut connection).await).await
    }

    /// One command on the connection there is. If the connection turns out to be no good, or the server doesn't answer, it is given
    /// up: what is asked next is told so at once.
    async fn run<T>(
        &self,
        limit: Duration,
        ask: impl AsyncFnOnce(MultiplexedConnection) -> redis::RedisResult<T>,
    ) -> Result<T, RedisError> {
        let Some((epoch, connection)) = self.keeper.connection() else { return Err(RedisError::Down) };
        match tokio::time::timeout(limit, ask(connection)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if error.is_unrecoverable_error() || error.is_io_error() {
                    self.keeper.give_up(epoch, &said(&error));
                }
                Err(RedisError::Failed(said(&error)))
            }
            Err(_) => {
                self.keeper.give_up(epoch, "it did not answer in time");
                Err(RedisError::Timeout)
            }
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a password.
        f.debug_struct("Redis").field("up", &self.is_up()).finish_non_exhaustive()
    }
}

/// What went wrong, without the detail, in which a server may quote what it was sent.
fn said(error: &redis::RedisError) -> String {
    error.code().map_or_else(|| error.category().to_owned(), str::to_owned)
}
