//! The settler's own SQL files.

use mythic_postgres::{Former, Migration, Owner, PostgresError, migrations};

const FILES: &[Migration] = migrations!("../sql/settler":
    "0001_reconciliation.sql",
    "0002_market.sql",
);

const OWNER: Owner = Owner {
    schema: "settler",
    files: FILES,
    former: &[Former {
        schema: "pipeline",
        name: "0100_settler.sql",
        now: "0001_reconciliation.sql",
    }],
    left: &[],
    repeatable: &[],
    scoped_schema: "",
};

/// Brings the settler's schema up to this build's. Safe to run at every start and from several processes.
pub async fn migrate(database_url: &str) -> Result<(), PostgresError> {
    mythic_postgres::migrate(database_url, &OWNER).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_listed_in_order() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql/settler");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        let listed: Vec<&str> = FILES.iter().map(|m| m.name).collect();
        assert_eq!(listed, found);
    }

    #[tokio::test]
    async fn a_database_that_was_laid_out_under_the_old_names_still_opens() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = mythic_postgres::Cluster::start(mythic_postgres::ClusterConfig {
            data_dir: dir.path().join("pg"),
            port: None,
        })
        .await
        .unwrap();
        let url = cluster.url();
        mythic_indexer::migrate(url).await.unwrap();
        let manner = mythic_postgres::Manner::named("test");
        let (client, _guard) = mythic_postgres::connect(url, &manner).await.unwrap();
        client.batch_execute(FILES[0].sql).await.unwrap();
        let old = "INSERT INTO pipeline.migration (name, sha256) VALUES ('0100_settler.sql', 'as it was')";
        client.batch_execute(old).await.unwrap();
        for _ in 0..2 {
            migrate(url).await.unwrap();
            mythic_indexer::migrate(url).await.unwrap();
        }
        let rows = client
            .query("SELECT name FROM settler.migration ORDER BY name", &[])
            .await
            .unwrap();
        let names: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(names, ["0001_reconciliation.sql", "0002_market.sql"]);
        // Whose role may not is told which schema it is about.
        let refused = migrate(cluster.readonly_url()).await.unwrap_err();
        assert_eq!(refused.sqlstate(), Some("42501"));
        assert!(refused.to_string().contains("lay out schema settler"));
        let trouble = crate::trouble::Trouble::of(&refused.into());
        assert_eq!(trouble.as_str(), "database_refuses");
        cluster.stop().await.unwrap();
    }
}
