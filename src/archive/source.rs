//! The thread that reads Kafka: it polls, buffers, cuts flushes, and answers the group.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::buffer::{Buffer, Limits, Message};
use super::committer::Fate;
use super::flush::Cause;
use super::group::{self, Member, Rebalance};
use super::pipeline::{Ends, Reply, Request};
use super::starts;
use super::trouble::Trouble;
use super::{ArchiveError, ArchiveReport, Job, Progress};
use crate::event::EventSchema;
use crate::kafka::{KafkaFault, Probe};

/// The longest wait for a message before everything else is looked at again.
const POLL: Duration = Duration::from_millis(100);
/// Messages that are read before everything else is looked at again.
const BURST: usize = 2000;
/// How long a full pipeline is waited for before partitions are paused, which throws away what was fetched ahead.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a partition that the group wants back is kept for its flush.
const REVOKE_WAIT: Duration = Duration::from_secs(20);
/// How long a stopping archiver waits for the lake.
const STOP_WAIT: Duration = Duration::from_secs(60);
/// How often an archiver that has reached its ends looks whether the other members have reached theirs.
const ENDS_WAIT: Duration = Duration::from_millis(500);

/// Reads until told to stop, or until all that the topic held at the start is archived.
pub fn run(
    job: &Job,
    schema: EventSchema,
    ends: Ends,
    stop: &AtomicBool,
    progress: &dyn Progress,
) -> Result<ArchiveReport, ArchiveError> {
    let probe = Probe::new(&job.kafka)?;
    let partitions = probe.partitions()?;
    let topic_ends = if job.until_end {
        let watermarks = probe.watermarks(&partitions)?;
        Some(
            watermarks
                .into_iter()
                .map(|(partition, marks)| (partition, marks.high))
                .collect(),
        )
    } else {
        None
    };
    let limits = Limits {
        messages: u64::from(job.archive.batch_size),
        bytes: usize::try_from(job.archive.memory_budget_mb)
            .unwrap_or(usize::MAX)
            .saturating_mul(1 << 20)
            / 8,
        wait: job.archive.timeout(),
    };
    let mut source = Source {
        job,
        probe,
        member: group::join(job)?,
        buffer: Buffer::new(schema, limits),
        pipeline: ends.requests,
        outbox: VecDeque::new(),
        replies: ends.replies,
        turn: Turn::Read,
        resets: BTreeSet::new(),
        sent: 0,
        settled: 0,
        ends: topic_ends,
        ends_asked: None,
        total: 0,
        blocked_since: None,
        paused: false,
        trouble: Trouble::default(),
        stopping_since: None,
        report: ArchiveReport::default(),
        progress,
    };
    let result = source.read(stop);
    group::leave(source.member, &job.kafka.topic, source.turn.unanswered());
    result.map(|()| source.report)
}

struct Source<'a> {
    job: &'a Job,
    probe: Probe,
    member: Member,
    buffer: Buffer,
    pipeline: mpsc::Sender<Request>,
    outbox: VecDeque<Request>,
    replies: std::sync::mpsc::Receiver<Reply>,
    turn: Turn,
    resets: BTreeSet<i32>,
    sent: u64,
    settled: u64,
    ends: Option<BTreeMap<i32, i64>>,
    ends_asked: Option<Instant>,
    total: u64,
    blocked_since: Option<Instant>,
    paused: bool,
    trouble: Trouble,
    stopping_since: Option<Instant>,
    report: ArchiveReport,
    progress: &'a dyn Progress,
}

/// What is being settled with the lake or the group beside reading; one thing at a time.
enum Turn {
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
    fn unanswered(self) -> Option<Rebalance> {
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
    fn read(&mut self, stop: &AtomicBool) -> Result<(), ArchiveError> {
        loop {
            while let Ok(reply) = self.replies.try_recv() {
                self.hear(reply)?;
            }
            self.take_turn()?;
            if stop.load(Ordering::Relaxed) {
                self.begin_to_stop();
            }
            if let Some(cause) = self.buffer.due(Instant::now()) {
                self.cut(cause);
            }
            self.send()?;
            if let Some(since) = self.stopping_since {
                if self.outbox.is_empty() && self.sent == self.settled {
                    return self.commit_group_offsets(CommitMode::Sync);
                }
                if since.elapsed() > STOP_WAIT {
                    return Err(ArchiveError::Unflushed {
                        messages: self.sent - self.settled,
                        seconds: STOP_WAIT.as_secs(),
                    });
                }
            }
            self.poll()?;
        }
    }

    fn begin_to_stop(&mut self) {
        if self.stopping_since.is_none() {
            self.stopping_since = Some(Instant::now());
            self.cut(Cause::Stop);
        }
    }

    fn cut(&mut self, cause: Cause) {
        if let Some(flush) = self.buffer.cut(cause) {
            self.ask(Request::Flush(Box::new(flush)));
        }
    }

    fn ask(&mut self, request: Request) {
        if matches!(request, Request::Flush(_)) {
            self.sent += 1;
        }
        self.outbox.push_back(request);
    }

    fn send(&mut self) -> Result<(), ArchiveError> {
        while let Some(request) = self.outbox.pop_front() {
            match self.pipeline.try_send(request) {
                Ok(()) => {}
                Err(TrySendError::Full(request)) => {
                    self.outbox.push_front(request);
                    return Ok(());
                }
                Err(TrySendError::Closed(_)) => return Err(self.pipeline_ended()),
            }
        }
        Ok(())
    }

    fn pipeline_ended(&mut self) -> ArchiveError {
        while let Ok(reply) = self.replies.recv_timeout(POLL) {
            if let Reply::Failed(error) = reply {
                return error;
            }
        }
        ArchiveError::Stopped("the pipeline into the lake".to_owned())
    }

    /// Reads a burst of messages, or waits while the pipeline is full.
    fn poll(&mut self) -> Result<(), ArchiveError> {
        let full = !self.outbox.is_empty() || self.stopping_since.is_some();
        if full {
            let since = *self.blocked_since.get_or_insert_with(Instant::now);
            if since.elapsed() < PATIENCE {
                if let Ok(reply) = self.replies.recv_timeout(POLL) {
                    self.hear(reply)?;
                }
                return Ok(());
            }
            self.pause()?;
        } else {
            self.blocked_since = None;
            self.unpause()?;
        }
        let now = chrono::Utc::now().timestamp();
        let arrived = Instant::now();
        let mut wait = POLL;
        for _ in 0..BURST {
            let fault = match self.member.poll(wait) {
                None => return Ok(()),
                Some(Ok(message)) => {
                    self.trouble.passed(arrived);
                    let message = Message {
                        partition: message.partition(),
                        offset: message.offset(),
                        key: message.key(),
                        value: message.payload(),
                    };
                    self.buffer.push(message, now, arrived);
                    None
                }
                Some(Err(fault)) => Some(fault),
            };
            if let Some(fault) = fault {
                self.hear_fault(&fault, arrived)?;
            }
            if self.buffer.due(arrived).is_some() {
                return Ok(());
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    fn pause(&mut self) -> Result<(), ArchiveError> {
        if !self.paused {
            tracing::warn!("the lake takes nothing: reading is paused until it does; no message is lost meanwhile");
            let all = self.assignment()?;
            self.member
                .pause(&all)
                .map_err(|error| self.fault("pause partitions", &error))?;
            self.paused = true;
        }
        Ok(())
    }

    fn unpause(&mut self) -> Result<(), ArchiveError> {
        if self.paused {
            tracing::info!("the lake takes data again: reading goes on");
            let all = self.assignment()?;
            self.member
                .resume(&all)
                .map_err(|error| self.fault("resume partitions", &error))?;
            self.paused = false;
        }
        Ok(())
    }

    fn assignment(&self) -> Result<TopicPartitionList, ArchiveError> {
        self.member
            .assignment()
            .map_err(|error| self.fault("name the assigned partitions", &error))
    }

    fn hear_fault(&mut self, fault: &KafkaError, arrived: Instant) -> Result<(), ArchiveError> {
        match fault {
            KafkaError::PartitionEOF(partition) => {
                self.trouble.passed(arrived);
                // Behind its end a topic may hold offsets that no reader sees: control records, aborted messages.
                if let Some(end) = self.ends.as_ref().and_then(|ends| ends.get(partition)) {
                    self.buffer.skip_to(*partition, *end, arrived);
                }
                Ok(())
            }
            KafkaError::MessageConsumptionFatal(_) => Err(self.fault("keep this member in the group", fault)),
            KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                let positions = self.buffer.positions().collect();
                starts::check(&self.probe, &self.job.kafka.topic, &positions)
            }
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
            ) => Err(KafkaFault::NoTopic {
                brokers: self.job.kafka.brokers.clone(),
                topic: self.job.kafka.topic.clone(),
            }
            .into()),
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed,
            ) => Err(KafkaFault::Refused {
                brokers: self.job.kafka.brokers.clone(),
                reason: fault.to_string(),
            }
            .into()),
            _ => {
                let reason = self.member.context().notes.take().unwrap_or_else(|| fault.to_string());
                self.trouble.note(&reason, arrived);
                Ok(())
            }
        }
    }

    fn fault(&self, what: &'static str, error: &KafkaError) -> ArchiveError {
        KafkaFault::of(&self.job.kafka.brokers, what, error, self.member.context().notes.take()).into()
    }

    /// Begins the next thing to settle, or ends one that needs no reply.
    fn take_turn(&mut self) -> Result<(), ArchiveError> {
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
        match self.member.context().next_rebalance() {
            Some(Rebalance::Assign(partitions)) => {
                self.ask(Request::Marks(self.probe.partitions()?));
                self.turn = Turn::Assigned(partitions);
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

    fn hear(&mut self, reply: Reply) -> Result<(), ArchiveError> {
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
                    let starts = starts::first(&self.probe, &unseen, known, self.job.consumer.auto_offset_reset)?;
                    self.ask(Request::Adopt(starts));
                    self.turn = Turn::Adopting(partitions);
                } else {
                    self.ask(Request::Resume(partitions));
                    self.turn = Turn::Resuming;
                }
            }
            (Reply::Adopted, Turn::Adopting(partitions)) => {
                self.ask(Request::Resume(partitions));
                self.turn = Turn::Resuming;
            }
            (Reply::Resumed(resumes), Turn::Resuming) => {
                let marks: BTreeMap<i32, i64> = resumes
                    .iter()
                    .map(|(partition, resume)| (*partition, resume.mark))
                    .collect();
                starts::check(&self.probe, &self.job.kafka.topic, &marks)?;
                for (partition, resume) in resumes {
                    let end = self.ends.as_ref().and_then(|ends| ends.get(&partition)).copied();
                    self.total += u64::try_from(end.unwrap_or(resume.mark) - resume.mark).unwrap_or_default();
                    self.buffer.begin(partition, resume.mark, resume.quarantined);
                }
                tracing::info!(topic = %self.job.kafka.topic, from = ?marks, "reading partitions from the lake's marks");
                let list = self.list(
                    marks
                        .into_iter()
                        .map(|(partition, mark)| (partition, Offset::Offset(mark))),
                )?;
                group::take(&self.member, &list).map_err(|error| self.fault("take assigned partitions", &error))?;
            }
            (Reply::Resumed(resumes), Turn::Resetting) => {
                for (partition, resume) in resumes {
                    let (topic, offset) = (&self.job.kafka.topic, Offset::Offset(resume.mark));
                    self.member
                        .seek(topic, partition, offset, Duration::from_secs(10))
                        .map_err(|error| self.fault("go back to the lake's mark", &error))?;
                    self.buffer.begin(partition, resume.mark, resume.quarantined);
                }
            }
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

    /// Tells the group how far the lake is, for lag monitors; nothing is read from it.
    fn commit_group_offsets(&self, mode: CommitMode) -> Result<(), ArchiveError> {
        let present: BTreeSet<i32> = self.buffer.positions().map(|(partition, _)| partition).collect();
        let archived: Vec<(i32, Offset)> = self
            .report
            .next_offsets
            .iter()
            .filter(|(partition, _)| present.contains(partition))
            .map(|(partition, next)| (*partition, Offset::Offset(*next)))
            .collect();
        if archived.is_empty() {
            return Ok(());
        }
        let list = self.list(archived.into_iter())?;
        if let Err(error) = self.member.commit(&list, mode) {
            tracing::warn!(%error, "the group's offsets were not committed: lag monitors see an older state; the lake is right");
        }
        Ok(())
    }

    fn give_back(&mut self, partitions: &[i32]) -> Result<(), ArchiveError> {
        if let Some(rest) = self.buffer.end(partitions)? {
            self.ask(Request::Flush(Box::new(rest)));
        }
        for partition in partitions {
            self.resets.remove(partition);
            self.report.next_offsets.remove(partition);
        }
        let list = self.list(partitions.iter().map(|partition| (*partition, Offset::Invalid)))?;
        group::give_back(&self.member, &list).map_err(|error| self.fault("give partitions back", &error))
    }

    fn list(&self, offsets: impl Iterator<Item = (i32, Offset)>) -> Result<TopicPartitionList, ArchiveError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(&self.job.kafka.topic, partition, offset)
                .map_err(|error| self.fault("name offsets", &error))?;
        }
        Ok(list)
    }
}
