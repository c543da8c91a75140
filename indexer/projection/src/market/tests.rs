//! What accounts of the market become, and what is refused of them.

use bytemuck::{Pod, Zeroable, bytes_of};
use mythic_interface::le::Text;
use mythic_interface::market::params::{Grid, MarketParams};
use mythic_interface::market::state::{
    Class, Lease, LeaseDispute, LeaseEpoch, MarketConfig, MarketTreasury, NamedElement, Provider,
    Request,
};
use mythic_interface::state::{Header, Key, VERSION};
use mythic_interface::{AI_PRECOMPILES_ID, COMPUTE_MARKET_ID};
use serde_json::{Value as Json, json};

use crate::entity::{Entity, Row, Value};
use crate::feed::Topic;
use crate::{Account, At, Before, Print, Projected, Reject, project, project_bank, tell};

const SLOT: u64 = 6_200;
const AT: At = At {
    slot: SLOT,
    ordinal: 3,
    exact: true,
};

fn header(discriminator: u8, status: u8) -> Header {
    Header {
        discriminator,
        version: VERSION,
        bump: 255,
        status,
        reserved: [0; 4],
        seq: 9.into(),
    }
}

fn account(data: &impl Pod) -> Account {
    of_bytes(bytes_of(data).to_vec())
}

fn of_bytes(data: Vec<u8>) -> Account {
    Account {
        pubkey: [1; 32],
        owner: COMPUTE_MARKET_ID,
        lamports: 5_000_000,
        data: data.into(),
        signature: Some([8; 64]),
        write_version: 1,
        slot: SLOT,
    }
}

fn config() -> MarketConfig {
    let mut config = MarketConfig::zeroed();
    config.header = header(MarketConfig::DISCRIMINATOR, 1);
    config.admin = [2; 32];
    config.foundation = [3; 32];
    config.grid = grid();
    config.params = MarketParams::dev();
    config
}

fn treasury() -> MarketTreasury {
    let mut treasury = MarketTreasury::zeroed();
    treasury.header = header(MarketTreasury::DISCRIMINATOR, 1);
    treasury.balance = 70.into();
    treasury.received = 100.into();
    treasury.withdrawn = 30.into();
    treasury
}

fn class() -> Class {
    let mut class = Class::zeroed();
    class.header = header(Class::DISCRIMINATOR, 1);
    class.name = Text::new("cpu").unwrap();
    class.probe.n = 512.into();
    class.probe.rounds = 8.into();
    class.registered_slot = 5.into();
    class
}

fn provider() -> Provider {
    let mut provider = Provider::zeroed();
    provider.header = header(Provider::DISCRIMINATOR, 1);
    provider.authority = [4; 32];
    provider.operator = [5; 32];
    provider.stake = 1_000.into();
    provider.units = 4.into();
    provider.leased = 1.into();
    provider.price = 50.into();
    provider.region = Text::new("eu").unwrap();
    provider.endpoint = Text::new("http://127.0.0.1:8070").unwrap();
    provider.registered_slot = 6.into();
    provider
}

fn request(status: u8) -> Request {
    let mut request = Request::zeroed();
    request.header = header(Request::DISCRIMINATOR, status);
    request.terms.tenant = [6; 32];
    request.terms.kind = 1;
    request.terms.model = [7; 32];
    request.terms.spec_source = Text::new("http://127.0.0.1:8070/specs/1").unwrap();
    request.terms.units = 2;
    request.terms.price = 50.into();
    request.terms.seconds = 600.into();
    request.terms.rules = MarketParams::dev().rules;
    request.requested_slot = 6_000.into();
    request.deadline_slot = 6_100.into();
    request.escrow = 60_000.into();
    request
}

fn grid() -> Grid {
    Grid {
        epoch_slots: 150.into(),
        epoch_seconds: 60.into(),
    }
}

fn accepted() -> Lease {
    let mut lease = Lease::zeroed();
    lease.header = header(Lease::DISCRIMINATOR, 1);
    lease.terms.request = [9; 32];
    lease.terms.tenant = [6; 32];
    lease.terms.provider = [4; 32];
    lease.terms.units = 2;
    lease.terms.price = 50.into();
    lease.terms.seconds = 600.into();
    lease.terms.grid = grid();
    lease.terms.rules = MarketParams::dev().rules;
    lease.accepted_slot = 6_050.into();
    lease.deposited = 60_000.into();
    lease.escrow = 60_000.into();
    lease
}

fn entry(epoch: u64, proof: u8, slot: u64, state: u8) -> LeaseEpoch {
    let mut entry = LeaseEpoch::zeroed();
    entry.epoch = epoch.into();
    entry.proof = [proof; 32];
    entry.hash = [proof; 32];
    entry.seconds = 60.into();
    entry.amount = 6_001.into();
    entry.slot = slot.into();
    entry.state = state;
    entry
}

/// A lease with an epoch that is paid and one that is proved in [`SLOT`].
fn active() -> Lease {
    let mut lease = accepted();
    lease.header.status = 3;
    lease.access_hash = [11; 32];
    lease.started_slot = 6_060.into();
    lease.acknowledged_slot = 6_070.into();
    lease.started_at = 1_800_000_000.into();
    lease.mark = 1_800_000_120.into();
    lease.ends_at = 1_800_000_600.into();
    lease.last_proved = 41.into();
    lease.ring[Lease::place(41)] = entry(41, 1, SLOT, 1);
    lease.ring[Lease::place(40)] = entry(40, 2, 6_061, 2);
    lease.escrow = 47_998.into();
    lease.pending = 6_001.into();
    lease.paid = 3_000.into();
    lease.foundation = 600.into();
    lease.burned = 2_401.into();
    lease
}

fn dispute(status: u8) -> LeaseDispute {
    let mut dispute = LeaseDispute::zeroed();
    dispute.header = header(LeaseDispute::DISCRIMINATOR, status);
    dispute.lease = [1; 32];
    dispute.epoch = 41.into();
    dispute.disputer = [12; 32];
    dispute.provider = [4; 32];
    dispute.count = 2;
    dispute.elements[1] = NamedElement {
        unit: 1,
        round: 3.into(),
        row: 4.into(),
        column: 5.into(),
    };
    // Bits beyond the named elements mean nothing.
    dispute.opened = 0b1111_0010;
    dispute.fee = 10.into();
    dispute.at_stake = 20.into();
    dispute.held = 30.into();
    dispute.opened_slot = SLOT.into();
    dispute.openings_end = 6_300.into();
    dispute
}

fn value<'a>(row: &'a Row, column: &str) -> &'a Value {
    let columns = row.entity.columns();
    let place = columns.iter().position(|c| *c == column);
    &row.values[place.unwrap_or_else(|| panic!("{column} of {:?}", row.entity))]
}

fn one(projected: &Projected, entity: Entity) -> &Row {
    let mut rows = projected.rows.iter().filter(|row| row.entity == entity);
    let row = rows.next().unwrap_or_else(|| panic!("a row of {entity:?}"));
    assert!(rows.next().is_none(), "one row of {entity:?}");
    row
}

#[test]
fn each_account_of_the_market_is_a_row_of_its_kind() {
    for (account, entity) in [
        (account(&config()), Entity::MarketConfig),
        (account(&treasury()), Entity::MarketTreasury),
        (account(&class()), Entity::Class),
        (account(&provider()), Entity::Provider),
        (account(&request(1)), Entity::Request),
        (account(&active()), Entity::Lease),
        (account(&dispute(1)), Entity::LeaseDispute),
    ] {
        let projected = project(&account, AT).unwrap();
        let row = one(&projected, entity);
        assert_eq!((row.write_seq, row.slot, row.ordinal), (9, SLOT as i64, 3));
        assert_eq!(value(row, "lamports"), &Value::I64(5_000_000));
        for row in &projected.rows {
            assert_eq!(row.values.len(), row.entity.columns().len());
            assert!(row.entity == entity || row.entity.is_part());
        }
    }
}

#[test]
fn what_is_not_known_yet_is_null() {
    let projected = project(&account(&accepted()), AT).unwrap();
    let lease = one(&projected, Entity::Lease);
    for column in [
        "reason",
        "access_hash",
        "started_slot",
        "ack_end_slot",
        "acknowledged_slot",
        "notice_epoch",
        "ended_slot",
        "refuted_slot",
        "started_second",
        "metered_second",
        "ends_second",
        "last_proved_epoch",
    ] {
        assert_eq!(value(lease, column), &Value::Null, "{column}");
    }
    assert_eq!(value(lease, "start_end_slot"), &Value::I64(6_200));
    let projected = project(&account(&dispute(1)), AT).unwrap();
    let open = one(&projected, Entity::LeaseDispute);
    for column in [
        "outcome",
        "resolved_slot",
        "retention_end_slot",
        "returned_lamports",
        "reward_lamports",
        "slashed_lamports",
        "burned_lamports",
        "paid_lamports",
    ] {
        assert_eq!(value(open, column), &Value::Null, "{column}");
    }
}

#[test]
fn an_epoch_is_a_row_with_the_shares_that_it_is_paid_in() {
    let projected = project(&account(&active()), AT).unwrap();
    let epochs: Vec<&Row> = projected
        .rows
        .iter()
        .filter(|row| row.entity == Entity::LeaseEpoch)
        .collect();
    let numbers: Vec<&Value> = epochs.iter().map(|row| value(row, "epoch")).collect();
    assert_eq!(numbers, [&Value::I64(40), &Value::I64(41)]);
    for (row, state) in epochs.iter().zip([2, 1]) {
        assert_eq!(value(row, "state"), &Value::I16(state));
        assert_eq!(value(row, "provider_share_lamports"), &Value::I64(3_000));
        assert_eq!(value(row, "foundation_share_lamports"), &Value::I64(600));
        assert_eq!(value(row, "burn_share_lamports"), &Value::I64(2_401));
    }
    // What lies behind the last proof has none.
    let mut ended = active();
    ended.header.status = 5;
    ended.ended_slot = SLOT.into();
    ended.reason = 2;
    ended.ring[Lease::place(42)] = entry(42, 0, SLOT, 1);
    let projected = project(&account(&ended), AT).unwrap();
    let mut tail = projected.rows.iter();
    let tail = tail
        .find(|row| row.entity == Entity::LeaseEpoch && value(row, "epoch") == &Value::I64(42))
        .unwrap();
    assert_eq!(
        (value(tail, "proof"), value(tail, "hash")),
        (&Value::Null, &Value::Null)
    );
}

fn told(account: &Account) -> Json {
    tell(account, AT, Topic::Leases).unwrap()
}

#[test]
fn the_feed_names_what_happened_in_the_slot_and_the_transaction_is_noted() {
    let steps = |account: &Account| -> Vec<(i16, Json)> {
        let projected = project(account, AT).unwrap();
        let rows = projected.rows.iter();
        let signed = rows.filter(|row| row.entity == Entity::LeaseSignature);
        let steps: Vec<i16> = signed
            .map(|row| match value(row, "step") {
                Value::I16(step) => *step,
                other => panic!("{other:?}"),
            })
            .collect();
        let names = told(account)["events"].as_array().unwrap().clone();
        assert_eq!(steps.len(), names.len());
        steps.into_iter().zip(names).collect()
    };
    assert_eq!(steps(&account(&active())), [(5, json!("proved"))]);
    let mut ended = active();
    ended.header.status = 5;
    ended.ended_slot = SLOT.into();
    ended.reason = 2;
    ended.ring[Lease::place(41)].slot = 6_150.into();
    ended.ring[Lease::place(42)] = entry(42, 0, SLOT, 1);
    let found = steps(&account(&ended));
    assert_eq!(found, [(6, json!("metered")), (10, json!("ended"))]);
    assert_eq!(told(&account(&ended))["reason"], "closed_by_tenant");
    assert_eq!(steps(&account(&dispute(1))), [(7, json!("disputed"))]);
    let mut cancelled = request(3);
    cancelled.ended_slot = SLOT.into();
    assert_eq!(steps(&account(&cancelled)), [(11, json!("cancelled"))]);
    // Accepted: the lease tells of it.
    let mut taken = request(2);
    taken.ended_slot = SLOT.into();
    assert!(steps(&account(&taken)).is_empty());
    let shown = told(&account(&active()));
    assert_eq!(shown["epochs"][1]["status"], "pending");
    assert_eq!(shown["started_at"], 1_800_000_000);
    assert_eq!(told(&account(&provider()))["price_lamports"], 50);
}

#[test]
fn a_dispute_shows_what_it_names_and_what_of_it_was_shown() {
    let projected = project(&account(&dispute(1)), AT).unwrap();
    let row = one(&projected, Entity::LeaseDispute);
    assert_eq!(value(row, "opened"), &Value::I16(1));
    let Value::Json(elements) = value(row, "elements") else {
        panic!("elements are JSON");
    };
    let elements: Json = serde_json::from_str(elements).unwrap();
    let second = json!({"unit": 1, "round": 3, "row": 4, "column": 5, "opened": true});
    assert_eq!(
        (elements.as_array().unwrap().len(), &elements[1]),
        (2, &second)
    );
    let mut over = dispute(3);
    over.end = 2;
    over.resolved_slot = 6_210.into();
    over.close_delay_slots = 100.into();
    over.reward = 7.into();
    let projected = project(&account(&over), AT).unwrap();
    let row = one(&projected, Entity::LeaseDispute);
    assert_eq!(value(row, "reward_lamports"), &Value::I64(7));
    assert_eq!(value(row, "retention_end_slot"), &Value::I64(6_310));
}

fn refused(account: &Account) -> Reject {
    project(account, AT).unwrap_err()
}

#[test]
fn what_strangers_write_is_checked_before_it_is_stored() {
    let mut bytes = bytes_of(&provider()).to_vec();
    bytes[240] = 0xff;
    assert_eq!(refused(&of_bytes(bytes)), Reject::Text { field: "region" });
    let mut bytes = bytes_of(&provider()).to_vec();
    bytes[258] = 0;
    assert_eq!(
        refused(&of_bytes(bytes)),
        Reject::Text { field: "endpoint" }
    );
    let mut source = request(1);
    source.terms.spec_source = Text::zeroed();
    let mut bytes = bytes_of(&source).to_vec();
    bytes[97] = 200;
    assert_eq!(
        refused(&of_bytes(bytes)),
        Reject::Text {
            field: "spec_source"
        }
    );
    let mut named = class();
    named.header.status = 7;
    assert!(matches!(
        refused(&account(&named)),
        Reject::Listed {
            field: "status",
            ..
        }
    ));
    let mut isolated = provider();
    isolated.isolation = 3;
    assert!(matches!(
        refused(&account(&isolated)),
        Reject::Listed {
            field: "isolation",
            value: 3
        }
    ));
    let mut state = active();
    state.ring[5].state = 9;
    assert!(matches!(
        refused(&account(&state)),
        Reject::Listed {
            field: "state",
            value: 9
        }
    ));
}

#[test]
fn amounts_that_a_column_or_a_sum_of_columns_does_not_hold_are_refused() {
    type Change = fn(&mut Lease, u64);
    let most = i64::MAX as u64;
    let with = |change: Change, value: u64| {
        let mut lease = active();
        change(&mut lease, value);
        project(&account(&lease), AT).map(drop)
    };
    assert!(with(|l, v| l.slashed.set(v), most - 2_401).is_ok());
    let cases: [(Change, u64); 8] = [
        (|l, v| l.escrow.set(v), u64::MAX),
        (|l, v| l.deposited.set(v), most + 1),
        (|l, v| l.compensated.set(v), most),
        (|l, v| l.refunded.set(v), most),
        (|l, v| l.tenant_due.set(v), most),
        (|l, v| l.slashed.set(v), most),
        (|l, v| l.accepted_slot.set(v), most),
        (|l, v| l.ring[3] = entry(v, 1, 1, 1), u64::MAX),
    ];
    for (change, value) in cases {
        let found = with(change, value);
        assert!(matches!(found, Err(Reject::TooLarge { .. })), "{found:?}");
    }
    // A time that no calendar has.
    let far = with(|l, v| l.ends_at.set(v), 253_402_300_800);
    assert!(matches!(
        far,
        Err(Reject::OutOfRange {
            field: "ends_at",
            ..
        })
    ));
    let mut dear = request(1);
    dear.terms.price = most.into();
    assert!(matches!(
        refused(&account(&dear)),
        Reject::TooLarge {
            field: "deposited",
            ..
        }
    ));
}

#[test]
fn what_is_refused_is_unreadable_and_takes_nothing_else_with_it() {
    let mut bad = account(&active());
    bad.data = bad.data.slice(1..);
    let good = Account {
        pubkey: [2; 32],
        ..account(&provider())
    };
    let none = |_: &Key| Before::default();
    let changes = project_bank(SLOT, &[bad, good], &Default::default(), none);
    let entities: Vec<Entity> = changes.rows.iter().map(|row| row.entity).collect();
    assert_eq!(entities, [Entity::Unreadable, Entity::Provider]);
    assert_eq!(changes.refused.len(), 1);
}

#[test]
fn an_account_of_one_program_is_none_of_the_other() {
    let mut foreign = account(&active());
    foreign.owner = AI_PRECOMPILES_ID;
    assert_eq!(refused(&foreign), Reject::Unknown(Lease::DISCRIMINATOR));
    foreign.owner = [77; 32];
    let projected = project(&foreign, AT).unwrap();
    assert_eq!(one(&projected, Entity::Closure).slot, SLOT as i64);
}

#[test]
fn of_several_writes_in_a_block_the_first_that_shows_a_step_signs_it_and_the_last_is_the_state() {
    let first = account(&active());
    let mut later = active();
    later.header.seq = 10.into();
    later.tenant_due = 5.into();
    let later = Account {
        signature: Some([9; 64]),
        ..account(&later)
    };
    let none = |_: &Key| Before::default();
    let changes = project_bank(SLOT, &[first, later], &Default::default(), none);
    let rows = |entity| changes.rows.iter().filter(move |r| r.entity == entity);
    let signed: Vec<&Row> = rows(Entity::LeaseSignature).collect();
    assert_eq!(signed.len(), 1);
    assert_eq!(value(signed[0], "signature"), &Value::Bytes(vec![8; 64]));
    let lease: Vec<&Row> = rows(Entity::Lease).collect();
    assert_eq!((lease.len(), lease[0].write_seq), (1, 10));
    assert_eq!(rows(Entity::LeaseEpoch).count(), 2);
    // Each write is told.
    assert_eq!(changes.adds.len(), 2);
}

#[test]
fn lamports_that_anyone_sends_to_a_lease_are_one_row_and_tell_nothing() {
    let mut full = active();
    for epoch in 10..42 {
        full.ring[Lease::place(epoch)] = entry(epoch, 1, SLOT, 1);
    }
    let lease = account(&full);
    let sent = |lamports| Account {
        lamports,
        ..lease.clone()
    };
    let before = Print::Readable {
        entity: Entity::Lease,
        seq: 9,
        lamports: 1,
    };
    let known = |print: Print, certain: bool| {
        let updates = [sent(2), sent(3)];
        let of = |_: &Key| Before {
            print: Some(&print),
            certain,
        };
        let changes = project_bank(SLOT, &updates, &Default::default(), of);
        (changes.rows.len(), changes.adds.len())
    };
    assert_eq!(known(before.clone(), true), (1, 0));
    // The lease, its epochs, who proved the last ones; written by the program, or perhaps: the first of the two is told.
    let whole = (1 + 32 + 1, 1);
    let written = Print::Readable {
        entity: Entity::Lease,
        seq: 8,
        lamports: 1,
    };
    assert_eq!(known(written, true), whole);
    assert_eq!(known(before, false), whole);
    assert_eq!(known(Print::Closed, true), whole);
}

#[test]
fn a_row_says_from_when_anyone_may_have_something_done() {
    for (account, entity, slot) in [
        // Not started in time; not disputed in time; not taken in time; not answered in time.
        (account(&accepted()), Entity::Lease, 6_200),
        (account(&active()), Entity::Lease, SLOT as i64 + 100),
        (account(&request(1)), Entity::Request, 6_100),
        (account(&dispute(1)), Entity::LeaseDispute, 6_300),
    ] {
        let projected = project(&account, AT).unwrap();
        let row = one(&projected, entity);
        assert_eq!(value(row, "due_slot"), &Value::I64(slot), "{entity:?}");
    }
    let mut held = active();
    held.header.status = 5;
    held.ended_slot = SLOT.into();
    held.open_disputes = 1.into();
    held.ring[Lease::place(41)].open_disputes = 1.into();
    let projected = project(&account(&held), AT).unwrap();
    let row = one(&projected, Entity::Lease);
    assert_eq!(
        value(row, "due_slot"),
        &Value::Null,
        "its dispute comes first"
    );
}
