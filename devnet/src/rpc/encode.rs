//! Accounts as JSON, and filters over them.

use solana_account::{AccountSharedData, ReadableAccount};
use solana_account_decoder::{
    MAX_BASE58_BYTES, UiAccount, UiAccountEncoding, UiDataSliceConfig, encode_ui_account,
};
use solana_pubkey::Pubkey;
use solana_rpc_client_api::filter::RpcFilterType;

use super::error::RpcError;

const MAX_FILTERS: usize = 4;

/// Encodes an account; data that nobody can parse falls back to base64.
pub fn account(
    key: &Pubkey,
    account: &AccountSharedData,
    encoding: UiAccountEncoding,
    slice: Option<UiDataSliceConfig>,
) -> Result<UiAccount, RpcError> {
    let base58 = matches!(
        encoding,
        UiAccountEncoding::Base58 | UiAccountEncoding::Binary
    );
    let len = account.data().len();
    let shown = slice.map_or(len, |slice| {
        len.saturating_sub(slice.offset).min(slice.length)
    });
    if base58 && shown > MAX_BASE58_BYTES {
        return Err(RpcError::invalid_request(format!(
            "Encoded binary (base 58) data should be less than {MAX_BASE58_BYTES} bytes, please use Base64 encoding."
        )));
    }
    Ok(encode_ui_account(key, account, encoding, None, slice))
}

/// Refuses filters that could not be applied.
pub fn check_filters(filters: &[RpcFilterType]) -> Result<(), RpcError> {
    if filters.len() > MAX_FILTERS {
        return Err(RpcError::invalid_params(format!(
            "Too many filters provided; max {MAX_FILTERS}"
        )));
    }
    for filter in filters {
        if matches!(filter, RpcFilterType::TokenAccountState) {
            return Err(RpcError::invalid_params(
                "Invalid param: the filter tokenAccountState is not supported".into(),
            ));
        }
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
        RpcFilterType::TokenAccountState => false,
    })
}
