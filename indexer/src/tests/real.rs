//! Content as networks have it: keys and hashes that can't be compressed, few owners, models and validators. For benchmarks.

use mythic_interface::le::Text;
use mythic_interface::state::{Job, Validator, Vault};

use super::chain::{Life, job, validator, vault};

/// Bytes that look random, the same for the same numbers.
pub fn noise<const N: usize>(a: u64, b: u64) -> [u8; N] {
    let mut state = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.rotate_left(32);
    let mut out = [0; N];
    for part in out.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let word = (word ^ (word >> 31)).to_le_bytes();
        part.copy_from_slice(&word[..part.len()]);
    }
    out
}

/// One of so many keys.
fn one_of(many: u64, nth: u64, what: u64) -> [u8; 32] {
    noise(nth % many, what)
}

/// Job number `nth`.
pub fn a_job(nth: u64, seq: u64, life: Life) -> Vec<u8> {
    let mut data = job(seq, life);
    let job: &mut Job = bytemuck::from_bytes_mut(&mut data);
    job.terms.owner = one_of(50, nth, 1);
    job.terms.requester = job.terms.owner;
    job.terms.canceller = one_of(1, nth, 2);
    job.terms.nonce = noise(nth, 3);
    job.terms.model = one_of(5, nth, 4);
    job.terms.prompt_hash = noise(nth, 5);
    job.terms.prompt_tokens = (10 + nth as u32 % 900).into();
    job.terms.seed = noise(nth, 6);
    job.terms_hash = noise(nth, 8);
    job.rent_payer = job.terms.canceller;
    job.ceiling = (100_000 + nth % 77_777).into();
    if life.accepted > 0 {
        job.validator = one_of(20, nth, 9);
    }
    if life.submitted > 0 {
        job.output_root = noise(nth, 10);
        job.fingerprint = noise(nth, 11);
        job.output_tokens = (nth as u32 % 500).into();
    }
    data
}

/// A vault, number `nth`.
pub fn a_vault(nth: u64, seq: u64) -> Vec<u8> {
    let mut data = vault(seq, seq.wrapping_mul(12_345) % 10_000_000_000);
    let vault: &mut Vault = bytemuck::from_bytes_mut(&mut data);
    vault.owner = noise(nth, 1);
    vault.rent_payer = noise(nth, 1);
    vault.deposited = 20_000_000_000u64.into();
    vault.spent = (seq * 1_234_567 % 10_000_000_000).into();
    vault.created_slot = (nth % 1_000).into();
    data
}

/// A validator, number `nth`.
pub fn a_validator(nth: u64, seq: u64) -> Vec<u8> {
    let mut data = validator(seq, 1_000_000_000, "NVIDIA H200");
    let validator: &mut Validator = bytemuck::from_bytes_mut(&mut data);
    validator.authority = noise(nth, 9);
    validator.operator = noise(nth, 12);
    validator.rent_payer = validator.authority;
    validator.endpoint = Text::new(&format!("https://node-{nth}.example.org:8443")).unwrap();
    validator.earned = (seq * 98_765 % 10_000_000_000).into();
    validator.jobs_settled = (seq % 10_000).into();
    data
}
