//! A broker within this process, for the demo: real enough for producers, groups and offsets, and gone with it.

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// A running broker.
pub struct Broker(MockCluster<'static, DefaultProducerContext>);

impl Broker {
    /// Starts a broker with one topic.
    ///
    /// # Errors
    /// The client library's, where it cannot listen on a loopback port.
    pub fn start(topic: &str, partitions: i32) -> Result<Broker, KafkaError> {
        let cluster = MockCluster::new(1)?;
        cluster.create_topic(topic, partitions, 1)?;
        Ok(Broker(cluster))
    }

    /// Where it listens, as `KAFKA_BROKERS` takes it.
    pub fn address(&self) -> String {
        self.0.bootstrap_servers()
    }
}
