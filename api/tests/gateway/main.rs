//! The gateway as clients meet it: `manners` and `edge` need nothing behind it, the others run it against a chain, a
//! database and validators that misbehave on demand.

#![recursion_limit = "256"]

mod cases;
mod credit;

mod edge;
mod feed;
mod harness;
mod hostile;
mod keys;
mod latency;
mod manners;
mod market;
mod money;
mod options;
mod own;
mod patience;
mod repeats;
mod shown;
mod stop;
mod validators;
