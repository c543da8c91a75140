//! Calls about transactions: sending, simulating, statuses, lookups.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bincode::Options;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use solana_account_decoder::{UiAccount, UiAccountEncoding};
use solana_message::VersionedMessage;
use solana_rpc_client_api::config::{
    RpcContextConfig, RpcEncodingConfigWrapper, RpcRequestAirdropConfig, RpcSendTransactionConfig,
    RpcSignaturesForAddressConfig, RpcSimulateTransactionAccountsConfig,
    RpcSimulateTransactionConfig, RpcTransactionConfig, UiTransactionEncoding,
};
use solana_rpc_client_api::response::{
    RpcBlockhash, RpcConfirmedTransactionStatusWithSignature, RpcSimulateTransactionResult,
};
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use solana_transaction_status::extract_memos::extract_and_fmt_memos;
use solana_transaction_status::{
    ConfirmedTransactionWithStatusMeta, EncodeError, TransactionConfirmationStatus,
    TransactionStatus, TransactionWithStatusMeta, VersionedTransactionWithStatusMeta,
    map_inner_instructions, parse_ui_inner_instructions,
};

use super::blocks::at_least_confirmed;
use super::encode::Taken;
use super::error::RpcError;
use super::params::{Params, block, commitment, pubkey, signature, with_context};
use crate::chain::{Block, Chain, Level, MAX_BLOCKHASH_AGE, Simulation};
use crate::node::Node;

/// Largest transaction in bytes.
const MAX_TRANSACTION: usize = 1_232;
const MAX_STATUSES: usize = 256;
const MAX_SIGNATURES: usize = 1_000;

type Answer = Result<Value, RpcError>;

pub fn send(node: &Node, mut params: Params) -> Answer {
    let text: String = params.required(0, "transaction")?;
    let config: RpcSendTransactionConfig = params.or_default(1, "config")?;
    let encoding = config.encoding.unwrap_or(UiTransactionEncoding::Base58);
    let tx: VersionedTransaction = decode(&text, encoding)?;
    let Some(signature) = tx.signatures.first().copied() else {
        return Err(RpcError::invalid_params(
            "the transaction has no signature".into(),
        ));
    };
    if !config.skip_preflight {
        node.read(|chain| {
            let commitment = config.preflight_commitment.map(commitment);
            let at = block(chain, commitment, config.min_context_slot)?;
            match chain.verify(&tx) {
                Ok(()) => {}
                Err(TransactionError::SignatureFailure) => {
                    return Err(RpcError::signature_verification());
                }
                Err(error) => {
                    return Err(RpcError::invalid_params(format!(
                        "invalid transaction: {error}"
                    )));
                }
            }
            let simulation = chain.simulate(&at, tx.clone(), true);
            match simulation.err.clone() {
                Some(error) => Err(RpcError::preflight(
                    format!("Transaction simulation failed: {error}"),
                    json!(result(&simulation)),
                )),
                None => Ok(()),
            }
        })?;
    }
    match node.submit(tx) {
        // Sent twice: it is on its way already.
        Ok(_) | Err(TransactionError::AlreadyProcessed) => Ok(json!(signature.to_string())),
        Err(TransactionError::SignatureFailure) => Err(RpcError::signature_verification()),
        // A validator would drop it in silence.
        Err(error) => {
            let refused = Simulation {
                err: Some(error.clone()),
                meta: Default::default(),
                post_accounts: Vec::new(),
            };
            Err(RpcError::preflight(
                format!("Transaction was not included: {error}"),
                json!(result(&refused)),
            ))
        }
    }
}

pub fn simulate(node: &Node, mut params: Params) -> Answer {
    let text: String = params.required(0, "transaction")?;
    let config: RpcSimulateTransactionConfig = params.or_default(1, "config")?;
    let encoding = config.encoding.unwrap_or(UiTransactionEncoding::Base58);
    let mut tx: VersionedTransaction = decode(&text, encoding)?;
    if config.sig_verify && config.replace_recent_blockhash {
        return Err(RpcError::invalid_params(
            "sigVerify may not be used with replaceRecentBlockhash".into(),
        ));
    }
    node.read(|chain| {
        let at = block(chain, config.commitment, config.min_context_slot)?;
        let mut replaced = None;
        if config.replace_recent_blockhash {
            tx.message.set_recent_blockhash(at.blockhash);
            replaced = Some(RpcBlockhash {
                blockhash: at.blockhash.to_string(),
                last_valid_block_height: at.height.saturating_add(MAX_BLOCKHASH_AGE),
            });
        }
        let sanitized = chain
            .sanitize(tx.clone())
            .map_err(|error| RpcError::invalid_params(format!("invalid transaction: {error}")))?;
        if config.sig_verify && sanitized.verify().is_err() {
            return Err(RpcError::signature_verification());
        }
        let simulation = chain.simulate(&at, tx, !config.replace_recent_blockhash);
        let mut answer = result(&simulation);
        answer.replacement_blockhash = replaced;
        if config.inner_instructions {
            let keys = sanitized.message().account_keys();
            answer.inner_instructions = Some(
                map_inner_instructions(simulation.meta.inner_instructions.clone())
                    .map(|inner| parse_ui_inner_instructions(inner, &keys))
                    .collect(),
            );
        }
        if let Some(wanted) = config.accounts {
            let most = sanitized.message().account_keys().len();
            answer.accounts = Some(accounts_after(chain, &at, &simulation, wanted, most)?);
        }
        Ok(with_context(&at, answer))
    })
}

/// The accounts that a simulation was asked to show, as they would be; none of them if it failed.
fn accounts_after(
    chain: &Chain,
    at: &Block,
    simulation: &Simulation,
    wanted: RpcSimulateTransactionAccountsConfig,
    most: usize,
) -> Result<Vec<Option<UiAccount>>, RpcError> {
    let encoding = wanted.encoding.unwrap_or(UiAccountEncoding::Base64);
    if wanted.addresses.len() > most {
        return Err(RpcError::invalid_params(
            "Too many accounts provided; max is the number of the transaction's accounts".into(),
        ));
    }
    let show = |address: &String| {
        let key = pubkey("accounts.addresses", address)?;
        if simulation.err.is_some() {
            return Ok(None);
        }
        let mut written = simulation.post_accounts.iter();
        let account = match written.find(|(post, _)| *post == key) {
            Some((_, account)) => Some(account.clone()),
            None => chain.account(at, &key),
        };
        account
            .map(|account| Taken::new(chain, at, key, account, encoding).answer(encoding, None))
            .transpose()
    };
    wanted.addresses.iter().map(show).collect()
}

pub fn request_airdrop(node: &Node, mut params: Params) -> Answer {
    let to = params.pubkey(0, "pubkey")?;
    let lamports: u64 = params.required(1, "lamports")?;
    let _: RpcRequestAirdropConfig = params.or_default(2, "config")?;
    let signature = node
        .airdrop(&to, lamports)
        .map_err(|error| RpcError::internal(format!("airdrop request failed: {error}")))?;
    Ok(json!(signature.to_string()))
}

pub fn get_fee(chain: &mut Chain, mut params: Params) -> Answer {
    let text: String = params.required(0, "message")?;
    let config: RpcContextConfig = params.or_default(1, "config")?;
    let message: VersionedMessage = decode(&text, UiTransactionEncoding::Base64)?;
    let at = block(chain, config.commitment, config.min_context_slot)?;
    let fee = chain.fee(&at, message);
    Ok(with_context(&at, fee))
}

pub fn get_statuses(chain: &mut Chain, mut params: Params) -> Answer {
    let signatures: Vec<String> = params.required(0, "signatures")?;
    if signatures.len() > MAX_STATUSES {
        return Err(RpcError::invalid_params(format!(
            "Too many inputs provided; max {MAX_STATUSES}"
        )));
    }
    let tip = chain.tip();
    let statuses = signatures
        .iter()
        .map(|text| {
            let signature = signature("signatures", text)?;
            Ok(chain
                .status(&signature)
                .map(|(status, level)| TransactionStatus {
                    slot: status.slot,
                    confirmations: (level != Level::Finalized)
                        .then(|| tip.height.saturating_sub(status.height) as usize),
                    status: status.err.clone().map_or(Ok(()), Err),
                    err: status.err,
                    confirmation_status: Some(confirmation(level)),
                }))
        })
        .collect::<Result<Vec<_>, RpcError>>()?;
    Ok(with_context(tip, statuses))
}

pub fn get_signatures(node: &Node, mut params: Params) -> Answer {
    let key = params.pubkey(0, "address")?;
    let config: RpcSignaturesForAddressConfig = params.or_default(1, "config")?;
    at_least_confirmed(config.commitment)?;
    let limit = config.limit.unwrap_or(MAX_SIGNATURES);
    if limit == 0 || limit > MAX_SIGNATURES {
        return Err(RpcError::invalid_params(format!(
            "Invalid limit; max {MAX_SIGNATURES}"
        )));
    }
    let before = config
        .before
        .map(|text| signature("before", &text))
        .transpose()?;
    let until = config
        .until
        .map(|text| signature("until", &text))
        .transpose()?;
    let found = node.read(|chain| {
        let at = block(chain, config.commitment, config.min_context_slot)?;
        Ok::<_, RpcError>(chain.signatures_for(&key, &at, (before, until), limit))
    })?;
    let shown = found.iter().map(|landed| {
        let executed = &landed.executed;
        json!(RpcConfirmedTransactionStatusWithSignature {
            signature: executed.signature.to_string(),
            slot: landed.slot,
            err: executed.meta.status.clone().err().map(Into::into),
            memo: extract_and_fmt_memos(executed.sanitized.message()),
            block_time: Some(landed.unix_seconds),
            confirmation_status: landed.level.map(confirmation),
            transaction_index: u32::try_from(executed.index).ok(),
        })
    });
    Ok(Value::Array(shown.collect()))
}

pub fn get_transaction(node: &Node, mut params: Params) -> Answer {
    let signature: Signature = params.signature(0, "signature")?;
    let config = params
        .optional::<RpcEncodingConfigWrapper<RpcTransactionConfig>>(1, "config")?
        .map(|config| config.convert_to_current())
        .unwrap_or_default();
    let least = at_least_confirmed(config.commitment)?;
    let found = node.read(|chain| {
        let (status, level) = chain.status(&signature)?;
        let executed = chain.executed(&signature).filter(|_| level >= least)?;
        let time = chain.block_time(status.slot).ok();
        Some((status.slot, time, executed))
    });
    let Some((slot, block_time, executed)) = found else {
        return Ok(Value::Null);
    };
    let confirmed = ConfirmedTransactionWithStatusMeta {
        slot,
        tx_with_meta: TransactionWithStatusMeta::Complete(VersionedTransactionWithStatusMeta {
            transaction: executed.transaction.clone(),
            meta: executed.meta.clone(),
        }),
        block_time,
        index: u32::try_from(executed.index).unwrap_or(u32::MAX),
    };
    let encoding = config.encoding.unwrap_or(UiTransactionEncoding::Json);
    confirmed
        .encode(encoding, config.max_supported_transaction_version)
        .map(|encoded| json!(encoded))
        .map_err(|EncodeError::UnsupportedTransactionVersion(version)| {
            RpcError::unsupported_version(version)
        })
}

fn confirmation(level: Level) -> TransactionConfirmationStatus {
    match level {
        Level::Processed => TransactionConfirmationStatus::Processed,
        Level::Confirmed => TransactionConfirmationStatus::Confirmed,
        Level::Finalized => TransactionConfirmationStatus::Finalized,
    }
}

fn result(simulation: &Simulation) -> RpcSimulateTransactionResult {
    let meta = &simulation.meta;
    RpcSimulateTransactionResult {
        err: simulation.err.clone().map(Into::into),
        logs: Some(meta.logs.clone()),
        accounts: None,
        units_consumed: Some(meta.compute_units_consumed),
        loaded_accounts_data_size: None,
        return_data: Some(meta.return_data.clone())
            .filter(|data| !data.data.is_empty())
            .map(Into::into),
        inner_instructions: None,
        replacement_blockhash: None,
        fee: Some(meta.fee).filter(|fee| *fee > 0),
        pre_balances: None,
        post_balances: None,
        pre_token_balances: None,
        post_token_balances: None,
        loaded_addresses: None,
    }
}

/// Decodes wire bytes (bincode) out of base58 or base64.
fn decode<T: DeserializeOwned>(text: &str, encoding: UiTransactionEncoding) -> Result<T, RpcError> {
    // Base58 is the longer of the two: 1,683 characters for the largest transaction.
    if text.len() > 1_683 {
        return Err(RpcError::invalid_params(format!(
            "too large: {} characters; a transaction has at most {MAX_TRANSACTION} bytes",
            text.len()
        )));
    }
    let bytes = match encoding {
        UiTransactionEncoding::Base58 | UiTransactionEncoding::Binary => {
            bs58::decode(text).into_vec().map_err(|error| {
                RpcError::invalid_params(format!("invalid base58 encoding: {error:?}"))
            })?
        }
        UiTransactionEncoding::Base64 => BASE64_STANDARD.decode(text).map_err(|error| {
            RpcError::invalid_params(format!("invalid base64 encoding: {error:?}"))
        })?,
        other => {
            return Err(RpcError::invalid_params(format!(
                "unsupported encoding: {other}. Supported encodings: base58, base64"
            )));
        }
    };
    if bytes.len() > MAX_TRANSACTION {
        return Err(RpcError::invalid_params(format!(
            "too large: {} bytes; a transaction has at most {MAX_TRANSACTION}",
            bytes.len()
        )));
    }
    bincode::options()
        .with_limit(MAX_TRANSACTION as u64)
        .with_fixint_encoding()
        .allow_trailing_bytes()
        .deserialize(&bytes)
        .map_err(|error| RpcError::invalid_params(format!("failed to deserialize: {error}")))
}
