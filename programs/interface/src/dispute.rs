//! Verdicts and money of a dispute: pure functions in integers, for the program, for whoever decides
//! whether a challenge pays, and for simulations.
//!
//! [`Bond::of`] says what a challenge costs, [`decide`] turns the jury's findings into a verdict, and
//! [`share_out`] turns the verdict into amounts. What goes in comes out: bond and slash are the sum of all
//! amounts.

use crate::comparison::{Comparison, Rule, Values};
use crate::error::MythicError;
use crate::money::{add, checked_mul, share};
use crate::output::OUTPUT_CHUNK;
use crate::params::{MAX_JURY_SEATS, Rules};
use crate::state::{Dispute, Ground, Verdict};

/// Chunks in which an output of `tokens` tokens is posted.
pub const fn chunks(tokens: u32) -> u32 {
    tokens.div_ceil(OUTPUT_CHUNK as u32)
}

/// Seats that must agree for a verdict: two thirds of the jury, rounded up.
pub const fn quorum(jury_seats: u32) -> u32 {
    (2 * jury_seats).div_ceil(3)
}

/// Lamports of `whole_stake` that a guilty submitter loses.
pub const fn slash(rules: &Rules, whole_stake: u64) -> u64 {
    share(whole_stake, rules.slash_bps.get())
}

/// What a challenger pays in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bond {
    /// Burned if the result was good: a part of the slash that the challenge threatens with.
    pub at_stake: u64,
    /// For the submitter's answer: every checked position and every chunk of output.
    pub answering_fee: u64,
    /// For each seat: the rules' tariff and the price of the job, which a juror computes again.
    pub tariff: u64,
    /// All of it.
    pub total: u64,
}

/// What a bond is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenged {
    /// Whole stake of the submitter.
    pub whole_stake: u64,
    /// Ceiling of the job.
    pub ceiling: u64,
    /// Positions that are checked.
    pub checked: u32,
    /// Tokens of the output.
    pub output_tokens: u32,
}

impl Bond {
    /// The bond that a challenge costs.
    pub fn of(rules: &Rules, challenged: &Challenged) -> Result<Self, MythicError> {
        let at_stake = share(slash(rules, challenged.whole_stake), rules.bond_bps.get());
        let pieces = u64::from(challenged.checked) + u64::from(chunks(challenged.output_tokens));
        let answering_fee = product(rules.answering_fee.get(), pieces)?;
        let tariff = add(rules.juror_tariff.get(), challenged.ceiling)?;
        let seats = product(tariff, u64::from(rules.jury_seats.get()))?;
        Ok(Self {
            at_stake,
            answering_fee,
            tariff,
            total: add(add(at_stake, answering_fee)?, seats)?,
        })
    }
}

fn product(a: u64, b: u64) -> Result<u64, MythicError> {
    add(checked_mul(a, b).ok_or(MythicError::AmountTooLarge)?, 0)
}

/// Whether a juror's values contradict the leaves: `vector` and the dispute's leaves, position by position.
pub fn shows_fraud(dispute: &Dispute, rule: Rule, vector: &[[crate::le::I32; 5]]) -> bool {
    let mut comparison = Comparison::new(rule);
    for (leaf, own) in compared(dispute, rule).zip(vector) {
        comparison.submitted(&leaf.given(), &native(own));
    }
    comparison.verdict().is_fraud()
}

/// Whether two jurors' vectors agree by the same rules that judge the submitter.
pub fn agree(
    dispute: &Dispute,
    rule: Rule,
    a: &[[crate::le::I32; 5]],
    b: &[[crate::le::I32; 5]],
) -> bool {
    let mut comparison = Comparison::new(rule);
    for ((_, a), b) in compared(dispute, rule).zip(a).zip(b) {
        comparison.checkers(&native(a), &native(b));
    }
    !comparison.verdict().is_fraud()
}

/// The leaves that a rule looks at: all checked ones in an exact profile, the sampled ones otherwise.
fn compared(dispute: &Dispute, rule: Rule) -> core::slice::Iter<'_, crate::state::OpenedLeaf> {
    let leaves = dispute.checked_leaves();
    let sampled = usize::from(dispute.sampled).min(leaves.len());
    match rule {
        Rule::Exact => leaves.iter(),
        Rule::Calibrated { .. } => leaves[..sampled].iter(),
    }
}

fn native(values: &[crate::le::I32; 5]) -> Values {
    values.map(crate::le::I32::get)
}

/// What is known of one seat when a jury is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Somebody sits here.
    pub taken: bool,
    /// The juror has shown its vector.
    pub revealed: bool,
    /// The vector shows fraud.
    pub fraud: bool,
    /// Bit per seat that shows fraud too and agrees with this one.
    pub agrees: u16,
}

/// A verdict and what it means for each seat; one bit a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// Seats that are paid.
    pub paid: u16,
    /// Seats that are penalised: silent ones, and those against a decisive verdict.
    pub penalised: u16,
}

/// Counts a jury. Guilty needs two thirds of all seats, empty ones included, that show fraud and agree with
/// one of them; not guilty needs as many without fraud; everything else is void.
pub fn decide(findings: &[Finding]) -> Decision {
    let findings = &findings[..findings.len().min(MAX_JURY_SEATS)];
    let mask = |test: fn(&Finding) -> bool| {
        let mut mask = 0u16;
        for (seat, finding) in findings.iter().enumerate() {
            if test(finding) {
                mask |= 1 << seat;
            }
        }
        mask
    };
    let taken = mask(|finding| finding.taken);
    let revealed = mask(|finding| finding.taken && finding.revealed);
    let fraud = revealed & mask(|finding| finding.fraud);
    let quorum = quorum(findings.len() as u32);

    let mut group = 0u16;
    for (seat, finding) in findings.iter().enumerate() {
        let bit = 1 << seat;
        if fraud & bit == 0 {
            continue;
        }
        let agreeing = (finding.agrees & fraud) | bit;
        if agreeing.count_ones() > group.count_ones() {
            group = agreeing;
        }
    }
    let good = revealed & !fraud;
    let (verdict, paid) = if group.count_ones() >= quorum {
        (Verdict::Guilty, group)
    } else if good.count_ones() >= quorum {
        (Verdict::NotGuilty, good)
    } else {
        (Verdict::Void, revealed)
    };
    Decision {
        verdict,
        paid,
        penalised: taken & !paid,
    }
}

/// What a dispute comes to where no jury is counted: unanswered is guilty, everything else void. Nobody is
/// penalised; who had revealed before another dispute overtook this one is paid.
pub fn without_jury(ground: Ground, findings: &[Finding]) -> Decision {
    let mut paid = 0;
    if ground == Ground::Overtaken {
        for (seat, finding) in findings.iter().take(MAX_JURY_SEATS).enumerate() {
            if finding.taken && finding.revealed {
                paid |= 1 << seat;
            }
        }
    }
    Decision {
        verdict: match ground {
            Ground::Unanswered => Verdict::Guilty,
            Ground::Fault => Verdict::Fault,
            Ground::Jury | Ground::NoThresholds | Ground::Overtaken => Verdict::Void,
        },
        paid,
        penalised: 0,
    }
}

/// Who gets what of bond and slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// The challenger's: what returns of its bond, and its half of a slash.
    pub challenger: u64,
    /// Each paid seat's.
    pub seat: u64,
    /// All paid seats' together.
    pub seats: u64,
    /// The submitter's, for answering.
    pub submitter: u64,
    /// Burned.
    pub burned: u64,
}

/// Shares out the bond (`None` where a fault was proved without a challenge) and `slashed` lamports of
/// stake, which is 0 unless the verdict goes against the submitter.
pub fn share_out(
    ground: Ground,
    decision: &Decision,
    bond: &Bond,
    slashed: u64,
) -> Result<Shares, MythicError> {
    let count = u64::from(decision.paid.count_ones());
    if matches!(decision.verdict, Verdict::Guilty | Verdict::Fault) {
        let half = slashed / 2;
        let rest = slashed - half;
        let seat = rest.checked_div(count).unwrap_or(0);
        let seats = product(seat, count)?;
        return Ok(Shares {
            challenger: add(bond.total, half)?,
            seat,
            seats,
            submitter: 0,
            burned: rest - seats,
        });
    }
    // A submitter that another dispute found guilty is owed nothing for its answers.
    let submitter = match ground {
        Ground::Overtaken => 0,
        _ => bond.answering_fee,
    };
    let burned = match decision.verdict {
        Verdict::NotGuilty => bond.at_stake,
        _ => 0,
    };
    let seats = product(bond.tariff, count)?;
    let mut challenger = bond.total;
    for part in [submitter, burned, seats] {
        challenger = crate::money::sub(challenger, part)?;
    }
    Ok(Shares {
        challenger,
        seat: bond.tariff,
        seats,
        submitter,
        burned,
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::params::Params;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Seats that reveal: `true` shows fraud and agrees with every other such seat.
    fn agreeing(fraud: &[bool], jury_seats: usize) -> Vec<Finding> {
        let mask = (0..fraud.len())
            .filter(|seat| fraud[*seat])
            .fold(0, |mask, seat| mask | 1 << seat);
        let mut findings: Vec<Finding> = fraud
            .iter()
            .map(|fraud| Finding {
                taken: true,
                revealed: true,
                fraud: *fraud,
                agrees: if *fraud { mask } else { 0 },
            })
            .collect();
        findings.resize(jury_seats, Finding::default());
        findings
    }

    #[test]
    fn two_thirds_of_the_seats_rounded_up_are_needed() {
        let quorums = [1, 3, 5, 7, 15].map(quorum);
        assert_eq!(quorums, [1, 2, 4, 5, 10]);
        for seats in 1..=15usize {
            let needed = quorum(seats as u32) as usize;
            for count in 0..=seats {
                let verdict = |fraud| decide(&agreeing(&std::vec![fraud; count], seats)).verdict;
                let expected = |verdict| match count >= needed {
                    true => verdict,
                    false => Verdict::Void,
                };
                assert_eq!(verdict(true), expected(Verdict::Guilty));
                assert_eq!(verdict(false), expected(Verdict::NotGuilty));
            }
        }
    }

    #[test]
    fn guesses_that_do_not_agree_do_not_add_up_and_cost_the_guessers() {
        let mut findings = agreeing(&[true; 7], 7);
        for (seat, finding) in findings.iter_mut().enumerate() {
            finding.agrees = 1 << seat;
        }
        let decision = decide(&findings);
        assert_eq!(decision.verdict, Verdict::Void);
        // Five that agree outvote two that guess.
        for finding in findings.iter_mut().skip(2) {
            finding.agrees = 0b111_1100;
        }
        let decision = decide(&findings);
        assert_eq!(decision.verdict, Verdict::Guilty);
        assert_eq!((decision.paid, decision.penalised), (0b111_1100, 0b11));
    }

    #[test]
    fn silence_is_penalised_whatever_the_verdict_and_empty_seats_are_not() {
        let mut findings = agreeing(&[false, false, true], 5);
        findings[1].revealed = false;
        let decision = decide(&findings);
        assert_eq!(decision.verdict, Verdict::Void);
        assert_eq!((decision.paid, decision.penalised), (0b101, 0b010));
        assert_eq!(
            without_jury(Ground::Overtaken, &findings),
            Decision {
                verdict: Verdict::Void,
                paid: 0b101,
                penalised: 0
            }
        );
    }

    #[test]
    fn the_promised_amounts() {
        let rules = Params::mainnet().rules;
        let bond = Bond::of(
            &rules,
            &Challenged {
                whole_stake: 1_000_000_000,
                ceiling: 25_600,
                checked: 16,
                output_tokens: 512,
            },
        )
        .unwrap();
        // 1.5 % of half a SOL, 10,000 for each of 16 + 4 pieces, 15 seats of 20,000 + 25,600.
        assert_eq!(
            bond,
            Bond {
                at_stake: 7_500_000,
                answering_fee: 200_000,
                tariff: 45_600,
                total: 8_384_000
            }
        );
        let slashed = slash(&rules, 1_000_000_001);
        assert_eq!(slashed, 500_000_000);
        let guilty = Decision {
            verdict: Verdict::Guilty,
            paid: 0b111_1111_1111,
            penalised: 0,
        };
        let shares = share_out(Ground::Jury, &guilty, &bond, slashed).unwrap();
        assert_eq!(shares.challenger, 250_000_000 + bond.total);
        assert_eq!((shares.seat, shares.burned), (22_727_272, 8));
        let unanswered = without_jury(Ground::Unanswered, &[]);
        let shares = share_out(Ground::Unanswered, &unanswered, &bond, slashed).unwrap();
        assert_eq!((shares.seats, shares.burned), (0, 250_000_000));
        let good = Decision {
            verdict: Verdict::NotGuilty,
            ..guilty
        };
        let shares = share_out(Ground::Jury, &good, &bond, 0).unwrap();
        assert_eq!((shares.burned, shares.submitter), (7_500_000, 200_000));
        assert_eq!(shares.challenger, 4 * 45_600);
    }

    fn finding() -> impl Strategy<Value = Finding> {
        (any::<bool>(), any::<bool>(), any::<bool>(), any::<u16>()).prop_map(
            |(taken, revealed, fraud, agrees)| Finding {
                taken,
                revealed,
                fraud,
                agrees,
            },
        )
    }

    proptest! {
        #[test]
        fn bond_and_slash_are_the_sum_of_the_shares(
            findings in proptest::collection::vec(finding(), 1..=15),
            whole_stake in 0u64..1 << 60,
            ceiling in 0u64..1 << 50,
            checked in 1u32..=18,
            output_tokens in 1u32..1 << 20,
            which in 0u8..5,
        ) {
            let mut rules = Params::mainnet().rules;
            rules.jury_seats.set(findings.len() as u16);
            let challenged = Challenged { whole_stake, ceiling, checked, output_tokens };
            let bond = Bond::of(&rules, &challenged).unwrap();
            let ground = [
                Ground::Jury, Ground::Unanswered, Ground::NoThresholds, Ground::Overtaken, Ground::Fault,
            ][usize::from(which)];
            let decision = match ground {
                Ground::Jury => decide(&findings),
                other => without_jury(other, &findings),
            };
            let guilty = matches!(decision.verdict, Verdict::Guilty | Verdict::Fault);
            let slashed = if guilty { slash(&rules, whole_stake) } else { 0 };
            let shares = share_out(ground, &decision, &bond, slashed).unwrap();
            prop_assert_eq!(shares.seats, shares.seat * u64::from(decision.paid.count_ones()));
            prop_assert_eq!(
                shares.challenger + shares.seats + shares.submitter + shares.burned,
                bond.total + slashed
            );
            prop_assert_eq!(decision.paid & decision.penalised, 0);
            if guilty {
                // A cheater that challenges itself still loses half of the slash at least.
                prop_assert!(shares.challenger - bond.total <= slashed / 2);
            }
        }
    }
}
