//! What is projected: the entities, their rows, and the values that go in. Each table says its columns once, in its own file
//! under `projection`, with [`table!`]. No SQL text here; see `sql`.

use std::sync::LazyLock;

use mythic_postgres::CopyBuffer;
use serde_json::Value as Json;

/// A value of one column, already checked: text has no NUL, integers fit.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    I16(i16),
    I32(i32),
    I64(i64),
    Bytes(Vec<u8>),
    Text(String),
    /// Serialised JSON, for `jsonb`.
    Json(String),
}

macro_rules! value_from {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        }
    )*};
}

value_from!(bool => Bool, i16 => I16, i32 => I32, i64 => I64, String => Text);

impl<const N: usize> From<[u8; N]> for Value {
    fn from(value: [u8; N]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl From<Json> for Value {
    fn from(value: Json) -> Self {
        Self::Json(value.to_string())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of an entity as it stands after one account update.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub entity: Entity,
    pub pubkey: [u8; 32],
    pub slot: i64,
    /// Place of the update in its bank.
    pub ordinal: i32,
    /// The account's own write counter.
    pub write_seq: i64,
    pub exact: bool,
    /// In the order of [`Table::COLUMNS`].
    pub values: Vec<Value>,
}

/// Columns that hold a key whose text views show.
const KEY_COLUMNS: [&str; 30] = [
    "pubkey",
    "owner",
    "requester",
    "canceller",
    "model",
    "validator",
    "rent_payer",
    "spend_grant",
    "authority",
    "operator",
    "registrant",
    "delegate",
    "job",
    "challenger",
    "submitter",
    "claimant",
    "prover",
    "juror",
    "admin",
    "pending_admin",
    "creator",
    "pending_registrant",
    "pending_owner",
    "foundation",
    "tenant",
    "provider",
    "class",
    "request",
    "lease",
    "disputer",
];

/// Where each entity has such columns. What only points at another row names no key that a view has not met there.
static KEY_PLACES: LazyLock<Vec<Vec<usize>>> = LazyLock::new(|| {
    let places = |entity: &Entity| match entity {
        Entity::JobSignature
        | Entity::LeaseSignature
        | Entity::LeaseEpoch
        | Entity::Closure
        | Entity::Unreadable => Vec::new(),
        entity => {
            let columns = entity.columns().iter().enumerate();
            columns
                .filter(|(_, name)| KEY_COLUMNS.contains(name))
                .map(|(place, _)| place)
                .collect()
        }
    };
    Entity::ALL.iter().map(places).collect()
});

/// First columns of every entity table: where and how its row was written.
pub const VERSION_COLUMNS: [&str; 5] = ["bank", "slot", "ordinal", "write_seq", "exact"];

impl Row {
    /// The keys in it whose texts views show.
    pub fn keys(&self) -> impl Iterator<Item = [u8; 32]> {
        let places = KEY_PLACES[self.entity as usize].iter();
        places.filter_map(|place| match self.values.get(*place) {
            Some(Value::Bytes(bytes)) => bytes[..].try_into().ok(),
            _ => None,
        })
    }

    /// The values of its primary key, as one string of bytes.
    pub fn key_bytes(&self) -> Vec<u8> {
        let mut out = self.pubkey.to_vec();
        for key in self.entity.keys() {
            match *key {
                "slot" => out.extend(self.slot.to_be_bytes()),
                "ordinal" => out.extend(self.ordinal.to_be_bytes()),
                column => {
                    let place = self.entity.columns().iter().position(|c| *c == column);
                    match place.and_then(|p| self.values.get(p)) {
                        Some(Value::I64(v)) => out.extend(v.to_be_bytes()),
                        Some(Value::I16(v)) => out.extend(v.to_be_bytes()),
                        _ => {}
                    }
                }
            }
        }
        out
    }

    /// Writes it as a row of the entity's hot table, in a bank.
    pub fn write(&self, bank: i64, out: &mut CopyBuffer) {
        let columns = VERSION_COLUMNS.len() + self.values.len();
        // Tables have a few dozen columns.
        out.row(i16::try_from(columns).unwrap_or(i16::MAX))
            .i64(bank)
            .i64(self.slot)
            .i32(self.ordinal)
            .i64(self.write_seq)
            .bool(self.exact);
        for value in &self.values {
            match value {
                Value::Null => out.null(),
                Value::Bool(v) => out.bool(*v),
                Value::I16(v) => out.i16(*v),
                Value::I32(v) => out.i32(*v),
                Value::I64(v) => out.i64(*v),
                Value::Bytes(v) => out.bytes(v),
                Value::Text(v) => out.bytes(v.as_bytes()),
                Value::Json(v) => out.json(v),
            };
        }
    }
}

/// A projected table: what a row of it says.
pub trait Table {
    const ENTITY: Entity;
    /// Name; `_hot` and `_overlay` are its companions.
    const NAME: &'static str;
    /// Primary key.
    const KEYS: &'static [&'static str];
    /// Columns after [`VERSION_COLUMNS`].
    const COLUMNS: &'static [&'static str];
    /// In the order of [`Self::COLUMNS`].
    fn values(self) -> Vec<Value>;
}

/// Declares a table's row: a struct whose fields are its columns.
macro_rules! table {
    ($(#[$doc:meta])* $entity:ident: $name:ident = $table:literal [$($key:literal),+] {
        $($(#[$column_doc:meta])* $column:ident: $type:ty),+ $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub(crate) struct $name { $($(#[$column_doc])* pub $column: $type),+ }

        impl $crate::entity::Table for $name {
            const ENTITY: $crate::entity::Entity = $crate::entity::Entity::$entity;
            const NAME: &'static str = $table;
            const KEYS: &'static [&'static str] = &[$($key),+];
            const COLUMNS: &'static [&'static str] = &[$(stringify!($column)),+];
            fn values(self) -> Vec<$crate::entity::Value> {
                vec![$($crate::entity::Value::from(self.$column)),+]
            }
        }
    };
}
pub(crate) use table;

/// A kind of row. Places are stored (`slot.entities`), so new ones come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Entity {
    Job,
    JobSignature,
    Validator,
    ValidatorStake,
    Model,
    Vault,
    Grant,
    Case,
    Treasury,
    Config,
    Closure,
    Juror,
    Opening,
    Output,
    Unreadable,
    Claim,
    Votes,
    MarketConfig,
    MarketTreasury,
    Class,
    Provider,
    Request,
    Lease,
    LeaseEpoch,
    LeaseDispute,
    LeaseSignature,
}

impl Entity {
    pub const ALL: &'static [Entity] = &[
        Entity::Job,
        Entity::JobSignature,
        Entity::Validator,
        Entity::ValidatorStake,
        Entity::Model,
        Entity::Vault,
        Entity::Grant,
        Entity::Case,
        Entity::Treasury,
        Entity::Config,
        Entity::Closure,
        Entity::Juror,
        Entity::Opening,
        Entity::Output,
        Entity::Unreadable,
        Entity::Claim,
        Entity::Votes,
        Entity::MarketConfig,
        Entity::MarketTreasury,
        Entity::Class,
        Entity::Provider,
        Entity::Request,
        Entity::Lease,
        Entity::LeaseEpoch,
        Entity::LeaseDispute,
        Entity::LeaseSignature,
    ];

    /// Every write is kept, not only the last one of a bank.
    pub const fn is_history(self) -> bool {
        matches!(self, Entity::ValidatorStake)
    }

    /// Its rows are parts of an account that has a row of its own elsewhere.
    pub const fn is_part(self) -> bool {
        matches!(
            self,
            Entity::JobSignature
                | Entity::ValidatorStake
                | Entity::Juror
                | Entity::Opening
                | Entity::Claim
                | Entity::LeaseEpoch
                | Entity::LeaseSignature
        )
    }

    /// Its row is the state of an account, with its lamports.
    pub const fn is_account(self) -> bool {
        !self.is_part() && !matches!(self, Entity::Closure | Entity::Unreadable)
    }

    /// This entity in a set of entities.
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }
}
