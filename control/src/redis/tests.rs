use std::time::Duration;

use futures_util::StreamExt;
use trunkline_base::Secret;

use super::{Notice, Redis, RedisError, Subscription};
use crate::testing::{Log, RedisServer};

const LIMIT: Duration = Duration::from_secs(20);

async fn next(subscription: &mut Subscription) -> Notice {
    tokio::time::timeout(LIMIT, subscription.next()).await.expect("a notice comes in time").unwrap()
}

fn message(channel: &str, bytes: &[u8]) -> Notice {
    Notice::Message { channel: channel.to_owned(), bytes: bytes.to_vec() }
}

/// Publishes until it is taken: the connection may be being made.
async fn publish(redis: &Redis, channel: &str, bytes: &[u8]) {
    let published = async {
        while redis.publish(channel, bytes).await.is_err() {
            redis.connected(LIMIT).await;
        }
    };
    tokio::time::timeout(LIMIT, published).await.expect("it is published in time");
}

#[tokio::test]
async fn what_is_published_is_heard_by_those_who_subscribe_to_it() {
    let server = RedisServer::start().await;
    let redis = server.open().await;
    assert!(redis.ping(LIMIT).await);
    let mut subscription = server.open().await.subscribe(vec!["a".into(), "b".into()]);
    assert_eq!(next(&mut subscription).await, Notice::Subscribed);
    publish(&redis, "a", b"\x00\xff").await;
    publish(&redis, "c", b"nobody hears this").await;
    publish(&redis, "b", b"").await;
    assert_eq!(next(&mut subscription).await, message("a", b"\x00\xff"));
    assert_eq!(next(&mut subscription).await, message("b", b""));
}

#[tokio::test]
async fn a_subscription_survives_its_server_and_says_that_there_was_a_gap() {
    let mut server = RedisServer::start().await;
    let redis = server.open().await;
    let mut subscription = redis.subscribe(vec!["a".into()]);
    assert_eq!(next(&mut subscription).await, Notice::Subscribed);
    server.kill();
    assert!(redis.publish("a", b"lost").await.is_err());
    server.run().await;
    assert_eq!(next(&mut subscription).await, Notice::Gap);
    publish(&redis, "a", b"found").await;
    assert_eq!(next(&mut subscription).await, message("a", b"found"));
}

#[tokio::test]
async fn nobody_waits_for_a_server_that_is_gone_and_it_is_logged_once() {
    let mut server = RedisServer::start().await;
    let redis = server.open().await;
    let log = Log::capture();
    server.kill();
    while redis.is_up() {
        assert!(redis.publish("a", b"x").await.is_err());
    }
    for _ in 0..100 {
        assert_eq!(redis.publish("a", b"x").await, Err(RedisError::Down));
    }
    assert!(!redis.ping(Duration::from_millis(50)).await);
    server.run().await;
    assert!(redis.ping(LIMIT).await);
    let text = log.text();
    assert_eq!(text.matches("Redis is lost").count(), 1, "{text}");
    assert_eq!(text.matches("Redis is connected").count(), 1, "{text}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_waited_for_once() {
    let server = RedisServer::start().await;
    let redis = server.open().await;
    server.freeze();
    assert_eq!(redis.publish("a", b"x").await, Err(RedisError::Timeout));
    assert_eq!(redis.publish("a", b"x").await, Err(RedisError::Down));
    server.thaw();
    assert!(redis.ping(LIMIT).await);
}

#[tokio::test]
async fn an_address_is_checked_and_never_printed() {
    for bad in ["", "localhost", "http://localhost", "redis://:hush@host:port"] {
        let url = Secret::new(bad);
        let error = Redis::check("REDIS_URL", &url).unwrap_err();
        assert_eq!(Redis::open("REDIS_URL", &url).unwrap_err(), error);
        assert!(error.to_string().contains("REDIS_URL") && !error.to_string().contains("hush"), "{error}");
    }
    let log = Log::capture();
    let redis = Redis::open("REDIS_URL", &Secret::new("redis://ada:hush@127.0.0.1:1/0")).unwrap();
    assert!(!redis.ping(Duration::from_millis(200)).await);
    let printed = format!("{redis:?} {}", log.text());
    assert!(printed.contains("cannot be reached") && !printed.contains("hush"), "{printed}");
}
