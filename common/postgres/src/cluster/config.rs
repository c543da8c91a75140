//! What a private cluster is asked to be, and what it is called inside.

use std::path::PathBuf;

/// Oldest release that works.
pub const OLDEST_VERSION: u32 = 15;
/// The role with all rights.
pub(super) const SUPERUSER: &str = "mythic";
/// The database that is made in it.
pub(super) const DATABASE: &str = "mythic";

/// Where a private cluster lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Directory of the cluster, its log and the read-only role's password. As root, where the unprivileged user
    /// can't enter it, the cluster itself lies below `/var/lib/mythic`.
    pub data_dir: PathBuf,
    /// Loopback port for the read-only role; 0 picks a free one, `None` opens none.
    pub port: Option<u16>,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            data_dir: ".mythic/postgres".into(),
            port: None,
        }
    }
}
