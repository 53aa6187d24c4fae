//! What the reading thread settles with the lake and the group beside reading, one thing at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::Utc;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::Offset;

use super::Source;
use crate::archive::ArchiveError;
use crate::archive::committer::{Fate, Resume};
use crate::archive::flush::Cause;
use crate::archive::group::{self, Rebalance};
use crate::archive::loss::{Loss, Verdict};
use crate::archive::pipeline::{Reply, Request};
use crate::archive::starts::{self, Judged};
use crate::error::{HasKind, Kind};
use crate::kafka::KafkaFault;
use crate::monitor;

/// How long a partition that the group wants back is kept for its flush.
const REVOKE_WAIT: Duration = Duration::from_secs(20);
/// How often an archiver that has reached its ends looks whether the other members have reached theirs.
const ENDS_WAIT: Duration = Duration::from_millis(500);

/// What is being settled with the lake or the group beside reading; one thing at a time.
pub(super) enum Turn {
    /// Nothing.
    Read,
    /// Partitions were assigned, and the lake is asked for the whole topic's marks.
    Assigned(Vec<i32>),
    /// Partitions that the lake has never seen are getting their first marks.
    Adopting(Vec<i32>),
    /// The lake is asked where to begin to read assigned partitions.
    Resuming,
    /// The lake is asked where to begin anew in partitions that others had read on.
    Resetting,
    /// The group wants partitions back: what was read of them is on its way into the lake.
    Draining {
        partitions: Vec<i32>,
        sent: u64,
        since: Instant,
    },
    /// The lake is asked whether every partition has reached its end.
    Ending,
}

impl Turn {
    /// What the group waits for.
    pub(super) fn unanswered(self) -> Option<Rebalance> {
        match self {
            Turn::Assigned(partitions) | Turn::Adopting(partitions) => Some(Rebalance::Assign(partitions)),
            Turn::Resuming => Some(Rebalance::Assign(Vec::new())),
            Turn::Draining { partitions, .. } => Some(Rebalance::Revoke {
                partitions,
                lost: false,
            }),
            Turn::Read | Turn::Resetting | Turn::Ending => None,
        }
    }
}

impl Source<'_> {
    /// Begins the next thing to settle, or ends one that needs no reply.
    pub(super) fn take_turn(&mut self) -> Result<(), ArchiveError> {
        match &self.turn {
            Turn::Read => self.next_turn(),
            Turn::Draining {
                partitions,
                sent,
                since,
            } if self.settled >= *sent || since.elapsed() > REVOKE_WAIT => {
                let partitions = partitions.clone();
                self.turn = Turn::Read;
                self.commit_group_offsets(CommitMode::Async)?;
                self.give_back(&partitions)
            }
            _ => Ok(()),
        }
    }

    fn next_turn(&mut self) -> Result<(), ArchiveError> {
        let waiting = self.delayed.take();
        match waiting.or_else(|| self.member.context().next_rebalance()) {
            Some(Rebalance::Assign(partitions)) => {
                let all = self.topic.probe.partitions().map_err(ArchiveError::from);
                match self.unless_it_passes(all)? {
                    Some(all) => {
                        self.ask(Request::Marks(all));
                        self.turn = Turn::Assigned(partitions);
                    }
                    None => self.delayed = Some(Rebalance::Assign(partitions)),
                }
            }
            Some(Rebalance::Revoke { partitions, lost: true }) => {
                tracing::warn!(
                    ?partitions,
                    "the group gave partitions to others; what was read of them is dropped"
                );
                self.give_back(&partitions)?;
            }
            Some(Rebalance::Revoke {
                partitions,
                lost: false,
            }) => {
                let list = self.list(partitions.iter().map(|partition| (*partition, Offset::Invalid)))?;
                self.member
                    .pause(&list)
                    .map_err(|error| self.fault("pause partitions", &error))?;
                self.cut(Cause::Revoked);
                self.turn = Turn::Draining {
                    partitions,
                    sent: self.sent,
                    since: Instant::now(),
                };
            }
            None if self.doubtful => self.doubt()?,
            None if !self.resets.is_empty() => {
                let partitions = std::mem::take(&mut self.resets).into_iter().collect();
                self.reset(partitions)?;
            }
            None => match self.halted.due(Instant::now()) {
                Some(partitions) => self.reset(partitions)?,
                None => self.look_for_the_end(),
            },
        }
        Ok(())
    }

    /// Stops reading partitions, drops what is buffered of them, and asks the lake where to begin anew.
    fn reset(&mut self, partitions: Vec<i32>) -> Result<(), ArchiveError> {
        if let Some(rest) = self.buffer.end(&partitions)? {
            self.send_flush(rest);
        }
        self.ask(Request::Resume(partitions));
        self.turn = Turn::Resetting;
        Ok(())
    }

    /// Under `until_end`: once all partitions of this member have been read to their ends, flushes and asks the lake
    /// whether all partitions of the topic are archived to theirs.
    fn look_for_the_end(&mut self) {
        let Some(ends) = &self.ends else {
            return;
        };
        let reached = self
            .buffer
            .positions()
            .filter(|(partition, _)| !self.halted.contains(*partition))
            .all(|(partition, next)| ends.get(&partition).is_none_or(|end| next >= *end));
        if !reached || self.stopping_since.is_some() {
            return;
        }
        let partitions = ends.keys().copied().collect();
        self.cut(Cause::Stop);
        if !self.halted.is_empty() {
            // Not all can be archived. Waiting for others would wait for ever where they wait for this one.
            return self.begin_to_stop();
        }
        if self.sent == self.settled && self.ends_asked.is_none_or(|asked| asked.elapsed() >= ENDS_WAIT) {
            self.ends_asked = Some(Instant::now());
            self.ask(Request::Marks(partitions));
            self.turn = Turn::Ending;
        }
    }

    pub(super) fn hear(&mut self, reply: Reply) -> Result<(), ArchiveError> {
        match (reply, std::mem::replace(&mut self.turn, Turn::Read)) {
            (Reply::Failed(error), _) => return Err(error),
            (
                Reply::Settled {
                    fates,
                    flushes,
                    schema,
                    version,
                },
                turn,
            ) => {
                self.turn = turn;
                self.settled += u64::try_from(flushes).unwrap_or(u64::MAX);
                self.waiting.drain(..flushes.min(self.waiting.len()));
                self.settle(fates, version)?;
                self.buffer.adopt(schema);
            }
            (Reply::Foreign, turn) => {
                self.turn = turn;
                self.settled += 1;
                self.waiting.pop_front();
                self.halt_all()?;
            }
            (Reply::Marks(marks), Turn::Assigned(partitions)) => {
                let unseen: Vec<i32> = marks
                    .iter()
                    .filter(|(_, mark)| mark.is_none())
                    .map(|(partition, _)| *partition)
                    .collect();
                if partitions.iter().any(|partition| unseen.contains(partition)) {
                    let known = unseen.len() < marks.len();
                    let starts = starts::first(&self.topic.probe, &unseen, known, self.job.consumer.auto_offset_reset);
                    match self.unless_it_passes(starts)? {
                        Some(starts) => {
                            self.ask(Request::Adopt(starts));
                            self.turn = Turn::Adopting(partitions);
                        }
                        None => self.delayed = Some(Rebalance::Assign(partitions)),
                    }
                } else {
                    self.ask(Request::Resume(partitions));
                    self.turn = Turn::Resuming;
                }
            }
            (Reply::Adopted, Turn::Adopting(partitions)) => {
                self.ask(Request::Resume(partitions));
                self.turn = Turn::Resuming;
            }
            (Reply::Resumed(resumes), Turn::Resuming) => self.begin(resumes)?,
            (Reply::Resumed(resumes), Turn::Resetting) => self.begin_anew(resumes)?,
            (Reply::Marks(marks), Turn::Ending) => {
                let reached =
                    self.ends.iter().flatten().all(|(partition, end)| {
                        marks.get(partition).copied().flatten().is_some_and(|mark| mark >= *end)
                    });
                if reached {
                    // Of these the lake holds more than Kafka, which does not mean that all is archived.
                    for (partition, loss) in std::mem::take(&mut self.topic.settled.ended) {
                        self.halted.add(&self.job.kafka.topic, partition, loss, Instant::now());
                    }
                    self.begin_to_stop();
                }
            }
            (_, turn) => self.turn = turn,
        }
        Ok(())
    }

    /// What is read is of another topic under the same name: nothing of it may land.
    fn halt_all(&mut self) -> Result<(), ArchiveError> {
        if self.job.accept_loss {
            return Err(ArchiveError::Anew);
        }
        let all: Vec<i32> = self.buffer.positions().map(|(partition, _)| partition).collect();
        self.buffer.end(&all)?;
        for partition in &all {
            self.halted
                .add(&self.job.kafka.topic, *partition, Loss::MadeAnew, Instant::now());
        }
        let list = self.list(all.iter().map(|partition| (*partition, Offset::Invalid)))?;
        self.member
            .pause(&list)
            .map_err(|error| self.fault("pause partitions", &error))
    }

    fn settle(&mut self, fates: Vec<(i32, Fate)>, version: u64) -> Result<(), ArchiveError> {
        let before = self.report.clone();
        for (partition, fate) in fates {
            match fate {
                Fate::Archived(covered) => self.report.add(partition, &covered),
                Fate::Superseded(covered) if self.buffer.is_present(partition, covered.epoch) => {
                    tracing::warn!(partition, offsets = ?covered.offsets, "another member has archived this partition; what was read of it is dropped, and reading goes on from the lake's mark");
                    self.resets.insert(partition);
                }
                Fate::Superseded(_) => {}
            }
        }
        self.report.flushes += 1;
        self.report.lake_version = version;
        tracing::info!(
            rows = self.report.rows - before.rows,
            quarantined = self.report.quarantined - before.quarantined,
            tombstones = self.report.tombstones - before.tombstones,
            version,
            "archived"
        );
        self.progress
            .archived(&self.report, self.ends.is_some().then_some(self.total));
        self.commit_group_offsets(CommitMode::Async)
    }

    /// Answers an assignment: reads its partitions from the lake's marks on.
    fn begin(&mut self, resumes: BTreeMap<i32, Resume>) -> Result<(), ArchiveError> {
        let marks: BTreeMap<i32, i64> = resumes
            .iter()
            .map(|(partition, resume)| (*partition, resume.mark))
            .collect();
        let Some(judged) = self.judge(&marks)? else {
            self.delayed = Some(Rebalance::Assign(marks.into_keys().collect()));
            return Ok(());
        };
        let mut offsets = BTreeMap::new();
        for (partition, resume) in resumes {
            let end = self.ends.as_ref().and_then(|ends| ends.get(&partition)).copied();
            self.total += u64::try_from(end.unwrap_or(resume.mark) - resume.mark).unwrap_or_default();
            let start = self.start(partition, resume, judged.get(&partition));
            offsets.insert(partition, start.map_or(Offset::End, Offset::Offset));
        }
        monitor::archiver().begins(&marks);
        tracing::info!(topic = %self.job.kafka.topic, from = ?marks, "reading partitions from the lake's marks");
        let (read, unread): (Vec<_>, Vec<_>) = offsets
            .iter()
            .map(|(partition, offset)| (*partition, *offset))
            .partition(|(partition, _)| !self.paused && !self.halted.contains(*partition));
        let (read, unread) = (self.list(read.into_iter())?, self.list(unread.into_iter())?);
        let list = self.list(offsets.into_iter())?;
        group::take(&self.member, &list).map_err(|error| self.fault("take assigned partitions", &error))?;
        // One that is given back while it is paused comes back paused.
        self.member
            .resume(&read)
            .and_then(|()| self.member.pause(&unread))
            .map_err(|error| self.fault("pause partitions", &error))
    }

    /// Goes back to the lake's marks in partitions that others had read on, or that Kafka had nothing of.
    fn begin_anew(&mut self, resumes: BTreeMap<i32, Resume>) -> Result<(), ArchiveError> {
        let marks = resumes
            .iter()
            .map(|(partition, resume)| (*partition, resume.mark))
            .collect();
        let Some(judged) = self.judge(&marks)? else {
            self.resets.extend(marks.into_keys());
            return Ok(());
        };
        for (partition, resume) in resumes {
            self.halted.remove(partition);
            if let Some(offset) = self.start(partition, resume, judged.get(&partition)) {
                monitor::archiver().begins([(&partition, &offset)]);
                self.restart(partition, offset)?;
            }
        }
        Ok(())
    }

    /// Begins to read a partition as it was judged; the offset to read from, none where it is not read.
    fn start(&mut self, partition: i32, resume: Resume, judged: Option<&Judged>) -> Option<i64> {
        let judged = judged?;
        self.known_ends.insert(partition, judged.end);
        match judged.verdict {
            Verdict::Read => {
                self.buffer.begin(partition, resume.mark, resume.quarantined);
                Some(resume.mark)
            }
            Verdict::Gap(until) => {
                self.buffer.begin(partition, resume.mark, resume.quarantined);
                self.lose(partition, until);
                Some(until)
            }
            Verdict::Anew => None,
            Verdict::Halt(loss) => {
                self.halted.add(&self.job.kafka.topic, partition, loss, Instant::now());
                None
            }
        }
    }

    /// Finds out of which partitions Kafka has dropped what comes next.
    fn doubt(&mut self) -> Result<(), ArchiveError> {
        let positions: BTreeMap<i32, i64> = self
            .buffer
            .positions()
            .filter(|(partition, _)| !self.halted.contains(*partition))
            .collect();
        let Some(judged) = self.judge(&positions)? else {
            return Ok(());
        };
        let verdicts: BTreeMap<i32, Verdict> = judged
            .iter()
            .map(|(partition, judged)| (*partition, judged.verdict))
            .collect();
        self.doubtful = false;
        if verdicts
            .values()
            .any(|verdict| *verdict == Verdict::Halt(Loss::MadeAnew))
        {
            return self.halt_all();
        }
        // What was read is not in Kafka any more: it must not be dropped and read again.
        self.cut(Cause::Loss);
        if verdicts.values().all(|verdict| *verdict == Verdict::Read) {
            self.resets.extend(positions.into_keys());
            return Ok(());
        }
        for (partition, verdict) in verdicts {
            match verdict {
                Verdict::Read | Verdict::Anew => {}
                Verdict::Gap(until) => {
                    self.lose(partition, until);
                    self.restart(partition, until)?;
                }
                Verdict::Halt(loss) => self.halted.add(&self.job.kafka.topic, partition, loss, Instant::now()),
            }
        }
        Ok(())
    }

    /// Records that Kafka dropped what comes next of a partition, up to before `until`.
    fn lose(&mut self, partition: i32, until: i64) {
        self.cut(Cause::Loss);
        if let Some(flush) = self.buffer.lose(partition, until, Utc::now()) {
            tracing::warn!(topic = %self.job.kafka.topic, partition, offsets = ?flush.covered.get(&partition).map(|lost| &lost.offsets), "Kafka dropped offsets before they were archived; the gap is recorded in the lake, and reading goes on behind it");
            self.send_flush(flush);
        }
    }

    /// Reads a partition from an offset on, unless the lake takes nothing at present; then it is paused there.
    fn restart(&mut self, partition: i32, offset: i64) -> Result<(), ArchiveError> {
        let list = self.list(std::iter::once((partition, Offset::Offset(offset))))?;
        let restarted = group::restart(&self.member, &list)
            .and_then(|()| match self.paused {
                true => self.member.pause(&list),
                false => self.member.resume(&list),
            })
            .map_err(|error| self.fault("read from another offset", &error));
        if self.unless_it_passes(restarted)?.is_none() {
            self.resets.insert(partition);
        }
        Ok(())
    }

    /// What to do with partitions of which these offsets come next; none where Kafka does not say at present.
    fn judge(&mut self, next: &BTreeMap<i32, i64>) -> Result<Option<BTreeMap<i32, Judged>>, ArchiveError> {
        let judged = starts::judge(&self.topic.probe, self.topic.settled.id, next, self.job.accept_loss);
        let judged = self.unless_it_passes(judged)?;
        if judged
            .iter()
            .flat_map(BTreeMap::values)
            .any(|judged| judged.verdict == Verdict::Anew)
        {
            return Err(ArchiveError::Anew);
        }
        Ok(judged)
    }

    /// What Kafka answered; none where it did not, and will when its trouble has passed.
    pub(super) fn unless_it_passes<T>(&mut self, answer: Result<T, ArchiveError>) -> Result<Option<T>, ArchiveError> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            // A topic that was there may come back, as after a restart of the brokers, or be made anew.
            Err(error)
                if error.kind() == Kind::Retry || matches!(error, ArchiveError::Kafka(KafkaFault::NoTopic { .. })) =>
            {
                self.trouble.note(&error.to_string(), Instant::now());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn give_back(&mut self, partitions: &[i32]) -> Result<(), ArchiveError> {
        if let Some(rest) = self.buffer.end(partitions)? {
            self.send_flush(rest);
        }
        monitor::archiver().ends(partitions);
        for partition in partitions {
            self.resets.remove(partition);
            self.halted.remove(*partition);
            self.report.next_offsets.remove(partition);
        }
        let list = self.list(partitions.iter().map(|partition| (*partition, Offset::Invalid)))?;
        group::give_back(&self.member, &list).map_err(|error| self.fault("give partitions back", &error))
    }
}
