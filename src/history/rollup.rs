//! The rollup of a window's events: `views/rollup.sql` over the lake's files.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::sum;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;

use super::diagnose::name_file;
use super::read_fault::query_fault;
use super::snapshot_table::register;
use super::{HistoryError, Window};
use crate::lake::{Lake, TableSnapshot};

const ROLLUP_SQL: &str = include_str!("../../views/rollup.sql");

/// What the rollup was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollupSize {
    /// Events of the window.
    pub events: u64,
    /// Rows of the rollup.
    pub rows: usize,
}

/// Computes the rollup of the window's events and registers it as `rollup`.
///
/// # Errors
/// [`HistoryError::File`] where a file of the snapshot is missing or broken, [`HistoryError::Store`] where the store
/// fails, [`HistoryError::Query`] or [`HistoryError::Memory`] where the computation does.
pub async fn register_rollup(
    ctx: &SessionContext,
    lake: &Lake,
    events: &TableSnapshot,
    window: &Window,
) -> Result<RollupSize, HistoryError> {
    register(ctx, lake, "events", events, &event_columns())?;
    match rollup_of_events(ctx, window).await {
        Ok(size) => Ok(size),
        Err(error) => Err(name_file(error, lake, events, window).await),
    }
}

/// The same over whatever is registered as `events`.
pub(super) async fn rollup_of_events(ctx: &SessionContext, window: &Window) -> Result<RollupSize, HistoryError> {
    let fault = |error| query_fault("the rollup of the events", &error);
    let edge = |second: i64| ScalarValue::Int64(Some(second));
    let edges = vec![
        ("window_first", edge(window.first_second())),
        ("window_last", edge(window.last_second())),
    ];
    let rollup = ctx
        .sql(ROLLUP_SQL)
        .await
        .and_then(|frame| frame.with_param_values(edges))
        .map_err(fault)?;
    let schema: SchemaRef = Arc::new(rollup.schema().as_arrow().clone());
    let partitions = rollup.collect_partitioned().await.map_err(fault)?;
    let batches = || partitions.iter().flatten();
    let events = batches()
        .filter_map(|batch| sum(batch.column_by_name("events")?.as_primitive_opt::<Int64Type>()?))
        .sum::<i64>();
    let size = RollupSize {
        events: u64::try_from(events).unwrap_or_default(),
        rows: batches().map(|batch| batch.num_rows()).sum(),
    };
    let table = MemTable::try_new(schema, partitions).map_err(fault)?;
    ctx.register_table("rollup", Arc::new(table)).map_err(fault)?;
    Ok(size)
}

/// The columns of an event that the tables are made of, under the types of the contract whatever a file holds.
pub(super) fn event_columns() -> SchemaRef {
    let field = |name: &str, data_type: &DataType| Field::new(name, data_type.clone(), true);
    Arc::new(Schema::new(vec![
        field("timestamp", &DataType::Int64),
        field("user", &DataType::Utf8View),
        field("server_name", &DataType::Utf8View),
        field("bytes_changed", &DataType::Int64),
        field("is_bot", &DataType::Boolean),
        field("is_new_page", &DataType::Boolean),
        field("language", &DataType::Utf8View),
        field("project", &DataType::Utf8View),
    ]))
}
