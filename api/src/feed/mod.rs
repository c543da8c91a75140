//! The feed: [`hub`] reads the database once for all, a [`subscription`] shows what its [`filter`] lets through, and [`places`]
//! bounds how many there are.

pub mod filter;
pub mod hub;
pub mod places;
pub mod subscription;
