//! Cases as the index shows them.

use serde::{Deserialize, Deserializer, Serialize};
use solana_pubkey::Pubkey;
use utoipa::ToSchema;

use super::{FIRST_ROWS, Listing, decode, decode_all, first_rows, texts};
use crate::{
    error::{ApiError, ApiResult},
    store::Pool,
};

/// Columns of a case, without those of [`KEYS`].
const COLUMNS: &str = "status, verdict, ground, commitment, fingerprint, exact_profile, claims, false_claims, sampled_positions,
    named_positions, opened_positions, output_tokens, output_chunks_posted, jury_seats, committed_seats, revealed_seats,
    stake_at_result_lamports, committed_stake_lamports, tariff_lamports, bonds_lamports, slashed_lamports, reward_lamports,
    claimants_lamports, jurors_lamports, submitter_lamports, prover_lamports, burned_lamports, penalties_lamports, collected,
    submitted_slot, opened_slot, shown_slot, joining_end_slot, leaves_slot, leaves_due_slot, commit_from_slot, commit_end_slot,
    reveal_end_slot, due_slot, resolved_slot, closed_slot, opened_at, resolved_at, exact";

/// Keys of a case.
const KEYS: [&str; 6] = ["id", "job", "model", "challenger", "submitter", "prover"];

fn columns() -> String {
    format!("{}, {COLUMNS}", texts(&KEYS))
}

/// Slots over which the length of a slot is measured.
const PACE_SLOTS: i64 = 150;

fn object() -> String {
    "case".into()
}

/// What is said against a job's result, or a proven fault of it (ground `fault`): one case a job. Amounts are lamports; what is
/// not known yet is null.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Case)]
pub struct CaseRow {
    /// `case`.
    #[serde(default = "object")]
    object: String,
    /// Address of its account, base58.
    id: String,
    /// Address of the job, base58.
    job: String,
    /// Status of the job.
    job_status: Option<String>,
    /// Id of the model if this gateway serves it, else its address.
    pub model: Option<String>,
    /// Address of the model, base58.
    #[serde(default)]
    pub model_address: String,
    /// Who got the reward, else who opened it or proved the fault, base58.
    challenger: Option<String>,
    /// Authority of the validator whose result it is about, base58.
    submitter: String,
    /// Who proved a fault, base58.
    prover: Option<String>,
    /// `opening`, `joining`, `jury` or `resolved`.
    pub status: String,
    /// Where it stands at `slot`: `opening` (output and positions are awaited), `joining` (others may join), `showing` (what
    /// those named is awaited), `draw`, `commit`, `reveal`, `due` (anyone may end it), `resolved` or `closed`.
    #[serde(default)]
    pub phase: Option<String>,
    /// What comes next if nobody does anything.
    #[serde(default)]
    pub next: Option<NextPhase>,
    /// Newest slot of the index.
    #[serde(default)]
    pub slot: Option<i64>,
    /// `guilty`, `not_guilty`, `void` or `fault`.
    verdict: Option<String>,
    /// `jury`, `unanswered`, `no_claim`, `fault`, `no_quorum` or `too_few_judges`.
    ground: Option<String>,
    /// Commitment of its newest change.
    commitment: String,
    /// The result's, 64 hex digits.
    fingerprint: String,
    /// Whether the model's arithmetic is the same on every machine.
    exact_profile: bool,
    /// How many claims there are.
    claims: i64,
    /// Those of them that say `false`.
    pub false_claims: i64,
    /// Positions that were drawn.
    pub sampled_positions: i64,
    /// Positions that claims name.
    pub named_positions: i64,
    /// Positions that were shown.
    pub opened_positions: i64,
    output_tokens: Option<i64>,
    /// Chunks of 128 token ids posted.
    output_chunks_posted: Option<i64>,
    jury_seats: i64,
    committed_seats: i64,
    revealed_seats: i64,
    /// The submitter's whole stake at its result: what bonds are computed on.
    stake_at_result_lamports: i64,
    /// Stake of all who committed to the jury: the most that it can take.
    committed_stake_lamports: i64,
    /// What a juror gets where the jury decides.
    tariff_lamports: i64,
    /// What all claimants paid in.
    bonds_lamports: i64,
    slashed_lamports: Option<i64>,
    /// The part of the slash that a claimant or prover got.
    reward_lamports: Option<i64>,
    /// What all claimants got, bonds that returned among it.
    claimants_lamports: Option<i64>,
    jurors_lamports: Option<i64>,
    submitter_lamports: Option<i64>,
    prover_lamports: Option<i64>,
    burned_lamports: Option<i64>,
    /// What jurors lost.
    penalties_lamports: Option<i64>,
    /// Resolved, and everybody has what is due.
    collected: bool,
    submitted_slot: Option<i64>,
    opened_slot: i64,
    /// Slot in which output, sample and the opener's positions were shown.
    shown_slot: Option<i64>,
    pub joining_end_slot: Option<i64>,
    leaves_slot: Option<i64>,
    pub leaves_due_slot: Option<i64>,
    pub commit_from_slot: Option<i64>,
    pub commit_end_slot: Option<i64>,
    pub reveal_end_slot: Option<i64>,
    pub due_slot: Option<i64>,
    resolved_slot: Option<i64>,
    pub closed_slot: Option<i64>,
    opened_at: Option<String>,
    resolved_at: Option<String>,
    /// False where a gap in the index may hide changes.
    exact: bool,
}

/// What comes next of a case or a lease if nobody does anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NextPhase {
    /// Of a case `leaves_due`, `joining_end`, `commit_from`, `commit_end` or `reveal_end`; of a lease `start_end`, `ack_end`, `proof_end`
    /// or `notice_end`.
    pub event: String,
    pub slot: i64,
    pub slots_left: i64,
    /// At the pace of the last slots; null where that is not known.
    pub seconds_left: Option<i64>,
}

impl NextPhase {
    /// An event in a slot, seen from slot `now`; `pace` is the seconds that a slot takes.
    pub fn of(event: &str, slot: i64, now: i64, pace: Option<f64>) -> Self {
        let slots_left = slot.saturating_sub(now);
        Self {
            event: event.into(),
            slot,
            slots_left,
            seconds_left: pace.map(|pace| (slots_left as f64 * pace).ceil() as i64),
        }
    }
}

/// A case with all that belongs to it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CaseDetails {
    #[serde(flatten)]
    pub case: CaseRow,
    /// What is claimed, in the order in which it was.
    all_claims: Vec<ClaimRow>,
    /// Taken seats of the jury.
    jurors: Vec<JurorRow>,
    /// Positions that it checks, and the leaf of a proven fault.
    openings: Vec<OpeningRow>,
    /// Pages of the posted output.
    output: Vec<OutputRow>,
}

/// A claim in a case.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ClaimRow {
    /// Its number, from 0.
    place: i64,
    /// Authority, base58.
    claimant: String,
    /// `withheld` or `false`.
    kind: String,
    /// `right`, `wrong` or `undecided`; null until the case is resolved.
    outcome: Option<String>,
    claimed_slot: i64,
    /// Positions that it names.
    positions: Option<Vec<i64>>,
    /// Which of a juror's digests is of them; null if it names none.
    digest_place: Option<i64>,
    /// Digest of them as they were shown, hex.
    digest: Option<String>,
    /// What it paid in.
    bond_lamports: i64,
    /// What of it is burned if it is wrong.
    at_stake_lamports: i64,
    answering_fee_lamports: i64,
    /// For the jury; only of the first that says `false`.
    tariffs_lamports: i64,
    /// What it gets, of its bond and as a reward.
    amount_lamports: Option<i64>,
    reward_lamports: Option<i64>,
    collected: bool,
}

/// A seat of a jury.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JurorRow {
    seat: i64,
    /// Authority, base58.
    juror: String,
    committed_slot: i64,
    revealed_slot: Option<i64>,
    /// Whether it finds the sample as submitted; null until it reveals.
    finds_sample_true: Option<bool>,
    /// Digests that it finds as submitted, by their places: 1 the sample, 2 and on those of claims; null until it reveals.
    #[serde(deserialize_with = "places")]
    finds_true: Option<Vec<u8>>,
    /// By digest, the seats that revealed the same; null until it reveals.
    #[serde(deserialize_with = "each_places")]
    agrees: Option<Vec<Vec<u8>>>,
    /// The digests that it revealed, hex: of its work, of the sample, of claims' positions. Exact profiles only.
    digests: Option<Vec<String>>,
    reward_lamports: Option<i64>,
    penalty_lamports: Option<i64>,
    /// `paid`, `penalised` or `unpaid`; null until the case is resolved.
    outcome: Option<String>,
    collected: bool,
}

/// A position that a case checks.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OpeningRow {
    /// In the output, from 0.
    position: i64,
    /// `sample`, `claim`, or `fault`: the leaf of a proven one.
    asked_by: String,
    /// Number of the claim that names it.
    claim_place: Option<i64>,
    /// It was shown.
    shown: bool,
    /// Id of its token; null until it is shown.
    token: Option<i64>,
    /// The four likeliest ids, likeliest first; null until shown.
    ids: Option<Vec<i64>>,
    /// Their logits in Q16.16; null until shown.
    logits: Option<Vec<i64>>,
}

/// A page of token ids posted in a case.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OutputRow {
    /// Address of its account, base58.
    id: String,
    /// From 0.
    page: i64,
    token_count: i64,
    /// Chunks of 128 token ids posted.
    chunks_posted: i64,
    completed_slot: Option<i64>,
    closed_slot: Option<i64>,
}

/// Places of the bits that are set.
fn set(bits: i64) -> Vec<u8> {
    (0..32).filter(|place| (bits >> place) & 1 == 1).collect()
}

/// The places whose bits are set; null where the bits are not known.
fn places<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    Ok(Option::<i64>::deserialize(deserializer)?.map(set))
}

/// The same for each of a list.
fn each_places<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Vec<u8>>>, D::Error> {
    let all = Option::<Vec<i64>>::deserialize(deserializer)?;
    Ok(all.map(|all| all.into_iter().map(set).collect()))
}

/// What the chain is at, as the index shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    /// Newest slot.
    pub now: Option<i64>,
    /// Seconds that a slot took lately.
    pub seconds: Option<f64>,
}

/// Newest slot, and how long the last ones took.
pub async fn pace(pool: &Pool) -> ApiResult<Pace> {
    let client = pool.get().await?;
    let row = client
        .query_opt(
            "SELECT p.processed_slot,
                    (SELECT extract(epoch FROM max(s.at) - min(s.at))::float8 / nullif(max(s.slot) - min(s.slot), 0)
                       FROM analytics.slots_processed s WHERE s.slot > p.processed_slot - $1 AND s.at IS NOT NULL AND NOT s.gap)
               FROM analytics.pipeline_status p",
            &[&PACE_SLOTS],
        )
        .await?;
    Ok(row.map_or_else(Pace::default, |row| Pace {
        now: row.get(0),
        seconds: row.get::<_, Option<f64>>(1).filter(|pace| *pace > 0.0),
    }))
}

/// What cases are listed by.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CasesWanted {
    pub status: Option<i16>,
    pub job: Option<Vec<u8>>,
    pub submitter: Option<Vec<u8>>,
    pub challenger: Option<Vec<u8>>,
    /// The case to follow.
    pub after: Option<Vec<u8>>,
}

/// The status of a case's job beside it.
fn with_job(rows: &str, commitment: &str) -> String {
    format!(
        "SELECT to_jsonb(d) - '{{id_key,job_key}}'::text[] || jsonb_build_object('job_status',
            (SELECT j.status FROM analytics.jobs_{commitment} j WHERE j.id_key = d.job_key ORDER BY j.requested_slot DESC LIMIT 1))
           FROM ({rows}) d"
    )
}

/// Cases, newest first. Parameters: opened slot and key of the one to follow, status, job, submitter, challenger, N.
pub(super) fn list_sql(commitment: &str) -> String {
    sql(
        commitment,
        "($1::bigint IS NULL OR (opened_slot <= $1 AND (opened_slot < $1 OR id_key < $2::bytea)))
            AND ($3::smallint IS NULL OR status_code = $3) AND ($4::bytea IS NULL OR job_key = $4)
            AND ($5::bytea IS NULL OR submitter_key = $5) AND ($6::bytea IS NULL OR challenger_key = $6)",
        "$7",
    )
}

/// The newest cases.
pub(super) fn first_sql(commitment: &str) -> String {
    sql(commitment, "true", &FIRST_ROWS.to_string())
}

fn sql(commitment: &str, condition: &str, limit: &str) -> String {
    let rows = Listing {
        views: &["cases"],
        commitment,
        columns: &format!("{}, id_key, job_key", columns()),
        condition,
        order: "opened_slot DESC, id_key DESC",
        limit,
    };
    with_job(&rows.sql(), commitment)
}

/// At most `limit` cases, newest first.
pub async fn list(
    pool: &Pool,
    commitment: &'static str,
    wanted: &CasesWanted,
    limit: i64,
) -> ApiResult<Vec<CaseRow>> {
    if *wanted == CasesWanted::default() && limit <= FIRST_ROWS {
        return first_rows(pool, &first_sql(commitment), limit).await;
    }
    let client = pool.get().await?;
    let cursor: Option<i64> = match &wanted.after {
        None => None,
        Some(key) => {
            let sql =
                format!("SELECT opened_slot FROM analytics.cases_{commitment} WHERE id_key = $1");
            let row = client.query_opt(&sql, &[key]).await?;
            Some(row.map(|row| row.get(0)).ok_or_else(|| {
                ApiError::invalid("after", "after must be the id of an indexed case")
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
                &wanted.job,
                &wanted.submitter,
                &wanted.challenger,
                &limit,
            ],
        )
        .await?;
    decode_all(rows)
}

/// A case with its claims, jury, positions and output; `None` if the index does not show it at this commitment.
pub async fn show(
    pool: &Pool,
    commitment: &'static str,
    key: &Pubkey,
) -> ApiResult<Option<CaseDetails>> {
    let client = pool.get().await?;
    let rows = format!(
        "SELECT {}, id_key, job_key FROM analytics.cases_{commitment} WHERE id_key = $1",
        columns()
    );
    let sql = format!(
        "SELECT whole || jsonb_build_object(
            'all_claims', (SELECT COALESCE(jsonb_agg(to_jsonb(w) ORDER BY w.place), '[]') FROM (
                SELECT place, claimant, claim_kind AS kind, outcome, claimed_slot, positions, digest_place, digest, bond_lamports,
                       at_stake_lamports, answering_fee_lamports, tariffs_lamports, amount_lamports, reward_lamports, collected
                  FROM analytics.claims_{commitment} WHERE dispute_key = $1) w),
            'jurors', (SELECT COALESCE(jsonb_agg(to_jsonb(u) ORDER BY u.seat), '[]') FROM (
                SELECT seat, juror, committed_slot, revealed_slot, finds_sample_true, finds_true, agrees, digests, reward_lamports,
                       penalty_lamports, outcome, collected
                  FROM analytics.jurors_{commitment} WHERE dispute_key = $1) u),
            'openings', (SELECT COALESCE(jsonb_agg(to_jsonb(o) - 'place' ORDER BY o.place), '[]') FROM (
                SELECT place, position, asked_by, claim_place, shown, token, ids, logits FROM analytics.openings_{commitment} WHERE dispute_key = $1) o),
            'output', (SELECT COALESCE(jsonb_agg(to_jsonb(p) ORDER BY p.page), '[]') FROM (
                SELECT id, page, token_count, chunks_posted, completed_slot, closed_slot FROM analytics.outputs_{commitment}
                 WHERE job_key = (SELECT job_key FROM analytics.cases_{commitment} WHERE id_key = $1)) p))
           FROM ({}) w(whole)",
        with_job(&rows, commitment)
    );
    let row = client.query_opt(&sql, &[&key.as_ref()]).await?;
    row.map(|row| decode(row.get(0))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_become_places() {
        let read = |text: &str| places(&mut serde_json::Deserializer::from_str(text)).unwrap();
        assert_eq!(read("5"), Some(vec![0, 2]));
        assert_eq!(read("null"), None);
        let read = |text: &str| each_places(&mut serde_json::Deserializer::from_str(text)).unwrap();
        assert_eq!(read("[3, 0]"), Some(vec![vec![0, 1], vec![]]));
        assert_eq!(read("null"), None);
    }
}
