//! What is flushed at once: rows, messages for quarantine, and the offsets that they cover.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};

use super::quarantine::Rejected;
use crate::event::EventSchema;

/// Messages that were read together and are committed together.
#[derive(Debug, Clone)]
pub struct Flush {
    /// What is covered of each partition.
    pub covered: BTreeMap<i32, Covered>,
    /// The rows, in the order in which they were read.
    pub rows: RecordBatch,
    /// About how many bytes of memory the rows take.
    pub row_bytes: usize,
    /// The columns of the rows.
    pub schema: EventSchema,
    /// The messages that are no events.
    pub rejected: Vec<Rejected>,
    /// Kafka's own time of the oldest message, milliseconds since the epoch.
    pub oldest: Option<i64>,
    /// Why it was cut.
    pub cause: Cause,
}

impl Flush {
    /// How many messages it is of.
    pub fn messages(&self) -> u64 {
        self.covered
            .values()
            .map(|covered| covered.rows + covered.quarantined + covered.tombstones)
            .sum()
    }

    /// The bytes of the messages that are no events.
    pub fn rejected_bytes(&self) -> usize {
        self.rejected.iter().map(Rejected::bytes).sum()
    }

    /// The flush without what it holds of some partitions.
    ///
    /// # Errors
    /// Arrow's, where the rows cannot be filtered, which is a bug.
    pub fn without(mut self, dropped: impl Fn(i32) -> bool) -> Result<Flush, arrow::error::ArrowError> {
        use arrow::array::{AsArray, BooleanArray};
        use arrow::datatypes::Int32Type;

        self.covered.retain(|partition, _| !dropped(*partition));
        self.rejected.retain(|rejected| !dropped(rejected.partition));
        if let Some(column) = self.rows.column_by_name(crate::event::PARTITION) {
            let keep: BooleanArray = column
                .as_primitive::<Int32Type>()
                .values()
                .iter()
                .map(|partition| Some(!dropped(*partition)))
                .collect();
            self.rows = arrow::compute::filter_record_batch(&self.rows, &keep)?;
        }
        Ok(self)
    }
}

/// What a flush covers of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// From the first offset to one past the last; offsets that Kafka skips are covered too.
    pub offsets: Range<i64>,
    /// Messages that became rows.
    pub rows: u64,
    /// Messages that went to quarantine.
    pub quarantined: u64,
    /// Messages without a value.
    pub tombstones: u64,
    /// When it was found out that Kafka dropped all these offsets before they were archived; none where it did not.
    pub lost: Option<DateTime<Utc>>,
    /// Which reading of the partition it belongs to; a later reading makes it void.
    pub epoch: u32,
}

/// Why a flush was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// BATCH_SIZE events were buffered.
    Size,
    /// The oldest event had waited for TIMEOUT_SEC.
    Time,
    /// The buffer had reached its share of the memory budget.
    Memory,
    /// The group took partitions away.
    Revoked,
    /// Kafka dropped what comes next in a partition.
    Loss,
    /// The archiver stops.
    Stop,
}

impl Cause {
    /// The cause as the metrics write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Size => "size",
            Cause::Time => "time",
            Cause::Memory => "memory",
            Cause::Revoked => "revoked",
            Cause::Loss => "loss",
            Cause::Stop => "stop",
        }
    }
}
