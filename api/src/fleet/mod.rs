//! Who works: the validators known, the choice among them, and how much one client may ask of them.

pub mod limits;
pub mod routing;
pub mod validators;
