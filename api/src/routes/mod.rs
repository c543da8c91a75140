//! The routes, one module a family.

pub mod cases;
pub mod credit;
pub mod health;
pub mod jobs;
pub mod keys;
pub mod leases;
pub mod lists;
pub mod market;
pub mod metrics;
pub mod nodes;
mod once;
pub mod pages;
pub mod prices;
pub mod stream;
