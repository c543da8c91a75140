//! Whom to tell of a hole.

mythic_program::security_txt!("AI Precompiles", "programs/ai-precompiles");
