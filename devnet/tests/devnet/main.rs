//! The chain through its doors: JSON-RPC with Solana's own client, WebSocket, a Geyser plugin, restarts.

mod clients;
mod common;
mod follow;
mod hostile;
mod kill;
mod life;
mod plugins;
mod reads;
mod subscriptions;
mod tokens;
mod transactions;
