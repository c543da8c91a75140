//! Which rows the next forward pass holds. Pure: counts in, counts out.

/// A running sequence, as the scheduler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Tokens that are known and not yet in the cache; at least 1.
    pub tokens: usize,
}

/// A part of a pass: `rows` tokens of sequence `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub index: usize,
    pub rows: usize,
}

/// Divides a pass of at most `chunk` rows: every sequence that decodes gets its one row, then
/// those that read their prompt share the rest in turns, beginning after `last`, so that neither a
/// long prompt holds up decoding nor decoding a prompt.
pub fn plan(sequences: &[Pending], last: usize, chunk: usize) -> Vec<Share> {
    let mut left = chunk;
    let mut shares = Vec::new();
    for (index, s) in sequences.iter().enumerate() {
        if s.tokens == 1 && left > 0 {
            shares.push(Share { index, rows: 1 });
            left -= 1;
        }
    }
    let n = sequences.len();
    for index in (1..=n).map(|i| (last + i) % n) {
        let rows = sequences[index].tokens.min(left);
        if sequences[index].tokens > 1 && rows > 0 {
            shares.push(Share { index, rows });
            left -= rows;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(tokens: &[usize], last: usize, chunk: usize) -> Vec<(usize, usize)> {
        let sequences: Vec<_> = tokens.iter().map(|t| Pending { tokens: *t }).collect();
        plan(&sequences, last, chunk)
            .iter()
            .map(|s| (s.index, s.rows))
            .collect()
    }

    #[test]
    fn decoding_goes_on_beside_a_long_prompt() {
        assert_eq!(shares(&[500, 1, 1], 0, 32), [(1, 1), (2, 1), (0, 30)]);
    }

    #[test]
    fn prompts_take_turns() {
        assert_eq!(shares(&[500, 500], 0, 32), [(1, 32)]);
        assert_eq!(shares(&[500, 500], 1, 32), [(0, 32)]);
    }

    #[test]
    fn short_prompts_share_a_pass() {
        assert_eq!(shares(&[5, 9], 1, 32), [(0, 5), (1, 9)]);
    }

    #[test]
    fn nothing_to_do_is_an_empty_pass() {
        assert!(plan(&[], 0, 32).is_empty());
    }
}
