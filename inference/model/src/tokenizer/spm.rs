//! SentencePiece's merging.

use std::collections::{BinaryHeap, HashMap};

/// The tokens that text can become.
pub(super) struct Spm {
    /// Tokens of text by their spelling, a space written as U+2581. Control tokens are none.
    pub(super) ids: HashMap<String, u32>,
    /// By id.
    pub(super) scores: Vec<f32>,
    /// The token of each byte that is in no other.
    pub(super) bytes: Box<[Option<u32>; 256]>,
    /// Whether text begins with a space that is not there.
    pub(super) space_prefix: bool,
}

/// A pair that may merge: highest score first, then the leftmost.
#[derive(PartialEq)]
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    len: usize,
}

impl Eq for Pair {}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.score
            .total_cmp(&other.score)
            .then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// No neighbour.
const NONE: usize = usize::MAX;

/// A part of the text that is one token so far, or empty once it was merged into its left neighbour.
struct Symbol {
    start: usize,
    len: usize,
    prev: usize,
    next: usize,
}

impl Spm {
    /// Adds the ids of plain text that stands at the start or after a special token.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        let mut spaced = text.replace(' ', "\u{2581}");
        if self.space_prefix {
            spaced.insert(0, '\u{2581}');
        }
        self.merge(&spaced, out);
    }

    /// Proposes a merge of two neighbours, if their union is a token.
    fn propose(&self, text: &str, symbols: &[Symbol], left: usize, right: usize) -> Option<Pair> {
        let (a, b) = (symbols.get(left)?, symbols.get(right)?);
        let len = a.len + b.len;
        let id = self.ids.get(text.get(a.start..a.start + len)?)?;
        let score = *self.scores.get(usize::try_from(*id).ok()?)?;
        Some(Pair {
            score,
            left,
            right,
            len,
        })
    }

    /// Characters, then again and again the adjacent pair whose union has the best score; what is
    /// in no vocabulary falls back to bytes.
    fn merge(&self, text: &str, out: &mut Vec<u32>) {
        let mut symbols: Vec<Symbol> = Vec::new();
        for (start, c) in text.char_indices() {
            let at = symbols.len();
            symbols.push(Symbol {
                start,
                len: c.len_utf8(),
                prev: at.wrapping_sub(1),
                next: at + 1,
            });
        }
        if let Some(last) = symbols.last_mut() {
            last.next = NONE;
        }
        let mut heap = BinaryHeap::new();
        for right in 1..symbols.len() {
            heap.extend(self.propose(text, &symbols, right - 1, right));
        }
        while let Some(pair) = heap.pop() {
            let (left, right) = (pair.left, pair.right);
            // A pair is stale when either side has merged since.
            if symbols[left].len == 0
                || symbols[right].len == 0
                || symbols[left].len + symbols[right].len != pair.len
            {
                continue;
            }
            symbols[left].len = pair.len;
            symbols[right].len = 0;
            let next = symbols[right].next;
            symbols[left].next = next;
            if next != NONE {
                symbols[next].prev = left;
            }
            let prev = symbols[left].prev;
            heap.extend(self.propose(text, &symbols, prev, left));
            heap.extend(self.propose(text, &symbols, left, next));
        }
        for symbol in symbols.iter().filter(|s| s.len > 0) {
            let piece = &text[symbol.start..symbol.start + symbol.len];
            match self.ids.get(piece) {
                Some(id) => out.push(*id),
                None => out.extend(piece.bytes().filter_map(|b| self.bytes[usize::from(b)])),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentencepiece_merges_by_score_and_falls_back_to_bytes() {
        let vocab = [
            "<unk>", "▁", "a", "b", "ab", "▁ab", "<0xC3>", "<0xA9>", "ba",
        ];
        let mut bytes = Box::new([None; 256]);
        bytes[0xc3] = Some(6);
        bytes[0xa9] = Some(7);
        let spm = Spm {
            ids: vocab.iter().map(|s| s.to_string()).zip(0u32..).collect(),
            scores: vec![0.0, -5.0, -4.0, -4.0, -1.0, -2.0, 0.0, 0.0, -0.5],
            bytes,
            space_prefix: true,
        };
        let merged = |text: &str| {
            let mut out = Vec::new();
            spm.merge(text, &mut out);
            out
        };
        assert_eq!(merged("▁ab"), [5]);
        // `ba` scores best, which leaves an `a` and a `b` outside.
        assert_eq!(merged("abab"), [2, 8, 3]);
        assert_eq!(merged("aé"), [2, 6, 7]);
        assert_eq!(merged(""), [0u32; 0]);
        let mut out = Vec::new();
        spm.encode("ab", &mut out);
        assert_eq!(out, [5]);
    }
}
