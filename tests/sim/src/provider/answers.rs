//! Answers to disputes, as the process gives them: what a dispute still asks for follows from the chain alone, so that neither a restart nor a
//! lost disk forgets it.

use std::collections::BTreeMap;

use mythic_client::Commitment;
use mythic_interface::market::ix;
use mythic_interface::market::state::LeaseDispute;
use mythic_provider::proof::{Shape, dispute};
use solana_pubkey::Pubkey;

use super::bench::is_open;
use super::outside::{Killed, Outside};
use super::schedule::{ANSWER, Phase};

/// How often disputes are looked for.
const LOOK_MS: u64 = 2_000;

/// What of an answer comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Roots,
    Elements,
    Verdict,
    Over,
}

/// An answer under way.
#[derive(Debug)]
struct Answer {
    part: Part,
    /// Nothing is sent before.
    at: u64,
    /// What is on its way.
    flights: Vec<u64>,
}

#[derive(Debug, Default)]
pub struct Answers {
    under_way: BTreeMap<Pubkey, Answer>,
    next_look: u64,
}

impl Answers {
    pub fn tick(&mut self, out: &mut Outside) -> Result<(), Killed> {
        if out.now >= self.next_look {
            self.next_look = out.now + LOOK_MS;
            self.look(out);
        }
        let disputes: Vec<Pubkey> = self.under_way.keys().copied().collect();
        for address in disputes {
            self.go_on(address, out)?;
        }
        Ok(())
    }

    fn look(&mut self, out: &mut Outside) {
        let read = out.sight(Commitment::Processed, 0);
        let Some((_, sight)) = read.filter(|_| !out.is_empty()) else {
            return;
        };
        for (address, _) in sight.disputes.iter().filter(|(_, state)| is_open(state)) {
            if self.under_way.contains_key(address) {
                continue;
            }
            let answer = Answer {
                part: Part::Roots,
                at: out.now + out.between(200, 2_500),
                flights: Vec::new(),
            };
            self.under_way.insert(*address, answer);
        }
    }

    fn go_on(&mut self, address: Pubkey, out: &mut Outside) -> Result<(), Killed> {
        let Some(answer) = self.under_way.get_mut(&address) else {
            return Ok(());
        };
        answer
            .flights
            .retain(|flight| out.result(*flight).is_none());
        if out.now < answer.at || !answer.flights.is_empty() {
            return Ok(());
        }
        let read = out.sight(Commitment::Processed, 0);
        let read = read.filter(|_| !out.is_empty());
        let state = read.and_then(|(_, sight)| sight.disputes.get(&address).copied());
        let Some(state) = state.filter(is_open) else {
            self.under_way.remove(&address);
            return Ok(());
        };
        out.comes_to(ANSWER, Phase::Begins)?;
        let (calls, next) = match (answer.part, is_shown(&state)) {
            (Part::Over, _) | (Part::Verdict, false) => {
                self.under_way.remove(&address);
                return Ok(());
            }
            (_, true) => (vec![ix::resolve_lease_dispute(address, &state)], Part::Over),
            (Part::Roots, false) => {
                let proof = Shape::of_dispute(&state).compute();
                (dispute::roots(&address, &state, &proof), Part::Elements)
            }
            (Part::Elements, false) => {
                let proof = Shape::of_dispute(&state).compute();
                (dispute::elements(&address, &state, &proof), Part::Verdict)
            }
        };
        answer.flights = calls.into_iter().map(|call| out.send(call)).collect();
        answer.part = next;
        out.comes_to(ANSWER, Phase::Sent)
    }
}

/// Whether everything that is named is shown.
fn is_shown(state: &LeaseDispute) -> bool {
    state.opened == state.all()
}
