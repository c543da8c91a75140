//! A rebuild of as many updates as it is wanted for, of jobs that live: the archive alone is written beforehand.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::print;
use super::work::{BEHIND, LIVES, ROWS};
use crate::db::Session;
use crate::holder::{Input, SealedBank};
use crate::tests::chain::hash;
use crate::tests::postgres::{Database, Server};
use crate::tree::BankId;
use crate::writer::{Mode, Writer};
use crate::{Swap, rebuild};

/// Slots that are archived at once.
const PART: u64 = 10;

fn id(slot: u64) -> BankId {
    BankId {
        slot,
        hash: hash(slot, 0),
    }
}

/// What comes in a slot.
fn inputs(slot: u64) -> Vec<Input> {
    let run = [1; 16];
    let mut all = vec![Input::Bank(SealedBank {
        run,
        generation: 1,
        id: id(slot),
        parent: id(slot - 1),
        block_time: Some(1_800_000_000 + slot as i64 * 2 / 5),
        digest: Vec::new(),
        filter_hash: Vec::new(),
        whole: true,
        accounts: LIVES.accounts(slot, ROWS).collect(),
        transactions: false,
    })];
    if let Some(before) = slot.checked_sub(BEHIND).filter(|slot| *slot > 3) {
        all.push(Input::Rooted {
            run,
            slot: before,
            hash: Some(id(before).hash),
            parent: Some(before - 1),
        });
    }
    all
}

pub async fn rebuilt(server: &Arc<Server>, updates: u64) {
    let db = Database::on(server.clone(), "rebuilt").await;
    let session = Session::open(&db.url, "bench").await.unwrap();
    let mode = Mode::Live { epoch: 0 };
    let mut writer = Writer::open(session, "projection_1", mode).await.unwrap();
    // Jobs of slot 1 are settled in slot 4.
    let last = 4 + updates.div_ceil(ROWS);
    for from in (4..last).step_by(PART as usize) {
        let all = (from..last.min(from + PART)).flat_map(inputs);
        let all: Vec<(i64, Input)> = (writer.state().next_event..).zip(all).collect();
        writer.archive_alone(&all).await.unwrap();
    }
    drop(writer);
    let began = Instant::now();
    let report = rebuild(&db.url, Swap::Never).await.unwrap();
    let seconds = began.elapsed().as_secs_f64();
    let written = (last - 4) * ROWS;
    print(
        "indexer_lives_rebuild".into(),
        json!({
            "ours": (written as f64 / seconds).round(), "unit": "updates/s", "measured_updates": written, "seconds": seconds.round(),
            "rows": report.rows,
        }),
    );
}
