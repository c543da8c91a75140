//! Against a chain's JSON-RPC over HTTP: a chain that is made up here and answers as a validator does, and the development chain.

mod devnet;
mod follow;
mod heal;
mod world;
