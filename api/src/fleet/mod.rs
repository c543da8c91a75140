//! Who works: the validators known, the choice among them, who waits for one, and how much one client may ask of them.

pub mod judges;
pub mod limits;
pub mod queue;
pub mod record;
pub mod routing;
pub mod validators;
