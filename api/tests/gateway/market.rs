//! The Compute Market as the gateway shows it: providers, classes, requests, leases with their epochs and disputes, its figures.

use mythic_client::market::address;
use mythic_interface::le::Text;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use tokio_postgres::Client;

use crate::harness::{World, insert, within};

const TENANT: u8 = 201;
const PROVIDER: u8 = 202;
const LEASE: u8 = 210;
/// What a provider may write as its endpoint: printable characters, whatever they mean.
const HOSTILE: &str = "javascript:alert(1)//\"><script>alert(2)</script>";

fn hex(byte: u8) -> String {
    format!("\\x{}", hex::encode([byte; 32]))
}

fn id(byte: u8) -> String {
    Pubkey::new_from_array([byte; 32]).to_string()
}

fn with(base: Value, more: Value) -> Value {
    let (Value::Object(mut base), Value::Object(more)) = (base, more) else {
        panic!("objects");
    };
    base.extend(more);
    Value::Object(base)
}

fn written(slot: i64, more: Value) -> Value {
    let version = json!({"bank": 0, "slot": slot, "ordinal": 0, "write_seq": 3, "exact": true, "lamports": 1});
    with(version, more)
}

/// The class that the development network calls `cpu`.
fn class() -> Pubkey {
    address::class(&Text::new("cpu").unwrap())
}

fn class_key() -> String {
    format!("\\x{}", hex::encode(class().to_bytes()))
}

fn rules() -> Value {
    json!({
        "start_slots": 150, "ack_slots": 100, "dispute_slots": 100, "openings_slots": 50, "max_missed_epochs": 3, "notice_epochs": 2,
        "jail_slots": 950, "close_delay_slots": 2250, "max_lease_seconds": 2592000, "provider_bps": 5000, "foundation_bps": 1000,
        "answering_fee_lamports": 10000, "no_show_lamports": 1000000, "min_epoch_price_lamports": 100000, "min_stake_lamports": 1000000000,
    })
}

/// A lease of [`PROVIDER`] to [`TENANT`], accepted in a slot: active, with one epoch that is paid and one that can be disputed.
fn lease(key: u8, accepted: i64, more: Value) -> Value {
    let base = json!({
        "pubkey": hex(key), "request": hex(key + 20), "request_hash": hex(1), "tenant": hex(TENANT), "provider": hex(PROVIDER),
        "class": class_key(), "rent_payer": hex(6), "status": 3, "units": 1, "price_lamports": 1000, "seconds": 600, "matrix_side": 512,
        "rounds": 8, "proof_slots": 50, "stake_per_unit_lamports": 1000000000, "epoch_slots": 150, "epoch_seconds": 60, "rules": rules(),
        "terms_hash": hex(2), "access_hash": hex(3), "accepted_slot": accepted, "start_end_slot": accepted + 150,
        "started_slot": accepted + 1, "ack_end_slot": accepted + 101, "acknowledged_slot": accepted + 2, "notice_proved": 0,
        "started_second": 1_900_000_000i64, "metered_second": 1_900_000_120i64, "ends_second": 1_900_000_600i64, "last_proved_epoch": 2,
        "missed": 0, "disputes": 1, "open_disputes": 0, "deposited_lamports": 600_000, "compensated_lamports": 0,
        "escrow_lamports": 480_000, "pending_lamports": 60_000, "tenant_due_lamports": 0, "paid_lamports": 30_000,
        "foundation_lamports": 6_000, "burned_lamports": 24_000, "refunded_lamports": 0, "slashed_lamports": 0, "due_slot": 400,
    });
    written(accepted + 40, with(base, more))
}

/// Three leases (210 to 212), the oldest ended and inexact; a request without one (240); a provider, two classes.
async fn fill(database: &Client, projection: &str) {
    for (name, key, slot) in [("cpu", class_key(), 5), ("gpu-80", hex(209), 6)] {
        let row = json!({"pubkey": key, "name": name, "retired": name != "cpu", "matrix_side": 512, "rounds": 8, "proof_slots": 50,
            "stake_per_unit_lamports": 1000000000, "vram_mib": 0, "calibrated": true, "rent_payer": hex(6), "registered_slot": slot});
        insert(database, projection, "class", &written(slot, row)).await;
    }
    let provider = json!({
        "pubkey": hex(203), "authority": hex(PROVIDER), "operator": hex(204), "rent_payer": hex(6), "class": class_key(), "status": 1,
        "stake_per_unit_lamports": 1000000000, "stake_lamports": 2000000000i64, "activating_lamports": 0, "unbonding_lamports": 0,
        "claimable_lamports": 30_000, "owed_foundation_lamports": 6_000, "owed_burn_lamports": 24_000, "units": 3, "leased": 2, "backed": 2,
        "price_lamports": 1000, "region": "eu", "isolation": 1, "endpoint": HOSTILE, "open_leases": 3, "open_disputes": 0, "leases": 3,
        "proved": 5, "missed": 1, "refuted": 0, "unserved_lamports": 0, "staked_lamports": 2000000000i64, "withdrawn_stake_lamports": 0,
        "earned_lamports": 30_000, "withdrawn_lamports": 0, "slashed_lamports": 0, "registered_slot": 7, "updated_slot": 7,
    });
    insert(database, projection, "provider", &written(50, provider)).await;
    let ended = json!({
        "status": 5, "reason": 6, "ended_slot": 300, "escrow_lamports": 0, "pending_lamports": 0, "refunded_lamports": 540_000,
        "tenant_due_lamports": 7, "exact": false,
    });
    for row in [
        lease(LEASE, 100, json!({})),
        lease(211, 110, json!({"status": 4, "notice_epoch": 1i64 << 30})),
        lease(212, 90, ended),
    ] {
        insert(database, projection, "lease", &row).await;
    }
    for (epoch, state, proof) in [(1, 2, hex(31)), (2, 1, hex(32))] {
        let row = json!({
            "pubkey": hex(LEASE), "epoch": epoch, "hash": hex(33), "proof": proof, "seconds": 60, "amount_lamports": 60_000,
            "provider_share_lamports": 30_000, "foundation_share_lamports": 6_000, "burn_share_lamports": 24_000,
            "metered_slot": 150 * epoch + 10, "dispute_end_slot": 150 * epoch + 110, "open_disputes": 0, "state": state,
        });
        let version = json!({"bank": 0, "slot": 140, "ordinal": 0, "write_seq": 3, "exact": true});
        insert(database, projection, "lease_epoch", &with(version, row)).await;
    }
    let request = |key: u8, slot: i64, more: Value| {
        let base = json!({
            "pubkey": hex(key), "tenant": hex(TENANT), "nonce": "\\x00112233445566778899aabbccddeeff", "kind": 1, "spec_hash": hex(4),
            "spec_source": HOSTILE, "model": hex(205), "class": class_key(), "units": 1, "region": "", "isolation": 0,
            "price_lamports": 1000, "seconds": 600, "epoch_slots": 150, "epoch_seconds": 60, "rules": rules(), "rent_payer": hex(6),
            "status": 2, "terms_hash": hex(1), "requested_slot": slot, "deadline_slot": slot + 300, "ended_slot": slot + 1,
            "deposited_lamports": 600_000, "escrow_lamports": 0, "refunded_lamports": 0, "due_slot": 9_000,
        });
        written(slot + 1, with(base, more))
    };
    let open = json!({"status": 1, "ended_slot": null, "provider": hex(PROVIDER), "escrow_lamports": 600_000});
    for row in [request(LEASE + 20, 99, json!({})), request(240, 120, open)] {
        insert(database, projection, "request", &row).await;
    }
    let dispute = json!({
        "pubkey": hex(220), "opened_slot": 170, "lease": hex(LEASE), "epoch": 1, "number": 0, "disputer": hex(206), "provider": hex(PROVIDER),
        "rent_payer": hex(206), "hash": hex(33), "proof": hex(31), "matrix_side": 512, "rounds": 8, "units": 1, "status": 3, "outcome": 1,
        "named": 1, "opened": 1, "elements": [{"unit": 0, "round": 3, "row": 4, "column": 5, "opened": true}], "fee_lamports": 20_000,
        "at_stake_lamports": 30_000, "openings_end_slot": 220, "resolved_slot": 180, "retention_end_slot": 2_430, "held_lamports": 0,
        "returned_lamports": 0, "reward_lamports": 0, "slashed_lamports": 0, "burned_lamports": 30_000, "paid_lamports": 20_000,
        "due_slot": 2_430,
    });
    insert(
        database,
        projection,
        "lease_dispute",
        &written(180, dispute),
    )
    .await;
}

const TABLES: [&str; 6] = [
    "class",
    "provider",
    "lease",
    "lease_epoch",
    "request",
    "lease_dispute",
];

/// Runs a test with the market of [`fill`] in the index.
async fn in_market(world: &World, test: impl AsyncFnOnce()) {
    let database = world.database().await;
    let row = database
        .query_one("SELECT projection FROM pipeline.lease", &[])
        .await;
    let projection: String = row.unwrap().get(0);
    fill(&database, &projection).await;
    test().await;
    for table in TABLES {
        database
            .execute(&format!("DELETE FROM {projection}.{table}"), &[])
            .await
            .unwrap();
    }
    // The sums are those of what is written, and nothing is ever taken away but here.
    database
        .batch_execute(&format!("SELECT {projection}.recount()"))
        .await
        .unwrap();
}

fn ids(page: &Value) -> Vec<String> {
    let data = page["data"].as_array().unwrap_or_else(|| panic!("{page}"));
    let ids = data
        .iter()
        .map(|row| row["id"].as_str().unwrap_or_default());
    ids.map(str::to_owned).collect()
}

#[test]
fn leases_are_listed_filtered_and_paged() {
    within(|world| async move {
        in_market(world, async || {
            let mut seen = Vec::new();
            let mut after = String::new();
            loop {
                let page = world.get(&format!("/v1/leases?limit=2{after}")).await;
                seen.extend(ids(&page));
                if page["has_more"] == false {
                    break;
                }
                after = format!("&after={}", seen[seen.len() - 1]);
            }
            assert_eq!(seen, [id(211), id(LEASE), id(212)], "the newest first");
            for (query, expected) in [
                (format!("tenant={}", id(TENANT)), 3),
                (format!("tenant={}", id(PROVIDER)), 0),
                (format!("provider={}", id(PROVIDER)), 3),
                ("status=ended".into(), 1),
                ("status=active&commitment=finalized".into(), 1),
                ("class=cpu".into(), 3),
                (format!("class={}", class()), 3),
                ("class=gpu-80".into(), 0),
            ] {
                let page = world.get(&format!("/v1/leases?{query}")).await;
                assert_eq!(ids(&page).len(), expected, "{query}: {page}");
            }
            let unknown = format!("after={}", id(1));
            for (query, param) in [
                ("status=done", "status"),
                ("tenant=0x", "tenant"),
                ("class=a+name+of+more+than+fifteen", "class"),
                ("limit=0", "limit"),
                ("commitment=rooted", "commitment"),
                (unknown.as_str(), "after"),
            ] {
                let refused = world.get(&format!("/v1/leases?{query}")).await;
                let error = &refused["error"];
                assert_eq!(
                    (error["code"].as_str(), error["param"].as_str()),
                    (Some("invalid_request"), Some(param)),
                    "{refused}"
                );
            }
        })
        .await;
    });
}

#[test]
fn a_lease_shows_state_meter_epochs_and_every_lamport_by_its_name() {
    within(|world| async move {
        in_market(world, async || {
            let lease = world.get(&format!("/v1/leases/{}", id(LEASE))).await;
            for (field, value) in [
                ("object", json!("lease")),
                ("status", json!("active")),
                ("reason", Value::Null),
                ("tenant", json!(id(TENANT))),
                ("provider", json!(id(PROVIDER))),
                ("class_name", json!("cpu")),
                ("kind", json!("endpoint")),
                ("model", json!(id(205))),
                ("model_address", json!(id(205))),
                ("commitment", json!("finalized")),
                ("exact", json!(true)),
                ("epochs_proved", json!(2)),
                ("epochs_missed", json!(0)),
                ("last_proved_epoch", json!(2)),
                ("astray_lamports", json!(0)),
                ("held_lamports", json!(540_000)),
                ("closed_slot", Value::Null),
            ] {
                assert_eq!(lease[field], value, "{field}: {lease}");
            }
            let lamports = |name: &str| {
                let field = format!("{name}_lamports");
                lease[&field].as_i64().unwrap_or_else(|| panic!("{field}"))
            };
            let sum = |names: &[&str]| names.iter().map(|name| lamports(name)).sum::<i64>();
            assert_eq!(
                sum(&["deposited", "compensated"]),
                sum(&[
                    "escrow",
                    "pending",
                    "paid",
                    "foundation",
                    "burned",
                    "refunded"
                ])
            );
            // What comes next is the time for the proof of an epoch that is not proved yet, where the index knows what slot it is.
            match lease["slot"].as_i64() {
                None => assert_eq!(lease["next"], Value::Null),
                Some(slot) => {
                    assert_eq!(lease["next"]["event"], "proof_end", "{lease}");
                    assert!(lease["next"]["slot"].as_i64() > Some(slot), "{lease}");
                }
            }
            let epochs = lease["epochs"].as_array().unwrap();
            let told: Vec<_> = epochs.iter().map(|e| (&e["epoch"], &e["status"])).collect();
            assert_eq!(
                told,
                [
                    (&json!(2), &json!("pending")),
                    (&json!(1), &json!("released"))
                ]
            );
            // What nobody knows yet is not shown as nothing.
            assert_eq!(epochs[0]["provider_lamports"], Value::Null);
            assert_eq!(epochs[1]["provider_lamports"], 30_000);
            let events: Vec<&Value> = lease["events"]
                .as_array()
                .unwrap()
                .iter()
                .map(|e| &e["event"])
                .collect();
            assert_eq!(
                events,
                [
                    "requested",
                    "accepted",
                    "started",
                    "acknowledged",
                    "disputed",
                    "resolved"
                ]
            );

            let ended = world.get(&format!("/v1/leases/{}", id(212))).await;
            assert_eq!(
                (
                    &ended["status"],
                    &ended["reason"],
                    &ended["exact"],
                    &ended["next"]
                ),
                (
                    &json!("ended"),
                    &json!("missed_proofs"),
                    &json!(false),
                    &Value::Null
                )
            );
            let missing = world.get(&format!("/v1/leases/{}", id(9))).await;
            assert_eq!(missing["error"]["code"], "lease_not_found");
            let wrong = world.get("/v1/leases/x").await;
            assert_eq!(wrong["error"]["param"], "id");
        })
        .await;
    });
}

#[test]
fn epochs_and_disputes_of_a_lease_are_paged() {
    within(|world| async move {
        in_market(world, async || {
            let of = |rest: &str| format!("/v1/leases/{}/{rest}", id(LEASE));
            let first = world.get(&of("epochs?limit=1")).await;
            assert_eq!(
                (&first["data"][0]["epoch"], &first["has_more"]),
                (&json!(2), &json!(true))
            );
            let second = world.get(&of("epochs?limit=1&after=2")).await;
            assert_eq!(
                (&second["data"][0]["epoch"], &second["has_more"]),
                (&json!(1), &json!(false))
            );
            let disputes = world.get(&of("disputes")).await;
            let dispute = &disputes["data"][0];
            assert_eq!(
                (
                    &dispute["id"],
                    &dispute["outcome"],
                    &dispute["bond_lamports"],
                    &dispute["elements"][0]["row"]
                ),
                (
                    &json!(id(220)),
                    &json!("answered"),
                    &json!(50_000),
                    &json!(4)
                )
            );
            let none = world.get(&of("disputes?after=0")).await;
            assert_eq!(none["data"], json!([]));
            for rest in ["epochs", "disputes"] {
                let missing = world.get(&format!("/v1/leases/{}/{rest}", id(9))).await;
                assert_eq!(missing["error"]["code"], "lease_not_found", "{rest}");
            }
        })
        .await;
    });
}

#[test]
fn providers_classes_and_requests_are_shown_and_filtered() {
    within(|world| async move {
        in_market(world, async || {
            for path in ["/v1/providers", "/v1/providers?class=cpu"] {
                assert_eq!(ids(&world.get(path).await), [id(203)], "{path}");
            }
            let other = world.get("/v1/providers?class=gpu-80").await;
            assert_eq!(other["data"], json!([]));
            for key in [PROVIDER, 203] {
                let provider = world.get(&format!("/v1/providers/{}", id(key))).await;
                assert_eq!(
                    (
                        &provider["authority"],
                        &provider["free_units"],
                        &provider["isolation"],
                        &provider["class_name"]
                    ),
                    (
                        &json!(id(PROVIDER)),
                        &json!(1),
                        &json!("container"),
                        &json!("cpu")
                    )
                );
            }
            let missing = world.get(&format!("/v1/providers/{}", id(9))).await;
            assert_eq!(missing["error"]["code"], "provider_not_found");

            let classes = world.get("/v1/classes?limit=1").await;
            assert_eq!(
                (
                    &classes["data"][0]["name"],
                    &classes["data"][0]["retired"],
                    &classes["has_more"]
                ),
                (&json!("gpu-80"), &json!(true), &json!(true))
            );
            let rest = world.get(&format!("/v1/classes?after={}", id(209))).await;
            assert_eq!(rest["data"][0]["name"], "cpu");

            assert_eq!(
                ids(&world.get("/v1/requests").await),
                [id(240), id(LEASE + 20)]
            );
            for (query, expected) in [
                ("status=open".to_owned(), 240),
                (format!("provider={}", id(PROVIDER)), 240),
                ("status=accepted&class=cpu".into(), LEASE + 20),
                (
                    format!("tenant={}&after={}", id(TENANT), id(240)),
                    LEASE + 20,
                ),
            ] {
                let page = world.get(&format!("/v1/requests?{query}")).await;
                assert_eq!(ids(&page), [id(expected)], "{query}");
            }
            let accepted = world.get("/v1/requests?status=accepted").await;
            assert_eq!(accepted["data"][0]["lease"], json!(id(LEASE)));
            let path = format!("/v1/requests/{}", id(LEASE + 20));
            assert_eq!(world.get(&path).await, accepted["data"][0]);
            let missing = world.get(&format!("/v1/requests/{}", id(LEASE))).await;
            assert_eq!(missing["error"]["code"], "request_not_found");
        })
        .await;
    });
}

#[test]
fn texts_of_strangers_stay_texts() {
    within(|world| async move {
        in_market(world, async || {
            let provider = world.get(&format!("/v1/providers/{}", id(PROVIDER))).await;
            assert_eq!(provider["endpoint"], HOSTILE);
            let request = world.get("/v1/requests?status=open").await;
            assert_eq!(request["data"][0]["spec_source"], HOSTILE);
            // No page has them in it: its script puts what it reads in as text, and the policy lets no other script run.
            for path in [
                "/market",
                "/leases",
                &format!("/providers/{}", id(PROVIDER)),
                &format!("/leases/{}", id(LEASE)),
            ] {
                let response = reqwest::get(format!("{}{path}", world.url)).await.unwrap();
                assert_eq!(response.status(), 200, "{path}");
                let policy = response.headers()["content-security-policy"]
                    .to_str()
                    .unwrap();
                assert!(policy.contains("script-src 'self'"), "{policy}");
                let kind = response.headers()["content-type"].to_str().unwrap();
                assert!(kind.starts_with("text/html"), "{kind}");
                assert!(!response.text().await.unwrap().contains("alert("), "{path}");
            }
        })
        .await;
    });
}

#[test]
fn the_markets_figures_are_there_without_a_market_too() {
    within(|world| async move {
        let market = world.get("/v1/market").await;
        assert_eq!(market["object"], "market");
        assert!(
            market["leases"].is_i64() && market["astray_lamports"] == 0,
            "{market}"
        );
        let days = world.get("/v1/stats/market").await;
        assert_eq!(
            (days["object"].as_str(), days["data"].is_array()),
            (Some("list"), true),
            "{days}"
        );
        let unknown = world.get("/v1/stats/none").await;
        assert_eq!(unknown["error"]["code"], "unknown_statistic");
    });
}
