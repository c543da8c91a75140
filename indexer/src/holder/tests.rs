use super::*;
use mythic_stream::proto::{BaseEnd, Loss, SlotSeal, SlotUpdate, Start};
use std::path::PathBuf;

const RUN: [u8; 16] = [7; 16];

fn at(seq: u64) -> Position {
    Position {
        run: RUN,
        segment: 1,
        offset: 100 * seq,
        seq,
    }
}

fn start() -> Start {
    Start {
        genesis_hash: vec![9; 32].into(),
        filter_hash: run::expected_filter().to_vec().into(),
        ..Default::default()
    }
}

/// A log that a holder reads; its first record, number 1, opens the run.
struct Log {
    holder: Holder,
    seq: u64,
    /// Of the banks that are open.
    digests: BTreeMap<(u64, u32), BankDigest>,
    _dir: tempfile::TempDir,
}

impl Log {
    fn new() -> Self {
        Self::open(1 << 20, start())
    }

    fn open(max_bytes: usize, start: Start) -> Self {
        let mut log = Self::unopened(max_bytes);
        log.push(Event::Start(start));
        log
    }

    fn unopened(max_bytes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            holder: Holder::new(max_bytes, &dir.path().join("spill")),
            seq: 0,
            digests: BTreeMap::new(),
            _dir: dir,
        }
    }

    fn push(&mut self, mut event: Event) -> Vec<Input> {
        match &mut event {
            Event::Account(a) if !a.is_startup => {
                let key = |bytes: &[u8]| bytes.try_into().unwrap();
                let digest = self.digests.entry((a.slot, a.generation)).or_default();
                digest.push(key(&a.pubkey), &key(&a.owner), a.lamports, &a.data);
            }
            Event::Seal(seal) if seal.digest.is_empty() => {
                let digest = self.digests.remove(&(seal.slot, seal.generation));
                seal.digest = digest.unwrap_or_default().finish().to_vec().into();
            }
            _ => {}
        }
        self.seq += 1;
        self.holder
            .apply(at(self.seq), envelope(self.seq, event), false)
            .unwrap()
    }

    /// A record that can't be read.
    fn lose(&mut self) -> Vec<Input> {
        self.seq += 1;
        let what = Unreadable {
            segment: 1,
            offset: 100 * self.seq,
            bytes: 100,
            records: Some(1),
            what: "test",
        };
        self.holder.unreadable(at(self.seq), &what, false)
    }

    fn resume(&self) -> u64 {
        self.holder.resume(at(self.seq + 1)).seq
    }
}

fn envelope(seq: u64, event: Event) -> Envelope {
    Envelope {
        run: RUN.to_vec().into(),
        seq,
        time_unix_nanos: 0,
        event: Some(event),
    }
}

fn account(slot: u64, generation: u32, key: u8, startup: bool) -> Event {
    Event::Account(AccountUpdate {
        slot,
        generation,
        write_version: 1,
        pubkey: vec![key; 32].into(),
        owner: vec![2; 32].into(),
        lamports: 5,
        data: vec![1, 2, 3].into(),
        is_startup: startup,
        signature: Default::default(),
    })
}

fn base_end(slot: u64, count: u64) -> Event {
    Event::BaseEnd(BaseEnd { slot, count })
}

fn seal(slot: u64, generation: u32, offered: u64, dropped: u64) -> Event {
    Event::Seal(SlotSeal {
        slot,
        generation,
        blockhash: vec![slot as u8; 32].into(),
        parent_slot: slot - 1,
        parent_blockhash: vec![slot as u8 - 1; 32].into(),
        offered,
        dropped,
        filter_hash: run::expected_filter().to_vec().into(),
        ..Default::default()
    })
}

fn status(slot: u64, generation: u32, status: SlotStatus) -> Event {
    Event::Slot(SlotUpdate {
        slot,
        generation,
        status: status.into(),
        ..Default::default()
    })
}

/// What was refused: kind, and why.
fn refused(inputs: &[Input]) -> Vec<(Kind, &str)> {
    let refused = inputs.iter().filter_map(|input| match input {
        Input::Refused { kind, detail, .. } => Some((*kind, detail.as_str())),
        _ => None,
    });
    refused.collect()
}

/// The bank that a base is read as the state of.
fn as_of(inputs: &[Input]) -> Option<u64> {
    match inputs.first() {
        Some(Input::Base { as_of, .. }) => as_of.map(|bank| bank.slot),
        other => panic!("no base: {other:?}"),
    }
}

fn sealed(inputs: &[Input]) -> &SealedBank {
    match inputs.last() {
        Some(Input::Bank(bank)) => bank,
        other => panic!("no bank: {other:?}"),
    }
}

#[test]
fn nothing_before_the_seal_then_all_of_it_in_order() {
    let mut log = Log::new();
    assert!(log.push(account(5, 1, 1, false)).is_empty());
    assert!(log.push(account(5, 1, 2, false)).is_empty());
    assert_eq!(log.resume(), 2);
    let inputs = log.push(seal(5, 1, 2, 0));
    let bank = sealed(&inputs);
    assert!(bank.whole);
    assert_eq!(
        bank.accounts
            .iter()
            .map(|a| a.pubkey[0])
            .collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(log.resume(), log.seq + 1);
    assert_eq!(log.holder.bytes(), 0);
}

#[test]
fn a_bank_with_a_loss_is_not_whole_and_has_no_content() {
    for (offered, dropped) in [(3, 0), (2, 1), (1, 0)] {
        let mut log = Log::new();
        log.push(account(5, 1, 1, false));
        log.push(account(5, 1, 2, false));
        let inputs = log.push(seal(5, 1, offered, dropped));
        assert!(!sealed(&inputs).whole && sealed(&inputs).accounts.is_empty());
    }
}

#[test]
fn a_slot_created_again_starts_empty_and_says_so() {
    let mut log = Log::new();
    log.push(status(5, 1, SlotStatus::CreatedBank));
    log.push(account(5, 1, 1, false));
    let inputs = log.push(status(5, 2, SlotStatus::CreatedBank));
    assert_eq!(
        inputs,
        [Input::Reset {
            run: RUN,
            slot: 5,
            generation: 2,
            gone: None
        }]
    );
    log.push(account(5, 2, 9, false));
    let inputs = log.push(seal(5, 2, 1, 0));
    assert_eq!(sealed(&inputs).accounts[0].pubkey[0], 9);
}

#[test]
fn what_will_never_be_sealed_does_not_hold_the_position() {
    let mut log = Log::new();
    log.push(account(5, 1, 1, false));
    log.push(account(6, 1, 1, false));
    log.push(account(8, 1, 1, false));
    log.push(status(5, 1, SlotStatus::Dead));
    assert_eq!(log.resume(), 3);
    log.push(status(7, 1, SlotStatus::Rooted));
    assert_eq!(log.resume(), 4, "6 was passed by the root, 8 not");
}

#[test]
fn a_base_comes_with_the_first_seal_newest_per_account() {
    let mut log = Log::new();
    log.push(account(3, 0, 1, true));
    log.push(account(4, 0, 1, true));
    log.push(account(2, 0, 1, true));
    assert!(log.push(base_end(4, 3)).is_empty());
    assert_eq!(log.resume(), 1);
    let inputs = log.push(seal(9, 1, 0, 0));
    let Some(Input::Base {
        slot: 4,
        as_of: Some(parent),
        accounts,
        ..
    }) = inputs.first()
    else {
        panic!("{inputs:?}")
    };
    assert_eq!(parent.slot, 8);
    let slots: Vec<_> = accounts.all().iter().map(|a| a.slot).collect();
    assert_eq!(slots, [4]);
}

#[test]
fn a_base_after_which_blocks_were_replayed_unseen_speaks_for_its_own_slot() {
    let mut log = Log::new();
    log.push(account(4, 0, 1, true));
    log.push(base_end(4, 1));
    log.push(account(6, 0, 1, false));
    let inputs = log.push(seal(9, 1, 0, 0));
    assert!(matches!(
        inputs.first(),
        Some(Input::Base {
            slot: 4,
            as_of: None,
            ..
        })
    ));
}

#[test]
fn a_base_says_what_it_is_the_state_of_only_if_nothing_is_missing_in_between() {
    let based = |log: &mut Log| {
        log.push(account(4, 0, 1, true));
        log.push(base_end(4, 1));
    };
    let mut log = Log::new();
    based(&mut log);
    assert_eq!(as_of(&log.push(seal(9, 1, 0, 0))), Some(8));
    // The seal of the run's first bank was lost, or its first update was.
    for missing in [
        status(8, 1, SlotStatus::CreatedBank),
        account(8, 1, 3, false),
        Event::Loss(Loss {
            first_slot: 6,
            last_slot: 6,
            count: 1,
            ..Default::default()
        }),
    ] {
        let mut log = Log::new();
        based(&mut log);
        log.push(missing.clone());
        assert_eq!(as_of(&log.push(seal(9, 1, 0, 0))), None, "{missing:?}");
    }
    let mut log = Log::new();
    based(&mut log);
    log.lose();
    assert_eq!(as_of(&log.push(seal(9, 1, 0, 0))), None);
    // A bank beside the chain that is sealed first.
    let mut log = Log::new();
    based(&mut log);
    log.push(status(9, 1, SlotStatus::CreatedBank));
    log.push(status(10, 1, SlotStatus::CreatedBank));
    assert_eq!(as_of(&log.push(seal(9, 1, 0, 0))), Some(8));
}

#[test]
fn a_base_that_cannot_be_used_is_said_with_its_reason() {
    let no_genesis = Start {
        genesis_hash: Default::default(),
        ..start()
    };
    let other = mythic_stream::digest::filter_hash(&[[1; 32]]);
    let other_filter = Start {
        filter_hash: other.to_vec().into(),
        ..start()
    };
    for (start, count, said) in [
        (Some(start()), 2, "1 of 2 came"),
        (Some(no_genesis), 1, "genesis_hash"),
        (Some(other_filter), 1, "set owners to"),
        (None, 1, "the record that opens the run"),
    ] {
        let mut log = match start {
            Some(start) => Log::open(1 << 20, start),
            None => {
                let mut log = Log::unopened(1 << 20);
                let inputs = log.lose();
                assert!(matches!(
                    inputs[..],
                    [Input::RunStart { .. }, Input::Loss { .. }]
                ));
                log
            }
        };
        log.push(account(4, 0, 1, true));
        log.push(base_end(4, count));
        let inputs = log.push(seal(9, 1, 0, 0));
        let refused = refused(&inputs);
        assert!(
            refused.len() == 1 && refused[0].0 == Kind::Base,
            "{inputs:?}"
        );
        assert!(refused[0].1.contains(said), "{refused:?}");
        assert!(
            !inputs
                .iter()
                .any(|input| matches!(input, Input::Base { .. }))
        );
        assert_eq!(log.resume(), log.seq + 1, "it holds nothing up");
    }
    let mut log = Log::new();
    log.push(account(4, 0, 1, true));
    assert!(
        refused(&log.push(seal(9, 1, 0, 0)))[0]
            .1
            .contains("their end")
    );
}

#[test]
fn while_a_base_is_held_the_run_is_read_again_from_its_opening() {
    let mut log = Log::new();
    log.push(account(4, 0, 1, true));
    log.push(base_end(4, 1));
    assert_eq!(log.resume(), 1);
    log.push(seal(9, 1, 0, 0));
    assert_eq!(log.resume(), log.seq + 1);
}

#[test]
fn until_the_first_bank_of_a_run_start_up_accounts_may_come_and_their_opening_is_kept() {
    let mut log = Log::new();
    assert_eq!(log.resume(), 1);
    log.push(status(9, 1, SlotStatus::CreatedBank));
    assert_eq!(log.resume(), log.seq + 1);
}

#[test]
fn banks_of_another_filter_are_gaps_and_said_once() {
    let other = mythic_stream::digest::filter_hash(&[[1; 32]]).to_vec();
    let start = Start {
        filter_hash: other.clone().into(),
        ..start()
    };
    let mut log = Log::unopened(1 << 20);
    let inputs = log.push(Event::Start(start));
    assert_eq!(refused(&inputs)[0].0, Kind::Filter);
    for slot in [5, 6] {
        log.push(account(slot, 1, 1, false));
        let Event::Seal(mut seal) = seal(slot, 1, 1, 0) else {
            unreachable!()
        };
        seal.filter_hash = other.clone().into();
        let inputs = log.push(Event::Seal(seal));
        assert!(!sealed(&inputs).whole && refused(&inputs).is_empty());
    }
}

#[test]
fn updates_that_are_not_what_the_seal_sums_up_are_a_gap_and_an_alarm() {
    let mut log = Log::new();
    log.push(account(5, 1, 1, false));
    log.push(account(5, 1, 2, false));
    let Event::Seal(mut seal) = seal(5, 1, 2, 0) else {
        unreachable!()
    };
    seal.digest = vec![1; 32].into();
    let inputs = log.push(Event::Seal(seal));
    assert!(!sealed(&inputs).whole && sealed(&inputs).accounts.is_empty());
    assert_eq!(refused(&inputs)[0].0, Kind::Digest);
}

#[test]
fn a_record_that_does_not_read_is_a_loss_and_a_gap_of_its_bank_alone() {
    let mut log = Log::new();
    log.push(account(5, 1, 1, false));
    log.push(account(6, 1, 1, false));
    let lost = log.lose();
    assert!(matches!(
        &lost[..],
        [Input::Loss { first: 6, last: 6, count: 1, reason, .. }] if reason == "spool_damaged"
    ));
    assert!(!sealed(&log.push(seal(5, 1, 2, 0))).whole);
    assert!(sealed(&log.push(seal(6, 1, 1, 0))).whole);
}

#[test]
fn a_new_run_forgets_what_the_old_one_left_open() {
    let mut log = Log::new();
    log.push(account(5, 1, 1, false));
    let other = Position {
        run: [8; 16],
        segment: 2,
        offset: 32,
        seq: 1,
    };
    let envelope = Envelope {
        run: vec![8; 16].into(),
        seq: 1,
        time_unix_nanos: 0,
        event: Some(Event::Start(start())),
    };
    assert_eq!(log.holder.apply(other, envelope, false).unwrap().len(), 1);
    assert_eq!(log.holder.resume(other), other);
}

#[test]
fn replayed_envelopes_fill_the_holder_and_nothing_else() {
    let mut holder = Holder::new(1 << 20, &PathBuf::from("unused"));
    let mut digest = BankDigest::default();
    digest.push([1; 32], &[2; 32], 5, &[1, 2, 3]);
    let mut feed = |seq, event, replayed| {
        holder
            .apply(at(seq), envelope(seq, event), replayed)
            .unwrap()
    };
    assert!(feed(1, account(5, 1, 1, false), true).is_empty());
    assert!(feed(2, seal(4, 1, 0, 0), true).is_empty());
    assert!(feed(3, status(4, 1, SlotStatus::Rooted), true).is_empty());
    let Event::Seal(mut seal) = seal(5, 1, 1, 0) else {
        unreachable!()
    };
    seal.digest = digest.finish().to_vec().into();
    let inputs = feed(4, Event::Seal(seal), false);
    assert!(sealed(&inputs).whole);
}

#[test]
fn what_does_not_fit_in_memory_waits_on_disk() {
    let size = std::mem::size_of::<Account>() + 3;
    let mut log = Log::open(10 * size, start());
    for n in 0..200u8 {
        log.push(account(u64::from(n % 7), 0, n / 2, true));
        log.push(account(20, 1, n, false));
        assert!(log.holder.bytes() <= 10 * size);
    }
    assert!(log.holder.spilled() > 300 * 3);
    log.push(base_end(6, 200));
    let inputs = log.push(seal(20, 1, 200, 0));
    let [Input::Base { accounts, .. }, Input::Bank(bank)] = &inputs[..] else {
        panic!("{inputs:?}")
    };
    let newest = |key: u8| u64::from((2 * key % 7).max((2 * key + 1) % 7));
    let expected: Vec<_> = (0..100).map(|key| (key, newest(key))).collect();
    let found: Vec<_> = accounts
        .all()
        .iter()
        .map(|a| (a.pubkey[0], a.slot))
        .collect();
    assert_eq!(found, expected);
    let keys: Vec<_> = bank.accounts.iter().map(|a| a.pubkey[0]).collect();
    assert!(bank.whole && keys == (0..200).collect::<Vec<_>>());
    assert_eq!((log.holder.bytes(), log.holder.spilled()), (0, 0));
}

#[test]
fn a_disk_that_takes_nothing_costs_the_base_and_the_bank_and_says_so() {
    let mut log = Log::open(500, start());
    // A file where the directory should be.
    let file = tempfile::NamedTempFile::new().unwrap();
    log.holder.spill = SpillDir::new(file.path());
    for n in 0..20 {
        log.push(account(4, 0, n, true));
        log.push(account(20, 1, n, false));
    }
    log.push(base_end(4, 20));
    let inputs = log.push(seal(20, 1, 20, 0));
    assert!(
        refused(&inputs)[0].1.contains("max_held_bytes"),
        "{inputs:?}"
    );
    assert!(
        matches!(&inputs[1], Input::Loss { first: 20, reason, .. } if reason == "spill_failed")
    );
    assert!(!sealed(&inputs).whole);
}

#[test]
fn keys_of_another_length_are_refused() {
    let mut holder = Holder::new(1 << 20, &PathBuf::from("unused"));
    let update = AccountUpdate {
        pubkey: vec![1; 31].into(),
        ..Default::default()
    };
    let envelope = Envelope {
        event: Some(Event::Account(update)),
        ..Default::default()
    };
    assert_eq!(holder.apply(at(1), envelope, false), Err(Malformed::Length));
}
