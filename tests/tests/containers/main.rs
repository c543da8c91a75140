//! Containers of leases on the real runc, as root: what keeps them within their bounds and apart, what survives this process, what is left of
//! them in the end, and a lease of one as its tenant types it. Where runc can't run these tests say so and count as skipped; with
//! `MYTHIC_REQUIRE_CONTAINERS=1` they fail. Docker is tested on the machine's
//! daemon, or on one of the test's own.

mod bounds;
mod docker;
mod fleet;
mod lease;
mod machine;
mod registry;
