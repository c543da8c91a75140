//! The invariants' own test: each lie about the market's state is noticed.

use mythic_interface::market::ix;
use mythic_interface::market::state::{EpochState, Lease, LeaseStatus, Provider};
use mythic_interface::state::{Account, Key};
use mythic_program_tests::market::calls;
use mythic_program_tests::market::world::{COMPUTE_MARKET, Market};

/// Whether the harness panics when it runs a harmless transaction after `lie` in the same state.
fn is_noticed<T: Account>(address: impl Fn(&Key) -> Key, lie: fn(&mut T)) -> bool {
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 12);
    market.chain.forge(&address(&lease), lie);
    let harmless = calls::update_provider("p2", &calls::profile("p2"));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        market.chain.must(harmless);
    }))
    .is_err()
}

#[test]
fn lies_are_noticed() {
    let lease = |lease: &Key| *lease;
    let provider = |_: &Key| calls::provider("p1");
    assert!(!is_noticed::<Lease>(lease, |_| {}), "the truth is no lie");
    assert!(is_noticed::<Lease>(lease, |lease| lease.escrow.set(1)));
    assert!(is_noticed::<Lease>(lease, |lease| lease.pending.set(1)));
    assert!(is_noticed::<Lease>(lease, |lease| lease.refunded.set(1)));
    assert!(is_noticed::<Lease>(lease, |lease| lease.paid.set(1)));
    assert!(is_noticed::<Lease>(lease, |lease| lease
        .open_disputes
        .set(1)));
    assert!(is_noticed::<Lease>(lease, |lease| lease.mark.set(u64::MAX)));
    assert!(is_noticed::<Lease>(lease, |lease| lease
        .ends_at
        .set(u64::MAX / 2)));
    assert!(is_noticed::<Lease>(lease, |lease| lease.terms.units = 2));
    assert!(is_noticed::<Lease>(lease, |lease| {
        lease.header.status = LeaseStatus::Ended as u8;
    }));
    assert!(is_noticed::<Lease>(lease, |lease| {
        lease.ring[11].state = EpochState::Released as u8;
    }));
    assert!(is_noticed::<Provider>(provider, |p| p.leased.set(0)));
    assert!(is_noticed::<Provider>(provider, |p| p.backed.set(0)));
    assert!(is_noticed::<Provider>(provider, |p| p.open_leases.set(0)));
    assert!(is_noticed::<Provider>(provider, |p| p.open_disputes.set(1)));
    assert!(is_noticed::<Provider>(provider, |p| p.stake.set(1)));
    assert!(is_noticed::<Provider>(provider, |p| p.earned.set(1)));
    assert!(is_noticed::<Provider>(provider, |p| p.units.set(0)));
}

#[test]
fn the_elf_says_whom_to_tell_of_a_hole() {
    let elf = std::fs::read(COMPUTE_MARKET.elf).expect("the ELF");
    let text = b"name\0Compute Market\0project_url\0";
    assert!(elf.windows(text.len()).any(|window| window == text));
}

#[test]
fn several_epochs_of_several_leases_are_released_in_one_transaction() {
    let mut market = Market::new();
    let leases = [market.usual(), market.usual()];
    for epoch in 11..14 {
        market.enter(epoch);
        leases.iter().for_each(|lease| {
            market.must_prove(lease);
        });
    }
    market.chain.advance(100);
    let calls = leases.map(|lease| ix::verify_and_release(lease, &market.lease(&lease)));
    market.chain.send(&calls).expect("both");
    assert!(market.provider("p1").claimable.get() > 0);
}
