//! A disk that is full is said to be, and costs nothing that was acknowledged.

use crate::{
    program::{Program, Settings},
    refusals::assert_refused,
    user::{Folder, User, say},
};

/// Everything on a small disk of its own; none if the system allows no mount.
fn on_a_disk(folder: &Folder, user: User, options: &'static str) -> Option<(Settings, Program)> {
    let disk = folder.make("disk", 0o777, user);
    let mut settings = Settings::new(folder, user);
    settings.data = disk.join("data");
    settings.root_clusters = disk.join("clusters");
    settings.disk = Some((disk, options));
    let mut program = Program::run(&settings);
    if !program.runs() {
        say(&format!("NOT TESTED for {user:?}: this system allows no mount, and no other disk can be filled"));
        return None;
    }
    Some((settings, program))
}

#[test]
fn a_disk_that_is_too_small_for_a_cluster_is_said_to_be_full() {
    for user in User::all() {
        let folder = Folder::new(user);
        let Some((_, mut program)) = on_a_disk(&folder, user, "mode=777,size=20m") else { continue };
        assert_refused(&program.ask("start"), "DiskFull", &["full", "make room"]);
    }
}

#[test]
fn a_disk_that_fills_up_loses_nothing_that_was_acknowledged() {
    for user in User::all() {
        let folder = Folder::new(user);
        let Some((_, mut program)) = on_a_disk(&folder, user, "mode=777,size=128m") else { continue };
        assert_eq!(program.ask("start"), "ok");
        // What is freed later; the rows fill the rest.
        assert_eq!(program.ask("reserve"), "Ok(())");
        program.tell("insert much");
        let mut acknowledged = 0;
        let last = loop {
            let answer = program.answer();
            match answer.strip_prefix("ack ") {
                Some(n) => acknowledged = n.parse().unwrap(),
                None => break answer,
            }
        };
        assert!(last.starts_with("unavailable"), "{last}");
        assert!(acknowledged > 100, "{acknowledged}");
        assert_eq!(program.ask("fill"), "StorageFull");
        let stopped = program.ask("stop");
        assert_eq!(stopped, "Stopped");
        assert_refused(&program.ask("start"), "DiskFull", &["full", "make room"]);
        assert_eq!(program.ask("free"), "Ok(())");
        assert_eq!(program.ask("start"), "ok");
        let kept: u64 = program.ask("select count(*)::text from kept").parse().unwrap();
        assert!(kept >= acknowledged, "{kept} rows, and {acknowledged} were acknowledged");
        assert_eq!(program.ask("stop"), "Stopped");
    }
}
