//! The answers of one network as others read them: a client generated from its description, official clients, and a verifier that
//! shares no code with the nodes.

mod independent;
mod openapi;
mod shapes;

use anyhow::{Context, Result};
use mythic_e2e::Network;

/// One after the other: the start of a network takes as long as any of them.
#[tokio::test(flavor = "multi_thread")]
async fn generated_and_official_clients_and_an_independent_verifier_read_the_answers() -> Result<()>
{
    let network = Network::start(&["--validators", "1", "--slot-ms", "50"]).await?;
    network.finalized(&network.text("own_job")).await?;
    openapi::answers_have_the_types_that_a_generated_client_expects(&network)
        .await
        .context("the types of the description")?;
    shapes::official_clients_call_functions_ask_for_json_and_stream_responses(&network)
        .await
        .context("official clients")?;
    independent::a_verifier_that_shares_no_code_finds_answers_honest_and_altered_evidence_withheld(
        &network,
    )
    .await
    .context("the independent verifier")
}
