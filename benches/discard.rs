//! The limit that the archiver is measured against: a consumer that reads the topic to its end and throws every message
//! away. Takes the brokers, the topic and the number of messages.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, brokers, topic, messages] = arguments.as_slice() else {
        eprintln!("usage: discard BROKERS TOPIC MESSAGES");
        return;
    };
    let messages: u64 = messages.parse().expect("a number of messages");
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", format!("discard-{}", std::process::id()))
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", "10")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[topic]).expect("a subscription");
    let (mut read, mut bytes) = (0, 0);
    while read < messages {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            bytes += message.expect("a message").payload_len();
            read += 1;
        }
    }
    println!("{read} messages, {bytes} bytes");
}
