//! Seeds of the market's addresses, without the bump. Those of [`super::state::MarketConfig`] and
//! [`super::state::MarketTreasury`] are [`crate::pda::CONFIG`] and [`crate::pda::TREASURY`], under the market's own address.

/// Seeds of a [`super::state::Class`]; `name` is its text with the length byte.
pub fn class(name: &[u8; 16]) -> [&[u8]; 2] {
    [b"class", name]
}
/// Seeds of a [`super::state::Provider`].
pub fn provider(authority: &[u8; 32]) -> [&[u8]; 2] {
    [b"provider", authority]
}
/// Seeds of a [`super::state::Request`].
pub fn request<'a>(tenant: &'a [u8; 32], nonce: &'a [u8; 16]) -> [&'a [u8]; 3] {
    [b"request", tenant, nonce]
}
/// Seeds of a [`super::state::Lease`]: one a request.
pub fn lease(request: &[u8; 32]) -> [&[u8]; 2] {
    [b"lease", request]
}
/// Seeds of a [`super::state::LeaseDispute`]; `epoch` is a little-endian `u64`.
pub fn lease_dispute<'a>(
    lease: &'a [u8; 32],
    epoch: &'a [u8; 8],
    disputer: &'a [u8; 32],
) -> [&'a [u8]; 4] {
    [b"lease-dispute", lease, epoch, disputer]
}
