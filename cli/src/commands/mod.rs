//! What users type.

pub mod ai;
mod alarms;
mod archive;
pub mod bot;
pub mod calibrate;
pub mod check;
pub mod credit;
pub mod disputes;
pub mod doctor;
pub mod export;
pub mod gateway;
pub mod grant;
mod heal;
pub mod init;
pub mod jobs;
pub mod key;
pub mod lease;
pub mod model;
pub mod network;
pub mod node;
pub mod provider;
mod signed;
mod stake;
pub mod verify;
pub mod wallet;
