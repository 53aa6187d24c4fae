//! Messages to the topic, each acknowledged by all in-sync replicas or counted as lost.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::ProduceError;
use crate::config::KafkaSettings;
use crate::kafka::{KafkaFault, Notes, ask, check, client_config};

/// How long a message may wait for its acknowledgement.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long brokers may take to make the topic, where they make topics by themselves.
const TOPIC_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// An open connection to one topic.
pub struct Delivery {
    producer: BaseProducer<Acknowledgements>,
    settings: KafkaSettings,
}

impl Delivery {
    /// Connects and makes sure that the topic is there. Blocks until a broker answers.
    ///
    /// # Errors
    /// [`ProduceError::Kafka`] where no broker answers or the topic is not there.
    pub fn open(settings: &KafkaSettings) -> Result<Delivery, ProduceError> {
        check(settings)?;
        let mut config = client_config(settings);
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "20")
            // Messages without a key are spread one by one: a fast feed would else fill one partition at a time.
            .set("sticky.partitioning.linger.ms", "0")
            .set("compression.type", "zstd")
            // The broker's limit decides, not the client's smaller default.
            .set("message.max.bytes", "1000000000")
            .set("queue.buffering.max.kbytes", "65536")
            .set("delivery.timeout.ms", DELIVERY_TIMEOUT.as_millis().to_string());
        let producer = config
            .create_with_context(Acknowledgements::default())
            .map_err(|error: KafkaError| KafkaFault::Settings(error.to_string()))?;
        let delivery = Delivery {
            producer,
            settings: settings.clone(),
        };
        delivery.await_topic()?;
        delivery.producer.context().sending.store(true, Ordering::Relaxed);
        Ok(delivery)
    }

    /// Hands a message over; waits while too many are on their way.
    ///
    /// # Errors
    /// [`ProduceError::Kafka`] where the client refuses the message for good.
    pub fn send(&self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), ProduceError> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.settings.topic);
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(value) = value {
            record = record.payload(value);
        }
        loop {
            record = match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record)) => record,
                Err((error, _)) => return Err(self.fault("take a message", &error).into()),
            };
            self.producer.poll(POLL);
        }
    }

    /// Serves acknowledgements until `until`.
    pub fn serve(&self, until: Instant) {
        while let Some(left) = until
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        {
            self.producer.poll(left);
        }
    }

    /// Messages that are acknowledged by now.
    pub fn delivered(&self) -> u64 {
        self.producer.context().delivered.load(Ordering::Relaxed)
    }

    /// Waits for all acknowledgements, or for those on their way to time out; the number delivered.
    ///
    /// # Errors
    /// [`ProduceError::Undelivered`] where messages were not acknowledged.
    pub fn finish(self) -> Result<u64, ProduceError> {
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(POLL);
        }
        let context = self.producer.context();
        let failed = context.failed.load(Ordering::Relaxed);
        let delivered = self.delivered();
        if failed == 0 {
            return Ok(delivered);
        }
        let noted = context.notes.take();
        let reason = context
            .reason
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .take();
        Err(ProduceError::Undelivered {
            failed,
            delivered,
            topic: self.settings.topic.clone(),
            reason: [reason, noted].into_iter().flatten().collect::<Vec<_>>().join(": "),
        })
    }

    /// Whether a message was given up already.
    pub fn has_failed(&self) -> bool {
        self.producer.context().failed.load(Ordering::Relaxed) > 0
    }

    fn await_topic(&self) -> Result<(), ProduceError> {
        let begun = Instant::now();
        loop {
            let metadata = ask(
                &self.settings.brokers,
                "name the topic's partitions",
                &self.producer.context().notes,
                |patience| self.producer.poll(patience),
                |patience| {
                    let client = self.producer.client();
                    client.fetch_metadata(Some(&self.settings.topic), patience)
                },
            )?;
            if metadata.topics().iter().any(|topic| !topic.partitions().is_empty()) {
                return Ok(());
            }
            let missing = metadata.topics().iter().all(|topic| {
                topic
                    .error()
                    .is_some_and(|error| RDKafkaErrorCode::from(error) == RDKafkaErrorCode::UnknownTopicOrPartition)
            });
            if missing || begun.elapsed() > TOPIC_TIMEOUT {
                return Err(KafkaFault::NoTopic {
                    brokers: self.settings.brokers.clone(),
                    topic: self.settings.topic.clone(),
                }
                .into());
            }
            self.producer.poll(POLL);
        }
    }

    fn fault(&self, what: &'static str, error: &KafkaError) -> KafkaFault {
        self.producer.poll(Duration::ZERO);
        KafkaFault::of(
            &self.settings.brokers,
            what,
            error,
            self.producer.context().notes.take(),
        )
    }
}

/// Counts what brokers acknowledge and what they do not.
#[derive(Default)]
struct Acknowledgements {
    delivered: AtomicU64,
    failed: AtomicU64,
    reason: Mutex<Option<String>>,
    sending: AtomicBool,
    said: AtomicBool,
    notes: Notes,
}

impl ClientContext for Acknowledgements {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.notes.hear(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if self.sending.load(Ordering::Relaxed) && !self.said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                reason,
                "Kafka has trouble; messages wait for up to {} s",
                DELIVERY_TIMEOUT.as_secs()
            );
        }
        self.notes.keep(&error, reason);
    }
}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                let mut reason = self.reason.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                reason.get_or_insert_with(|| error.to_string());
            }
        }
    }
}
