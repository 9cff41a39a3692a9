//! Which of the machine's Postgres servers.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::error::PrivateError;

/// The oldest major version that the migrations run on.
const OLDEST: u32 = 15;

/// A folder with a server's programs.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    /// The folder.
    pub(super) folder: PathBuf,
    /// The major version.
    pub(super) major: u32,
}

impl Binaries {
    /// The newest server, or for a cluster that exists the one that made it. `given` is the only place to look, if there is one.
    pub(super) fn find(given: Option<&Path>, cluster: &Path) -> Result<Self, PrivateError> {
        let folders = given.map_or_else(usual_folders, |given| vec![given.to_path_buf()]);
        let mut found: Vec<Self> = folders.iter().filter_map(|folder| Self::in_folder(folder)).collect();
        found.sort_by_key(|binaries| binaries.major);
        let Some(newest) = found.last().cloned() else {
            let looked: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
            return Err(PrivateError::NoBinaries { looked: looked.join(", ") });
        };
        if newest.major < OLDEST {
            return Err(PrivateError::TooOld { needed: OLDEST, folder: newest.folder, found: newest.major });
        }
        let Ok(made_by) = fs::read_to_string(cluster.join("PG_VERSION")) else {
            return Ok(newest);
        };
        let made_by = made_by.trim();
        let same = found.into_iter().rev().find(|binaries| binaries.major.to_string() == made_by);
        same.ok_or_else(|| PrivateError::OtherVersion {
            cluster: cluster.to_path_buf(),
            made_by: made_by.to_owned(),
            found: newest.major,
        })
    }

    /// A program of it.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn in_folder(folder: &Path) -> Option<Self> {
        if !folder.join("initdb").is_file() {
            return None;
        }
        let version = said(&folder.join("postgres"), "--version")?;
        Some(Self { folder: folder.to_path_buf(), major: major(&version)? })
    }
}

/// Debian keeps servers side by side and out of the path; others have one, in the path or where pg_config says.
fn usual_folders() -> Vec<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = debian.map(|entry| entry.path().join("bin")).collect();
    folders.extend(env::var_os("PATH").iter().flat_map(env::split_paths).filter(|folder| folder.is_absolute()));
    folders.extend(said(Path::new("pg_config"), "--bindir").map(|folder| PathBuf::from(folder.trim())));
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    folders
}

fn said(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// From `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, or `18beta1`.
fn major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL)")?.1.trim_start();
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_major_version_is_read_from_what_the_server_says() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("mysqld 8"), None);
    }
}
