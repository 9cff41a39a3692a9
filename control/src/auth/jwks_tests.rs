//! A project's keys change while it is served, and cannot always be fetched.

use axum::http::header;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    signers::{HandClock, ISSUER, SECRET, Signer, Source, api_of},
    tests::{but, claims, with_header},
};
use crate::testing::{Answer, Api};

fn old() -> Signer {
    Signer::ec("old", include_bytes!("test_keys/ec.pem"))
}

fn new() -> Signer {
    Signer::ec("new", include_bytes!("test_keys/ec_next.pem"))
}

fn token(signer: &Signer) -> String {
    let app: Value = json!({ "tenant_id": Uuid::now_v7() });
    signer.sign(&but(claims(Uuid::now_v7()), json!({ "iss": ISSUER, "app_metadata": app })))
}

async fn status(api: &Api, signer: &Signer) -> u16 {
    bearing(api, signer).await.status.as_u16()
}

async fn bearing(api: &Api, signer: &Signer) -> Answer {
    with_header(api, Some(format!("Bearer {}", token(signer)))).await
}

#[tokio::test]
async fn a_new_key_is_found_and_an_old_one_holds_until_it_leaves_the_set() {
    let (source, clock) = (Source::new(&[old().published()]), HandClock::new());
    let api = api_of(&source, &clock, false).await;
    assert_eq!(status(&api, &old()).await, 200);
    assert_eq!(status(&api, &old()).await, 200);
    assert_eq!(source.fetches(), 1);

    // Asked for at once, but not all the time.
    source.publish(&[old().published(), new().published()]);
    assert_eq!((status(&api, &new()).await, source.fetches()), (401, 1));
    clock.forward(31);
    assert_eq!((status(&api, &new()).await, source.fetches()), (200, 2));
    assert_eq!((status(&api, &old()).await, source.fetches()), (200, 2));

    source.publish(&[new().published()]);
    clock.forward(599);
    assert_eq!((status(&api, &old()).await, source.fetches()), (200, 2));
    clock.forward(2);
    assert_eq!((status(&api, &old()).await, source.fetches()), (401, 3));
    assert_eq!((status(&api, &new()).await, source.fetches()), (200, 3));
    for _ in 0..10 {
        assert_eq!(status(&api, &old()).await, 401);
    }
    assert_eq!(source.fetches(), 3);
}

#[tokio::test]
async fn the_source_says_how_long_within_bounds() {
    for (said, holds) in [(0, 60), (60, 60), (300, 300), (1_000_000, 3600)] {
        let (source, clock) = (Source::new(&[old().published()]), HandClock::new());
        source.max_age(said);
        let api = api_of(&source, &clock, false).await;
        assert_eq!(status(&api, &old()).await, 200);
        clock.forward(holds - 1);
        assert_eq!((status(&api, &old()).await, source.fetches()), (200, 1), "{said}");
        clock.forward(1);
        assert_eq!((status(&api, &old()).await, source.fetches()), (200, 2), "{said}");
    }
}

#[tokio::test]
async fn without_its_source_the_last_good_set_holds() {
    let (source, clock) = (Source::new(&[old().published()]), HandClock::new());
    let api = api_of(&source, &clock, false).await;
    assert_eq!(status(&api, &old()).await, 200);
    type Break = fn(&Source);
    let breaks: [Break; 4] = [
        Source::fail,
        |source| source.publish_body("<html>502 Bad Gateway</html>"),
        |source| source.publish_body("{}"),
        |source| source.publish_body(r#"{"keys":{}}"#),
    ];
    for (n, damage) in breaks.into_iter().enumerate() {
        damage(&source);
        clock.forward(10_000);
        assert_eq!((status(&api, &old()).await, source.fetches()), (200, n + 2));
        // Not asked for again before a pause is over.
        assert_eq!((status(&api, &old()).await, source.fetches()), (200, n + 2));
    }
    source.publish(&[new().published()]);
    clock.forward(31);
    assert_eq!((status(&api, &new()).await, status(&api, &old()).await), (200, 401));
}

#[tokio::test]
async fn without_any_keys_it_is_not_the_tokens_fault() {
    let (source, clock) = (Source::new(&[]), HandClock::new());
    source.fail();
    let api = api_of(&source, &clock, true).await;
    for _ in 0..3 {
        let answer = bearing(&api, &old()).await;
        assert_eq!(answer.error(), (503, "OVERLOADED"));
        assert_eq!(answer.headers[header::RETRY_AFTER], "5");
        assert!(!answer.headers.contains_key(header::WWW_AUTHENTICATE));
    }
    assert_eq!(source.fetches(), 1);
    // What the secret signs needs no published key.
    let shared = Signer::shared(SECRET.as_bytes());
    assert_eq!(status(&api, &shared).await, 200);
    source.publish(&[old().published()]);
    clock.forward(5);
    assert_eq!((status(&api, &old()).await, source.fetches()), (200, 2));
}

#[tokio::test]
async fn an_empty_set_is_a_set() {
    let source = Source::new(&[]);
    let api = api_of(&source, &HandClock::new(), false).await;
    assert_eq!(bearing(&api, &old()).await.error(), (401, "AUTH_INVALID"));
}

#[tokio::test]
async fn many_who_need_a_key_have_it_fetched_once() {
    let (source, clock) = (Source::held(&[old().published()]), HandClock::new());
    let api = api_of(&source, &clock, false).await;
    let signer = old();
    let many = futures_util::future::join_all((0..8).map(|_| bearing(&api, &signer)));
    let (answers, ()) = tokio::join!(many, async {
        while source.fetches() == 0 {
            tokio::task::yield_now().await;
        }
        source.release(1);
    });
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(source.fetches(), 1);
}

#[tokio::test]
async fn while_one_fetches_the_others_go_on_and_its_end_is_not_the_fetchs() {
    let (source, clock) = (Source::held(&[old().published()]), HandClock::new());
    let api = api_of(&source, &clock, false).await;
    source.release(1);
    assert_eq!(status(&api, &old()).await, 200);
    clock.forward(601);
    {
        let signer = old();
        let waiting = std::pin::pin!(bearing(&api, &signer));
        let begun = async {
            while source.fetches() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = waiting => panic!("it has its keys fetched first"),
            () = begun => {}
        }
        // The source is slow; these have a key that is known.
        assert_eq!(status(&api, &old()).await, 200);
        // Whoever waited is gone now.
    }
    source.publish(&[new().published()]);
    source.release(1);
    assert_eq!((status(&api, &new()).await, source.fetches()), (200, 2));
}
