//! Where a cluster lies: inside its home directory, or below `/var/lib/mythic` where the server's user can't enter that.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{
    error::{ClusterError, at},
    process::stop_leftover,
    secret::random_hex,
    user::{ServerUser, can_enter},
};

/// Where clusters lie whose home their user can't enter.
pub(super) const OUTSIDE: &str = "/var/lib/mythic";

/// Makes the home directory, which only its owner can read.
pub(super) fn make(path: &Path) -> Result<PathBuf, ClusterError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(at(path))?;
    path.canonicalize().map_err(at(path))
}

fn set_mode(path: &Path, mode: u32) -> Result<(), ClusterError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(at(path))
}

/// Where the cluster proper lies. A token ties a directory elsewhere to this one, so that removing this one starts over,
/// and moving it does not.
pub(super) async fn data_dir(
    home: &Path,
    user: Option<ServerUser>,
) -> Result<PathBuf, ClusterError> {
    let inside = home.join("data");
    let Some(user) = user else {
        set_mode(home, 0o700)?;
        return Ok(inside);
    };
    if can_enter(home, user) {
        // The user must pass through `home` itself too.
        set_mode(home, 0o711)?;
        return Ok(inside);
    }
    set_mode(home, 0o700)?;
    let outside = match Outside::tied_to(home) {
        Some(known) => known,
        None => start_over(home).await?,
    };
    outside.tie(home)?;
    remove_orphans().await;
    Ok(outside.0.join("data"))
}

async fn start_over(home: &Path) -> Result<Outside, ClusterError> {
    let id = &Sha256::digest(home.as_os_str().as_encoded_bytes())[..8];
    let mut outside = Outside(Path::new(OUTSIDE).join(hex::encode(id)));
    if outside.home().is_some_and(|of| of == home) && outside.is_let_go() {
        outside.remove().await?;
    } else if outside.0.exists() {
        // It may be wanted again: another home's that was moved, or this one's from a disk that is not mounted now.
        outside.0.set_extension(random_hex(4));
    }
    fs::create_dir_all(&outside.0).map_err(at(&outside.0))?;
    set_mode(Path::new(OUTSIDE), 0o711)?;
    set_mode(&outside.0, 0o711)?;
    let token = outside.token();
    fs::write(&token, random_hex(16)).map_err(at(&token))?;
    set_mode(&token, 0o600)?;
    Ok(outside)
}

/// A directory below `/var/lib/mythic`: `data`, the path of its `home`, a `token`, and whether the home's copy of the token
/// is a hard link to it (`linked`).
#[derive(Debug, PartialEq, Eq)]
struct Outside(PathBuf);

impl Outside {
    fn all() -> impl Iterator<Item = Self> {
        let entries = fs::read_dir(OUTSIDE).into_iter().flatten().flatten();
        entries.map(|entry| Self(entry.path()))
    }

    /// The one whose token lies in `home`, unless another home holds that token as well (one is a copy of the other).
    fn tied_to(home: &Path) -> Option<Self> {
        let ours = fs::read(home.join("location")).ok()?;
        let found = Self::all().find(|dir| fs::read(dir.token()).is_ok_and(|t| t == ours))?;
        let of = found.home()?;
        let elsewhere = of != home && fs::read(of.join("location")).is_ok_and(|t| t == ours);
        (!elsewhere).then_some(found)
    }

    fn token(&self) -> PathBuf {
        self.0.join("token")
    }

    fn home(&self) -> Option<PathBuf> {
        Some(fs::read_to_string(self.0.join("home")).ok()?.into())
    }

    /// Remembers `home`, and gives it the token: as a hard link where both are on one file system.
    fn tie(&self, home: &Path) -> Result<(), ClusterError> {
        let (token, ours) = (self.token(), home.join("location"));
        let (owner, linked) = (self.0.join("home"), self.0.join("linked"));
        fs::write(&owner, home.as_os_str().as_encoded_bytes()).map_err(at(&owner))?;
        let is_link = |path: &Path| -> Option<bool> {
            let (a, b) = (fs::metadata(path).ok()?, fs::metadata(&token).ok()?);
            Some((a.dev(), a.ino()) == (b.dev(), b.ino()))
        };
        if is_link(&ours) != Some(true) {
            let fresh = home.join("location.new");
            let _ = fs::remove_file(&fresh);
            if fs::hard_link(&token, &fresh).is_err() {
                let _ = fs::remove_file(&linked);
                fs::copy(&token, &fresh).map_err(at(&fresh))?;
            }
            fs::rename(&fresh, &ours).map_err(at(&ours))?;
        }
        if is_link(&ours) == Some(true) {
            fs::write(&linked, "").map_err(at(&linked))?;
        }
        Ok(())
    }

    /// Proof that its home was removed: the token has no other link left. A home on a disk that is not mounted, or that was
    /// moved, keeps its link; where there never was one, nothing is proved.
    fn is_let_go(&self) -> bool {
        self.0.join("linked").exists() && fs::metadata(self.token()).is_ok_and(|m| m.nlink() == 1)
    }

    async fn remove(&self) -> Result<(), ClusterError> {
        stop_leftover(&self.0.join("data")).await?;
        fs::remove_dir_all(&self.0).map_err(at(&self.0))
    }
}

/// Removes clusters elsewhere whose home was removed, and names those of which that is not certain.
pub(super) async fn remove_orphans() {
    for outside in Outside::all() {
        let Some(home) = outside.home().filter(|home| !home.exists()) else {
            continue;
        };
        let (home, place) = (home.display(), outside.0.display());
        if !outside.is_let_go() {
            tracing::warn!(
                "the database in {place} belongs to {home}, which is not there (not mounted, or moved): it stays; if it is \
                 gone for good, remove {place} by hand"
            );
        } else if let Err(e) = outside.remove().await {
            tracing::warn!("a database whose directory {home} is gone could not be removed: {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_without_its_other_link_proves_that_a_home_was_removed() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        let home = disk.join("pg");
        let outside = Outside(dir.path().join("outside"));
        fs::create_dir_all(&home).unwrap();
        fs::create_dir(&outside.0).unwrap();
        fs::write(outside.token(), "t").unwrap();
        outside.tie(&home).unwrap();
        outside.tie(&home).unwrap();
        assert_eq!(outside.home(), Some(home.clone()));
        assert!(!outside.is_let_go(), "it is there");
        // As when its disk is not mounted, or was moved.
        let away = dir.path().join("away");
        fs::rename(&disk, &away).unwrap();
        assert!(!home.exists() && !outside.is_let_go());
        fs::create_dir_all(&home).unwrap();
        assert!(!outside.is_let_go(), "another directory is in its place");
        fs::remove_dir_all(&disk).unwrap();
        fs::rename(&away, &disk).unwrap();
        fs::remove_dir_all(&home).unwrap();
        assert!(outside.is_let_go());
        // One that was never linked (another file system) proves nothing.
        fs::remove_file(outside.0.join("linked")).unwrap();
        assert!(!outside.is_let_go());
    }
}
