//! The pack: a model's matrices in the order of `layout`, in one file that all processes of the
//! machine map.
//!
//! It lies beside the model file, or in the user's cache directory where that one can't be written.
//! Whoever comes first builds it under a lock, in a file of another name that is synced and renamed.
//! Its header holds the hash of the tensors that it was made from and a checksum of every matrix, so
//! a pack of another file, another version or another disk's mood is built anew. What can't be
//! stored is packed into the process's own memory.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::{Mmap, MmapMut};
use sha2::{Digest, Sha256};

use super::encoding::Encoding;
use super::error::KernelsError;
use super::layout::LANES;
use super::pool::ThreadPool;
use mythic_model::gguf::{Gguf, GgufError, Mapped};

const MAGIC: &[u8; 8] = b"MYTHPACK";
/// To be raised with every change of the layout.
const VERSION: u32 = 1;
/// Matrices begin at multiples of this.
const ALIGNMENT: usize = 4096;
/// Bytes that are hashed, packed and written at once.
const PIECE: usize = 4 << 20;

/// A matrix of the model file and its place in the pack.
struct Entry {
    name: String,
    encoding: Encoding,
    rows: usize,
    cols: usize,
    range: Range<usize>,
    source: Mapped,
}

impl Entry {
    fn groups(&self) -> usize {
        self.rows.div_ceil(LANES)
    }
}

enum Bytes {
    File(Mmap),
    Memory(MmapMut),
}

/// A model's packed matrices.
pub struct Pack {
    bytes: Bytes,
    ranges: BTreeMap<String, Range<usize>>,
}

/// One matrix in a pack.
pub struct Packed {
    pack: Arc<Pack>,
    range: Range<usize>,
}

impl Packed {
    /// A pack of one matrix in memory.
    #[cfg(test)]
    pub fn alone(encoding: Encoding, rows: &[&[u8]], cols: usize) -> Self {
        let size = encoding.group_bytes(cols);
        let len = rows.len().div_ceil(LANES) * size;
        let mut map = MmapMut::map_anon(len).expect("memory");
        for (rows, out) in rows.chunks(LANES).zip(map.chunks_exact_mut(size)) {
            encoding.pack(std::array::from_fn(|lane| rows.get(lane).copied()), out);
        }
        Self {
            pack: Arc::new(Pack {
                bytes: Bytes::Memory(map),
                ranges: BTreeMap::new(),
            }),
            range: 0..len,
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.pack.bytes()[self.range.clone()]
    }

    /// A part of it, counted from its first byte.
    pub fn part(self, range: Range<usize>) -> Self {
        assert!(range.end <= self.range.len(), "a part of the matrix");
        Self {
            range: self.range.start + range.start..self.range.start + range.end,
            pack: self.pack,
        }
    }
}

/// What a pack of these tensors looks like: all of the file but the matrices and their checksums.
struct Plan {
    entries: Vec<Entry>,
    header: Vec<u8>,
    /// Of header, checksums and the header's own checksum, before the first matrix.
    front: usize,
    len: usize,
}

impl Pack {
    /// The pack of a model file: the one that is stored, or a new one.
    pub fn open(path: &Path, gguf: &Gguf, pool: &ThreadPool) -> Result<Arc<Self>, KernelsError> {
        let plan = Plan::new(gguf, pool)?;
        let mut places = vec![beside(path)];
        if let Ok(models) = mythic_model::catalogue::cache_dir() {
            let key: String = hex::encode(&plan.identity()[..16]);
            places.push(models.with_file_name("packs").join(format!("{key}.pack")));
        }
        let pack = plan.at(&places, pool);
        // Of the model file only embeddings are looked up from now on.
        plan.entries.iter().for_each(|e| e.source.release());
        pack
    }

    /// Whether it lies in a file, which other processes may map too.
    pub fn is_shared(&self) -> bool {
        matches!(self.bytes, Bytes::File(_))
    }

    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::File(map) => map,
            Bytes::Memory(map) => map,
        }
    }

    /// The matrix of that name.
    pub fn get(self: &Arc<Self>, name: &str) -> Option<Packed> {
        Some(Packed {
            range: self.ranges.get(name)?.clone(),
            pack: self.clone(),
        })
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pack");
    name.into()
}

impl Plan {
    /// The pack at the first of these places that has one or takes one, or else in memory.
    fn at(&self, places: &[PathBuf], pool: &ThreadPool) -> Result<Arc<Pack>, KernelsError> {
        for place in places {
            if let Some(pack) = self.read(place, pool) {
                return Ok(pack);
            }
        }
        for place in places {
            match self.store(place, pool) {
                Ok(pack) => return Ok(pack),
                Err(error) => tracing::warn!(
                    path = %place.display(),
                    bytes = self.len,
                    %error,
                    "cannot store the packed weights"
                ),
            }
        }
        tracing::warn!(
            bytes = self.len,
            "packing the weights into this process's own memory; make room or a directory writable to share them"
        );
        self.in_memory(pool)
    }

    /// Every matrix that is multiplied with: those of two dimensions, and of three, which are as many
    /// matrices one after another; but not the table of embeddings where there is an output matrix beside
    /// it, nor biases.
    fn new(gguf: &Gguf, pool: &ThreadPool) -> Result<Self, GgufError> {
        let apart = gguf.tensor("output.weight").is_some();
        let mut entries = Vec::new();
        for name in gguf.tensor_names() {
            let Some(info) = gguf.tensor(name) else {
                continue;
            };
            let (cols, rows) = match info.dims[..] {
                [cols, rows] => (cols, rows),
                // Their product is bounded by the tensor's size in the file.
                [cols, rows, count] => (cols, rows * count),
                _ => continue,
            };
            if (apart && name == "token_embd.weight") || name.ends_with(".bias") {
                continue;
            }
            let (source, format) = gguf.mapped(name, &info.dims)?;
            entries.push(Entry {
                encoding: format.into(),
                name: name.to_owned(),
                rows,
                cols,
                range: 0..0,
                source,
            });
        }
        let mut header = MAGIC.to_vec();
        header.extend(VERSION.to_le_bytes());
        header.extend(identity(&entries, pool));
        let count = entries.len() as u64;
        header.extend(count.to_le_bytes());
        let names: usize = entries.iter().map(|e| e.name.len()).sum();
        let directory = entries.len() * (8 + 1 + 4 * 8) + names;
        let front = header.len() + directory + 4 * entries.len() + 4;
        let mut at = front.next_multiple_of(ALIGNMENT);
        for e in &mut entries {
            // Both are bounded by the tensor's size in the file, times two at most.
            let len = e.groups() * e.encoding.group_bytes(e.cols);
            e.range = at..at + len;
            at = (at + len).next_multiple_of(ALIGNMENT);
            header.extend((e.name.len() as u64).to_le_bytes());
            header.extend(e.name.as_bytes());
            header.push(e.encoding as u8);
            for n in [e.rows, e.cols, e.range.start, e.range.end] {
                header.extend((n as u64).to_le_bytes());
            }
        }
        Ok(Self {
            entries,
            header,
            front,
            len: at,
        })
    }

    fn identity(&self) -> &[u8] {
        &self.header[12..44]
    }

    fn ranges(&self) -> BTreeMap<String, Range<usize>> {
        let range = |e: &Entry| (e.name.clone(), e.range.clone());
        self.entries.iter().map(range).collect()
    }

    /// A stored pack, if it is there and is what it should be to the last byte.
    fn read(&self, path: &Path, pool: &ThreadPool) -> Option<Arc<Pack>> {
        let file = File::open(path).ok()?;
        if file.metadata().ok()?.len() != self.len as u64 {
            return None;
        }
        // SAFETY: the map is read-only and packs are replaced by renaming; whoever shortens one
        // in place takes the process down, as with the model file itself.
        let map = unsafe { Mmap::map(&file) }.ok()?;
        let sums = map.get(..self.front)?.strip_prefix(&self.header[..])?;
        let (sums, own) = sums.split_at_checked(4 * self.entries.len())?;
        if own != front_checksum(&self.header, sums).to_le_bytes() {
            return None;
        }
        let wrong = std::sync::atomic::AtomicBool::new(false);
        pool.run(self.entries.len(), |i| {
            let matrix = &map[self.entries[i].range.clone()];
            if sums[4 * i..4 * i + 4] != crc32c::crc32c(matrix).to_le_bytes() {
                wrong.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        });
        if wrong.into_inner() {
            tracing::warn!(path = %path.display(), "the packed weights are damaged; packing them anew");
            return None;
        }
        Some(Arc::new(Pack {
            bytes: Bytes::File(map),
            ranges: self.ranges(),
        }))
    }

    /// Builds the pack at `path`, unless another process does so first.
    fn store(&self, path: &Path, pool: &ThreadPool) -> io::Result<Arc<Pack>> {
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(directory)?;
        // The lock is the directory itself, so that no lock file is left behind.
        let lock = File::open(directory)?;
        lock.lock()?;
        if let Some(pack) = self.read(path, pool) {
            return Ok(pack);
        }
        // Only the holder of the lock writes here; what one that died left is overwritten.
        let part = path.with_extension("part");
        let written = self
            .write(&part, pool)
            .and_then(|()| std::fs::rename(&part, path))
            .and_then(|()| lock.sync_all());
        if let Err(error) = written {
            let _ = std::fs::remove_file(&part);
            return Err(error);
        }
        self.read(path, pool)
            .ok_or_else(|| io::Error::other("the file does not read back as it was written"))
    }

    fn write(&self, path: &Path, pool: &ThreadPool) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        let mut sums = Vec::with_capacity(4 * self.entries.len());
        let mut piece = Vec::new();
        for e in &self.entries {
            file.seek(SeekFrom::Start(e.range.start as u64))?;
            let mut sum = 0;
            let step = (PIECE / e.encoding.group_bytes(e.cols)).max(1);
            for first in (0..e.groups()).step_by(step) {
                let groups = first..e.groups().min(first + step);
                piece.resize(groups.len() * e.encoding.group_bytes(e.cols), 0);
                e.pack(groups, &mut piece, pool);
                sum = crc32c::crc32c_append(sum, &piece);
                file.write_all(&piece)?;
            }
            sums.extend(sum.to_le_bytes());
        }
        file.set_len(self.len as u64)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&self.header)?;
        file.write_all(&sums)?;
        file.write_all(&front_checksum(&self.header, &sums).to_le_bytes())?;
        file.sync_all()
    }

    fn in_memory(&self, pool: &ThreadPool) -> Result<Arc<Pack>, KernelsError> {
        let mut map =
            MmapMut::map_anon(self.len.max(1)).map_err(|source| KernelsError::Memory {
                bytes: self.len as u64,
                source,
            })?;
        for e in &self.entries {
            e.pack(0..e.groups(), &mut map[e.range.clone()], pool);
        }
        Ok(Arc::new(Pack {
            bytes: Bytes::Memory(map),
            ranges: self.ranges(),
        }))
    }
}

impl Entry {
    /// Packs these groups of outputs.
    fn pack(&self, groups: Range<usize>, out: &mut [u8], pool: &ThreadPool) {
        let source = self.source.bytes();
        let row_bytes = source.len() / self.rows;
        let tasks = groups.zip(out.chunks_exact_mut(self.encoding.group_bytes(self.cols)));
        pool.each(tasks.collect(), |(group, out)| {
            let rows = std::array::from_fn(|lane| {
                let row = group * LANES + lane;
                (row < self.rows).then(|| &source[row * row_bytes..(row + 1) * row_bytes])
            });
            self.encoding.pack(rows, out);
        });
    }
}

/// What the matrices were made from: SHA-256 over names, formats, shapes and the hashes of the
/// tensors' pieces.
fn identity(entries: &[Entry], pool: &ThreadPool) -> [u8; 32] {
    let pieces: Vec<&[u8]> = entries
        .iter()
        .flat_map(|e| e.source.bytes().chunks(PIECE))
        .collect();
    let mut hashes = vec![[0u8; 32]; pieces.len()];
    pool.each(
        pieces.iter().zip(&mut hashes).collect(),
        |(piece, hash): (&&[u8], &mut [u8; 32])| *hash = Sha256::digest(piece).into(),
    );
    let mut whole = Sha256::new();
    for e in entries {
        whole.update((e.name.len() as u64).to_le_bytes());
        whole.update(e.name.as_bytes());
        whole.update([e.encoding as u8]);
        whole.update((e.rows as u64).to_le_bytes());
        whole.update((e.cols as u64).to_le_bytes());
    }
    for hash in hashes {
        whole.update(hash);
    }
    whole.finalize().into()
}

fn front_checksum(header: &[u8], sums: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(header), sums)
}

#[cfg(test)]
mod tests;
