//! The one task that connects.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redis::{AsyncConnectionConfig, Client, aio::MultiplexedConnection};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{CONNECT, said};

/// The first pause between two attempts to connect, which doubles up to [`SLOWEST`].
pub(super) const SOONEST: Duration = Duration::from_millis(100);
/// The longest pause between two attempts.
pub(super) const SLOWEST: Duration = Duration::from_secs(2);

/// Which connection: each that is made has the next number.
pub(super) type Epoch = u64;

/// Keeps a connection for as long as it lives.
pub(super) struct Keeper {
    link: Arc<Link>,
    _task: AbortOnDropHandle<()>,
}

struct Link {
    state: Mutex<State>,
    /// Whether there is a connection.
    up: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    epoch: Epoch,
    connection: Option<MultiplexedConnection>,
}

impl Keeper {
    pub(super) fn start(client: Client) -> Self {
        let link = Arc::new(Link { state: Mutex::default(), up: watch::channel(false).0 });
        let task = tokio::spawn(link.clone().keep(client));
        Self { link, _task: AbortOnDropHandle::new(task) }
    }

    /// The connection there is, and which it is.
    pub(super) fn connection(&self) -> Option<(Epoch, MultiplexedConnection)> {
        let state = self.link.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.connection.clone().map(|connection| (state.epoch, connection))
    }

    /// Waits for as long as there is none.
    pub(super) async fn connected(&self) {
        // The sender lives in `self`.
        let _ = self.link.up.subscribe().wait_for(|up| *up).await;
    }

    /// Gives a connection up, unless that has been done: it is logged once, however many were waiting for it.
    pub(super) fn give_up(&self, epoch: Epoch, cause: &str) {
        self.link.give_up(epoch, cause);
    }
}

impl Link {
    fn give_up(&self, epoch: Epoch, cause: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.epoch == epoch && state.connection.take().is_some() {
            drop(state);
            tracing::warn!(cause, "Redis is lost: going on without it until it is back");
            metrics::counter!("trunkline_redis_lost_total").increment(1);
            self.up.send_replace(false);
        }
    }

    async fn keep(self: Arc<Self>, client: Client) {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
        let mut wait = SOONEST;
        // What is wrong is said once, until it is right.
        let mut told = false;
        loop {
            match client.get_multiplexed_async_connection_with_config(&config).await {
                Ok(connection) => {
                    self.took(connection);
                    (wait, told) = (SOONEST, false);
                    let _ = self.up.subscribe().wait_for(|up| !*up).await;
                }
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(
                            cause = said(&error),
                            "Redis cannot be reached: going on without it until it can"
                        );
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(SLOWEST);
                }
            }
        }
    }

    fn took(&self, connection: MultiplexedConnection) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.epoch += 1;
        state.connection = Some(connection);
        drop(state);
        tracing::info!("Redis is connected");
        self.up.send_replace(true);
    }
}
