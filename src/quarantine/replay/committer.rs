//! The commit of a batch: exactly on top of the state in which it was decided that no replay has made rows of it.
//!
//! raw_events counts the commits of replays under a mark of their own. A batch is decided upon while that mark has some
//! value, and is committed with the next one, by a commit that is refused where anybody else was first. Where that was
//! an archiver, the mark has not moved and the same files are committed again. Where it was a replay, or where the answer
//! to a commit was lost, the records are read anew: they say what of the batch is there already, be it by this replay's
//! own hand.
//!
//! A file bears the mark on top of which it was to be committed, in its footer too. Once the mark is beyond that and no
//! commit names the file, none ever will: that makes it litter ([`sweep`]), and never before, whether or not its replay
//! lives. To be rid of what a dead replay left, the mark is moved on without a file; a living one only looks again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int32Type, Int64Type};
use chrono::{TimeDelta, Utc};
use deltalake_core::kernel::{Action, Add};
use roaring::RoaringTreemap;

use super::super::replayed::{Replayed, Unrecorded};
use crate::archive::ledger::{REPLAY_ID, Replay, hours_tag};
use crate::archive::{ArchiveError, columns, month, sweep, writer};
use crate::error::{HasKind, Kind};
use crate::event::{EventSchema, OFFSET, PARTITION, conform};
use crate::fail_point::{self, Step};
use crate::lake::commit::append;
use crate::lake::{CommitOutcome, Lake, RAW_EVENTS, TableWriter, datafile};

/// Times that a commit whose answer was lost is looked after.
const ATTEMPTS: usize = 5;

/// Offsets by topic and partition.
pub type Places = BTreeMap<(String, i32), RoaringTreemap>;

/// Rows of one topic.
#[derive(Debug, Clone)]
pub struct TopicRows {
    /// The topic.
    pub topic: String,
    /// The rows, as a buffer gave them.
    pub rows: RecordBatch,
}

/// Rows that are committed together.
#[derive(Debug, Clone)]
pub struct Batch {
    /// By topic.
    pub topics: Vec<TopicRows>,
}

/// Commits batches to raw_events.
pub struct Committer {
    lake: Lake,
    max_columns: usize,
    events: TableWriter,
    schema: EventSchema,
    /// As of the version that was seen first: they only grow.
    marks: BTreeMap<String, i64>,
    /// The mark of replays for which `replayed` is true.
    sequence: i64,
    replayed: Replayed,
}

/// The files of a batch.
struct Written {
    adds: Vec<Add>,
    /// What each file holds.
    replays: Vec<Replay>,
    /// The columns of the table once it is committed.
    schema: EventSchema,
}

impl Committer {
    /// Opens the table; none where there is none.
    ///
    /// # Errors
    /// [`ArchiveError::Lake`] where the store fails or the table is not one that lakebed can write.
    pub async fn open(lake: &Lake, max_columns: usize) -> Result<Option<Committer>, ArchiveError> {
        let Some(mut events) = TableWriter::open(lake, RAW_EVENTS).await? else {
            return Ok(None);
        };
        let schema = columns::of_table(lake, events.schema(), max_columns)?;
        let marks = events.all_marks().await?;
        let sequence = marks.get(REPLAY_ID).copied().unwrap_or_default();
        let replayed = Replayed::load(lake, events.version(), Unrecorded::Read).await?;
        Ok(Some(Committer {
            lake: lake.clone(),
            max_columns,
            events,
            schema,
            marks,
            sequence,
            replayed,
        }))
    }

    /// The columns that messages are decoded into.
    pub fn schema(&self) -> &EventSchema {
        &self.schema
    }

    /// The version of raw_events that was seen last.
    pub fn version(&self) -> u64 {
        self.events.version()
    }

    /// A partition's mark, as an unsigned offset.
    pub fn mark(&self, id: &str) -> Option<u64> {
        u64::try_from(*self.marks.get(id)?).ok()
    }

    /// Whether a replay has made a row of a message.
    pub fn holds(&self, topic: &str, partition: i32, offset: u64) -> bool {
        self.replayed.holds(topic, partition, offset)
    }

    /// Notes rows as if they were committed.
    ///
    /// # Errors
    /// [`ArchiveError::Arrow`] where they lack their columns, which is a bug.
    pub fn note(&mut self, topic: &TopicRows) -> Result<(), ArchiveError> {
        let replay = record(&topic.topic, &topic.rows, self.sequence)?;
        self.replayed.add(&replay);
        Ok(())
    }

    /// Deletes files that replays wrote and that no commit can name any more. `all` are those that none names: where
    /// one is of a replay that lives, that writes it anew.
    ///
    /// # Errors
    /// [`ArchiveError::Lake`] where the store fails.
    pub async fn clear_litter(&mut self, all: bool) -> Result<(), ArchiveError> {
        let abandoned = all.then(TimeDelta::zero);
        sweep::sweep(&self.lake, &mut self.events, None, abandoned).await?;
        self.look_again().await
    }

    /// Commits a batch; what another replay has made rows of meanwhile is left out, and returned.
    ///
    /// # Errors
    /// [`ArchiveError::Lake`] where the store fails: the batch may have landed all the same, which the next replay sees.
    pub async fn commit(&mut self, mut batch: Batch) -> Result<Places, ArchiveError> {
        let mut failures = 0;
        let mut left_out = Places::new();
        while !batch.topics.is_empty() {
            let written = self.write(&batch).await?;
            loop {
                match self.put(&written).await {
                    Ok(CommitOutcome::Committed(_)) => {
                        written.replays.iter().for_each(|replay| self.replayed.add(replay));
                        self.sequence += 1;
                        self.schema = written.schema;
                        return Ok(left_out);
                    }
                    Ok(CommitOutcome::Conflict) => {}
                    Err(error) if error.kind() == Kind::Retry && failures < ATTEMPTS => {
                        failures += 1;
                        self.events.refresh().await?;
                    }
                    Err(error) => return Err(error),
                }
                let (sequence, schema) = (self.sequence, self.schema.clone());
                self.look_again().await?;
                let mut names = written.adds.iter().map(|add| self.path(add));
                if names.any(|name| self.replayed.names(&name)) {
                    return Ok(left_out);
                }
                if (self.sequence, &self.schema) != (sequence, &schema) {
                    batch = self.without_replayed(batch, &mut left_out)?;
                    break;
                }
            }
        }
        Ok(left_out)
    }

    /// Takes in what was committed since: the columns and, where replays were among it, what they made rows.
    async fn look_again(&mut self) -> Result<(), ArchiveError> {
        self.schema = columns::of_table(&self.lake, self.events.schema(), self.max_columns)?;
        let sequence = self.events.mark(REPLAY_ID).await?.unwrap_or_default();
        if sequence != self.sequence {
            self.replayed = Replayed::load(&self.lake, self.events.version(), Unrecorded::Read).await?;
            self.sequence = sequence;
        }
        Ok(())
    }

    fn path(&self, add: &Add) -> String {
        let table = self.lake.path(RAW_EVENTS);
        let below = object_store::path::Path::from(add.path.as_str());
        let path: object_store::path::Path = table.parts().chain(below.parts()).collect();
        path.to_string()
    }

    /// Writes the files of a batch: one for each topic and month.
    async fn write(&self, batch: &Batch) -> Result<Written, ArchiveError> {
        let mut written = Written {
            adds: Vec::new(),
            replays: Vec::new(),
            schema: self.schema.clone(),
        };
        for topic in &batch.topics {
            let rows;
            (rows, written.schema) = conform(&topic.rows, &written.schema);
            for (month, rows) in month::split(&rows)? {
                let replay = record(&topic.topic, &rows, self.sequence)?;
                let tags = vec![replay.tag(), hours_tag(&rows)];
                let file = writer::new_file(month, rows, tags, Utc::now());
                fail_point::reached(Step::BeforeReplayFile);
                written.adds.push(datafile::write(&self.lake, RAW_EVENTS, file).await?);
                fail_point::reached(Step::AfterReplayFile);
                written.replays.push(replay);
            }
        }
        Ok(written)
    }

    /// Dies, as it were, once the files are written.
    #[cfg(test)]
    pub async fn write_only(&self, batch: &Batch) {
        self.write(batch).await.expect("written");
    }

    async fn put(&mut self, written: &Written) -> Result<CommitOutcome, ArchiveError> {
        let mut actions = Vec::new();
        if written.schema.extra().len() > self.schema.extra().len() {
            let table = columns::extended(self.events.schema(), &written.schema);
            actions.push(self.events.schema_change(&table)?);
        }
        actions.extend(written.adds.iter().cloned().map(Action::Add));
        let mark = (REPLAY_ID.to_owned(), self.sequence + 1);
        fail_point::reached(Step::BeforeReplayCommit);
        let outcome = self.events.commit(actions, vec![mark], append()).await?;
        if let CommitOutcome::Committed(_) = outcome {
            fail_point::reached(Step::AfterReplayCommit);
        }
        Ok(outcome)
    }

    fn without_replayed(&self, batch: Batch, left_out: &mut Places) -> Result<Batch, ArchiveError> {
        let mut topics = Vec::new();
        for TopicRows { topic, rows } in batch.topics {
            let mut keep = Vec::with_capacity(rows.num_rows());
            for (partition, offset) in places(&rows)? {
                let offset = u64::try_from(offset).unwrap_or_default();
                let is_row = self.holds(&topic, partition, offset);
                if is_row {
                    left_out.entry((topic.clone(), partition)).or_default().insert(offset);
                }
                keep.push(!is_row);
            }
            let rows = filter_record_batch(&rows, &BooleanArray::from(keep))?;
            if rows.num_rows() > 0 {
                topics.push(TopicRows { topic, rows });
            }
        }
        Ok(Batch { topics })
    }
}

/// What a file of these rows holds.
fn record(topic: &str, rows: &RecordBatch, sequence: i64) -> Result<Replay, ArchiveError> {
    let mut places = places(rows)?;
    places.sort_unstable();
    let mut partitions: BTreeMap<i32, Vec<[i64; 2]>> = BTreeMap::new();
    for (partition, offset) in places {
        let ranges = partitions.entry(partition).or_default();
        match ranges.last_mut() {
            Some([_, to]) if *to + 1 == offset => *to = offset,
            _ => ranges.push([offset, offset]),
        }
    }
    Ok(Replay {
        sequence,
        topic: topic.to_owned(),
        partitions,
    })
}

fn places(rows: &RecordBatch) -> Result<Vec<(i32, i64)>, ArchiveError> {
    let lacking = |name: &str| arrow::error::ArrowError::SchemaError(format!("rows without a column {name}"));
    let column = |name: &str| rows.column_by_name(name).map(Arc::clone).ok_or_else(|| lacking(name));
    let (partitions, offsets) = (column(PARTITION)?, column(OFFSET)?);
    let partitions = partitions
        .as_primitive_opt::<Int32Type>()
        .ok_or_else(|| lacking(PARTITION))?;
    let offsets = offsets.as_primitive_opt::<Int64Type>().ok_or_else(|| lacking(OFFSET))?;
    Ok(partitions
        .values()
        .iter()
        .copied()
        .zip(offsets.values().iter().copied())
        .collect())
}
