#!/usr/bin/env bash
# Installs the system packages that a make target needs, after naming them. Only what is missing is touched, and
# nothing is started: PostgreSQL comes without its system cluster. Rust is named, not installed: that is rustup's work.
#
#   scripts/setup.sh run    what `make dev` needs
#   scripts/setup.sh test   what `make test` needs on top
#   scripts/setup.sh sbf    the compiler of the on-chain program
set -euo pipefail

need=()
has() { command -v "$1" >/dev/null 2>&1; }

postgres_found() {
  local bin
  for bin in /usr/lib/postgresql/*/bin/initdb; do
    [ -x "$bin" ] || continue
    [ "$(basename "$(dirname "$(dirname "$bin")")")" -ge 15 ] && return 0
  done
  has initdb && [ "$(initdb --version | grep -oE '[0-9]+' | head -1)" -ge 15 ]
}

case "${1:-}" in
  run | test)
    postgres_found || need+=(postgresql)
    has cc || need+=(build-essential)
    has python3 || need+=(python3)
    python3 -m pip --version >/dev/null 2>&1 || need+=(python3-pip)
    if [ "$1" = test ]; then
      python3 -c 'import ensurepip' >/dev/null 2>&1 || need+=(python3-venv)
      has node || need+=(nodejs)
      has npm || need+=(npm)
    fi
    ;;
  sbf)
    for package in rustc-web cargo-web libstd-rust-web-dev-bpf libllvm22; do
      dpkg -s "$package" >/dev/null 2>&1 || need+=("$package")
    done
    ;;
  *)
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac

if ! has cargo; then
  if [ -x "$HOME/.cargo/bin/cargo" ]; then
    echo "Rust is installed but not in this shell's PATH. Run: . \"\$HOME/.cargo/env\"" >&2
  else
    echo "Rust is missing. Install it with rustup (https://rustup.rs), then open a new shell:" >&2
    echo "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal" >&2
  fi
  exit 1
fi
wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$(dirname "$0")/../rust-toolchain.toml")
if ! has rustup && [ "$(printf '%s\n' "$wanted" "$(cargo --version | cut -d' ' -f2)" | sort -V | head -1)" != "$wanted" ]; then
  echo "This system's own $(cargo --version) is too old, $wanted is needed: install rustup (https://rustup.rs), which fetches it." >&2
  exit 1
fi

if [ "${#need[@]}" -gt 0 ]; then
  if ! has apt-get; then
    echo "Missing: ${need[*]} (names of Debian packages). Install them with this system's package manager and run again." >&2
    exit 1
  fi
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    has sudo || { echo "Missing: ${need[*]}. Run as root: apt-get install ${need[*]}" >&2; exit 1; }
    as_root=(sudo)
  fi
  echo "Installing system packages: ${need[*]}"
  if [[ " ${need[*]} " == *" postgresql "* ]]; then
    "${as_root[@]}" mkdir -p /etc/postgresql-common/createcluster.d
    echo 'create_main_cluster = false' | "${as_root[@]}" tee /etc/postgresql-common/createcluster.d/mythic.conf >/dev/null
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -qq && apt-get install -y -qq ${need[*]}" >/dev/null
  if [[ " ${need[*]} " == *" postgresql "* ]] && ! postgres_found; then
    echo "This system's PostgreSQL is older than 15. Add the PostgreSQL project's apt repository (apt.postgresql.org) and install postgresql-16." >&2
    exit 1
  fi
fi

if [ "$1" = sbf ] && ! has sbpf-linker; then
  echo "Installing sbpf-linker (cargo)"
  cargo install -q sbpf-linker --version 0.2.3 --locked
fi
