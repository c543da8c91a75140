//! What an operator does with `agave-validator plugin …`, through Agave's own client of the admin RPC.

use agave_validator::admin_rpc_service;
use anyhow::{Result, anyhow, bail};
use std::path::Path;

/// `list`, `load CONFIG`, `unload NAME`, `reload NAME CONFIG`: what it answered, a line each.
pub fn plugin(ledger: &Path, words: &[&str]) -> Result<Vec<String>> {
    admin_rpc_service::runtime().block_on(async {
        let admin = admin_rpc_service::connect(ledger)
            .await
            .map_err(|error| anyhow!("the admin RPC of {}: {error}", ledger.display()))?;
        let said = match words {
            ["list"] => admin.list_plugins().await,
            ["load", config] => admin
                .load_plugin((*config).into())
                .await
                .map(|name| vec![name]),
            ["unload", name] => admin
                .unload_plugin((*name).into())
                .await
                .map(|()| Vec::new()),
            ["reload", name, config] => {
                let reloaded = admin.reload_plugin((*name).into(), (*config).into()).await;
                reloaded.map(|()| Vec::new())
            }
            _ => bail!("list | load CONFIG | unload NAME | reload NAME CONFIG"),
        };
        said.map_err(|error| anyhow!("{error}"))
    })
}
