//! What a request asks for, what that comes to, and the routes that take it.

pub mod calls;
pub mod chat;
mod chunks;
pub mod completion;
mod entry;
pub mod estimate;
pub mod format;
pub mod grammar;
pub mod history;
pub mod inference;
pub mod judges;
pub mod legacy;
pub mod openai;
pub mod options;
mod params;
pub mod plan;
mod play;
mod prompt;
pub mod render;
pub mod response;
mod response_events;
pub mod responses;
pub mod shapes;
mod template;
pub mod tools;
