//! One run, from the lake's newest version to published tables.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::timeout;

use super::compute::compute;
use super::expectations::Gate;
use super::figures::Meter;
use super::interruption::{Interruption, Now, unless_interrupted};
use super::presence::lost_file;
use super::publish::Target;
use super::publish::postgres::CONNECT;
use super::rollup::{self, Request, RollupState};
use super::runs::RunReport;
use super::{HistoryError, Outcome, Window};
use crate::config::{HistorySettings, PostgresSettings};
use crate::lake::snapshot::AsOf;
use crate::lake::{Lake, LakeError, RAW_EVENTS, TableSnapshot};

/// How long the row of a run that was ended may take.
const RECORD_OF_INTERRUPTED: Duration = Duration::from_secs(10);

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
        /// Data files that were summed up for it.
        files: usize,
        /// How the run came by the rollup.
        rollup: RollupState,
        /// Why it was not the kept one.
        reason: Option<String>,
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

/// Computes the five tables over the window that the settings ask for and publishes them, with the run's row.
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
    run_until(settings, lake, postgres, now, progress, std::future::pending()).await
}

/// As [`run`], unless `interrupted` comes first: a run that has not begun to publish by then ends without, one that has
/// is let end.
///
/// # Errors
/// Those of [`run`]; [`HistoryError::Interrupted`].
pub async fn run_until(
    settings: &HistorySettings,
    lake: &Lake,
    postgres: Option<&PostgresSettings>,
    now: DateTime<Utc>,
    progress: &(dyn Fn(Step) + Sync),
    interrupted: impl Future<Output = Interruption>,
) -> Result<RunReport, HistoryError> {
    let window = Window::of(settings, now)?;
    let (meter, lake) = &Meter::begin(lake);
    let target = Target::new(lake, postgres);
    let mut report = RunReport::begin(&window, settings.mode, target.shown());
    let phase = Now::default();
    let told = |step: Step| {
        meter.hear(&step);
        phase.hear(&step);
        progress(step);
    };
    let work = attempt(settings, lake, &target, &window, &mut report, meter, &told);
    let done = unless_interrupted(work, interrupted, &phase).await;
    report.figures = Some(meter.figures());
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
    meter: &Meter,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<(), HistoryError> {
    let gate = Gate::of(settings).await?;
    target.prepare(settings.mode).await?;
    lake.reach().await?;
    // Before the lake's version is looked up, so that it is not ahead of that when another run keeps a newer one.
    let found = rollup::find(lake).await?;
    let events = TableSnapshot::load(lake, RAW_EVENTS, AsOf::Newest)
        .await?
        .ok_or_else(|| LakeError::no_events(lake))?;
    report.reads(&events);
    meter.reads(&events);
    progress(Step::Reading {
        files: events.files.len(),
        lake_version: events.version,
    });
    let request = Request {
        lake,
        events: &events,
        window,
        skip_corrupt: settings.skip_corrupt,
    };
    let found = match events.version {
        None => Err("the lake has no log that says what is new".to_owned()),
        Some(_) => match lost_file(lake, &events, window).await? {
            None => Ok(found),
            Some(_) if settings.skip_corrupt => Err("a file that it may cover was lost".to_owned()),
            Some(lost) => return Err(lost),
        },
    };
    let computed = compute(request, found, settings.full, progress).await?;
    report.computed(&computed);
    // Before the rollup is kept: what made the tables wrong must not last.
    gate.pass(&computed.rows, report).await?;
    report.rollup = Some(computed.summed.keep(lake).await);
    progress(Step::Publishing { place: target.shown() });
    report.figures = Some(meter.figures());
    target.publish(&computed.rows, settings.mode, report).await
}

/// The error that the run ends with matters more than that its row could not be written.
async fn record_failure(target: &Target<'_>, report: &RunReport, error: &HistoryError) {
    let pointless = match error {
        // A row would make a lake where a wrong path points.
        HistoryError::Lake(LakeError::Missing { .. }) => target.is_lake(),
        // The row would meet what the run met.
        HistoryError::PostgresRefused { .. } => true,
        // Nothing has been looked at yet, the place of the row neither.
        HistoryError::Expectations { .. } => true,
        HistoryError::PostgresAway { what, .. } => what == CONNECT,
        HistoryError::CommitUnknown { .. } => true,
        _ => false,
    };
    if pointless {
        return;
    }
    let warn = |reason: &dyn std::fmt::Display| {
        tracing::warn!(run = %report.id, error = %reason, "the failed run has no row in lakebed_runs");
    };
    // Who is told to end is not given the time to wait for another publisher.
    let time = match error {
        HistoryError::Interrupted { .. } => RECORD_OF_INTERRUPTED,
        _ => Duration::MAX,
    };
    match timeout(time, target.record(report)).await {
        Ok(Ok(())) => {}
        Ok(Err(unwritten)) => warn(&unwritten),
        Err(_) => warn(&format!("it could not be written within {} s", time.as_secs())),
    }
}
