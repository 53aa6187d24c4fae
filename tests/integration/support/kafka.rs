//! Topics and messages on the real broker.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{service, unique};

/// A topic of a test's own.
pub struct Topic {
    pub name: String,
    pub partitions: i32,
}

impl Topic {
    /// Makes a topic.
    pub async fn new(partitions: i32) -> Topic {
        Topic::with_config(partitions, &[]).await
    }

    /// Makes a topic with settings of its own.
    pub async fn with_config(partitions: i32, config: &[(&str, &str)]) -> Topic {
        let name = unique("topic");
        let new = config.iter().fold(
            NewTopic::new(&name, partitions, TopicReplication::Fixed(1)),
            |new, (key, value)| new.set(key, value),
        );
        let results = admin()
            .create_topics([&new], &AdminOptions::new())
            .await
            .expect("topics can be made");
        results
            .into_iter()
            .for_each(|result| drop(result.expect("the topic is made")));
        Topic { name, partitions }
    }

    /// Deletes the topic and makes another of the same name.
    pub async fn make_anew(&self) {
        let deleted = admin()
            .delete_topics(&[&self.name], &AdminOptions::new())
            .await
            .expect("topics can be deleted");
        deleted
            .into_iter()
            .for_each(|result| drop(result.expect("the topic is deleted")));
        let new = NewTopic::new(&self.name, self.partitions, TopicReplication::Fixed(1));
        // The broker forgets a topic a moment after it has said so.
        for _ in 0..100 {
            let made = admin()
                .create_topics([&new], &AdminOptions::new())
                .await
                .expect("topics can be made");
            if made.into_iter().all(|result| result.is_ok()) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{} was not made anew", self.name);
    }

    /// Has Kafka drop a partition's messages before an offset, as retention does.
    pub async fn drop_before(&self, partition: i32, offset: i64) {
        let mut before = TopicPartitionList::new();
        before
            .add_partition_offset(&self.name, partition, Offset::Offset(offset))
            .expect("an offset");
        let dropped = admin()
            .delete_records(&before, &AdminOptions::new())
            .await
            .expect("messages can be dropped");
        for element in dropped.elements() {
            element.error().expect("the messages are dropped");
        }
    }

    /// Adds partitions.
    pub async fn grow(&mut self, partitions: i32) {
        let count = usize::try_from(partitions).expect("a count");
        let results = admin()
            .create_partitions([&NewPartitions::new(&self.name, count)], &AdminOptions::new())
            .await
            .expect("partitions can be made");
        results
            .into_iter()
            .for_each(|result| drop(result.expect("the partitions are made")));
        self.partitions = partitions;
    }

    /// Writes values round-robin over the partitions; none is a tombstone. Returns when all are acknowledged.
    pub fn send<V: AsRef<[u8]>>(&self, values: impl IntoIterator<Item = Option<V>>) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", service("KAFKA_BROKERS"))
            .set("linger.ms", "5")
            .set("message.max.bytes", "12000000")
            .create()
            .expect("a producer");
        for (partition, value) in (0..self.partitions).cycle().zip(values) {
            let key = format!("key-{partition}");
            loop {
                let mut record = BaseRecord::to(&self.name).partition(partition).key(&key);
                if let Some(value) = &value {
                    record = record.payload(value.as_ref());
                }
                match producer.send(record) {
                    Ok(()) => break,
                    Err(_) => producer.poll(Duration::from_millis(20)),
                }
            }
        }
        producer
            .flush(Duration::from_secs(60))
            .expect("all messages are acknowledged");
    }
}

/// An event as producers write it, with a number that tells it from all others.
pub fn event(number: u64) -> Option<String> {
    let timestamp = 1_767_225_600 + number % 86_400;
    Some(format!(
        r#"{{"timestamp": {timestamp}, "user": "user-{}", "title": "Page {number}", "server_name": "en.wikipedia.org", "type": "edit", "bytes_changed": {}, "is_bot": {}, "is_new_page": false, "language": "en", "project": "wikipedia", "number": {number}}}"#,
        number % 97,
        number % 1000,
        number.is_multiple_of(3),
    ))
}

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", service("KAFKA_BROKERS"))
        .create()
        .expect("an admin client")
}
