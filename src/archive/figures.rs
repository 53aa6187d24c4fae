//! What a commit tells the metrics: noted before it takes the flushes, told once their fates are known.

use std::time::Instant;

use super::committer::Fate;
use super::flush::Cause;
use super::writer::Written;
use crate::event::Reason;
use crate::monitor::{self, Peer};

/// What is to be counted of flushes that are about to be committed.
pub struct Figures {
    begun: Instant,
    /// Why each was cut.
    pub causes: Vec<Cause>,
    /// Partition, offset and reason, sorted.
    rejected: Vec<(i32, i64, Reason)>,
}

impl Figures {
    /// Those of these flushes.
    pub fn of(ready: &[Written]) -> Figures {
        let rejected = ready.iter().flat_map(|written| &written.flush.rejected);
        let mut rejected: Vec<_> = rejected.map(|row| (row.partition, row.offset, row.reason)).collect();
        rejected.sort_unstable_by_key(|(partition, offset, _)| (*partition, *offset));
        Figures {
            begun: Instant::now(),
            causes: ready.iter().map(|written| written.flush.cause).collect(),
            rejected,
        }
    }

    /// Counts what is in the lake now, and what was dropped.
    pub fn tell(self, fates: &[(i32, Fate)]) {
        let metrics = monitor::archiver();
        metrics.answers(Peer::Store);
        metrics.committed(self.begun.elapsed(), self.causes.iter().map(|cause| cause.as_str()));
        for (partition, fate) in fates {
            match fate {
                Fate::Archived(covered) => {
                    let place = |offset: i64| {
                        let before = |row: &(i32, i64, Reason)| (row.0, row.1) < (*partition, offset);
                        self.rejected.partition_point(before)
                    };
                    let rejected = &self.rejected[place(covered.offsets.start)..place(covered.offsets.end)];
                    let reasons = rejected.iter().map(|(_, _, reason)| reason.as_str());
                    let (rows, tombstones, quarantined) = (covered.rows, covered.tombstones, covered.quarantined);
                    metrics.archived(*partition, covered.offsets.end, rows, tombstones, quarantined, reasons);
                }
                Fate::Superseded(_) => metrics.superseded(),
            }
        }
    }
}
