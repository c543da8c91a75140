//! What a library says of itself in a section of its own, `.mythic.plugin`: text, a key and a value a line, then zeros.
//! `mythic doctor plugin` reads it from the file, before any of its code could run.

/// The compiler, as it calls itself: `rustc 1.95.0 (59807616e 2026-04-14)`.
pub const RUSTC: &str = env!("MYTHIC_RUSTC");

/// Bytes of the section.
pub const NOTE_BYTES: usize = 256;

/// The section's content. `interface` is the crate of the validator's interface and its release.
pub const fn note(interface: (&str, &str)) -> [u8; NOTE_BYTES] {
    let parts = [
        "mythic-geyser-plugin\nversion=",
        env!("CARGO_PKG_VERSION"),
        "\ncrate=",
        interface.0,
        "\ninterface=",
        interface.1,
        "\nrustc=",
        RUSTC,
        "\n",
    ];
    let mut note = [0; NOTE_BYTES];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let bytes = parts[part].as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            note[at] = bytes[i];
            at += 1;
            i += 1;
        }
        part += 1;
    }
    note
}
