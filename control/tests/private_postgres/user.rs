//! As whom a program runs, and folders of its own.

use std::{
    env, fs,
    io::Write,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use uuid::Uuid;

/// The ordinary user that root becomes: `nobody`, with a group that nobody is in.
const ORDINARY: u32 = 65534;

/// As whom a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// As whom the tests run.
    Same,
    /// As somebody else without any rights, which only root can arrange.
    Ordinary,
}

impl User {
    /// All that these tests can be.
    pub(crate) fn all() -> Vec<Self> {
        if geteuid().is_root() {
            return vec![Self::Same, Self::Ordinary];
        }
        say("NOT ROOT: what is different for root is not tested here; run the tests as root too");
        vec![Self::Same]
    }

    pub(crate) fn is_root(self) -> bool {
        self == Self::Same && geteuid().is_root()
    }

    /// Makes a command run as this user.
    pub(crate) fn become_in(self, command: &mut Command) {
        if self == Self::Ordinary {
            command.uid(ORDINARY).gid(ORDINARY);
        }
    }
}

/// Says what is not tested, past the harness, which would keep it.
pub(crate) fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// A folder that is removed with all that is in it.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A new one, which this user owns. Its name is short: sockets are in it.
    pub(crate) fn new(user: User) -> Self {
        let name = Uuid::now_v7().simple().to_string();
        let path = env::temp_dir().join(format!("tpg-{}", &name[20..]));
        fs::create_dir(&path).unwrap();
        // The server's user passes through it to root's cluster.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        if user == User::Ordinary {
            chown(&path, Some(ORDINARY), Some(ORDINARY)).unwrap();
        }
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// This test program, where this user can run it: the folder that it was built in may be closed to others.
    pub(crate) fn program(&self, user: User) -> PathBuf {
        let this = env::current_exe().unwrap();
        if user == User::Same {
            return this;
        }
        let copy = self.0.join("program");
        if !copy.exists() {
            fs::copy(&this, &copy).unwrap();
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        }
        copy
    }

    /// A folder in it, which this user owns.
    pub(crate) fn make(&self, name: &str, mode: u32, user: User) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        if user == User::Ordinary {
            chown(&path, Some(ORDINARY), Some(ORDINARY)).unwrap();
        }
        path
    }
}

impl Drop for Folder {
    /// With the servers that a test which failed has left in it.
    fn drop(&mut self) {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            let servers = servers_in(&self.0);
            if servers.is_empty() {
                break;
            }
            for server in servers {
                let _ = kill_process(server, Signal::QUIT);
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The processes of Postgres whose folder is within this one.
pub(crate) fn servers_in(folder: &Path) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    let within = |pid: &Pid| {
        let of = |name: &str| format!("/proc/{}/{name}", pid.as_raw_nonzero());
        fs::read_to_string(of("comm")).is_ok_and(|name| name.trim() == "postgres")
            && fs::read_link(of("cwd")).is_ok_and(|at| at.starts_with(folder))
    };
    pids.filter(within).collect()
}
