//! When open alarms may heal.

use crate::alarms::{Alarm, Kind};

/// The open alarms that heal by themselves, as far as it matters to when they do. A transaction ends with an input that may heal
/// one, so that the history of alarms is the same however inputs are batched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// The lowest of their last slots.
    pub lowest: Option<i64>,
    /// The same of those that finality has not passed since they were raised.
    pub next: Option<i64>,
}

impl Watch {
    /// An alarm is raised, or comes again.
    pub fn raised(&mut self, alarm: &Alarm) {
        let heals = matches!(alarm.kind, Kind::Gap | Kind::Loss | Kind::ConfirmedFork);
        if heals && alarm.clears_itself {
            for least in [&mut self.lowest, &mut self.next] {
                *least = Some(least.map_or(alarm.last_slot, |slot| slot.min(alarm.last_slot)));
            }
        }
    }

    /// Whether one may heal now: the root moved on to `root`, or something was mended at or below it.
    pub fn may_heal(&self, root: i64, moved: bool, mended: bool) -> bool {
        let passed = |slot: Option<i64>| slot.is_some_and(|slot| slot <= root);
        moved && passed(self.next) || mended && passed(self.lowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(kind: Kind, last_slot: i64) -> Alarm {
        Alarm {
            kind,
            slot: 1,
            last_slot,
            count: 1,
            banks: Vec::new(),
            clears_itself: true,
            detail: String::new(),
        }
    }

    #[test]
    fn what_finality_has_passed_heals_only_when_something_is_mended() {
        let mut watch = Watch::default();
        assert!(!watch.may_heal(9, true, true));
        watch.raised(&alarm(Kind::Loss, 5));
        watch.raised(&alarm(Kind::Gap, 7));
        watch.raised(&alarm(Kind::Base, 1));
        assert!(!watch.may_heal(4, true, true));
        assert!(watch.may_heal(5, true, false));
        assert!(!watch.may_heal(5, false, false));
        // The loss was looked at, and stays.
        watch.next = Some(7);
        assert!(!watch.may_heal(6, true, false));
        assert!(watch.may_heal(6, false, true));
        // It comes again.
        watch.raised(&alarm(Kind::Loss, 6));
        assert!(watch.may_heal(6, true, false));
    }
}
