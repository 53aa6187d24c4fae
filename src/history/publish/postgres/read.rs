//! Reading a published table back.

use std::error::Error;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use tokio_postgres::types::{FromSql, Type, accepts};
use tokio_postgres::{GenericClient, Row};

use super::{Postgres, quoted};
use crate::config::PostgresSettings;
use crate::history::tables::{ColumnType, HistoryTable, TableRows};
use crate::history::{HistoryError, LakeError};

/// The rows of a table as readers of PostgreSQL see them; none where `settings` name no host.
///
/// # Errors
/// [`HistoryError`] where the server cannot be reached, refuses us, or has no such table.
pub async fn read_published_in_postgres(
    settings: &PostgresSettings,
    table: &'static HistoryTable,
) -> Result<TableRows, HistoryError> {
    let Some(host) = settings.host.as_deref() else {
        return Err(LakeError::Missing {
            what: "PostgreSQL server",
            place: "POSTGRES_HOST".to_owned(),
            help: "set it",
        }
        .into());
    };
    let postgres = Postgres::new(settings, host);
    let client = postgres.connect().await?;
    rows(&postgres, &client, table).await
}

/// The rows of a table as this connection, or this transaction, sees them.
pub(super) async fn rows(
    postgres: &Postgres<'_>,
    client: &impl GenericClient,
    table: &'static HistoryTable,
) -> Result<TableRows, HistoryError> {
    let fault = |error| postgres.fault(&format!("read {}", table.name), &error);
    let names: Vec<String> = table.columns.iter().map(|(name, _)| quoted(name)).collect();
    let sql = format!(
        "SELECT {} FROM {}.{}",
        names.join(", "),
        quoted(&postgres.settings.schema),
        quoted(table.name)
    );
    let rows = client.query(&sql, &[]).await.map_err(fault)?;
    let columns = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, (_, column_type))| column(&rows, index, *column_type))
        .collect::<Result<Vec<ArrayRef>, _>>()
        .map_err(fault)?;
    let batch = RecordBatch::try_new(table.schema(), columns).map_err(|error| HistoryError::Query {
        what: table.name.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(TableRows { table, batch })
}

fn column(rows: &[Row], index: usize, column_type: ColumnType) -> Result<ArrayRef, tokio_postgres::Error> {
    Ok(match column_type {
        ColumnType::Text => Arc::new(StringArray::from(values::<&str>(rows, index)?)),
        ColumnType::Boolean => Arc::new(BooleanArray::from(values::<bool>(rows, index)?)),
        ColumnType::BigInt => Arc::new(Int64Array::from(values::<i64>(rows, index)?)),
        ColumnType::Double => Arc::new(Float64Array::from(values::<f64>(rows, index)?)),
        ColumnType::Timestamp => {
            let micros = values::<Micros>(rows, index)?.into_iter();
            let micros = micros.map(|micros| micros.map(|Micros(micros)| micros));
            Arc::new(TimestampMicrosecondArray::from_iter(micros).with_timezone("UTC"))
        }
    })
}

/// A point in time, microseconds since epoch. PostgreSQL's go further than those of the clock's types, and have two
/// infinities, which become the nearest that there is.
pub(super) struct Micros(pub(super) i64);

impl<'a> FromSql<'a> for Micros {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Micros, Box<dyn Error + Sync + Send>> {
        /// 2000-01-01, from which PostgreSQL counts.
        const THEIRS: i64 = 946_684_800_000_000;
        Ok(Micros(i64::from_be_bytes(raw.try_into()?).saturating_add(THEIRS)))
    }

    accepts!(TIMESTAMPTZ);
}

fn values<'a, T: FromSql<'a>>(rows: &'a [Row], index: usize) -> Result<Vec<Option<T>>, tokio_postgres::Error> {
    rows.iter().map(|row| row.try_get(index)).collect()
}
