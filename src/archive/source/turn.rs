//! What the reading thread settles with the lake and the group beside reading, one thing at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::Offset;

use super::Source;
use crate::archive::ArchiveError;
use crate::archive::committer::{Fate, Resume};
use crate::archive::flush::Cause;
use crate::archive::group::{self, Rebalance};
use crate::archive::pipeline::{Reply, Request};
use crate::archive::starts;
use crate::error::{HasKind, Kind};
use crate::monitor;

/// How long a partition that the group wants back is kept for its flush.
const REVOKE_WAIT: Duration = Duration::from_secs(20);
/// How long going back to a mark may take.
const SEEK_WAIT: Duration = Duration::from_secs(10);
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
                let all = self.probe.partitions().map_err(ArchiveError::from);
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
            None if !self.resets.is_empty() => {
                let partitions: Vec<i32> = std::mem::take(&mut self.resets).into_iter().collect();
                if let Some(rest) = self.buffer.end(&partitions)? {
                    self.ask(Request::Flush(Box::new(rest)));
                }
                self.ask(Request::Resume(partitions));
                self.turn = Turn::Resetting;
            }
            None => self.look_for_the_end(),
        }
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
            .all(|(partition, next)| ends.get(&partition).is_none_or(|end| next >= *end));
        if !reached || self.stopping_since.is_some() {
            return;
        }
        let partitions = ends.keys().copied().collect();
        self.cut(Cause::Stop);
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
                self.settle(fates, version)?;
                self.buffer.adopt(schema);
            }
            (Reply::Marks(marks), Turn::Assigned(partitions)) => {
                let unseen: Vec<i32> = marks
                    .iter()
                    .filter(|(_, mark)| mark.is_none())
                    .map(|(partition, _)| *partition)
                    .collect();
                if partitions.iter().any(|partition| unseen.contains(partition)) {
                    let known = unseen.len() < marks.len();
                    let starts = starts::first(&self.probe, &unseen, known, self.job.consumer.auto_offset_reset);
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
                    self.begin_to_stop();
                }
            }
            (_, turn) => self.turn = turn,
        }
        Ok(())
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
        let checked = starts::check(&self.probe, &self.job.kafka.topic, &marks);
        if self.unless_it_passes(checked)?.is_none() {
            self.delayed = Some(Rebalance::Assign(marks.into_keys().collect()));
            return Ok(());
        }
        for (partition, resume) in resumes {
            let end = self.ends.as_ref().and_then(|ends| ends.get(&partition)).copied();
            self.total += u64::try_from(end.unwrap_or(resume.mark) - resume.mark).unwrap_or_default();
            self.buffer.begin(partition, resume.mark, resume.quarantined);
        }
        monitor::archiver().begins(&marks);
        tracing::info!(topic = %self.job.kafka.topic, from = ?marks, "reading partitions from the lake's marks");
        let list = self.list(
            marks
                .into_iter()
                .map(|(partition, mark)| (partition, Offset::Offset(mark))),
        )?;
        group::take(&self.member, &list).map_err(|error| self.fault("take assigned partitions", &error))?;
        if self.paused {
            self.member
                .pause(&list)
                .map_err(|error| self.fault("pause partitions", &error))?;
        }
        Ok(())
    }

    /// Goes back to the lake's marks in partitions that others had read on.
    fn begin_anew(&mut self, resumes: BTreeMap<i32, Resume>) -> Result<(), ArchiveError> {
        for (partition, resume) in resumes {
            let (topic, offset) = (&self.job.kafka.topic, Offset::Offset(resume.mark));
            let sought = self
                .member
                .seek(topic, partition, offset, SEEK_WAIT)
                .map_err(|error| self.fault("go back to the lake's mark", &error));
            match self.unless_it_passes(sought)? {
                Some(()) => {
                    monitor::archiver().begins([(&partition, &resume.mark)]);
                    self.buffer.begin(partition, resume.mark, resume.quarantined);
                }
                None => {
                    self.resets.insert(partition);
                }
            }
        }
        Ok(())
    }

    /// What Kafka answered; none where it did not, and will when its trouble has passed.
    pub(super) fn unless_it_passes<T>(&mut self, answer: Result<T, ArchiveError>) -> Result<Option<T>, ArchiveError> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.kind() == Kind::Retry => {
                self.trouble.note(&error.to_string(), Instant::now());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn give_back(&mut self, partitions: &[i32]) -> Result<(), ArchiveError> {
        if let Some(rest) = self.buffer.end(partitions)? {
            self.ask(Request::Flush(Box::new(rest)));
        }
        monitor::archiver().ends(partitions);
        for partition in partitions {
            self.resets.remove(partition);
            self.report.next_offsets.remove(partition);
        }
        let list = self.list(partitions.iter().map(|partition| (*partition, Offset::Invalid)))?;
        group::give_back(&self.member, &list).map_err(|error| self.fault("give partitions back", &error))
    }
}
