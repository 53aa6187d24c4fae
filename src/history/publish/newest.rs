//! Which version of a lake was published from, asked without making or changing anything.

use std::time::SystemTime;

use chrono::{DateTime, Utc};

use super::Target;
use super::lake_runs;
use super::postgres::Postgres;
use crate::history::HistoryError;
use crate::history::runs::RUNS_TABLE;

/// The newest version of a lake that tables were published from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::history) struct Published {
    /// The version of raw_events; none where it was plain Parquet.
    pub(in crate::history) version: Option<u64>,
    /// When, where that is known.
    pub(in crate::history) at: Option<DateTime<Utc>>,
}

impl Target<'_> {
    /// What was last published from the lake of this id; none where nothing was.
    pub(in crate::history) async fn newest_of(&self, lake_id: &str) -> Result<Option<Published>, HistoryError> {
        match self {
            Target::Lake(lake) => lake_runs::newest_of(lake, lake_id).await,
            Target::Postgres(postgres) => newest_in_postgres(postgres, lake_id).await,
        }
    }
}

async fn newest_in_postgres(postgres: &Postgres<'_>, lake_id: &str) -> Result<Option<Published>, HistoryError> {
    let runs = postgres.qualified(RUNS_TABLE);
    let client = postgres.connect().await?;
    let fault = |error| postgres.fault("look into lakebed_runs", &error);
    let there: bool = client
        .query_one("SELECT to_regclass($1) IS NOT NULL", &[&runs])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(fault)?;
    if !there {
        return Ok(None);
    }
    let sql = format!(
        "SELECT lake_version, ended_at FROM {runs} WHERE coalesce(lake_id, '') = $1 AND outcome = 'published'
         ORDER BY lake_version DESC NULLS LAST, ended_at DESC LIMIT 1"
    );
    let Some(row) = client.query_opt(&sql, &[&lake_id]).await.map_err(fault)? else {
        return Ok(None);
    };
    let version: Option<i64> = row.try_get(0).map_err(fault)?;
    let at: SystemTime = row.try_get(1).map_err(fault)?;
    Ok(Some(Published {
        version: version.and_then(|version| u64::try_from(version).ok()),
        at: Some(at.into()),
    }))
}
