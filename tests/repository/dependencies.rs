//! Which crate may know which, held against what Cargo resolves: the engine, the control plane and the simulators know nothing of
//! each other, and the whole tree has one TLS and one copy of everything that holds connections.
#![expect(clippy::unwrap_used, reason = "a test that cannot look has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

/// The engine serves no HTTP and keeps no tenants.
#[test]
fn media_names_no_server_no_database_and_no_tenant() {
    let media = Graph::resolve(&[]).closure("trunkline-media", Edges::Normal);
    assert_none(&media, &["axum", "sqlx", "sqlx-core", "trunkline-control", "trunkline-sim", "trunkline"]);
}

/// Its tests may talk to the simulators; what is shipped may not.
#[test]
fn media_uses_the_simulators_in_tests_only() {
    let graph = Graph::resolve(&[]);
    assert!(graph.closure("trunkline-media", Edges::All).contains("trunkline-sim"));
    assert!(!graph.closure("trunkline-media", Edges::Normal).contains("trunkline-sim"));
}

/// The control plane stores what is said about a call and hears none of it.
#[test]
fn control_names_no_audio_and_no_vendor() {
    let graph = Graph::resolve(&[]);
    let of_the_engine = [
        "trunkline-media",
        "trunkline-sim",
        "trunkline",
        "rubato",
        "audiopus",
        "earshot",
        "hound",
        "webrtc",
        "async-openai",
    ];
    assert_none(&graph.closure("trunkline-control", Edges::All), &of_the_engine);
    // An HTTP server may bring a WebSocket library along; the control plane itself opens no vendor's socket.
    assert_none(&graph.direct("trunkline-control"), &["tokio-tungstenite", "tungstenite"]);
}

/// Shared types would let one mistake pass on both sides of a protocol.
#[test]
fn the_simulators_and_the_base_name_nothing_of_ours() {
    let graph = Graph::resolve(&[]);
    for name in ["trunkline-sim", "trunkline-base"] {
        let ours: Vec<_> =
            graph.closure(name, Edges::All).into_iter().filter(|it| it.starts_with("trunkline")).collect();
        assert!(ours.is_empty(), "{name} depends on {ours:?}");
    }
}

/// The image is built without the feature `sim`.
#[test]
fn the_simulators_can_be_left_out() {
    assert!(Graph::resolve(&[]).closure("trunkline", Edges::Normal).contains("trunkline-sim"));
    let lean = Graph::resolve(&["--no-default-features"]).closure("trunkline", Edges::Normal);
    assert!(lean.contains("trunkline-media") && lean.contains("trunkline-control"));
    assert_none(&lean, &["trunkline-sim", "rcgen"]);
}

/// Two copies would mean two versions of a type that should be one, two sets of limits, and a bigger binary.
#[test]
fn there_is_one_copy_of_what_holds_connections() {
    let graph = Graph::resolve(&[]);
    for name in ["tokio", "hyper", "axum", "reqwest", "rustls", "tungstenite", "tokio-tungstenite"] {
        assert_eq!(graph.versions(name).len(), 1, "{name}: {:?}", graph.versions(name));
    }
}

/// rustls on ring: it needs nothing but a C compiler.
#[test]
fn there_is_one_tls() {
    let graph = Graph::resolve(&["--all-features"]);
    for name in ["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys", "boring"] {
        assert!(graph.versions(name).is_empty(), "{name} is in the tree");
    }
}

#[derive(Clone, Copy)]
enum Edges {
    /// What is linked into the crate or runs to build it.
    Normal,
    /// The same, and what its tests use.
    All,
}

/// What Cargo resolves for this machine.
struct Graph {
    /// Name and version, by package id.
    packages: BTreeMap<String, (String, String)>,
    /// Dependencies by package id; `true` is one that only tests use.
    edges: BTreeMap<String, Vec<(String, bool)>>,
}

impl Graph {
    fn resolve(features: &[&str]) -> Self {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let output = Command::new(cargo)
            // Other platforms' crates are not needed here, and asking for them would download them.
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &host()])
            .args(features)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = list(&metadata["packages"])
            .map(|package| (text(&package["id"]), (text(&package["name"]), text(&package["version"]))))
            .collect();
        let edges = list(&metadata["resolve"]["nodes"])
            .map(|node| {
                let dependencies = list(&node["deps"]).map(|dependency| {
                    let tests_only = list(&dependency["dep_kinds"]).all(|kind| kind["kind"] == "dev");
                    (text(&dependency["pkg"]), tests_only)
                });
                (text(&node["id"]), dependencies.collect())
            })
            .collect();
        Self { packages, edges }
    }

    fn id(&self, name: &str) -> &str {
        let found = self.packages.iter().find(|(_, (package, _))| package == name);
        found.map(|(id, _)| id).unwrap_or_else(|| panic!("no package {name}"))
    }

    /// Everything that a package reaches. Tests count for the package itself only: its dependencies' tests are not built.
    fn closure(&self, name: &str, edges: Edges) -> BTreeSet<String> {
        let start = self.id(name);
        let mut reached = BTreeSet::new();
        let mut open = vec![start];
        while let Some(id) = open.pop() {
            for (dependency, tests_only) in &self.edges[id] {
                let counts = !tests_only || (id == start && matches!(edges, Edges::All));
                if counts && reached.insert(dependency.as_str()) {
                    open.push(dependency);
                }
            }
        }
        reached.into_iter().map(|id| self.packages[id].0.clone()).collect()
    }

    fn direct(&self, name: &str) -> BTreeSet<String> {
        self.edges[self.id(name)].iter().map(|(id, _)| self.packages[id].0.clone()).collect()
    }

    fn versions(&self, name: &str) -> Vec<&str> {
        let resolved =
            self.packages.iter().filter(|(id, (package, _))| package == name && self.edges.contains_key(*id));
        resolved.map(|(_, (_, version))| version.as_str()).collect()
    }
}

#[track_caller]
fn assert_none(reached: &BTreeSet<String>, forbidden: &[&str]) {
    let found: Vec<_> = forbidden.iter().filter(|&&name| reached.contains(name)).collect();
    assert!(found.is_empty(), "reaches {found:?}");
}

fn host() -> String {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().unwrap();
    let version = String::from_utf8(output.stdout).unwrap();
    version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("cargo metadata has a list here").iter()
}

fn text(value: &Value) -> String {
    value.as_str().expect("cargo metadata has a string here").to_owned()
}
