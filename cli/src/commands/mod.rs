//! What users type.

pub mod ai;
mod alarms;
pub mod calibrate;
pub mod check;
pub mod disputes;
pub mod doctor;
pub mod jobs;
pub mod model;
pub mod node;
pub mod spend;
pub mod verify;
pub mod wallet;
