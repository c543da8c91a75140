//! The validator's interface to its plugins.

/// Version of the Geyser interface that this library is built against; a validator must match it.
pub const INTERFACE_VERSION: &str = "4.2.2";
