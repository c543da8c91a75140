//! Every hash of the protocol, each with its own domain tag; integers are little-endian.
//!
//! `sha256` is the runtime's syscall on chain and the `sha2` crate elsewhere; all the rest is
//! built on it. Golden vectors: `tests/vectors/`, second implementation: `tests/reference/`.

use crate::le::U32;

#[cfg(target_endian = "big")]
compile_error!("token ids are hashed as they lie in memory: little-endian machines only");

/// Domain tags: the first bytes under a hash, so that none can be taken for another. Those of trees are one byte.
pub mod domain {
    /// A model's identity.
    pub const MODEL: &[u8] = b"mythic/model/v2";
    /// The rules of a network.
    pub const RULES: &[u8] = b"mythic/rules/v1";
    /// A job's terms.
    pub const TERMS: &[u8] = b"mythic/terms/v1";
    /// A prompt under its salt.
    pub const PROMPT: &[u8] = b"mythic/prompt/v1";
    /// A job's sampling seed.
    pub const SEED: &[u8] = b"mythic/seed/v1";
    /// A job's stop strings.
    pub const STOP: &[u8] = b"mythic/stop/v1";
    /// A job's sampling options.
    pub const OPTIONS: &[u8] = b"mythic/options/v1";
    /// The noise of one token at one position.
    pub const GUMBEL: &[u8] = b"mythic/gumbel/v1";
    /// A result's fingerprint.
    pub const FINGERPRINT: &[u8] = b"mythic/fp/v1";
    /// The positions that a case samples.
    pub const SAMPLE: &[u8] = b"mythic/sample/v1";
    /// What a case judges.
    pub const POSITIONS: &[u8] = b"mythic/positions/v2";
    /// The leaves of a group of positions, as an exact profile computes them.
    pub const EXACT: &[u8] = b"mythic/exact/v1";
    /// What an exact profile computes beside the leaves: what nobody can copy.
    pub const WORK: &[u8] = b"mythic/work/v1";
    /// The rank of one validator for one jury seat.
    pub const JURY: &[u8] = b"mythic/jury/v1";
    /// The bit that notes a validator's commitment.
    pub const COMMITTER: &[u8] = b"mythic/committer/v1";
    /// A juror's commitment.
    pub const JUROR: &[u8] = b"mythic/juror/v1";

    /// The rules of a market.
    pub const MARKET_RULES: &[u8] = b"mythic/market-rules/v1";
    /// What a tenant asks for.
    pub const LEASE_REQUEST: &[u8] = b"mythic/lease-request/v1";
    /// A lease's terms.
    pub const LEASE_TERMS: &[u8] = b"mythic/lease-terms/v1";
    /// A lease's spec under its salt.
    pub const LEASE_SPEC: &[u8] = b"mythic/lease-spec/v1";
    /// What a provider gives a tenant to reach a lease.
    pub const LEASE_ACCESS: &[u8] = b"mythic/lease-access/v1";
    /// The key with which a tenant uses an endpoint.
    pub const LEASE_KEY: &[u8] = b"mythic/lease-key/v1";
    /// A value of a container's environment, under its salt.
    pub const LEASE_ENVIRONMENT: &[u8] = b"mythic/lease-environment/v1";
    /// What a provider signs about an answer.
    pub const LEASE_RECEIPT: &[u8] = b"mythic/lease-receipt/v1";
    /// The seed of a round of a proof of throughput.
    pub const PROBE: &[u8] = b"mythic/probe/v1";
    /// Which elements of a proof its provider publishes.
    pub const PROBE_DRAW: &[u8] = b"mythic/probe-draw/v1";

    /// A request over HTTP, under its signer's signature.
    pub const HTTP: &[u8] = b"mythic/http/v2";
    /// A tokenizer, as models name it.
    pub const TOKENIZER: &[u8] = b"mythic/tokenizer/v1";
    /// A gateway's nonce of an attempt.
    pub const GATEWAY_NONCE: &[u8] = b"mythic/gateway-nonce/v1";
    /// A gateway's salt of a prompt.
    pub const GATEWAY_SALT: &[u8] = b"mythic/gateway-salt/v1";
    /// A gateway's sampling seed of a choice.
    pub const GATEWAY_SEED: &[u8] = b"mythic/gateway-seed/v1";
    /// The key of a bot's delegate of one person, under the bot's secret.
    pub const BOT_DELEGATE: &[u8] = b"mythic/bot-delegate/v1";
    /// What Telegram sends along with a bot's updates, under the bot's secret.
    pub const BOT_WEBHOOK: &[u8] = b"mythic/bot-webhook/v1";
    /// A verifier's own secret.
    pub const VERIFIER_SECRET: &[u8] = b"mythic/verifier-secret/v1";
    /// Which results a verifier checks, under its secret.
    pub const PICK: &[u8] = b"mythic/pick/v1";
    /// A number of each verifier that spreads over time what any of them may do.
    pub const LOT: &[u8] = b"mythic/lot/v1";
    /// A juror's salt, under its secret.
    pub const JUROR_SALT: &[u8] = b"mythic/juror-salt/v1";

    /// A layer's rows at the positions of a page.
    pub const RESIDUAL_PAGE: &[u8] = b"mythic/residual-page/v1";
    /// A layer's rows at all positions of an answer.
    pub const RESIDUAL_LAYER: &[u8] = b"mythic/residual-layer/v1";
    /// What a verifier audits of an answer.
    pub const AUDIT: &[u8] = b"mythic/audit/v1";

    /// A prompt of a calibration.
    pub const CALIBRATION_PROMPT: &[u8] = b"mythic/calibrate/prompt";
    /// The sampling seed of a prompt of a calibration.
    pub const CALIBRATION_SEED: &[u8] = b"mythic/calibrate/seed";
    /// A number that a cheat of a calibration draws.
    pub const CALIBRATION_NUMBER: &[u8] = b"mythic/calibrate/number";
    /// Which positions of an answer a calibration checks.
    pub const CALIBRATION_DRAW: &[u8] = b"mythic/calibrate/draw";
    /// What a calibration ran with.
    pub const CALIBRATION: &[u8] = b"mythic/calibrate/1";

    /// A development chain's key.
    pub const DEVNET_IDENTITY: &[u8] = b"mythic/devnet/identity/v1";
    /// A development chain's genesis.
    pub const DEVNET_GENESIS: &[u8] = b"mythic/devnet/genesis/v1";
    /// A development chain's bank.
    pub const DEVNET_BANK: &[u8] = b"mythic/devnet/bank/v1";
    /// A development chain's block.
    pub const DEVNET_BLOCK: &[u8] = b"mythic/devnet/block/v1";
    /// What a block of a development chain did.
    pub const DEVNET_STATE: &[u8] = b"mythic/devnet/state/v1";
    /// A question of a development chain's follower, under their secret.
    pub const DEVNET_ASK: &[u8] = b"mythic/devnet/ask/v1";
    /// The answer to one.
    pub const DEVNET_TELL: &[u8] = b"mythic/devnet/tell/v1";

    /// A leaf of the fingerprint's tree.
    pub const LEAF: &[u8] = &[0];
    /// An inner node of every tree.
    pub const NODE: &[u8] = &[1];
    /// A leaf of the output's tree.
    pub const OUTPUT_LEAF: &[u8] = &[2];
    /// A leaf of a round's product.
    pub const PRODUCT_LEAF: &[u8] = &[3];
}

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// SHA-256 of the concatenation of `parts`.
#[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
pub fn sha256(parts: &[&[u8]]) -> Hash {
    use sha2::Digest;
    let mut hasher = sha2::Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// SHA-256 of the concatenation of `parts`.
#[cfg(any(target_os = "solana", target_arch = "bpf"))]
pub fn sha256(parts: &[&[u8]]) -> Hash {
    let mut out = core::mem::MaybeUninit::<Hash>::uninit();
    // SAFETY: a slice of slices is an array of (address, length) pairs of 64 bits, the layout
    // that the syscall reads; it writes all 32 bytes of `out` or aborts the program.
    unsafe {
        solana_define_syscall::definitions::sol_sha256(
            parts.as_ptr() as *const u8,
            parts.len() as u64,
            out.as_mut_ptr() as *mut u8,
        );
        out.assume_init()
    }
}

/// Token ids as they are hashed: 4 little-endian bytes each.
pub(crate) fn id_bytes(ids: &[u32]) -> &[u8] {
    bytemuck::cast_slice(ids)
}

/// Commits to a prompt: token ids as the model sees them (BOS included) under a salt that keeps
/// short prompts from being guessed.
pub fn prompt_hash(salt: &[u8; 16], ids: &[u32]) -> Hash {
    let count = (ids.len() as u32).to_le_bytes();
    sha256(&[domain::PROMPT, salt, &count, id_bytes(ids)])
}

/// Commits to the spec of a lease: its exact bytes, under a salt that keeps short ones from being guessed.
pub fn spec_hash(salt: &[u8; 16], spec: &[u8]) -> Hash {
    sha256(&[domain::LEASE_SPEC, salt, spec])
}

/// Commits to what a provider gives a tenant to reach a lease: URL, TLS key, SSH host key, as the provider writes them.
pub fn access_hash(access: &[u8]) -> Hash {
    sha256(&[domain::LEASE_ACCESS, access])
}

/// Names the key with which a tenant uses an endpoint. Keys are random and long, so that this gives none away.
pub fn lease_key_hash(key: &[u8]) -> Hash {
    sha256(&[domain::LEASE_KEY, key])
}

/// Commits a spec to a value of a container's environment: whoever reads the spec can't guess it without the salt, which only the provider
/// is told.
pub fn environment_hash(salt: &[u8; 16], name: &str, value: &str) -> Hash {
    let len = (name.len() as u64).to_le_bytes();
    let (name, value) = (name.as_bytes(), value.as_bytes());
    sha256(&[domain::LEASE_ENVIRONMENT, salt, &len, name, value])
}

/// The seed of a job's sampling: the requester picks `user_seed`, the job's address makes it one
/// that holds on every fork and that no validator can choose.
pub fn job_seed(job: &[u8; 32], user_seed: &[u8; 32]) -> Hash {
    sha256(&[domain::SEED, job, user_seed])
}

/// An inner node of every tree.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    sha256(&[domain::NODE, left, right])
}

/// The 32 bytes on chain: logits and tokens of every position, under these terms.
pub fn fingerprint(leaf_root: &Hash, count: u32, terms_hash: &Hash, output_root: &Hash) -> Hash {
    sha256(&[
        domain::FINGERPRINT,
        leaf_root,
        &count.to_le_bytes(),
        terms_hash,
        output_root,
    ])
}

/// Commits to the stop strings of a job of sampling profile 1, in the order given; all zero when there are none.
#[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
pub fn stop_hash<S: AsRef<str>>(stops: &[S]) -> Hash {
    use sha2::Digest;
    if stops.is_empty() {
        return [0; 32];
    }
    let mut hasher = sha2::Sha256::new();
    hasher.update(domain::STOP);
    hasher.update((stops.len() as u32).to_le_bytes());
    for stop in stops {
        let stop = stop.as_ref().as_bytes();
        hasher.update((stop.len() as u32).to_le_bytes());
        hasher.update(stop);
    }
    hasher.finalize().into()
}

/// Commits to a job's sampling options: their canonical bytes, under the prompt's salt, so that short ones can't be guessed.
pub fn options_hash(salt: &[u8; 16], options: &[u8]) -> Hash {
    sha256(&[domain::OPTIONS, salt, options])
}

/// The first four bytes of a digest: the uniform number that `gumbel_q16` takes.
pub fn uniform(digest: &Hash) -> u32 {
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// The first eight bytes of a digest.
pub(crate) fn uniform64(digest: &Hash) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(word)
}

/// Noise of one token at one position of a job, as the argument of `gumbel_q16`.
pub fn token_uniform(seed: &Hash, position: u32, id: u32) -> u32 {
    uniform(&sha256(&[
        domain::GUMBEL,
        seed,
        &position.to_le_bytes(),
        &id.to_le_bytes(),
    ]))
}

/// Noise of one validator for one jury seat, as the argument of `gumbel_q16`.
pub fn jury_uniform(case: &[u8; 32], slot_hash: &Hash, seat: u32, authority: &[u8; 32]) -> u32 {
    uniform(&sha256(&[
        domain::JURY,
        case,
        slot_hash,
        &seat.to_le_bytes(),
        authority,
    ]))
}

/// What a juror commits to before anybody reveals: its vote under a salt.
pub fn juror_commitment(
    case: &[u8; 32],
    authority: &[u8; 32],
    salt: &[u8; 32],
    vote: &[u8],
) -> Hash {
    sha256(&[domain::JUROR, case, authority, salt, vote])
}

/// What a case judges, which a juror names when it commits: the sampled positions, and the digests of the leaves that were
/// shown for each claim that names positions. On another fork the case may have drawn others, or have others' claims.
pub fn positions_hash(sample: &[U32], digests: &[Hash]) -> Hash {
    sha256(&[
        domain::POSITIONS,
        bytemuck::cast_slice(sample),
        digests.as_flattened(),
    ])
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeSet;

    #[test]
    fn no_domain_tag_stands_for_two_things() {
        let tags = include_str!("hash.rs")
            .lines()
            .filter_map(|line| line.trim().strip_prefix("pub const "))
            .filter_map(|line| line.split_once(": &[u8] = ").map(|(_, tag)| tag));
        let (mut seen, mut count) = (BTreeSet::new(), 0);
        for tag in tags {
            count += 1;
            assert!(seen.insert(tag), "{tag} twice");
        }
        assert!(count > 20, "{count} tags were found");
    }
}
