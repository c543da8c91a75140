//! The projected entities: their tables, keys and columns, as sql/migrations/0030_projection.sql and
//! 0110_disputes.sql make them, and the values that go in. No SQL text here; see `sql`.

/// A value of one column, already checked: text has no NUL, integers fit.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    I16(i16),
    I32(i32),
    I64(i64),
    Bytes(Vec<u8>),
    Text(String),
    /// Serialised JSON, for `jsonb`.
    Json(String),
}

/// One row of an entity as it stands after one account update.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub entity: Entity,
    pub pubkey: [u8; 32],
    pub slot: i64,
    /// Place of the update in its bank.
    pub ordinal: i32,
    /// The account's own write counter.
    pub write_seq: i64,
    pub exact: bool,
    /// In the order of [`Entity::columns`].
    pub values: Vec<Value>,
}

macro_rules! entities {
    ($($(#[$doc:meta])* $name:ident $table:literal [$($key:literal),*] [$($column:literal),*];)*) => {
        /// A projected table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Entity { $($(#[$doc])* $name,)* }

        impl Entity {
            pub const ALL: &'static [Entity] = &[$(Entity::$name,)*];

            /// Name of the table; `_hot` and `_overlay` are its companions.
            pub const fn table(self) -> &'static str { match self { $(Entity::$name => $table,)* } }

            /// Primary key of the table.
            pub const fn keys(self) -> &'static [&'static str] { match self { $(Entity::$name => &[$($key),*],)* } }

            /// Columns after [`VERSION_COLUMNS`], in the order of [`Row::values`].
            pub const fn columns(self) -> &'static [&'static str] { match self { $(Entity::$name => &[$($column),*],)* } }
        }
    };
}

/// First columns of every entity table: where and how its row was written.
pub const VERSION_COLUMNS: [&str; 5] = ["bank", "slot", "ordinal", "write_seq", "exact"];

entities! {
    Job "job" ["pubkey", "requested_slot"] [
        "pubkey", "requested_slot", "owner", "requester", "canceller", "nonce", "model", "validator", "rent_payer", "spend_grant",
        "status", "end_reason", "finish_reason", "prompt_hash", "prompt_tokens", "max_output_tokens", "output_tokens",
        "price_in", "price_out", "seed", "temperature_milli", "sampling_profile", "stop_hash", "prompt_source", "terms_hash",
        "deadline_slot", "window_slots", "accepted_slot", "cancel_slot", "submitted_slot", "disputed_slot", "ended_slot",
        "window_end_slot", "open_disputes", "output_root", "fingerprint", "ceiling_lamports", "fee_lamports",
        "validator_lamports", "foundation_lamports", "burned_lamports", "refunded_lamports", "slashed_lamports", "lamports"];
    /// The transaction that first showed a transition of a job.
    JobSignature "job_signature" ["pubkey", "requested_slot", "step"] ["pubkey", "requested_slot", "step", "signature"];
    Validator "validator" ["pubkey"] [
        "pubkey", "authority", "operator", "rent_payer", "status", "stake", "activating", "activation_slot", "unbonding",
        "unbonding_slot", "open_jobs", "open_disputes", "claimable", "owed_foundation", "owed_burn", "gpu_name", "vram_mib",
        "endpoint", "models", "jobs_settled", "jobs_missed", "jobs_declined", "earned", "slashed", "registered_slot",
        "jailed_until", "lamports"];
    /// One row per write of a validator account.
    ValidatorStake "validator_stake" ["pubkey", "slot", "ordinal"] ["pubkey", "authority", "stake", "activating", "unbonding"];
    Model "model" ["pubkey"] [
        "pubkey", "identity", "name", "registrant", "price_in", "price_out", "retired", "weights_hash", "tokenizer_hash",
        "template_hash", "quantisation", "kernel_profile", "eos_ids", "context_length", "max_job_tokens", "error_ppm",
        "miss_ppm", "commit_slots", "min_vram_mib", "registered_slot", "retired_slot", "burned_lamports", "lamports"];
    Vault "vault" ["pubkey"] [
        "pubkey", "owner", "rent_payer", "balance", "held", "open_jobs", "deposited", "withdrawn", "spent", "created_slot",
        "lamports"];
    Grant "spend_grant" ["pubkey"] [
        "pubkey", "owner", "delegate", "rent_payer", "per_job_max", "window_max", "window_slots", "window_start",
        "window_spent", "lifetime_cap", "lifetime_spent", "expiry_slot", "revoked", "revoked_slot", "created_slot",
        "open_jobs", "models", "lamports"];
    Dispute "dispute" ["pubkey"] [
        "pubkey", "job", "challenger", "submitter", "fingerprint", "status", "verdict", "jury_seats", "bond_lamports",
        "opened_slot", "completed_slot", "resolved_slot", "slashed_lamports", "challenger_lamports", "jurors_lamports",
        "submitter_lamports", "burned_lamports", "lamports", "model", "rent_payer", "ground", "exact_profile", "sampled",
        "named", "opened", "output_tokens", "requested_slot", "submitted_slot", "openings_end_slot", "commit_from_slot",
        "commit_end_slot", "reveal_end_slot", "due_slot", "retention_end_slot", "at_stake_lamports",
        "answering_fee_lamports", "tariff_lamports", "held_lamports", "output_rent_lamports", "penalties_lamports",
        "collected"];
    Treasury "treasury" ["pubkey"] ["pubkey", "balance", "withdrawn", "received", "lamports"];
    Config "config" ["pubkey"] [
        "pubkey", "admin", "pending_admin", "foundation", "paused", "parameters", "lamports"];
    /// The account exists no more (no lamports, or another owner).
    Closure "closure" ["pubkey"] ["pubkey"];
    // Places of entities are stored (`slot.entities`), so new ones come last.
    /// A taken seat of a dispute's jury; `pubkey` is the dispute.
    Juror "juror" ["pubkey", "seat"] [
        "pubkey", "seat", "job", "juror", "rank", "commitment", "committed_slot", "revealed_slot", "fraud", "agrees",
        "vector", "reward_lamports", "penalty_lamports", "collected"];
    /// A checked position of a dispute; `pubkey` is the dispute.
    Opening "opening" ["pubkey", "place"] ["pubkey", "place", "job", "position", "named", "token", "ids", "logits"];
    /// A page of posted output.
    Output "output" ["pubkey"] [
        "pubkey", "job", "rent_payer", "fingerprint", "page", "token_count", "chunks", "chunks_total", "updated_slot",
        "completed_slot", "tokens", "lamports"];
}

impl Entity {
    /// Every write is kept, not only the last one of a bank.
    pub const fn is_history(self) -> bool {
        matches!(self, Entity::ValidatorStake)
    }

    /// Its rows are parts of an account that has a row of its own elsewhere.
    pub const fn is_part(self) -> bool {
        matches!(
            self,
            Entity::JobSignature | Entity::ValidatorStake | Entity::Juror | Entity::Opening
        )
    }

    /// This entity in a set of entities.
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }
}
