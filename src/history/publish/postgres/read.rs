//! Reading a published table back.

use std::error::Error;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use tokio_postgres::types::{FromSql, Type, accepts};
use tokio_postgres::{Client, IsolationLevel, Row, Transaction};

use super::fault::BEGIN;
use super::{Postgres, quoted};
use crate::config::PostgresSettings;
use crate::history::tables::{ColumnType, HistoryTable, TableRows};
use crate::history::{HistoryError, LakeError};

/// The rows of tables as readers of PostgreSQL see them, all as of one moment.
///
/// # Errors
/// [`HistoryError`] where `settings` name no host, the server cannot be reached, refuses us, or has no such table.
pub async fn read_published_in_postgres(
    settings: &PostgresSettings,
    tables: impl IntoIterator<Item = &'static HistoryTable>,
) -> Result<Vec<TableRows>, HistoryError> {
    let Some(host) = settings.host.as_deref() else {
        return Err(LakeError::Missing {
            what: "PostgreSQL server",
            place: "POSTGRES_HOST".to_owned(),
            help: "set it",
        }
        .into());
    };
    let postgres = Postgres::new(settings, host);
    postgres
        .within_deadline("read the tables", async {
            let mut client = postgres.connect().await?;
            let transaction = postgres.begin_to_read(&mut client).await?;
            let mut all = Vec::new();
            for table in tables {
                all.push(rows(&postgres, &transaction, table).await?);
            }
            Ok(all)
        })
        .await
}

impl Postgres<'_> {
    /// A transaction that sees one moment, whatever is published meanwhile.
    pub(super) async fn begin_to_read<'c>(&self, client: &'c mut Client) -> Result<Transaction<'c>, HistoryError> {
        let fault = |error| self.fault(BEGIN, &error);
        let transaction = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await
            .map_err(fault)?;
        transaction.batch_execute(&self.limits()).await.map_err(fault)?;
        Ok(transaction)
    }
}

/// The rows of a table as this transaction sees them.
pub(super) async fn rows(
    postgres: &Postgres<'_>,
    transaction: &Transaction<'_>,
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
    let rows = transaction.query(&sql, &[]).await.map_err(fault)?;
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
