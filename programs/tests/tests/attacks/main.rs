//! What an audit of the first program found worth trying, each as its attacker would do it: none of it pays any more.

mod game;
mod network;
