//! The thread that reads Kafka: it polls, buffers, cuts flushes, and answers the group.

mod turn;

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

use self::turn::Turn;
use super::buffer::{Buffer, Limits, Message};
use super::flush::Cause;
use super::group::{self, Member, Rebalance};
use super::pipeline::{Ends, Reply, Request};
use super::starts;
use super::trouble::Trouble;
use super::{ArchiveError, ArchiveReport, Job, Progress};
use crate::event::EventSchema;
use crate::fail_point::{self, Step};
use crate::kafka::{KafkaFault, Probe};
use crate::monitor::{self, Tally};

/// The longest wait for a message before everything else is looked at again.
const POLL: Duration = Duration::from_millis(100);
/// Messages that are read before everything else is looked at again.
const BURST: usize = 2000;
/// How long a full pipeline is waited for before partitions are paused, which throws away what was fetched ahead.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a stopping archiver waits for the lake.
const STOP_WAIT: Duration = Duration::from_secs(60);

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
    starts::check(&probe, &job.kafka.topic, &marks(&ends, &partitions)?)?;
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
        delayed: None,
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
        tally: Tally::default(),
        report: ArchiveReport::default(),
        progress,
    };
    monitor::archiver().budget(limits.bytes.saturating_mul(8));
    let result = source.read(stop);
    let unanswered = source.turn.unanswered().or(source.delayed);
    group::leave(source.member, &job.kafka.topic, unanswered);
    result.map(|()| source.report)
}

/// The lake's marks of those partitions that it has seen.
fn marks(ends: &Ends, partitions: &[i32]) -> Result<BTreeMap<i32, i64>, ArchiveError> {
    let ended = || ArchiveError::Stopped("the pipeline into the lake".to_owned());
    let asked = ends.requests.blocking_send(Request::Marks(partitions.to_vec()));
    match ends.replies.recv() {
        Ok(Reply::Marks(marks)) => Ok(marks
            .into_iter()
            .filter_map(|(partition, mark)| Some((partition, mark?)))
            .collect()),
        Ok(Reply::Failed(error)) => Err(error),
        Ok(_) | Err(_) => Err(asked
            .err()
            .map_or_else(ended, |error| ArchiveError::Stopped(error.to_string()))),
    }
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
    delayed: Option<Rebalance>,
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
    tally: Tally,
    report: ArchiveReport,
    progress: &'a dyn Progress,
}

impl Source<'_> {
    fn read(&mut self, stop: &AtomicBool) -> Result<(), ArchiveError> {
        loop {
            while let Ok(reply) = self.replies.try_recv() {
                self.hear(reply)?;
            }
            monitor::archiver().consumed(&mut self.tally);
            monitor::archiver().buffered(self.buffer.bytes());
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
                        flushes: self.sent - self.settled,
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
            monitor::archiver().ending();
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
                    self.tally.add(message.key, message.value);
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
                let checked = starts::check(&self.probe, &self.job.kafka.topic, &positions);
                self.unless_it_passes(checked).map(drop)
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
        fail_point::reached(Step::BeforeGroupOffsets);
        if let Err(error) = self.member.commit(&list, mode) {
            tracing::warn!(%error, "the group's offsets were not committed: lag monitors see an older state; the lake is right");
        }
        fail_point::reached(Step::AfterGroupOffsets);
        Ok(())
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
