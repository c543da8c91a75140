//! How requests run: a run's events, the jobs that carry it, their answers, and what outlives the request.

pub mod answer;
pub mod dispatch;
pub mod drive;
pub mod janitor;
pub mod result;
pub mod run;
