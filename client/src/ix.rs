//! One builder for each instruction of the program. Arguments and account lists come from
//! `mythic_interface::instruction`; addresses that follow from others are derived here.
//!
//! `validator` and `authority` are always a validator's authority, never the address of its account.

use mythic_interface::{
    SYSTEM_PROGRAM,
    hash::{Leaf, OUTPUT_CHUNK},
    instruction::{self as wire, Instruction as Args},
    le::{U32, U64},
    params::Params,
    state::OUTPUT_PAGE_TOKENS,
};
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;

use crate::pda::{self, INCINERATOR, PROGRAM_ID};

const SYSTEM: Pubkey = Pubkey::new_from_array(SYSTEM_PROGRAM);

/// Builds an instruction from its arguments and its accounts in order; `None` for an optional one that is absent.
/// Accounts beyond the list are the trailing ones, read-only. Accounts that are missing make the program refuse it.
pub fn build<I: Args>(args: &I, accounts: &[Option<Pubkey>], trailing: &[Pubkey]) -> Instruction {
    debug_assert_eq!(accounts.len(), I::ACCOUNTS.len(), "{}", I::TAG.name());
    let listed = I::ACCOUNTS
        .iter()
        .zip(accounts)
        .map(|(spec, key)| match key {
            Some(key) => AccountMeta {
                pubkey: *key,
                is_signer: spec.signer,
                is_writable: spec.writable,
            },
            None => AccountMeta::new_readonly(PROGRAM_ID, false),
        });
    let rest = trailing
        .iter()
        .map(|key| AccountMeta::new_readonly(*key, false));
    Instruction {
        program_id: PROGRAM_ID,
        accounts: listed.chain(rest).collect(),
        data: args.encode(),
    }
}

fn fixed<I: Args>(args: &I, accounts: &[Pubkey]) -> Instruction {
    let accounts: Vec<_> = accounts.iter().copied().map(Some).collect();
    build(args, &accounts, &[])
}

fn with_tail<I: Args>(args: &I, tail: &[u8], accounts: &[Option<Pubkey>]) -> Instruction {
    let mut instruction = build(args, accounts, &[]);
    instruction.data = args.encode_with_tail(tail);
    instruction
}

fn key(bytes: &[u8; 32]) -> Pubkey {
    Pubkey::new_from_array(*bytes)
}

/// Creates Config and Treasury. Signed by `payer` and the program's upgrade authority.
pub fn initialize(
    payer: &Pubkey,
    upgrade_authority: &Pubkey,
    admin: &Pubkey,
    foundation: &Pubkey,
    params: &Params,
) -> Instruction {
    fixed(
        &wire::Initialize {
            admin: admin.to_bytes(),
            foundation: foundation.to_bytes(),
            params: *params,
        },
        &[
            *payer,
            *upgrade_authority,
            pda::program_data(&PROGRAM_ID),
            pda::config(),
            pda::treasury(),
            SYSTEM,
        ],
    )
}

/// Replaces all parameters and the foundation's address.
pub fn update_config(admin: &Pubkey, foundation: &Pubkey, params: &Params) -> Instruction {
    fixed(
        &wire::UpdateConfig {
            foundation: foundation.to_bytes(),
            params: *params,
        },
        &[*admin, pda::config()],
    )
}

/// Proposes another admin.
pub fn propose_admin(admin: &Pubkey, new_admin: &Pubkey) -> Instruction {
    fixed(
        &wire::ProposeAdmin {
            new_admin: new_admin.to_bytes(),
        },
        &[*admin, pda::config()],
    )
}

/// Takes over as admin.
pub fn accept_admin(new_admin: &Pubkey) -> Instruction {
    fixed(&wire::AcceptAdmin {}, &[*new_admin, pda::config()])
}

/// Stops new jobs.
pub fn pause(admin: &Pubkey) -> Instruction {
    fixed(&wire::Pause {}, &[*admin, pda::config()])
}

/// Takes new jobs again.
pub fn unpause(admin: &Pubkey) -> Instruction {
    fixed(&wire::Unpause {}, &[*admin, pda::config()])
}

/// Moves what a validator owes to foundation and burn.
pub fn sweep(validator: &Pubkey) -> Instruction {
    fixed(
        &wire::Sweep {},
        &[pda::validator(validator), pda::treasury(), INCINERATOR],
    )
}

/// Pays the treasury to the foundation's address, as Config has it.
pub fn withdraw_foundation(foundation: &Pubkey) -> Instruction {
    fixed(
        &wire::WithdrawFoundation {},
        &[pda::config(), pda::treasury(), *foundation],
    )
}

/// Registers a model.
pub fn register_model(
    payer: &Pubkey,
    registrant: &Pubkey,
    args: &wire::RegisterModel,
) -> Instruction {
    let model = pda::model(&args.spec.identity());
    fixed(
        args,
        &[
            *payer,
            *registrant,
            pda::config(),
            model,
            INCINERATOR,
            SYSTEM,
        ],
    )
}

/// Changes a model's prices, name or retirement; `model` is its account.
pub fn update_model(registrant: &Pubkey, model: &Pubkey, args: &wire::UpdateModel) -> Instruction {
    fixed(args, &[*registrant, *model])
}

/// Registers a validator for the accounts of the models it serves.
pub fn register_validator(
    payer: &Pubkey,
    authority: &Pubkey,
    args: &wire::RegisterValidator,
    models: &[Pubkey],
) -> Instruction {
    let accounts = [
        *payer,
        *authority,
        pda::config(),
        pda::validator(authority),
        SYSTEM,
    ]
    .map(Some);
    build(args, &accounts, models)
}

/// Replaces a validator's settings and the models it serves.
pub fn update_validator(
    authority: &Pubkey,
    args: &wire::UpdateValidator,
    models: &[Pubkey],
) -> Instruction {
    build(
        args,
        &[Some(*authority), Some(pda::validator(authority))],
        models,
    )
}

/// Adds stake.
pub fn add_stake(payer: &Pubkey, authority: &Pubkey, lamports: u64) -> Instruction {
    fixed(
        &wire::AddStake {
            amount: U64::new(lamports),
        },
        &[
            *payer,
            *authority,
            pda::config(),
            pda::validator(authority),
            SYSTEM,
        ],
    )
}

/// Begins to unbond stake.
pub fn request_unstake(authority: &Pubkey, lamports: u64) -> Instruction {
    fixed(
        &wire::RequestUnstake {
            amount: U64::new(lamports),
        },
        &[*authority, pda::config(), pda::validator(authority)],
    )
}

/// Pays out unbonded stake.
pub fn withdraw_stake(authority: &Pubkey) -> Instruction {
    fixed(
        &wire::WithdrawStake {},
        &[*authority, pda::validator(authority)],
    )
}

/// Pays a validator's earnings to its authority. `signer` is authority or operator.
pub fn withdraw_claimable(signer: &Pubkey, authority: &Pubkey) -> Instruction {
    fixed(
        &wire::WithdrawClaimable {},
        &[*signer, pda::validator(authority), *authority],
    )
}

/// Ends a jail time that is over. `signer` is authority or operator.
pub fn unjail(signer: &Pubkey, authority: &Pubkey) -> Instruction {
    fixed(
        &wire::Unjail {},
        &[*signer, pda::config(), pda::validator(authority)],
    )
}

/// Closes an empty validator.
pub fn close_validator(authority: &Pubkey, rent_payer: &Pubkey) -> Instruction {
    fixed(
        &wire::CloseValidator {},
        &[*authority, pda::validator(authority), *rent_payer],
    )
}

/// Pays into a vault, making it if need be.
pub fn deposit_vault(payer: &Pubkey, owner: &Pubkey, lamports: u64) -> Instruction {
    fixed(
        &wire::DepositVault {
            amount: U64::new(lamports),
        },
        &[*payer, *owner, pda::vault(owner), SYSTEM],
    )
}

/// Pays out of a vault to its owner.
pub fn withdraw_vault(owner: &Pubkey, lamports: u64) -> Instruction {
    fixed(
        &wire::WithdrawVault {
            amount: U64::new(lamports),
        },
        &[*owner, pda::vault(owner)],
    )
}

/// Closes a vault that holds nothing for open jobs.
pub fn close_vault(owner: &Pubkey, rent_payer: &Pubkey) -> Instruction {
    fixed(
        &wire::CloseVault {},
        &[*owner, pda::vault(owner), *rent_payer],
    )
}

/// Lets a delegate spend from the owner's vault within limits.
pub fn grant_spend(
    payer: &Pubkey,
    owner: &Pubkey,
    delegate: &Pubkey,
    args: &wire::GrantSpend,
) -> Instruction {
    fixed(
        args,
        &[
            *payer,
            *owner,
            *delegate,
            pda::grant(owner, delegate),
            SYSTEM,
        ],
    )
}

/// Revokes a grant.
pub fn revoke_grant(owner: &Pubkey, delegate: &Pubkey) -> Instruction {
    fixed(
        &wire::RevokeGrant {},
        &[*owner, pda::grant(owner, delegate)],
    )
}

/// Closes a grant that is over.
pub fn close_grant(owner: &Pubkey, delegate: &Pubkey, rent_payer: &Pubkey) -> Instruction {
    fixed(
        &wire::CloseGrant {},
        &[pda::grant(owner, delegate), *rent_payer],
    )
}

/// Who takes part in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requester {
    /// Pays fee and rent; gets the rent back.
    pub payer: Pubkey,
    /// Signs: the owner, or a delegate with a grant.
    pub requester: Pubkey,
    /// Whose vault pays.
    pub owner: Pubkey,
    /// Account of the model.
    pub model: Pubkey,
    /// Authority and operator of the validator that co-signs; `None` for an open job.
    pub validator: Option<(Pubkey, Pubkey)>,
}

impl Requester {
    /// The grant's account, when a delegate requests.
    pub fn grant(&self) -> Option<Pubkey> {
        (self.requester != self.owner).then(|| pda::grant(&self.owner, &self.requester))
    }
}

/// Requests a job; its account is `pda::job(owner, nonce)`.
pub fn request_inference(who: &Requester, args: &wire::RequestInference) -> Instruction {
    build(
        args,
        &[
            Some(who.payer),
            Some(who.requester),
            Some(pda::config()),
            Some(who.model),
            Some(pda::vault(&who.owner)),
            who.grant(),
            Some(pda::job(&who.owner, &args.nonce)),
            who.validator
                .map(|(authority, _)| pda::validator(&authority)),
            who.validator.map(|(_, operator)| operator),
            Some(SYSTEM),
        ],
        &[],
    )
}

/// Takes an open job under the terms named.
pub fn accept_inference(
    operator: &Pubkey,
    validator: &Pubkey,
    job: &Pubkey,
    terms_hash: [u8; 32],
) -> Instruction {
    fixed(
        &wire::AcceptInference { terms_hash },
        &[*operator, pda::validator(validator), *job],
    )
}

/// The accounts of a job's money: its vault, and its grant if it has one.
fn purse(job: &mythic_interface::state::Job) -> (Pubkey, Option<Pubkey>) {
    let grant = (job.grant != mythic_interface::state::NO_KEY).then(|| key(&job.grant));
    (pda::vault(&key(&job.terms.owner)), grant)
}

/// Gives an accepted job up; `state` is the job as read.
pub fn decline_job(
    operator: &Pubkey,
    validator: &Pubkey,
    job: &Pubkey,
    state: &mythic_interface::state::Job,
) -> Instruction {
    let (vault, grant) = purse(state);
    build(
        &wire::DeclineJob {},
        &[
            Some(*operator),
            Some(pda::validator(validator)),
            Some(*job),
            Some(vault),
            grant,
        ],
        &[],
    )
}

/// Cancels a job; `canceller` is its owner, requester or canceller.
pub fn cancel_job(
    canceller: &Pubkey,
    job: &Pubkey,
    state: &mythic_interface::state::Job,
) -> Instruction {
    let (vault, grant) = purse(state);
    build(
        &wire::CancelJob {},
        &[Some(*canceller), Some(*job), Some(vault), grant],
        &[],
    )
}

/// Refunds a job that has no result in time.
pub fn expire_job(job: &Pubkey, state: &mythic_interface::state::Job) -> Instruction {
    let (vault, grant) = purse(state);
    let validator = (state.validator != mythic_interface::state::NO_KEY)
        .then(|| pda::validator(&key(&state.validator)));
    build(
        &wire::ExpireJob {},
        &[Some(*job), Some(vault), validator, grant],
        &[],
    )
}

/// Commits to a result.
pub fn submit_result(
    operator: &Pubkey,
    validator: &Pubkey,
    job: &Pubkey,
    args: &wire::SubmitResult,
) -> Instruction {
    fixed(args, &[*operator, pda::validator(validator), *job])
}

/// Settles an unchallenged result after its window.
pub fn claim_inference_fee(job: &Pubkey, state: &mythic_interface::state::Job) -> Instruction {
    let (vault, grant) = purse(state);
    build(
        &wire::ClaimInferenceFee {},
        &[
            Some(*job),
            Some(pda::validator(&key(&state.validator))),
            Some(vault),
            grant,
        ],
        &[],
    )
}

/// Closes a job that ended long enough ago.
pub fn close_job(job: &Pubkey, state: &mythic_interface::state::Job) -> Instruction {
    fixed(&wire::CloseJob {}, &[*job, key(&state.rent_payer)])
}

/// The result of a job, as the instructions of a dispute name it: on another fork they are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedResult {
    /// Address of the job.
    pub job: Pubkey,
    /// Slot of the result.
    pub submitted_slot: u64,
    /// Its fingerprint.
    pub fingerprint: [u8; 32],
}

impl NamedResult {
    /// The result of a job as read.
    pub fn of(job: &Pubkey, state: &mythic_interface::state::Job) -> Self {
        Self {
            job: *job,
            submitted_slot: state.submitted_slot.get(),
            fingerprint: state.fingerprint,
        }
    }
}

/// Who challenges a result or proves a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenger {
    /// Pays rent and bond; gets the rent back.
    pub payer: Pubkey,
    /// The validator's operator, which signs.
    pub operator: Pubkey,
    /// The validator's authority.
    pub authority: Pubkey,
}

/// Challenges a result; `state` is the job as read, `bond` the most that is paid, `positions` up to two that are
/// checked beside the sampled ones, ascending. The dispute is `pda::dispute(job, authority)`.
pub fn verify_logits(
    who: &Challenger,
    job: &Pubkey,
    state: &mythic_interface::state::Job,
    bond: u64,
    positions: &[u32],
) -> Instruction {
    let mut named = [U32::new(0); mythic_interface::state::NAMED_POSITIONS];
    for (place, position) in named.iter_mut().zip(positions) {
        place.set(*position);
    }
    fixed(
        &wire::VerifyLogits {
            submitted_slot: state.submitted_slot,
            fingerprint: state.fingerprint,
            bond: U64::new(bond),
            // More than there is room for is refused by the program.
            position_count: u8::try_from(positions.len()).unwrap_or(u8::MAX),
            positions: named,
        },
        &[
            who.payer,
            who.operator,
            pda::validator(&who.authority),
            *job,
            pda::validator(&key(&state.validator)),
            key(&state.terms.model),
            pda::dispute(job, &who.authority),
            SYSTEM,
        ],
    )
}

/// The page of output beside the first one, if a chunk or a position lies on another.
fn beside_first(job: &Pubkey, page: u32) -> Option<Pubkey> {
    (page > 0).then(|| pda::output(job, page))
}

/// Posts a chunk of output: its ids and its path in the output tree.
pub fn post_output(
    result: &NamedResult,
    payer: &Pubkey,
    dispute: &Pubkey,
    chunk: u32,
    ids: &[u32],
    path: &[[u8; 32]],
) -> Instruction {
    let mut tail: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    tail.extend(path.iter().flatten());
    let page = chunk / (OUTPUT_PAGE_TOKENS / OUTPUT_CHUNK) as u32;
    with_tail(
        &wire::PostOutput {
            submitted_slot: U64::new(result.submitted_slot),
            fingerprint: result.fingerprint,
            chunk: U32::new(chunk),
        },
        &tail,
        &[
            Some(*payer),
            Some(*dispute),
            Some(result.job),
            Some(pda::output(&result.job, 0)),
            beside_first(&result.job, page),
            Some(SYSTEM),
        ],
    )
}

/// Shows leaves, each with its path in the fingerprint's tree. They must lie on one page of output, see
/// [`leaves_in_one_call`] for how many fit.
pub fn post_openings(
    result: &NamedResult,
    dispute: &Pubkey,
    leaves: &[(Leaf, Vec<[u8; 32]>)],
) -> Instruction {
    let tail: Vec<u8> = leaves
        .iter()
        .flat_map(|(leaf, path)| {
            leaf.encode()
                .into_iter()
                .chain(path.iter().flatten().copied())
        })
        .collect();
    let page = leaves
        .first()
        .map_or(0, |(leaf, _)| leaf.position / OUTPUT_PAGE_TOKENS as u32);
    with_tail(
        &wire::PostOpenings {
            submitted_slot: U64::new(result.submitted_slot),
            fingerprint: result.fingerprint,
        },
        &tail,
        &[
            Some(*dispute),
            Some(result.job),
            Some(pda::output(&result.job, 0)),
            beside_first(&result.job, page),
        ],
    )
}

pub use mythic_interface::dispute::leaves_in_one_call;

/// Commits to a vector; `state` is the dispute as read.
pub fn commit_juror(
    operator: &Pubkey,
    authority: &Pubkey,
    dispute: &Pubkey,
    state: &mythic_interface::state::Dispute,
    commitment: [u8; 32],
) -> Instruction {
    fixed(
        &wire::CommitJuror {
            submitted_slot: state.submitted_slot,
            fingerprint: state.fingerprint,
            positions_hash: state.positions_hash(),
            commitment,
        },
        &[*operator, pda::validator(authority), *dispute],
    )
}

/// Shows the vector behind a commitment; `state` is the dispute as read.
pub fn reveal_juror(
    operator: &Pubkey,
    authority: &Pubkey,
    dispute: &Pubkey,
    state: &mythic_interface::state::Dispute,
    salt: [u8; 32],
    vector: &[u8],
) -> Instruction {
    with_tail(
        &wire::RevealJuror {
            submitted_slot: state.submitted_slot,
            fingerprint: state.fingerprint,
            salt,
        },
        vector,
        &[
            Some(*operator),
            Some(pda::validator(authority)),
            Some(*dispute),
        ],
    )
}

/// Proves with one leaf and its path that a result breaks the rules; `state` is the job as read, `page` the number of
/// the posted page of output that the leaf contradicts, if that is the fault.
pub fn prove_fault(
    who: &Challenger,
    job: &Pubkey,
    state: &mythic_interface::state::Job,
    leaf: &Leaf,
    path: &[[u8; 32]],
    page: Option<u32>,
) -> Instruction {
    let (vault, grant) = purse(state);
    with_tail(
        &wire::ProveFault {
            submitted_slot: state.submitted_slot,
            fingerprint: state.fingerprint,
            leaf: leaf.encode(),
        },
        path.as_flattened(),
        &[
            Some(who.payer),
            Some(who.operator),
            Some(pda::validator(&who.authority)),
            Some(*job),
            Some(pda::validator(&key(&state.validator))),
            Some(vault),
            grant,
            Some(key(&state.terms.model)),
            page.map(|page| pda::output(job, page)),
            Some(pda::fault(job)),
            Some(SYSTEM),
        ],
    )
}

/// Decides a dispute that is due; `state` is its job as read.
pub fn resolve_dispute(
    dispute: &Pubkey,
    job: &Pubkey,
    state: &mythic_interface::state::Job,
) -> Instruction {
    let (vault, grant) = purse(state);
    build(
        &wire::ResolveDispute {},
        &[
            Some(*dispute),
            Some(*job),
            Some(pda::validator(&key(&state.validator))),
            Some(vault),
            grant,
        ],
        &[],
    )
}

/// Moves what a resolved dispute owes a validator, and takes what it lost.
pub fn collect_dispute(dispute: &Pubkey, authority: &Pubkey) -> Instruction {
    fixed(
        &wire::CollectDispute {
            authority: authority.to_bytes(),
        },
        &[*dispute, pda::validator(authority), INCINERATOR],
    )
}

/// Closes a dispute that is over and owes nothing; `state` is the dispute as read.
pub fn close_dispute(dispute: &Pubkey, state: &mythic_interface::state::Dispute) -> Instruction {
    fixed(&wire::CloseDispute {}, &[*dispute, key(&state.rent_payer)])
}

/// Closes a page of output of a job that is over; `state` is the page as read.
pub fn close_output(page: &Pubkey, state: &mythic_interface::state::Output) -> Instruction {
    fixed(
        &wire::CloseOutput {},
        &[*page, key(&state.job), key(&state.rent_payer)],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_interface::{instruction::Tag, state};

    fn k(n: u8) -> Pubkey {
        Pubkey::new_from_array([n; 32])
    }

    #[test]
    fn every_instruction_has_a_builder_that_follows_its_list() {
        let (job, dispute) = (state::Job::zeroed(), state::Dispute::zeroed());
        let result = NamedResult::of(&k(1), &job);
        let challenger = Challenger {
            payer: k(1),
            operator: k(2),
            authority: k(3),
        };
        let leaf = Leaf::decode(&[0; Leaf::LEN]);
        let who = Requester {
            payer: k(1),
            requester: k(2),
            owner: k(2),
            model: k(3),
            validator: Some((k(4), k(5))),
        };
        let built = [
            initialize(&k(1), &k(2), &k(3), &k(4), &Params::dev()),
            update_config(&k(1), &k(2), &Params::dev()),
            propose_admin(&k(1), &k(2)),
            accept_admin(&k(1)),
            pause(&k(1)),
            unpause(&k(1)),
            sweep(&k(1)),
            withdraw_foundation(&k(1)),
            register_model(&k(1), &k(2), &wire::RegisterModel::zeroed()),
            update_model(&k(1), &k(2), &wire::UpdateModel::zeroed()),
            register_validator(&k(1), &k(2), &wire::RegisterValidator::zeroed(), &[]),
            update_validator(&k(1), &wire::UpdateValidator::zeroed(), &[]),
            add_stake(&k(1), &k(2), 1),
            request_unstake(&k(1), 1),
            withdraw_stake(&k(1)),
            withdraw_claimable(&k(1), &k(2)),
            unjail(&k(1), &k(2)),
            close_validator(&k(1), &k(2)),
            deposit_vault(&k(1), &k(2), 1),
            withdraw_vault(&k(1), 1),
            close_vault(&k(1), &k(2)),
            grant_spend(&k(1), &k(2), &k(3), &wire::GrantSpend::zeroed()),
            revoke_grant(&k(1), &k(2)),
            close_grant(&k(1), &k(2), &k(3)),
            request_inference(&who, &wire::RequestInference::zeroed()),
            accept_inference(&k(1), &k(2), &k(3), [0; 32]),
            decline_job(&k(1), &k(2), &k(3), &job),
            cancel_job(&k(1), &k(2), &job),
            expire_job(&k(1), &job),
            submit_result(&k(1), &k(2), &k(3), &wire::SubmitResult::zeroed()),
            claim_inference_fee(&k(1), &job),
            close_job(&k(1), &job),
            verify_logits(&challenger, &k(1), &job, 1, &[1, 2]),
            post_output(&result, &k(1), &k(2), 16, &[], &[]),
            post_openings(&result, &k(1), &[]),
            commit_juror(&k(1), &k(2), &k(3), &dispute, [0; 32]),
            reveal_juror(&k(1), &k(2), &k(3), &dispute, [0; 32], &[]),
            prove_fault(&challenger, &k(1), &job, &leaf, &[], Some(1)),
            resolve_dispute(&k(1), &k(2), &job),
            collect_dispute(&k(1), &k(2)),
            close_dispute(&k(1), &dispute),
            close_output(&k(1), &state::Output::zeroed()),
        ];
        assert_eq!(built.len(), wire::ALL.len());
        for (instruction, tag) in built.iter().zip(wire::ALL) {
            let spec = tag.spec();
            assert_eq!(Tag::from_u8(instruction.data[0]), Some(*tag));
            assert_eq!(instruction.data.len(), spec.data_len, "{}", tag.name());
            assert_eq!(
                instruction.accounts.len(),
                spec.accounts.len(),
                "{}",
                tag.name()
            );
            for (meta, spec) in instruction.accounts.iter().zip(spec.accounts) {
                if !(spec.optional && meta.pubkey == PROGRAM_ID) {
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
    fn an_absent_optional_account_is_the_program_read_only() {
        let who = Requester {
            payer: k(1),
            requester: k(2),
            owner: k(2),
            model: k(3),
            validator: None,
        };
        let instruction = request_inference(&who, &wire::RequestInference::zeroed());
        for at in [5, 7, 8] {
            assert_eq!(
                instruction.accounts[at],
                AccountMeta::new_readonly(PROGRAM_ID, false)
            );
        }
        let delegate = Requester {
            requester: k(9),
            ..who
        };
        assert_eq!(
            request_inference(&delegate, &wire::RequestInference::zeroed()).accounts[5],
            AccountMeta::new(pda::grant(&k(2), &k(9)), false)
        );
    }

    /// Bytes of a transaction of these calls with one signature.
    fn size(calls: &[Instruction]) -> usize {
        let message = solana_message::Message::new(calls, Some(&k(1)));
        assert_eq!(message.header.num_required_signatures, 1);
        1 + 64 + bincode::serialize(&message).unwrap().len()
    }

    #[test]
    fn whatever_a_dispute_asks_to_be_shown_fits_a_transaction() {
        use mythic_interface::{merkle::path_len, params::MAX_OUTPUT_TOKENS};
        use solana_compute_budget_interface::ComputeBudgetInstruction as Budget;
        let result = NamedResult::of(&k(2), &state::Job::zeroed());
        let (limit, price) = (
            Budget::set_compute_unit_limit(200_000),
            Budget::set_compute_unit_price(1_000),
        );
        for tokens in [1, 16, 512, 2_048, 2_049, 8_192, 40_000, MAX_OUTPUT_TOKENS] {
            let path = vec![[0; 32]; path_len(0, tokens)];
            let mut leaf = Leaf::decode(&[0; Leaf::LEN]);
            leaf.position = tokens - 1;
            let leaves = vec![(leaf, path); leaves_in_one_call(tokens)];
            let openings = post_openings(&result, &k(3), &leaves);
            let bytes = size(&[limit.clone(), price.clone(), openings]);
            assert!(
                bytes <= 1_232,
                "{bytes} bytes for leaves of {tokens} tokens"
            );

            let chunks = mythic_interface::dispute::chunks(tokens);
            let path = vec![[0; 32]; path_len(0, chunks)];
            let output = post_output(&result, &k(1), &k(3), chunks - 1, &[0; OUTPUT_CHUNK], &path);
            let bytes = size(&[limit.clone(), output]);
            assert!(
                bytes <= 1_232,
                "{bytes} bytes for a chunk of {tokens} tokens"
            );
        }
    }
}
