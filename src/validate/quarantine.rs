//! The quarantine: its columns, and its share of all messages.

use object_store::ObjectStoreExt;
use serde_json::json;

use super::columns;
use crate::archive::ledger::{REPLAY_TAG, Replay};
use crate::history::HistoryError;
use crate::history::expectations::{CheckResult, Failure, Row, SHOWN_ROWS};
use crate::lake::snapshot::{AsOf, store_fault};
use crate::lake::{DataFile, Lake, LakeError, QUARANTINE, TableSnapshot, footer};
use crate::quality::Progress;
use crate::quarantine::{Selection, list};

const NAME: &str = "share";

/// The shares of rows and of the quarantine.
pub(super) struct Share {
    pub(super) rows: u64,
    /// Messages in quarantine that no replay has made rows.
    pub(super) quarantined: u64,
    pub(super) results: Vec<CheckResult>,
}

/// Checks that no more than so many per cent of all messages are in quarantine.
pub(super) async fn check(
    lake: &Lake,
    events: &TableSnapshot,
    max_percent: f64,
    progress: &dyn Progress,
) -> Result<Share, HistoryError> {
    let rows = rows(lake, &events.files).await?;
    let snapshot = TableSnapshot::load(lake, QUARANTINE, AsOf::Newest).await?;
    let Some(snapshot) = snapshot else {
        return Ok(Share {
            rows,
            quarantined: 0,
            results: vec![CheckResult::met(QUARANTINE, NAME)],
        });
    };
    let mut results = columns::of_quarantine(&snapshot);
    let replayed: u64 = events.files.iter().filter_map(replayed).sum();
    let quarantined = self::rows(lake, &snapshot.files).await?.saturating_sub(replayed);
    results.push(match exceeds(rows, quarantined, max_percent) {
        None => CheckResult::met(QUARANTINE, NAME),
        Some(percent) => {
            let reasons = reasons(lake, progress).await?;
            let failure = Failure {
                reason: format!(
                    "{percent:.2} % of all messages are in quarantine, {quarantined} beside {rows} rows; at most {max_percent} % may be"
                ),
                because: None,
                offending: reasons.len() as u64,
                rows: reasons.into_iter().take(SHOWN_ROWS).collect(),
                help: "see with lakebed quarantine what they are; mend what sends them, make rows of them with lakebed quarantine replay, or set MAX_QUARANTINED_PERCENT".to_owned(),
            };
            CheckResult::not_met(QUARANTINE, NAME, failure)
        }
    });
    Ok(Share {
        rows,
        quarantined,
        results,
    })
}

/// The share in per cent, where it is larger than it may be.
#[allow(
    clippy::cast_precision_loss,
    reason = "a share needs no more digits than a float has"
)]
fn exceeds(rows: u64, quarantined: u64, max_percent: f64) -> Option<f64> {
    let all = rows.saturating_add(quarantined);
    if all == 0 {
        return None;
    }
    let percent = quarantined as f64 * 100.0 / all as f64;
    (percent > max_percent).then_some(percent)
}

/// Rows that a replay archived into a file.
fn replayed(file: &DataFile) -> Option<u64> {
    let tag = file.tags.get(REPLAY_TAG)?;
    serde_json::from_str::<Replay>(tag).ok()?.rows()
}

/// The rows of files: by the table's log, else by their footers.
async fn rows(lake: &Lake, files: &[DataFile]) -> Result<u64, LakeError> {
    let mut rows = 0_u64;
    for file in files {
        rows = rows.saturating_add(match file.rows {
            Some(rows) => rows,
            None => rows_by_footer(lake, file).await?,
        });
    }
    Ok(rows)
}

/// The rows that a file's footer tells; none of a file that is gone or damaged, which is told elsewhere.
async fn rows_by_footer(lake: &Lake, file: &DataFile) -> Result<u64, LakeError> {
    let footer = match lake.store().head(&file.path).await {
        Ok(object) => footer::read(lake, &object).await,
        Err(object_store::Error::NotFound { .. }) => return Ok(0),
        Err(error) => return Err(store_fault(file.path.as_ref(), &error)),
    };
    match footer {
        Ok(footer) => Ok(u64::try_from(footer.file_metadata().num_rows()).unwrap_or_default()),
        Err(LakeError::Table { .. }) => Ok(0),
        Err(error) => Err(error),
    }
}

/// What is in quarantine, by reason, each with its newest message.
async fn reasons(lake: &Lake, progress: &dyn Progress) -> Result<Vec<Row>, LakeError> {
    let listing = match list(lake, &Selection::default(), 1, progress).await {
        Ok(listing) => listing,
        // That it cannot be read is told by verify; how much is there is known all the same.
        Err(LakeError::Table { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let rows = listing.reasons.into_iter().map(|reason| {
        let mut row = Row::of([("reason", json!(reason.reason)), ("messages", json!(reason.messages))]);
        if let Some(newest) = reason.samples.first() {
            let newest = Row::of([
                ("topic", json!(newest.topic)),
                ("partition", json!(newest.partition)),
                ("offset", json!(newest.offset)),
                ("value", json!(newest.value.text)),
            ]);
            row.0.extend(newest.0);
        }
        row
    });
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_all_messages() {
        assert_eq!(exceeds(0, 0, 0.0), None);
        assert_eq!(exceeds(95, 5, 5.0), None);
        assert_eq!(exceeds(94, 6, 5.0), Some(6.0));
        assert_eq!(exceeds(0, 1, 99.9), Some(100.0));
        assert_eq!(exceeds(u64::MAX, u64::MAX, 100.0), None);
    }
}
