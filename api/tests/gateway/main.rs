//! The gateway as clients meet it: `manners` needs nothing behind it, `money` and `feed` run it against a chain, a database
//! and validators that misbehave on demand.

#![recursion_limit = "256"]

mod credit;
mod disputes;
mod edge;
mod feed;
mod harness;
mod hostile;
mod manners;
mod money;
mod validators;
