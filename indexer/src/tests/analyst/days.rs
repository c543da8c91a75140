//! Sums over days of models and validators: those of the rows, through forks, late banks and a rebuild, and read without reading jobs.

use super::bench::long_network;
use super::book::{as_analyst, questions};
use super::plans::rows_read;
use super::world::{Outcome, VALIDATOR, World, key};
use super::{BATCH, write};
use crate::tests::postgres::Database;
use crate::tests::{drain, steps};
use crate::{Swap, rebuild};

/// The sums of one kind from the final rows themselves.
fn expected(schema: &str, of: &str) -> String {
    format!(
        "WITH times AS (SELECT slot, (block_time AT TIME ZONE 'UTC')::date AS day FROM {schema}.slot WHERE status = 3 AND block_time IS NOT NULL),
         acts AS (
            SELECT t.day, j.{of} AS key, 1 AS requested, 0 AS submitted, 0 AS settled, 0 AS refunded, 0 AS slashed, 0::bigint AS input,
                   0::bigint AS output, 0::bigint AS fee, 0::bigint AS earned, 0::bigint AS foundation, 0::bigint AS burned, 0::bigint AS lost
              FROM {schema}.job j JOIN times t ON t.slot = j.requested_slot
            UNION ALL SELECT t.day, j.{of}, 0, 1, 0, 0, 0, j.prompt_tokens, COALESCE(j.output_tokens, 0), 0, 0, 0, 0, 0
              FROM {schema}.job j JOIN times t ON t.slot = j.submitted_slot
            UNION ALL SELECT t.day, j.{of}, 0, 0, (j.status = 5)::int, (j.status = 6)::int, (j.status = 7)::int, 0, 0, j.fee_lamports,
                   j.validator_lamports, j.foundation_lamports, j.burned_lamports, j.slashed_lamports
              FROM {schema}.job j JOIN times t ON t.slot = j.ended_slot)
         SELECT day, key, sum(requested), sum(submitted), sum(settled), sum(refunded), sum(slashed), sum(input), sum(output), sum(fee),
                sum(earned), sum(foundation), sum(burned), sum(lost)
           FROM acts WHERE key IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"
    )
}

async fn assert_exact(db: &Database, schema: &str) {
    for of in ["model", "validator"] {
        let kept = format!(
            "SELECT day, {of}_key, jobs_requested, jobs_submitted, jobs_settled, jobs_refunded, jobs_slashed, prompt_tokens, output_tokens,
                    fee_lamports, validator_lamports, foundation_lamports, burned_lamports, slashed_lamports
               FROM analytics.{of}_daily ORDER BY 1, 2"
        );
        let kept = db.texts(&kept).await;
        assert!(!kept.is_empty(), "no day of a {of}");
        assert_eq!(kept, db.texts(&expected(schema, of)).await, "{of}");
    }
}

#[tokio::test]
async fn sums_of_models_and_validators_are_those_of_the_rows_through_forks_and_late_banks() {
    let db = Database::new("days_steps").await;
    let spool = tempfile::tempdir().unwrap();
    steps::everything(spool.path());
    drain(&db.url, spool.path(), 7, None).await.unwrap();
    assert_exact(&db, "projection_1").await;
    // Blocks that were not seen: what happened there has no day until they come, rooted at once or later.
    let slots = |which: &str, status: u8| {
        format!(
            "INSERT INTO projection_1.slot (bank, slot, last_slot, blockhash, parent_slot, parent_blockhash, block_time, status)
             SELECT 100000 + g, g, g, sha256(g::text::bytea), g - 1, sha256((g - 1)::text::bytea),
                    '2027-01-03'::timestamptz + make_interval(hours => g::int - 5000), {status}
               FROM generate_series(5000, 5300) g WHERE {which}"
        )
    };
    let jobs = "INSERT INTO projection_1.job
        SELECT r.* FROM (SELECT j FROM projection_1.job j WHERE validator IS NOT NULL LIMIT 1) x, generate_series(5001, 5200) g,
               jsonb_populate_record(x.j, jsonb_build_object('pubkey', sha256(g::text::bytea)::text, 'requested_slot', g,
                   'submitted_slot', g + 1, 'ended_slot', g + 3, 'status', 5, 'output_tokens', g % 9, 'fee_lamports', g,
                   'validator_lamports', g / 2, 'foundation_lamports', 1, 'burned_lamports', g - g / 2 - 1, 'slashed_lamports', 0)) r";
    let undated = "SELECT count(*) > 0 FROM projection_1.daily_sum WHERE day = '-infinity'";
    let run = async |sql: &str| db.client.batch_execute(sql).await.unwrap();
    run(&slots("g % 10 NOT IN (3, 7)", 3)).await;
    run(jobs).await;
    assert_eq!(db.texts(undated).await, ["(t)"]);
    assert_exact(&db, "projection_1").await;
    run(&slots("g % 10 = 3", 3)).await;
    run(&slots("g % 10 = 7", 1)).await;
    run("UPDATE projection_1.slot SET status = 3 WHERE status = 1 AND slot >= 5000").await;
    assert_exact(&db, "projection_1").await;
    assert_eq!(db.texts(undated).await, ["(f)"]);
}

#[tokio::test]
async fn sums_over_days_answer_questions_and_are_the_same_after_a_rebuild() {
    let db = Database::new("days_world").await;
    let mut world = World::new(1_500, 9);
    write(&db, &mut world, BATCH, true).await;
    assert_exact(&db, "projection_1").await;
    let report = rebuild(&db.url, Swap::IfEqual).await.unwrap();
    assert_eq!((report.different, report.swapped), (vec![], true));
    assert_exact(&db, "projection_2").await;
    as_analyst(&db).await;
    let book = questions();
    for name in ["model-days", "validator-days"] {
        assert_eq!(rows_read(&db.client, &book[name], "job").await, 0, "{name}");
    }
    let mut earned = vec![(0u64, 0u64); 200];
    for job in world.ended() {
        let sums = &mut earned[job.validator as usize];
        sums.0 += u64::from(job.outcome == Outcome::Settled);
        sums.1 += job.validator_lamports();
    }
    let mut top: Vec<(u64, String, u64)> = (0u64..)
        .zip(earned)
        .map(|(n, (settled, sum))| {
            let text = bs58::encode(key(VALIDATOR, n)).into_string();
            (sum, text, settled)
        })
        .collect();
    top.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let rows: Vec<String> = top
        .iter()
        .take(20)
        .map(|(sum, validator, settled)| format!("({validator},{settled},{sum})"))
        .collect();
    let sql = format!(
        "SELECT validator, settled, earned_lamports FROM ({}) q",
        book["validator-days"]
    );
    assert_eq!(db.texts(&sql).await, rows);
}

#[tokio::test]
async fn a_network_that_is_made_longer_for_benchmarks_is_one_as_it_could_be() {
    let db = Database::new("days_long").await;
    let jobs = long_network(&db, 2_500, 500).await;
    // Jobs that had not ended are in the newest part alone.
    assert!((1_900..=2_500).contains(&jobs), "{jobs} jobs");
    assert_exact(&db, "projection_1").await;
    let none = Vec::<String>::new();
    let unknown = "SELECT job FROM analytics.job_events_finalized WHERE at IS NULL OR job IS NULL OR (signature IS NULL AND slot > 1) LIMIT 1";
    assert_eq!(db.texts(unknown).await, none);
    let calls =
        "SELECT c.job FROM projection_1.call c LEFT JOIN projection_1.job j ON j.pubkey = c.job
                  JOIN projection_1.slot s ON s.bank = c.bank AND s.slot = c.slot
                 WHERE j.pubkey IS NULL AND c.job IS NOT NULL AND s.status = 3 LIMIT 1";
    assert_eq!(db.texts(calls).await, none);
    as_analyst(&db).await;
    for (name, sql) in questions() {
        let read = rows_read(&db.client, &sql, "job").await;
        let by_index = sql.lines().next().unwrap().contains("(by index)");
        assert!(!by_index || read < jobs / 5, "{name} read {read} jobs");
    }
}
