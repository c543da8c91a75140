//! `mythic provider init`: keys, configuration, registration. What is there already is used, so that it can be typed again.

use crate::{
    commands::{
        init::{is_loopback, private_dir, write_private},
        wallet,
    },
    config,
    confirm::confirm,
    context::Connection,
    exit::{self, Exit},
    model::fetch_with_progress,
    note,
    report::Report,
    say,
    units::{parse_amount, sol},
};
use anyhow::{Context, Result};
use clap::Args;
use mythic_client::{Commitment, keys};
use mythic_provider::{ProviderConfig, setup};
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::{net::SocketAddr, path::PathBuf};

/// Make keys and a configuration and register the provider; the wallet (--keypair) pays stake, rent and fees, which are shown first.
/// Typed again after provider.toml was edited, it changes what the chain says
#[derive(Args, Debug)]
pub struct ProviderInit {
    /// Directory for provider.toml, keys, promises and proofs
    #[arg(default_value = "mythic-provider")]
    dir: PathBuf,
    /// Public URL under which tenants reach this provider; of a new configuration it must be given
    #[arg(long)]
    endpoint: Option<String>,
    /// Where to listen
    #[arg(long, default_value = "0.0.0.0:8090")]
    listen: SocketAddr,
    /// GGUF file to lease out [default: the default model, fetched]
    #[arg(long)]
    model: Option<PathBuf>,
    /// Class of capacity, by its name on chain; `mythic provider measure` says whether this machine proves it in time
    #[arg(long, default_value = "cpu")]
    class: String,
    /// Units to offer; each tenant's engine gets its part of the cores
    #[arg(long, default_value_t = 1)]
    units: u16,
    /// Price of a unit for a second, SOL or lamports (10000lamports)
    #[arg(long, default_value = "10000lamports", value_parser = parse_amount)]
    price: u64,
    /// Where it is, as tenants may ask for it
    #[arg(long, default_value = "")]
    region: String,
    /// Stake to register with, in SOL
    #[arg(long, default_value = "2", value_parser = parse_amount)]
    stake: u64,
    /// Write the files and register nothing
    #[arg(long)]
    no_register: bool,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl ProviderInit {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let file = self.dir.join("provider.toml");
        if !file.exists() {
            self.write(connection, &file).await?;
            note!("Wrote {}", file.display());
        }
        let config: ProviderConfig = config::load(Some(&file))?;
        let start = format!("mythic provider run --config {}", file.display());
        let mut report = Report::default();
        report
            .add("authority", config.authority.clone())
            .add("config", file.display().to_string())
            .add("start", start.clone());
        if self.no_register {
            return report.print(self.json);
        }
        let authority = keys::load_keypair(self.dir.join("authority.json"))
            .context("the authority signs its registration")?;
        let operator = keys::load_keypair(&config.operator_keypair)?;
        self.register(connection, &config, (&authority, &operator))
            .await?;
        report.print(self.json)?;
        if !self.json {
            say!("Start it with `{start}`.");
            note!(
                "Keep authority.json away from this machine: it owns stake and earnings. The operator key can be replaced."
            );
        }
        Ok(())
    }

    /// Makes directory, keys and configuration.
    async fn write(&self, connection: &Connection, file: &std::path::Path) -> Result<()> {
        let endpoint = self.endpoint.clone().ok_or_else(|| {
            Exit::error(
                exit::USAGE,
                "--endpoint URL: tenants reach this provider at a URL; name it",
            )
        })?;
        let model = match &self.model {
            Some(path) => path
                .canonicalize()
                .with_context(|| format!("--model {}", path.display()))?,
            None => fetch_with_progress().await?,
        };
        crate::model::check(&model)?;
        private_dir(&self.dir)?;
        let dir = self.dir.canonicalize()?;
        let authority = keys::load_or_create(dir.join("authority.json"))?;
        let operator_keypair = dir.join("operator.json");
        keys::load_or_create(&operator_keypair)?;
        let (rpc_url, ws_url) = connection.chain_urls();
        let config = ProviderConfig {
            data_dir: dir.join("data"),
            authority: authority.pubkey().to_string(),
            operator_keypair,
            rpc_url,
            ws_url,
            listen: self.listen,
            // Only a development network has providers that nobody else could reach.
            allow_loopback: is_loopback(&endpoint),
            endpoint: Some(endpoint),
            models: vec![model],
            class: self.class.clone(),
            units: self.units,
            price_lamports: self.price,
            region: self.region.clone(),
            stake_lamports: self.stake,
            ..ProviderConfig::default()
        };
        config
            .validate()
            .map_err(|message| Exit::error(exit::USAGE, message))?;
        write_private(file, toml::to_string(&config)?.as_bytes())
    }

    /// Brings the chain to where the configuration wants it.
    async fn register(
        &self,
        connection: &Connection,
        config: &ProviderConfig,
        (authority, operator): (&Keypair, &Keypair),
    ) -> Result<()> {
        let (chain, payer) = (connection.chain(), connection.wallet()?);
        let plan = setup::plan(&chain, config, &operator.pubkey(), &payer.pubkey()).await?;
        let Some(call) = plan.call else {
            note!("The chain says what provider.toml says; nothing is signed.");
            return Ok(());
        };
        let mut calls = vec![call];
        let held = chain.balance(&operator.pubkey()).await?;
        let sent = plan.operator.saturating_sub(held);
        if sent > 0 {
            let (from, to) = (payer.pubkey(), operator.pubkey());
            calls.push(solana_system_interface::instruction::transfer(
                &from, &to, sent,
            ));
        }
        match plan.is_new {
            true => {
                note!("Registering provider {}:", authority.pubkey());
                note!(
                    "  stake      {}, which comes back by unstaking",
                    sol(plan.stake)
                );
                note!(
                    "  rent       {}, which comes back by closing",
                    sol(plan.rent)
                );
                note!(
                    "  operator   {} for rents of leases, a day of proofs and answers to disputes",
                    sol(sent)
                );
                note!("  fee        {}", sol(plan.fee));
            }
            false => note!(
                "Changing what the chain says of provider {}, for a fee of {}; its operator is sent {}, so that it can answer for all units",
                authority.pubkey(),
                sol(plan.fee),
                sol(sent)
            ),
        }
        let question = format!("Wallet {} signs and pays. Go on?", payer.pubkey());
        confirm(&question, self.yes)?;
        let sent = chain
            .send_and_confirm(
                &calls,
                &payer.pubkey(),
                &[&payer, authority],
                Commitment::Confirmed,
            )
            .await;
        match sent {
            Ok(signature) => note!("Signed and landed: {signature}"),
            Err(error) => return Err(wallet::explained(&chain, &payer, error).await),
        }
        Ok(())
    }
}
