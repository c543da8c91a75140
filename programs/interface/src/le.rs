//! Little-endian integers as byte arrays, and short texts of fixed room: alignment 1, no padding,
//! readable in place on any machine.

use bytemuck::{Pod, Zeroable};

macro_rules! le_int {
    ($(#[$doc:meta])* $name:ident, $int:ty, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
        #[repr(transparent)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Wraps a native integer.
            #[inline(always)]
            pub const fn new(value: $int) -> Self {
                Self(value.to_le_bytes())
            }
            /// The native integer.
            #[inline(always)]
            pub const fn get(self) -> $int {
                <$int>::from_le_bytes(self.0)
            }
            /// Overwrites the value.
            #[inline(always)]
            pub fn set(&mut self, value: $int) {
                self.0 = value.to_le_bytes();
            }
        }

        impl From<$int> for $name {
            fn from(value: $int) -> Self {
                Self::new(value)
            }
        }
        impl From<$name> for $int {
            fn from(value: $name) -> Self {
                value.get()
            }
        }
        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Debug::fmt(&self.get(), f)
            }
        }
        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(&self.get(), f)
            }
        }
        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> core::cmp::Ordering {
                self.get().cmp(&other.get())
            }
        }
    };
}

le_int!(
    /// `u16`, little-endian, alignment 1.
    U16, u16, 2
);
le_int!(
    /// `u32`, little-endian, alignment 1.
    U32, u32, 4
);
le_int!(
    /// `u64`, little-endian, alignment 1.
    U64, u64, 8
);
le_int!(
    /// `i32`, little-endian, alignment 1.
    I32, i32, 4
);
le_int!(
    /// `i64`, little-endian, alignment 1.
    I64, i64, 8
);

/// Up to `N` (at most 255) bytes of printable ASCII: a length byte, the text, zeroes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Text<const N: usize> {
    len: u8,
    bytes: [u8; N],
}

// SAFETY: `repr(C)` of bytes only: no padding, alignment 1, and every bit pattern is a value (the
// accessors check the length).
unsafe impl<const N: usize> Zeroable for Text<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> Pod for Text<N> {}

impl<const N: usize> Text<N> {
    /// Makes a text; `None` if it is longer than `N` bytes or has another character than printable ASCII.
    pub fn new(text: &str) -> Option<Self> {
        if text.len() > N || text.len() > u8::MAX as usize {
            return None;
        }
        let mut out = Self {
            len: text.len() as u8,
            bytes: [0; N],
        };
        out.bytes[..text.len()].copy_from_slice(text.as_bytes());
        out.is_valid().then_some(out)
    }

    /// The text as bytes, without the length byte; cut to `N` if the length byte lies.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..(self.len as usize).min(N)]
    }

    /// The text; empty if the bytes are not valid (see [`Self::is_valid`]).
    pub fn as_str(&self) -> &str {
        match self.is_valid() {
            true => core::str::from_utf8(self.bytes()).unwrap_or(""),
            false => "",
        }
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the length fits, every character is printable ASCII (0x20 to 0x7e) and the rest is zero.
    pub fn is_valid(&self) -> bool {
        let len = self.len as usize;
        len <= N
            && self.bytes[..len].iter().all(|b| (0x20..=0x7e).contains(b))
            && self.bytes[len..].iter().all(|b| *b == 0)
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self {
            len: 0,
            bytes: [0; N],
        }
    }
}

impl<const N: usize> core::fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self.as_str(), f)
    }
}
