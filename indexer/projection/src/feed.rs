//! Feed events: what subscribers are told, before it gets its number.

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Add {
    pub topic: Topic,
    /// The account that changed.
    pub entity: [u8; 32],
    /// Place of the update in its bank.
    pub ordinal: i32,
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

    pub fn from_name(name: &str) -> Option<Self> {
        [Op::Add, Op::Confirm, Op::Finalize, Op::Retract]
            .into_iter()
            .find(|op| op.as_str() == name)
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

/// Where an event finds its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// An archived update: the event that archived it and its slot there, and its place in it.
    Update { bank: i64, slot: i64, ordinal: i32 },
    /// The adds of a bank.
    Span { bank: i64, span: Span },
}

/// A row of `feed.entry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedRow {
    pub seq: i64,
    pub topic: Topic,
    pub op: Op,
    pub slot: i64,
    /// None of what a base told.
    pub blockhash: Option<[u8; 32]>,
    pub of: Of,
}
