//! The transactions of a made network, and what views and questions say of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use mythic_interface::AI_PRECOMPILES_ID;
use mythic_interface::error::MythicError;
use mythic_interface::ix::{
    CancelJob, ClaimInferenceFee, Instruction, RequestInference, ResolveCase, SubmitResult, Tag,
};
use mythic_interface::le::Text;
use mythic_interface::state::Key;
use mythic_stream::proto::{Call, TransactionFailure, TransactionUpdate};
use mythic_stream::transactions;

use super::book::{as_analyst, questions};
use super::plans::rows_read;
use super::world::{Act, Fact, MODEL, OWNER, Outcome, VALIDATOR, VAULT, World, key};
use super::{BATCH, write};
use crate::tests::postgres::Database;
use crate::{Swap, rebuild};

/// One job in so many is claimed inside its window, which fails.
pub const TOO_EARLY_EVERY: usize = 10;
/// Lamports of fee of each transaction.
const FEE: u64 = 5_000;

/// What a job's act was called, and by whom.
fn call(act: Act, job: &Fact) -> Option<(Key, Vec<u8>, Vec<Key>)> {
    let (owner, validator) = (key(OWNER, job.owner), key(VALIDATOR, job.validator));
    let vault = key(VAULT, job.owner);
    Some(match act {
        Act::Request => {
            let request = RequestInference {
                nonce: [0; 16],
                canceller: [0; 32],
                prompt_hash: job.key,
                prompt_tokens: 100.into(),
                max_output_tokens: 500.into(),
                price_in: 100.into(),
                price_out: 200.into(),
                user_seed: job.key,
                temperature_milli: 700.into(),
                sampling_profile: 1,
                options_hash: [0; 32],
                prompt_source: Text::new("http://gateway").unwrap_or_default(),
                deadline_slots: 300.into(),
                rules_hash: [4; 32],
                bump: 254,
            };
            let none = AI_PRECOMPILES_ID;
            let model = key(MODEL, job.model);
            let accounts = [
                owner, owner, none, model, vault, none, job.key, none, none, none,
            ];
            (owner, request.encode(), accounts.to_vec())
        }
        Act::Submit => {
            let result = SubmitResult {
                terms_hash: job.key,
                output_root: job.key,
                fingerprint: job.key,
                output_tokens: job.output_tokens.into(),
                finish_reason: 1,
            };
            (
                validator,
                result.encode(),
                vec![validator, validator, job.key],
            )
        }
        Act::End => match job.outcome {
            Outcome::Settled => (validator, claim(), vec![job.key, validator, vault]),
            Outcome::Refunded => (owner, CancelJob {}.encode(), vec![owner, job.key, vault]),
            Outcome::Slashed => {
                let accounts = vec![job.key, job.key, validator, vault];
                (validator, ResolveCase {}.encode(), accounts)
            }
        },
        Act::Accept | Act::Dispute | Act::Price(_) => return None,
    })
}

fn claim() -> Vec<u8> {
    ClaimInferenceFee {}.encode()
}

fn transaction(
    index: u64,
    signer: Key,
    data: Vec<u8>,
    accounts: &[Key],
    code: Option<u32>,
) -> TransactionUpdate {
    let mut keys = vec![signer];
    let mut place = |key: Key| {
        let place = keys.iter().position(|known| *known == key);
        let place = place.unwrap_or_else(|| {
            keys.push(key);
            keys.len() - 1
        });
        place as u16
    };
    let accounts: Vec<u8> = accounts
        .iter()
        .flat_map(|key| place(*key).to_le_bytes())
        .collect();
    let program = place(AI_PRECOMPILES_ID).into();
    let mut signature = [index as u8; 64];
    signature[..32].copy_from_slice(&signer);
    TransactionUpdate {
        index,
        signature: signature.to_vec().into(),
        keys: keys.concat().into(),
        fee: FEE,
        compute_units: Some(20_000),
        failure: code.map(|code| TransactionFailure {
            instruction: Some(0),
            code: Some(code),
            name: "Custom".into(),
        }),
        calls: vec![Call {
            accounts: accounts.into(),
            data: data.into(),
            program,
            failed: code.is_some(),
            ..Call::default()
        }],
        ..TransactionUpdate::default()
    }
}

/// The transactions of a block in which these things happen to jobs.
pub fn body(jobs: &[Fact], acts: &[(Act, usize)]) -> Bytes {
    let (mut body, mut index) = (Vec::new(), 0);
    let mut push = |signer, data, accounts: &[Key], code| {
        transactions::push(&mut body, &transaction(index, signer, data, accounts, code));
        index += 1;
    };
    for (act, n) in acts {
        let Some(job) = jobs.get(*n) else { continue };
        if let Some((signer, data, accounts)) = call(*act, job) {
            push(signer, data, &accounts, None);
        }
        if matches!(act, Act::Submit) && n % TOO_EARLY_EVERY == 0 {
            let validator = key(VALIDATOR, job.validator);
            let accounts = [job.key, validator, key(VAULT, job.owner)];
            push(
                validator,
                claim(),
                &accounts,
                Some(MythicError::WindowOpen.code()),
            );
        }
    }
    body.into()
}

/// Calls of the finalized chain by their names and errors, from the facts.
fn expected(world: &World) -> BTreeMap<(&'static str, Option<&'static str>), usize> {
    let mut calls = BTreeMap::new();
    let mut count = |slot: u64, tag: Tag, error: Option<MythicError>| {
        if slot > 0 && slot <= world.root() {
            *calls
                .entry((tag.name(), error.map(MythicError::name)))
                .or_default() += 1;
        }
    };
    for (n, job) in world.jobs.iter().enumerate() {
        count(job.requested, Tag::RequestInference, None);
        count(job.submitted, Tag::SubmitResult, None);
        if n % TOO_EARLY_EVERY == 0 {
            count(
                job.submitted,
                Tag::ClaimInferenceFee,
                Some(MythicError::WindowOpen),
            );
        }
        let end = match job.outcome {
            Outcome::Settled => Tag::ClaimInferenceFee,
            Outcome::Refunded => Tag::CancelJob,
            Outcome::Slashed => Tag::ResolveCase,
        };
        count(job.ended, end, None);
    }
    calls
}

#[tokio::test]
async fn calls_are_those_of_the_chain_with_their_errors_and_the_same_after_a_rebuild() {
    let db = Database::new("analyst_calls").await;
    let mut world = World::new(1_500, 5);
    write(&db, &mut world, BATCH, true).await;
    let counted = "SELECT name, error, count(*) FROM analytics.instruction_calls_finalized WHERE exact GROUP BY 1, 2 ORDER BY 1, 2 NULLS FIRST";
    let rows: Vec<String> = expected(&world)
        .iter()
        .map(|((name, error), count)| format!("({name},{},{count})", error.unwrap_or_default()))
        .collect();
    assert_eq!(db.texts(counted).await, rows);
    // What forks held is stored and not shown.
    let hidden = "SELECT count(*) > 0 FROM projection_1.call c JOIN projection_1.slot s USING (bank) WHERE s.status = 4";
    assert_eq!(db.texts(hidden).await, ["(t)"]);
    assert_eq!(
        db.texts("SELECT DISTINCT complete FROM analytics.slot_calls")
            .await,
        ["(t)"]
    );
    let report = rebuild(&db.url, Swap::IfEqual).await.unwrap();
    assert_eq!((report.different, report.swapped), (vec![], true));
    assert_eq!(db.texts(counted).await, rows);
}

#[tokio::test]
async fn a_jobs_life_is_its_calls_found_by_an_index() {
    let db = Database::new("analyst_job_calls").await;
    let mut world = World::new(3_000, 6);
    write(&db, &mut world, BATCH, false).await;
    as_analyst(&db).await;
    let book = questions();
    let job = &world.jobs[0];
    let text = bs58::encode(job.key).into_string();
    let life = format!(
        "SELECT slot, name, success, error, accounts->>'vault' = '{}' AS vault, arguments->>'price_in_lamports' AS price, fee_lamports
           FROM analytics.instruction_calls_finalized WHERE job_key = analytics.key('{text}') ORDER BY slot, transaction_index",
        bs58::encode(key(VAULT, job.owner)).into_string()
    );
    assert_eq!(
        db.texts(&life).await,
        [
            format!("({},RequestInference,t,,t,100,{FEE})", job.requested),
            format!("({},SubmitResult,t,,,,{FEE})", job.submitted),
            format!(
                "({},ClaimInferenceFee,f,WindowOpen,t,,{FEE})",
                job.submitted
            ),
            format!("({},ClaimInferenceFee,t,,t,,{FEE})", job.ended),
        ]
    );
    for sql in [&life, &book["job-calls"]] {
        let read = rows_read(&db.client, sql, "call").await;
        assert!(read < 20, "{read} calls read: {sql}");
    }
    let one = "SELECT name FROM analytics.instruction_calls_finalized
        WHERE signature_key = analytics.key((SELECT signature FROM analytics.instruction_calls_finalized LIMIT 1), 64)";
    let read = rows_read(&db.client, one, "call").await;
    assert!(read < 20, "{read} calls read to find one transaction");
    // An optional account that is absent is null, and Dune's list has all in their order.
    let absent = format!(
        "SELECT accounts ? 'grant', accounts->>'grant', (SELECT account_arguments[7] = '{text}' AND cardinality(account_arguments) = 10
            FROM dune.instruction_calls d WHERE d.block_slot = c.slot AND d.instruction_name = c.name LIMIT 1)
           FROM analytics.instruction_calls_finalized c WHERE job_key = analytics.key('{text}') AND name = 'RequestInference'"
    );
    assert_eq!(db.texts(&absent).await, ["(t,,t)"]);

    // The questions, beside the facts.
    let failures: usize = expected(&world)
        .iter()
        .filter(|((_, error), _)| error.is_some())
        .map(|(_, count)| count)
        .sum();
    let all = book["call-failures"].replace("'1 day'", "'100 days'");
    let sql = format!("SELECT name, error, calls FROM ({all}) q WHERE error IS NOT NULL");
    assert_eq!(
        db.texts(&sql).await,
        [format!("(ClaimInferenceFee,WindowOpen,{failures})")]
    );
    let mut callers: BTreeMap<Key, (usize, usize)> = BTreeMap::new();
    for (n, job) in world.jobs.iter().enumerate() {
        let acts = [
            (job.requested, Act::Request),
            (job.submitted, Act::Submit),
            (job.ended, Act::End),
        ];
        for (slot, act) in acts {
            if let Some((signer, ..)) = call(act, job).filter(|_| slot > 0 && slot <= world.root())
            {
                let early = matches!(act, Act::Submit) && n % TOO_EARLY_EVERY == 0;
                let count = callers.entry(signer).or_default();
                *count = (
                    count.0 + 1 + usize::from(early),
                    count.1 + usize::from(early),
                );
            }
        }
    }
    let mut top: Vec<(usize, String, usize)> = callers
        .iter()
        .map(|(key, (calls, failed))| (*calls, bs58::encode(key).into_string(), *failed))
        .collect();
    top.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let rows: Vec<String> = top
        .iter()
        .take(20)
        .map(|(calls, signer, failed)| {
            format!("({signer},{calls},{failed},{})", *calls as u64 * FEE)
        })
        .collect();
    let all = book["top-callers"].replace("'1 day'", "'100 days'");
    let sql = format!("SELECT signer, transactions, failed, fee_lamports FROM ({all}) q");
    assert_eq!(db.texts(&sql).await, rows);
}
