//! The table of runs in PostgreSQL.

use std::time::SystemTime;

use tokio_postgres::Transaction;

use super::{Postgres, copy};
use crate::history::HistoryError;
use crate::history::runs::{RunReport, json_text};

/// Adds the run's row.
pub(super) async fn insert(
    postgres: &Postgres<'_>,
    transaction: &Transaction<'_>,
    report: &RunReport,
) -> Result<(), HistoryError> {
    let error = report.error.as_deref().map(copy::storable);
    transaction
        .execute(
            "INSERT INTO lakebed_runs (id, outcome, started_at, ended_at, window_start, window_end, lake_id, lake_version,
                                       mode, events_read, corrupt_files, rows_per_table, error, figures)
             VALUES ($1::text::uuid, $2, $3, $4, $5, $6, nullif($7, ''), $8, $9, $10, $11, $12::text::jsonb, $13,
                     $14::text::jsonb)",
            &[
                &report.id,
                &report.outcome.as_str(),
                &SystemTime::from(report.started_at),
                &SystemTime::from(report.ended_at),
                &SystemTime::from(report.window_start),
                &SystemTime::from(report.window_end),
                &report.lake_id,
                &report.signed_version(),
                &report.mode,
                &report.signed_events(),
                &report.signed_corrupt_files(),
                &json_text(&report.rows_per_table),
                &error,
                &report.figures.as_ref().map(json_text),
            ],
        )
        .await
        .map_err(|error| postgres.fault("note the run in lakebed_runs", &error))?;
    Ok(())
}

/// The newest version of this lake that tables were published from.
pub(super) async fn newest_published(
    postgres: &Postgres<'_>,
    transaction: &Transaction<'_>,
    lake_id: &str,
) -> Result<Option<i64>, HistoryError> {
    transaction
        .query_one(
            "SELECT max(lake_version) FROM lakebed_runs WHERE lake_id = $1 AND outcome = 'published'",
            &[&lake_id],
        )
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| postgres.fault("look into lakebed_runs", &error))
}

/// Whether the run has its row.
pub(super) async fn exists(
    postgres: &Postgres<'_>,
    transaction: &Transaction<'_>,
    run: &str,
) -> Result<bool, HistoryError> {
    transaction
        .query_one(
            "SELECT EXISTS (SELECT FROM lakebed_runs WHERE id = $1::text::uuid)",
            &[&run],
        )
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| postgres.fault("look into lakebed_runs", &error))
}
