//! Checks of single values: what an account says, as a column takes it.

use mythic_interface::{
    le::Text,
    state::{Key, NO_KEY},
};

/// Why content can't be projected; goes to `pipeline.dead_letter`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    #[error("{0}")]
    Layout(#[from] mythic_interface::state::LoadError),
    #[error("account type {0} is unknown")]
    Unknown(u8),
    #[error("account is empty")]
    Empty,
    #[error("{field} = {value} is above the largest bigint")]
    TooLarge { field: &'static str, value: u64 },
    #[error("{field} = {value} is above {most}")]
    OutOfRange {
        field: &'static str,
        value: u64,
        most: u64,
    },
    #[error("{field} is not printable text")]
    Text { field: &'static str },
    #[error("{field} = {value} is not listed")]
    Listed { field: &'static str, value: u8 },
    #[error("refused by the database: {0}")]
    Database(String),
}

/// Base58 text of a key.
pub fn base58(key: &Key) -> String {
    let mut text = [0; five8::BASE58_ENCODED_32_MAX_LEN];
    let length = five8::encode_32(key, &mut text);
    String::from_utf8_lossy(&text[..usize::from(length)]).into_owned()
}

/// A number that a `bigint` takes.
pub(super) fn amount(field: &'static str, value: u64) -> Result<i64, Reject> {
    i64::try_from(value).map_err(|_| Reject::TooLarge { field, value })
}

/// A slot that may not have come: 0 = not yet.
pub(super) fn slot_of(field: &'static str, value: u64) -> Result<Option<i64>, Reject> {
    Ok(Some(amount(field, value)?).filter(|slot| *slot != 0))
}

/// Printable text.
pub(super) fn text<const N: usize>(field: &'static str, text: &Text<N>) -> Result<String, Reject> {
    match text.is_valid() {
        true => Ok(text.as_str().to_owned()),
        false => Err(Reject::Text { field }),
    }
}

/// A byte that names a case.
pub(super) fn status<T>(value: u8, from: impl Fn(u8) -> Option<T>) -> Result<T, Reject> {
    let field = "status";
    from(value).ok_or(Reject::Listed { field, value })
}

/// A byte that names a case; 0 = none yet.
pub(super) fn listed<T>(
    field: &'static str,
    value: u8,
    from: impl Fn(u8) -> Option<T>,
) -> Result<Option<T>, Reject> {
    match value {
        0 => Ok(None),
        value => from(value).map(Some).ok_or(Reject::Listed { field, value }),
    }
}

/// A number that the layout has room for.
pub(super) fn at_most(field: &'static str, value: u8, most: usize) -> Result<i16, Reject> {
    if usize::from(value) > most {
        return Err(Reject::OutOfRange {
            field,
            value: value.into(),
            most: most as u64,
        });
    }
    Ok(value.into())
}

/// A key, unless it is the one that means none.
pub(super) fn some_key(key: &Key) -> Option<Key> {
    (*key != NO_KEY).then_some(*key)
}

/// Base58 text of a transaction's id.
pub(super) fn signature_text(signature: Option<[u8; 64]>) -> Option<String> {
    signature.map(|signature| {
        let mut text = [0; five8::BASE58_ENCODED_64_MAX_LEN];
        let length = five8::encode_64(&signature, &mut text);
        String::from_utf8_lossy(&text[..usize::from(length)]).into_owned()
    })
}
