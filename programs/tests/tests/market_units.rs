//! Keeps `programs/market-compute-units.md` true.

use std::fmt::Write;

use mythic_interface::market::ix::Tag;
use mythic_interface::market::state::{Lease, LeaseDispute, Provider, Request};
use mythic_program_tests::market::scenes::scenes;
use mythic_program_tests::market::world::Market;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../market-compute-units.md");

#[test]
fn the_table_of_compute_units_is_true() {
    let mut table = String::from(
        "# Compute units of the Compute Market program\n\n\
         The committed ELF in LiteSVM, one instruction a transaction, fixed keys. Instructions that create an account\n\
         search its bump, about 1,500 units a miss, so other keys cost more or less; a request states its own. `OpenProof`\n\
         computes the element that it is shown: its units grow with the side of the class, and its transaction asks for\n\
         them by an instruction of its own, which is counted here.\n\
         `cargo test -p mythic-program-tests --test market_units` compares; `MYTHIC_REWRITE=1` before it rewrites.\n\n\
         | instruction | case | compute units | accounts | bytes of data | bytes of the transaction |\n\
         |---|---|--:|--:|--:|--:|\n",
    );
    for mut scene in scenes() {
        let (accounts, bytes) = (scene.call.accounts.len(), scene.call.data.len());
        let receipt = scene.market.chain.must(scene.call);
        let units = receipt.compute_units;
        // What an instruction gets without asking, and what a transaction may ask for.
        let most = match scene.tag {
            Tag::OpenProof => 1_400_000,
            _ => 200_000,
        };
        assert!(units < most, "{} takes {units}", scene.tag.name());
        writeln!(
            table,
            "| {} | {} | {units} | {accounts} | {bytes} | {} |",
            scene.tag.name(),
            scene.variant,
            receipt.bytes
        )
        .expect("a string");
    }
    let market = Market::bare();
    let lens = [Provider::LEN, Request::LEN, Lease::LEN, LeaseDispute::LEN];
    let [provider, request, lease, dispute] =
        lens.map(|len| format!("{} ({len} bytes)", market.chain.rent(len)));
    writeln!(
        table,
        "\nRent, returned at the end, in lamports: {provider} for a provider, {request} for a request, {lease} for a lease,\n{dispute} for a dispute."
    )
    .expect("a string");
    if std::env::var_os("MYTHIC_REWRITE").is_some() {
        std::fs::write(TABLE, &table).expect("writable");
    }
    let committed = std::fs::read_to_string(TABLE).unwrap_or_default();
    assert!(
        committed == table,
        "{TABLE} is not true any more; rewrite it with MYTHIC_REWRITE=1. It should be:\n{table}"
    );
}
