//! Changes the master key: every delegate's secret is opened with the old one and sealed with the new one, all or none.

use std::{path::Path, time::Duration};

use anyhow::{bail, ensure};
use mythic_postgres::{Manner, connect};

use crate::{accounts::Sealer, config::GatewayConfig, store};

/// Longest that the table may be held.
const PATIENCE: Duration = Duration::from_secs(600);

/// Seals all secrets with the key in `new_file` instead of that of the configuration; how many there were. No gateway of the
/// database may run: it would go on sealing with the old one.
pub async fn rotate(config: &GatewayConfig, new_file: &Path) -> anyhow::Result<u64> {
    for file in [config.master_key_file.as_path(), new_file] {
        ensure!(
            file.is_file(),
            "no master key in {}: make one with `(umask 077; openssl rand -hex 32 > FILE)`",
            file.display()
        );
    }
    let (old, new) = (
        Sealer::open(&config.master_key_file)?,
        Sealer::open(new_file)?,
    );
    let (mut client, _guard) =
        connect(&config.database_url, &Manner::named("mythic master key")).await?;
    let transaction = client.transaction().await?;
    let living = store::keys::lock(&transaction, config.timing.instance_seconds).await?;
    if living > 0 {
        bail!(
            "{living} gateways run on this database: stop them, and start them with the new key afterwards"
        );
    }
    let work = async {
        let sealed = store::keys::all_sealed(&transaction).await?;
        for key in &sealed {
            let Some(secret) = old.unseal(&key.id, &key.sealed) else {
                bail!(
                    "the secret of API key {} does not open with {}; nothing was changed",
                    key.id,
                    config.master_key_file.display()
                );
            };
            let again = new.seal(&key.id, &secret)?;
            store::keys::reseal(&transaction, &key.id, &again).await?;
        }
        Ok(sealed.len() as u64)
    };
    let Ok(count) = tokio::time::timeout(PATIENCE, work).await else {
        bail!(
            "it took more than {} s; nothing was changed",
            PATIENCE.as_secs()
        );
    };
    let count = count?;
    transaction.commit().await?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mythic_postgres::{Cluster, ClusterConfig};

    #[tokio::test]
    async fn all_secrets_change_their_key_or_none_and_never_under_a_gateway_that_runs() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let cluster = Cluster::start(ClusterConfig {
            data_dir: file("pg"),
            port: None,
        })
        .await
        .unwrap();
        store::migrate(cluster.url()).await.unwrap();
        let (old, new) = (
            Sealer::open(&file("old")).unwrap(),
            Sealer::open(&file("new")).unwrap(),
        );
        let (client, _guard) = connect(cluster.url(), &Manner::named("test"))
            .await
            .unwrap();
        let insert = "INSERT INTO gateway.api_key (id, hash, owner, delegate, sealed, name) VALUES ($1, $2, $3, $3, $4, '')";
        let key = [7u8; 32].as_slice();
        for id in ["a", "b"] {
            let hash = crate::accounts::hash(id);
            let sealed = old.seal(id, id.as_bytes()).unwrap();
            client
                .execute(insert, &[&id, &hash.as_slice(), &key, &sealed])
                .await
                .unwrap();
        }
        let config = GatewayConfig {
            database_url: cluster.url().into(),
            master_key_file: file("old"),
            ..GatewayConfig::default()
        };
        client
            .execute("INSERT INTO gateway.instance (id) VALUES ('one')", &[])
            .await
            .unwrap();
        let refused = rotate(&config, &file("new")).await.unwrap_err();
        assert!(refused.to_string().contains("1 gateways run"), "{refused}");
        client
            .execute(
                "UPDATE gateway.instance SET beat_at = now() - interval '1 hour'",
                &[],
            )
            .await
            .unwrap();
        let missing = rotate(&config, &file("none")).await.unwrap_err();
        assert!(missing.to_string().contains("openssl rand"), "{missing}");

        assert_eq!(rotate(&config, &file("new")).await.unwrap(), 2);
        let opened = async |sealer: &Sealer| -> Vec<Option<Vec<u8>>> {
            let sql = "SELECT id, sealed FROM gateway.api_key ORDER BY id";
            let rows = client.query(sql, &[]).await.unwrap();
            let open = |row: &tokio_postgres::Row| sealer.unseal(row.get(0), row.get(1));
            rows.iter().map(open).collect()
        };
        let secrets = [Some(b"a".to_vec()), Some(b"b".to_vec())];
        assert_eq!(opened(&new).await, secrets);
        assert_eq!(opened(&old).await, [None, None]);

        // The old key opens nothing any more: all stays as it is.
        let refused = rotate(&config, &file("new")).await.unwrap_err();
        assert!(refused.to_string().contains("API key a"), "{refused}");
        assert_eq!(opened(&new).await, secrets);
        cluster.stop().await.unwrap();
    }
}
