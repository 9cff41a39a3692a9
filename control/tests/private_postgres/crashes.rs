//! What was acknowledged is there after any death.

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    program::{Program, Settings},
    user::{Folder, User, servers_in},
};

const COUNT: &str = "select count(*)::text || ' ' || coalesce(max(n), 0) from kept";

#[test]
fn a_program_that_is_killed_leaves_its_server_to_the_next() {
    for user in User::all() {
        let folder = Folder::new(user);
        let settings = Settings::new(&folder, user);
        let mut program = Program::start(&settings);
        let pid = program.ask("pid");
        let acknowledged = acknowledge(program);
        assert!(!servers_in(folder.path()).is_empty());
        let mut next = Program::start(&settings);
        assert_eq!(next.ask("pid"), pid, "the server is adopted");
        assert_kept(&mut next, acknowledged);
        assert_eq!(next.ask("stop"), "Stopped");
        assert!(servers_in(folder.path()).is_empty());
    }
}

#[test]
fn a_program_and_its_server_that_are_killed_lose_nothing() {
    for user in User::all() {
        let folder = Folder::new(user);
        let settings = Settings::new(&folder, user);
        for _ in 0..2 {
            let mut program = Program::start(&settings);
            let pid = program.ask("pid");
            let acknowledged = acknowledge(program);
            kill(&pid);
            // At once, while the server's children may still be there.
            let mut next = Program::start(&settings);
            assert_ne!(next.ask("pid"), pid);
            assert_kept(&mut next, acknowledged);
            assert_eq!(next.ask("stop"), "Stopped");
        }
    }
}

#[test]
fn a_server_that_is_killed_is_started_again_by_the_next_program() {
    let user = User::Same;
    let folder = Folder::new(user);
    let settings = Settings::new(&folder, user);
    let mut program = Program::start(&settings);
    program.tell("insert");
    while program.answer() != "ack 50" {}
    let mut other = Program::start(&settings);
    kill(&other.ask("pid"));
    // The program that inserts is told so, in a way that says it may help to try again.
    let last = loop {
        let answer = program.answer();
        if !answer.starts_with("ack") {
            break answer;
        }
    };
    assert!(last.starts_with("unavailable"), "{last}");
    let mut next = Program::start(&settings);
    assert_kept(&mut next, 50);
    // Those whose server it was are among its users, and can go on.
    assert_eq!(other.ask("start"), "ok");
    assert_kept(&mut other, 50);
    drop(program);
    drop(other);
    assert_eq!(next.ask("stop"), "Stopped");
}

#[test]
fn a_server_that_is_going_down_is_waited_for() {
    for user in User::all() {
        let folder = Folder::new(user);
        let settings = Settings::new(&folder, user);
        let mut program = Program::start(&settings);
        let acknowledged = {
            let pid = program.ask("pid");
            let acknowledged = acknowledge(program);
            signal(&pid, Signal::INT);
            acknowledged
        };
        let mut next = Program::start(&settings);
        assert_kept(&mut next, acknowledged);
        assert_eq!(next.ask("stop"), "Stopped");
    }
}

/// A machine that was switched off leaves a file whose number is by now somebody else's.
#[test]
fn a_number_that_is_somebody_elses_by_now_is_not_taken_for_a_server() {
    for user in User::all() {
        let folder = Folder::new(user);
        let settings = Settings::new(&folder, user);
        let mut program = Program::start(&settings);
        let cluster = program.ask("cluster");
        assert_eq!(program.ask("stop"), "Stopped");
        let file = std::path::Path::new(&cluster).join("postmaster.pid");
        let somebody = std::process::id();
        std::fs::write(&file, format!("{somebody}\n{cluster}\n1\n5432\n/nowhere\n\n 1 2\nready   \n")).unwrap();
        assert_eq!(program.ask("start"), "ok");
        assert_ne!(program.ask("pid"), somebody.to_string());
        assert_eq!(program.ask("stop"), "Stopped");
    }
}

/// A temporary directory is tidied now and then, and a server without a socket is of no use.
#[test]
fn a_server_whose_socket_is_gone_is_started_anew() {
    let user = User::Same;
    let folder = Folder::new(user);
    let settings = Settings::new(&folder, user);
    let mut program = Program::start(&settings);
    let pid = program.ask("pid");
    let socket = program.ask("select current_setting('unix_socket_directories')");
    program.kill();
    std::fs::remove_dir_all(socket).unwrap();
    let mut next = Program::start(&settings);
    assert_ne!(next.ask("pid"), pid);
    assert_eq!(next.ask("select 'fine'"), "fine");
    assert_eq!(next.ask("stop"), "Stopped");
}

/// Inserts, kills the program in the middle of it, and returns the last that was acknowledged.
fn acknowledge(mut program: Program) -> u64 {
    program.tell("insert");
    let mut said: Vec<_> = (0..20).map(|_| program.answer()).collect();
    said.extend(program.kill());
    said.last().and_then(|answer| answer.strip_prefix("ack ")).unwrap().parse().unwrap()
}

/// All rows up to this one are there; one more may be, whose acknowledgement nobody heard.
#[track_caller]
fn assert_kept(program: &mut Program, acknowledged: u64) {
    let answer = program.ask(COUNT);
    let (count, last) = answer.split_once(' ').unwrap();
    assert_eq!(count, last, "there is a gap");
    assert!(count.parse::<u64>().unwrap() >= acknowledged, "{count} rows, and {acknowledged} were acknowledged");
}

fn kill(pid: &str) {
    signal(pid, Signal::KILL);
}

fn signal(pid: &str, signal: Signal) {
    kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), signal).unwrap();
}
