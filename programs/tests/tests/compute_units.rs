//! Keeps `programs/compute-units.md` true.

use std::fmt::Write;

use mythic_interface::ix::ALL;
use mythic_interface::state::{Dispute, Output};
use mythic_program_tests::answer::Lie;
use mythic_program_tests::calls;
use mythic_program_tests::catalogue::catalogue;
use mythic_program_tests::court::{Vote, court, juror};
use mythic_program_tests::keys::key;
use mythic_program_tests::world::{EXACT, World};
use solana_instruction::Instruction as Call;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../compute-units.md");

/// One step of a dispute: its transactions, one instruction each.
struct Step {
    name: &'static str,
    count: usize,
    units: u64,
    bytes: usize,
}

/// A dispute of 16 positions over an answer of 512 tokens, from challenge to the last closing.
fn whole_dispute() -> String {
    let mut out = String::from(
        "\n## A whole dispute\n\n\
         An answer of 512 tokens, 16 sampled positions, guilty by a jury of 15 seats. Compute units are those of\n\
         the dearest transaction of a step and of all of them; bytes those of the longest.\n\n\
         | step | transactions | most units | all units | most bytes |\n\
         |---|--:|--:|--:|--:|\n",
    );
    let mut world = court(32, 15, |_| {});
    let case = world.answered(EXACT, "n0", 512, Lie::OtherModel);
    world.reach_sample(&case);
    let dispute = calls::dispute(&case.job, &key("n1"));
    let (mut transactions, mut sum) = (0, 0);
    let mut step = |world: &mut World, name: &'static str, calls: Vec<Call>| {
        let mut step = Step {
            name,
            count: 0,
            units: 0,
            bytes: 0,
        };
        let mut all = 0;
        for call in calls {
            // Who ranks too low is refused and tries no more: it costs a simulation.
            let Ok(receipt) = world.chain.send(&[call]) else {
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
    let calls = vec![world.challenge(&case, "n1", &[])];
    step(&mut world, "VerifyLogits", calls);
    let calls = world.outputs(&case, &dispute);
    step(&mut world, "PostOutput", calls);
    let calls = world.openings(&case, &dispute, 2);
    step(&mut world, "PostOpenings", calls);
    let start = world.dispute(&dispute).commit_start();
    world.chain.warp_to(start);
    let calls = (2..32)
        .map(|i| world.commit(&case, &dispute, &juror(i), Vote::Honest))
        .collect();
    step(&mut world, "CommitJuror", calls);
    let end = world.dispute(&dispute).commit_end();
    world.chain.warp_to(end);
    let calls = (2..32)
        .map(juror)
        .filter(|name| world.sits(&dispute, name))
        .map(|name| world.reveal(&case, &dispute, &name, Vote::Honest))
        .collect();
    step(&mut world, "RevealJuror", calls);
    let calls = vec![world.resolve(&dispute)];
    step(&mut world, "ResolveDispute", calls);
    let mut parties = vec![key("n1")];
    parties.extend(world.dispute(&dispute).jury().iter().map(|seat| seat.juror));
    parties.sort_unstable();
    parties.dedup();
    let calls = parties
        .into_iter()
        .map(|party| calls::collect_dispute(dispute, party))
        .collect();
    step(&mut world, "CollectDispute", calls);
    world.chain.advance(2_250);
    let calls = vec![calls::close_dispute(dispute, key("n1"))];
    step(&mut world, "CloseDispute", calls);
    let calls = vec![calls::close_output(case.job, 0, key("n1"))];
    step(&mut world, "CloseOutput", calls);
    writeln!(out, "| all | {transactions} | | {sum} | |").expect("a string");
    writeln!(
        out,
        "\nRent, returned at the end: {} lamports for the dispute ({} bytes), {} for each 2,048 tokens of output\n({} bytes).",
        world.chain.rent(Dispute::LEN),
        Dispute::LEN,
        world.chain.rent(Output::LEN),
        Output::LEN
    )
    .expect("a string");
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
        writeln!(
            table,
            "| {} | {} | {units} | {accounts} | {bytes} | {} |",
            entry.tag.name(),
            entry.variant,
            receipt.bytes
        )
        .expect("a string");
    }
    table.push_str(&whole_dispute());
    if std::env::var_os("MYTHIC_REWRITE").is_some() {
        std::fs::write(TABLE, &table).expect("writable");
    }
    let committed = std::fs::read_to_string(TABLE).unwrap_or_default();
    assert!(
        committed == table,
        "{TABLE} is not true any more; rewrite it with MYTHIC_REWRITE=1. It should be:\n{table}"
    );
}
