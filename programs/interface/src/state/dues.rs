//! What a resolved case still owes, and when it can be closed: for whoever sends what is due.

use alloc::vec::Vec;

use super::{Case, CaseStatus, Key, NO_KEY};

impl Case {
    /// Validators that have something to receive or to lose of it, each once, ascending; nobody before it is resolved.
    pub fn due_parties(&self) -> Vec<Key> {
        if self.status() != Some(CaseStatus::Resolved) {
            return Vec::new();
        }
        let claims = self.claims().iter().filter(|claim| claim.collected == 0);
        let seats = self.jury().iter().filter(|seat| seat.is_due());
        let mut parties: Vec<Key> = claims
            .map(|claim| claim.claimant)
            .chain(seats.map(|seat| seat.juror))
            .chain(self.is_prover_due().then_some(self.prover))
            .filter(|party| *party != NO_KEY)
            .collect();
        parties.sort_unstable();
        parties.dedup();
        parties
    }

    /// Slot from which it can be closed; `None` while it is not resolved or owes something. Fines that nobody can collect lapse
    /// later.
    pub fn closable_from(&self) -> Option<u64> {
        match self.status()? {
            CaseStatus::Resolved if self.all_collected() => Some(self.retention_end()),
            CaseStatus::Resolved if self.all_paid() => Some(self.forfeit_end()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;

    #[test]
    fn a_case_can_be_closed_once_it_owes_nothing_and_fines_lapse() {
        let mut case = Case::zeroed();
        case.rules = crate::params::Params::mainnet().rules;
        (case.claim_count, case.jury_seats) = (1, 3);
        case.claims[0].claimant = [2; 32];
        case.seats[0].juror = [1; 32];
        case.seats[0].penalty.set(5);
        case.seats[1].juror = [2; 32];
        case.seats[1].reward.set(5);
        assert!(case.due_parties().is_empty() && case.closable_from().is_none());
        case.header.status = CaseStatus::Resolved as u8;
        case.resolved_slot.set(1_000);
        assert_eq!(case.due_parties(), [[1; 32], [2; 32]]);
        assert_eq!(case.closable_from(), None);
        case.claims[0].collected = 1;
        case.seats[1].collected = 1;
        assert_eq!(case.due_parties(), [[1; 32]]);
        assert_eq!(case.closable_from(), Some(1_000 + 2 * 2_250));
        case.seats[0].collected = 1;
        assert!(case.due_parties().is_empty());
        assert_eq!(case.closable_from(), Some(1_000 + 2_250));
    }
}
