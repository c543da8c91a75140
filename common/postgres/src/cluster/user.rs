//! The user that the server runs as: it refuses to be root.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use nix::unistd::{Gid, Uid, User, chown};

use super::error::{ClusterError, at};

/// The user that the server runs as, when it is not ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerUser {
    pub uid: Uid,
    pub gid: Gid,
}

/// An unprivileged user if we are root, else none.
pub(super) fn unprivileged() -> Result<Option<ServerUser>, ClusterError> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .map(|user| {
            Some(ServerUser {
                uid: user.uid,
                gid: user.gid,
            })
        })
        .ok_or(ClusterError::NoUser)
}

/// Whether `user` may enter every directory above `path` (those that exist).
pub(super) fn can_enter(path: &Path, user: ServerUser) -> bool {
    path.ancestors().skip(1).all(|dir| match fs::metadata(dir) {
        Err(_) => true,
        Ok(meta) if meta.uid() == user.uid.as_raw() => meta.mode() & 0o100 != 0,
        Ok(meta) if meta.gid() == user.gid.as_raw() => meta.mode() & 0o010 != 0,
        Ok(meta) => meta.mode() & 0o001 != 0,
    })
}

/// Makes `path` the server's.
pub(super) fn give(path: &Path, user: Option<ServerUser>) -> Result<(), ClusterError> {
    match user {
        Some(user) => chown(path, Some(user.uid), Some(user.gid))
            .map_err(io::Error::from)
            .map_err(at(path)),
        None => Ok(()),
    }
}
