//! Seeds of the program's addresses. Each function gives the seeds without the bump; clients and the
//! program derive with them and the canonical bump.

/// Seeds of [`crate::state::Config`].
pub const CONFIG: [&[u8]; 1] = [b"config"];
/// Seeds of [`crate::state::Treasury`].
pub const TREASURY: [&[u8]; 1] = [b"treasury"];

/// Seeds of a [`crate::state::Model`].
pub fn model(identity: &[u8; 32]) -> [&[u8]; 2] {
    [b"model", identity]
}
/// Seeds of a [`crate::state::Validator`].
pub fn validator(authority: &[u8; 32]) -> [&[u8]; 2] {
    [b"validator", authority]
}
/// Seeds of a [`crate::state::Vault`].
pub fn vault(owner: &[u8; 32]) -> [&[u8]; 2] {
    [b"vault", owner]
}
/// Seeds of a [`crate::state::SpendGrant`].
pub fn grant<'a>(owner: &'a [u8; 32], delegate: &'a [u8; 32]) -> [&'a [u8]; 3] {
    [b"grant", owner, delegate]
}
/// Seeds of a [`crate::state::Job`].
pub fn job<'a>(owner: &'a [u8; 32], nonce: &'a [u8; 16]) -> [&'a [u8]; 3] {
    [b"job", owner, nonce]
}
/// Seeds of a [`crate::state::Case`]: one a job.
pub fn case(job: &[u8; 32]) -> [&[u8]; 2] {
    [b"case", job]
}
/// Seeds of the [`crate::state::Votes`] of a case's jury.
pub fn votes(case: &[u8; 32]) -> [&[u8]; 2] {
    [b"votes", case]
}
/// Seeds of an [`crate::state::Output`]; `page` is a little-endian `u32`.
pub fn output<'a>(job: &'a [u8; 32], page: &'a [u8; 4]) -> [&'a [u8]; 3] {
    [b"output", job, page]
}
