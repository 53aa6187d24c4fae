//! Making the five tables and the run's row visible in one step, in PostgreSQL or in the lake.

pub mod lake;
mod lake_release;
mod lake_runs;
mod newest;
pub mod postgres;

pub(super) use lake_runs::write_operation;
pub(super) use newest::Published;

use super::release::Release;
use super::runs::{Outcome, RunReport};
use super::{HistoryError, TableRows};
use crate::config::PostgresSettings;
use crate::config::history::PublishMode;
use crate::lake::Lake;
use postgres::Postgres;

/// Where a run publishes.
pub(super) enum Target<'a> {
    Lake(&'a Lake),
    Postgres(Postgres<'a>),
}

impl<'a> Target<'a> {
    /// PostgreSQL where its settings name a host, else the lake.
    pub(super) fn new(lake: &'a Lake, settings: Option<&'a PostgresSettings>) -> Target<'a> {
        settings
            .and_then(|settings| Some(Postgres::new(settings, settings.host.as_deref()?)))
            .map_or(Target::Lake(lake), Target::Postgres)
    }

    pub(super) fn is_lake(&self) -> bool {
        matches!(self, Target::Lake(_))
    }

    /// The place as a person reads it.
    pub(super) fn shown(&self) -> String {
        match self {
            Target::Lake(lake) => lake.shown("history"),
            Target::Postgres(postgres) => postgres.place(),
        }
    }

    /// Makes what is missing and refuses what cannot be published to, before any work.
    pub(super) async fn prepare(&self, mode: PublishMode) -> Result<(), HistoryError> {
        match self {
            Target::Lake(lake) => Ok(lake.reach().await?),
            Target::Postgres(postgres) => postgres.prepare(mode).await,
        }
    }

    /// Publishes the tables as the mode says, with the run's row, whose outcome it decides.
    pub(super) async fn publish(
        &self,
        rows: &[TableRows],
        mode: PublishMode,
        report: &mut RunReport,
    ) -> Result<(), HistoryError> {
        match self {
            Target::Lake(lake) => lake::publish(lake, rows, mode, report).await,
            Target::Postgres(postgres) => postgres.publish(rows, mode, report).await,
        }
    }

    /// What readers see there, as of one moment.
    pub(super) async fn read_release(&self) -> Result<Release, HistoryError> {
        match self {
            Target::Lake(lake) => lake_release::read(lake).await,
            Target::Postgres(postgres) => postgres.read_release().await,
        }
    }

    /// Leaves the run's row alone.
    pub(super) async fn record(&self, report: &RunReport) -> Result<(), HistoryError> {
        match self {
            Target::Lake(lake) => lake::record(lake, report).await,
            Target::Postgres(postgres) => postgres.record(report).await,
        }
    }
}

/// What a run may do, on what it finds published; `occupied` is the first table that has rows.
fn decide(
    mode: PublishMode,
    newest_published: Option<i64>,
    report: &RunReport,
    occupied: Option<&'static str>,
    place: impl FnOnce() -> String,
) -> Result<Outcome, HistoryError> {
    if newest_published
        .zip(report.signed_version())
        .is_some_and(|(newest, ours)| newest > ours)
    {
        return Ok(Outcome::Superseded);
    }
    match (mode, occupied) {
        (PublishMode::Error, Some(table)) => Err(HistoryError::Occupied { table, place: place() }),
        (PublishMode::Ignore, Some(_)) => Ok(Outcome::Ignored),
        _ => Ok(Outcome::Published),
    }
}
