//! The rollup of a window's events: `views/rollup.sql` over the lake's files.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::sum;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::prelude::SessionContext;

use super::diagnose::name_file;
use super::held_rows::{HeldRows, hold};
use super::read_fault::query_fault;
use super::snapshot_table::register;
use super::{HistoryError, Window};
use crate::lake::{Lake, TableSnapshot};

const ROLLUP_SQL: &str = include_str!("../../views/rollup.sql");

/// The rollup, which can be queried for as long as this value lives.
#[derive(Debug)]
pub struct Rollup {
    /// Events of the window.
    pub events: u64,
    /// Rows of the rollup.
    pub rows: usize,
    _held: HeldRows,
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
) -> Result<Rollup, HistoryError> {
    register(ctx, lake, "events", events, &event_columns())?;
    match rollup_of_events(ctx, window).await {
        Ok(rollup) => Ok(rollup),
        Err(error) => Err(name_file(error, lake, events, window).await),
    }
}

/// The same over whatever is registered as `events`.
pub(super) async fn rollup_of_events(ctx: &SessionContext, window: &Window) -> Result<Rollup, HistoryError> {
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
    let stream = rollup.execute_stream().await.map_err(fault)?;
    let (mut events, mut rows) = (0_i64, 0_usize);
    let held = hold(ctx, "rollup", stream, |batch| {
        let counts = batch.column_by_name("events");
        events += counts
            .and_then(|counts| sum(counts.as_primitive_opt::<Int64Type>()?))
            .unwrap_or_default();
        rows += batch.num_rows();
    });
    let held = held.await.map_err(fault)?;
    Ok(Rollup {
        events: u64::try_from(events).unwrap_or_default(),
        rows,
        _held: held,
    })
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
