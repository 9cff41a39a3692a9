//! Several nodes on one database.

use serde_json::json;

use super::{Hub, World, answered, ended, said, what};
use crate::testing::{RedisServer, listen_at};

/// Real time, for the database's answers do not wait for a paused clock.
#[tokio::test]
async fn nodes_that_share_only_the_database_see_each_others_calls() {
    let world = World::new().await;
    let other = world.api.node(Hub::alone());
    let call = world.ring().await;
    let mut all = listen_at(other.clone(), &world.user, "/v1/live", None).await;
    assert_eq!(all.next().await.unwrap().data["calls"][0]["id"], call.to_string());
    let path = format!("/v1/conversations/{call}/live");
    let mut one = listen_at(other.clone(), &world.user, &path, None).await;
    one.next().await.unwrap();
    world.write(call, answered()).await;
    world.write(call, said(0, 0, "agent", "Hello!")).await;
    assert_eq!(what(&all.next().await.unwrap()), ("active", call.to_string().as_str()));
    assert_eq!(one.next().await.unwrap().data["status"], "active");
    let hello = one.next().await.unwrap();
    assert_eq!(hello.data["text"], "Hello!");
    // What was begun on one is gone on with on the other.
    drop(one);
    world.write(call, said(1, 1, "customer", "Goodbye!")).await;
    let mut here = world.api.listen(&world.user, &path, hello.id.as_deref()).await;
    let goodbye = here.next().await.unwrap();
    assert_eq!(goodbye.data["text"], "Goodbye!");
    world.write(call, ended()).await;
    let there = listen_at(other, &world.user, &path, goodbye.id.as_deref()).await;
    let names: Vec<_> = there.rest().await.into_iter().map(|event| event.name).collect();
    assert_eq!(names, ["state", "end"]);
}

#[tokio::test]
async fn nodes_with_a_redis_hear_of_each_others_calls_and_nothing_is_missed_when_it_is_lost() {
    let mut redis = RedisServer::start().await;
    let mut world = World::new().await;
    let writer = super::Control { live: Hub::among_others(redis.open().await), ..world.api.control.clone() };
    world.api = world.api.with_control(writer);
    let reader = Hub::among_others(redis.open().await);
    let other = world.api.node(reader.clone());
    let (eve, _) = world.another().await;
    let mut eves = listen_at(other.clone(), &eve, "/v1/live", None).await;
    eves.next().await.unwrap();
    let mut all = listen_at(other.clone(), &world.user, "/v1/live", None).await;
    all.next().await.unwrap();
    // The first message may be sent before the other node has subscribed; from the one that is heard on, each comes by itself.
    let call = world.ring().await;
    assert_eq!(all.next().await.unwrap().name, "ringing");
    let mut one = listen_at(other, &world.user, &format!("/v1/conversations/{call}/live"), None).await;
    one.next().await.unwrap();
    let begun = std::time::Instant::now();
    for n in 0..10 {
        world.write(call, said(n, n, "agent", "Hello!")).await;
        assert_eq!(one.next().await.unwrap().data["turn"], n);
    }
    // By looking alone, it would have been ten seconds for each.
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());

    redis.kill();
    world.write(call, answered()).await;
    world.write(call, said(10, 10, "agent", "Are you there?")).await;
    assert_eq!(all.next().await.unwrap().name, "active");
    assert_eq!(one.next().await.unwrap().data["status"], "active");
    assert_eq!(one.next().await.unwrap().data["text"], "Are you there?");
    redis.run().await;
    world.write(call, ended()).await;
    assert_eq!(all.next().await.unwrap().data["status"], json!("completed"));
    assert_eq!(one.until("state").await.data["status"], "completed");
    // The other tenant was not told of anything.
    reader.close();
    let names: Vec<_> = eves.rest().await.into_iter().map(|event| event.name).collect();
    assert_eq!(names, ["end"]);
}
