//! Reading back what is published in the lake: the versions that the newest published row of lakebed_runs names.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, Schema, TimestampMicrosecondType};
use chrono::DateTime;

use super::lake::named_version;
use super::lake_runs::{PublishedSet, folder, newest_set, schema};
use crate::error::{HasKind, Kind};
use crate::history::read_fault::query_fault;
use crate::history::release::{PublishedRun, Release};
use crate::history::snapshot_table::register;
use crate::history::tables::{HISTORY_TABLES, HistoryTable, TableRows, query_rows};
use crate::history::{HistoryError, session};
use crate::lake::snapshot::AsOf;
use crate::lake::{Lake, TableSnapshot};

/// The five tables and the runs whose rows they hold; what is not there, or cannot be read, is said in its place.
pub(super) async fn read(lake: &Lake) -> Result<Release, HistoryError> {
    lake.reach().await?;
    let place = lake.shown("history");
    let (set, runs) = match in_place(published_runs(lake).await)? {
        Ok(Some(published)) => published,
        Ok(None) => return Ok(Release::none(place, Ok(Vec::new()))),
        Err(reason) => return Ok(Release::none(place, Err(reason))),
    };
    let mut tables = Vec::new();
    for table in &HISTORY_TABLES {
        tables.push((table, rows(lake, table, &set).await?));
    }
    let runs = Ok(runs);
    Ok(Release { place, tables, runs })
}

/// The newest set that readers see, and the runs whose rows its tables hold; none where no run has published yet.
async fn published_runs(lake: &Lake) -> Result<Option<(PublishedSet, Vec<PublishedRun>)>, HistoryError> {
    let Some(snapshot) = TableSnapshot::load(lake, &folder(), AsOf::Newest).await? else {
        return Ok(None);
    };
    let Some(set) = newest_set(lake, &snapshot).await? else {
        return Ok(None);
    };
    let fault = |error| query_fault("the published runs", &error);
    let ctx = session()?;
    register(&ctx, lake, "runs", &snapshot, &schema())?;
    let batches = ctx
        .sql(
            "SELECT id, mode, rows_per_table, started_at, ended_at, window_start, window_end, lake_version, events_read
             FROM runs WHERE outcome = 'published' ORDER BY ended_at",
        )
        .await
        .map_err(fault)?
        .collect()
        .await
        .map_err(fault)?;
    let runs = batches.iter().flat_map(|batch| {
        let texts: Vec<_> = (0..3).map(|column| batch.column(column).as_string::<i32>()).collect();
        let times: Vec<_> = (3..7)
            .map(|column| batch.column(column).as_primitive::<TimestampMicrosecondType>())
            .collect();
        let numbers: Vec<_> = (7..9)
            .map(|column| batch.column(column).as_primitive::<Int64Type>())
            .collect();
        let run = move |row: usize| {
            let text = |column: usize| texts[column].is_valid(row).then(|| texts[column].value(row));
            let time = |column: usize| DateTime::from_timestamp_micros(times[column].value(row)).unwrap_or_default();
            let number = |column: usize| numbers[column].is_valid(row).then(|| numbers[column].value(row));
            PublishedRun {
                id: text(0).unwrap_or_default().to_owned(),
                mode: text(1).unwrap_or_default().to_owned(),
                rows_per_table: PublishedRun::rows_from(text(2)),
                started_at: time(0),
                ended_at: time(1),
                window_start: time(2),
                window_end: time(3),
                lake_version: number(0),
                events_read: number(1),
            }
        };
        (0..batch.num_rows()).map(run)
    });
    Ok(Some((set, PublishedRun::visible(runs.collect()))))
}

async fn rows(
    lake: &Lake,
    table: &'static HistoryTable,
    set: &PublishedSet,
) -> Result<Result<TableRows, String>, HistoryError> {
    let snapshot = match in_place(named_version(lake, table, set).await)? {
        Ok(Some(snapshot)) => snapshot,
        Ok(None) => return Ok(Err("there is no such table".to_owned())),
        Err(reason) => return Ok(Err(reason)),
    };
    if let Some(difference) = difference(&table.schema(), &snapshot.schema) {
        return Ok(Err(format!("it has other columns than are published: {difference}")));
    }
    let ctx = session()?;
    register(&ctx, lake, table.name, &snapshot, &table.schema())?;
    let sql = format!("SELECT * FROM {} ORDER BY {}", table.name, table.order);
    in_place(query_rows(&ctx, table, &sql).await)
}

/// What is wrong with the data is said in its place; a store that is away, or refuses us, is an error.
fn in_place<T>(done: Result<T, HistoryError>) -> Result<Result<T, String>, HistoryError> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(error) if error.kind() == Kind::Data => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

/// How a table's columns differ from those that are expected, in words; none where they do not.
fn difference(expected: &Schema, found: &Schema) -> Option<String> {
    let missing_or_other = expected.fields().iter().filter_map(|wanted| {
        let (name, wanted) = (wanted.name(), wanted.data_type());
        match found.field_with_name(name) {
            Err(_) => Some(format!("{name} {wanted} is missing")),
            Ok(there) if there.data_type() != wanted => {
                Some(format!("{name} is {} instead of {wanted}", there.data_type()))
            }
            Ok(_) => None,
        }
    });
    let more = found
        .fields()
        .iter()
        .filter(|there| expected.field_with_name(there.name()).is_err())
        .map(|there| format!("{} {} is one too many", there.name(), there.data_type()));
    let all: Vec<String> = missing_or_other.chain(more).collect();
    (!all.is_empty()).then(|| all.join(", "))
}
