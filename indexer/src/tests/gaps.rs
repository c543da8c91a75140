//! Beside gaps: what was not seen is never guessed, and what is doubtful says so.

use bytemuck::Zeroable;
use mythic_interface::state::{Config, Treasury};
use mythic_stream::proto::SlotStatus;

use super::chain::*;
use super::drain;
use super::postgres::Database;
use crate::{Swap, rebuild};

const STATUSES: &str =
    "SELECT slot, status FROM analytics.banks WHERE status <> 'gap' ORDER BY slot, status";
const VAULTS: &str = "SELECT balance, exact FROM analytics.vaults_finalized ORDER BY balance";

fn life(requested: u64, accepted: u64, submitted: u64, ended: u64) -> Life {
    Life {
        requested,
        accepted,
        submitted,
        ended,
    }
}

struct Case {
    spool: tempfile::TempDir,
    db: Database,
}

impl Case {
    async fn new(name: &str) -> Self {
        Self {
            spool: tempfile::tempdir().unwrap(),
            db: Database::new(name).await,
        }
    }

    fn start(&self, run: u8, base_slot: u64, base: &[Write]) -> Chain {
        Chain::start(self.spool.path(), run, base_slot, base)
    }

    /// Reads on, one input a batch, so that a restart is compared after each.
    async fn read(&self, chain: &mut Chain) {
        chain.sync();
        drain(&self.db.url, self.spool.path(), 1, None)
            .await
            .unwrap();
    }

    async fn shows(&self, sql: &str, expected: &[&str]) {
        assert_eq!(self.db.texts(sql).await, expected, "{sql}");
    }

    async fn rebuilds(&self) {
        let report = rebuild(&self.db.url, Swap::Never).await.unwrap();
        assert_eq!(report.different, Vec::<String>::new());
    }
}

#[tokio::test]
async fn late_banks_in_ascending_order_are_finalized() {
    let case = Case::new("gap_ascending").await;
    let mut chain = case.start(1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 100))]);
    chain.root(1, 0);
    chain.bank(5, 0, (4, 0), &[]);
    chain.root(5, 0);
    for slot in 2..=4 {
        chain.bank(slot, 0, (slot - 1, 0), &[write(2, vault(slot, 100 * slot))]);
        case.read(&mut chain).await;
    }
    case.shows(VAULTS, &["(400,t)"]).await;
    case.shows(
        STATUSES,
        &[
            "(1,finalized)",
            "(2,finalized)",
            "(3,finalized)",
            "(4,finalized)",
            "(5,finalized)",
        ],
    )
    .await;
    case.shows(
        "SELECT count(*) FROM feed.event WHERE op = 'retract'",
        &["(0)"],
    )
    .await;
    case.shows("SELECT gaps_open FROM analytics.pipeline_status", &["(0)"])
        .await;
    case.rebuilds().await;
}

#[tokio::test]
async fn a_bank_sealed_again_whole_replaces_the_incomplete_one() {
    let case = Case::new("gap_whole").await;
    let mut chain = case.start(1, 0, &[]);
    chain.bank(
        1,
        0,
        (0, 0),
        &[write(2, vault(1, 100)), write(3, job(1, life(1, 0, 0, 0)))],
    );
    let two = [write(2, vault(2, 200)), write(3, job(2, life(1, 2, 0, 0)))];
    let three = [write(4, vault(1, 7)), write(3, job(3, life(1, 2, 3, 0)))];
    chain.incomplete(2, 0, (1, 0), &two);
    chain.incomplete(3, 0, (2, 0), &three);
    chain.confirm(2, 0);
    case.read(&mut chain).await;
    case.shows(
        "SELECT balance, exact FROM analytics.vaults_processed",
        &["(100,f)"],
    )
    .await;
    // Before its root.
    chain.bank(2, 0, (1, 0), &two);
    case.read(&mut chain).await;
    case.shows(
        "SELECT balance, exact FROM analytics.vaults_confirmed",
        &["(200,t)"],
    )
    .await;
    case.shows(
        "SELECT balance, exact FROM analytics.vaults_processed",
        &["(200,f)"],
    )
    .await;
    chain.root(3, 0);
    case.read(&mut chain).await;
    case.shows(
        "SELECT status, exact FROM analytics.jobs_finalized",
        &["(accepted,f)"],
    )
    .await;
    // And after.
    chain.bank(3, 0, (2, 0), &three);
    case.read(&mut chain).await;
    case.shows(VAULTS, &["(7,t)", "(200,t)"]).await;
    case.shows(
        "SELECT status, exact FROM analytics.jobs_finalized",
        &["(submitted,t)"],
    )
    .await;
    case.shows(
        "SELECT slot, whole, account_updates FROM analytics.banks ORDER BY slot",
        &["(1,t,2)", "(2,t,2)", "(3,t,2)"],
    )
    .await;
    case.shows(
        "SELECT slot, op FROM feed.event WHERE topic = 'jobs' ORDER BY seq",
        &[
            "(1,add)",
            "(1,confirm)",
            "(2,add)",
            "(2,confirm)",
            "(1,finalize)",
            "(2,finalize)",
            "(3,add)",
            "(3,confirm)",
            "(3,finalize)",
        ],
    )
    .await;
    case.rebuilds().await;
}

#[tokio::test]
async fn an_incomplete_bank_takes_its_content_also_when_it_is_long_rooted() {
    let case = Case::new("gap_unfinished").await;
    let mut chain = case.start(1, 0, &[]);
    let two = [write(2, vault(2, 200)), write(4, vault(1, 7))];
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 100))]);
    chain.incomplete(2, 0, (1, 0), &two);
    let newest = 3 + crate::tree::ROOTED_MEMORY as u64;
    for slot in 3..=newest {
        chain.bank(slot, 0, (slot - 1, 0), &[]);
        chain.root(slot, 0);
    }
    chain.sync();
    drain(&case.db.url, case.spool.path(), 1_000, None)
        .await
        .unwrap();
    case.shows(VAULTS, &["(100,f)"]).await;
    // As another producer would have it, days behind.
    chain.bank(2, 0, (1, 0), &two);
    case.read(&mut chain).await;
    case.shows(VAULTS, &["(7,t)", "(200,t)"]).await;
    case.shows(
        "SELECT whole, account_updates FROM analytics.banks WHERE slot = 2",
        &["(t,2)"],
    )
    .await;
    case.rebuilds().await;
}

#[tokio::test]
async fn a_bank_completed_below_others_does_not_cover_their_rows() {
    let case = Case::new("gap_below").await;
    let mut chain = case.start(1, 0, &[]);
    let two = [write(2, vault(2, 200)), write(4, vault(1, 9))];
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 100))]);
    chain.incomplete(2, 0, (1, 0), &two);
    chain.bank(3, 0, (2, 0), &[write(2, vault(3, 300))]);
    chain.bank(2, 0, (1, 0), &two);
    case.read(&mut chain).await;
    let shown = "SELECT balance, exact FROM analytics.vaults_processed ORDER BY balance";
    case.shows(shown, &["(9,t)", "(300,t)"]).await;
    chain.root(3, 0);
    case.read(&mut chain).await;
    case.shows(VAULTS, &["(9,t)", "(300,t)"]).await;
    case.rebuilds().await;
}

#[tokio::test]
async fn confirmed_banks_of_an_abandoned_fork_stay_off_the_chain() {
    let case = Case::new("gap_abandoned").await;
    let mut chain = case.start(1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[]);
    chain.root(1, 0);
    chain.bank(2, 0, (1, 0), &[write(2, vault(1, 13))]);
    chain.bank(3, 0, (2, 0), &[write(4, vault(1, 14))]);
    chain.confirm(3, 0);
    drop(chain);
    // The chain is killed and goes on from 1; 4 is not seen.
    let mut chain = case.start(2, 1, &[]);
    chain.bank(5, 1, (4, 1), &[write(5, vault(1, 5))]);
    chain.root(5, 1);
    case.read(&mut chain).await;
    case.shows(VAULTS, &["(5,t)"]).await;
    chain.bank(4, 1, (1, 0), &[write(5, vault(0, 4))]);
    case.read(&mut chain).await;
    case.shows(VAULTS, &["(5,t)"]).await;
    case.shows(
        STATUSES,
        &[
            "(1,finalized)",
            "(2,orphaned)",
            "(3,orphaned)",
            "(4,finalized)",
            "(5,finalized)",
        ],
    )
    .await;
    case.rebuilds().await;
}

#[tokio::test]
async fn a_lost_seal_does_not_turn_the_views_back() {
    let case = Case::new("gap_seal").await;
    let mut chain = case.start(1, 0, &[]);
    chain.bank(
        1,
        0,
        (0, 0),
        &[write(2, vault(1, 100)), write(3, job(1, life(1, 0, 0, 0)))],
    );
    chain.root(1, 0);
    chain.bank(
        2,
        0,
        (1, 0),
        &[write(2, vault(2, 300)), write(3, job(2, life(1, 2, 2, 0)))],
    );
    chain.confirm(2, 0);
    drop(chain);
    // The plugin is loaded again in slot 3, which it therefore does not seal.
    let mut chain = case.start(2, 0, &[]);
    chain.bank(4, 0, (3, 0), &[write(4, vault(1, 4))]);
    chain.confirm(4, 0);
    case.read(&mut chain).await;
    for commitment in ["processed", "confirmed"] {
        case.shows(
            &format!("SELECT balance, exact FROM analytics.vaults_{commitment} ORDER BY balance"),
            &["(4,t)", "(300,f)"],
        )
        .await;
        case.shows(
            &format!("SELECT status, exact FROM analytics.jobs_{commitment}"),
            &["(submitted,f)"],
        )
        .await;
    }
    case.shows(VAULTS, &["(100,t)"]).await;
    case.shows(
        "SELECT processed_inexact_through, confirmed_inexact_through, inexact_through FROM analytics.pipeline_status",
        &["(3,3,)"],
    )
    .await;
    case.rebuilds().await;
}

#[tokio::test]
async fn treasury_and_configuration_say_at_each_commitment_whether_they_are_exact() {
    let case = Case::new("gap_config").await;
    let mut chain = case.start(1, 0, &[]);
    let mut treasury = Treasury::zeroed();
    treasury.header = header(Treasury::DISCRIMINATOR, 1, 1);
    let mut config = Box::new(Config::zeroed());
    config.header = header(Config::DISCRIMINATOR, 1, 1);
    let both = [
        write(20, bytemuck::bytes_of(&treasury).to_vec()),
        write(21, bytemuck::bytes_of(&*config).to_vec()),
    ];
    chain.bank(1, 0, (0, 0), &both);
    chain.root(1, 0);
    let exact = async |case: &Case| {
        let mut exact = Vec::new();
        for view in ["treasury", "config"] {
            for commitment in ["processed", "confirmed", "finalized"] {
                let sql = format!("SELECT exact FROM analytics.{view}_{commitment}");
                exact.extend(case.db.texts(&sql).await);
            }
        }
        exact.concat()
    };
    case.read(&mut chain).await;
    assert_eq!(exact(&case).await, "(t)(t)(t)(t)(t)(t)");
    // What is lost of the next block may have been of them.
    chain.incomplete(2, 0, (1, 0), &[write(2, vault(1, 1))]);
    case.read(&mut chain).await;
    assert_eq!(exact(&case).await, "(f)(t)(t)(f)(t)(t)");
    chain.confirm(2, 0);
    case.read(&mut chain).await;
    assert_eq!(exact(&case).await, "(f)(f)(t)(f)(f)(t)");
    chain.root(2, 0);
    case.read(&mut chain).await;
    assert_eq!(exact(&case).await, "(f)(f)(f)(f)(f)(f)");
    chain.bank(2, 0, (1, 0), &[write(2, vault(1, 1))]);
    case.read(&mut chain).await;
    assert_eq!(exact(&case).await, "(t)(t)(t)(t)(t)(t)");
}

#[tokio::test]
async fn banks_of_a_gap_that_are_said_to_be_final_are_whatever_is_missing_above_them() {
    let case = Case::new("gap_split").await;
    let mut chain = case.start(1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 100))]);
    chain.root(1, 0);
    chain.bank(7, 0, (6, 0), &[]);
    chain.root(7, 0);
    for slot in [3, 4] {
        let writes = [
            write(2, vault(slot, 100 * slot)),
            write(slot as u8, job(1, life(slot, 0, 0, 0))),
        ];
        chain.bank(slot, 0, (slot - 1, 0), &writes);
    }
    // Another block of slot 5 builds on another one of slot 4.
    chain.bank(5, 1, (4, 1), &[]);
    case.read(&mut chain).await;
    case.shows(VAULTS, &["(100,f)"]).await;
    let slots = "SELECT slot, last_slot, gap FROM analytics.slots_finalized ORDER BY slot";
    case.shows(slots, &["(1,1,f)", "(2,6,t)", "(7,7,f)"]).await;
    chain.root(4, 0);
    case.read(&mut chain).await;
    case.shows(VAULTS, &["(400,f)"]).await;
    let split = [
        "(1,1,f)", "(2,2,t)", "(3,3,f)", "(4,4,f)", "(5,6,t)", "(7,7,f)",
    ];
    case.shows(slots, &split).await;
    case.shows(
        "SELECT slot, op FROM feed.event WHERE slot > 1 AND op <> 'add' ORDER BY seq",
        &["(3,confirm)", "(3,finalize)", "(4,confirm)", "(4,finalize)"],
    )
    .await;
    let alarms =
        "SELECT slot, last_slot, cleared_at IS NULL FROM pipeline.alarm WHERE kind = 'gap'";
    case.shows(alarms, &["(2,6,t)"]).await;
    for slot in [2, 5, 6] {
        chain.bank(slot, 0, (slot - 1, 0), &[write(2, vault(slot, 100 * slot))]);
    }
    case.read(&mut chain).await;
    case.shows(VAULTS, &["(600,t)"]).await;
    case.shows(
        "SELECT count(*) FROM analytics.slots_finalized WHERE gap",
        &["(0)"],
    )
    .await;
    case.shows(alarms, &["(2,6,f)"]).await;
    case.rebuilds().await;
}

#[tokio::test]
async fn a_late_link_to_a_dead_fork_takes_what_builds_on_it() {
    let case = Case::new("gap_dead_link").await;
    let mut chain = case.start(1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 100))]);
    chain.bank(2, 1, (1, 0), &[]);
    let writes = [write(2, vault(2, 500)), write(3, job(1, life(5, 0, 0, 0)))];
    chain.bank(5, 1, (4, 1), &writes);
    chain.bank(3, 0, (1, 0), &[]);
    chain.root(3, 0);
    case.read(&mut chain).await;
    // It may still turn out to be on the chain.
    let vaults = "SELECT balance, exact FROM analytics.vaults_processed";
    case.shows(vaults, &["(500,t)"]).await;
    chain.bank(4, 1, (2, 1), &[]);
    case.read(&mut chain).await;
    case.shows(vaults, &["(100,t)"]).await;
    case.shows(
        STATUSES,
        &[
            "(1,finalized)",
            "(2,orphaned)",
            "(3,finalized)",
            "(4,orphaned)",
            "(5,orphaned)",
        ],
    )
    .await;
    case.shows("SELECT slot FROM feed.event WHERE op = 'retract'", &["(5)"])
        .await;
    case.rebuilds().await;
}

#[tokio::test]
async fn what_ended_and_closed_in_a_gap_is_closed_and_inexact() {
    let case = Case::new("gap_closed").await;
    let mut chain = case.start(1, 0, &[]);
    chain.bank(
        1,
        0,
        (0, 0),
        &[
            write(3, job(3, life(1, 1, 1, 0))),
            write(4, job(3, life(1, 1, 1, 0))),
            write(6, job(3, life(1, 1, 1, 0))),
        ],
    );
    chain.bank(2, 0, (1, 0), &[write(5, vault(1, 5))]);
    chain.root(2, 0);
    chain.bank(6, 0, (5, 0), &[]);
    chain.root(6, 0);
    drop(chain);
    // 3 ended and was closed; 4 too, and its address was used again in slot 4; 6 lives.
    let base = [
        write(4, job(1, life(4, 0, 0, 0))),
        write(5, vault(1, 5)),
        write(6, job(3, life(1, 1, 1, 0))),
    ];
    let mut chain = case.start(2, 6, &base);
    chain.bank(7, 0, (6, 0), &[]);
    case.read(&mut chain).await;
    let jobs = "SELECT analytics.key(id), requested_slot, status, closed_slot, exact FROM analytics.jobs_finalized ORDER BY 1, 2";
    let key = |n: u8| format!("\"\\\\x{}\"", format!("{n:02x}").repeat(32));
    let expected = [
        format!("({},1,submitted,6,f)", key(3)),
        format!("({},1,submitted,4,f)", key(4)),
        format!("({},4,open,,f)", key(4)),
        format!("({},1,submitted,,t)", key(6)),
    ];
    assert_eq!(case.db.texts(jobs).await, expected);
    // The second job of the address ends and is closed before everybody's eyes.
    chain.bank(8, 0, (7, 0), &[write(4, job(4, life(4, 7, 7, 8)))]);
    chain.bank(9, 0, (8, 0), &[closed(4)]);
    chain.root(9, 0);
    case.read(&mut chain).await;
    let expected = [
        format!("({},1,submitted,6,f)", key(3)),
        format!("({},1,submitted,4,f)", key(4)),
        format!("({},4,settled,9,t)", key(4)),
        format!("({},1,submitted,,t)", key(6)),
    ];
    assert_eq!(case.db.texts(jobs).await, expected);
    case.rebuilds().await;
}

#[tokio::test]
async fn banks_that_come_after_the_base_tell_what_it_could_not() {
    let case = Case::new("gap_after_base").await;
    let mut chain = case.start(1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(3, job(3, life(1, 1, 1, 0)))]);
    chain.root(1, 0);
    chain.bank(5, 0, (4, 0), &[]);
    chain.root(5, 0);
    drop(chain);
    let mut chain = case.start(2, 5, &[write(2, vault(9, 900))]);
    chain.bank(6, 0, (5, 0), &[]);
    case.read(&mut chain).await;
    let jobs = "SELECT status, closed_slot, exact FROM analytics.jobs_finalized";
    case.shows(jobs, &["(submitted,5,f)"]).await;
    // 4 closed the job in truth; a vault that 2 shows was closed by the time of the base.
    chain.bank(
        2,
        0,
        (1, 0),
        &[
            write(3, job(4, life(1, 1, 1, 2))),
            write(7, vault(1, 7)),
            write(2, vault(8, 800)),
        ],
    );
    chain.bank(3, 0, (2, 0), &[]);
    chain.bank(4, 0, (3, 0), &[closed(3), closed(7)]);
    case.read(&mut chain).await;
    case.shows(jobs, &["(settled,4,t)"]).await;
    case.shows(VAULTS, &["(900,f)"]).await;
    case.rebuilds().await;
}

#[tokio::test]
async fn a_late_bank_does_not_bring_back_what_the_base_lacks() {
    let case = Case::new("gap_lacks").await;
    let mut chain = case.start(1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[]);
    chain.root(1, 0);
    chain.bank(4, 0, (3, 0), &[]);
    chain.root(4, 0);
    drop(chain);
    let mut chain = case.start(2, 4, &[write(2, vault(9, 900))]);
    chain.bank(5, 0, (4, 0), &[]);
    // 3 closed the vault of 2, but is not whole.
    chain.incomplete(3, 0, (2, 0), &[closed(7), closed(8)]);
    chain.bank(
        2,
        0,
        (1, 0),
        &[write(7, vault(1, 7)), write(3, job(2, life(2, 0, 0, 0)))],
    );
    case.read(&mut chain).await;
    case.shows(VAULTS, &["(900,f)"]).await;
    case.shows(
        "SELECT status, closed_slot, exact FROM analytics.jobs_finalized",
        &["(open,4,f)"],
    )
    .await;
    case.shows(
        "SELECT gaps_open, inexact_through FROM analytics.pipeline_status",
        &["(0,)"],
    )
    .await;
    case.rebuilds().await;
}

#[tokio::test]
async fn a_status_without_a_hash_leaves_a_dumped_bank_alone() {
    let case = Case::new("gap_dumped").await;
    let mut chain = case.start(1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[]);
    chain.root(1, 0);
    chain.bank(2, 0, (1, 0), &[write(2, vault(1, 13))]);
    // Dumped and opened again; the plugin is loaded again before the second seal.
    chain.create(2);
    chain.unnamed(2, SlotStatus::Confirmed);
    case.read(&mut chain).await;
    case.shows("SELECT balance FROM analytics.vaults_confirmed", &[])
        .await;
    drop(chain);
    let mut chain = case.start(2, 0, &[]);
    chain.bank(3, 1, (2, 1), &[write(2, vault(1, 3))]);
    chain.unnamed(2, SlotStatus::Rooted);
    chain.root(3, 1);
    case.read(&mut chain).await;
    case.shows(
        STATUSES,
        &["(1,finalized)", "(2,orphaned)", "(3,finalized)"],
    )
    .await;
    case.shows(VAULTS, &["(3,t)"]).await;
    case.rebuilds().await;
}

#[tokio::test]
async fn a_bank_off_the_root_is_never_shown() {
    let case = Case::new("gap_off_root").await;
    let mut chain = case.start(1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 100))]);
    chain.bank(2, 1, (1, 0), &[]);
    chain.bank(3, 0, (1, 0), &[]);
    chain.root(3, 0);
    // A dead fork is met again.
    chain.bank(9, 1, (2, 1), &[write(2, vault(2, 999))]);
    chain.bank(10, 1, (9, 1), &[write(2, vault(3, 998))]);
    chain.confirm(9, 1);
    case.read(&mut chain).await;
    for commitment in ["processed", "confirmed", "finalized"] {
        case.shows(
            &format!("SELECT balance FROM analytics.vaults_{commitment}"),
            &["(100)"],
        )
        .await;
    }
    case.shows(
        "SELECT processed_slot, confirmed_slot FROM analytics.pipeline_status",
        &["(3,3)"],
    )
    .await;
    case.rebuilds().await;
}

#[tokio::test]
async fn two_confirmed_banks_of_a_slot_are_an_alarm_and_one_chain() {
    let case = Case::new("gap_two").await;
    let mut chain = case.start(1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 100))]);
    chain.bank(2, 0, (1, 0), &[write(3, job(3, life(2, 2, 2, 0)))]);
    chain.confirm(2, 0);
    chain.bank(2, 1, (1, 0), &[write(4, job(3, life(2, 2, 2, 0)))]);
    chain.confirm(2, 1);
    chain.bank(3, 1, (2, 1), &[write(4, job(4, life(2, 2, 2, 3)))]);
    chain.confirm(3, 1);
    case.read(&mut chain).await;
    case.shows(
        "SELECT kind, slot FROM analytics.alarms",
        &["(confirmed_fork,2)"],
    )
    .await;
    case.shows(
        "SELECT slot FROM analytics.slots_confirmed ORDER BY slot",
        &["(1)", "(2)", "(3)"],
    )
    .await;
    let views = case
        .db
        .client
        .query(
            "SELECT format('%I.%I', schemaname, viewname) FROM pg_views WHERE schemaname IN ('analytics', 'dune', 'listing') ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    let views: Vec<String> = views.iter().map(|row| row.get(0)).collect();
    for known in [
        "analytics.jobs_confirmed",
        "dune.blocks",
        "listing.jobs_finalized",
    ] {
        assert!(views.iter().any(|view| view == known), "{views:?}");
    }
    for view in &views {
        // Each column of each row, of whatever commitment.
        case.db.texts(&format!("SELECT * FROM {view}")).await;
    }
    case.shows(
        "SELECT status FROM analytics.jobs_confirmed",
        &["(settled)"],
    )
    .await;
    case.shows(
        "SELECT jobs_requested FROM analytics.network_daily_confirmed",
        &["(1)"],
    )
    .await;
    // What lies beside the chain that is shown is kept: it is there once it turns out to be the one that is final.
    chain.root(2, 0);
    case.read(&mut chain).await;
    case.shows(
        STATUSES,
        &[
            "(1,finalized)",
            "(2,finalized)",
            "(2,orphaned)",
            "(3,orphaned)",
        ],
    )
    .await;
    case.shows(
        "SELECT status FROM analytics.jobs_finalized",
        &["(submitted)"],
    )
    .await;
    case.shows("SELECT count(*) FROM pipeline.dead_letter", &["(0)"])
        .await;
    case.rebuilds().await;
}

#[tokio::test]
async fn a_confirmation_of_what_the_root_orphaned_is_forgotten_by_a_restart_too() {
    let case = Case::new("gap_orphan_confirmed").await;
    let mut chain = case.start(1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[]);
    chain.bank(2, 0, (1, 0), &[]);
    chain.bank(5, 1, (1, 0), &[]);
    chain.confirm(5, 1);
    chain.confirm(7, 1);
    chain.root(2, 0);
    case.read(&mut chain).await;
    chain.bank(5, 1, (1, 0), &[write(2, vault(1, 1))]);
    case.read(&mut chain).await;
    case.shows(
        "SELECT slot, status FROM analytics.banks ORDER BY slot",
        &["(1,finalized)", "(2,finalized)", "(5,orphaned)"],
    )
    .await;
    case.rebuilds().await;
}
