//! Whether lake and tables meet what is expected of them: the schema and the rows of raw_events, the share of the
//! quarantine, and what stands beside each view.
//!
//! [`validate()`] gives plain values; what the lake's log knows of its files is not read from them. That nothing is lost or
//! doubled is another question, which `quality::verify` answers.

mod columns;
mod files;
mod lake;
mod quarantine;
mod rules;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::config::{ExpectationSettings, PostgresSettings, ValidateSettings};
use crate::history::expectations::{self, CheckResult, Occasion, Tally};
use crate::history::{HistoryError, Release, read_release};
use crate::lake::Lake;
use crate::quality::Progress;

/// What is to be validated.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The lake.
    pub lake: &'a Lake,
    /// Where the tables are, if not in the lake.
    pub postgres: Option<&'a PostgresSettings>,
    /// The limits.
    pub limits: &'a ValidateSettings,
    /// Expectations beside lakebed's own.
    pub expectations: &'a ExpectationSettings,
    /// Which part.
    pub part: Part,
    /// What the clock shows.
    pub now: DateTime<Utc>,
}

/// What of a lakebed is validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The lake and the tables.
    All,
    /// The lake: raw_events and the quarantine.
    Lake,
    /// The five published tables and their runs.
    Tables,
}

/// What was validated, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValidateReport {
    /// Whether every expectation that was checked is met.
    pub met: bool,
    /// The lake; none where it was left out.
    pub lake: Option<LakeSummary>,
    /// The tables; none where they were left out.
    pub tables: Option<TablesSummary>,
    /// How many expectations are met, how many not.
    pub expectations: Tally,
    /// All of them.
    pub checks: Vec<CheckResult>,
}

/// The lake that was validated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LakeSummary {
    /// Where it is.
    pub place: String,
    /// The version of raw_events; none where it is plain Parquet.
    pub version: Option<u64>,
    /// Its files.
    pub files: u64,
    /// Its rows.
    pub rows: u64,
    /// Messages in quarantine that no replay has made rows.
    pub quarantined: u64,
    /// Files that had to be read, because the table's log does not say enough of them, or nothing good.
    pub files_read: u64,
}

/// The tables that were validated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TablesSummary {
    /// Where they are published.
    pub place: String,
    /// The run that published them last; none where none has.
    pub run: Option<String>,
    /// When it published.
    pub published_at: Option<DateTime<Utc>>,
    /// Runs whose rows they hold.
    pub runs: usize,
}

/// Validates the lake and the tables.
///
/// # Errors
/// [`HistoryError`] where one of them cannot be looked at, or a file of expectations says what cannot be meant. What is
/// not met is no error.
pub async fn validate(request: Request<'_>, progress: &dyn Progress) -> Result<ValidateReport, HistoryError> {
    let expectations = expectations::load(request.expectations, request.limits.max_age_hours).await?;
    let (mut lake, mut tables, mut checks) = (None, None, Vec::new());
    if request.part != Part::Tables {
        let (summary, results) = lake::check(&request, progress).await?;
        lake = Some(summary);
        checks.extend(results);
    }
    if request.part != Part::Lake {
        let release = read_release(request.lake, request.postgres).await?;
        let now = request.now;
        checks.extend(expectations::check(&expectations, &release, Occasion::Published { now }).await?);
        tables = Some(summary(release));
    }
    let tally = Tally::of(&checks);
    Ok(ValidateReport {
        met: tally.not_met == 0,
        lake,
        tables,
        expectations: tally,
        checks,
    })
}

fn summary(release: Release) -> TablesSummary {
    let runs = release.runs.unwrap_or_default();
    let last = runs.last();
    TablesSummary {
        place: release.place,
        run: last.map(|run| run.id.clone()),
        published_at: last.map(|run| run.ended_at),
        runs: runs.len(),
    }
}
