#!/usr/bin/env bash
# The gateway's pages, clients/dashboard. They want npm; the Node that they are built with is one of the packages of clients/package-lock.json.
#
#   scripts/dashboard.sh         builds them into api/static, which the gateway's crate embeds; does nothing where that is done
#   scripts/dashboard.sh prepare builds them, and makes what tests of all clients need
#   scripts/dashboard.sh test    checks their types, tests their parts, and tries all of them in Chromium
#   scripts/dashboard.sh network tries them in Chromium on the running network of MYTHIC_GATEWAY_URL and MYTHIC_RPC_URL
set -euo pipefail
cd "$(dirname "$0")/.."
modules=clients/node_modules
node=$PWD/$modules/node/bin/node

# npm ci with these arguments.
install() {
  if ! command -v npm >/dev/null; then
    echo "The pages of the gateway need npm (Debian: nodejs npm)." >&2
    return 1
  fi
  (cd clients && npm ci "$@" --no-audit --no-fund --loglevel=error)
}

# What the build needs, of what may be there already.
is_installed() {
  local package
  # A lockfile may be newer than what it says, after a checkout.
  cmp -s clients/package-lock.json "$modules/.mythic-lock" || [ "$modules/.package-lock.json" -nt clients/package-lock.json ] || return 1
  for package in node vite preact uplot; do
    [ -e "$modules/$package/package.json" ] || return 1
  done
}

build() {
  local wanted
  # Of everything that the pages are made of.
  wanted=$(find clients/dashboard clients/sdk/src sql/examples clients/package-lock.json \
    \( -name node_modules -o -name tests \) -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
  if [ -e api/static/index.html ] && [ "$(cat api/static/.built 2>/dev/null)" = "$wanted" ]; then
    return
  fi
  echo "Building the pages of the gateway"
  is_installed || install --workspace dashboard --include-workspace-root=false --omit=dev
  find api/static -type f ! -name .gitignore -delete
  (cd clients/dashboard && "$node" ../node_modules/vite/bin/vite.js build --logLevel warn)
  echo "$wanted" >api/static/.built
}

# The pages, and what their tests need.
prepare() {
  # The same packages, and the same marks of them, as the tests of the other clients have (tests/src/clients.rs).
  if ! cmp -s clients/package-lock.json "$modules/.mythic-lock"; then
    install
    cp clients/package-lock.json "$modules/.mythic-lock"
    touch "$modules/.mythic-ready"
  fi
  build
  # The programs' client, of which tests make accounts and transactions.
  (cd clients && npm run --silent prepare:tests)
}

case "${1:-}" in
  '') build ;;
  prepare) prepare ;;
  test)
    prepare
    cd clients/dashboard
    "$node" ../node_modules/typescript/bin/tsc
    "$node" ../node_modules/vitest/vitest.mjs run
    "$node" --test tests/browser/pages.mjs
    ;;
  network)
    prepare
    cd clients/dashboard
    "$node" --test tests/browser/network.mjs
    ;;
  *)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
