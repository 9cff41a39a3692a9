use axum::body::{Body, Bytes};
use futures_util::stream;
use serde_json::{Value, json};

use super::World;

#[tokio::test]
async fn a_file_is_taken_without_its_bad_rows_its_duplicates_and_whom_nobody_calls() {
    let world = World::new(json!({ "timezone": "America/New_York" })).await;
    world.api.post(&world.ada, "/v1/do-not-call", json!({ "phone_number": "+14155550109" })).await.data();
    let file = "\u{feff}customer_name,phone_number,timezone\r\n\
        \"Doe, John\",+14155550101,America/Los_Angeles\r\n\
        Ann,+4930123456,\r\n\
        Nobody,12345,\r\n\
        Bob,+14155550102,Nowhere/Land\r\n\
        Twice,+14155550101,\r\n\
        Short,+14155550103\r\n\
        Stop,+14155550109,\r\n\
        Eve,+14155550104,\r\n";
    let added = world.upload(file).await;
    assert_eq!(
        added.data(),
        &json!({
            "added": 3, "duplicates": 1, "do_not_call": 1, "invalid": 3,
            "errors": [
                { "line": 4, "message": "phone_number must be a number in E.164, such as +14155550100" },
                { "line": 5, "message": "timezone must be a time zone's name, such as America/New_York" },
                { "line": 7, "message": "has 2 fields instead of 3" },
            ],
        })
    );
    let john = world.contact("+14155550101").await;
    assert_eq!(
        (&john["context"], &john["timezone"], &john["status"], &john["attempts"]),
        (&json!({ "customer_name": "Doe, John" }), &"America/Los_Angeles".into(), &"pending".into(), &json!([]))
    );
    assert_eq!(world.contact("+4930123456").await["timezone"], "Europe/Berlin");
    // The campaign's own.
    assert_eq!(world.contact("+14155550104").await["timezone"], Value::Null);
    // The same once more, and somebody else.
    let again = world.upload(format!("{file}Zoe,+14155550105,\r\n")).await;
    assert_eq!((&again.data()["added"], &again.data()["duplicates"]), (&1.into(), &4.into()));
    let contacts = &world.get().await["contacts"];
    assert_eq!(
        (&contacts["total"], &contacts["duplicates_removed"], &contacts["do_not_call_removed"]),
        (&4.into(), &5.into(), &2.into())
    );
}

#[tokio::test]
async fn a_large_file_is_taken_as_it_comes() {
    let world = World::new(json!({})).await;
    let rows =
        |from: usize| -> Bytes { (from..from + 500).map(|n| format!("+1415555{n:04},x\n")).collect::<String>().into() };
    let header = Bytes::from_static(b"phone_number,note\n");
    let chunks = std::iter::once(header.clone()).chain((0..4).map(move |n| rows(1000 + n * 500)));
    let file = Body::from_stream(stream::iter(chunks.map(Ok::<_, std::io::Error>)));
    assert_eq!(world.upload(file).await.data()["added"], 2000);
    // One that breaks off is told of; what has come of it is there, and is left out when it comes again.
    let chunks = [Ok(header), Ok(rows(4000)), Ok(Bytes::from_static(b"+1415555")), Err(std::io::Error::other("cut"))];
    assert_eq!(world.upload(Body::from_stream(stream::iter(chunks))).await.status, 400);
    assert_eq!(world.get().await["contacts"]["total"], 2500);
    let chunks = std::iter::once(Bytes::from_static(b"phone_number,note\n"))
        .chain(std::iter::repeat_n(vec![b'x'; 1 << 20].into(), 17));
    let file = Body::from_stream(stream::iter(chunks.map(Ok::<_, std::io::Error>)));
    assert_eq!(world.upload(file).await.error(), (413, "PAYLOAD_TOO_LARGE"));
    let page = world.api.get(&world.ada, &world.path("/contacts?status=pending&page=25&limit=100")).await;
    assert_eq!(page.data()["contacts"].as_array().unwrap().len(), 100);
    assert_eq!(world.api.get(&world.ada, &world.path("/contacts?status=done")).await.data()["pagination"]["total"], 0);
    assert_eq!(world.api.get(&world.ada, &world.path("/contacts?status=lost")).await.status, 422);
}

#[tokio::test]
async fn what_is_no_list_of_contacts_is_refused_whole() {
    let world = World::new(json!({})).await;
    let answer = world.upload("name;phone_number\nAnn;+14155550101\n").await;
    assert_eq!((answer.status.as_u16(), &answer.body["details"]["fields"][0]["field"]), (422, &"header".into()));
    for (contacts, field) in [
        (json!([]), "contacts"),
        (json!([{ "phone_number": "+14155550101" }, { "phone_number": "1" }]), "contacts[1].phone_number"),
        (json!([{ "phone_number": "+14155550101", "timezone": "Mars" }]), "contacts[0].timezone"),
        (json!([{ "phone_number": "+14155550101", "context": { "x": "y".repeat(17_000) } }]), "contacts[0].context"),
    ] {
        let answer = world.api.post(&world.ada, &world.path("/contacts"), json!({ "contacts": contacts })).await;
        assert_eq!((answer.status.as_u16(), &answer.body["details"]["fields"][0]["field"]), (422, &field.into()));
    }
    assert_eq!(world.get().await["contacts"]["total"], 0);
}
