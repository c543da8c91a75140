//! Jobs from their request to their end. In builders `validator` is a validator's authority, and `state` the job as
//! read.

use super::*;
use crate::hash::Hash;
use crate::le::{Text, U16, U32};
use crate::state::{Key, PROMPT_SOURCE_LEN};

instructions! {
    /// Requests a job and pays its ceiling into it. With a validator and its operator's signature it is
    /// accepted at once, without it is open.
    RequestInference = 56 {
        /// Expiry slot (8 bytes, little-endian) and 8 bytes that tell attempts apart.
        nonce: [u8; 16],
        /// Who may cancel beside owner and requester; zero = nobody.
        canceller: Key,
        /// [`crate::hash::prompt_hash`].
        prompt_hash: Hash,
        /// Tokens of the prompt.
        prompt_tokens: U32,
        /// Most tokens of the output.
        max_output_tokens: U32,
        /// Lamports per 1,000 prompt tokens; must be the model's.
        price_in: U32 = "price_in_lamports",
        /// Lamports per 1,000 output tokens; must be the model's.
        price_out: U32 = "price_out_lamports",
        /// The requester's seed.
        user_seed: Hash,
        /// Temperature in thousandths.
        temperature_milli: U16,
        /// [`crate::state::SamplingProfile`].
        sampling_profile: u8,
        /// Sampling profile 1: [`crate::hash::stop_hash`]; 2: [`crate::hash::options_hash`]; zero = no stop strings and no options.
        options_hash: Hash,
        /// Base URL of the gateway that holds the prompt.
        prompt_source: Text<PROMPT_SOURCE_LEN>,
        /// Slots from the request to the deadline.
        deadline_slots: U32,
        /// [`crate::params::Rules::hash`] of the network's rules; must be those in force.
        rules_hash: Hash,
        /// Bump of the job's address. Clients give the canonical one.
        bump: u8,
    } [
        pays("payer"), signs("requester"), read("config"), read("model"), write("vault"), maybe(write("grant")),
        write("job"), maybe(write("validator")), maybe(signs("operator")), read("system_program"),
    ]

    /// Takes an open job.
    AcceptInference = 57 {
        /// Terms that are accepted; another fork may have others at this address.
        terms_hash: Hash,
    } [signs("operator"), write("validator"), write("job")]

    /// Gives an accepted job up, in time; it is refunded.
    DeclineJob = 58 {} [signs("operator"), write("validator"), write("job"), write("vault"), maybe(write("grant"))]

    /// Cancels a job: refunds an open one, records the cancel of an accepted one.
    CancelJob = 59 {} [signs("canceller"), write("job"), write("vault"), maybe(write("grant"))]

    /// Refunds a job that has no result in time. Anyone.
    ExpireJob = 60 {} [write("job"), write("vault"), maybe(write("validator")), maybe(write("grant"))]

    /// Commits to a result.
    SubmitResult = 61 {
        /// Terms under which the work was done.
        terms_hash: Hash,
        /// [`crate::output::output_root`].
        output_root: Hash,
        /// [`crate::hash::fingerprint`].
        fingerprint: Hash,
        /// Tokens of the output.
        output_tokens: U32,
        /// [`crate::state::FinishReason`].
        finish_reason: u8,
    } [signs("operator"), read("validator"), write("job")]

    /// Settles an unchallenged result after its window. Anyone.
    ClaimInferenceFee = 62 {} [write("job"), write("validator"), write("vault"), maybe(write("grant"))]

    /// Closes a job that ended long enough ago; the rent goes to who paid it. Anyone.
    CloseJob = 63 {} [write("job"), write("rent_payer")]
}

#[cfg(feature = "client")]
pub use builders::*;

#[cfg(feature = "client")]
mod builders {
    use super::*;
    use crate::ix::build::*;
    use crate::pda;
    use crate::state::{Job, NO_KEY};

    /// Who takes part in a request.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Requester {
        /// Pays fee and rent; gets the rent back.
        pub payer: Pubkey,
        /// Signs: the owner, or a delegate with a grant.
        pub requester: Pubkey,
        /// Whose vault pays.
        pub owner: Pubkey,
        /// Account of the model.
        pub model: Pubkey,
        /// Authority and operator of the validator that co-signs; `None` for an open job.
        pub validator: Option<(Pubkey, Pubkey)>,
    }

    impl Requester {
        /// The grant's account, when a delegate requests.
        pub fn grant(&self) -> Option<Pubkey> {
            (self.requester != self.owner).then(|| address::grant(self.owner, self.requester))
        }
    }

    /// Requests a job; its account is `address::job(owner, nonce)`, whatever bump the arguments have.
    pub fn request_inference(who: &Requester, args: &RequestInference) -> Call {
        let (job, bump) = address::find(&pda::job(who.owner.as_array(), &args.nonce));
        let accounts = [
            Some(who.payer),
            Some(who.requester),
            Some(address::config()),
            Some(who.model),
            Some(address::vault(who.owner)),
            who.grant(),
            Some(job),
            who.validator
                .map(|(authority, _)| address::validator(authority)),
            who.validator.map(|(_, operator)| operator),
            Some(SYSTEM),
        ];
        build(&RequestInference { bump, ..*args }, &accounts, [])
    }

    /// Takes an open job under the terms named.
    pub fn accept_inference(
        operator: impl Named,
        validator: impl Named,
        job: impl Named,
        terms_hash: Hash,
    ) -> Call {
        let accounts = [
            operator.pubkey(),
            address::validator(validator),
            job.pubkey(),
        ];
        fixed(&AcceptInference { terms_hash }, accounts)
    }

    /// Gives an accepted job up.
    pub fn decline_job(
        operator: impl Named,
        validator: impl Named,
        job: impl Named,
        state: &Job,
    ) -> Call {
        let (vault, grant) = purse(state);
        let accounts = [
            Some(operator.pubkey()),
            Some(address::validator(validator)),
            Some(job.pubkey()),
            Some(vault),
            grant,
        ];
        build(&DeclineJob {}, &accounts, [])
    }

    /// Cancels a job; `canceller` is its owner, requester or canceller.
    pub fn cancel_job(canceller: impl Named, job: impl Named, state: &Job) -> Call {
        let (vault, grant) = purse(state);
        let accounts = [
            Some(canceller.pubkey()),
            Some(job.pubkey()),
            Some(vault),
            grant,
        ];
        build(&CancelJob {}, &accounts, [])
    }

    /// Refunds a job that has no result in time.
    pub fn expire_job(job: impl Named, state: &Job) -> Call {
        let (vault, grant) = purse(state);
        let validator = (state.validator != NO_KEY).then(|| address::validator(state.validator));
        let accounts = [Some(job.pubkey()), Some(vault), validator, grant];
        build(&ExpireJob {}, &accounts, [])
    }

    /// Commits to a result.
    pub fn submit_result(
        operator: impl Named,
        validator: impl Named,
        job: impl Named,
        args: &SubmitResult,
    ) -> Call {
        let accounts = [
            operator.pubkey(),
            address::validator(validator),
            job.pubkey(),
        ];
        fixed(args, accounts)
    }

    /// Settles an unchallenged result after its window.
    pub fn claim_inference_fee(job: impl Named, state: &Job) -> Call {
        let (vault, grant) = purse(state);
        let accounts = [
            Some(job.pubkey()),
            Some(address::validator(state.validator)),
            Some(vault),
            grant,
        ];
        build(&ClaimInferenceFee {}, &accounts, [])
    }

    /// Closes a job that ended long enough ago.
    pub fn close_job(job: impl Named, state: &Job) -> Call {
        fixed(&CloseJob {}, [job.pubkey(), state.rent_payer.pubkey()])
    }
}
