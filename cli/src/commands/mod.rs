//! What users type.

pub mod ai;
mod alarms;
pub mod check;
pub mod doctor;
pub mod jobs;
pub mod model;
pub mod money;
pub mod node;
