//! Every column that an analyst can read says what it is, with its unit.

use crate::tests::postgres::Database;

/// Columns of views that analysts read, with their comments, where a condition holds.
async fn columns(db: &Database, condition: &str) -> Vec<String> {
    db.texts(&format!(
        "SELECT c.relnamespace::regnamespace || '.' || c.relname || '.' || a.attname
           FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
          CROSS JOIN LATERAL (SELECT col_description(c.oid, a.attnum)) d(said)
          WHERE c.relnamespace::regnamespace::text IN ('analytics', 'dune', 'listing') AND c.relkind = 'v' AND ({condition})"
    ))
    .await
}

#[tokio::test]
async fn every_column_of_every_view_says_what_it_is() {
    let db = Database::new("comments").await;
    let none = Vec::<String>::new();
    assert!(columns(&db, "true").await.len() > 1_000);
    assert_eq!(columns(&db, "d.said IS NULL").await, none);
    let unitless = "(a.attname ~ 'lamports$' AND d.said !~ 'amports')
        OR (a.attname ~ '_(at|time|date)$' AND d.said !~ 'UTC')
        OR (a.attname ~ '_slot$' AND d.said !~* 'slot')
        OR (a.attname ~ '_bps$' AND d.said !~ 'basis points') OR (a.attname ~ '_ppm$' AND d.said !~ 'per million')
        OR (a.attname ~ '_milli$' AND d.said !~ 'thousandths') OR (a.attname ~ '_mib$' AND d.said !~ 'MiB')
        OR (a.attname ~ '_key$' AND d.said !~ 'bytes')
        OR (a.attname ~ 'tokens$' AND a.atttypid = 'bigint'::regtype AND d.said !~* 'tokens')";
    assert_eq!(columns(&db, unitless).await, none);
    // A number of lamports is called so, here or in a column beside it.
    let ambiguous = "d.said ~ '^(Most l|L)amports' AND a.attname !~ 'lamports$' AND NOT EXISTS (
        SELECT FROM pg_attribute b WHERE b.attrelid = c.oid AND b.attname = a.attname || '_lamports')";
    assert_eq!(columns(&db, ambiguous).await, none);
    let silent = db
        .texts(
            "SELECT relname FROM pg_class WHERE relnamespace::regnamespace::text IN ('analytics', 'dune', 'listing') AND relkind = 'v'
                AND obj_description(oid) IS NULL",
        )
        .await;
    assert_eq!(silent, none);
    // A job's validator is an authority, a history's is an account: a join of the two would silently find nothing.
    let unclear =
        "a.attname = 'validator' AND d.said !~ CASE WHEN c.relname ~ '^validator_(stake|balances)'
        THEN 'id of validators' ELSE 'authority of validators' END";
    assert_eq!(columns(&db, unclear).await, none);
}
