//! `lakebed archive` on topics of every kind: transactions, compaction, large messages, partitions that are added.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::json;

use crate::support::kafka::{Topic, event};
use crate::support::lake::{committed_rows, eventually, held, places};
use crate::support::program::{archive, ended, json, lakebed, run, signal, start, verify};
use crate::support::{service, unique};

#[tokio::test]
async fn partitions_that_are_added_under_a_running_archiver_are_read_from_their_beginning() {
    let mut topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    topic.send((0..10).map(event));
    let mut archiver = start(
        archive(&topic.name, path).env("AUTO_OFFSET_RESET", "latest"),
        &lake.path().join("log"),
    );
    eventually("the archiver reads", || {
        std::fs::read_to_string(lake.path().join("log")).is_ok_and(|log| log.contains("reading partitions"))
    });
    topic.grow(3).await;
    topic.send((0..30).map(event));
    eventually("all partitions are archived", || {
        committed_rows(lake.path(), "raw_events") == 30
    });
    signal(&archiver, "TERM");
    assert_eq!(ended(&mut archiver), Some(0));
    let mut expected = places(3, 30);
    expected.retain(|(partition, _)| *partition > 0);
    expected.extend((10..20).map(|offset| (0, offset)));
    assert_eq!(held(lake.path()).rows, expected);
    assert_eq!(verify(lake.path(), true), (json!([]), Some(0)));
}

#[tokio::test]
async fn of_transactions_only_what_was_committed_is_archived() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    let producer = transactional();
    transaction(&producer, &topic, 0..10);
    producer.commit_transaction(Duration::from_secs(30)).expect("committed");
    transaction(&producer, &topic, 100..105);
    producer.abort_transaction(Duration::from_secs(30)).expect("aborted");
    transaction(&producer, &topic, 10..13);
    producer.commit_transaction(Duration::from_secs(30)).expect("committed");
    transaction(&producer, &topic, 105..107);
    producer.abort_transaction(Duration::from_secs(30)).expect("aborted");
    // An open one hides what comes behind its first message: the end is before that.
    transaction(&producer, &topic, 13..17);
    let archived = || json(archive(&topic.name, path).args(["--until-end", "--format", "json"]))["rows"].clone();
    assert_eq!(archived(), json!(13));
    assert_eq!(verify(lake.path(), true), (json!([]), Some(0)));
    producer.commit_transaction(Duration::from_secs(30)).expect("committed");
    assert_eq!(archived(), json!(4));
    assert_eq!(archived(), json!(0));
    // 10 and a control record, 5 and one, 3 and one, 2 and one, 4 and one.
    let offsets = (0..10).chain(17..20).chain(24..28).map(|offset| (0, offset));
    assert_eq!(held(lake.path()).rows, offsets.collect());
    assert_eq!(verify(lake.path(), true), (json!([]), Some(0)));
}

#[tokio::test]
async fn the_holes_of_a_compacted_topic_are_covered() {
    let compacted = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "50"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "50"),
    ];
    let topic = Topic::with_config(1, &compacted).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    // All have one key. Each call is a segment of its own, the last of which is never compacted.
    for number in 0..20 {
        topic.send([event(2 * number), event(2 * number + 1)]);
    }
    let mut left = Vec::new();
    eventually("Kafka has compacted the topic", || {
        left = visible(&topic);
        left.len() < 40
    });
    let report = json(archive(&topic.name, path).args(["--until-end", "--format", "json"]));
    assert!(
        report["rows"].as_u64().is_some_and(|rows| (1..40).contains(&rows)),
        "{report}"
    );
    assert_eq!(held(lake.path()).rows.last(), Some(&(0, 39)));
    assert_eq!(verify(lake.path(), true), (json!([]), Some(0)));
}

#[tokio::test]
async fn messages_of_ten_megabytes_are_archived_whatever_the_budget() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    let large = |letter: &str| {
        let title = letter.repeat(10 << 20);
        Some(format!(r#"{{"timestamp": 1767225600, "title": "{title}"}}"#))
    };
    topic.send([event(0), large("a"), large("b"), event(1), large("c"), event(2)]);
    run(archive(&topic.name, path)
        .env("MEMORY_BUDGET_MB", "128")
        .arg("--until-end"));
    assert_eq!(held(lake.path()).rows, places(1, 6));
    let mut query = lakebed(&[
        "query",
        "SELECT sum(length(title)) AS n FROM raw_events",
        "--format",
        "json",
    ]);
    assert_eq!(
        json(query.env("DATA_LAKE_PATH", path)),
        json!([{"n": 3 * (10 << 20) + 18}])
    );
    assert_eq!(verify(lake.path(), true), (json!([]), Some(0)));
}

#[tokio::test]
async fn offsets_of_the_group_that_an_operator_resets_have_no_effect() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    let group = unique("group");
    let archived = || {
        let mut command = archive(&topic.name, path);
        command
            .env("KAFKA_GROUP", &group)
            .args(["--until-end", "--format", "json"]);
        json(&mut command)["rows"].clone()
    };
    topic.send((0..20).map(event));
    assert_eq!(archived(), json!(20));
    for offset in [0, 5000] {
        topic.send((0..5).map(event));
        let mut reset = TopicPartitionList::new();
        reset
            .add_partition_offset(&topic.name, 0, Offset::Offset(offset))
            .expect("an offset");
        let operator: BaseConsumer = client().set("group.id", &group).create().expect("a consumer");
        operator
            .commit(&reset, CommitMode::Sync)
            .expect("the group has no member");
        assert_eq!(archived(), json!(5));
    }
    assert_eq!(held(lake.path()).rows, places(1, 30));
}

fn client() -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", service("KAFKA_BROKERS"));
    client
}

fn transactional() -> BaseProducer {
    let producer: BaseProducer = client()
        .set("transactional.id", unique("transactions"))
        .create()
        .expect("a producer");
    producer
        .init_transactions(Duration::from_secs(30))
        .expect("the broker knows transactions");
    producer
}

/// Begins a transaction and sends events in it.
fn transaction(producer: &BaseProducer, topic: &Topic, numbers: std::ops::Range<u64>) {
    producer.begin_transaction().expect("none is open");
    for value in numbers.filter_map(event) {
        let record: BaseRecord<'_, (), String> = BaseRecord::to(&topic.name).partition(0).payload(&value);
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("there is room");
    }
    producer.flush(Duration::from_secs(30)).expect("all are acknowledged");
}

/// The offsets of the messages that a partition still holds.
fn visible(topic: &Topic) -> Vec<i64> {
    use rdkafka::message::Message;

    let consumer: BaseConsumer = client()
        .set("group.id", unique("group"))
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(&topic.name, 0, Offset::Beginning)
        .expect("an offset");
    consumer.assign(&all).expect("the partition is there");
    let mut offsets = Vec::new();
    loop {
        match consumer.poll(Duration::from_secs(10)) {
            Some(Ok(message)) => offsets.push(message.offset()),
            Some(Err(KafkaError::PartitionEOF(_))) => return offsets,
            other => panic!("no message and no end: {other:?}"),
        }
    }
}
