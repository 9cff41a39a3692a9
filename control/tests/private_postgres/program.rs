//! A program that does as it is told with a private Postgres, in a process of its own that can be killed.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use rustix::process::geteuid;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row};
use trunkline_control::db::{
    DbError,
    private::{PrivateConfig, PrivatePostgres},
};

use crate::user::{Folder, User};

/// How long an answer may take, on a machine that is busy.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);
/// What begins a line that is an answer rather than the test harness's.
const ANSWER: &str = "@ ";
const FILLER: &str = "filler";

/// What a program is started with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) user: User,
    pub(crate) data: PathBuf,
    pub(crate) root_clusters: PathBuf,
    pub(crate) binaries: Option<PathBuf>,
    pub(crate) temporary: PathBuf,
    /// A small disk of its own is put on this folder, which only the program and what it starts see.
    pub(crate) disk: Option<(PathBuf, &'static str)>,
    program: PathBuf,
}

impl Settings {
    /// On the folder `data` of this one.
    pub(crate) fn new(folder: &Folder, user: User) -> Self {
        Self {
            user,
            data: folder.path().join("data"),
            root_clusters: folder.path().join("clusters"),
            binaries: None,
            temporary: folder.make("t", 0o777, user),
            disk: None,
            program: folder.program(user),
        }
    }

    fn command(&self) -> Command {
        let arguments = ["--exact", "program::a_program", "--ignored", "--nocapture"];
        let Some((folder, options)) = &self.disk else {
            let mut command = Command::new(&self.program);
            self.user.become_in(&mut command);
            command.args(arguments);
            return command;
        };
        // A mount namespace of its own, and then the user who it should be: root may make one, and others may where the system lets
        // them be root in a user namespace.
        const MOUNT: &str = r#"mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@""#;
        let me = [geteuid().as_raw().to_string(), rustix::process::getegid().as_raw().to_string()];
        let mut command = Command::new("unshare");
        if !geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--mount", "sh", "-c", MOUNT, "sh", options]).arg(folder);
        if self.user == User::Ordinary {
            command.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
        } else if !geteuid().is_root() {
            command
                .args(["unshare", "--user"])
                .arg(format!("--map-user={}", me[0]))
                .arg(format!("--map-group={}", me[1]));
        }
        command.arg(&self.program).args(arguments);
        command
    }
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
}

impl Program {
    /// Starts it; it does nothing yet.
    pub(crate) fn run(settings: &Settings) -> Self {
        let mut command = settings.command();
        command.env("TEST_DATA", &settings.data).env("TEST_CLUSTERS", &settings.root_clusters);
        command.env("TMPDIR", &settings.temporary);
        if let Some(binaries) = &settings.binaries {
            command.env("TEST_BINARIES", binaries);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let commands = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The harness may have begun the line.
                if let Some((_, answer)) = line.split_once(ANSWER) {
                    let _ = sender.send(answer.to_owned());
                }
            }
        });
        Self { child, commands, answers }
    }

    /// Starts it and its Postgres, which has to succeed.
    pub(crate) fn start(settings: &Settings) -> Self {
        let mut program = Self::run(settings);
        assert_eq!(program.ask("start"), "ok", "{settings:?}");
        program
    }

    /// One command, and its answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.answer()
    }

    /// One command.
    pub(crate) fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }

    /// The next answer.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> String {
        self.answers.recv_timeout(ANSWER_LIMIT).expect("the program answers")
    }

    /// Whether it runs at all: a system may refuse it its disk.
    pub(crate) fn runs(&mut self) -> bool {
        self.tell("hello");
        self.answers.recv_timeout(ANSWER_LIMIT).is_ok()
    }

    /// Kills it as nobody expects, and returns all that it had still said.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.answers.iter().collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What [`Program`] runs: one command a line, one answer a line.
#[test]
#[ignore = "the other tests run it as a program of its own"]
fn a_program() {
    let Some(data) = env::var_os("TEST_DATA") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(obey(Path::new(&data)));
}

async fn obey(data: &Path) {
    let mut postgres = None;
    for command in std::io::stdin().lines().map_while(Result::ok) {
        match command.as_str() {
            "hello" => say("hello"),
            "start" | "start for once" => {
                let mut config = PrivateConfig::new(data);
                config.root_clusters = env::var_os("TEST_CLUSTERS").unwrap().into();
                if command.ends_with("once") {
                    config = PrivateConfig::throw_away("once");
                }
                config.binaries = env::var_os("TEST_BINARIES").map(Into::into);
                match PrivatePostgres::start(config).await {
                    Ok(started) => {
                        postgres = Some(started);
                        say("ok");
                    }
                    Err(error) => say(&format!("{error:?} / {error}")),
                }
            }
            "pid" => say(&postgres.as_ref().unwrap().pid().to_string()),
            "cluster" => say(&postgres.as_ref().unwrap().cluster().display().to_string()),
            "stop" => say(&format!("{:?}", postgres.take().unwrap().stop().await.unwrap())),
            "remove" => say(&format!("{:?}", postgres.take().unwrap().remove().await.unwrap())),
            "reserve" => say(&format!("{:?}", fs::write(data.join(FILLER), vec![0; 32 << 20]))),
            "fill" => say(&format!("{:?}", fill(data))),
            "free" => say(&format!("{:?}", fs::remove_file(data.join(FILLER)))),
            "insert" | "insert much" => match insert(postgres.as_ref().unwrap(), command.ends_with("much")).await {
                Err(DbError::Unavailable(cause)) => say(&format!("unavailable {cause}")),
                other => say(&format!("{other:?}")),
            },
            statement => match query(postgres.as_ref().unwrap(), statement).await {
                Ok(text) => say(&text),
                Err(error) => say(&format!("{error:?}")),
            },
        }
    }
}

fn say(answer: &str) {
    // One write a line, past the harness, which would keep it.
    let line = format!("{ANSWER}{}\n", answer.replace('\n', " "));
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

async fn query(postgres: &PrivatePostgres, statement: &str) -> Result<String, DbError> {
    let mut connection = postgres.owner().connect().await?;
    let row = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).fetch_one(&mut connection).await?;
    Ok(row.try_get(0)?)
}

/// Inserts, says what was acknowledged, and goes on until there is an error.
async fn insert(postgres: &PrivatePostgres, much: bool) -> Result<(), DbError> {
    let mut connection = postgres.owner().connect().await?;
    connection.execute("create table if not exists kept (n bigint primary key, filler text)").await?;
    loop {
        let n = insert_one(&mut connection, if much { 2000 } else { 1 }).await?;
        say(&format!("ack {n}"));
    }
}

/// A row of so many times 32 bytes that cannot be compressed.
async fn insert_one(connection: &mut PgConnection, size: i32) -> Result<i64, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let n = sqlx::query_scalar(
        "insert into kept
         select (select coalesce(max(n), 0) + 1 from kept), string_agg(md5(random()::text), '') from generate_series(1, $1)
         returning n",
    )
    .bind(size)
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(n)
}

/// Writes until the disk takes no more.
fn fill(data: &Path) -> std::io::ErrorKind {
    let mut file = fs::File::options().append(true).open(data.join(FILLER)).unwrap();
    for block in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![0; block]).is_ok() {}
    }
    file.write_all(&[0]).unwrap_err().kind()
}
