//! Checks of others' answers, and what is owed to disputes. What is decided is in [`mythic_verifier`].
//!
//! - [`results`]: follows results and checks some; [`challenge`]: challenges the false ones
//! - [`duties`]: disputes that concern this node; [`errand`]: one duty done
//! - [`fetch`]: evidence from strangers; [`checking`]: what both need of the node

mod challenge;
mod checking;
pub mod duties;
mod errand;
pub mod fetch;
pub mod results;
