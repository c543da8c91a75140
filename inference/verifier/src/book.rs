//! What a verifier remembers across restarts: a fold over notes, which lie in the node's journal.

use std::collections::BTreeMap;

use mythic_interface::state::{Case, Key, Outcome, Verdict};
use serde::{Deserialize, Serialize};

use super::{claims::Found, docket::Held};
use mythic_wire::parse_hex32;

/// One thing to remember. Addresses are base58, hashes hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// A result was checked.
    Checked {
        job: String,
        fingerprint: String,
        /// [`super::check::Finding::name`].
        finding: String,
        /// Slot after which nobody asks any more.
        until: u64,
    },
    /// Something is to be said of a result, or a fault of it proved. Durable before anything is sent.
    Claim {
        job: String,
        fingerprint: String,
        /// What was found.
        #[serde(flatten)]
        found: Found,
        /// Slot after which it can't be.
        until: u64,
    },
    /// The claim is on chain, or can't be made any more.
    ClaimOver {
        job: String,
        /// It was made.
        made: bool,
    },
    /// A juror's vote. Durable before it is committed to.
    Vote {
        case: String,
        /// Fingerprint that it judges.
        fingerprint: String,
        /// Hash of what it judges.
        positions: String,
        /// Salt of the commitment.
        salt: String,
        /// The vote.
        vote: String,
        /// Slot after which it can't be revealed.
        until: u64,
    },
    /// A juror has committed. Lost, it costs a transaction that the chain refuses.
    Committed {
        case: String,
        /// First slot of the jury.
        jury: u64,
    },
    /// A case ended, in a finalized bank.
    Ended {
        case: String,
        /// How, for us.
        result: Ended,
        /// Slot after which the chain forgets it.
        until: u64,
    },
    /// Milliseconds of the engine for checks and votes, its queue included.
    Computed {
        /// Milliseconds.
        millis: u64,
    },
    /// Fees of transactions for checks and cases.
    Fee {
        /// Lamports.
        lamports: u64,
    },
    /// Where a gateway's feed of results was left.
    Cursor {
        /// Base URL.
        gateway: String,
        /// Id of its last event.
        id: String,
    },
    /// What ended before this slot is forgotten.
    Forget {
        /// Slot.
        before: u64,
    },
    /// Totals so far; replaces the earlier ones. Written when the file is rewritten.
    Totals(Totals),
}

impl Note {
    /// Whether it is a vote that could be revealed before this slot only.
    fn is_before(&self, slot: u64) -> bool {
        matches!(self, Self::Vote { until, .. } if *until < slot)
    }
}

/// How a case ended for us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Claims of ours that were right.
    pub right: u32,
    /// Claims `false` that were wrong.
    pub wrong: u32,
    /// That nothing was decided about.
    pub undecided: u32,
    /// Claims of withholding that were answered after all.
    #[serde(default)]
    pub shown: u32,
    /// As submitter: 1 guilty or fault, 2 not guilty, 3 void; 0 = not ours.
    pub answered: u8,
    /// Seats of ours.
    pub seats: u32,
    /// Those of them that were not fined, if we are paid.
    pub seats_paid: u32,
    /// Lamports that it brings beside bonds that return.
    pub earned: u64,
    /// Lamports of bond, slash or penalties that it costs.
    pub lost: u64,
}

impl Ended {
    /// Of a resolved case, for the validator with this authority.
    pub fn of(case: &Case, authority: &Key) -> Self {
        let mut out = Self::default();
        for claim in case.claims().iter().filter(|c| c.claimant == *authority) {
            match Outcome::from_u8(claim.outcome) {
                Some(Outcome::Right) => out.right += 1,
                Some(Outcome::Wrong) if !claim.is_false() => out.shown += 1,
                Some(Outcome::Wrong) => out.wrong += 1,
                Some(Outcome::Undecided) | None => out.undecided += 1,
            }
            let (bond, back) = (claim.bond(), claim.amount.get());
            add(&mut out.earned, back.saturating_sub(bond));
            add(&mut out.lost, bond.saturating_sub(back));
        }
        if case.prover == *authority {
            add(&mut out.earned, case.prover_amount.get());
        }
        if case.submitter == *authority {
            out.answered = match Verdict::from_u8(case.verdict) {
                Some(Verdict::Guilty | Verdict::Fault) => 1,
                Some(Verdict::NotGuilty) => 2,
                Some(Verdict::Void) | None => 3,
            };
            add(&mut out.earned, case.submitter_amount.get());
            add(&mut out.lost, case.slashed_amount.get());
        }
        let own = || case.jury().iter().filter(|s| s.juror == *authority);
        // Pay is a juror's, not a seat's.
        let paid = own().any(|seat| seat.reward.get() != 0);
        for seat in own() {
            out.seats += 1;
            out.seats_paid += u32::from(paid && seat.penalty.get() == 0);
            add(&mut out.earned, seat.reward.get());
            add(&mut out.lost, seat.penalty.get());
        }
        out
    }
}

/// Sums since the data directory was made. Lamports are lamports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Results checked, by finding.
    pub checked: BTreeMap<String, u64>,
    /// Claims made, and faults proved.
    pub opened: u64,
    /// Claims that were right.
    pub won: u64,
    /// Claims `false` that were wrong.
    pub lost: u64,
    /// Claims of withholding that were answered after all: no fault of ours, and the bond is a small fee.
    #[serde(default)]
    pub shown: u64,
    /// That nothing was decided about.
    pub void: u64,
    /// Our results that had a case and were found good, false, neither.
    pub answered_good: u64,
    /// Found false.
    pub answered_false: u64,
    /// Void.
    pub answered_void: u64,
    /// Seats on juries.
    pub seats: u64,
    /// Seats that were paid.
    pub seats_paid: u64,
    /// Rewards, tariffs and answering fees.
    pub earned_lamports: u64,
    /// Bonds, slashes and penalties.
    pub lost_lamports: u64,
    /// Transaction fees.
    pub fees_lamports: u64,
    /// Engine time, its queue included.
    pub compute_millis: u64,
}

/// A claim that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Fingerprint of the result.
    pub fingerprint: String,
    /// What was found.
    pub found: Found,
    /// Slot after which it can't be made.
    pub until: u64,
}

/// All that is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    /// Checked results: fingerprint, finding and slot after which it is forgotten, by job.
    pub checked: BTreeMap<String, (String, String, u64)>,
    /// Claims that are not over, by job.
    pub claims: BTreeMap<String, Claim>,
    /// Votes by case: their note, and the first slot of the jury to which they were committed.
    votes: BTreeMap<String, (Note, Option<u64>)>,
    /// Cases whose end is counted, and until when.
    pub ended: BTreeMap<String, u64>,
    /// Places in feeds.
    pub cursors: BTreeMap<String, String>,
    /// Sums.
    pub totals: Totals,
}

impl Book {
    /// Takes one note.
    pub fn apply(&mut self, note: &Note) {
        match note {
            Note::Checked {
                job,
                fingerprint,
                finding,
                until,
            } => {
                let entry = (fingerprint.clone(), finding.clone(), *until);
                let before = self.checked.insert(job.clone(), entry);
                if before.is_none_or(|(other, _, _)| other != *fingerprint) {
                    *self.totals.checked.entry(finding.clone()).or_default() += 1;
                }
            }
            Note::Claim {
                job,
                fingerprint,
                found,
                until,
            } => {
                let claim = Claim {
                    fingerprint: fingerprint.clone(),
                    found: found.clone(),
                    until: *until,
                };
                self.claims.insert(job.clone(), claim);
            }
            Note::ClaimOver { job, made } => {
                if self.claims.remove(job).is_some() && *made {
                    add(&mut self.totals.opened, 1);
                }
            }
            Note::Vote { case, .. } => {
                let committed = self.committed(case);
                self.votes.insert(case.clone(), (note.clone(), committed));
            }
            Note::Committed { case, jury } => {
                if let Some((_, committed)) = self.votes.get_mut(case) {
                    *committed = Some(*jury);
                }
            }
            Note::Ended {
                case,
                result,
                until,
            } => {
                self.votes.remove(case);
                if self.ended.insert(case.clone(), *until).is_none() {
                    self.totals.end(result);
                }
            }
            Note::Computed { millis } => add(&mut self.totals.compute_millis, *millis),
            Note::Fee { lamports } => add(&mut self.totals.fees_lamports, *lamports),
            Note::Cursor { gateway, id } => {
                self.cursors.insert(gateway.clone(), id.clone());
            }
            Note::Forget { before } => {
                self.checked.retain(|_, (_, _, until)| *until >= *before);
                self.claims.retain(|_, c| c.until >= *before);
                self.ended.retain(|_, until| *until >= *before);
                self.votes.retain(|_, (vote, _)| !vote.is_before(*before));
            }
            Note::Totals(totals) => self.totals = totals.clone(),
        }
    }

    /// Whether something ended before this slot, for [`Note::Forget`].
    pub fn has_before(&self, slot: u64) -> bool {
        self.checked.values().any(|(_, _, until)| *until < slot)
            || self.ended.values().any(|until| *until < slot)
            || self.votes.values().any(|(vote, _)| vote.is_before(slot))
    }

    /// The vote of a case.
    pub fn held(&self, case: &str) -> Option<Held> {
        let Note::Vote {
            fingerprint,
            positions,
            salt,
            vote,
            ..
        } = &self.votes.get(case)?.0
        else {
            return None;
        };
        Some(Held {
            fingerprint: parse_hex32(fingerprint)?,
            positions: parse_hex32(positions)?,
            salt: parse_hex32(salt)?,
            vote: hex::decode(vote).ok()?,
        })
    }

    /// First slot of the jury of a case to which was committed.
    pub fn committed(&self, case: &str) -> Option<u64> {
        self.votes.get(case)?.1
    }

    /// The note of a vote, which can be revealed until a slot.
    pub fn note_of(case: &str, held: &Held, until: u64) -> Note {
        Note::Vote {
            case: case.into(),
            fingerprint: hex::encode(held.fingerprint),
            positions: hex::encode(held.positions),
            salt: hex::encode(held.salt),
            vote: hex::encode(&held.vote),
            until,
        }
    }

    /// The fewest notes that fold to this book.
    pub fn notes(&self) -> Vec<Note> {
        let checked = self
            .checked
            .iter()
            .map(|(job, (fingerprint, finding, until))| Note::Checked {
                job: job.clone(),
                fingerprint: fingerprint.clone(),
                finding: finding.clone(),
                until: *until,
            });
        let claims = self.claims.iter().map(|(job, claim)| Note::Claim {
            job: job.clone(),
            fingerprint: claim.fingerprint.clone(),
            found: claim.found.clone(),
            until: claim.until,
        });
        let ended = self.ended.iter().map(|(case, until)| Note::Ended {
            case: case.clone(),
            result: Ended::default(),
            until: *until,
        });
        let cursors = self.cursors.iter().map(|(gateway, id)| Note::Cursor {
            gateway: gateway.clone(),
            id: id.clone(),
        });
        let mut out: Vec<Note> = checked.chain(claims).chain(ended).chain(cursors).collect();
        // After the ends, which would remove them.
        for (case, (vote, committed)) in &self.votes {
            let committed = committed.map(|jury| Note::Committed {
                case: case.clone(),
                jury,
            });
            out.push(vote.clone());
            out.extend(committed);
        }
        // Last: they replace what the notes before count again.
        if self.totals != Totals::default() {
            out.push(Note::Totals(self.totals.clone()));
        }
        out
    }
}

impl Totals {
    fn end(&mut self, result: &Ended) {
        add(&mut self.won, result.right.into());
        add(&mut self.lost, result.wrong.into());
        add(&mut self.shown, result.shown.into());
        add(&mut self.void, result.undecided.into());
        match result.answered {
            1 => add(&mut self.answered_false, 1),
            2 => add(&mut self.answered_good, 1),
            3 => add(&mut self.answered_void, 1),
            _ => {}
        }
        add(&mut self.seats, u64::from(result.seats));
        add(&mut self.seats_paid, u64::from(result.seats_paid));
        add(&mut self.earned_lamports, result.earned);
        add(&mut self.lost_lamports, result.lost);
    }
}

fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Held {
        Held {
            fingerprint: [1; 32],
            positions: [2; 32],
            salt: [3; 32],
            vote: vec![4; 40],
        }
    }

    fn story() -> Vec<Note> {
        vec![
            Note::Checked {
                job: "a".into(),
                fingerprint: "f".into(),
                finding: "fraud".into(),
                until: 90,
            },
            Note::Claim {
                job: "a".into(),
                fingerprint: "f".into(),
                found: Found::differing(&[3], 500, true),
                until: 90,
            },
            Note::ClaimOver {
                job: "a".into(),
                made: true,
            },
            Book::note_of("d", &held(), 500),
            Note::Committed {
                case: "d".into(),
                jury: 400,
            },
            Note::Computed { millis: 7 },
            Note::Fee { lamports: 5_000 },
            Note::Cursor {
                gateway: "g".into(),
                id: "8".into(),
            },
            Note::Ended {
                case: "d".into(),
                result: Ended {
                    right: 1,
                    seats: 2,
                    seats_paid: 2,
                    earned: 50,
                    lost: 1,
                    ..Ended::default()
                },
                until: 2_000,
            },
            Note::Forget { before: 91 },
        ]
    }

    #[test]
    fn the_fewest_notes_fold_to_the_same_book_after_each_step() {
        let mut book = Book::default();
        for note in story() {
            let json = serde_json::to_string(&note).unwrap();
            assert_eq!(serde_json::from_str::<Note>(&json).unwrap(), note);
            book.apply(&note);
            let mut again = Book::default();
            for note in book.notes() {
                again.apply(&note);
            }
            assert_eq!(again, book, "after {note:?}");
        }
        assert!(book.checked.is_empty() && book.claims.is_empty());
        assert_eq!(book.ended.len(), 1);
        assert_eq!(
            (
                book.totals.opened,
                book.totals.won,
                book.totals.earned_lamports
            ),
            (1, 1, 50)
        );
    }

    #[test]
    fn what_is_noted_twice_counts_once() {
        let mut book = Book::default();
        for note in story().iter().chain(&story()[..3]).chain(&story()[8..9]) {
            book.apply(note);
        }
        assert_eq!(book.totals.won, 1);
        let mut book = Book::default();
        book.apply(&story()[0]);
        book.apply(&story()[0]);
        assert_eq!(book.totals.checked["fraud"], 1);
    }

    #[test]
    fn every_finding_is_written_down_as_it_is() {
        let mut book = Book::default();
        for found in [
            Found::Withheld,
            Found::differing(&[3, 4], 500, true),
            Found::Fault { position: 9 },
        ] {
            let note = Note::Claim {
                job: "a".into(),
                fingerprint: "f".into(),
                found: found.clone(),
                until: 90,
            };
            let json = serde_json::to_string(&note).unwrap();
            assert_eq!(serde_json::from_str::<Note>(&json).unwrap(), note);
            book.apply(&note);
            assert_eq!(book.claims["a"].found, found);
        }
    }

    #[test]
    fn an_end_counts_what_each_of_our_roles_brought() {
        use bytemuck::Zeroable;
        use mythic_interface::state::ClaimKind;
        const ME: Key = [1; 32];
        let mut case = Case::zeroed();
        (case.claim_count, case.jury_seats) = (2, 3);
        for (claim, outcome) in case.claims.iter_mut().zip([Outcome::Wrong, Outcome::Right]) {
            claim.claimant = ME;
            claim.kind = ClaimKind::False as u8;
            claim.outcome = outcome as u8;
            claim.answering_fee.set(100);
        }
        case.claims[1].amount.set(900);
        for (seat, penalty) in case.seats.iter_mut().zip([0, 0, 50]) {
            seat.juror = ME;
            seat.penalty.set(penalty);
        }
        case.seats[0].reward.set(7);
        let ended = Ended::of(&case, &ME);
        let expected = Ended {
            right: 1,
            wrong: 1,
            seats: 3,
            seats_paid: 2,
            earned: 800 + 7,
            lost: 100 + 50,
            ..Ended::default()
        };
        assert_eq!(ended, expected);
        assert_eq!(Ended::of(&case, &[2; 32]), Ended::default());
        // What was withheld and is shown after all is no claim that was wrong.
        case.claims[0].kind = ClaimKind::Withheld as u8;
        let answered = Ended::of(&case, &ME);
        assert_eq!((answered.wrong, answered.shown), (0, 1));
        assert_eq!(answered.lost, expected.lost);
        case.prover = [2; 32];
        case.prover_amount.set(5);
        assert_eq!(Ended::of(&case, &[2; 32]).earned, 5);
    }

    #[test]
    fn a_vote_comes_back_as_it_was() {
        let mut book = Book::default();
        book.apply(&Book::note_of("d", &held(), 500));
        assert_eq!(book.held("d"), Some(held()));
        assert_eq!((book.held("e"), book.committed("d")), (None, None));
        for case in ["d", "e"] {
            let (case, jury) = (case.into(), 400);
            book.apply(&Note::Committed { case, jury });
        }
        // Computed anew after a fork, it is still known to which jury was committed.
        book.apply(&Book::note_of("d", &held(), 500));
        assert_eq!(
            (book.committed("d"), book.committed("e")),
            (Some(400), None)
        );
        // Whether it won a seat or not: once it can't be revealed any more it is forgotten.
        assert!(!book.has_before(500) && book.has_before(501));
        book.apply(&Note::Forget { before: 500 });
        assert!(book.held("d").is_some());
        book.apply(&Note::Forget { before: 501 });
        assert_eq!(book, Book::default());
    }
}
