//! `mythic provider measure`: how long the proof of a class takes here.

use crate::{
    context::Connection,
    exit::{self, Exit},
    progress::Step,
    report::Report,
};
use anyhow::Result;
use clap::Args;
use mythic_provider::{measure, setup};

/// Compute the proof of one unit of a class and say how long it takes here, and which share of an epoch. Exit code 6 if it is not made
/// in time. Classes of GPUs are not measured: their proofs are not computed by this version
#[derive(Args, Debug)]
pub struct Measure {
    /// The class, by its name on chain
    #[arg(long, default_value = "cpu")]
    class: String,
    /// Units that are proved one after the other
    #[arg(long, default_value_t = 1)]
    units: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Measure {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let chain = connection.chain();
        let grid = setup::market(&chain).await?.grid;
        let (_, class) = setup::class(&chain, &self.class).await?;
        let step = Step::new("Computing a proof");
        let measured = tokio::task::spawn_blocking(move || measure::measure(&class, &grid)).await?;
        let measured = measured
            .map_err(|error| Exit::error(exit::CANNOT_SAY, format!("{error}; not measured")))?;
        step.done();
        let (share, good) = (measured.share(self.units), measured.is_in_time(self.units));
        let seconds = measured.proof.as_secs_f64();
        let allowed = measured.allowed.as_secs_f64();
        Report::default()
            .add("class", self.class.clone())
            .add("side", class.probe.n.get())
            .add("rounds", class.probe.rounds.get())
            .say("proof", format!("{seconds:.2} s a unit"), seconds)
            .say(
                "allowed",
                format!("{allowed:.1} s from the beginning of an epoch"),
                allowed,
            )
            .say(
                "share",
                format!("{:.2} % of an epoch", 100.0 * share),
                share,
            )
            .add("units", self.units)
            .say("in_time", if good { "yes" } else { "no" }, good)
            .print(self.json)?;
        match good {
            true => Ok(()),
            false => Err(Exit::error(
                exit::CHECK_FAILED,
                format!(
                    "proofs of {} units take more than half of the time in which they are taken: offer fewer units of class {:?}",
                    self.units, self.class
                ),
            )),
        }
    }
}
