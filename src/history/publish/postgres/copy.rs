//! Rows into a table of PostgreSQL, by COPY in its binary format.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Transaction};

use super::quoted;
use crate::history::tables::{ColumnType, TableRows};

type Cell = Box<dyn ToSql + Sync + Send>;

/// Adds the rows to their table.
pub(super) async fn copy(transaction: &Transaction<'_>, rows: &TableRows) -> Result<(), Error> {
    let columns = rows.table.columns;
    let names: Vec<String> = columns.iter().map(|(name, _)| quoted(name)).collect();
    let types: Vec<Type> = columns.iter().map(|(_, column_type)| wire_type(*column_type)).collect();
    let statement = format!(
        "COPY {} ({}) FROM STDIN (FORMAT binary)",
        rows.table.name,
        names.join(", ")
    );
    let sink = transaction.copy_in(&statement).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
    for index in 0..rows.batch.num_rows() {
        let cells = columns
            .iter()
            .zip(rows.batch.columns())
            .map(|((_, column_type), column)| cell(*column_type, column, index))
            .collect::<Vec<_>>();
        writer.as_mut().write_raw(cells).await?;
    }
    writer.finish().await?;
    Ok(())
}

fn wire_type(column_type: ColumnType) -> Type {
    match column_type {
        ColumnType::Timestamp => Type::TIMESTAMPTZ,
        ColumnType::BigInt => Type::INT8,
        ColumnType::Double => Type::FLOAT8,
        ColumnType::Text => Type::TEXT,
        ColumnType::Boolean => Type::BOOL,
    }
}

fn cell(column_type: ColumnType, column: &ArrayRef, row: usize) -> Cell {
    let there = column.is_valid(row);
    match column_type {
        ColumnType::Timestamp => {
            Box::new(there.then(|| system_time(column.as_primitive::<TimestampMicrosecondType>().value(row))))
        }
        ColumnType::BigInt => Box::new(there.then(|| column.as_primitive::<Int64Type>().value(row))),
        ColumnType::Double => Box::new(there.then(|| column.as_primitive::<Float64Type>().value(row))),
        ColumnType::Text => Box::new(there.then(|| storable(column.as_string::<i32>().value(row)))),
        ColumnType::Boolean => Box::new(there.then(|| column.as_boolean().value(row))),
    }
}

fn system_time(micros: i64) -> SystemTime {
    let distance = Duration::from_micros(micros.unsigned_abs());
    if micros < 0 {
        SystemTime::UNIX_EPOCH - distance
    } else {
        SystemTime::UNIX_EPOCH + distance
    }
}

/// PostgreSQL's text cannot hold U+0000, which JSON strings can: the replacement character shows where one stood.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}
