// What pages read of the API's answers: docs/api.md and /openapi.json say what each field is. Fields that are not named here are let be.
import type { Amount } from "./format";

export interface List<T> {
  data: T[];
  has_more: boolean;
}

/** Commitment of the newest change, and whether a gap in the index may hide others. */
interface Held {
  commitment: string | null;
  exact: boolean | null;
}

export interface Transition {
  status: string | null;
  slot: number;
  at: string | null;
  commitment: string;
  signature: string | null;
}

export interface Job extends Held {
  id: string;
  status: string;
  model: string;
  model_address: string;
  validator: string | null;
  owner: string;
  requester: string;
  prompt_tokens: number;
  output_tokens: number | null;
  max_output_tokens: number;
  finish_reason: string | null;
  end_reason: string | null;
  price_in: number;
  price_out: number;
  ceiling_lamports: Amount;
  fee_lamports: Amount | null;
  validator_lamports: Amount | null;
  foundation_lamports: Amount | null;
  burned_lamports: Amount | null;
  refunded_lamports: Amount | null;
  slashed_lamports: Amount | null;
  prompt_hash: string;
  terms_hash: string | null;
  output_root: string | null;
  fingerprint: string | null;
  seed: string | null;
  temperature_milli: number;
  requested_slot: number | null;
  deadline_slot: number | null;
  submitted_slot: number | null;
  window_end_slot: number | null;
  ended_slot: number | null;
  requested_at: string | null;
  ended_at: string | null;
  transitions: Transition[] | null;
}

export interface JobDetails extends Job {
  dispute: { id: string; status: string; verdict: string | null; ground: string | null } | null;
  output?: string | null;
}

export interface Next {
  event: string;
  slot: number;
  slots_left: number;
  seconds_left: number | null;
}

export interface Case extends Held {
  id: string;
  job: string;
  job_status: string | null;
  model: string | null;
  challenger: string | null;
  submitter: string;
  prover: string | null;
  status: string;
  phase: string | null;
  next: Next | null;
  slot: number | null;
  verdict: string | null;
  ground: string | null;
  fingerprint: string;
  exact_profile: boolean;
  claims: number;
  sampled_positions: number;
  named_positions: number;
  opened_positions: number;
  jury_seats: number;
  committed_seats: number;
  revealed_seats: number;
  committed_stake_lamports: Amount;
  bonds_lamports: Amount;
  slashed_lamports: Amount | null;
  reward_lamports: Amount | null;
  claimants_lamports: Amount | null;
  jurors_lamports: Amount | null;
  submitter_lamports: Amount | null;
  prover_lamports: Amount | null;
  burned_lamports: Amount | null;
  penalties_lamports: Amount | null;
  opened_slot: number;
  shown_slot: number | null;
  joining_end_slot: number | null;
  leaves_slot: number | null;
  leaves_due_slot: number | null;
  commit_from_slot: number | null;
  commit_end_slot: number | null;
  reveal_end_slot: number | null;
  resolved_slot: number | null;
  opened_at: string | null;
  resolved_at: string | null;
}

export interface Claim {
  place: number;
  claimant: string;
  kind: string;
  outcome: string | null;
  claimed_slot: number;
  positions: number[] | null;
  digest_place: number | null;
  bond_lamports: Amount;
  at_stake_lamports: Amount;
  answering_fee_lamports: Amount;
  tariffs_lamports: Amount;
  amount_lamports: Amount | null;
  reward_lamports: Amount | null;
}

export interface Juror {
  seat: number;
  juror: string;
  committed_slot: number;
  revealed_slot: number | null;
  finds_true: number[] | null;
  agrees: number[][] | null;
  reward_lamports: Amount | null;
  penalty_lamports: Amount | null;
  outcome: string | null;
}

export interface Opening {
  position: number;
  asked_by: string;
  claim_place: number | null;
  shown: boolean;
  token: number | null;
  ids: number[] | null;
  logits: number[] | null;
}

export interface CaseDetails extends Case {
  all_claims: Claim[];
  jurors: Juror[];
  openings: Opening[];
}

export interface Validator extends Held {
  id: string;
  authority: string;
  operator: string;
  stake: Amount;
  activating: Amount;
  unbonding: Amount;
  open_jobs: number;
  open_disputes: number;
  claimable: Amount;
  owed_foundation: Amount;
  owed_burn: Amount;
  gpu_name: string;
  vram_mib: number;
  endpoint: string;
  models: { model: string; since_slot: number }[];
  status: string | null;
  jobs_settled: number;
  jobs_missed: number;
  jobs_declined: number;
  earned: Amount;
  slashed: Amount;
  registered_slot: number;
  registered_at: string | null;
  jailed_until: number | null;
  live: {
    version: string;
    running: number;
    queued: number;
    queued_tokens: number;
    max_concurrent: number;
    tokens_per_second: number | null;
    draining: boolean;
  } | null;
}

export interface Model {
  id: string;
  name: string;
  identity: string;
  address: string;
  created: number | null;
  owned_by: string | null;
  status: string | null;
  kernel_profile: string | null;
  price_in_lamports_per_1k: Amount | null;
  price_out_lamports_per_1k: Amount | null;
  context_length: number | null;
  max_job_tokens: number | null;
  validators: number | null;
  judges: { mature: number; needed: number; enough: boolean } | null;
}

export interface Price {
  slot: number;
  at: string | null;
  price_in_lamports_per_1k: Amount;
  price_out_lamports_per_1k: Amount;
  retired: boolean;
  exact: boolean;
}

export interface Network {
  slot: number | null;
  finalized_slot: number | null;
  active_validators: number | null;
  registered_validators: number;
  gpus: number;
  capacity_tokens_per_second: number | null;
  staked_lamports: Amount;
  jobs: number;
  jobs_settled: number;
  jobs_refunded: number;
  jobs_slashed: number;
  disputes: number;
  disputes_open: number;
  prompt_tokens: number;
  output_tokens: number;
  fee_lamports: Amount;
  slashed_lamports: Amount;
  burned_lamports: Amount;
}

export interface Day {
  day: string;
  jobs_requested: number;
  jobs_submitted: number;
  jobs_settled: number;
  jobs_refunded: number;
  jobs_slashed: number;
  owners: number;
  validators: number;
  output_tokens: number;
  fee_lamports: Amount;
  validator_lamports: Amount;
  foundation_lamports: Amount;
  burned_lamports: Amount;
  disputes: number;
  slashed_lamports: Amount;
}

export interface Settlement extends Held {
  job: string;
  status: string | null;
  end_reason: string | null;
  ceiling_lamports: Amount;
  fee_lamports: Amount | null;
  validator_lamports: Amount | null;
  foundation_lamports: Amount | null;
  burned_lamports: Amount | null;
  refunded_lamports: Amount | null;
  slashed_lamports: Amount | null;
  ended_slot: number;
  ended_at: string | null;
}

export interface Burn {
  kind: string;
  account: string;
  slot: number;
  at: string | null;
  lamports: Amount;
}

export interface BurnedDay {
  day: string;
  fee_lamports: Amount;
  registration_lamports: Amount;
  dispute_lamports: Amount;
  lease_lamports: Amount;
  lease_dispute_lamports: Amount;
  lease_unserved_lamports: Amount;
  burned_lamports: Amount;
}

interface Component {
  state: string;
  error?: string | null;
}

export interface Alarm {
  kind: string;
  open: number;
  since: string;
  newest: string | null;
  newest_at: string | null;
  clears_itself: boolean | null;
}

export interface Health {
  status: string;
  index_lag_slots: number | null;
  components: {
    chain: Component & { slot: number | null };
    database: Component;
    index: Component & {
      processed_slot: number | null;
      confirmed_slot: number | null;
      finalized_slot: number | null;
      committed_at: string | null;
      gaps_open: number | null;
      quarantined: number | null;
      waits_for: string | null;
      beat_seconds: number | null;
      genesis_hash: string | null;
    };
    settler: Component & { waits_for: string | null; beat_seconds: number | null; silent_seconds: number | null };
    alarms: Component & { kinds: Alarm[] };
    feed: Component & { newest: number; subscribers: number };
    validators: Component & { registered: number | null; announced: number };
    fee_payer: Component & { address: string; lamports: Amount | null };
    requests: Component & { running: number };
  };
  reconciliation: {
    ok: boolean;
    context_slot: number;
    accounts: number;
    differing: number;
    confirmed: number;
    unbacked: number;
    inexact: number;
    stored_on_chain: unknown;
    stored_in_index: unknown;
    details: unknown;
    checked_at: string;
    silent_seconds: number | null;
  } | null;
  uptime_seconds: number;
  version: string;
}

/** Where the lamports of leases are: what came in is one of these. */
interface LeaseMoney {
  deposited_lamports: Amount;
  compensated_lamports: Amount;
  escrow_lamports: Amount;
  pending_lamports: Amount;
  paid_lamports: Amount;
  foundation_lamports: Amount;
  burned_lamports: Amount;
  refunded_lamports: Amount;
  slashed_lamports: Amount;
  astray_lamports: Amount;
}

export interface Market extends LeaseMoney {
  slot: number | null;
  finalized_slot: number | null;
  paused: boolean | null;
  epoch_slots: number | null;
  epoch_seconds: number | null;
  treasury_lamports: Amount | null;
  registered_providers: number;
  offered_units: number;
  leased_units: number;
  staked_lamports: Amount;
  open_requests: number;
  leases: number;
  running_leases: number;
  epochs_proved: number;
  epochs_missed: number;
  disputes: number;
  open_disputes: number;
}

export interface MarketDay {
  day: string;
  requests: number;
  leases_accepted: number;
  leases_ended: number;
  epochs_proved: number;
  paid_lamports: Amount;
  burned_lamports: Amount;
}

export interface Provider extends Held {
  id: string;
  authority: string;
  operator: string;
  class: string;
  class_name: string | null;
  status: string | null;
  units: number;
  leased_units: number;
  backed_units: number;
  free_units: number;
  price_lamports: Amount;
  region: string;
  isolation: string | null;
  endpoint: string;
  stake_lamports: Amount;
  activating_lamports: Amount;
  unbonding_lamports: Amount;
  stake_per_unit_lamports: Amount;
  claimable_lamports: Amount;
  owed_foundation_lamports: Amount;
  owed_burn_lamports: Amount;
  open_leases: number;
  open_disputes: number;
  leases: number;
  epochs_proved: number;
  epochs_missed: number;
  proofs_refuted: number;
  unserved_lamports: Amount;
  earned_lamports: Amount;
  slashed_lamports: Amount;
  registered_slot: number;
  registered_at: string | null;
  jailed_until_slot: number | null;
}

export interface CapacityClass extends Held {
  id: string;
  name: string;
  retired: boolean;
  matrix_side: number;
  rounds: number;
  proof_slots: number;
  stake_per_unit_lamports: Amount;
  vram_mib: number;
  calibrated: boolean;
  registered_slot: number;
}

export interface LeaseRequest extends Held {
  id: string;
  tenant: string;
  class: string;
  class_name: string | null;
  provider: string | null;
  model: string | null;
  status: string | null;
  kind: string | null;
  units: number;
  region: string;
  isolation: string | null;
  price_lamports: Amount;
  seconds: number;
  deposited_lamports: Amount;
  escrow_lamports: Amount;
  refunded_lamports: Amount;
  spec_hash: string;
  spec_source: string;
  terms_hash: string;
  epoch_slots: number;
  epoch_seconds: number;
  lease: string | null;
  requested_slot: number;
  deadline_slot: number;
  ended_slot: number | null;
  closed_slot: number | null;
  requested_at: string | null;
  ended_at: string | null;
}

export interface Lease extends Held, LeaseMoney {
  id: string;
  request: string;
  tenant: string;
  provider: string;
  class: string;
  class_name: string | null;
  kind: string | null;
  model: string | null;
  status: string;
  reason: string | null;
  next: Next | null;
  slot: number | null;
  epoch: number | null;
  units: number;
  price_lamports: Amount;
  seconds: number;
  epoch_slots: number;
  epoch_seconds: number;
  proof_slots: number;
  matrix_side: number;
  rounds: number;
  stake_per_unit_lamports: Amount;
  terms_hash: string;
  access_hash: string | null;
  accepted_slot: number;
  started_slot: number | null;
  acknowledged_slot: number | null;
  notice_epoch: number | null;
  ended_slot: number | null;
  closed_slot: number | null;
  accepted_at: string | null;
  started_at: string | null;
  metered_at: string | null;
  ends_at: string | null;
  epochs_proved: number | null;
  epochs_missed: number;
  last_proved_epoch: number | null;
  disputes: number;
  open_disputes: number;
  tenant_due_lamports: Amount;
  held_lamports: Amount;
}

export interface LeaseEpoch extends Held {
  epoch: number;
  status: string;
  proved: boolean;
  seconds: number;
  amount_lamports: Amount;
  provider_lamports: Amount | null;
  foundation_lamports: Amount | null;
  burned_lamports: Amount | null;
  refunded_lamports: Amount | null;
  metered_slot: number;
  dispute_end_slot: number;
  proof: string | null;
}

export interface LeaseDispute extends Held {
  id: string;
  epoch: number;
  number: number;
  disputer: string;
  status: string;
  outcome: string | null;
  named_elements: number;
  opened_elements: number;
  bond_lamports: Amount;
  returned_lamports: Amount | null;
  reward_lamports: Amount | null;
  slashed_lamports: Amount | null;
  opened_slot: number;
  openings_end_slot: number;
  resolved_slot: number | null;
}

export interface LeaseDetails extends Lease {
  epochs: LeaseEpoch[];
  events: { event: string; epoch: number | null; slot: number; at: string | null; detail: string | null; commitment: string | null; signature: string | null }[];
}
