#!/usr/bin/env bash
# What a machine with an NVIDIA GPU shows: scripts/gpu.sh [build DIR | run DIR | all]
#   build DIR  puts what is to be run into DIR, on a machine that has Rust and needs no GPU
#   run DIR    runs it on a machine that has a GPU and needs no Rust, in under ten minutes; figures go to $OUT
#   all        both, here
# Order: the golden hashes of the processor; the same bits on the GPU; a paid job on a GPU node, checked by the processor; calibration
# with the GPU as a row; the benchmark. What this machine lacks is said and left out, and a difference ends the run.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/mythic/target}

build() {
  local dir=$1
  mkdir -p "$dir"
  cargo build --locked -p mythic-cli --bin mythic
  cp "$target/debug/mythic" "$dir/"
  for test in arithmetic device; do
    binary=$(cargo test --locked -p mythic-engine --test "$test" --no-run --message-format=json |
      python3 -c 'import json,sys; print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable")][-1])')
    cp "$binary" "$dir/$test"
  done
  binary=$(cargo bench --profile dev --locked -p mythic-engine --bench engine --no-run --message-format=json |
    python3 -c 'import json,sys; print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable")][-1])')
  cp "$binary" "$dir/bench-engine"
  strip "$dir"/{mythic,arithmetic,device,bench-engine} || true
  # Tests look for their files where they were compiled.
  pwd >"$dir/built-at"
}

say() { printf '\n== %s (%s)\n' "$*" "$(date -u +%H:%M:%S)"; }

paid_job() {
  local dir=$1 data job ready=
  data=$(mktemp -d)
  # The nodes compute on the GPU; `mythic verify` computes on the processor.
  MYTHIC_NODE__DEVICE=cuda "$dir/mythic" --data-dir "$data" dev --validators 2 >"$OUT/dev.log" 2>&1 &
  local network=$!
  trap '"$dir/mythic" --data-dir "$data" dev stop >/dev/null 2>&1 || kill "$network" 2>/dev/null || true; trap - RETURN' RETURN
  for _ in $(seq 120); do
    if "$dir/mythic" --data-dir "$data" dev status --json >/dev/null 2>&1; then
      ready=1
      break
    fi
    kill -0 "$network" 2>/dev/null || break
    sleep 1
  done
  [ -n "$ready" ] || { echo "the network did not start:"; tail -5 "$OUT/dev.log"; return 1; }
  job=$("$dir/mythic" --data-dir "$data" ai --json --temperature 0 --max-tokens 64 "Why is the sky blue?" |
    tee "$OUT/answer.json" | python3 -c 'import json,sys; print(json.load(sys.stdin)["mythic"]["job"])')
  "$dir/mythic" --data-dir "$data" verify "$job" --quiet | tee "$OUT/verified.txt"
}

run() {
  local dir built
  dir=$(realpath "$1")
  built=$(cat "$dir/built-at")
  export OUT=${OUT:-$dir/out}
  mkdir -p "$OUT"
  [ -e "$built" ] || { mkdir -p "$(dirname "$built")" && ln -s "$PWD" "$built"; }
  {
    say "the machine"
    nvidia-smi --query-gpu=name,driver_version,memory.total,mig.mode.current --format=csv || true
    "$dir/mythic" doctor --json | grep '"GPU"' || true
    say "golden hashes, on the processor"
    "$dir/arithmetic" logits_are_those_of_the_golden_file
    say "the same bits on the GPU"
    "$dir/device" --ignored --nocapture a_gpu_gives_the_processors_bits
    say "a paid job on GPU nodes, checked by the processor"
    if command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
      paid_job "$dir"
    else
      echo "left out: this machine has no PostgreSQL, which a network needs"
    fi
    say "calibration, with the GPU as a row"
    "$dir/mythic" calibrate --quick --device cuda --report "$OUT/calibration.md"
    say "the benchmark"
    "$dir/bench-engine" --device cuda --rounds 3 || echo "left out: the others could not be installed here"
    say "done"
  } 2>&1 | tee "$OUT/gpu.log"
}

case ${1:-all} in
  build) build "${2:?build DIR}" ;;
  run) run "${2:?run DIR}" ;;
  all) build "$target/gpu" && run "$target/gpu" ;;
  *) sed -n '2,5s/^# //p' "$0" >&2 && exit 2 ;;
esac
