//! The directory of the spool, and the disk under it: may the validator write there, is there room, how long does a sync take.

use super::finding::{Finding, Verdict};
use mythic_geyser_core::PluginConfig;
use nix::{
    fcntl::OFlag,
    sys::{
        stat::{Mode, stat},
        statfs,
        statvfs::statvfs,
    },
    unistd::geteuid,
};
use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

/// How long a disk may take for all of it.
const PATIENCE: Duration = Duration::from_secs(30);
const PIECE: usize = 1 << 20;
const PIECES: usize = 8;
/// A sync that takes longer is told; the plugin wants twenty a second.
const SLOW: Duration = Duration::from_millis(100);
const TOO_SLOW: Duration = Duration::from_secs(1);
/// Segments and acknowledgements take few files; a disk with fewer left is as good as full.
const FEW_FILES: u64 = 64;

/// Looks at the spool for a validator of this user. A disk that hangs ends the look, and not the doctor.
pub async fn check(config: PluginConfig, user: Option<(u32, Vec<u32>)>) -> Vec<Finding> {
    let dir = config.spool_dir.clone();
    let (done, found) = tokio::sync::oneshot::channel();
    // A thread of its own: nobody can end one that waits for a disk, and the process ends without it.
    let looked = std::thread::Builder::new().spawn(move || {
        let _ = done.send(look(&config, user.as_ref()));
    });
    if let Err(error) = looked {
        return vec![Finding::unknown("spool", error.to_string(), "try again")];
    }
    match tokio::time::timeout(PATIENCE, found).await {
        Ok(Ok(findings)) => findings,
        _ => vec![Finding::bad(
            "spool",
            format!(
                "the disk under {} did not answer within {} s",
                dir.display(),
                PATIENCE.as_secs()
            ),
            "look at the disk, or put spool_dir on another one",
        )],
    }
}

fn look(config: &PluginConfig, user: Option<&(u32, Vec<u32>)>) -> Vec<Finding> {
    let dir = &config.spool_dir;
    if dir.is_relative() {
        return vec![Finding::bad(
            "spool",
            format!(
                "spool_dir = {:?} depends on where the validator is started",
                dir.display().to_string()
            ),
            "make it a whole path",
        )];
    }
    let found = dir.ancestors().find(|dir| dir.exists());
    let existing = found.unwrap_or(Path::new("/")).to_owned();
    if !existing.is_dir() {
        return vec![Finding::bad(
            "spool",
            format!("{} is no directory", existing.display()),
            "name a directory of its own in spool_dir",
        )];
    }
    if existing == *dir
        && let Err(refused) = mythic_geyser_core::usable(dir)
    {
        let fix = "name a directory of its own in spool_dir, with mode 700";
        return vec![Finding::bad("spool", refused.to_string(), fix)];
    }
    let own = geteuid().as_raw();
    let mut findings = vec![writable(dir, &existing, user.unwrap_or(&(own, Vec::new())))];
    findings.push(room(config, &existing));
    findings.extend(kind(dir, &existing));
    findings.extend(speed(&existing));
    findings
}

/// Whether that user may write there. Where it is us, by trying; else by what the modes say.
fn writable(dir: &Path, existing: &Path, user: &(u32, Vec<u32>)) -> Finding {
    const WHAT: &str = "spool";
    let (id, groups) = user;
    let fix = format!(
        "mkdir -p {0} && chown {id} {0} && chmod 700 {0}",
        dir.display()
    );
    let reason = match *id == geteuid().as_raw() {
        true => unnamed(existing).err().map(|error| error.to_string()),
        false => existing
            .ancestors()
            .find_map(|place| refuses(place, place == existing, *id, groups)),
    };
    match reason {
        Some(reason) => Finding::bad(
            WHAT,
            format!("user {id} can't write to {}: {reason}", existing.display()),
            fix,
        ),
        None if existing == dir => {
            Finding::good(WHAT, format!("user {id} can write to {}", dir.display()))
        }
        None => Finding::good(WHAT, format!("user {id} can make {}", dir.display())),
    }
}

/// Why a directory keeps a user out.
fn refuses(place: &Path, to_write: bool, id: u32, groups: &[u32]) -> Option<String> {
    let meta = match std::fs::metadata(place) {
        Ok(meta) => meta,
        Err(error) => return Some(error.to_string()),
    };
    let wanted = if to_write { 0o3 } else { 0o1 };
    let allowed = match () {
        () if id == 0 => return None,
        () if meta.uid() == id => meta.mode() >> 6,
        () if groups.contains(&meta.gid()) => meta.mode() >> 3,
        () => meta.mode(),
    };
    (allowed & wanted != wanted).then(|| {
        let (mode, owner) = (meta.mode() & 0o7777, meta.uid());
        format!(
            "{} is of user {owner} and has mode {mode:o}",
            place.display()
        )
    })
}

/// A file that nobody sees, and that is gone when it is closed.
fn unnamed(dir: &Path) -> io::Result<File> {
    let flags = OFlag::O_TMPFILE | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    match nix::fcntl::open(dir, flags, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(file) => Ok(file.into()),
        // File systems that know no such files.
        Err(nix::errno::Errno::EOPNOTSUPP | nix::errno::Errno::EISDIR) => {
            let path = dir.join(format!(".mythic-doctor-{}", std::process::id()));
            let file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&path)?;
            std::fs::remove_file(&path)?;
            Ok(file)
        }
        Err(error) => Err(error.into()),
    }
}

fn segments(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let lengths = entries.filter_map(|entry| Some(entry.metadata().ok()?.len()));
    lengths.sum()
}

fn room(config: &PluginConfig, existing: &Path) -> Finding {
    const WHAT: &str = "room";
    let fix = "make room, lower spool_max_bytes, or put spool_dir on another disk";
    let stat = match statvfs(existing) {
        Ok(stat) => stat,
        Err(error) => return Finding::unknown(WHAT, error.to_string(), "look at the disk"),
    };
    let free = stat.blocks_available() * stat.fragment_size();
    let wanted = config
        .spool_max_bytes
        .saturating_sub(segments(&config.spool_dir));
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    if stat.files() > 0 && stat.files_available() < FEW_FILES {
        let left = stat.files_available();
        return Finding::bad(
            WHAT,
            format!("the disk has room for {left} files more"),
            fix,
        );
    }
    if free < wanted {
        return Finding::bad(
            WHAT,
            format!(
                "{} free, spool_max_bytes wants {} more",
                mib(free),
                mib(wanted)
            ),
            fix,
        );
    }
    let all = wanted.saturating_add(config.startup_max_bytes);
    if free < all {
        return Finding::new(
            WHAT,
            Verdict::Note,
            format!(
                "{} free: less than spool_max_bytes and startup_max_bytes together ({}); enough if the accounts of a start take less",
                mib(free),
                mib(all)
            ),
        );
    }
    Finding::good(WHAT, format!("{} free", mib(free)))
}

/// What a spool should not lie on.
fn kind(dir: &Path, existing: &Path) -> Option<Finding> {
    let kind = statfs::statfs(existing).ok()?.filesystem_type();
    let said = match kind {
        statfs::TMPFS_MAGIC => "memory (tmpfs): it is gone when the machine starts again",
        statfs::NFS_SUPER_MAGIC => "a network's disk (NFS): the validator's start waits for it",
        _ => return None,
    };
    let device = stat(existing).ok()?.st_dev;
    let detail = format!("{} is on {said} (device {device})", dir.display());
    let found = Finding::new("disk", Verdict::Note, detail);
    Some(found.fix("put spool_dir on a disk of this machine"))
}

/// How long a sync takes. `None`: we can't write there.
fn speed(existing: &Path) -> Option<Finding> {
    const WHAT: &str = "speed";
    let mut file = unnamed(existing).ok()?;
    let (piece, mut took) = (vec![0xa5; PIECE], Vec::with_capacity(PIECES));
    for _ in 0..PIECES {
        let began = Instant::now();
        let written = file.write_all(&piece).and_then(|()| file.sync_data());
        if let Err(error) = written {
            let fix = "look at the disk, or put spool_dir on another one";
            return Some(Finding::bad(WHAT, format!("writing fails: {error}"), fix));
        }
        took.push(began.elapsed());
    }
    took.sort();
    let middle = took[PIECES / 2];
    let detail = format!(
        "a MiB is durable after {} ms, the slowest of {PIECES} after {} ms",
        middle.as_millis(),
        took[PIECES - 1].as_millis()
    );
    let fix = "a slow disk makes the index late: put spool_dir on a disk of its own";
    Some(match middle {
        middle if middle > TOO_SLOW => Finding::bad(WHAT, detail, fix),
        middle if middle > SLOW => Finding::new(WHAT, Verdict::Note, detail).fix(fix),
        _ => Finding::good(WHAT, detail),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn config(dir: PathBuf) -> PluginConfig {
        PluginConfig {
            spool_dir: dir,
            spool_max_bytes: 1 << 20,
            startup_max_bytes: 1 << 20,
            ..PluginConfig::default()
        }
    }

    fn found(
        config: &PluginConfig,
        user: Option<(u32, Vec<u32>)>,
    ) -> Vec<(&'static str, Verdict, String)> {
        look(config, user.as_ref())
            .iter()
            .map(Finding::told)
            .collect()
    }

    #[test]
    fn a_good_directory_and_one_that_is_not_there_yet_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        for spool in [dir.path().to_owned(), dir.path().join("to/be/made")] {
            let told = found(&config(spool.clone()), None);
            assert_eq!(told[0].1, Verdict::Good, "{told:?}");
            assert!(told[0].2.contains(spool.to_str().unwrap()));
            assert!(told.iter().any(|(what, ..)| *what == "speed"));
        }
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            0,
            "nothing is left"
        );
    }

    #[test]
    fn what_can_not_be_a_spool_is_refused_with_the_fix() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let shared = dir.path().join("shared");
        std::fs::create_dir(&shared).unwrap();
        std::fs::write(shared.join("letter"), "x").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&shared, mode).unwrap();
        for (spool, why) in [
            ("relative".into(), "whole path"),
            (file.join("below"), "no directory"),
            (shared, "letter"),
        ] {
            let told = found(&config(spool), None);
            assert_eq!((told.len(), told[0].1), (1, Verdict::Bad), "{told:?}");
            assert!(told[0].2.contains(why), "{told:?}");
        }
    }

    #[test]
    fn another_user_is_judged_by_the_modes() {
        let dir = tempfile::tempdir().unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o750);
        std::fs::set_permissions(dir.path(), mode).unwrap();
        let group = std::fs::metadata(dir.path()).unwrap().gid();
        let stranger = found(&config(dir.path().into()), Some((12_345, vec![54_321])));
        assert_eq!(stranger[0].1, Verdict::Bad);
        assert!(stranger[0].2.contains("chown 12345"), "{stranger:?}");
        let member = found(&config(dir.path().into()), Some((12_345, vec![group])));
        assert_eq!(member[0].1, Verdict::Bad, "a group may read, not write");
    }

    #[test]
    fn too_little_room_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let wide = PluginConfig {
            spool_max_bytes: 1 << 60,
            ..config(dir.path().into())
        };
        let told = room(&wide, dir.path()).told();
        assert!(
            told.1 == Verdict::Bad && told.2.contains("spool_max_bytes"),
            "{told:?}"
        );
        let base = PluginConfig {
            startup_max_bytes: 1 << 60,
            ..config(dir.path().into())
        };
        assert_eq!(room(&base, dir.path()).told().1, Verdict::Note);
    }
}
