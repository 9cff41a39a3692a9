//! `.env.example` names every setting of `serve`, with its description and default, and no other. It is made from the code.
#![expect(clippy::unwrap_used, reason = "a test that cannot look has failed")]

use std::{fmt::Write as _, fs, path::Path};

use clap::CommandFactory;
use trunkline::cli::Cli;

/// What is read elsewhere than by `serve`'s command line: for the log, and by the containers of deploy/compose.yaml.
const OTHERS: &str = "\
# What is logged: a level, or levels by module, such as `warn,trunkline=debug`.
#LOG_LEVEL=info

# --- Only for deploy/compose.yaml, which makes DATABASE_URL and MIGRATE_DATABASE_URL of them. Letters and digits only.

# The password of the database's owner, who migrates.
#POSTGRES_PASSWORD=

# The password of the user as whom the server connects.
#TRUNKLINE_DB_PASSWORD=
";

const HEAD: &str = "\
# Every setting of `trunkline serve`, as `serve --help` describes them. Copied to `.env`, it is read from the folder that the program
# is started in. What is set in the environment goes before it. `make env-example` rewrites this file.
#
# What stands behind a `#` is the default. Production needs DATABASE_URL, PUBLIC_URL, ENCRYPTION_KEY and a way to know users' tokens;
# `serve` names all that is missing.

";

/// Longest line.
const WIDTH: usize = 130;

#[test]
fn the_example_names_every_setting_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example");
    let current = example();
    if std::env::var_os("TRUNKLINE_WRITE").is_some() {
        fs::write(&path, current).unwrap();
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == current, ".env.example is stale: run `make env-example` and commit it");
}

fn example() -> String {
    let cli = Cli::command();
    let serve = cli.find_subcommand("serve").unwrap();
    let mut text = HEAD.to_owned();
    for argument in serve.get_arguments() {
        let Some(name) = argument.get_env() else { continue };
        let help = argument.get_long_help().or(argument.get_help()).unwrap().to_string();
        for line in wrapped(&help) {
            writeln!(text, "# {line}").unwrap();
        }
        let default: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        write!(text, "#{}={}\n\n", name.to_string_lossy(), default.join(",")).unwrap();
    }
    text + OTHERS
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().unwrap();
        if !line.is_empty() && line.len() + word.len() + 3 > WIDTH {
            lines.push(word.to_owned());
        } else {
            line.extend([if line.is_empty() { "" } else { " " }, word]);
        }
    }
    lines
}
