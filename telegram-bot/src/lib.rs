//! The Telegram bot: questions to a gateway, paid by a delegate of each person within what the chain lets it spend.
//!
//! - [`run`]: the process; [`BotConfig`]: its keys; [`check`]: what would keep it from working
//! - `text`, `words`: what is said, pure; `telegram`: the Bot API
//! - `store`: what is kept, and the only SQL
//! - `purse`: delegates, grants, requests; `gateway`: its public API
//! - `desk`: a question's way, step by step; `commands`: what updates ask for; `page`: wallet page and webhook

#![forbid(unsafe_code)]

mod clock;
mod commands;
mod config;
mod desk;
mod doctor;
mod gateway;
mod metrics;
mod page;
mod parts;
mod purse;
mod service;
mod store;
mod telegram;
mod text;
mod words;

pub use config::BotConfig;
pub use doctor::{Check, check};
pub use service::run;
