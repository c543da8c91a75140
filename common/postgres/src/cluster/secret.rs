//! Text that nobody guesses, for passwords and tokens.

use rand::RngCore;

/// So many random bytes in hexadecimal.
pub(super) fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    rand::rng().fill_bytes(&mut random);
    hex::encode(random)
}
