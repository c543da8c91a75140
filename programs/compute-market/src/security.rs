//! Whom to tell of a hole.

mythic_program::security_txt!("Compute Market", "programs/compute-market");
