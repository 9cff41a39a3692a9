//! Recordings' rows through a call's life, a tenant's settings, and erasure.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use trunkline_base::{CallId, Personal};
use uuid::Uuid;

use super::{
    store::{self, Due, Fate, Found, Piece, Stored},
    transcription::{self, Entry},
};
use crate::{
    conversations::{
        calls::{self, NewConversation},
        erase,
        journal::{self, CallRows, Ended},
    },
    db::Tx,
    lookup,
    testing::{Api, User},
    vendors::Provider,
};

const NODE: &str = "this node";

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

    async fn ring(&self, sid: &str) -> CallId {
        let call = NewConversation {
            id: CallId::generate(),
            agent: self.agent,
            agent_version: 1,
            provider: Provider::Twilio,
            provider_call_id: sid.into(),
            customer_phone: Personal::new("+14155550100".into()),
            our_number: Personal::new("+15005550006".into()),
            context: [].into(),
            node: NODE.into(),
        };
        let mut tx = self.tx().await;
        calls::create(&mut tx, self.user.tenant, &call, Utc::now()).await.unwrap();
        tx.commit().await.unwrap();
        call.id
    }

    async fn write(&self, id: CallId, rows: CallRows) {
        let mut tx = self.tx().await;
        journal::write(&mut tx, self.user.tenant, NODE, &[(id, rows)], Utc::now()).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn end(&self, id: CallId, ago: TimeDelta) {
        let ended = Ended { at: Utc::now() - ago, status: "completed", reason: "caller_hangup".into() };
        self.write(id, CallRows { ended: Some(ended), ..CallRows::default() }).await;
    }

    /// A piece that is being recorded.
    async fn record(&self, conversation: CallId, begins_ms: i32) -> Piece {
        let piece = Piece { id: Uuid::now_v7(), conversation, begins_ms };
        self.write(conversation, CallRows { recording: Some(piece.clone()), ..CallRows::default() }).await;
        piece
    }

    async fn uploading(&self, piece: &Piece) -> Fate {
        let mut tx = self.tx().await;
        let fate = store::uploading(&mut tx, self.user.tenant, piece).await.unwrap();
        tx.commit().await.unwrap();
        fate
    }

    async fn stored(&self, piece: &Piece) -> bool {
        let stored = stored(piece);
        let mut tx = self.tx().await;
        let kept = store::stored(&mut tx, self.user.tenant, piece.conversation, &stored).await.unwrap();
        tx.commit().await.unwrap();
        kept
    }

    async fn find(&self, id: CallId) -> Found {
        let mut tx = self.tx().await;
        store::find(&mut tx, self.user.tenant, id.as_uuid()).await.unwrap().unwrap()
    }

    async fn read(&self, id: CallId) -> Value {
        self.api.get(&self.user, &format!("/v1/conversations/{id}")).await.data().clone()
    }

    async fn due(&self) -> Vec<Uuid> {
        let due = lookup::recordings_due(&self.api.control.db, 100).await.unwrap();
        due.into_iter().filter(|(tenant, _)| *tenant == self.user.tenant).map(|(_, id)| id).collect()
    }

    async fn take(&self, id: Uuid) -> Option<store::Doomed> {
        let mut tx = self.tx().await;
        let due = store::due(&mut tx, self.user.tenant, id).await.unwrap();
        tx.commit().await.unwrap();
        if let Due::Delete(doomed) = due { Some(doomed) } else { None }
    }
}

fn stored(piece: &Piece) -> Stored {
    Stored {
        id: piece.id,
        location: format!("t/{}.wav", piece.id),
        bytes: 32_044,
        duration_ms: 1000,
        begins_ms: piece.begins_ms,
    }
}

#[tokio::test]
async fn pieces_become_one_recording_in_the_order_in_which_they_were_recorded() {
    let world = World::new().await;
    let id = world.ring("CA1").await;
    assert_eq!(world.find(id).await, Found::default());
    // The second node brings its piece before the first one does.
    let first = world.record(id, 0).await;
    let second = Piece { id: Uuid::now_v7(), conversation: id, begins_ms: 9_000 };
    assert_eq!(world.read(id).await["recording_url"], Value::Null);
    assert_eq!(world.uploading(&second).await, Fate::Store, "the database was away when it began");
    assert!(world.stored(&second).await);
    assert_eq!(world.find(id).await, Found { pieces: vec![stored(&second)], pending: 1, ..Found::default() });
    assert_eq!(world.uploading(&first).await, Fate::Store);
    assert_eq!(world.uploading(&first).await, Fate::Store, "it was not brought, and is tried again");
    assert!(world.stored(&first).await && world.stored(&first).await);
    assert_eq!(world.uploading(&first).await, Fate::Drop);
    let found = world.find(id).await;
    assert_eq!(found, Found { pieces: vec![stored(&first), stored(&second)], ..Found::default() });
    assert_eq!(world.read(id).await["recording_url"], json!(format!("/v1/conversations/{id}/recording")));
    let unknown = Piece { conversation: CallId::generate(), ..first };
    assert_eq!(world.uploading(&unknown).await, Fate::Unknown);
}

#[tokio::test]
async fn what_is_erased_is_deleted_object_first_whoever_is_on_the_way() {
    let world = World::new().await;
    let id = world.ring("CA1").await;
    let (kept, late) = (world.record(id, 0).await, world.record(id, 500).await);
    world.stored(&kept).await;
    assert_eq!(world.uploading(&late).await, Fate::Store);
    world.end(id, TimeDelta::zero()).await;
    let mut tx = world.tx().await;
    erase::erase(&mut tx, world.user.tenant, id.as_uuid(), Utc::now()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((world.find(id).await, &world.read(id).await["recording_url"]), (Found::default(), &Value::Null));
    // Its object arrives after the erasure: it goes again, even if the row was gone.
    assert!(!world.stored(&late).await);
    assert_eq!(world.uploading(&late).await, Fate::Drop);
    let mut due = world.due().await;
    due.sort();
    assert_eq!(due, [kept.id, late.id]);
    for piece in [&kept, &late] {
        let doomed = world.take(piece.id).await.unwrap();
        assert_eq!(doomed.location.as_deref(), Some(stored(piece).location.as_str()));
    }
    let mut tx = world.tx().await;
    store::not_deleted(&mut tx, world.user.tenant, kept.id, Duration::from_secs(60)).await.unwrap();
    store::deleted(&mut tx, world.user.tenant, late.id).await.unwrap();
    tx.commit().await.unwrap();
    assert!(world.due().await.is_empty() && world.take(late.id).await.is_none() && world.take(kept.id).await.is_some());
    assert!(!world.stored(&late).await);
    assert_eq!(world.due().await, [late.id]);
}

#[tokio::test]
async fn audio_is_kept_for_as_long_as_the_tenant_wants() {
    let world = World::new().await;
    let keep = async |days: Value| {
        let body = json!({ "settings": { "retention": { "recordings_days": days } } });
        assert_eq!(world.api.patch(&world.user, "/v1/tenant", body).await.status, 200);
    };
    keep(json!(30)).await;
    let id = world.ring("CA1").await;
    let piece = world.record(id, 0).await;
    world.end(id, TimeDelta::days(20)).await;
    world.stored(&piece).await;
    assert!(world.due().await.is_empty());
    keep(Value::Null).await;
    let mut tx = world.tx().await;
    assert_eq!(store::delete_after(&mut tx, world.user.tenant, piece.id).await.unwrap(), None);
    drop(tx);
    // A shorter time holds for what is there already.
    keep(json!(10)).await;
    assert_eq!(world.due().await, [piece.id]);
    let doomed = world.take(piece.id).await.unwrap();
    assert_eq!((doomed.conversation, doomed.of_carrier), (id, false));
    assert_eq!((world.find(id).await, &world.read(id).await["recording_url"]), (Found::default(), &Value::Null));
    // The transcript has its own time.
    assert_eq!(world.read(id).await["erased_at"], Value::Null);
}

#[tokio::test]
async fn what_no_node_brings_is_given_up_and_taken_all_the_same_if_it_comes() {
    let world = World::new().await;
    let id = world.ring("CA1").await;
    let (lost, here) = (world.record(id, 0).await, world.record(id, 100).await);
    world.stored(&here).await;
    assert_eq!(world.find(id).await.pending, 1);
    assert!(world.due().await.is_empty());
    world.end(id, TimeDelta::minutes(20)).await;
    assert_eq!(world.find(id).await, Found { pieces: vec![stored(&here)], failed: 1, ..Found::default() });
    assert!(world.due().await.is_empty());
    let other = world.ring("CA2").await;
    let gone = world.record(other, 0).await;
    world.end(other, TimeDelta::hours(2)).await;
    assert_eq!(world.due().await, [gone.id]);
    assert_eq!(world.take(gone.id).await, None);
    assert_eq!(world.find(other).await, Found { failed: 1, ..Found::default() });
    assert_eq!(world.uploading(&gone).await, Fate::Store);
    assert!(world.stored(&gone).await && world.stored(&lost).await);
    assert_eq!((world.find(other).await.pieces.len(), world.find(id).await.pieces.len()), (1, 2));
}

#[tokio::test]
async fn a_carriers_recording_is_one_however_often_it_is_told_of() {
    let world = World::new().await;
    let id = world.ring("CA1").await;
    for _ in 0..2 {
        let mut tx = world.tx().await;
        assert!(store::of_carrier(&mut tx, world.user.tenant, id, "twilio:AC1/RE1", Some(900)).await.unwrap());
        tx.commit().await.unwrap();
    }
    let found = world.find(id).await;
    let [one] = found.of_carrier.as_slice() else { panic!("{found:?}") };
    assert_eq!(one.location, "twilio:AC1/RE1");
    assert_eq!(world.read(id).await["recording_url"], json!(format!("/v1/conversations/{id}/recording")));
    world.end(id, TimeDelta::zero()).await;
    let mut tx = world.tx().await;
    erase::erase(&mut tx, world.user.tenant, id.as_uuid(), Utc::now()).await.unwrap();
    assert!(!store::of_carrier(&mut tx, world.user.tenant, id, "twilio:AC1/RE2", None).await.unwrap());
    tx.commit().await.unwrap();
    assert!(world.take(one.id).await.unwrap().of_carrier);
}

#[tokio::test]
async fn a_new_transcript_is_brought_once_by_whoever_was_asked() {
    let world = World::new().await;
    let id = world.ring("CA1").await;
    let tenant = world.user.tenant;
    let conversation = id.as_uuid();
    let request = async |hash: [u8; 32], valid| {
        let mut tx = world.tx().await;
        transcription::request(&mut tx, tenant, conversation, &hash, valid, "nova-3").await.unwrap();
        tx.commit().await.unwrap();
    };
    let bring = async |hash: [u8; 32], text: &str| {
        let entry =
            Entry { speaker: "customer".into(), text: text.into(), started_ms: 1, ended_ms: 2, confidence: 0.5 };
        let mut tx = world.tx().await;
        let kept = transcription::bring(&mut tx, tenant, conversation, &hash, Some(&[entry])).await.unwrap();
        tx.commit().await.unwrap();
        kept
    };
    let told = async || {
        let shown = world.read(id).await;
        let text = shown["retranscription"]["transcript"][0]["text"].clone();
        (shown["retranscription"]["status"].clone(), text)
    };
    assert!(world.read(id).await.get("retranscription").is_none());
    let (hour, none) = (Duration::from_secs(3600), Duration::ZERO);
    request([1; 32], hour).await;
    assert_eq!(told().await, (json!("requested"), Value::Null));
    assert!(!bring([2; 32], "forged").await);
    assert!(bring([1; 32], "one").await && !bring([1; 32], "again").await);
    assert_eq!(told().await, (json!("done"), json!("one")));
    let found = lookup::deepgram_callback(&world.api.control.db, &[1; 32]).await.unwrap().unwrap();
    assert_eq!((found.tenant, found.conversation, found.used), (tenant, id, true));

    // While another is on its way there is the one before, and what is refused changes only that.
    request([3; 32], hour).await;
    assert_eq!(told().await, (json!("requested"), json!("one")));
    let mut tx = world.tx().await;
    transcription::refused(&mut tx, tenant, conversation, &[3; 32]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(told().await, (json!("failed"), json!("one")));
    assert_eq!(lookup::deepgram_callback(&world.api.control.db, &[3; 32]).await.unwrap(), None);
    request([4; 32], none).await;
    assert!(!bring([4; 32], "late").await);

    world.end(id, TimeDelta::zero()).await;
    request([5; 32], hour).await;
    let mut tx = world.tx().await;
    erase::erase(&mut tx, tenant, conversation, Utc::now()).await.unwrap();
    tx.commit().await.unwrap();
    assert!(!bring([5; 32], "erased").await);
    assert!(world.read(id).await.get("retranscription").is_none());
}

#[tokio::test]
async fn another_tenants_recordings_are_out_of_reach() {
    let world = World::new().await;
    let id = world.ring("CA1").await;
    let piece = world.record(id, 0).await;
    world.stored(&piece).await;
    let eve = world.api.owner();
    world.api.agent(&eve, &[]).await;
    // Each guard alone: her transaction with the victim's id, and her id where nothing else holds.
    let mut tx = world.api.control.db.begin(eve.tenant).await.unwrap();
    for tenant in [world.user.tenant, eve.tenant] {
        assert_eq!(store::find(&mut tx, tenant, id.as_uuid()).await.unwrap(), None);
        assert_eq!(store::due(&mut tx, tenant, piece.id).await.unwrap(), Due::Nothing);
        assert_eq!(store::uploading(&mut tx, tenant, &piece).await.unwrap(), Fate::Unknown);
    }
    drop(tx);
    let owner = world.api.scratch.superuser().await;
    let mut tx = owner.begin(eve.tenant).await.unwrap();
    assert_eq!(store::find(&mut tx, eve.tenant, id.as_uuid()).await.unwrap(), None);
    assert_eq!(store::due(&mut tx, eve.tenant, piece.id).await.unwrap(), Due::Nothing);
    store::deleted(&mut tx, eve.tenant, piece.id).await.unwrap();
    store::failed(&mut tx, eve.tenant, piece.id).await.unwrap();
    transcription::bring(&mut tx, eve.tenant, id.as_uuid(), &[1; 32], Some(&[])).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.find(id).await.pieces, [stored(&piece)]);
}
