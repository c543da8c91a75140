//! The sampler's tables are what they say, to the last bit: they are computed again here, in integers.
//!
//! `MYTHIC_REWRITE=1 cargo test -p mythic-sampling --test tables` writes them.

use std::fmt::Write;
use std::path::Path;

const FILE: &str = "src/tables.rs";
const HEAD: &str = "//! Tables of the exponential, rounded down. Made by `tests/tables.rs`: `MYTHIC_REWRITE=1 cargo test -p mythic-sampling --test tables`.\n";
/// Bits behind the point while a table is computed.
const BITS: u32 = 62;

fn product(a: u128, b: u128) -> u128 {
    (a * b) >> BITS
}

/// `exp(-numerator / denominator)` for an argument of at most 1, in units of 2^-62, by its series: every term is cut by less than one
/// unit, and forty of them are more than enough.
fn small(numerator: u128, denominator: u128) -> u128 {
    let (mut sum, mut term) = (0i128, 1i128 << BITS);
    for n in 1..40 {
        sum += term;
        term = -term * numerator as i128 / (denominator as i128 * n);
    }
    sum as u128
}

/// A table: its name, what it holds, the type and the bits behind the point of its entries, and these in units of 2^-62.
struct Table {
    name: &'static str,
    what: &'static str,
    kind: &'static str,
    bits: u32,
    exact: Vec<u128>,
}

impl Table {
    fn entry(&self, exact: u128) -> u128 {
        let cut = BITS - self.bits;
        // Series and products are off by fewer than fifty units: no entry may hang on them.
        let rest = exact & ((1 << cut) - 1);
        let sure = 50..(1u128 << cut) - 50;
        assert!(exact == 1 << BITS || sure.contains(&rest), "{}", self.name);
        exact >> cut
    }

    fn write(&self, out: &mut String) {
        let Self {
            name,
            what,
            kind,
            bits,
            exact,
        } = self;
        let count = exact.len();
        write!(
            out,
            "\n/// {what} in units of 2^-{bits}.\n#[rustfmt::skip]\npub(crate) const {name}: [{kind}; {count}] = [\n"
        )
        .unwrap();
        for row in exact.chunks(8) {
            let row: Vec<String> = row
                .iter()
                .map(|exact| format!("{},", self.entry(*exact)))
                .collect();
            writeln!(out, "    {}", row.join(" ")).unwrap();
        }
        out.push_str("];\n");
    }
}

fn tables() -> String {
    let e = small(1, 1);
    let whole = std::iter::successors(Some(1u128 << BITS), |x| Some(product(*x, e)));
    let fine = |denominator| (0..256).map(|i| small(i, denominator)).collect();
    let tables = [
        Table {
            name: "WHOLE",
            what: "`exp(-i)`",
            kind: "u64",
            bits: 50,
            exact: whole.take(23).collect(),
        },
        Table {
            name: "UPPER",
            what: "`exp(-i / 256)`",
            kind: "u32",
            bits: 31,
            exact: fine(256),
        },
        Table {
            name: "LOWER",
            what: "`exp(-i / 65536)`",
            kind: "u32",
            bits: 31,
            exact: fine(65_536),
        },
    ];
    let mut out = HEAD.to_owned();
    for table in &tables {
        table.write(&mut out);
    }
    out
}

#[test]
fn the_tables_are_the_exponential_rounded_down() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let made = tables();
    if std::env::var_os("MYTHIC_REWRITE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(
        kept == made,
        "{FILE} is not what it says; MYTHIC_REWRITE=1 rewrites it"
    );
}
