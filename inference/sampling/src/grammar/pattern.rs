//! Regular expressions: their size with every repetition written out.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind, Look};

use super::budget::{Budget, Fault, REPETITIONS};

/// How deep groups may nest.
const DEPTH: u32 = 32;
/// Longest expression, in bytes.
const BYTES: usize = 4_096;
/// Positions that a class with a name stands for: hundreds of ranges.
const NAMED: u64 = 10;
/// Positions that a class stands for where case doesn't matter: it is folded letter by letter, over all of Unicode.
const FOLDED: u64 = 2_000;

/// The size of an expression, which is taken off the budget.
pub fn check(pattern: &str, budget: &mut Budget) -> Result<u64, Fault> {
    let fault = |why: String| Fault::Pattern {
        pattern: pattern.chars().take(40).collect(),
        why,
    };
    if pattern.len() > BYTES {
        return Err(fault(format!("it has more than {BYTES} bytes")));
    }
    // Before it is read: reading them is what takes long.
    budget.expand(classes(pattern))?;
    let parsed = ParserBuilder::new()
        .nest_limit(DEPTH)
        .build()
        .parse(pattern);
    let hir = parsed.map_err(|error| match error {
        regex_syntax::Error::Parse(error) => fault(error.kind().to_string()),
        regex_syntax::Error::Translate(error) => fault(error.kind().to_string()),
        _ => fault("it can't be read".into()),
    })?;
    let size = size(&hir).map_err(|why| fault(why.into()))?;
    budget.expand(size)?;
    Ok(size)
}

/// What an expression's classes take off the budget, counted in its text, so rather too many than too few.
fn classes(pattern: &str) -> u64 {
    let pairs = || pattern.as_bytes().windows(2);
    let named = |names: &[u8]| {
        let named = pairs().filter(|pair| pair[0] == b'\\' && names.contains(&pair[1]));
        named.count() as u64
    };
    // Behind the flag for blanks and comments another may be written in ways that are not looked for.
    let folds = pattern.split("(?").skip(1).any(|flags| {
        let mut flags = flags.bytes().take_while(|b| b.is_ascii_alphabetic());
        flags.any(|flag| matches!(flag, b'i' | b'x'))
    });
    if !folds {
        return named(b"pPwWdDsS") * NAMED;
    }
    let sets = pattern.bytes().filter(|b| *b == b'[').count() as u64;
    let joined = |pair: &&[u8]| matches!(pair, [b'&', b'&'] | [b'-', b'-'] | [b'~', b'~']);
    let joined = pairs().filter(joined).count() as u64;
    (named(b"pP") + sets + 2 * joined) * FOLDED + named(b"wWdDsS") * NAMED
}

/// Groups nest no deeper than [`DEPTH`], so that this ends.
fn size(hir: &Hir) -> Result<u64, &'static str> {
    Ok(match hir.kind() {
        // A schema's patterns are searched for, so that they name the ends.
        HirKind::Empty | HirKind::Look(Look::Start | Look::End) => 0,
        HirKind::Look(_) => return Err("it looks around"),
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(_) => 1,
        HirKind::Repetition(repetition) => {
            let most = u64::from(repetition.max.unwrap_or(repetition.min.saturating_add(1)));
            if most > REPETITIONS {
                return Err("it repeats something too often");
            }
            size(&repetition.sub)?.saturating_mul(most.max(1))
        }
        HirKind::Capture(capture) => size(&capture.sub)?,
        HirKind::Concat(all) | HirKind::Alternation(all) => {
            let mut sum = 0u64;
            for one in all {
                sum = sum.saturating_add(size(one)?);
            }
            sum
        }
    })
}
