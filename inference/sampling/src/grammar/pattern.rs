//! Regular expressions: their size with every repetition written out.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind, Look};

use super::{Budget, Fault, REPETITIONS};

/// How deep groups may nest.
const DEPTH: u32 = 32;
/// Longest expression, in bytes.
const BYTES: usize = 4_096;

/// The size of an expression, which is taken off the budget.
pub fn check(pattern: &str, budget: &mut Budget) -> Result<u64, Fault> {
    let fault = |why: String| Fault::Pattern {
        pattern: pattern.chars().take(40).collect(),
        why,
    };
    if pattern.len() > BYTES {
        return Err(fault(format!("it has more than {BYTES} bytes")));
    }
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
