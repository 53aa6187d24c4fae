//! Questions about a topic, asked on a connection of their own.
//!
//! They must not be asked on the consuming client: there each waits behind the fetch that is under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::topic_id::{self, TopicId};
use super::{KafkaFault, Notes, ask, ask_within, check, client_config};
use crate::config::KafkaSettings;

/// The oldest offset that Kafka still has of a partition, and the one behind its newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// The offset of the oldest message.
    pub low: i64,
    /// One past the offset of the newest message.
    pub high: i64,
}

/// The longest wait of a probe that may not wait for long, for one answer and for the times of messages.
const SHORT: Duration = Duration::from_secs(3);

/// A connection for questions about one topic.
pub struct Probe {
    consumer: BaseConsumer<ProbeContext>,
    settings: KafkaSettings,
    until: Option<Instant>,
    /// The broker that led the topic's first partition when its partitions were asked for.
    leader: AtomicI32,
}

/// How long a topic that a broker does not know may be one of which it has not heard yet: making a topic is answered before
/// all brokers know of it.
const UNHEARD_OF: Duration = Duration::from_secs(2);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// No broker has this number.
const NO_LEADER: i32 = -1;

impl Probe {
    /// Makes the connection; nothing is asked yet.
    ///
    /// # Errors
    /// [`KafkaFault::Settings`] where the client library refuses a setting.
    pub fn new(settings: &KafkaSettings) -> Result<Probe, KafkaFault> {
        check(settings)?;
        let consumer = client_config(settings)
            .create_with_context(ProbeContext::default())
            .map_err(|error| KafkaFault::Settings(error.to_string()))?;
        Ok(Probe {
            consumer,
            settings: settings.clone(),
            until: None,
            leader: AtomicI32::new(NO_LEADER),
        })
    }

    /// A probe that waits some seconds for each answer, and for all of them together no longer than until then.
    ///
    /// # Errors
    /// As [`Probe::new`].
    pub fn until(settings: &KafkaSettings, until: Instant) -> Result<Probe, KafkaFault> {
        Ok(Probe {
            until: Some(until),
            ..Probe::new(settings)?
        })
    }

    /// As [`Probe::partitions`], of a topic that may have been made a moment ago.
    ///
    /// # Errors
    /// As [`Probe::partitions`].
    pub fn partitions_of_new_topic(&self) -> Result<Vec<i32>, KafkaFault> {
        let until = Instant::now() + UNHEARD_OF;
        loop {
            match self.partitions() {
                Err(KafkaFault::NoTopic { .. }) if Instant::now() < until => drop(self.consumer.poll(BETWEEN_LOOKS)),
                answer => return answer,
            }
        }
    }

    /// The topic's partitions, in order. Blocks until a broker answers.
    ///
    /// # Errors
    /// [`KafkaFault`] where no broker answers or the topic is not there.
    pub fn partitions(&self) -> Result<Vec<i32>, KafkaFault> {
        let topic = &self.settings.topic;
        let metadata = self.ask("name the topic's partitions", |patience| {
            self.consumer.fetch_metadata(Some(topic), patience)
        })?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let first = found.and_then(|topic| topic.partitions().first());
        let leader = first.map_or(NO_LEADER, rdkafka::metadata::MetadataPartition::leader);
        self.leader.store(leader, Ordering::Relaxed);
        let mut partitions: Vec<i32> = found
            .into_iter()
            .flat_map(|topic| topic.partitions())
            .map(rdkafka::metadata::MetadataPartition::id)
            .collect();
        if partitions.is_empty() {
            return Err(KafkaFault::NoTopic {
                brokers: self.settings.brokers.clone(),
                topic: topic.clone(),
            });
        }
        partitions.sort_unstable();
        Ok(partitions)
    }

    /// The ids that the brokers gave a group's members. Blocks until a broker answers.
    ///
    /// # Errors
    /// [`KafkaFault`] where no broker answers.
    pub fn member_ids(&self, group: &str) -> Result<Vec<String>, KafkaFault> {
        let groups = self.ask("name the group's members", |patience| {
            self.consumer.fetch_group_list(Some(group), patience)
        })?;
        let found = groups.groups().iter().filter(|found| found.name() == group);
        let members = found.flat_map(|found| found.members());
        Ok(members.map(|member| member.id().to_owned()).collect())
    }

    /// How many brokers the cluster has. Blocks until one answers.
    ///
    /// # Errors
    /// [`KafkaFault`] where no broker answers.
    pub fn brokers(&self) -> Result<usize, KafkaFault> {
        let topic = &self.settings.topic;
        let metadata = self.ask("name its brokers", |patience| {
            self.consumer.fetch_metadata(Some(topic), patience)
        })?;
        Ok(metadata.brokers().len())
    }

    /// The watermarks of these partitions. Blocks until a broker answers.
    ///
    /// # Errors
    /// [`KafkaFault`] where no broker answers.
    pub fn watermarks(&self, partitions: &[i32]) -> Result<BTreeMap<i32, Watermarks>, KafkaFault> {
        partitions
            .iter()
            .map(|partition| {
                let (low, high) = self.ask("tell a partition's offsets", |patience| {
                    self.consumer
                        .fetch_watermarks(&self.settings.topic, *partition, patience)
                })?;
                Ok((*partition, Watermarks { low, high }))
            })
            .collect()
    }

    /// The topic's id; none where the broker gives topics none. Blocks until a broker answers.
    ///
    /// # Errors
    /// [`KafkaFault`] where no broker answers or the topic is not there.
    pub fn topic_id(&self) -> Result<Option<TopicId>, KafkaFault> {
        let topic = &self.settings.topic;
        let there = self.ask("tell the topic's id", |patience| {
            // The leader of a partition knows of another topic before anybody reads that from it.
            let leader = Some(self.leader.load(Ordering::Relaxed)).filter(|leader| *leader >= 0);
            match topic_id::topic_id(self.consumer.client(), topic, leader, patience) {
                Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Ok(None),
                answer => {
                    if answer.is_err() {
                        self.leader.store(NO_LEADER, Ordering::Relaxed);
                    }
                    answer.map(Some)
                }
            }
        })?;
        there.ok_or_else(|| KafkaFault::NoTopic {
            brokers: self.settings.brokers.clone(),
            topic: topic.clone(),
        })
    }

    fn ask<T>(&self, what: &'static str, request: impl Fn(Duration) -> KafkaResult<T>) -> Result<T, KafkaFault> {
        let serve = |patience| drop(self.consumer.poll(patience));
        let (brokers, notes) = (&self.settings.brokers, &self.consumer.context().0);
        match self.until {
            None => ask(brokers, what, notes, serve, request),
            Some(until) => {
                // The client library takes a wait of nothing for one without end.
                let left = until.saturating_duration_since(Instant::now());
                let patience = left.clamp(Duration::from_millis(1), SHORT);
                ask_within([patience, Duration::ZERO], brokers, what, notes, serve, request)
            }
        }
    }

    /// When the first message at or behind each of these offsets was written; left out where there is none, or none
    /// came within some seconds.
    pub fn times(&self, from: &BTreeMap<i32, i64>) -> BTreeMap<i32, DateTime<Utc>> {
        let mut times = BTreeMap::new();
        if let Err(error) = self.try_times(from, &mut times) {
            tracing::debug!(%error, "the times of waiting messages were not found out");
        }
        times
    }

    fn try_times(&self, from: &BTreeMap<i32, i64>, times: &mut BTreeMap<i32, DateTime<Utc>>) -> KafkaResult<()> {
        let begun = Instant::now();
        let until = self.until.map_or(begun + SHORT, |until| until.min(begun + SHORT));
        let mut open = TopicPartitionList::new();
        for (partition, offset) in from {
            open.add_partition_offset(&self.settings.topic, *partition, Offset::Offset(*offset))?;
        }
        // Only a client with a group reads messages; this one neither joins the group nor commits to it.
        let reader: BaseConsumer<ProbeContext> = client_config(&self.settings)
            .set("group.id", "lakebed-probe")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("fetch.message.max.bytes", "4096")
            .set("queued.min.messages", "1")
            .create_with_context(ProbeContext::default())?;
        reader.assign(&open)?;
        let mut waiting = from.len();
        while waiting > 0 && Instant::now() < until {
            let partition = match reader.poll(Duration::from_millis(50)) {
                Some(Ok(message)) => {
                    let partition = message.partition();
                    let millis = message.timestamp().to_millis();
                    if let (false, Some(time)) = (
                        times.contains_key(&partition),
                        millis.and_then(DateTime::from_timestamp_millis),
                    ) {
                        times.insert(partition, time);
                    }
                    partition
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => partition,
                Some(Err(_)) | None => continue,
            };
            let mut done = TopicPartitionList::new();
            done.add_partition(&self.settings.topic, partition);
            if reader
                .assignment()?
                .find_partition(&self.settings.topic, partition)
                .is_some()
            {
                reader.incremental_unassign(&done)?;
                waiting -= 1;
            }
        }
        Ok(())
    }
}

#[derive(Clone, Default)]
struct ProbeContext(Arc<Notes>);

impl ClientContext for ProbeContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.hear(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.keep(&error, reason);
    }
}

impl ConsumerContext for ProbeContext {}
