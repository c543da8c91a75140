//! The node against a real chain (the development chain with the program's own `.so`) and a gateway played by the test.

mod admit;
mod audits;
mod cases;
mod faults;
mod floods;
mod harness;
mod life;
mod proofs;
mod real;
mod strangers;
mod traces;
mod workers;
