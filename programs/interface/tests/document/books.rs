//! The two programs, as documents and IDLs describe them: their sources, accounts, instructions, errors.

use mythic_interface::error::{MARKET_ERRORS, MythicError};
use mythic_interface::ix::InstructionSpec;
use mythic_interface::state::Key;
use mythic_interface::{AI_PRECOMPILES_ID, COMPUTE_MARKET_ID, ix, market, state};
use serde_json::{Value, json};

/// An account's name, the constant that its seeds begin with, and the others with their types in an IDL.
pub type Seeds = (&'static str, &'static str, Vec<(&'static str, Value)>);
/// A type of one byte, and the names of its values.
pub type Values = (&'static str, fn(u8) -> Option<&'static str>);

/// An instruction.
pub struct Listed {
    pub name: &'static str,
    pub spec: &'static InstructionSpec,
}

/// What is described of a program.
pub struct Book {
    /// In an IDL.
    pub name: &'static str,
    pub about: &'static str,
    pub address: Key,
    pub document: &'static str,
    pub idl: &'static str,
    /// The parameters.
    pub params: &'static str,
    /// The account layouts, in the document's order.
    pub layouts: &'static [&'static str],
    /// The instructions' arguments, in the order of tags.
    pub arguments: &'static [&'static str],
    /// Accounts: first byte and length.
    pub accounts: Vec<(&'static str, u8, usize)>,
    pub seeds: Vec<Seeds>,
    pub values: Vec<Values>,
    pub instructions: Vec<Listed>,
    pub errors: Vec<MythicError>,
}

macro_rules! accounts {
    ($module:path: $($name:ident)*) => {{
        use $module as layouts;
        vec![$((stringify!($name), layouts::$name::DISCRIMINATOR, layouts::$name::LEN)),*]
    }};
}

macro_rules! values {
    ($module:path: $($name:ident)*) => {{
        use $module as layouts;
        vec![$((stringify!($name), (|value| layouts::$name::from_u8(value).map(layouts::$name::as_str)) as fn(u8) -> Option<&'static str>)),*]
    }};
}

fn key() -> Value {
    json!({"kind": "publicKeyTypeNode"})
}

fn number(format: &str) -> Value {
    json!({"kind": "numberTypeNode", "format": format, "endian": "le"})
}

fn bytes(len: usize) -> Value {
    json!({"kind": "fixedSizeTypeNode", "size": len, "type": {"kind": "bytesTypeNode"}})
}

/// The AI Precompiles program.
pub fn ai_precompiles() -> Book {
    Book {
        name: "aiPrecompiles",
        about: "Models, validators with stake, prepaid vaults with spend grants, jobs from request to settlement, and cases about their results.",
        address: AI_PRECOMPILES_ID,
        document: concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md"),
        idl: concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../idl/ai_precompiles.codama.json"
        ),
        params: include_str!("../../src/params.rs"),
        layouts: &[
            include_str!("../../src/state/mod.rs"),
            include_str!("../../src/state/config.rs"),
            include_str!("../../src/state/model.rs"),
            include_str!("../../src/state/validator.rs"),
            include_str!("../../src/state/vault.rs"),
            include_str!("../../src/state/job.rs"),
            include_str!("../../src/state/case.rs"),
        ],
        arguments: &[
            include_str!("../../src/ix/admin.rs"),
            include_str!("../../src/ix/model.rs"),
            include_str!("../../src/ix/validator.rs"),
            include_str!("../../src/ix/vault.rs"),
            include_str!("../../src/ix/job.rs"),
            include_str!("../../src/ix/case.rs"),
        ],
        accounts: accounts!(state: Config Treasury Model Validator Vault SpendGrant Job Case Output Votes),
        seeds: vec![
            ("config", "config", vec![]),
            ("treasury", "treasury", vec![]),
            ("model", "model", vec![("identity", bytes(32))]),
            ("validator", "validator", vec![("authority", key())]),
            ("vault", "vault", vec![("owner", key())]),
            (
                "spendGrant",
                "grant",
                vec![("owner", key()), ("delegate", key())],
            ),
            ("job", "job", vec![("owner", key()), ("nonce", bytes(16))]),
            ("case", "case", vec![("job", key())]),
            ("votes", "votes", vec![("case", key())]),
            (
                "output",
                "output",
                vec![("job", key()), ("page", number("u32"))],
            ),
        ],
        values: values!(state: ConfigStatus ModelStatus KernelProfile ValidatorStatus GrantStatus JobStatus EndReason FinishReason SamplingProfile CaseStatus ClaimKind Outcome Ground Verdict),
        instructions: ix::ALL
            .iter()
            .map(|tag| Listed {
                name: tag.name(),
                spec: tag.spec(),
            })
            .collect(),
        errors: MythicError::ALL
            .iter()
            .copied()
            .filter(|error| error.code() < MARKET_ERRORS)
            .collect(),
    }
}

/// The Compute Market program.
pub fn compute_market() -> Book {
    Book {
        name: "computeMarket",
        about: "Classes of capacity, providers with stake, requests, leases that epochs meter and proofs show, and disputes about those proofs.",
        address: COMPUTE_MARKET_ID,
        document: concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/market.md"),
        idl: concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../idl/compute_market.codama.json"
        ),
        params: include_str!("../../src/market/params.rs"),
        layouts: &[
            // Of the header, which both programs share.
            include_str!("../../src/state/mod.rs"),
            include_str!("../../src/market/state/mod.rs"),
            include_str!("../../src/market/state/config.rs"),
            include_str!("../../src/market/state/class.rs"),
            include_str!("../../src/market/state/provider.rs"),
            include_str!("../../src/market/state/request.rs"),
            include_str!("../../src/market/state/lease.rs"),
            include_str!("../../src/market/state/dispute.rs"),
        ],
        arguments: &[
            include_str!("../../src/market/ix/admin.rs"),
            include_str!("../../src/market/ix/provider.rs"),
            include_str!("../../src/market/ix/request.rs"),
            include_str!("../../src/market/ix/lease.rs"),
            include_str!("../../src/market/ix/dispute.rs"),
        ],
        accounts: accounts!(market::state: MarketConfig MarketTreasury Class Provider Request Lease LeaseDispute),
        seeds: vec![
            ("marketConfig", "config", vec![]),
            ("marketTreasury", "treasury", vec![]),
            ("class", "class", vec![("name", bytes(16))]),
            ("provider", "provider", vec![("authority", key())]),
            (
                "request",
                "request",
                vec![("tenant", key()), ("nonce", bytes(16))],
            ),
            ("lease", "lease", vec![("request", key())]),
            (
                "leaseDispute",
                "lease-dispute",
                vec![
                    ("lease", key()),
                    ("epoch", number("u64")),
                    ("disputer", key()),
                ],
            ),
        ],
        values: values!(market::state: ClassStatus ProviderStatus Isolation RequestStatus LeaseKind LeaseStatus CloseReason EpochState DisputeKind LeaseDisputeStatus DisputeEnd Shown),
        instructions: market::ix::ALL
            .iter()
            .map(|tag| Listed {
                name: tag.name(),
                spec: tag.spec(),
            })
            .collect(),
        errors: market::errors::all().collect(),
    }
}

/// Both.
pub fn books() -> [Book; 2] {
    [ai_precompiles(), compute_market()]
}
