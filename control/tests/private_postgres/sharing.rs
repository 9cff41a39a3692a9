//! Several programs on one data folder use one server, and the last one stops it.

use crate::{
    program::{Program, Settings},
    user::{Folder, User, servers_in},
};

#[test]
fn the_second_program_joins_the_first_and_the_last_one_stops_the_server() {
    for user in User::all() {
        let folder = Folder::new(user);
        let settings = Settings::new(&folder, user);
        let mut first = Program::start(&settings);
        let mut second = Program::start(&settings);
        assert_eq!(first.ask("pid"), second.ask("pid"));
        assert_eq!(first.ask("stop"), "InUse");
        // The first is gone, whose child the server was, and the second goes on.
        drop(first);
        assert_eq!(second.ask("select 'still here'"), "still here");
        assert_eq!(second.ask("stop"), "Stopped");
        assert!(servers_in(folder.path()).is_empty());
    }
}

#[test]
fn what_is_in_use_is_not_removed() {
    let user = User::Same;
    let folder = Folder::new(user);
    let settings = Settings::new(&folder, user);
    let mut first = Program::start(&settings);
    let mut second = Program::start(&settings);
    assert_eq!(first.ask("remove"), "InUse");
    assert_eq!(second.ask("select 'still here'"), "still here");
    assert_eq!(second.ask("remove"), "Stopped");
    assert!(!settings.data.exists());
}

#[test]
fn programs_that_start_at_once_make_one_cluster() {
    for user in User::all() {
        let folder = Folder::new(user);
        let settings = Settings::new(&folder, user);
        let mut programs: Vec<_> = (0..4).map(|_| Program::run(&settings)).collect();
        programs.iter_mut().for_each(|program| program.tell("start"));
        programs.iter_mut().for_each(|program| assert_eq!(program.answer(), "ok"));
        let pids: std::collections::BTreeSet<_> = programs.iter_mut().map(|program| program.ask("pid")).collect();
        assert_eq!(pids.len(), 1);
        // All stop at once: exactly one of them stops the server.
        programs.iter_mut().for_each(|program| program.tell("stop"));
        let stopped = programs.iter_mut().filter_map(|program| (program.answer() == "Stopped").then_some(())).count();
        assert_eq!(stopped, 1);
        assert!(servers_in(folder.path()).is_empty());
    }
}
