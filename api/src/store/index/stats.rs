//! Statistics, newest first; each row has a `cursor` that the next page begins after.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use super::{Listing, decode_all};
use crate::{error::ApiResult, store::Pool};

/// A UTC day of the network's activity, by block time. Amounts are lamports.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DailyRow {
    /// `YYYY-MM-DD`.
    day: String,
    jobs_requested: i64,
    jobs_submitted: i64,
    jobs_settled: i64,
    jobs_refunded: i64,
    jobs_slashed: i64,
    /// Different wallets that requested.
    owners: i64,
    /// Different validators that gave results.
    validators: i64,
    /// Of the results.
    prompt_tokens: i64,
    /// Of the results.
    output_tokens: i64,
    fee_lamports: i64,
    validator_lamports: i64,
    foundation_lamports: i64,
    burned_lamports: i64,
    /// Disputes opened.
    disputes: i64,
    slashed_lamports: i64,
    /// `after` of the next page.
    cursor: String,
}

/// Lamports destined to be burned.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BurnRow {
    /// `fee`, `registration` or `dispute`; of the Compute Market `lease`, `lease_dispute` or `lease_unserved`.
    kind: String,
    /// The job, model, case, lease or dispute about a lease, base58.
    account: String,
    slot: i64,
    at: Option<String>,
    lamports: i64,
    /// `after` of the next page.
    cursor: String,
}

/// Stake that a validator lost.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SlashRow {
    /// Address, base58.
    dispute: String,
    /// Address, base58.
    job: String,
    /// Authority, base58.
    validator: String,
    /// Base58.
    challenger: String,
    /// `guilty` or `fault`.
    verdict: Option<String>,
    /// `jury`, `unanswered` or `fault`.
    ground: Option<String>,
    /// All of it: the three below together.
    slashed_lamports: i64,
    /// Beyond the bond that the challenger gets back.
    challenger_reward_lamports: Option<i64>,
    jurors_lamports: Option<i64>,
    burned_lamports: Option<i64>,
    resolved_slot: i64,
    resolved_at: Option<String>,
    /// `processed`, `confirmed` or `finalized`.
    commitment: String,
    /// False where a gap in the index may hide changes.
    exact: bool,
    /// `after` of the next page.
    cursor: String,
}

/// A job that ended, and who got what. Amounts are lamports.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SettlementRow {
    /// Address, base58.
    job: String,
    /// `settled`, `refunded` or `slashed`.
    status: Option<String>,
    /// `claimed`, `cancelled`, `declined`, `expired`, `not_guilty`, `void`, `guilty` or `fault`.
    end_reason: Option<String>,
    /// The wallet that paid, base58.
    owner: String,
    /// Authority, base58; null if none accepted it.
    validator: Option<String>,
    /// Address, base58.
    model: String,
    prompt_tokens: i64,
    output_tokens: Option<i64>,
    ceiling_lamports: i64,
    fee_lamports: Option<i64>,
    validator_lamports: Option<i64>,
    foundation_lamports: Option<i64>,
    burned_lamports: Option<i64>,
    refunded_lamports: Option<i64>,
    slashed_lamports: Option<i64>,
    ended_slot: i64,
    ended_at: Option<String>,
    /// `processed`, `confirmed` or `finalized`.
    commitment: String,
    /// False where a gap in the index may hide changes.
    exact: bool,
    /// The case about its result, base58.
    dispute: Option<String>,
    /// `after` of the next page.
    cursor: String,
}

/// A result that a validator answers for. Hashes are 64 hex digits.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FingerprintRow {
    /// Address, base58.
    job: String,
    /// Authority, base58.
    validator: Option<String>,
    /// Address, base58.
    model: String,
    fingerprint: Option<String>,
    output_root: Option<String>,
    terms_hash: String,
    prompt_hash: String,
    prompt_tokens: i64,
    output_tokens: Option<i64>,
    /// `eos`, `length`, `stopped` or `cancelled`.
    finish_reason: Option<String>,
    submitted_slot: i64,
    submitted_at: Option<String>,
    /// Slot from which nobody opens a case about it.
    window_end_slot: Option<i64>,
    /// `processed`, `confirmed` or `finalized`.
    commitment: String,
    /// False where a gap in the index may hide changes.
    exact: bool,
    /// `after` of the next page.
    cursor: String,
}

/// Statistics that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    Daily,
    Burns,
    Slashes,
    Settlements,
    Fingerprints,
}

impl Statistic {
    /// By its name.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "daily" => Self::Daily,
            "burns" => Self::Burns,
            "slashes" => Self::Slashes,
            "settlements" => Self::Settlements,
            "fingerprints" => Self::Fingerprints,
            _ => return None,
        })
    }

    /// Parameters: slot and key of the row to follow, N. The days are sums that are kept; the others are lists.
    pub(super) fn sql(self, commitment: &str) -> String {
        let list = |views: &[&str], slot: &str, account: &str, hidden: &str| {
            let rows = Listing {
                views,
                commitment,
                columns: "*",
                condition: &format!(
                    "($1::bigint IS NULL OR ({slot} <= $1 AND ({slot} < $1 OR {account}_key > $2::bytea)))"
                ),
                order: &format!("{slot} DESC, {account}_key"),
                limit: "$3",
            };
            // Texts of keys, also where they are missing.
            let keys: Vec<&str> = hidden
                .split(',')
                .filter_map(|key| key.strip_suffix("_key"))
                .collect();
            let text = |name: &str| format!("COALESCE(s.{name}, analytics.base58(s.{name}_key))");
            let shown: String = std::iter::once(account)
                .chain(keys)
                .map(|name| format!("'{name}', {}, ", text(name)))
                .collect();
            format!(
                "SELECT to_jsonb(s) - '{{{account}_key{hidden}}}'::text[] || jsonb_build_object({shown}'cursor', s.{slot} || '.' || {})
                   FROM ({}) s",
                text(account),
                rows.sql()
            )
        };
        match self {
            Self::Daily => format!(
                "SELECT to_jsonb(s) - 'number' || jsonb_build_object('cursor', s.number || '.')
                   FROM (SELECT *, to_char(day, 'YYYYMMDD')::bigint AS number FROM analytics.network_daily_{commitment}) s
                  WHERE $2::bytea IS NULL OR s.number < $1::bigint ORDER BY s.number DESC LIMIT $3"
            ),
            Self::Burns => list(
                &[
                    "burns_fee",
                    "burns_registration",
                    "burns_dispute",
                    "burns_lease",
                    "burns_lease_dispute",
                    "burns_lease_unserved",
                ],
                "slot",
                "account",
                "",
            ),
            Self::Slashes => list(
                &["slashes"],
                "resolved_slot",
                "dispute",
                ",job_key,validator_key",
            ),
            Self::Settlements => list(
                &["settlements"],
                "ended_slot",
                "job",
                ",owner_key,validator_key,model_key",
            ),
            Self::Fingerprints => list(
                &["fingerprints"],
                "submitted_slot",
                "job",
                ",validator_key,model_key",
            ),
        }
    }

    /// At most `limit` rows after the slot and key of a cursor. `T` is the row of this statistic.
    pub async fn rows<T: DeserializeOwned>(
        self,
        pool: &Pool,
        commitment: &'static str,
        after: &(Option<i64>, Option<Vec<u8>>),
        limit: i64,
    ) -> ApiResult<Vec<T>> {
        let client = pool.get().await?;
        let rows = client
            .query(&self.sql(commitment), &[&after.0, &after.1, &limit])
            .await?;
        decode_all(rows)
    }
}
