//! Which of a processor's instructions compute.

use serde::{Deserialize, Serialize};

#[cfg(target_arch = "aarch64")]
use super::neon;
#[cfg(target_arch = "x86_64")]
use super::x86;

/// Which instructions compute; the bits are the same with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstructionSet {
    /// The best that the processor has.
    #[default]
    Auto,
    /// Plain Rust.
    Portable,
    Avx2,
    AvxVnni,
    #[serde(rename = "avx512-vnni")]
    Avx512Vnni,
    /// What every processor of 64-bit ARM has.
    Neon,
    /// The dot products of bytes that ARMv8.2 may have, besides.
    NeonDotprod,
}

impl InstructionSet {
    /// Those that this processor has, the plainest first.
    pub fn available() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let known = [
            (Self::Avx2, x86::has_avx2()),
            (Self::AvxVnni, x86::has_avx_vnni()),
            (Self::Avx512Vnni, x86::has_avx512_vnni()),
        ];
        #[cfg(target_arch = "aarch64")]
        let known = [
            (Self::Neon, neon::has_neon()),
            (Self::NeonDotprod, neon::has_dotprod()),
        ];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let known: [(Self, bool); 0] = [];
        let there = known
            .into_iter()
            .filter_map(|(set, there)| there.then_some(set));
        std::iter::once(Self::Portable).chain(there).collect()
    }

    /// What is to be used; none if this processor does not have it.
    pub(super) fn isa(self) -> Option<Isa> {
        let available = Self::available();
        let set = match self {
            Self::Auto => available.last().copied().unwrap_or(Self::Portable),
            asked => asked,
        };
        available.contains(&set).then_some(match set {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Isa::Avx2,
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => Isa::AvxVnni,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => Isa::Avx512Vnni,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => Isa::Neon,
            #[cfg(target_arch = "aarch64")]
            Self::NeonDotprod => Isa::NeonDotprod,
            _ => Isa::Portable,
        })
    }
}

impl std::fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avx-vnni",
            Self::Avx512Vnni => "avx512-vnni",
            Self::Neon => "neon",
            Self::NeonDotprod => "neon-dotprod",
        })
    }
}

/// Registers that attention computes floats in; the bits are the same in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vectors {
    /// Plain Rust.
    Plain,
    /// Eight lanes: AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Sixteen lanes: AVX-512F besides.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// The kernels of the last with instructions by their descriptions.
    #[cfg(all(test, target_arch = "x86_64"))]
    Emulated,
}

impl Vectors {
    /// Queries that share the loads of a kernel of attention, as many as there are registers for.
    pub(super) fn queries(self) -> usize {
        match self {
            Self::Plain => 6,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 6,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 8,
            #[cfg(all(test, target_arch = "x86_64"))]
            Self::Emulated => 8,
        }
    }
}

/// An instruction set that was found to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isa {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "aarch64")]
    NeonDotprod,
    /// The kernels of AVX-VNNI with instructions by their descriptions.
    #[cfg(all(test, target_arch = "x86_64"))]
    EmulatedVnni,
    /// Those of AVX-512 VNNI.
    #[cfg(all(test, target_arch = "x86_64"))]
    EmulatedAvx512Vnni,
    /// Those of NEON, on any processor.
    #[cfg(test)]
    EmulatedNeon,
    #[cfg(test)]
    EmulatedNeonDotprod,
}

impl Isa {
    pub(super) fn vectors(self) -> Vectors {
        match self {
            Self::Portable => Vectors::Plain,
            #[cfg(target_arch = "aarch64")]
            Self::Neon | Self::NeonDotprod => Vectors::Plain,
            #[cfg(test)]
            Self::EmulatedNeon | Self::EmulatedNeonDotprod => Vectors::Plain,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => Vectors::Avx512,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::AvxVnni => Vectors::Avx2,
            #[cfg(all(test, target_arch = "x86_64"))]
            Self::EmulatedVnni => Vectors::Avx2,
            #[cfg(all(test, target_arch = "x86_64"))]
            Self::EmulatedAvx512Vnni => Vectors::Emulated,
        }
    }
}
