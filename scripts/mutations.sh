#!/usr/bin/env bash
# Changes a program, or a rule of the nodes, in one line, builds it, runs the tests of what it does, and says whether one of them notices: a
# change that nobody notices is a rule that nobody tests. The tables of compute units are left out, since they notice any change.
#
# mutations.sh            all of them (minutes each); exit 1 if one survives
# mutations.sh WORD       those whose names hold a word
# mutations.sh --check    only whether each still finds its line
#
# Works on a copy of what is committed; needs what programs/elf/build.sh needs.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Name | file below programs/, or inference/ and below | what stands there | what is put there. Each must stand there exactly once.
mutations=(
    "stake-that-is-still-activating-judges|ai-precompiles/src/jury.rs|let stake = validator.active_stake(slot);|let stake = validator.active_stake(u64::MAX);"
    "a-juror-needs-no-stake|ai-precompiles/src/jury.rs|if validator.active_stake(slot) < least.get() {|if validator.active_stake(u64::MAX) < least.get() {"
    "a-jury-takes-more-than-it-brings|ai-precompiles/src/verdict.rs|let due = game::slash_cap(ruling.decision.ground, half, case.committed_stake.get());|let due = game::slash_cap(ruling.decision.ground, half, u64::MAX);"
    "a-second-conviction-shortens-jail|ai-precompiles/src/verdict.rs|let until = until.max(submitter.jailed_until.get());|"
    "joining-has-no-end|ai-precompiles/src/claim.rs|if !joining \|\| !window::open(by.slot, case.joining_end()) {|if !joining {"
    "commits-begin-early|ai-precompiles/src/jury.rs|\|\| window::open(slot, case.commit_start())|\|\| window::open(slot, 0)"
    "a-verdict-needs-seats-only|interface/src/dispute.rs|mask.count_ones() >= quorum(seats) \&\& self.firsts(mask).count_ones() >= least_keys(seats)|mask.count_ones() >= quorum(seats)"
    "every-false-claim-costs-the-same|interface/src/dispute.rs|at_stake = product(each, u64::from(standing.nth))?;|at_stake = each;"
    "fines-lapse-at-once|ai-precompiles/src/verdict.rs|let lapsed = case.all_paid() \&\& !window::open(slot, case.forfeit_end());|let lapsed = case.all_paid();"
    "a-closed-validator-leaves-its-activating-stake|ai-precompiles/src/validator.rs|            validator.activating,|"
    "a-closed-validator-leaves-its-earnings|ai-precompiles/src/validator.rs|            validator.claimable,|"
    "a-grant-ends-before-its-cap|ai-precompiles/src/grant.rs|if lifetime_spent > grant.lifetime_cap.get() {|if lifetime_spent >= grant.lifetime_cap.get() {"
    "a-nonce-ends-a-slot-early|ai-precompiles/src/job.rs|if slot > expiry {|if slot >= expiry {"
    "a-nonce-may-not-live-so-long|ai-precompiles/src/job.rs|if expiry > slot.saturating_add(|if expiry >= slot.saturating_add("
    "a-bond-is-of-active-stake-alone|ai-precompiles/src/job.rs|job.stake_at_result.set(validator.standing_stake(slot));|job.stake_at_result.set(validator.active_stake(slot));"
    "rented-stake-makes-bonds-dear|ai-precompiles/src/job.rs|job.stake_at_result.set(validator.standing_stake(slot));|job.stake_at_result.set(validator.whole_stake());"
    "an-answer-is-paid-by-the-leaf|interface/src/dispute.rs|leaves.div_ceil(leaves_in_one_call(tokens) as u32)|leaves"
    "options-are-taken-for-any-model|ai-precompiles/src/job.rs|if !profile.is_replayed() \&\& !model.spec.is_exact() {|if false {"
    "options-need-an-exact-model-in-every-profile|ai-precompiles/src/job.rs|if !profile.is_replayed() \&\& !model.spec.is_exact() {|if !model.spec.is_exact() {"
    "a-choice-by-options-is-replayed-from-its-leaf|interface/src/state/job.rs|match profile.is_some_and(\|profile\| !profile.is_replayed()) {|match false {"
    "no-choice-is-replayed|interface/src/state/job.rs|match profile.is_some_and(\|profile\| !profile.is_replayed()) {|match true {"
    "an-answer-holds-what-jurors-say-of-none|interface/src/leaf.rs|match leaf.token == NO_TOKEN {|match false {"
    "four-by-options-are-not-checked|interface/src/leaf.rs|pub fn check_unreplayed(leaf: \&Leaf) -> Result<(), LeafFault> {|pub fn check_unreplayed(leaf: \&Leaf) -> Result<(), LeafFault> { return Ok(());"
    "whoever-leaves-the-grammar-is-back-in-it|interface/src/choice.rs|let is_possible = self.in_grammar \&\&|let is_possible ="
    "an-answer-goes-on-after-its-end|interface/src/choice.rs|\&\& !self.is_over|"
    "a-stop-is-believed|interface/src/choice.rs|(self.stops_here \|\| !claims_stop)|true"
    "a-long-output-has-no-more-time|interface/src/window.rs|rules.openings_slots.get() as u64 + chunks as u64 / 4|rules.openings_slots.get() as u64"
    "a-fault-ends-a-case-though-somebody-says-false|ai-precompiles/src/verdict.rs|if case.false_count != 0 \&\& case.shown_slot.get() != 0 {|if case.false_count == u8::MAX {"
    "a-fault-that-was-noted-is-forgotten|ai-precompiles/src/verdict.rs|(true, _) if case.prover != NO_KEY => Ground::Fault,|"
    "who-names-a-proven-fault-may-be-wrong|interface/src/dispute.rs|(true, _) if said.proved => Outcome::Right,|"
    "a-proof-shows-nothing|ai-precompiles/src/verdict.rs|\&\& show_named(case, leaf, OpenedLeaf::condemn) == Some(true);|\&\& show_named(case, leaf, \|_, _\| {}) == Some(true);"
    "a-proof-shows-too-late|ai-precompiles/src/verdict.rs|let shows = window::open(slot, case.leaves_due())|let shows = window::open(slot, u64::MAX)"
    "nobody-collects-for-a-fault|ai-precompiles/src/verdict.rs|if case.prover == *authority \&\& case.prover_amount.get() != 0 {|if false {"
    "who-wins-no-seat-does-not-count|ai-precompiles/src/jury.rs|match take_seats(\&mut case, \&candidate) \|\| counted {|match take_seats(\&mut case, \&candidate) {"
    "who-commits-again-counts-again|ai-precompiles/src/jury.rs|if case.counts(authority) {|if false {"
    "a-job-is-declined-after-its-grace|ai-precompiles/src/settle.rs|if !window::open(slot, job.submit_end()) {|if !window::open(slot, job.deadline_slot.get()) {"
    "added-stake-ends-no-jail|ai-precompiles/src/validator.rs|    stake::activate(\&mut *validator, slot)?;|"
    "added-stake-backs-no-job|ai-precompiles/src/validator.rs|    stake::activate(validator, slot)?;|"
    "who-proves-every-second-epoch-is-paid-for-all|interface/src/market/meter.rs|            _ => whole,|            _ => whole + whole / 2,"
    "closing-at-the-boundary-is-free|interface/src/market/meter.rs|        match self.is_overdue(slot) {|        match true {"
    "an-overdue-provider-is-paid|interface/src/market/meter.rs|        let closed = !crate::window::open(slot, self.proof_end(epoch));|        let closed = false;"
    "a-friend-gets-all-that-is-slashed|interface/src/market/params.rs|pub const REFUTER_BPS: u16 = 2_500;|pub const REFUTER_BPS: u16 = 10_000;"
    "a-disputed-epoch-is-paid|interface/src/market/state/lease.rs|            \&\& self.epoch.get() < held_from|"
    "what-is-newer-than-a-disputed-epoch-is-paid|interface/src/market/state/lease.rs|self.epoch.get() < held_from|self.open_disputes.get() == 0"
    "an-answer-has-no-more-time|interface/src/market/state/lease.rs|u64::from(rules.openings_slots.get()) + others)|rules.openings_slots.get().into())"
    "leaving-costs-more-than-there-was|interface/src/market/meter.rs|let most = left.min(now.saturating_sub(self.started_at));|let most = left;"
    "silence-to-the-end-costs-nothing|interface/src/market/meter.rs|Some(epochs) if now >= self.ends_at => missed.min(epochs),|Some(_) if now >= self.ends_at => 0,"
    "epochs-after-the-end-were-silent|interface/src/market/meter.rs|Some(epochs) if now >= self.ends_at => missed.min(epochs),|"
    "many-disputes-are-cheap|interface/src/market/meter.rs|checked_mul(half(epoch_price), u64::from(open_disputes) + 1)|checked_mul(half(epoch_price), 1)"
    "an-ended-lease-is-not-backed|compute-market/src/lease.rs|let all = behind(u64::from(provider.backed.get()) + units);|let all = behind(u64::from(provider.leased.get()) + units);"
    "a-lease-closes-while-it-can-be-disputed|compute-market/src/lease.rs|rules.close_delay_slots.get().max(rules.dispute_slots.get());|rules.close_delay_slots.get();"
    "stake-of-an-ended-lease-leaves|interface/src/market/state/provider.rs|let backed = u64::from(self.backed.get());|let backed = u64::from(self.leased.get());"
    "a-lease-that-was-never-proved-is-backed|interface/src/market/state/lease.rs|self.last_proved.get() > meter::epoch_of|self.last_proved.get() >= meter::epoch_of"
    "a-sham-start-costs-the-provider-nothing|compute-market/src/close.rs|            (burned, burned)|            (burned, 0)"
    "a-sham-start-costs-less-than-none|compute-market/src/close.rs|.max(least);|;"
    "an-operator-leaves-at-once|compute-market/src/close.rs|(true, _) => check_authority(|(true, _) => check_either("
    "a-tenant-that-closes-forgives-silence|compute-market/src/close.rs|Active \| Closing => Ok(Step::Burn(silence)),|Active \| Closing => Ok(Step::Burn(0)),"
    "proved-notice-is-forgotten|compute-market/src/close.rs|notice.saturating_sub(lease.notice_proved.get().into())|notice"
    "notice-counts-its-own-epoch|compute-market/src/proof.rs|if closing \&\& epoch > lease.notice_epoch.get() {|if closing {"
    "a-friends-word-shields-a-proof|compute-market/src/dispute.rs|let states = [EpochState::Pending, EpochState::Unserved];|let states = [EpochState::Pending];"
    "a-younger-dispute-takes-the-reward|compute-market/src/verdict.rs|if dispute.number.get() != lease.oldest_dispute() {|if false {"
    "an-emptied-disputer-keeps-the-rent|compute-market/src/verdict.rs|if accounts::takes(disputer, due)? {|if true {"
    "an-emptied-tenant-keeps-the-lease|compute-market/src/lease.rs|let taken = accounts::takes(tenant, due)?;|let taken = true;"
    "an-emptied-tenant-keeps-the-request|compute-market/src/request.rs|if !accounts::takes(tenant, amount)? {|if false {"
    "seconds-are-added-in-the-last-one|compute-market/src/lease.rs|now.saturating_add(TOP_UP_SECONDS) > lease.ends_at.get()|now >= lease.ends_at.get()"
    "a-start-that-nobody-acknowledged-is-paid|compute-market/src/proof.rs|if lease.acknowledged_slot.get() == 0 {|if false {"
    "a-dead-forks-proof-is-taken|compute-market/src/proof.rs|match first == (args.first_slot.get(), args.hash) {|match first.0 > 0 {"
    "a-disputed-epoch-loses-its-place|compute-market/src/proof.rs|if old.state != 0 \&\& old.epoch.get() >= lease.held_from() {|if false {"
    "silence-costs-nothing|compute-market/src/close.rs|CloseReason::MissedProofs => Ok(Step::Burn(silence)),|CloseReason::MissedProofs => Ok(Step::Burn(0)),"
    "notice-without-work-costs-nothing|compute-market/src/close.rs|CloseReason::ClosedByProvider => Ok(Step::Compensate(owed(lease, by, by.second)?)),|CloseReason::ClosedByProvider => Ok(Step::Compensate(0)),"
    "epochs-after-the-end-are-missed|compute-market/src/close.rs|        CloseReason::MissedProofs if over => Err(MythicError::LeaseOver),|"
    "units-are-held-for-a-second|compute-market/src/request.rs|if !(least..=most).contains(\&args.seconds) {|if args.seconds > most {"
    "units-are-held-for-less-than-no-show|compute-market/src/request.rs|if escrow < config.params.rules.no_show.get() {|if false {"
    "a-cheaper-provider-holds-units-for-less|compute-market/src/lease.rs|if all < asked.rules.no_show.get() {|if false {"
    "an-unacknowledged-start-outlives-its-time|compute-market/src/close.rs|CloseReason::NeverAcknowledged if !over \&\& window::open|CloseReason::NeverAcknowledged if window::open"
    "an-end-is-of-another-status|compute-market/src/close.rs|if lease.header.status != args.expected {|if false {"
    "a-bond-grows-unseen|compute-market/src/dispute.rs|match lamports <= args.most.get() {|match true {"
    "an-outage-is-income|interface/src/market/meter.rs|refuter_reward(slashed).min(bond)|refuter_reward(slashed)"
    "an-answer-costs-more-than-an-epoch|interface/src/market/params.rs|if rules.answering_fee > rules.min_epoch_price \|\| no_show|if no_show"
    "no-show-has-no-bound|interface/src/market/params.rs| \|\| no_show > rules.min_epoch_price.get() {| {"
    "starts-have-no-floor|interface/src/market/params.rs|if !within(rules.start_slots, MIN_START_SLOTS, |if !within(rules.start_slots, 1, "
    "acknowledgements-have-no-floor|interface/src/market/params.rs|within(rules.ack_slots, MIN_START_SLOTS, |within(rules.ack_slots, 1, "
    "an-acknowledgement-takes-more-than-an-epoch|interface/src/market/params.rs|MIN_START_SLOTS, grid.epoch_slots.get())|MIN_START_SLOTS, MAX_DURATION_SLOTS)"
    "disputes-outlive-the-ring|interface/src/market/params.rs|            \|\| dispute > ring|"
    "slots-are-shorter-than-the-caps-mean|interface/src/market/params.rs|            \&\& slots <= 20 * seconds|"
    "slots-are-longer-than-the-caps-mean|interface/src/market/params.rs|            \&\& seconds <= 2 * slots;|            ;"
    "proofs-have-no-floor|interface/src/market/state/class.rs|(MIN_PROOF_SLOTS..=longest)|(1..=longest)"
    "proofs-take-more-than-half-an-epoch|interface/src/market/state/class.rs|MAX_WINDOW_SLOTS.min(grid.epoch_slots.get() / 2)|MAX_WINDOW_SLOTS"
    "stake-leaves-in-a-dispute|compute-market/src/provider.rs|if provider.open_disputes.get() != 0 {|if false {"
    "stake-of-leased-units-leaves|compute-market/src/provider.rs|match provider.stake.get() < provider.stake_in_use() {|match false {"
    "a-unit-is-leased-twice|compute-market/src/lease.rs|if provider.free_units() < asked.units.into() {|if false {"
    "a-flood-of-one-submitter-goes-first|inference/node/src/verify/lane.rs|        all.values_mut().for_each(\|slots\| *slots /= SHARE);|        all.values_mut().for_each(\|slots\| *slots = 0);"
    "votes-wait-for-checks|inference/node/src/verify/lane.rs|(want.purpose != Purpose::Vote, share, want.purpose)|(want.purpose == Purpose::Vote, share, want.purpose)"
    "what-comes-too-late-is-computed|inference/node/src/verify/lane.rs|(runs != Some(want.job) \&\& done > want.end).then_some(Left::Late)|None"
    "a-pass-never-makes-room|inference/node/src/verify/lane.rs|                \&\& done > want.end|                \&\& false"
    "a-bait-is-bid-for-like-a-lie|inference/node/src/verify/worth.rs|(known.max(found), balance.unanswered.min(fees))|(known, balance.unanswered)"
    "baits-take-all-the-money|inference/node/src/verify/purse.rs|    match balance >= largest {|    if balance != 0 { return 0; } match balance >= largest {"
    "baits-are-claimed-without-end|inference/node/src/verify/purse.rs|if all.len() >= MOST_OPEN \|\| of_one >= MOST_OF_ONE {|if false {"
    "who-answers-is-asked-as-often|inference/node/src/verify/purse.rs|if u32::from(lot).trailing_zeros() < answered {|if false {"
    "a-poisoned-registration-is-served|inference/node/src/setup.rs|(\"end-of-sequence ids\", ends.eq(self.ends.iter().copied())),|(\"end-of-sequence ids\", true),"
    "an-answer-that-ends-wrong-is-sealed|inference/node/src/seams.rs|            Some(position) => Err(EvidenceError::End { position }),|            Some(_) => Evidence::seal(draft),"
    "large-liars-are-too-dear|inference/verifier/src/policy.rs|let part = u128::from(right) * u128::from(self.max_false_bps) / 10_000;|let part = 2_000_000_000u128;"
    "what-is-named-and-not-shown-does-not-wait|inference/verifier/src/docket.rs|waits: !case.is_shown(),|waits: case.shown_slot.get() == 0,"
    "one-submitter-has-every-place|inference/verifier/src/docket.rs|all < MOST_CASES \&\& own < MOST_OF_ONE|all < MOST_CASES"
    "an-element-is-computed-without-its-link|compute-market/src/opening.rs|if dispute.rooted \& dispute.linked \& bit == 0 {|if dispute.rooted \& bit == 0 {"
)

copy=$(mktemp -d)
trap 'git -C "$root" worktree remove --force "$copy/tree" 2>/dev/null || true; rm -rf "$copy"' EXIT
git -C "$root" worktree add --quiet --detach "$copy/tree" HEAD
export SBF_TARGET_DIR=$copy/sbf

# Puts a mutation in; says so if its line is not there once.
mutate() {
    local file=$copy/tree/programs/$1
    [[ $1 == inference/* ]] && file=$copy/tree/$1
    MUTATION_FROM=$2 MUTATION_TO=$3 python3 - "$file" <<'PYTHON'
import os, sys
path = sys.argv[1]
text = open(path).read()
put = lambda name: os.environ[name].replace("\\|", "|").replace("\\&", "&")
old, new = put("MUTATION_FROM"), put("MUTATION_TO")
if text.count(old) != 1:
    sys.exit(f"{path}: {text.count(old)} times: {old}")
open(path, "w").write(text.replace(old, new))
PYTHON
}

# Runs the unit tests of a crate of the nodes in the mutated tree; fails if one does.
decided() {
    (cd "$copy/tree" && CARGO_TARGET_DIR=$root/target/mutations cargo test --quiet -p "$1" --lib >"$copy/log" 2>&1)
}

# Runs some suites of the mutated tree; fails if a test of theirs does.
played() {
    (cd "$copy/tree" && CARGO_TARGET_DIR=$root/target/mutations cargo test --quiet -p mythic-program-tests "${@/#/--test=}" >"$copy/log" 2>&1)
}

survivors=0
for mutation in "${mutations[@]}"; do
    # `\|` is a bar of the line, `|` ends a field.
    IFS=$'\x1f' read -r name file old new <<<"$(sed -E 's/([^\\])\|/\1\x1f/g' <<<"$mutation")"
    [[ ${1:-} == --check || $name == *"${1:-}"* ]] || continue
    git -C "$copy/tree" checkout --quiet .
    mutate "$file" "$old" "$new"
    if [[ ${1:-} == --check ]]; then
        echo "found: $name"
        continue
    fi
    [[ $file == inference/* ]] || "$copy/tree/programs/elf/build.sh" >"$copy/log" 2>&1 || { cat "$copy/log"; echo "not built: $name"; exit 1; }
    case $file in
        inference/node/*) suites=("mythic-node") ;;
        inference/verifier/*) suites=("mythic-verifier") ;;
        compute-market/* | interface/src/market/*) suites=("market") ;;
        *) suites=("refusals success disputes attacks invariants" "fair_play random random_disputes") ;;
    esac
    survived=yes
    for together in "${suites[@]}"; do
        case $together in
            # shellcheck disable=SC2086 # a list of names
            mythic-*) decided $together || { survived=; break; } ;;
            # shellcheck disable=SC2086
            *) played $together || { survived=; break; } ;;
        esac
    done
    if [[ $survived ]]; then
        echo "SURVIVES: $name"
        survivors=$((survivors + 1))
    else
        echo "noticed: $name ($(grep -m1 -oE "^test .* FAILED|^    [a-z_:]+$" "$copy/log" || echo "see the log"))"
    fi
done
[[ $survivors == 0 ]]
