//! Disputes as the gateway shows them: lists, one in full, beside its job, in the network's numbers.

use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use tokio_postgres::Client;

use crate::harness::{World, insert, within};

const JOB: u8 = 101;

fn hex(byte: u8) -> String {
    format!("\\x{}", hex::encode([byte; 32]))
}

fn id(byte: u8) -> String {
    Pubkey::new_from_array([byte; 32]).to_string()
}

/// A slashed job with a dispute that a jury found guilty (102), one that was overtaken and waits (103), and a running one of
/// another job (104).
async fn fill(world: &World, database: &Client, projection: &str) {
    let written =
        |slot: i64| json!({"bank": 0, "slot": slot, "ordinal": 0, "write_seq": 3, "exact": true});
    let with = |base: Value, more: Value| {
        let (Value::Object(mut base), Value::Object(more)) = (base, more) else {
            panic!("objects");
        };
        base.extend(more);
        Value::Object(base)
    };
    let model = format!("\\x{}", hex::encode(world.model.to_bytes()));
    let job = with(
        written(60),
        json!({
            "pubkey": hex(JOB), "requested_slot": 10, "owner": hex(78), "requester": hex(78), "canceller": hex(0),
            "nonce": "\\x00112233445566778899aabbccddeeff", "model": model, "validator": hex(5), "rent_payer": hex(6), "status": 7,
            "end_reason": 7, "finish_reason": 1, "prompt_hash": hex(8), "prompt_tokens": 12, "max_output_tokens": 64,
            "output_tokens": 34, "price_in": 25_000, "price_out": 50_000, "seed": hex(9), "temperature_milli": 0,
            "sampling_profile": 1, "prompt_source": "http://g", "terms_hash": hex(10), "deadline_slot": 900, "window_slots": 100,
            "accepted_slot": 10, "submitted_slot": 11, "disputed_slot": 40, "ended_slot": 60, "window_end_slot": 111,
            "open_disputes": 1, "output_root": hex(11), "fingerprint": hex(12), "ceiling_lamports": 3500, "fee_lamports": 0,
            "validator_lamports": 0, "foundation_lamports": 0, "burned_lamports": 0, "refunded_lamports": 3500,
            "slashed_lamports": 2001, "lamports": 1,
        }),
    );
    insert(database, projection, "job", &job).await;
    let dispute = |key: u8, opened: i64, more: Value| {
        let base = json!({
            "pubkey": hex(key), "job": hex(JOB), "challenger": hex(15), "submitter": hex(5), "fingerprint": hex(12),
            "status": 1, "jury_seats": 3, "bond_lamports": 1000, "opened_slot": opened, "lamports": 1,
            "model": model, "rent_payer": hex(6), "exact_profile": true, "sampled": 1, "named": 1, "opened": 2,
            "output_tokens": 34, "requested_slot": 10, "submitted_slot": 11, "openings_end_slot": opened + 50,
            "due_slot": opened + 50, "at_stake_lamports": 600, "answering_fee_lamports": 100, "tariff_lamports": 100,
            "held_lamports": 1000, "output_rent_lamports": 0, "collected": false,
        });
        with(written(opened), with(base, more))
    };
    let guilty = json!({
        "status": 3, "verdict": 1, "ground": 1, "completed_slot": 41, "resolved_slot": 60, "commit_from_slot": 61,
        "commit_end_slot": 161, "reveal_end_slot": 211, "due_slot": null, "slashed_lamports": 2001, "challenger_lamports": 2000,
        "jurors_lamports": 1000, "submitter_lamports": 0, "burned_lamports": 1, "penalties_lamports": 0,
    });
    for row in [
        dispute(102, 40, guilty),
        dispute(103, 45, json!({"challenger": hex(16)})),
        // Far from its end, whatever slot this chain is at.
        dispute(
            104,
            50,
            json!({"job": hex(106), "submitter": hex(17), "status": 2, "completed_slot": 52, "commit_from_slot": 72,
                   "commit_end_slot": 1i64 << 40, "reveal_end_slot": (1i64 << 40) + 50, "due_slot": (1i64 << 40) + 50}),
        ),
    ] {
        insert(database, projection, "dispute", &row).await;
    }
    let juror = |seat: i16, juror: u8, revealed: Value| {
        with(
            written(60),
            json!({"pubkey": hex(102), "seat": seat, "job": hex(JOB), "juror": hex(juror), "rank": 65536, "commitment": hex(9),
                   "committed_slot": 70, "revealed_slot": revealed, "fraud": revealed.is_number().then_some(true),
                   "agrees": revealed.is_number().then_some(3), "reward_lamports": if revealed.is_number() { 500 } else { 0 },
                   "penalty_lamports": if revealed.is_number() { 0 } else { 70 }, "collected": false}),
        )
    };
    for row in [
        juror(0, 21, json!(170)),
        juror(1, 22, json!(171)),
        juror(2, 23, Value::Null),
    ] {
        insert(database, projection, "juror", &row).await;
    }
    for (place, named) in [(0, false), (1, true)] {
        let row = json!({"pubkey": hex(102), "place": place, "job": hex(JOB), "position": 6 - place, "named": named,
                         "token": 7, "ids": [7, 1, 2, 3], "logits": [9, 8, -7, -8]});
        insert(database, projection, "opening", &with(written(41), row)).await;
    }
    let row = json!({"pubkey": hex(105), "job": hex(JOB), "rent_payer": hex(6), "fingerprint": hex(12), "page": 0, "token_count": 2,
                     "chunks": 1, "chunks_total": 1, "updated_slot": 41, "completed_slot": 41, "tokens": [7, 8], "lamports": 1});
    insert(database, projection, "output", &with(written(41), row)).await;
}

async fn clear(database: &Client, projection: &str) {
    for table in ["dispute", "juror", "opening", "output"] {
        let sql = format!("DELETE FROM {projection}.{table} WHERE bank = 0");
        database.execute(&sql, &[]).await.unwrap();
    }
    let sql = format!("DELETE FROM {projection}.job WHERE pubkey = $1");
    database.execute(&sql, &[&&[JOB; 32][..]]).await.unwrap();
}

fn ids(page: &Value) -> Vec<String> {
    let rows = page["data"].as_array().unwrap_or_else(|| panic!("{page}"));
    rows.iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn disputes_are_listed_filtered_paged_and_shown_with_all_that_belongs_to_them() {
    within(|world| async move {
        let database = world.database().await;
        let projection: String = database
            .query_one("SELECT projection FROM pipeline.lease", &[])
            .await
            .unwrap()
            .get(0);
        let before = world.get("/v1/network").await;
        fill(world, &database, &projection).await;

        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let page = world.get(&format!("/v1/disputes?limit=2{after}")).await;
            seen.extend(ids(&page));
            if page["has_more"] == false {
                break;
            }
            after = format!("&after={}", seen.last().unwrap());
        }
        assert_eq!(seen, [id(104), id(103), id(102)]);
        for (query, expected) in [
            (format!("job={}", id(JOB)), vec![id(103), id(102)]),
            (format!("validator={}", id(17)), vec![id(104)]),
            (format!("challenger={}", id(16)), vec![id(103)]),
            ("status=jury".into(), vec![id(104)]),
            ("status=resolved&commitment=finalized".into(), vec![id(102)]),
            (format!("status=openings&challenger={}", id(15)), vec![]),
        ] {
            let page = world.get(&format!("/v1/disputes?{query}")).await;
            assert_eq!(ids(&page), expected, "{query}");
        }
        shown_whole(world).await;
        told_of_the_job_and_in_sums(world, &before).await;
        refused(world).await;
        clear(&database, &projection).await;
    });
}

async fn shown_whole(world: &World) {
    let dispute = world.get(&format!("/v1/disputes/{}", id(102))).await;
    for (field, expected) in [
        ("object", json!("dispute")),
        ("phase", json!("resolved")),
        ("next", Value::Null),
        ("verdict", json!("guilty")),
        ("ground", json!("jury")),
        ("job_status", json!("slashed")),
        ("submitter", json!(id(5))),
        ("slashed_lamports", json!(2001)),
        ("committed_seats", json!(3)),
        ("revealed_seats", json!(2)),
        ("output_chunks_posted", json!(1)),
        ("model_address", json!(world.model.to_string())),
    ] {
        assert_eq!(dispute[field], expected, "{field}: {dispute}");
    }
    assert!(dispute["model"].as_str().unwrap().starts_with("tiny@"));
    assert_eq!(
        dispute["jurors"][1],
        json!({"seat": 1, "juror": id(22), "committed_slot": 70, "revealed_slot": 171, "shows_fraud": true, "agrees": [0, 1],
                   "reward_lamports": 500, "penalty_lamports": 0, "outcome": "paid", "collected": false})
    );
    assert_eq!(dispute["jurors"][2]["outcome"], "penalised");
    assert!(dispute["jurors"][2]["agrees"].is_null());
    assert_eq!(
        dispute["openings"][1],
        json!({"position": 5, "named": true, "shown": true, "token": 7, "ids": [7, 1, 2, 3], "logits": [9, 8, -7, -8]})
    );
    assert_eq!(
        (&dispute["output"][0]["page"], &dispute["output"][0]["id"]),
        (&json!(0), &json!(id(105)))
    );

    // The job was decided by the other one.
    let overtaken = world.get(&format!("/v1/disputes/{}", id(103))).await;
    assert_eq!(overtaken["phase"], "due", "{overtaken}");
    assert!(overtaken["slashed_lamports"].is_null() && overtaken["verdict"].is_null());
    let running = world.get(&format!("/v1/disputes/{}", id(104))).await;
    if let Some(now) = running["slot"].as_i64().filter(|now| *now >= 72) {
        assert_eq!(running["phase"], "commit", "{running}");
        assert_eq!(running["next"]["event"], "commit_end");
        assert_eq!(running["next"]["slots_left"], json!((1i64 << 40) - now));
    }
}

async fn told_of_the_job_and_in_sums(world: &World, before: &Value) {
    let job = world.get(&format!("/v1/jobs/{}", id(JOB))).await;
    assert_eq!(
        (&job["status"], &job["end_reason"], &job["dispute"]["id"]),
        (&json!("slashed"), &json!("guilty"), &json!(id(102))),
        "the one that decided, not the newest"
    );
    assert_eq!(job["dispute"]["slashed_lamports"], 2001);
    let now = world.get("/v1/network").await;
    for (field, more) in [
        ("disputes", 3),
        ("disputes_open", 2),
        ("jobs_slashed", 1),
        ("slashed_lamports", 2001),
    ] {
        let grown = now[field].as_i64().unwrap() - before[field].as_i64().unwrap();
        assert_eq!(grown, more, "{field}");
    }
    let slashes = world.get("/v1/stats/slashes").await;
    let slash = slashes["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["dispute"] == id(102).as_str())
        .unwrap_or_else(|| panic!("{slashes}"));
    assert_eq!(
        (&slash["validator"], &slash["challenger_reward_lamports"]),
        (&json!(id(5)), &json!(1000))
    );
}

async fn refused(world: &World) {
    for (path, status, code) in [
        (format!("/v1/disputes/{}", id(99)), 404, "dispute_not_found"),
        ("/v1/disputes/x".into(), 400, "invalid_request"),
        ("/v1/disputes?status=open".into(), 400, "invalid_request"),
        (
            format!("/v1/disputes?after={}", id(99)),
            400,
            "invalid_request",
        ),
        ("/v1/disputes?validator=x".into(), 400, "invalid_request"),
    ] {
        let response = reqwest::get(format!("{}{path}", world.url)).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], code, "{path}");
    }
}
