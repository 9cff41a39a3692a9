//! The process that runs, as `postmaster.pid` in its folder and the system describe it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// What a server says of itself in its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Postmaster {
    /// Its process.
    pub(super) pid: Pid,
    /// The folder of its socket; none in the first moments.
    pub(super) socket: Option<PathBuf>,
    /// Whether it takes connections.
    pub(super) ready: bool,
}

impl Postmaster {
    /// Reads the file, if there is one.
    pub(super) fn read(cluster: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(file(cluster)).ok()?)
    }

    /// A line each: pid, data folder, start time, port, socket folder, listen address, shared memory, status.
    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let pid = pid(lines.first()?)?;
        let socket = lines.get(4).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        Some(Self { pid, socket, ready: lines.get(7) == Some(&"ready") })
    }

    /// Whether the process is there, and is this cluster's server: after a restart of the machine its number may be anybody's.
    pub(super) fn is_alive(&self, cluster: &Path) -> bool {
        if proc_is_here() { works_in(self.pid, cluster) } else { test_kill_process(self.pid).is_ok() }
    }

    /// Sends a signal: `INT` stops it without waiting for its clients, `QUIT` without a last checkpoint either.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid, signal);
    }
}

/// Where a server keeps its description.
pub(super) fn file(cluster: &Path) -> PathBuf {
    cluster.join("postmaster.pid")
}

/// Whether any server process works in this folder: one whose postmaster was killed may still end its statement, and holds the shared
/// memory for as long. Without /proc nobody knows, and the server's own check has to do.
pub(super) fn anybody_works_in(cluster: &Path) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids = processes.filter_map(|entry| pid(entry.file_name().to_str()?));
    pids.any(|pid| works_in(pid, cluster))
}

/// A server changes into its folder; a process that has ended and is not yet reaped is nowhere.
fn works_in(pid: Pid, cluster: &Path) -> bool {
    let of = |name: &str| PathBuf::from(format!("/proc/{}/{name}", pid.as_raw_nonzero()));
    fs::read_to_string(of("comm")).is_ok_and(|name| name.trim() == "postgres")
        && fs::read_link(of("cwd")).is_ok_and(|folder| folder == cluster)
}

/// A number below zero would be a group's, or that of a server that serves a single user.
fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().filter(|&number| number > 0).and_then(Pid::from_raw)
}

fn proc_is_here() -> bool {
    Path::new("/proc/self/cwd").exists()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Postmaster;

    #[test]
    fn a_server_that_starts_is_not_ready() {
        let text = "4711\n/data/postgres\n1790000000\n5432\n/tmp/trunkline-x\n\n 1 2\nstarting\n";
        let postmaster = Postmaster::parse(text).unwrap();
        assert_eq!(postmaster.pid.as_raw_nonzero().get(), 4711);
        assert_eq!(postmaster.socket.as_deref(), Some(Path::new("/tmp/trunkline-x")));
        assert!(!postmaster.ready);
        assert!(Postmaster::parse(&text.replace("starting", "ready   ")).unwrap().ready);
    }

    #[test]
    fn a_file_that_is_being_written_tells_what_it_has() {
        assert_eq!(Postmaster::parse(""), None);
        assert_eq!(Postmaster::parse("-4711\n"), None);
        assert_eq!(Postmaster::parse("4711\n/data/postgres\n").unwrap().socket, None);
    }
}
