//! The settler's own SQL files.

use mythic_postgres::{Former, Migration, Owner, PostgresError, migrations};

const FILES: &[Migration] = migrations!("../sql/settler":
    "0001_reconciliation.sql",
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
}
