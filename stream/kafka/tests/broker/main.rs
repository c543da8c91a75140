//! The crate against a real broker, which all tests here use one after the other.

mod checks;
mod faults;
mod forwarding;
mod world;
