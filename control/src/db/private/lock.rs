//! Who starts and who stops, when several programs share a data folder.
//!
//! Two files: whoever starts or stops the server holds one alone, for as long as that takes; and whoever uses the server holds the
//! other one together with all others who do, for as long as they do. The system releases both when a program dies, however it dies.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::error::PrivateError;

/// How long another program may start or stop the server. Longer than either takes at most.
const TURN_LIMIT: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(20);

/// The right to start or stop the server. Dropping it gives it up.
#[derive(Debug)]
pub(super) struct Turn {
    _file: File,
}

impl Turn {
    /// Waits until nobody else starts or stops.
    pub(super) fn take(data: &Path) -> Result<Self, PrivateError> {
        let path = turn_file(data);
        let began = Instant::now();
        loop {
            let file = open(&path)?;
            match file.try_lock() {
                // Whoever removes a throw-away folder removes this file with it: then the lock is on nothing.
                Ok(()) if is_still(&file, &path) => return Ok(Self { _file: file }),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if began.elapsed() < TURN_LIMIT => thread::sleep(POLL),
                Err(TryLockError::WouldBlock) => {
                    let what = format!("for another program to start or stop the Postgres of {}", data.display());
                    return Err(PrivateError::TooSlow { what, limit: TURN_LIMIT });
                }
                Err(TryLockError::Error(cause)) => return Err(PrivateError::io(&path)(cause)),
            }
        }
    }
}

/// The sign that somebody uses the server.
#[derive(Debug)]
pub(super) struct Using {
    file: File,
}

impl Using {
    /// Only whoever has the turn may begin: then nobody is about to stop the server.
    pub(super) fn begin(data: &Path, _turn: &Turn) -> Result<Self, PrivateError> {
        let path = users_file(data);
        let file = open(&path)?;
        file.lock_shared().map_err(PrivateError::io(&path))?;
        Ok(Self { file })
    }

    /// Whether nobody else uses it. Only whoever has the turn may ask: nobody begins in the meantime.
    pub(super) fn is_alone(&self, _turn: &Turn) -> bool {
        let alone = self.file.try_lock().is_ok();
        // Taking it alone may have given up the common one, which is why it is taken anew in any case.
        let kept = self.file.lock_shared().is_ok();
        alone && kept
    }
}

/// Held by whoever starts or stops.
pub(super) fn turn_file(data: &Path) -> PathBuf {
    data.join("postgres.lock")
}

/// Held by all who use.
pub(super) fn users_file(data: &Path) -> PathBuf {
    data.join("postgres.users")
}

fn open(path: &Path) -> Result<File, PrivateError> {
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    options.map_err(PrivateError::io(path))
}

fn is_still(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(theirs)) => (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()),
        _ => false,
    }
}
