//! Why there is no private Postgres, each with what to do about it.

use std::{io, path::Path, path::PathBuf, time::Duration};

/// What a server needs to start, in bytes: one segment of its log.
const NEEDED: u64 = 16 * 1024 * 1024;

/// Why the private Postgres does not serve, or could not be stopped.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// No server is installed, or not where `PG_BIN` says.
    #[error(
        "no Postgres server is here (looked for `postgres` and `initdb` in {looked}): install one (Debian: `apt-get install postgresql`), set PG_BIN to the folder that holds its programs, or set DATABASE_URL to a server that runs elsewhere"
    )]
    NoBinaries {
        /// The folders.
        looked: String,
    },
    /// The servers that are installed are too old.
    #[error("Postgres {needed} or newer is needed, and {folder} has {found}: install a newer one, or set PG_BIN to it")]
    TooOld {
        /// The oldest that will do.
        needed: u32,
        /// Where the newest is.
        folder: PathBuf,
        /// Its major version.
        found: u32,
    },
    /// The cluster was made by another major version.
    #[error(
        "the database in {cluster} was made by Postgres {made_by}, and the server here is {found}: install Postgres {made_by} beside it (or set PG_BIN to it), or bring the cluster to {found} with pg_upgrade"
    )]
    OtherVersion {
        /// Its folder.
        cluster: PathBuf,
        /// What `PG_VERSION` says.
        made_by: String,
        /// The major version of the newest server found.
        found: u32,
    },
    /// The program is root, and the server refuses to be.
    #[error(
        "Postgres refuses to run as root, and there is no user `postgres` to run it as: install Debian's `postgresql`, which makes one, or run this program as an ordinary user"
    )]
    NoUser,
    /// The cluster belongs to somebody else.
    #[error(
        "the database of {data} belongs to {owner}: run the program as that user, or set TRUNKLINE_DATA to another folder"
    )]
    OtherUser {
        /// The program's data folder.
        data: PathBuf,
        /// Whose it is.
        owner: String,
    },
    /// The data folder names a cluster that is gone.
    #[error(
        "{id} says that the database is in {cluster}, and nothing is there: put it back, or remove {id} to begin with an empty database"
    )]
    Lost {
        /// The file that names it.
        id: PathBuf,
        /// Where it should be.
        cluster: PathBuf,
    },
    /// A folder cannot be written.
    #[error(
        "cannot write to {path}: {cause}: make it writable for this user, or set TRUNKLINE_DATA to a folder that is"
    )]
    Unwritable {
        /// What was to be written.
        path: PathBuf,
        /// What the system says.
        cause: String,
    },
    /// No space is left.
    #[error("the disk of {path} is full: make room and start again; what was stored is kept")]
    DiskFull {
        /// What was to be written.
        path: PathBuf,
    },
    /// The temporary directory's name is too long for a socket within it.
    #[error(
        "the socket would be {path}, whose {length} bytes are more than the {limit} that the system takes: set TMPDIR to a shorter folder"
    )]
    SocketPath {
        /// The socket.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A new cluster could not be made.
    #[error("initdb could not make a database in {cluster}: {output}")]
    Initdb {
        /// Where.
        cluster: PathBuf,
        /// The end of what it said.
        output: String,
    },
    /// The server ended instead of starting.
    #[error("Postgres did not start. The end of {log}:\n{tail}")]
    NotStarted {
        /// The server's log.
        log: PathBuf,
        /// What it wrote in this start, the end of it.
        tail: String,
    },
    /// Something took longer than anybody should wait.
    #[error("waited {limit:?} {what}, in vain")]
    TooSlow {
        /// For what.
        what: String,
        /// The limit.
        limit: Duration,
    },
    /// The server runs and does not do as it is told.
    #[error("the private Postgres runs and cannot be used: {0}")]
    Unusable(#[source] sqlx::Error),
    /// Anything else that the system refuses.
    #[error("{path}: {cause}")]
    Io {
        /// On what.
        path: PathBuf,
        /// What it says.
        cause: io::Error,
    },
}

impl PrivateError {
    /// What a failure of the system on this path means.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| {
            let path = path.to_path_buf();
            match cause.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Self::Unwritable { path, cause: cause.to_string() }
                }
                _ => Self::Io { path, cause },
            }
        }
    }

    /// Why initdb or the server failed, where their words or the disk tell.
    pub(super) fn told(path: &Path, words: &str) -> Option<Self> {
        // The C locale's spelling, which is what both are told to speak.
        const FULL: [&str; 3] = ["No space left on device", "Disk quota exceeded", "Check free disk space"];
        const UNWRITABLE: [&str; 1] = ["Read-only file system"];
        let path = path.to_path_buf();
        if FULL.iter().any(|full| words.contains(full)) || free(&path).is_some_and(|free| free < NEEDED) {
            return Some(Self::DiskFull { path });
        }
        let cause = UNWRITABLE.into_iter().find(|word| words.contains(word))?;
        Some(Self::Unwritable { path, cause: cause.to_owned() })
    }
}

/// How many bytes an ordinary user may still write there, as far as the system tells.
fn free(path: &Path) -> Option<u64> {
    // A cluster that could not be made is not there; the folder that it was to be in is.
    let disk = rustix::fs::statvfs(path).or_else(|_| rustix::fs::statvfs(path.parent().unwrap_or(path))).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}
