//! The five tables: what they are called, how they look, and their rows, computed by `views/` from the rollup.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::prelude::SessionContext;

use super::HistoryError;
use super::read_fault::query_fault;

/// One of the five tables.
#[derive(Debug)]
pub struct HistoryTable {
    /// Its name, in PostgreSQL, in the lake and in SQL.
    pub name: &'static str,
    /// Its columns, as (name, PostgreSQL type).
    pub columns: &'static [(&'static str, ColumnType)],
    /// Its order, as SQL.
    pub order: &'static str,
    /// Its definition over the table `rollup`.
    pub sql: &'static str,
    /// What is expected of it, whatever the events are.
    pub expectations: &'static str,
}

/// The types that the columns of the tables have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// A point in time.
    Timestamp,
    /// 64 bits, signed.
    BigInt,
    /// 64 bits, floating.
    Double,
    /// Text.
    Text,
    /// True or false.
    Boolean,
}

impl ColumnType {
    /// The type's name in PostgreSQL, as its catalogue writes it.
    pub fn postgres_name(self) -> &'static str {
        match self {
            ColumnType::Timestamp => "timestamp with time zone",
            ColumnType::BigInt => "bigint",
            ColumnType::Double => "double precision",
            ColumnType::Text => "text",
            ColumnType::Boolean => "boolean",
        }
    }

    /// The type in memory and in the lake.
    pub fn arrow(self) -> DataType {
        match self {
            ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ColumnType::BigInt => DataType::Int64,
            ColumnType::Double => DataType::Float64,
            ColumnType::Text => DataType::Utf8,
            ColumnType::Boolean => DataType::Boolean,
        }
    }
}

use ColumnType::{BigInt, Boolean, Double, Text, Timestamp};

/// The five tables, in the order in which they are listed everywhere.
pub static HISTORY_TABLES: [HistoryTable; 5] = [
    HistoryTable {
        name: "historical_hourly_patterns",
        columns: &[
            ("hour_bucket", Timestamp),
            ("total_events", BigInt),
            ("total_bytes", BigInt),
            ("avg_bytes", Double),
            ("bot_events", BigInt),
            ("human_events", BigInt),
        ],
        order: "hour_bucket",
        sql: include_str!("../../views/historical_hourly_patterns.sql"),
        expectations: include_str!("../../views/historical_hourly_patterns.toml"),
    },
    HistoryTable {
        name: "historical_hourly_trends",
        columns: &[
            ("hour_bucket", Timestamp),
            ("total_events", BigInt),
            ("total_bytes", BigInt),
            ("bot_count", BigInt),
            ("human_count", BigInt),
            ("unique_users", BigInt),
            ("events_24h_avg", Double),
            ("bytes_24h_avg", Double),
        ],
        order: "hour_bucket",
        sql: include_str!("../../views/historical_hourly_trends.sql"),
        expectations: include_str!("../../views/historical_hourly_trends.toml"),
    },
    HistoryTable {
        name: "historical_top_contributors",
        columns: &[
            ("user", Text),
            ("is_bot", Boolean),
            ("edit_count", BigInt),
            ("total_bytes", BigInt),
            ("pages_created", BigInt),
        ],
        order: r#"edit_count DESC, "user" NULLS FIRST, is_bot NULLS FIRST"#,
        sql: include_str!("../../views/historical_top_contributors.sql"),
        expectations: include_str!("../../views/historical_top_contributors.toml"),
    },
    HistoryTable {
        name: "historical_language_distribution",
        columns: &[
            ("language", Text),
            ("project", Text),
            ("edit_count", BigInt),
            ("total_bytes", BigInt),
            ("bot_edits", BigInt),
            ("new_pages", BigInt),
        ],
        order: "edit_count DESC, language NULLS FIRST, project NULLS FIRST",
        sql: include_str!("../../views/historical_language_distribution.sql"),
        expectations: include_str!("../../views/historical_language_distribution.toml"),
    },
    HistoryTable {
        name: "historical_server_rankings",
        columns: &[
            ("server_name", Text),
            ("language", Text),
            ("project", Text),
            ("edit_count", BigInt),
            ("total_bytes", BigInt),
            ("unique_users", BigInt),
            ("rank", BigInt),
            ("percentile", Double),
        ],
        order: "rank",
        sql: include_str!("../../views/historical_server_rankings.sql"),
        expectations: include_str!("../../views/historical_server_rankings.toml"),
    },
];

/// These columns in memory.
pub(super) fn schema_of(columns: &[(&str, ColumnType)]) -> SchemaRef {
    let fields = columns
        .iter()
        .map(|(name, column_type)| Field::new(*name, column_type.arrow(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl HistoryTable {
    /// Its columns in memory and in the lake.
    pub fn schema(&self) -> SchemaRef {
        schema_of(self.columns)
    }

    /// Its folder under the lake.
    pub fn folder(&self) -> String {
        format!("history/{}", self.name)
    }

    /// The batch under exactly the table's columns and types.
    ///
    /// # Errors
    /// [`HistoryError::TooLarge`] where a value does not fit.
    pub fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch, HistoryError> {
        let strict = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for ((name, column_type), column) in self.columns.iter().zip(batch.columns()) {
            let cast = cast_with_options(column, &column_type.arrow(), &strict);
            columns.push(cast.map_err(|error| HistoryError::TooLarge {
                table: self.name,
                column: (*name).to_owned(),
                column_type: column_type.postgres_name().to_owned(),
                reason: error.to_string(),
            })?);
        }
        RecordBatch::try_new(self.schema(), columns).map_err(|error| HistoryError::Query {
            what: self.name.to_owned(),
            reason: error.to_string(),
        })
    }
}

/// The rows of one of the five tables, in its order.
#[derive(Debug, Clone)]
pub struct TableRows {
    /// The table.
    pub table: &'static HistoryTable,
    /// Its rows, in one batch.
    pub batch: RecordBatch,
}

/// Computes one of the tables from what is registered as `rollup`.
///
/// # Errors
/// [`HistoryError::Query`] or [`HistoryError::Memory`] where the computation fails, [`HistoryError::TooLarge`] where a
/// value does not fit its column.
pub async fn compute(ctx: &SessionContext, table: &'static HistoryTable) -> Result<TableRows, HistoryError> {
    query_rows(ctx, table, table.sql).await
}

/// The result of a query that gives the table's columns, as the table's rows.
pub(super) async fn query_rows(
    ctx: &SessionContext,
    table: &'static HistoryTable,
    sql: &str,
) -> Result<TableRows, HistoryError> {
    let fault = |error| query_fault(table.name, &error);
    let frame = ctx.sql(sql).await.map_err(fault)?;
    let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.map_err(fault)?;
    let whole = arrow::compute::concat_batches(&schema, &batches).map_err(|error| fault(error.into()))?;
    Ok(TableRows {
        table,
        batch: table.conform(&whole)?,
    })
}
