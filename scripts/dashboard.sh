#!/usr/bin/env bash
# The gateway's pages, clients/dashboard. They want npm; the Node that they are built with is one of the packages of clients/package-lock.json.
#
#   scripts/dashboard.sh         builds them into api/static, which the gateway's crate embeds; does nothing where that is done
#   scripts/dashboard.sh test    checks their types, tests their parts, and tries all of them in Chromium
set -euo pipefail
cd "$(dirname "$0")/.."
modules=clients/node_modules
node=$PWD/$modules/node/bin/node

# Installs with these arguments, unless these packages are there and not older than the lock file.
packages() {
  local arguments=$1 package
  shift
  if [ "$modules/.package-lock.json" -nt clients/package-lock.json ]; then
    for package in "$@"; do
      [ -e "$modules/$package/package.json" ] || break
    done
    [ -e "$modules/$package/package.json" ] && return
  fi
  if ! command -v npm >/dev/null; then
    echo "The pages of the gateway need npm (Debian: nodejs npm)." >&2
    return 1
  fi
  # shellcheck disable=SC2086
  (cd clients && npm ci $arguments --no-audit --no-fund --loglevel=error)
}

build() {
  local wanted
  # Of everything that the pages are made of.
  wanted=$(find clients/dashboard clients/sdk/src sql/examples clients/package-lock.json \
    \( -name node_modules -o -name tests \) -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
  [ -e api/static/index.html ] && [ "$(cat api/static/.built 2>/dev/null)" = "$wanted" ] && return
  echo "Building the pages of the gateway"
  packages "--workspace dashboard --include-workspace-root=false --omit=dev" node vite preact uplot
  find api/static -type f ! -name .gitignore -delete
  (cd clients/dashboard && "$node" ../node_modules/vite/bin/vite.js build --logLevel warn)
  echo "$wanted" >api/static/.built
}

try() {
  packages "" node vite preact uplot typescript vitest playwright-core axe-core
  cd clients/dashboard
  "$node" ../node_modules/typescript/bin/tsc
  "$node" ../node_modules/vitest/vitest.mjs run
  "$node" --test tests/browser/pages.mjs
}

case "${1:-}" in
  '') build ;;
  test)
    build
    try
    ;;
  *) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
