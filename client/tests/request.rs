//! The half-signed request: what is built is taken apart again, and nothing else passes.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytemuck::Zeroable;
use mythic_client::{
    ix::{self, Requester},
    pda,
    request::{self, CoSigner, HalfSigned, MAX_TRANSACTION, RequestError},
    sign_partly,
};
use mythic_interface::{ix::RequestInference, window};
use solana_compute_budget_interface::ComputeBudgetInstruction as Budget;
use solana_instruction::{AccountMeta, Instruction};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

struct Scene {
    payer: Keypair,
    requester: Keypair,
    operator: Keypair,
    who: Requester,
    args: RequestInference,
}

fn k(n: u8) -> Pubkey {
    Pubkey::new_from_array([n; 32])
}

/// A delegate's request of validator 5, paid by somebody else.
fn scene() -> Scene {
    let (payer, requester, operator) = (Keypair::new(), Keypair::new(), Keypair::new());
    let who = Requester {
        payer: payer.pubkey(),
        requester: requester.pubkey(),
        owner: k(3),
        model: k(4),
        validator: Some((k(5), operator.pubkey())),
    };
    let args = RequestInference {
        nonce: window::nonce(9, [1; 8]),
        ..RequestInference::zeroed()
    };
    Scene {
        payer,
        requester,
        operator,
        who,
        args,
    }
}

impl Scene {
    fn request(&self) -> Instruction {
        ix::request_inference(&self.who, &self.args)
    }

    fn parse(&self, calls: &[Instruction]) -> Result<HalfSigned, RequestError> {
        let asked = |key: &Pubkey| {
            let mut accounts = calls.iter().flat_map(|call| &call.accounts);
            accounts.any(|account| account.is_signer && account.pubkey == *key)
        };
        let mut keys = vec![&self.payer];
        keys.extend(
            [&self.requester]
                .into_iter()
                .filter(|key| asked(&key.pubkey())),
        );
        let transaction = sign_partly(calls, &self.payer.pubkey(), &keys, Default::default());
        HalfSigned::parse(&request::encode(&transaction.unwrap()).unwrap())
    }
}

#[test]
fn what_is_built_is_taken_apart_again() {
    let scene = scene();
    let keys = [&scene.payer, &scene.requester];
    let built = request::build(&scene.who, &scene.args, keys, Default::default()).unwrap();
    let parsed = HalfSigned::parse(&request::encode(&built).unwrap()).unwrap();
    let mut expected = scene.args;
    expected.bump = parsed.args.bump;
    assert_eq!(parsed.args, expected, "the builder finds the bump");
    assert_eq!(parsed.payer, scene.payer.pubkey());
    assert_eq!(parsed.requester, scene.requester.pubkey());
    assert_eq!(parsed.model, k(4));
    assert_eq!(parsed.vault, pda::vault(k(3)));
    assert_eq!(
        parsed.grant,
        Some(pda::grant(k(3), scene.requester.pubkey()))
    );
    assert_eq!(parsed.job, pda::job(k(3), &scene.args.nonce));
    assert!(parsed.is_of(&k(3)) && !parsed.is_of(&k(4)));
    let (account, operator) = (pda::validator(k(5)), scene.operator.pubkey());
    assert!(matches!(
        parsed.validator,
        Some(CoSigner { account: a, operator: o, .. }) if (a, o) == (account, operator)
    ));
    let index = parsed.validator.unwrap().index;
    assert_eq!(parsed.signers().get(index), Some(&operator));
}

#[test]
fn an_open_request_of_an_owner_that_pays_itself_names_nobody_else() {
    let mut scene = scene();
    scene.who.owner = scene.payer.pubkey();
    scene.who.requester = scene.payer.pubkey();
    scene.who.validator = None;
    let keys = [&scene.payer, &scene.payer];
    let built = request::build(&scene.who, &scene.args, keys, Default::default()).unwrap();
    let parsed = HalfSigned::parse(&request::encode(&built).unwrap()).unwrap();
    assert_eq!((parsed.grant, parsed.validator), (None, None));
    assert_eq!(parsed.signers(), [scene.payer.pubkey()]);
}

#[test]
fn limit_and_price_of_compute_units_may_stand_beside_it_and_nothing_else() {
    let scene = scene();
    let request = scene.request();
    let (limit, price) = (
        Budget::set_compute_unit_limit(100_000),
        Budget::set_compute_unit_price(5),
    );
    assert!(scene.parse(&[limit, price, request.clone()]).is_ok());
    let refused = |calls: &[Instruction]| scene.parse(calls).unwrap_err();
    let heap = Budget::request_heap_frame(32 << 10);
    assert_eq!(refused(&[request.clone(), heap]), RequestError::Budget);
    let foreign = Instruction {
        program_id: k(8),
        accounts: vec![],
        data: vec![],
    };
    assert_eq!(
        refused(&[request.clone(), foreign]),
        RequestError::ForeignInstruction(k(8))
    );
    let twice = [request.clone(), request];
    assert_eq!(refused(&twice), RequestError::Count(2));
    assert_eq!(
        refused(&[Budget::set_compute_unit_price(5)]),
        RequestError::Count(0)
    );
    assert_eq!(
        refused(&[ix::sweep(k(5))]),
        RequestError::OtherInstruction("Sweep")
    );
}

#[test]
fn the_operators_signature_does_nothing_but_accept() {
    let scene = scene();
    let refused = |call: Instruction| scene.parse(&[call]).unwrap_err();
    let mut writable = scene.request();
    writable.accounts[8].is_writable = true;
    assert!(matches!(refused(writable), RequestError::Operator(_)));
    let mut twice = scene.request();
    twice.accounts[1] = AccountMeta::new_readonly(scene.operator.pubkey(), true);
    assert!(matches!(refused(twice), RequestError::Operator(_)));
    let mut unsigned = scene.request();
    unsigned.accounts[8].is_signer = false;
    assert!(matches!(refused(unsigned), RequestError::Operator(_)));
    let mut alone = scene.request();
    alone.accounts[7] = AccountMeta::new_readonly(pda::PROGRAM_ID, false);
    assert_eq!(refused(alone), RequestError::HalfValidator);
    let mut more = scene.request();
    more.accounts.push(AccountMeta::new_readonly(k(9), false));
    assert_eq!(refused(more), RequestError::Accounts);
    let mut config = scene.request();
    config.accounts[2].pubkey = k(9);
    assert!(matches!(
        refused(config),
        RequestError::Account { name: "config", .. }
    ));
}

#[test]
fn everybody_else_must_have_signed() {
    let scene = scene();
    let payer = scene.payer.pubkey();
    let partly = sign_partly(
        &[scene.request()],
        &payer,
        &[&scene.payer],
        Default::default(),
    );
    let text = request::encode(&partly.unwrap()).unwrap();
    assert_eq!(
        HalfSigned::parse(&text).unwrap_err(),
        RequestError::Signature(scene.requester.pubkey())
    );
}

#[test]
fn garbage_is_refused_at_any_cut_and_length() {
    let scene = scene();
    let keys = [&scene.payer, &scene.requester];
    let built = request::build(&scene.who, &scene.args, keys, Default::default()).unwrap();
    let bytes = STANDARD.decode(request::encode(&built).unwrap()).unwrap();
    for cut in 0..bytes.len() {
        assert!(HalfSigned::parse(&STANDARD.encode(&bytes[..cut])).is_err());
    }
    let parse = |bytes: &[u8]| HalfSigned::parse(&STANDARD.encode(bytes)).unwrap_err();
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(parse(&longer), RequestError::NotATransaction);
    assert_eq!(parse(&[0; MAX_TRANSACTION + 1]), RequestError::TooLong);
    assert_eq!(
        HalfSigned::parse("%%%").unwrap_err(),
        RequestError::NotBase64
    );
    let long = "A".repeat(1 << 20);
    assert_eq!(HalfSigned::parse(&long).unwrap_err(), RequestError::TooLong);
}
