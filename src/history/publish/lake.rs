//! Publishing into the lake: a Delta table per history table, and a row of runs that names a version of each.
//!
//! The five tables are committed, each on its own, and nobody looks at them yet; the run's row is what makes the set
//! visible as one. A run that dies in between leaves versions that no row names. The row goes exactly on top of
//! the state in which it was decided that this run may publish, or everything is looked at again.

use std::collections::BTreeMap;

use deltalake_core::kernel::{Action, Add, Remove};
use futures::future::try_join_all;

use super::decide;
use super::lake_runs::{PublishedSet, RunsLog, published_set, write_operation};
use crate::config::history::PublishMode;
use crate::fail_point::{self, Step};
use crate::history::runs::{Outcome, RunReport};
use crate::history::snapshot_table::register;
use crate::history::tables::{HISTORY_TABLES, HistoryTable, TableRows, query_rows};
use crate::history::{HistoryError, session};
use crate::lake::datafile::{self, NewFile, writer_properties};
use crate::lake::snapshot::AsOf;
use crate::lake::{CommitOutcome, DataFile, Lake, LakeError, TableSnapshot, TableWriter};

/// How often a publisher looks again when others are first.
const ATTEMPTS: usize = 20;

/// The five tables as readers of the lake see them, in the order of [`HISTORY_TABLES`].
///
/// # Errors
/// [`LakeError::Missing`] where no run has published into the lake, else what reading can fail with.
pub async fn read_published(lake: &Lake) -> Result<Vec<TableRows>, HistoryError> {
    read_published_tables(lake, HISTORY_TABLES.iter()).await
}

/// Some of the five tables as readers of the lake see them, all of one published set.
///
/// # Errors
/// [`LakeError::Missing`] where no run has published into the lake, else what reading can fail with.
pub async fn read_published_tables(
    lake: &Lake,
    tables: impl IntoIterator<Item = &'static HistoryTable>,
) -> Result<Vec<TableRows>, HistoryError> {
    let missing = || LakeError::Missing {
        what: "published set of history tables",
        place: lake.shown("history"),
        help: "publish one with lakebed process, POSTGRES_HOST not set",
    };
    let set = published_set(lake).await?.ok_or_else(missing)?;
    let mut all = Vec::new();
    for table in tables {
        let snapshot = named_version(lake, table, &set).await?.ok_or_else(missing)?;
        let ctx = session()?;
        register(&ctx, lake, table.name, &snapshot, &table.schema())?;
        let sql = format!("SELECT * FROM {} ORDER BY {}", table.name, table.order);
        all.push(query_rows(&ctx, table, &sql).await?);
    }
    Ok(all)
}

/// Publishes the tables as the mode says, and the run's row.
pub(in crate::history) async fn publish(
    lake: &Lake,
    rows: &[TableRows],
    mode: PublishMode,
    report: &mut RunReport,
) -> Result<(), HistoryError> {
    let mut log = RunsLog::open(lake).await?;
    for attempt in 0..ATTEMPTS {
        if log.holds(&report.id) {
            // The store's answer to our own commit was lost, and its repetition found our own file in its way.
            return Ok(());
        }
        let base = log.published_set().await?;
        let newest = log.newest_published(&report.lake_id).await?;
        let occupied = match mode {
            PublishMode::Ignore | PublishMode::Error => first_with_rows(lake, base.as_ref()).await?,
            PublishMode::Overwrite | PublishMode::Append => None,
        };
        let outcome = decide(mode, newest, report, occupied, || lake.shown("history"))?;
        if outcome == Outcome::Published {
            report.table_versions = Some(commit_tables(lake, rows, mode, base.as_ref(), report, attempt).await?);
        }
        report.ends(outcome);
        fail_point::reached(Step::BeforeRunRow);
        let added = log.add(report, attempt, base.as_ref()).await?;
        fail_point::reached(Step::AfterRunRow);
        match added {
            CommitOutcome::Committed(_) => return Ok(()),
            CommitOutcome::Conflict => {}
        }
    }
    Err(HistoryError::Busy {
        place: lake.shown("history"),
    })
}

/// Leaves a run's row alone.
pub(in crate::history) async fn record(lake: &Lake, report: &RunReport) -> Result<(), HistoryError> {
    let mut log = RunsLog::open(lake).await?;
    let mut report = report.clone();
    for attempt in 0..ATTEMPTS {
        match log.add(&mut report, attempt, None).await? {
            CommitOutcome::Committed(_) => return Ok(()),
            CommitOutcome::Conflict if log.holds(&report.id) => return Ok(()),
            CommitOutcome::Conflict => {}
        }
    }
    Err(HistoryError::Busy {
        place: lake.shown("history"),
    })
}

/// The action that takes a file out of a table.
pub(in crate::history) fn removal(lake: &Lake, folder: &str, file: &DataFile) -> Action {
    Action::Remove(Remove {
        path: path_within(lake, folder, file),
        data_change: true,
        deletion_timestamp: Some(chrono::Utc::now().timestamp_millis()),
        extended_file_metadata: Some(true),
        partition_values: Some(std::collections::HashMap::new()),
        size: i64::try_from(file.size).ok(),
        ..Remove::default()
    })
}

fn path_within(lake: &Lake, folder: &str, file: &DataFile) -> String {
    let folder = lake.path(folder);
    match file.path.prefix_match(&folder) {
        Some(parts) => parts.collect::<object_store::path::Path>().to_string(),
        None => file.path.to_string(),
    }
}

/// The version of a table that a set names; none where it names none, or there is no such table.
pub(super) async fn named_version(
    lake: &Lake,
    table: &HistoryTable,
    set: &PublishedSet,
) -> Result<Option<TableSnapshot>, HistoryError> {
    match set.versions.get(table.name) {
        Some(version) => Ok(TableSnapshot::load(lake, &table.folder(), AsOf::Version(*version)).await?),
        None => Ok(None),
    }
}

async fn first_with_rows(lake: &Lake, set: Option<&PublishedSet>) -> Result<Option<&'static str>, HistoryError> {
    let Some(set) = set else {
        return Ok(None);
    };
    for table in &HISTORY_TABLES {
        let snapshot = named_version(lake, table, set).await?;
        if snapshot.is_some_and(|snapshot| snapshot.files.iter().any(|file| file.rows != Some(0))) {
            return Ok(Some(table.name));
        }
    }
    Ok(None)
}

/// Commits the tables beside each other: what waits for a store waits once.
async fn commit_tables(
    lake: &Lake,
    rows: &[TableRows],
    mode: PublishMode,
    base: Option<&PublishedSet>,
    report: &RunReport,
    attempt: usize,
) -> Result<BTreeMap<&'static str, u64>, HistoryError> {
    let commits = rows.iter().map(|rows| async move {
        let kept = match base {
            Some(set) if mode == PublishMode::Append => named_version(lake, rows.table, set).await?,
            _ => None,
        };
        let kept = kept.map(|snapshot| snapshot.files).unwrap_or_default();
        let file = format!("{}_{}_{attempt}.parquet", rows.table.name, report.id);
        fail_point::reached(Step::BeforeHistoryTable);
        let version = commit_table(lake, rows, &kept, file).await?;
        fail_point::reached(Step::AfterHistoryTable);
        Ok::<_, HistoryError>((rows.table.name, version))
    });
    Ok(try_join_all(commits).await?.into_iter().collect())
}

/// Gives the table a version that holds the kept files and the rows and nothing else, whatever its newest version
/// holds: that may be one which no run names.
async fn commit_table(lake: &Lake, rows: &TableRows, kept: &[DataFile], path: String) -> Result<u64, HistoryError> {
    let folder = rows.table.folder();
    let mut writer = TableWriter::open_or_create(lake, &folder, &rows.table.schema(), &[]).await?;
    if writer.schema() != &rows.table.schema() {
        return Err(HistoryError::Lake(LakeError::Table {
            place: lake.shown(&folder),
            reason: "it has other columns than lakebed publishes; move its folder away".to_owned(),
        }));
    }
    let mut wanted: Vec<Add> = kept.iter().map(|file| again(lake, &folder, file)).collect();
    if rows.batch.num_rows() > 0 {
        let file = NewFile {
            path,
            partition_values: Vec::new(),
            tags: Vec::new(),
            batch: rows.batch.clone(),
            properties: writer_properties().build(),
        };
        wanted.push(datafile::write(lake, &folder, file).await?);
    }
    for _ in 0..ATTEMPTS {
        let current = writer.snapshot().await?.files;
        let actions = difference(lake, &folder, &current, &wanted);
        if actions.is_empty() {
            return Ok(writer.version());
        }
        let overwrite = actions.iter().any(|action| matches!(action, Action::Remove(_)));
        match writer.commit(actions, Vec::new(), write_operation(overwrite)).await? {
            CommitOutcome::Committed(version) => return Ok(version),
            CommitOutcome::Conflict => {}
        }
    }
    Err(HistoryError::Busy {
        place: lake.shown(&folder),
    })
}

/// The actions that lead from the current files to the wanted ones.
fn difference(lake: &Lake, folder: &str, current: &[DataFile], wanted: &[Add]) -> Vec<Action> {
    let is_wanted = |path: &str| wanted.iter().any(|add| add.path == path);
    let is_there = |path: &str| current.iter().any(|file| path_within(lake, folder, file) == path);
    let removals = current
        .iter()
        .filter(|file| !is_wanted(&path_within(lake, folder, file)))
        .map(|file| removal(lake, folder, file));
    let additions = wanted
        .iter()
        .filter(|add| !is_there(&add.path))
        .map(|add| Action::Add(add.clone()));
    removals.chain(additions).collect()
}

/// The Add action of a file that the table had before.
fn again(lake: &Lake, folder: &str, file: &DataFile) -> Add {
    let statistics = file
        .rows
        .map(|rows| serde_json::json!({"numRecords": rows}).to_string());
    Add {
        path: path_within(lake, folder, file),
        size: i64::try_from(file.size).unwrap_or(i64::MAX),
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change: true,
        stats: statistics,
        ..Add::default()
    }
}
