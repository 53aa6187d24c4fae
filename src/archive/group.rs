//! Membership of the consumer group: assignments as events, answered when the archiver is ready to.
//!
//! The client library asks for an answer to each assignment and waits for it, so an archiver has the time to read the
//! lake's marks before it takes a partition and to flush before it gives one back, while it goes on polling.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::budget::Shares;
use super::{ArchiveError, Job};
use crate::kafka::{Inbox, KafkaFault, Notes, client_config, member_id};
use crate::monitor;

/// A consumer that is a member of the group.
pub type Member = Inbox<MemberContext>;

/// What the group wants of this member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebalance {
    /// Read these partitions too.
    Assign(Vec<i32>),
    /// Give these partitions back; `lost` where others may be reading them already.
    Revoke {
        /// The partitions.
        partitions: Vec<i32>,
        /// Whether others may be reading them already.
        lost: bool,
    },
}

/// Makes the consumer and joins the group.
///
/// # Errors
/// [`KafkaFault::Settings`] where the client library refuses a setting.
pub fn join(job: &Job, shares: &Shares) -> Result<Member, KafkaFault> {
    let mut config = client_config(&job.kafka);
    config
        .set("group.id", &job.consumer.group)
        .set("session.timeout.ms", job.consumer.session_timeout_ms.to_string())
        .set(
            "heartbeat.interval.ms",
            (job.consumer.session_timeout_ms / 10).clamp(100, 3000).to_string(),
        )
        .set(
            "partition.assignment.strategy",
            &job.consumer.partition_assignment_strategy,
        )
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // Where to begin is said with each assignment; an offset that is gone must not become another one in silence.
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        // How soon partitions that are added to the topic are read; any member that sees them asks the group to share
        // them out.
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set("isolation.level", "read_committed")
        .set("queued.max.messages.kbytes", (shares.queue / 1024).to_string())
        // For all partitions together: they share one queue.
        .set("queued.min.messages", shares.queue_messages.to_string())
        .set("fetch.max.bytes", shares.fetch.to_string())
        .set("fetch.message.max.bytes", shares.fetch.to_string())
        // Of a producer's messages; the client library wants it to be no more than one answer.
        .set("message.max.bytes", "1000")
        .set("fetch.queue.backoff.ms", "10")
        // How far reading is, for lag and health: asking would wait behind the fetch that is under way.
        .set("statistics.interval.ms", "5000");
    if let Some(id) = &job.consumer.group_instance_id {
        config.set("group.instance.id", id);
    }
    let fault = |error: KafkaError| KafkaFault::Settings(error.to_string());
    let consumer: BaseConsumer<_> = config.create_with_context(MemberContext::default()).map_err(fault)?;
    let member = Inbox::new(consumer);
    member.subscribe(&[&job.kafka.topic]).map_err(fault)?;
    Ok(member)
}

/// Makes sure that the group can still have this member.
///
/// # Errors
/// [`ArchiveError::Fenced`] where another member took its static id, [`KafkaFault::Request`] where the client library
/// has given up for another reason.
pub fn check(member: &Member, job: &Job) -> Result<(), ArchiveError> {
    match member.client().fatal_error() {
        None => Ok(()),
        Some((RDKafkaErrorCode::FencedInstanceId, _)) => Err(ArchiveError::Fenced {
            id: job.consumer.group_instance_id.clone().unwrap_or_default(),
            group: job.consumer.group.clone(),
            place: Place {
                last_id: member.context().last_id(),
                gave_up: member_id(member).is_empty(),
            },
        }),
        Some((_, reason)) => Err(KafkaFault::Request {
            what: "keep this member in the group",
            reason,
        }
        .into()),
    }
}

/// A member's place in the group when it was fenced off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The id that brokers gave it last; empty where they gave it none.
    pub last_id: String,
    /// Whether its client had given that id up.
    pub gave_up: bool,
}

impl Place {
    /// Whether the member was fenced off by itself, given the ids of the group's members now. By its own clock a session
    /// ends before it does by the broker's. Then the client library gives the id up, and what it sends before it has
    /// another one, a heartbeat, is fenced for having none.
    pub fn was_fenced_by_itself(&self, static_id: &str, members: &[String]) -> bool {
        members.contains(&self.last_id) || self.gave_up && !members.iter().any(|member| is_of(member, static_id))
    }
}

/// Whether brokers made a member's id of this static one: they add a UUID.
fn is_of(member_id: &str, static_id: &str) -> bool {
    let added = member_id
        .strip_prefix(static_id)
        .and_then(|rest| rest.strip_prefix('-'));
    added.is_some_and(|added| uuid::Uuid::try_parse(added).is_ok())
}

/// Answers an assignment: read these partitions from these offsets.
pub fn take(member: &mut Member, offsets: &TopicPartitionList) -> KafkaResult<()> {
    member.lead(offsets);
    answer_assignment(member, offsets)
}

/// Reads partitions that this member has from other offsets on. Not by a seek: the client library refuses that for a
/// partition which it has stopped to read because its offset was out of range.
pub fn restart(member: &mut Member, offsets: &TopicPartitionList) -> KafkaResult<()> {
    member.incremental_unassign(offsets)?;
    member.lead(offsets);
    member.incremental_assign(offsets)
}

/// Answers a revocation.
pub fn give_back(member: &BaseConsumer<MemberContext>, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match member.rebalance_protocol() {
        RebalanceProtocol::Cooperative => member.incremental_unassign(partitions),
        _ => member.unassign(),
    }
}

/// Tells the group these offsets, and does not wait for its answer.
pub fn commit(member: &Member, offsets: &TopicPartitionList) -> KafkaResult<()> {
    member.commit(offsets, CommitMode::Async)?;
    member.context().committing.store(true, Ordering::Relaxed);
    Ok(())
}

/// How long the brokers are waited for when the group is left. Together with the wait for the lake it is less than the half
/// minute that deployments commonly give a process to end.
const LEAVE_WAIT: Duration = Duration::from_secs(4);

/// Leaves the group, once the offsets that were committed last are there; its partitions go to others at once. `unanswered`
/// is what the group wants and waits for: leaving would wait for the answer too. Where the brokers do not answer, the group
/// is left to find out.
pub fn leave(member: Member, job: &Job, unanswered: Option<Rebalance>) {
    let (topic, is_static) = (&job.kafka.topic, job.consumer.group_instance_id.is_some());
    member.context().leaving.store(true, Ordering::Relaxed);
    let waiting = std::iter::from_fn(|| member.context().next_rebalance());
    for rebalance in unanswered.into_iter().chain(waiting) {
        let answer = match rebalance {
            Rebalance::Assign(_) => answer_assignment(&member, &TopicPartitionList::new()),
            Rebalance::Revoke { partitions, .. } => {
                let mut list = TopicPartitionList::new();
                for partition in partitions {
                    list.add_partition(topic, partition);
                }
                give_back(&member, &list)
            }
        };
        tracing::debug!(?answer, "leaving the group");
    }
    // Without brokers the client library would wait for as long as they are away.
    let (left, waits) = mpsc::channel();
    let leaves = std::thread::Builder::new().name("leave".to_owned()).spawn(move || {
        if !is_static {
            give_id_up(&member);
        }
        drop(member);
        let _ = left.send(());
    });
    // Where there is no thread to be had, the member went with what it was to do.
    if leaves.is_ok() && waits.recv_timeout(LEAVE_WAIT).is_err() {
        tracing::warn!(
            "Kafka does not answer: the group gives this member's partitions to others when its session ends, and lag \
             monitors see an older state; the lake is right"
        );
    }
}

/// Has a member leave the group before it is closed. The client library (2.12) reads through a null pointer where it is
/// to leave when it closes, and an answer to a heartbeat, that the group does not know it, comes behind the end of that. A
/// static member does not leave.
fn give_id_up(member: &Member) {
    let begun = Instant::now();
    member.unsubscribe();
    while !member_id(member).is_empty() && begun.elapsed() < LEAVE_WAIT {
        drop(BaseConsumer::poll(member, Duration::from_millis(10)));
    }
}

fn answer_assignment(member: &BaseConsumer<MemberContext>, offsets: &TopicPartitionList) -> KafkaResult<()> {
    match member.rebalance_protocol() {
        RebalanceProtocol::Cooperative => member.incremental_assign(offsets),
        _ => member.assign(offsets),
    }
}

/// Collects what the group and the connections say.
#[derive(Debug, Default)]
pub struct MemberContext {
    rebalances: Mutex<VecDeque<Rebalance>>,
    leaving: AtomicBool,
    committing: AtomicBool,
    last_id: Mutex<String>,
    /// The client library's last words about its connections.
    pub notes: Notes,
}

impl MemberContext {
    /// The next thing that the group wants.
    pub fn next_rebalance(&self) -> Option<Rebalance> {
        self.rebalances
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .pop_front()
    }

    /// The id that brokers gave this member when it was assigned partitions last.
    fn last_id(&self) -> String {
        self.last_id
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }

    /// Whether the group has yet to answer offsets that it was told.
    pub fn is_committing(&self) -> bool {
        self.committing.load(Ordering::Relaxed)
    }

    /// Whether the group wants something.
    pub fn has_rebalance(&self) -> bool {
        !self
            .rebalances
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .is_empty()
    }
}

impl ClientContext for MemberContext {
    fn stats(&self, statistics: Statistics) {
        monitor::archiver().hear(&statistics);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Notes::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition comes by this way too, and is no trouble.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.notes.keep(&error, reason);
        }
    }
}

impl ConsumerContext for MemberContext {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        self.committing.store(false, Ordering::Relaxed);
        if let Err(error) = result {
            tracing::debug!(%error, "the group did not take the offsets that it was told");
        }
    }

    fn rebalance(&self, member: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
        let assign = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let lost = !assign && member.assignment_lost();
        if assign {
            *self.last_id.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = member_id(member);
        }
        monitor::archiver().rebalanced(match (assign, lost) {
            (true, _) => "assigned",
            (false, false) => "revoked",
            (false, true) => "lost",
        });
        if self.leaving.load(Ordering::Relaxed) {
            let answer = if assign {
                answer_assignment(member, list)
            } else {
                give_back(member, list)
            };
            tracing::debug!(?answer, "leaving the group");
            return;
        }
        let event = if assign {
            Rebalance::Assign(partitions)
        } else {
            Rebalance::Revoke { partitions, lost }
        };
        self.rebalances
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .push_back(event);
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn a_member_was_fenced_by_another_where_the_group_has_that_one_in_its_place() {
        let id = |static_id: &str, number: u128| format!("{static_id}-{}", uuid::Uuid::from_u128(number));
        let place = |last_id: String, gave_up: bool| Place { last_id, gave_up };
        let members = [id("a", 1), id("a-b", 2)];
        for (place, by_itself) in [
            (place(id("a", 1), true), true),
            (place(id("a", 1), false), true),
            (place(id("a", 7), true), false),
            (place(id("a", 7), false), false),
            (place(String::new(), true), false),
        ] {
            assert_eq!(place.was_fenced_by_itself("a", &members), by_itself, "{place:?}");
        }
        let others = [id("a-b", 2)];
        assert!(place(id("a", 7), true).was_fenced_by_itself("a", &others));
        assert!(!place(id("a", 7), false).was_fenced_by_itself("a", &others));
    }
}
