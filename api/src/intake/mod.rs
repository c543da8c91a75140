//! What a request asks for, what that comes to, and the routes that take it.

pub mod chat;
mod chunks;
pub mod completion;
mod entry;
pub mod estimate;
mod history;
pub mod inference;
pub mod judges;
pub mod openai;
mod params;
pub mod plan;
pub mod render;
pub mod shapes;
