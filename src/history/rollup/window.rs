//! What parts of the rollup add up to over a window, as far as the views need it.

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;

use super::batch::spawned;
use super::grain::Grain;
use crate::history::HistoryError;
use crate::history::read_fault::query_fault;
use crate::history::scan::{self, Codes, LeftOut, ScanFile};
use crate::history::session::Engine;

/// Rows of historical_top_contributors at most.
const CONTRIBUTORS: usize = 100;
const USERS_SQL: &str = include_str!("../../../views/window_users.sql");
/// What [`server_unique_users`] computes.
pub(in crate::history) const SERVER_UNIQUE_USERS_SQL: &str =
    include_str!("../../../views/window_server_unique_users.sql");

/// Those users' totals that can be among the contributors: all with at least as many events as the last of these has.
pub(super) async fn totals(engine: &Engine, files: Vec<ScanFile>) -> Result<RecordBatch, HistoryError> {
    computed(engine, Grain::Users, files, USERS_SQL, true, most_active).await
}

/// The number of unique users of each server; `coded` is whether there is room for all names at once.
pub(super) async fn server_unique_users(
    engine: &Engine,
    files: Vec<ScanFile>,
    coded: bool,
) -> Result<RecordBatch, HistoryError> {
    computed(engine, Grain::ServerUsers, files, SERVER_UNIQUE_USERS_SQL, coded, Ok).await
}

async fn computed(
    engine: &Engine,
    grain: Grain,
    files: Vec<ScanFile>,
    sql: &'static str,
    coded: bool,
    cut: fn(RecordBatch) -> Result<RecordBatch, HistoryError>,
) -> Result<RecordBatch, HistoryError> {
    let (ctx, codes) = (engine.session(), Codes::default());
    spawned("the rollup of the window", async move {
        let fault = |error| query_fault("the rollup of the window", &error);
        let (name, columns, left_out) = (grain.name(), grain.columns(), LeftOut::default());
        match coded {
            true => scan::register_coded(&ctx, name, &columns, files, &left_out, &codes),
            false => scan::register(&ctx, name, &columns, files, &left_out),
        }
        .map_err(fault)?;
        let frame = ctx.sql(sql).await.map_err(fault)?;
        let schema = frame.schema().inner().clone();
        let batches = frame.collect().await.map_err(fault)?;
        let rows = concat_batches(&schema, &batches).map_err(|error| fault(error.into()))?;
        codes.decoded(&cut(rows)?).map_err(|error| fault(error.into()))
    })
    .await
}

/// The rows whose number of events is not below that of the last contributor.
fn most_active(rows: RecordBatch) -> Result<RecordBatch, HistoryError> {
    let fault = |error: arrow::error::ArrowError| query_fault("the rollup of the window", &error.into());
    let events = rows
        .column_by_name("events")
        .and_then(|events| events.as_primitive_opt::<Int64Type>())
        .map(|events| events.values().to_vec())
        .unwrap_or_default();
    if events.len() <= CONTRIBUTORS {
        return Ok(rows);
    }
    let mut ranked = events.clone();
    let (_, least, _) = ranked.select_nth_unstable_by(CONTRIBUTORS - 1, |a, b| b.cmp(a));
    let kept: BooleanArray = events.iter().map(|events| Some(events >= least)).collect();
    filter_record_batch(&rows, &kept).map_err(fault)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn all_that_tie_with_the_last_contributor_stay() {
        let kept = |events: Vec<i64>| {
            let batch = RecordBatch::try_from_iter([("events", Arc::new(Int64Array::from(events)) as _)]).unwrap();
            most_active(batch).unwrap().num_rows()
        };
        assert_eq!(kept((0..50).collect()), 50);
        assert_eq!(kept((0..1000).collect()), 100);
        assert_eq!(kept((0..1000).map(|number| number / 350).collect()), 300);
    }
}
