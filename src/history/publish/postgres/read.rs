//! Reading a published table back.

use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

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
    let names: Vec<String> = table.columns.iter().map(|(name, _)| quoted(name)).collect();
    let sql = format!(
        "SELECT {} FROM {}.{}",
        names.join(", "),
        quoted(&settings.schema),
        quoted(table.name)
    );
    let rows = client
        .query(&sql, &[])
        .await
        .map_err(|error| postgres.fault("read a published table", &error))?;
    let columns = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, (_, column_type))| column(&rows, index, *column_type))
        .collect::<Result<Vec<ArrayRef>, _>>()
        .map_err(|error| postgres.fault("read a published table", &error))?;
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
            let micros = values::<SystemTime>(rows, index)?
                .into_iter()
                .map(|time| time.map(|time| DateTime::<Utc>::from(time).timestamp_micros()));
            Arc::new(TimestampMicrosecondArray::from_iter(micros).with_timezone("UTC"))
        }
    })
}

fn values<'a, T: FromSql<'a>>(rows: &'a [Row], index: usize) -> Result<Vec<Option<T>>, tokio_postgres::Error> {
    rows.iter().map(|row| row.try_get(index)).collect()
}
