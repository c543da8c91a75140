//! What a job's state machine is told, and what it answers.

/// How the job came to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A gateway sent prompt and half-signed transaction.
    CoSigned,
    /// We accepted an open job.
    Consumed,
}

/// How the terms on chain compare with those our result is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermsMatch {
    /// Equal terms hash.
    Same,
    /// Other terms under which the same output is right (the request landed again in another form).
    Compatible,
    /// Terms of another piece of work.
    Foreign,
}

/// What the chain says of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// No account.
    Absent,
    /// Nobody has accepted it.
    Open,
    /// Accepted by this validator.
    Ours {
        /// Terms compared with those worked on.
        terms: TermsMatch,
        /// A cancel is recorded.
        cancelled: bool,
        /// First slot at which a result is refused.
        end_slot: u64,
    },
    /// Accepted by, or submitted by, another validator.
    Others,
    /// Our result is on chain.
    Submitted,
    /// Settled, refunded or slashed.
    Ended,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A new job begins: admitted and journalled.
    Begin,
    /// A job read from the journal goes on.
    Resume,
    /// The chain was read.
    Chain {
        /// Slot of the bank.
        slot: u64,
        /// Whether that bank is final.
        finalized: bool,
        /// What it says.
        view: View,
    },
    /// The program or the chain refused our RequestInference or AcceptInference for good.
    Refused,
    /// Our RequestInference can no longer land: its blockhash expired in a finalized bank.
    Expired,
    /// The chain's node has tried our RequestInference successfully and passes it on.
    RequestTaken,
    /// The prompt is here, checked and journalled.
    PromptReady,
    /// The prompt can't be had, or is not the one that was hashed.
    PromptFailed,
    /// The engine produced another token; their number so far.
    Generated(u32),
    /// The client holds this many tokens.
    HandedOut(u32),
    /// The engine ended by itself: how many tokens in all.
    Finished(u32),
    EngineFailed,
    /// The answer's grammar met a limit on the way.
    GrammarFailed,
    /// SubmitResult landed in this slot.
    SubmitLanded(u64),
    /// SubmitResult was refused or did not land.
    SubmitFailed,
}

/// Why a job ended badly for whoever waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The paying transaction was refused or never landed.
    NotPaid,
    /// The job was cancelled.
    Cancelled,
    Engine,
    Grammar,
    /// The job went to somebody else, ended, or ran out of time.
    Lost,
}

/// How a job left the node's care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Our result is final on chain; the evidence is kept.
    Submitted,
    /// Refunded or otherwise ended without our result.
    Ended,
    /// Never accepted on chain by us.
    NeverOurs,
    /// The deadline passed before we submitted.
    Missed,
}

/// What the shell must do, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send the co-signed RequestInference (again).
    SendRequest,
    /// Send AcceptInference (again).
    SendAccept,
    /// Get the prompt from the job's source.
    FetchPrompt,
    /// Start generating from the first token.
    StartEngine,
    /// Stop generating.
    StopEngine,
    /// Tokens may be handed out.
    OpenGate,
    /// Save the first `keep` tokens as the result, durably. `cut`: ended by the cancel rather than by itself.
    SaveResult {
        /// Number of tokens.
        keep: u32,
        /// Whether the finish reason is `cancelled`.
        cut: bool,
    },
    /// Submit the saved result under the terms on chain.
    Submit,
    /// Send DeclineJob.
    Decline,
    /// Give the result to the gateway.
    Publish,
    /// Tell the client, if it still listens.
    FailClient(Failure),
    /// Forget the job.
    Retire(Exit),
}
