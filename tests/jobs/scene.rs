//! A tenant with agents whose calls are over, and who does the jobs that they leave.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use trunkline::{
    compose::Composer,
    config::{Settings, Vendors},
    jobs::Jobs,
};
use trunkline_base::{CallId, Clock, Personal, Secret, SystemClock};
use trunkline_control::{
    Control,
    conversations::{
        calls::{self, NewConversation},
        journal::{self, CallRows, Ended, TurnRow},
    },
    testing::{Api, User, agent_body},
    vault::Vault,
    vendors::Provider,
};
use trunkline_media::net::Net;
use trunkline_sim::{
    openai::{OpenAiConfig, OpenAiSim},
    webhooks::{WebhookConfig, WebhookSim},
};
use uuid::Uuid;

/// A free port on this machine alone.
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// How long anything may take before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
/// The platform's key.
pub(crate) const KEY: &str = "sk-platform";

pub(crate) struct Scene {
    pub(crate) api: Api,
    /// The tenant's owner.
    pub(crate) ada: User,
    pub(crate) openai: OpenAiSim,
    pub(crate) hooks: WebhookSim,
    pub(crate) settings: Settings,
    /// What encrypts secrets.
    pub(crate) ring: Secret,
}

/// A system that is told of things.
pub(crate) async fn receiver() -> WebhookSim {
    WebhookSim::start(LOOPBACK, WebhookConfig::default(), None).await.unwrap()
}

impl Scene {
    pub(crate) async fn set(openai: OpenAiConfig) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let quick = OpenAiConfig {
            api_key: KEY.into(),
            ttft: Duration::from_millis(5),
            token_interval: Duration::ZERO,
            ..openai
        };
        let openai = OpenAiSim::start(LOOPBACK, quick, None).await.unwrap();
        let hooks = receiver().await;
        let ring = Vault::generate_key();
        let api = Api::new().await;
        let control = Control { vault: Arc::new(Vault::new(&ring).unwrap()), ..api.control.clone() };
        let api = api.with_control(control);
        let ada = api.owner();
        api.get(&ada, "/v1/tenant").await.data();
        let vendors =
            Vendors { openai_api_key: Secret::new(KEY), openai_base_url: openai.base_url(), ..Vendors::default() };
        let settings = Settings::local(std::env::temp_dir().join("trunkline-jobs"), vendors);
        Self { api, ada, openai, hooks, settings, ring }
    }

    /// Somebody does the jobs from now on.
    pub(crate) fn work(&self) -> Jobs {
        let guard = trunkline_base::guard::Guard::new(self.settings.allowed_ranges().unwrap());
        let net = Net::new(&[]).unwrap().with_guard(guard);
        let composer = Composer::new(Arc::new(self.settings.clone()), net.clone()).unwrap();
        Jobs::start(&self.api.control, &composer, &net).unwrap()
    }

    /// An agent whose conversations are analysed so.
    pub(crate) async fn agent(&self, analysis: Value) -> Uuid {
        let mut body = agent_body("Ada");
        body["ai_config"]["model"] = "gpt-4o-mini".into();
        body["analysis_config"] = analysis;
        let made = self.api.post(&self.ada, "/v1/voice-agents", body).await;
        made.data()["id"].as_str().unwrap().parse().unwrap()
    }

    /// A webhook at the receiver, which believes it.
    pub(crate) async fn webhook(&self, events: &[&str]) -> Uuid {
        let body = json!({ "url": self.hooks.url(), "events": events });
        let made = self.api.post(&self.ada, "/v1/webhooks", body).await;
        self.hooks.trust(made.data()["secret"].as_str().unwrap());
        made.data()["id"].as_str().unwrap().parse().unwrap()
    }

    /// A call in which this was said, by `agent` and `customer`, from its beginning to its end.
    pub(crate) async fn call(&self, agent: Uuid, said: &[(&'static str, &str)]) -> CallId {
        self.call_of(&self.ada, agent, said).await
    }

    /// One of anybody's.
    pub(crate) async fn call_of(&self, user: &User, agent: Uuid, said: &[(&'static str, &str)]) -> CallId {
        let (id, tenant, now) = (CallId::generate(), user.tenant, SystemClock.wall().into());
        let call = NewConversation {
            id,
            agent,
            agent_version: 1,
            provider: Provider::Twilio,
            provider_call_id: id.to_string(),
            customer_phone: Personal::new("+14155550100".into()),
            our_number: Personal::new("+15005550006".into()),
            context: BTreeMap::new(),
            node: "node".into(),
        };
        let turn = |(seq, (speaker, text)): (i32, &(&'static str, &str))| TurnRow {
            seq,
            speaker,
            started_ms: seq * 1000,
            ended_ms: seq * 1000 + 900,
            text: (*text).to_owned(),
            generated_text: None,
            interrupted: false,
            source: "speech".into(),
            latency: None,
        };
        let answered =
            CallRows { answered_at: Some(now), turns: (0..).zip(said).map(turn).collect(), ..CallRows::default() };
        let ended = Ended { at: now, status: "completed", reason: "caller_hangup".into() };
        let ended = CallRows { ended: Some(ended), ..CallRows::default() };
        let mut tx = self.api.control.db.begin(tenant).await.unwrap();
        calls::create(&mut tx, tenant, &call, now).await.unwrap();
        tx.commit().await.unwrap();
        for rows in [answered, ended] {
            let mut tx = self.api.control.db.begin(tenant).await.unwrap();
            journal::write(&mut tx, tenant, "node", &[(id, rows)], now).await.unwrap();
            tx.commit().await.unwrap();
        }
        id
    }

    /// What the API answers, once it is as it should be.
    pub(crate) async fn until(&self, path: &str, mut is: impl FnMut(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let answer = self.api.get(&self.ada, path).await;
            if is(answer.data()) {
                return answer.data().clone();
            }
            assert!(begun.elapsed() < LIMIT, "{path}: {:#}", answer.body);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A conversation, once it is analysed.
    pub(crate) async fn analysed(&self, id: CallId) -> Value {
        self.until(&format!("/v1/conversations/{id}"), |it| !it["analyzed_at"].is_null()).await
    }

    /// The only job that gave up, once there is one.
    pub(crate) async fn dead(&self) -> Value {
        let dead = self.until("/v1/jobs/dead", |it| it["pagination"]["total"] == 1).await;
        dead["jobs"][0].clone()
    }

    /// Tries a job again that gave up.
    pub(crate) async fn retry(&self, job: &Value) {
        let path = format!("/v1/jobs/dead/{}/retry", job["id"].as_str().unwrap());
        assert_eq!(self.api.post(&self.ada, &path, Value::Null).await.status, 202);
    }

    /// A connection that is bound by nothing.
    pub(crate) async fn owner(&self) -> PgConnection {
        self.api.scratch.owner.connect().await.unwrap()
    }

    /// Changes what no API changes.
    pub(crate) async fn run(&self, statement: &str) {
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut self.owner().await).await.unwrap();
    }

    /// Counts what no API shows.
    pub(crate) async fn count(&self, from: &str) -> i64 {
        let count = AssertSqlSafe(format!("select count(*) from {from}"));
        sqlx::query_scalar(count).fetch_one(&mut self.owner().await).await.unwrap()
    }

    /// Waits until so many are counted.
    pub(crate) async fn counted(&self, from: &str, n: i64) {
        let begun = Instant::now();
        loop {
            let found = self.count(from).await;
            if found == n {
                return;
            }
            assert!(begun.elapsed() < LIMIT, "{from}: {found}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
