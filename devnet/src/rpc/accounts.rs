//! Calls that read accounts.

use serde_json::{Value, json};
use solana_account::ReadableAccount;
use solana_account_decoder::{UiAccountEncoding, UiDataSliceConfig};
use solana_pubkey::Pubkey;
use solana_rpc_client_api::config::{
    RpcAccountInfoConfig, RpcContextConfig, RpcLargestAccountsConfig, RpcLargestAccountsFilter,
    RpcProgramAccountsConfig, RpcSupplyConfig,
};

use super::encode::{self, Taken};
use super::error::RpcError;
use super::params::{Params, block, pubkey, with_context};
use crate::chain::Chain;
use crate::node::Node;

const MAX_MULTIPLE_ACCOUNTS: usize = 100;
/// Accounts that a list of the largest shows.
pub const LARGEST: usize = 20;
/// Largest account in bytes (Agave's `MAX_PERMITTED_DATA_LENGTH`).
const MAX_ACCOUNT: usize = 10 * 1024 * 1024;

type Answer = Result<Value, RpcError>;

pub fn get_account_info(node: &Node, mut params: Params) -> Answer {
    let key = params.pubkey(0, "pubkey")?;
    let config: RpcAccountInfoConfig = params.or_default(1, "config")?;
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Binary);
    let (at, taken) = node.read(|chain| {
        let at = block(chain, config.commitment, config.min_context_slot)?;
        let account = chain.account(&at, &key);
        let taken = account.map(|account| Taken::new(chain, &at, key, account, encoding));
        Ok::<_, RpcError>((at, taken))
    })?;
    let account = taken
        .map(|taken| taken.answer(encoding, config.data_slice))
        .transpose()?;
    Ok(with_context(&at, account))
}

pub fn get_multiple_accounts(node: &Node, mut params: Params) -> Answer {
    let keys: Vec<String> = params.required(0, "pubkeys")?;
    if keys.len() > MAX_MULTIPLE_ACCOUNTS {
        return Err(RpcError::invalid_params(format!(
            "Too many inputs provided; max {MAX_MULTIPLE_ACCOUNTS}"
        )));
    }
    let keys = keys
        .iter()
        .map(|key| pubkey("pubkeys", key))
        .collect::<Result<Vec<Pubkey>, _>>()?;
    let config: RpcAccountInfoConfig = params.or_default(1, "config")?;
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Base64);
    let (at, taken) = node.read(|chain| {
        let at = block(chain, config.commitment, config.min_context_slot)?;
        let take = |key: Pubkey| {
            let account = chain.account(&at, &key)?;
            Some(Taken::new(chain, &at, key, account, encoding))
        };
        let taken: Vec<Option<Taken>> = keys.into_iter().map(take).collect();
        Ok::<_, RpcError>((at, taken))
    })?;
    let mut accounts = Vec::with_capacity(taken.len());
    let mut left = encode::MAX_DATA;
    for taken in taken {
        let Some(taken) = taken else {
            accounts.push(None);
            continue;
        };
        left = encode::spend(left, &taken, config.data_slice)?;
        accounts.push(Some(taken.answer(encoding, config.data_slice)?));
    }
    Ok(with_context(&at, accounts))
}

pub fn get_program_accounts(node: &Node, mut params: Params) -> Answer {
    let program = params.pubkey(0, "program id")?;
    let config: RpcProgramAccountsConfig = params.or_default(1, "config")?;
    let filters = config.filters.unwrap_or_default();
    encode::check_filters(&filters)?;
    let read = config.account_config;
    let encoding = read.encoding.unwrap_or(UiAccountEncoding::Binary);
    let (at, mut found) = node.read(|chain| {
        let at = block(chain, read.commitment, read.min_context_slot)?;
        let found = chain.accounts(&at, |_, account| {
            account.owner() == &program && encode::passes(&filters, account)
        });
        let take = |(key, account, _)| Taken::new(chain, &at, key, account, encoding);
        let found: Vec<Taken> = found.into_iter().map(take).collect();
        Ok::<_, RpcError>((at, found))
    })?;
    let accounts = keyed(&mut found, encoding, read.data_slice)?;
    if config.with_context.unwrap_or_default() {
        Ok(with_context(&at, accounts))
    } else {
        Ok(Value::Array(accounts))
    }
}

/// A list of accounts with their addresses, in order of these.
pub fn keyed(
    found: &mut [Taken],
    encoding: UiAccountEncoding,
    slice: Option<UiDataSliceConfig>,
) -> Result<Vec<Value>, RpcError> {
    found.sort_unstable_by_key(|taken| taken.key);
    let mut left = encode::MAX_DATA;
    found
        .iter()
        .map(|taken| {
            left = encode::spend(left, taken, slice)?;
            let account = taken.answer(encoding, slice)?;
            Ok(json!({"pubkey": taken.key.to_string(), "account": account}))
        })
        .collect()
}

pub fn get_balance(node: &Node, mut params: Params) -> Answer {
    let key: Pubkey = params.pubkey(0, "pubkey")?;
    let config: RpcContextConfig = params.or_default(1, "config")?;
    node.read(|chain| {
        let at = block(chain, config.commitment, config.min_context_slot)?;
        let lamports = chain
            .account(&at, &key)
            .map_or(0, |account| account.lamports());
        Ok(with_context(&at, lamports))
    })
}

pub fn get_minimum_balance(chain: &mut Chain, mut params: Params) -> Answer {
    let len: u64 = params.required(0, "data length")?;
    match usize::try_from(len) {
        Ok(len) if len <= MAX_ACCOUNT => Ok(json!(chain.minimum_balance(len))),
        _ => Err(RpcError::invalid_request("Invalid request".into())),
    }
}

/// All lamports circulate here.
pub fn get_supply(chain: &mut Chain, mut params: Params) -> Answer {
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

pub fn get_largest_accounts(chain: &mut Chain, mut params: Params) -> Answer {
    let config: RpcLargestAccountsConfig = params.or_default(0, "config")?;
    let at = block(chain, config.commitment, None)?;
    let none = matches!(
        config.filter,
        Some(RpcLargestAccountsFilter::NonCirculating)
    );
    let mut accounts: Vec<(u64, Pubkey)> = chain
        .accounts(&at, |_, _| !none)
        .iter()
        .map(|(key, account, _)| (account.lamports(), *key))
        .collect();
    accounts.sort_unstable_by(|a, b| b.cmp(a));
    let shown: Vec<Value> = accounts
        .iter()
        .take(LARGEST)
        .map(|(lamports, key)| json!({"address": key.to_string(), "lamports": lamports}))
        .collect();
    Ok(with_context(&at, shown))
}
