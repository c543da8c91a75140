//! The SQL of sorted lists: the first N of each part of a view, then the first N of these. The parts (schema `listing`) are
//! the rooted rows that nothing unrooted covers, and the unrooted rows; each has an index in the order of its list, so
//! that a page reads about as many rows as it shows, however many there are.

/// Rows of the part of a list that is prepared: a page as long as it is unless told otherwise, and one that says whether more follow.
pub const FIRST_ROWS: i64 = 21;

/// A sorted list of a view.
pub struct Listing<'a> {
    /// Views that add up to the list, without commitment.
    pub views: &'a [&'a str],
    /// processed, confirmed or finalized.
    pub commitment: &'a str,
    /// Columns of a row; those of the order among them.
    pub columns: &'a str,
    /// What rows have to meet. For the row that a page follows say both `slot <= …` and the rest, as an index
    /// is entered by the first alone.
    pub condition: &'a str,
    pub order: &'a str,
    /// N, or the parameter that holds it.
    pub limit: &'a str,
}

impl Listing<'_> {
    /// The query.
    pub fn sql(&self) -> String {
        let Self {
            views,
            commitment,
            columns,
            condition,
            order,
            limit,
        } = self;
        let parts: &[&str] = match *commitment {
            "finalized" => &[""],
            _ => &["_rooted", "_unrooted"],
        };
        let firsts: Vec<String> = views
            .iter()
            .flat_map(|view| parts.iter().map(move |part| (view, part)))
            .map(|(view, part)| {
                format!(
                    "(SELECT {columns} FROM listing.{view}_{commitment}{part} WHERE {condition} ORDER BY {order} LIMIT {limit})"
                )
            })
            .collect();
        format!(
            "SELECT * FROM ({}) firsts ORDER BY {order} LIMIT {limit}",
            firsts.join(" UNION ALL ")
        )
    }
}

#[cfg(test)]
mod tests {
    use mythic_postgres::{Cluster, ClusterConfig};
    use serde_json::Value;
    use tokio_postgres::{Client, NoTls, types::ToSql};

    use crate::store::index::{cases, jobs, leases, market, stats::Statistic, validators};

    const JOBS: i64 = 50_000;
    const PAGE: i64 = 21;
    /// Rooted rows that an unrooted one covers, at the head of every list.
    const COVERED: i64 = 400;
    /// Epochs of the newest lease: as many as the longest has. Its ring is unrooted too.
    const EPOCHS: i64 = 43_200;

    /// 50,000 jobs, each settled, burned and fingerprinted, as many cases, validators, leases, requests, providers and closed accounts; the
    /// newest are unrooted too.
    async fn fill(client: &Client) {
        let overlay = |table: &str, columns: &str, slot: &str, count: i64| {
            format!(
                "INSERT INTO {table}_overlay (chain, bank, slot, ordinal, write_seq, exact, {columns})
                 SELECT c, {JOBS} + 1, {JOBS} + 1, 0, 2, true, {columns}
                   FROM (SELECT * FROM {table} ORDER BY {slot} DESC LIMIT {count}) t, (VALUES (1), (2)) v(c)"
            )
        };
        let job = "pubkey, requested_slot, owner, requester, canceller, nonce, model, validator, rent_payer, status, prompt_hash,
            prompt_tokens, max_output_tokens, price_in, price_out, seed, temperature_milli, sampling_profile, prompt_source,
            terms_hash, deadline_slot, window_slots, submitted_slot, ended_slot, open_disputes, ceiling_lamports, burned_lamports, lamports";
        let case = "pubkey, job, challenger, submitter, model, rent_payer, fingerprint, status, exact_profile, jury_seats, claims,
            false_claims, sampled, named, opened, output_tokens, requested_slot, submitted_slot, opened_slot, resolved_slot,
            stake_at_result_lamports, committed_stake_lamports, tariff_lamports, bonds_lamports, held_lamports, output_rent_lamports,
            slashed_lamports, reward_lamports, jurors_lamports, burned_lamports, paid, collected, lamports";
        let validator = "pubkey, authority, operator, rent_payer, status, stake, activating, unbonding, open_jobs, open_disputes,
            claimable, owed_foundation, owed_burn, gpu_name, vram_mib, endpoint, models, jobs_settled, jobs_missed,
            jobs_declined, earned, slashed, registered_slot, lamports";
        let lease = "pubkey, request, request_hash, tenant, provider, class, rent_payer, status, units, price_lamports, seconds, matrix_side,
            rounds, proof_slots, stake_per_unit_lamports, epoch_slots, epoch_seconds, rules, terms_hash, accepted_slot, start_end_slot,
            notice_proved, missed, disputes, open_disputes, deposited_lamports, compensated_lamports, escrow_lamports, pending_lamports,
            tenant_due_lamports, paid_lamports, foundation_lamports, burned_lamports, refunded_lamports, slashed_lamports, lamports";
        let epoch = "pubkey, epoch, hash, proof, seconds, amount_lamports, provider_share_lamports, foundation_share_lamports,
            burn_share_lamports, metered_slot, dispute_end_slot, open_disputes, state";
        let request = "pubkey, tenant, nonce, kind, spec_hash, spec_source, class, units, region, isolation, provider, price_lamports, seconds,
            epoch_slots, epoch_seconds, rules, rent_payer, status, terms_hash, requested_slot, deadline_slot, deposited_lamports,
            escrow_lamports, refunded_lamports, lamports";
        let provider = "pubkey, authority, operator, rent_payer, class, status, stake_per_unit_lamports, stake_lamports, activating_lamports,
            unbonding_lamports, claimable_lamports, owed_foundation_lamports, owed_burn_lamports, units, leased, backed, price_lamports,
            region, isolation, endpoint, open_leases, open_disputes, leases, proved, missed, refuted, unserved_lamports, staked_lamports,
            withdrawn_stake_lamports, earned_lamports, withdrawn_lamports, slashed_lamports, registered_slot, updated_slot, lamports";
        client
            .batch_execute(&format!(
                "SET search_path = projection_1, public;
                 CREATE FUNCTION pg_temp.key(n bigint) RETURNS bytea LANGUAGE sql AS $$ SELECT sha256(n::text::bytea) $$;
                 INSERT INTO job (bank, slot, ordinal, write_seq, exact, {job})
                 SELECT n, n, 0, 1, true, pg_temp.key(n), n / 10, pg_temp.key(n % 50), '', '', '', pg_temp.key(7), pg_temp.key(n % 5), '',
                        5 + (n % 3)::int, '', 1, 1, 1, 1, '', 0, 0, '', '', n, 100, n / 10 + 1, n / 10 + 2, 0, 1, 40, 1
                   FROM generate_series(1, {JOBS}) n;
                 INSERT INTO dispute_case (bank, slot, ordinal, write_seq, exact, {case})
                 SELECT n, n, 0, 1, true, pg_temp.key(n), pg_temp.key(n), pg_temp.key(n % 50), pg_temp.key(n % 5), pg_temp.key(7), '', '',
                        1 + (n % 4)::int, true, 3, 1, 1, 16, 0, 16, 9, n / 10, n / 10, n / 10, n / 10 + 1, 1, 1, 1, 1, 1, 1, 7, 0, 0, 40,
                        false, false, 1
                   FROM generate_series(1, {JOBS}) n;
                 INSERT INTO validator (bank, slot, ordinal, write_seq, exact, {validator})
                 SELECT n, n, 0, 1, true, pg_temp.key(n), '', '', '', 1, 0, 0, 0, 0, 0, 0, 0, 0, '', 0, '', '[]', 0, 0, 0, 0, 0, n / 10, 1
                   FROM generate_series(1, {JOBS}) n;
                 INSERT INTO closure (bank, slot, ordinal, write_seq, exact, pubkey)
                 SELECT n, n, 0, 0, true, pg_temp.key(n + 1000000) FROM generate_series(1, {JOBS}) n;
                 {}; {}; {};
                 INSERT INTO lease (bank, slot, ordinal, write_seq, exact, {lease})
                 SELECT n, n, 0, 1, true, pg_temp.key(n), pg_temp.key(n), '', pg_temp.key(n % 50), pg_temp.key(n % 5), pg_temp.key(7), '',
                        1 + (n % 5)::int, 1, 1, 1, 1, 1, 1, 1, 150, 60, '{{}}', '', n / 10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1
                   FROM generate_series(1, {JOBS}) n;
                 INSERT INTO request (bank, slot, ordinal, write_seq, exact, {request})
                 SELECT n, n, 0, 1, true, pg_temp.key(n), pg_temp.key(n % 50), '', 1, '', '', pg_temp.key(7), 1, '', 0, pg_temp.key(n % 5), 1, 1,
                        150, 60, '{{}}', '', 1 + (n % 4)::int, '', n / 10, n / 10 + 5, 0, 0, 0, 1
                   FROM generate_series(1, {JOBS}) n;
                 INSERT INTO provider (bank, slot, ordinal, write_seq, exact, {provider})
                 SELECT n, n, 0, 1, true, pg_temp.key(n), pg_temp.key(n + 1), '', '', pg_temp.key(7), 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, '', 0,
                        '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n / 10, 1, 1
                   FROM generate_series(1, {JOBS}) n;
                 {}; {}; {};
                 INSERT INTO lease_epoch (bank, slot, ordinal, write_seq, exact, {epoch})
                 SELECT n, n, 0, 1, true, pg_temp.key({JOBS}), n, '', '', 60, 1, 0, 0, 1, n, n + 100, 0, 1 FROM generate_series(1, {EPOCHS}) n;
                 {};
                 INSERT INTO address (key, base58)
                 SELECT k, analytics.base58(k) FROM (SELECT pubkey FROM job UNION SELECT owner FROM job UNION SELECT model FROM job
                    UNION SELECT validator FROM job) keys(k) WHERE k IS NOT NULL ON CONFLICT DO NOTHING;
                 ANALYZE",
                overlay("job", job, "requested_slot", COVERED),
                overlay("dispute_case", case, "opened_slot", COVERED),
                overlay("validator", validator, "registered_slot", COVERED),
                overlay("lease", lease, "accepted_slot", 2 * PAGE),
                overlay("request", request, "requested_slot", 2 * PAGE),
                overlay("provider", provider, "registered_slot", 2 * PAGE),
                overlay("lease_epoch", epoch, "epoch", 32),
            ))
            .await
            .unwrap();
    }

    /// A database with these rows, and a connection to it.
    async fn filled(dir: &std::path::Path) -> (Cluster, Client) {
        let config = ClusterConfig {
            data_dir: dir.join("pg"),
            port: None,
        };
        let cluster = Cluster::start(config).await.unwrap();
        mythic_indexer::migrate(cluster.url()).await.unwrap();
        let (client, connection) = tokio_postgres::connect(cluster.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        fill(&client).await;
        (cluster, client)
    }

    /// The rows that the nodes of a plan that read tables gave, and the most that a sort took in.
    fn rows(plan: &Value) -> (i64, i64) {
        let count = |node: &Value| {
            let times = node["Actual Loops"].as_f64().unwrap_or(0.0);
            let removed = node["Rows Removed by Filter"].as_f64().unwrap_or(0.0);
            ((node["Actual Rows"].as_f64().unwrap_or(0.0) + removed) * times) as i64
        };
        let (mut read, mut sorted) = (0, 0);
        let children = plan["Plans"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        if plan["Relation Name"].is_string() {
            read += count(plan);
        }
        if plan["Node Type"] == "Sort" {
            sorted = children.iter().map(count).sum();
        }
        for child in children {
            let (r, s) = rows(child);
            read += r;
            sorted = sorted.max(s);
        }
        (read, sorted)
    }

    async fn explain(
        client: &Client,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> (i64, i64, i64) {
        let found = client.query(sql, parameters).await.unwrap().len() as i64;
        let plan: Value = client
            .query_one(
                &format!("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}"),
                parameters,
            )
            .await
            .unwrap()
            .get(0);
        let (read, sorted) = rows(&plan[0]["Plan"]);
        (found, read, sorted)
    }

    /// A query and its parameters.
    type Asked<'a> = (&'a str, Vec<&'a (dyn ToSql + Sync)>);

    /// What lists of the market are asked for.
    struct Sought<'a> {
        /// From the beginning, and from a row on.
        slot: (Option<i64>, Option<i64>),
        /// Any, and a certain one.
        status: (Option<i16>, Option<i16>),
        none: Option<Vec<u8>>,
        middle: &'a Vec<u8>,
        tenant: &'a Vec<u8>,
        provider: &'a Vec<u8>,
        class: &'a Vec<u8>,
    }

    fn of_market<'a>(
        [leases, requests, providers]: [&'a str; 3],
        by: &'a Sought<'a>,
    ) -> Vec<Asked<'a>> {
        let ((start, slot), (all, ended), none) = (&by.slot, &by.status, &by.none);
        let mut queries: Vec<Asked<'a>> = vec![
            (leases, vec![start, none, ended, none, none, none, &PAGE]),
            (providers, vec![start, none, none, &PAGE]),
            (providers, vec![slot, by.middle, by.class, &PAGE]),
        ];
        for sql in [leases, requests] {
            let more: [Asked<'a>; 5] = [
                (sql, vec![start, none, all, none, none, none, &PAGE]),
                (sql, vec![slot, by.middle, all, none, none, none, &PAGE]),
                (sql, vec![start, none, all, by.tenant, none, none, &PAGE]),
                (sql, vec![start, none, all, none, by.provider, none, &PAGE]),
                (sql, vec![start, none, all, none, none, by.class, &PAGE]),
            ];
            queries.extend(more);
        }
        queries
    }

    #[tokio::test]
    async fn a_page_of_any_list_reads_a_bounded_number_of_rows_at_every_commitment() {
        let dir = tempfile::tempdir().unwrap();
        let (cluster, client) = filled(dir.path()).await;
        let key = |n: i64| {
            let client = &client;
            async move {
                let row = client
                    .query_one("SELECT sha256($1::bigint::text::bytea)", &[&n])
                    .await;
                row.unwrap().get::<_, Vec<u8>>(0)
            }
        };
        let (owner, middle, after) = (key(3).await, key(25_000).await, 2_500i64);
        let (submitter, class) = (key(2).await, key(7).await);
        let none: Option<Vec<u8>> = None;
        // What the rows of a page look up beside them: times, commitment, closures, texts of keys.
        let bound = COVERED * 3 + PAGE * 60;
        let mut checked = 0;
        for commitment in ["processed", "confirmed", "finalized"] {
            let jobs = jobs::list_sql(commitment);
            let (status, judged, all): (Option<i16>, Option<i16>, Option<i16>) =
                (Some(6), Some(2), None);
            let stats = [
                Statistic::Burns,
                Statistic::Settlements,
                Statistic::Slashes,
                Statistic::Fingerprints,
            ]
            .map(|statistic| statistic.sql(commitment));
            let validators = validators::list_sql(commitment);
            let cases = cases::list_sql(commitment);
            let leases = leases::list_sql(commitment);
            let requests = market::requests_sql(commitment);
            let providers = market::providers_sql(commitment);
            let sought = Sought {
                slot: (None, Some(after)),
                status: (None, Some(5)),
                none: None,
                middle: &middle,
                tenant: &owner,
                provider: &submitter,
                class: &class,
            };
            let (start, slot): (Option<i64>, Option<i64>) = (None, Some(after));
            let mut queries: Vec<Asked> = vec![
                (&jobs, vec![&start, &none, &all, &none, &none, &none, &PAGE]),
                (
                    &jobs,
                    vec![&slot, &middle, &all, &none, &none, &none, &PAGE],
                ),
                (
                    &jobs,
                    vec![&start, &none, &all, &none, &owner, &none, &PAGE],
                ),
                (
                    &jobs,
                    vec![&start, &none, &status, &none, &none, &none, &PAGE],
                ),
                (&validators, vec![&none, &PAGE]),
                (&validators, vec![&middle, &PAGE]),
                (
                    &cases,
                    vec![&start, &none, &all, &none, &none, &none, &PAGE],
                ),
                (
                    &cases,
                    vec![&slot, &middle, &all, &none, &none, &none, &PAGE],
                ),
                (
                    &cases,
                    vec![&start, &none, &judged, &none, &none, &none, &PAGE],
                ),
                (
                    &cases,
                    vec![&start, &none, &all, &none, &none, &owner, &PAGE],
                ),
                (
                    &cases,
                    vec![&start, &none, &all, &none, &submitter, &none, &PAGE],
                ),
            ];
            queries.extend(of_market([&leases, &requests, &providers], &sought));
            for sql in &stats {
                queries.push((sql, vec![&start, &none, &PAGE]));
                queries.push((sql, vec![&slot, &middle, &PAGE]));
            }
            for (sql, parameters) in queries {
                let (found, read, sorted) = explain(&client, sql, &parameters).await;
                assert_eq!(found, PAGE, "{sql}");
                assert!(
                    read <= bound && sorted <= bound,
                    "{commitment}: {read} rows read and {sorted} sorted for a page of {PAGE}: {sql}"
                );
                checked += 1;
            }
        }
        assert_eq!(checked, 3 * 32);
        a_lease_is_shown_without_all_its_epochs(&client).await;
        first_pages_are_the_same_planned_once(&client).await;
        is_the_page_of_all(&client, after, &middle).await;
        cluster.stop().await.unwrap();
    }

    /// A lease and a page of its epochs cost the same however many it has: what an epoch became, the next one at its place in the ring says.
    async fn a_lease_is_shown_without_all_its_epochs(client: &Client) {
        let key: Vec<u8> = client
            .query_one(&format!("SELECT sha256('{JOBS}'::text::bytea)"), &[])
            .await
            .unwrap()
            .get(0);
        let (newest, middle) = (None::<i64>, Some(EPOCHS / 2));
        let bound = PAGE * 160;
        for commitment in ["processed", "confirmed", "finalized"] {
            let show = leases::show_sql(commitment);
            let epochs = leases::epochs_sql(commitment);
            let queries: [(Asked, i64); 3] = [
                ((&show, vec![&key]), 1),
                ((&epochs, vec![&key, &newest, &PAGE]), PAGE),
                ((&epochs, vec![&key, &middle, &PAGE]), PAGE),
            ];
            for ((sql, parameters), rows) in queries {
                let (found, read, sorted) = explain(client, sql, &parameters).await;
                assert_eq!(found, rows, "{sql}");
                assert!(
                    read <= bound && sorted <= bound,
                    "{commitment}: {read} rows read and {sorted} sorted: {sql}"
                );
            }
        }
    }

    /// The texts without parameters give what those with parameters do, from a bounded number of rows; a key without a text is shown.
    async fn first_pages_are_the_same_planned_once(client: &Client) {
        client
            .batch_execute("DELETE FROM projection_1.address WHERE key IN (SELECT owner FROM projection_1.job)")
            .await
            .unwrap();
        let none: Option<Vec<u8>> = None;
        let (start, all) = (None::<i64>, None::<i16>);
        let listed: [&(dyn ToSql + Sync); 7] = [&start, &none, &all, &none, &none, &none, &PAGE];
        for commitment in ["processed", "confirmed", "finalized"] {
            let queries: [(String, String, &[&(dyn ToSql + Sync)]); 3] = [
                (
                    jobs::first_sql(commitment),
                    jobs::list_sql(commitment),
                    &listed,
                ),
                (
                    cases::first_sql(commitment),
                    cases::list_sql(commitment),
                    &listed,
                ),
                (
                    validators::first_sql(commitment),
                    validators::list_sql(commitment),
                    &[&none, &PAGE],
                ),
            ];
            for (first, list, parameters) in queries {
                let statement = client.prepare(&first).await.unwrap();
                let (mut rows, mut fastest) = (Vec::new(), f64::MAX);
                for _ in 0..5 {
                    let started = std::time::Instant::now();
                    rows = client.query(&statement, &[]).await.unwrap();
                    fastest = fastest.min(started.elapsed().as_secs_f64() * 1_000.0);
                }
                eprintln!("a first page in {fastest:.1} ms: {}", &first[..60]);
                let values = |rows: Vec<tokio_postgres::Row>| -> Vec<Value> {
                    rows.iter().map(|row| row.get(0)).collect()
                };
                let rows = values(rows);
                assert!(
                    rows.iter().all(|row| row["id"].is_string()
                        && row["owner"].is_null() != row.get("owner").is_some()),
                    "{rows:?}"
                );
                let same = client.query(&list, parameters).await.unwrap();
                assert_eq!(rows, values(same), "{commitment}");
                let (found, read, _) = explain(client, &first, &[]).await;
                assert_eq!(found, PAGE);
                assert!(read <= COVERED * 3 + PAGE * 60, "{read} rows read: {first}");
            }
        }
    }

    /// A page of jobs is the same as that of all rows sorted.
    async fn is_the_page_of_all(client: &Client, after: i64, middle: &Vec<u8>) {
        let none: Option<Vec<u8>> = None;
        let sql = jobs::list_sql("processed");
        let parameters: &[&(dyn ToSql + Sync)] = &[
            &Some(after),
            middle,
            &None::<i16>,
            &none,
            &none,
            &none,
            &PAGE,
        ];
        let page: Vec<Value> = client
            .query(&sql, parameters)
            .await
            .unwrap()
            .iter()
            .map(|row| row.get::<_, Value>(0)["id"].clone())
            .collect();
        let all: Vec<Value> = client
            .query(
                "SELECT to_jsonb(id) FROM analytics.jobs_processed WHERE (requested_slot < $1 OR (requested_slot = $1 AND id_key > $2))
                 ORDER BY requested_slot DESC, id_key LIMIT $3",
                &[&after, middle, &PAGE],
            )
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        assert_eq!(page, all);
    }
}
