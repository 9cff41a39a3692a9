use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use uuid::Uuid;

use super::{Limiter, Rates, Verdict};
use crate::{tenant::TenantId, testing::RedisServer};

/// Longer than any test takes to use it up, so that what is counted does not depend on how fast it is: the budget grows by one each
/// 20 s.
const RATE: u32 = 3;
/// What Redis may take, on a machine however busy.
const PATIENT: Duration = Duration::from_secs(20);

fn rates() -> Rates {
    let rate = NonZeroU32::new(RATE).unwrap();
    Rates { tenant: rate, address: rate }
}

fn tenant() -> TenantId {
    TenantId::new(Uuid::now_v7())
}

/// How many more are let through, and what the first that isn't is told.
async fn exhaust(limiter: &Limiter, tenant: TenantId) -> (u32, Verdict) {
    let mut passed = 0;
    loop {
        let verdict = limiter.tenant(tenant).await;
        if verdict.retry_after.is_some() {
            return (passed, verdict);
        }
        passed += 1;
    }
}

fn check_refusal(verdict: Verdict) {
    assert_eq!((verdict.limit, verdict.remaining, verdict.reset()), (RATE, 0, Duration::from_secs(60)));
    let wait = verdict.retry_after.unwrap();
    assert!(wait <= Duration::from_secs(20) && wait > Duration::ZERO, "{wait:?}");
}

#[tokio::test]
async fn a_budget_is_one_tenants_and_says_what_is_left() {
    let limiter = Limiter::new(rates(), None);
    let (ada, bob) = (tenant(), tenant());
    let first = limiter.tenant(ada).await;
    assert_eq!(first, Verdict { limit: RATE, remaining: RATE - 1, retry_after: None });
    assert_eq!(first.reset(), Duration::from_secs(20));
    let (passed, refusal) = exhaust(&limiter, ada).await;
    assert_eq!(passed, RATE - 1);
    check_refusal(refusal);
    assert_eq!(exhaust(&limiter, bob).await.0, RATE);
}

#[tokio::test]
async fn addresses_of_one_network_are_one_and_families_are_told_apart() {
    let limiter = Limiter::new(rates(), None);
    let take = async |address: &str| limiter.address(address.parse::<IpAddr>().unwrap()).await.remaining;
    assert_eq!(take("2001:db8:0:1::1").await, 2);
    assert_eq!(take("2001:db8:0:1:ffff:ffff:ffff:ffff").await, 1);
    assert_eq!(take("2001:db8:0:2::1").await, 2);
    assert_eq!(take("198.51.100.7").await, 2);
    assert_eq!(take("::ffff:198.51.100.7").await, 1);
    assert_eq!(take("198.51.100.8").await, 2);
}

#[tokio::test]
async fn two_nodes_share_one_budget() {
    let server = RedisServer::start().await;
    let one = Limiter::with_wait(rates(), Some(server.open().await), PATIENT);
    let two = Limiter::with_wait(rates(), Some(server.open().await), PATIENT);
    let ada = tenant();
    let first = one.tenant(ada).await;
    assert_eq!(first, Verdict { limit: RATE, remaining: RATE - 1, retry_after: None });
    assert_eq!(two.tenant(ada).await.remaining, RATE - 2);
    assert_eq!(one.tenant(ada).await.remaining, RATE - 3);
    check_refusal(two.tenant(ada).await);
    check_refusal(one.tenant(ada).await);
    assert_eq!(exhaust(&two, tenant()).await.0, RATE);
}

#[tokio::test]
async fn what_no_longer_counts_is_gone_from_redis() {
    let server = RedisServer::start().await;
    let redis = server.open().await;
    let rate = NonZeroU32::new(60_000).unwrap();
    let limiter = Limiter::with_wait(Rates { tenant: rate, address: rate }, Some(redis.clone()), PATIENT);
    let ada = tenant();
    assert_eq!(limiter.tenant(ada).await.remaining, 59_999);
    let script = redis::Script::new("return redis.call('DBSIZE')");
    let gone = async {
        while redis.eval::<u32>(PATIENT, &script.prepare_invoke()).await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENT, gone).await.expect("the key expires");
}

#[tokio::test]
async fn without_redis_each_node_goes_on_by_itself_and_they_share_again_when_it_is_back() {
    let mut server = RedisServer::start().await;
    let redis = server.open().await;
    let one = Limiter::with_wait(rates(), Some(redis.clone()), PATIENT);
    let two = Limiter::with_wait(rates(), Some(server.open().await), PATIENT);
    let ada = tenant();
    assert_eq!(one.tenant(ada).await.remaining, RATE - 1);
    server.kill();
    // What this node has let through is not forgotten with Redis; what the other has, it does not know.
    assert_eq!(exhaust(&one, ada).await.0, RATE - 1);
    assert_eq!(exhaust(&two, ada).await.0, RATE);
    server.run().await;
    assert!(redis.connected(PATIENT).await);
    let bob = tenant();
    assert_eq!(one.tenant(bob).await.remaining, RATE - 1);
    let shared = async {
        // The other node connects a moment later, and counts by itself until then.
        loop {
            let carol = tenant();
            one.tenant(carol).await;
            if two.tenant(carol).await.remaining == RATE - 2 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENT, shared).await.expect("both nodes share again");
}

#[tokio::test]
async fn a_redis_that_does_not_answer_costs_one_request_its_limit_and_the_others_nothing() {
    let server = RedisServer::start().await;
    let redis = server.open().await;
    let limit = Duration::from_millis(50);
    let rate = NonZeroU32::new(1_000_000).unwrap();
    let limiter = Limiter::with_wait(Rates { tenant: rate, address: rate }, Some(redis.clone()), limit);
    server.freeze();
    let ada = tenant();
    let started = tokio::time::Instant::now();
    for _ in 0..1000 {
        assert!(limiter.tenant(ada).await.retry_after.is_none());
    }
    let waited = started.elapsed();
    // A thousand waits would be fifty seconds.
    assert!(waited >= limit && waited < Duration::from_secs(10), "{waited:?}");
    assert!(!redis.is_up());
    server.thaw();
}

#[tokio::test]
async fn what_no_longer_counts_is_forgotten() {
    let rate = NonZeroU32::new(u32::MAX).unwrap();
    let limiter = Limiter::new(Rates { tenant: rate, address: rate }, None);
    for n in 0..1000_u32 {
        limiter.address(IpAddr::V4(n.into())).await;
    }
    let forgotten = async {
        // A budget of billions is whole again within nanoseconds.
        while limiter.addresses.local.len() > 0 {
            limiter.addresses.local.forget();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENT, forgotten).await.expect("all is forgotten");
}
