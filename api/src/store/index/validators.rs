//! Validators as the index shows them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FIRST_ROWS, Listing, decode, decode_all, first_rows, texts};
use crate::{error::ApiResult, store::Pool};

const COLUMNS: &str = "stake, activating, unbonding, open_jobs, open_disputes, claimable, owed_foundation, owed_burn,
    gpu_name, vram_mib, endpoint, models, status, jobs_settled, jobs_missed, jobs_declined, earned, slashed, registered_slot, registered_at, jailed_until, commitment, exact";

fn columns() -> String {
    format!("{}, {COLUMNS}", texts(&["id", "authority", "operator"]))
}

/// A validator as it is registered on chain. Amounts are lamports.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ValidatorRow {
    /// Address of its account, base58.
    id: String,
    /// Its owner, base58.
    pub authority: String,
    /// Signs for its node, base58.
    operator: String,
    /// Stake that counts.
    stake: i64,
    /// Stake that will count soon.
    activating: i64,
    /// Stake that leaves.
    unbonding: i64,
    open_jobs: i64,
    open_disputes: i64,
    /// Earned, and not taken out yet.
    claimable: i64,
    /// The foundation's part of its fees, until it is swept.
    owed_foundation: i64,
    /// The part of its fees to be burned, until it is swept.
    owed_burn: i64,
    /// As it says; empty without one.
    gpu_name: String,
    /// Memory of its GPU in MiB, as it says.
    vram_mib: i64,
    /// Origin of its node.
    endpoint: String,
    models: Vec<ServedModel>,
    /// `active` or `jailed`.
    status: Option<String>,
    jobs_settled: i64,
    /// Accepted, and not answered in time.
    jobs_missed: i64,
    jobs_declined: i64,
    /// Lamports since it was registered.
    earned: i64,
    /// Lamports since it was registered.
    slashed: i64,
    registered_slot: i64,
    registered_at: Option<String>,
    /// Slot until which it is jailed.
    jailed_until: Option<i64>,
    /// Commitment of its newest change.
    commitment: String,
    /// False where a gap in the index may hide changes.
    exact: bool,
}

/// A model that a validator serves.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServedModel {
    /// Address, base58.
    model: String,
    since_slot: i64,
}

/// Validators by registration. Parameters: key of the one to follow, N.
pub(super) fn list_sql(commitment: &str) -> String {
    let after = format!(
        "(SELECT registered_slot FROM analytics.validators_{commitment} WHERE id_key = $1)"
    );
    sql(
        commitment,
        &format!("($1::bytea IS NULL OR (registered_slot, id_key) > ({after}, $1))"),
        "$2",
    )
}

/// The validators that registered first.
pub(super) fn first_sql(commitment: &str) -> String {
    sql(commitment, "true", &FIRST_ROWS.to_string())
}

fn sql(commitment: &str, condition: &str, limit: &str) -> String {
    let rows = Listing {
        views: &["validators"],
        commitment,
        columns: &format!("{}, id_key", columns()),
        condition,
        order: "registered_slot, id_key",
        limit,
    };
    format!("SELECT to_jsonb(v) - 'id_key' FROM ({}) v", rows.sql())
}

/// At most `limit` validators by registration, after the account `after`.
pub async fn list(
    pool: &Pool,
    commitment: &'static str,
    after: Option<Vec<u8>>,
    limit: i64,
) -> ApiResult<Vec<ValidatorRow>> {
    if after.is_none() && limit <= FIRST_ROWS {
        return first_rows(pool, &first_sql(commitment), limit).await;
    }
    let client = pool.get().await?;
    let rows = client
        .query(&list_sql(commitment), &[&after, &limit])
        .await?;
    decode_all(rows)
}

/// A validator by the address of its account or its authority.
pub async fn show(pool: &Pool, key: &[u8]) -> ApiResult<Option<ValidatorRow>> {
    let client = pool.get().await?;
    let sql = format!(
        "SELECT to_jsonb(v) FROM (SELECT {} FROM analytics.validators_processed WHERE id_key = $1 OR authority_key = $1 LIMIT 1) v",
        columns()
    );
    let row = client.query_opt(&sql, &[&key]).await?;
    row.map(|row| decode(row.get(0))).transpose()
}
