//! The thread that reads Kafka: it polls, buffers, cuts flushes, and answers the group.

mod place;
mod turn;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};

use self::turn::Turn;
use self::watch::Waiting;
use super::budget::{self, Account, Shares};
use super::buffer::{Buffer, Limits};
use super::flush::{Cause, Flush};
use super::group::{self, Member, Rebalance};
use super::loss::Halted;
use super::outage::OutageClock;
use super::pipeline::{Ends, PARALLEL_FLUSHES, Reply, Request, Topic};
use super::store_outage::StoreOutage;
use super::trouble::Trouble;
use super::{ArchiveError, ArchiveReport, Job, Progress};
use crate::event::EventSchema;
use crate::fail_point::{self, Step};
use crate::kafka::KafkaFault;
use crate::monitor::{self, Tally};

/// The longest wait for a message before everything else is looked at again.
const POLL: Duration = Duration::from_millis(100);
/// The longest wait for the lake's answer before messages are looked for.
const ANSWER: Duration = Duration::from_millis(10);
/// Messages that are read before everything else is looked at again.
const BURST: usize = 2000;
/// How long a full pipeline is waited for before partitions are paused, which throws away what was fetched ahead.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a stopping archiver waits for the lake.
const STOP_WAIT: Duration = Duration::from_secs(25);

/// Reads until told to stop, or until all that the topic held at the start is archived; what was archived, added to what
/// was before, and how it ended.
pub fn run(
    job: &Job,
    schema: EventSchema,
    ends: Ends,
    topic: Topic,
    before: ArchiveReport,
    stop: &AtomicBool,
    progress: &dyn Progress,
) -> (ArchiveReport, Result<(), ArchiveError>) {
    match Source::new(job, schema, ends, topic, before.clone(), progress) {
        Ok(source) => source.run(stop),
        Err(error) => (before, Err(error)),
    }
}

struct Source<'a> {
    job: &'a Job,
    topic: Topic,
    member: Member,
    shares: Shares,
    account: Account,
    buffer: Buffer,
    pipeline: mpsc::Sender<Request>,
    outbox: VecDeque<Request>,
    replies: std::sync::mpsc::Receiver<Reply>,
    store: StoreOutage,
    hurry: Arc<Notify>,
    waiting: VecDeque<Waiting>,
    turn: Turn,
    delayed: Option<Rebalance>,
    /// Whether the group waits for the answer to an assignment.
    assigned: bool,
    /// Partitions that were taken before the lake said where to begin.
    unread: BTreeSet<i32>,
    /// When the lake was last asked something.
    asked: Instant,
    /// Questions to the lake that were put off, whose replies are still to come.
    overdue: u64,
    resets: BTreeSet<i32>,
    /// Partitions of which Kafka no longer has what comes next.
    halted: Halted,
    /// Where partitions ended, as far as they may be read, before their present reading began.
    known_ends: BTreeMap<i32, i64>,
    /// Kafka has refused the offset at which a partition is read: it must be found out which, and why.
    doubtful: bool,
    sent: u64,
    settled: u64,
    /// The lake has settled what the group was not told of.
    group_is_behind: bool,
    ends: Option<BTreeMap<i32, i64>>,
    ends_asked: Option<Instant>,
    total: u64,
    blocked_since: Option<Instant>,
    paused: bool,
    trouble: Trouble,
    outage: OutageClock,
    stopping_since: Option<Instant>,
    tally: Tally,
    report: ArchiveReport,
    progress: &'a dyn Progress,
}

impl<'a> Source<'a> {
    fn new(
        job: &'a Job,
        schema: EventSchema,
        ends: Ends,
        topic: Topic,
        before: ArchiveReport,
        progress: &'a dyn Progress,
    ) -> Result<Source<'a>, ArchiveError> {
        let partitions = topic.probe.partitions()?;
        let topic_ends = if job.until_end {
            let watermarks = topic.probe.watermarks(&partitions)?;
            Some(
                watermarks
                    .into_iter()
                    .map(|(partition, marks)| (partition, marks.high))
                    .collect(),
            )
        } else {
            None
        };
        let shares = Shares::of(job.archive.memory_budget_mb, topic.probe.brokers()?);
        let limits = Limits {
            messages: u64::from(job.archive.batch_size),
            bytes: shares.flush,
            wait: job.archive.timeout(),
        };
        let budget_mb = usize::try_from(job.archive.memory_budget_mb).unwrap_or(usize::MAX);
        monitor::archiver().budget(budget_mb.saturating_mul(1 << 20));
        Ok(Source {
            job,
            topic,
            member: group::join(job, &shares)?,
            shares,
            account: Account::new(shares.pipeline),
            buffer: Buffer::new(schema, limits),
            pipeline: ends.requests,
            outbox: VecDeque::new(),
            replies: ends.replies,
            store: ends.store,
            hurry: ends.hurry,
            waiting: VecDeque::new(),
            turn: Turn::Read,
            delayed: None,
            assigned: false,
            unread: BTreeSet::new(),
            asked: Instant::now(),
            overdue: 0,
            resets: BTreeSet::new(),
            halted: Halted::default(),
            known_ends: BTreeMap::new(),
            doubtful: false,
            sent: 0,
            settled: 0,
            group_is_behind: false,
            ends: topic_ends,
            ends_asked: None,
            total: 0,
            blocked_since: None,
            paused: false,
            trouble: Trouble::default(),
            outage: OutageClock::default(),
            stopping_since: None,
            tally: Tally::default(),
            report: before,
            progress,
        })
    }

    fn run(mut self, stop: &AtomicBool) -> (ArchiveReport, Result<(), ArchiveError>) {
        let result = self.read(stop);
        let unanswered = self.turn.unanswered(self.assigned).or(self.delayed);
        group::leave(self.member, self.job, unanswered);
        let halted = self.halted.error(&self.job.kafka.topic);
        (self.report, result.and(halted.map_or(Ok(()), Err)))
    }

    fn read(&mut self, stop: &AtomicBool) -> Result<(), ArchiveError> {
        loop {
            while let Ok(reply) = self.replies.try_recv() {
                self.hear(reply)?;
            }
            monitor::archiver().consumed(&mut self.tally);
            group::check(&self.member, self.job)?;
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
                    // Leaving waits for it, though not for ever.
                    return self.commit_group_offsets();
                }
                if since.elapsed() > STOP_WAIT {
                    return Err(ArchiveError::Unflushed {
                        messages: self.waiting.iter().map(|flush| flush.messages).sum(),
                        seconds: STOP_WAIT.as_secs(),
                    });
                }
            }
            self.tell_the_group()?;
            self.watch();
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
            self.send_flush(flush);
        }
    }

    pub(super) fn send_flush(&mut self, flush: Flush) {
        let (rows, rejected) = (flush.row_bytes, flush.rejected_bytes());
        self.waiting.push_back(Waiting {
            messages: flush.messages(),
            bytes: rows + rejected,
            oldest: flush.oldest,
        });
        let held = self.account.hold(budget::to_write(rows, rejected));
        self.sent += 1;
        self.ask(Request::Flush(Box::new(flush), held));
    }

    fn ask(&mut self, request: Request) {
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

    /// Whether nothing more may be read for now: the pipeline does not take what has been read, or the memory budget has
    /// no room for what would be.
    fn is_full(&self) -> bool {
        let next = self.buffer.bytes().max(self.shares.flush);
        let busy = u64::try_from(PARALLEL_FLUSHES).unwrap_or(u64::MAX);
        // Once paused, which throws away what was fetched ahead, it is waited for until reading can go on for a while.
        !self.outbox.is_empty()
            || !self.account.has_room(budget::to_write(next, 0))
            || (self.paused && self.sent - self.settled > busy)
            || self.stopping_since.is_some()
    }

    /// Reads messages, or waits while nothing more may be read.
    fn poll(&mut self) -> Result<(), ArchiveError> {
        if self.is_full() {
            self.hurry.notify_one();
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
        let mut wait = POLL;
        if self.turn.awaits_the_lake() {
            // Whose answer would have to wait for the next message.
            if let Ok(reply) = self.replies.recv_timeout(ANSWER) {
                self.hear(reply)?;
            }
            wait = Duration::ZERO;
        }
        let now = chrono::Utc::now().timestamp();
        let arrived = Instant::now();
        if let Some(fault) = self.member.hear() {
            return self.hear_fault(&fault, arrived);
        }
        self.member.lead_again(arrived);
        for _ in 0..BURST {
            let fault = match self.member.next_message(wait) {
                None => return Ok(()),
                Some(Ok(message)) => {
                    self.trouble.passed(arrived);
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
            tracing::info!(
                messages = self.waiting.iter().map(|flush| flush.messages).sum::<u64>(),
                "reading is paused until the lake has taken what was read"
            );
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
            tracing::info!("reading goes on");
            let read = self.assigned_and_read()?;
            self.member
                .resume(&read)
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

    /// The assigned partitions but for those that are not read.
    fn assigned_and_read(&self) -> Result<TopicPartitionList, ArchiveError> {
        let all = self.assignment()?;
        let partitions = all.elements().into_iter().map(|element| element.partition());
        self.list(
            partitions
                .filter(|partition| !self.halted.contains(*partition) && !self.unread.contains(partition))
                .map(|partition| (partition, Offset::Invalid)),
        )
    }

    fn hear_fault(&mut self, fault: &KafkaError, arrived: Instant) -> Result<(), ArchiveError> {
        match fault {
            KafkaError::PartitionEOF(partition) => {
                self.trouble.passed(arrived);
                // Behind its end a topic may hold offsets that no reader sees: control records, aborted messages.
                if let Some(end) = self.known_ends.get(partition) {
                    self.buffer.skip_to(*partition, *end, arrived);
                }
                Ok(())
            }
            KafkaError::MessageConsumptionFatal(_) => group::check(&self.member, self.job),
            // The client library has stopped to read a partition, and does not say which.
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::LogTruncation,
            ) => {
                self.doubtful = true;
                Ok(())
            }
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

    /// Tells the group how far the lake is, if that is news and it has answered the last: where commits to the lake are
    /// faster than the group is, thousands of its answers would have to be waited for when it is left.
    fn tell_the_group(&mut self) -> Result<(), ArchiveError> {
        if self.group_is_behind && !self.member.context().is_committing() {
            self.commit_group_offsets()?;
        }
        Ok(())
    }

    /// Tells the group how far the lake is, for lag monitors; nothing is read from it.
    fn commit_group_offsets(&mut self) -> Result<(), ArchiveError> {
        self.group_is_behind = false;
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
        if let Err(error) = group::commit(&self.member, &list) {
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
