//! The messages read and not yet flushed, and how far each partition has been read.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};

use super::flush::{Cause, Covered, Flush};
use super::quarantine::Rejected;
use crate::event::{EventBuffer, EventSchema};
use crate::kafka::Message;

/// When a buffer must be flushed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Messages.
    pub messages: u64,
    /// Bytes of decoded rows and rejected messages.
    pub bytes: usize,
    /// The longest wait of the oldest message.
    pub wait: Duration,
}

/// The messages of all partitions of this member that were read and not yet flushed.
pub struct Buffer {
    limits: Limits,
    events: EventBuffer,
    rejected: Vec<Rejected>,
    rejected_bytes: usize,
    messages: u64,
    oldest: Option<Instant>,
    oldest_timestamp: Option<i64>,
    partitions: BTreeMap<i32, Reading>,
    epochs: u32,
    adopted: Option<EventSchema>,
}

/// How far a partition has been read, and what of it is buffered.
struct Reading {
    buffered: Covered,
    quarantined_before: HashSet<i64>,
}

impl Buffer {
    /// An empty buffer that reads no partition yet.
    pub fn new(schema: EventSchema, limits: Limits) -> Buffer {
        Buffer {
            limits,
            events: EventBuffer::new(schema),
            rejected: Vec::new(),
            rejected_bytes: 0,
            messages: 0,
            oldest: None,
            oldest_timestamp: None,
            partitions: BTreeMap::new(),
            epochs: 0,
            adopted: None,
        }
    }

    /// Begins to read a partition at an offset. The offsets in `quarantined_before` are in quarantine already, of an
    /// earlier reading that ended between its two commits, and are not written again.
    pub fn begin(&mut self, partition: i32, offset: i64, quarantined_before: HashSet<i64>) {
        self.epochs += 1;
        let reading = Reading {
            buffered: Covered {
                offsets: offset..offset,
                rows: 0,
                quarantined: 0,
                tombstones: 0,
                lost: None,
                epoch: self.epochs,
            },
            quarantined_before,
        };
        self.partitions.insert(partition, reading);
    }

    /// Stops reading partitions and drops what is buffered of them.
    ///
    /// # Errors
    /// Arrow's, where the rows cannot be filtered, which is a bug.
    pub fn end(&mut self, partitions: &[i32]) -> Result<Option<Flush>, arrow::error::ArrowError> {
        let buffered = partitions.iter().any(|partition| {
            self.partitions
                .get(partition)
                .is_some_and(|reading| !reading.buffered.offsets.is_empty())
        });
        let rest = if buffered {
            self.cut(Cause::Revoked)
                .map(|flush| flush.without(|partition| partitions.contains(&partition)))
                .transpose()?
                .filter(|flush| !flush.covered.is_empty())
        } else {
            None
        };
        for partition in partitions {
            self.partitions.remove(partition);
        }
        Ok(rest)
    }

    /// Whether this reading of a partition is still the present one.
    pub fn is_present(&self, partition: i32, epoch: u32) -> bool {
        self.partitions
            .get(&partition)
            .is_some_and(|reading| reading.buffered.epoch == epoch)
    }

    /// The partitions that are read, each with the offset that comes next.
    pub fn positions(&self) -> impl Iterator<Item = (i32, i64)> {
        self.partitions
            .iter()
            .map(|(partition, reading)| (*partition, reading.buffered.offsets.end))
    }

    /// Takes in a message: as a row, for quarantine, or as a tombstone. One of a partition that is not read, or from
    /// before its position, is left out. `now` is epoch seconds; `arrived` starts the wait.
    pub fn push(&mut self, message: Message<'_>, now: i64, arrived: Instant) {
        let Some(reading) = self.partitions.get_mut(&message.partition) else {
            return;
        };
        if message.offset < reading.buffered.offsets.end {
            return;
        }
        reading.buffered.offsets.end = message.offset + 1;
        self.messages += 1;
        self.oldest.get_or_insert(arrived);
        self.oldest_timestamp = older(self.oldest_timestamp, message.timestamp);
        let Some(value) = message.value else {
            reading.buffered.tombstones += 1;
            return;
        };
        if reading.quarantined_before.remove(&message.offset) {
            reading.buffered.quarantined += 1;
            return;
        }
        match self.events.push(value, message.partition, message.offset, now) {
            Ok(()) => reading.buffered.rows += 1,
            Err(reason) => {
                reading.buffered.quarantined += 1;
                let rejected = Rejected {
                    partition: message.partition,
                    offset: message.offset,
                    key: message.key.map(<[u8]>::to_vec),
                    value: value.to_vec(),
                    reason,
                };
                self.rejected_bytes += rejected.bytes();
                self.rejected.push(rejected);
            }
        }
    }

    /// Notes that Kafka has nothing visible of a partition before this offset that was not read.
    pub fn skip_to(&mut self, partition: i32, offset: i64, arrived: Instant) {
        if let Some(reading) = self.partitions.get_mut(&partition)
            && reading.buffered.offsets.end < offset
        {
            reading.buffered.offsets.end = offset;
            self.oldest.get_or_insert(arrived);
        }
    }

    /// Notes that Kafka has dropped a partition's messages from its position to before `until`: a flush that records
    /// it. Nothing of the partition may be buffered.
    pub fn lose(&mut self, partition: i32, until: i64, now: DateTime<Utc>) -> Option<Flush> {
        let reading = self.partitions.get_mut(&partition)?;
        let offsets = reading.buffered.offsets.end..until;
        if offsets.is_empty() {
            return None;
        }
        let known = &mut reading.quarantined_before;
        let before = known.len();
        known.retain(|offset| !offsets.contains(offset));
        let quarantined = (before - known.len()) as u64;
        let lost = Covered {
            offsets,
            rows: 0,
            quarantined,
            tombstones: 0,
            lost: Some(now),
            epoch: reading.buffered.epoch,
        };
        reading.buffered.offsets = until..until;
        let schema = self.events.schema().clone();
        Some(Flush {
            covered: BTreeMap::from([(partition, lost)]),
            rows: RecordBatch::new_empty(schema.arrow_schema()),
            row_bytes: 0,
            schema,
            rejected: Vec::new(),
            oldest: None,
            cause: Cause::Loss,
        })
    }

    /// Why the buffer must be flushed now, if it must.
    pub fn due(&self, now: Instant) -> Option<Cause> {
        if self.messages >= self.limits.messages {
            Some(Cause::Size)
        } else if self.bytes() >= self.limits.bytes {
            Some(Cause::Memory)
        } else if self.oldest? + self.limits.wait <= now {
            Some(Cause::Time)
        } else {
            None
        }
    }

    /// Messages held.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Kafka's own time of the oldest message held, milliseconds since the epoch.
    pub fn oldest(&self) -> Option<i64> {
        self.oldest_timestamp
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.events.bytes() + self.rejected_bytes
    }

    /// Takes all that is buffered; none where nothing is.
    pub fn cut(&mut self, cause: Cause) -> Option<Flush> {
        let covered: BTreeMap<i32, Covered> = self
            .partitions
            .iter_mut()
            .filter(|(_, reading)| !reading.buffered.offsets.is_empty())
            .map(|(partition, reading)| {
                let end = reading.buffered.offsets.end;
                let next = Covered {
                    offsets: end..end,
                    rows: 0,
                    quarantined: 0,
                    tombstones: 0,
                    lost: None,
                    epoch: reading.buffered.epoch,
                };
                (*partition, std::mem::replace(&mut reading.buffered, next))
            })
            .collect();
        self.messages = 0;
        self.oldest = None;
        self.rejected_bytes = 0;
        let oldest = self.oldest_timestamp.take();
        let row_bytes = self.events.bytes();
        let rejected = std::mem::take(&mut self.rejected);
        if covered.is_empty() {
            return None;
        }
        let rows = self.events.take();
        let schema = self.events.schema().clone();
        self.change_columns();
        Some(Flush {
            covered,
            rows,
            row_bytes,
            schema,
            rejected,
            oldest,
            cause,
        })
    }

    /// Takes over the lake's columns, from the next flush on: those of one flush do not change under way.
    pub fn adopt(&mut self, schema: EventSchema) {
        self.adopted = Some(schema);
        self.change_columns();
    }

    fn change_columns(&mut self) {
        if !self.events.is_empty() {
            return;
        }
        if let Some(schema) = self.adopted.take() {
            // Columns of flushes that are on their way into the lake are not in its schema yet.
            let merged = schema.merged(self.events.schema());
            self.events.adopt(merged.unwrap_or(schema));
        }
    }
}

/// The older of two times.
pub fn older(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    [one, other].into_iter().flatten().min()
}
