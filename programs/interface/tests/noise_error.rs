//! The error bounds of `ln_q16` and `gumbel_q16` over every input.
//!
//! Both functions and both truths rise, so between two neighbouring grid points the error is at
//! most the error at a point plus the rise of the truth between them. Monotony of the integer
//! code follows from its parts (a table that rises, a product and shifts that rise), is checked
//! where the parts meet, and between all grid points.

use mythic_interface::gumbel::{gumbel_q16, ln_q16};

const BOUND: f64 = 1.0 / 4096.0;
const ONE: f64 = 65536.0;

fn true_gumbel(x: u32) -> f64 {
    let odd = 2 * u64::from(x) + 1;
    let minus_ln_u = if odd < 1 << 32 {
        33.0 * std::f64::consts::LN_2 - (odd as f64).ln()
    } else {
        let rest = ((1u64 << 33) - odd) as f64;
        -(-rest / 2f64.powi(33)).ln_1p()
    };
    -minus_ln_u.ln()
}

/// Checks `approximate` against `exact` over all of `first..=last`; `step` gives the distance to
/// the next grid point. Returns the largest error at a grid point.
fn check(
    (first, last): (u64, u64),
    step: impl Fn(u64) -> u64,
    approximate: impl Fn(u64) -> i32,
    exact: impl Fn(u64) -> f64,
) -> f64 {
    let mut worst = 0f64;
    let (mut at, mut value, mut truth) = (first, approximate(first), exact(first));
    loop {
        let error = (f64::from(value) / ONE - truth).abs();
        worst = worst.max(error);
        assert!(error <= BOUND, "error {error} at {at}");
        if at == last {
            return worst;
        }
        let next = at.saturating_add(step(at).max(1)).min(last);
        let (next_value, next_truth) = (approximate(next), exact(next));
        assert!(next_value >= value, "falls between {at} and {next}");
        let next_error = (f64::from(next_value) / ONE - next_truth).abs();
        if next > at + 1 {
            let between = error.max(next_error) + (next_truth - truth);
            assert!(
                between <= BOUND,
                "may err by {between} between {at} and {next}"
            );
        }
        (at, value, truth) = (next, next_value, next_truth);
    }
}

#[test]
fn gumbel_errs_by_at_most_2_to_the_minus_12_for_every_input() {
    let worst = check(
        (0, u64::from(u32::MAX)),
        |x| {
            // A step of 2^-14 of the distance to the nearer end.
            let from_end = x.min(u64::from(u32::MAX) - x);
            from_end >> 14
        },
        |x| gumbel_q16(x as u32),
        |x| true_gumbel(x as u32),
    );
    println!("largest error of gumbel on the grid: {worst:e}");
}

#[test]
fn gumbel_is_monotone_where_its_parts_meet() {
    // Segment ends of the tables: odd = 2x + 1 crosses multiples of 2^26 of the ratio table and,
    // on either side of one half, the powers of two times (1 + i / 128).
    let mut seams = vec![1u64 << 31];
    for i in 0..128 {
        seams.push(i << 25);
        for power in 0..33 {
            let units = ((128 + i) << power) / 128;
            seams.push(units / 2);
            seams.push((1u64 << 32).saturating_sub(units / 2));
        }
    }
    for seam in seams {
        let first = seam.saturating_sub(64).min(u64::from(u32::MAX));
        let last = (seam + 64).min(u64::from(u32::MAX));
        for x in first..last {
            assert!(gumbel_q16(x as u32) <= gumbel_q16(x as u32 + 1), "at {x}");
        }
    }
}

#[test]
fn ln_errs_by_at_most_2_to_the_minus_12_for_every_input() {
    let worst = check(
        (1, u64::MAX),
        |n| n >> 14,
        |n| ln_q16(n).expect("positive"),
        |n| (n as f64).ln(),
    );
    println!("largest error of ln on the grid: {worst:e}");
    assert_eq!(ln_q16(0), None);
    for power in 0..64 {
        for i in 0..128u128 {
            let seam = ((128 + i) << power) / 128;
            let seam = seam as u64;
            for n in seam.saturating_sub(8).max(1)..seam.saturating_add(8) {
                assert!(ln_q16(n) <= ln_q16(n + 1), "at {n}");
            }
        }
    }
}

/// Every input one by one: some minutes. `cargo test -p mythic-interface --test noise_error -- --ignored`
#[test]
#[ignore = "minutes; the grid and monotony already bound the error"]
fn gumbel_exhaustively() {
    let mut last = i32::MIN;
    for x in 0..=u32::MAX {
        let value = gumbel_q16(x);
        assert!(value >= last, "falls at {x}");
        assert!(
            (f64::from(value) / ONE - true_gumbel(x)).abs() <= BOUND,
            "at {x}"
        );
        last = value;
    }
}
