//! What holds the settler up, in one word: the same in its `/health`, its log, `pipeline.heartbeat`, the gateway's `/health` and the
//! operator's guide. The words of the database and the RPC are the indexer's.

use mythic_client::ClientError;
use mythic_postgres::PostgresError;

use crate::database::IndexError;

/// Why a turn did not go well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Starting,
    DatabaseAway,
    DatabaseFull,
    DatabaseReadOnly,
    DatabaseRefuses,
    DatabaseVersion,
    RpcAway,
    RpcRefuses,
    Slow,
    Hangs,
    Broken,
}

impl Trouble {
    #[cfg(test)]
    const ALL: [Trouble; 11] = [
        Trouble::Starting,
        Trouble::DatabaseAway,
        Trouble::DatabaseFull,
        Trouble::DatabaseReadOnly,
        Trouble::DatabaseRefuses,
        Trouble::DatabaseVersion,
        Trouble::RpcAway,
        Trouble::RpcRefuses,
        Trouble::Slow,
        Trouble::Hangs,
        Trouble::Broken,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Trouble::Starting => "starting",
            Trouble::DatabaseAway => "database_away",
            Trouble::DatabaseFull => "database_full",
            Trouble::DatabaseReadOnly => "database_read_only",
            Trouble::DatabaseRefuses => "database_refuses",
            Trouble::DatabaseVersion => "database_version",
            Trouble::RpcAway => "rpc_away",
            Trouble::RpcRefuses => "rpc_refuses",
            Trouble::Slow => "slow",
            Trouble::Hangs => "hangs",
            Trouble::Broken => "broken",
        }
    }

    /// Of what ended a turn.
    pub fn of(error: &anyhow::Error) -> Self {
        let cause = |cause: &(dyn std::error::Error + 'static)| {
            let database = cause.downcast_ref().map(Self::of_database);
            let index = cause.downcast_ref().map(Self::of_index);
            let chain = cause.downcast_ref().map(Self::of_chain);
            database.or(index).or(chain)
        };
        error.chain().find_map(cause).unwrap_or(Trouble::Broken)
    }

    fn of_index(error: &IndexError) -> Self {
        match error {
            IndexError::Postgres(error) => Self::of_database(error),
            IndexError::Key(_) => Trouble::Broken,
        }
    }

    fn of_database(error: &PostgresError) -> Self {
        match error {
            PostgresError::MigrationChanged { .. } | PostgresError::MigrationUnknown { .. } => {
                Trouble::DatabaseVersion
            }
            PostgresError::Url(_) | PostgresError::Tls(_) | PostgresError::Certificate(_) => {
                Trouble::DatabaseRefuses
            }
            PostgresError::Database(_)
            | PostgresError::Rights { .. }
            | PostgresError::NoAnswer(_)
            | PostgresError::Pool(_) => match error.sqlstate().and_then(|code| code.get(..2)) {
                _ if error.is_read_only() => Trouble::DatabaseReadOnly,
                Some("53") => Trouble::DatabaseFull,
                Some("0A" | "22" | "23" | "28" | "3D" | "42" | "54") => Trouble::DatabaseRefuses,
                _ => Trouble::DatabaseAway,
            },
        }
    }

    fn of_chain(error: &ClientError) -> Self {
        match error {
            ClientError::Rpc(_)
            | ClientError::Certificate(_)
            | ClientError::UnknownBlockhash
            | ClientError::Expired { .. } => Trouble::RpcAway,
            ClientError::Answer(_)
            | ClientError::Account { .. }
            | ClientError::Transaction(_)
            | ClientError::AlreadyProcessed
            | ClientError::Program(_) => Trouble::RpcRefuses,
            ClientError::Sign(_) => Trouble::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    const GUIDE: &str = include_str!("../../docs/operator-guide.md");

    #[test]
    fn every_word_stands_in_the_guide() {
        let (_, section) = GUIDE.split_once("\n## The settler\n").expect("a section");
        let section = section.split("\n## ").next().unwrap_or_default();
        for word in Trouble::ALL.map(Trouble::as_str) {
            let row = |line: &str| {
                let cell = line.strip_prefix("| ")?.split(" | ").next()?;
                Some(cell.contains(&format!("`{word}`")))
            };
            assert!(
                section.lines().filter_map(row).any(|found| found),
                "no row of the settler's table begins with {word}"
            );
        }
    }

    #[test]
    fn the_word_is_that_of_the_cause_however_deep_it_lies() {
        let unreached = || ClientError::Rpc("connection refused".into());
        let newer = || PostgresError::MigrationUnknown { name: "x".into() };
        for (error, word) in [
            (anyhow::Error::new(unreached()), "rpc_away"),
            (
                Err::<(), _>(unreached()).context("at work").unwrap_err(),
                "rpc_away",
            ),
            (ClientError::Answer("{".into()).into(), "rpc_refuses"),
            (newer().into(), "database_version"),
            (IndexError::Postgres(newer()).into(), "database_version"),
            (
                IndexError::Postgres(PostgresError::Url("x".into())).into(),
                "database_refuses",
            ),
            (
                PostgresError::Certificate("expired".into()).into(),
                "database_refuses",
            ),
            (
                PostgresError::Pool("timeout".into()).into(),
                "database_away",
            ),
            (IndexError::Key(3).into(), "broken"),
            (anyhow::anyhow!("what nobody thought of"), "broken"),
        ] {
            assert_eq!(Trouble::of(&error).as_str(), word, "{error:#}");
        }
    }
}
