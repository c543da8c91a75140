//! Fetching any model file: from a model hub, from an address, or where it lies already. A file gets its
//! name only when its SHA-256 is the one that was asked for, or that the hub has on record; it lies in a
//! folder named by that hash.

use std::io;
use std::path::{Path, PathBuf};

use reqwest::Url;
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;

use crate::catalogue::{self, CATALOGUE, Progress, cause, client, download, file_sha256};

/// The hub that is asked unless `HF_ENDPOINT` names another.
const HUB: &str = "https://huggingface.co";

/// Where a model file comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// A file of a repository, `OWNER/REPO`, on the hub.
    Hub {
        repository: String,
        file: String,
    },
    Address(Url),
    Path(PathBuf),
}

/// A model file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub path: PathBuf,
    /// Hex.
    pub sha256: String,
    pub bytes: u64,
}

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    #[error(
        "`{0}` is no source: it is hub:OWNER/REPO/FILE, an address that begins with https:// or http://, or a path"
    )]
    Source(String),
    #[error("`{0}` is no SHA-256: it has 64 hex digits")]
    NotAHash(String),
    #[error("{0} does not say the file's SHA-256; pass it with --sha256")]
    NoHash(String),
    #[error("the file of {source_name} has the SHA-256 {found}, not {wanted}")]
    OtherFile {
        source_name: String,
        found: String,
        wanted: String,
    },
    #[error("cannot fetch {source_name}: {reason}")]
    Unreachable { source_name: String, reason: String },
    #[error("cannot use {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Cache(#[from] catalogue::FetchError),
}

/// A part of a name on the hub, and of a path here.
fn is_name(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=128).contains(&part.len()) && !part.starts_with('.') && part.chars().all(plain)
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

impl ModelSource {
    /// Reads `hub:OWNER/REPO/FILE`, an address or a path.
    pub fn parse(text: &str) -> Result<Self, PullError> {
        let none = || PullError::Source(text.to_owned());
        if let Some(name) = text.strip_prefix("hub:") {
            let parts: Vec<&str> = name.split('/').collect();
            return match parts[..] {
                [owner, repository, _, ..] if parts.iter().all(|part| is_name(part)) => {
                    Ok(Self::Hub {
                        repository: format!("{owner}/{repository}"),
                        file: parts[2..].join("/"),
                    })
                }
                _ => Err(none()),
            };
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return Url::parse(text).map(Self::Address).map_err(|_| none());
        }
        match text.is_empty() || text.contains("://") {
            true => Err(none()),
            false => Ok(Self::Path(text.into())),
        }
    }

    /// The name that its file gets here.
    fn file_name(&self) -> String {
        let last = match self {
            Self::Hub { file, .. } => file.rsplit('/').next(),
            Self::Address(url) => url.path().rsplit('/').next(),
            Self::Path(path) => path.file_name().and_then(|name| name.to_str()),
        };
        match last.filter(|name| is_name(name)) {
            None => "model.gguf".to_owned(),
            Some(name) if name.ends_with(".gguf") => name.to_owned(),
            Some(name) => format!("{name}.gguf"),
        }
    }
}

impl std::fmt::Display for ModelSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hub { repository, file } => write!(f, "hub:{repository}/{file}"),
            Self::Address(url) => url.fmt(f),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// Where files come from and where they go.
#[derive(Clone, Debug)]
pub struct Puller {
    /// The hub's address.
    pub hub: String,
    /// The folder of fetched models.
    pub models: PathBuf,
}

/// What a hub says of a file before it gives it.
#[derive(Debug, Default)]
struct Said {
    sha256: Option<String>,
    bytes: Option<u64>,
}

impl Said {
    /// From the headers that a hub sends with its redirect to where large files lie.
    fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let hash = text("x-linked-etag").map(|tag| tag.trim_matches('"').to_ascii_lowercase());
        Self {
            sha256: hash.filter(|hash| is_hash(hash)),
            bytes: text("x-linked-size").and_then(|size| size.parse().ok()),
        }
    }
}

impl Puller {
    /// The hub that the environment names, and the user's cache directory.
    pub fn from_env() -> Result<Self, PullError> {
        let hub = std::env::var("HF_ENDPOINT")
            .ok()
            .filter(|hub| !hub.is_empty());
        Ok(Self {
            hub: hub.unwrap_or_else(|| HUB.to_owned()),
            models: catalogue::cache_dir()?,
        })
    }

    /// The file of a source, checked against its SHA-256 in hex: the one given here, or for a hub the one
    /// that it has on record. A path's file stays where it is.
    pub async fn pull(
        &self,
        source: &ModelSource,
        sha256: Option<&str>,
        mut progress: impl FnMut(Progress),
    ) -> Result<Fetched, PullError> {
        if let Some(text) = sha256.filter(|text| !is_hash(text)) {
            return Err(PullError::NotAHash(text.to_owned()));
        }
        let wanted = sha256.map(str::to_ascii_lowercase);
        let unreachable = |reason: String| PullError::Unreachable {
            source_name: source.to_string(),
            reason,
        };
        let (address, said) = match source {
            ModelSource::Path(path) => return found(source, path, wanted).await,
            ModelSource::Address(url) => (url.to_string(), Said::default()),
            ModelSource::Hub { repository, file } => {
                let hub = self.hub.trim_end_matches('/');
                let address = format!("{hub}/{repository}/resolve/main/{file}");
                progress(Progress::Trying {
                    source: address.clone(),
                });
                let said = ask(&address).await.map_err(unreachable)?;
                (address, said)
            }
        };
        let sha256 = match (wanted, said.sha256) {
            (Some(wanted), Some(found)) if wanted != found => {
                return Err(PullError::OtherFile {
                    source_name: source.to_string(),
                    found,
                    wanted,
                });
            }
            (Some(hash), _) | (None, Some(hash)) => hash,
            (None, None) => return Err(PullError::NoHash(source.to_string())),
        };
        let folder = self.models.join(&sha256);
        let path = folder.join(source.file_name());
        if path.is_file()
            && let Ok(there) = found(source, &path, Some(sha256.clone())).await
        {
            progress(Progress::Cached { path });
            return Ok(there);
        }
        let io = |source| PullError::Io {
            path: folder.clone(),
            source,
        };
        std::fs::create_dir_all(&folder).map_err(io)?;
        // Beside its goal, so that the rename stays within one file system.
        let part = folder.join(format!(".fetch-{}", uuid::Uuid::new_v4()));
        progress(Progress::Trying {
            source: address.clone(),
        });
        let fetched = match download(&address, &part, said.bytes, &mut progress).await {
            Err(reason) => Err(unreachable(reason)),
            Ok(()) => match found(source, &part, Some(sha256)).await {
                Err(error) => Err(error),
                Ok(file) => std::fs::rename(&part, &path)
                    .map(|()| Fetched {
                        path: path.clone(),
                        ..file
                    })
                    .map_err(io),
            },
        };
        if fetched.is_err() {
            let _ = std::fs::remove_file(&part);
            // Goes only if nothing else is in it.
            let _ = std::fs::remove_dir(&folder);
        }
        let fetched = fetched?;
        progress(Progress::Verified { path });
        Ok(fetched)
    }

    /// The model files that were fetched, by path. Their hashes are those that they were checked against.
    pub fn fetched(&self) -> io::Result<Vec<Fetched>> {
        let mut files = Vec::new();
        let mut add = |path: PathBuf, sha256: &str| {
            if let Ok(metadata) = std::fs::metadata(&path)
                && metadata.is_file()
            {
                files.push(Fetched {
                    path,
                    sha256: sha256.to_owned(),
                    bytes: metadata.len(),
                });
            }
        };
        for entry in &CATALOGUE {
            add(self.models.join(entry.file), entry.sha256);
        }
        let folders = match std::fs::read_dir(&self.models) {
            Ok(folders) => folders,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
            Err(error) => return Err(error),
        };
        for folder in folders {
            let folder = folder?;
            let name = folder.file_name();
            let Some(sha256) = name.to_str().filter(|name| is_hash(name)) else {
                continue;
            };
            for file in std::fs::read_dir(folder.path())? {
                let path = file?.path();
                if path
                    .extension()
                    .is_some_and(|extension| extension == "gguf")
                {
                    add(path, sha256);
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }
}

/// What a hub says of the file at an address, without fetching it.
async fn ask(address: &str) -> Result<Said, String> {
    let client = client(Policy::none())?;
    let response = client.get(address).send().await.map_err(|e| cause(&e))?;
    let response = response.error_for_status().map_err(|e| cause(&e))?;
    Ok(Said::read(response.headers()))
}

/// The file at a path, if its SHA-256 is the one that is wanted.
async fn found(
    source: &ModelSource,
    path: &Path,
    wanted: Option<String>,
) -> Result<Fetched, PullError> {
    let io = |source| PullError::Io {
        path: path.to_owned(),
        source,
    };
    let file = path.to_owned();
    let read = move || -> io::Result<(u64, [u8; 32])> {
        let metadata = std::fs::metadata(&file)?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok((metadata.len(), file_sha256(&file)?))
    };
    let (bytes, hash) = tokio::task::spawn_blocking(read)
        .await
        .map_err(|e| io(io::Error::other(e)))?
        .map_err(io)?;
    let sha256 = hex::encode(hash);
    match wanted.filter(|wanted| *wanted != sha256) {
        Some(wanted) => Err(PullError::OtherFile {
            source_name: source.to_string(),
            found: sha256,
            wanted,
        }),
        None => Ok(Fetched {
            path: path.to_owned(),
            sha256,
            bytes,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    /// A hub that redirects as one does, saying this hash, to a file of three letters. Any other path is
    /// that file itself.
    async fn hub(hash: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let base = address.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let read = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let answer = if request.contains("/missing/") {
                    "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                        .to_owned()
                } else if request.contains("/resolve/main/") {
                    format!(
                        "HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: {base}/blob\r\nx-linked-etag: \"{hash}\"\r\nx-linked-size: 3\r\ncontent-length: 0\r\n\r\n"
                    )
                } else {
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc"
                        .to_owned()
                };
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        address
    }

    fn puller(hub: String, models: &Path) -> Puller {
        Puller {
            hub,
            models: models.to_owned(),
        }
    }

    #[test]
    fn sources_are_told_apart_and_none_leads_out_of_the_folder() {
        let hub = ModelSource::parse("hub:owner/repo-GGUF/sub/model.Q4_K_M.gguf").unwrap();
        assert_eq!(
            hub,
            ModelSource::Hub {
                repository: "owner/repo-GGUF".into(),
                file: "sub/model.Q4_K_M.gguf".into()
            }
        );
        assert_eq!(hub.file_name(), "model.Q4_K_M.gguf");
        let name = |text: &str| ModelSource::parse(text).unwrap().file_name();
        assert_eq!(name("https://example.org/a/b.gguf?x=/../y"), "b.gguf");
        assert_eq!(name("https://example.org/weights"), "weights.gguf");
        assert_eq!(name("https://example.org/a/%2e%2e"), "model.gguf");
        assert_eq!(name("https://example.org"), "model.gguf");
        assert!(matches!(
            ModelSource::parse("./a/b.gguf"),
            Ok(ModelSource::Path(_))
        ));
        for bad in [
            "",
            "hub:owner/repo",
            "hub:owner/repo/",
            "hub:owner/../x.gguf",
            "hub:owner/repo/../x.gguf",
            "hub:owner/repo/.x",
            "hub:owner/repo/a b",
            "ftp://example.org/x",
            "https://",
        ] {
            assert!(ModelSource::parse(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_hubs_file_is_fetched_once_checked_and_listed() {
        let dir = tempfile::tempdir().unwrap();
        let puller = puller(hub(ABC).await, dir.path());
        let source = ModelSource::parse("hub:owner/repo/m.gguf").unwrap();
        let first = puller.pull(&source, None, |_| ()).await.unwrap();
        assert_eq!(first.path, dir.path().join(ABC).join("m.gguf"));
        assert_eq!(std::fs::read(&first.path).unwrap(), b"abc");
        let mut seen = Vec::new();
        let again = puller.pull(&source, Some(ABC), |p| seen.push(p)).await;
        assert_eq!(again.unwrap(), first);
        assert!(matches!(seen.last(), Some(Progress::Cached { .. })));
        assert_eq!(puller.fetched().unwrap(), [first]);
    }

    #[tokio::test]
    async fn another_file_than_was_promised_is_not_kept() {
        const OTHER: &str = "0000000000000000000000000000000000000000000000000000000000000000";
        let dir = tempfile::tempdir().unwrap();
        let source = ModelSource::parse("hub:owner/repo/m.gguf").unwrap();
        // The hub is wrong about its own file.
        let lying = puller(hub(OTHER).await, dir.path());
        let error = lying.pull(&source, None, |_| ()).await.unwrap_err();
        assert!(matches!(error, PullError::OtherFile { .. }), "{error}");
        // The hub has another one than was asked for.
        let honest = puller(hub(ABC).await, dir.path());
        let error = honest.pull(&source, Some(OTHER), |_| ()).await.unwrap_err();
        assert!(error.to_string().contains(ABC), "{error}");
        assert!(honest.fetched().unwrap().is_empty());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn an_address_needs_a_hash_and_a_missing_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let hub = hub(ABC).await;
        let puller = puller(hub.clone(), dir.path());
        let source = ModelSource::parse(&format!("{hub}/m.gguf")).unwrap();
        let error = puller.pull(&source, None, |_| ()).await.unwrap_err();
        assert!(error.to_string().contains("--sha256"), "{error}");
        let upper = ABC.to_ascii_uppercase();
        let fetched = puller.pull(&source, Some(&upper), |_| ()).await.unwrap();
        assert_eq!((fetched.sha256.as_str(), fetched.bytes), (ABC, 3));
        let error = puller.pull(&source, Some("abc"), |_| ()).await.unwrap_err();
        assert!(matches!(error, PullError::NotAHash(_)));
        let missing = ModelSource::parse("hub:owner/missing/m.gguf").unwrap();
        let error = puller.pull(&missing, None, |_| ()).await.unwrap_err();
        assert!(error.to_string().contains("404"), "{error}");
    }

    #[tokio::test]
    async fn a_path_stays_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.gguf");
        std::fs::write(&path, "abc").unwrap();
        let puller = puller(String::new(), &dir.path().join("models"));
        let source = ModelSource::parse(path.to_str().unwrap()).unwrap();
        let found = puller.pull(&source, Some(ABC), |_| ()).await.unwrap();
        assert_eq!((found.path, found.bytes), (path, 3));
        assert!(puller.fetched().unwrap().is_empty());
        let gone = ModelSource::parse("no-such-file.gguf").unwrap();
        assert!(puller.pull(&gone, None, |_| ()).await.is_err());
    }
}
