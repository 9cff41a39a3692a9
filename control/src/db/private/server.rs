//! Starting, adopting and stopping the server.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    binaries::Binaries,
    cluster::command,
    error::PrivateError,
    log,
    place::Place,
    postmaster::{self, Postmaster, anybody_works_in},
};

/// The port is only a part of the socket's name.
pub(super) const PORT: u16 = 5432;
/// How long a server may take to start, or one that is going down to be gone: after a crash it first replays what was written.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long it may take to write its last checkpoint.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to go without one.
const QUIT_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);
/// What `sockaddr_un` holds, less the byte that ends it.
const SOCKET_LIMIT: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// A server that takes connections.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) postmaster: Postmaster,
    /// The folder of its socket.
    pub(super) socket: PathBuf,
    /// Whether it ran before.
    pub(super) adopted: bool,
}

/// Adopts the server that runs, or starts one. One that is starting or going down is waited for, and so is what a killed one has left.
pub(super) fn ensure(place: &Place, binaries: &Binaries, durable: bool) -> Result<Server, PrivateError> {
    let began = Instant::now();
    let wait = |what: &str| {
        if began.elapsed() > START_LIMIT {
            let what = format!("{what} (see {})", log::path(&place.data).display());
            return Err(PrivateError::TooSlow { what, limit: START_LIMIT });
        }
        thread::sleep(POLL);
        Ok(())
    };
    loop {
        let found = Postmaster::read(&place.cluster);
        match &found {
            Some(postmaster) if postmaster.is_alive(&place.cluster) => {
                if let (true, Some(socket)) = (postmaster.ready, &postmaster.socket) {
                    return Ok(Server { postmaster: postmaster.clone(), socket: socket.clone(), adopted: true });
                }
                wait("for a Postgres that is starting or going down")?;
                continue;
            }
            _ if anybody_works_in(&place.cluster) => {
                wait("for what a killed Postgres has left running")?;
                continue;
            }
            // Its number may be somebody else's by now, which the server would take for a server.
            Some(dead) => {
                let _ = fs::remove_file(postmaster::file(&place.cluster));
                dead.socket.iter().for_each(|socket| remove_socket_folder(socket));
            }
            None => {}
        }
        if let Some(server) = start(place, binaries, durable)? {
            return Ok(server);
        }
        wait("for the memory that a killed Postgres has left")?;
    }
}

/// Starts one; none if what a killed one has left is still in use.
fn start(place: &Place, binaries: &Binaries, durable: bool) -> Result<Option<Server>, PrivateError> {
    let socket = socket_folder(place)?;
    let (log, begins) = log::open(&place.data)?;
    let mut child = match spawn(place, binaries, durable, &socket, log) {
        Ok(child) => child,
        Err(error) => {
            remove_socket_folder(&socket);
            return Err(error);
        }
    };
    let began = Instant::now();
    loop {
        if !matches!(child.try_wait(), Ok(None)) {
            remove_socket_folder(&socket);
            let tail = log::tail(&place.data, begins);
            if tail.contains("pre-existing shared memory block") {
                return Ok(None);
            }
            let told = PrivateError::told(&place.cluster, &tail);
            return Err(told.unwrap_or(PrivateError::NotStarted { log: log::path(&place.data), tail }));
        }
        let postmaster = Postmaster::read(&place.cluster);
        let ours = postmaster.filter(|it| u32::try_from(it.pid.as_raw_nonzero().get()) == Ok(child.id()));
        if let Some(postmaster) = ours.filter(|it| it.ready) {
            reap(child, place);
            return Ok(Some(Server { postmaster, socket, adopted: false }));
        }
        if began.elapsed() > START_LIMIT {
            // It goes on, and whoever starts next adopts it: what it has replayed is not lost.
            reap(child, place);
            let what = format!("for Postgres to start (see {})", log::path(&place.data).display());
            // Without room for its last step it may try again and again.
            let told = PrivateError::told(&place.cluster, &log::tail(&place.data, begins));
            return Err(told.unwrap_or(PrivateError::TooSlow { what, limit: START_LIMIT }));
        }
        thread::sleep(POLL);
    }
}

fn spawn(
    place: &Place,
    binaries: &Binaries,
    durable: bool,
    socket: &Path,
    log: fs::File,
) -> Result<Child, PrivateError> {
    use std::os::unix::process::CommandExt;

    let program = binaries.program("postgres");
    let mut command = command(place, &program);
    command.arg("-D").arg(&place.cluster);
    let mut set = |name: &str, value: &str| {
        command.arg("-c").arg(format!("{name}={value}"));
    };
    set("listen_addresses", "");
    set("unix_socket_directories", &socket.to_string_lossy());
    set("unix_socket_permissions", "0700");
    set("port", &PORT.to_string());
    set("timezone", "UTC");
    set("log_timezone", "UTC");
    // Errors of statements quote what tenants store, so they go to whoever sent the statement and nowhere else.
    set("log_min_messages", "log");
    set("log_min_error_statement", "panic");
    set("log_statement", "none");
    set("log_checkpoints", "off");
    for name in ["fsync", "full_page_writes", "synchronous_commit", "autovacuum"] {
        set(name, if durable { "on" } else { "off" });
    }
    let errors = log.try_clone().map_err(PrivateError::io(&log::path(&place.data)))?;
    // In a process group of its own, a ctrl-c that is meant for the program leaves it alone.
    command.process_group(0).stdout(log).stderr(errors);
    command.spawn().map_err(PrivateError::io(&program))
}

/// Waits for the server's end, so that it is not a zombie after it, and so that somebody says it.
fn reap(mut child: Child, place: &Place) {
    let log = log::path(&place.data);
    let name = "private-postgres".to_owned();
    let spawned = thread::Builder::new().name(name).spawn(move || match child.wait() {
        Ok(status) if status.success() => tracing::debug!("the private Postgres has stopped"),
        Ok(status) => {
            tracing::error!(%status, log = %log.display(), "the private Postgres died: start the program again");
        }
        Err(_) => {}
    });
    if spawned.is_err() {
        tracing::debug!("nobody waits for the private Postgres");
    }
}

/// Stops it without waiting for its clients; first with a last checkpoint, and if that takes too long, without.
pub(super) fn stop(place: &Place) -> Result<(), PrivateError> {
    let Some(running) = Postmaster::read(&place.cluster).filter(|it| it.is_alive(&place.cluster)) else {
        return Ok(());
    };
    for (signal, limit) in [(Signal::INT, STOP_LIMIT), (Signal::QUIT, QUIT_LIMIT)] {
        running.signal(signal);
        let began = Instant::now();
        while began.elapsed() < limit {
            if !running.is_alive(&place.cluster) {
                running.socket.iter().for_each(|socket| remove_socket_folder(socket));
                return Ok(());
            }
            thread::sleep(POLL);
        }
    }
    Err(PrivateError::TooSlow { what: "for Postgres to stop".to_owned(), limit: STOP_LIMIT + QUIT_LIMIT })
}

/// A new folder whose name nobody could know, in which only the server's user and root find the socket.
fn socket_folder(place: &Place) -> Result<PathBuf, PrivateError> {
    let folder = env::temp_dir().join(format!("trunkline-{:08x}", rand::random::<u32>()));
    let socket = folder.join(format!(".s.PGSQL.{PORT}"));
    let length = socket.as_os_str().len();
    if length > SOCKET_LIMIT {
        return Err(PrivateError::SocketPath { path: socket, length, limit: SOCKET_LIMIT });
    }
    place.private_folder(&folder)?;
    Ok(folder)
}

/// Removes what a server had there, and the folder if nothing else is in it.
fn remove_socket_folder(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(".s.PGSQL.") {
            let _ = fs::remove_file(entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}
