//! The transactions that call our program, through the `GeyserPlugin` trait and back out of the spool.

use agave_geyser_plugin_interface::geyser_plugin_interface::{
    GeyserPlugin, ReplicaBlockInfoV4, ReplicaBlockInfoVersions, ReplicaTransactionInfoV3,
    ReplicaTransactionInfoVersions, SlotStatus,
};
use mythic_geyser_plugin::Plugin;
use mythic_stream::{
    proto::{Event, LossReason, SlotSeal, TransactionSeal, TransactionUpdate},
    spool::{Reader, ReaderConfig},
};
use solana_hash::Hash;
use solana_instruction::error::InstructionError;
use solana_message::{
    Message, MessageHeader, VersionedMessage, compiled_instruction::CompiledInstruction,
};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use solana_transaction_status::{
    InnerInstruction, InnerInstructions, RewardsAndNumPartitions, TransactionStatusMeta,
};

const PAYER: [u8; 32] = [1; 32];
const JOB: [u8; 32] = [2; 32];
const OURS: [u8; 32] = [7; 32];
const OTHER: [u8; 32] = [8; 32];

struct Host {
    plugin: Plugin,
    dir: tempfile::TempDir,
    index: usize,
}

fn base58(bytes: &[u8; 32]) -> String {
    bs58::encode(bytes).into_string()
}

fn instruction(program: u8, accounts: &[u8], data: &[u8]) -> CompiledInstruction {
    CompiledInstruction {
        program_id_index: program,
        accounts: accounts.to_vec(),
        data: data.to_vec(),
    }
}

/// The keys of every transaction here: payer, job, our program, another.
fn transaction(instructions: Vec<CompiledInstruction>) -> VersionedTransaction {
    let keys = [PAYER, JOB, OURS, OTHER].map(Pubkey::new_from_array);
    VersionedTransaction {
        signatures: vec![Signature::from([5; 64])],
        message: VersionedMessage::Legacy(Message {
            header: MessageHeader {
                num_required_signatures: 1,
                num_readonly_signed_accounts: 0,
                num_readonly_unsigned_accounts: 2,
            },
            account_keys: keys.to_vec(),
            recent_blockhash: Hash::default(),
            instructions,
        }),
    }
}

fn meta(status: Result<(), TransactionError>) -> TransactionStatusMeta {
    TransactionStatusMeta {
        status,
        fee: 5_000,
        compute_units_consumed: Some(777),
        ..TransactionStatusMeta::default()
    }
}

fn inner(index: u8, instructions: Vec<CompiledInstruction>) -> Option<Vec<InnerInstructions>> {
    let instructions = instructions
        .into_iter()
        .map(|instruction| InnerInstruction {
            instruction,
            stack_height: Some(2),
        });
    Some(vec![InnerInstructions {
        index,
        instructions: instructions.collect(),
    }])
}

fn failed(instruction: u8, error: InstructionError) -> TransactionStatusMeta {
    meta(Err(TransactionError::InstructionError(instruction, error)))
}

impl Host {
    fn start(extra: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("geyser.json5");
        let text = format!(
            "{{ spool_dir: {:?}, owners: ['{}'], genesis_hash: '{}', {extra} }}",
            dir.path().join("spool"),
            base58(&OURS),
            base58(&[5; 32])
        );
        std::fs::write(&path, text).unwrap();
        let mut plugin = Plugin::default();
        plugin.on_load(path.to_str().unwrap(), false).unwrap();
        Self {
            plugin,
            dir,
            index: 0,
        }
    }

    fn tell(
        &mut self,
        slot: u64,
        transaction: &VersionedTransaction,
        meta: &TransactionStatusMeta,
        is_vote: bool,
    ) {
        let (signature, hash) = (Signature::from([self.index as u8; 64]), Hash::default());
        let info = ReplicaTransactionInfoV3 {
            signature: &signature,
            message_hash: &hash,
            is_vote,
            transaction,
            transaction_status_meta: meta,
            index: self.index,
        };
        self.index += 1;
        let info = ReplicaTransactionInfoVersions::V0_0_3(&info);
        self.plugin.notify_transaction(info, slot).unwrap();
    }

    fn status(&self, slot: u64, status: SlotStatus) {
        let parent = slot.checked_sub(1);
        self.plugin
            .update_slot_status(slot, parent, &status)
            .unwrap();
    }

    fn freeze(&self, slot: u64, executed: u64) {
        let rewards = RewardsAndNumPartitions {
            rewards: Vec::new(),
            num_partitions: None,
        };
        let (hash, parent) = (base58(&[slot as u8; 32]), base58(&[slot as u8 - 1; 32]));
        let info = ReplicaBlockInfoV4 {
            parent_slot: slot - 1,
            parent_blockhash: &parent,
            slot,
            blockhash: &hash,
            rewards: &rewards,
            block_time: Some(1_700_000_000),
            block_height: Some(slot),
            executed_transaction_count: executed,
            entry_count: 1,
        };
        self.plugin
            .notify_block_metadata(ReplicaBlockInfoVersions::V0_0_4(&info))
            .unwrap();
    }

    fn finish(mut self) -> Vec<Event> {
        self.plugin.on_unload();
        let mut reader = Reader::open(ReaderConfig {
            dir: self.dir.path().join("spool"),
            name: "test".into(),
            start: None,
        })
        .unwrap();
        let mut events = Vec::new();
        loop {
            let items = reader.poll(1_000).unwrap();
            if items.is_empty() {
                return events;
            }
            let read = items.into_iter().map(|item| item.envelope.unwrap().event);
            events.extend(read.flatten());
        }
    }
}

fn told(events: &[Event]) -> Vec<&TransactionUpdate> {
    let updates = events.iter().filter_map(|event| match event {
        Event::Transaction(update) => Some(update),
        _ => None,
    });
    updates.collect()
}

fn sealed(events: &[Event]) -> Vec<&TransactionSeal> {
    let seals = events.iter().filter_map(|event| match event {
        Event::TransactionSeal(seal) => Some(seal),
        _ => None,
    });
    seals.collect()
}

fn banks(events: &[Event]) -> Vec<&SlotSeal> {
    let seals = events.iter().filter_map(|event| match event {
        Event::Seal(seal) => Some(seal),
        _ => None,
    });
    seals.collect()
}

fn lost(events: &[Event]) -> u64 {
    let losses = events.iter().filter_map(|event| match event {
        Event::Loss(loss) if loss.reason() == LossReason::Transactions => Some(loss.count),
        _ => None,
    });
    losses.sum()
}

#[test]
fn calls_of_our_program_are_streamed_with_their_failures_and_nothing_else() {
    let mut host = Host::start("");
    assert!(host.plugin.transaction_notifications_enabled());
    host.status(1, SlotStatus::CreatedBank);
    let ours = || instruction(2, &[1, 0, 2], &[62]);
    let good = meta(Ok(()));
    // Names our program and does not call it; a vote; ours.
    host.tell(
        1,
        &transaction(vec![instruction(3, &[2], &[1])]),
        &good,
        false,
    );
    host.tell(1, &transaction(vec![ours()]), &good, true);
    host.tell(
        1,
        &transaction(vec![instruction(3, &[], &[]), ours()]),
        &good,
        false,
    );
    // Fails in ours, and in another after ours.
    let both = transaction(vec![ours(), instruction(3, &[], &[])]);
    host.tell(1, &both, &failed(0, InstructionError::Custom(709)), false);
    host.tell(
        1,
        &both,
        &failed(1, InstructionError::MissingAccount),
        false,
    );
    // Ours is called by another program: it fails there, or the caller fails after it.
    let outer = transaction(vec![instruction(3, &[], &[])]);
    let failing = |log: String| TransactionStatusMeta {
        inner_instructions: inner(0, vec![instruction(3, &[], &[]), ours()]),
        log_messages: Some(vec![log]),
        ..failed(0, InstructionError::Custom(720))
    };
    let said = format!(
        "Program {} failed: custom program error: 0x2d0",
        base58(&OURS)
    );
    host.tell(1, &outer, &failing(said.clone()), false);
    host.tell(1, &outer, &failing(format!("Program log: {said}")), false);
    host.freeze(1, 7);
    host.status(1, SlotStatus::Processed);
    let events = host.finish();

    let updates = told(&events);
    let places: Vec<u64> = updates.iter().map(|update| update.index).collect();
    assert_eq!(places, [2, 3, 4, 5, 6]);
    let first = updates[0];
    assert_eq!((first.slot, first.generation), (1, 1));
    assert_eq!((first.fee, first.compute_units), (5_000, Some(777)));
    assert_eq!(first.keys.as_ref(), [PAYER, OURS, JOB].concat());
    assert_eq!(
        (first.calls[0].instruction, first.calls[0].inner),
        (1, None)
    );
    assert_eq!(first.calls[0].accounts.as_ref(), [2, 0, 0, 0, 1, 0]);
    assert_eq!((first.calls[0].program, first.failure.is_none()), (1, true));
    let failures: Vec<(Option<u32>, String, bool)> = updates[1..]
        .iter()
        .map(|update| {
            let failure = update.failure.as_ref().unwrap();
            (failure.code, failure.name.clone(), update.calls[0].failed)
        })
        .collect();
    assert_eq!(
        failures,
        [
            (Some(709), "Custom".into(), true),
            (None, "MissingAccount".into(), false),
            (Some(720), "Custom".into(), true),
            (Some(720), "Custom".into(), false),
        ]
    );
    assert_eq!(updates[3].calls[0].inner, Some(1));
    let seals = sealed(&events);
    assert_eq!(seals.len(), 1);
    assert_eq!((seals[0].offered, seals[0].dropped), (5, 0));
    assert_eq!((seals[0].executed, seals[0].told), (7, 7));
    assert_eq!(seals[0].blockhash, banks(&events)[0].blockhash);
    assert!(banks(&events)[0].transactions);
}

#[test]
fn transactions_that_come_after_their_bank_are_sealed_with_them_and_later_ones_are_losses() {
    let mut host = Host::start("");
    let (ours, good) = (transaction(vec![instruction(2, &[], &[62])]), meta(Ok(())));
    host.status(1, SlotStatus::CreatedBank);
    host.tell(1, &ours, &good, false);
    host.freeze(1, 2);
    host.tell(1, &ours, &good, false);
    host.status(1, SlotStatus::Processed);
    host.tell(1, &ours, &good, false);
    // No status but the root; what was told is less than the block has.
    host.status(2, SlotStatus::CreatedBank);
    host.freeze(2, 3);
    host.status(2, SlotStatus::Rooted);
    // Of a bank whose creation was not seen.
    host.tell(9, &ours, &good, false);
    let events = host.finish();
    assert_eq!(told(&events).len(), 2);
    assert_eq!(lost(&events), 1);
    let seals: Vec<_> = sealed(&events)
        .iter()
        .map(|seal| (seal.slot, seal.offered, seal.executed, seal.told))
        .collect();
    assert_eq!(seals, [(1, 2, 2, 2), (2, 0, 3, 0)]);
    let root = events.iter().position(|event| {
        matches!(event, Event::Slot(update) if update.slot == 2 && update.status() == mythic_stream::proto::SlotStatus::Rooted)
    });
    let last = events
        .iter()
        .rposition(|event| matches!(event, Event::TransactionSeal(_)));
    assert!(last < root, "the root ends the wait for the seal");
}

#[test]
fn a_full_queue_drops_transactions_and_says_so_in_their_seal_alone() {
    let mut host = Host::start("queue_records: 4, queue_max_bytes: 4000");
    let (ours, good) = (
        transaction(vec![instruction(2, &[0; 200], &[62; 1_000])]),
        meta(Ok(())),
    );
    host.status(1, SlotStatus::CreatedBank);
    for _ in 0..3_000 {
        host.tell(1, &ours, &good, false);
    }
    host.freeze(1, 3_000);
    host.status(1, SlotStatus::Processed);
    let events = host.finish();
    let seal = sealed(&events)[0];
    assert_eq!(seal.offered, 3_000);
    assert!(seal.dropped > 0, "the queue was never full");
    assert_eq!(lost(&events), seal.dropped);
    assert_eq!(told(&events).len() as u64, 3_000 - seal.dropped);
    let bank = banks(&events)[0];
    assert_eq!((bank.offered, bank.dropped), (0, 0), "accounts are whole");
}

#[test]
fn what_is_copied_of_a_transaction_is_bounded() {
    let mut host = Host::start("");
    host.status(1, SlotStatus::CreatedBank);
    let outer = transaction(vec![instruction(3, &[], &[])]);
    let with = |instructions| TransactionStatusMeta {
        inner_instructions: inner(0, instructions),
        log_messages: Some(vec!["Program".repeat(100_000); 100]),
        ..failed(0, InstructionError::Custom(1))
    };
    let many = with(vec![instruction(2, &[200; 255], &[1]); 5_000]);
    host.tell(1, &outer, &many, false);
    let large = with(vec![instruction(2, &[0], &[1; 10_240]); 64]);
    host.tell(1, &outer, &large, false);
    host.freeze(1, 2);
    host.status(1, SlotStatus::Processed);
    let events = host.finish();
    let updates = told(&events);
    assert_eq!(updates.len(), 2);
    for update in updates {
        let bytes: usize = update
            .calls
            .iter()
            .map(|call| call.data.len() + call.accounts.len())
            .sum();
        assert!(update.cut && update.calls.len() <= 64 && bytes <= 32 << 10);
    }
}

#[test]
fn transactions_can_be_switched_off() {
    let mut host = Host::start("transactions: false");
    assert!(!host.plugin.transaction_notifications_enabled());
    host.status(1, SlotStatus::CreatedBank);
    let ours = transaction(vec![instruction(2, &[], &[62])]);
    host.tell(1, &ours, &meta(Ok(())), false);
    host.freeze(1, 1);
    host.status(1, SlotStatus::Processed);
    let events = host.finish();
    assert!(told(&events).is_empty() && sealed(&events).is_empty());
    assert!(!banks(&events)[0].transactions);
}
