//! Reading the index and writing the settler's findings.

use std::collections::HashSet;

use mythic_client::market::address;
use mythic_postgres::PostgresError;
use serde_json::json;
use solana_pubkey::Pubkey;
use tokio_postgres::{Client, Row, types::ToSql};

use crate::reconcile::{Difference, IndexRow, Kind, Reconciliation};

/// Candidates taken in one look.
const PAGE: i64 = 2000;
/// Of cases and posted output, which are large accounts.
const COURT_PAGE: i64 = 200;
/// Of the market, of each list.
const MARKET_PAGE: usize = 200;
/// Rows of a list that are read for them: those whose accounts are closed are among them, and strangers make those.
const MARKET_ROWS: i64 = 2000;
/// Differences that are kept with a result.
const DETAILS: usize = 20;

/// The kind under which differences are raised as alarms.
const ALARM: &str = "reconciliation";

/// Why the index can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error("a key of {0} bytes in the index")]
    Key(usize),
}

impl From<tokio_postgres::Error> for IndexError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error.into())
    }
}

fn key(row: &Row, column: usize) -> Result<Pubkey, IndexError> {
    let bytes: &[u8] = row.try_get(column)?;
    Pubkey::try_from(bytes).map_err(|_| IndexError::Key(bytes.len()))
}

fn unsigned(row: &Row, column: usize) -> Result<u64, IndexError> {
    Ok(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or(0))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The index's root and whether gaps are open; `None` before its first root.
pub(crate) async fn root(client: &Client) -> Result<Option<(u64, bool)>, IndexError> {
    let row = client
        .query_one(
            "SELECT finalized_slot, gaps_open > 0 FROM analytics.pipeline_status",
            &[],
        )
        .await?;
    let slot: Option<i64> = row.try_get(0)?;
    let gaps: bool = row.try_get(1)?;
    Ok(slot.map(|slot| (u64::try_from(slot).unwrap_or(0), gaps)))
}

async fn keys(
    client: &Client,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Pubkey>, IndexError> {
    client
        .query(sql, params)
        .await?
        .iter()
        .map(|row| key(row, 0))
        .collect()
}

/// Jobs that may be claimed or expired at `now`.
pub(crate) async fn running_jobs(client: &Client, now: u64) -> Result<Vec<Pubkey>, IndexError> {
    keys(
        client,
        "SELECT id_key FROM analytics.jobs_finalized
         WHERE ended_slot IS NULL AND CASE WHEN submitted_slot IS NULL THEN deadline_slot <= $1 OR cancel_slot <= $1
                                           ELSE window_end_slot <= $1 AND disputed_slot IS NULL END
         ORDER BY requested_slot LIMIT $2",
        &[&signed(now), &PAGE],
    )
    .await
}

/// Jobs that ended first and are not closed, without those known to be gone.
pub(crate) async fn ended_jobs(
    client: &Client,
    now: u64,
    gone: &[Vec<u8>],
) -> Result<Vec<Pubkey>, IndexError> {
    keys(
        client,
        "SELECT id_key FROM analytics.jobs_finalized
         WHERE ended_slot <= $1 AND closed_slot IS NULL AND NOT id_key = ANY ($3) ORDER BY ended_slot LIMIT $2",
        &[&signed(now), &PAGE, &gone],
    )
    .await
}

/// Cases that may be resolved at `now`, and those that owe something.
pub(crate) async fn open_cases(client: &Client, now: u64) -> Result<Vec<Pubkey>, IndexError> {
    keys(
        client,
        "SELECT id_key FROM analytics.cases_finalized
         WHERE NOT collected AND closed_slot IS NULL AND (resolved_slot IS NOT NULL OR due_slot <= $1)
         ORDER BY opened_slot LIMIT $2",
        &[&signed(now), &COURT_PAGE],
    )
    .await
}

/// Cases that owe nothing and are not closed, those that can be closed first in front, without those known to be gone. Fines
/// that nobody took are left to take in some.
pub(crate) async fn ended_cases(
    client: &Client,
    gone: &[Vec<u8>],
) -> Result<Vec<Pubkey>, IndexError> {
    keys(
        client,
        "SELECT id_key FROM (
           (SELECT id_key, retention_end_slot AS from_slot FROM analytics.cases_finalized
             WHERE collected AND closed_slot IS NULL AND NOT id_key = ANY ($1) ORDER BY retention_end_slot LIMIT $2)
           UNION ALL
           (SELECT id_key, forfeit_end_slot FROM analytics.cases_finalized
             WHERE paid AND NOT collected AND closed_slot IS NULL AND NOT id_key = ANY ($1) ORDER BY forfeit_end_slot LIMIT $2)) c
         ORDER BY from_slot LIMIT $2",
        &[&gone, &COURT_PAGE],
    )
    .await
}

/// Pages of output whose jobs ended, oldest first, without those known to be gone.
pub(crate) async fn ended_outputs(
    client: &Client,
    gone: &[Vec<u8>],
) -> Result<Vec<Pubkey>, IndexError> {
    keys(
        client,
        "SELECT o.id_key FROM analytics.outputs_finalized o
           JOIN LATERAL (SELECT ended_slot FROM analytics.jobs_finalized j
                          WHERE j.id_key = o.job_key ORDER BY requested_slot DESC LIMIT 1) j ON j.ended_slot IS NOT NULL
         WHERE o.closed_slot IS NULL AND NOT o.id_key = ANY ($1) ORDER BY j.ended_slot LIMIT $2",
        &[&gone, &COURT_PAGE],
    )
    .await
}

/// Validators that owe something, with the slot of their last write.
pub(crate) async fn debtors(client: &Client) -> Result<Vec<(Pubkey, u64)>, IndexError> {
    let rows = client
        .query(
            "SELECT authority_key, slot FROM analytics.validators_finalized WHERE owed_foundation + owed_burn > 0
             ORDER BY owed_foundation + owed_burn DESC LIMIT $1",
            &[&PAGE],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((key(row, 0)?, unsigned(row, 1)?)))
        .collect()
}

/// A list of the market in which something may be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// Leases that run, by the slot from which something may be due.
    RunningLeases,
    /// Leases that run, by the second in which their time is over.
    OverLeases,
    /// Leases that ended and hold something for somebody, or did when they were closed. Most by the slot of their acceptance, so that what
    /// becomes due may stand before all that is closed.
    OwingLeases,
    /// Leases that ended, by the slot from which their accounts can be closed.
    EndedLeases,
    /// Requests that nobody took, by their deadline.
    OpenRequests,
    /// Requests that ended and have no account of a lease, by the slot from which they can be closed.
    EndedRequests,
    /// Disputes about leases, by the slot from which they can be decided.
    OpenDisputes,
    /// Those that are decided, by the slot from which they can be closed.
    DecidedDisputes,
}

impl List {
    /// All of them.
    pub const ALL: [List; 8] = [
        List::RunningLeases,
        List::OverLeases,
        List::OwingLeases,
        List::EndedLeases,
        List::OpenRequests,
        List::EndedRequests,
        List::OpenDisputes,
        List::DecidedDisputes,
    ];

    /// Its view, the column that it is ordered by, what rows meet.
    fn source(self) -> (&'static str, &'static str, &'static str) {
        const OWING: &str = "ended_slot IS NOT NULL AND pending_lamports + tenant_due_lamports > 0";
        match self {
            List::RunningLeases => ("leases", "due_slot", "ended_slot IS NULL"),
            List::OverLeases => ("leases", "ends_second", "ended_slot IS NULL"),
            List::OwingLeases => ("leases", "due_slot", OWING),
            List::EndedLeases => ("leases", "due_slot", "ended_slot IS NOT NULL"),
            List::OpenRequests => ("requests", "due_slot", "ended_slot IS NULL"),
            List::EndedRequests => ("requests", "due_slot", "ended_slot IS NOT NULL"),
            List::OpenDisputes => ("lease_disputes", "due_slot", "resolved_slot IS NULL"),
            List::DecidedDisputes => ("lease_disputes", "due_slot", "resolved_slot IS NOT NULL"),
        }
    }

    /// Whether what is closed stays in it for ever with what becomes due behind it, so that a round begins there.
    fn grows(self) -> bool {
        matches!(
            self,
            List::EndedLeases | List::EndedRequests | List::DecidedDisputes
        )
    }
}

/// A row of a list: the number that it is ordered by, and its key.
type Place = (i64, Vec<u8>);

/// Before the first row.
static BEGINNING: Place = (i64::MIN, Vec::new());

/// Where a list stands that is looked at page by page, again and again: so what nothing can be done about holds up nothing behind it, and
/// a look takes as long however many rows there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pages {
    /// Row behind which the round goes on; none where one begins.
    after: Option<Place>,
    /// Row up to which everything was closed: rounds of a list that grows begin behind it.
    closed: Option<Place>,
    /// Row behind which a round over all of a list that grows goes on beside the others, while there is one.
    whole: Option<Place>,
}

impl Pages {
    /// Begins a round over everything, unless one is under way: what ended long ago may have become due late.
    pub fn begin_anew(&mut self) {
        self.whole.get_or_insert_with(|| BEGINNING.clone());
    }
}

/// The next page of a list: what may be due at `most`, a slot or a second.
pub(crate) async fn due(
    client: &Client,
    list: List,
    most: u64,
    pages: &mut Pages,
) -> Result<Vec<Pubkey>, IndexError> {
    let (view, number, condition) = list.source();
    let sql = format!(
        "SELECT id_key, {number}, closed_slot IS NOT NULL FROM analytics.{view}_finalized
          WHERE {condition} AND {number} <= $1 AND ({number}, id_key) > ($2::bigint, $3::bytea)
          ORDER BY {number}, id_key LIMIT $4"
    );
    let found = next_page(client, &sql, signed(most), pages, list.grows()).await?;
    match list {
        List::EndedRequests => without_leases(client, found).await,
        _ => Ok(found),
    }
}

/// The next page of a query, whose rows are a key, the number that they are ordered by, and whether the account is closed. Parameters: the
/// largest number, number and key of the row to follow, N.
async fn next_page(
    client: &Client,
    sql: &str,
    most: i64,
    pages: &mut Pages,
    grows: bool,
) -> Result<Vec<Pubkey>, IndexError> {
    let from = pages.closed.as_ref().unwrap_or(&BEGINNING);
    let page = page(client, sql, most, pages.after.as_ref().unwrap_or(from)).await?;
    let mut found = page.found;
    if grows {
        // Everything before it was closed too.
        if (pages.after.is_none() || pages.after == pages.closed) && page.closed.is_some() {
            pages.closed = page.closed;
        }
        if let Some(after) = &pages.whole {
            let page = self::page(client, sql, most, after).await?;
            pages.whole = page.last;
            found.extend(page.found);
        }
    }
    pages.after = page.last;
    Ok(found)
}

/// Some rows of a list.
struct Page {
    /// Those whose accounts are not closed.
    found: Vec<Pubkey>,
    /// The last one, if others may follow.
    last: Option<Place>,
    /// The last one before which, itself included, all are closed.
    closed: Option<Place>,
}

async fn page(client: &Client, sql: &str, most: i64, after: &Place) -> Result<Page, IndexError> {
    let (number, id) = after;
    let rows = client
        .query(sql, &[&most, number, id, &MARKET_ROWS])
        .await?;
    let (mut found, mut last, mut closed) = (Vec::new(), None, None);
    for row in &rows {
        let place: Place = (row.try_get(1)?, row.try_get(0)?);
        let is_closed: bool = row.try_get(2)?;
        if !is_closed {
            found.push(key(row, 0)?);
        } else if found.is_empty() {
            closed = Some(place.clone());
        }
        last = Some(place);
        if found.len() == MARKET_PAGE {
            break;
        }
    }
    let full = found.len() == MARKET_PAGE || rows.len() as i64 == MARKET_ROWS;
    Ok(Page {
        found,
        last: last.filter(|_| full),
        closed,
    })
}

/// Those requests of which there is no account of a lease.
async fn without_leases(client: &Client, requests: Vec<Pubkey>) -> Result<Vec<Pubkey>, IndexError> {
    // The address of a lease follows from its request's.
    let leases: Vec<Pubkey> = requests.iter().map(address::lease).collect();
    let asked: Vec<&[u8]> = leases.iter().map(AsRef::as_ref).collect();
    let sql = "SELECT id_key FROM analytics.leases_finalized WHERE closed_slot IS NULL AND id_key = ANY ($1)";
    let there: HashSet<Pubkey> = keys(client, sql, &[&asked]).await?.into_iter().collect();
    let both = requests.into_iter().zip(leases);
    let ended = both.filter(|(_, lease)| !there.contains(lease));
    Ok(ended.map(|(request, _)| request).collect())
}

/// Providers that owe something, with the slot of their last write.
pub(crate) async fn owing_providers(client: &Client) -> Result<Vec<(Pubkey, u64)>, IndexError> {
    let rows = client
        .query(
            "SELECT authority_key, slot FROM analytics.providers_finalized
              WHERE owed_foundation_lamports + owed_burn_lamports > 0
              ORDER BY owed_foundation_lamports + owed_burn_lamports DESC LIMIT $1",
            &[&(MARKET_PAGE as i64)],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((key(row, 0)?, unsigned(row, 1)?)))
        .collect()
}

/// Where the finalized rows of a kind come from.
struct Source {
    kind: Kind,
    /// Address, as bytes.
    id: &'static str,
    /// Lamports stored for somebody.
    stored: &'static str,
    exact: &'static str,
    from: &'static str,
}

/// A kind whose view has its address as `id_key` and says what is exact.
const fn of(kind: Kind, stored: &'static str, from: &'static str) -> Source {
    Source {
        kind,
        id: "id_key",
        stored,
        exact: "exact",
        from,
    }
}

const SOURCES: [Source; 15] = [
    Source {
        kind: Kind::Treasury,
        id: "analytics.key(id)",
        stored: "balance",
        exact: "true",
        from: "analytics.treasury_finalized",
    },
    of(Kind::Model, "0::bigint", "analytics.models_finalized"),
    of(
        Kind::Validator,
        "stake + activating + unbonding + claimable + owed_foundation + owed_burn",
        "analytics.validators_finalized",
    ),
    of(Kind::Vault, "balance", "analytics.vaults_finalized"),
    of(Kind::Grant, "0::bigint", "analytics.grants_finalized"),
    of(
        Kind::Job,
        "CASE WHEN ended_slot IS NULL THEN ceiling_lamports ELSE 0 END",
        "analytics.jobs_finalized WHERE closed_slot IS NULL",
    ),
    of(
        Kind::Case,
        "held_lamports + output_rent_lamports",
        "analytics.cases_finalized WHERE closed_slot IS NULL",
    ),
    of(
        Kind::Votes,
        "0::bigint",
        "analytics.votes_finalized WHERE closed_slot IS NULL",
    ),
    of(
        Kind::Output,
        "0::bigint",
        "analytics.outputs_finalized WHERE closed_slot IS NULL",
    ),
    Source {
        kind: Kind::MarketTreasury,
        id: "analytics.key(id)",
        stored: "balance_lamports",
        exact: "exact",
        from: "analytics.market_treasury_finalized",
    },
    of(Kind::Class, "0::bigint", "analytics.classes_finalized"),
    of(
        Kind::Provider,
        "stake_lamports + activating_lamports + unbonding_lamports + claimable_lamports + owed_foundation_lamports + owed_burn_lamports",
        "analytics.providers_finalized",
    ),
    of(
        Kind::Request,
        "escrow_lamports",
        "analytics.requests_finalized WHERE closed_slot IS NULL",
    ),
    of(
        Kind::Lease,
        "held_lamports",
        "analytics.leases_finalized WHERE closed_slot IS NULL",
    ),
    of(
        Kind::LeaseDispute,
        "held_lamports",
        "analytics.lease_disputes_finalized WHERE closed_slot IS NULL",
    ),
];

/// Accounts whose amounts do not add up to what came in, as each account itself says them; those that are closed too.
const UNBALANCED: &str = "
    SELECT id_key, slot, astray_lamports || ' lamports of what came into this lease are not accounted for'
      FROM analytics.leases_finalized WHERE astray_lamports <> 0
    UNION ALL
    SELECT id_key, slot, 'stake or earnings of this provider are not what became of them'
      FROM analytics.providers_finalized
     WHERE paid_in_lamports <> stake_lamports + activating_lamports + unbonding_lamports + slashed_lamports + withdrawn_stake_lamports
        OR earned_lamports <> claimable_lamports + withdrawn_lamports
    UNION ALL
    SELECT id_key, slot, 'what this request paid in is not what it holds and gave back'
      FROM analytics.requests_finalized
     WHERE CASE status WHEN 'accepted' THEN escrow_lamports <> 0 OR refunded_lamports <> 0
                       ELSE deposited_lamports <> escrow_lamports::numeric + refunded_lamports END
    UNION ALL
    SELECT id_key, slot, 'bond and reward of this dispute are not what became of them'
      FROM analytics.lease_disputes_finalized
     WHERE (closed_slot IS NULL AND held_lamports::numeric + COALESCE(paid_lamports, 0) + COALESCE(burned_lamports, 0)
                                    <> bond_lamports::numeric + COALESCE(reward_lamports, 0))
        OR returned_lamports::numeric + paid_lamports + burned_lamports <> bond_lamports
    UNION ALL
    SELECT id_key, slot, 'what this treasury received is neither here nor withdrawn'
      FROM (SELECT id_key, slot, balance_lamports, received_lamports, withdrawn_lamports FROM analytics.market_treasury_finalized
            UNION ALL
            SELECT analytics.key(id), slot, balance_lamports, received_lamports, withdrawn_lamports FROM analytics.treasury_finalized) t
     WHERE received_lamports <> balance_lamports::numeric + withdrawn_lamports
     LIMIT 1000";

/// What the index says at finality.
pub(crate) struct Indexed {
    pub root: u64,
    pub gaps: bool,
    /// All rows of the kinds that are compared.
    pub rows: Vec<IndexRow>,
    /// Accounts whose amounts do not add up.
    pub unbalanced: Vec<Difference>,
}

/// All finalized rows of the kinds that are `wanted`, from one snapshot of the database; `None` before the index's first root.
pub(crate) async fn rows(
    client: &mut Client,
    wanted: impl Fn(Kind) -> bool,
) -> Result<Option<Indexed>, IndexError> {
    let snapshot = client
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let Some((root, gaps)) = root(snapshot.client()).await? else {
        return Ok(None);
    };
    let mut rows = Vec::new();
    for Source {
        kind,
        id,
        stored,
        exact,
        from,
    } in SOURCES
        .into_iter()
        .filter(|source: &Source| wanted(source.kind))
    {
        // The views of models and grants have no lamports.
        let sql = match kind {
            Kind::Model | Kind::Grant => {
                format!("SELECT {id}, slot, write_seq, NULL::bigint, {stored}, {exact} FROM {from}")
            }
            _ => format!("SELECT {id}, slot, write_seq, lamports, {stored}, {exact} FROM {from}"),
        };
        for row in snapshot.query(&sql, &[]).await? {
            rows.push(IndexRow {
                pubkey: key(&row, 0)?,
                kind,
                slot: unsigned(&row, 1)?,
                seq: unsigned(&row, 2)?,
                lamports: row
                    .try_get::<_, Option<i64>>(3)?
                    .map(|lamports| u64::try_from(lamports).unwrap_or(0)),
                stored: unsigned(&row, 4)?,
                exact: row.try_get(5)?,
            });
        }
    }
    let mut unbalanced = Vec::new();
    for row in snapshot.query(UNBALANCED, &[]).await? {
        unbalanced.push(Difference {
            account: key(&row, 0)?.to_string(),
            slot: Some(unsigned(&row, 1)?),
            what: row.try_get(2)?,
        });
    }
    snapshot.commit().await?;
    Ok(Some(Indexed {
        root,
        gaps,
        rows,
        unbalanced,
    }))
}

/// Replaces the stored result, and raises an alarm for what differs a second time.
pub(crate) async fn store(client: &mut Client, result: &Reconciliation) -> Result<(), IndexError> {
    let all: Vec<&Difference> = result
        .unbacked
        .iter()
        .chain(&result.unbalanced)
        .chain(&result.differing)
        .take(DETAILS)
        .collect();
    let transaction = client.transaction().await?;
    transaction
        .execute(
            "INSERT INTO settler.reconciliation (ok, context_slot, accounts, differing, confirmed, unbacked, inexact,
                                                 stored_on_chain, stored_in_index, details, unbalanced, checked_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now())
             ON CONFLICT (only_row) DO UPDATE SET (ok, context_slot, accounts, differing, confirmed, unbacked, inexact,
                                                   stored_on_chain, stored_in_index, details, unbalanced, checked_at)
             = ROW (excluded.ok, excluded.context_slot, excluded.accounts, excluded.differing, excluded.confirmed,
                    excluded.unbacked, excluded.inexact, excluded.stored_on_chain, excluded.stored_in_index,
                    excluded.details, excluded.unbalanced, excluded.checked_at)",
            &[
                &result.ok(),
                &signed(result.context_slot),
                &signed(result.accounts),
                &signed(result.differing.len() as u64),
                &signed(result.confirmed.len() as u64),
                &signed(result.unbacked.len() as u64),
                &signed(result.inexact),
                &json!(result.on_chain),
                &json!(result.in_index),
                &json!(all),
                &signed(result.unbalanced.len() as u64),
            ],
        )
        .await?;
    if result.ok() {
        let why = format!("index and chain agree at slot {}", result.context_slot);
        transaction
            .execute("SELECT pipeline.clear_alarms($1, $2)", &[&ALARM, &why])
            .await?;
    } else {
        for difference in result
            .confirmed
            .iter()
            .chain(&result.unbacked)
            .chain(&result.unbalanced)
            .take(DETAILS)
        {
            let slot = signed(result.context_slot);
            let detail = format!("{}: {}", difference.account, difference.what);
            transaction
                .execute(
                    "SELECT pipeline.raise_alarm($1, $2, $2, 1, '{}', true, $3)",
                    &[&ALARM, &slot, &detail],
                )
                .await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use mythic_postgres::{Cluster, ClusterConfig, Manner, connect};

    async fn shown(client: &Client) -> serde_json::Value {
        let row = client
            .query_one("SELECT to_jsonb(r) FROM settler.reconciliation r", &[])
            .await;
        row.unwrap().get(0)
    }

    async fn every_page_of_a_list_comes_in_turn(client: &Client) {
        // A page and a half; two of them with one number.
        let sql = "SELECT k, n, false FROM (SELECT sha256(i::text::bytea) AS k, i / 2 AS n FROM generate_series(1::bigint, 300) g(i)) list
                    WHERE n <= $1 AND (n, k) > ($2::bigint, $3::bytea) ORDER BY n, k LIMIT $4";
        let mut pages = Pages::default();
        let mut all = HashSet::new();
        for expected in [200, 100] {
            let page = next_page(client, sql, 1_000, &mut pages, true)
                .await
                .unwrap();
            assert_eq!(page.len(), expected);
            all.extend(page);
        }
        assert_eq!(all.len(), 300);
        assert_eq!(pages, Pages::default(), "the next round is like this one");
    }

    async fn closed_rows_cost_a_bounded_part_of_a_look_and_hold_up_nothing(client: &Client) {
        client
            .batch_execute(
                "CREATE TEMP TABLE list AS SELECT sha256(i::text::bytea) AS k, i AS n, i <= 5000 AS closed
                   FROM generate_series(1::bigint, 5001) g(i)",
            )
            .await
            .unwrap();
        let sql = "SELECT k, n, closed FROM pg_temp.list
                    WHERE n <= $1 AND (n, k) > ($2::bigint, $3::bytea) ORDER BY n, k LIMIT $4";
        let mut pages = Pages::default();
        let number = |place: &Option<Place>| place.as_ref().map(|(number, _)| *number);
        for expected in [(0, Some(2_000)), (0, Some(4_000)), (1, None), (1, None)] {
            let page = next_page(client, sql, 9_999, &mut pages, true).await;
            assert_eq!((page.unwrap().len(), number(&pages.after)), expected);
        }
        assert_eq!(number(&pages.closed), Some(5_000));
        // One comes up behind that: a round over everything finds it, and the others go on beside it.
        let late = "UPDATE pg_temp.list SET closed = false WHERE n = 10";
        client.batch_execute(late).await.unwrap();
        for (expected, whole) in [
            (2, Some(2_000)),
            (1, Some(4_000)),
            (2, None),
            (2, Some(2_000)),
        ] {
            // One that is under way goes on.
            pages.begin_anew();
            let page = next_page(client, sql, 9_999, &mut pages, true).await;
            assert_eq!(
                (page.unwrap().len(), number(&pages.whole)),
                (expected, whole)
            );
            assert_eq!(number(&pages.closed), Some(5_000));
        }
    }

    /// Inserts rows into a table of the projection: `set` over what means nothing. `i` counts them.
    pub(crate) async fn put(
        client: &Client,
        schema: &str,
        table: &str,
        rows: i64,
        set: &[(&str, &str)],
    ) {
        let sql = "SELECT column_name::text, data_type::text FROM information_schema.columns
                    WHERE table_schema::text = $1::text AND table_name::text = $2::text AND is_nullable::text = 'NO'";
        let found = client.query(sql, &[&schema, &table]).await.unwrap();
        let mut columns: std::collections::BTreeMap<String, &str> = found
            .iter()
            .map(|row| {
                let value = match row.get::<_, String>(1).as_str() {
                    "bytea" => "sha256(i::text::bytea)",
                    "boolean" => "true",
                    "text" => "''",
                    "jsonb" => "'{}'",
                    _ => "0",
                };
                (row.get(0), value)
            })
            .collect();
        columns.extend(set.iter().map(|(name, value)| ((*name).to_owned(), *value)));
        let names: Vec<&str> = columns.keys().map(String::as_str).collect();
        let values: Vec<&str> = columns.values().copied().collect();
        let (names, values) = (names.join(", "), values.join(", "));
        let sql = format!(
            "INSERT INTO {schema}.{table} ({names}) SELECT {values} FROM generate_series(1::bigint, {rows}) g(i)"
        );
        client.batch_execute(&sql).await.unwrap();
    }

    /// Three thousand leases that ended, owed something and were closed, and behind them one that is open.
    async fn what_is_owed_is_found_behind_leases_that_are_closed(client: &Client, schema: &str) {
        let ended = [
            ("status", "5"),
            ("ended_slot", "3"),
            ("due_slot", "i"),
            ("tenant_due_lamports", "1"),
        ];
        put(client, schema, "lease", 3_001, &ended).await;
        put(client, schema, "closure", 3_000, &[("slot", "5")]).await;
        for list in [List::OwingLeases, List::EndedLeases] {
            let (mut pages, mut found) = (Pages::default(), Vec::new());
            for expected in [0, 1] {
                found = due(client, list, 9_999, &mut pages).await.unwrap();
                assert_eq!(found.len(), expected, "{list:?}");
            }
            let hash = "SELECT sha256('3001'::bytea)";
            let row = client.query_one(hash, &[]).await.unwrap();
            assert_eq!(found, [key(&row, 0).unwrap()]);
        }
        for table in ["lease", "closure"] {
            let sql = format!("DELETE FROM {schema}.{table}");
            client.batch_execute(&sql).await.unwrap();
        }
    }

    async fn results_replace_each_other(client: &mut Client) {
        let bad = Difference {
            account: "x".into(),
            slot: Some(5),
            what: "differs".into(),
        };
        let mut result = Reconciliation {
            context_slot: 7,
            accounts: 3,
            ..Reconciliation::default()
        };
        result.on_chain.insert(Kind::Vault, 9);
        result.differing.push(bad.clone());
        result.confirmed.push(bad);
        store(client, &result).await.unwrap();
        store(client, &result).await.unwrap();
        let alarms = "SELECT count(*) FROM pipeline.alarm WHERE cleared_at IS NULL";
        assert_eq!(
            client
                .query_one(alarms, &[])
                .await
                .unwrap()
                .get::<_, i64>(0),
            1
        );
        let row = shown(client).await;
        assert_eq!(
            (&row["ok"], &row["stored_on_chain"]["vault"]),
            (&json!(false), &json!(9))
        );
        store(
            client,
            &Reconciliation {
                context_slot: 8,
                ..Reconciliation::default()
            },
        )
        .await
        .unwrap();
        assert_eq!(shown(client).await["ok"], json!(true));
        assert_eq!(
            client
                .query_one(alarms, &[])
                .await
                .unwrap()
                .get::<_, i64>(0),
            0
        );
    }

    /// Writes requests, disputes and a treasury of which a lamport is missing somewhere, each beside one of which none is.
    async fn amounts_that_do_not_add_up_are_told(client: &mut Client, schema: &str) {
        // What `unbalanced` is told of accounts: their first bytes, in order.
        async fn told(client: &mut Client) -> Vec<u8> {
            let indexed = rows(client, |_| false).await.unwrap().unwrap();
            let keys = indexed.unbalanced.iter().map(|found| {
                let key: Pubkey = found.account.parse().unwrap();
                key.to_bytes()[0]
            });
            let mut keys: Vec<u8> = keys.collect();
            keys.sort_unstable();
            keys
        }
        let before = told(client).await;
        client
            .batch_execute(&format!(
                "SET search_path = {schema}, public;
                 INSERT INTO request (bank, slot, ordinal, write_seq, exact, pubkey, tenant, nonce, kind, spec_hash, spec_source, class, units,
                    region, isolation, price_lamports, seconds, epoch_slots, epoch_seconds, rules, rent_payer, status, terms_hash,
                    requested_slot, deadline_slot, deposited_lamports, escrow_lamports, refunded_lamports, lamports)
                 SELECT 0, 1, 0, 1, true, repeat(chr(n), 32)::bytea, '', '', 1, '', '', '', 1, '', 0, 1, 1, 1, 1, '{{}}', '', status, '',
                        1, 2, 100, escrow, refunded, 1
                   FROM (VALUES (101, 1, 100, 0), (102, 1, 99, 0), (103, 2, 0, 0), (104, 2, 100, 0), (105, 3, 0, 100), (106, 4, 100, 1))
                     v(n, status, escrow, refunded);
                 INSERT INTO lease_dispute (bank, slot, ordinal, write_seq, exact, pubkey, opened_slot, lease, epoch, number, disputer, provider,
                    rent_payer, hash, proof, matrix_side, rounds, units, status, named, opened, elements, fee_lamports, at_stake_lamports,
                    openings_end_slot, resolved_slot, held_lamports, returned_lamports, reward_lamports, slashed_lamports, burned_lamports,
                    paid_lamports, lamports)
                 SELECT 0, 1, 0, 1, true, repeat(chr(n), 32)::bytea, 1, '', 1, 0, '', '', '', '', '', 1, 1, 1, 1, 1, 0, '[]', 10, 90, 2, decided,
                        held, returned, reward, 0, burned, paid, 1
                   FROM (VALUES (111, NULL::bigint, 100, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint), (112, NULL, 99, NULL, NULL, NULL, NULL),
                        (113, 2, 0, 0, 0, 90, 10), (114, 2, 0, 0, 0, 90, 9), (115, 2, 125, 100, 25, 0, 0), (116, 2, 124, 100, 25, 0, 0))
                     v(n, decided, held, returned, reward, burned, paid);
                 INSERT INTO market_treasury (bank, slot, ordinal, write_seq, exact, pubkey, balance_lamports, withdrawn_lamports,
                    received_lamports, lamports)
                 VALUES (0, 1, 0, 1, true, repeat(chr(121), 32)::bytea, 5, 2, 7, 9);
                 RESET search_path"
            ))
            .await
            .unwrap();
        let wrong = |more: &[u8]| [&before[..], more].concat();
        assert_eq!(told(client).await, wrong(&[102, 104, 106, 112, 114, 116]));
        // When its account is closed a dispute holds nothing, and its bond still adds up, or does not.
        client
            .batch_execute(&format!(
                "UPDATE {schema}.market_treasury SET received_lamports = 8;
                 INSERT INTO {schema}.closure (bank, slot, ordinal, write_seq, exact, pubkey)
                 SELECT 0, 3, 0, 0, true, pubkey FROM {schema}.lease_dispute WHERE resolved_slot IS NOT NULL"
            ))
            .await
            .unwrap();
        assert_eq!(told(client).await, wrong(&[102, 104, 106, 112, 114, 121]));
        client
            .batch_execute(&format!(
                "DELETE FROM {schema}.request WHERE deposited_lamports = 100; DELETE FROM {schema}.lease_dispute WHERE at_stake_lamports = 90;
                 DELETE FROM {schema}.market_treasury; DELETE FROM {schema}.closure WHERE slot = 3"
            ))
            .await
            .unwrap();
        assert_eq!(told(client).await, before);
    }

    #[tokio::test]
    async fn every_query_fits_the_schema_and_results_replace_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let config = ClusterConfig {
            data_dir: dir.path().join("pg"),
            port: None,
        };
        let cluster = Cluster::start(config).await.unwrap();
        mythic_indexer::migrate(cluster.url()).await.unwrap();
        crate::migrate(cluster.url()).await.unwrap();
        let (mut client, _guard) = connect(cluster.url(), &Manner::named("test"))
            .await
            .unwrap();
        assert_eq!(root(&client).await.unwrap(), None);
        assert!(rows(&mut client, |_| true).await.unwrap().is_none());
        let schema: String = client
            .query_one("SELECT projection FROM pipeline.lease", &[])
            .await
            .unwrap()
            .get(0);
        client
            .batch_execute(&format!("UPDATE {schema}.head SET finalized_slot = 7"))
            .await
            .unwrap();
        assert_eq!(root(&client).await.unwrap(), Some((7, false)));
        for market in [false, true] {
            let wanted = |kind: Kind| market || !kind.is_of_market();
            let indexed = rows(&mut client, wanted).await.unwrap().unwrap();
            assert_eq!((indexed.root, indexed.gaps), (7, false));
            assert!(indexed.rows.is_empty() && indexed.unbalanced.is_empty());
        }
        assert!(running_jobs(&client, 7).await.unwrap().is_empty());
        assert!(
            ended_jobs(&client, 7, &[vec![1; 32]])
                .await
                .unwrap()
                .is_empty()
        );
        assert!(debtors(&client).await.unwrap().is_empty());
        assert!(open_cases(&client, 7).await.unwrap().is_empty());
        let gone = [vec![1; 32]];
        assert!(ended_cases(&client, &gone).await.unwrap().is_empty());
        assert!(ended_outputs(&client, &gone).await.unwrap().is_empty());
        for list in List::ALL {
            let mut pages = Pages::default();
            let found = due(&client, list, 7, &mut pages).await.unwrap();
            assert!(found.is_empty(), "{list:?}");
        }
        assert!(owing_providers(&client).await.unwrap().is_empty());
        every_page_of_a_list_comes_in_turn(&client).await;
        closed_rows_cost_a_bounded_part_of_a_look_and_hold_up_nothing(&client).await;
        what_is_owed_is_found_behind_leases_that_are_closed(&client, &schema).await;
        amounts_that_do_not_add_up_are_told(&mut client, &schema).await;

        results_replace_each_other(&mut client).await;
        let (reader, _guard) = connect(cluster.readonly_url(), &Manner::named("test"))
            .await
            .unwrap();
        assert_eq!(shown(&reader).await["context_slot"], json!(8));
        assert!(
            reader
                .batch_execute("DELETE FROM settler.reconciliation")
                .await
                .is_err()
        );
        cluster.stop().await.unwrap();
    }
}
