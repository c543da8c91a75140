//! The Compute Market: requests, leases and disputes that nobody looks after come to their end by themselves.

use std::time::{Duration, Instant};

use mythic_client::{
    ChainClient, Commitment,
    market::{address, ix},
};
use mythic_interface::{
    le::{Text, U16, U32, U64},
    market::{
        ix::{Initialize, RegisterClass, RegisterProvider, RequestCompute, SubmitProof},
        meter::{epoch_of, epoch_start},
        params::{Grid, MarketParams},
        state::{
            CloseReason, Lease, LeaseDispute, LeaseKind, LeaseStatus, MarketTreasury, NamedElement,
            Probe, Provider, Request, RequestStatus,
        },
    },
    window,
};
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use super::{Network, Parties, SOL, eventually, send};

const PRICE: u64 = 50_000;
const SECONDS: u32 = 600;
const GRID: Grid = Grid {
    epoch_slots: U32::new(100),
    epoch_seconds: U32::new(5),
};

/// Short enough that all accounts can be closed within the test; silence alone ends no lease in it.
fn params() -> MarketParams {
    let mut params = MarketParams::dev();
    params.max_nonce_life_slots = U32::new(200);
    params.rules.close_delay_slots = U32::new(201);
    params.rules.max_missed = U32::new(16);
    params
}

async fn set_up(chain: &ChainClient, parties: &Parties) {
    let admin = parties.admin.pubkey();
    let initialize = Initialize {
        admin: admin.to_bytes(),
        foundation: [77; 32],
        grid: GRID,
        params: params(),
    };
    let initialize = ix::initialize(admin, admin, &initialize);
    send(chain, initialize, &[&parties.admin]).await;
    let name = Text::new("test").unwrap();
    let class = RegisterClass {
        name,
        probe: Probe {
            n: U32::new(16),
            rounds: U32::new(1),
            proof_slots: U32::new(50),
            stake_per_unit: U64::new(10_000_000),
        },
        vram_mib: U32::new(0),
        calibrated: 0,
    };
    let class = ix::register_class(admin, admin, &class);
    send(chain, class, &[&parties.admin]).await;
    let provider = RegisterProvider {
        operator: parties.operator.pubkey().to_bytes(),
        stake: U64::new(2 * SOL),
        units: U16::new(4),
        price: U64::new(PRICE),
        region: Text::default(),
        isolation: 0,
        endpoint: Text::new("http://127.0.0.1:1").unwrap(),
    };
    let key = parties.authority.pubkey();
    let register = ix::register_provider(key, key, address::class(&name), &provider);
    send(chain, register, &[&parties.authority]).await;
}

/// A request for a unit of the provider.
async fn request(chain: &ChainClient, parties: &Parties, tag: u8) -> Pubkey {
    let slot = chain.slot(Commitment::Processed).await.unwrap();
    let tenant = parties.owner.pubkey();
    let args = RequestCompute {
        nonce: window::nonce(slot + 150, [tag; 8]),
        kind: LeaseKind::Endpoint as u8,
        spec_hash: [tag; 32],
        spec_source: Text::new("http://127.0.0.1:1/spec").unwrap(),
        model: [9; 32],
        units: 1,
        region: Text::default(),
        isolation: 0,
        provider: parties.authority.pubkey().to_bytes(),
        price: U64::new(PRICE),
        seconds: U32::new(SECONDS),
        deadline_slots: U32::new(60),
        rules_hash: params().rules.hash(),
        bump: 0,
    };
    let class = address::class(&Text::new("test").unwrap());
    let call = ix::request_compute(tenant, tenant, class, &args);
    send(chain, call, &[&parties.owner]).await;
    address::request(tenant, &args.nonce)
}

async fn read(chain: &ChainClient, lease: &Pubkey) -> Lease {
    chain.account::<Lease>(lease).await.unwrap().unwrap().1
}

/// The lease of a request, accepted.
async fn accepted(chain: &ChainClient, parties: &Parties, tag: u8) -> Pubkey {
    let request = request(chain, parties, tag).await;
    let state = chain.account::<Request>(&request).await.unwrap().unwrap().1;
    let (operator, authority) = (parties.operator.pubkey(), parties.authority.pubkey());
    let accept = ix::accept_job(operator, authority, request, &state);
    send(chain, accept, &[&parties.operator]).await;
    address::lease(request)
}

/// A lease that runs, with an epoch that is proved by nothing that anybody computed.
async fn proved(chain: &ChainClient, parties: &Parties, tag: u8) -> (Pubkey, Lease) {
    let lease = accepted(chain, parties, tag).await;
    let (operator, state) = (parties.operator.pubkey(), read(chain, &lease).await);
    let start = ix::start_lease(operator, lease, &state, [tag; 32]);
    send(chain, start, &[&parties.operator]).await;
    let state = read(chain, &lease).await;
    let acknowledge = ix::acknowledge_start(lease, &state);
    send(chain, acknowledge, &[&parties.owner]).await;
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        assert!(Instant::now() < deadline, "never proved");
        tokio::time::sleep(Duration::from_millis(50)).await;
        let slot = chain.slot(Commitment::Processed).await.unwrap();
        let state = read(chain, &lease).await;
        let epoch = epoch_of(slot, &GRID);
        let hashes = chain.slot_hashes(Commitment::Processed).await.unwrap();
        let first = hashes.first_from(epoch_start(epoch, &GRID));
        let Some((first_slot, hash)) = first.filter(|_| epoch > state.last_proved.get()) else {
            continue;
        };
        let args = SubmitProof {
            terms_hash: state.terms_hash,
            epoch: U64::new(epoch),
            first_slot: U64::new(first_slot),
            hash,
            proof: [tag; 32],
        };
        let authority = parties.authority.pubkey();
        let proof = ix::submit_proof(operator, authority, lease, &args);
        let (calls, signers) = ([proof], [&parties.operator]);
        let sent = chain.send_and_confirm(&calls, &operator, &signers, Commitment::Confirmed);
        // Too late for this epoch: the next one comes.
        if sent.await.is_ok() {
            return (lease, read(chain, &lease).await);
        }
    }
}

/// One request that nobody takes, three that become leases: never started, closed by its tenant, refuted.
pub async fn all_comes_to_its_end(network: &mut Network, parties: &Parties) {
    set_up(&network.chain, parties).await;
    network.settle(&parties.settler);
    let chain = &network.chain;
    let open = request(chain, parties, 1).await;
    let unstarted = accepted(chain, parties, 2).await;
    let (served, state) = proved(chain, parties, 3).await;
    assert_eq!(state.status(), Some(LeaseStatus::Active));
    let (tenant, by_tenant) = (parties.owner.pubkey(), CloseReason::ClosedByTenant);
    let close = ix::close_lease(tenant, served, &state, by_tenant, false);
    send(chain, close, &[&parties.owner]).await;

    let (refuted, state) = proved(chain, parties, 4).await;
    let entry = state.epoch(state.last_proved.get()).unwrap();
    let disputer = parties.challenger.pubkey();
    let named = [NamedElement::default()];
    let dispute = ix::refute_lease(disputer, disputer, (refuted, &state), entry, &named, SOL);
    send(chain, dispute, &[&parties.challenger]).await;
    let dispute = address::lease_dispute(refuted, entry.epoch.get(), disputer);

    let mut reasons = [None; 3];
    eventually("each lease ends for its reason", async || {
        for (place, lease) in [unstarted, served, refuted].iter().enumerate() {
            let read = chain.account::<Lease>(lease).await.unwrap();
            let reason = read.and_then(|(_, lease)| CloseReason::from_u8(lease.reason));
            reasons[place] = reason.or(reasons[place]);
        }
        reasons
            == [
                Some(CloseReason::NeverStarted),
                Some(CloseReason::ClosedByTenant),
                Some(CloseReason::ProofRefuted),
            ]
    })
    .await;
    let provider = address::provider(parties.authority.pubkey());
    eventually(
        "what was proved is paid, and what is owed swept",
        async || {
            let read = chain.account::<Provider>(&provider).await.unwrap();
            let provider = read.unwrap().1;
            provider.earned.get() > 0
                && provider.owed_burn.get() == 0
                && provider.owed_foundation.get() == 0
                && (provider.open_leases.get(), provider.open_disputes.get()) == (0, 0)
        },
    )
    .await;
    eventually("all accounts are closed", async || {
        let mut gone = chain
            .account::<LeaseDispute>(&dispute)
            .await
            .unwrap()
            .is_none();
        let read = chain.account::<Request>(&open).await.unwrap();
        if let Some((_, request)) = read {
            let status = RequestStatus::from_u8(request.header.status);
            assert!(
                matches!(status, Some(RequestStatus::Open | RequestStatus::Expired)),
                "{status:?}"
            );
            gone = false;
        }
        for lease in [unstarted, served, refuted] {
            gone &= chain.account::<Lease>(&lease).await.unwrap().is_none();
        }
        gone
    })
    .await;
    the_index_tells_it(network.cluster.url(), chain).await;
}

async fn the_index_tells_it(url: &str, chain: &ChainClient) {
    let (db, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let count = async |sql: &str| db.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
    eventually("the index has all of it, finalized", async || {
        let requests = "SELECT count(*) FROM analytics.requests_finalized WHERE closed_slot IS NOT NULL";
        let disputes = "SELECT count(*) FROM analytics.lease_disputes_finalized
                         WHERE outcome = 'unanswered' AND closed_slot IS NOT NULL";
        let leases = "SELECT count(*) FROM analytics.leases_finalized
                       WHERE closed_slot IS NOT NULL AND exact AND astray_lamports = 0 AND held_lamports = 0";
        (count(requests).await, count(leases).await, count(disputes).await) == (4, 3, 1)
    })
    .await;
    let treasury = chain.account::<MarketTreasury>(&address::treasury()).await;
    let treasury = treasury.unwrap().unwrap().1;
    let shares =
        count("SELECT sum(foundation_lamports)::bigint FROM analytics.leases_finalized").await;
    assert_eq!(treasury.balance.get(), u64::try_from(shares).unwrap());
    let from = count("SELECT max(processed_slot) FROM analytics.pipeline_status").await;
    eventually("a comparison after that agrees", async || {
        let sql = "SELECT to_jsonb(r) FROM settler.reconciliation r";
        let row = db.query_opt(sql, &[]).await.unwrap();
        let Some(row) = row.map(|row| row.get::<_, serde_json::Value>(0)) else {
            return false;
        };
        assert_eq!(row["ok"], true, "{row}");
        // Treasury, class, provider.
        row["context_slot"].as_i64().unwrap() > from
            && row["accounts"] == 3
            && row["differing"] == 0
    })
    .await;
    assert_eq!(count("SELECT count(*) FROM pipeline.alarm").await, 0);
}
