//! The sampler against a plain, slow one that is written from the words of docs/sampling.md.

use mythic_interface::gumbel::{gumbel_q16, ln_q16};
use mythic_interface::hash::token_uniform;
use mythic_interface::sampler::{Sampling, round_q16};
use mythic_sampling::choice::{Counts, NoChoice, Position, Scratch, exp_q32};
use mythic_sampling::{Mask, Options};
use proptest::prelude::*;

/// Toward zero, as the rules say wherever something is divided.
fn divide(a: i128, b: i128) -> i128 {
    let magnitude = a.abs() / b.abs();
    if (a < 0) == (b < 0) {
        magnitude
    } else {
        -magnitude
    }
}

fn slow(
    options: &Options,
    sampling: &Sampling,
    position: u32,
    output: &[u32],
    mask: Option<&Mask>,
    logits: &[f32],
) -> u32 {
    let mut all: Vec<(u32, i128)> = Vec::new();
    for (id, logit) in (0u32..).zip(logits) {
        // 1
        if mask.is_some_and(|mask| !mask.allows(id)) {
            continue;
        }
        let mut l = i128::from(round_q16(*logit).unwrap());
        // 2
        for (with, bias) in &options.logit_bias {
            if *with == id {
                l += divide(i128::from(*bias) * 65_536, 1_000);
            }
        }
        // 3
        let times = output.iter().filter(|token| **token == id).count() as i128;
        if times > 0 {
            let r = i128::from(options.repetition_milli);
            l = if l < 0 {
                divide(l * r, 1_000)
            } else {
                divide(l * 1_000, r)
            };
            let penalty =
                i128::from(options.frequency_milli) * times + i128::from(options.presence_milli);
            l -= divide(penalty * 65_536, 1_000);
        }
        // 4
        let t = i128::from(sampling.temperature_milli);
        all.push((id, if t == 0 { l } else { divide(l * 1_000, t) }));
    }
    // 5
    all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    if sampling.temperature_milli == 0 {
        return all[0].0;
    }
    let first = all[0].1;
    let e = |s: i128| i128::from(exp_q32((first - s) as u64));
    let z: i128 = all.iter().map(|(_, s)| e(*s)).sum();
    let mut kept: Vec<(u32, i128)> = all.into_iter().take(64).collect();
    // 6
    if options.top_k > 0 {
        kept.truncate(usize::from(options.top_k));
    }
    // 7
    if options.top_p_ppm < 1_000_000 {
        let mut sum = 0;
        let mut prefix = Vec::new();
        for one in &kept {
            prefix.push(*one);
            sum += e(one.1);
            if sum * 1_000_000 >= i128::from(options.top_p_ppm) * z {
                break;
            }
        }
        kept = prefix;
    }
    // 8
    if options.min_p_ppm > 0 {
        let ln = |ppm: u32| i128::from(ln_q16(u64::from(ppm)).unwrap());
        let bar = first + ln(options.min_p_ppm) - ln(1_000_000);
        let head = kept[0];
        kept.retain(|(_, s)| *s >= bar);
        if kept.is_empty() {
            kept.push(head);
        }
    }
    // 9
    let noisy = kept.into_iter().map(|(id, s)| {
        let noise = gumbel_q16(token_uniform(&sampling.seed, position, id));
        (id, s + i128::from(noise))
    });
    let best = noisy.max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)));
    best.unwrap().0
}

/// Rows of coarse logits, so that many are equal, some far off, and now and then an infinity.
fn rows() -> impl Strategy<Value = Vec<f32>> {
    let logit = prop_oneof![
        8 => (-200i32..200).prop_map(|x| x as f32 / 16.0),
        1 => (-40_000i32..40_000).prop_map(|x| x as f32),
        1 => Just(f32::NEG_INFINITY),
    ];
    prop::collection::vec(logit, 4..300)
}

fn options() -> impl Strategy<Value = Options> {
    let shares = (
        0u8..64,
        prop_oneof![Just(1_000_000u32), 1u32..=1_000_000],
        prop_oneof![Just(0u32), 0u32..=1_000_000],
    );
    let penalties = (
        -2_000i16..=2_000,
        -2_000i16..=2_000,
        prop_oneof![Just(1_000u16), 1u16..=10_000],
    );
    let bias = prop::collection::btree_map(0u32..300, -100_000i32..=100_000, 0..8);
    (shares, penalties, bias).prop_map(|(shares, penalties, bias)| Options {
        top_k: shares.0,
        top_p_ppm: shares.1,
        min_p_ppm: shares.2,
        presence_milli: penalties.0,
        frequency_milli: penalties.1,
        repetition_milli: penalties.2,
        logit_bias: bias.into_iter().filter(|(_, bias)| *bias != 0).collect(),
        ..Options::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_choice_is_that_of_the_plain_sampler(
        logits in rows(),
        options in options(),
        output in prop::collection::vec(0u32..300, 0..40),
        bits in prop::option::of(prop::collection::vec(any::<u32>(), 10)),
        temperature_milli in prop_oneof![Just(0u16), Just(1_000u16), 1u16..=2_000, any::<u16>()],
        seed in any::<[u8; 32]>(),
        position in any::<u32>(),
    ) {
        let sampling = Sampling { seed, temperature_milli };
        let mask = bits.map(|bits| Mask::new(bits, logits.len()));
        let mut counts = Counts::default();
        for token in &output {
            counts.push(*token);
        }
        let here = Position {
            options: &options,
            sampling: &sampling,
            position,
            counts: &counts,
            mask: mask.as_ref(),
        };
        let found = here.choose(&logits, &mut Scratch::default());
        let empty = mask
            .as_ref()
            .is_some_and(|mask| (0..logits.len() as u32).all(|id| !mask.allows(id)));
        if empty {
            prop_assert_eq!(found, Err(NoChoice::NothingAllowed));
        } else {
            let want = slow(&options, &sampling, position, &output, mask.as_ref(), &logits);
            prop_assert_eq!(found, Ok(want));
        }
    }
}

fn choose(options: &Options, temperature_milli: u16, position: u32, logits: &[f32]) -> u32 {
    let sampling = Sampling {
        seed: [5; 32],
        temperature_milli,
    };
    let here = Position {
        options,
        sampling: &sampling,
        position,
        counts: &Counts::default(),
        mask: None,
    };
    here.choose(logits, &mut Scratch::default()).unwrap()
}

#[test]
fn neutral_options_draw_among_more_than_four() {
    let logits = [1.0; 200];
    let drawn: std::collections::BTreeSet<u32> = (0..2_000)
        .map(|position| choose(&Options::default(), 1_000, position, &logits))
        .collect();
    // The 64 with the lowest ids of two hundred equals, and no other.
    assert_eq!(
        drawn.into_iter().collect::<Vec<_>>(),
        (0..64).collect::<Vec<_>>()
    );
}

#[test]
fn top_p_keeps_the_shortest_prefix_that_reaches_it() {
    // Probabilities of about 0.644, 0.237, 0.087, 0.032.
    let logits = [3.0, 2.0, 1.0, 0.0];
    for (top_p_ppm, most) in [
        (1, 1),
        (640_000, 1),
        (650_000, 2),
        (880_000, 2),
        (890_000, 3),
    ] {
        let options = Options {
            top_p_ppm,
            ..Options::default()
        };
        let drawn = (0..2_000).map(|position| choose(&options, 1_000, position, &logits));
        assert_eq!(drawn.max(), Some(most - 1), "{top_p_ppm}");
    }
}

#[test]
fn min_p_drops_what_is_too_far_below_the_first() {
    // Shares of the first of about 0.368, 0.135, 0.050.
    let logits = [3.0, 2.0, 1.0, 0.0];
    for (min_p_ppm, most) in [(0, 4), (40_000, 4), (60_000, 3), (140_000, 2), (370_000, 1)] {
        let options = Options {
            min_p_ppm,
            ..Options::default()
        };
        let drawn = (0..4_000).map(|position| choose(&options, 1_000, position, &logits));
        assert_eq!(drawn.max(), Some(most - 1), "{min_p_ppm}");
    }
}

#[test]
fn a_logit_that_is_no_number_is_no_choice_even_where_the_mask_hides_it() {
    let sampling = Sampling {
        seed: [0; 32],
        temperature_milli: 1_000,
    };
    let mask = Mask::new(vec![0b0111], 4);
    let here = Position {
        options: &Options::default(),
        sampling: &sampling,
        position: 0,
        counts: &Counts::default(),
        mask: Some(&mask),
    };
    let row = [1.0, 2.0, 3.0, f32::NAN];
    let found = here.choose(&row, &mut Scratch::default());
    assert!(matches!(found, Err(NoChoice::Row(_))));
}

#[test]
fn a_mask_of_another_vocabulary_allows_nothing() {
    let sampling = Sampling {
        seed: [0; 32],
        temperature_milli: 0,
    };
    let mask = Mask::new(vec![u32::MAX], 5);
    assert!(mask.allows(4) && !mask.allows(5));
    let here = Position {
        options: &Options::default(),
        sampling: &sampling,
        position: 0,
        counts: &Counts::default(),
        mask: Some(&mask),
    };
    let found = here.choose(&[1.0; 4], &mut Scratch::default());
    assert_eq!(found, Err(NoChoice::NothingAllowed));
}

#[test]
fn the_exponential_is_close_and_never_rises() {
    let mut before = u64::MAX;
    for x in 0..(24u64 << 16) {
        let e = exp_q32(x);
        let exact = (-(x as f64) / 65_536.0).exp() * 4_294_967_296.0;
        assert!((e as f64 - exact).abs() < 8.0, "{x}: {e}, not {exact}");
        assert!(e <= before, "{x}");
        before = e;
    }
    assert_eq!((exp_q32(0), exp_q32(u64::MAX)), (1 << 32, 0));
}
