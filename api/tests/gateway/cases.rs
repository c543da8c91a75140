//! Cases as the gateway shows them: lists, one in full, beside its job, in the network's numbers.

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

/// A slashed job whose case a jury found guilty (102), a case in which what a joiner named is not shown in time (103), and one whose
/// jury commits (104).
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
    let case = |key: u8, opened: i64, more: Value| {
        let base = json!({
            "pubkey": hex(key), "job": hex(JOB), "challenger": hex(15), "submitter": hex(5), "fingerprint": hex(12),
            "status": 2, "exact_profile": true, "jury_seats": 3, "claims": 2, "false_claims": 2, "opened_slot": opened, "lamports": 1,
            "model": model, "rent_payer": hex(6), "sampled": 1, "named": 1, "opened": 2, "output_tokens": 34, "requested_slot": 10,
            "submitted_slot": 11, "shown_slot": opened + 1, "joining_end_slot": opened + 2, "leaves_due_slot": opened + 3,
            "due_slot": opened + 3, "stake_at_result_lamports": 4002, "committed_stake_lamports": 0, "tariff_lamports": 200,
            "bonds_lamports": 1600, "held_lamports": 1600, "output_rent_lamports": 0, "paid": false, "collected": false,
        });
        with(written(opened), with(base, more))
    };
    let guilty = json!({
        "status": 4, "verdict": 1, "ground": 1, "leaves_slot": 41, "resolved_slot": 60, "commit_from_slot": 61,
        "commit_end_slot": 161, "reveal_end_slot": 211, "due_slot": null, "slashed_lamports": 2001, "reward_lamports": 800,
        "claimants_lamports": 1800, "jurors_lamports": 200, "submitter_lamports": 0, "prover_lamports": 0, "burned_lamports": 1601,
        "penalties_lamports": 0,
    });
    for row in [
        case(102, 40, guilty),
        case(
            103,
            45,
            json!({"job": hex(107), "challenger": hex(16), "opened": 1}),
        ),
        // Far from its end, whatever slot this chain is at.
        case(
            104,
            50,
            json!({"job": hex(106), "submitter": hex(17), "status": 3, "commit_from_slot": 72,
                   "commit_end_slot": 1i64 << 40, "reveal_end_slot": (1i64 << 40) + 50, "due_slot": (1i64 << 40) + 50}),
        ),
    ] {
        insert(database, projection, "dispute_case", &row).await;
    }
    for (place, claimant, digest_place, outcome, amount) in
        [(0, 15, json!(2), 1, 1800), (1, 18, Value::Null, 2, 0)]
    {
        let digest = digest_place.is_number().then(|| hex(31));
        let row = json!({"pubkey": hex(102), "place": place, "job": hex(JOB), "claimant": hex(claimant), "kind": 2, "named": 1 - place,
                         "digest_place": digest_place, "digest": digest, "outcome": outcome, "claimed_slot": 40 + place,
                         "at_stake_lamports": 300, "answering_fee_lamports": 100, "tariffs_lamports": 600 - 600 * place,
                         "amount_lamports": amount, "collected": false});
        insert(database, projection, "claim", &with(written(60), row)).await;
    }
    let juror = |seat: i16, juror: u8, revealed: Value| {
        with(
            written(60),
            json!({"pubkey": hex(102), "seat": seat, "job": hex(JOB), "juror": hex(juror), "rank": 65536, "commitment": hex(9),
                   "committed_slot": 70, "revealed_slot": revealed, "reward_lamports": if revealed.is_number() { 100 } else { 0 },
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
    let vote =
        json!({"digests": ["aa", "bb", "cc"], "values": [], "agrees": [3, 3, 3], "right": 2});
    let row = json!({"pubkey": hex(108), "dispute_case": hex(102), "rent_payer": hex(6), "votes": [vote, vote, null], "lamports": 1});
    insert(database, projection, "votes", &with(written(60), row)).await;
    for (place, claim) in [(0, Value::Null), (16, json!(0))] {
        let row = json!({"pubkey": hex(102), "place": place, "job": hex(JOB), "asked": if place == 0 { 1 } else { 2 }, "claim": claim,
                         "position": if place == 0 { 6 } else { 5 }, "token": 7, "ids": [7, 1, 2, 3], "logits": [9, 8, -7, -8]});
        insert(database, projection, "opening", &with(written(41), row)).await;
    }
    let row = json!({"pubkey": hex(105), "job": hex(JOB), "rent_payer": hex(6), "fingerprint": hex(12), "page": 0, "token_count": 2,
                     "chunks": 1, "chunks_total": 1, "updated_slot": 41, "completed_slot": 41, "tokens": [7, 8], "lamports": 1});
    insert(database, projection, "output", &with(written(41), row)).await;
}

async fn clear(database: &Client, projection: &str) {
    for table in [
        "dispute_case",
        "claim",
        "juror",
        "votes",
        "opening",
        "output",
    ] {
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
fn cases_are_listed_filtered_paged_and_shown_with_all_that_belongs_to_them() {
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
            let page = world.get(&format!("/v1/cases?limit=2{after}")).await;
            seen.extend(ids(&page));
            if page["has_more"] == false {
                break;
            }
            after = format!("&after={}", seen.last().unwrap());
        }
        assert_eq!(seen, [id(104), id(103), id(102)]);
        for (query, expected) in [
            (format!("job={}", id(JOB)), vec![id(102)]),
            (format!("validator={}", id(17)), vec![id(104)]),
            (format!("challenger={}", id(16)), vec![id(103)]),
            ("status=jury".into(), vec![id(104)]),
            ("status=resolved&commitment=finalized".into(), vec![id(102)]),
            ("status=joining".into(), vec![id(103)]),
            (format!("status=opening&challenger={}", id(15)), vec![]),
        ] {
            // By the older name too.
            for path in ["cases", "disputes"] {
                let page = world.get(&format!("/v1/{path}?{query}")).await;
                assert_eq!(ids(&page), expected, "{path}?{query}");
            }
        }
        shown_whole(world).await;
        told_of_the_job_and_in_sums(world, &before).await;
        refused(world).await;
        clear(&database, &projection).await;
    });
}

async fn shown_whole(world: &World) {
    let case = world.get(&format!("/v1/cases/{}", id(102))).await;
    assert_eq!(case, world.get(&format!("/v1/disputes/{}", id(102))).await);
    for (field, expected) in [
        ("object", json!("case")),
        ("phase", json!("resolved")),
        ("next", Value::Null),
        ("verdict", json!("guilty")),
        ("ground", json!("jury")),
        ("job_status", json!("slashed")),
        ("submitter", json!(id(5))),
        ("claims", json!(2)),
        ("slashed_lamports", json!(2001)),
        ("reward_lamports", json!(800)),
        ("committed_seats", json!(3)),
        ("revealed_seats", json!(2)),
        ("output_chunks_posted", json!(1)),
        ("model_address", json!(world.model.to_string())),
    ] {
        assert_eq!(case[field], expected, "{field}: {case}");
    }
    assert!(case["model"].as_str().unwrap().starts_with("tiny@"));
    assert_eq!(
        case["all_claims"][0],
        json!({"place": 0, "claimant": id(15), "kind": "false", "outcome": "right", "claimed_slot": 40, "positions": [5],
               "digest_place": 2, "digest": hex::encode([31; 32]), "bond_lamports": 1000, "at_stake_lamports": 300,
               "answering_fee_lamports": 100, "tariffs_lamports": 600, "amount_lamports": 1800, "reward_lamports": 800,
               "collected": false})
    );
    let second = &case["all_claims"][1];
    assert_eq!(
        (
            &second["outcome"],
            &second["positions"],
            &second["reward_lamports"]
        ),
        (&json!("wrong"), &Value::Null, &json!(0))
    );
    assert_eq!(
        case["jurors"][1],
        json!({"seat": 1, "juror": id(22), "committed_slot": 70, "revealed_slot": 171, "finds_sample_true": true, "finds_true": [1],
               "agrees": [[0, 1], [0, 1], [0, 1]], "digests": ["aa", "bb", "cc"], "reward_lamports": 100, "penalty_lamports": 0,
               "outcome": "paid", "collected": false})
    );
    assert_eq!(case["jurors"][2]["outcome"], "penalised");
    assert!(case["jurors"][2]["agrees"].is_null());
    assert_eq!(
        case["openings"][1],
        json!({"position": 5, "asked_by": "claim", "claim_place": 0, "shown": true, "token": 7, "ids": [7, 1, 2, 3],
               "logits": [9, 8, -7, -8]})
    );
    assert_eq!(
        (&case["output"][0]["page"], &case["output"][0]["id"]),
        (&json!(0), &json!(id(105)))
    );

    let running = world.get(&format!("/v1/cases/{}", id(104))).await;
    if let Some(now) = running["slot"].as_i64().filter(|now| *now >= 72) {
        assert_eq!(running["phase"], "commit", "{running}");
        assert_eq!(running["next"]["event"], "commit_end");
        assert_eq!(running["next"]["slots_left"], json!((1i64 << 40) - now));
        // Not shown in time.
        let silent = world.get(&format!("/v1/cases/{}", id(103))).await;
        assert_eq!(silent["phase"], "due", "{silent}");
        assert!(silent["slashed_lamports"].is_null() && silent["verdict"].is_null());
    }
}

async fn told_of_the_job_and_in_sums(world: &World, before: &Value) {
    let job = world.get(&format!("/v1/jobs/{}", id(JOB))).await;
    assert_eq!(
        (&job["status"], &job["end_reason"], &job["dispute"]["id"]),
        (&json!("slashed"), &json!("guilty"), &json!(id(102))),
        "the case of its result"
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
        (&json!(id(5)), &json!(800))
    );
}

async fn refused(world: &World) {
    for (path, status, code) in [
        (format!("/v1/cases/{}", id(99)), 404, "case_not_found"),
        ("/v1/cases/x".into(), 400, "invalid_request"),
        ("/v1/cases?status=open".into(), 400, "invalid_request"),
        (
            format!("/v1/cases?after={}", id(99)),
            400,
            "invalid_request",
        ),
        ("/v1/cases?validator=x".into(), 400, "invalid_request"),
    ] {
        let response = reqwest::get(format!("{}{path}", world.url)).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], code, "{path}");
    }
}
