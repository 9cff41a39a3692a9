//! What cannot be used is refused with a message that says what to do.

use std::{fs, os::unix::fs::chown, path::Path};

use rustix::process::geteuid;

use crate::{
    program::{Program, Settings},
    user::{Folder, User, say},
};

/// What a start is answered with: the error's variant, and its message.
#[track_caller]
fn refused(settings: &Settings, variant: &str, message: &[&str]) {
    let mut program = Program::run(settings);
    assert_refused(&program.ask("start"), variant, message);
}

#[track_caller]
pub(crate) fn assert_refused(answer: &str, variant: &str, message: &[&str]) {
    assert!(answer.starts_with(variant), "{answer}");
    let (_, words) = answer.split_once(" / ").unwrap();
    message.iter().for_each(|part| assert!(words.contains(part), "{part:?} is not in {words:?}"));
}

#[test]
fn a_folder_without_a_server_says_where_to_get_one() {
    for user in User::all() {
        let folder = Folder::new(user);
        let mut settings = Settings::new(&folder, user);
        settings.binaries = Some(folder.make("empty", 0o755, user));
        refused(&settings, "NoBinaries", &["/empty", "apt-get install postgresql", "PG_BIN", "DATABASE_URL"]);
    }
}

#[test]
fn a_cluster_of_another_major_version_is_left_alone() {
    for user in User::all() {
        let folder = Folder::new(user);
        let settings = Settings::new(&folder, user);
        let mut program = Program::start(&settings);
        let version = Path::new(&program.ask("cluster")).join("PG_VERSION");
        assert_eq!(program.ask("stop"), "Stopped");
        let real = fs::read_to_string(&version).unwrap();
        fs::write(&version, "14\n").unwrap();
        refused(&settings, "OtherVersion", &["made by Postgres 14", "pg_upgrade", "PG_BIN"]);
        fs::write(&version, real).unwrap();
        drop(Program::start(&settings));
    }
}

#[test]
fn a_temporary_folder_with_a_long_name_is_refused() {
    let user = User::Same;
    let folder = Folder::new(user);
    let mut settings = Settings::new(&folder, user);
    settings.temporary = folder.make(&"long/".repeat(20), 0o755, user);
    refused(&settings, "SocketPath", &["107", "TMPDIR"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    for user in User::all() {
        let folder = Folder::new(user);
        let mut settings = Settings::new(&folder, user);
        if user.is_root() {
            // Root may write everywhere but where nobody can.
            settings.data = folder.make("disk", 0o755, user);
            settings.disk = Some((settings.data.clone(), "ro"));
            if !Program::run(&settings).runs() {
                say("NOT TESTED for root: this system allows no mount, and nothing else is read-only for root");
                continue;
            }
        } else {
            settings.data = folder.make("closed", 0o555, user);
        }
        refused(&settings, "Unwritable", &["cannot write to", "TRUNKLINE_DATA"]);
    }
}

#[test]
fn a_folder_whose_database_is_somebody_elses_is_refused() {
    let folder = Folder::new(User::Same);
    let mut settings = Settings::new(&folder, User::Same);
    if !geteuid().is_root() {
        fs::create_dir(&settings.data).unwrap();
        fs::write(settings.data.join("postgres.id"), "0123456789abcdef").unwrap();
        refused(&settings, "OtherUser", &["belongs to root"]);
        return;
    }
    // An ordinary user's, for root.
    settings.data = folder.make("data", 0o755, User::Same);
    chown(folder.make("data/postgres", 0o700, User::Ordinary), Some(65534), None).unwrap();
    refused(&settings, "OtherUser", &["the user with the number 65534"]);
    // Root's, for an ordinary user.
    let folder = Folder::new(User::Ordinary);
    let settings = Settings::new(&folder, User::Ordinary);
    folder.make("data", 0o755, User::Ordinary);
    fs::write(settings.data.join("postgres.id"), "0123456789abcdef").unwrap();
    refused(&settings, "OtherUser", &["belongs to root"]);
}

/// An empty database in its place would look like a loss that nobody is told of.
#[test]
fn a_cluster_that_is_gone_is_not_replaced_by_an_empty_one() {
    if !geteuid().is_root() {
        say("NOT TESTED: only root's clusters are apart from the data folder");
        return;
    }
    let folder = Folder::new(User::Same);
    let settings = Settings::new(&folder, User::Same);
    let mut program = Program::start(&settings);
    assert_eq!(program.ask("stop"), "Stopped");
    fs::rename(&settings.root_clusters, folder.path().join("elsewhere")).unwrap();
    refused(&settings, "Lost", &["postgres.id", "put it back"]);
    fs::rename(folder.path().join("elsewhere"), &settings.root_clusters).unwrap();
    assert_eq!(program.ask("start"), "ok");
    assert_eq!(program.ask("stop"), "Stopped");
}

/// What a server says that will not start is in the message.
#[test]
fn a_cluster_that_is_damaged_says_what_the_server_says() {
    for user in User::all() {
        let folder = Folder::new(user);
        let settings = Settings::new(&folder, user);
        let mut program = Program::start(&settings);
        let control = Path::new(&program.ask("cluster")).join("global/pg_control");
        assert_eq!(program.ask("stop"), "Stopped");
        fs::remove_file(control).unwrap();
        assert_refused(&program.ask("start"), "NotStarted", &["postgres.log", "could not find the database system"]);
    }
}
