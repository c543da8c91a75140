//! Calls about SPL tokens, answered by looking through the accounts of the token programs.

use std::sync::Arc;

use serde_json::{Value, json};
use solana_account::ReadableAccount;
use solana_account_decoder::UiAccountEncoding;
use solana_pubkey::Pubkey;
use solana_rpc_client_api::config::{
    CommitmentConfig, RpcAccountInfoConfig, RpcTokenAccountsFilter,
};

use super::accounts::{LARGEST, keyed};
use super::encode::Taken;
use super::error::RpcError;
use super::params::{Params, block, pubkey, with_context};
use crate::chain::{Block, Chain, Mint, TokenAccount, is_token_program};
use crate::node::Node;

type Answer = Result<Value, RpcError>;

fn invalid(text: &str) -> RpcError {
    RpcError::invalid_params(format!("Invalid param: {text}"))
}

/// Whose token accounts are asked for.
#[derive(Clone, Copy)]
pub enum By {
    Owner,
    Delegate,
}

pub fn get_accounts(node: &Node, mut params: Params, by: By) -> Answer {
    let whose = params.pubkey(0, "pubkey")?;
    let filter: RpcTokenAccountsFilter = params.required(1, "mint or programId")?;
    let config: RpcAccountInfoConfig = params.or_default(2, "config")?;
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Binary);
    let (at, mut found) = node.read(|chain| {
        let at = block(chain, config.commitment, config.min_context_slot)?;
        let (program, mint) = program_and_mint(chain, &at, &filter)?;
        let wanted = |token: TokenAccount| {
            let key = match by {
                By::Owner => Some(token.owner),
                By::Delegate => token.delegate,
            };
            key == Some(whose) && mint.is_none_or(|mint| mint == token.mint)
        };
        let found = chain.accounts(&at, |_, account| {
            account.owner() == &program && TokenAccount::read(account).is_some_and(wanted)
        });
        let take = |(key, account, _)| Taken::new(chain, &at, key, account, encoding);
        let found: Vec<Taken> = found.into_iter().map(take).collect();
        Ok::<_, RpcError>((at, found))
    })?;
    let accounts = keyed(&mut found, encoding, config.data_slice)?;
    Ok(with_context(&at, accounts))
}

fn program_and_mint(
    chain: &Chain,
    at: &Block,
    filter: &RpcTokenAccountsFilter,
) -> Result<(Pubkey, Option<Pubkey>), RpcError> {
    match filter {
        RpcTokenAccountsFilter::Mint(text) => {
            let key = pubkey("mint", text)?;
            let mint = chain
                .mint(at, &key)
                .ok_or_else(|| invalid("could not find mint"))?;
            Ok((mint.program, Some(key)))
        }
        RpcTokenAccountsFilter::ProgramId(text) => {
            let program = pubkey("programId", text)?;
            if !is_token_program(&program) {
                return Err(invalid("unrecognized Token program id"));
            }
            Ok((program, None))
        }
    }
}

pub fn get_balance(chain: &mut Chain, mut params: Params) -> Answer {
    let key = params.pubkey(0, "pubkey")?;
    let at = at(chain, &mut params)?;
    let account = chain
        .account(&at, &key)
        .ok_or_else(|| invalid("could not find account"))?;
    let token = TokenAccount::read(&account).ok_or_else(|| invalid("not a Token account"))?;
    let mint = chain
        .mint(&at, &token.mint)
        .ok_or_else(|| invalid("could not find mint"))?;
    Ok(with_context(&at, mint.amount(token.amount)))
}

pub fn get_supply(chain: &mut Chain, mut params: Params) -> Answer {
    let key = params.pubkey(0, "pubkey")?;
    let at = at(chain, &mut params)?;
    let account = chain
        .account(&at, &key)
        .ok_or_else(|| invalid("could not find account"))?;
    let mint = Mint::read(&key, Some(&account), at.unix_ms.div_euclid(1000))
        .ok_or_else(|| invalid("not a Token mint"))?;
    Ok(with_context(&at, mint.amount(mint.supply)))
}

pub fn get_largest(chain: &mut Chain, mut params: Params) -> Answer {
    let key = params.pubkey(0, "pubkey")?;
    let at = at(chain, &mut params)?;
    let mint = chain
        .mint(&at, &key)
        .ok_or_else(|| invalid("not a Token mint"))?;
    let found = chain.accounts(&at, |_, account| {
        account.owner() == &mint.program
            && TokenAccount::read(account).is_some_and(|token| token.mint == key)
    });
    let mut holders: Vec<(u64, Pubkey)> = found
        .iter()
        .filter_map(|(holder, account, _)| Some((TokenAccount::read(account)?.amount, *holder)))
        .collect();
    holders.sort_unstable_by(|a, b| b.cmp(a));
    let shown: Vec<Value> = holders
        .iter()
        .take(LARGEST)
        .map(|(amount, holder)| {
            let mut shown = json!(mint.amount(*amount));
            if let Value::Object(shown) = &mut shown {
                shown.insert("address".into(), json!(holder.to_string()));
            }
            shown
        })
        .collect();
    Ok(with_context(&at, shown))
}

fn at(chain: &Chain, params: &mut Params) -> Result<Arc<Block>, RpcError> {
    let commitment: Option<CommitmentConfig> = params.optional(1, "commitment")?;
    block(chain, commitment, None)
}
