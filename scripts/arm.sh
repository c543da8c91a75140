#!/usr/bin/env bash
# The engine's arithmetic on 64-bit ARM: `make arm`. On another machine the tests are cross-compiled and run by QEMU, which
# shows bits and says nothing about speed.
# Order: kernels and the descriptions of their instructions, on a processor with dot products and on one without; then whole
# models against the golden hashes.
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu

if [ "$(uname -m)" != aarch64 ]; then
  for command in rustup aarch64-linux-gnu-gcc qemu-aarch64; do
    command -v "$command" >/dev/null || { echo "missing: $command (scripts/setup.sh arm)" >&2; exit 1; }
  done
  rustup target add "$target"
  export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
fi

# On a processor that QEMU knows; on ARM, on this one.
on() {
  local processor=$1
  shift
  if [ "$(uname -m)" != aarch64 ]; then
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu $processor"
    printf '\n== %s\n' "$processor"
  fi
  cargo test --locked --target "$target" -p mythic-engine "$@"
}

on max --lib -- kernels:: logits::
[ "$(uname -m)" = aarch64 ] || on cortex-a72 --lib -- kernels:: logits::
on max --test arithmetic -- logits_are_those_of_the_golden_file
