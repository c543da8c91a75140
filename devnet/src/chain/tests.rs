//! The chain by values: no clock, no disk, no network.

use solana_account::Account;
use solana_keypair::Keypair;
use solana_message::{Message, VersionedMessage};
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;

use super::*;

const SOL: u64 = 1_000_000_000;
const RENT: u64 = 890_880;

struct World {
    chain: Chain,
    payer: Keypair,
}

fn world(confirmed_lag: u64, rooted_lag: u64) -> World {
    let payer = Keypair::new();
    let account = Account {
        lamports: 100 * SOL,
        rent_epoch: u64::MAX,
        ..Account::default()
    };
    let genesis = Hash::new_from_array([1; 32]);
    let resume = Resume {
        root: Block {
            slot: 0,
            parent_slot: 0,
            height: 0,
            blockhash: genesis,
            parent_blockhash: Hash::default(),
            unix_ms: 1_000_000,
            transaction_count: 0,
            transactions: Vec::new(),
            state: Hash::default(),
            writes: Vec::new(),
        },
        slot_hashes: SlotHashes::new(&[]),
        blockhashes: vec![(genesis, 0)],
        statuses: Vec::new(),
        accounts: vec![(payer.pubkey(), account.into(), 0)],
        next_slot: 1,
    };
    let settings = Settings {
        confirmed_lag,
        rooted_lag,
        salt: [0; 16],
    };
    let chain = Chain::new(settings, resume, 1_000_000);
    World { chain, payer }
}

impl World {
    fn step(&mut self, count: usize) {
        for _ in 0..count {
            self.chain.advance(1_000_000);
            let roots = self.chain.rootable().len();
            self.chain.root(roots);
        }
    }

    fn transfer_under(&self, to: &Pubkey, lamports: u64, blockhash: Hash) -> VersionedTransaction {
        let from = self.payer.pubkey();
        let message =
            Message::new_with_blockhash(&[transfer(&from, to, lamports)], Some(&from), &blockhash);
        VersionedTransaction::try_new(VersionedMessage::Legacy(message), &[&self.payer]).unwrap()
    }

    fn transfer(&self, to: &Pubkey, lamports: u64) -> VersionedTransaction {
        self.transfer_under(to, lamports, self.chain.rooted().blockhash)
    }

    fn lamports(&self, level: Level, key: &Pubkey) -> u64 {
        let block = self.chain.block_at(level);
        self.chain
            .account(&block, key)
            .map_or(0, |account| account.lamports())
    }

    fn names(&mut self) -> Vec<String> {
        let events = self.chain.take_events();
        events.iter().map(name).collect()
    }
}

fn name(event: &Event) -> String {
    match event {
        Event::CreatedBank { slot, parent } => format!("created {slot} on {parent}"),
        Event::Account { slot, pubkey, .. } if *pubkey == CLOCK_ID => format!("clock {slot}"),
        Event::Account { slot, pubkey, .. } if *pubkey == SLOT_HASHES_ID => {
            format!("slot hashes {slot}")
        }
        Event::Account { slot, executed, .. } => {
            format!("account {slot} tx {}", executed.is_some())
        }
        Event::Transaction { slot, .. } => format!("transaction {slot}"),
        Event::Frozen(block) => format!("frozen {}", block.slot),
        Event::Processed(block) => format!("processed {}", block.slot),
        Event::Confirmed(block) => format!("confirmed {}", block.slot),
        Event::Rooted(block) => format!("rooted {}", block.slot),
        Event::Dead { slot, .. } => format!("dead {slot}"),
    }
}

#[test]
fn a_bank_tells_its_events_in_the_order_of_a_validator() {
    let mut world = world(1, 2);
    assert_eq!(
        world.names(),
        ["created 1 on 0", "clock 1", "slot hashes 1"]
    );
    let to = Pubkey::new_unique();
    let tx = world.transfer(&to, RENT);
    world.chain.submit(tx).unwrap();
    assert_eq!(
        world.names(),
        ["account 1 tx true", "account 1 tx true", "transaction 1"]
    );
    world.step(3);
    assert_eq!(
        world.names(),
        [
            "frozen 1",
            "processed 1",
            "created 2 on 1",
            "clock 2",
            "slot hashes 2",
            "frozen 2",
            "processed 2",
            "confirmed 1",
            "created 3 on 2",
            "clock 3",
            "slot hashes 3",
            "frozen 3",
            "processed 3",
            "confirmed 2",
            "created 4 on 3",
            "clock 4",
            "slot hashes 4",
            "rooted 1",
        ]
    );
}

#[test]
fn a_commitment_shows_its_own_state() {
    let mut world = world(1, 3);
    let to = Pubkey::new_unique();
    let signature = world.chain.submit(world.transfer(&to, RENT)).unwrap();
    assert_eq!(world.lamports(Level::Processed, &to), 0);
    assert_eq!(world.chain.status(&signature), None);
    for level in [Level::Processed, Level::Confirmed] {
        world.step(1);
        assert_eq!(world.lamports(level, &to), RENT);
        assert_eq!(world.lamports(Level::Finalized, &to), 0);
        assert_eq!(world.chain.status(&signature).unwrap().1, level);
    }
    world.step(2);
    assert_eq!(world.lamports(Level::Finalized, &to), RENT);
    assert_eq!(world.chain.status(&signature).unwrap().1, Level::Finalized);
}

#[test]
fn a_blockhash_serves_for_150_blocks_and_a_signature_lands_once() {
    let mut world = world(1, 4);
    let (a, b, c) = (
        Pubkey::new_unique(),
        Pubkey::new_unique(),
        Pubkey::new_unique(),
    );
    let genesis = world.chain.rooted().blockhash;
    let first = world.transfer_under(&a, RENT, genesis);
    world.chain.submit(first.clone()).unwrap();
    assert_eq!(
        world.chain.submit(first.clone()),
        Err(TransactionError::AlreadyProcessed)
    );
    world.step(150);
    assert_eq!(
        world.chain.submit(first),
        Err(TransactionError::AlreadyProcessed)
    );
    let late = world.transfer_under(&b, RENT, genesis);
    assert!(world.chain.submit(late).is_ok());
    world.step(1);
    let too_late = world.transfer_under(&c, RENT, genesis);
    assert_eq!(
        world.chain.submit(too_late),
        Err(TransactionError::BlockhashNotFound)
    );
}

#[test]
fn a_failed_transaction_pays_its_fee_and_writes_only_the_payer() {
    let mut world = world(1, 4);
    world.names();
    let to = Pubkey::new_unique();
    let signature = world.chain.submit(world.transfer(&to, 1000 * SOL)).unwrap();
    assert_eq!(world.names(), ["account 1 tx true", "transaction 1"]);
    world.step(1);
    assert!(world.chain.status(&signature).unwrap().0.err.is_some());
    let payer = world.payer.pubkey();
    assert_eq!(world.lamports(Level::Processed, &payer), 100 * SOL - 5000);
}

#[test]
fn what_is_sent_to_the_incinerator_is_gone_at_the_end_of_the_slot() {
    let mut world = world(1, 4);
    world
        .chain
        .submit(world.transfer(&INCINERATOR_ID, SOL))
        .unwrap();
    world.names();
    world.step(1);
    let names = world.names();
    assert_eq!(names[..2], ["account 1 tx false", "frozen 1"]);
    assert_eq!(world.lamports(Level::Processed, &INCINERATOR_ID), 0);
}

#[test]
fn a_fork_abandons_slots_and_lands_their_transactions_again() {
    let mut world = world(1, 8);
    let (a, b, c) = (
        Pubkey::new_unique(),
        Pubkey::new_unique(),
        Pubkey::new_unique(),
    );
    world.step(1);
    let first = world.chain.submit(world.transfer(&a, RENT)).unwrap();
    world.step(1);
    let lost = world.transfer_under(&b, RENT, world.chain.tip().blockhash);
    let lost = world.chain.submit(lost).unwrap();
    world.step(1);
    let open = world.chain.submit(world.transfer(&c, RENT)).unwrap();
    let old_tip = world.chain.tip().blockhash;
    world.names();

    let moved = world.chain.fork(2, 1_000_000).unwrap();
    assert_eq!((moved.parent, moved.slot), (1, 5));
    assert_eq!(moved.abandoned, [2, 3, 4]);
    assert_eq!(moved.relanded, [first, open]);
    assert_eq!(moved.dropped, [(lost, TransactionError::BlockhashNotFound)]);
    assert_eq!(world.names()[0], "created 5 on 1");
    assert_eq!(world.lamports(Level::Processed, &a), 0);
    assert!(!world.chain.blockhash_is_valid(&old_tip, world.chain.tip()));
    let clock = world.chain.ledger.clock();
    assert_eq!(clock.slot, 5);
    let hashes = world.chain.ledger.slot_hashes();
    let slots: Vec<_> = hashes.slot_hashes().iter().map(|(slot, _)| *slot).collect();
    assert_eq!(slots, [1, 0]);

    world.step(1);
    assert_eq!(world.lamports(Level::Processed, &a), RENT);
    assert_eq!(world.lamports(Level::Processed, &b), 0);
    assert_eq!(world.chain.status(&first).unwrap().0.slot, 5);
    assert_eq!(world.chain.status(&lost), None);
    assert_eq!(
        world.chain.fork(100, 0),
        Err(CommandError::TooDeep {
            asked: 100,
            unrooted: 2
        })
    );
}

#[test]
fn a_replayed_slot_has_another_block_and_so_have_those_above_it() {
    let mut world = world(1, 8);
    let (a, b, c) = (
        Pubkey::new_unique(),
        Pubkey::new_unique(),
        Pubkey::new_unique(),
    );
    let first = world.chain.submit(world.transfer(&a, RENT)).unwrap();
    let second = world.chain.submit(world.transfer(&b, RENT)).unwrap();
    world.step(1);
    let third = world.chain.submit(world.transfer(&c, RENT)).unwrap();
    world.step(1);
    let before = world.chain.tip().blockhash;
    world.names();

    let moved = world.chain.replay(1, Some(&[second]), 1_000_000).unwrap();
    assert_eq!((moved.parent, moved.slot), (2, 3));
    assert_eq!(moved.relanded, [first, third, second]);
    let names = world.names();
    let created: Vec<_> = names
        .iter()
        .filter(|name| name.starts_with("created"))
        .collect();
    assert_eq!(
        created,
        ["created 1 on 0", "created 2 on 1", "created 3 on 2"]
    );
    assert!(names.contains(&"confirmed 1".to_owned()));
    assert_ne!(world.chain.tip().blockhash, before);
    assert_eq!(world.lamports(Level::Processed, &a), RENT);
    assert_eq!(world.lamports(Level::Processed, &b), 0);
    assert_eq!(world.lamports(Level::Processed, &c), RENT);
    world.step(1);
    assert_eq!(world.chain.status(&second).unwrap().0.slot, 3);
    assert_eq!(
        world.chain.replay(77, None, 0),
        Err(CommandError::NotUnrooted(77))
    );
}

#[test]
fn skipped_and_dead_slots_have_no_block_and_lose_no_transaction() {
    let mut world = world(1, 8);
    let a = Pubkey::new_unique();
    let signature = world.chain.submit(world.transfer(&a, RENT)).unwrap();
    world.names();
    let moved = world.chain.skip(2, 1_000_000).unwrap();
    assert_eq!((moved.slot, moved.abandoned), (3, vec![1, 2]));
    assert_eq!(moved.relanded, [signature]);
    let moved = world.chain.dead("bad block".into(), 1_000_000);
    assert_eq!((moved.slot, moved.parent), (4, 0));
    let names = world.names();
    assert_eq!(names[0], "created 3 on 0");
    assert!(names.contains(&"dead 3".to_owned()));
    assert!(names.contains(&"created 4 on 0".to_owned()));
    world.step(1);
    assert_eq!(world.chain.tip().parent_slot, 0);
    assert_eq!(world.chain.status(&signature).unwrap().0.slot, 4);
}

#[test]
fn a_revert_brings_accounts_back_and_keeps_slots_going() {
    let mut world = world(1, 8);
    let (a, b) = (Pubkey::new_unique(), Pubkey::new_unique());
    world.chain.submit(world.transfer(&a, RENT)).unwrap();
    let id = world.chain.snapshot();
    let tx = world.transfer(&a, 7);
    world.chain.submit(tx).unwrap();
    world.chain.submit(world.transfer(&b, RENT)).unwrap();
    world.step(3);
    assert_eq!(world.chain.revert(id), Ok(3));
    world.step(1);
    assert_eq!(world.lamports(Level::Processed, &a), RENT);
    assert_eq!(world.lamports(Level::Processed, &b), 0);
    assert_eq!(world.chain.tip().slot, 4);
    assert_eq!(world.chain.revert(99), Err(CommandError::NoSnapshot(99)));
}

#[test]
fn a_simulation_runs_at_its_commitment_and_leaves_nothing() {
    let mut world = world(1, 8);
    let a = Pubkey::new_unique();
    let first = world.transfer(&a, RENT);
    world.chain.submit(first.clone()).unwrap();
    let tip = world.chain.tip().clone();
    let again = world.chain.simulate(&tip, first.clone(), true);
    assert_eq!(again.err, None, "the open bank is not processed yet");
    world.step(1);
    let tip = world.chain.tip().clone();
    let again = world.chain.simulate(&tip, first.clone(), true);
    assert_eq!(again.err, Some(TransactionError::AlreadyProcessed));
    assert_eq!(world.chain.simulate(&tip, first, false).err, None);
    let more = world.transfer(&a, 1);
    let simulation = world.chain.simulate(&tip, more, true);
    assert_eq!(simulation.err, None);
    let (_, after) = simulation
        .post_accounts
        .iter()
        .find(|(key, _)| *key == a)
        .unwrap();
    assert_eq!(after.lamports(), RENT + 1);
    assert_eq!(world.lamports(Level::Processed, &a), RENT);
    assert_eq!(world.chain.ledger.clock().slot, 2);
    let message = world.transfer(&a, 1).message;
    assert_eq!(world.chain.fee(&tip, message), Some(5000));
}

#[test]
fn the_rooted_state_goes_on_where_it_was() {
    let mut world = world(1, 2);
    let (a, b) = (Pubkey::new_unique(), Pubkey::new_unique());
    let landed = world.transfer(&a, RENT);
    world.chain.submit(landed.clone()).unwrap();
    world.step(4);
    world.chain.submit(world.transfer(&b, RENT)).unwrap();
    world.step(1);
    let root = world.chain.rooted().clone();
    let saved = world.chain.rooted_state();
    assert_eq!(saved.next_slot, world.chain.open_slot() + 1);
    let settings = Settings {
        confirmed_lag: 1,
        rooted_lag: 2,
        salt: [1; 16],
    };
    world.chain = Chain::new(settings, saved, 1_000_000);
    assert_eq!(world.names()[0], format!("created 7 on {}", root.slot));
    assert_eq!(world.lamports(Level::Finalized, &a), RENT);
    assert_eq!(world.lamports(Level::Finalized, &b), 0);
    assert_eq!(
        world.chain.submit(landed),
        Err(TransactionError::AlreadyProcessed)
    );
    let hashes = world.chain.ledger.slot_hashes();
    assert_eq!(hashes.slot_hashes()[0].0, root.slot);
    assert!(world.chain.submit(world.transfer(&b, RENT)).is_ok());
}

#[test]
fn an_empty_slot_costs_less_than_five_milliseconds() {
    let mut world = world(1, 32);
    world.step(600);
    // The fastest of several runs: other work on the machine is not this code's.
    let each = (0..10)
        .map(|_| {
            let start = std::time::Instant::now();
            world.step(20);
            start.elapsed() / 20
        })
        .min()
        .unwrap();
    println!("an empty slot takes {each:?}");
    assert!(each < std::time::Duration::from_millis(5), "{each:?}");
    let hashes = world.chain.ledger.slot_hashes();
    assert_eq!(hashes.slot_hashes().len(), 512);
}
