//! Keeps `programs/compute-units.md` true.

use std::fmt::Write;

use mythic_interface::ix::ALL;
use mythic_interface::state::{Case, Output, Votes};
use mythic_program_tests::answer::Lie;
use mythic_program_tests::calls;
use mythic_program_tests::catalogue::catalogue;
use mythic_program_tests::court::{Ballot, court, juror};
use mythic_program_tests::keys::key;
use mythic_program_tests::world::{EXACT, World};
use solana_instruction::Instruction as Call;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../compute-units.md");

/// One step of a case: its transactions.
struct Step {
    name: &'static str,
    count: usize,
    units: u64,
    bytes: usize,
}

/// Collections that go together in a transaction.
const TOGETHER: usize = 8;

/// A case of 16 positions over an answer of 512 tokens, from the claim that opens it to the last closing.
fn whole_case() -> String {
    let mut out = String::from(
        "\n## A whole case\n\n\
         An answer of 512 tokens, 16 sampled positions, guilty by a jury of 15 seats; one instruction a transaction,\n\
         but eight collections. Compute units are those of the dearest transaction of a step and of all of them; bytes\n\
         those of the longest.\n\n\
         | step | transactions | most units | all units | most bytes |\n\
         |---|--:|--:|--:|--:|\n",
    );
    let mut world = court(32, 15, |_| {});
    let answered = world.answered(EXACT, "n0", 512, Lie::OtherModel);
    world.reach_sample(&answered);
    let (mut transactions, mut sum) = (0, 0);
    let mut step = |world: &mut World, name: &'static str, calls: Vec<Call>, together: usize| {
        let mut step = Step {
            name,
            count: 0,
            units: 0,
            bytes: 0,
        };
        let mut all = 0;
        for calls in calls.chunks(together) {
            // Who wins no seat and has the bit of another is refused: it costs a simulation.
            let Ok(receipt) = world.chain.send(calls) else {
                continue;
            };
            step.count += 1;
            step.units = step.units.max(receipt.compute_units);
            step.bytes = step.bytes.max(receipt.bytes);
            all += receipt.compute_units;
        }
        transactions += step.count;
        sum += all;
        writeln!(
            out,
            "| {} | {} | {} | {all} | {} |",
            step.name, step.count, step.units, step.bytes
        )
        .expect("a string");
    };
    let calls = vec![world.objection(&answered, "n1", &[])];
    step(&mut world, "VerifyLogits", calls, 1);
    let calls = world.outputs(&answered);
    step(&mut world, "PostOutput", calls, 1);
    let calls = world.openings(&answered, 2);
    step(&mut world, "PostOpenings", calls, 1);
    let start = world.case(&answered).commit_start();
    world.chain.warp_to(start);
    let calls = (2..32)
        .map(|i| world.commit(&answered, &juror(i), Ballot::Honest))
        .collect();
    step(&mut world, "CommitJuror", calls, 1);
    let end = world.case(&answered).commit_end();
    world.chain.warp_to(end);
    let calls = (2..32)
        .map(juror)
        .filter(|name| world.sits(&answered, name))
        .map(|name| world.reveal(&answered, &name, Ballot::Honest))
        .collect();
    step(&mut world, "RevealJuror", calls, 1);
    let calls = vec![world.resolve(&answered)];
    step(&mut world, "ResolveCase", calls, 1);
    let creditors = world.case(&answered).due_parties().into_iter();
    let calls = creditors
        .map(|party| world.collection(&answered, party))
        .collect();
    step(&mut world, "CollectCase", calls, TOGETHER);
    world.chain.advance(2_250);
    let calls = vec![world.closing(&answered)];
    step(&mut world, "CloseCase", calls, 1);
    let calls = vec![calls::close_output(answered.job, 0, key("n1"))];
    step(&mut world, "CloseOutput", calls, 1);
    writeln!(out, "| all | {transactions} | | {sum} | |").expect("a string");
    assert!(transactions < 59, "{transactions} transactions");
    let rent = |len| world.chain.rent(len);
    writeln!(
        out,
        "\nRent, returned at the end: {} lamports for the case ({} bytes), {} for the votes ({} bytes), {} for each\n2,048 tokens of output ({} bytes).",
        rent(Case::LEN),
        Case::LEN,
        rent(Votes::LEN),
        Votes::LEN,
        rent(Output::LEN),
        Output::LEN
    )
    .expect("a string");
    out
}

/// What instructions cost before there was one case a job. The first four, of every job, may cost no more.
const BEFORE: [(&str, &str, u64); 5] = [
    ("RequestInference", "by the owner, open", 3_982),
    ("RequestInference", "by a delegate, co-signed", 4_261),
    ("SubmitResult", "", 479),
    ("ClaimInferenceFee", "under a grant", 845),
    ("VerifyLogits", "false, 18 of 512 positions, opens", 14_740),
];
const FREQUENT: usize = 4;

/// The table of before and after.
fn compared(now: &[u64; BEFORE.len()]) -> String {
    let mut out = String::from(
        "\n## Before and after\n\n\
         What it cost when each challenger had a dispute of its own; a whole one took 59 transactions and 369,096 units.\n\n\
         | instruction | case | before | now |\n\
         |---|---|--:|--:|\n",
    );
    for (index, ((name, variant, before), now)) in BEFORE.iter().zip(now).enumerate() {
        assert!(
            index >= FREQUENT || now <= before,
            "{name} takes {now}, it took {before}"
        );
        writeln!(out, "| {name} | {variant} | {before} | {now} |").expect("a string");
    }
    out
}

#[test]
fn the_table_of_compute_units_is_true() {
    let mut table = String::from(
        "# Compute units of the AI Precompiles program\n\n\
         The committed ELF in LiteSVM, one instruction a transaction, fixed keys. Instructions that\n\
         create an account search its bump, about 1,500 units a miss, so other keys cost more or less; a\n\
         request states its own.\n\
         `cargo test -p mythic-program-tests --test compute_units` compares;\n\
         `MYTHIC_REWRITE=1` before it rewrites.\n\n\
         | instruction | case | compute units | accounts | bytes of data | bytes of the transaction |\n\
         |---|---|--:|--:|--:|--:|\n",
    );
    let mut now = [0; BEFORE.len()];
    let entries = catalogue();
    for tag in ALL {
        assert!(
            entries.iter().any(|entry| entry.tag == *tag),
            "{} is not in the catalogue",
            tag.name()
        );
    }
    for mut entry in entries {
        let (accounts, bytes) = (entry.call.accounts.len(), entry.call.data.len());
        let receipt = entry.world.chain.must(entry.call);
        let units = receipt.compute_units;
        assert!(units < 200_000, "{} takes {units}", entry.tag.name());
        let known = BEFORE
            .iter()
            .position(|(name, variant, _)| (*name, *variant) == (entry.tag.name(), entry.variant));
        if let Some(known) = known {
            now[known] = units;
        }
        writeln!(
            table,
            "| {} | {} | {units} | {accounts} | {bytes} | {} |",
            entry.tag.name(),
            entry.variant,
            receipt.bytes
        )
        .expect("a string");
    }
    table.push_str(&compared(&now));
    table.push_str(&whole_case());
    if std::env::var_os("MYTHIC_REWRITE").is_some() {
        std::fs::write(TABLE, &table).expect("writable");
    }
    let committed = std::fs::read_to_string(TABLE).unwrap_or_default();
    assert!(
        committed == table,
        "{TABLE} is not true any more; rewrite it with MYTHIC_REWRITE=1. It should be:\n{table}"
    );
}
