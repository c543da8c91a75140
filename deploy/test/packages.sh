#!/usr/bin/env bash
# Installs the packages in a clean Debian, boots it (systemd as its process 1, in a container of systemd-nspawn) and plays
# deploy/test/scene.sh there: every service by its unit, an answer that is bought, a hang, an upgrade and the way back, a backup and its
# return.
#
#   deploy/test/packages.sh DIST MODELS     folder of the .deb files, folder of the default model
#
# As root. MYTHIC_TEST_ROOT keeps the clean system between runs (a tar file; default: in the user's cache).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dist=${1:?usage: deploy/test/packages.sh DIST MODELS} models=${2:?usage: deploy/test/packages.sh DIST MODELS}
[ "$(id -u)" = 0 ] || { echo "Run as root: a system is installed and booted." >&2; exit 2; }
clean=${MYTHIC_TEST_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/mythic/debian.tar}

if [ ! -s "$clean" ]; then
  echo "Making a clean Debian: $clean"
  mkdir -p "$(dirname "$clean")"
  mmdebstrap --quiet --format=tar --variant=minbase --include=systemd,systemd-sysv,dbus,ca-certificates,postgresql,curl,python3 \
    --aptopt='APT::Install-Recommends "false"' bookworm "$clean.part"
  mv "$clean.part" "$clean"
fi

# Below a mode for all: databases and services enter as users of their own.
root=$(mktemp -d /var/tmp/mythic-packages-XXXXXX)
trap 'rm -rf --one-file-system "$root"' EXIT
chmod 755 "$root"
tar -xf "$clean" -C "$root"
mkdir -p "$root/root/packages" "$root/var/lib/mythic/models"
cp "$dist"/*.deb "$root/root/packages/"
cp "$models"/SmolLM2-135M-Instruct.Q4_1.gguf "$root/var/lib/mythic/models/"
chmod 644 "$root"/var/lib/mythic/models/*
install -m 755 "$here/scene.sh" "$here/documented.py" "$root/root/"

echo "Installing $(cd "$dist" && echo *.deb)"
started=$SECONDS
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
installed=0
# In a container too: nothing of this machine is mounted into a folder that is removed later.
systemd-nspawn --quiet --register=no --keep-unit --directory="$root" --setenv=DEBIAN_FRONTEND=noninteractive \
  sh -c 'apt-get update -qq && apt-get install -y -qq /root/packages/*.deb' </dev/null >"$root/root/apt.log" 2>&1 || installed=$?
rm "$root/usr/sbin/policy-rc.d"
[ "$installed" = 0 ] || { tail -20 "$root/root/apt.log"; exit 1; }
echo "Installed in $((SECONDS - started)) s"
# What `make release` makes has the list of crates inside.
if grep -qF .dep-v0 "$root/usr/bin/mythic"; then build="packages of make release"; else build="A DEVELOPMENT BUILD, NOT WHAT OPERATORS GET (make release makes that)"; fi
echo "Tried here: $build"

cat >"$root/etc/systemd/system/scene.service" <<'UNIT'
[Unit]
After=postgresql.service network-online.target
[Service]
Type=oneshot
Environment=HOME=/root
StandardOutput=file:/root/scene.log
StandardError=file:/root/scene.log
TimeoutStartSec=1500
ExecStart=/root/scene.sh
ExecStopPost=/bin/sh -c 'systemctl exit $$EXIT_STATUS'
[Install]
WantedBy=multi-user.target
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../scene.service "$root/etc/systemd/system/multi-user.target.wants/scene.service"

result=0
timeout --kill-after=30 1600 systemd-nspawn --quiet --boot --register=no --keep-unit --private-network \
  --machine="mythic-packages-$$" --directory="$root" </dev/null >"$root/root/boot.log" 2>&1 || result=$?
cat "$root/root/scene.log" 2>/dev/null || tail -20 "$root/root/boot.log"
grep -q '^All good' "$root/root/scene.log" 2>/dev/null || result=1
echo "It was $build"
if [ "$result" != 0 ] && [ -n "${MYTHIC_TEST_KEEP:-}" ]; then
  trap - EXIT
  echo "Kept: $root"
fi
exit "$result"
