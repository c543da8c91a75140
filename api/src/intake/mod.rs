//! What a request asks for, what that comes to, and the routes that take it.

pub mod chat;
pub mod completion;
pub mod openai;
pub mod plan;
pub mod shapes;
