//! What the bytes of instruction data say, for tools: a name with its unit, the place and the shape of each argument.

use core::mem::size_of;

use crate::le::{Text, U16, U32, U64};
use crate::params::{Params, Rules};
use crate::state::{Key, ModelSpec};

/// How the bytes of an argument are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A little-endian unsigned integer of so many bytes, at most 8.
    Integer(usize),
    /// 32 bytes that name an account.
    Key,
    /// So many bytes without further meaning: a hash, a seed, a leaf.
    Bytes(usize),
    /// A length byte and room for so many bytes of text.
    Text(usize),
    /// So many of a kind, one behind the other; a count beside it says how many are used.
    List(&'static Shape, usize),
    /// Fields of its own.
    Fields(&'static [Argument]),
}

impl Shape {
    /// Bytes that it takes.
    pub fn size(&self) -> usize {
        match self {
            Shape::Integer(size) | Shape::Bytes(size) => *size,
            Shape::Key => size_of::<Key>(),
            Shape::Text(room) => room + 1,
            Shape::List(of, count) => of.size() * count,
            Shape::Fields(fields) => fields.iter().map(|field| field.shape.size()).sum(),
        }
    }
}

/// An argument, or a field of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Name with its unit.
    pub name: &'static str,
    /// Where it begins, in bytes behind the tag (or in the structure that holds it).
    pub offset: usize,
    /// How it is read.
    pub shape: Shape,
}

/// A type that arguments have.
pub trait Described {
    /// How it is read.
    const SHAPE: Shape;
}

impl Described for u8 {
    const SHAPE: Shape = Shape::Integer(1);
}
impl Described for U16 {
    const SHAPE: Shape = Shape::Integer(2);
}
impl Described for U32 {
    const SHAPE: Shape = Shape::Integer(4);
}
impl Described for U64 {
    const SHAPE: Shape = Shape::Integer(8);
}
impl<const N: usize> Described for [u8; N] {
    const SHAPE: Shape = Shape::Bytes(N);
}
impl<const N: usize> Described for [U32; N] {
    const SHAPE: Shape = Shape::List(&U32::SHAPE, N);
}
impl<const N: usize> Described for [Key; N] {
    const SHAPE: Shape = Shape::List(&Shape::Key, N);
}
impl<const N: usize> Described for Text<N> {
    const SHAPE: Shape = Shape::Text(N);
}

/// The shape of a type as it is written: keys and hashes are bytes alike, and only their names tell them apart.
pub(crate) const fn shape(written: &str, shape: Shape) -> Shape {
    match written.as_bytes() {
        b"Key" => Shape::Key,
        _ => shape,
    }
}

/// The arguments that fields are: the field, its type and, where the field's name does not tell the unit, a name that does.
macro_rules! arguments {
    ($of:ty { $($field:ident: $ty:ty $(= $unit:literal)?,)* }) => {
        &[$($crate::ix::describe::Argument {
            name: $crate::ix::describe::arguments!(@name $field $($unit)?),
            offset: core::mem::offset_of!($of, $field),
            shape: $crate::ix::describe::shape(
                stringify!($ty),
                <$ty as $crate::ix::describe::Described>::SHAPE,
            ),
        }),*]
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $unit:literal) => { $unit };
}
pub(crate) use arguments;

impl Described for Rules {
    const SHAPE: Shape = Shape::Fields(arguments!(Rules {
        window_slots: U32,
        openings_slots: U32,
        reveal_slots: U32,
        cancel_grace_slots: U32,
        prefill_tokens_per_slot: U32,
        jail_slots: U32,
        close_delay_slots: U32,
        maturity_slots: U32,
        validator_bps: U16,
        foundation_bps: U16,
        slash_bps: U16,
        bond_bps: U16,
        jury_seats: U16,
        exposure_bps: U16,
        jury_stake: U64 = "jury_stake_lamports",
        juror_tariff: U64 = "juror_tariff_lamports",
        tariff_cap: U64 = "tariff_cap_lamports",
        juror_penalty: U64 = "juror_penalty_lamports",
        answering_fee: U64 = "answering_fee_lamports",
        stake_per_job: U64 = "stake_per_job_lamports",
        min_stake: U64 = "min_stake_lamports",
        no_show: U64 = "no_show_lamports",
    }));
}

impl Described for Params {
    const SHAPE: Shape = Shape::Fields(arguments!(Params {
        rules: Rules,
        max_job_slots: U32,
        max_nonce_life_slots: U32,
        unbonding_slots: U32,
        registration_fee: U64 = "registration_fee_lamports",
        default_price_in: U32 = "default_price_in_lamports",
        default_price_out: U32 = "default_price_out_lamports",
    }));
}

impl Described for ModelSpec {
    const SHAPE: Shape = Shape::Fields(arguments!(ModelSpec {
        weights_hash: [u8; 32],
        tokenizer_hash: [u8; 32],
        chat_template_hash: [u8; 32],
        quantisation: U16,
        kernel_profile: U16,
        context_length: U32 = "context_tokens",
        max_job_tokens: U32,
        error_ppm: U32,
        miss_ppm: U32,
        commit_slots: U16,
        min_vram_mib: U32,
        eos_count: u8,
        eos_ids: [U32; crate::state::MODEL_EOS_IDS],
    }));
}

#[cfg(test)]
pub(crate) mod tests {
    extern crate std;
    use super::*;
    use crate::ix::{ALL, Tag};

    /// The fields follow each other without a hole and fill what holds them.
    pub(crate) fn fills(fields: &[Argument], size: usize, name: &str) {
        let mut at = 0;
        for field in fields {
            assert_eq!(field.offset, at, "{name}.{}", field.name);
            at += field.shape.size();
            if let Shape::Fields(inner) = field.shape {
                fills(inner, field.shape.size(), field.name);
            }
        }
        assert_eq!(at, size, "{name}");
    }

    /// What is 8 bytes wide and no slot and no epoch is money.
    pub(crate) fn calls_lamports_so(arguments: &[Argument]) {
        for argument in arguments {
            let counted = argument.name.ends_with("_slot") || argument.name == "epoch";
            let wide = argument.shape == Shape::Integer(8);
            let named = wide && argument.name.ends_with("_lamports");
            assert_eq!(wide && !counted, named, "{}", argument.name);
        }
    }

    #[test]
    fn the_arguments_of_every_instruction_are_described_to_the_last_byte() {
        for tag in ALL {
            fills(tag.arguments(), tag.spec().data_len - 1, tag.name());
        }
    }

    #[test]
    fn every_amount_of_lamports_is_called_so() {
        let named = |tag: Tag| tag.arguments().iter().map(|a| a.name);
        for tag in ALL {
            calls_lamports_so(tag.arguments());
        }
        assert!(named(Tag::RequestInference).any(|name| name == "price_in_lamports"));
        assert!(
            Tag::AcceptInference
                .arguments()
                .iter()
                .all(|a| a.shape == Shape::Bytes(32))
        );
        assert_eq!(Tag::ProposeAdmin.arguments()[0].shape, Shape::Key);
    }
}
