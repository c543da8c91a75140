#!/usr/bin/env bash
# Rebuilds the on-chain programs into this folder, from Debian's and cargo's packages alone:
#   apt-get install rustc-web cargo-web libstd-rust-web-dev-bpf libllvm22
#   cargo install sbpf-linker --version 0.2.3 --locked
# (Solana's own `cargo build-sbf` is the other way, with other bytes as its result.)
#
# build.sh            build and replace the files here
# build.sh --check    build elsewhere and compare with SHA256SUMS; exit 3 if the tools are missing
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Each program is a folder beside this one, and its library is named after it.
programs=(ai-precompiles compute-market)
mode=${1:-build}

missing() {
    echo "build.sh: $1" >&2
    echo "build.sh: needed: apt-get install rustc-web cargo-web libstd-rust-web-dev-bpf libllvm22;" \
        "cargo install sbpf-linker --version 0.2.3 --locked" >&2
    exit 3
}

linker=$(command -v sbpf-linker || true)
[ -n "$linker" ] || linker=${CARGO_HOME:-$HOME/.cargo}/bin/sbpf-linker
[ -x "$linker" ] || missing "sbpf-linker was not found"
[ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] || missing "Debian's rustc and cargo were not found"
[ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/bpfel-unknown-none" ] || missing "the bpfel-unknown-none library was not found"
llvm=$(find /usr/lib -name 'libLLVM.so.22*' -print -quit 2>/dev/null)
[ -n "$llvm" ] || missing "LLVM 22 was not found"

# The linker loads the first libLLVM that it meets, so it is shown a directory with only one.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/llvm"
ln -s "$llvm" "$scratch/llvm/"

# Paths are part of panic messages: map what differs between machines.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
flags=(
    -C panic=abort
    -C relocation-model=static
    # Accounts have alignment 1; the virtual machine reads unaligned words at no extra cost.
    -C target-feature=+allows-misaligned-mem-access
    -C link-arg=--arch=v0
    -C link-arg=--llvm-args=-bpf-stack-size=4096
    "--remap-path-prefix=$(cd "$here/../.." && pwd)=mythic"
    "--remap-path-prefix=$cargo_home/registry/src=registry"
)
encoded=$(IFS=$'\x1f'; printf '%s' "${flags[*]}")

target=${SBF_TARGET_DIR:-$scratch/target}
for program in "${programs[@]}"; do
    cd "$here/../$program"
    env -u RUSTFLAGS -u RUSTC_WRAPPER -u RUSTUP_TOOLCHAIN \
        RUSTC=/usr/bin/rustc \
        CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER="$linker" \
        CARGO_ENCODED_RUSTFLAGS="$encoded" \
        LD_LIBRARY_PATH="$scratch/llvm" \
        CARGO_TARGET_DIR="$target/$program" \
        /usr/bin/cargo build --release --locked --target bpfel-unknown-none
    elf=mythic_${program//-/_}.so
    built=$target/$program/bpfel-unknown-none/release
    found=$(find "$built" -maxdepth 1 \( -name "$elf" -o -name "lib$elf" \) -print -quit)
    [ -n "$found" ] || { echo "build.sh: the build left no library in $built" >&2; exit 1; }
    cp "$found" "$scratch/$elf"
done

cd "$scratch"
if [ "$mode" = --check ]; then
    sha256sum --check "$here/SHA256SUMS"
else
    install -m 644 -- *.so "$here"
    cd "$here" && sha256sum -- *.so > SHA256SUMS && cat SHA256SUMS && wc -c -- *.so
fi
