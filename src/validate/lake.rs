//! The lake: its two tables, one check after the other.

use super::files::{Limits, Read};
use super::{LakeSummary, Request, columns, files, quarantine};
use crate::event::{MOST_AHEAD, OLDEST};
use crate::history::HistoryError;
use crate::history::expectations::CheckResult;
use crate::lake::snapshot::AsOf;
use crate::lake::{LakeError, RAW_EVENTS, TableSnapshot};
use crate::quality::Progress;

/// Checks the newest versions of raw_events and the quarantine.
pub(super) async fn check(
    request: &Request<'_>,
    progress: &dyn Progress,
) -> Result<(LakeSummary, Vec<CheckResult>), HistoryError> {
    let lake = request.lake;
    lake.reach().await?;
    let events = TableSnapshot::load(lake, RAW_EVENTS, AsOf::Newest)
        .await?
        .ok_or_else(|| LakeError::no_events(lake))?;
    let limits = Limits {
        oldest: OLDEST,
        newest: request.now.timestamp().saturating_add(MOST_AHEAD),
    };
    let mut checks = columns::of_events(&events);
    let Read { results, files_read } = files::check(lake, &events, limits, progress).await?;
    checks.extend(results);
    let share = quarantine::check(lake, &events, request.limits.max_quarantined_percent, progress).await?;
    checks.extend(share.results);
    let summary = LakeSummary {
        place: lake.shown(RAW_EVENTS),
        version: events.version,
        files: events.files.len() as u64,
        rows: share.rows,
        quarantined: share.quarantined,
        files_read,
    };
    Ok((summary, checks))
}
