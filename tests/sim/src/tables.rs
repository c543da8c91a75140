//! What the index shows: the analyst's views, read whole.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use mythic_indexer::feed::Topic;
use mythic_indexer::projection::{ARCHIVED, At, PLACE, Parcels, tell};
use tokio_postgres::{Client, Statement};

use crate::accounts::by_key;
use crate::story::{AccountId, Kind};
use crate::truth::Name;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Commitment {
    Processed,
    Confirmed,
    Finalized,
}

impl Commitment {
    pub const ALL: [Self; 3] = [Self::Processed, Self::Confirmed, Self::Finalized];

    pub fn name(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Confirmed => "confirmed",
            Self::Finalized => "finalized",
        }
    }
}

/// A row of an entity's view.
#[derive(Clone, Debug)]
pub struct Row {
    pub slot: i64,
    pub seq: i64,
    pub exact: bool,
    pub closed_slot: Option<i64>,
    pub values: Vec<i64>,
}

/// A row of `slots_…`.
#[derive(Clone, Debug)]
pub struct SlotRow {
    pub slot: i64,
    pub blockhash: Option<String>,
    pub gap: bool,
}

/// A row of `banks`.
#[derive(Clone, Debug)]
pub struct BankRow {
    pub slot: i64,
    pub blockhash: Option<String>,
    pub status: String,
}

/// One commitment's views.
#[derive(Debug)]
pub struct View {
    /// Newest first.
    pub slots: Vec<SlotRow>,
    pub rows: BTreeMap<Name, Row>,
    /// Validators' stake as told: slot, then stake, activating, unbonding.
    pub stakes: BTreeMap<AccountId, Vec<(i64, [i64; 3])>>,
    /// The network's sums.
    pub figures: Vec<i64>,
}

/// What a finalized account says it holds for somebody.
#[derive(Clone, Debug)]
pub struct HeldRow {
    pub name: Name,
    pub exact: bool,
    pub held: i64,
}

const ENTITIES: &str = "
    SELECT 0, id_key, 0::bigint, slot, write_seq, exact, NULL::bigint,
           ARRAY[balance, held, open_jobs, deposited, created_slot, lamports]::bigint[] FROM analytics.vaults_$c
    UNION ALL SELECT 1, id_key, 0, slot, write_seq, exact, NULL,
           ARRAY[per_job_max, window_spent, open_jobs, lifetime_spent, created_slot, lamports]::bigint[] FROM analytics.grants_$c
    UNION ALL SELECT 2, id_key, requested_slot, slot, write_seq, exact, closed_slot,
           ARRAY[status_code, requested_slot, accepted_slot, submitted_slot, ended_slot, output_tokens, fee_lamports,
                 refunded_lamports, ceiling_lamports, lamports]::bigint[] FROM analytics.jobs_$c
    UNION ALL SELECT 3, id_key, 0, slot, write_seq, exact, NULL,
           ARRAY[stake, activating, unbonding, claimable, registered_slot, jobs_settled, lamports]::bigint[] FROM analytics.validators_$c
    UNION ALL SELECT 4, id_key, 0, slot, write_seq, exact, NULL,
           ARRAY[price_in, price_out, burned_lamports, registered_slot]::bigint[] FROM analytics.models_$c
    UNION ALL SELECT 5, id_key, 0, slot, write_seq, exact, closed_slot,
           ARRAY[status_code, opened_slot, shown_slot, resolved_slot, jury_seats, opened_positions, bonds_lamports, slashed_lamports,
                 claimants_lamports, burned_lamports, held_lamports, output_rent_lamports, committed_seats,
                 (SELECT sum(u.reward_lamports) FROM analytics.jurors_$c u WHERE u.dispute_key = d.id_key),
                 (SELECT count(*) FROM analytics.claims_$c w WHERE w.dispute_key = d.id_key),
                 (SELECT sum(w.amount_lamports) FROM analytics.claims_$c w WHERE w.dispute_key = d.id_key),
                 (SELECT count(*) FROM analytics.openings_$c o WHERE o.dispute_key = d.id_key),
                 (SELECT sum(o.token) FROM analytics.openings_$c o WHERE o.dispute_key = d.id_key), lamports]::bigint[]
           FROM analytics.cases_$c d
    UNION ALL SELECT 6, id_key, 0, slot, write_seq, exact, closed_slot,
           ARRAY[jsonb_array_length(votes), (SELECT count(*) FROM jsonb_array_elements(votes) v WHERE v <> 'null'),
                 (SELECT sum((v->'agrees'->>0)::bigint) FROM jsonb_array_elements(votes) v WHERE v <> 'null'), lamports]::bigint[]
           FROM analytics.votes_$c
    UNION ALL SELECT 7, id_key, 0, slot, write_seq, exact, closed_slot,
           ARRAY[token_count, chunks_posted, chunks_posted_on_all_pages, updated_slot, completed_slot, lamports]::bigint[]
           FROM analytics.outputs_$c
    UNION ALL SELECT 8, id_key, 0, slot, write_seq, exact, NULL,
           ARRAY[stake_lamports, leased_units, earned_lamports, registered_slot, epochs_proved, lamports]::bigint[] FROM analytics.providers_$c
    UNION ALL SELECT 9, id_key, 0, slot, write_seq, exact, closed_slot,
           ARRAY[status_code, requested_slot, ended_slot, deposited_lamports, escrow_lamports, refunded_lamports, lamports]::bigint[]
           FROM analytics.requests_$c
    UNION ALL SELECT 10, id_key, 0, slot, write_seq, exact, closed_slot,
           ARRAY[status_code, accepted_slot, started_slot, ended_slot, pending_lamports, escrow_lamports, tenant_due_lamports,
                 CASE WHEN closed_slot IS NULL THEN held_lamports ELSE pending_lamports + escrow_lamports + tenant_due_lamports END,
                 (SELECT count(*) FROM analytics.lease_epochs_$c e WHERE e.lease_key = l.id_key AND e.metered_slot = l.accepted_slot),
                 (SELECT sum(e.amount_lamports) FROM analytics.lease_epochs_$c e WHERE e.lease_key = l.id_key AND e.metered_slot = l.accepted_slot),
                 astray_lamports, lamports]::bigint[]
           FROM analytics.leases_$c l
    UNION ALL SELECT 11, id_key, opened_slot, slot, write_seq, exact, closed_slot,
           ARRAY[status_code, opened_slot, resolved_slot, opened_elements, bond_lamports,
                 CASE WHEN closed_slot IS NULL THEN held_lamports ELSE bond_lamports - COALESCE(burned_lamports + paid_lamports, 0) END,
                 burned_lamports, lamports]::bigint[]
           FROM analytics.lease_disputes_$c";

/// What the settler compares with the chain: what accounts say they hold for somebody.
const HELD: &str = "
    SELECT 0, id_key, 0::bigint, exact, balance AS held FROM analytics.vaults_finalized
    UNION ALL SELECT 3, id_key, 0, exact, stake + activating + unbonding + claimable + owed_foundation + owed_burn
      FROM analytics.validators_finalized
    UNION ALL SELECT 2, id_key, requested_slot, exact, CASE WHEN ended_slot IS NULL THEN ceiling_lamports ELSE 0 END
      FROM analytics.jobs_finalized WHERE closed_slot IS NULL
    UNION ALL SELECT 5, id_key, 0, exact, held_lamports + output_rent_lamports FROM analytics.cases_finalized WHERE closed_slot IS NULL
    UNION ALL SELECT 8, id_key, 0, exact, stake_lamports + activating_lamports + unbonding_lamports + claimable_lamports
           + owed_foundation_lamports + owed_burn_lamports FROM analytics.providers_finalized
    UNION ALL SELECT 9, id_key, 0, exact, escrow_lamports FROM analytics.requests_finalized WHERE closed_slot IS NULL
    UNION ALL SELECT 10, id_key, 0, exact, held_lamports FROM analytics.leases_finalized WHERE closed_slot IS NULL
    UNION ALL SELECT 11, id_key, opened_slot, exact, held_lamports FROM analytics.lease_disputes_finalized WHERE closed_slot IS NULL";

/// The network's sums, in the order of [`crate::accounts::figures`].
const FIGURES: &str = "SELECT ARRAY[jobs, jobs_settled, jobs_refunded, registered_validators, staked_lamports, disputes, disputes_open,
        fee_lamports, burned_lamports]::bigint[] FROM analytics.network_$c";

/// By the numbers in the queries.
const KINDS: [Kind; 12] = [
    Kind::Vault,
    Kind::Grant,
    Kind::Job,
    Kind::Validator,
    Kind::Model,
    Kind::Case,
    Kind::Votes,
    Kind::Output,
    Kind::Provider,
    Kind::Request,
    Kind::Lease,
    Kind::LeaseDispute,
];

const SLOTS: &str = "SELECT slot, blockhash, gap FROM analytics.slots_$c ORDER BY slot DESC, gap";
const STAKES: &str = "SELECT validator_key, slot, stake, activating, unbonding FROM analytics.validator_stake_$c ORDER BY slot, ordinal";
const BANKS: &str = "SELECT slot, blockhash, status FROM analytics.banks";
/// The feed, with the archived updates that it is of.
fn feed_sql() -> String {
    format!(
        "SELECT f.seq, f.topic, f.op, f.entity, f.slot AS told_slot, f.blockhash, e.first_seq, e.last_seq, e.count, e.bank, e.ordinal,
                {ARCHIVED} FROM feed.event f JOIN feed.entry e USING (seq) LEFT JOIN archive.account a ON {PLACE} ORDER BY f.seq"
    )
}

/// The queries, planned once for many stories: to plan those of the views takes longer than to run them.
pub struct Queries {
    /// Slots, entities, stakes, figures.
    views: BTreeMap<Commitment, [Statement; 4]>,
    banks: Statement,
    held: Statement,
    feed: Statement,
}

impl Queries {
    pub async fn prepare(client: &Client) -> Result<Self> {
        let mut views = BTreeMap::new();
        for commitment in Commitment::ALL {
            let ask = |sql: &str| sql.replace("$c", commitment.name());
            let queries = [
                client.prepare(&ask(SLOTS)).await?,
                client.prepare(&ask(ENTITIES)).await?,
                client.prepare(&ask(STAKES)).await?,
                client.prepare(&ask(FIGURES)).await?,
            ];
            views.insert(commitment, queries);
        }
        Ok(Self {
            views,
            banks: client.prepare(BANKS).await?,
            held: client.prepare(HELD).await?,
            feed: client.prepare(&feed_sql()).await?,
        })
    }
}

/// Reads everything that one commitment shows.
pub async fn view(client: &Client, queries: &Queries, commitment: Commitment) -> Result<View> {
    let [slots, entities, stakes, figures] = &queries.views[&commitment];
    let slots = client.query(slots, &[]).await.context("slots")?;
    let entities = client.query(entities, &[]).await.context("entities")?;
    let stakes = client.query(stakes, &[]).await.context("validator_stake")?;
    let figures = client
        .query_one(figures, &[])
        .await
        .context("network's figures")?;
    let mut view = View {
        figures: figures.get(0),
        slots: slots
            .iter()
            .map(|row| SlotRow {
                slot: row.get(0),
                blockhash: row.get(1),
                gap: row.get(2),
            })
            .collect(),
        rows: BTreeMap::new(),
        stakes: BTreeMap::new(),
    };
    for row in &entities {
        let kind = KINDS[row.get::<_, i32>(0) as usize];
        let values: Vec<Option<i64>> = row.get(7);
        let name = (kind, by_key(row.get(1)), row.get(2));
        let found = Row {
            slot: row.get(3),
            seq: row.get(4),
            exact: row.get(5),
            closed_slot: row.get(6),
            values: values.into_iter().map(Option::unwrap_or_default).collect(),
        };
        anyhow::ensure!(
            view.rows.insert(name, found).is_none(),
            "{name:?} stands twice in a view"
        );
    }
    for row in &stakes {
        let told = (row.get(1), [row.get(2), row.get(3), row.get(4)]);
        view.stakes
            .entry(by_key(row.get(0)))
            .or_default()
            .push(told);
    }
    Ok(view)
}

/// What the settler compares.
pub async fn held(client: &Client, queries: &Queries) -> Result<Vec<HeldRow>> {
    let rows = client
        .query(&queries.held, &[])
        .await
        .context("amounts held for others")?;
    let held = |row: &tokio_postgres::Row| HeldRow {
        name: (
            KINDS[row.get::<_, i32>(0) as usize],
            by_key(row.get(1)),
            row.get(2),
        ),
        exact: row.get(3),
        held: row.get(4),
    };
    Ok(rows.iter().map(held).collect())
}

/// Every bank ever sealed.
pub async fn banks(client: &Client, queries: &Queries) -> Result<Vec<BankRow>> {
    let rows = client.query(&queries.banks, &[]).await.context("banks")?;
    Ok(rows
        .iter()
        .map(|row| BankRow {
            slot: row.get(0),
            blockhash: row.get(1),
            status: row.get(2),
        })
        .collect())
}

/// A row of `feed.event`.
#[derive(Clone, Debug)]
pub struct FeedRow {
    pub seq: i64,
    pub topic: String,
    pub op: String,
    pub entity: Option<String>,
    pub slot: i64,
    pub blockhash: String,
    pub write_seq: Option<i64>,
    pub status: Option<String>,
    /// First and last number and how many, of a row that speaks for a bank.
    pub span: Option<(i64, i64, i64)>,
}

pub async fn feed(client: &Client, queries: &Queries) -> Result<Vec<FeedRow>> {
    let rows = client.query(&queries.feed, &[]).await.context("feed")?;
    let mut parcels = Parcels::default();
    rows.iter().map(|row| feed_row(row, &mut parcels)).collect()
}

fn feed_row(row: &tokio_postgres::Row, parcels: &mut Parcels) -> Result<FeedRow> {
    let (topic, slot): (String, i64) = (row.get("topic"), row.get("told_slot"));
    let entity: Option<String> = row.get("entity");
    let told = match entity {
        Some(_) => {
            let at = At {
                slot: u64::try_from(slot)?,
                ordinal: row.get("ordinal"),
                exact: true,
            };
            tell(
                parcels.update(row)?,
                at,
                Topic::from_name(&topic).context("topic")?,
            )
        }
        None => None,
    };
    let span = row.get::<_, Option<i64>>("first_seq").map(|first| {
        (
            first,
            row.get::<_, Option<i64>>("last_seq").unwrap_or(0),
            row.get::<_, Option<i32>>("count").unwrap_or(0).into(),
        )
    });
    Ok(FeedRow {
        seq: row.get("seq"),
        topic,
        op: row.get("op"),
        entity,
        slot,
        blockhash: row.get("blockhash"),
        write_seq: told.as_ref().and_then(|told| told["write_seq"].as_i64()),
        status: told
            .as_ref()
            .and_then(|told| told["status"].as_str().map(str::to_owned)),
        span,
    })
}
