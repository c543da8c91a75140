//! A registry of images, as far as Docker asks one.

use super::machine::layer;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{collections::HashMap, env, sync::Arc};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What it has, by digests.
#[derive(Default)]
pub struct Registry(HashMap<String, (&'static str, Vec<u8>)>);

impl Registry {
    fn blob(&mut self, kind: &'static str, bytes: Vec<u8>) -> (String, Value) {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        let told = json!({"mediaType": kind, "digest": digest, "size": bytes.len()});
        self.0.insert(digest.clone(), (kind, bytes));
        (digest, told)
    }

    /// An image of busybox with a file of its own, of so many bytes; returns its digest.
    pub fn image(&mut self, name: &str, bytes: usize) -> Result<String> {
        let mut own = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes as u64);
        own.append_data(&mut header, name, vec![b'x'; bytes].as_slice())?;
        let (busybox, busybox_told) = self.blob(LAYER, layer()?);
        let (own, own_told) = self.blob(LAYER, own.into_inner()?);
        let architecture = match env::consts::ARCH {
            "aarch64" => "arm64",
            _ => "amd64",
        };
        let config = json!({
            "architecture": architecture, "os": "linux",
            "config": {"Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [busybox, own]},
        });
        let (_, config) = self.blob(CONFIG, config.to_string().into_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": config, "layers": [busybox_told, own_told],
        });
        let (digest, _) = self.blob(MANIFEST, manifest.to_string().into_bytes());
        Ok(digest)
    }

    /// Answers on this machine; returns the name of its repository.
    pub async fn serve(self) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let registry = Arc::new(self);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let registry = registry.clone();
                tokio::spawn(async move { registry.answer(stream).await });
            }
        });
        Ok(format!("{address}/test"))
    }

    async fn answer(&self, mut stream: TcpStream) -> Result<()> {
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let byte = stream.read_u8().await?;
            // Docker tries TLS first.
            ensure!(!asked.is_empty() || byte.is_ascii_uppercase(), "no HTTP");
            asked.push(byte);
        }
        let asked = String::from_utf8(asked)?;
        let mut words = asked.split(' ');
        let method = words.next().context("no method")?;
        let path = words.next().context("no path")?;
        let digest = path.rsplit('/').next().unwrap_or_default();
        let (status, kind, body): (&str, &str, &[u8]) = match self.0.get(digest) {
            _ if path == "/v2/" => ("200 OK", "application/json", &b"{}"[..]),
            Some((kind, bytes)) => ("200 OK", *kind, bytes.as_slice()),
            None => ("404 Not Found", "text/plain", &[]),
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        if method != "HEAD" {
            stream.write_all(body).await?;
        }
        Ok(stream.shutdown().await?)
    }
}
