//! Disputes: challenge, postings, jury, verdict. In builders `state` is the job, the dispute or the page as read.

use super::*;
use crate::hash::Hash;
use crate::le::{U32, U64};
use crate::state::{Key, LEAF_LEN, NAMED_POSITIONS};

instructions! {
    /// Challenges a result: draws the sample, takes the bond and the rent of the output that will be posted.
    VerifyLogits = 72 {
        /// Slot of the result that is challenged.
        submitted_slot: U64,
        /// Its fingerprint.
        fingerprint: Hash,
        /// Most lamports of bond that the challenger pays.
        bond: U64 = "bond_lamports",
        /// Used part of `positions`.
        position_count: u8,
        /// Positions to check beside the sampled ones, ascending; the rest zero. Only in an exact profile.
        positions: [U32; NAMED_POSITIONS],
    } [
        pays("payer"), signs("operator"), write("challenger"), write("job"), write("submitter"), read("model"),
        write("dispute"), read("system_program"),
    ]

    /// Posts a chunk of the output; one that is there already changes nothing. The first chunk of a page creates
    /// it, from what the challenger prepaid. Anyone.
    PostOutput = 73 {
        /// Slot of the result.
        submitted_slot: U64,
        /// Index of the chunk. Its path leads to the output root, which is the result's alone.
        chunk: U32,
    } [
        pays("payer"), write("dispute"), read("job"), write("first_page"), maybe(write("page")), read("system_program"),
    ] => "the chunk's token ids, 4 bytes each, and its path in the output tree"

    /// Shows leaves of checked positions, once the output is posted; those that are there already change nothing. The
    /// page holds their tokens. The last leaf calls the jury. Anyone.
    PostOpenings = 74 {
        /// Slot of the result.
        submitted_slot: U64,
        /// Its fingerprint.
        fingerprint: Hash,
    } [write("dispute"), read("job"), read("first_page"), maybe(read("page"))]
        => "one or more leaves, each 40 bytes of content and its path in the fingerprint's tree"

    /// Commits to a vector and takes the seats for which the validator ranks highest so far.
    CommitJuror = 75 {
        /// Slot of the result.
        submitted_slot: U64,
        /// Its fingerprint.
        fingerprint: Hash,
        /// [`crate::state::Dispute::positions_hash`] of the positions that were checked.
        positions_hash: Hash,
        /// [`crate::hash::juror_commitment`].
        commitment: Hash,
    } [signs("operator"), write("validator"), write("dispute")]

    /// Shows the vector behind a commitment.
    RevealJuror = 76 {
        /// Slot of the result.
        submitted_slot: U64,
        /// Its fingerprint.
        fingerprint: Hash,
        /// Salt of the commitment.
        salt: Hash,
    } [signs("operator"), read("validator"), write("dispute")]
        => "the vector: 5 logits of 4 bytes for each checked position"

    /// Proves with one leaf that a result breaks the rules; the job is decided at once. The page of posted output is
    /// needed where the leaf's token differs from it.
    ProveFault = 77 {
        /// Slot of the result.
        submitted_slot: U64,
        /// Its fingerprint.
        fingerprint: Hash,
        /// Content of the leaf.
        leaf: [u8; LEAF_LEN],
    } [
        pays("payer"), signs("operator"), write("prover"), write("job"), write("submitter"), write("vault"),
        maybe(write("grant")), read("model"), maybe(read("page")), write("fault"), read("system_program"),
    ] => "the leaf's path in the fingerprint's tree"

    /// Decides a dispute that is due, and with it the job if it was the last or the result is false. Anyone.
    ResolveDispute = 78 {} [
        write("dispute"), write("job"), write("submitter"), write("vault"), maybe(write("grant")),
    ]

    /// Moves what a resolved dispute owes a validator to its account, and takes what it lost as a juror. What is due
    /// to a validator that was closed is burned. Anyone.
    CollectDispute = 79 {
        /// Authority of the validator.
        authority: Key,
    } [write("dispute"), write("validator"), write("incinerator")]

    /// Closes a dispute that was resolved long enough ago and owes nothing; after a second delay, fines that nobody collected
    /// lapse. Anyone.
    CloseDispute = 80 {} [write("dispute"), write("rent_payer")]

    /// Closes a page of output whose job ended long enough ago. Anyone.
    CloseOutput = 81 {} [write("page"), read("job"), write("rent_payer")]
}

#[cfg(feature = "client")]
pub use builders::*;

#[cfg(feature = "client")]
mod builders {
    use super::*;
    use crate::ix::build::*;
    use alloc::vec::Vec;

    use crate::leaf::Leaf;
    use crate::output::OUTPUT_CHUNK;
    use crate::state::{Dispute, Job, OUTPUT_PAGE_TOKENS, Output};

    /// The result of a job, as the instructions of a dispute name it: on another fork they are refused.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct NamedResult {
        /// Address of the job.
        pub job: Pubkey,
        /// Slot of the result.
        pub submitted_slot: u64,
        /// Its fingerprint.
        pub fingerprint: Hash,
    }

    impl NamedResult {
        /// The result of a job as read.
        pub fn of(job: impl Named, state: &Job) -> Self {
            Self {
                job: job.pubkey(),
                submitted_slot: state.submitted_slot.get(),
                fingerprint: state.fingerprint,
            }
        }
    }

    /// Who challenges a result or proves a fault.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Challenger {
        /// Pays rent and bond; gets the rent back.
        pub payer: Pubkey,
        /// The validator's operator, which signs.
        pub operator: Pubkey,
        /// The validator's authority.
        pub authority: Pubkey,
    }

    /// Challenges a result; `bond` is the most that is paid, `positions` up to two that are checked beside the sampled
    /// ones, ascending. The dispute is `address::dispute(job, authority)`.
    pub fn verify_logits(
        who: &Challenger,
        job: impl Named,
        state: &Job,
        bond: u64,
        positions: &[u32],
    ) -> Call {
        let mut named = [U32::new(0); NAMED_POSITIONS];
        for (place, position) in named.iter_mut().zip(positions) {
            place.set(*position);
        }
        let args = VerifyLogits {
            submitted_slot: state.submitted_slot,
            fingerprint: state.fingerprint,
            bond: U64::new(bond),
            // More than there is room for is refused by the program.
            position_count: u8::try_from(positions.len()).unwrap_or(u8::MAX),
            positions: named,
        };
        let accounts = [
            who.payer,
            who.operator,
            address::validator(who.authority),
            job.pubkey(),
            address::validator(state.validator),
            state.terms.model.pubkey(),
            address::dispute(job, who.authority),
            SYSTEM,
        ];
        fixed(&args, accounts)
    }

    /// The page of output beside the first one, if a chunk or a position lies on another.
    fn beside_first(job: &Pubkey, page: u32) -> Option<Pubkey> {
        (page > 0).then(|| address::output(job, page))
    }

    /// Posts a chunk of output; `tail` is [`chunk_tail`].
    pub fn post_output(
        result: &NamedResult,
        payer: impl Named,
        dispute: impl Named,
        chunk: u32,
        tail: &[u8],
    ) -> Call {
        let args = PostOutput {
            submitted_slot: U64::new(result.submitted_slot),
            chunk: U32::new(chunk),
        };
        let page = chunk / (OUTPUT_PAGE_TOKENS / OUTPUT_CHUNK) as u32;
        let accounts = [
            Some(payer.pubkey()),
            Some(dispute.pubkey()),
            Some(result.job),
            Some(address::output(result.job, 0)),
            beside_first(&result.job, page),
            Some(SYSTEM),
        ];
        with_tail(&args, tail, &accounts)
    }

    /// What stands behind the arguments of [`post_output`]: the chunk's ids and its path in the output tree.
    pub fn chunk_tail(ids: &[u32], path: &[Hash]) -> Vec<u8> {
        let mut tail: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        tail.extend_from_slice(path.as_flattened());
        tail
    }

    /// Shows leaves that lie on one page of output; `tail` is [`leaves_tail`]. How many fit:
    /// [`leaves_in_one_call`].
    pub fn post_openings(
        result: &NamedResult,
        dispute: impl Named,
        page: u32,
        tail: &[u8],
    ) -> Call {
        let args = PostOpenings {
            submitted_slot: U64::new(result.submitted_slot),
            fingerprint: result.fingerprint,
        };
        let accounts = [
            Some(dispute.pubkey()),
            Some(result.job),
            Some(address::output(result.job, 0)),
            beside_first(&result.job, page),
        ];
        with_tail(&args, tail, &accounts)
    }

    /// What stands behind the arguments of [`post_openings`]: each leaf and its path in the fingerprint's tree.
    pub fn leaves_tail(leaves: &[(Leaf, Vec<Hash>)]) -> Vec<u8> {
        let mut tail = Vec::new();
        for (leaf, path) in leaves {
            tail.extend_from_slice(&leaf.encode());
            tail.extend_from_slice(path.as_flattened());
        }
        tail
    }

    /// The page of output that holds a position.
    pub fn page_of(position: u32) -> u32 {
        position / OUTPUT_PAGE_TOKENS as u32
    }

    /// Leaves of an answer of `output_tokens` tokens that fit one PostOpenings in a transaction with a compute budget:
    /// two up to 2,048 tokens, then one.
    pub fn leaves_in_one_call(output_tokens: u32) -> usize {
        match output_tokens {
            0..=2_048 => 2,
            _ => 1,
        }
    }

    /// A juror's place in a dispute.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Juror {
        /// The validator's operator, which signs.
        pub operator: Pubkey,
        /// The validator's authority.
        pub authority: Pubkey,
        /// Address of the dispute.
        pub dispute: Pubkey,
    }

    impl Juror {
        fn accounts(&self) -> [Pubkey; 3] {
            [
                self.operator,
                address::validator(self.authority),
                self.dispute,
            ]
        }
    }

    /// Commits to a vector.
    pub fn commit_juror(juror: &Juror, state: &Dispute, commitment: Hash) -> Call {
        let args = CommitJuror {
            submitted_slot: state.submitted_slot,
            fingerprint: state.fingerprint,
            positions_hash: state.positions_hash(),
            commitment,
        };
        fixed(&args, juror.accounts())
    }

    /// Shows the vector behind a commitment.
    pub fn reveal_juror(juror: &Juror, state: &Dispute, salt: Hash, vector: &[u8]) -> Call {
        let args = RevealJuror {
            submitted_slot: state.submitted_slot,
            fingerprint: state.fingerprint,
            salt,
        };
        with_tail(&args, vector, &juror.accounts().map(Some))
    }

    /// What shows that a result breaks the rules.
    #[derive(Debug, Clone, Copy)]
    pub struct Proof<'a> {
        /// The leaf.
        pub leaf: Leaf,
        /// Its path in the fingerprint's tree.
        pub path: &'a [Hash],
        /// Address of the posted page of output that the leaf contradicts, if that is the fault.
        pub page: Option<Pubkey>,
    }

    /// Proves with one leaf and its path that a result breaks the rules.
    pub fn prove_fault(who: &Challenger, job: impl Named, state: &Job, proof: &Proof<'_>) -> Call {
        let (vault, grant) = purse(state);
        let args = ProveFault {
            submitted_slot: state.submitted_slot,
            fingerprint: state.fingerprint,
            leaf: proof.leaf.encode(),
        };
        let accounts = [
            Some(who.payer),
            Some(who.operator),
            Some(address::validator(who.authority)),
            Some(job.pubkey()),
            Some(address::validator(state.validator)),
            Some(vault),
            grant,
            Some(state.terms.model.pubkey()),
            proof.page,
            Some(address::fault(job)),
            Some(SYSTEM),
        ];
        with_tail(&args, proof.path.as_flattened(), &accounts)
    }

    /// Decides a dispute that is due; `state` is its job.
    pub fn resolve_dispute(dispute: impl Named, job: impl Named, state: &Job) -> Call {
        let (vault, grant) = purse(state);
        let accounts = [
            Some(dispute.pubkey()),
            Some(job.pubkey()),
            Some(address::validator(state.validator)),
            Some(vault),
            grant,
        ];
        build(&ResolveDispute {}, &accounts, [])
    }

    /// Moves what a resolved dispute owes a validator, and takes what it lost.
    pub fn collect_dispute(dispute: impl Named, authority: impl Named) -> Call {
        let args = CollectDispute {
            authority: authority.pubkey().to_bytes(),
        };
        let accounts = [dispute.pubkey(), address::validator(authority), INCINERATOR];
        fixed(&args, accounts)
    }

    /// Closes a dispute that is over and owes nothing.
    pub fn close_dispute(dispute: impl Named, state: &Dispute) -> Call {
        let accounts = [dispute.pubkey(), state.rent_payer.pubkey()];
        fixed(&CloseDispute {}, accounts)
    }

    /// Closes a page of output of a job that is over.
    pub fn close_output(page: impl Named, state: &Output) -> Call {
        let accounts = [page.pubkey(), state.job.pubkey(), state.rent_payer.pubkey()];
        fixed(&CloseOutput {}, accounts)
    }
}
