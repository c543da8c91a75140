//! Cases: claims, postings, jury, verdict. In builders `state` is the job, the case or the page as read.

use super::*;
use crate::hash::Hash;
use crate::le::{U32, U64};
use crate::state::{Key, LEAF_LEN, NAMED_POSITIONS};

instructions! {
    /// Claims that a result is withheld or false, and pays the bond. The first claim opens the job's case: it draws the sample,
    /// and pays the rent of the case and of the output that will be posted. Later ones join it. The first that says `false` pays
    /// the rent of the jury's votes.
    VerifyLogits = 72 {
        /// Slot of the result that is meant.
        submitted_slot: U64,
        /// Its fingerprint.
        fingerprint: Hash,
        /// [`crate::state::ClaimKind`].
        kind: u8,
        /// Most lamports of bond that the claimant pays.
        bond: U64 = "bond_lamports",
        /// Used part of `positions`.
        position_count: u8,
        /// Positions to check beside the sampled ones, ascending; the rest zero. Only with `false`, in an exact profile.
        positions: [U32; NAMED_POSITIONS],
    } [
        pays("payer"), signs("operator"), write("claimant"), write("job"), write("submitter"), read("model"),
        maybe(read("served")), write("case"), maybe(write("votes")), read("system_program"),
    ]

    /// Posts a chunk of the output; one that is there already changes nothing. The first chunk of a page creates
    /// it, from what the opener prepaid. Anyone.
    PostOutput = 73 {
        /// Slot of the result.
        submitted_slot: U64,
        /// Index of the chunk. Its path leads to the output root, which is the result's alone.
        chunk: U32,
    } [
        pays("payer"), write("case"), read("job"), write("first_page"), maybe(write("page")), read("system_program"),
    ] => "the chunk's token ids, 4 bytes each, and its path in the output tree"

    /// Shows leaves of checked positions, once the output is posted; those that are there already change nothing. The
    /// page holds their tokens. Once output, sample and the opener's positions are shown, others join. Anyone.
    PostOpenings = 74 {
        /// Slot of the result.
        submitted_slot: U64,
        /// Its fingerprint.
        fingerprint: Hash,
    } [write("case"), read("job"), read("first_page"), maybe(read("page"))]
        => "one or more leaves, each 40 bytes of content and its path in the fingerprint's tree"

    /// Commits to a vote and takes the seats for which the validator ranks highest so far. `served` is the registration of the
    /// job's file that it serves, if it is another than the job's.
    CommitJuror = 75 {
        /// Slot of the result.
        submitted_slot: U64,
        /// Its fingerprint.
        fingerprint: Hash,
        /// [`crate::state::Case::positions_hash`] of what is judged.
        positions_hash: Hash,
        /// [`crate::hash::juror_commitment`].
        commitment: Hash,
    } [signs("operator"), write("validator"), write("case"), maybe(read("served"))]

    /// Shows the vote behind a commitment.
    RevealJuror = 76 {
        /// Slot of the result.
        submitted_slot: U64,
        /// Its fingerprint.
        fingerprint: Hash,
        /// Salt of the commitment.
        salt: Hash,
    } [signs("operator"), read("validator"), write("case"), write("votes")]
        => "the vote: in an exact profile digests of work, sample and each group, else 5 logits of 4 bytes for each sampled position"

    /// Proves with one leaf that a result breaks the rules. Case and job are decided at once, without a case too, which it creates;
    /// but once everything is shown and somebody says `false`, the fault is noted, and shown wherever a claim names it, and the
    /// jury goes on. The page of posted output is needed where the leaf's token differs from it.
    ProveFault = 77 {
        /// Slot of the result.
        submitted_slot: U64,
        /// Its fingerprint.
        fingerprint: Hash,
        /// Content of the leaf.
        leaf: [u8; LEAF_LEN],
    } [
        pays("payer"), signs("operator"), write("prover"), write("job"), write("submitter"), write("vault"),
        maybe(write("grant")), read("model"), maybe(read("page")), write("case"), read("system_program"),
    ] => "the leaf's path in the fingerprint's tree"

    /// Decides a case that is due, and with it the job. The votes are needed where a jury has committed. Anyone.
    ResolveCase = 78 {} [
        write("case"), write("job"), write("submitter"), write("vault"), maybe(write("grant")), maybe(read("votes")),
    ]

    /// Moves what a resolved case owes a validator to its account, as claimant, juror or prover, and takes what it lost as a juror. What is due
    /// to a validator that was closed is burned, and only then the incinerator is needed. Anyone.
    CollectCase = 79 {
        /// Authority of the validator.
        authority: Key,
    } [write("case"), write("validator"), maybe(write("incinerator"))]

    /// Closes a case that was resolved long enough ago and owes nothing, and its votes; after a second delay, fines that nobody
    /// collected lapse. Anyone.
    CloseCase = 80 {} [
        write("case"), write("rent_payer"), maybe(write("votes")), maybe(write("votes_rent_payer")),
    ]

    /// Closes a page of output whose job ended long enough ago. Anyone.
    CloseOutput = 81 {} [write("page"), read("job"), write("rent_payer")]
}

/// Leaves of an answer of `output_tokens` tokens that fit one PostOpenings in a transaction with a compute budget:
/// two up to 2,048 tokens, then one.
pub const fn leaves_in_one_call(output_tokens: u32) -> usize {
    match output_tokens {
        0..=2_048 => 2,
        _ => 1,
    }
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
    use crate::state::{Case, ClaimKind, Job, JurySeat, OUTPUT_PAGE_TOKENS, Output, Votes};

    /// The result of a job, as the instructions of a case name it: on another fork they are refused.
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

    /// Who claims against a result or proves a fault.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Claimant {
        /// Pays rent and bond; gets the rent back.
        pub payer: Pubkey,
        /// The validator's operator, which signs.
        pub operator: Pubkey,
        /// The validator's authority.
        pub authority: Pubkey,
    }

    /// What somebody says of a result.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Statement<'a> {
        /// That it is withheld, or false.
        pub kind: ClaimKind,
        /// Most lamports of bond that are paid: [`crate::dispute::Bond::of`] of the case as read, and more if others may join
        /// in between.
        pub bond: u64,
        /// Up to two positions that are checked beside the sampled ones, ascending.
        pub positions: &'a [u32],
        /// The registration of the job's file that the claimant serves, if it is another than the job's.
        pub served: Option<Pubkey>,
    }

    /// Opens the case of a result or joins it. The case is `address::case(job)`.
    pub fn verify_logits(
        who: &Claimant,
        job: impl Named,
        state: &Job,
        statement: &Statement<'_>,
    ) -> Call {
        let mut named = [U32::new(0); NAMED_POSITIONS];
        for (place, position) in named.iter_mut().zip(statement.positions) {
            place.set(*position);
        }
        let args = VerifyLogits {
            submitted_slot: state.submitted_slot,
            fingerprint: state.fingerprint,
            kind: statement.kind as u8,
            bond: U64::new(statement.bond),
            // More than there is room for is refused by the program.
            position_count: u8::try_from(statement.positions.len()).unwrap_or(u8::MAX),
            positions: named,
        };
        let case = address::case(job);
        let accounts = [
            Some(who.payer),
            Some(who.operator),
            Some(address::validator(who.authority)),
            Some(job.pubkey()),
            Some(address::validator(state.validator)),
            Some(state.terms.model.pubkey()),
            statement.served,
            Some(case),
            (statement.kind == ClaimKind::False).then(|| address::votes(case)),
            Some(SYSTEM),
        ];
        build(&args, &accounts, [])
    }

    /// The page of output beside the first one, if a chunk or a position lies on another.
    fn beside_first(job: &Pubkey, page: u32) -> Option<Pubkey> {
        (page > 0).then(|| address::output(job, page))
    }

    /// Posts a chunk of output; `tail` is [`chunk_tail`].
    pub fn post_output(
        result: &NamedResult,
        payer: impl Named,
        case: impl Named,
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
            Some(case.pubkey()),
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
    pub fn post_openings(result: &NamedResult, case: impl Named, page: u32, tail: &[u8]) -> Call {
        let args = PostOpenings {
            submitted_slot: U64::new(result.submitted_slot),
            fingerprint: result.fingerprint,
        };
        let accounts = [
            Some(case.pubkey()),
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

    /// A juror's place in a case.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Juror {
        /// The validator's operator, which signs.
        pub operator: Pubkey,
        /// The validator's authority.
        pub authority: Pubkey,
        /// Address of the case.
        pub case: Pubkey,
        /// The registration of the job's file that the juror serves, if it is another than the job's.
        pub served: Option<Pubkey>,
    }

    /// Commits to a vote.
    pub fn commit_juror(juror: &Juror, state: &Case, commitment: Hash) -> Call {
        let args = CommitJuror {
            submitted_slot: state.submitted_slot,
            fingerprint: state.fingerprint,
            positions_hash: state.positions_hash(),
            commitment,
        };
        let accounts = [
            Some(juror.operator),
            Some(address::validator(juror.authority)),
            Some(juror.case),
            juror.served,
        ];
        build(&args, &accounts, [])
    }

    /// Shows the vote behind a commitment.
    pub fn reveal_juror(juror: &Juror, state: &Case, salt: Hash, vote: &[u8]) -> Call {
        let args = RevealJuror {
            submitted_slot: state.submitted_slot,
            fingerprint: state.fingerprint,
            salt,
        };
        let accounts = [
            juror.operator,
            address::validator(juror.authority),
            juror.case,
            address::votes(juror.case),
        ];
        with_tail(&args, vote, &accounts.map(Some))
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
    pub fn prove_fault(who: &Claimant, job: impl Named, state: &Job, proof: &Proof<'_>) -> Call {
        let (vault, grant) = purse(state);
        let args = ProveFault {
            submitted_slot: state.submitted_slot,
            fingerprint: state.fingerprint,
            leaf: proof.leaf.encode(),
        };
        let case = address::case(job);
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
            Some(case),
            Some(SYSTEM),
        ];
        with_tail(&args, proof.path.as_flattened(), &accounts)
    }

    /// Decides a case that is due; `job` is its job as read.
    pub fn resolve_case(case: impl Named, state: &Case, job: &Job) -> Call {
        let (vault, grant) = purse(job);
        // Once somebody has committed there are votes to count.
        let judged = state.jury().iter().any(JurySeat::is_taken);
        let accounts = [
            Some(case.pubkey()),
            Some(state.job.pubkey()),
            Some(address::validator(job.validator)),
            Some(vault),
            grant,
            judged.then(|| address::votes(case)),
        ];
        build(&ResolveCase {}, &accounts, [])
    }

    /// Moves what a resolved case owes a validator, and takes what it lost. `closed` says that its account is gone, and what
    /// is due burned.
    pub fn collect_case(case: impl Named, authority: impl Named, closed: bool) -> Call {
        let args = CollectCase {
            authority: authority.pubkey().to_bytes(),
        };
        let accounts = [
            Some(case.pubkey()),
            Some(address::validator(authority)),
            closed.then_some(INCINERATOR),
        ];
        build(&args, &accounts, [])
    }

    /// Closes a case that is over and owes nothing, with its votes if anybody said `false`.
    pub fn close_case(case: impl Named, state: &Case, votes: Option<&Votes>) -> Call {
        let accounts = [
            Some(case.pubkey()),
            Some(state.rent_payer.pubkey()),
            votes.map(|_| address::votes(case)),
            votes.map(|votes| votes.rent_payer.pubkey()),
        ];
        build(&CloseCase {}, &accounts, [])
    }

    /// Closes a page of output of a job that is over.
    pub fn close_output(page: impl Named, state: &Output) -> Call {
        let accounts = [page.pubkey(), state.job.pubkey(), state.rent_payer.pubkey()];
        fixed(&CloseOutput {}, accounts)
    }
}
