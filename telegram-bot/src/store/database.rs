//! Runs statements on a SQLite file or a PostgreSQL server. Both take the same text; SQLite's lacks the schema.

use std::{path::Path, sync::Arc, time::Duration};

use mythic_postgres::{ConnectionGuard, Manner, Migration, Owner, PostgresError, migrations};
use rusqlite::types::Value as Sqlite;
use tokio::sync::Mutex;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

const FILES: &[Migration] = migrations!("../sql/bot":
    "0001_tables.sql",
);

const OWNER: Owner = Owner {
    schema: "telegram_bot",
    files: FILES,
    former: &[],
    left: &[],
    repeatable: &[],
    scoped_schema: "",
};

/// What stands before the tables in PostgreSQL.
const SCHEMA: &str = "telegram_bot.";
/// How long a file that another process writes is waited for.
const BUSY: Duration = Duration::from_secs(10);

/// Why the store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the database: {0}")]
    Postgres(#[from] PostgresError),
    #[error("the database: {0}")]
    Statement(#[from] tokio_postgres::Error),
    #[error("the database file {path}: {source}")]
    File {
        path: String,
        source: std::io::Error,
    },
    #[error("the database is of a newer bot: it has {0} files applied")]
    Newer(i64),
    #[error("the database's thread ended")]
    Thread,
}

/// A value of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    Int(i64),
    Text(String),
    Null,
}

impl Field {
    /// A text that may be missing.
    pub fn maybe(text: Option<String>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

impl ToSql for Field {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Int(value) => value.to_sql(kind, out),
            // PostgreSQL keeps no such character, and a model may write one.
            Self::Text(value) if value.contains('\0') => {
                value.replace('\0', "\u{fffd}").to_sql(kind, out)
            }
            Self::Text(value) => value.to_sql(kind, out),
            Self::Null => Ok(IsNull::Yes),
        }
    }

    fn accepts(kind: &Type) -> bool {
        <i64 as ToSql>::accepts(kind) || <String as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}

/// A row, whose columns are taken in order.
#[derive(Debug)]
pub struct Row(std::vec::IntoIter<Field>);

impl Row {
    /// The next column, if it is a number.
    pub fn int(&mut self) -> Option<i64> {
        match self.0.next() {
            Some(Field::Int(value)) => Some(value),
            _ => None,
        }
    }

    /// The next column, if it is a text.
    pub fn text(&mut self) -> Option<String> {
        match self.0.next() {
            Some(Field::Text(value)) => Some(value),
            _ => None,
        }
    }
}

/// What statements are run on. Cheap to clone.
#[derive(Clone)]
pub enum Database {
    /// A connection that one statement at a time uses.
    File(Arc<std::sync::Mutex<rusqlite::Connection>>),
    /// A server, and its connection while it is good.
    Server(Arc<Server>),
}

/// A PostgreSQL server.
pub struct Server {
    url: String,
    open: Mutex<Option<(tokio_postgres::Client, ConnectionGuard)>>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File(_) => "Database::File",
            Self::Server(_) => "Database::Server",
        })
    }
}

impl Database {
    /// Opens a file (`:memory:` for a test) or the server at a URL, and applies the files that it lacks.
    pub async fn open(database: &str) -> Result<Self, StoreError> {
        if database.contains("://") || database.contains("host=") {
            mythic_postgres::migrate(database, &OWNER).await?;
            return Ok(Self::Server(Arc::new(Server {
                url: database.to_owned(),
                open: Mutex::new(None),
            })));
        }
        let path = database.to_owned();
        let opened = tokio::task::spawn_blocking(move || file(&path)).await;
        let connection = opened.map_err(|_| StoreError::Thread)??;
        Ok(Self::File(Arc::new(std::sync::Mutex::new(connection))))
    }

    /// Runs a statement, and counts the rows that it changed.
    pub async fn run(&self, sql: &str, fields: Vec<Field>) -> Result<u64, StoreError> {
        match self {
            Self::File(file) => {
                let (file, sql) = (file.clone(), sql.replace(SCHEMA, ""));
                let ran = tokio::task::spawn_blocking(move || -> Result<u64, StoreError> {
                    let file = file.lock().unwrap_or_else(|broken| broken.into_inner());
                    let mut statement = file.prepare(&sql)?;
                    bind(&mut statement, fields)?;
                    Ok(statement.raw_execute()? as u64)
                });
                ran.await.map_err(|_| StoreError::Thread)?
            }
            Self::Server(server) => {
                let mut open = server.open.lock().await;
                let client = server.client(&mut open).await?;
                Ok(client.execute(sql, &pointers(&fields)).await?)
            }
        }
    }

    /// Runs a query.
    pub async fn rows(&self, sql: &str, fields: Vec<Field>) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::File(file) => {
                let (file, sql) = (file.clone(), sql.replace(SCHEMA, ""));
                let read = tokio::task::spawn_blocking(move || -> Result<Vec<Row>, StoreError> {
                    let file = file.lock().unwrap_or_else(|broken| broken.into_inner());
                    let mut statement = file.prepare(&sql)?;
                    bind(&mut statement, fields)?;
                    let columns = statement.column_count();
                    let mut found = Vec::new();
                    let mut rows = statement.raw_query();
                    while let Some(row) = rows.next()? {
                        let mut fields = Vec::with_capacity(columns);
                        for column in 0..columns {
                            fields.push(match row.get::<_, Sqlite>(column)? {
                                Sqlite::Integer(value) => Field::Int(value),
                                Sqlite::Text(value) => Field::Text(value),
                                _ => Field::Null,
                            });
                        }
                        found.push(Row(fields.into_iter()));
                    }
                    Ok(found)
                });
                read.await.map_err(|_| StoreError::Thread)?
            }
            Self::Server(server) => {
                let mut open = server.open.lock().await;
                let client = server.client(&mut open).await?;
                let rows = client.query(sql, &pointers(&fields)).await?;
                let rows = rows.iter().map(|row| {
                    let fields = (0..row.len()).map(|column| {
                        let is_text = row
                            .columns()
                            .get(column)
                            .is_some_and(|c| *c.type_() == Type::TEXT);
                        Ok(match is_text {
                            true => Field::maybe(row.try_get(column)?),
                            false => row
                                .try_get::<_, Option<i64>>(column)?
                                .map_or(Field::Null, Field::Int),
                        })
                    });
                    let fields: Result<Vec<Field>, tokio_postgres::Error> = fields.collect();
                    Ok(Row(fields?.into_iter()))
                });
                rows.collect()
            }
        }
    }
}

impl Server {
    /// The connection, opened anew where it ended.
    async fn client<'a>(
        &self,
        open: &'a mut Option<(tokio_postgres::Client, ConnectionGuard)>,
    ) -> Result<&'a tokio_postgres::Client, StoreError> {
        if open.as_ref().is_some_and(|(client, _)| client.is_closed()) {
            *open = None;
        }
        let (client, _) = match open.take() {
            Some(kept) => open.insert(kept),
            None => {
                let manner = Manner::named("mythic bot").statement_timeout(Duration::from_secs(15));
                let made = mythic_postgres::connect(&self.url, &manner).await?;
                open.insert(made)
            }
        };
        Ok(client)
    }
}

fn pointers(fields: &[Field]) -> Vec<&(dyn ToSql + Sync)> {
    let pointers = fields.iter().map(|field| field as &(dyn ToSql + Sync));
    pointers.collect()
}

/// Gives a statement its parameters by name: SQLite numbers them in the order in which it meets them.
fn bind(
    statement: &mut rusqlite::Statement<'_>,
    fields: Vec<Field>,
) -> Result<(), rusqlite::Error> {
    for (place, field) in fields.into_iter().enumerate() {
        let name = format!("${}", place + 1);
        let Some(index) = statement.parameter_index(&name)? else {
            return Err(rusqlite::Error::InvalidParameterName(name));
        };
        let value = match field {
            Field::Int(value) => Sqlite::Integer(value),
            Field::Text(value) => Sqlite::Text(value),
            Field::Null => Sqlite::Null,
        };
        statement.raw_bind_parameter(index, value)?;
    }
    Ok(())
}

/// Opens a file for its owner alone, durable at every statement, and applies what it lacks.
fn file(path: &str) -> Result<rusqlite::Connection, StoreError> {
    if path != ":memory:" && !Path::new(path).exists() {
        let failed = |source| StoreError::File {
            path: path.to_owned(),
            source,
        };
        if let Some(parent) = Path::new(path)
            .parent()
            .filter(|dir| !dir.as_os_str().is_empty())
        {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        mythic_support::files::create_private(Path::new(path)).map_err(failed)?;
    }
    let mut connection = rusqlite::Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
    let changes = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let applied: i64 = changes.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = i64::try_from(FILES.len()).unwrap_or(i64::MAX);
    if applied > known {
        return Err(StoreError::Newer(applied));
    }
    let lacking = usize::try_from(applied).unwrap_or(0);
    for file in FILES.iter().skip(lacking) {
        changes.execute_batch(&file.sql.replace(SCHEMA, ""))?;
    }
    changes.execute_batch(&format!("PRAGMA user_version = {known}"))?;
    changes.commit()?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_listed_in_order() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql/bot");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        let listed: Vec<&str> = FILES.iter().map(|file| file.name).collect();
        assert_eq!(listed, found);
    }

    #[tokio::test]
    async fn parameters_are_bound_by_their_number_and_not_by_their_place() {
        let database = Database::open(":memory:").await.unwrap();
        let sql = "INSERT INTO telegram_bot.inbox (received, body, lane, update_id) VALUES ($3, $2, $3, $1)";
        let fields = vec![Field::Int(1), Field::Text("b".into()), Field::Int(3)];
        assert_eq!(database.run(sql, fields).await.unwrap(), 1);
        let sql = "SELECT update_id, body, received FROM telegram_bot.inbox";
        let mut row = database.rows(sql, Vec::new()).await.unwrap().remove(0);
        assert_eq!(
            (row.int(), row.text(), row.int()),
            (Some(1), Some("b".into()), Some(3))
        );
    }
}
