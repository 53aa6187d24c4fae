//! Questions about a topic, asked on a connection of their own.
//!
//! They must not be asked on the consuming client: there each waits behind the fetch that is under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};

use super::{KafkaFault, Notes, ask, check, client_config};
use crate::config::KafkaSettings;

/// The oldest offset that Kafka still has of a partition, and the one behind its newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// The offset of the oldest message.
    pub low: i64,
    /// One past the offset of the newest message.
    pub high: i64,
}

/// A connection for questions about one topic.
pub struct Probe {
    consumer: BaseConsumer<ProbeContext>,
    settings: KafkaSettings,
}

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
        })
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

    fn ask<T>(&self, what: &'static str, request: impl Fn(Duration) -> KafkaResult<T>) -> Result<T, KafkaFault> {
        let serve = |patience| drop(self.consumer.poll(patience));
        ask(&self.settings.brokers, what, &self.consumer.context().0, serve, request)
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
