//! Feed events: what subscribers are told, before it gets its number.

use serde_json::Value as Json;

/// A kind of event that can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Topic {
    Jobs,
    Results,
    Disputes,
    Validators,
    Settlements,
    Leases,
    Network,
}

impl Topic {
    pub const ALL: [Topic; 7] = [
        Topic::Jobs,
        Topic::Results,
        Topic::Disputes,
        Topic::Validators,
        Topic::Settlements,
        Topic::Leases,
        Topic::Network,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Topic::Jobs => "jobs",
            Topic::Results => "results",
            Topic::Disputes => "disputes",
            Topic::Validators => "validators",
            Topic::Settlements => "settlements",
            Topic::Leases => "leases",
            Topic::Network => "network",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == name)
    }
}

/// A state change to announce.
#[derive(Clone, Debug, PartialEq)]
pub struct Add {
    pub topic: Topic,
    /// The account that changed.
    pub entity: [u8; 32],
    pub payload: Json,
}

/// The adds of one bank and topic: what confirm, finalize and retract speak for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub topic: Topic,
    pub first_seq: i64,
    pub last_seq: i64,
    pub count: i32,
}

/// What a feed row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Add,
    Confirm,
    Finalize,
    Retract,
}

impl Op {
    pub const fn as_str(self) -> &'static str {
        match self {
            Op::Add => "add",
            Op::Confirm => "confirm",
            Op::Finalize => "finalize",
            Op::Retract => "retract",
        }
    }

    /// The commitment that the row brings its bank to.
    pub const fn commitment(self) -> &'static str {
        match self {
            Op::Add => "processed",
            Op::Confirm => "confirmed",
            Op::Finalize => "finalized",
            Op::Retract => "orphaned",
        }
    }
}

/// A row of `feed.event`.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedRow {
    pub seq: i64,
    pub topic: Topic,
    pub op: Op,
    pub entity: Option<[u8; 32]>,
    pub slot: i64,
    pub blockhash: Option<[u8; 32]>,
    pub payload: Option<Json>,
}
