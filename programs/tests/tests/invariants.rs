//! The invariants' own test: each lie about the state is noticed.

use mythic_interface::le::U64;
use mythic_interface::state::{Account, Job, JobStatus, Key, SpendGrant, Validator, Vault};
use mythic_program_tests::calls;
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::world::World;

/// Whether the harness panics when it runs a harmless transaction after `lie` in the same state.
fn is_noticed<T: Account>(address: impl Fn(&World, &Key) -> Key, lie: fn(&mut T)) -> bool {
    let mut world = World::new();
    let request = world.cosigned("alice", "gateway");
    let job = world.must_request(&request);
    let address = address(&world, &job);
    world.chain.forge(&address, lie);
    let harmless = calls::update_validator(key("v2"), operator("v2"), &[]);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.chain.must(harmless);
    }))
    .is_err()
}

#[test]
fn lies_are_noticed() {
    let job = |_: &World, job: &Key| *job;
    let vault = |_: &World, _: &Key| calls::vault(&key("alice"));
    let grant = |_: &World, _: &Key| calls::grant(&key("alice"), &key("gateway"));
    let validator = |_: &World, _: &Key| calls::validator(&key("v1"));
    assert!(!is_noticed::<Job>(job, |_| {}), "the truth is no lie");
    assert!(is_noticed::<Job>(job, |job| job.escrow = U64::new(1)));
    assert!(is_noticed::<Job>(job, |job| job.fee = U64::new(1)));
    assert!(is_noticed::<Job>(job, |job| job.terms.price_in.set(1)));
    assert!(is_noticed::<Job>(job, |job| job.header.status = JobStatus::Settled as u8));
    assert!(is_noticed::<Job>(job, |job| job.header.discriminator = 99));
    assert!(is_noticed::<Vault>(vault, |vault| vault.held = U64::new(0)));
    assert!(is_noticed::<Vault>(vault, |vault| vault.open_jobs.set(0)));
    assert!(is_noticed::<Vault>(vault, |vault| vault.balance = U64::new(1)));
    assert!(is_noticed::<SpendGrant>(grant, |grant| grant
        .open_jobs
        .set(0)));
    assert!(is_noticed::<Validator>(validator, |v| v.open_jobs.set(0)));
    assert!(is_noticed::<Validator>(validator, |v| v.stake.set(1)));
    assert!(is_noticed::<Validator>(validator, |v| v.staked.set(1)));
    assert!(is_noticed::<Validator>(validator, |v| v.exposure.set(0)));
    assert!(is_noticed::<Validator>(validator, |v| v
        .obliged_until
        .set(0)));
    assert!(is_noticed::<Validator>(validator, |v| v.withdrawn.set(1)));
}
