#!/usr/bin/env bash
# Runs the tests whose name contains NAME, building only the crates that define one: scripts/test-one.sh NAME
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:?usage: scripts/test-one.sh NAME}
packages=()
while IFS= read -r manifest; do
  folder=$(dirname "$manifest")
  # A file below another manifest belongs to that crate.
  if git grep -qE "fn \w*${name##*::}\w*" -- "$folder/*.rs"; then
    packages+=(-p "$(sed -n 's/^name = "\(.*\)"/\1/p' "$manifest" | head -1)")
  fi
done < <(git ls-files '*/Cargo.toml' | grep -vE '^programs/(ai-precompiles|compute-market|shared)/|/fuzz/')
if [ "${#packages[@]}" -eq 0 ]; then
  echo "No test is named like '$name'. List them with: cargo test --workspace -- --list" >&2
  exit 1
fi
cargo test --locked "${packages[@]}" "$name" -- --nocapture
