//! One Parquet file: rows of a query, as the server sends them, with settings that make equal rows equal bytes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use sha2::{Digest, Sha256};
use tokio_postgres::Row;
use tokio_postgres::types::Type as Postgres;

use crate::error::IndexerError;

/// Rows in one group.
pub const GROUP: usize = 65_536;

/// What a column of a view is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    Integer,
    Small,
    Text,
    /// As the database writes it: keys in a fixed order.
    Json,
    /// A list of texts.
    Texts,
    Flag,
    /// UTC, microseconds.
    Time,
    Date,
}

impl ColumnKind {
    pub fn of(name: &str, column: &Postgres) -> Result<Self, IndexerError> {
        Ok(match *column {
            Postgres::INT8 => Self::Integer,
            Postgres::INT4 | Postgres::INT2 => Self::Small,
            Postgres::TEXT => Self::Text,
            Postgres::JSONB => Self::Json,
            Postgres::TEXT_ARRAY => Self::Texts,
            Postgres::BOOL => Self::Flag,
            Postgres::TIMESTAMPTZ => Self::Time,
            Postgres::DATE => Self::Date,
            _ => {
                return Err(IndexerError::Broken(format!(
                    "column {name} of type {column} has no place in a Parquet file"
                )));
            }
        })
    }

    /// The expression that a query selects for it.
    pub fn select(self, name: &str) -> String {
        match self {
            Self::Time => format!("(extract(epoch FROM {name}) * 1000000)::bigint"),
            Self::Date => format!("({name} - '1970-01-01'::date)::integer"),
            Self::Small => format!("{name}::integer"),
            Self::Json => format!("{name}::text"),
            Self::Integer | Self::Text | Self::Texts | Self::Flag => name.to_owned(),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Integer => "int64",
            Self::Small => "int32",
            Self::Text => "string",
            Self::Json => "json",
            Self::Texts => "list of string",
            Self::Flag => "boolean",
            Self::Time => "timestamp[us, UTC]",
            Self::Date => "date",
        }
    }

    fn parquet(self, name: &str) -> Result<Type, ParquetError> {
        let (physical, logical) = match self {
            Self::Integer => (Physical::INT64, None),
            Self::Small => (Physical::INT32, None),
            Self::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
            Self::Texts => return list_of_texts(name),
            Self::Flag => (Physical::BOOLEAN, None),
            Self::Time => (
                Physical::INT64,
                Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
            ),
            Self::Date => (Physical::INT32, Some(LogicalType::Date)),
        };
        Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build()
    }
}

/// A list that may be null, of texts that may not.
fn list_of_texts(name: &str) -> Result<Type, ParquetError> {
    let text = Type::primitive_type_builder("element", Physical::BYTE_ARRAY)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(Some(LogicalType::String))
        .build()?;
    let list = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![Arc::new(text)])
        .build()?;
    Type::group_type_builder(name)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(Some(LogicalType::List))
        .with_fields(vec![Arc::new(list)])
        .build()
}

pub struct DayFile {
    writer: SerializedFileWriter<File>,
    kinds: Vec<ColumnKind>,
    rows: Vec<Row>,
}

/// A file that is written.
#[derive(Debug, PartialEq, Eq)]
pub struct Sealed {
    pub bytes: u64,
    pub sha256: String,
}

fn failed(what: &Path, error: impl std::fmt::Display) -> IndexerError {
    IndexerError::Export(format!("{}: {error}", what.display()))
}

impl DayFile {
    pub fn create(path: &Path, columns: &[(String, ColumnKind)]) -> Result<Self, IndexerError> {
        let error = |e: ParquetError| failed(path, e);
        let mut fields = Vec::new();
        for (name, kind) in columns {
            fields.push(Arc::new(kind.parquet(name).map_err(error)?));
        }
        let schema = Type::group_type_builder("row")
            .with_fields(fields)
            .build()
            .map_err(error)?;
        let properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_created_by("mythic".into())
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .build();
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .map_err(|e| failed(path, e))?;
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))
            .map_err(error)?;
        Ok(Self {
            writer,
            kinds: columns.iter().map(|(_, kind)| *kind).collect(),
            rows: Vec::new(),
        })
    }

    pub fn push(&mut self, row: Row) -> Result<(), IndexerError> {
        self.rows.push(row);
        match self.rows.len() >= GROUP {
            true => self.group(),
            false => Ok(()),
        }
    }

    fn group(&mut self) -> Result<(), IndexerError> {
        let rows = std::mem::take(&mut self.rows);
        self.columns(&rows)
            .map_err(|e| IndexerError::Export(e.to_string()))
    }

    fn columns(&mut self, rows: &[Row]) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for (place, kind) in self.kinds.iter().enumerate() {
            let Some(mut column) = group.next_column()? else {
                return Err(ParquetError::General("a column is missing".into()));
            };
            match column.untyped() {
                ColumnWriter::Int64ColumnWriter(w) => {
                    let (values, there) = values::<i64, _>(rows, place, |v| v)?;
                    w.write_batch(&values, Some(&there), None)?;
                }
                ColumnWriter::Int32ColumnWriter(w) => {
                    let (values, there) = values::<i32, _>(rows, place, |v| v)?;
                    w.write_batch(&values, Some(&there), None)?;
                }
                ColumnWriter::BoolColumnWriter(w) => {
                    let (values, there) = values::<bool, _>(rows, place, |v| v)?;
                    w.write_batch(&values, Some(&there), None)?;
                }
                ColumnWriter::ByteArrayColumnWriter(w) if *kind == ColumnKind::Texts => {
                    let (values, there, repeated) = texts(rows, place)?;
                    w.write_batch(&values, Some(&there), Some(&repeated))?;
                }
                ColumnWriter::ByteArrayColumnWriter(w) => {
                    let (values, there) =
                        values::<String, _>(rows, place, |v| ByteArray::from(v.into_bytes()))?;
                    w.write_batch(&values, Some(&there), None)?;
                }
                _ => return Err(ParquetError::General("a column of an unknown kind".into())),
            }
            column.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// Writes what is left, and hashes the file.
    pub fn seal(mut self) -> Result<Sealed, IndexerError> {
        if !self.rows.is_empty() {
            self.group()?;
        }
        let error = |e: &dyn std::fmt::Display| IndexerError::Export(e.to_string());
        let mut file = self.writer.into_inner().map_err(|e| error(&e))?;
        file.sync_all().map_err(|e| error(&e))?;
        file.seek(SeekFrom::Start(0)).map_err(|e| error(&e))?;
        let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
        loop {
            let read = file.read(&mut buffer).map_err(|e| error(&e))?;
            if read == 0 {
                break;
            }
            bytes += read as u64;
            hash.update(&buffer[..read]);
        }
        Ok(Sealed {
            bytes,
            sha256: hex::encode(hash.finalize()),
        })
    }
}

/// The values of a column that are not null, and for each row whether it has one.
fn values<'r, T, V>(
    rows: &'r [Row],
    place: usize,
    value: impl Fn(T) -> V,
) -> Result<(Vec<V>, Vec<i16>), ParquetError>
where
    T: tokio_postgres::types::FromSql<'r>,
{
    let mut out = Vec::with_capacity(rows.len());
    let mut there = Vec::with_capacity(rows.len());
    for row in rows {
        let found: Option<T> = row
            .try_get(place)
            .map_err(|e| ParquetError::External(Box::new(e)))?;
        there.push(i16::from(found.is_some()));
        out.extend(found.map(&value));
    }
    Ok((out, there))
}

/// Values, how far each is there, and whether it goes on with a list.
type Texts = (Vec<ByteArray>, Vec<i16>, Vec<i16>);

/// The texts of a column of lists; for each text, or list without any, how far it is there (0: no list, 1: an empty one, 2: a text),
/// and whether it goes on with the list before it.
fn texts(rows: &[Row], place: usize) -> Result<Texts, ParquetError> {
    let (mut values, mut there, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let found: Option<Vec<String>> = row
            .try_get(place)
            .map_err(|e| ParquetError::External(Box::new(e)))?;
        let count = found.as_ref().map_or(0, Vec::len);
        if count == 0 {
            there.push(i16::from(found.is_some()));
            repeated.push(0);
        }
        for (n, text) in found.into_iter().flatten().enumerate() {
            values.push(ByteArray::from(text.into_bytes()));
            there.push(2);
            repeated.push(i16::from(n > 0));
        }
    }
    Ok((values, there, repeated))
}
