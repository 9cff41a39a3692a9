//! The API is what its description says: a program that has read nothing else makes requests from it and holds the answers to it.
//!
//! Schemathesis is Python's, in `.venv-contract` (`make contract`); `CONTRACT_PYTHON` names another interpreter that has it. Here the
//! program is started with the vendors' simulators around it, and things are made that requests can name; `run.py` says what is tried.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod program;
mod scene;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};
use trunkline::storage::Storage;

use self::{program::Program, scene::Scene};

/// How long all of it may take: far longer than it takes.
const LIMIT: Duration = Duration::from_secs(2400);

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_what_its_description_says() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let storage = Storage::throw_away(&format!("contract-{}", std::process::id())).await.unwrap();
    let data = std::env::temp_dir().join(format!("trunkline-contract-{}", std::process::id()));
    std::fs::create_dir_all(&data).unwrap();
    let simulators = Program::simulators().await;
    let mut settings = simulators.environment.clone();
    let (database, _) = storage.to_share().unwrap();
    settings.extend(
        [
            ("TRUNKLINE_ENV", "development"),
            ("TRUNKLINE_DATA", data.to_str().unwrap()),
            ("DATABASE_URL", database.expose()),
            ("BIND", "127.0.0.1:0"),
            ("LOG_LEVEL", "warn,trunkline=info"),
            // The limiter is not what is tried here; every request says that it comes from another address.
            ("RATE_LIMIT_PER_MINUTE", "1000000"),
            ("TRUSTED_PROXIES", "127.0.0.0/8"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let server = Program::server(&settings).await;
    let scene = Scene::set(&server.url, &settings, storage.db()).await;
    let ids = data.join("ids.json");
    std::fs::write(&ids, scene.ids.to_string()).unwrap();

    let python = std::env::var_os("CONTRACT_PYTHON")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv-contract/bin/python"), PathBuf::from);
    assert!(python.exists(), "{} is not there: run `make contract`, which installs it", python.display());
    let run = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/run.py"))
        .arg(&server.url)
        .arg(&ids)
        .env("CONTRACT_TOKEN", scene.token.expose())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status();
    let status = timeout(LIMIT, run).await.expect("it ends in time").unwrap();
    let faults = server.faults();
    drop((server, simulators));
    storage.close().await;
    let _ = std::fs::remove_dir_all(&data);
    // First what the server says of itself: it explains what was found.
    assert!(faults.is_empty(), "the server logged errors:\n{}", faults.join("\n"));
    assert!(status.success(), "{status}: what was found stands above");
}
