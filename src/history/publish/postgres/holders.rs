//! Who holds the locks that a publisher waited for in vain.

use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use tokio_postgres::{Error, Row};

use super::Postgres;
use crate::config::duration::shown;
use crate::history::HistoryError;
use crate::history::runs::RUNS_TABLE;
use crate::history::tables::HISTORY_TABLES;

/// How long it may take to find out; the error is told without where it takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

impl Postgres<'_> {
    /// The error, with those named who held the locks, if that is what it is about.
    pub(super) async fn name_holders(&self, mut error: HistoryError) -> HistoryError {
        if let HistoryError::PostgresLocked { holders, .. } = &mut error
            && let Ok(Ok(named)) = timeout(PATIENCE, self.holders()).await
            && !named.is_empty()
        {
            *holders = format!("by {}", named.join(", "));
        }
        error
    }

    async fn holders(&self) -> Result<Vec<String>, HistoryError> {
        let client = self.connect().await?;
        let tables: Vec<&str> = HISTORY_TABLES
            .iter()
            .map(|table| table.name)
            .chain([RUNS_TABLE])
            .collect();
        let rows = client
            .query(include_str!("holders.sql"), &[&self.settings.schema, &tables])
            .await;
        rows.and_then(|rows| rows.iter().map(holder).collect())
            .map_err(|error| self.fault("find out who holds the locks", &error))
    }
}

/// A session as a person reads it.
fn holder(row: &Row) -> Result<String, Error> {
    let (pid, user): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
    let (application, state): (String, String) = (row.try_get(2)?, row.try_get(3)?);
    let since: Option<SystemTime> = row.try_get(4)?;
    let lasts = since.and_then(|since| since.elapsed().ok());
    let lasts = lasts.map(|lasts| format!(" for {}", shown(lasts))).unwrap_or_default();
    Ok(format!("process {pid} ({application}, user {user}, {state}{lasts})"))
}
