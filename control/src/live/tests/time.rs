//! When a stream says what, on virtual time: what it tells comes from a script.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, http::Request, response::Response, routing::get};
use sqlx::PgPool;
use tokio::time::Instant;
use tower::ServiceExt;
use trunkline_base::CallId;
use uuid::Uuid;

use super::super::{
    hub::{Hub, News},
    pulse::Pulse,
    stream::{Look, Source, event, respond},
};
use crate::{
    db::{Db, DbError},
    http::finish,
    tenant::TenantId,
    testing::{Events, ScriptedVendors, control},
};

/// A last event.
fn end(reason: &str) -> String {
    format!("event: end\ndata: {{\"reason\":\"{reason}\"}}\nretry: 2000")
}

#[derive(Clone, Default)]
struct Script(Arc<Told>);

#[derive(Default)]
struct Told {
    looks: AtomicUsize,
    news: AtomicBool,
    revoked: AtomicBool,
    away: AtomicBool,
}

impl Source for Script {
    async fn look(&mut self) -> Result<Look, DbError> {
        self.0.looks.fetch_add(1, Ordering::Relaxed);
        if self.0.away.load(Ordering::Relaxed) {
            return Err(DbError::Unavailable(sqlx::Error::PoolTimedOut));
        }
        let events = self.0.news.swap(false, Ordering::Relaxed).then(|| event("news", None, &1));
        Ok(Look { events: events.into_iter().collect(), ..Look::default() })
    }

    async fn has_standing(&mut self) -> Result<bool, DbError> {
        Ok(!self.0.revoked.load(Ordering::Relaxed))
    }
}

struct Scene {
    hub: Hub,
    tenant: TenantId,
    script: Script,
    began: Instant,
}

impl Scene {
    fn new() -> Self {
        let tenant = TenantId::new(Uuid::now_v7());
        Self { hub: Hub::alone(), tenant, script: Script::default(), began: Instant::now() }
    }

    fn response(&self, lasts: Option<Duration>) -> Response {
        let place = self.hub.enter(self.tenant, None).unwrap();
        respond(self.script.clone(), Pulse::new(place, lasts), Look::default())
    }

    async fn listen(&self, lasts: Option<Duration>) -> Events {
        let mut events = Events::of(self.response(lasts).into_body().into_data_stream());
        assert_eq!(events.block().await.unwrap(), "retry: 2000\n: listening");
        events
    }

    /// What else there is than comments, to the end.
    async fn rest(&self, mut events: Events) -> Vec<String> {
        let mut rest = Vec::new();
        while let Some(block) = events.block().await {
            if block != ":" {
                rest.push(block);
            }
        }
        rest
    }

    fn seconds(&self) -> u64 {
        (self.began.elapsed().as_millis() as u64 + 500) / 1000
    }
}

#[tokio::test(start_paused = true)]
async fn a_comment_comes_every_fifteen_seconds_and_the_end_with_the_token() {
    let scene = Scene::new();
    let mut events = scene.listen(Some(Duration::from_secs(50))).await;
    for n in 1..=3 {
        assert_eq!(events.block().await.unwrap(), ":");
        assert_eq!(scene.seconds(), 15 * n);
    }
    assert_eq!(scene.hub.streams(), 1);
    assert_eq!(events.block().await.unwrap(), end("token_expired"));
    assert_eq!(scene.seconds(), 50);
    assert_eq!(events.block().await, None);
    assert_eq!(scene.hub.streams(), 0);
    // A token that has expired already.
    let events = scene.listen(Some(Duration::ZERO)).await;
    assert_eq!(scene.rest(events).await, [end("token_expired")]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_an_end_lasts_until_its_listener_may_not_listen_any_more() {
    let scene = Scene::new();
    let mut events = scene.listen(None).await;
    for _ in 0..960 {
        assert_eq!(events.block().await.unwrap(), ":");
    }
    assert_eq!(scene.seconds(), 4 * 3600);
    scene.script.0.revoked.store(true, Ordering::Relaxed);
    assert_eq!(scene.rest(events).await, [end("access_revoked")]);
    assert!(scene.seconds() <= 4 * 3600 + 60);
}

/// Whoever is poked reads at once, but not more often than ten times a second; whoever is not reads every two seconds where other nodes
/// are not heard.
#[tokio::test(start_paused = true)]
async fn news_is_read_soon_and_together() {
    let scene = Scene::new();
    let looks = || scene.script.0.looks.load(Ordering::Relaxed);
    let events = scene.listen(Some(Duration::from_secs(11))).await;
    let call = CallId::generate();
    let poke = async {
        for _ in 0..1000 {
            scene.hub.tell(scene.tenant, &[(call, News::State)]);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let told = looks();
        assert!((9..=11).contains(&told), "{told}");
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert!((4..=6).contains(&(looks() - told)), "{}", looks() - told);
    };
    tokio::join!(poke, scene.rest(events));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_ends_its_streams_with_what_is_left_to_say() {
    let scene = Scene::new();
    let mut events = scene.listen(None).await;
    scene.script.0.news.store(true, Ordering::Relaxed);
    scene.hub.close();
    assert_eq!(events.block().await.unwrap(), "event: news\ndata: 1");
    assert_eq!(scene.rest(events).await, [end("draining")]);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_for_a_while_ends_nothing() {
    let scene = Scene::new();
    let mut events = scene.listen(None).await;
    scene.script.0.away.store(true, Ordering::Relaxed);
    for _ in 0..8 {
        assert_eq!(events.block().await.unwrap(), ":");
    }
    assert!(scene.script.0.looks.load(Ordering::Relaxed) >= 50, "it is tried all the time");
    scene.script.0.away.store(false, Ordering::Relaxed);
    scene.script.0.news.store(true, Ordering::Relaxed);
    assert_eq!(events.block().await.unwrap(), "event: news\ndata: 1");
}

/// The limit on a request's time is on its answer, not on what goes on behind it.
#[tokio::test(start_paused = true)]
async fn a_stream_outlasts_the_limit_on_requests() {
    let scene = Scene::new();
    let response = Arc::new(Mutex::new(Some(scene.response(Some(Duration::from_secs(100))))));
    // Nobody asks this database anything.
    let db = Db::from_pool(PgPool::connect_lazy("postgres://localhost").unwrap());
    let control = control(db, Arc::new(ScriptedVendors::default()));
    let stream = get(move || {
        let response = response.lock().unwrap().take().unwrap();
        async { Ok::<_, Infallible>(response) }
    });
    let router: Router = finish(Router::new().route("/stream", stream), &control);
    let request = Request::builder().uri("/stream").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(scene.seconds(), 0);
    let mut events = Events::of(response.into_body().into_data_stream());
    events.block().await.unwrap();
    assert_eq!(scene.rest(events).await, [end("token_expired")]);
    assert_eq!(scene.seconds(), 100);
}
