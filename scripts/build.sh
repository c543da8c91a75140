#!/usr/bin/env bash
# Builds the gateway's pages and compiles the workspace. Says before how long that takes here, and where it stands: cargo's own line on
# a terminal, one line every half minute elsewhere. `make dev` and `make test` call it.
set -euo pipefail

scripts/dashboard.sh || echo "The gateway will say at / that its pages are not built; everything else works." >&2
target=${CARGO_TARGET_DIR:-target}
cores=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
# Measured: 20 minutes on two cores, most of them in parallel.
minutes=$((2 + 36 / cores))
between=${MYTHIC_BUILD_SECONDS:-30}

if [ ! -x "$target/debug/mythic" ]; then
  echo "Compiling Mythic and its libraries for the first time: about $minutes minutes on $cores cores, later seconds."
fi
if [ -t 2 ]; then
  exec cargo build --workspace --locked
fi

# Cargo draws its line for terminals alone, unless it is told to. Only the line's numbers, and what went wrong, are passed on.
started=$SECONDS
told=$SECONDS
fetched=0
stands() {
  ((SECONDS - told >= between)) || return 0
  told=$SECONDS
  echo "  $1 after $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s"
}
export CARGO_TERM_PROGRESS_WHEN=always CARGO_TERM_PROGRESS_WIDTH=100 CARGO_TERM_COLOR=never
cargo build --workspace --locked 2>&1 | stdbuf -oL tr '\r' '\n' | while IFS= read -r line; do
  if [[ $line =~ ^\ *Building\ \[.*\]\ ([0-9]+)/([0-9]+) ]]; then
    stands "compiled ${BASH_REMATCH[1]} of ${BASH_REMATCH[2]} parts"
  elif [[ $line =~ ^\ *Fetch\ \[.*\]\ ([0-9]+)\ complete\;\ ([0-9]+)\ pending ]]; then
    stands "looked up ${BASH_REMATCH[1]} of $((BASH_REMATCH[1] + BASH_REMATCH[2])) libraries"
  elif [[ $line =~ ^\ *Downloaded\ ([0-9]+)\ crates?\ (\([^\)]*\)\ in\ [^\ ]+) ]]; then
    echo "  fetched ${BASH_REMATCH[1]} libraries ${BASH_REMATCH[2]}"
  elif [[ $line =~ ^\ *Downloaded\  ]]; then
    fetched=$((fetched + 1))
  elif [[ $line =~ ^\ *Downloading\ ([0-9]+)\ crate ]]; then
    stands "fetched $fetched of $((fetched + BASH_REMATCH[1])) libraries"
  elif [[ ! $line =~ ^\ *(Compiling|Downloading|Fetch|Updating|Locking|Adding|Fresh)\  ]] && [ -n "${line//[[:space:]]/}" ]; then
    echo "$line"
  fi
done
