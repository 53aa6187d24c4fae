//! What an archiver has done.

use std::collections::BTreeMap;

use serde::Serialize;

use super::flush::Covered;

/// What an archiver has done, from its start to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ArchiveReport {
    /// Messages that are in the lake now: rows, quarantined and tombstones.
    pub messages: u64,
    /// Rows of raw_events.
    pub rows: u64,
    /// Rows of the quarantine.
    pub quarantined: u64,
    /// Messages without a value.
    pub tombstones: u64,
    /// Offsets that Kafka dropped before they were archived, recorded by this archiver.
    pub lost: u64,
    /// Flushes.
    pub flushes: u64,
    /// The newest version of raw_events.
    pub lake_version: u64,
    /// The offset that comes next in each partition that this archiver has read.
    pub next_offsets: BTreeMap<i32, i64>,
}

impl ArchiveReport {
    /// Adds what was archived of one partition.
    pub(super) fn add(&mut self, partition: i32, covered: &Covered) {
        self.rows += covered.rows;
        self.quarantined += covered.quarantined;
        self.tombstones += covered.tombstones;
        self.messages += covered.rows + covered.quarantined + covered.tombstones;
        if covered.lost.is_some() {
            let offsets = covered.offsets.end - covered.offsets.start;
            self.lost += u64::try_from(offsets)
                .unwrap_or_default()
                .saturating_sub(covered.quarantined);
        }
        self.next_offsets.insert(partition, covered.offsets.end);
    }
}

/// Is told how an archiver gets on.
pub trait Progress: Send + Sync {
    /// So much is archived; `total` offsets are to be archived in all, where the archiver stops at the end.
    fn archived(&self, report: &ArchiveReport, total: Option<u64>);
}
