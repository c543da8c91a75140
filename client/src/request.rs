//! The half-signed request: a transaction with one RequestInference, signed by everybody but the operator of the validator
//! that is to take the job. It is built here, and taken apart here by everybody who gets one from a stranger.

use base64::{Engine, engine::general_purpose::STANDARD};
use mythic_interface::{
    address::{self, PROGRAM_ID},
    error::MythicError,
    ix::{self, Instruction as _, RequestInference, Requester, Tag},
};
use solana_hash::Hash;
use solana_keypair::Keypair;
use solana_message::compiled_instruction::CompiledInstruction;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_transaction::{Transaction, versioned::VersionedTransaction};

use crate::{ClientError, sign_partly};

/// Largest transaction of the chain, bytes.
pub const MAX_TRANSACTION: usize = 1_232;
/// Longest transaction in base64, characters.
const MAX_TEXT: usize = MAX_TRANSACTION.div_ceil(3) * 4;
/// First bytes of the compute budget's instructions that may stand beside a request: limit and price of units.
const UNIT_LIMIT: u8 = 2;
const UNIT_PRICE: u8 = 3;

/// Why a text is not a half-signed request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Longer than any transaction.
    #[error("longer than 1232 bytes")]
    TooLong,
    /// Not base64.
    #[error("not base64")]
    NotBase64,
    /// Not one transaction, whole and nothing behind it.
    #[error("not a serialised transaction, or bytes follow it")]
    NotATransaction,
    /// Its parts do not fit together.
    #[error("malformed: its parts do not fit together")]
    Malformed,
    /// Accounts that only a node of the chain can name.
    #[error("address lookup tables are not taken; name all accounts")]
    LookupTables,
    /// One account at two places.
    #[error("account {0} is listed twice")]
    ListedTwice(Pubkey),
    /// Another program's instruction.
    #[error(
        "an instruction for program {0} stands beside the request: it is neither RequestInference nor compute budget"
    )]
    ForeignInstruction(Pubkey),
    /// A compute-budget instruction of another kind.
    #[error("only a limit and a price of compute units may stand beside the request")]
    Budget,
    /// Another instruction of the program.
    #[error("it holds another instruction of the program: {0}, not RequestInference")]
    OtherInstruction(&'static str),
    /// Bytes that are not the program's instruction.
    #[error("{}", .0.message())]
    Arguments(MythicError),
    /// None, or several.
    #[error("it must hold exactly one RequestInference, and holds {0}")]
    Count(usize),
    /// Too few or too many accounts.
    #[error("RequestInference has another number of accounts")]
    Accounts,
    /// An account that must be another.
    #[error("its {name} account is not the expected {expected}")]
    Account {
        /// Name in the instruction's list.
        name: &'static str,
        /// What it must be.
        expected: Pubkey,
    },
    /// A validator without operator, or an operator without validator.
    #[error("validator and operator go together")]
    HalfValidator,
    /// The operator would do more than accept.
    #[error("the operator {0}")]
    Operator(&'static str),
    /// Not signed by somebody who must.
    #[error("the signature of {0} is missing or wrong")]
    Signature(Pubkey),
}

/// A half-signed request, taken apart: everybody but the operator has signed, and whoever adds the operator's signature
/// accepts one job and does nothing else.
#[derive(Debug, Clone)]
pub struct HalfSigned {
    pub transaction: VersionedTransaction,
    /// What is asked for.
    pub args: RequestInference,
    /// Pays fee and rent.
    pub payer: Pubkey,
    /// Signed the request: owner or delegate.
    pub requester: Pubkey,
    /// Address of the model.
    pub model: Pubkey,
    /// Address of the vault that pays.
    pub vault: Pubkey,
    /// Address of the grant, if a delegate requests.
    pub grant: Option<Pubkey>,
    /// Address of the job.
    pub job: Pubkey,
    /// The validator that is to take it; `None` for an open job, which is wholly signed.
    pub validator: Option<CoSigner>,
}

/// Whose signature a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoSigner {
    /// Address of the validator's account.
    pub account: Pubkey,
    /// Its operator, which signs.
    pub operator: Pubkey,
    /// Place of the operator's signature.
    pub index: usize,
}

/// Builds a request and signs it with the keys at hand; `signers` are the payer and the requester, which may be one.
pub fn build(
    who: &Requester,
    args: &RequestInference,
    signers: [&Keypair; 2],
    blockhash: Hash,
) -> Result<Transaction, ClientError> {
    let [payer, requester] = signers;
    let mut keys = vec![payer];
    if requester.pubkey() != payer.pubkey() {
        keys.push(requester);
    }
    let instruction = ix::request_inference(who, args);
    sign_partly(&[instruction], &who.payer, &keys, blockhash)
}

/// A transaction as it travels: base64 of its bytes.
pub fn encode(transaction: &impl serde::Serialize) -> Result<String, ClientError> {
    bincode::serialize(transaction)
        .map(|bytes| STANDARD.encode(bytes))
        .map_err(|error| ClientError::Sign(error.to_string()))
}

impl HalfSigned {
    /// Takes a request apart and checks all that needs no chain and holds for every receiver.
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        let transaction = decode(text)?;
        let request = request_of(&transaction)?;
        let args = arguments(request)?;
        let keys = transaction.message.static_account_keys();
        let account = |name: &str| {
            let at = RequestInference::ACCOUNTS
                .iter()
                .position(|spec| spec.name == name)
                .ok_or(RequestError::Malformed)?;
            let index = request.accounts.get(at).ok_or(RequestError::Accounts)?;
            let key = keys.get(usize::from(*index));
            key.copied().ok_or(RequestError::Malformed)
        };
        let maybe = |name| account(name).map(|key| (key != PROGRAM_ID).then_some(key));
        let config = address::config();
        if account("config")? != config {
            return Err(RequestError::Account {
                name: "config",
                expected: config,
            });
        }
        let validator = match (maybe("validator")?, maybe("operator")?) {
            (Some(account), Some(operator)) => Some(CoSigner {
                account,
                operator,
                index: operator_place(&transaction, request, &operator)?,
            }),
            (None, None) => None,
            _ => return Err(RequestError::HalfValidator),
        };
        check_signatures(&transaction, validator.map(|validator| validator.index))?;
        Ok(Self {
            args,
            payer: account("payer")?,
            requester: account("requester")?,
            model: account("model")?,
            vault: account("vault")?,
            grant: maybe("grant")?,
            job: account("job")?,
            validator,
            transaction,
        })
    }

    /// Everybody whose signature the chain asks for, the fee payer first.
    pub fn signers(&self) -> &[Pubkey] {
        required(&self.transaction)
    }

    /// Whether vault and job are those of `owner`.
    pub fn is_of(&self, owner: &Pubkey) -> bool {
        self.vault == address::vault(owner) && self.job == address::job(owner, &self.args.nonce)
    }
}

/// The transaction in a text: bounded before anything is decoded, canonical, without lookup tables and repeated accounts.
fn decode(text: &str) -> Result<VersionedTransaction, RequestError> {
    if text.len() > MAX_TEXT {
        return Err(RequestError::TooLong);
    }
    let bytes = STANDARD.decode(text).map_err(|_| RequestError::NotBase64)?;
    if bytes.len() > MAX_TRANSACTION {
        return Err(RequestError::TooLong);
    }
    let transaction: VersionedTransaction =
        bincode::deserialize(&bytes).map_err(|_| RequestError::NotATransaction)?;
    if bincode::serialize(&transaction).ok().as_deref() != Some(&bytes[..]) {
        return Err(RequestError::NotATransaction);
    }
    transaction
        .sanitize()
        .map_err(|_| RequestError::Malformed)?;
    let lookups = transaction.message.address_table_lookups();
    if lookups.is_some_and(|lookups| !lookups.is_empty()) {
        return Err(RequestError::LookupTables);
    }
    let mut keys = transaction.message.static_account_keys().to_vec();
    keys.sort_unstable();
    match keys.array_windows().find(|[a, b]| a == b) {
        Some([twice, _]) => Err(RequestError::ListedTwice(*twice)),
        None => Ok(transaction),
    }
}

/// The one RequestInference, beside which only limit and price of compute units stand.
fn request_of(transaction: &VersionedTransaction) -> Result<&CompiledInstruction, RequestError> {
    let keys = transaction.message.static_account_keys();
    let (mut request, mut count) = (None, 0);
    for instruction in transaction.message.instructions() {
        let program = keys
            .get(usize::from(instruction.program_id_index))
            .ok_or(RequestError::Malformed)?;
        if *program == solana_compute_budget_interface::id() {
            let known = matches!(instruction.data.first(), Some(&(UNIT_LIMIT | UNIT_PRICE)));
            if !known || !instruction.accounts.is_empty() {
                return Err(RequestError::Budget);
            }
        } else if *program == PROGRAM_ID {
            request = Some(instruction);
            count += 1;
        } else {
            return Err(RequestError::ForeignInstruction(*program));
        }
    }
    match (request, count) {
        (Some(request), 1) => Ok(request),
        _ => Err(RequestError::Count(count)),
    }
}

fn arguments(request: &CompiledInstruction) -> Result<RequestInference, RequestError> {
    let (tag, rest) = ix::split(&request.data).map_err(RequestError::Arguments)?;
    if tag != Tag::RequestInference {
        return Err(RequestError::OtherInstruction(tag.name()));
    }
    if request.accounts.len() != RequestInference::ACCOUNTS.len() {
        return Err(RequestError::Accounts);
    }
    RequestInference::decode(rest)
        .copied()
        .map_err(RequestError::Arguments)
}

/// Place of the operator's signature. The operator must stand in its own place of the request and in no other, and its
/// account must not be writable: then its signature accepts the job and moves nothing of its own.
fn operator_place(
    transaction: &VersionedTransaction,
    request: &CompiledInstruction,
    operator: &Pubkey,
) -> Result<usize, RequestError> {
    let place = required(transaction).iter().position(|key| key == operator);
    let place = place.ok_or(RequestError::Operator("is not asked for its signature"))?;
    let header = transaction.message.header();
    let writable = usize::from(header.num_required_signatures)
        .saturating_sub(usize::from(header.num_readonly_signed_accounts));
    if place < writable {
        return Err(RequestError::Operator("would be writable"));
    }
    let uses = request
        .accounts
        .iter()
        .filter(|index| usize::from(**index) == place)
        .count();
    match uses {
        1 => Ok(place),
        _ => Err(RequestError::Operator("stands in more than its own place")),
    }
}

fn required(transaction: &VersionedTransaction) -> &[Pubkey] {
    let count = usize::from(transaction.message.header().num_required_signatures);
    let keys = transaction.message.static_account_keys();
    keys.get(..count).unwrap_or(keys)
}

/// Checks every required signature but the one at `except`.
fn check_signatures(
    transaction: &VersionedTransaction,
    except: Option<usize>,
) -> Result<(), RequestError> {
    let message = transaction.message.serialize();
    for (i, key) in required(transaction).iter().enumerate() {
        let signature = transaction.signatures.get(i);
        let good = signature.is_some_and(|signature| signature.verify(key.as_ref(), &message));
        if Some(i) != except && !good {
            return Err(RequestError::Signature(*key));
        }
    }
    Ok(())
}
