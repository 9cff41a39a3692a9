//! How many calls of one tenant and one agent can end at once: all of them change the same rows of what is counted.

use std::time::Duration;

use trunkline_base::{CallId, Clock, Personal, SystemClock};
use trunkline_control::{
    conversations::{
        calls::{self, NewConversation},
        journal::{self, CallRows, Ended},
    },
    db::Db,
    vendors::Provider,
};

use super::{
    Error,
    data::{Data, agent},
};

/// Transactions of each writer.
const EACH: usize = 200;

pub(super) async fn measure(db: &Db, data: &Data) -> Result<(), Error> {
    println!("{:>8} {:>12} {:>10} {:>10}", "writers", "closes/s", "p50 ms", "p99 ms");
    for writers in [1, 2, 4, 8, 16] {
        let begun = SystemClock.now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..writers {
            let (db, tenant) = (db.clone(), data.tenants[0]);
            tasks.spawn(async move {
                let mut took = Vec::new();
                for _ in 0..EACH {
                    let id = CallId::generate();
                    let mut tx = db.begin(tenant).await?;
                    let call = NewConversation {
                        id,
                        agent: agent(0, 0),
                        agent_version: 1,
                        provider: Provider::Twilio,
                        provider_call_id: id.to_string(),
                        customer_phone: Personal::new("+14155550100".into()),
                        our_number: Personal::new("+15005550006".into()),
                        context: [].into(),
                        node: "n".into(),
                    };
                    calls::create(&mut tx, tenant, &call, SystemClock.wall().into()).await?;
                    tx.commit().await?;
                    let ended =
                        Some(Ended { at: SystemClock.wall().into(), status: "failed", reason: "no_answer".into() });
                    let rows = [(id, CallRows { ended, ..CallRows::default() })];
                    let started = SystemClock.now();
                    let mut tx = db.begin(tenant).await?;
                    journal::write(&mut tx, tenant, "n", &rows, SystemClock.wall().into()).await?;
                    tx.commit().await?;
                    took.push(started.elapsed());
                }
                Ok::<Vec<Duration>, trunkline_control::db::DbError>(took)
            });
        }
        let mut took = Vec::new();
        while let Some(done) = tasks.join_next().await {
            took.extend(done??);
        }
        took.sort();
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
        let rate = took.len() as f64 / begun.elapsed().as_secs_f64();
        println!("{writers:>8} {rate:>12.0} {:>10.1} {:>10.1}", at(0.5), at(0.99));
    }
    Ok(())
}
