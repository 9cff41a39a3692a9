//! It starts from nothing, stops, starts again with what it stored, and is removed.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use crate::{
    program::{Program, Settings},
    user::{Folder, User, servers_in},
};

const SETTINGS: &str = "select concat_ws(' ', current_setting('server_encoding'), \
     (select datcollate from pg_database where datname = current_database()), current_setting('data_checksums'), \
     current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'), \
     '[' || current_setting('listen_addresses') || ']', current_user, current_database())";

#[test]
fn a_new_one_is_durable_and_private_and_keeps_what_it_stores() {
    for user in User::all() {
        let folder = Folder::new(user);
        let settings = Settings::new(&folder, user);
        let mut program = Program::start(&settings);
        assert_eq!(program.ask(SETTINGS), "UTF8 C.UTF-8 on on on on [] postgres trunkline");
        let role = "select concat_ws(' ', rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls) \
                    from pg_roles where rolname = 'trunkline'";
        assert_eq!(program.ask(role), "t f f f f");
        assert_eq!(program.ask("create table kept as select 'here' as word; select 'made'"), "made");
        assert_eq!(program.ask("stop"), "Stopped");
        assert!(servers_in(folder.path()).is_empty());
        assert_eq!(program.ask("start"), "ok");
        assert_eq!(program.ask("select word from kept"), "here");
        assert_eq!(program.ask("remove"), "Stopped");
        assert!(servers_in(folder.path()).is_empty());
        assert!(!settings.data.exists(), "{:?}", fs::read_dir(&settings.data).unwrap().collect::<Vec<_>>());
        assert_eq!(fs::read_dir(&settings.temporary).unwrap().count(), 0, "sockets are left");
        if user.is_root() {
            assert_eq!(fs::read_dir(&settings.root_clusters).unwrap().count(), 0, "clusters are left");
        }
    }
}

#[test]
fn nobody_else_reaches_its_socket() {
    use std::os::unix::fs::PermissionsExt;

    for user in User::all() {
        let folder = Folder::new(user);
        let settings = Settings::new(&folder, user);
        let mut program = Program::start(&settings);
        let of_socket = "select current_setting('unix_socket_directories')";
        let socket = PathBuf::from(program.ask(of_socket));
        assert!(socket.starts_with(&settings.temporary));
        assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(program.ask("stop"), "Stopped");
        assert!(!socket.exists());
    }
}

#[test]
fn its_data_may_be_below_a_closed_folder_and_have_a_long_name() {
    for user in User::all() {
        let folder = Folder::new(user);
        folder.make("closed", 0o700, user);
        let mut settings = Settings::new(&folder, user);
        settings.data = folder.path().join("closed").join("a-rather-long-name-of-a-folder/".repeat(6)).join("data");
        let mut program = Program::start(&settings);
        assert_eq!(program.ask("select 'fine'"), "fine");
        assert_eq!(program.ask("stop"), "Stopped");
    }
}

#[test]
fn what_is_thrown_away_is_gone_however_its_users_end() {
    for user in User::all() {
        let folder = Folder::new(user);
        let settings = Settings::new(&folder, user);
        let left = || fs::read_dir(&settings.temporary).unwrap().count();
        for killed in [false, true] {
            let [mut one, mut other] = [(); 2].map(|()| Program::run(&settings));
            assert_eq!(one.ask("start for once"), "ok");
            assert_eq!(other.ask("start for once"), "ok");
            assert_eq!(one.ask("pid"), other.ask("pid"));
            one.kill();
            assert_eq!(other.ask("select 'still here'"), "still here");
            if killed {
                other.kill();
                let began = Instant::now();
                while left() > 0 && began.elapsed() < Duration::from_secs(60) {
                    thread::sleep(Duration::from_millis(20));
                }
            } else {
                assert_eq!(other.ask("stop"), "Stopped");
            }
            assert!(servers_in(folder.path()).is_empty());
            assert_eq!(left(), 0);
        }
    }
}

#[test]
fn the_server_survives_what_a_terminal_sends_to_the_program() {
    // ctrl-c goes to the process group of the program, and the server is in another one.
    let user = User::Same;
    let folder = Folder::new(user);
    let mut program = Program::start(&Settings::new(&folder, user));
    let pid = program.ask("pid");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // After the name in parentheses: state, parent, process group.
    let group = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(2).unwrap();
    assert_eq!(group, pid);
    assert_eq!(program.ask("stop"), "Stopped");
}

#[test]
fn the_log_holds_nothing_of_what_is_stored_and_starts_anew_when_it_is_long() {
    let user = User::Same;
    let folder = Folder::new(user);
    let settings = Settings::new(&folder, user);
    let mut program = Program::start(&settings);
    // A statement that fails would be quoted with its values.
    assert!(program.ask("select 'someone@example.com'::uuid::text").contains("someone@example.com"));
    let log = settings.data.join("postgres.log");
    assert!(!fs::read_to_string(&log).unwrap().contains("someone@example.com"));
    assert_eq!(program.ask("stop"), "Stopped");
    fs::write(&log, "x".repeat(2 << 20)).unwrap();
    assert_eq!(program.ask("start"), "ok");
    assert!(fs::metadata(&log).unwrap().len() < 1 << 20);
    assert_eq!(fs::metadata(settings.data.join("postgres.log.1")).unwrap().len(), 2 << 20);
    assert_eq!(program.ask("stop"), "Stopped");
}
