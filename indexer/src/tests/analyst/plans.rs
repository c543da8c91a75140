//! What a query reads, from its plan after it has run.

use serde_json::Value;
use tokio_postgres::Client;

/// The plan of a query and how it went.
pub async fn explained(client: &Client, sql: &str) -> Value {
    let sql = sql.trim().trim_end_matches(';');
    let row = client
        .query_one(
            &format!("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}"),
            &[],
        )
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let plan: Value = row.get(0);
    plan[0].clone()
}

/// Rows that a query read from a table and its companions (overlay, hot), whether it kept them or not.
pub async fn rows_read(client: &Client, sql: &str, table: &str) -> u64 {
    rows_in(&explained(client, sql).await["Plan"], table)
}

/// The same of a plan that went.
pub fn rows_in(node: &Value, table: &str) -> u64 {
    let relation = node["Relation Name"].as_str().unwrap_or_default();
    let mut read = 0;
    if relation == table || relation.strip_prefix(table) == Some("_overlay") {
        let number = |name: &str| node[name].as_f64().unwrap_or(0.0);
        let each = number("Actual Rows")
            + number("Rows Removed by Filter")
            + number("Rows Removed by Index Recheck");
        read += (each * number("Actual Loops")) as u64;
    }
    let below = node["Plans"].as_array().into_iter().flatten();
    read + below.map(|plan| rows_in(plan, table)).sum::<u64>()
}
