//! The simulators, used by the vendors' own SDKs: what we believe of a vendor's protocol has to satisfy the vendor's client too.
//!
//! The SDKs are Python's, in `.venv` (`make sdks`); `SDK_PYTHON` names another interpreter that has them. Each script in `tests/sdk`
//! says what it expects of the server; here the simulator is told to be that server.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use tokio::process::Command;
use trunkline_base::Secret;
use trunkline_control::webhooks::signature::sign;
use trunkline_sim::{
    anthropic::{AnthropicConfig, AnthropicSim},
    deepgram::{DeepgramConfig, DeepgramSim},
    elevenlabs::{ElevenLabsConfig, ElevenLabsSim},
    fault::{Fault, Script},
    keys::RSA_PUBLIC,
    openai::{OpenAiConfig, OpenAiSim, Rule, Rules},
    phone::{Answer, Answerer, Callee, Directory, Greeting},
    recogniser::Library,
    salesforce::{App, SalesforceConfig, SalesforceSim},
    server::TlsIdentity,
    supabase::{SupabaseConfig, SupabaseSim, User, UserAccess},
    twilio::{
        Account, TwilioConfig, TwilioSim,
        phone::{PhoneConfig, Step},
    },
    vonage::{Application, VonageConfig, VonageSim},
    webhooks::verify,
};

/// A free port on this machine alone.
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// How long a script may take: the longest listens to some seconds of speech, and an interpreter starts slowly on a busy machine.
const SCRIPT_LIMIT: Duration = Duration::from_secs(120);

/// What the scripts of both models' vendors talk about.
fn rules() -> Rules {
    Rules {
        rules: vec![
            Rule::reply("hello", "Hello there, caller."),
            Rule::call("weather", "get_weather", json!({"city": "Oslo"})),
            Rule::after("get_weather", "It is {tool.sky}."),
        ],
        ..Rules::default()
    }
}

#[tokio::test]
async fn anthropic() {
    let refuse = |status, retry_after| Some(Fault::Refuse { status, retry_after });
    let midway = Some(Fault::ErrorAfter(Duration::ZERO, "overloaded_error".into()));
    let config = AnthropicConfig {
        api_key: "sk-ant-test".into(),
        rules: rules(),
        ttft: Duration::from_millis(5),
        token_interval: Duration::from_millis(1),
        // The script's first five requests are its own affair.
        script: Script::new([None, None, None, None, None, refuse(429, Some(1)), refuse(529, None), midway]),
        ..AnthropicConfig::default()
    };
    let sim = AnthropicSim::start(LOOPBACK, config, None).await.unwrap();
    run("use_anthropic.py", [sim.base_url(), "sk-ant-test".into()]).await;
}

#[tokio::test]
async fn openai() {
    let refuse = |status, retry_after| Some(Fault::Refuse { status, retry_after });
    let midway = Some(Fault::ErrorAfter(Duration::ZERO, "server_error".into()));
    let sim = OpenAiSim::start(
        LOOPBACK,
        OpenAiConfig {
            api_key: "sk-test".into(),
            rules: rules(),
            ttft: Duration::from_millis(5),
            token_interval: Duration::from_millis(1),
            // The script's first five requests are its own affair.
            script: Script::new([None, None, None, None, None, refuse(429, Some(1)), refuse(503, None), midway]),
            ..OpenAiConfig::default()
        },
        None,
    )
    .await
    .unwrap();
    run("use_openai.py", [sim.base_url(), "sk-test".into()]).await;
}

#[tokio::test]
async fn deepgram() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio");
    let library = Arc::new(Library::load(&fixtures).unwrap());
    let (recording, transcript) = ("free/cards_005_8k.wav", "eight of spades four of clubs seven of hearts");
    let sim = DeepgramSim::start(LOOPBACK, DeepgramConfig::new("dg-test", library), None).await.unwrap();
    let wav = fixtures.join(recording).into_os_string().into_string().unwrap();
    run("use_deepgram.py", [sim.http_url(), sim.ws_url(), "dg-test".into(), wav, transcript.into()]).await;
    assert_eq!(sim.unrecognised(), 0);
}

#[tokio::test]
async fn elevenlabs() {
    let identity = TlsIdentity::generate().unwrap();
    let config = ElevenLabsConfig { api_key: "xi-test".into(), ..ElevenLabsConfig::default() };
    let voice = config.voices[0].voice_id.clone();
    let sim = ElevenLabsSim::start(LOOPBACK, config, Some(&identity)).await.unwrap();
    let authority = authority(&identity, "elevenlabs");
    let mut script = script("use_elevenlabs.py", [sim.server().http_url(), "xi-test".into(), voice]);
    finish(script.env("SSL_CERT_FILE", authority)).await;
}

#[tokio::test]
async fn twilio() {
    let account = Account {
        sid: "AC0123456789abcdef0123456789abcdef".into(),
        auth_token: "a-token".into(),
        numbers: vec!["+15005550006".into()],
    };
    let arguments = [account.sid.clone(), account.auth_token.clone(), account.numbers[0].clone()];
    let phone =
        PhoneConfig { steps: vec![Step::WaitForEnd { timeout: Duration::from_secs(30) }], ..PhoneConfig::default() };
    let callees = Directory::all(Callee::default(), phone.clone());
    let greeting = vec![4_000; 8_000].into();
    callees.set("+14155550101", Callee::answers(Answerer::Machine(Greeting::Beep(greeting))), phone.clone());
    callees.set("+14155550102", Callee::fails(Answer::Busy), phone);
    let config = TwilioConfig { callees, ..TwilioConfig::new(account) };
    let sim = TwilioSim::start(LOOPBACK, config, None).await.unwrap();
    run("use_twilio.py", [sim.http_url()].into_iter().chain(arguments)).await;
}

#[tokio::test]
async fn salesforce() {
    let identity = TlsIdentity::generate().unwrap();
    let username = "agent@example.com";
    let app = App {
        client_id: "3MVG9test".into(),
        client_secret: "a-secret".into(),
        certificate: Some(RSA_PUBLIC.into()),
        run_as: Some(username.into()),
        approved: vec![username.into()],
        refresh_token: None,
    };
    let arguments = [app.client_id.clone(), app.client_secret.clone(), key("rsa"), username.into()];
    let ann = json!({"FirstName": "Ann", "LastName": "Lee", "MobilePhone": "(415) 555-0123"});
    let records = vec![("Contact".to_owned(), ann)];
    let config = SalesforceConfig { records, session_requests: Some(3), ..SalesforceConfig::new(app) };
    let sim = SalesforceSim::start(LOOPBACK, config, Some(&identity)).await.unwrap();
    let mut script = script("use_salesforce.py", [sim.login_url()].into_iter().chain(arguments));
    finish(script.env("REQUESTS_CA_BUNDLE", authority(&identity, "salesforce"))).await;
}

#[tokio::test]
async fn supabase() {
    let (user, other) = (User::new("ann@example.com", "a-password"), User::new("bob@example.com", "b-password"));
    let mut user = user;
    user.app_metadata["tenant_id"] = "tenant-1".into();
    let config = SupabaseConfig {
        users: vec![user.clone(), other],
        user_access: UserAccess::TenantFolder,
        ..SupabaseConfig::default()
    };
    let keys = [config.publishable_key.clone(), config.secret_key.clone()];
    let sim = SupabaseSim::start(LOOPBACK, config, None).await.unwrap();
    run("use_supabase.py", [sim.base_url()].into_iter().chain(keys).chain([user.email, user.password])).await;
    let asked = sim.requests().entries();
    assert!(asked.iter().any(|it| it.path == "/auth/v1/.well-known/jwks.json"), "nobody looked at the keys");
}

#[tokio::test]
async fn vonage() {
    let identity = TlsIdentity::generate().unwrap();
    let application = Application::new("aaaaaaaa-bbbb-cccc-dddd-0123456789ab");
    let number = "14155550101";
    let arguments =
        ["a1b2c3d4", "a-secret", &application.id, &key("rsa"), &key("other-rsa"), number].map(str::to_owned);
    let config = VonageConfig::new("a1b2c3d4", "a-secret", application, number);
    config.callees.set("+14155550100", Callee::fails(Answer::None), PhoneConfig::default());
    let arguments = arguments.into_iter().chain([config.signature_secret.clone()]);
    let sim = VonageSim::start(LOOPBACK, config, Some(&identity)).await.unwrap();
    let mut script = script("use_vonage.py", [sim.server().addr().to_string()].into_iter().chain(arguments));
    finish(script.env("REQUESTS_CA_BUNDLE", authority(&identity, "vonage"))).await;
}

/// What a worker sends is what the specification's own library takes, and what that signs is what our receiver believes.
#[tokio::test]
async fn standardwebhooks() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (id, body) =
        ("019acb5e-5b40-7000-8000-000000000001", r#"{"type": "call.ended", "data": {"status": "completed"}}"#);
    let signed = sign(&Secret::new(secret), id, now, body.as_bytes()).unwrap();
    let both = format!("v1,c29tZWJvZHkgZWxzZQ== {signed}");
    let arguments = [secret.into(), id.into(), now.to_string(), both, body.into()];
    let printed = finish(&mut script("use_standardwebhooks.py", arguments)).await;
    let (timestamp, signature) = printed.trim().split_once(' ').unwrap();
    let secrets = [secret.to_owned()];
    assert!(verify(&secrets, "msg_1", timestamp, signature, br#"{"from": "the library"}"#, now));
    assert!(!verify(&secrets, "msg_1", timestamp, signature, br#"{"from": "somebody"}"#, now));
}

/// The file of a private key that is published for tests.
fn key(name: &str) -> String {
    format!("{}/media/sim/src/keys/test-only-{name}-private.pem", env!("CARGO_MANIFEST_DIR"))
}

/// The file of the authority that a client has to trust.
fn authority(identity: &TlsIdentity, vendor: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("authority-{vendor}.pem"));
    std::fs::write(&file, identity.ca_pem()).unwrap();
    file
}

/// Runs a script, which has to succeed.
async fn run(name: &str, arguments: impl IntoIterator<Item = String>) {
    finish(&mut script(name, arguments)).await;
}

/// A script, ready to run.
fn script(name: &str, arguments: impl IntoIterator<Item = String>) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("SDK_PYTHON").map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    assert!(python.exists(), "{} is missing: run `make test`, which makes it", python.display());
    let mut command = Command::new(python);
    command
        .arg(root.join("tests/sdk").join(name))
        .args(arguments)
        // The servers are on this machine, whatever proxy leads out of it.
        .env("NO_PROXY", "*")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs a script to its end, and fails with what it printed if it failed; what it printed.
async fn finish(script: &mut Command) -> String {
    let output = tokio::time::timeout(SCRIPT_LIMIT, script.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{script:?} took longer than {SCRIPT_LIMIT:?}")).unwrap();
    assert!(
        output.status.success(),
        "{script:?} failed with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
