//! The store over crashes and damage.

use solana_account::{Account, ReadableAccount};
use solana_slot_hashes::SlotHashes;

use super::*;

fn block(slot: Slot) -> Arc<Block> {
    let account = Account {
        lamports: slot + 1,
        data: vec![7; 3],
        ..Account::default()
    };
    Arc::new(Block {
        slot,
        parent_slot: slot - 1,
        height: slot,
        blockhash: Hash::new_from_array([slot as u8; 32]),
        parent_blockhash: Hash::default(),
        unix_ms: 1000 * slot as i64,
        transaction_count: 0,
        transactions: Vec::new(),
        state: Hash::default(),
        writes: vec![(Pubkey::new_from_array([9; 32]), account.into())],
    })
}

fn first(next_slot: Slot) -> Resume {
    Resume {
        root: saved::SavedBlock::from(&*block(1)).load(),
        slot_hashes: SlotHashes::new(&[]),
        blockhashes: vec![(Hash::default(), 0)],
        statuses: Vec::new(),
        accounts: Vec::new(),
        next_slot,
    }
}

#[test]
fn what_was_rooted_is_there_again_and_a_torn_tail_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let genesis = Hash::new_from_array([4; 32]);
    {
        let (mut store, state) = Store::open(dir.path()).unwrap();
        assert!(state.is_none());
        assert!(matches!(Store::open(dir.path()), Err(StoreError::Held(_))));
        store.compact(&first(2), &genesis).unwrap();
        store.append_roots(&[block(2), block(3)], 36).unwrap();
        store.note(40).unwrap();
    }
    let log = dir.path().join("log.bin");
    let whole = fs::metadata(&log).unwrap().len();
    let mut file = OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(&[200, 0, 0, 0, 1, 2, 3]).unwrap();
    let (_store, state) = Store::open(dir.path()).unwrap();
    let (resume, hash) = state.unwrap();
    assert_eq!(hash, genesis);
    assert_eq!((resume.root.slot, resume.next_slot), (3, 41));
    assert_eq!(resume.blockhashes.len(), 3);
    assert_eq!(resume.slot_hashes.slot_hashes()[0].0, 3);
    let [(_, account, written)] = &resume.accounts[..] else {
        panic!("one account");
    };
    assert_eq!((account.lamports(), *written), (4, 3));
    assert_eq!(fs::metadata(&log).unwrap().len(), whole);
}

/// A chain whose state has three accounts and whose log has blocks 2 to 5, each with its write of account 9.
fn written(dir: &Path) -> Vec<u8> {
    let (mut store, _) = Store::open(dir).unwrap();
    let mut first = first(2);
    for key in [1, 2, 3] {
        let account = Account {
            lamports: 7,
            data: vec![key; 40],
            ..Account::default()
        };
        let key = Pubkey::new_from_array([key; 32]);
        first.accounts.push((key, account.into(), 1));
    }
    store
        .compact(&first, &Hash::new_from_array([4; 32]))
        .unwrap();
    for slot in 2..=5 {
        store.append_roots(&[block(slot)], slot + 1).unwrap();
    }
    fs::read(dir.join("log.bin")).unwrap()
}

fn opened(dir: &Path) -> Resume {
    let (_store, state) = Store::open(dir).unwrap();
    let (resume, hash) = state.unwrap();
    assert_eq!(hash, Hash::new_from_array([4; 32]));
    resume
}

#[test]
fn a_flipped_bit_in_the_log_costs_the_block_it_hit_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let log = written(dir.path());
    let state = fs::read(dir.path().join("state.bin")).unwrap();
    for at in (0..log.len()).step_by(7) {
        let mut bytes = log.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(dir.path().join("log.bin"), &bytes).unwrap();
        fs::write(dir.path().join("state.bin"), &state).unwrap();
        let resume = opened(dir.path());
        assert!(resume.blockhashes.len() >= 4, "byte {at}");
        assert!(resume.root.slot >= 4, "byte {at}");
        assert_eq!(resume.accounts.len(), 4);
        let again = opened(dir.path());
        assert_eq!(again.root.slot, resume.root.slot);
        assert_eq!(again.next_slot, resume.next_slot);
        let whole = fs::read(dir.path().join("log.bin")).unwrap();
        assert!(frames::read(&whole).damage.is_empty(), "byte {at}");
    }
    assert!(dir.path().join("log.bin.damaged").exists());
}

#[test]
fn a_zero_filled_or_cut_log_ends_at_its_last_whole_record() {
    let dir = tempfile::tempdir().unwrap();
    let log = written(dir.path());
    for cut in (0..=log.len()).step_by(11) {
        let mut bytes = log[..cut].to_vec();
        if cut % 2 == 0 {
            bytes.resize(log.len() + 100, 0);
        }
        fs::write(dir.path().join("log.bin"), &bytes).unwrap();
        let resume = opened(dir.path());
        let whole = frames::read(&log[..cut]).end;
        let kept = fs::metadata(dir.path().join("log.bin")).unwrap().len();
        // A record that ends in zeros may be whole again.
        assert_eq!(kept, frames::read(&bytes).end as u64);
        assert!(kept >= whole as u64, "cut at {cut}");
        assert_eq!(resume.root.slot, resume.blockhashes.len() as u64);
    }
}

#[test]
fn a_flipped_bit_in_the_state_costs_the_account_it_hit_at_most() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    fs::write(dir.path().join("log.bin"), []).unwrap();
    let state = fs::read(dir.path().join("state.bin")).unwrap();
    for at in (0..state.len()).step_by(3) {
        let mut bytes = state.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(dir.path().join("state.bin"), &bytes).unwrap();
        let resume = opened(dir.path());
        assert!(resume.accounts.len() >= 2, "byte {at}");
        assert_eq!(resume.root.slot, 1);
        assert_eq!(opened(dir.path()).accounts.len(), resume.accounts.len());
    }
    assert!(dir.path().join("state.bin.damaged").exists());
}

#[test]
fn state_of_an_older_build_is_read_and_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    let body =
        bincode::serialize(&OldState::of(&first(9), &Hash::new_from_array([4; 32]))).unwrap();
    let mut bytes = OLD_MAGIC.to_vec();
    bytes.extend_from_slice(&Sha256::digest(&body));
    bytes.extend_from_slice(&body);
    let path = dir.path().join("state.bin");
    fs::write(&path, &bytes).unwrap();
    let mut log = Vec::new();
    for entry in [LogEntry::root(&block(2)), LogEntry::Next(30)] {
        let body = bincode::serialize(&entry).unwrap();
        log.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
        log.extend_from_slice(&Sha256::digest(&body)[..4]);
        log.extend_from_slice(&body);
    }
    fs::write(dir.path().join("log.bin"), &log).unwrap();
    for _ in 0..2 {
        let resume = opened(dir.path());
        assert_eq!((resume.root.slot, resume.next_slot), (2, 30));
    }
    assert!(fs::read(&path).unwrap().starts_with(MAGIC));
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = Store::open(dir.path()).err().unwrap().to_string();
    assert!(error.contains("wrong checksum"), "{error}");
}

#[test]
fn a_log_without_its_state_is_no_new_chain() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    fs::remove_file(dir.path().join("state.bin")).unwrap();
    let error = Store::open(dir.path()).err().unwrap().to_string();
    assert!(
        error.contains("state.bin") && error.contains("missing"),
        "{error}"
    );
}

#[test]
fn files_are_for_their_owner_only() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("chain");
    written(&dir);
    for file in ["log.bin", "lock", "state.bin"] {
        let path = dir.join(file);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    }
    let (mut store, _) = Store::open(&dir).unwrap();
    store.compact(&first(9), &Hash::default()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}
