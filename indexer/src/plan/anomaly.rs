//! What the tree finds wrong, as alarms.

use super::{Plan, slot_i64};
use crate::alarms;
use crate::tree::{Anomaly, BankId};

impl Plan {
    pub(super) fn anomaly(&mut self, alarm: Anomaly) {
        let name = |id: BankId| format!("{} ({})", id.slot, bs58::encode(id.hash).into_string());
        let (kind, about, detail) = match alarm {
            Anomaly::ConfirmedFork { confirmed, other } => (
                alarms::Kind::ConfirmedFork,
                vec![other, confirmed],
                format!(
                    "confirmed bank {} is not on the chain of confirmed bank {}",
                    name(other),
                    name(confirmed)
                ),
            ),
            Anomaly::RootConflict { root, other } => (
                alarms::Kind::RootConflict,
                vec![other],
                format!(
                    "rooted chain leads through {} beside the root at slot {root}",
                    name(other)
                ),
            ),
            Anomaly::Malformed { bank } => (
                alarms::Kind::MalformedBank,
                vec![bank],
                format!("bank {} is not newer than its parent", name(bank)),
            ),
        };
        let slots = || about.iter().map(|id| slot_i64(id.slot));
        let held = self.state.banks.iter();
        let banks = held
            .filter(|(_, info)| about.contains(&info.id))
            .map(|(number, _)| *number)
            .collect();
        self.raise(alarms::Alarm {
            kind,
            slot: slots().min().unwrap_or(0),
            last_slot: slots().max().unwrap_or(0),
            count: 1,
            banks,
            clears_itself: kind == alarms::Kind::ConfirmedFork,
            detail,
        });
    }
}
