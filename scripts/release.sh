#!/usr/bin/env bash
# Makes what operators install, into $CARGO_TARGET_DIR/dist: Debian packages, a bill of materials of each binary, checksums, sizes.
#
#   scripts/release.sh             builds with the release profile, the list of crates inside of the binaries (cargo auditable)
#   scripts/release.sh --dev       packages what `make dev` built, to try the packages: slow and large
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
case "${1:-}" in
  '') profile=release folder=release squeeze=() ;;
  --dev) profile=dev folder=debug squeeze=(--fast) ;;
  *) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
built=$target/$folder
dist=$target/dist
rm -rf "$dist"
mkdir -p "$dist"

scripts/dashboard.sh
if [ "$profile" = release ]; then
  cargo auditable build --release --locked -p mythic-cli -p mythic-geyser-plugin
fi

# What the binary writes of itself.
rm -rf "$built/man" "$built/completions"
mkdir -p "$built/man" "$built/completions"
"$built/mythic" manual "$built/man"
gzip -9 --no-name "$built"/man/*.1
"$built/mythic" completions bash >"$built/completions/mythic"
"$built/mythic" completions zsh >"$built/completions/_mythic"
"$built/mythic" completions fish >"$built/completions/mythic.fish"

for package in mythic-cli mythic-geyser-plugin; do
  cargo deb "${squeeze[@]}" --no-build --locked --profile "$profile" -p "$package" -o "$dist/"
done

# The plugin for Solana 1.18 has a workspace of its own. It takes minutes, so packages to try come without it.
if [ "$profile" = release ]; then
  (
    cd geyser-plugin/v1_18
    export CARGO_TARGET_DIR=$target/1.18
    cargo auditable build --release --locked
    cargo deb --no-build --locked -o "$dist/"
  )
fi

# What is compiled into each, without the paths of this machine. The tool writes beside every manifest of the workspace.
cargo cyclonedx --manifest-path cli/Cargo.toml --format json --spec-version 1.5 --override-filename made-sbom --quiet
[ "$profile" = dev ] ||
  cargo cyclonedx --manifest-path geyser-plugin/v1_18/Cargo.toml --format json --spec-version 1.5 --override-filename made-sbom --quiet
for crate in cli geyser-plugin/agave geyser-plugin/v1_18; do
  case $crate in
    cli) name=mythic ;;
    */agave) name=mythic-geyser-plugin ;;
    *) name=mythic-geyser-plugin-1.18 ;;
  esac
  [ -e "$crate/made-sbom.json" ] || continue
  sed "s|file://$PWD/|file:///src/|g; s|file://$PWD|file:///src|g" "$crate/made-sbom.json" >"$dist/$name.cdx.json"
done
git ls-files --others -z -- '*made-sbom.json' | xargs -0 -r rm --

(cd "$dist" && sha256sum -- *.deb *.cdx.json >SHA256SUMS)
sizes=$(cd "$dist" && stat -c '%s %n' -- * | sort -k2 | numfmt --field=1 --to=iec)
echo "$sizes" >"$dist/SIZES"
# package, of which size, installed, its ELF file: rows of the table "Sizes" in docs/deploy.md.
scripts/check-release.py "$dist" "$profile"
[ "$profile" = release ] || echo "These are development builds, to try the packages: slow, large, without the list of crates inside. Operators get those of make release."
echo "In $dist"
