//! The task that owns a call's voice: it moves messages between the socket, the [`Session`] and the call.
//!
//! While the call doesn't take what was spoken, the socket isn't read, so that the vendor slows down; commands are taken all the
//! same, for one of them may be the cancel that ends the jam.

use std::{
    future::{Future, pending},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, sleep_until},
};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::task::AbortOnDropHandle;
use trunkline_base::Clock;

use super::{
    endpoint,
    fault::{LinkFault, Remedy},
    session::{Session, Timer},
    socket::Socket,
    wire::ServerMessage,
};
use crate::{
    net::Net,
    tts::{EVENT_BACKLOG, TtsCommand, TtsConfig, TtsEvent, TtsSession},
};

/// How many commands wait while a message is being written.
const COMMAND_BACKLOG: usize = 64;
/// A connection that lived for so long was a good one: the next is tried at once.
const GOOD: Duration = Duration::from_secs(10);

/// Opens a session and starts to connect: a voice that is opened while the phone rings is ready when it is answered.
///
/// Nothing is returned of what may fail; a voice that can't be had fails each reply that is asked of it.
pub fn open(config: TtsConfig, net: Net, clock: Arc<dyn Clock>) -> TtsSession {
    let (commands, commands_in) = mpsc::channel(COMMAND_BACKLOG);
    let (events_out, events) = mpsc::channel(EVENT_BACKLOG);
    let driver = Driver {
        session: Session::new(&config),
        link: Link::Waiting(clock.now()),
        attempts: 0,
        since: clock.now(),
        blocked: false,
        config,
        net,
        clock,
        commands: commands_in,
        events: events_out,
    };
    let task = AbortOnDropHandle::new(tokio::spawn(driver.run()));
    TtsSession { commands, events, task: Some(task) }
}

struct Driver {
    session: Session,
    link: Link,
    /// Connections tried since the last good one.
    attempts: u32,
    /// When the socket was opened.
    since: Instant,
    /// The call had no room for an event.
    blocked: bool,
    config: TtsConfig,
    net: Net,
    clock: Arc<dyn Clock>,
    commands: mpsc::Receiver<TtsCommand>,
    events: mpsc::Sender<TtsEvent>,
}

/// The connection, or what is being done about it.
enum Link {
    /// Connects at this time.
    Waiting(Instant),
    Connecting(Pin<Box<dyn Future<Output = Result<Box<Socket>, LinkFault>> + Send>>),
    Up(Box<Socket>),
    /// It would be refused.
    Off,
}

enum LinkEvent {
    Due,
    Connected(Result<Box<Socket>, LinkFault>),
    Message(Result<Utf8Bytes, LinkFault>),
}

impl Link {
    /// What happens next with the connection. Nothing is lost if this is dropped while it waits.
    async fn next(&mut self, listen: bool) -> LinkEvent {
        match self {
            Self::Waiting(at) => {
                sleep_until(*at).await;
                LinkEvent::Due
            }
            Self::Connecting(connecting) => LinkEvent::Connected(connecting.await),
            Self::Up(socket) if listen => LinkEvent::Message(socket.next().await),
            Self::Up(_) | Self::Off => pending().await,
        }
    }
}

impl Driver {
    async fn run(mut self) {
        loop {
            self.send().await;
            self.hand_over();
            let jammed = self.session.has_events();
            let deadline = self.session.poll_timeout(!jammed);
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    None | Some(TtsCommand::Close) => break,
                    Some(command) => self.on_command(command),
                },
                // The room itself is taken at the top of the loop: this is the only sender.
                open = async { self.events.reserve().await.is_ok() }, if jammed => if !open { break },
                () = self.events.closed(), if !jammed => break,
                event = self.link.next(!jammed) => self.on_link(event),
                timer = expiry(deadline) => self.on_timer(timer),
            }
        }
        self.close().await;
    }

    fn on_command(&mut self, command: TtsCommand) {
        let now = self.clock.now();
        let began = self.session.handle_command(command, now);
        if began && matches!(self.link, Link::Waiting(_)) {
            self.link = Link::Waiting(now);
        }
    }

    fn on_link(&mut self, event: LinkEvent) {
        let now = self.clock.now();
        match event {
            LinkEvent::Due => match endpoint::request(&self.config, self.session.mode()) {
                Ok(request) => {
                    let (base, limit) = (self.config.base_url.clone(), self.config.limits.connect);
                    self.link = Link::Connecting(Box::pin(Socket::connect(base, request, self.net.clone(), limit)));
                }
                Err(error) => self.lost(&error.into()),
            },
            LinkEvent::Connected(Ok(socket)) => {
                self.link = Link::Up(socket);
                self.since = now;
                self.session.handle_connected(now);
            }
            LinkEvent::Message(Ok(text)) => match ServerMessage::parse(text.as_str()) {
                Some(message) => {
                    if let Err(fault) = self.session.handle_message(&message, now) {
                        self.lost(&fault);
                    }
                }
                None => tracing::debug!(bytes = text.len(), "a message of the voice's that is none was passed over"),
            },
            LinkEvent::Connected(Err(fault)) | LinkEvent::Message(Err(fault)) => self.lost(&fault),
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        if let Err(fault) = self.session.handle_timeout(timer, self.clock.now()) {
            self.lost(&fault);
        }
    }

    /// Drops the socket and decides when to have another.
    fn lost(&mut self, fault: &LinkFault) {
        let now = self.clock.now();
        if matches!(self.link, Link::Up(_)) && now.saturating_duration_since(self.since) > GOOD {
            self.attempts = 0;
        }
        tracing::debug!(%fault, attempts = self.attempts, "the voice's socket failed");
        self.link = match self.session.handle_lost(fault, now) {
            Remedy::Retry => {
                let wait = backoff(&self.config.tag, self.attempts);
                self.attempts = self.attempts.saturating_add(1);
                Link::Waiting(now + wait)
            }
            Remedy::StreamInput => Link::Waiting(now),
            Remedy::GiveUp => Link::Off,
        };
    }

    /// Writes what the session wants sent, and replaces the socket if it wants that.
    async fn send(&mut self) {
        if self.session.poll_hang_up() {
            self.link = Link::Waiting(self.clock.now());
        }
        let messages: Vec<String> = std::iter::from_fn(|| self.session.poll_transmit()).collect();
        if let Link::Up(socket) = &mut self.link
            && !messages.is_empty()
            && let Err(fault) = socket.send(messages, self.config.limits.write).await
        {
            self.lost(&fault);
        }
    }

    /// Gives the call as many events as it has room for.
    fn hand_over(&mut self) {
        while self.session.has_events() {
            match self.events.try_reserve() {
                Ok(room) => {
                    if let Some(event) = self.session.poll_event() {
                        room.send(event);
                    }
                }
                Err(TrySendError::Full(()) | TrySendError::Closed(())) => {
                    self.blocked = true;
                    return;
                }
            }
        }
        if std::mem::take(&mut self.blocked) {
            self.session.handle_resumed(self.clock.now());
        }
    }

    async fn close(mut self) {
        self.session.handle_command(TtsCommand::Close, self.clock.now());
        self.hand_over();
        self.send().await;
        if let Link::Up(socket) = self.link {
            socket.close(self.config.limits.write).await;
        }
    }
}

async fn expiry(deadline: Option<(Instant, Timer)>) -> Timer {
    match deadline {
        Some((at, timer)) => {
            sleep_until(at).await;
            timer
        }
        None => pending().await,
    }
}

/// How long to wait before the next connection: hardly at all at first, then from 0.1 s doubling to 5 s. Spread by the call's tag,
/// so that the calls of a failed vendor don't come back at the same moment.
fn backoff(tag: &str, attempts: u32) -> Duration {
    let mut hasher = DefaultHasher::new();
    (tag, attempts).hash(&mut hasher);
    let spread = (hasher.finish() % 1_000) as f64 / 1_000.0;
    match attempts {
        0 => Duration::from_millis(50).mul_f64(spread),
        _ => {
            let most = Duration::from_millis(100 << (attempts - 1).min(6)).min(Duration::from_secs(5));
            most.mul_f64(0.5 + spread / 2.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_differ_by_call_and_end() {
        for attempts in 1..40 {
            let wait = backoff("call-a", attempts);
            assert!((Duration::from_millis(50)..=Duration::from_secs(5)).contains(&wait), "{attempts}: {wait:?}");
        }
        assert!(backoff("call-a", 0) < Duration::from_millis(50));
        assert!(backoff("call-a", 6) > backoff("call-a", 1));
        assert_ne!(backoff("call-a", 3), backoff("call-b", 3));
        assert_eq!(backoff("call-a", 3), backoff("call-a", 3));
    }
}
