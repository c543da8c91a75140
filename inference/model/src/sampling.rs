//! How tokens are drawn, in one place for whoever has to say it.

use mythic_interface::state::SamplingProfile;

/// Every paid answer without sampling options is drawn so: by the job's seed, among the [`CANDIDATES`] likeliest tokens of a position.
pub const PROFILE: SamplingProfile = SamplingProfile::SeededTop4;

/// Tokens of a position that can be drawn at all, whatever the temperature.
pub const CANDIDATES: usize = 4;
