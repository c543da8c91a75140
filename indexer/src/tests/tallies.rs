//! The sums over days: exact at every commitment, also across forks and late banks, and read without reading jobs.

use super::postgres::Database;

/// Rows with all columns of a job; `$1` = first number, `$2` = last, `$3` = slot of requests (0: spread over 19,000).
const JOBS: &str = "
    SELECT sha256(g::text::bytea), CASE $3::bigint WHEN 0 THEN 1 + g % 19000 ELSE $3 END AS r, sha256((g % 500)::text::bytea), '\\x01'::bytea,
           '\\x00'::bytea, '\\x02'::bytea, '\\x03'::bytea, sha256((g % 7)::text::bytea), '\\x04'::bytea, NULL::bytea, (5 + g % 3)::smallint, 1::smallint,
           1::smallint, '\\x05'::bytea, 10::bigint, 20::bigint, 15::bigint, 1::bigint, 1::bigint, '\\x06'::bytea, 0, 1::smallint, NULL::bytea, '',
           '\\x07'::bytea, 100::bigint, 100::bigint, 1 + g % 19000, NULL::bigint, 2 + g % 19000, NULL::bigint, 500 + g % 19000, 600::bigint, 0,
           '\\x08'::bytea, '\\x09'::bytea, 1000::bigint, 100::bigint, 50::bigint, 10::bigint, 40::bigint, 900::bigint, 0::bigint, 5::bigint
      FROM generate_series($1::bigint, $2::bigint) g";

/// What daily statistics are, from the rows themselves.
fn expected(commitment: &str) -> String {
    format!(
        "WITH times AS (SELECT slot, (at AT TIME ZONE 'UTC')::date AS day FROM analytics.slots_{commitment} WHERE at IS NOT NULL AND NOT gap),
         requested AS (SELECT t.day, count(*) AS jobs_requested, count(DISTINCT j.owner) AS owners
                         FROM projection_1.job_{commitment} j JOIN times t ON t.slot = j.requested_slot GROUP BY 1),
         submitted AS (SELECT t.day, count(*) AS jobs_submitted, sum(j.prompt_tokens)::bigint AS prompt_tokens,
                              sum(j.output_tokens)::bigint AS output_tokens, count(DISTINCT j.validator) AS validators
                         FROM projection_1.job_{commitment} j JOIN times t ON t.slot = j.submitted_slot GROUP BY 1),
         ended AS (SELECT t.day, count(*) FILTER (WHERE j.status = 5) AS settled, count(*) FILTER (WHERE j.status = 6) AS refunded,
                          count(*) FILTER (WHERE j.status = 7) AS slashed, sum(j.fee_lamports)::bigint AS fee_lamports
                     FROM projection_1.job_{commitment} j JOIN times t ON t.slot = j.ended_slot GROUP BY 1),
         burned AS (SELECT t.day, sum(b.lamports)::bigint AS burned_lamports
                      FROM analytics.burns_{commitment} b JOIN times t ON t.slot = b.slot GROUP BY 1)
         SELECT day, COALESCE(jobs_requested, 0), COALESCE(owners, 0), COALESCE(jobs_submitted, 0), COALESCE(prompt_tokens, 0),
                COALESCE(output_tokens, 0), COALESCE(validators, 0), COALESCE(settled, 0), COALESCE(refunded, 0), COALESCE(slashed, 0),
                COALESCE(fee_lamports, 0), COALESCE(burned_lamports, 0)
           FROM requested FULL JOIN submitted USING (day) FULL JOIN ended USING (day) FULL JOIN burned USING (day) ORDER BY 1"
    )
}

async fn assert_exact(db: &Database) {
    for commitment in ["processed", "confirmed", "finalized"] {
        let kept = format!(
            "SELECT day, jobs_requested, owners, jobs_submitted, prompt_tokens, output_tokens, validators, jobs_settled, jobs_refunded,
                    jobs_slashed, fee_lamports, burned_lamports FROM analytics.network_daily_{commitment} ORDER BY 1"
        );
        assert_eq!(
            db.texts(&kept).await,
            db.texts(&expected(commitment)).await,
            "{commitment}"
        );
        let (sum, count) = (
            format!("SELECT jobs FROM analytics.network_{commitment}"),
            format!("SELECT count(*) FROM projection_1.job_{commitment}"),
        );
        assert_eq!(db.texts(&sum).await, db.texts(&count).await, "{commitment}");
    }
}

#[tokio::test]
async fn sums_over_days_are_those_of_the_rows_through_forks_and_a_restart() {
    let db = Database::new("tallies").await;
    let spool = tempfile::tempdir().unwrap();
    super::steps::everything(spool.path());
    super::drain(&db.url, spool.path(), 7, None).await.unwrap();
    assert_exact(&db).await;
}

#[tokio::test]
async fn the_networks_figures_and_lists_read_no_table_of_jobs() {
    let db = Database::new("many_jobs").await;
    let client = &db.client;
    // Every hundredth slot was not seen, until it comes late.
    let slots = |from: i64, late: bool| {
        format!(
            "INSERT INTO projection_1.slot (bank, slot, last_slot, blockhash, parent_slot, parent_blockhash, block_time, status)
             SELECT {from} + g, g, g, sha256(g::text::bytea), g - 1, sha256((g - 1)::text::bytea),
                    '2026-01-03'::timestamptz - make_interval(secs => 5 * (20000 - g)), {}
               FROM generate_series(1, 20000) g WHERE (g % 100 = 7) = {late}",
            if late { 1 } else { 3 }
        )
    };
    client.batch_execute(&slots(0, false)).await.unwrap();
    let insert =
        format!("INSERT INTO projection_1.job SELECT 1, 1, 1, 1, true, j.* FROM ({JOBS}) j");
    client
        .execute(&insert, &[&1i64, &60_000i64, &0i64])
        .await
        .unwrap();
    assert_exact(&db).await;
    // The overlay covers some, and adds others by a new owner.
    let columns = client
        .query(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = 'projection_1.job'::regclass AND attnum > 5 ORDER BY attnum",
            &[],
        )
        .await
        .unwrap();
    let columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect();
    let list = columns.join(", ");
    let covered = list
        .replace("status,", "7::smallint,")
        .replace(" fee_lamports,", " 3::bigint,");
    let added =
        list.replacen("pubkey,", "sha256(pubkey),", 1)
            .replacen(" owner,", " sha256(owner),", 1);
    for chosen in [covered, added] {
        for chain in [1, 2] {
            client
                .batch_execute(&format!(
                    "INSERT INTO projection_1.job_overlay (chain, bank, slot, ordinal, write_seq, exact, {list})
                     SELECT {chain}, 2, 19999, 1, 1, true, {chosen} FROM projection_1.job WHERE requested_slot < 9"
                ))
                .await
                .unwrap();
        }
    }
    assert_exact(&db).await;
    client.batch_execute(&slots(100_000, true)).await.unwrap();
    client
        .batch_execute("UPDATE projection_1.slot SET status = 3 WHERE status = 1; UPDATE projection_1.slot SET healed = true; ANALYZE")
        .await
        .unwrap();
    assert_exact(&db).await;

    let lists = [
        "SELECT id FROM listing.jobs_{c} ORDER BY requested_slot DESC, id_key LIMIT 20",
        "SELECT id FROM listing.jobs_{c} WHERE status_code = 5 ORDER BY requested_slot DESC, id_key LIMIT 20",
        "SELECT id FROM listing.jobs_{c} WHERE owner_key = sha256('1') ORDER BY requested_slot DESC LIMIT 20",
        "SELECT job FROM listing.settlements_{c} ORDER BY ended_slot DESC, job_key LIMIT 20",
        "SELECT job FROM listing.fingerprints_{c} ORDER BY submitted_slot DESC, job_key LIMIT 20",
    ];
    let mut queries: Vec<String> = Vec::new();
    for part in ["processed_rooted", "confirmed_rooted", "finalized"] {
        queries.extend(lists.iter().map(|sql| sql.replace("{c}", part)));
    }
    for commitment in ["processed", "confirmed", "finalized"] {
        queries.push(format!("SELECT * FROM analytics.network_{commitment}"));
        queries.push(format!(
            "SELECT * FROM analytics.network_daily_{commitment} ORDER BY day DESC LIMIT 31"
        ));
    }
    for sql in queries {
        let plan = client.query(&format!("EXPLAIN {sql}"), &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(!plan.contains("Seq Scan on job "), "{sql}\n{plan}");
    }
}
