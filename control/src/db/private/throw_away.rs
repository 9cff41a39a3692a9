//! What is gone once nobody uses it.

use std::{
    env,
    fs::{self, DirBuilder},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::geteuid;

use super::{error::PrivateError, place::Place};

/// Watches locks that the system releases when a program dies, so it needs Linux' `flock`.
const WATCH: &str = include_str!("watch.sh");

/// The data folder of a throw-away Postgres: the same for all programs of one user that give the same name.
pub(super) fn data(name: &str) -> PathBuf {
    env::temp_dir().join(format!("trunkline-{name}-{}", geteuid().as_raw()))
}

/// Makes that folder. Anybody could have made it first, in a folder that is everybody's; then it is not used.
pub(super) fn make(data: &Path) -> Result<(), PrivateError> {
    // The server's user passes through root's on its way to the cluster.
    let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
    match DirBuilder::new().mode(mode).create(data) {
        Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => return Err(PrivateError::io(data)(cause)),
        _ => {}
    }
    let folder = fs::symlink_metadata(data).map_err(PrivateError::io(data))?;
    if folder.is_dir() && folder.uid() == geteuid().as_raw() && folder.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(PrivateError::OtherUser {
        data: data.to_path_buf(),
        owner: format!("the user with the number {}", folder.uid()),
    })
}

/// Leaves somebody behind who stops the server and removes it once all who use it are gone. If nobody can be left, what is removed is
/// what [`stop`](super::PrivatePostgres::stop) removes.
pub(super) fn watch(place: &Place, linger: Duration) {
    let watcher = Command::new("sh")
        .args(["-c", WATCH, "sh"])
        .args([place.data.as_os_str(), place.cluster.as_os_str()])
        .arg(linger.as_secs().to_string())
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match watcher {
        // It outlives this program, unless another one watches already: then it ends at once.
        Ok(mut watcher) => {
            let _ = std::thread::Builder::new().name("watcher".to_owned()).spawn(move || watcher.wait());
        }
        Err(cause) => tracing::warn!(%cause, "nobody will stop the throw-away Postgres if this program is killed"),
    }
}

/// Removes a server's cluster and all that lies beside it, and the data folder if nothing else is in it.
pub(super) fn remove(place: &Place) -> Result<(), PrivateError> {
    match fs::remove_dir_all(&place.cluster) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            return Err(PrivateError::io(&place.cluster)(cause));
        }
        _ => {}
    }
    // The lock is the last: whoever waits for it then finds nothing.
    for name in ["id", "id.new", "log", "log.1", "watch", "users", "lock"] {
        let _ = fs::remove_file(place.data.join(format!("postgres.{name}")));
    }
    let _ = fs::remove_dir(&place.data);
    Ok(())
}
