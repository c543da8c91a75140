//! Keeps `programs/compute-units.md` true.

use std::fmt::Write;

use mythic_interface::instruction::ALL;
use mythic_program_tests::catalogue::catalogue;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../compute-units.md");

#[test]
fn the_table_of_compute_units_is_true() {
    let mut table = String::from(
        "# Compute units of the AI Precompiles program\n\n\
         The committed ELF in LiteSVM, one instruction a transaction, fixed keys. Instructions that\n\
         create an account search its bump, about 1,500 units a miss, so other keys cost more or less.\n\
         `cargo test -p mythic-program-tests --test compute_units` compares;\n\
         `MYTHIC_REWRITE=1` before it rewrites.\n\n\
         | instruction | case | compute units | accounts | bytes of data |\n\
         |---|---|--:|--:|--:|\n",
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
        let units = entry.world.chain.must(entry.call).compute_units;
        assert!(units < 60_000, "{} takes {units}", entry.tag.name());
        writeln!(
            table,
            "| {} | {} | {units} | {accounts} | {bytes} |",
            entry.tag.name(),
            entry.variant
        )
        .expect("a string");
    }
    if std::env::var_os("MYTHIC_REWRITE").is_some() {
        std::fs::write(TABLE, &table).expect("writable");
    }
    let committed = std::fs::read_to_string(TABLE).unwrap_or_default();
    assert!(
        committed == table,
        "{TABLE} is not true any more; rewrite it with MYTHIC_REWRITE=1. It should be:\n{table}"
    );
}
