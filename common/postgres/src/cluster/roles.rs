//! The read-only role: what it may do, and who sees to it that it stays so.
//!
//! A role can change its own password and its own defaults, and settings such as `statement_timeout` are the session's to
//! change. So nothing rests on them: rights are taken away where there is something to write, lock or signal, and a guard ends
//! transactions that take too long and undoes what the role changed of itself. Nobody can be forbidden to `NOTIFY`, and what is
//! notified waits for the slowest listener, in a queue that makes every other commit with a notification fail once it is full:
//! the guard ends the role's sessions long before.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use mythic_support::Backoff;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::{
    config::DATABASE,
    error::{ClusterError, at},
    secret::random_hex,
};
use crate::{Manner, PostgresError, connect};

/// How often the guard looks.
const LOOK: Duration = Duration::from_secs(15);
/// Longest transaction of an analyst, seconds.
const LONGEST: f64 = 300.0;
/// Part of the queue of notifications that may wait.
const QUEUE: f64 = 0.02;
/// Functions of the server that write, lock, signal or use up something, and that everybody may call by default.
const EFFECTS: &str = "^(lo_.*|loread|lowrite|pg_(try_)?advisory_.*|pg_notify|pg_cancel_backend|pg_terminate_backend\
                       |pg_logical_emit_message|pg_export_snapshot|pg_current_xact_id|txid_current)$";

/// Makes both roles, or brings them back to what they are meant to be. Runs in any database of the cluster.
pub(super) async fn make(admin: &Client, password: &str) -> Result<(), tokio_postgres::Error> {
    if admin
        .query_opt("SELECT FROM pg_database WHERE datname = $1", &[&DATABASE])
        .await?
        .is_none()
    {
        admin
            .batch_execute(&format!("CREATE DATABASE {DATABASE}"))
            .await?;
    }
    // The password is hex of our own making: nothing to quote.
    admin
        .batch_execute(&format!(
            "DO $$ BEGIN
                 IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mythic_reader') THEN CREATE ROLE mythic_reader NOLOGIN; END IF;
                 IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'analyst') THEN CREATE ROLE analyst LOGIN; END IF;
             END $$;
             GRANT mythic_reader TO analyst;
             ALTER ROLE analyst LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
                 PASSWORD '{password}' CONNECTION LIMIT 20;
             ALTER ROLE analyst RESET ALL;
             ALTER ROLE analyst IN DATABASE {DATABASE} RESET ALL;
             ALTER ROLE analyst SET default_transaction_read_only = on;
             ALTER ROLE analyst SET statement_timeout = '60s';
             ALTER ROLE analyst SET idle_in_transaction_session_timeout = '60s';
             ALTER ROLE analyst SET temp_file_limit = '1GB';
             ALTER ROLE analyst SET log_min_messages = 'fatal';
             ALTER ROLE analyst SET log_min_error_statement = 'panic';
             ALTER ROLE analyst SET search_path = analytics, public;"
        ))
        .await
}

/// Takes from everybody what only the owner needs. Runs in the database itself.
pub(super) async fn restrict(inside: &Client) -> Result<(), tokio_postgres::Error> {
    inside
        .batch_execute(&format!(
            "REVOKE ALL ON DATABASE {DATABASE}, postgres, template1 FROM PUBLIC;
             GRANT CONNECT ON DATABASE {DATABASE} TO mythic_reader;
             REVOKE CREATE ON SCHEMA public FROM PUBLIC;
             REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;
             DO $$ DECLARE f regprocedure; BEGIN
                 FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
                            AND proname ~ '{EFFECTS}' AND has_function_privilege('public', oid, 'EXECUTE') LOOP
                     EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
                 END LOOP;
             END $$;"
        ))
        .await
}

/// Looks after the role until `stop`.
pub(super) async fn guard(url: String, password: String, stop: CancellationToken) {
    let mut backoff = Backoff::new(Duration::from_millis(500), LOOK);
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            outcome = look(&url, &password) => if let Err(error) = outcome {
                tracing::debug!("the read-only role is not looked after: {error}");
            }
        }
        if !backoff.wait(&stop).await {
            return;
        }
    }
}

async fn look(url: &str, password: &str) -> Result<(), PostgresError> {
    let manner = Manner::named("mythic guard");
    let (client, _guard) = connect(url, &manner).await?;
    let meant = state(&client).await?;
    loop {
        tokio::time::sleep(LOOK).await;
        end_long(&client, LONGEST).await?;
        end_noisy(&client, QUEUE).await?;
        if state(&client).await? != meant {
            tracing::warn!("the read-only role was changed: it is brought back");
            make(&client, password).await?;
            return Ok(());
        }
    }
}

/// The role's password and settings, as the server keeps them.
async fn state(client: &Client) -> Result<Option<String>, PostgresError> {
    let row = client
        .query_opt(
            "SELECT concat(a.rolpassword, (SELECT string_agg(s::text, ',' ORDER BY s.setdatabase)
                                             FROM pg_db_role_setting s WHERE s.setrole = a.oid))
               FROM pg_authid a WHERE a.rolname = 'analyst'",
            &[],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// Ends sessions of the role whose transaction is older than `longest` seconds: they would hold back vacuum and rebuilds.
async fn end_long(client: &Client, longest: f64) -> Result<u64, PostgresError> {
    let ended = client
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE usename = 'analyst' AND xact_start < now() - make_interval(secs => $1)",
            &[&longest],
        )
        .await?;
    if ended > 0 {
        tracing::warn!(
            "ended {ended} sessions of the read-only role: their transactions took too long"
        );
    }
    Ok(ended)
}

/// Ends all sessions of the role if more than this part of the queue of notifications waits: one sends, another one does not read.
async fn end_noisy(client: &Client, most: f64) -> Result<u64, PostgresError> {
    let ended = client
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'analyst' AND (SELECT pg_notification_queue_usage()) > $1",
            &[&most],
        )
        .await?;
    if ended > 0 {
        tracing::warn!(
            "ended {ended} sessions of the read-only role: notifications fill the server's queue"
        );
    }
    Ok(ended)
}

/// The read-only role's password: made once, in a file that only its owner can read.
pub(super) fn password(home: &Path) -> Result<String, ClusterError> {
    let path = home.join("analyst.password");
    if let Ok(text) = fs::read_to_string(&path) {
        let text = text.trim();
        if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(text.into());
        }
    }
    let password = random_hex(16);
    let mut file = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(at(&path))?;
    file.write_all(password.as_bytes()).map_err(at(&path))?;
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cluster, ClusterConfig};

    /// What somebody with the read-only URL might try, whatever its session settings.
    const HARM: &[&str] = &[
        "CREATE TABLE public.x (a int)",
        "CREATE TEMP TABLE x (a int)",
        "CREATE SCHEMA x",
        "CREATE TABLE analytics.x (a int)",
        "SELECT 1 AS a INTO x",
        "SELECT lo_create(0)",
        "SELECT lo_creat(-1)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT lo_put(1, 0, 'x')",
        "SELECT lo_unlink(1)",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/x')",
        "SELECT lo_open(1, 131072)",
        "INSERT INTO analytics.t VALUES (1)",
        "UPDATE analytics.t SET a = 2",
        "DELETE FROM analytics.t",
        "TRUNCATE analytics.t",
        "DROP TABLE analytics.t",
        "SELECT * FROM analytics.t FOR UPDATE",
        "SELECT * FROM analytics.t FOR SHARE",
        "LOCK TABLE analytics.t IN EXCLUSIVE MODE",
        "SELECT nextval('analytics.s')",
        "SELECT setval('analytics.s', 9)",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_lock(1)",
        "SELECT pg_advisory_xact_lock_shared(1, 2)",
        "SELECT pg_notify('mythic_feed', '1')",
        "SELECT pg_terminate_backend(pg_backend_pid())",
        "SELECT pg_cancel_backend(pg_backend_pid())",
        "SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000))",
        "SELECT pg_export_snapshot()",
        "SELECT txid_current()",
        "SELECT pg_reload_conf()",
        "SELECT pg_rotate_logfile()",
        "SELECT pg_switch_wal()",
        "SELECT pg_create_restore_point('x')",
        "SELECT pg_create_physical_replication_slot('x')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "COPY (SELECT 1) TO '/tmp/x'",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY analytics.t FROM PROGRAM 'true'",
        "DO $$ BEGIN LOOP END LOOP; END $$",
        "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE x",
        "ALTER SYSTEM SET work_mem = '1GB'",
        "ALTER DATABASE mythic SET work_mem = '1GB'",
        "SET temp_file_limit = -1",
        "SET log_min_messages = 'debug5'",
        "ALTER ROLE analyst SET log_min_messages = 'debug5'",
        "SET log_statement = 'all'",
        "SET max_locks_per_transaction = 1",
        "SELECT pg_stat_reset()",
        "SELECT pg_log_backend_memory_contexts(1)",
        "SELECT * FROM pg_hba_file_rules",
        "SELECT * FROM pg_file_settings",
        "SELECT pg_current_logfile()",
        "SELECT pg_ls_logdir()",
        "SELECT * FROM pg_stats_ext_exprs, pg_statistic",
        "SET session_authorization = mythic",
        "SET ROLE mythic",
        "CHECKPOINT",
        "CREATE EXTENSION dblink",
        "SELECT rolpassword FROM pg_authid",
        "SELECT * FROM hidden.t",
    ];

    #[tokio::test]
    async fn the_read_only_role_can_do_no_harm_whatever_it_sets() {
        let dir = tempfile::tempdir().unwrap();
        let config = ClusterConfig {
            data_dir: dir.path().join("pg"),
            port: Some(0),
        };
        let cluster = Cluster::start(config.clone()).await.unwrap();
        let owner = Manner::named("test");
        let (admin, _guard) = connect(cluster.url(), &owner).await.unwrap();
        admin
            .batch_execute(
                "CREATE SCHEMA analytics; CREATE SCHEMA hidden; CREATE TABLE hidden.t (a int);
                 CREATE TABLE analytics.t (a int); CREATE SEQUENCE analytics.s;
                 GRANT USAGE ON SCHEMA analytics TO mythic_reader; GRANT SELECT ON analytics.t TO mythic_reader",
            )
            .await
            .unwrap();
        let (analyst, _guard) = connect(cluster.readonly_url(), &owner).await.unwrap();
        analyst
            .batch_execute("SET default_transaction_read_only = off; SET statement_timeout = '20s'")
            .await
            .unwrap();
        analyst
            .query("SELECT * FROM analytics.t", &[])
            .await
            .unwrap();
        for sql in HARM {
            let done = analyst.batch_execute(sql).await;
            let code = done.as_ref().err().and_then(|e| e.code().cloned());
            assert!(
                code.as_ref().is_some_and(|c| c.code() != "57014"),
                "{sql}: {done:?}"
            );
        }
        let other = cluster.readonly_url().replace("/mythic", "/postgres");
        assert!(connect(&other, &owner).await.is_err());
        let url = cluster.readonly_url().to_owned();
        assert!(url.starts_with("postgresql://"), "{url}");
        let limit: i32 = admin
            .query_one(
                "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'analyst'",
                &[],
            )
            .await
            .unwrap()
            .get(0);
        assert_eq!(limit, 20);
        let setting = async |name: &str| -> String {
            let (fresh, _guard) = connect(
                &url,
                &Manner::named("test").statement_timeout(Duration::ZERO),
            )
            .await
            .unwrap();
            let row = fresh.query_one(&format!("SHOW {name}"), &[]).await.unwrap();
            row.get(0)
        };
        assert_eq!(setting("temp_file_limit").await, "1GB");
        // A server process can't take all memory either.
        let pid: i32 = analyst
            .query_one("SELECT pg_backend_pid()", &[])
            .await
            .unwrap()
            .get(0);
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let space = limits
            .lines()
            .find(|line| line.starts_with("Max address space"))
            .unwrap();
        assert!(!space.contains("unlimited"), "{space}");

        // An open transaction is ended, and what the role changes of itself is brought back.
        analyst.batch_execute("BEGIN; SELECT 1").await.unwrap();
        assert_eq!(end_long(&admin, LONGEST).await.unwrap(), 0);
        assert_eq!(end_long(&admin, -1.0).await.unwrap(), 1);
        let meant = state(&admin).await.unwrap();
        let (again, _guard) = connect(&url, &owner).await.unwrap();
        for sql in [
            "SET default_transaction_read_only = off",
            "ALTER ROLE analyst SET statement_timeout = 0",
            "ALTER ROLE analyst PASSWORD 'mine'",
        ] {
            again.batch_execute(sql).await.unwrap();
        }
        assert_ne!(state(&admin).await.unwrap(), meant);
        make(&admin, &password(&config.data_dir).unwrap())
            .await
            .unwrap();
        assert!(connect(&url, &owner).await.is_ok());
        cluster.stop().await.unwrap();
    }

    /// A server with the read-only role, and tables that it may read.
    async fn readable(dir: &Path, tables: usize) -> (Cluster, Client, crate::ConnectionGuard) {
        let data_dir = dir.join("pg");
        let port = Some(0);
        let cluster = Cluster::start(ClusterConfig { data_dir, port })
            .await
            .unwrap();
        let (admin, guard) = connect(cluster.url(), &Manner::named("test"))
            .await
            .unwrap();
        admin
            .batch_execute(&format!(
                "CREATE SCHEMA analytics; GRANT USAGE ON SCHEMA analytics TO mythic_reader;
                 DO $$ BEGIN FOR n IN 1..{tables} LOOP
                     EXECUTE format('CREATE TABLE analytics.t%s (a int PRIMARY KEY, b int, c int)', n);
                     EXECUTE format('CREATE INDEX ON analytics.t%s (b)', n);
                     EXECUTE format('CREATE INDEX ON analytics.t%s (c)', n);
                 END LOOP; END $$;
                 GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO mythic_reader"
            ))
            .await
            .unwrap();
        (cluster, admin, guard)
    }

    #[tokio::test]
    async fn sessions_that_fill_the_queue_of_notifications_are_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (cluster, admin, _guard) = readable(dir.path(), 1).await;
        let manner = Manner::named("test");
        let (deaf, _deaf) = connect(cluster.readonly_url(), &manner).await.unwrap();
        let (loud, _loud) = connect(cluster.readonly_url(), &manner).await.unwrap();
        // One listens and stays in a transaction, so that nothing that comes is ever read.
        deaf.batch_execute("LISTEN mythic_feed").await.unwrap();
        deaf.batch_execute("BEGIN; SELECT 1").await.unwrap();
        let most = 0.0001;
        assert_eq!(end_noisy(&admin, most).await.unwrap(), 0);
        for round in 0..2 {
            let many: Vec<String> = (0..100)
                .map(|n| format!("NOTIFY mythic_feed, '{round}-{n}-{}'", "x".repeat(7_900)))
                .collect();
            loud.batch_execute(&many.join(";")).await.unwrap();
        }
        let usage = async || -> f64 {
            let sql = "SELECT pg_notification_queue_usage()";
            admin.query_one(sql, &[]).await.unwrap().get(0)
        };
        assert!(usage().await > most, "{}", usage().await);
        assert_eq!(end_noisy(&admin, most).await.unwrap(), 2);
        assert!(deaf.query("SELECT 1", &[]).await.is_err());
        let ended = std::time::Instant::now();
        loop {
            admin
                .batch_execute("NOTIFY mythic_feed, '1'")
                .await
                .unwrap();
            if usage().await < most {
                break;
            }
            assert!(
                ended.elapsed() < Duration::from_secs(30),
                "the queue stays full"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cluster.stop().await.unwrap();
    }

    #[tokio::test]
    async fn all_sessions_together_leave_room_in_the_table_of_locks_and_fill_no_log() {
        let dir = tempfile::tempdir().unwrap();
        let (cluster, admin, _guard) = readable(dir.path(), 400).await;
        let every: String = (1..=400)
            .map(|n| format!("SELECT FROM analytics.t{n} WHERE a = 1;"))
            .collect();
        let mut sessions = Vec::new();
        for _ in 0..20 {
            let manner = Manner::named("test");
            let (session, guard) = connect(cluster.readonly_url(), &manner).await.unwrap();
            session
                .batch_execute(&format!("BEGIN; {every}"))
                .await
                .unwrap();
            sessions.push((session, guard));
        }
        // The owner still writes, into hundreds of tables in one transaction.
        let write: String = (1..=400)
            .map(|n| format!("INSERT INTO analytics.t{n} VALUES (1);"))
            .collect();
        admin.batch_execute(&write).await.unwrap();
        let log = dir.path().join("pg").join("postgres.log");
        let before = fs::metadata(&log).unwrap().len();
        let (session, _) = &sessions[0];
        session.batch_execute("ROLLBACK").await.unwrap();
        let long = "x".repeat(1 << 20);
        session
            .batch_execute("SET debug_print_plan = on; SET debug_print_parse = on")
            .await
            .unwrap();
        for _ in 0..20 {
            let wrong = format!("SELECT '{long}' FROM analytics.missing");
            session.batch_execute(&wrong).await.unwrap_err();
            session
                .batch_execute("SELECT * FROM analytics.t1")
                .await
                .unwrap();
        }
        let grown = fs::metadata(&log).unwrap().len() - before;
        assert!(grown < 100_000, "the log has {grown} bytes more");
        cluster.stop().await.unwrap();
    }
}
