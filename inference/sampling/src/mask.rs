//! Which tokens of a vocabulary are allowed.

/// A bit for each token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    bits: Vec<u32>,
    vocabulary: usize,
}

impl Mask {
    /// A mask of these words, the lowest id in the lowest bit; what they don't reach is not allowed, and what lies beyond the
    /// vocabulary is nothing.
    pub fn new(mut bits: Vec<u32>, vocabulary: usize) -> Self {
        bits.resize(vocabulary.div_ceil(32), 0);
        if let Some(last) = bits.last_mut()
            && !vocabulary.is_multiple_of(32)
        {
            *last &= (1u32 << (vocabulary % 32)) - 1;
        }
        Self { bits, vocabulary }
    }

    /// Tokens of the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    pub fn allows(&self, id: u32) -> bool {
        let word = self.bits.get(id as usize / 32);
        word.is_some_and(|word| (word >> (id % 32)) & 1 == 1)
    }

    /// The words, the lowest id in the lowest bit.
    pub fn bits(&self) -> &[u32] {
        &self.bits
    }
}
