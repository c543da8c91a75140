//! Accounts as JSON, and filters over them.

use solana_account::{AccountSharedData, ReadableAccount};
use solana_account_decoder::parse_account_data::AccountAdditionalDataV3;
use solana_account_decoder::{
    MAX_BASE58_BYTES, UiAccount, UiAccountEncoding, UiDataSliceConfig, encode_ui_account,
};
use solana_pubkey::Pubkey;
use solana_rpc_client_api::filter::RpcFilterType;

use super::error::RpcError;
use crate::chain::{Block, Chain, Mint, TokenAccount, mint_of};

const MAX_FILTERS: usize = 4;
/// Most bytes of account data in one answer, before they are encoded.
pub const MAX_DATA: usize = 64 * 1024 * 1024;
/// Bytes that an account takes beside its data.
const ACCOUNT: usize = 128;

/// An account taken out of the chain: it is encoded without holding the chain.
pub struct Taken {
    pub key: Pubkey,
    pub account: AccountSharedData,
    /// For a token account that is to be parsed.
    mint: Option<Mint>,
}

impl Taken {
    /// Takes an account as it was at `at`, with what its encoding needs to know beside it.
    pub fn new(
        chain: &Chain,
        at: &Block,
        key: Pubkey,
        account: AccountSharedData,
        encoding: UiAccountEncoding,
    ) -> Self {
        let wanted = encoding == UiAccountEncoding::JsonParsed;
        let mint = wanted.then(|| mint_of(&account)).flatten();
        let mint = mint.and_then(|mint| chain.mint(at, &mint));
        Self { key, account, mint }
    }

    /// Takes an account that needs nothing beside it.
    pub fn plain(key: Pubkey, account: AccountSharedData) -> Self {
        Self {
            key,
            account,
            mint: None,
        }
    }

    /// As an answer shows it. Data that nobody can parse falls back to base64; base58 of long data is refused.
    pub fn answer(
        &self,
        encoding: UiAccountEncoding,
        slice: Option<UiDataSliceConfig>,
    ) -> Result<UiAccount, RpcError> {
        let base58 = matches!(
            encoding,
            UiAccountEncoding::Base58 | UiAccountEncoding::Binary
        );
        if base58 && shown_bytes(&self.account, slice) > MAX_BASE58_BYTES {
            return Err(RpcError::invalid_request(format!(
                "Encoded binary (base 58) data should be less than {MAX_BASE58_BYTES} bytes, please use Base64 encoding."
            )));
        }
        Ok(self.notice(encoding, slice))
    }

    /// As a notification shows it: in place of base58 of long data stands Agave's text that it is too long.
    pub fn notice(
        &self,
        encoding: UiAccountEncoding,
        slice: Option<UiDataSliceConfig>,
    ) -> UiAccount {
        let known = self.mint.map(|mint| AccountAdditionalDataV3 {
            spl_token_additional_data: Some(mint.shown_by),
        });
        encode_ui_account(&self.key, &self.account, encoding, known, slice)
    }
}

fn shown_bytes(account: &AccountSharedData, slice: Option<UiDataSliceConfig>) -> usize {
    let len = account.data().len();
    slice.map_or(len, |slice| {
        len.saturating_sub(slice.offset).min(slice.length)
    })
}

/// What is left of an answer's room for data after an account; an error if it has no room.
pub fn spend(
    left: usize,
    taken: &Taken,
    slice: Option<UiDataSliceConfig>,
) -> Result<usize, RpcError> {
    left.checked_sub(shown_bytes(&taken.account, slice).saturating_add(ACCOUNT))
        .ok_or_else(|| {
            RpcError::invalid_request(format!(
                "the accounts hold more than {MAX_DATA} bytes, which an answer can't hold: use filters or dataSlice"
            ))
        })
}

/// Refuses filters that could not be applied.
pub fn check_filters(filters: &[RpcFilterType]) -> Result<(), RpcError> {
    if filters.len() > MAX_FILTERS {
        return Err(RpcError::invalid_params(format!(
            "Too many filters provided; max {MAX_FILTERS}"
        )));
    }
    for filter in filters {
        filter
            .verify()
            .map_err(|error| RpcError::invalid_params(format!("Invalid param: {error:?}")))?;
    }
    Ok(())
}

/// Whether an account passes all filters.
pub fn passes(filters: &[RpcFilterType], account: &AccountSharedData) -> bool {
    filters.iter().all(|filter| match filter {
        RpcFilterType::DataSize(size) => account.data().len() as u64 == *size,
        RpcFilterType::Memcmp(compare) => compare.bytes_match(account.data()),
        RpcFilterType::TokenAccountState => TokenAccount::read(account).is_some(),
    })
}
