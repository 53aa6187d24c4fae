//! What the lake has that the published tables lack, told from logs alone: no data file is read.
//!
//! New is what commits to raw_events after the version that was last published from have added, compaction left out.
//! That the window moves with the clock, so that the same events give other tables an hour later, is not.

use std::collections::HashSet;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::Serialize;

use super::HistoryError;
use super::publish::{Published, Target};
use crate::config::PostgresSettings;
use crate::lake::changes::changes;
use crate::lake::snapshot::AsOf;
use crate::lake::{DataFile, Lake, LakeError, RAW_EVENTS, TableSnapshot, TableWriter};

/// What is new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct News {
    /// Whether the lake has data that the tables lack.
    pub new: bool,
    /// The lake's version; none where it is plain Parquet.
    pub lake_version: Option<u64>,
    /// The version that was last published from; none where nothing was.
    pub published_version: Option<u64>,
    /// When, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<DateTime<Utc>>,
    /// Where the tables are.
    pub published_to: String,
    /// Files with new rows; none where the log does not say.
    pub files: Option<u64>,
    /// Their rows; none where the log does not say.
    pub events: Option<u64>,
    /// Their bytes; none where the log does not say.
    pub bytes: Option<u64>,
    /// The hour of their oldest event; none where there is none or the log does not say.
    pub oldest_hour: Option<DateTime<Utc>>,
    /// The hour of their newest event; none where there is none or the log does not say.
    pub newest_hour: Option<DateTime<Utc>>,
    /// Files that the tables were computed from and that are no longer part of raw_events.
    pub removed_files: u64,
    /// Why the log does not say what is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Looks for what is new since the tables were last published.
///
/// # Errors
/// [`HistoryError`] where the lake or the server cannot be read; [`LakeError::Missing`] within it where there is no
/// lake.
pub async fn news(lake: &Lake, postgres: Option<&PostgresSettings>) -> Result<News, HistoryError> {
    let target = Target::new(lake, postgres);
    lake.reach().await?;
    let Some(mut table) = TableWriter::open(lake, RAW_EVENTS).await? else {
        return news_of_plain(lake, &target).await;
    };
    let (id, version) = (table.id().to_owned(), table.version());
    let published = target.newest_of(&id).await?;
    let base = News::none(&target, Some(version), published.as_ref());
    let Some(since) = published.and_then(|published| published.version) else {
        return Ok(base.with(&table.snapshot().await?.files, 0));
    };
    if since >= version {
        return Ok(base.with(&[], 0));
    }
    let Some(changes) = changes(lake, RAW_EVENTS, since, version).await? else {
        return Ok(base.unknown("the log no longer has the commits since that version"));
    };
    let gone: HashSet<_> = changes.removed.iter().collect();
    let (kept, passing): (Vec<DataFile>, Vec<DataFile>) =
        changes.added.into_iter().partition(|file| !gone.contains(&file.path));
    // What came and went meanwhile the tables never had.
    let removed = gone.len().saturating_sub(passing.len());
    Ok(base.with(&kept, removed as u64))
}

async fn news_of_plain(lake: &Lake, target: &Target<'_>) -> Result<News, HistoryError> {
    let events = TableSnapshot::load(lake, RAW_EVENTS, AsOf::Newest).await?;
    let events = events.ok_or_else(|| LakeError::no_events(lake))?;
    let published = target.newest_of(&events.id).await?;
    let base = News::none(target, None, published.as_ref());
    Ok(match published {
        None => base.with(&events.files, 0),
        Some(_) => base.unknown("the lake has no log that says what is new"),
    })
}

impl News {
    fn none(target: &Target<'_>, lake_version: Option<u64>, published: Option<&Published>) -> News {
        News {
            new: false,
            lake_version,
            published_version: published.and_then(|published| published.version),
            published_at: published.and_then(|published| published.at),
            published_to: target.shown(),
            files: Some(0),
            events: Some(0),
            bytes: Some(0),
            oldest_hour: None,
            newest_hour: None,
            removed_files: 0,
            reason: None,
        }
    }

    fn with(self, files: &[DataFile], removed_files: u64) -> News {
        let files: Vec<&DataFile> = files.iter().filter(|file| file.rows != Some(0)).collect();
        // One file of which the log does not say is enough for the whole not to be known.
        let bounds: Option<Vec<(i64, i64)>> = files.iter().map(|file| file.timestamps).collect();
        let bounds = bounds.unwrap_or_default();
        News {
            new: !files.is_empty(),
            files: Some(files.len() as u64),
            events: files.iter().map(|file| file.rows).sum(),
            bytes: Some(files.iter().map(|file| file.size).sum()),
            oldest_hour: bounds.iter().map(|(low, _)| *low).min().and_then(hour),
            newest_hour: bounds.iter().map(|(_, high)| *high).max().and_then(hour),
            removed_files,
            ..self
        }
    }

    /// Nobody can say that there is nothing new, so there may be.
    fn unknown(self, reason: &str) -> News {
        News {
            new: true,
            files: None,
            events: None,
            bytes: None,
            reason: Some(reason.to_owned()),
            ..self
        }
    }
}

fn hour(second: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(second, 0)?
        .duration_trunc(TimeDelta::hours(1))
        .ok()
}
