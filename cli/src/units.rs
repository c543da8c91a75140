//! Lamports, SOL and tables for people.

use crate::{say, terminal::on_one_line};
use serde_json::Value;

/// Lamports in a SOL.
pub const LAMPORTS_PER_SOL: u64 = 1_000_000_000;

/// `25600` → `0.0000256 SOL`.
pub fn sol(lamports: u64) -> String {
    let whole = lamports / LAMPORTS_PER_SOL;
    let fraction = format!("{:09}", lamports % LAMPORTS_PER_SOL);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        format!("{whole} SOL")
    } else {
        format!("{whole}.{fraction} SOL")
    }
}

/// Parses `1.5` (SOL) or `1500lamports` into lamports.
pub fn parse_amount(text: &str) -> Result<u64, String> {
    let hint =
        || format!("{text:?} is not an amount: write SOL (0.25) or lamports (250000lamports)");
    if let Some(number) = text.strip_suffix("lamports") {
        return number.trim().replace('_', "").parse().map_err(|_| hint());
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || (whole.is_empty() && fraction.is_empty()) {
        return Err(hint());
    }
    let digits = |part: &str| {
        if part.is_empty() {
            Ok(0)
        } else {
            part.parse::<u64>().map_err(|_| hint())
        }
    };
    let fraction = digits(&format!("{fraction:0<9}"))?;
    digits(whole)?
        .checked_mul(LAMPORTS_PER_SOL)
        .and_then(|whole| whole.checked_add(fraction))
        .ok_or_else(hint)
}

/// A JSON value in a table: `-` where it isn't known.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `330` → `330`, `12000` → `12,000`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 job`, `2 jobs`.
pub fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{} {what}s", grouped(count)),
    }
}

/// Seconds as people say them: `8 s`, `2 min`, `3 h`.
pub fn about(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

/// Prints rows under headers, columns as wide as their widest cell.
pub fn print_table(headers: &[&str], rows: &[Vec<String>]) {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            row.iter()
                .map(|cell| on_one_line(cell).into_owned())
                .collect()
        })
        .collect();
    let widths: Vec<usize> = headers
        .iter()
        .enumerate()
        .map(|(column, header)| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .chain([header.len()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        say!("{}", cells.join("  ").trim_end());
    };
    line(&mut headers.iter().map(|header| (*header).to_owned()));
    for row in &rows {
        line(&mut row.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_round_trip_between_sol_and_lamports() {
        assert_eq!(sol(25_600), "0.0000256 SOL");
        assert_eq!(sol(2 * LAMPORTS_PER_SOL), "2 SOL");
        assert_eq!(parse_amount("0.0000256"), Ok(25_600));
        assert_eq!(parse_amount(".5"), Ok(500_000_000));
        assert_eq!(parse_amount("25_600lamports"), Ok(25_600));
    }

    #[test]
    fn numbers_and_times_read_as_people_say_them() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [(1, "job"), (2_000, "slot")].map(|(n, what)| counted(n, what)),
            ["1 job", "2,000 slots"]
        );
        assert_eq!(
            [0, 119, 120, 7_200].map(about),
            ["0 s", "119 s", "2 min", "2 h"]
        );
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for text in [
            "",
            ".",
            "1.0000000001",
            "-1",
            "1e3",
            "99999999999999",
            "ten",
        ] {
            assert!(parse_amount(text).is_err(), "{text}");
        }
    }
}
