//! Leases of the Compute Market as the index shows them, with their epochs and disputes.

use serde::{Deserialize, Serialize};
use solana_pubkey::Pubkey;
use utoipa::ToSchema;

use super::{FIRST_ROWS, Listing, cases::NextPhase, decode, decode_all, first_rows, texts};
use crate::{
    error::{ApiError, ApiResult},
    store::Pool,
};

/// Columns of a lease, without those of [`KEYS`].
const COLUMNS: &str = "class_name, kind, model, status, reason, units, price_lamports, seconds, epoch_slots, epoch_seconds, proof_slots,
    matrix_side, rounds, stake_per_unit_lamports, rules, terms_hash, access_hash, accepted_slot, start_end_slot, started_slot, ack_end_slot,
    acknowledged_slot, notice_epoch, ended_slot, refuted_slot, closed_slot, accepted_at, started_at, acknowledged_at, metered_at, ends_at,
    ended_at, epochs_proved, epochs_missed, last_proved_epoch, disputes, open_disputes, deposited_lamports, compensated_lamports,
    escrow_lamports, pending_lamports, paid_lamports, foundation_lamports, burned_lamports, refunded_lamports, tenant_due_lamports,
    slashed_lamports, held_lamports, astray_lamports, updated_at, commitment, exact";

/// Keys of a lease.
const KEYS: [&str; 5] = ["id", "request", "tenant", "provider", "class"];

fn columns() -> String {
    format!("{}, {COLUMNS}", texts(&KEYS))
}

/// Epochs that a lease is shown with: as many as its account remembers.
const EPOCHS: i64 = 32;
/// Events that a lease is shown with, the newest.
const EVENTS: i64 = 100;

fn object() -> String {
    "lease".into()
}

/// A lease of capacity, from its acceptance to its last lamport. What is deposited and compensated is in escrow, pending, paid, the
/// foundation's, burned or refunded; amounts are lamports.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Lease)]
pub struct LeaseRow {
    /// `lease`.
    #[serde(default = "object")]
    object: String,
    /// Address of its account, base58.
    id: String,
    /// Address of its request, base58.
    request: String,
    /// Who uses it and gets refunds, base58.
    tenant: String,
    /// Authority of its provider, base58.
    provider: String,
    /// Address of its class, base58.
    class: String,
    class_name: Option<String>,
    /// `endpoint` or `container`; null if the index does not know its request.
    kind: Option<String>,
    /// Of an endpoint the id of its model if this gateway serves it, else its address.
    pub model: Option<String>,
    /// Address of the model, base58.
    #[serde(default)]
    pub model_address: Option<String>,
    /// `accepted`, `started`, `active`, `closing` or `ended`.
    pub status: String,
    /// Why it ended: `completed`, `closed_by_tenant`, `closed_by_provider`, `never_started`, `never_acknowledged`, `missed_proofs` or
    /// `proof_refuted`; null while it runs.
    reason: Option<String>,
    /// What comes next if nobody does anything; null once it ended.
    #[serde(default)]
    pub next: Option<NextPhase>,
    /// Newest slot of the index.
    #[serde(default)]
    pub slot: Option<i64>,
    /// Epoch of `slot`.
    #[serde(default)]
    pub epoch: Option<i64>,
    /// Commitment of its newest change.
    commitment: String,
    units: i64,
    /// Lamports a second for each unit.
    price_lamports: i64,
    /// Seconds that were paid for at the request.
    seconds: i64,
    pub epoch_slots: i64,
    epoch_seconds: i64,
    /// Slots from the beginning of an epoch in which its proof is taken.
    pub proof_slots: i64,
    /// Side of the matrices that each unit multiplies.
    matrix_side: i64,
    /// Products that each unit computes in each epoch.
    rounds: i64,
    stake_per_unit_lamports: i64,
    pub rules: LeaseRules,
    /// 64 hex digits.
    terms_hash: String,
    /// Hash of what the tenant needs to reach it, 64 hex digits; null before the start.
    access_hash: Option<String>,
    accepted_slot: i64,
    /// Slot from which it has not been started in time.
    pub start_end_slot: i64,
    started_slot: Option<i64>,
    /// Slot from which its start has not been acknowledged in time.
    pub ack_end_slot: Option<i64>,
    acknowledged_slot: Option<i64>,
    /// Epoch in which the provider gave notice.
    pub notice_epoch: Option<i64>,
    ended_slot: Option<i64>,
    /// Slot in which a proof of it was refuted.
    refuted_slot: Option<i64>,
    /// Slot in which its account was closed.
    closed_slot: Option<i64>,
    accepted_at: Option<String>,
    started_at: Option<String>,
    acknowledged_at: Option<String>,
    /// Up to here its seconds are metered.
    metered_at: Option<String>,
    /// From here on nothing is metered.
    ends_at: Option<String>,
    ended_at: Option<String>,
    /// Epochs with a proof, also of those that the index has not seen; null where nothing says whether its time was over at its end.
    epochs_proved: Option<i64>,
    epochs_missed: i64,
    /// Epoch of the last proof, of the start before there is one.
    pub last_proved_epoch: Option<i64>,
    disputes: i64,
    open_disputes: i64,
    deposited_lamports: i64,
    /// Of the provider's stake, for the tenant.
    compensated_lamports: i64,
    /// Lie in the lease for seconds to come.
    escrow_lamports: i64,
    /// Lie in the lease for epochs that can be disputed.
    pending_lamports: i64,
    /// Went to the provider.
    paid_lamports: i64,
    foundation_lamports: i64,
    burned_lamports: i64,
    /// The tenant's again, those included that still lie in the lease.
    refunded_lamports: i64,
    /// Lie in the lease for the tenant.
    tenant_due_lamports: i64,
    /// Stake that the provider lost for it.
    slashed_lamports: i64,
    /// All that lies in the lease: escrow, pending, the tenant's; 0 once its account is closed.
    held_lamports: i64,
    /// Without a name: always 0.
    astray_lamports: i64,
    updated_at: Option<String>,
    /// False where a gap in the index may hide changes.
    exact: bool,
}

/// The market's rules, as a request or a lease keeps them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaseRules {
    start_slots: i64,
    ack_slots: i64,
    dispute_slots: i64,
    openings_slots: i64,
    /// Epochs in a row without a proof after which anyone ends it.
    max_missed_epochs: i64,
    /// Epochs of a provider's notice.
    pub notice_epochs: i64,
    jail_slots: i64,
    close_delay_slots: i64,
    max_lease_seconds: i64,
    /// The provider's share, basis points.
    provider_bps: i64,
    /// The foundation's share, basis points; the rest is burned.
    foundation_bps: i64,
    answering_fee_lamports: i64,
    no_show_lamports: i64,
    min_epoch_price_lamports: i64,
    min_stake_lamports: i64,
}

/// A lease with what happened to it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LeaseDetails {
    #[serde(flatten)]
    pub lease: LeaseRow,
    /// Its newest epochs, at most 32, the newest first; all are under `/epochs`.
    epochs: Vec<LeaseEpochRow>,
    /// What happened, proofs apart: the newest hundred, the oldest of them first.
    events: Vec<LeaseEventRow>,
}

/// Columns of an epoch.
const EPOCH_COLUMNS: &str = "epoch, status, proved, seconds, amount_lamports, provider_lamports, foundation_lamports, burned_lamports,
    refunded_lamports, metered_slot, metered_at, dispute_end_slot, open_disputes, hash, proof, in_ring, commitment, exact";

/// An epoch of a lease: its proof, or the seconds behind the last one. Shares are null while it is pending.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = LeaseEpoch)]
pub struct LeaseEpochRow {
    epoch: i64,
    /// `pending`, `released`, `unserved`, `refuted` or `forfeited`.
    status: String,
    /// False for the seconds behind the last proof.
    proved: bool,
    /// Seconds that were metered.
    seconds: i64,
    /// Lamports of them.
    amount_lamports: i64,
    provider_lamports: Option<i64>,
    foundation_lamports: Option<i64>,
    burned_lamports: Option<i64>,
    refunded_lamports: Option<i64>,
    metered_slot: i64,
    metered_at: Option<String>,
    /// Slot from which it can't be disputed any more.
    dispute_end_slot: i64,
    open_disputes: i64,
    /// Hash of the epoch's first slot, 64 hex digits.
    hash: Option<String>,
    /// 64 hex digits.
    proof: Option<String>,
    /// False once its place in the account was needed for another epoch.
    in_ring: bool,
    /// Commitment of its newest change.
    commitment: String,
    /// False where a gap in the index may hide changes.
    exact: bool,
}

/// Something that happened to a lease or its request.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = LeaseEvent)]
pub struct LeaseEventRow {
    /// `requested`, `accepted`, `started`, `acknowledged`, `disputed`, `resolved`, `refuted` or `ended`.
    event: String,
    /// Of a dispute: the epoch that it is about.
    epoch: Option<i64>,
    slot: i64,
    at: Option<String>,
    /// Why it ended, or how a dispute was decided.
    detail: Option<String>,
    commitment: Option<String>,
    /// Transaction that first showed it, base58.
    signature: Option<String>,
}

/// Columns of a dispute, without those of [`DISPUTE_KEYS`].
const DISPUTE_COLUMNS: &str = "epoch, number, status, outcome, named_elements, opened_elements, elements, proof, hash, bond_lamports,
    fee_lamports, at_stake_lamports, held_lamports, returned_lamports, reward_lamports, slashed_lamports, burned_lamports, paid_lamports,
    opened_slot, openings_end_slot, resolved_slot, retention_end_slot, closed_slot, opened_at, resolved_at, commitment, exact";

/// Keys of a dispute.
const DISPUTE_KEYS: [&str; 4] = ["id", "lease", "disputer", "provider"];

fn dispute_object() -> String {
    "lease_dispute".into()
}

/// A dispute that says that the proof of an epoch is false. Amounts are lamports; what is not known yet is null.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = LeaseDispute)]
pub struct LeaseDisputeRow {
    /// `lease_dispute`.
    #[serde(default = "dispute_object")]
    object: String,
    /// Address of its account, base58.
    id: String,
    /// Address of the lease, base58.
    lease: String,
    epoch: i64,
    /// Which dispute about the lease it is, from 0: they are decided in this order.
    number: i64,
    /// Who says so, base58.
    disputer: String,
    /// Authority of the provider, base58.
    provider: String,
    /// `open`, `wrong` (an element was shown and is wrong) or `resolved`.
    status: String,
    /// `answered`, `wrong`, `unanswered` or `void`.
    outcome: Option<String>,
    /// How many elements it names.
    named_elements: i64,
    /// How many of them were shown and are right.
    opened_elements: i64,
    elements: Vec<LeaseElement>,
    /// 64 hex digits.
    proof: String,
    /// Hash of the epoch's first slot, 64 hex digits.
    hash: String,
    /// What it paid in: for the answer and at stake.
    bond_lamports: i64,
    /// For the answer.
    fee_lamports: i64,
    /// Burned if everything that is named is right.
    at_stake_lamports: i64,
    /// Lies in its account.
    held_lamports: i64,
    /// Of the bond, the disputer's again.
    returned_lamports: Option<i64>,
    /// Of the stake, the disputer's.
    reward_lamports: Option<i64>,
    /// Stake that the provider lost.
    slashed_lamports: Option<i64>,
    /// Of the bond.
    burned_lamports: Option<i64>,
    /// Of the bond, the provider's for its answer.
    paid_lamports: Option<i64>,
    opened_slot: i64,
    /// Slot from which nothing can be opened.
    openings_end_slot: i64,
    resolved_slot: Option<i64>,
    /// Slot from which its account can be closed, which pays its disputer.
    retention_end_slot: Option<i64>,
    closed_slot: Option<i64>,
    opened_at: Option<String>,
    resolved_at: Option<String>,
    /// Commitment of its newest change.
    commitment: String,
    /// False where a gap in the index may hide changes.
    exact: bool,
}

/// An element of a product that a dispute names.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LeaseElement {
    unit: i64,
    round: i64,
    row: i64,
    column: i64,
    /// It was shown and is right.
    opened: bool,
}

/// What leases are listed by.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LeasesWanted {
    pub status: Option<i16>,
    pub tenant: Option<Vec<u8>>,
    pub provider: Option<Vec<u8>>,
    pub class: Option<Vec<u8>>,
    /// The lease to follow.
    pub after: Option<Vec<u8>>,
}

/// Leases, newest first. Parameters: accepted slot and key of the one to follow, status, tenant, provider, class, N.
pub(super) fn list_sql(commitment: &str) -> String {
    sql(
        commitment,
        "($1::bigint IS NULL OR (accepted_slot <= $1 AND (accepted_slot < $1 OR id_key < $2::bytea)))
            AND ($3::smallint IS NULL OR status_code = $3) AND ($4::bytea IS NULL OR tenant_key = $4)
            AND ($5::bytea IS NULL OR provider_key = $5) AND ($6::bytea IS NULL OR class_key = $6)",
        "$7",
    )
}

/// The newest leases.
pub(super) fn first_sql(commitment: &str) -> String {
    sql(commitment, "true", &FIRST_ROWS.to_string())
}

fn sql(commitment: &str, condition: &str, limit: &str) -> String {
    let rows = Listing {
        views: &["leases"],
        commitment,
        columns: &format!("{}, id_key", columns()),
        condition,
        order: "accepted_slot DESC, id_key DESC",
        limit,
    };
    format!("SELECT to_jsonb(l) - 'id_key' FROM ({}) l", rows.sql())
}

/// At most `limit` leases, newest first.
pub async fn list(
    pool: &Pool,
    commitment: &'static str,
    wanted: &LeasesWanted,
    limit: i64,
) -> ApiResult<Vec<LeaseRow>> {
    if *wanted == LeasesWanted::default() && limit <= FIRST_ROWS {
        return first_rows(pool, &first_sql(commitment), limit).await;
    }
    let client = pool.get().await?;
    let cursor: Option<i64> = match &wanted.after {
        None => None,
        Some(key) => {
            let sql = format!(
                "SELECT accepted_slot FROM analytics.leases_{commitment} WHERE id_key = $1"
            );
            let row = client.query_opt(&sql, &[key]).await?;
            Some(row.map(|row| row.get(0)).ok_or_else(|| {
                ApiError::invalid("after", "after must be the id of an indexed lease")
            })?)
        }
    };
    let rows = client
        .query(
            &list_sql(commitment),
            &[
                &cursor,
                &wanted.after,
                &wanted.status,
                &wanted.tenant,
                &wanted.provider,
                &wanted.class,
                &limit,
            ],
        )
        .await?;
    decode_all(rows)
}

/// A lease with its newest epochs and what happened to it; `None` if the index does not show it at this commitment.
pub async fn show(
    pool: &Pool,
    commitment: &'static str,
    key: &Pubkey,
) -> ApiResult<Option<LeaseDetails>> {
    let client = pool.get().await?;
    let row = client
        .query_opt(&show_sql(commitment), &[&key.as_ref()])
        .await?;
    row.map(|row| decode(row.get(0))).transpose()
}

/// A lease with its newest epochs and what happened to it. Parameter: its key.
pub(super) fn show_sql(commitment: &str) -> String {
    format!(
        "SELECT to_jsonb(l) || jsonb_build_object(
            'epochs', (SELECT COALESCE(jsonb_agg(to_jsonb(e) ORDER BY e.epoch DESC), '[]') FROM (
                SELECT {EPOCH_COLUMNS} FROM analytics.lease_epochs_{commitment} WHERE lease_key = $1 ORDER BY epoch DESC LIMIT {EPOCHS}) e),
            'events', (SELECT COALESCE(jsonb_agg(to_jsonb(v) - 'step' ORDER BY v.slot, v.step), '[]') FROM (
                SELECT step, event, epoch, slot, at, detail, commitment, signature FROM analytics.lease_events_{commitment}
                 WHERE lease_key = $1 AND event NOT IN ('proved', 'metered') ORDER BY slot DESC, step DESC LIMIT {EVENTS}) v))
           FROM (SELECT {} FROM analytics.leases_{commitment} WHERE id_key = $1) l",
        columns()
    )
}

/// Whether the index shows a lease at this commitment.
async fn is_known(
    client: &tokio_postgres::Client,
    commitment: &str,
    key: &Pubkey,
) -> ApiResult<bool> {
    let sql =
        format!("SELECT EXISTS (SELECT FROM analytics.leases_{commitment} WHERE id_key = $1)");
    Ok(client.query_one(&sql, &[&key.as_ref()]).await?.get(0))
}

/// At most `limit` epochs of a lease below one, the newest first; `None` if the index does not show the lease.
pub async fn epochs(
    pool: &Pool,
    commitment: &'static str,
    key: &Pubkey,
    after: Option<i64>,
    limit: i64,
) -> ApiResult<Option<Vec<LeaseEpochRow>>> {
    let client = pool.get().await?;
    if !is_known(&client, commitment, key).await? {
        return Ok(None);
    }
    let rows = client
        .query(&epochs_sql(commitment), &[&key.as_ref(), &after, &limit])
        .await?;
    decode_all(rows).map(Some)
}

/// Epochs of a lease, the newest first. Parameters: its key, the epoch to come before, N.
pub(super) fn epochs_sql(commitment: &str) -> String {
    format!(
        "SELECT to_jsonb(e) FROM (SELECT {EPOCH_COLUMNS} FROM analytics.lease_epochs_{commitment}
            WHERE lease_key = $1 AND ($2::bigint IS NULL OR epoch < $2) ORDER BY epoch DESC LIMIT $3) e ORDER BY e.epoch DESC"
    )
}

/// At most `limit` disputes about a lease that come before one, the newest first; `None` if the index does not show the lease.
pub async fn disputes(
    pool: &Pool,
    commitment: &'static str,
    key: &Pubkey,
    after: Option<i64>,
    limit: i64,
) -> ApiResult<Option<Vec<LeaseDisputeRow>>> {
    let client = pool.get().await?;
    if !is_known(&client, commitment, key).await? {
        return Ok(None);
    }
    let sql = format!(
        "SELECT to_jsonb(d) FROM (SELECT {}, {DISPUTE_COLUMNS} FROM analytics.lease_disputes_{commitment}
            WHERE lease_key = $1 AND ($2::bigint IS NULL OR number < $2) ORDER BY number DESC LIMIT $3) d ORDER BY d.number DESC",
        texts(&DISPUTE_KEYS)
    );
    let rows = client.query(&sql, &[&key.as_ref(), &after, &limit]).await?;
    decode_all(rows).map(Some)
}
