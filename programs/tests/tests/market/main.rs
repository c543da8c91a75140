//! The Compute Market on its real ELF: leases that run, refusals by their exact errors, attacks that must not pay, disputes, and
//! random instructions by many parties.

mod attacks;
mod disputes;
mod leases;
mod lies;
mod random;
mod refusals;
