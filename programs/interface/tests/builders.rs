//! Every instruction has a builder, and what it builds is what the instruction's own list says.

use bytemuck::Zeroable;
use mythic_interface::{
    address::{self, PROGRAM_ID},
    ix::{self, *},
    leaf::Leaf,
    params::Params,
    state,
};
use solana_instruction::{AccountMeta, Instruction as Call};
use solana_pubkey::Pubkey;

fn k(n: u8) -> Pubkey {
    Pubkey::new_from_array([n; 32])
}

const STATEMENT: Statement = Statement {
    kind: state::ClaimKind::False,
    bond: 1,
    positions: &[1, 2],
    served: Some(Pubkey::new_from_array([4; 32])),
};

#[test]
fn every_instruction_has_a_builder_that_follows_its_list() {
    let (job, case) = (state::Job::zeroed(), state::Case::zeroed());
    let result = NamedResult::of(k(1), &job);
    let claimant = Claimant {
        payer: k(1),
        operator: k(2),
        authority: k(3),
    };
    let proof = Proof {
        leaf: Leaf::decode(&[0; Leaf::LEN]),
        path: &[],
        page: Some(k(9)),
    };
    let juror = Juror {
        operator: k(1),
        authority: k(2),
        case: k(3),
        served: Some(k(4)),
    };
    let who = Requester {
        payer: k(1),
        requester: k(2),
        owner: k(2),
        model: k(3),
        validator: Some((k(4), k(5))),
    };
    let built = [
        initialize(k(1), k(2), k(3), k(4), &Params::dev()),
        update_config(k(1), k(2), &Params::dev()),
        propose_admin(k(1), k(2)),
        accept_admin(k(1)),
        pause(k(1)),
        unpause(k(1)),
        sweep(k(1)),
        withdraw_foundation(k(1)),
        register_model(k(1), k(2), &ix::RegisterModel::zeroed()),
        update_model(k(1), k(2), &ix::UpdateModel::zeroed()),
        propose_registrant(k(1), k(2), k(3)),
        accept_registrant(k(1), k(2)),
        register_validator(k(1), k(2), &ix::RegisterValidator::zeroed(), &[k(9)]),
        update_validator(k(1), k(2), &ix::UpdateValidator::zeroed(), &[k(9)]),
        add_stake(k(1), k(2), k(3), 1),
        request_unstake(k(1), k(2), 1),
        withdraw_stake(k(1), k(2)),
        withdraw_claimable(k(1), k(2), k(3)),
        unjail(k(1), k(2)),
        close_validator(k(1), k(2), k(3)),
        propose_owner(k(1), k(2), k(3)),
        accept_owner(k(1), k(2)),
        deposit_vault(k(1), k(2), 1),
        withdraw_vault(k(1), 1),
        close_vault(k(1), k(2)),
        grant_spend(k(1), k(2), k(3), &ix::GrantSpend::zeroed()),
        revoke_grant(k(1), k(2)),
        close_grant(k(1), k(2), k(3)),
        request_inference(&who, &ix::RequestInference::zeroed()),
        accept_inference(k(1), k(2), k(3), [0; 32]),
        decline_job(k(1), k(2), k(3), &job),
        cancel_job(k(1), k(2), &job),
        expire_job(k(1), &job),
        submit_result(k(1), k(2), k(3), &ix::SubmitResult::zeroed()),
        claim_inference_fee(k(1), &job),
        close_job(k(1), &job),
        verify_logits(&claimant, k(1), &job, &STATEMENT),
        post_output(&result, k(1), k(2), 16, &[]),
        post_openings(&result, k(1), 1, &[]),
        commit_juror(&juror, &case, [0; 32]),
        reveal_juror(&juror, &case, [0; 32], &[]),
        prove_fault(&claimant, k(1), &job, &proof),
        resolve_case(k(1), &case, &job),
        collect_case(k(1), k(2), true),
        close_case(k(1), &case, Some(&state::Votes::zeroed())),
        close_output(k(1), &state::Output::zeroed()),
    ];
    let listed = ix::ALL.iter().map(|tag| (tag.name(), tag.spec()));
    follow(&built, PROGRAM_ID, listed.collect());
}

/// Compares what was built with the lists of a program's instructions.
fn follow(built: &[Call], program: Pubkey, listed: Vec<(&str, &InstructionSpec)>) {
    assert_eq!(built.len(), listed.len());
    for (instruction, (name, spec)) in built.iter().zip(listed) {
        assert_eq!(instruction.program_id, program, "{name}");
        assert_eq!(instruction.data[0], spec.number, "{name}");
        assert_eq!(instruction.data.len(), spec.data_len, "{name}");
        let trailing = usize::from(spec.trailing.is_some());
        assert_eq!(
            instruction.accounts.len(),
            spec.accounts.len() + trailing,
            "{name}"
        );
        for (meta, spec) in instruction.accounts.iter().zip(spec.accounts) {
            if !(spec.optional && meta.pubkey == program) {
                assert_eq!(
                    (meta.is_signer, meta.is_writable),
                    (spec.signer, spec.writable),
                    "{}",
                    spec.name
                );
            }
        }
    }
}

#[test]
fn every_instruction_of_the_market_has_a_builder_that_follows_its_list() {
    use mythic_interface::market::{address, ix, params::MarketParams, state};
    let (request, lease) = (state::Request::zeroed(), state::Lease::zeroed());
    let (epoch, dispute) = (state::LeaseEpoch::default(), state::LeaseDispute::zeroed());
    let reason = state::CloseReason::ClosedByProvider;
    let mut built = vec![
        ix::initialize(k(1), k(2), &ix::Initialize::zeroed()),
        ix::update_config(k(1), k(2), &MarketParams::dev()),
        ix::propose_admin(k(1), k(2)),
        ix::accept_admin(k(1)),
        ix::pause(k(1)),
        ix::unpause(k(1)),
        ix::sweep(k(1)),
        ix::withdraw_foundation(k(1)),
        ix::register_class(k(1), k(2), &ix::RegisterClass::zeroed()),
        ix::retire_class(k(1), k(2)),
        ix::register_provider(k(1), k(2), k(3), &ix::RegisterProvider::zeroed()),
        ix::update_provider(k(1), &ix::UpdateProvider::zeroed()),
        ix::add_stake(k(1), k(2), 1),
        ix::request_unstake(k(1), 1),
        ix::withdraw_stake(k(1)),
        ix::withdraw_claimable(k(1), k(2)),
        ix::unjail(k(1), k(2)),
        ix::close_provider(k(1), k(2)),
        ix::request_compute(k(1), k(2), k(3), &ix::RequestCompute::zeroed()),
        ix::cancel_request(k(1), k(2)),
        ix::expire_request(k(1), &request),
        ix::close_request(k(1), &request),
        ix::accept_job(k(1), k(2), k(3), &request),
        ix::start_lease(k(1), k(2), &lease, [1; 32]),
        ix::acknowledge_start(k(1), &lease),
        ix::submit_proof(k(1), k(2), k(3), &ix::SubmitProof::zeroed()),
        ix::verify_and_release(k(1), &lease),
        ix::top_up(k(1), k(2), &lease, 1),
        ix::close_lease(k(1), k(2), &lease, reason, true),
        ix::withdraw_lease(k(1), &lease),
        ix::close_lease_account(k(1), &lease),
        ix::refute_lease(k(1), k(2), (k(3), &lease), &epoch, &[], 1),
        ix::open_root(k(1), (0, 0), &[0; 32], &[]),
        ix::resolve_lease_dispute(k(1), &dispute),
        ix::close_lease_dispute(k(1), &dispute),
    ];
    // What is shown stands behind the arguments.
    let root = built.iter_mut().find(|call| call.data.len() == 1 + 6 + 32);
    root.expect("OpenProof").data.truncate(1 + 6);
    let listed = ix::ALL.iter().map(|tag| (tag.name(), tag.spec()));
    follow(&built, address::PROGRAM_ID, listed.collect());
    // The tenant's word has no account of its own.
    let word = ix::unserved_lease(k(1), (k(3), &lease), &epoch);
    assert_eq!(
        word.accounts[4],
        AccountMeta::new_readonly(address::PROGRAM_ID, false)
    );
    // Elements beyond the eighth have no room.
    let many = [state::NamedElement::default(); 9];
    let named = ix::refute_lease(k(1), k(2), (k(3), &lease), &epoch, &many, 1);
    assert_eq!(named.data.len(), ix::Tag::DisputeLease.spec().data_len);
}

#[test]
fn an_absent_optional_account_is_the_program_read_only() {
    let who = Requester {
        payer: k(1),
        requester: k(2),
        owner: k(2),
        model: k(3),
        validator: None,
    };
    let instruction = request_inference(&who, &ix::RequestInference::zeroed());
    for at in [5, 7, 8] {
        assert_eq!(
            instruction.accounts[at],
            AccountMeta::new_readonly(PROGRAM_ID, false)
        );
    }
    let alone = close_old_grant(k(1), k(2));
    assert_eq!(
        alone.accounts[0],
        AccountMeta::new_readonly(PROGRAM_ID, false)
    );
    let delegate = Requester {
        requester: k(9),
        ..who
    };
    assert_eq!(
        request_inference(&delegate, &ix::RequestInference::zeroed()).accounts[5],
        AccountMeta::new(address::grant(k(2), k(9)), false)
    );
}
