#!/usr/bin/env bash
# Says how many tests were skipped, and which: scripts/skipped.sh FILE, which has a line for each
set -euo pipefail
file=${1:?usage: scripts/skipped.sh FILE}
if [ -s "$file" ]; then
  echo "$(wc -l <"$file") tests were skipped, for want of Kafka (Java 17, Maven, and a way to its repository) or of containers (root, runc, busybox-static, nftables, iproute2; for some docker.io):" >&2
  sort "$file" >&2
fi
