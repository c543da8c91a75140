//! The one definition of Mythic's on-chain interface: what the programs, the indexer, nodes, gateways
//! and clients must agree on, byte for byte. Everything but [`market`] is of AI Precompiles or of both.
//!
//! - [`state`]: account layouts; [`ix`]: instructions and their builders; [`error`]: codes
//! - [`params`]: parameters of the network, [`money`]: prices and shares, [`window`]: deadlines
//! - [`pda`]: seeds of addresses (derived by `address`, feature `client`); [`hash`], [`merkle`]: commitments,
//!   [`leaf`]: to each position of an answer, [`output`]: to its tokens
//! - [`market`]: the Compute Market, the second program
//! - [`sampler`], [`gumbel`]: replayable token choice; [`choice`]: what a juror says of a choice that no leaf replays;
//!   [`comparison`], [`sortition`]: checking and juries; [`dispute`]: verdicts and their money
//!
//! `no_std`; integers in accounts and instructions are little-endian byte arrays ([`le`]), so every
//! structure has alignment 1 and can be read in place.
#![no_std]

#[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
extern crate alloc;

// Their macros are the market's too.
#[macro_use]
pub mod ix;
#[macro_use]
pub mod state;

#[cfg(feature = "client")]
pub mod address;
pub mod choice;
pub mod comparison;
pub mod dispute;
pub mod error;
pub mod gumbel;
pub mod hash;
pub mod le;
pub mod leaf;
pub mod market;
pub mod merkle;
pub mod money;
pub mod output;
pub mod params;
pub mod pda;
pub mod sampler;
pub mod sortition;
mod tables;
pub mod window;

/// Address of the AI Precompiles program: `MythicAiPrecompi1es111111111111111111111111`.
///
/// A network that deploys under its own key changes this constant, rebuilds the program and starts
/// every process from the same build; the program refuses to run under another address.
pub const AI_PRECOMPILES_ID: [u8; 32] = [
    5, 95, 241, 137, 199, 189, 101, 49, 180, 113, 204, 185, 78, 61, 250, 173, 188, 53, 232, 250,
    74, 31, 24, 192, 227, 252, 231, 102, 236, 0, 0, 0,
];

/// Address of the Compute Market program: `MythicComputeMarket111111111111111111111111`; another is built in the same way.
pub const COMPUTE_MARKET_ID: [u8; 32] = [
    5, 95, 241, 137, 199, 204, 225, 25, 231, 205, 191, 239, 13, 194, 136, 74, 55, 74, 149, 104,
    222, 130, 173, 232, 189, 25, 52, 220, 121, 0, 0, 0,
];

/// Both programs: whose accounts an index takes, and so what a plugin follows.
pub const PROGRAMS: [[u8; 32]; 2] = [AI_PRECOMPILES_ID, COMPUTE_MARKET_ID];

/// The incinerator, `1nc1nerator11111111111111111111111111111111`: the runtime destroys what it holds
/// at the end of each slot.
pub const INCINERATOR: [u8; 32] = [
    0, 51, 144, 114, 141, 52, 17, 96, 121, 189, 201, 17, 191, 255, 0, 219, 212, 77, 46, 205, 204,
    247, 156, 166, 225, 0, 56, 225, 0, 0, 0, 0,
];

/// The system program: all zeroes.
pub const SYSTEM_PROGRAM: [u8; 32] = [0; 32];

/// The upgradeable loader (v3), `BPFLoaderUpgradeab1e11111111111111111111111`.
pub const UPGRADEABLE_LOADER: [u8; 32] = [
    2, 168, 246, 145, 78, 136, 161, 176, 226, 16, 21, 62, 247, 99, 174, 43, 0, 194, 185, 61, 22,
    193, 36, 210, 192, 83, 122, 16, 4, 128, 0, 0,
];

#[cfg(test)]
mod tests {
    extern crate std;

    #[test]
    fn addresses_are_what_their_comments_say() {
        const ALPHABET: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
        let decode = |text: &str| {
            let mut bytes = [0u8; 32];
            for c in text.bytes() {
                let mut carry = ALPHABET.iter().position(|a| *a == c).unwrap() as u32;
                for byte in bytes.iter_mut().rev() {
                    carry += u32::from(*byte) * 58;
                    *byte = carry as u8;
                    carry >>= 8;
                }
                assert_eq!(carry, 0);
            }
            bytes
        };
        assert_eq!(
            decode("MythicAiPrecompi1es111111111111111111111111"),
            super::AI_PRECOMPILES_ID
        );
        assert_eq!(
            decode("MythicComputeMarket111111111111111111111111"),
            super::COMPUTE_MARKET_ID
        );
        assert_eq!(
            decode("1nc1nerator11111111111111111111111111111111"),
            super::INCINERATOR
        );
        assert_eq!(
            decode("11111111111111111111111111111111"),
            super::SYSTEM_PROGRAM
        );
        assert_eq!(
            decode("BPFLoaderUpgradeab1e11111111111111111111111"),
            super::UPGRADEABLE_LOADER
        );
    }
}
