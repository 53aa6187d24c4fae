//! What is in quarantine and decodes by today's rules, or under assumptions, becomes rows of raw_events.
//!
//! Messages are read in batches, each of which is decoded, written and committed by the [`committer`]. Nothing of a
//! replay stands anywhere but in raw_events, so one that is killed is simply started again.

mod committer;

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, FixedOffset, Utc};
use futures::TryStreamExt;
use roaring::RoaringTreemap;
use serde::Serialize;

use self::committer::{Batch, Committer, Places, TopicRows};
use super::Selection;
use super::rows::{self, Row, Rows};
use crate::archive::ArchiveError;
use crate::archive::ledger::app_id;
use crate::event::{Assumptions, EventBuffer, Reason, TimeUnit};
use crate::lake::snapshot::AsOf;
use crate::lake::{Lake, LakeError, QUARANTINE, TableSnapshot};
use crate::quality::Progress;

/// What one replay is to do.
#[derive(Debug, Clone)]
pub struct ReplayJob {
    /// The messages that are meant.
    pub selection: Selection,
    /// What numbers for timestamps count, where they are none by the rules.
    pub unit: Option<TimeUnit>,
    /// The zone of times that name none.
    pub zone: Option<FixedOffset>,
    /// Whether a message without a time has that at which it was archived.
    pub missing_is_archived_at: bool,
    /// Only say what would become of each message.
    pub dry_run: bool,
    /// Most columns that raw_events may have.
    pub max_columns: usize,
    /// The time by which a timestamp lies ahead or not.
    pub now: DateTime<Utc>,
    /// Messages that are committed at once, at most.
    pub batch_rows: usize,
    /// Bytes of decoded rows at which they are committed.
    pub batch_bytes: usize,
}

/// What a replay did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// Whether nothing was done but looked.
    pub dry_run: bool,
    /// Messages that were looked at.
    pub messages: u64,
    /// Those that became rows.
    pub replayed: u64,
    /// Those that an earlier replay had made rows.
    pub already: u64,
    /// Those that stay what they are.
    pub left: u64,
    /// The same by the reason for which they are in quarantine.
    pub reasons: BTreeMap<String, ReasonCount>,
    /// The version of raw_events.
    pub lake_version: u64,
}

/// What became of the messages of one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReasonCount {
    /// Messages that were looked at.
    pub messages: u64,
    /// Those that became rows.
    pub replayed: u64,
    /// Those that an earlier replay had made rows.
    pub already: u64,
    /// Those that stay what they are.
    pub left: u64,
}

impl ReplayReport {
    fn count(&mut self, reason: &str) -> &mut ReasonCount {
        self.reasons.entry(reason.to_owned()).or_default()
    }

    fn sum(mut self) -> ReplayReport {
        for count in self.reasons.values() {
            self.messages += count.messages;
            self.replayed += count.replayed;
            self.already += count.already;
            self.left += count.left;
        }
        self
    }
}

/// Makes rows of what now decodes.
///
/// # Errors
/// [`ArchiveError::Lake`] where the store fails or a table cannot be used. What was committed until then stays; another
/// replay goes on from there.
pub async fn replay(lake: &Lake, job: &ReplayJob, progress: &dyn Progress) -> Result<ReplayReport, ArchiveError> {
    let Some(mut committer) = Committer::open(lake, job.max_columns).await? else {
        return Err(LakeError::no_events(lake).into());
    };
    if !job.dry_run {
        committer.clear_litter(true).await?;
    }
    let mut report = ReplayReport {
        dry_run: job.dry_run,
        ..ReplayReport::default()
    };
    let files = match TableSnapshot::load(lake, QUARANTINE, AsOf::Newest).await? {
        Some(snapshot) => snapshot.files,
        None => Vec::new(),
    };
    let total = files.len() as u64;
    let mut pending = Pending::new(job);
    for (file, read) in files.iter().zip(1..) {
        let mut batches = rows::read(lake, file).await?;
        while let Some(batch) = batches
            .try_next()
            .await
            .map_err(|error| rows::unreadable(file, &error))?
        {
            let messages = Rows::of(&batch, file)?;
            let mut messages = messages.iter();
            while pending.fill(&mut messages, &committer, &mut report) {
                pending.commit(&mut committer, &mut report).await?;
            }
        }
        progress.read(read, total);
    }
    pending.commit(&mut committer, &mut report).await?;
    if !job.dry_run {
        committer.clear_litter(false).await?;
    }
    report.lake_version = committer.version();
    Ok(report.sum())
}

/// Messages that decode and are not committed yet.
struct Pending<'a> {
    job: &'a ReplayJob,
    buffers: HashMap<String, EventBuffer>,
    rows: usize,
    offsets: Places,
    /// The same by reason.
    reasons: BTreeMap<String, Places>,
}

impl<'a> Pending<'a> {
    fn new(job: &'a ReplayJob) -> Pending<'a> {
        Pending {
            job,
            buffers: HashMap::new(),
            rows: 0,
            offsets: Places::new(),
            reasons: BTreeMap::new(),
        }
    }

    /// Takes in messages until there are none left or so many that they must be committed, which it then says.
    fn fill<'r>(
        &mut self,
        messages: &mut impl Iterator<Item = Row<'r>>,
        committer: &Committer,
        report: &mut ReplayReport,
    ) -> bool {
        for message in messages {
            self.take(&message, committer, report);
            if self.rows >= self.job.batch_rows || self.bytes() >= self.job.batch_bytes {
                return true;
            }
        }
        false
    }

    fn bytes(&self) -> usize {
        self.buffers.values().map(EventBuffer::bytes).sum()
    }

    fn take(&mut self, message: &Row<'_>, committer: &Committer, report: &mut ReplayReport) {
        if !self.job.selection.takes(message.topic, message.reason) {
            return;
        }
        let count = report.count(message.reason);
        count.messages += 1;
        let place = (message.topic.to_owned(), message.partition);
        let is_pending = |held: &RoaringTreemap| held.contains(message.offset);
        if committer.holds(message.topic, message.partition, message.offset)
            || self.offsets.get(&place).is_some_and(is_pending)
        {
            count.already += 1;
            return;
        }
        // The flush that sent it to the quarantine is between its two commits: a later replay takes it.
        let archived = committer.mark(&app_id(message.topic, message.partition));
        let decoded = archived.is_some_and(|mark| mark > message.offset) && self.decode(message, committer);
        if !decoded {
            count.left += 1;
            return;
        }
        self.rows += 1;
        self.offsets.entry(place.clone()).or_default().insert(message.offset);
        let of_reason = self.reasons.entry(message.reason.to_owned()).or_default();
        of_reason.entry(place).or_default().insert(message.offset);
    }

    fn decode(&mut self, message: &Row<'_>, committer: &Committer) -> bool {
        let Ok(offset) = i64::try_from(message.offset) else {
            return false;
        };
        let archived_at = message.archived_at.filter(|_| self.job.missing_is_archived_at);
        let assumptions = Assumptions {
            unit: self.job.unit,
            zone: self.job.zone,
            missing: archived_at.map(|time| time.timestamp()),
        };
        let buffer = self
            .buffers
            .entry(message.topic.to_owned())
            .or_insert_with(|| EventBuffer::new(committer.schema().clone()));
        let pushed: Result<(), Reason> = buffer.push_assuming(
            message.value,
            message.partition,
            offset,
            self.job.now.timestamp(),
            assumptions,
        );
        pushed.is_ok()
    }

    /// Commits what was taken in, and counts it.
    async fn commit(&mut self, committer: &mut Committer, report: &mut ReplayReport) -> Result<(), ArchiveError> {
        let (rows, reasons) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.reasons));
        self.offsets.clear();
        let topics: Vec<TopicRows> = self
            .buffers
            .drain()
            .filter(|(_, buffer)| !buffer.is_empty())
            .map(|(topic, mut buffer)| TopicRows {
                topic,
                rows: buffer.take(),
            })
            .collect();
        let mut by_others = Places::new();
        if self.job.dry_run {
            for topic in &topics {
                committer.note(topic)?;
            }
        } else if rows > 0 {
            by_others = committer.commit(Batch { topics }).await?;
        }
        for (reason, places) in reasons {
            let count = report.count(&reason);
            for (place, offsets) in places {
                let already = by_others
                    .get(&place)
                    .map_or(0, |others| others.intersection_len(&offsets));
                count.already += already;
                count.replayed += offsets.len() - already;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
