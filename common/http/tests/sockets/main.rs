//! The server as a raw socket meets it: slow, greedy, broken and vanishing clients.

mod life;
mod refused;
mod server;
mod slow;
