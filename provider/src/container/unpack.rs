//! Layers of an image into a directory. A layer is a stranger's archive: every path is looked up by the kernel as if the directory were the
//! root, so that neither `..` nor a link leads out of it; devices are left out; names, bytes and entries are bounded.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::File,
    hash::{BuildHasher as _, RandomState},
    io::{self, Read},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use rustix::{
    fs::{
        self as sys, AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec,
        Timestamps, Uid,
    },
    io::Errno,
};
use tar::{Archive, Entry, EntryType};

/// Longest path and longest name, bytes; directories in a path, whether a layer names them all or a link leads through them.
const PATH: usize = 4_096;
const NAME: usize = 255;
const DEPTH: usize = 128;
/// Longest extension of a header, bytes.
const EXTENSION: u64 = 1 << 20;
/// What an entry counts for beside its content: a file without any takes room too.
const ENTRY: u64 = 4_096;
/// Users of a container are 0 up to this.
pub const USERS: u32 = 65_536;

/// Marks what a layer takes away, and that a directory shows nothing of the layers below.
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Why a layer can't be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0:?} is no path of a layer")]
    Path(String),
    #[error("{path:?}: {source}")]
    Entry {
        path: String,
        /// What the system said.
        source: Errno,
    },
    #[error("{0:?} is owned by a user beyond {USERS}")]
    Owner(String),
    #[error("{path:?} is of kind {kind:?}, which layers have not")]
    Kind { path: String, kind: char },
    #[error("{0:?} lies deeper than {DEPTH} directories")]
    Deep(String),
    #[error("the image unpacked is larger than {0} bytes")]
    TooLarge(u64),
}

/// Where layers are unpacked, the lowest first.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    /// Directories above it.
    above: usize,
    /// Added to every owner; `None` leaves all to this process.
    first_user: Option<u32>,
    most: u64,
    used: u64,
    /// What the present layer has put there: hashes of places, as their names may be long and many.
    fresh: HashSet<u64>,
    hasher: RandomState,
}

/// What an entry says of itself, its extensions taken into account.
#[derive(Debug, Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    uid: Option<u64>,
    gid: Option<u64>,
}

/// A path in the tree: the directories that lead to it, and its name there.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    above: Vec<Vec<u8>>,
    name: Vec<u8>,
}

impl Place {
    /// `None` for the root itself.
    fn read(path: &[u8]) -> Result<Option<Self>, UnpackError> {
        let refused = || UnpackError::Path(shown(path));
        if path.len() > PATH || path.contains(&0) {
            return Err(refused());
        }
        let parts = path.split(|byte| *byte == b'/');
        let parts = parts.filter(|part| !part.is_empty() && *part != b".");
        let mut above: Vec<Vec<u8>> = parts.map(<[u8]>::to_vec).collect();
        let is_bad = |part: &Vec<u8>| part == b".." || part.len() > NAME;
        if above.len() > DEPTH || above.iter().any(is_bad) {
            return Err(refused());
        }
        Ok(above.pop().map(|name| Self { above, name }))
    }

    /// As it is remembered.
    fn key(&self) -> Vec<u8> {
        let mut key = self.above.join(&b'/');
        key.push(b'/');
        key.extend_from_slice(&self.name);
        key
    }
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path.get(..PATH).unwrap_or(path)).into_owned()
}

fn os(name: &[u8]) -> &OsStr {
    OsStr::from_bytes(name)
}

impl Tree {
    /// An empty directory, at most `most` bytes of which are filled; owners are moved by `first_user`, if there is one.
    pub fn new(root: &Path, first_user: Option<u32>, most: u64) -> io::Result<Self> {
        std::fs::create_dir(root)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = sys::openat(CWD, root, flags, Mode::empty())?;
        sys::fchmod(&root, Mode::from_raw_mode(0o755))?;
        if let Some(first) = first_user {
            let (uid, gid) = (Uid::from_raw(first), Gid::from_raw(first));
            sys::fchown(&root, Some(uid), Some(gid))?;
        }
        Ok(Self {
            above: depth(&root)?,
            root,
            first_user,
            most,
            used: 0,
            fresh: HashSet::new(),
            hasher: RandomState::new(),
        })
    }

    /// Unpacks a layer over those before.
    pub fn layer(&mut self, layer: impl Read) -> Result<(), UnpackError> {
        self.fresh.clear();
        let mut archive = Archive::new(layer);
        let mut extended = Extended::default();
        // Extensions are read here, because their length is a stranger's.
        for entry in archive.entries()?.raw(true) {
            let mut entry = entry?;
            // Known before a byte is written, and whatever becomes of it: what is left out is read all the same.
            self.count(ENTRY.saturating_add(entry.size()))?;
            let kind = entry.header().entry_type();
            if extension(&mut entry, kind, &mut extended)? {
                continue;
            }
            let told = std::mem::take(&mut extended);
            self.entry(&mut entry, told)?;
        }
        Ok(())
    }

    fn hash(&self, place: &Place) -> u64 {
        self.hasher.hash_one(place.key())
    }

    fn count(&mut self, bytes: u64) -> Result<(), UnpackError> {
        self.used = self.used.saturating_add(bytes);
        match self.used <= self.most {
            true => Ok(()),
            false => Err(UnpackError::TooLarge(self.most)),
        }
    }

    fn entry<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        told: Extended,
    ) -> Result<(), UnpackError> {
        let path = told.path.unwrap_or_else(|| entry.path_bytes().into_owned());
        let refused = || UnpackError::Path(shown(&path));
        let owner = owner(&path, told.uid, told.gid, entry)?;
        let mode = Mode::from_raw_mode(entry.header().mode()? & 0o7777);
        let kind = entry.header().entry_type();
        let Some(place) = Place::read(&path)? else {
            // The root itself.
            return match kind.is_dir() {
                true => self.own(&self.root, owner, mode).map_err(at(&path)),
                false => Err(refused()),
            };
        };
        let parent = self.parent(&place, &path)?;
        if place.name.starts_with(WHITEOUT) {
            return self.whiteout(&parent, &place, &path);
        }
        let link = told.link.or_else(|| {
            let link = entry.link_name_bytes();
            link.map(std::borrow::Cow::into_owned)
        });
        self.fresh.insert(self.hash(&place));
        let name = os(&place.name);
        if kind.is_dir() {
            return self
                .directory(&parent, name, (owner, mode))
                .map_err(at(&path));
        }
        if kind.is_character_special() || kind.is_block_special() {
            return Ok(());
        }
        // Room for what is no directory.
        remove(&parent, name).map_err(at(&path))?;
        match kind {
            EntryType::Regular | EntryType::Continuous => {
                self.file(&parent, (name, &path), (owner, mode), entry)
            }
            EntryType::Symlink => {
                let target = link.filter(|link| is_target(link)).ok_or_else(refused)?;
                sys::symlinkat(os(&target), &parent, name).map_err(at(&path))?;
                self.own_link(&parent, name, owner).map_err(at(&path))
            }
            EntryType::Link => {
                let target = link.ok_or_else(refused)?;
                let target = Place::read(&target)?.ok_or_else(refused)?;
                let from = self.find(&target.above).map_err(at(&path))?;
                let linked = sys::linkat(&from, os(&target.name), &parent, name, AtFlags::empty());
                linked.map_err(at(&path))
            }
            EntryType::Fifo => {
                let made = sys::mknodat(&parent, name, FileType::Fifo, mode, 0);
                made.map_err(at(&path))?;
                self.own_link(&parent, name, owner).map_err(at(&path))
            }
            other => Err(UnpackError::Kind {
                path: shown(&path),
                kind: other.as_byte().into(),
            }),
        }
    }

    /// Opens a directory, every link on the way resolved as if the tree were all there is.
    fn find(&self, above: &[Vec<u8>]) -> Result<OwnedFd, Errno> {
        let joined = match above.is_empty() {
            true => b".".to_vec(),
            false => above.join(&b'/'),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        sys::openat2(&self.root, os(&joined), flags, Mode::empty(), inside)
    }

    /// The directory in which a path is; those on the way that are missing are made.
    fn parent(&mut self, place: &Place, path: &[u8]) -> Result<OwnedFd, UnpackError> {
        let parent = self.way(place, path)?;
        // Links shorten names: what they lead to may be as deep as all names together.
        match depth(&parent) {
            Ok(depth) if depth <= self.above + DEPTH => Ok(parent),
            Ok(_) | Err(Errno::NAMETOOLONG) => Err(UnpackError::Deep(shown(path))),
            Err(error) => Err(at(path)(error)),
        }
    }

    /// [`Self::parent`], however deep it is.
    fn way(&mut self, place: &Place, path: &[u8]) -> Result<OwnedFd, UnpackError> {
        match self.find(&place.above) {
            Ok(found) => return Ok(found),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(at(path)(error)),
        }
        let mut parent = self.find(&[]).map_err(at(path))?;
        for (depth, name) in place.above.iter().enumerate() {
            let above = place.above.get(..=depth).unwrap_or_default();
            parent = match self.find(above) {
                Ok(found) => found,
                Err(Errno::NOENT) => {
                    self.count(ENTRY)?;
                    let mode = Mode::from_raw_mode(0o755);
                    sys::mkdirat(&parent, os(name), mode).map_err(at(path))?;
                    let made = self.find(above).map_err(at(path))?;
                    self.own(&made, (0, 0), mode).map_err(at(path))?;
                    made
                }
                Err(error) => return Err(at(path)(error)),
            };
        }
        Ok(parent)
    }

    fn whiteout(&self, parent: &OwnedFd, place: &Place, path: &[u8]) -> Result<(), UnpackError> {
        if place.name == OPAQUE {
            return self.bare(parent, place).map_err(at(path));
        }
        let name = place.name.strip_prefix(WHITEOUT).unwrap_or_default();
        if name.is_empty() || name == b"." || name == b".." || name.starts_with(WHITEOUT) {
            return Err(UnpackError::Path(shown(path)));
        }
        let gone = Place {
            above: place.above.clone(),
            name: name.to_vec(),
        };
        // What the layer itself brings is not taken away by it.
        match self.fresh.contains(&self.hash(&gone)) {
            true => Ok(()),
            false => remove(parent, os(name)).map_err(at(path)),
        }
    }

    /// Takes from a directory what the layers below put there.
    fn bare(&self, directory: &OwnedFd, marker: &Place) -> Result<(), Errno> {
        for name in names(directory)? {
            let child = Place {
                above: marker.above.clone(),
                name,
            };
            if !self.fresh.contains(&self.hash(&child)) {
                remove(directory, os(&child.name))?;
            }
        }
        Ok(())
    }

    fn directory(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        (owner, mode): ((u32, u32), Mode),
    ) -> Result<(), Errno> {
        let is_there = kind_of(parent, name)? == Some(FileType::Directory);
        if !is_there {
            remove(parent, name)?;
            sys::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = sys::openat(parent, name, flags, Mode::empty())?;
        self.own(&opened, owner, mode)
    }

    fn file<R: Read>(
        &mut self,
        parent: &OwnedFd,
        (name, path): (&OsStr, &[u8]),
        (owner, mode): ((u32, u32), Mode),
        entry: &mut Entry<'_, R>,
    ) -> Result<(), UnpackError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let private = Mode::from_raw_mode(0o600);
        let made = sys::openat(parent, name, flags | OFlags::CLOEXEC, private).map_err(at(path))?;
        let mut file = File::from(made);
        let (wanted, copied) = (entry.size(), io::copy(entry, &mut file)?);
        if copied != wanted {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.own(&file, owner, mode).map_err(at(path))?;
        let second = i64::try_from(entry.header().mtime()?).unwrap_or(0);
        let second = Timespec {
            tv_sec: second,
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: second,
            last_modification: second,
        };
        sys::futimens(&file, &times).map_err(at(path))
    }

    /// Owner first: a change of it takes marks from the mode.
    fn own(&self, fd: impl std::os::fd::AsFd, owner: (u32, u32), mode: Mode) -> Result<(), Errno> {
        if let Some((uid, gid)) = self.moved(owner) {
            sys::fchown(&fd, Some(uid), Some(gid))?;
        }
        sys::fchmod(&fd, mode)
    }

    fn own_link(&self, parent: &OwnedFd, name: &OsStr, owner: (u32, u32)) -> Result<(), Errno> {
        match self.moved(owner) {
            None => Ok(()),
            Some((uid, gid)) => {
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                sys::chownat(parent, name, Some(uid), Some(gid), flags)
            }
        }
    }

    fn moved(&self, (uid, gid): (u32, u32)) -> Option<(Uid, Gid)> {
        let first = self.first_user?;
        let (uid, gid) = (first.checked_add(uid)?, first.checked_add(gid)?);
        Some((Uid::from_raw(uid), Gid::from_raw(gid)))
    }
}

/// Directories above one that is open.
fn depth(directory: &OwnedFd) -> Result<usize, Errno> {
    let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let place = sys::readlink(link, Vec::new())?;
    let parts = place.to_bytes().split(|byte| *byte == b'/');
    Ok(parts.filter(|part| !part.is_empty()).count())
}

fn at(path: &[u8]) -> impl Fn(Errno) -> UnpackError {
    let path = shown(path);
    move |source| UnpackError::Entry {
        path: path.clone(),
        source,
    }
}

/// Where a symbolic link may lead: anywhere, as only what is inside follows it.
fn is_target(target: &[u8]) -> bool {
    !target.is_empty() && target.len() < PATH && !target.contains(&0)
}

/// Takes in an extension of the entry that follows; false if this is an entry.
fn extension<R: Read>(
    entry: &mut Entry<'_, R>,
    kind: EntryType,
    extended: &mut Extended,
) -> Result<bool, UnpackError> {
    let is_one = kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions();
    if !is_one {
        return Ok(false);
    }
    let size = entry.size();
    if size > EXTENSION {
        return Err(UnpackError::Path(format!("a header of {size} bytes")));
    }
    let mut bytes = Vec::new();
    entry.take(EXTENSION).read_to_end(&mut bytes)?;
    if kind.is_gnu_longname() || kind.is_gnu_longlink() {
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = Some(text.to_vec());
        match kind.is_gnu_longname() {
            true => extended.path = text,
            false => extended.link = text,
        }
    }
    if kind.is_pax_local_extensions() {
        for pair in tar::PaxExtensions::new(&bytes) {
            let pair = pair?;
            let number = || pair.value().ok().and_then(|value| value.parse().ok());
            match pair.key_bytes() {
                b"path" => extended.path = Some(pair.value_bytes().to_vec()),
                b"linkpath" => extended.link = Some(pair.value_bytes().to_vec()),
                b"uid" => extended.uid = number(),
                b"gid" => extended.gid = number(),
                // Another length than the header's is read by each reader in its own way.
                b"size" => return Err(UnpackError::Path("a file of two lengths".into())),
                _ => {}
            }
        }
    }
    Ok(true)
}

fn owner<R: Read>(
    path: &[u8],
    uid: Option<u64>,
    gid: Option<u64>,
    entry: &Entry<'_, R>,
) -> Result<(u32, u32), UnpackError> {
    let header = entry.header();
    let (uid, gid) = (
        uid.map_or_else(|| header.uid(), Ok)?,
        gid.map_or_else(|| header.gid(), Ok)?,
    );
    let within = |id: u64| u32::try_from(id).ok().filter(|id| *id < USERS);
    match (within(uid), within(gid)) {
        (Some(uid), Some(gid)) => Ok((uid, gid)),
        _ => Err(UnpackError::Owner(shown(path))),
    }
}

fn kind_of(parent: &OwnedFd, name: &OsStr) -> Result<Option<FileType>, Errno> {
    match sys::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes what is there, with all below it; nothing is fine too. No link is followed.
fn remove(parent: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match kind_of(parent, name)? {
        None => Ok(()),
        Some(FileType::Directory) => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = sys::openat(parent, name, flags, Mode::empty())?;
            for child in names(&opened)? {
                remove(&opened, os(&child))?;
            }
            sys::unlinkat(parent, name, AtFlags::REMOVEDIR)
        }
        Some(_) => sys::unlinkat(parent, name, AtFlags::empty()),
    }
}

fn names(directory: &OwnedFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
