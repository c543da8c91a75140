//! The system's `protoc`, for the build of Agave's crates.

use std::path::PathBuf;

pub fn protoc() -> PathBuf {
    std::env::var_os("PROTOC").map_or_else(|| PathBuf::from("protoc"), PathBuf::from)
}
