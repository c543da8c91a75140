//! The Compute Market as the index shows it: providers, classes, requests, its figures.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Semaphore};
use utoipa::ToSchema;

use super::{FIRST_ROWS, Listing, decode, decode_all, first_rows, leases::LeaseRules, texts};
use crate::{
    error::{ApiError, ApiResult},
    store::Pool,
};

/// Columns of a provider, without those of [`PROVIDER_KEYS`].
const PROVIDER_COLUMNS: &str = "class_name, status, units, leased_units, backed_units, free_units, price_lamports, region, isolation, endpoint,
    stake_lamports, activating_lamports, activation_slot, unbonding_lamports, unbonding_slot, obliged_until_slot, stake_per_unit_lamports,
    claimable_lamports, owed_foundation_lamports, owed_burn_lamports, open_leases, open_disputes, leases, epochs_proved, epochs_missed,
    proofs_refuted, unserved_lamports, paid_in_lamports, withdrawn_stake_lamports, earned_lamports, withdrawn_lamports, slashed_lamports,
    registered_slot, registered_at, updated_slot, jailed_until_slot, commitment, exact";

/// Keys of a provider.
const PROVIDER_KEYS: [&str; 4] = ["id", "authority", "operator", "class"];

fn provider_object() -> String {
    "provider".into()
}

/// A provider as it is registered on chain. Amounts are lamports.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Provider)]
pub struct ProviderRow {
    /// `provider`.
    #[serde(default = "provider_object")]
    object: String,
    /// Address of its account, base58.
    id: String,
    /// Its owner, base58: how requests and leases name it.
    authority: String,
    /// Accepts, starts, proves, base58.
    operator: String,
    /// Address of its class, base58.
    class: String,
    class_name: Option<String>,
    /// `active` or `jailed`.
    status: Option<String>,
    /// Units that it offers.
    units: i64,
    leased_units: i64,
    /// Units that stake stands behind: leased ones, and those of ended leases whose accounts are not closed.
    backed_units: i64,
    free_units: i64,
    /// Lamports a second for each unit.
    price_lamports: i64,
    /// Where it is, as it says.
    region: String,
    /// `process`, `container` or `sandbox`, as it says.
    isolation: Option<String>,
    /// URL at which tenants reach it, as it says.
    endpoint: String,
    /// Stake that counts.
    stake_lamports: i64,
    /// Stake that will count from `activation_slot` on.
    activating_lamports: i64,
    activation_slot: Option<i64>,
    /// Stake that leaves.
    unbonding_lamports: i64,
    unbonding_slot: Option<i64>,
    /// Slot until which no stake leaves.
    obliged_until_slot: Option<i64>,
    stake_per_unit_lamports: i64,
    /// Earned, and not taken out yet.
    claimable_lamports: i64,
    /// The foundation's part, until it is swept.
    owed_foundation_lamports: i64,
    /// What is to burn, until it is swept.
    owed_burn_lamports: i64,
    /// Leases that run, and ended ones whose accounts are not closed.
    open_leases: i64,
    open_disputes: i64,
    /// Leases that it accepted.
    leases: i64,
    epochs_proved: i64,
    epochs_missed: i64,
    proofs_refuted: i64,
    /// Lamports of epochs that tenants called unserved.
    unserved_lamports: i64,
    /// Stake of all times.
    paid_in_lamports: i64,
    /// Stake that left.
    withdrawn_stake_lamports: i64,
    earned_lamports: i64,
    withdrawn_lamports: i64,
    slashed_lamports: i64,
    registered_slot: i64,
    registered_at: Option<String>,
    updated_slot: i64,
    /// Slot from which a jailed one may ask to be unjailed.
    jailed_until_slot: Option<i64>,
    /// Commitment of its newest change.
    commitment: String,
    /// False where a gap in the index may hide changes.
    exact: bool,
}

/// What providers are listed by.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ProvidersWanted {
    pub class: Option<Vec<u8>>,
    /// The provider to follow, by its account.
    pub after: Option<Vec<u8>>,
}

/// Providers, the newest first. Parameters: registered slot and key of the one to follow, class, N.
pub(super) fn providers_sql(commitment: &str) -> String {
    provider_rows(
        commitment,
        "($1::bigint IS NULL OR (registered_slot <= $1 AND (registered_slot < $1 OR id_key < $2::bytea)))
            AND ($3::bytea IS NULL OR class_key = $3)",
        "$4",
    )
}

/// The newest providers.
pub(super) fn first_providers_sql(commitment: &str) -> String {
    provider_rows(commitment, "true", &FIRST_ROWS.to_string())
}

fn provider_rows(commitment: &str, condition: &str, limit: &str) -> String {
    let rows = Listing {
        views: &["providers"],
        commitment,
        columns: &format!("{}, {PROVIDER_COLUMNS}, id_key", texts(&PROVIDER_KEYS)),
        condition,
        order: "registered_slot DESC, id_key DESC",
        limit,
    };
    format!("SELECT to_jsonb(p) - 'id_key' FROM ({}) p", rows.sql())
}

/// At most `limit` providers, the newest first.
pub async fn providers(
    pool: &Pool,
    commitment: &'static str,
    wanted: &ProvidersWanted,
    limit: i64,
) -> ApiResult<Vec<ProviderRow>> {
    if *wanted == ProvidersWanted::default() && limit <= FIRST_ROWS {
        return first_rows(pool, &first_providers_sql(commitment), limit).await;
    }
    let client = pool.get().await?;
    let after = (&wanted.after, "registered_slot");
    let cursor = cursor(&client, ("providers", commitment), after).await?;
    let rows = client
        .query(
            &providers_sql(commitment),
            &[&cursor, &wanted.after, &wanted.class, &limit],
        )
        .await?;
    decode_all(rows)
}

/// The slot by which a view is ordered, of the row that a page follows.
async fn cursor(
    client: &tokio_postgres::Client,
    (view, commitment): (&str, &str),
    (after, column): (&Option<Vec<u8>>, &str),
) -> ApiResult<Option<i64>> {
    let Some(key) = after else { return Ok(None) };
    let sql = format!("SELECT {column} FROM analytics.{view}_{commitment} WHERE id_key = $1");
    let row = client.query_opt(&sql, &[key]).await?;
    match row {
        Some(row) => Ok(Some(row.get(0))),
        None => Err(ApiError::invalid(
            "after",
            format!("after must be the id of one of the indexed {view}"),
        )),
    }
}

/// A provider by the address of its account or its authority.
pub async fn provider(
    pool: &Pool,
    commitment: &'static str,
    key: &[u8],
) -> ApiResult<Option<ProviderRow>> {
    let client = pool.get().await?;
    let sql = format!(
        "SELECT to_jsonb(p) FROM (SELECT {}, {PROVIDER_COLUMNS} FROM analytics.providers_{commitment}
            WHERE id_key = $1 OR authority_key = $1 LIMIT 1) p",
        texts(&PROVIDER_KEYS)
    );
    let row = client.query_opt(&sql, &[&key]).await?;
    row.map(|row| decode(row.get(0))).transpose()
}

/// Columns of a class, without its key.
const CLASS_COLUMNS: &str = "name, retired, matrix_side, rounds, proof_slots, stake_per_unit_lamports, vram_mib, calibrated, registered_slot,
    retired_slot, registered_at, commitment, exact";

fn class_object() -> String {
    "class".into()
}

/// A class of capacity: what each unit proves in each epoch, and the stake behind it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Class)]
pub struct ClassRow {
    /// `class`.
    #[serde(default = "class_object")]
    object: String,
    /// Address of its account, base58.
    id: String,
    name: String,
    /// No new providers and requests.
    retired: bool,
    /// Side of the matrices that each unit multiplies.
    matrix_side: i64,
    /// Products that each unit computes in each epoch.
    rounds: i64,
    /// Slots from the beginning of an epoch in which its proof is taken.
    proof_slots: i64,
    stake_per_unit_lamports: i64,
    /// Memory of a unit's GPU in MiB, as the class says; nothing proves it.
    vram_mib: i64,
    /// Whether the probe's time was measured on the device that the class is named after.
    calibrated: bool,
    registered_slot: i64,
    retired_slot: Option<i64>,
    registered_at: Option<String>,
    /// Commitment of its newest change.
    commitment: String,
    /// False where a gap in the index may hide changes.
    exact: bool,
}

/// At most `limit` classes after one, the newest first. The admin registers them: there are few.
pub async fn classes(
    pool: &Pool,
    commitment: &'static str,
    after: &Option<Vec<u8>>,
    limit: i64,
) -> ApiResult<Vec<ClassRow>> {
    let client = pool.get().await?;
    let follows = cursor(&client, ("classes", commitment), (after, "registered_slot")).await?;
    let rows = Listing {
        views: &["classes"],
        commitment,
        columns: &format!("{}, {CLASS_COLUMNS}, id_key", texts(&["id"])),
        condition: "($1::bigint IS NULL OR (registered_slot <= $1 AND (registered_slot < $1 OR id_key < $2::bytea)))",
        order: "registered_slot DESC, id_key DESC",
        limit: "$3",
    };
    let sql = format!("SELECT to_jsonb(k) - 'id_key' FROM ({}) k", rows.sql());
    let rows = client.query(&sql, &[&follows, after, &limit]).await?;
    decode_all(rows)
}

/// Columns of a request, without those of [`REQUEST_KEYS`].
const REQUEST_COLUMNS: &str = "class_name, status, kind, units, region, isolation, price_lamports, seconds, deposited_lamports,
    escrow_lamports, refunded_lamports, spec_hash, spec_source, terms_hash, nonce, epoch_slots, epoch_seconds, rules, lease,
    requested_slot, deadline_slot, ended_slot, closed_slot, requested_at, ended_at, commitment, exact";

/// Keys of a request.
const REQUEST_KEYS: [&str; 5] = ["id", "tenant", "model", "class", "provider"];

fn request_object() -> String {
    "lease_request".into()
}

/// What a tenant asks for, and what it paid in for it. Amounts are lamports.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = LeaseRequest)]
pub struct RequestRow {
    /// `lease_request`.
    #[serde(default = "request_object")]
    object: String,
    /// Address of its account, base58.
    id: String,
    /// Who asks and gets refunds, base58.
    tenant: String,
    /// Address of the class, base58.
    class: String,
    class_name: Option<String>,
    /// Authority of the provider that may accept it, base58; null: any.
    provider: Option<String>,
    /// Of an endpoint the id of its model if this gateway serves it, else its address.
    pub model: Option<String>,
    /// Address of the model, base58.
    #[serde(default)]
    pub model_address: Option<String>,
    /// `open`, `accepted`, `cancelled` or `expired`.
    status: Option<String>,
    /// `endpoint` or `container`.
    kind: Option<String>,
    units: i64,
    /// Where the provider must be; empty: anywhere.
    region: String,
    /// The least that is asked for: `process`, `container` or `sandbox`.
    isolation: Option<String>,
    /// Most lamports a second for each unit.
    price_lamports: i64,
    seconds: i64,
    /// The price of all seconds.
    deposited_lamports: i64,
    /// Lies in its account; of one that is closed what went out with it, to who paid its rent.
    escrow_lamports: i64,
    /// Went back to the tenant without a lease.
    refunded_lamports: i64,
    /// 64 hex digits.
    spec_hash: String,
    /// URL at which the spec is found, as the tenant says.
    spec_source: String,
    /// 64 hex digits.
    terms_hash: String,
    /// 32 hex digits.
    nonce: String,
    epoch_slots: i64,
    epoch_seconds: i64,
    rules: LeaseRules,
    /// Address of its lease, base58.
    lease: Option<String>,
    requested_slot: i64,
    /// Slot from which nobody can accept it.
    deadline_slot: i64,
    ended_slot: Option<i64>,
    closed_slot: Option<i64>,
    requested_at: Option<String>,
    ended_at: Option<String>,
    /// Commitment of its newest change.
    commitment: String,
    /// False where a gap in the index may hide changes.
    exact: bool,
}

/// What requests are listed by.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RequestsWanted {
    pub status: Option<i16>,
    pub tenant: Option<Vec<u8>>,
    pub provider: Option<Vec<u8>>,
    pub class: Option<Vec<u8>>,
    /// The request to follow.
    pub after: Option<Vec<u8>>,
}

/// Requests, the newest first. Parameters: requested slot and key of the one to follow, status, tenant, provider, class, N.
pub(super) fn requests_sql(commitment: &str) -> String {
    request_rows(
        commitment,
        "($1::bigint IS NULL OR (requested_slot <= $1 AND (requested_slot < $1 OR id_key < $2::bytea)))
            AND ($3::smallint IS NULL OR status_code = $3) AND ($4::bytea IS NULL OR tenant_key = $4)
            AND ($5::bytea IS NULL OR provider_key = $5) AND ($6::bytea IS NULL OR class_key = $6)",
        "$7",
    )
}

/// The newest requests.
pub(super) fn first_requests_sql(commitment: &str) -> String {
    request_rows(commitment, "true", &FIRST_ROWS.to_string())
}

fn request_rows(commitment: &str, condition: &str, limit: &str) -> String {
    let rows = Listing {
        views: &["requests"],
        commitment,
        columns: &format!("{}, {REQUEST_COLUMNS}, id_key", texts(&REQUEST_KEYS)),
        condition,
        order: "requested_slot DESC, id_key DESC",
        limit,
    };
    format!("SELECT to_jsonb(r) - 'id_key' FROM ({}) r", rows.sql())
}

/// At most `limit` requests, the newest first.
pub async fn requests(
    pool: &Pool,
    commitment: &'static str,
    wanted: &RequestsWanted,
    limit: i64,
) -> ApiResult<Vec<RequestRow>> {
    if *wanted == RequestsWanted::default() && limit <= FIRST_ROWS {
        return first_rows(pool, &first_requests_sql(commitment), limit).await;
    }
    let client = pool.get().await?;
    let after = (&wanted.after, "requested_slot");
    let cursor = cursor(&client, ("requests", commitment), after).await?;
    let rows = client
        .query(
            &requests_sql(commitment),
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

/// A request by the address of its account.
pub async fn request(
    pool: &Pool,
    commitment: &'static str,
    key: &[u8],
) -> ApiResult<Option<RequestRow>> {
    let client = pool.get().await?;
    let sql = format!(
        "SELECT to_jsonb(r) FROM (SELECT {}, {REQUEST_COLUMNS} FROM analytics.requests_{commitment} WHERE id_key = $1) r",
        texts(&REQUEST_KEYS)
    );
    let row = client.query_opt(&sql, &[&key]).await?;
    row.map(|row| decode(row.get(0))).transpose()
}

fn market_object() -> String {
    "market".into()
}

/// The Compute Market at a glance; sums are over all its leases, since the first slot. What is not known is null.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Market)]
pub struct MarketSums {
    /// `market`.
    #[serde(default = "market_object")]
    object: String,
    /// Newest slot of the index; null before the first.
    slot: Option<i64>,
    /// Newest finalized slot.
    finalized_slot: Option<i64>,
    /// Null where the network has no market.
    paused: Option<bool>,
    epoch_slots: Option<i64>,
    epoch_seconds: Option<i64>,
    /// The foundation's, in the market's treasury.
    treasury_lamports: Option<i64>,
    registered_providers: i64,
    offered_units: i64,
    leased_units: i64,
    staked_lamports: i64,
    open_requests: i64,
    leases: i64,
    running_leases: i64,
    /// Epochs with a proof, also of those that the index has not seen.
    epochs_proved: i64,
    epochs_missed: i64,
    disputes: i64,
    open_disputes: i64,
    deposited_lamports: i64,
    compensated_lamports: i64,
    escrow_lamports: i64,
    pending_lamports: i64,
    paid_lamports: i64,
    foundation_lamports: i64,
    burned_lamports: i64,
    refunded_lamports: i64,
    slashed_lamports: i64,
    /// Without a name: always 0.
    astray_lamports: i64,
}

async fn sums(pool: Pool) -> ApiResult<MarketSums> {
    let client = pool.get().await?;
    let statement = client
        .prepare_cached(
            "SELECT to_jsonb(m) || jsonb_build_object('paused', c.paused, 'epoch_slots', c.epoch_slots, 'epoch_seconds', c.epoch_seconds,
                    'treasury_lamports', t.balance_lamports)
               FROM analytics.market_processed m LEFT JOIN analytics.market_config_processed c ON true
                    LEFT JOIN analytics.market_treasury_processed t ON true LIMIT 1",
        )
        .await?;
    decode(client.query_one(&statement, &[]).await?.get(0))
}

/// A UTC day of the market's activity in finalized blocks. Amounts are lamports.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = MarketDay)]
pub struct MarketDayRow {
    /// `YYYY-MM-DD`.
    day: String,
    /// Requests made.
    requests: i64,
    leases_accepted: i64,
    leases_ended: i64,
    /// Epochs with a proof that the index has seen.
    epochs_proved: i64,
    /// Disputes opened.
    disputes: i64,
    paid_lamports: i64,
    foundation_lamports: i64,
    burned_lamports: i64,
    refunded_lamports: i64,
    slashed_lamports: i64,
    /// `after` of the next page.
    cursor: String,
}

/// The day of a cursor as a number, `YYYYMMDD`.
pub(super) fn day_number(cursor: &str) -> Option<i64> {
    cursor.strip_suffix('.')?.parse().ok()
}

/// Days that are kept at most.
const DAYS: i64 = 4_000;

async fn days(pool: Pool) -> ApiResult<Vec<MarketDayRow>> {
    let client = pool.get().await?;
    let rows = client
        .query(
            "SELECT to_jsonb(d) || jsonb_build_object('cursor', to_char(d.day, 'YYYYMMDD') || '.')
               FROM analytics.market_daily d WHERE d.day IS NOT NULL ORDER BY d.day DESC LIMIT $1",
            &[&DAYS],
        )
        .await?;
    decode_all(rows)
}

/// Figures that are sums over the whole market: read once for all who ask within a while.
#[derive(Debug)]
pub struct Figures {
    sums: Kept<MarketSums>,
    days: Kept<Vec<MarketDayRow>>,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            sums: Kept::new(Duration::from_secs(3)),
            days: Kept::new(Duration::from_secs(60)),
        }
    }
}

impl Figures {
    /// The market at a glance.
    pub async fn sums(&self, pool: &Pool) -> ApiResult<MarketSums> {
        Ok((*self.sums.get(sums(pool.clone())).await?).clone())
    }

    /// At most `limit` days before one (`YYYYMMDD`), the newest first.
    pub async fn days(
        &self,
        pool: &Pool,
        before: Option<i64>,
        limit: i64,
    ) -> ApiResult<Vec<MarketDayRow>> {
        let all = self.days.get(days(pool.clone())).await?;
        let earlier = |day: &&MarketDayRow| {
            before
                .is_none_or(|before| day_number(&day.cursor).is_some_and(|number| number < before))
        };
        let limit = usize::try_from(limit).unwrap_or(0);
        Ok(all.iter().filter(earlier).take(limit).cloned().collect())
    }
}

/// How long an error is told again before the next try.
const ERROR: Duration = Duration::from_secs(1);

type Reading<T> = (Instant, ApiResult<Arc<T>>);

/// Requests that wait for a reading at most.
const WAITING: usize = 256;

/// A value that is read at most once in a while, by one reader at a time.
#[derive(Debug)]
pub(super) struct Kept<T> {
    life: Duration,
    last: Arc<Mutex<Option<Reading<T>>>>,
    waiting: Semaphore,
}

impl<T: Send + Sync + 'static> Kept<T> {
    pub(super) fn new(life: Duration) -> Self {
        Self {
            life,
            last: Arc::new(Mutex::new(None)),
            waiting: Semaphore::new(WAITING),
        }
    }

    /// The last value, or what `read` gives if that is too old. Who asked may leave: what began to be read is read to its end, so that no
    /// second statement runs beside it.
    pub(super) async fn get(
        &self,
        read: impl Future<Output = ApiResult<T>> + Send + 'static,
    ) -> ApiResult<Arc<T>> {
        let _place = self.waiting.try_acquire().map_err(|_| {
            ApiError::unavailable(
                "gateway_busy",
                "more ask for these figures than the database answers; try again shortly",
            )
        })?;
        let mut last = self.last.clone().lock_owned().await;
        if let Some((at, value)) = &*last {
            let life = if value.is_ok() { self.life } else { ERROR };
            if at.elapsed() < life {
                return value.clone();
            }
        }
        let reading = tokio::spawn(async move {
            let value = read.await.map(Arc::new);
            *last = Some((Instant::now(), value.clone()));
            value
        });
        reading.await.map_err(ApiError::internal)?
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_is_kept_is_read_again_when_it_is_too_old() {
        let hour = Duration::from_secs(3_600);
        let kept = Kept::new(hour);
        assert_eq!(*kept.get(async { Ok(1) }).await.unwrap(), 1);
        assert_eq!(*kept.get(async { Ok(2) }).await.unwrap(), 1);
        let fresh = Kept::new(Duration::ZERO);
        assert_eq!(*fresh.get(async { Ok(1) }).await.unwrap(), 1);
        assert_eq!(*fresh.get(async { Ok(2) }).await.unwrap(), 2);
        // An error is told again for a moment only, and takes no value's place for good.
        let failing = Kept::new(hour);
        let error = ApiError::internal("away");
        let told = error.clone();
        let failed = failing.get(async { Err::<i32, _>(told) }).await;
        assert_eq!(failed.unwrap_err(), error);
        assert_eq!(failing.get(async { Ok(1) }).await.unwrap_err(), error);
    }

    #[tokio::test]
    async fn a_reading_goes_on_when_who_asked_for_it_has_left() {
        let kept = Arc::new(Kept::new(Duration::from_secs(3_600)));
        let (begin, begun) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let first = tokio::spawn({
            let kept = kept.clone();
            async move {
                let read = async {
                    begin.send(()).unwrap();
                    ended.await.unwrap();
                    Ok(1)
                };
                kept.get(read).await
            }
        });
        begun.await.unwrap();
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        // The next one waits for it, and reads nothing.
        let next = tokio::spawn({
            let kept = kept.clone();
            async move { kept.get(async { Ok(2) }).await }
        });
        end.send(()).unwrap();
        assert_eq!(*next.await.unwrap().unwrap(), 1);
    }

    #[tokio::test]
    async fn no_more_than_so_many_wait_for_a_reading() {
        let kept = Kept::new(Duration::ZERO);
        let places = kept.waiting.try_acquire_many(WAITING as u32).unwrap();
        assert_eq!(kept.get(async { Ok(1) }).await.unwrap_err().status, 503);
        drop(places);
        assert_eq!(*kept.get(async { Ok(1) }).await.unwrap(), 1);
    }

    #[test]
    fn a_day_is_a_number_to_compare_by() {
        let row = serde_json::json!({
            "day": "2026-12-01", "requests": 0, "leases_accepted": 0, "leases_ended": 0, "epochs_proved": 0, "disputes": 0, "paid_lamports": 0,
            "foundation_lamports": 0, "burned_lamports": 0, "refunded_lamports": 0, "slashed_lamports": 0, "cursor": "20261201.",
        });
        let row: MarketDayRow = serde_json::from_value(row).unwrap();
        assert_eq!(day_number(&row.cursor), Some(20_261_201));
    }
}
