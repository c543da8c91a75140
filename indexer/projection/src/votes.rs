//! What the jury of a case revealed.

use mythic_interface::{
    dispute::SAMPLE,
    state::{Key, VOTE_DIGESTS, Vote, Votes},
};
use serde_json::{Value as Json, json};

use super::{Account, At, Projected, Reject, fields::amount};
use crate::entity::table;

table! {
    /// The votes of a case, by seats: null where nothing was revealed. The account does not say whether they are digests or
    /// values, so both readings are kept, without the zeroes behind them.
    Votes: VotesRow = "votes" ["pubkey"] {
        pubkey: Key,
        dispute_case: Key,
        rent_payer: Key,
        votes: Json,
        lamports: i64,
    }
}

impl Projected {
    pub(super) fn votes(
        &mut self,
        account: &Account,
        at: At,
        votes: &Votes,
        lamports: i64,
    ) -> Result<(), Reject> {
        let row = VotesRow {
            pubkey: account.pubkey,
            dispute_case: votes.case,
            rent_payer: votes.rent_payer,
            votes: votes.votes.iter().map(told).collect(),
            lamports,
        };
        let write_seq = amount("seq", votes.header.seq.get())?;
        self.row(account, at, write_seq, row);
        Ok(())
    }
}

/// Without what is zero at the end.
fn used<T: PartialEq + Default>(mut all: Vec<T>) -> Vec<T> {
    while all.last().is_some_and(|last| *last == T::default()) {
        all.pop();
    }
    all
}

fn told(vote: &Vote) -> Json {
    let digests = used((0..VOTE_DIGESTS).map(|place| vote.digest(place)).collect());
    if digests.is_empty() {
        return Json::Null;
    }
    let values = vote.values().iter().map(|v| v.map(|x| x.get()));
    // Values agree about the sample, however few they are.
    let known = digests.len().max(SAMPLE + 1);
    let agrees = vote.agrees.iter().take(known).map(|mask| mask.get());
    json!({
        "digests": digests.iter().map(hex::encode).collect::<Vec<_>>(),
        "values": used(values.collect::<Vec<[i32; 5]>>()),
        "agrees": agrees.collect::<Vec<u16>>(),
        "right": vote.right.get(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mythic_interface::{
        le::{U16, U32},
        state::VOTE_LEN,
    };

    #[test]
    fn values_of_one_position_agree_about_the_sample() {
        let mut vote = Vote {
            body: [0; VOTE_LEN],
            agrees: [U16::new(0); VOTE_DIGESTS],
            right: U32::new(0),
        };
        assert_eq!(told(&vote), Json::Null);
        // A calibrated vote about an answer of one token: five logits, 20 bytes.
        vote.body[..20].fill(1);
        vote.agrees[SAMPLE].set(6);
        assert_eq!(told(&vote)["agrees"], json!([0, 6]));
        assert_eq!(told(&vote)["values"].as_array().map(Vec::len), Some(1));
    }
}
