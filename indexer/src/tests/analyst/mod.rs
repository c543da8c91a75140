//! What an analyst asks: the query book (`sql/examples`) on a made network, beside figures computed without SQL, and what the
//! answers cost.

mod accounts;
mod bench;
mod book;
mod calls;
mod comments;
mod days;
mod export;
mod history;
mod market;
mod plans;
mod world;

use world::World;

use super::postgres::Database;
use crate::db::Session;
use crate::lease;
use crate::writer::{Mode, Step, Writer};

/// Slots in one transaction.
const BATCH: u64 = 500;
const SCHEMA: &str = "projection_1";

/// Writes the whole network as the indexer does, so many slots in a transaction; without an archive if it is only to be looked at.
async fn write(db: &Database, world: &mut World, batch: u64, archived: bool) {
    let mut session = Session::open(&db.url, "analyst").await.unwrap();
    let mode = match archived {
        true => Mode::Live {
            epoch: lease::acquire(
                &mut session,
                std::time::Duration::from_secs(60),
                &mut Default::default(),
            )
            .await
            .unwrap()
            .epoch,
        },
        false => Mode::Rebuild,
    };
    let mut writer = Writer::open(session, SCHEMA, mode).await.unwrap();
    loop {
        let inputs = world.next(batch);
        if inputs.is_empty() {
            break;
        }
        if archived {
            let steps = inputs
                .into_iter()
                .map(|input| Step {
                    producer: "analyst".into(),
                    input,
                    reached: None,
                    places: None,
                })
                .collect();
            writer.apply(steps).await.unwrap();
        } else {
            let numbered: Vec<_> = (writer.state().next_event..).zip(inputs).collect();
            writer.replay(&numbered).await.unwrap();
        }
    }
    db.client.batch_execute("ANALYZE").await.unwrap();
}
