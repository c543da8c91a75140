// A small network, as a gateway's API would tell of it. Strangers wrote some of its texts.
import { createHash } from "node:crypto";

const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/** The address of a name: 32 bytes that are its own, in base58. */
export function key(name) {
  let number = BigInt("0x" + createHash("sha256").update(name).digest("hex")) | (1n << 255n);
  let text = "";
  for (; number > 0n; number /= 58n) text = ALPHABET[Number(number % 58n)] + text;
  return text;
}

const hash = (name) => createHash("sha256").update(name).digest("hex");
const ago = (seconds) => new Date(Date.now() - seconds * 1000).toISOString();

export const HOSTILE = `<img src=x onerror="document.title='owned'">javascript:alert(1)//"'\u202e`;
export const SLOT = 123_456;

const held = { commitment: "finalized", exact: true };
const model = "smollm2-135m-instruct@0b5cf7d8";

function job(number, changes = {}) {
  const from = SLOT - 10 * number;
  const steps = ["open", "accepted", "submitted", "settled"].map((status, step) => ({ status, slot: from + step * 3, at: ago(number * 5 - step), commitment: "finalized", signature: key("transaction" + number + status) }));
  return {
    object: "job", id: key("job" + number), status: "settled", ...held, model, model_address: key("model"), validator: key("validator" + (number % 3)), owner: key("owner"), requester: key("delegate"),
    prompt_tokens: 31, output_tokens: 60, max_output_tokens: 60, finish_reason: "length", end_reason: "claimed", price_in: 25_000, price_out: 50_000, ceiling_lamports: 4_000, fee_lamports: 3_775,
    validator_lamports: 1_888, foundation_lamports: 377, burned_lamports: 1_510, refunded_lamports: 225, slashed_lamports: 0, prompt_hash: hash("prompt"), terms_hash: hash("terms"), output_root: hash("root" + number),
    fingerprint: hash("print" + number), seed: hash("seed"), temperature_milli: 1_000, requested_slot: from, deadline_slot: from + 900, submitted_slot: from + 6, window_end_slot: from + 106, ended_slot: from + 9,
    closed_slot: null, open_disputes: 0, requested_at: ago(number * 5), ended_at: ago(number * 5 - 3), transitions: steps, dispute: null, ...changes,
  };
}

const UNPAID = { fee_lamports: null, validator_lamports: null, foundation_lamports: null, burned_lamports: null, refunded_lamports: null, slashed_lamports: null, ended_slot: null, ended_at: null, end_reason: null };

/** A job in its window. */
export const running = () => {
  const whole = job(0, { ...UNPAID, status: "submitted", commitment: "confirmed", submitted_slot: SLOT - 40, window_end_slot: SLOT + 60 });
  return { ...whole, transitions: whole.transitions.slice(0, 3) };
};

export const CASE = key("case");
export const LEASE = key("lease");
export const REQUEST = key("open request");
export const PROVIDER = key("provider");

function theCase() {
  return {
    object: "case", id: CASE, job: key("job3"), job_status: "disputed", model, model_address: key("model"), challenger: key("validator1"), submitter: key("validator0"), prover: null, status: "jury", phase: "commit",
    next: { event: "commit_end", slot: SLOT + 40, slots_left: 40, seconds_left: 16 }, slot: SLOT, verdict: null, ground: null, ...held, commitment: "processed", fingerprint: hash("print3"), exact_profile: true, claims: 1, false_claims: 1,
    sampled_positions: 16, named_positions: 2, opened_positions: 18, output_tokens: 60, output_chunks_posted: 1, jury_seats: 3, committed_seats: 2, revealed_seats: 0, stake_at_result_lamports: 10_000_000_000,
    committed_stake_lamports: 20_000_000_000, tariff_lamports: 28_000, bonds_lamports: 500_184_750, slashed_lamports: null, reward_lamports: null, claimants_lamports: null, jurors_lamports: null, submitter_lamports: null,
    prover_lamports: null, burned_lamports: null, penalties_lamports: null, collected: false, submitted_slot: SLOT - 300, opened_slot: SLOT - 290, shown_slot: SLOT - 280, joining_end_slot: SLOT - 180, leaves_slot: SLOT - 180,
    leaves_due_slot: SLOT - 130, commit_from_slot: SLOT - 60, commit_end_slot: SLOT + 40, reveal_end_slot: SLOT + 90, due_slot: SLOT + 90, resolved_slot: null, closed_slot: null, opened_at: ago(120), resolved_at: null,
    all_claims: [
      { place: 0, claimant: key("validator1"), kind: "false", outcome: null, claimed_slot: SLOT - 290, positions: [12, 40], digest_place: 2, digest: hash("digest"), bond_lamports: 500_184_750, at_stake_lamports: 500_000_000, answering_fee_lamports: 100_000, tariffs_lamports: 84_750, amount_lamports: null, reward_lamports: null, collected: false },
    ],
    jurors: [
      { seat: 0, juror: key("validator1"), committed_slot: SLOT - 50, revealed_slot: null, finds_sample_true: null, finds_true: null, agrees: null, digests: null, reward_lamports: null, penalty_lamports: null, outcome: null, collected: false },
      { seat: 1, juror: key("validator2"), committed_slot: SLOT - 48, revealed_slot: null, finds_sample_true: null, finds_true: null, agrees: null, digests: null, reward_lamports: null, penalty_lamports: null, outcome: null, collected: false },
    ],
    openings: [
      { position: 3, asked_by: "sample", claim_place: null, shown: true, token: 284, ids: [284, 253, 357, 260], logits: [1_310_720, 1_245_184, 1_114_112, 983_040] },
      { position: 12, asked_by: "claim", claim_place: 0, shown: false, token: null, ids: null, logits: null },
    ],
    output: [],
  };
}

function validator(number) {
  return {
    object: "validator", id: key("account" + number), authority: key("validator" + number), operator: key("operator" + number), stake: 10_000_000_000, activating: 0, unbonding: 0, open_jobs: number, open_disputes: 0,
    claimable: 120_000, owed_foundation: 24_000, owed_burn: 96_000, gpu_name: number === 1 ? HOSTILE : number === 2 ? "" : "NVIDIA H200", vram_mib: number === 2 ? 0 : 143_771, endpoint: number === 1 ? HOSTILE : "https://node.example:4101",
    models: [{ model: key("model"), since_slot: 100 }], status: "active", jobs_settled: 40 + number, jobs_missed: number, jobs_declined: 1, earned: 9_007_199_254_740_991, slashed: 0, registered_slot: 90, registered_at: ago(90_000),
    jailed_until: null, ...held, live: number === 2 ? null : { version: "0.14.0", running: 1, queued: 0, queued_tokens: 0, max_concurrent: 4, tokens_per_second: 93.5, draining: false },
  };
}

const MONEY = {
  deposited_lamports: 6_000_000, compensated_lamports: 0, escrow_lamports: 2_000_000, pending_lamports: 1_000_000, paid_lamports: 1_500_000, foundation_lamports: 300_000, burned_lamports: 1_200_000, refunded_lamports: 0,
  tenant_due_lamports: 0, slashed_lamports: 0, held_lamports: 3_000_000, astray_lamports: 0,
};

function epoch(number, status) {
  const paid = status === "released";
  return {
    epoch: number, status, proved: true, seconds: 60, amount_lamports: 600_000, provider_lamports: paid ? 300_000 : null, foundation_lamports: paid ? 60_000 : null, burned_lamports: paid ? 240_000 : null, refunded_lamports: paid ? 0 : null,
    metered_slot: number * 150 + 20, metered_at: ago(60), dispute_end_slot: number * 150 + 120, open_disputes: 0, hash: hash("epoch" + number), proof: hash("proof" + number), in_ring: true, ...held,
  };
}

function lease() {
  return {
    object: "lease", id: LEASE, request: key("request"), tenant: key("tenant"), provider: PROVIDER, class: key("class"), class_name: "cpu", kind: "endpoint", model, model_address: key("model"), status: "active", reason: null,
    next: { event: "proof_end", slot: SLOT + 30, slots_left: 30, seconds_left: 12 }, slot: SLOT, epoch: Math.floor(SLOT / 150), ...held, commitment: "processed", units: 1, price_lamports: 10_000, seconds: 600, epoch_slots: 150, epoch_seconds: 60,
    proof_slots: 50, matrix_side: 512, rounds: 8, stake_per_unit_lamports: 1_000_000_000, terms_hash: hash("lease terms"), access_hash: hash("access"), accepted_slot: SLOT - 1_000, start_end_slot: SLOT - 850, started_slot: SLOT - 990,
    ack_end_slot: SLOT - 890, acknowledged_slot: SLOT - 980, notice_epoch: null, ended_slot: null, refuted_slot: null, closed_slot: null, accepted_at: ago(400), started_at: ago(396), acknowledged_at: ago(392), metered_at: ago(60), ends_at: ago(-200),
    ended_at: null, epochs_proved: 4, epochs_missed: 1, last_proved_epoch: Math.floor(SLOT / 150), disputes: 0, open_disputes: 0, updated_at: ago(60), ...MONEY,
    events: [{ event: "accepted", epoch: null, slot: SLOT - 1_000, at: ago(400), detail: null, commitment: "finalized", signature: key("lease transaction") }, { event: "started", epoch: null, slot: SLOT - 990, at: ago(396), detail: null, commitment: "finalized", signature: null }],
  };
}

const page = (data, has_more = false) => ({ object: "list", data, has_more });

/** Everything that the pages ask for; tests change it. */
export function world() {
  const jobs = [running(), ...Array.from({ length: 30 }, (_, place) => job(place + 1))];
  jobs[3] = job(3, { status: "disputed", dispute: { id: CASE, status: "jury", verdict: null, ground: null, challenger: key("validator1"), claims: 1 }, ...UNPAID });
  const now = Math.floor(SLOT / 150);
  return {
    jobs,
    cases: [theCase()],
    validators: [0, 1, 2].map(validator),
    models: [
      {
        object: "model", id: model, name: "smollm2-135m-instruct", identity: hash("identity"), address: key("model"), created: 1_770_000_000, owned_by: key("admin"), status: "active", kernel_profile: "exact-1",
        price_in_lamports_per_1k: 25_000, price_out_lamports_per_1k: 50_000, context_length: 8_192, max_job_tokens: 4_096, validators: 3, judges: { mature: 3, needed: 4, enough: false },
      },
      { object: "model", id: HOSTILE + "@00000000", name: HOSTILE, identity: hash("other"), address: key("other model"), created: null, owned_by: null, status: null, kernel_profile: null, price_in_lamports_per_1k: null, price_out_lamports_per_1k: null, context_length: null, max_job_tokens: null, validators: null, judges: null },
    ],
    prices: [{ slot: SLOT - 200, at: ago(7_000), price_in_lamports_per_1k: 25_000, price_out_lamports_per_1k: 50_000, retired: false, exact: true }, { slot: 90, at: ago(90_000), price_in_lamports_per_1k: 20_000, price_out_lamports_per_1k: 40_000, retired: false, exact: true }],
    network: {
      object: "network", slot: SLOT, finalized_slot: SLOT - 32, registered_validators: 3, gpus: 2, staked_lamports: 30_000_000_000, jobs: 31, jobs_settled: 29, jobs_refunded: 0, jobs_slashed: 0, disputes: 1, disputes_open: 1, prompt_tokens: 961,
      output_tokens: 1_860, fee_lamports: 113_250, slashed_lamports: 0, burned_lamports: 100_045_300, active_validators: 2, capacity_tokens_per_second: 748.2,
    },
    health: {
      object: "health", status: "degraded", index_lag_slots: 1, uptime_seconds: 4_321, version: "0.14.0",
      components: {
        chain: { state: "ok", slot: SLOT + 1 }, database: { state: "ok" },
        index: { state: "ok", processed_slot: SLOT, confirmed_slot: SLOT - 2, finalized_slot: SLOT - 32, committed_at: ago(0), gaps_open: 0, inexact_through: null, dead_letters: 0, quarantined: 0, alarms: 1, feed_seq: 900, feed_oldest: 1, genesis_hash: key("genesis"), silent_seconds: 0, waits_for: null, beat_seconds: 1 },
        settler: { state: "ok", waits_for: null, beat_seconds: 1, silent_seconds: 12 }, alarms: { state: "raised", kinds: [{ kind: "gap", open: 1, since: ago(400), newest: HOSTILE, newest_at: ago(300), clears_itself: true }] },
        feed: { state: "ok", newest: 900, subscribers: 1 }, validators: { state: "ok", registered: 3, announced: 2 }, fee_payer: { state: "ok", address: key("payer"), lamports: 9_000_000_000 }, requests: { state: "ok", running: 1 },
      },
      reconciliation: {
        ok: true, context_slot: SLOT - 40, accounts: 61, differing: 0, confirmed: 0, unbacked: 0, inexact: 0, stored_on_chain: { vault: 5_000_000_000, validator: 30_000_240_000, job: 4_000 }, stored_in_index: { vault: 5_000_000_000, validator: 30_000_240_000, job: 4_000 },
        details: [], checked_at: ago(12), silent_seconds: 12,
      },
    },
    days: [1, 0].map((days) => ({
      day: ago(86_400 * (1 - days)).slice(0, 10), jobs_requested: 15, jobs_submitted: 15, jobs_settled: 14 + days, jobs_refunded: 0, jobs_slashed: 0, owners: 1, validators: 3, prompt_tokens: 480, output_tokens: 930, fee_lamports: 56_625, validator_lamports: 28_320,
      foundation_lamports: 5_655, burned_lamports: 22_650, disputes: 0, slashed_lamports: 0, cursor: "20260101.",
    })),
    burned: [1, 0].map((days) => ({
      day: ago(86_400 * (1 - days)).slice(0, 10), fee_lamports: 22_650, registration_lamports: days ? 0 : 100_000_000, dispute_lamports: 0, lease_lamports: 1_200_000, lease_dispute_lamports: 0, lease_unserved_lamports: 0,
      burned_lamports: 22_650 + 1_200_000 + (days ? 0 : 100_000_000), cursor: "20260101.",
    })),
    settlements: jobs.slice(4, 9).map((row) => ({ ...row, job: row.id, dispute: null, cursor: "1." })),
    burns: [{ kind: "fee", account: key("job4"), slot: SLOT - 31, at: ago(14), lamports: 1_510, cursor: "1." }, { kind: "registration", account: key("model"), slot: 90, at: ago(90_000), lamports: 100_000_000, cursor: "1." }],
    market: { object: "market", slot: SLOT, finalized_slot: SLOT - 32, paused: false, epoch_slots: 150, epoch_seconds: 60, treasury_lamports: 300_000, registered_providers: 1, offered_units: 4, leased_units: 1, staked_lamports: 5_000_000_000, open_requests: 1, leases: 1, running_leases: 1, epochs_proved: 4, epochs_missed: 1, disputes: 0, open_disputes: 0, ...MONEY },
    marketDays: [],
    providers: [{
      object: "provider", id: key("provider account"), authority: PROVIDER, operator: key("provider operator"), class: key("class"), class_name: "cpu", status: "active", units: 4, leased_units: 1, backed_units: 1, free_units: 3, price_lamports: 10_000,
      region: HOSTILE, isolation: "process", endpoint: HOSTILE, stake_lamports: 5_000_000_000, activating_lamports: 0, activation_slot: null, unbonding_lamports: 0, unbonding_slot: null, obliged_until_slot: null, stake_per_unit_lamports: 1_000_000_000,
      claimable_lamports: 1_500_000, owed_foundation_lamports: 0, owed_burn_lamports: 0, open_leases: 1, open_disputes: 0, leases: 1, epochs_proved: 4, epochs_missed: 1, proofs_refuted: 0, unserved_lamports: 0, earned_lamports: 1_500_000, slashed_lamports: 0,
      registered_slot: 95, registered_at: ago(80_000), updated_slot: 95, jailed_until_slot: null, ...held,
    }],
    classes: [{ object: "class", id: key("class"), name: "cpu", retired: false, matrix_side: 512, rounds: 8, proof_slots: 50, stake_per_unit_lamports: 1_000_000_000, vram_mib: 0, calibrated: true, registered_slot: 92, registered_at: ago(85_000), ...held }],
    requests: [{
      object: "lease_request", id: REQUEST, tenant: key("tenant"), class: key("class"), class_name: "cpu", provider: null, model: null, status: "open", kind: "container", units: 1, region: "", isolation: "container", price_lamports: 12_000,
      seconds: 600, deposited_lamports: 7_200_000, escrow_lamports: 7_200_000, refunded_lamports: 0, spec_hash: hash("spec"), spec_source: HOSTILE, terms_hash: hash("request terms"), epoch_slots: 150, epoch_seconds: 60, lease: null, requested_slot: SLOT - 20, deadline_slot: SLOT + 400, ended_slot: null, closed_slot: null, requested_at: ago(8), ended_at: null, ...held,
    }],
    leases: [lease()],
    epochs: [epoch(now, "pending"), epoch(now - 1, "released"), epoch(now - 3, "released"), epoch(now - 4, "released")],
    evidence: null,
    receipt: null,
    metrics: 'mythic_gateway_first_text_seconds_bucket{le="0.5"} 2\nmythic_gateway_first_text_seconds_bucket{le="1"} 30\nmythic_gateway_first_text_seconds_bucket{le="+Inf"} 30\n',
  };
}

const refusal = (status, code, message) => ({ status, body: { error: { message, type: "invalid_request_error", param: null, code } } });
const found = (row, code) => (row ? { status: 200, body: row } : refusal(404, code, "it is not indexed"));

/** What a route answers. */
export function answer(all, path, query) {
  const [, , kind, id, part] = path.split("/");
  const filtered = (rows, ...names) => rows.filter((row) => names.every((name) => !query.get(name) || row[name] === query.get(name)));
  const limit = Number(query.get("limit") ?? 20);
  const list = (rows) => ({ status: 200, body: page(rows.slice(0, limit), rows.length > limit) });
  switch (kind) {
    case "network": return { status: 200, body: all.network };
    case "market": return { status: 200, body: all.market };
    case "models": {
      if (part === "prices") return list(all.prices);
      return id ? found(all.models.find((row) => row.id === decodeURIComponent(id)), "model_not_found") : list(all.models);
    }
    case "jobs": {
      if (!id) return list(filtered(all.jobs, "status", "validator", "owner", "model"));
      const row = all.jobs.find((row) => row.id === id);
      if (part === "evidence") return all.evidence ? { status: 200, body: all.evidence } : refusal(403, "evidence_forbidden", "evidence is for who paid");
      if (part === "receipt" && all.receipt?.job === id) return { status: 200, body: all.receipt };
      if (part === "receipt" && row) {
        const { validator_lamports, foundation_lamports, burned_lamports } = row;
        return { status: 200, body: { ...row, object: "receipt", job: row.id, price_in_lamports_per_1k: row.price_in, price_out_lamports_per_1k: row.price_out, split: { validator_lamports, foundation_lamports, burned_lamports }, attempts: [] } };
      }
      return found(row, "job_not_found");
    }
    case "cases": return id ? found(all.cases.find((row) => row.id === id), "case_not_found") : list(filtered(all.cases, "status", "job"));
    case "validators": return id ? found(all.validators.find((row) => row.authority === id || row.id === id), "validator_not_found") : list(all.validators);
    case "providers": return id ? found(all.providers.find((row) => row.authority === id || row.id === id), "provider_not_found") : list(all.providers);
    case "classes": return list(all.classes);
    case "requests": return id ? found(all.requests.find((row) => row.id === id), "request_not_found") : list(filtered(all.requests, "status"));
    case "leases": {
      if (part === "epochs") return list(all.epochs);
      if (part === "disputes") return list([]);
      return id ? found(all.leases.find((row) => row.id === id) && { ...all.leases.find((row) => row.id === id), epochs: all.epochs }, "lease_not_found") : list(filtered(all.leases, "status", "provider"));
    }
    case "stats": return { daily: list(all.days), settlements: list(all.settlements), burns: list(all.burns), burned: list(all.burned), market: list(all.marketDays) }[id] ?? refusal(404, "unknown_statistic", "there is no such statistic");
    default: return refusal(404, "unknown_route", "no such route");
  }
}
