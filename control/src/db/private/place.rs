//! Where the cluster lives, and as whom its server runs.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt, MetadataExt, chown},
    path::{Path, PathBuf},
};

use rustix::process::geteuid;

use super::{error::PrivateError, lock::Turn};

/// The user whom root lets the server be.
const SERVER_USER: &str = "postgres";

/// Somebody in /etc/passwd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunAs {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The folders of one private Postgres.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The program's data folder.
    pub(super) data: PathBuf,
    /// The server's folder, which need not exist yet.
    pub(super) cluster: PathBuf,
    /// As whom the server runs, unless it is the program's own user.
    pub(super) run_as: Option<RunAs>,
    /// Where an id that is not settled yet is kept, and where it goes once its cluster is made.
    unsettled: Option<[PathBuf; 2]>,
}

impl Place {
    /// An ordinary user's cluster is in the data folder. Root's is elsewhere: the server's user could not reach it below a folder
    /// that only root may enter. A file in the data folder then names it.
    pub(super) fn find(data: &Path, root_clusters: &Path, _turn: &Turn) -> Result<Self, PrivateError> {
        let inside = data.join("postgres");
        let id = data.join("postgres.id");
        let me = geteuid();
        let owner = fs::metadata(&inside).ok().map(|folder| folder.uid());
        let other = |owner: String| Err(PrivateError::OtherUser { data: data.to_path_buf(), owner });
        if !me.is_root() {
            return match owner {
                _ if id.exists() => other("root".to_owned()),
                Some(owner) if owner != me.as_raw() => other(format!("the user with the number {owner}")),
                _ => Ok(Self { data: data.to_path_buf(), cluster: inside, run_as: None, unsettled: None }),
            };
        }
        if let Some(owner) = owner {
            return other(format!("the user with the number {owner}"));
        }
        let run_as = server_user().ok_or(PrivateError::NoUser)?;
        let (name, unsettled) = match read_id(&id)? {
            Some(name) => (name, None),
            None => {
                let new = data.join("postgres.id.new");
                let name = match read_id(&new)? {
                    Some(name) => name,
                    None => {
                        let name = format!("{:016x}", rand::random::<u64>());
                        fs::write(&new, &name).map_err(PrivateError::io(&new))?;
                        name
                    }
                };
                (name, Some([new, id.clone()]))
            }
        };
        let cluster = root_clusters.join(name);
        if unsettled.is_none() && !cluster.exists() {
            return Err(PrivateError::Lost { id, cluster });
        }
        Ok(Self { data: data.to_path_buf(), cluster, run_as: Some(run_as), unsettled })
    }

    /// Says that the cluster is made: from now on its absence is a loss.
    pub(super) fn settle(&self) -> Result<(), PrivateError> {
        if let Some([new, settled]) = &self.unsettled {
            fs::rename(new, settled).map_err(PrivateError::io(settled))?;
        }
        sync_folder(&self.data)
    }

    /// Makes a folder that only the server's user, and root, may enter.
    pub(super) fn private_folder(&self, path: &Path) -> Result<(), PrivateError> {
        DirBuilder::new().mode(0o700).create(path).map_err(PrivateError::io(path))?;
        match self.run_as {
            Some(RunAs { uid, gid }) => chown(path, Some(uid), Some(gid)).map_err(PrivateError::io(path)),
            None => Ok(()),
        }
    }
}

/// Makes what was renamed in a folder permanent.
pub(super) fn sync_folder(path: &Path) -> Result<(), PrivateError> {
    fs::File::open(path).and_then(|folder| folder.sync_all()).map_err(PrivateError::io(path))
}

/// The name that a file holds; none if there is no file, or one that was not written to its end.
fn read_id(path: &Path) -> Result<Option<String>, PrivateError> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let name = text.trim();
            let whole = name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
            Ok(whole.then(|| name.to_owned()))
        }
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(PrivateError::io(path)(cause)),
    }
}

fn server_user() -> Option<RunAs> {
    user_in(&fs::read_to_string("/etc/passwd").ok()?, SERVER_USER)
}

/// A line is `name:password:uid:gid:…`.
fn user_in(passwd: &str, name: &str) -> Option<RunAs> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (found, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        (found == name).then_some(RunAs { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::{RunAs, user_in};

    #[test]
    fn the_servers_user_is_read_from_the_list_of_users() {
        let passwd =
            "root:x:0:0::/:/bin/sh\npostgresql:x:7:7::/:/bin/sh\npostgres:x:101:104:admin,,,:/var/lib:/bin/bash\n";
        assert_eq!(user_in(passwd, "postgres"), Some(RunAs { uid: 101, gid: 104 }));
        assert_eq!(user_in("root:x:0:0::/:/bin/sh\nbroken\n", "postgres"), None);
    }
}
