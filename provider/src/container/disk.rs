//! A container's disk: one file of a fixed size, encrypted under a key that is destroyed with it, in it all that the container writes:
//! what it changes of its image, its volume, its logs. Full, it harms nobody else.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use mythic_support::files;
use rustix::{
    fs::{self as sys, FallocateFlags},
    io::Errno,
};

use super::{
    bundle::Paths,
    command,
    runtime::{Labelled, SPARE_MIB},
};

/// What is mounted where.
const MOUNTS: &str = "/proc/self/mounts";
/// Names in a container's directory.
const IMAGE: &str = "disk.img";
const KEY: &str = "disk.key";
const MOUNTED: &str = "disk";
/// Its number and slot: the first thing that is there.
const NOTE: &str = "place";
/// Bytes of a key.
const KEY_BYTES: usize = 64;

/// Disks of a provider's containers.
#[derive(Debug, Clone)]
pub struct Disks {
    /// A directory for each container, for this process alone.
    pub state: PathBuf,
    /// Where roots are mounted: containers' users pass through it.
    pub run: PathBuf,
    /// First of the machine's users that are containers'.
    pub first_user: u32,
    pub is_encrypted: bool,
    /// Contents of `/etc/resolv.conf` inside.
    pub resolv_conf: String,
}

impl Disks {
    /// The container's own directory.
    pub fn dir(&self, id: &str) -> PathBuf {
        self.state.join(id)
    }

    fn mounted(&self, id: &str) -> PathBuf {
        self.dir(id).join(MOUNTED)
    }

    /// Notes number and slot of a container before anything of it is made.
    pub fn note(&self, id: &str, place: u16, slot: u64) -> Result<()> {
        files::private_dir(&self.state)?;
        files::private_dir(&self.dir(id))?;
        let note = format!("{place} {slot}");
        Ok(files::replace(&self.dir(id).join(NOTE), note.as_bytes())?)
    }

    /// What was noted.
    pub fn noted(&self, id: &str) -> Option<(u16, u64)> {
        let text = fs::read_to_string(self.dir(id).join(NOTE)).ok()?;
        let (place, slot) = text.split_once(' ')?;
        Some((place.parse().ok()?, slot.parse().ok()?))
    }

    /// Containers of which something is there.
    pub fn list(&self) -> Result<Vec<Labelled>> {
        let mut all = Vec::new();
        if self.state.exists() {
            for entry in fs::read_dir(&self.state)? {
                let id = entry?.file_name().to_string_lossy().into_owned();
                let (place, slot) = self.noted(&id).unzip();
                let slot = slot.unwrap_or(0);
                all.push(Labelled { id, slot, place });
            }
        }
        Ok(all)
    }

    /// MiB that further disks can have when those of these containers are made, and some are left to the machine.
    pub fn room(&self, promised: &[(String, u32)]) -> Result<u64> {
        files::private_dir(&self.state)?;
        let found = sys::statvfs(&self.state)?;
        let free = found.f_bavail.saturating_mul(found.f_frsize) >> 20;
        let is_due = |id: &str| !self.dir(id).join(IMAGE).exists();
        let due = promised.iter().filter(|(id, _)| is_due(id));
        let due: u64 = due.map(|(_, mib)| u64::from(*mib)).sum();
        Ok(free.saturating_sub(due.saturating_add(SPARE_MIB)))
    }

    /// Where its command writes.
    pub fn log(&self, id: &str) -> PathBuf {
        self.mounted(id).join("log")
    }

    /// Its files, as its bundle names them.
    pub fn paths(&self, id: &str) -> Paths {
        Paths {
            rootfs: self.run.join(id).join("rootfs"),
            volume: self.mounted(id).join("volume"),
            home: self.mounted(id).join("home"),
            tmp: self.mounted(id).join("tmp"),
            resolv_conf: self.mounted(id).join("resolv.conf"),
            hosts: self.mounted(id).join("hosts"),
        }
    }

    fn device(&self, id: &str) -> String {
        format!("mythic-{id}")
    }

    /// Makes a disk of so many MiB, if it is not there, and mounts it. May be taken again at any time.
    pub async fn attach(&self, id: &str, mib: u32) -> Result<()> {
        let (mounted, paths) = (self.mounted(id), self.paths(id));
        files::private_dir(&self.state)?;
        files::private_dir(&self.dir(id))?;
        if !mounted.exists() {
            files::private_dir(&mounted)?;
        }
        if !is_mounted(&mounted)? {
            let device = self.made(id, mib).await?;
            let (device, place) = (option(&device)?, option(&mounted)?);
            let arguments = ["-t", "ext4", "-o", "nosuid,nodev", device, place];
            command::run("mount", &arguments).await?;
        }
        self.furnish(&mounted, &paths)
    }

    /// The same, and the image below it: what is written over it is on the disk.
    pub async fn mount(&self, id: &str, mib: u32, image: &Path) -> Result<()> {
        self.attach(id, mib).await?;
        let (mounted, paths) = (self.mounted(id), self.paths(id));
        for passage in [self.run.clone(), self.run.join(id)] {
            fs::create_dir_all(&passage)?;
            fs::set_permissions(&passage, fs::Permissions::from_mode(0o711))?;
        }
        fs::create_dir_all(&paths.rootfs)?;
        if !is_mounted(&paths.rootfs)? {
            let options = format!(
                "nosuid,nodev,lowerdir={},upperdir={},workdir={}",
                option(image)?,
                option(&mounted.join("upper"))?,
                option(&mounted.join("work"))?
            );
            let rootfs = option(&paths.rootfs)?;
            let arguments = ["-t", "overlay", "-o", options.as_str(), "overlay", rootfs];
            command::run("mount", &arguments).await?;
        }
        Ok(())
    }

    /// What is in a disk from the beginning.
    fn furnish(&self, mounted: &Path, paths: &Paths) -> Result<()> {
        let first = Some(self.first_user);
        for (name, mode) in [
            ("upper", 0o755),
            ("volume", 0o755),
            ("home", 0o700),
            ("tmp", 0o1777),
            ("work", 0o700),
        ] {
            let dir = mounted.join(name);
            if dir.exists() {
                continue;
            }
            fs::create_dir(&dir)?;
            if name != "work" {
                chown(&dir, first, first)?;
            }
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode))?;
        }
        for (path, text) in [
            (&paths.resolv_conf, self.resolv_conf.as_str()),
            (&paths.hosts, "127.0.0.1 localhost\n"),
        ] {
            if !path.exists() {
                fs::write(path, text)?;
                fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
            }
        }
        Ok(())
    }

    /// The device that holds the files, attached, with a file system on it.
    async fn made(&self, id: &str, mib: u32) -> Result<PathBuf> {
        let (dir, fresh) = (self.dir(id), self.dir(id).join("disk.new"));
        let image = dir.join(IMAGE);
        let is_new = !image.exists();
        if is_new {
            let file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(&fresh)?;
            allocated(&file, u64::from(mib) << 20)?;
            if self.is_encrypted {
                let key: [u8; KEY_BYTES] = rand::random();
                files::replace(&dir.join(KEY), &key)?;
            }
        }
        let file = if is_new { &fresh } else { &image };
        let device = match self.is_encrypted {
            true => self.unlocked(id, file).await?,
            false => file.clone(),
        };
        if is_new {
            let path = option(&device)?;
            // What it has it keeps: nothing is given back to the machine's own disk.
            let make = ["-q", "-F", "-m", "0", "-E", "nodiscard", path];
            command::run("mkfs.ext4", &make).await?;
            fs::rename(&fresh, &image)?;
        }
        match self.is_encrypted {
            true => Ok(device),
            // A file is attached by its mount, under its own name.
            false => Ok(image),
        }
    }

    /// Opens an encrypted disk.
    async fn unlocked(&self, id: &str, file: &Path) -> Result<PathBuf> {
        let name = self.device(id);
        let device = Path::new("/dev/mapper").join(&name);
        if device.exists() {
            command::run("cryptsetup", &["close", &name]).await?;
        }
        let key = self.dir(id).join(KEY);
        let (key, file) = (option(&key)?, option(file)?);
        let cipher = [
            "open",
            "--type",
            "plain",
            "--cipher",
            "aes-xts-plain64",
            "--key-size",
            "512",
            "--key-file",
            key,
            file,
            &name,
        ];
        command::run("cryptsetup", &cipher).await?;
        Ok(device)
    }

    /// Destroys a disk: its key first, so that nothing can be read of it whatever happens to the rest. Nothing is fine too.
    pub async fn destroy(&self, id: &str) -> Result<()> {
        let (dir, paths) = (self.dir(id), self.paths(id));
        let key = dir.join(KEY);
        if key.exists() {
            // Where it is: a file that was cut off first may get other blocks.
            let mut file = OpenOptions::new().write(true).open(&key)?;
            file.write_all(&[0; KEY_BYTES])?;
            file.sync_all()?;
            fs::remove_file(&key)?;
        }
        for place in [&paths.rootfs, &self.mounted(id)] {
            while is_mounted(place)? {
                command::run("umount", &[option(place)?]).await?;
            }
        }
        let name = self.device(id);
        if Path::new("/dev/mapper").join(&name).exists() {
            command::run("cryptsetup", &["close", &name]).await?;
        }
        for left in [self.run.join(id), dir] {
            if left.exists() {
                fs::remove_dir_all(&left).with_context(|| left.display().to_string())?;
            }
        }
        Ok(())
    }
}

/// Gives a file its whole length, with room on the machine's disk for all of it where the file system can promise that.
fn allocated(file: &File, length: u64) -> Result<()> {
    match sys::fallocate(file, FallocateFlags::empty(), 0, length) {
        Err(Errno::OPNOTSUPP) => Ok(file.set_len(length)?),
        allocated => allocated.context("the machine's disk has no room for a container's"),
    }
}

/// A path as options and commands take it.
fn option(path: &Path) -> Result<&str> {
    let text = path
        .to_str()
        .filter(|text| !text.contains([',', ':', '\\', ' ', '\n']));
    text.with_context(|| format!("{}: letters that a mount can't name", path.display()))
}

fn is_mounted(path: &Path) -> Result<bool> {
    let all = fs::read_to_string(MOUNTS).context(MOUNTS)?;
    Ok(lists(&all, path))
}

/// Whether a list of mounts has one there.
fn lists(all: &str, path: &Path) -> bool {
    let mut places = all.lines().filter_map(|line| line.split(' ').nth(1));
    places.any(|place| Path::new(place) == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_own_path_alone() {
        let all = "/dev/loop0 /data/a/disk ext4 rw 0 0\noverlay /run/a/rootfs overlay rw 0 0\n";
        assert!(lists(all, Path::new("/data/a/disk")));
        assert!(lists(all, Path::new("/run/a/rootfs")));
        assert!(!lists(all, Path::new("/data/a")) && !lists(all, Path::new("/dev/loop0")));
    }

    #[test]
    fn paths_that_would_be_several_options_are_refused() {
        assert!(option(Path::new("/data/a-b_c.d")).is_ok());
        for bad in ["/data/a,upperdir=/etc", "/data/a:b", "/data/a b"] {
            assert!(option(Path::new(bad)).is_err(), "{bad}");
        }
    }

    fn disks(dir: &Path) -> Disks {
        Disks {
            state: dir.join("state"),
            run: dir.join("run"),
            first_user: 1_000_000,
            is_encrypted: false,
            resolv_conf: String::new(),
        }
    }

    #[test]
    fn what_was_promised_a_disk_has_it_before_anybody_else() {
        let dir = tempfile::tempdir().unwrap();
        let disks = disks(dir.path());
        let all = disks.room(&[]).unwrap();
        let promised = |mib: u32| [("x".to_owned(), mib)];
        assert_eq!(disks.room(&promised(u32::MAX)).unwrap(), 0);
        // One that is made takes its room by itself.
        fs::create_dir(disks.dir("x")).unwrap();
        fs::write(disks.dir("x").join(IMAGE), "").unwrap();
        let left = disks.room(&promised(u32::MAX)).unwrap();
        assert!(left > 0 || all == 0, "{left} of {all}");
    }

    #[test]
    fn a_disk_s_file_has_all_its_room_from_the_beginning() {
        use std::os::unix::fs::MetadataExt as _;
        let file = tempfile::tempfile().unwrap();
        allocated(&file, 1 << 20).unwrap();
        let found = file.metadata().unwrap();
        assert!(found.len() == 1 << 20 && found.blocks() * 512 >= 1 << 20);
    }

    #[tokio::test]
    async fn a_disk_that_is_not_there_is_destroyed_without_a_word() {
        let dir = tempfile::tempdir().unwrap();
        let disks = disks(dir.path());
        disks.destroy("x").await.unwrap();
        // What was begun and never mounted goes too, its key with it.
        let own = disks.dir("x");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join(KEY), "key").unwrap();
        fs::write(own.join("disk.new"), "").unwrap();
        disks.destroy("x").await.unwrap();
        assert!(!own.exists());
    }
}
