use mythic_interface::ix::{self, ALL, Instruction, RequestInference, SubmitResult};
use mythic_interface::le::Text;
use mythic_stream::proto::TransactionFailure;
use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

const PAYER: Key = [1; 32];
const JOB: Key = [2; 32];

fn transaction(calls: Vec<Call>, failure: Option<TransactionFailure>) -> TransactionUpdate {
    TransactionUpdate {
        index: 4,
        signature: vec![9; 64].into(),
        keys: [PAYER, JOB, AI_PRECOMPILES_ID].concat().into(),
        fee: 5_000,
        compute_units: Some(777),
        failure,
        calls,
        ..TransactionUpdate::default()
    }
}

fn call(instruction: u32, data: Vec<u8>, accounts: &[u16]) -> Call {
    Call {
        instruction,
        data: data.into(),
        accounts: accounts
            .iter()
            .flat_map(|place| place.to_le_bytes())
            .collect::<Vec<u8>>()
            .into(),
        program: 2,
        ..Call::default()
    }
}

fn body(updates: &[TransactionUpdate]) -> Vec<u8> {
    let mut body = Vec::new();
    for update in updates {
        transactions::push(&mut body, update);
    }
    body
}

#[test]
fn a_call_shows_its_name_its_job_and_its_arguments_with_their_units() {
    let request = RequestInference {
        nonce: [1; 16],
        canceller: PAYER,
        prompt_hash: [2; 32],
        prompt_tokens: 10.into(),
        max_output_tokens: 20.into(),
        price_in: 25_000.into(),
        price_out: 50_000.into(),
        user_seed: [3; 32],
        temperature_milli: 700.into(),
        sampling_profile: 1,
        options_hash: [0; 32],
        prompt_source: Text::new("http://gateway").unwrap(),
        deadline_slots: 300.into(),
        rules_hash: [4; 32],
        bump: 254,
    };
    // Its job is the seventh account.
    let places = [0, 0, 0, 0, 0, 2, 1, 0, 0, 0];
    let body = body(&[transaction(vec![call(1, request.encode(), &places)], None)]);
    let (rows, whole) = rows(&body);
    assert!(whole);
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((row.transaction, row.call, row.instruction), (4, 0, 1));
    assert_eq!((row.tag, row.job), (Some(Tag::RequestInference), Some(JOB)));
    assert_eq!((row.signer, row.success), (PAYER, true));
    assert_eq!(
        (row.fee_lamports, row.compute_units),
        (Some(5_000), Some(777))
    );
    assert_eq!(row.accounts.len(), 10 * 32);
    let shown: Json = serde_json::from_str(row.arguments.as_deref().unwrap()).unwrap();
    assert_eq!(shown["price_in_lamports"], 25_000);
    assert_eq!(shown["temperature_milli"], 700);
    assert_eq!(shown["prompt_source"], "http://gateway");
    assert_eq!(shown["canceller"], bs58::encode(PAYER).into_string());
    assert_eq!(shown["prompt_hash"], hex::encode([2; 32]));
}

#[test]
fn a_failure_is_shown_where_it_happened_and_nowhere_else() {
    let submit = SubmitResult {
        terms_hash: [1; 32],
        output_root: [2; 32],
        fingerprint: [3; 32],
        output_tokens: 7.into(),
        finish_reason: 1,
    };
    let failed = Call {
        failed: true,
        ..call(1, submit.encode(), &[0, 0, 1])
    };
    let first = call(0, submit.encode(), &[0, 0, 1]);
    let custom = TransactionFailure {
        instruction: Some(1),
        code: Some(709),
        name: "Custom".into(),
    };
    let of_all = TransactionFailure {
        name: "InsufficientFundsForRent".into(),
        ..TransactionFailure::default()
    };
    let errors = |failure| {
        let body = body(&[transaction(
            vec![first.clone(), failed.clone()],
            Some(failure),
        )]);
        let (rows, _) = rows(&body);
        assert!(rows.iter().all(|row| !row.success));
        let error = |row: CallRow| (row.error_code, row.error);
        rows.into_iter().map(error).collect::<Vec<_>>()
    };
    assert_eq!(errors(custom), [(None, None), (Some(709), None)]);
    let rent = (None, Some("InsufficientFundsForRent".to_owned()));
    assert_eq!(errors(of_all), [rent.clone(), rent]);
}

#[test]
fn data_that_are_no_instruction_are_a_row_without_a_name() {
    for data in [
        vec![],
        vec![0],
        vec![61, 1, 2],
        [ix::Pause {}.encode(), vec![0]].concat(),
    ] {
        let (rows, whole) = rows(&body(&[transaction(
            vec![call(0, data.clone(), &[1])],
            None,
        )]));
        assert!(whole);
        assert_eq!((rows[0].tag, rows[0].arguments.clone()), (None, None));
        assert_eq!(rows[0].data, Some(data));
    }
}

#[test]
fn what_is_not_as_the_plugin_writes_it_makes_a_bank_incomplete_and_nothing_worse() {
    let good = transaction(vec![call(0, vec![5], &[0])], None);
    let mut strange = vec![
        TransactionUpdate {
            cut: true,
            ..good.clone()
        },
        TransactionUpdate {
            index: u64::MAX,
            ..good.clone()
        },
        TransactionUpdate {
            signature: vec![1; 63].into(),
            ..good.clone()
        },
        TransactionUpdate {
            keys: vec![1; 33].into(),
            ..good.clone()
        },
        transaction(vec![call(0, vec![5], &[3])], None),
        transaction(vec![call(u32::MAX, vec![5], &[0])], None),
        transaction(vec![call(0, vec![5], &[0]); MAX_CALLS + 1], None),
    ];
    strange.push(transaction(
        vec![Call {
            program: 9,
            ..call(0, vec![5], &[0])
        }],
        None,
    ));
    for update in strange {
        let (_, whole) = rows(&body(std::slice::from_ref(&update)));
        assert!(!whole, "{update:?}");
    }
    // Another program's call is none of ours; the same place twice is one transaction.
    let other = transaction(
        vec![Call {
            program: 0,
            ..call(0, vec![5], &[0])
        }],
        None,
    );
    assert_eq!(rows(&body(&[other])), (vec![], true));
    assert_eq!(rows(&body(&[good.clone(), good])).0.len(), 1);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic_and_give_valid_json(
        tag in proptest::sample::select(ALL.to_vec()), mut bytes in proptest::collection::vec(any::<u8>(), 0..600), exact in any::<bool>()
    ) {
        if exact {
            bytes.resize(tag.spec().data_len - 1, 7);
        }
        let data = [&[tag as u8][..], &bytes].concat();
        let (rows, _) = rows(&body(&[transaction(vec![call(0, data, &[0, 1])], None)]));
        prop_assert_eq!(rows.len(), 1);
        prop_assert!(!exact || rows[0].tag == Some(tag));
        if let Some(json) = &rows[0].arguments {
            prop_assert!(!json.contains("\\u0000"));
            prop_assert!(serde_json::from_str::<Json>(json).is_ok());
        }
    }
}
