//! A new cluster.

use std::{
    fs,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{binaries::Binaries, error::PrivateError, log, place, place::Place};

/// How long initdb may take. It takes less than a second on a disk that does nothing else.
const INITDB_LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(5);

/// Makes the cluster if it is not there: UTF-8 and the C.UTF-8 locale, so that its indexes outlive a new C library; checksums on
/// its pages; and no passwords, for only its owner reaches the socket.
///
/// It is made under another name and renamed: one whose making was interrupted is never taken for a whole one.
pub(super) fn ensure(place: &Place, binaries: &Binaries, durable: bool) -> Result<(), PrivateError> {
    let Some((parent, name)) = place.cluster.parent().zip(place.cluster.file_name()) else {
        return Ok(()); // it has both: it is a name that was joined to a folder
    };
    if place.cluster.join("PG_VERSION").exists() {
        return place.settle();
    }
    fs::create_dir_all(parent).map_err(PrivateError::io(parent))?;
    let begun = format!("{}.new.", name.to_string_lossy());
    remove_begun(parent, &begun);
    let new = parent.join(format!("{begun}{:08x}", rand::random::<u32>()));
    place.private_folder(&new)?;
    let made = initdb(place, binaries, durable, &new);
    if made.is_err() {
        let _ = fs::remove_dir_all(&new);
    }
    made?;
    fs::rename(&new, &place.cluster).map_err(PrivateError::io(&place.cluster))?;
    place::sync_folder(parent)?;
    place.settle()
}

fn initdb(place: &Place, binaries: &Binaries, durable: bool, folder: &Path) -> Result<(), PrivateError> {
    let (log, begins) = log::open(&place.data)?;
    let errors = log.try_clone().map_err(PrivateError::io(&log::path(&place.data)))?;
    let program = binaries.program("initdb");
    let mut command = command(place, &program);
    command.arg("-D").arg(folder).args([
        "--username=postgres",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--data-checksums",
        "--auth-local=trust",
        "--auth-host=reject",
    ]);
    if !durable {
        command.arg("--no-sync");
    }
    let mut child = command.stdout(log).stderr(errors).spawn().map_err(PrivateError::io(&program))?;
    let status = wait(&mut child, INITDB_LIMIT).map_err(PrivateError::io(&program))?;
    let Some(status) = status else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(PrivateError::TooSlow { what: "for initdb".to_owned(), limit: INITDB_LIMIT });
    };
    if status.success() {
        return Ok(());
    }
    let output = log::tail(&place.data, begins);
    let told = PrivateError::told(&place.cluster, &output);
    Err(told.unwrap_or(PrivateError::Initdb { cluster: place.cluster.clone(), output }))
}

/// One of the server's programs, as its user, with nothing of what might point it at another server.
pub(super) fn command(place: &Place, program: &Path) -> Command {
    use std::os::unix::process::CommandExt;

    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    // A folder that every user may enter.
    command.env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
    if let Some(user) = place.run_as {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

/// Its end, or none within the limit.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    loop {
        match child.try_wait()? {
            None if began.elapsed() < limit => thread::sleep(POLL),
            ended => return Ok(ended),
        }
    }
}

/// What earlier programs could not finish. A failure is harmless: the new one has a name of its own.
fn remove_begun(parent: &Path, begun: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(begun) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
