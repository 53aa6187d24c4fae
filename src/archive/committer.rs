//! The two commits that make flushes part of the lake: quarantine first, then raw_events, each exactly on top of the
//! state that was compared.
//!
//! raw_events' mark of a partition says how far it is archived. A process that dies between the two commits leaves
//! quarantine rows ahead of that mark; whoever reads the partition next learns their offsets ([`Resume`]) and writes
//! neither them nor rows for them again. A mark of the quarantine that moved by another's hand since then voids what
//! was read, as a mark of raw_events does.
//!
//! A file that a commit does not name after all is left where it is: whether a commit whose answer was lost names it is
//! not known at that time. [`Committer::sweep`] deletes it once that is certain.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use chrono::{TimeDelta, Utc};
use deltalake_core::kernel::Action;

use super::ArchiveError;
use super::checkpoint::{Standing, standings};
use super::columns;
use super::flush::Covered;
use super::ledger::{self, app_id, archive_name, first_id};
use super::quarantine::{self, Rejected};
use super::sweep;
use super::writer::{self, Written};
use crate::event::{EventSchema, conform};
use crate::fail_point::{self, Step};
use crate::kafka::TopicId;
use crate::lake::commit::append;
use crate::lake::{CommitOutcome, Lake, QUARANTINE, RAW_EVENTS, TableWriter};
use crate::monitor;

/// The age at which a file that a replay wrote and did not commit is taken for a dead one's. One that lives writes it
/// anew.
const ABANDONED: TimeDelta = TimeDelta::hours(1);

/// Where to begin to read a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The offset that comes next.
    pub mark: i64,
    /// Offsets from there on that are in quarantine already.
    pub quarantined: HashSet<i64>,
}

/// What became of a partition's part of a flush.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is in the lake.
    Archived(Covered),
    /// Somebody else has read on from where it began: it was dropped.
    Superseded(Covered),
}

/// Flushes to commit together, in the order in which they were read, and what has become of their parts so far.
#[derive(Debug, Default)]
pub struct Group {
    written: Vec<Written>,
    fates: Vec<(i32, Fate)>,
}

impl From<Vec<Written>> for Group {
    fn from(written: Vec<Written>) -> Group {
        Group {
            written,
            fates: Vec::new(),
        }
    }
}

/// Holds both tables and commits to them.
pub struct Committer {
    lake: Lake,
    topic: String,
    generation: i64,
    archive: String,
    topic_id: Option<TopicId>,
    max_columns: usize,
    events: TableWriter,
    quarantine: TableWriter,
    schema: EventSchema,
    /// The version of raw_events whose columns `schema` has.
    schema_version: u64,
    quarantined: HashMap<i32, Quarantined>,
    litter: bool,
}

/// What this committer knows of a partition's quarantine.
#[derive(Debug, Clone, Copy, Default)]
struct Quarantined {
    /// The mark that it has seen.
    mark: Option<i64>,
    /// The mark that a commit of its own would leave whose answer is not known.
    attempted: Option<i64>,
    /// Its own commits hold all rejected messages before this offset.
    written_to: i64,
}

impl Committer {
    /// Opens both tables, making those that are not there.
    ///
    /// # Errors
    /// [`ArchiveError::Lake`] where the store fails or a table is not one that lakebed can write.
    pub async fn open(lake: &Lake, topic: &str, max_columns: usize) -> Result<Committer, ArchiveError> {
        lake.make_folder()?;
        let new = columns::new_table(&EventSchema::new(max_columns));
        let mut events = TableWriter::open_or_create(lake, RAW_EVENTS, &new, &columns::PARTITION_COLUMNS).await?;
        fail_point::reached(Step::BetweenTables);
        let quarantine = TableWriter::open_or_create(lake, QUARANTINE, &quarantine::schema(), &[]).await?;
        let schema = columns::of_table(lake, events.schema(), max_columns)?;
        let generation = events.mark(&ledger::generation_id(topic)).await?.unwrap_or_default();
        Ok(Committer {
            lake: lake.clone(),
            topic: topic.to_owned(),
            generation,
            archive: archive_name(topic, generation),
            topic_id: None,
            max_columns,
            schema_version: events.version(),
            events,
            quarantine,
            schema,
            quarantined: HashMap::new(),
            litter: true,
        })
    }

    /// The columns that events are decoded into.
    pub fn schema(&self) -> &EventSchema {
        &self.schema
    }

    /// The version of raw_events that this committer has seen.
    pub fn version(&self) -> u64 {
        self.events.version()
    }

    /// The name of the archive that is committed to.
    pub fn archive(&self) -> &str {
        &self.archive
    }

    /// The topic that the lake archives, given the one that Kafka has: the lake keeps the id of the first that it is
    /// told of, from the first mark on. None where neither is known.
    ///
    /// # Errors
    /// [`ArchiveError::Lake`] where the store fails.
    pub async fn know(
        &mut self,
        present: Option<TopicId>,
        partitions: &[i32],
    ) -> Result<Option<TopicId>, ArchiveError> {
        let id = ledger::topic_id_id(&self.topic);
        loop {
            let marks = self.marks(partitions).await?;
            if let Some(mark) = self.events.mark(&id).await? {
                return Ok(Some(TopicId::from_mark(mark)));
            }
            self.topic_id = present;
            let (Some(present), true) = (present, marks.values().any(Option::is_some)) else {
                return Ok(present);
            };
            let mark = (id.clone(), present.as_mark());
            self.events.commit(Vec::new(), vec![mark], append()).await?;
        }
    }

    /// Begins a generation of the topic with these first marks; whether it did, since another member may have been
    /// faster or have committed to the former generation meanwhile.
    ///
    /// # Errors
    /// [`ArchiveError::Lake`] where the store fails.
    pub async fn begin_generation(
        &mut self,
        topic_id: TopicId,
        starts: &BTreeMap<i32, i64>,
    ) -> Result<bool, ArchiveError> {
        let generation = self.generation + 1;
        let archive = archive_name(&self.topic, generation);
        let mut marks = vec![
            (ledger::generation_id(&self.topic), generation),
            (ledger::topic_id_id(&self.topic), topic_id.as_mark()),
        ];
        for (partition, start) in starts {
            marks.extend([app_id(&archive, *partition), first_id(&archive, *partition)].map(|id| (id, *start)));
        }
        let outcome = self.events.commit(Vec::new(), marks, append()).await?;
        let begun = outcome != CommitOutcome::Conflict;
        if begun {
            (self.generation, self.archive) = (generation, archive);
        }
        Ok(begun)
    }

    /// The newest marks of these partitions; none where the lake has never seen one.
    ///
    /// # Errors
    /// [`ArchiveError::Lake`] where the store fails.
    pub async fn marks(&mut self, partitions: &[i32]) -> Result<BTreeMap<i32, Option<i64>>, ArchiveError> {
        self.refresh().await?;
        let mut marks = BTreeMap::new();
        for partition in partitions {
            marks.insert(*partition, self.events.mark(&app_id(&self.archive, *partition)).await?);
        }
        Ok(marks)
    }

    /// Sets the first mark of partitions that the lake has never seen, so that a start position outlives a crash
    /// before the first flush. One that another member has set meanwhile stays as it is.
    ///
    /// # Errors
    /// [`ArchiveError::Lake`] where the store fails.
    pub async fn adopt(&mut self, starts: &BTreeMap<i32, i64>) -> Result<(), ArchiveError> {
        loop {
            let partitions: Vec<i32> = starts.keys().copied().collect();
            let marks = self.marks(&partitions).await?;
            let mut unseen: Vec<(String, i64)> = starts
                .iter()
                .filter(|(partition, _)| marks.get(partition).is_none_or(Option::is_none))
                .flat_map(|(partition, start)| {
                    let ids = [app_id(&self.archive, *partition), first_id(&self.archive, *partition)];
                    ids.map(|id| (id, *start))
                })
                .collect();
            if unseen.is_empty() {
                return Ok(());
            }
            let id = ledger::topic_id_id(&self.topic);
            if let (Some(known), None) = (self.topic_id, self.events.mark(&id).await?) {
                unseen.push((id, known.as_mark()));
            }
            fail_point::reached(Step::BeforeFirstMarks);
            self.events.commit(Vec::new(), unseen, append()).await?;
            fail_point::reached(Step::AfterFirstMarks);
        }
    }

    /// Where to begin to read these partitions, all of which have a mark.
    ///
    /// # Errors
    /// [`ArchiveError::Lake`] where the store fails.
    pub async fn resume(&mut self, partitions: &[i32]) -> Result<BTreeMap<i32, Resume>, ArchiveError> {
        let marks = self.marks(partitions).await?;
        let mut resumes = BTreeMap::new();
        for (partition, mark) in marks {
            let mark = mark.ok_or(ArchiveError::NoMark { partition })?;
            let ahead = self.quarantine.mark(&app_id(&self.archive, partition)).await?;
            let offsets = match ahead {
                Some(ahead) if ahead > mark => quarantine::read(&self.lake, &self.archive, partition, mark).await?,
                _ => HashSet::new(),
            };
            let known = Quarantined {
                mark: ahead,
                attempted: None,
                written_to: mark,
            };
            self.quarantined.insert(partition, known);
            let resume = Resume {
                mark,
                quarantined: offsets,
            };
            resumes.insert(partition, resume);
        }
        Ok(resumes)
    }

    /// Commits a group as one version of each table; says what became of each part.
    ///
    /// # Errors
    /// [`ArchiveError::Lake`] where the store fails; called again with the same group, it finds out what had landed.
    pub async fn commit(&mut self, group: &mut Group) -> Result<Vec<(i32, Fate)>, ArchiveError> {
        loop {
            self.refresh().await?;
            self.settle(group).await?;
            if group.written.is_empty() {
                return Ok(std::mem::take(&mut group.fates));
            }
            if self.commit_quarantine(group).await? == CommitOutcome::Conflict
                || self.commit_events(group).await? == CommitOutcome::Conflict
            {
                monitor::archiver().conflict();
                continue;
            }
            let archived = std::mem::take(&mut group.written)
                .into_iter()
                .flat_map(|written| written.flush.covered)
                .map(|(partition, covered)| (partition, Fate::Archived(covered)));
            group.fates.extend(archived);
        }
    }

    /// Whether files may lie about that no commit will ever name: those of a process that died before this one, or of
    /// flushes that were superseded.
    pub fn has_litter(&self) -> bool {
        self.litter
    }

    /// Notes that flushes are dropped whose files are written.
    pub fn abandon(&mut self) {
        self.litter = true;
    }

    /// Deletes the files that no commit can name any more ([`sweep`]).
    ///
    /// # Errors
    /// [`ArchiveError::Lake`] where the store fails.
    pub async fn sweep(&mut self) -> Result<(), ArchiveError> {
        self.refresh().await?;
        let left = sweep::sweep(&self.lake, &mut self.events, Some(&self.topic), Some(ABANDONED)).await?;
        self.litter = left;
        Ok(())
    }

    async fn refresh(&mut self) -> Result<(), ArchiveError> {
        self.quarantine.refresh().await?;
        self.events.refresh().await?;
        // Not whether this call has moved it: a commit that met with a conflict has taken in versions too.
        if self.events.version() != self.schema_version {
            self.schema = columns::of_table(&self.lake, self.events.schema(), self.max_columns)?;
            self.schema_version = self.events.version();
            let generation = self.events.mark(&ledger::generation_id(&self.topic)).await?;
            if generation.unwrap_or_default() != self.generation {
                return Err(ArchiveError::Anew);
            }
        }
        Ok(())
    }

    /// Takes out of the group what may not land and what has landed, and brings the rest to the lake's columns.
    async fn settle(&mut self, group: &mut Group) -> Result<(), ArchiveError> {
        let next = self.judge(group).await?;
        let mut schema = self.schema.clone();
        let mut kept = Vec::new();
        for (written, next) in std::mem::take(&mut group.written).into_iter().zip(next) {
            let all = next.len() == written.flush.covered.len();
            if let (true, Some(merged)) = (all, schema.merged(&written.flush.schema)) {
                schema = merged;
                kept.push(written);
            } else if !next.is_empty() {
                let mut flush = written.flush.without(|partition| !next.contains(&partition))?;
                (flush.rows, schema) = conform(&flush.rows, &schema);
                flush.schema = schema.clone();
                kept.push(writer::write(&self.lake, &self.archive, flush, Utc::now()).await?);
            }
        }
        group.written = kept;
        Ok(())
    }

    /// The partitions of each flush that come next in the lake; notes what became of the others.
    async fn judge(&mut self, group: &mut Group) -> Result<Vec<HashSet<i32>>, ArchiveError> {
        let mut next = vec![HashSet::new(); group.written.len()];
        let partitions: HashSet<i32> = group
            .written
            .iter()
            .flat_map(|written| written.flush.covered.keys().copied())
            .collect();
        for partition in partitions {
            let parts: Vec<(usize, Covered)> = group
                .written
                .iter()
                .enumerate()
                .filter_map(|(index, written)| Some((index, written.flush.covered.get(&partition)?.clone())))
                .collect();
            let ranges: Vec<Range<i64>> = parts.iter().map(|(_, covered)| covered.offsets.clone()).collect();
            let mark = self.events.mark(&app_id(&self.archive, partition)).await?;
            let disturbed = self.is_disturbed(partition).await?;
            for ((index, covered), standing) in parts.into_iter().zip(standings(mark, &ranges)) {
                match standing {
                    Standing::Next if !disturbed => {
                        next[index].insert(partition);
                    }
                    Standing::Covered => {
                        // By a commit of this group whose answer was lost, or by another member's of the same range.
                        self.litter = true;
                        group.fates.push((partition, Fate::Archived(covered)));
                    }
                    Standing::Next | Standing::Superseded => {
                        self.litter = true;
                        group.fates.push((partition, Fate::Superseded(covered)));
                    }
                }
            }
        }
        Ok(next)
    }

    /// Whether somebody else has written quarantine rows of a partition since its reading began.
    async fn is_disturbed(&mut self, partition: i32) -> Result<bool, ArchiveError> {
        let present = self.quarantine.mark(&app_id(&self.archive, partition)).await?;
        let Some(known) = self.quarantined.get_mut(&partition) else {
            return Ok(true);
        };
        if present != known.mark && present == known.attempted {
            known.mark = present;
            known.written_to = present.unwrap_or_default();
        }
        Ok(present != known.mark)
    }

    /// Commits the group's rejected messages, and a record of each flush that leaves no file in raw_events: what such a
    /// flush covers must stand somewhere, or the ledger would show a gap.
    async fn commit_quarantine(&mut self, group: &Group) -> Result<CommitOutcome, ArchiveError> {
        let now = Utc::now();
        let mut adds = Vec::new();
        let mut partitions: HashSet<i32> = HashSet::new();
        let mut beside_files: Vec<&Rejected> = Vec::new();
        for written in &group.written {
            let rejected = written
                .flush
                .rejected
                .iter()
                .filter(|row| self.is_unwritten(row.partition, row.offset));
            if !written.adds.is_empty() {
                beside_files.extend(rejected);
                continue;
            }
            let covered = &written.flush.covered;
            if covered
                .iter()
                .all(|(partition, covered)| !self.is_unwritten(*partition, covered.offsets.end - 1))
            {
                continue;
            }
            let tags = vec![ledger::tag(written.id, &self.archive, covered)];
            let rejected: Vec<&Rejected> = rejected.collect();
            adds.push(quarantine::write(&self.lake, &self.archive, &rejected, tags, now).await?);
            partitions.extend(covered.keys());
        }
        if !beside_files.is_empty() {
            adds.push(quarantine::write(&self.lake, &self.archive, &beside_files, Vec::new(), now).await?);
            partitions.extend(beside_files.iter().map(|row| row.partition));
        }
        if adds.is_empty() {
            return Ok(CommitOutcome::Committed(self.quarantine.version()));
        }
        let mut marks = Vec::new();
        for (partition, end) in ends(group)
            .into_iter()
            .filter(|(partition, _)| partitions.contains(partition))
        {
            let known = self.quarantined.entry(partition).or_default();
            // A mark that a superseded member left further ahead must stay: its rows are there.
            let mark = known.mark.map_or(end, |mark| mark.max(end));
            known.attempted = Some(mark);
            marks.push((partition, mark, end));
        }
        let named = marks
            .iter()
            .map(|(partition, mark, _)| (app_id(&self.archive, *partition), *mark))
            .collect();
        let actions = adds.into_iter().map(Action::Add).collect();
        fail_point::reached(Step::BeforeQuarantineCommit);
        let outcome = self.quarantine.commit(actions, named, append()).await?;
        if let CommitOutcome::Committed(_) = outcome {
            fail_point::reached(Step::AfterQuarantineCommit);
            for (partition, mark, end) in marks {
                let known = Quarantined {
                    mark: Some(mark),
                    attempted: None,
                    written_to: end,
                };
                self.quarantined.insert(partition, known);
            }
        }
        Ok(outcome)
    }

    /// Whether the quarantine does not hold an offset by this committer's own hand yet.
    fn is_unwritten(&self, partition: i32, offset: i64) -> bool {
        self.quarantined
            .get(&partition)
            .is_some_and(|known| offset >= known.written_to)
    }

    async fn commit_events(&mut self, group: &Group) -> Result<CommitOutcome, ArchiveError> {
        let schema = group.written.iter().fold(self.schema.clone(), |schema, written| {
            schema.merged(&written.flush.schema).unwrap_or(schema)
        });
        let mut actions = Vec::new();
        if schema.extra().len() > self.schema.extra().len() {
            let table = columns::extended(self.events.schema(), &schema);
            actions.push(self.events.schema_change(&table)?);
        }
        actions.extend(
            group
                .written
                .iter()
                .flat_map(|written| written.adds.iter().cloned().map(Action::Add)),
        );
        let marks = ends(group)
            .into_iter()
            .map(|(partition, end)| (app_id(&self.archive, partition), end))
            .collect();
        fail_point::reached(Step::BeforeEventsCommit);
        let outcome = self.events.commit(actions, marks, append()).await?;
        if let CommitOutcome::Committed(_) = outcome {
            fail_point::reached(Step::AfterEventsCommit);
            self.schema = schema;
            self.schema_version = self.events.version();
        }
        Ok(outcome)
    }
}

/// Where the group ends in each partition.
fn ends(group: &Group) -> BTreeMap<i32, i64> {
    let mut ends = BTreeMap::new();
    for (partition, covered) in group.written.iter().flat_map(|written| &written.flush.covered) {
        let end: &mut i64 = ends.entry(*partition).or_insert(covered.offsets.end);
        *end = covered.offsets.end.max(*end);
    }
    ends
}

#[cfg(test)]
mod tests;
