//! What readers see published: the five tables, and the runs whose rows these hold, as of one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::{DateTime, Utc};

use super::expectations::RUNS;
use super::publish::Target;
use super::read_fault::query_fault;
use super::runs::RunReport;
use super::tables::{HistoryTable, TableRows};
use super::{HISTORY_TABLES, HistoryError};
use crate::config::PostgresSettings;
use crate::config::history::PublishMode;
use crate::lake::Lake;

/// The five tables, and the runs whose rows they hold.
#[derive(Debug, Clone)]
pub struct Release {
    /// Where it is published, as a person reads it.
    pub place: String,
    /// Each of the five, in their order, with its rows or why it has none.
    pub tables: Vec<(&'static HistoryTable, Result<TableRows, String>)>,
    /// The newest run that published, and before it those to whose rows it added its own; none where none has published.
    /// Why not, where what bears the name of their table cannot be read.
    pub runs: Result<Vec<PublishedRun>, String>,
}

/// A run that published, as its row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedRun {
    /// The run.
    pub id: String,
    /// What it did with the rows of others.
    pub mode: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it published.
    pub ended_at: DateTime<Utc>,
    /// The tables cover the events from here
    pub window_start: DateTime<Utc>,
    /// to here, both included.
    pub window_end: DateTime<Utc>,
    /// The version of raw_events that it read; none where that is plain Parquet.
    pub lake_version: Option<i64>,
    /// Events in the window.
    pub events_read: Option<i64>,
    /// Rows of each table that it published.
    pub rows_per_table: BTreeMap<String, i64>,
}

/// Reads what is published in PostgreSQL where its settings name a host, else in the lake.
///
/// # Errors
/// [`HistoryError`] where the server or the store is away or refuses us. That something is not there, or not as it
/// should be, is no error.
pub async fn read_release(lake: &Lake, postgres: Option<&PostgresSettings>) -> Result<Release, HistoryError> {
    Target::new(lake, postgres).read_release().await
}

impl Release {
    /// What a run is about to publish.
    pub(super) fn computed(rows: &[TableRows], report: &RunReport) -> Release {
        Release {
            place: report.published_to.clone(),
            tables: rows.iter().map(|rows| (rows.table, Ok(rows.clone()))).collect(),
            runs: Ok(vec![PublishedRun::of(report)]),
        }
    }

    /// What there is to read where no run has published.
    pub(super) fn none(place: String, runs: Result<Vec<PublishedRun>, String>) -> Release {
        let tables = HISTORY_TABLES
            .iter()
            .map(|table| (table, Err("no published run names it".to_owned())));
        Release {
            place,
            tables: tables.collect(),
            runs,
        }
    }
}

impl PublishedRun {
    fn of(report: &RunReport) -> PublishedRun {
        let rows = report.rows_per_table.iter().map(|(table, rows)| {
            let rows = i64::try_from(*rows).unwrap_or(i64::MAX);
            ((*table).to_owned(), rows)
        });
        PublishedRun {
            id: report.id.clone(),
            mode: report.mode.to_owned(),
            started_at: report.started_at,
            ended_at: report.ended_at,
            window_start: report.window_start,
            window_end: report.window_end,
            lake_version: report.signed_version(),
            events_read: report.signed_events(),
            rows_per_table: rows.collect(),
        }
    }

    /// Of all runs that published, in their order, those whose rows are there: the last that replaced what it found, or
    /// found nothing, and those that added to it.
    pub(super) fn visible(mut all: Vec<PublishedRun>) -> Vec<PublishedRun> {
        let base = all.iter().rposition(|run| run.mode != PublishMode::Append.as_str());
        all.split_off(base.unwrap_or_default())
    }

    /// What a run's row says of its tables, from the text that it holds.
    pub(super) fn rows_from(text: Option<&str>) -> BTreeMap<String, i64> {
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    /// The runs as a table.
    pub(super) fn batch(runs: &[PublishedRun]) -> Result<RecordBatch, HistoryError> {
        let text = |of: fn(&PublishedRun) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(runs.iter().map(of)))
        };
        let time = |of: fn(&PublishedRun) -> DateTime<Utc>| -> ArrayRef {
            let micros = runs.iter().map(|run| of(run).timestamp_micros());
            Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
        };
        let number = |of: fn(&PublishedRun) -> Option<i64>| -> ArrayRef {
            Arc::new(runs.iter().map(of).collect::<Int64Array>())
        };
        let columns = vec![
            text(|run| &run.id),
            text(|run| &run.mode),
            time(|run| run.started_at),
            time(|run| run.ended_at),
            time(|run| run.window_start),
            time(|run| run.window_end),
            number(|run| run.lake_version),
            number(|run| run.events_read),
        ];
        RecordBatch::try_new(RUNS.schema(), columns).map_err(|error| query_fault(RUNS.name, &error.into()))
    }
}
