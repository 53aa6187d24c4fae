//! The lake's own table of runs, whose newest published row says which versions of the five tables belong together.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, TimeDelta, Utc};
use deltalake_core::kernel::Action;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use serde::{Deserialize, Serialize};

use super::Published;
use super::lake::removal;
use crate::history::read_fault::query_fault;
use crate::history::runs::{RUNS_TABLE, RunReport, json_text};
use crate::history::snapshot_table::register;
use crate::history::{HistoryError, Outcome, session};
use crate::lake::datafile::{self, NewFile, writer_properties};
use crate::lake::snapshot::AsOf;
use crate::lake::{CommitOutcome, Lake, LakeError, TableSnapshot, TableWriter};

/// Beyond so many files the next row's commit writes all rows into one.
const MOST_FILES: usize = 32;

pub(super) fn folder() -> String {
    format!("history/{RUNS_TABLE}")
}

/// In a file's tags, the newest [`PublishedSet`] that its rows name, or null; so that readers need not open the files.
const PUBLISHED_TAG: &str = "lakebed.published";

/// A set of tables that belong together, as a run named it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PublishedSet {
    /// The version of each table.
    pub(super) versions: BTreeMap<String, u64>,
    ended_at: DateTime<Utc>,
}

/// The newest set that readers see; none where no run has published yet.
pub(super) async fn published_set(lake: &Lake) -> Result<Option<PublishedSet>, HistoryError> {
    match TableSnapshot::load(lake, &folder(), AsOf::Newest).await? {
        Some(snapshot) => newest_set(lake, &snapshot).await,
        None => Ok(None),
    }
}

/// What was last published from the lake of this id; none where nothing was.
pub(super) async fn newest_of(lake: &Lake, lake_id: &str) -> Result<Option<Published>, HistoryError> {
    let Some(mut runs) = TableWriter::open(lake, &folder()).await? else {
        return Ok(None);
    };
    let mark = runs.mark(&mark_of(lake_id)).await?;
    let version = mark.and_then(|mark| u64::try_from(mark).ok());
    // Of plain Parquet there is no version, and no mark.
    let known = version.is_some() || lake_id.is_empty();
    let set = newest_set(lake, &runs.snapshot().await?).await?.filter(|_| known);
    Ok(set.map(|set| Published {
        version,
        at: Some(set.ended_at),
    }))
}

/// The table of runs, as of the version that the next commit goes on top of.
pub(super) struct RunsLog<'a> {
    lake: &'a Lake,
    writer: TableWriter,
    snapshot: TableSnapshot,
}

impl<'a> RunsLog<'a> {
    pub(super) async fn open(lake: &'a Lake) -> Result<RunsLog<'a>, HistoryError> {
        let mut writer = TableWriter::open_or_create(lake, &folder(), &schema(), &[]).await?;
        let snapshot = writer.snapshot().await?;
        Ok(RunsLog { lake, writer, snapshot })
    }

    /// Whether the run has its row.
    pub(super) fn holds(&self, run: &str) -> bool {
        self.snapshot.files.iter().any(|file| file.path.as_ref().contains(run))
    }

    pub(super) async fn published_set(&self) -> Result<Option<PublishedSet>, HistoryError> {
        newest_set(self.lake, &self.snapshot).await
    }

    /// The newest version of raw_events, told apart by its id, that tables were published from.
    pub(super) async fn newest_published(&mut self, lake_id: &str) -> Result<Option<i64>, HistoryError> {
        Ok(self.writer.mark(&mark_of(lake_id)).await?)
    }

    /// Adds the run's row, the last thing that is done with the log, if nobody else has added one since; else takes in
    /// what they added.
    pub(super) async fn add(
        &mut self,
        report: &mut RunReport,
        attempt: usize,
        base: Option<&PublishedSet>,
    ) -> Result<CommitOutcome, HistoryError> {
        if let Some(base) = base {
            // Commits are in order, clocks may not be: the newest row must be the one with the latest end.
            report.ended_at = report.ended_at.max(base.ended_at + TimeDelta::microseconds(1));
        }
        let row = row(report)?;
        let merge = self.snapshot.files.len() >= MOST_FILES;
        let (batch, mut actions, earlier) = if merge {
            let gone = self
                .snapshot
                .files
                .iter()
                .map(|file| removal(self.lake, &folder(), file));
            let earlier = self.published_set().await?;
            (self.all_rows_and(row).await?, gone.collect(), earlier)
        } else {
            (row, Vec::new(), None)
        };
        let newest = published_by(report).or(earlier);
        let file = NewFile {
            path: format!("run_{}_{attempt}.parquet", report.id),
            partition_values: Vec::new(),
            tags: vec![(PUBLISHED_TAG.to_owned(), json_text(&newest))],
            batch,
            properties: writer_properties().build(),
        };
        actions.push(Action::Add(datafile::write(self.lake, &folder(), file).await?));
        actions.extend(self.writer.missing_columns(&schema())?);
        let marks = match report.signed_version() {
            Some(version) if report.outcome == Outcome::Published => vec![(mark_of(&report.lake_id), version)],
            _ => Vec::new(),
        };
        let outcome = self.writer.commit(actions, marks, write_operation(merge)).await?;
        if outcome == CommitOutcome::Conflict {
            self.snapshot = self.writer.snapshot().await?;
        }
        Ok(outcome)
    }

    async fn all_rows_and(&self, row: RecordBatch) -> Result<RecordBatch, HistoryError> {
        let ctx = session()?;
        register(&ctx, self.lake, "runs", &self.snapshot, &schema())?;
        let fault = |error| query_fault("the merged lakebed_runs", &error);
        let mut batches = ctx
            .sql("SELECT * FROM runs ORDER BY ended_at, id")
            .await
            .map_err(fault)?
            .collect()
            .await
            .map_err(fault)?;
        batches.push(row);
        arrow::compute::concat_batches(&schema(), &batches).map_err(|error| fault(error.into()))
    }
}

pub(in crate::history) fn write_operation(overwrite: bool) -> DeltaOperation {
    DeltaOperation::Write {
        mode: if overwrite {
            SaveMode::Overwrite
        } else {
            SaveMode::Append
        },
        partition_by: None,
        predicate: None,
    }
}

fn mark_of(lake_id: &str) -> String {
    format!("lakebed-history:{lake_id}")
}

/// The set that a run names.
fn published_by(report: &RunReport) -> Option<PublishedSet> {
    let versions = report
        .table_versions
        .as_ref()
        .filter(|_| report.outcome == Outcome::Published)?;
    let named = versions.iter().map(|(table, version)| ((*table).to_owned(), *version));
    Some(PublishedSet {
        versions: named.collect(),
        ended_at: report.ended_at,
    })
}

/// The newest set that the table of runs names.
pub(super) async fn newest_set(lake: &Lake, runs: &TableSnapshot) -> Result<Option<PublishedSet>, HistoryError> {
    let (mut newest, mut files) = (None, Vec::new());
    for file in &runs.files {
        match file.tags.get(PUBLISHED_TAG).map(|tag| serde_json::from_str(tag)) {
            Some(Ok(set)) => newest = later(newest, set),
            // An earlier version wrote the file, or another program wrote it anew.
            Some(Err(_)) | None => files.push(file.clone()),
        }
    }
    if files.is_empty() {
        return Ok(newest);
    }
    let read = newest_of_rows(lake, &TableSnapshot { files, ..runs.clone() }).await?;
    Ok(later(newest, read))
}

fn later(one: Option<PublishedSet>, other: Option<PublishedSet>) -> Option<PublishedSet> {
    one.into_iter().chain(other).max_by_key(|set| set.ended_at)
}

/// The newest set that the rows of these files name.
async fn newest_of_rows(lake: &Lake, runs: &TableSnapshot) -> Result<Option<PublishedSet>, HistoryError> {
    let fault = |error| query_fault("the newest published set", &error);
    let ctx = session()?;
    register(&ctx, lake, "runs", runs, &schema())?;
    let batches = ctx
        .sql("SELECT table_versions, ended_at FROM runs WHERE outcome = 'published' ORDER BY ended_at DESC LIMIT 1")
        .await
        .map_err(fault)?
        .collect()
        .await
        .map_err(fault)?;
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else {
        return Ok(None);
    };
    let text = batch.column(0).as_string::<i32>().value(0);
    let ended_at = batch.column(1).as_primitive::<TimestampMicrosecondType>().value(0);
    let versions = serde_json::from_str(text).map_err(|error| LakeError::Table {
        place: lake.shown(&folder()),
        reason: format!("the table_versions of its newest published row is {text:?}: {error}"),
    })?;
    Ok(Some(PublishedSet {
        versions,
        ended_at: DateTime::from_timestamp_micros(ended_at).unwrap_or_default(),
    }))
}

/// The columns of the table of runs.
pub(super) fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        field("id", DataType::Utf8),
        field("outcome", DataType::Utf8),
        field("started_at", time.clone()),
        field("ended_at", time.clone()),
        field("window_start", time.clone()),
        field("window_end", time),
        field("lake_id", DataType::Utf8),
        field("lake_version", DataType::Int64),
        field("mode", DataType::Utf8),
        field("events_read", DataType::Int64),
        field("corrupt_files", DataType::Int64),
        field("rows_per_table", DataType::Utf8),
        field("table_versions", DataType::Utf8),
        field("error", DataType::Utf8),
        field("figures", DataType::Utf8),
    ]))
}

fn row(report: &RunReport) -> Result<RecordBatch, HistoryError> {
    let text = |value: Option<&str>| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let number = |value: Option<i64>| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
    let time = |value: &DateTime<Utc>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(vec![value.timestamp_micros()]).with_timezone("UTC"))
    };
    let versions = report.table_versions.as_ref().map(json_text);
    let columns = vec![
        text(Some(&report.id)),
        text(Some(report.outcome.as_str())),
        time(&report.started_at),
        time(&report.ended_at),
        time(&report.window_start),
        time(&report.window_end),
        text(Some(&report.lake_id)),
        number(report.signed_version()),
        text(Some(report.mode)),
        number(report.signed_events()),
        number(report.signed_corrupt_files()),
        text(Some(&json_text(&report.rows_per_table))),
        text(versions.as_deref()),
        text(report.error.as_deref()),
        text(report.figures.as_ref().map(json_text).as_deref()),
    ];
    RecordBatch::try_new(schema(), columns).map_err(|error| query_fault("the run's row", &error.into()))
}
