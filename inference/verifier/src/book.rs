//! What a verifier remembers across restarts: a fold over notes, which lie in the node's journal.

use std::collections::BTreeMap;

use mythic_interface::state::{Dispute, Key, Verdict};
use serde::{Deserialize, Serialize};

use super::docket::Held;
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
    /// A result is to be challenged, or a fault of it proved. Durable before anything is sent.
    Challenge {
        job: String,
        fingerprint: String,
        /// Positions in which it differs, ascending, the first few.
        differing: Vec<u32>,
        /// Position of a fault that one leaf proves.
        fault: Option<u32>,
        /// Slot after which it can't be.
        until: u64,
    },
    /// The challenge is on chain, or can't be made any more.
    ChallengeOver {
        job: String,
        /// It was made.
        made: bool,
    },
    /// A juror's vector. Durable before it is committed to.
    Vector {
        dispute: String,
        /// Fingerprint that it judges.
        fingerprint: String,
        /// Hash of the positions that it is of.
        positions: String,
        /// Salt of the commitment.
        salt: String,
        /// The values.
        vector: String,
    },
    /// A dispute ended, in a finalized bank.
    Ended {
        dispute: String,
        /// How, for us.
        result: Ended,
        /// Slot after which the chain forgets it.
        until: u64,
    },
    /// Milliseconds of the engine for checks and vectors, its queue included.
    Computed {
        /// Milliseconds.
        millis: u64,
    },
    /// Fees of transactions for checks and disputes.
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

/// How a dispute ended for us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// As challenger: 1 guilty or fault, 2 not guilty, 3 void; 0 = not ours.
    pub challenged: u8,
    /// As submitter, the same.
    pub answered: u8,
    /// Seats of ours.
    pub seats: u32,
    /// Seats of ours that are paid.
    pub seats_paid: u32,
    /// Lamports that it brings beside a bond that returns.
    pub earned: u64,
    /// Lamports of bond, slash or penalties that it costs.
    pub lost: u64,
}

impl Ended {
    /// Of a resolved dispute, for the validator with this authority.
    pub fn of(dispute: &Dispute, authority: &Key) -> Self {
        let mut out = Self::default();
        let verdict = match Verdict::from_u8(dispute.verdict) {
            Some(Verdict::Guilty | Verdict::Fault) => 1,
            Some(Verdict::NotGuilty) => 2,
            Some(Verdict::Void) | None => 3,
        };
        if dispute.challenger == *authority {
            out.challenged = verdict;
            let (bond, back) = (dispute.bond.get(), dispute.challenger_amount.get());
            out.earned = back.saturating_sub(bond);
            out.lost = bond.saturating_sub(back);
        }
        if dispute.submitter == *authority {
            out.answered = verdict;
            add(&mut out.earned, dispute.submitter_amount.get());
            add(&mut out.lost, dispute.slashed_amount.get());
        }
        for seat in dispute.jury().iter().filter(|s| s.juror == *authority) {
            out.seats += 1;
            out.seats_paid += u32::from(seat.reward.get() != 0);
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
    /// Challenges made.
    pub opened: u64,
    /// Of those, found guilty.
    pub won: u64,
    /// Of those, found not guilty.
    pub lost: u64,
    /// Of those, void.
    pub void: u64,
    /// Our results that were challenged and found good, false, neither.
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

/// A challenge that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Fingerprint of the result.
    pub fingerprint: String,
    /// Positions in which it differs.
    pub differing: Vec<u32>,
    /// Position of a fault.
    pub fault: Option<u32>,
    /// Slot after which it can't be made.
    pub until: u64,
}

/// All that is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    /// Checked results: fingerprint, finding and slot after which it is forgotten, by job.
    pub checked: BTreeMap<String, (String, String, u64)>,
    /// Challenges that are not over, by job.
    pub challenges: BTreeMap<String, Challenge>,
    /// Vectors: their note, by dispute.
    vectors: BTreeMap<String, Note>,
    /// Disputes whose end is counted, and until when.
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
            Note::Challenge {
                job,
                fingerprint,
                differing,
                fault,
                until,
            } => {
                let challenge = Challenge {
                    fingerprint: fingerprint.clone(),
                    differing: differing.clone(),
                    fault: *fault,
                    until: *until,
                };
                self.challenges.insert(job.clone(), challenge);
            }
            Note::ChallengeOver { job, made } => {
                if self.challenges.remove(job).is_some() && *made {
                    add(&mut self.totals.opened, 1);
                }
            }
            Note::Vector { dispute, .. } => {
                self.vectors.insert(dispute.clone(), note.clone());
            }
            Note::Ended {
                dispute,
                result,
                until,
            } => {
                self.vectors.remove(dispute);
                if self.ended.insert(dispute.clone(), *until).is_none() {
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
                self.challenges.retain(|_, c| c.until >= *before);
                self.ended.retain(|_, until| *until >= *before);
            }
            Note::Totals(totals) => self.totals = totals.clone(),
        }
    }

    /// The vector of a dispute.
    pub fn held(&self, dispute: &str) -> Option<Held> {
        let Note::Vector {
            fingerprint,
            positions,
            salt,
            vector,
            ..
        } = self.vectors.get(dispute)?
        else {
            return None;
        };
        Some(Held {
            fingerprint: parse_hex32(fingerprint)?,
            positions: parse_hex32(positions)?,
            salt: parse_hex32(salt)?,
            vector: hex::decode(vector).ok()?,
        })
    }

    /// The note of a vector.
    pub fn note_of(dispute: &str, held: &Held) -> Note {
        Note::Vector {
            dispute: dispute.into(),
            fingerprint: hex::encode(held.fingerprint),
            positions: hex::encode(held.positions),
            salt: hex::encode(held.salt),
            vector: hex::encode(&held.vector),
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
        let challenges = self.challenges.iter().map(|(job, c)| Note::Challenge {
            job: job.clone(),
            fingerprint: c.fingerprint.clone(),
            differing: c.differing.clone(),
            fault: c.fault,
            until: c.until,
        });
        let ended = self.ended.iter().map(|(dispute, until)| Note::Ended {
            dispute: dispute.clone(),
            result: Ended::default(),
            until: *until,
        });
        let cursors = self.cursors.iter().map(|(gateway, id)| Note::Cursor {
            gateway: gateway.clone(),
            id: id.clone(),
        });
        let mut out: Vec<Note> = checked
            .chain(challenges)
            .chain(ended)
            .chain(cursors)
            .collect();
        // After the ends, which would remove them.
        out.extend(self.vectors.values().cloned());
        // Last: they replace what the notes before count again.
        if self.totals != Totals::default() {
            out.push(Note::Totals(self.totals.clone()));
        }
        out
    }
}

impl Totals {
    fn end(&mut self, result: &Ended) {
        match result.challenged {
            1 => add(&mut self.won, 1),
            2 => add(&mut self.lost, 1),
            3 => add(&mut self.void, 1),
            _ => {}
        }
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
            vector: vec![4; 40],
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
            Note::Challenge {
                job: "a".into(),
                fingerprint: "f".into(),
                differing: vec![3],
                fault: None,
                until: 90,
            },
            Note::ChallengeOver {
                job: "a".into(),
                made: true,
            },
            Book::note_of("d", &held()),
            Note::Computed { millis: 7 },
            Note::Fee { lamports: 5_000 },
            Note::Cursor {
                gateway: "g".into(),
                id: "8".into(),
            },
            Note::Ended {
                dispute: "d".into(),
                result: Ended {
                    challenged: 1,
                    seats: 2,
                    seats_paid: 2,
                    earned: 50,
                    lost: 1,
                    answered: 0,
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
        assert!(book.checked.is_empty() && book.challenges.is_empty());
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
        for note in story().iter().chain(&story()[..3]).chain(&story()[7..8]) {
            book.apply(note);
        }
        assert_eq!(book.totals.won, 1);
        let mut book = Book::default();
        book.apply(&story()[0]);
        book.apply(&story()[0]);
        assert_eq!(book.totals.checked["fraud"], 1);
    }

    #[test]
    fn a_vector_comes_back_as_it_was() {
        let mut book = Book::default();
        book.apply(&Book::note_of("d", &held()));
        assert_eq!(book.held("d"), Some(held()));
        assert_eq!(book.held("e"), None);
    }
}
