//! Calls that read accounts.

use serde_json::{Value, json};
use solana_account::ReadableAccount;
use solana_account_decoder::UiAccountEncoding;
use solana_pubkey::Pubkey;
use solana_rpc_client_api::config::{
    RpcAccountInfoConfig, RpcContextConfig, RpcProgramAccountsConfig, RpcSupplyConfig,
};

use super::encode;
use super::error::RpcError;
use super::params::{Params, block, pubkey, with_context};
use crate::chain::Chain;

const MAX_MULTIPLE_ACCOUNTS: usize = 100;

type Answer = Result<Value, RpcError>;

pub fn get_account_info(chain: &Chain, mut params: Params) -> Answer {
    let key = params.pubkey(0, "pubkey")?;
    let config: RpcAccountInfoConfig = params.or_default(1, "config")?;
    let at = block(chain, config.commitment, config.min_context_slot)?;
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Binary);
    let account = chain
        .account(&at, &key)
        .map(|account| encode::account(&key, &account, encoding, config.data_slice))
        .transpose()?;
    Ok(with_context(&at, account))
}

pub fn get_multiple_accounts(chain: &Chain, mut params: Params) -> Answer {
    let keys: Vec<String> = params.required(0, "pubkeys")?;
    if keys.len() > MAX_MULTIPLE_ACCOUNTS {
        return Err(RpcError::invalid_params(format!(
            "Too many inputs provided; max {MAX_MULTIPLE_ACCOUNTS}"
        )));
    }
    let config: RpcAccountInfoConfig = params.or_default(1, "config")?;
    let at = block(chain, config.commitment, config.min_context_slot)?;
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Base64);
    let accounts = keys
        .iter()
        .map(|key| {
            let key = pubkey("pubkeys", key)?;
            chain
                .account(&at, &key)
                .map(|account| encode::account(&key, &account, encoding, config.data_slice))
                .transpose()
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(with_context(&at, accounts))
}

pub fn get_program_accounts(chain: &Chain, mut params: Params) -> Answer {
    let program = params.pubkey(0, "program id")?;
    let config: RpcProgramAccountsConfig = params.or_default(1, "config")?;
    let filters = config.filters.unwrap_or_default();
    encode::check_filters(&filters)?;
    let read = config.account_config;
    let at = block(chain, read.commitment, read.min_context_slot)?;
    let encoding = read.encoding.unwrap_or(UiAccountEncoding::Binary);
    let mut found = chain.accounts(&at, |_, account| {
        account.owner() == &program && encode::passes(&filters, account)
    });
    found.sort_unstable_by_key(|(key, _, _)| *key);
    let accounts = found
        .iter()
        .map(|(key, account, _)| {
            let account = encode::account(key, account, encoding, read.data_slice)?;
            Ok(json!({"pubkey": key.to_string(), "account": account}))
        })
        .collect::<Result<Vec<_>, RpcError>>()?;
    if config.with_context.unwrap_or_default() {
        Ok(with_context(&at, accounts))
    } else {
        Ok(Value::Array(accounts))
    }
}

pub fn get_balance(chain: &Chain, mut params: Params) -> Answer {
    let key: Pubkey = params.pubkey(0, "pubkey")?;
    let config: RpcContextConfig = params.or_default(1, "config")?;
    let at = block(chain, config.commitment, config.min_context_slot)?;
    let lamports = chain
        .account(&at, &key)
        .map_or(0, |account| account.lamports());
    Ok(with_context(&at, lamports))
}

pub fn get_minimum_balance(chain: &Chain, mut params: Params) -> Answer {
    let len: u64 = params.required(0, "data length")?;
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    Ok(json!(chain.minimum_balance(len)))
}

/// All lamports circulate here.
pub fn get_supply(chain: &Chain, mut params: Params) -> Answer {
    let config: RpcSupplyConfig = params.or_default(0, "config")?;
    let at = block(chain, config.commitment, None)?;
    let total = chain
        .accounts(&at, |_, _| true)
        .iter()
        .fold(0u64, |sum, (_, account, _)| {
            sum.saturating_add(account.lamports())
        });
    Ok(with_context(
        &at,
        json!({"total": total, "circulating": total, "nonCirculating": 0, "nonCirculatingAccounts": []}),
    ))
}
