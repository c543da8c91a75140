//! The chain through nothing but its JSON-RPC: for validators that load no Geyser plugin, and to heal gaps.
//!
//! `claim` checks what an RPC says, `ask` asks, `window` makes sealed banks of blocks and reads, `snapshot` reads all accounts,
//! `follow` is the producer that stands in for a spool, `heal` the healing of gaps that `request` keeps.

mod ask;
mod claim;
mod follow;
mod heal;
pub(crate) mod request;
mod snapshot;
mod task;
mod window;

pub use ask::RpcError;
pub(crate) use ask::{Limits, check_url};
pub(crate) use follow::Fed;
pub use request::{HealProgress, Unhealed};
pub(crate) use task::Tasks;
