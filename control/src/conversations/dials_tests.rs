//! Calls that are placed, as far as the database has to do with it.

use std::time::Duration;

use serde_json::{Map, json};
use trunkline_base::{CallId, E164};
use uuid::Uuid;

use super::{
    calls,
    dials::{self, Adopted, NewDial, NoDial, Settled},
};
use crate::{
    db::Tx,
    lookup::{self, Turn},
    tenants,
    testing::{Api, User},
    vendors::Provider,
};

const LONG: Duration = Duration::from_secs(60);

struct World {
    api: Api,
    user: User,
    agent: Uuid,
}

impl World {
    async fn new() -> Self {
        let api = Api::new().await;
        let user = api.owner();
        let agent = api.agent(&user, &[]).await;
        Self { api, user, agent }
    }

    async fn tx(&self) -> Tx {
        self.api.control.db.begin(self.user.tenant).await.unwrap()
    }

    async fn begin(&self, to: &str, key: Option<&str>) -> Result<CallId, NoDial> {
        let mut tx = self.tx().await;
        let id = self.begin_in(&mut tx, to, key, LONG).await?;
        tx.commit().await.unwrap();
        Ok(id)
    }

    async fn begin_in(&self, tx: &mut Tx, to: &str, key: Option<&str>, held_for: Duration) -> Result<CallId, NoDial> {
        let id = CallId::generate();
        let from: E164 = "+15005550006".parse().unwrap();
        let context = Map::from_iter([("customer".to_owned(), json!({ "name": "Ann", "age": 30, "tags": ["a"] }))]);
        let dial = NewDial {
            id,
            agent: self.agent,
            agent_version: 1,
            provider: Provider::Twilio,
            from: &from,
            to: &to.parse().unwrap(),
            context: &context,
            metadata: &Map::new(),
            node: "this node",
            key,
            contact: None,
            held_for,
            rings_for: LONG,
        };
        dials::begin(tx, self.user.tenant, &dial, chrono::Utc::now()).await?;
        Ok(id)
    }

    async fn adopt(&self, id: CallId, sid: &str) -> Adopted {
        let mut tx = self.tx().await;
        let adopted = dials::adopt(&mut tx, self.user.tenant, id, Provider::Twilio, sid).await.unwrap();
        tx.commit().await.unwrap();
        adopted
    }

    async fn settled(&self, id: CallId) -> Settled {
        dials::settled(&mut self.tx().await, self.user.tenant, id).await.unwrap()
    }
}

#[tokio::test]
async fn a_dial_is_a_call_that_rings_and_has_its_place() {
    let world = World::new().await;
    let id = world.begin("+14155550111", None).await.unwrap();
    let shown = world.api.get(&world.user, &format!("/v1/conversations/{id}")).await;
    let shown = shown.data();
    assert_eq!(
        [&shown["direction"], &shown["status"], &shown["customer_phone"], &shown["our_number"], &shown["context"]],
        [
            &json!("outbound"),
            &json!("ringing"),
            &json!("+14155550111"),
            &json!("+15005550006"),
            &json!({ "customer": { "name": "Ann", "age": 30, "tags": ["a"] } }),
        ]
    );
    let mut tx = world.tx().await;
    let full = tenants::TenantSettings { max_concurrent_calls: Some(1), ..tenants::TenantSettings::default() };
    assert!(tenants::store::is_full(&mut tx, world.user.tenant, &full).await.unwrap());
    // Its variables are those that an agent's texts can name.
    let call = calls::read(&mut tx, world.user.tenant, id).await.unwrap().unwrap();
    let variables = [("customer.age", "30"), ("customer.name", "Ann")].map(|(key, value)| (key.into(), value.into()));
    assert_eq!(call.context, variables.into());
    assert_eq!((call.provider_call_id, call.over), (None, false));
}

#[tokio::test]
async fn one_pair_of_numbers_is_dialled_once_until_that_is_settled() {
    let world = World::new().await;
    let tenant = world.user.tenant;
    let id = world.begin("+14155550111", None).await.unwrap();
    assert!(matches!(world.begin("+14155550111", None).await, Err(NoDial::Pair)));
    world.begin("+14155550112", None).await.unwrap();
    assert!(dials::send(&mut world.tx().await, tenant, id, LONG).await.unwrap());
    assert_eq!(world.settled(id).await, Settled::No);
    assert_eq!(world.adopt(id, "CA1").await, Adopted::Now);
    // The answer and the first status callback say the same.
    assert_eq!(world.adopt(id, "CA1").await, Adopted::Before);
    assert_eq!(world.adopt(id, "CA2").await, Adopted::Other);
    assert_eq!(world.settled(id).await, Settled::Placed("CA1".into()));
    assert_eq!(lookup::call(&world.api.control.db, Provider::Twilio, "CA1").await.unwrap(), Some((tenant, id)));
    let mut tx = world.tx().await;
    let known = dials::known(&mut tx, tenant, Provider::Twilio, &["CA1".into(), "CA9".into()]).await.unwrap();
    assert_eq!(known, ["CA1"]);
    assert!(!dials::refuse(&mut tx, tenant, id).await.unwrap());
    assert!(!dials::send(&mut tx, tenant, id, LONG).await.unwrap());
    drop(tx);

    let again = world.begin("+14155550111", None).await.unwrap();
    let mut tx = world.tx().await;
    assert!(dials::refuse(&mut tx, tenant, again).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(world.settled(again).await, Settled::Refused);
    // What turns up afterwards is nobody's.
    assert_eq!(world.adopt(again, "CA3").await, Adopted::Stray);
    assert_eq!(world.adopt(CallId::generate(), "CA4").await, Adopted::NotDialled);
    // Nor is a call that is another conversation's.
    let third = world.begin("+14155550111", None).await.unwrap();
    assert_eq!(world.adopt(third, "CA1").await, Adopted::Other);
}

#[tokio::test]
async fn a_key_stands_for_its_call_unless_nothing_came_of_it() {
    let world = World::new().await;
    let tenant = world.user.tenant;
    let by_key = async |key: &str| dials::by_key(&mut world.tx().await, tenant, key).await.unwrap();
    let id = world.begin("+14155550111", Some("a key")).await.unwrap();
    assert!(matches!(world.begin("+14155550112", Some("a key")).await, Err(NoDial::Key)));
    let earlier = by_key("a key").await.unwrap();
    assert_eq!((earlier.id, earlier.agent, earlier.provider_call_id), (id, world.agent, None));
    assert_eq!((earlier.to.unwrap().expose().as_str(), earlier.status.as_str()), ("+14155550111", "ringing"));
    world.adopt(id, "CA1").await;
    assert_eq!(by_key("a key").await.unwrap().provider_call_id.as_deref(), Some("CA1"));
    assert!(by_key("another").await.is_none());

    let id = world.begin("+14155550112", Some("another")).await.unwrap();
    let mut tx = world.tx().await;
    dials::refuse(&mut tx, tenant, id).await.unwrap();
    tx.commit().await.unwrap();
    assert!(by_key("another").await.is_none());
    let again = world.begin("+14155550112", Some("another")).await.unwrap();
    assert_eq!(by_key("another").await.unwrap().id, again);
}

#[tokio::test]
async fn a_dial_that_was_left_behind_is_taken_by_one() {
    let world = World::new().await;
    let (tenant, db) = (world.user.tenant, &world.api.control.db);
    world.begin("+14155550112", None).await.unwrap();
    let mut tx = world.tx().await;
    let id = world.begin_in(&mut tx, "+14155550111", None, Duration::ZERO).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(lookup::unsettled_dials(db, 10).await.unwrap(), [(tenant, id)]);
    let mut tx = world.tx().await;
    let left = dials::take(&mut tx, tenant, id, LONG).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    assert_eq!((left.from.expose(), left.to.expose()), ("+15005550006", "+14155550111"));
    assert_eq!((left.provider, left.sent_at), (Provider::Twilio, None));
    assert!(dials::take(&mut world.tx().await, tenant, id, LONG).await.unwrap().is_none());
    assert_eq!(lookup::unsettled_dials(db, 10).await.unwrap(), []);
}

#[tokio::test]
async fn an_account_s_turns_are_apart_whoever_asks() {
    let world = World::new().await;
    let other = world.api.owner();
    world.api.agent(&other, &[]).await;
    let turn = async |user: &User, account: &str| {
        let mut tx = world.api.control.db.begin(user.tenant).await.unwrap();
        let every = Duration::from_secs(1);
        let turn = lookup::call_turn(&mut tx, Provider::Twilio, account, every, Duration::from_millis(2500)).await;
        tx.commit().await.unwrap();
        turn.unwrap()
    };
    let waits = |turn| match turn {
        Turn::In(wait) => wait.as_secs_f64(),
        Turn::NotBefore(wait) => -wait.as_secs_f64(),
    };
    let first = waits(turn(&world.user, "AC1").await);
    let second = waits(turn(&other, "AC1").await);
    let third = waits(turn(&world.user, "AC1").await);
    assert!(first == 0.0 && second <= 1.0 && third > second && third <= 2.0, "{first} {second} {third}");
    assert_eq!(waits(turn(&world.user, "AC2").await), 0.0);
    let mut last = third;
    while last >= 0.0 {
        last = waits(turn(&world.user, "AC1").await);
    }
    assert!(last < 0.0 && last > -2.0, "{last}");
    // What is not committed is not taken.
    let mut tx = world.tx().await;
    let every = Duration::from_secs(60);
    for _ in 0..2 {
        lookup::call_turn(&mut tx, Provider::Twilio, "AC3", every, Duration::ZERO).await.unwrap();
    }
    drop(tx);
    assert_eq!(waits(turn(&world.user, "AC3").await), 0.0);
}

#[tokio::test]
async fn another_tenant_has_nothing_to_do_with_a_dial() {
    let world = World::new().await;
    let id = world.begin("+14155550111", Some("a key")).await.unwrap();
    let other = world.api.owner();
    world.api.agent(&other, &[]).await;
    let mut tx = world.api.control.db.begin(other.tenant).await.unwrap();
    for tenant in [other.tenant, world.user.tenant] {
        assert_eq!(dials::adopt(&mut tx, tenant, id, Provider::Twilio, "CA1").await.unwrap(), Adopted::NotDialled);
        assert!(dials::by_key(&mut tx, tenant, "a key").await.unwrap().is_none());
        assert!(!dials::send(&mut tx, tenant, id, LONG).await.unwrap());
        assert!(!dials::refuse(&mut tx, tenant, id).await.unwrap());
        assert!(!dials::set_answered_by(&mut tx, tenant, id, "human").await.unwrap());
        assert_eq!(dials::answered_by(&mut tx, tenant, id).await.unwrap(), None);
        assert_eq!(dials::own_numbers(&mut tx, tenant).await.unwrap().len(), 0);
    }
    drop(tx);
    assert_eq!(world.settled(id).await, Settled::No);
}

/// The carrier's answer and its first webhook come at once, on two nodes.
#[tokio::test]
async fn two_who_settle_a_dial_at_once_find_the_same_call() {
    let world = World::new().await;
    let tenant = world.user.tenant;
    let id = world.begin("+14155550111", None).await.unwrap();
    let mut first = world.tx().await;
    assert_eq!(dials::adopt(&mut first, tenant, id, Provider::Twilio, "CA1").await.unwrap(), Adopted::Now);
    let mut second = world.tx().await;
    let second = tokio::spawn(async move { dials::adopt(&mut second, tenant, id, Provider::Twilio, "CA1").await });
    let owner = world.api.scratch.superuser().await;
    let waits =
        "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(owner.pool()).await.unwrap() {
        tokio::task::yield_now().await;
    }
    first.commit().await.unwrap();
    assert_eq!(second.await.unwrap().unwrap(), Adopted::Before);
}
