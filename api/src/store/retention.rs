//! What the gateway's tables forget, and when: a row of each kind just within its time and one just beyond it; and what a clock that
//! leaps does to that.

use std::time::Duration;

use mythic_postgres::{Cluster, ClusterConfig, PoolSettings, pool};
use solana_pubkey::Pubkey;

use super::{Steady, credit, due, forget_old, keys, migrate};

/// Hours that answers and prompts are kept here.
const HOURS: u64 = 24;
const DAY: Duration = Duration::from_secs(86_400);

/// Rows that are told apart by their first byte: 1 is young, 2 is old, 3 is as old and still needed.
const ROWS: &str = "
    CREATE FUNCTION pg_temp.b(n int, size int) RETURNS bytea LANGUAGE sql AS $$ SELECT decode(repeat(lpad(to_hex(n), 2, '0'), size), 'hex') $$;
    INSERT INTO gateway.request (id, key_id, idempotency_key, body_hash, state, choices, model, logprobs, answer, created_at)
    SELECT 'answer-' || n, 'used', 'idem-' || n, '', 'done', 1, 'm', false, '{}', now() - make_interval(hours => h)
      FROM (VALUES (1, 23), (2, 25)) v(n, h);
    INSERT INTO gateway.request (id, key_id, body_hash, state, choices, model, logprobs, created_at)
    SELECT id, key, '', state, 1, 'm', false, now() - make_interval(hours => h)
      FROM (VALUES ('week-1', 'used', 'done', 167), ('week-2', 'used', 'done', 169), ('week-3', 'used', 'failed', 169), ('week-4', 'used', 'running', 9999)) v(id, key, state, h);
    INSERT INTO gateway.attempt (job, request_id, choice, attempt, nonce, owner, requester, model, prompt_hash, prompt_tokens, max_output_tokens,
        price_in, price_out, ceiling_lamports, arguments, stop, state, answer, created_at, finished_at)
    SELECT pg_temp.b(n, 32), of, 0, n, pg_temp.b(n, 16), '', '', '', '', 1, 1, 1, 1, 1, '', '{}', state, '{}',
           now() - make_interval(hours => h), now() - make_interval(hours => h)
      FROM (VALUES (1, 'week-1', 'done', 23), (2, 'week-1', 'done', 25), (3, 'week-3', 'open', 169), (4, 'week-2', 'done', 169)) v(n, of, state, h);
    INSERT INTO gateway.prompt (job, prompt_hash, ids, salt) SELECT pg_temp.b(n, 32), '', '', pg_temp.b(n, 16) FROM generate_series(1, 3) n;
    INSERT INTO gateway.api_key (id, hash, owner, delegate, sealed, name, revoked_at, used_at)
    SELECT id, pg_temp.b(n, 32), pg_temp.b(9, 32), pg_temp.b(9, 32), '', '', now() - make_interval(days => revoked), now() - make_interval(days => used)
      FROM (VALUES (1, 'revoked-1', 29, 0), (2, 'revoked-2', 31, 0), (3, 'used', 31, 0), (4, 'idle-1', NULL, 364), (5, 'idle-2', NULL, 367)) v(n, id, revoked, used);
    INSERT INTO gateway.outlay (day, owner, jobs, fees) SELECT current_date - n, pg_temp.b(1, 32), 1, 1 FROM (VALUES (7), (8)) v(n);
    INSERT INTO gateway.spent_signature (hash, at)
    SELECT pg_temp.b(n, 32), now() - make_interval(mins => m) FROM (VALUES (1, 9), (2, 11)) v(n, m);
    INSERT INTO gateway.credit_payment (signature, owner, lamports, slot, at)
    SELECT pg_temp.b(n, 64), pg_temp.b(1, 32), 1, 1, now() - make_interval(days => d) FROM (VALUES (1, 29), (2, 31)) v(n, d);
    INSERT INTO gateway.credit_use (job, owner, rent, expiry, at, returned_at)
    SELECT pg_temp.b(n, 32), pg_temp.b(1, 32), rent, 1, now() - make_interval(days => d), back
      FROM (VALUES (1, 29, 0, NULL), (2, 31, 5, now()), (4, 31, 0, NULL), (3, 31, 5, NULL)) v(n, d, rent, back);
";

/// What is left, a line a kind.
const LEFT: &str = "
    SELECT 'request', string_agg(id, ' ' ORDER BY id) FROM gateway.request UNION ALL
    SELECT 'answer', string_agg(id, ' ' ORDER BY id) FROM gateway.request WHERE answer IS NOT NULL AND idempotency_key IS NOT NULL UNION ALL
    SELECT 'attempt', string_agg(get_byte(job, 0)::text, ' ' ORDER BY job) FROM gateway.attempt UNION ALL
    SELECT 'attempt answer', string_agg(get_byte(job, 0)::text, ' ' ORDER BY job) FROM gateway.attempt WHERE answer IS NOT NULL UNION ALL
    SELECT 'prompt', string_agg(get_byte(job, 0)::text, ' ' ORDER BY job) FROM gateway.prompt UNION ALL
    SELECT 'key', string_agg(id, ' ' ORDER BY id) FROM gateway.api_key UNION ALL
    SELECT 'outlay', string_agg((current_date - day)::text, ' ') FROM gateway.outlay UNION ALL
    SELECT 'signature', string_agg(get_byte(hash, 0)::text, ' ' ORDER BY hash) FROM gateway.spent_signature UNION ALL
    SELECT 'payment', string_agg(get_byte(signature, 0)::text, ' ' ORDER BY signature) FROM gateway.credit_payment UNION ALL
    SELECT 'use', string_agg(get_byte(job, 0)::text, ' ' ORDER BY job) FROM gateway.credit_use";

#[tokio::test]
async fn each_kind_of_row_goes_when_its_time_is_over_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let config = ClusterConfig {
        data_dir: dir.path().join("pg"),
        port: None,
    };
    let cluster = Cluster::start(config).await.unwrap();
    let refused = migrate(cluster.readonly_url()).await.unwrap_err();
    assert!(refused.to_string().contains("lay out schema gateway"));
    migrate(cluster.url()).await.unwrap();
    let settings = PoolSettings {
        name: "retention".into(),
        size: 2,
        wait: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(10),
    };
    let pool = pool(cluster.url(), &settings).unwrap();
    pool.get().await.unwrap().batch_execute(ROWS).await.unwrap();
    let clock = &mut Steady::default();
    let now = clock.now(&pool).await.unwrap();
    assert_eq!(clock.at(now - 30 * DAY), now - 30 * DAY);
    let leapt = clock.at(now + 30 * DAY);
    assert!(leapt >= now && leapt < now + DAY, "it knows better");
    forget_old(&pool, leapt, HOURS).await.unwrap();
    credit::forget(&pool).await.unwrap();
    let owner = Pubkey::new_from_array([8; 32]);
    let key = keys::NewKey {
        id: "new",
        hash: [8; 32],
        owner,
        delegate: owner,
        sealed: &[],
        name: "",
    };
    assert!(keys::insert(&pool, &key).await.unwrap().is_some());
    let client = pool.get().await.unwrap();
    // The database's clock leaps an hour ahead of the gateway's: what may be valid yet is not forgotten. Then the gateway's does.
    let kept = "SELECT count(*) FROM gateway.spent_signature WHERE get_byte(hash, 0) < 3";
    let (hour, behind) = (Duration::from_secs(3_600), Duration::from_secs(2_400));
    for (signature, made, fresh) in [
        (b"earlier".as_slice(), now - hour, true),
        (b"later".as_slice(), now - behind, true),
        (b"later".as_slice(), now - behind, false),
    ] {
        let spent = keys::spend_signature(&pool, signature, made);
        assert_eq!(spent.await.unwrap(), fresh);
    }
    let both: i64 = client.query_one(kept, &[]).await.unwrap().get(0);
    assert_eq!(both, 2);
    for (signature, made) in [
        (b"another".as_slice(), now),
        (b"ahead".as_slice(), now + hour),
    ] {
        let spent = keys::spend_signature(&pool, signature, made);
        assert!(spent.await.unwrap());
    }
    // What waits until a time that the clock, having leapt back, will not reach soon does not wait for it.
    let leap = "UPDATE gateway.attempt SET next_look = now() + interval '1 day';
        UPDATE gateway.credit_use SET next_look = now() + interval '1 day'";
    client.batch_execute(leap).await.unwrap();
    due(&pool).await.unwrap();
    credit::out(&pool).await.unwrap();
    let waits = "SELECT (SELECT count(*) FROM gateway.attempt WHERE state = 'open' AND next_look > now() + interval '1 hour')
        + (SELECT count(*) FROM gateway.credit_use WHERE returned_at IS NULL AND rent > 0 AND next_look > now() + interval '1 hour')";
    let waits: i64 = client.query_one(waits, &[]).await.unwrap().get(0);
    assert_eq!(waits, 0);
    let left: Vec<(String, String)> = client
        .query(LEFT, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let signature = left[7].1.clone();
    let left: Vec<(&str, &str)> = left.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert!(
        signature.split(' ').any(|n| n == "1") && !signature.split(' ').any(|n| n == "2"),
        "{signature}"
    );
    assert_eq!(
        left,
        [
            ("request", "answer-1 answer-2 week-1 week-3 week-4"),
            ("answer", "answer-1"),
            ("attempt", "1 2 3"),
            ("attempt answer", "1"),
            ("prompt", "1 3"),
            ("key", "idle-1 new revoked-1 used"),
            ("outlay", "7"),
            ("signature", &signature),
            ("payment", "1 2"),
            ("use", "1 3"),
        ]
    );
}
