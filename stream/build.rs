//! Compiles the envelope's protobuf definition without an installed `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["mythic/stream/v1/envelope.proto"], ["proto"])?;
    // `Bytes` lets a reader hand out account data as slices of the block it read.
    prost_build::Config::new().bytes(["."]).compile_fds(files)?;
    Ok(())
}
