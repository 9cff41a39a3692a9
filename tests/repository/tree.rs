//! What the repository looks like to somebody who has only this repository.
#![expect(clippy::unwrap_used, reason = "a test that cannot look has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What is visible at the top. Tool configuration lives in dotfiles; anything else needs a reason.
const TOP: [&str; 16] = [
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "Makefile",
    "README.md",
    "base",
    "benches",
    "control",
    "deploy",
    "fixtures",
    "media",
    "migrations",
    "src",
    "tests",
    "build.rs",
    "LICENSE",
];

#[test]
fn the_top_level_stays_small() {
    let mut names: Vec<String> = files()
        .iter()
        .filter_map(|file| Some(file.components().next()?.as_os_str().to_string_lossy().into_owned()))
        .filter(|name| !name.starts_with('.') && !TOP.contains(&name.as_str()))
        .collect();
    names.dedup();
    assert!(names.is_empty(), "at the top level: {names:?}");
}

/// A path of the machine that something was written on, or a registry's host, means nothing to anybody else.
#[test]
fn no_file_names_a_machine_or_what_is_not_here() {
    // In two halves each, so that this file does not name them.
    let places = [
        ["/wo", "rk/"],
        ["/ho", "me/"],
        ["/Use", "rs/"],
        ["/ro", "ot/"],
        ["sha", "red/"],
        [".cargo/", "registry"],
        ["crates", ".io/"],
        ["pypi", ".org"],
        ["pythonhosted", ".org"],
        ["registry.", "npmjs"],
        ["deb.", "debian"],
    ]
    .map(|halves| halves.concat());
    let mut found = Vec::new();
    for file in files() {
        if file.ends_with("Cargo.lock") {
            continue; // names its registry by design
        }
        let Ok(text) = fs::read_to_string(root().join(&file)) else { continue }; // sound, or gone
        for (n, line) in text.lines().enumerate() {
            for place in &places {
                if line.match_indices(place.as_str()).any(|(at, _)| begins_there(line, at)) {
                    found.push(format!("{}:{}: {place}", file.display(), n + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Whether a place begins at a byte of a line, rather than in the middle of a longer path or word.
fn begins_there(line: &str, at: usize) -> bool {
    !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '-')
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of the repository: what git tracks, or in a copy without git, all that is not made here.
pub(crate) fn files() -> Vec<PathBuf> {
    let git = Command::new("git").args(["-c", "safe.directory=*", "ls-files", "-z"]).current_dir(root()).output();
    match git {
        Ok(output) if output.status.success() && root().join(".git").exists() => {
            let names = String::from_utf8(output.stdout).unwrap();
            names.split_terminator('\0').map(PathBuf::from).collect()
        }
        _ => {
            let mut files = Vec::new();
            walk(Path::new(""), &mut files);
            files
        }
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    const MADE: [&str; 8] = [".git", "target", "data", "out", ".venv", ".venv-contract", ".env", "__pycache__"];
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        if MADE.iter().any(|&made| entry.file_name() == made) {
            continue;
        }
        let path = folder.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() { walk(&path, files) } else { files.push(path) }
    }
}
