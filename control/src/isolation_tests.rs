//! Tenants are kept apart by two guards, and each holds alone.
//!
//! The routes under attack are all that the description of the API has, so one that is added is attacked too: what an id in its path
//! names has to be made known in [`victim`], and what its body has to be in [`body_for`].

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use trunkline_base::CallId;
use uuid::Uuid;

use crate::{
    Control,
    analytics::rollup,
    auth::Role,
    campaigns::claims,
    conversations::{analysis, erase},
    credentials::store,
    db::{Db, DbError},
    jobs::queue,
    tenants,
    testing::{Answer, Api, ScratchDb, User, integration_id},
    vendors::Provider,
    webhooks::{self, deliveries},
};

const NUMBER: &str = "+14155550100";
/// One that the victim calls no more, and one that nobody has on a list.
const LISTED: [&str; 2] = ["+14155550199", "+14155550198"];

/// One of everything, of one tenant.
struct Victim {
    user: User,
    /// By what stands before it in a path.
    ids: BTreeMap<&'static str, Uuid>,
}

/// What an id of the catalogue names is nobody's.
const EVERYBODYS: [&str; 1] = ["/v1/integrations/"];

async fn victim(api: &Api) -> Victim {
    let user = api.owner();
    let credential = api.credential(&user, Provider::Openai, "key").await;
    let installation = api.installation(&user, Provider::Openai, credential).await;
    let agent = api.agent(&user, &[installation]).await;
    let number = api.phone_number(&user, NUMBER, "token", Some(agent)).await;
    let conversation = Uuid::now_v7();
    let owner = api.scratch.superuser().await;
    sqlx::query(
        "insert into conversations (tenant_id, id, agent_id, agent_version, channel, provider, direction, customer_phone, status,
            start_time) values ($1, $2, $3, 1, 'phone', 'twilio', 'inbound', '+14155550111', 'active', now())",
    )
    .bind(user.tenant.as_uuid())
    .bind(conversation)
    .bind(agent)
    .execute(owner.pool())
    .await
    .unwrap();
    let key = api.post(&user, "/v1/api-keys", json!({ "name": "Sync", "role": "owner" })).await;
    let key = key.data()["id"].as_str().unwrap().parse().unwrap();
    let member = api.user(user.tenant, Role::Member);
    api.get(&member, "/v1/tenant").await.data();
    let of_the_conversation = [
        "insert into conversation_events (tenant_id, conversation_id, seq, at_ms, kind, data) values ($1, $2, 0, 0, 'answered', '{}')",
        "insert into turns (tenant_id, conversation_id, seq, speaker, started_ms, text, source) values ($1, $2, 0, 'customer', 0, 'secret', 'speech')",
        "insert into conversations (tenant_id, id, agent_id, agent_version, channel, direction, status, start_time, end_time, outcome, search)
         select tenant_id, gen_random_uuid(), agent_id, 1, 'phone', 'inbound', 'completed', now(), now(), 'secret', search_words(tenant_id, 'secret')
         from conversations where tenant_id = $1 and id = $2",
        "insert into call_daily select c.* from call_counts c where tenant_id = $1 and $2::uuid is not null",
        "insert into call_totals select tenant_id, agent_id, direction, status, outcome, calls from call_daily where tenant_id = $1 and $2::uuid is not null",
        "insert into usage_daily (tenant_id, day, provider, unit, quantity, wasted)
         values ($1, (now() at time zone 'UTC')::date, 'secret', 'x', 1, case when $2::uuid is null then 1 else 0 end)",
    ];
    for insert in of_the_conversation {
        let insert = sqlx::query(insert).bind(user.tenant.as_uuid()).bind(conversation);
        insert.execute(owner.pool()).await.unwrap();
    }
    let webhook = json!({ "url": "https://hooks.example.com", "events": ["call.ended"], "description": "secret" });
    let webhook = api.post(&user, "/v1/webhooks", webhook).await;
    let webhook: Uuid = webhook.data()["id"].as_str().unwrap().parse().unwrap();
    let (delivery, job) = (Uuid::now_v7(), Uuid::now_v7());
    let of_the_webhook = [
        "insert into webhook_deliveries (tenant_id, id, endpoint_id, event, payload, status) select $1, $2, $3, 'call.ended', '{}', 'failed' where $4::uuid is not null",
        "insert into jobs (tenant_id, id, kind, subject, state, dead_at) select $1, $4, 'webhook', $2, 'dead', now() where $3::uuid is not null",
    ];
    for insert in of_the_webhook {
        let insert = sqlx::query(insert).bind(user.tenant.as_uuid()).bind(delivery).bind(webhook).bind(job);
        insert.execute(owner.pool()).await.unwrap();
    }
    let campaign = json!({ "name": "secret", "agent_id": agent });
    let campaign = api.post(&user, "/v1/campaigns", campaign).await;
    let campaign: Uuid = campaign.data()["id"].as_str().unwrap().parse().unwrap();
    let contacts = json!({ "contacts": [{ "phone_number": "+14155550111", "context": { "is": "secret" } }] });
    api.post(&user, &format!("/v1/campaigns/{campaign}/contacts"), contacts).await.data();
    sqlx::query(
        "insert into contact_attempts (tenant_id, contact_id, number, campaign_id, conversation_id)
         select tenant_id, id, 1, campaign_id, $2 from contacts where tenant_id = $1",
    )
    .bind(user.tenant.as_uuid())
    .bind(conversation)
    .execute(owner.pool())
    .await
    .unwrap();
    api.post(&user, &format!("/v1/campaigns/{campaign}/start"), Value::Null).await.data();
    api.post(&user, "/v1/do-not-call", json!({ "phone_number": LISTED[0] })).await.data();
    let ids = BTreeMap::from([
        ("/v1/campaigns/", campaign),
        ("/v1/webhooks/", webhook),
        ("/v1/webhooks/{id}/deliveries/", delivery),
        ("/v1/jobs/dead/", job),
        ("/v1/integrations/credentials/", credential),
        ("/v1/integrations/installed/", installation),
        ("/v1/voice-agents/", agent),
        ("/v1/phone-numbers/", number),
        ("/v1/conversations/", conversation),
        ("/v1/api-keys/", key),
        ("/v1/members/", member.id),
    ]);
    Victim { user, ids }
}

/// A body that a route would take.
fn body_for(method: &Method, path: &str, has_body: bool) -> Value {
    match (method, path) {
        (&Method::PATCH, "/v1/integrations/credentials/{id}") => json!({ "credential_name": "taken over" }),
        (&Method::PATCH, "/v1/voice-agents/{agent_id}") => json!({ "name": "taken over" }),
        (&Method::PATCH, "/v1/phone-numbers/{id}") => json!({ "agent_id": null }),
        (&Method::PATCH, "/v1/members/{user_id}") => json!({ "role": "viewer" }),
        (&Method::PATCH, "/v1/campaigns/{id}") => json!({ "name": "taken over" }),
        (&Method::POST, "/v1/campaigns/{id}/contacts") => json!({ "contacts": [{ "phone_number": "+14155550112" }] }),
        (&Method::PATCH, "/v1/webhooks/{id}") => json!({ "url": "https://eve.example.com", "rotate_secret": true }),
        _ if has_body => panic!("{method} {path} takes a body: say in `body_for` which one it would take"),
        _ => Value::Null,
    }
}

/// A request that names something of the victim's.
struct Attack {
    method: Method,
    /// With the victim's ids.
    path: String,
    /// With every kind of the victim's ids, whatever the route takes them for.
    paths: Vec<String>,
    /// With ids that name nothing.
    unknown: String,
    body: Value,
}

fn attacks(victim: &Victim) -> Vec<Attack> {
    let api = serde_json::to_value(crate::router().into_openapi()).unwrap();
    let mut attacks = Vec::new();
    for (template, item) in api["paths"].as_object().unwrap() {
        if !template.contains('{') || EVERYBODYS.iter().any(|prefix| template.strip_prefix(prefix) == Some("{id}")) {
            continue;
        }
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let body = body_for(&method, template, operation.get("requestBody").is_some());
            let (path, unknown) = fill(template, victim);
            let ids = victim.ids.values().map(ToString::to_string).chain([LISTED[0].to_owned()]);
            let paths = ids.map(|id| fill_with(template, &id)).collect();
            attacks.push(Attack { method, path, paths, unknown, body });
        }
    }
    // What the description had when this was written: it must not become empty unnoticed.
    assert!(attacks.len() >= 17, "{} attacks", attacks.len());
    attacks
}

fn fill(template: &str, victim: &Victim) -> (String, String) {
    let (mut path, mut unknown) = (String::new(), String::new());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (_, after) = after.split_once('}').unwrap();
        let prefix = &template[..template.len() - rest.len() + before.len()];
        let [id, nothing] = match (prefix, victim.ids.get(prefix)) {
            ("/v1/do-not-call/", _) => LISTED.map(str::to_owned),
            (_, Some(id)) => [*id, Uuid::now_v7()].map(|id| id.to_string()),
            _ => panic!("{template}: nobody knows what the id behind {prefix} names: make the victim one in `victim`"),
        };
        path.extend([before, &id]);
        unknown.extend([before, &nothing]);
        rest = after;
    }
    (path + rest, unknown + rest)
}

fn fill_with(template: &str, id: &str) -> String {
    template.split(['{', '}']).enumerate().map(|(n, part)| if n % 2 == 0 { part } else { id }).collect()
}

/// Everybody that a tenant can have, its owner first.
async fn everybody(api: &Api, owner: User) -> Vec<(Role, User)> {
    api.get(&owner, "/v1/tenant").await.data();
    let others = [Role::Admin, Role::Member, Role::Viewer].map(|role| (role, api.user(owner.tenant, role)));
    for (_, user) in &others {
        api.get(user, "/v1/tenant").await.data();
    }
    std::iter::once((Role::Owner, owner)).chain(others).collect()
}

async fn send(api: &Api, user: &User, method: &Method, path: &str, body: &Value) -> Answer {
    api.send(user, method.clone(), path, body.clone()).await
}

/// All but when it was said, and what depends on the request.
fn said(answer: &Answer) -> (u16, Value, Vec<String>) {
    let mut body = answer.body.clone();
    body.as_object_mut().unwrap().remove("timestamp");
    let mut headers: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
    headers.sort();
    (answer.status.as_u16(), body, headers)
}

/// Every row of a tenant, in every table that has tenants' rows.
async fn rows_of(scratch: &ScratchDb, user: &User) -> BTreeMap<String, String> {
    let owner = scratch.superuser().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.table_name::text from information_schema.columns c
         where c.table_schema = 'public' and c.column_name = 'tenant_id'",
    )
    .fetch_all(owner.pool())
    .await
    .unwrap();
    assert!(tables.len() >= 15, "{tables:?}");
    let mut rows = BTreeMap::new();
    for table in tables {
        let all = format!(
            "select coalesce(jsonb_agg(to_jsonb(t) order by to_jsonb(t)::text), '[]')::text from {table} t where tenant_id = $1"
        );
        let text: String =
            sqlx::query_scalar(AssertSqlSafe(all)).bind(user.tenant.as_uuid()).fetch_one(owner.pool()).await.unwrap();
        rows.insert(table, text);
    }
    rows
}

/// Everything that is attacked is really there: its own tenant can read what can be read.
async fn check_fixture(api: &Api, victim: &Victim) {
    for attack in attacks(victim).into_iter().filter(|attack| attack.method == Method::GET) {
        let answer = api.get(&victim.user, &attack.path).await;
        assert_eq!(answer.status, 200, "{}: {:#}", attack.path, answer.body);
    }
    assert_eq!(api.get(&victim.user, "/v1/conversations").await.data()["pagination"]["total"], 2);
    assert_eq!(api.get(&victim.user, "/v1/conversations?q=secret").await.data()["pagination"]["total"], 1);
    assert_eq!(api.get(&victim.user, "/v1/analytics/dashboard").await.data()["top_outcomes"][0]["outcome"], "secret");
    assert_eq!(api.get(&victim.user, "/v1/usage").await.data()["usage"][0]["provider"], "secret");
}

async fn nothing_is_found(api: &Api, victim: &Victim, attackers: &[(Role, User)], guards: &str) {
    let before = rows_of(&api.scratch, &victim.user).await;
    let attacks = attacks(victim);
    let mut tried = 0;
    for Attack { method, paths, unknown, body, .. } in &attacks {
        for (role, attacker) in attackers {
            let missed = send(api, attacker, method, unknown, body).await;
            // Who may not do this at all is told so, whatever it is done to.
            let refused = *role < Role::Owner && missed.status == 403;
            assert!(refused || missed.status == 404, "{method} {unknown} as {role}: {:#}", missed.body);
            for path in paths {
                let attacked = send(api, attacker, method, path, body).await;
                assert_eq!(said(&attacked), said(&missed), "{method} {path} as {role}");
                tried += 1;
            }
        }
    }
    let (routes, kinds, roles) = (attacks.len(), victim.ids.len(), attackers.len());
    println!("{guards}: {tried} attempts ({routes} operations, {kinds} kinds of id, {roles} roles), 0 leaks");
    let attacker = &attackers[0].1;
    for path in [
        "/v1/integrations/credentials",
        "/v1/integrations/installed",
        "/v1/voice-agents",
        "/v1/phone-numbers",
        "/v1/conversations",
        "/v1/api-keys",
        "/v1/webhooks",
        "/v1/campaigns",
        "/v1/do-not-call",
        "/v1/jobs/dead",
        "/v1/conversations?date_from=2020-01-01",
        "/v1/conversations?date_from=2020-01-01T00:00:01Z",
        "/v1/conversations?q=secret",
    ] {
        assert_eq!(api.get(attacker, path).await.data()["pagination"]["total"], 0, "{path}");
    }
    // These have something of everybody's own.
    for path in ["/v1/members", "/v1/audit-log", "/v1/tenant"] {
        let own = api.get(attacker, path).await.body.to_string();
        let names = |id: &Uuid| own.contains(&id.to_string());
        assert!(!victim.ids.values().chain([&victim.user.id]).any(names), "{path}: {own}");
    }
    for path in ["/v1/analytics/dashboard", "/v1/analytics/timeseries", "/v1/analytics/latency", "/v1/usage"] {
        let answer = api.get(attacker, path).await;
        assert!(!answer.data().to_string().contains("secret"), "{path}: {}", answer.body);
    }
    assert_eq!(api.get(attacker, "/v1/analytics/dashboard").await.data()["total_calls"], 0);
    assert_eq!(rows_of(&api.scratch, &victim.user).await, before);
}

#[tokio::test]
async fn another_tenants_id_is_like_one_that_is_not_there() {
    let api = Api::new().await;
    let victim = victim(&api).await;
    check_fixture(&api, &victim).await;
    let attackers = everybody(&api, api.owner()).await;
    nothing_is_found(&api, &victim, &attackers, "both guards").await;
}

/// The statements alone: the database's own guard is out of the way.
#[tokio::test]
async fn every_statement_names_its_tenant() {
    let api = Api::new().await;
    let victim = victim(&api).await;
    let attackers = everybody(&api, api.owner()).await;
    let control = Control { db: api.scratch.superuser().await, ..api.control.clone() };
    let api = api.with_control(control);
    check_fixture(&api, &victim).await;
    nothing_is_found(&api, &victim, &attackers, "statements alone").await;
}

/// The database alone: every statement is given the victim's tenant, by the victim itself, in a transaction of the attacker's.
#[tokio::test]
async fn a_transaction_sees_its_own_tenant_whatever_it_asks_for() {
    let api = Api::new().await;
    let victim = victim(&api).await;
    let attacker = api.owner();
    api.get(&attacker, "/v1/voice-agents").await.data();
    let attackers = everybody(&api, victim.user.clone()).await;
    let owner = api.scratch.superuser().await;
    let pin = format!(
        "create or replace function app_tenant() returns uuid language sql stable parallel safe return '{}'::uuid",
        attacker.tenant
    );
    sqlx::query(AssertSqlSafe(pin)).execute(owner.pool()).await.unwrap();
    nothing_is_found(&api, &victim, &attackers, "database alone").await;
}

/// Ids in bodies are no way around.
#[tokio::test]
async fn what_a_body_refers_to_is_the_tenants_own() {
    let mut api = Api::new().await;
    let victim = victim(&api).await;
    let attacker = api.owner();
    let mine = api.phone_number(&attacker, "+14155550122", "mine", None).await;
    let twilio = api.credential(&attacker, Provider::Twilio, "mine").await;
    let before = rows_of(&api.scratch, &victim.user).await;
    let credential = victim.ids["/v1/integrations/credentials/"];
    let agent = victim.ids["/v1/voice-agents/"];
    let installation = victim.ids["/v1/integrations/installed/"];
    let install = |id: Uuid| json!({ "integration_id": integration_id(Provider::Openai), "credential_id": id });
    let number = |credential: Uuid, agent: Option<Uuid>| json!({ "provider": "twilio", "phone_number": "+14155550133", "credential_id": credential, "agent_id": agent });
    let named = |id: Uuid| json!({ "credential_id": id });
    let spoken = |id: Uuid| json!({ "voice_id": "v1", "text": "Hi", "credential_id": id });
    let patch_number = format!("/v1/phone-numbers/{mine}");
    let campaign = |agent: Uuid| json!({ "name": "Eve's", "agent_id": agent });
    let own_agent = api.agent(&attacker, &[]).await;
    let own_campaign = api.post(&attacker, "/v1/campaigns", campaign(own_agent)).await;
    let patch_campaign = format!("/v1/campaigns/{}", own_campaign.data()["id"].as_str().unwrap());
    api.vendors.number("+14155550133", "mine");
    for db in [api.scratch.db.clone(), api.scratch.superuser().await] {
        let control = Control { db, ..api.control.clone() };
        api = api.with_control(control);
        let unknown = Uuid::now_v7();
        let pairs = [
            (Method::POST, "/v1/integrations/install", install(credential), install(unknown)),
            (Method::POST, "/v1/integrations/test-credential", named(credential), named(unknown)),
            (Method::POST, "/v1/voices/preview", spoken(credential), spoken(unknown)),
            (Method::POST, "/v1/phone-numbers", number(credential, None), number(unknown, None)),
            (Method::POST, "/v1/phone-numbers", number(twilio, Some(agent)), number(twilio, Some(unknown))),
            (Method::POST, "/v1/campaigns", campaign(agent), campaign(unknown)),
            (Method::PATCH, &patch_campaign, json!({ "agent_id": agent }), json!({ "agent_id": unknown })),
            (Method::PATCH, &patch_number, json!({ "agent_id": agent }), json!({ "agent_id": unknown })),
            (Method::PATCH, &patch_number, json!({ "credential_id": credential }), json!({ "credential_id": unknown })),
        ];
        for (method, path, theirs, nobodys) in pairs {
            let attacked = send(&api, &attacker, &method, path, &theirs).await;
            let missed = send(&api, &attacker, &method, path, &nobodys).await;
            assert_eq!((attacked.status.as_u16(), said(&attacked)), (404, said(&missed)), "{method} {path} {theirs}");
        }
        let voices = |id: Uuid| format!("/v1/voices?credential_id={id}");
        let attacked = api.get(&attacker, &voices(credential)).await;
        let missed = api.get(&attacker, &voices(unknown)).await;
        assert_eq!((attacked.status.as_u16(), said(&attacked)), (404, said(&missed)));
        let lists = |id: Uuid| {
            let mut body = crate::testing::agent_body("Eve");
            body["integrations"] = json!([id]);
            body
        };
        let attacked = api.post(&attacker, "/v1/voice-agents", lists(installation)).await;
        let missed = api.post(&attacker, "/v1/voice-agents", lists(unknown)).await;
        assert_eq!((attacked.status.as_u16(), said(&attacked)), (422, said(&missed)));
    }
    assert_eq!(rows_of(&api.scratch, &victim.user).await, before);
}

/// What no route reaches, but calls and rotation do: with either guard alone.
#[tokio::test]
async fn a_store_finds_and_changes_nothing_of_anothers() {
    let api = Api::new().await;
    let victim = victim(&api).await;
    let attacker = api.owner();
    api.get(&attacker, "/v1/voice-agents").await.data();
    let id = victim.ids["/v1/integrations/credentials/"];
    let installation = victim.ids["/v1/integrations/installed/"];
    let agent = victim.ids["/v1/voice-agents/"];
    let mut tx = api.control.db.begin(victim.user.tenant).await.unwrap();
    let stored = store::get_encrypted(&mut tx, victim.user.tenant, id).await.unwrap().unwrap();
    drop(tx);
    let account: String = {
        let owner = api.scratch.superuser().await;
        sqlx::query_scalar("select account_ref from credentials where account_ref is not null")
            .fetch_one(owner.pool())
            .await
            .unwrap()
    };
    let before = rows_of(&api.scratch, &victim.user).await;
    let guards: [(Db, _); 2] =
        [(api.scratch.db.clone(), victim.user.tenant), (api.scratch.superuser().await, attacker.tenant)];
    for (db, argument) in guards {
        let mut tx = db.begin(attacker.tenant).await.unwrap();
        let sealed = api.control.vault.reseal(&stored.encrypted).unwrap();
        assert_eq!(store::get_encrypted(&mut tx, argument, id).await.unwrap(), None);
        assert_eq!(store::for_call(&mut tx, argument, &[installation]).await.unwrap(), []);
        assert_eq!(store::by_account(&mut tx, argument, Provider::Twilio, &account).await.unwrap(), []);
        assert!(!store::rotate(&mut tx, argument, id, &stored.encrypted, &sealed).await.unwrap());
        assert_eq!(store::renew(&mut tx, argument, &stored, &sealed, &stored.fields_set).await.unwrap(), None);
        assert!(!store::lock(&mut tx, argument, id).await.unwrap());
        store::remember_test(&mut tx, argument, &stored, Some("x")).await.unwrap();
        assert_eq!(crate::agents::store::get_version(&mut tx, argument, agent, 1).await.unwrap(), None);
        assert_eq!(crate::agents::store::lock(&mut tx, argument, agent).await.unwrap(), None);
        // The attacker's tenant as argument finds the attacker's own row, which is no leak.
        assert_eq!(tenants::store::lock(&mut tx, argument).await.unwrap(), argument == attacker.tenant);
        let owns = crate::members::store::another_owns(&mut tx, argument, attacker.id).await.unwrap();
        assert!(!owns);
        assert_eq!(crate::members::store::get(&mut tx, argument, victim.user.id).await.unwrap(), None);
        assert!(!crate::members::store::remove(&mut tx, argument, victim.user.id).await.unwrap());
        let key = victim.ids["/v1/api-keys/"];
        assert_eq!(crate::api_keys::store::get(&mut tx, argument, key).await.unwrap(), None);
        crate::api_keys::store::used(&mut tx, argument, key).await.unwrap();
        let webhook = victim.ids["/v1/webhooks/"];
        assert_eq!(webhooks::store::get(&mut tx, argument, webhook).await.unwrap(), None);
        assert_eq!(webhooks::store::lock_secrets(&mut tx, argument, webhook).await.unwrap(), None);
        assert!(!webhooks::store::rotate_secret(&mut tx, argument, webhook, &sealed).await.unwrap());
        assert!(!webhooks::store::remove(&mut tx, argument, webhook).await.unwrap());
        let campaign = victim.ids["/v1/campaigns/"];
        assert!(claims::look(&mut tx, argument, campaign, chrono::Utc::now()).await.unwrap().is_none());
        assert!(!claims::hold(&mut tx, argument, campaign, "x").await.unwrap());
        claims::note(&mut tx, argument, victim.ids["/v1/conversations/"].into(), "x").await.unwrap();
        let listed = LISTED[0].parse().unwrap();
        assert!(!crate::do_not_call::store::has(&mut tx, argument, &listed).await.unwrap());
        deliveries::disable(&mut tx, argument, webhook, "x").await.unwrap();
        let delivery = victim.ids["/v1/webhooks/{id}/deliveries/"];
        assert!(deliveries::due(&mut tx, argument, delivery).await.unwrap().is_none());
        let redelivered = deliveries::redeliver(&mut tx, argument, webhook, delivery).await.unwrap();
        assert_eq!(redelivered, deliveries::Redelivery::NotThere);
        tx.commit().await.unwrap();
    }
    assert_eq!(rows_of(&api.scratch, &victim.user).await, before);
}

/// What is made of calls that are over, and what is counted of them: with either guard alone.
#[tokio::test]
async fn nothing_of_anothers_is_analysed_erased_or_counted() {
    let api = Api::new().await;
    let victim = victim(&api).await;
    let attacker = api.owner();
    api.get(&attacker, "/v1/voice-agents").await.data();
    let owner = api.scratch.superuser().await;
    let id: Uuid = sqlx::query_scalar("select id from conversations where end_time is not null")
        .fetch_one(owner.pool())
        .await
        .unwrap();
    let mut tx = owner.begin(victim.user.tenant).await.unwrap();
    let counted = crate::conversations::counted(&mut tx, victim.user.tenant, id).await.unwrap().unwrap();
    drop(tx);
    // A job that a worker of the victim's has.
    let running = "update jobs set state = 'queued', dead_at = null, lane = 'lane'";
    sqlx::query(running).execute(owner.pool()).await.unwrap();
    let lease = std::time::Duration::from_secs(60);
    let claim = queue::Claim { kind: queue::Kind::Webhook, n: 1, per_tenant: 1, attempts: 1, worker: "w", lease };
    let job = queue::claim(&api.control.db, claim).await.unwrap().remove(0);
    assert_eq!(job.tenant, victim.user.tenant);
    let before = rows_of(&api.scratch, &victim.user).await;
    let guards: [(Db, _); 2] = [(api.scratch.db.clone(), victim.user.tenant), (owner, attacker.tenant)];
    for (db, argument) in guards {
        let mut tx = db.begin(attacker.tenant).await.unwrap();
        let erased = erase::erase(&mut tx, argument, id, crate::http::now()).await.unwrap();
        assert_eq!(erased, erase::Erasure::NotThere);
        let written = analysis::write(&mut tx, argument, CallId::from(id), &analysis::Analysis::default()).await;
        assert!(!written.unwrap());
        assert_eq!(crate::conversations::counted(&mut tx, argument, id).await.unwrap(), None);
        queue::analyse(&mut tx, argument, CallId::from(id)).await.unwrap();
        for ended in [
            queue::done(&mut tx, argument, &job).await,
            queue::again(&mut tx, argument, &job, std::time::Duration::ZERO, "x").await,
            queue::bury(&mut tx, argument, &job, "x").await,
            queue::give_back(&mut tx, argument, &job).await,
        ] {
            assert!(!ended.unwrap());
        }
        tx.commit().await.unwrap();
        let mut tx = db.begin(attacker.tenant).await.unwrap();
        let adjusted = rollup::adjust(&mut tx, argument, &[], std::slice::from_ref(&counted)).await;
        // Counted for the attacker, or refused by the database.
        assert_eq!(adjusted.is_ok(), argument == attacker.tenant, "{adjusted:?}");
        let _ = tx.commit().await;
    }
    assert_eq!(rows_of(&api.scratch, &victim.user).await, before);
}

/// A foreign key is not checked by row-level security, so it has to carry the tenant itself.
#[tokio::test]
async fn the_database_refuses_to_refer_to_anothers_row() {
    let api = Api::new().await;
    let victim = victim(&api).await;
    let attacker = api.owner();
    let mine = api.agent(&attacker, &[]).await;
    let theirs = |kind: &str| victim.ids[kind].to_string();
    let (tenant, integration) = (attacker.tenant, integration_id(Provider::Openai));
    let credential = theirs("/v1/integrations/credentials/");
    let agent = theirs("/v1/voice-agents/");
    let conversation = theirs("/v1/conversations/");
    let insert = [
        format!(
            "installations (tenant_id, id, integration_id, credential_id) values ('{tenant}', '{mine}', '{integration}', '{credential}')"
        ),
        format!(
            "phone_numbers (tenant_id, id, provider, e164, credential_id) values ('{tenant}', '{mine}', 'twilio', '+12', '{credential}')"
        ),
        format!(
            "phone_numbers (tenant_id, id, provider, e164, agent_id) values ('{tenant}', '{mine}', 'twilio', '+12', '{agent}')"
        ),
        format!(
            "agent_versions (tenant_id, agent_id, version, config, created_by) values ('{tenant}', '{agent}', 9, '{{}}', 'eve')"
        ),
        format!(
            "conversations (tenant_id, id, agent_id, agent_version, channel, direction, status, start_time)
             values ('{tenant}', '{mine}', '{agent}', 1, 'phone', 'inbound', 'active', now())"
        ),
        format!(
            "turns (tenant_id, conversation_id, seq, speaker, started_ms, text, source)
             values ('{tenant}', '{conversation}', 1, 'agent', 0, 'x', 'x')"
        ),
        format!(
            "call_legs (tenant_id, conversation_id, id, provider, kind, status, status_rank)
             values ('{tenant}', '{conversation}', '{mine}', 'twilio', 'customer', 'ringing', 1)"
        ),
    ];
    for db in [api.scratch.db.clone(), api.scratch.superuser().await] {
        for row in &insert {
            let mut tx = db.begin(attacker.tenant).await.unwrap();
            let done = sqlx::query(AssertSqlSafe(format!("insert into {row}"))).execute(tx.connection()).await;
            let error = DbError::from(done.unwrap_err());
            assert!(matches!(error, DbError::ForeignKey(_)), "{row}: {error}");
        }
    }
    let owner = api.scratch.superuser().await;
    let careless: Vec<String> = sqlx::query_scalar(
        "select k.conrelid::regclass || '.' || k.conname from pg_constraint k
         join pg_attribute ours on ours.attrelid = k.conrelid and ours.attname = 'tenant_id'
         join pg_attribute theirs on theirs.attrelid = k.confrelid and theirs.attname = 'tenant_id'
         where k.contype = 'f' and not exists (
            select from unnest(k.conkey, k.confkey) as pair (our, their)
            where pair.our = ours.attnum and pair.their = theirs.attnum)",
    )
    .fetch_all(owner.pool())
    .await
    .unwrap();
    assert!(careless.is_empty(), "foreign keys without the tenant: {careless:?}");
}
