//! What is known of a producer's run, and what may be believed of it.

use mythic_interface::PROGRAMS;
use mythic_stream::digest::filter_hash;
use mythic_stream::proto::Start;
use mythic_stream::spool::Position;

use super::fields::{Malformed, opt_hash};
use crate::tree::{BankId, Hash};

/// One life of a producer, from its first envelope.
#[derive(Debug)]
pub(super) struct Run {
    pub id: [u8; 16],
    /// Where it begins, as far as it was read.
    pub first: Position,
    /// None where its first record was not read.
    opened: Option<Opened>,
    /// Updates that no seal will speak for: replay at boot.
    pub unsealed_replay: bool,
    /// Records are missing.
    pub lossy: bool,
    /// Lowest slot of which a bank was created.
    lowest_bank: Option<u64>,
    /// Highest slot that was heard of.
    pub newest: u64,
    /// That it streams other accounts than ours was said.
    filter_said: bool,
}

#[derive(Debug)]
struct Opened {
    filter: Vec<u8>,
    genesis: Option<Hash>,
}

impl Run {
    pub fn new(first: Position) -> Self {
        Self {
            id: first.run,
            first,
            opened: None,
            unsealed_replay: false,
            lossy: false,
            lowest_bank: None,
            newest: 0,
            filter_said: false,
        }
    }

    pub fn open(&mut self, start: &Start) -> Result<Option<Hash>, Malformed> {
        let genesis = opt_hash(&start.genesis_hash)?;
        let filter = start.filter_hash.to_vec();
        self.opened = Some(Opened { filter, genesis });
        Ok(genesis)
    }

    /// Start-up accounts may still come: they precede the first bank.
    pub fn awaits_base(&self) -> bool {
        self.opened.is_some() && self.lowest_bank.is_none()
    }

    /// A bank of this slot was created.
    pub fn bank(&mut self, slot: u64) {
        self.newest = self.newest.max(slot);
        self.lowest_bank = Some(self.lowest_bank.map_or(slot, |lowest| lowest.min(slot)));
    }

    /// Why the start-up accounts say nothing about what exists, if so.
    pub fn distrust(&self) -> Option<String> {
        match &self.opened {
            None => Some("the record that opens the run did not come through".into()),
            Some(opened) if opened.filter != expected_filter() => Some(other_filter()),
            Some(Opened { genesis: None, .. }) => Some(
                "the plugin was not told its chain: set genesis_hash in its configuration".into(),
            ),
            Some(_) => None,
        }
    }

    /// Compares a filter with that of the programs which are indexed; the complaint, once a run.
    pub fn check_filter(&mut self, filter: &[u8]) -> Result<(), Option<String>> {
        if filter == expected_filter() {
            return Ok(());
        }
        let first = !std::mem::replace(&mut self.filter_said, true);
        Err(first.then(other_filter))
    }

    /// The bank that start-up accounts of `slot` show the state of, when the first seal builds on `parent`: nothing that is
    /// followed changed in between. That holds only if no bank up to it was made in this run, whose seal would be missing then, and
    /// if nothing at all is missing.
    pub fn base_as_of(&self, slot: u64, parent: BankId) -> Option<BankId> {
        let between = self.lowest_bank.is_some_and(|lowest| lowest <= parent.slot);
        let whole = !self.unsealed_replay && !self.lossy && !between && parent.slot >= slot;
        whole.then_some(parent)
    }
}

/// Hash of the filter that an index needs.
pub(crate) fn expected_filter() -> Hash {
    filter_hash(&PROGRAMS)
}

fn other_filter() -> String {
    let owners = PROGRAMS.map(|program| format!("\"{}\"", bs58::encode(program).into_string()));
    format!(
        "the plugin streams the accounts of other programs: set owners to [{}] in its configuration and restart the validator",
        owners.join(", ")
    )
}
