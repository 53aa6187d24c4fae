//! What the reading thread settles with the lake and the group beside reading, one thing at a time.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::Offset;

use super::Source;
use crate::archive::ArchiveError;
use crate::archive::committer::Fate;
use crate::archive::flush::Cause;
use crate::archive::group::{self, Rebalance};
use crate::archive::pipeline::{Reply, Request};
use crate::archive::starts;
use crate::error::{HasKind, Kind};
use crate::kafka::KafkaFault;
use crate::monitor;

/// How long a partition that the group wants back is kept for its flush.
const REVOKE_WAIT: Duration = Duration::from_secs(20);
/// How long the group waits for the lake before it is answered without: all its members wait for this one meanwhile.
const LAKE_WAIT: Duration = Duration::from_secs(10);
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
    Resuming(Vec<i32>),
    /// The lake is asked where to begin anew in partitions that others had read on.
    Resetting(Vec<i32>),
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
    /// Whether the lake has been asked something.
    pub(super) fn awaits_the_lake(&self) -> bool {
        !matches!(self, Turn::Read | Turn::Draining { .. })
    }

    /// What the group waits for; `assigning` is whether it waits for the answer to an assignment.
    pub(super) fn unanswered(self, assigning: bool) -> Option<Rebalance> {
        match self {
            Turn::Assigned(partitions) | Turn::Adopting(partitions) | Turn::Resuming(partitions) => {
                assigning.then_some(Rebalance::Assign(partitions))
            }
            Turn::Draining { partitions, .. } => Some(Rebalance::Revoke {
                partitions,
                lost: false,
            }),
            Turn::Read | Turn::Resetting(_) | Turn::Ending => None,
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
                self.commit_group_offsets()?;
                self.give_back(&partitions)
            }
            Turn::Draining { .. } => Ok(()),
            _ if self.keeps_the_group_waiting() => self.put_off(),
            _ => Ok(()),
        }
    }

    /// Whether the group has waited for long enough for what the lake is asked.
    fn keeps_the_group_waiting(&self) -> bool {
        let waits = self.assigned || self.member.context().has_rebalance();
        waits && self.asked.elapsed() > LAKE_WAIT
    }

    /// Answers the group without the lake, whose answer comes too late now, and asks the lake again later. Assigned
    /// partitions are taken and not read before it has said where to begin.
    fn put_off(&mut self) -> Result<(), ArchiveError> {
        self.overdue += 1;
        match std::mem::replace(&mut self.turn, Turn::Read) {
            Turn::Assigned(partitions) | Turn::Adopting(partitions) | Turn::Resuming(partitions) => {
                if std::mem::take(&mut self.assigned) {
                    self.take_unread(&partitions)?;
                }
                self.unread.extend(partitions);
            }
            Turn::Resetting(partitions) => self.resets.extend(partitions),
            Turn::Read | Turn::Ending | Turn::Draining { .. } => {}
        }
        Ok(())
    }

    /// Asks the lake, and goes on with `turn` once it answers.
    fn ask_lake(&mut self, request: Request, turn: Turn) {
        self.asked = Instant::now();
        self.ask(request);
        self.turn = turn;
    }

    /// Has an assignment settled again from its beginning: Kafka did not answer, and will when its trouble has passed.
    pub(super) fn ask_again(&mut self, partitions: Vec<i32>) {
        if self.assigned {
            self.delayed = Some(Rebalance::Assign(partitions));
        } else {
            self.unread.extend(partitions);
        }
    }

    fn next_turn(&mut self) -> Result<(), ArchiveError> {
        let waiting = self.delayed.take();
        match waiting.or_else(|| self.member.context().next_rebalance()) {
            Some(Rebalance::Assign(partitions)) => {
                self.assigned = true;
                self.settle_assignment(partitions)?;
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
            None if !self.unread.is_empty() => {
                let partitions = std::mem::take(&mut self.unread).into_iter().collect();
                self.settle_assignment(partitions)?;
            }
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

    /// Asks the lake for the whole topic's marks, to begin to read these partitions.
    fn settle_assignment(&mut self, partitions: Vec<i32>) -> Result<(), ArchiveError> {
        let all = self.topic.probe.partitions().map_err(ArchiveError::from);
        match self.unless_it_passes(all)? {
            Some(all) => self.ask_lake(Request::Marks(all), Turn::Assigned(partitions)),
            None => self.ask_again(partitions),
        }
        Ok(())
    }

    /// Stops reading partitions, drops what is buffered of them, and asks the lake where to begin anew.
    fn reset(&mut self, partitions: Vec<i32>) -> Result<(), ArchiveError> {
        if let Some(rest) = self.buffer.end(&partitions)? {
            self.send_flush(rest);
        }
        self.ask_lake(Request::Resume(partitions.clone()), Turn::Resetting(partitions));
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
            self.ask_lake(Request::Marks(partitions), Turn::Ending);
        }
    }

    pub(super) fn hear(&mut self, reply: Reply) -> Result<(), ArchiveError> {
        if self.overdue > 0 && matches!(reply, Reply::Marks(_) | Reply::Adopted | Reply::Resumed(_)) {
            // Replies come in the order of the questions, and this one has been put off.
            self.overdue -= 1;
            return Ok(());
        }
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
                self.settle(fates, version);
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
                        Some(starts) => self.ask_lake(Request::Adopt(starts), Turn::Adopting(partitions)),
                        None => self.ask_again(partitions),
                    }
                } else {
                    self.ask_lake(Request::Resume(partitions.clone()), Turn::Resuming(partitions));
                }
            }
            (Reply::Adopted, Turn::Adopting(partitions)) => {
                self.ask_lake(Request::Resume(partitions.clone()), Turn::Resuming(partitions));
            }
            (Reply::Resumed(resumes), Turn::Resuming(_)) => self.begin(resumes)?,
            (Reply::Resumed(resumes), Turn::Resetting(_)) => self.begin_anew(resumes)?,
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

    fn settle(&mut self, fates: Vec<(i32, Fate)>, version: u64) {
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
        self.group_is_behind = true;
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
            self.unread.remove(partition);
            self.resets.remove(partition);
            self.halted.remove(*partition);
            self.report.next_offsets.remove(partition);
        }
        let list = self.list(partitions.iter().map(|partition| (*partition, Offset::Invalid)))?;
        group::give_back(&self.member, &list).map_err(|error| self.fault("give partitions back", &error))
    }
}
