//! What a case asks to be shown, and the longest vote, fit a transaction of the chain.

use bytemuck::Zeroable;
use mythic_client::ix;
use mythic_interface::{
    leaf::Leaf, merkle::path_len, output::OUTPUT_CHUNK, params::MAX_OUTPUT_TOKENS, state,
};
use solana_compute_budget_interface::ComputeBudgetInstruction as Budget;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

fn k(n: u8) -> Pubkey {
    Pubkey::new_from_array([n; 32])
}

/// Bytes of a transaction of these calls with one signature.
fn size(calls: &[Instruction]) -> usize {
    let message = solana_message::Message::new(calls, Some(&k(1)));
    assert_eq!(message.header.num_required_signatures, 1);
    1 + 64 + bincode::serialize(&message).unwrap().len()
}

#[test]
fn whatever_a_case_asks_to_be_shown_fits_a_transaction() {
    let result = ix::NamedResult::of(k(2), &state::Job::zeroed());
    let (limit, price) = (
        Budget::set_compute_unit_limit(200_000),
        Budget::set_compute_unit_price(1_000),
    );
    for tokens in [1, 16, 512, 2_048, 2_049, 8_192, 40_000, MAX_OUTPUT_TOKENS] {
        let path = vec![[0; 32]; path_len(0, tokens)];
        let mut leaf = Leaf::decode(&[0; Leaf::LEN]);
        leaf.position = tokens - 1;
        let leaves = vec![(leaf, path); ix::leaves_in_one_call(tokens)];
        let page = ix::page_of(leaf.position);
        let openings = ix::post_openings(&result, k(3), page, &ix::leaves_tail(&leaves));
        let bytes = size(&[limit.clone(), price.clone(), openings]);
        assert!(
            bytes <= 1_232,
            "{bytes} bytes for leaves of {tokens} tokens"
        );

        let chunks = mythic_interface::output::chunks(tokens);
        let path = vec![[0; 32]; path_len(0, chunks)];
        let tail = ix::chunk_tail(&[0; OUTPUT_CHUNK], &path);
        let output = ix::post_output(&result, k(1), k(3), chunks - 1, &tail);
        let bytes = size(&[limit.clone(), price.clone(), output]);
        assert!(
            bytes <= 1_232,
            "{bytes} bytes for a chunk of {tokens} tokens"
        );
    }
}

#[test]
fn the_longest_vote_fits_a_transaction() {
    let mut case = state::Case::zeroed();
    (case.exact, case.sampled) = (1, 16);
    case.claim_count = state::MAX_CLAIMS as u8;
    for claim in &mut case.claims[1..] {
        claim.named = 1;
    }
    assert_eq!(case.vote_len(), state::VOTE_LEN);
    let juror = ix::Juror {
        operator: k(1),
        authority: k(2),
        case: k(3),
        served: None,
    };
    let reveal = ix::reveal_juror(&juror, &case, [0; 32], &[0; state::VOTE_LEN]);
    let limit = Budget::set_compute_unit_limit(200_000);
    let price = Budget::set_compute_unit_price(1_000);
    let bytes = size(&[limit, price, reveal]);
    assert!(bytes <= 1_232, "{bytes} bytes");
}
