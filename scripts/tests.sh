#!/usr/bin/env bash
# Runs all tests in two queues side by side: what waits for clocks and for other processes, one binary after the other; and beside it, with
# what it leaves of the processors, what only computes. `make test` calls it.
#
# What a binary says comes in one piece, when it has ended. One that runs for long is named, and ended after MYTHIC_TEST_MINUTES (30). The last
# line is the sum: N passed, N failed, N ignored. A binary that ended without a result counts as a test that failed, and so do the pages' tests
# and a build.
set -muo pipefail
cd "$(dirname "$0")/.."

# The second queue, a crate a line: tests that take no times and speak to no process that has deadlines. What is not named here is in the first
# queue, and so are the tests in the crates themselves, but for one crate's. cargo takes these names in whichever crate they are: none may be
# another crate's too.
computes='
mythic-architecture deploy docs keys queues rules
mythic-engine arithmetic device gguf gguf_fuzz layouts llama_cpp llama_cpp_scores options residuals speculation tokenizers verifier
mythic-interface builders document juries noise_error reference
mythic-lab calibrate formats verifier
mythic-model document servable
mythic-program-tests attacks compute_units disputes economics fair_play invariants market market_units random random_disputes success
mythic-sampling choice course guide independent options tables
mythic-sim seeds
'
# A crate whose own tests, most of all that there are, belong there too, and its folder. Cargo chooses the tests in crates for all of them alone.
own=mythic-indexer
own_in=indexer

longest=$((${MYTHIC_TEST_MINUTES:-30} * 60))
# Seconds between two looks at the queues, and after which a binary is named that still runs, and named again.
look=${MYTHIC_TEST_LOOK_SECONDS:-5}
slow=600

out=$(mktemp -d)
touch "$out/results" "$out/lost"
# Always the whole workspace: fewer crates would have other features, and be built again.
tests=(cargo test --workspace --locked)
# Its lines are read here.
export CARGO_TERM_COLOR=never

say() { (flock 9 && printf '%s\n' "$@") 9>>"$out/lock"; }

# QUEUE WHAT: notes what failed there, and that it counts where no test says so.
failed() { printf '%s\n' "$2" >>"$out/$1.failed"; }
lost() {
  failed "$@"
  echo "0 1 0" >>"$out/lost"
}

# QUEUE: prints what the binary said that has just ended, and notes its result.
flush() {
  local said=$out/$1.said name result
  [ -s "$said" ] || return 0
  (flock 9 && cat "$said") 9>>"$out/lock"
  if name=$(cat "$out/$1.binary" 2>/dev/null); then
    result=$(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored;.*/\1 \2 \3/p' "$said" | tail -n 1)
    [ -n "$result" ] || lost "$1" "$name, which ended without a result"
    [[ ${result:=0 0 0} == *' 0 '* ]] || failed "$1" "$name"
    printf '%s\n' "$result" >>"$out/results"
  fi
  : >"$said"
  rm -f "$out/$1.binary" "$out/$1.told"
}

# QUEUE: takes a queue's output apart.
whole() {
  local line
  trap '' INT TERM
  while IFS= read -r line || [ -n "$line" ]; do
    # As cargo begins a binary.
    if [[ $line =~ ^\ +Running\ (.+)\ \((.*/)?([^/]+)-[0-9a-f]+\)$ ]]; then
      flush "$1"
      printf '%s\n' "${BASH_REMATCH[1]} of ${BASH_REMATCH[3]}" >"$out/$1.binary"
      printf '%s\n' "$(date +%s)" >"$out/$1.since"
    fi
    printf '%s\n' "$line" >&8
  done 8>>"$out/$1.said"
  flush "$1"
}

# QUEUE COMMAND…: runs it. It is not waited for whatever a test left behind with the queue's output in its hands.
queue() {
  local queue=$1 pid status
  shift
  : >"$out/$queue.log"
  date +%s >"$out/$queue.since"
  "$@" >>"$out/$queue.log" 2>&1 </dev/null &
  pid=$!
  echo "$pid" >"$out/$queue.pid"
  tail -n +1 -f -s 0.5 --pid="$pid" "$out/$queue.log" 2>/dev/null | whole "$queue"
  wait "$pid"
  status=$?
  rm -f "$out/$queue.pid"
  [ "$status" -eq 0 ] || [ -s "$out/$queue.failed" ] || lost "$queue" "$queue, which ended with $status"
  return "$status"
}

# FOLDER BINARY: runs a binary of tests as cargo would.
binary() {
  echo "     Running unittests src/lib.rs ($2)"
  cd "$1" && nice -n 10 "$2"
  return "$?"
}

# Names what runs for long, and ends what runs for too long.
watch() {
  local file queue pid name seconds
  for file in "$out"/*.pid; do
    queue=$(basename "$file" .pid)
    pid=$(cat "$file" 2>/dev/null) && seconds=$(cat "$out/$queue.since") || continue
    seconds=$(($(date +%s) - seconds))
    name=$(cat "$out/$queue.binary" 2>/dev/null) || name=$queue
    if ((seconds >= longest)); then
      say "$name has run for $((seconds / 60)) min, and is ended."
      # What cargo has begun.
      cat "/proc/$pid/task/"*/children 2>/dev/null | xargs -r kill -s "$( ((seconds >= longest + 4 * look)) && echo KILL || echo TERM)"
    elif ((seconds / slow > $(cat "$out/$queue.told" 2>/dev/null || echo 0))); then
      echo "$((seconds / slow))" >"$out/$queue.told"
      say "$name has run for $((seconds / 60)) min."
    fi
  done
}

# COMMAND…: runs it in a way that a signal ends at once.
attend() {
  "$@" </dev/null &
  groups=("$!")
  wait "$!"
}

# Ends everything that was started here.
stop() {
  local group tries
  for group in "${groups[@]}"; do
    kill -TERM -- "-$group" 2>/dev/null
    for ((tries = 0; tries < 100; tries++)); do
      kill -0 -- "-$group" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL -- "-$group" 2>/dev/null
  done
}

# The sum, whatever came.
finish() {
  local status=$? binaries
  trap '' INT TERM
  for queue in first second own pages; do flush "$queue"; done
  binaries=$(wc -l <"$out/results")
  if [ "$status" -eq 0 ] && [ "$binaries" -ne "$built" ]; then
    lost all "a queue: $built test binaries were built, and $binaries ran"
  fi
  if cat "$out"/*.failed 2>/dev/null | sed 's/^/failed: /' && [ "$status" -eq 0 ]; then status=1; fi
  [ -z "${MYTHIC_SKIPPED:-}" ] || scripts/skipped.sh "$MYTHIC_SKIPPED"
  cat "$out/results" "$out/lost" |
    awk '{ p += $1; f += $2; i += $3 } END { printf "%d passed, %d failed, %d ignored\n", p, f, i }'
  rm -rf "$out"
  exit "$status"
}

# WHAT: ends here, for it failed.
fail() {
  lost all "$1"
  exit 1
}

groups=()
built=0
trap finish EXIT
trap 'stop; exit 130' INT
trap 'stop; exit 143' TERM

chosen=$(cargo metadata --no-deps --format-version 1 --locked | python3 -c '
import json, sys

named = {(crate, test) for crate, *tests in map(str.split, sys.argv[1].strip().splitlines()) for test in tests}
there = {(package["name"], target["name"]) for package in json.load(sys.stdin)["packages"]
         for target in package["targets"] if "test" in target["kind"]}
second = {test for _, test in named}
wrong = [f"{crate} has no tests {test}" for crate, test in sorted(named - there)]
wrong += [f"{crate} has tests {test} too" for crate, test in sorted(there - named) if test in second]
for text in wrong:
    print(f"scripts/tests.sh: {text}", file=sys.stderr)
print(*sorted({test for _, test in there} - second))
print(*sorted(second))
sys.exit(bool(wrong))
' "$computes") || fail "the lists of scripts/tests.sh"
{ read -ra first && read -ra second; } <<<"$chosen"

# All at once, and what other tests load: built beside what waits, it would make that late.
attend "${tests[@]}" --no-run || fail "the build of the tests"
"${tests[@]}" --no-run 2>&1 | sed -nE 's/^ *Executable .*\((.*)\)$/\1/p' >"$out/built"
built=$(wc -l <"$out/built")
whole_crate=$(realpath "$(grep "/${own//-/_}-" "$out/built")") || fail "$own, whose tests were not found,"
# Packages and clients that tests of both queues use.
attend scripts/dashboard.sh prepare || fail "the clients in JavaScript"

named() { printf -- '--test\n%s\n' "$@"; }
mapfile -t first < <(named "${first[@]}")
mapfile -t second < <(named "${second[@]}")
(queue first "${tests[@]}" --exclude "$own" --no-fail-fast --lib --bins "${first[@]}") &
groups=("$!")
(
  queue pages nice -n 10 scripts/dashboard.sh test
  pages=$?
  queue second nice -n 10 "${tests[@]}" --no-fail-fast "${second[@]}"
  second=$?
  queue own binary "$own_in" "$whole_crate"
  exit "$((pages | second | $?))"
) &
groups+=("$!")
while kill -0 "${groups[@]}" 2>/dev/null; do
  sleep "$look" &
  wait "$!"
  watch
done
wait "${groups[0]}"
first=$?
wait "${groups[1]}" && exit "$first"
