//! What may be counted over the whole of a grammar's text, and what is said of one that is not taken.

/// Why a grammar is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// One of the limits; the text is a bomb, or merely too large.
    #[error("it has more than {most} {what}")]
    Limit {
        /// What was counted.
        what: &'static str,
        most: u64,
    },
    #[error("{what} at byte {at}")]
    Syntax { what: &'static str, at: usize },
    #[error("it has {0}")]
    Structure(&'static str),
    #[error("its regular expression {pattern:?} is not taken: {why}")]
    Pattern {
        /// Its beginning.
        pattern: String,
        why: String,
    },
    #[error("its schema is not taken: {0}")]
    Schema(String),
}

/// What may still be counted, over the whole of one text.
#[derive(Debug)]
pub struct Budget {
    /// Positions of regular expressions and terminals, repetitions written out.
    expanded: u64,
    /// Values of schemas.
    values: u64,
}

/// Positions of all regular expressions and terminals together, repetitions written out.
const EXPANDED: u64 = 50_000;
/// Values of all schemas together.
const VALUES: u64 = 4_096;
/// The largest number of a repetition of a grammar or a regular expression.
pub const REPETITIONS: u64 = 1_024;

impl Default for Budget {
    fn default() -> Self {
        Self {
            expanded: EXPANDED,
            values: VALUES,
        }
    }
}

impl Budget {
    /// Takes positions off it.
    pub fn expand(&mut self, count: u64) -> Result<(), Fault> {
        let what = "positions in its regular expressions and terminals, repetitions written out";
        spend(&mut self.expanded, count, what, EXPANDED)
    }

    /// Takes a value off it.
    pub fn value(&mut self) -> Result<(), Fault> {
        spend(&mut self.values, 1, "values in its schemas", VALUES)
    }
}

fn spend(left: &mut u64, count: u64, what: &'static str, most: u64) -> Result<(), Fault> {
    *left = left.checked_sub(count).ok_or(Fault::Limit { what, most })?;
    Ok(())
}
