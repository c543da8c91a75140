//! One chain follows another: it fetches the blocks that the other one, its leader, makes, and executes each of them again.
//!
//! [`wire`]: questions and answers, and who may ask · [`leader`]: the leader as its follower sees it · [`serve`]: what a leader
//! answers · [`begin`]: the state from which a follower goes on · [`task`]: a follower's work.
//!
//! A follower makes nothing itself. It has the blocks of its leader, also those that the leader gives up again, and finalizes what the
//! leader has finalized, never more: so a leader that is killed goes on from a block that its followers have too. Of a block it
//! takes on trust what only the maker can know (slot, time, hash, which transactions, in which order); what they come to it
//! computes, and compares. A block that comes to something else ends the process, with both hashes.
//!
//! The two prove to each other that they know one secret, and never send it: whoever gets hold of the leader's port while it is down
//! has no followers.

pub mod begin;
pub mod leader;
pub mod serve;
pub mod task;
pub mod wire;
