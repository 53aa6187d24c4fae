//! One run, from the lake's newest version to published tables.

use chrono::{DateTime, Utc};

use super::publish::Target;
use super::rollup::register_rollup;
use super::runs::RunReport;
use super::tables::{self, HISTORY_TABLES, TableRows};
use super::{HistoryError, Outcome, Window, session};
use crate::config::{HistorySettings, PostgresSettings};
use crate::lake::snapshot::AsOf;
use crate::lake::{Lake, LakeError, RAW_EVENTS, TableSnapshot, damage};

/// What a run is about to do, or has just done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The files of the lake are read and summed up.
    Reading {
        /// Files that make up the version of the lake; those outside the window are not opened.
        files: usize,
        /// The version; none where the lake is plain Parquet.
        lake_version: Option<u64>,
    },
    /// The events of the window are summed up.
    Summed {
        /// Events of the window.
        events: u64,
        /// Rows of the rollup.
        rollup_rows: usize,
    },
    /// A table is computed.
    Computed {
        /// The table.
        table: &'static str,
        /// Its rows.
        rows: usize,
    },
    /// The tables and the run's row are being published.
    Publishing {
        /// Where.
        place: String,
    },
}

/// Computes the five tables over the `days` before `now` and publishes them, with the run's row.
///
/// They go to PostgreSQL where its settings name a host, else into the lake. A run that fails leaves a row too, where
/// that can be written.
///
/// # Errors
/// [`HistoryError`]; [`LakeError::Missing`] within it where there is no lake.
pub async fn run(
    settings: &HistorySettings,
    lake: &Lake,
    postgres: Option<&PostgresSettings>,
    now: DateTime<Utc>,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<RunReport, HistoryError> {
    let window = Window::before(now, settings.days);
    let target = Target::new(lake, postgres);
    let mut report = RunReport::begin(&window, settings.mode, target.shown());
    target.prepare().await.inspect_err(|error| {
        tracing::debug!(%error, "nothing can be published there");
    })?;
    let done = attempt(settings, lake, &target, &window, &mut report, progress).await;
    if let Err(error) = &done {
        report.ends(Outcome::Failed);
        report.error = Some(error.to_string());
        record_failure(&target, &report, error).await;
    }
    done.map(|()| report)
}

async fn attempt(
    settings: &HistorySettings,
    lake: &Lake,
    target: &Target<'_>,
    window: &Window,
    report: &mut RunReport,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<(), HistoryError> {
    lake.reach().await?;
    let events = TableSnapshot::load(lake, RAW_EVENTS, AsOf::Newest)
        .await?
        .ok_or_else(|| LakeError::Missing {
            what: "table of archived events",
            place: lake.shown(RAW_EVENTS),
            help: "name the lake with DATA_LAKE_PATH, or fill it with lakebed archive",
        })?;
    report.reads(&events);
    progress(Step::Reading {
        files: events.files.len(),
        lake_version: events.version,
    });
    let (read, rows) = compute_tables(lake, &events, window, progress).await?;
    report.computed(read, &rows);
    progress(Step::Publishing { place: target.shown() });
    target.publish(&rows, settings.mode, report).await
}

/// Computes the five tables over one version of the lake: the events read, and the rows in the order of
/// [`HISTORY_TABLES`].
///
/// # Errors
/// [`HistoryError`] where a file cannot be read or the computation fails.
pub async fn compute_tables(
    lake: &Lake,
    events: &TableSnapshot,
    window: &Window,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<(u64, Vec<TableRows>), HistoryError> {
    let ctx = session()?;
    let size = match register_rollup(&ctx, lake, events, window).await {
        Err(error @ HistoryError::Query { .. }) => return Err(blame(lake, events, error).await),
        done => done?,
    };
    progress(Step::Summed {
        events: size.events,
        rollup_rows: size.rows,
    });
    let mut all = Vec::with_capacity(HISTORY_TABLES.len());
    for table in &HISTORY_TABLES {
        let rows = tables::compute(&ctx, table).await?;
        progress(Step::Computed {
            table: table.name,
            rows: rows.batch.num_rows(),
        });
        all.push(rows);
    }
    Ok((size.events, all))
}

/// The file that is at fault where the computation failed, if it is one's.
async fn blame(lake: &Lake, events: &TableSnapshot, error: HistoryError) -> HistoryError {
    match damage::first(lake, &events.files).await {
        Some((file, reason)) => HistoryError::File {
            file: file.path.to_string(),
            reason,
        },
        None => error,
    }
}

/// The error that the run ends with matters more than that its row could not be written.
async fn record_failure(target: &Target<'_>, report: &RunReport, error: &HistoryError) {
    if matches!(error, HistoryError::Lake(LakeError::Missing { .. })) && target.is_lake() {
        // A row would make a lake where a wrong path points.
        return;
    }
    if let Err(unwritten) = target.record(report).await {
        tracing::warn!(run = %report.id, error = %unwritten, "the failed run has no row in lakebed_runs");
    }
}
