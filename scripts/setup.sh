#!/usr/bin/env bash
# Installs what a make target needs, after naming it: system packages, and Rust by rustup where it is missing. Only what
# is missing is touched, and nothing is started: PostgreSQL comes without its system cluster.
#
#   scripts/setup.sh run    what `make dev` needs
#   scripts/setup.sh test   what `make test` needs on top
#   scripts/setup.sh lint   what `make lint` needs on top of `run`
#   scripts/setup.sh arm    what `make arm` needs on top of `run`
#   scripts/setup.sh sbf    the compiler of the on-chain programs
#   scripts/setup.sh localnet  what Agave's crates want
#   scripts/setup.sh release   what `make release` needs, and `make test-packages` on top of it
set -euo pipefail

need=()
has() { command -v "$1" >/dev/null 2>&1; }
wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$(dirname "$0")/../rust-toolchain.toml")
# Where rustup puts its commands; a shell that was opened before it was installed does not know it.
rust_bin=${CARGO_HOME:-$HOME/.cargo}/bin

postgres_found() {
  local bin
  for bin in /usr/lib/postgresql/*/bin/initdb; do
    [ -x "$bin" ] || continue
    [ "$(basename "$(dirname "$(dirname "$bin")")")" -ge 15 ] && return 0
  done
  has initdb && [ "$(initdb --version | grep -oE '[0-9]+' | head -1)" -ge 15 ]
}

# Whether the first release is at least the second.
at_least() { [ "$(printf '%s\n' "$2" "$1" | sort -V | head -1)" = "$2" ]; }

# Whether cargo here can build this: rustup's fetches the pinned release by itself, another one must be new enough.
rust_found() {
  has rustup && has cargo && return
  has cargo && at_least "$(cargo --version | cut -d' ' -f2)" "$wanted"
}

case "${1:-}" in
  run | test | lint | release)
    postgres_found || need+=(postgresql)
    has c++ || need+=(build-essential)
    # librdkafka is built with these.
    has pkg-config || need+=(pkg-config)
    pkg-config --exists openssl 2>/dev/null || need+=(libssl-dev)
    has python3 || need+=(python3)
    python3 -m pip --version >/dev/null 2>&1 || need+=(python3-pip)
    if [ "$1" != lint ]; then
      # The pages of the gateway are built with it.
      has npm || need+=(nodejs npm)
    fi
    if [ "$1" = test ]; then
      python3 -c 'import ensurepip' >/dev/null 2>&1 || need+=(python3-venv)
      # The second implementation of the market's proof. The package belongs to the system's Python, whatever else stands before it.
      python3 -c 'import numpy' >/dev/null 2>&1 || /usr/bin/python3 -c 'import numpy' >/dev/null 2>&1 || need+=(python3-numpy)
      has node || need+=(nodejs)
      # The pages are tried in a browser.
      has chromium || need+=(chromium)
      # A real Kafka, whose jars the tests fetch through Maven.
      has java || need+=(default-jre-headless)
      has mvn || need+=(maven)
      # Containers of leases, which only root can run.
      if [ "$(id -u)" -eq 0 ]; then
        has runc || need+=(runc)
        has nft || [ -x /usr/sbin/nft ] || need+=(nftables)
        has ip || [ -x /usr/sbin/ip ] || need+=(iproute2)
        has mkfs.ext4 || [ -x /usr/sbin/mkfs.ext4 ] || need+=(e2fsprogs)
        dpkg -s busybox-static >/dev/null 2>&1 || [ -x /bin/busybox ] || need+=(busybox-static)
        # Without Docker its tests are skipped, but not where commits are judged: without a daemon they start their own.
        [ -z "${CI:-}" ] || { has docker && { has dockerd || [ -x /usr/sbin/dockerd ]; }; } || need+=(docker.io)
      fi
      # Without promtool the tests of alert rules are skipped, but not where commits are judged. The package starts a server.
      [ -z "${CI:-}" ] || has promtool || need+=(prometheus)
    fi
    if [ "$1" = release ]; then
      has dpkg-shlibdeps || need+=(dpkg-dev)
      has mmdebstrap || need+=(mmdebstrap)
      has systemd-nspawn || need+=(systemd-container)
    fi
    ;;
  arm)
    if [ "$(uname -m)" != aarch64 ]; then
      has aarch64-linux-gnu-gcc || need+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
      has qemu-aarch64 || need+=(qemu-user)
    fi
    ;;
  sbf)
    for package in rustc-web cargo-web libstd-rust-web-dev-bpf libllvm22; do
      dpkg -s "$package" >/dev/null 2>&1 || need+=("$package")
    done
    ;;
  localnet)
    has cc || need+=(build-essential)
    has protoc || need+=(protobuf-compiler)
    has clang || need+=(clang)
    has cmake || need+=(cmake)
    for package in libclang-dev libudev-dev libssl-dev pkg-config; do
      dpkg -s "$package" >/dev/null 2>&1 || need+=("$package")
    done
    ;;
  *)
    sed -n '2,11s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac

PATH=$PATH:$rust_bin
# A system's own cargo that is too old stands before rustup's.
rust_found || PATH=$rust_bin:$PATH
missing_rust=
if ! rust_found; then
  missing_rust=1
  has curl || need+=(curl ca-certificates)
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

# Says what to do where Rust can't be fetched, and ends.
no_rust() {
  {
    echo "$1"
    echo "Behind a proxy set HTTPS_PROXY; for a mirror set RUSTUP_DIST_SERVER and RUSTUP_UPDATE_ROOT. Or install Rust $wanted or newer"
    echo "in another way (https://forge.rust-lang.org/infra/other-installation-methods.html), then run this again."
  } >&2
  exit 1
}

if [ -n "$missing_rust" ]; then
  echo "Installing Rust $wanted for this user with rustup (https://rustup.rs): into ${RUSTUP_HOME:-$HOME/.rustup} and ${CARGO_HOME:-$HOME/.cargo}"
  installer=$(mktemp)
  trap 'rm -f "$installer"' EXIT
  curl --proto '=https' --tlsv1.2 --retry 2 --connect-timeout 20 -sSfL "${RUSTUP_UPDATE_ROOT:-https://static.rust-lang.org/rustup}/rustup-init.sh" -o "$installer" ||
    no_rust "rustup's installer could not be fetched."
  sh "$installer" -y -q --profile minimal --default-toolchain "$wanted" >/dev/null || no_rust "rustup could not install Rust $wanted."
elif has rustup && ! rustup run "$wanted" rustc --version >/dev/null 2>&1; then
  echo "Installing Rust $wanted with rustup"
  rustup -q toolchain install "$wanted" --profile minimal || no_rust "rustup could not install Rust $wanted."
fi

if [ "$1" = lint ] && ! has cargo-shear; then
  echo "Installing cargo-shear (cargo)"
  cargo install -q cargo-shear --version 1.9.1 --locked
fi
if [ "$1" = release ]; then
  for tool in cargo-deb@3.8.0 cargo-auditable@0.7.7 cargo-cyclonedx@0.5.9; do
    has "${tool%@*}" && continue
    echo "Installing ${tool%@*} (cargo)"
    cargo install -q "$tool" --locked
  done
fi
if [ "$1" = sbf ] && ! has sbpf-linker; then
  echo "Installing sbpf-linker (cargo)"
  cargo install -q sbpf-linker --version 0.2.3 --locked
fi
