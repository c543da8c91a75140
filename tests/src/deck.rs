//! What a random test does next: each thing as often as the others.

use anyhow::{Context, Result};
use rand::{rngs::StdRng, seq::SliceRandom};

/// Names in a random order, each as often as the others.
#[derive(Debug)]
pub struct Deck {
    names: Vec<String>,
    left: Vec<String>,
}

impl Deck {
    pub fn new(names: Vec<String>) -> Self {
        let left = Vec::new();
        Self { names, left }
    }

    /// The next one.
    pub fn next(&mut self, random: &mut StdRng) -> Result<String> {
        if self.left.is_empty() {
            self.left.clone_from(&self.names);
            self.left.shuffle(random);
        }
        self.left.pop().context("nothing to choose from")
    }
}
