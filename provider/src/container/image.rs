//! Images: found by their digest in OCI layout directories of the provider, every blob checked against its own, unpacked once, and shared
//! by the leases that run them, which write elsewhere.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use parking_lot::Mutex;
use rustix::fs::{self as sys, CWD, Mode, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    runtime::SPARE_MIB,
    unpack::{Tree, USERS},
};
use crate::spec::container::digits;

/// Longest manifest, index and configuration of an image, bytes.
const DOCUMENT: u64 = 4 << 20;
/// Layers of an image.
const LAYERS: usize = 128;
/// Longest list of users of an image that is looked into, bytes.
const PASSWD: u64 = 1 << 20;
/// How long an image may take to be unpacked, and how long one that could not be is not tried again.
const PATIENCE: Duration = Duration::from_secs(600);
const AGAIN: Duration = Duration::from_secs(600);
/// Words of an image's command and variables of its environment, and bytes of all of them.
const WORDS: usize = 256;
const BYTES: usize = 64 << 10;

/// What an image says of how it is run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// Variables, `NAME=value` each.
    #[serde(default, rename = "Env")]
    pub env: Option<Vec<String>>,
    #[serde(default, rename = "Entrypoint")]
    pub entrypoint: Option<Vec<String>>,
    #[serde(default, rename = "Cmd")]
    pub cmd: Option<Vec<String>>,
    #[serde(default, rename = "WorkingDir")]
    pub working_dir: Option<String>,
    /// Name or number, with `:` and a group's behind it.
    #[serde(default, rename = "User")]
    pub user: Option<String>,
}

impl ImageConfig {
    /// Its own command.
    pub fn command(&self) -> Vec<String> {
        let words = [&self.entrypoint, &self.cmd];
        words.into_iter().flatten().flatten().cloned().collect()
    }

    fn check(&self) -> Result<()> {
        let lists = [&self.env, &self.entrypoint, &self.cmd];
        let words: Vec<&String> = lists.into_iter().flatten().flatten().collect();
        let others = [&self.working_dir, &self.user];
        let all = || words.iter().copied().chain(others.into_iter().flatten());
        ensure!(
            words.len() <= WORDS,
            "its configuration has {} words",
            words.len()
        );
        let bytes: usize = all().map(String::len).sum();
        ensure!(bytes <= BYTES, "its configuration has {bytes} bytes");
        ensure!(
            !all().any(|word| word.contains('\0')),
            "its configuration has a NUL in it"
        );
        Ok(())
    }
}

/// An image that is unpacked.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its files; nobody writes there.
    pub rootfs: PathBuf,
    pub config: ImageConfig,
}

#[derive(Debug, Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

/// A manifest, or an index of several.
#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Configuration {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: Option<ImageConfig>,
}

/// Bytes under their digest.
struct Hashed<R> {
    inner: R,
    hasher: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Bytes that come until some time.
struct Timed<R> {
    inner: R,
    until: Instant,
}

impl<R: Read> Read for Timed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match Instant::now() < self.until {
            true => self.inner.read(buffer),
            false => Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long")),
        }
    }
}

/// The architecture of this machine, as images call it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// An OCI layout directory.
#[derive(Debug)]
struct Layout<'a>(&'a Path);

impl Layout<'_> {
    fn path(&self, digest: &str) -> Result<PathBuf> {
        let digits = digits(digest).with_context(|| format!("{digest:?} is no digest"))?;
        Ok(self.0.join("blobs/sha256").join(digits))
    }

    fn has(&self, digest: &str) -> bool {
        self.path(digest).is_ok_and(|path| path.is_file())
    }

    /// A small blob, if it is the one of that digest.
    fn document(&self, digest: &str) -> Result<Vec<u8>> {
        let path = self.path(digest)?;
        let file = File::open(&path).with_context(|| path.display().to_string())?;
        let mut bytes = Vec::new();
        file.take(DOCUMENT + 1).read_to_end(&mut bytes)?;
        ensure!(
            bytes.len() as u64 <= DOCUMENT,
            "{digest} is longer than {DOCUMENT} bytes"
        );
        let found = hex::encode(Sha256::digest(&bytes));
        ensure!(
            digits(digest) == Some(found.as_str()),
            "{digest} is another blob: sha256:{found}"
        );
        Ok(bytes)
    }

    /// The manifest of that digest; of an index the one for this machine.
    fn manifest(&self, digest: &str) -> Result<Manifest> {
        let read = |digest: &str| -> Result<Manifest> {
            let bytes = self.document(digest)?;
            serde_json::from_slice(&bytes).with_context(|| format!("{digest} is no manifest"))
        };
        let found = read(digest)?;
        if found.manifests.is_empty() {
            return Ok(found);
        }
        let is_ours = |one: &&Descriptor| {
            let platform = one.platform.as_ref();
            platform.is_some_and(|is| is.os == "linux" && is.architecture == architecture())
        };
        let one = found.manifests.iter().find(is_ours);
        let one =
            one.with_context(|| format!("{digest} has no image for linux/{}", architecture()))?;
        let inner = read(&one.digest)?;
        ensure!(
            inner.manifests.is_empty(),
            "{digest} is an index of indices"
        );
        Ok(inner)
    }

    /// Unpacks all layers until some time; returns how the image is run.
    fn unpack(&self, digest: &str, tree: &mut Tree, until: Instant) -> Result<ImageConfig> {
        let manifest = self.manifest(digest)?;
        let config = manifest
            .config
            .context("the manifest names no configuration")?;
        let bytes = self.document(&config.digest)?;
        let said: Configuration =
            serde_json::from_slice(&bytes).context("the configuration can't be read")?;
        let is_ours = said.os == "linux" && said.architecture == architecture();
        ensure!(is_ours, "it is for {}/{}", said.os, said.architecture);
        let config = said.config.unwrap_or_default();
        config.check()?;
        ensure!(
            manifest.layers.len() <= LAYERS,
            "it has {} layers",
            manifest.layers.len()
        );
        for layer in &manifest.layers {
            self.layer(layer, tree, until)
                .with_context(|| format!("layer {}", layer.digest))?;
        }
        Ok(config)
    }

    fn layer(&self, layer: &Descriptor, tree: &mut Tree, until: Instant) -> Result<()> {
        let file = File::open(self.path(&layer.digest)?)?;
        let length = file.metadata()?.len();
        ensure!(
            length == layer.size,
            "it has {length} bytes and not {}",
            layer.size
        );
        let mut hashed = Hashed {
            inner: io::BufReader::with_capacity(1 << 17, file),
            hasher: Sha256::new(),
        };
        let kind = layer.media_type.as_str();
        let inner: Box<dyn Read + '_> = match kind.rsplit(['.', '+']).next() {
            Some("tar") => Box::new(&mut hashed),
            Some("gzip") => Box::new(MultiGzDecoder::new(&mut hashed)),
            Some("zstd") => Box::new(zstd::Decoder::new(&mut hashed)?),
            _ => bail!("its kind {kind:?} is not known"),
        };
        // Of a few bytes a decoder makes very many.
        tree.layer(Timed { inner, until })?;
        // What stands behind the archive belongs to the blob too.
        io::copy(&mut hashed, &mut io::sink())?;
        let found = hex::encode(hashed.hasher.finalize());
        ensure!(
            digits(&layer.digest) == Some(found.as_str()),
            "its bytes are those of sha256:{found}"
        );
        Ok(())
    }
}

/// Images that are unpacked, and the directories in which others are looked for.
#[derive(Debug)]
pub struct Images {
    dir: PathBuf,
    layouts: Vec<PathBuf>,
    first_user: Option<u32>,
    most: u64,
    /// Images that could not be unpacked, when, and why: whoever asks for one again costs nothing.
    failed: Mutex<HashMap<String, (Instant, String)>>,
}

/// File beside an unpacked image that says how it is run; without it the image is not whole.
const CONFIG: &str = "config.json";

impl Images {
    /// Images are unpacked into `dir`, owners moved by `first_user`, `most` bytes each; what was not finished there is removed, if it can be.
    pub fn open(
        dir: PathBuf,
        layouts: Vec<PathBuf>,
        first_user: Option<u32>,
        most: u64,
    ) -> Result<Self> {
        mythic_support::files::private_dir(&dir)?;
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "new") {
                // It is in nobody's way but its own.
                if let Err(error) = fs::remove_dir_all(&path) {
                    tracing::warn!(path = %path.display(), %error, "an image that was not unpacked can't be removed");
                }
            }
        }
        Ok(Self {
            dir,
            layouts,
            first_user,
            most,
            failed: Mutex::default(),
        })
    }

    /// Whether an image is here.
    pub fn has(&self, digest: &str) -> bool {
        self.unpacked(digest).is_some() || self.layout(digest).is_some()
    }

    fn layout(&self, digest: &str) -> Option<Layout<'_>> {
        let mut layouts = self.layouts.iter().map(|path| Layout(path));
        layouts.find(|layout| layout.has(digest))
    }

    /// The image of that digest, if it is unpacked.
    pub fn unpacked(&self, digest: &str) -> Option<Image> {
        let dir = self.dir.join(digits(digest)?);
        let config = fs::read(dir.join(CONFIG)).ok()?;
        Some(Image {
            rootfs: dir.join("rootfs"),
            config: serde_json::from_slice(&config).ok()?,
        })
    }

    /// The image of that digest, unpacked if it was not. Takes as long as that takes; one at a time.
    pub fn image(&self, digest: &str) -> Result<Image> {
        if let Some(found) = self.unpacked(digest) {
            return Ok(found);
        }
        let layout = self.layout(digest);
        let layout = layout.with_context(|| format!("no directory of `images` has {digest}"))?;
        if let Some(why) = self.failed(digest) {
            bail!("{why}, a while ago");
        }
        let unpacked = self.unpack(digest, &layout);
        if let Err(error) = &unpacked {
            let mut failed = self.failed.lock();
            failed.retain(|_, (at, _)| at.elapsed() < AGAIN);
            failed.insert(digest.to_owned(), (Instant::now(), format!("{error:#}")));
        }
        unpacked
    }

    /// Why an image could not be unpacked a while ago.
    fn failed(&self, digest: &str) -> Option<String> {
        let failed = self.failed.lock();
        let (at, why) = failed.get(digest)?;
        (at.elapsed() < AGAIN).then(|| why.clone())
    }

    fn unpack(&self, digest: &str, layout: &Layout<'_>) -> Result<Image> {
        let digits = digits(digest).with_context(|| format!("{digest:?} is no digest"))?;
        let (dir, fresh) = (
            self.dir.join(digits),
            self.dir.join(format!("{digits}.new")),
        );
        for old in [&fresh, &dir] {
            if old.exists() {
                fs::remove_dir_all(old)?;
            }
        }
        fs::create_dir(&fresh)?;
        let found = sys::statvfs(&fresh)?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let most = self.most.min(free.saturating_sub(SPARE_MIB << 20));
        let mut tree = Tree::new(&fresh.join("rootfs"), self.first_user, most)?;
        let unpacked = layout.unpack(digest, &mut tree, Instant::now() + PATIENCE);
        let kept = unpacked.and_then(|config| {
            fs::write(fresh.join(CONFIG), serde_json::to_vec(&config)?)?;
            // Whole before it has its name.
            rustix::fs::syncfs(File::open(&fresh)?)?;
            fs::rename(&fresh, &dir)?;
            Ok(())
        });
        if let Err(error) = kept {
            let _ = fs::remove_dir_all(&fresh);
            return Err(error.context(format!("image {digest}")));
        }
        self.unpacked(digest)
            .context("the image was unpacked and is not there")
    }
}

/// User and group of an image's process, looked up in the image where they are names.
pub fn user(rootfs: &Path, user: &str) -> Result<(u32, u32)> {
    let (name, group) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (user, None),
    };
    let in_range = |id: u32| match id < USERS {
        true => Ok(id),
        false => bail!("user {id} of the image is beyond {USERS}"),
    };
    let (uid, own) = match name.parse::<u32>() {
        _ if name.is_empty() => (0, Some(0)),
        Ok(uid) => (uid, listed(rootfs, "etc/passwd", (2, name), 3)?),
        Err(_) => {
            let uid = listed(rootfs, "etc/passwd", (0, name), 2)?;
            let uid = uid.with_context(|| format!("the image has no user {name:?}"))?;
            (uid, listed(rootfs, "etc/passwd", (0, name), 3)?)
        }
    };
    let gid = match group {
        None => own.unwrap_or(0),
        Some(group) => match group.parse::<u32>() {
            Ok(gid) => gid,
            Err(_) => listed(rootfs, "etc/group", (0, group), 2)?
                .with_context(|| format!("the image has no group {group:?}"))?,
        },
    };
    Ok((in_range(uid)?, in_range(gid)?))
}

/// A number of the first line of a list whose field is this.
fn listed(
    rootfs: &Path,
    list: &str,
    (field, wanted): (usize, &str),
    number: usize,
) -> Result<Option<u32>> {
    let root = sys::openat(
        CWD,
        rootfs,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    // A pipe there would be waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(opened) = sys::openat2(&root, list, flags, Mode::empty(), inside) else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    File::from(opened).take(PASSWD).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = lines.find(|fields| fields.get(field) == Some(&wanted));
    Ok(found.and_then(|fields| fields.get(number)?.parse().ok()))
}

#[cfg(test)]
pub mod tests {
    use flate2::{Compression, write::GzEncoder};
    use serde_json::json;
    use std::io::Write as _;

    use super::*;

    /// Puts a blob into a layout; returns its digest and length.
    fn blob(layout: &Path, bytes: &[u8]) -> (String, usize) {
        let digits = hex::encode(Sha256::digest(bytes));
        let dir = layout.join("blobs/sha256");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(&digits), bytes).unwrap();
        (format!("sha256:{digits}"), bytes.len())
    }

    /// An image of one file, compressed or not; returns its digest.
    fn image(layout: &Path, kind: &str) -> String {
        let mut header = tar::Header::new_gnu();
        header.set_path("hello").unwrap();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(2);
        header.set_cksum();
        let mut builder = tar::Builder::new(Vec::new());
        builder.append(&header, &b"hi"[..]).unwrap();
        let tar = builder.into_inner().unwrap();
        let bytes = match kind {
            "tar+gzip" => {
                let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
                packed.write_all(&tar).unwrap();
                packed.finish().unwrap()
            }
            "tar+zstd" => zstd::encode_all(&tar[..], 1).unwrap(),
            _ => tar,
        };
        let (layer, size) = blob(layout, &bytes);
        let config = json!({
            "architecture": architecture(), "os": "linux",
            "config": {"Env": ["A=b"], "Entrypoint": ["/bin/x"], "Cmd": ["y"], "User": "7"},
        });
        let (config, config_size) = blob(layout, config.to_string().as_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size},
            "layers": [{"mediaType": format!("application/vnd.oci.image.layer.v1.{kind}"), "digest": layer, "size": size}],
        });
        blob(layout, manifest.to_string().as_bytes()).0
    }

    fn images(dir: &Path) -> Images {
        let layout = dir.join("layout");
        Images::open(dir.join("images"), vec![layout], None, 1 << 20).unwrap()
    }

    #[test]
    fn an_image_is_found_by_its_digest_and_unpacked_once() {
        for kind in ["tar", "tar+gzip", "tar+zstd"] {
            let dir = tempfile::tempdir().unwrap();
            let layout = dir.path().join("layout");
            let digest = image(&layout, kind);
            let images = images(dir.path());
            assert!(images.has(&digest), "{kind}");
            let found = images.image(&digest).unwrap();
            let hello = fs::read_to_string(found.rootfs.join("hello")).unwrap();
            assert_eq!(hello, "hi", "{kind}");
            assert_eq!(found.config.command(), ["/bin/x", "y"]);
            // The layout is not needed any more.
            fs::remove_dir_all(&layout).unwrap();
            assert!(images.has(&digest) && images.image(&digest).is_ok());
            let other = format!("sha256:{}", "0".repeat(64));
            assert!(!images.has(&other) && images.image(&other).is_err());
            assert!(!images.has("sha256:../../x"));
        }
    }

    #[test]
    fn an_index_leads_to_the_image_of_this_machine() {
        let dir = tempfile::tempdir().unwrap();
        let layout = dir.path().join("layout");
        let digest = image(&layout, "tar");
        let index = json!({"manifests": [
            {"digest": format!("sha256:{}", "0".repeat(64)), "size": 1, "platform": {"architecture": "pdp11", "os": "linux"}},
            {"digest": digest, "size": 1, "platform": {"architecture": architecture(), "os": "linux"}},
        ]});
        let (index, _) = blob(&layout, index.to_string().as_bytes());
        assert!(images(dir.path()).image(&index).is_ok());
    }

    #[test]
    fn a_blob_that_is_another_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let layout = dir.path().join("layout");
        let digest = image(&layout, "tar+gzip");
        let blobs = layout.join("blobs/sha256");
        for entry in fs::read_dir(&blobs).unwrap() {
            let path = entry.unwrap().path();
            let kept = fs::read(&path).unwrap();
            let mut other = kept.clone();
            // The same length, and in the archive nothing but a time.
            other[4] ^= 1;
            fs::write(&path, &other).unwrap();
            let images = images(dir.path());
            assert!(images.image(&digest).is_err(), "{}", path.display());
            assert_eq!(fs::read_dir(dir.path().join("images")).unwrap().count(), 0);
            fs::write(&path, kept).unwrap();
        }
        assert!(images(dir.path()).image(&digest).is_ok());
    }

    #[test]
    fn an_image_is_unpacked_in_its_time_or_not_at_all() {
        for kind in ["tar", "tar+gzip", "tar+zstd"] {
            let dir = tempfile::tempdir().unwrap();
            let layout = dir.path().join("layout");
            let digest = image(&layout, kind);
            let mut tree = Tree::new(&dir.path().join("root"), None, 1 << 20).unwrap();
            let refused = Layout(&layout).unpack(&digest, &mut tree, Instant::now());
            let refused = format!("{:#}", refused.unwrap_err());
            assert!(refused.contains("too long"), "{kind}: {refused}");
        }
    }

    #[test]
    fn one_that_can_t_be_unpacked_is_not_tried_again_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let layout = dir.path().join("layout");
        let digest = image(&layout, "tar");
        let path = Layout(&layout).path(&digest).unwrap();
        let kept = fs::read(&path).unwrap();
        fs::write(&path, "another").unwrap();
        let first = images(dir.path());
        assert!(first.image(&digest).is_err());
        // Whole again, it is one for a later time, or another process.
        fs::write(&path, kept).unwrap();
        let refused = first.image(&digest).unwrap_err().to_string();
        assert!(refused.contains("a while ago"), "{refused}");
        assert!(images(dir.path()).image(&digest).is_ok());
    }

    #[test]
    fn what_was_not_finished_is_removed_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let half = dir.path().join("images").join("ab.new/rootfs");
        fs::create_dir_all(&half).unwrap();
        images(dir.path());
        assert!(!half.exists());
    }

    #[test]
    fn users_are_looked_up_in_the_image_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert_eq!(user(root, "").unwrap(), (0, 0));
        assert_eq!(user(root, "7").unwrap(), (7, 0));
        assert!(user(root, "web").is_err() && user(root, "70000").is_err());
        fs::create_dir(root.join("etc")).unwrap();
        fs::write(root.join("etc/passwd"), "root:x:0:0::/:\nweb:x:33:34::/:\n").unwrap();
        fs::write(root.join("etc/group"), "www:x:35:\n").unwrap();
        assert_eq!(user(root, "web").unwrap(), (33, 34));
        assert_eq!(user(root, "33").unwrap(), (33, 34));
        assert_eq!(user(root, "web:www").unwrap(), (33, 35));
        assert_eq!(user(root, "1:2").unwrap(), (1, 2));
        // A list that is a link to the machine's own is not there.
        fs::remove_file(root.join("etc/passwd")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("etc/passwd")).unwrap();
        assert!(user(root, "root").is_err());
    }
}
