//! The server's log, which it writes to its standard error.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use super::error::PrivateError;

/// At a start, a log longer than this becomes the older one. Between two starts it grows by little: errors of statements, which could
/// quote what tenants store, and checkpoints are not logged.
const LONGEST: u64 = 1024 * 1024;
/// How much of a failed start is quoted, in bytes.
const TAIL: u64 = 4096;

/// Where it is.
pub(super) fn path(data: &Path) -> PathBuf {
    data.join("postgres.log")
}

/// Opens it for one start; the number is where that start's lines begin.
pub(super) fn open(data: &Path) -> Result<(File, u64), PrivateError> {
    let path = path(data);
    if fs::metadata(&path).is_ok_and(|log| log.len() > LONGEST) {
        fs::rename(&path, data.join("postgres.log.1")).map_err(PrivateError::io(&path))?;
    }
    let file = OpenOptions::new().append(true).create(true).open(&path).map_err(PrivateError::io(&path))?;
    let begins = file.metadata().map_err(PrivateError::io(&path))?.len();
    Ok((file, begins))
}

/// The end of what was written since a start began.
pub(super) fn tail(data: &Path, begins: u64) -> String {
    let read = || {
        let mut file = File::open(path(data))?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(begins.max(end.saturating_sub(TAIL))))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        std::io::Result::Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_default()
}
