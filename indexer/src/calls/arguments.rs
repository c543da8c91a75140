//! Instruction data as JSON, by the interface's own description of them.

use mythic_interface::ix::{Argument, Shape, Tag};
use serde_json::{Map, Value as Json};

/// Most bytes of an instruction's data that are kept.
pub(super) const MAX_DATA: usize = 16 << 10;

/// The arguments of an instruction by their names; `None` if the bytes have another length.
pub(super) fn json(tag: Tag, bytes: &[u8]) -> Option<Json> {
    let spec = tag.spec();
    let (fixed, tail) = bytes.split_at_checked(spec.data_len - 1)?;
    let mut out = fields(tag.arguments(), fixed)?;
    match spec.tail {
        Some(_) if tail.len() <= MAX_DATA => {
            out.insert("tail".into(), hex::encode(tail).into());
        }
        None if tail.is_empty() => {}
        _ => return None,
    }
    Some(Json::Object(out))
}

fn fields(arguments: &[Argument], bytes: &[u8]) -> Option<Map<String, Json>> {
    arguments
        .iter()
        .map(|argument| {
            let end = argument.offset.checked_add(argument.shape.size())?;
            let bytes = bytes.get(argument.offset..end)?;
            Some((argument.name.to_owned(), value(&argument.shape, bytes)?))
        })
        .collect()
}

fn value(shape: &Shape, bytes: &[u8]) -> Option<Json> {
    Some(match shape {
        Shape::Integer(_) => {
            let mut all = [0; 8];
            all.get_mut(..bytes.len())?.copy_from_slice(bytes);
            u64::from_le_bytes(all).into()
        }
        Shape::Key => bs58::encode(bytes).into_string().into(),
        Shape::Bytes(_) => hex::encode(bytes).into(),
        Shape::Text(room) => {
            let (length, text) = bytes.split_first()?;
            text_of(text.get(..usize::from(*length).min(*room))?).into()
        }
        Shape::List(of, _) => bytes
            .chunks_exact(of.size())
            .map(|one| value(of, one))
            .collect::<Option<Vec<Json>>>()?
            .into(),
        Shape::Fields(inner) => Json::Object(fields(inner, bytes)?),
    })
}

/// What the program would refuse is shown all the same, without what a database does not take.
fn text_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}
