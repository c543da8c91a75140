//! Deadlines. All are half-open: something with deadline `end` is possible while `slot < end`, and what
//! follows it is possible from `end` on.

use crate::params::Rules;

/// Whether a period that ends at `end` still runs at `slot`. Every deadline in the program is this test
/// or its negation.
pub const fn open(slot: u64, end: u64) -> bool {
    slot < end
}

/// End of the challenge window of a result submitted in `submitted_slot`: a case is opened before, the fee claimed from then on.
pub const fn challenge_end(submitted_slot: u64, rules: &Rules) -> u64 {
    submitted_slot.saturating_add(rules.window_slots.get() as u64)
}

/// Slots that a cancel leaves to submit what there is: the rules' grace and the time that the prompt takes to be read, so that
/// nobody has a long one read for nothing.
pub const fn cancel_grace(prompt_tokens: u32, rules: &Rules) -> u64 {
    let reading = match prompt_tokens.checked_div(rules.prefill_tokens_per_slot.get()) {
        Some(slots) => slots,
        None => 0,
    };
    rules.cancel_grace_slots.get() as u64 + reading as u64
}

/// End of the time for the result of a job that was cancelled: the end of the grace, or the deadline if that is earlier.
pub const fn submit_end(
    deadline_slot: u64,
    cancel_slot: u64,
    prompt_tokens: u32,
    rules: &Rules,
) -> u64 {
    let grace = cancel_slot.saturating_add(cancel_grace(prompt_tokens, rules));
    if grace < deadline_slot {
        grace
    } else {
        deadline_slot
    }
}

/// The slot in a nonce's first eight bytes: the last one in which it may be used.
pub const fn nonce_expiry(nonce: &[u8; 16]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *nonce;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// A nonce that expires after `expiry_slot`, told apart by `tag`.
pub const fn nonce(expiry_slot: u64, tag: [u8; 8]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h] = expiry_slot.to_le_bytes();
    let [i, j, k, l, m, n, o, p] = tag;
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// End of the time that a job which ended in `ended_slot` must stay: closable from then on. Its nonce
/// can't be used again, so neither can its address.
pub const fn retention_end(ended_slot: u64, nonce: &[u8; 16], rules: &Rules) -> u64 {
    stay_end(ended_slot, nonce, rules.close_delay_slots.get())
}

/// The same for whatever lies at an address made of a nonce.
pub const fn stay_end(ended_slot: u64, nonce: &[u8; 16], close_delay_slots: u32) -> u64 {
    let delay = ended_slot.saturating_add(close_delay_slots as u64);
    let expiry = nonce_expiry(nonce).saturating_add(1);
    if delay > expiry { delay } else { expiry }
}

/// Slots between the moment in which a jury is called and the slot whose hash draws the first seat.
pub const JURY_DELAY_SLOTS: u64 = 8;
/// Slots from one seat's draw to the next one's: each has another leader.
pub const SEAT_SLOTS: u64 = 4;

/// End of the time for leaves that are asked for from slot `from` on, and for so many chunks of output with them: a slot more for
/// every four, so that the longest output can be shown in the shortest time that rules may set.
pub const fn openings_end(from: u64, chunks: u32, rules: &Rules) -> u64 {
    from.saturating_add(rules.openings_slots.get() as u64 + chunks as u64 / 4)
}

/// End of the time in which others join a case whose output and sample were shown in `shown_slot`.
pub const fn joining_end(shown_slot: u64, rules: &Rules) -> u64 {
    shown_slot.saturating_add(rules.window_slots.get() as u64)
}

/// The slot whose hash draws the first seat of a jury, J0. `called_slot` is the later of the end of joining and the last leaf.
pub const fn jury_slot(called_slot: u64) -> u64 {
    called_slot.saturating_add(JURY_DELAY_SLOTS)
}

/// Slot from which jurors commit: J0 + 4J.
pub const fn commit_start(jury_slot: u64, jury_seats: u8) -> u64 {
    jury_slot.saturating_add(SEAT_SLOTS * jury_seats as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Params;

    #[test]
    fn windows_are_half_open() {
        let rules = Params::mainnet().rules;
        let end = challenge_end(1_000, &rules);
        assert_eq!(end, 1_100);
        assert!(open(1_099, end) && !open(1_100, end));
    }

    #[test]
    fn a_long_output_has_a_slot_more_for_every_four_chunks() {
        let rules = Params::dev().rules;
        let ends = [0, 3, 4, 512].map(|chunks| openings_end(1_000, chunks, &rules));
        assert_eq!(ends, [1_050, 1_050, 1_051, 1_178]);
    }

    #[test]
    fn a_cancel_shortens_the_time_for_a_result_but_never_lengthens_it() {
        let rules = Params::mainnet().rules;
        assert_eq!(submit_end(2_000, 1_000, 39, &rules), 1_050);
        assert_eq!(submit_end(2_000, 1_990, 39, &rules), 2_000);
        // Forty tokens of the prompt are another slot.
        assert_eq!(cancel_grace(60_000, &rules), 50 + 1_500);
        assert_eq!(submit_end(2_000, 300, 4_000, &rules), 450);
    }

    #[test]
    fn a_job_stays_until_its_nonce_is_dead() {
        let rules = Params::mainnet().rules;
        let nonce = nonce(9_999, *b"attempt1");
        assert_eq!(nonce_expiry(&nonce), 9_999);
        assert_eq!(retention_end(1_000, &nonce, &rules), 10_000);
        assert_eq!(retention_end(9_000, &nonce, &rules), 11_250);
    }
}
