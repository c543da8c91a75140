//! The routes, one module a family.

pub mod disputes;
pub mod health;
pub mod jobs;
pub mod keys;
pub mod lists;
pub mod metrics;
pub mod nodes;
pub mod pages;
pub mod stream;
