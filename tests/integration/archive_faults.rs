//! `lakebed archive` when processes die.

use std::path::Path;

use lakebed::demo::random::Random;

use crate::support::kafka::{Topic, event};
use crate::support::lake::{bucket_lake, committed_rows, eventually, held, places};
use crate::support::metrics::{port, scrape};
use crate::support::program::{Running, archive, ended, lakebed, run, signal, start, terminate};
use crate::support::toxiproxy::{Proxy, Stream, Toxic};
use crate::support::unique;

#[tokio::test]
async fn killed_five_times_at_random_every_message_is_there_once() {
    let topic = Topic::new(4).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    let log = lake.path().join("log");
    let group = unique("group");
    let mut draw = Random::new(20_260_115);
    let messages = 40_000;
    let broken = |number: u64| {
        if number.is_multiple_of(101) {
            Some(format!("broken {number}"))
        } else {
            event(number)
        }
    };
    topic.send((0..messages).map(broken));
    let mut goal = 0;
    for _ in 0..5 {
        let mut command = archive(&topic.name, path);
        command.env("KAFKA_GROUP", &group).env("BATCH_SIZE", "200");
        let mut killed = start(&mut command, &log);
        goal += 1 + draw.below(5000);
        eventually("some more messages are archived", || {
            committed_rows(lake.path(), "raw_events") >= goal.min(messages * 9 / 10)
        });
        signal(&killed, "KILL");
        assert_eq!(ended(&mut killed), None);
    }
    run(archive(&topic.name, path).env("KAFKA_GROUP", &group).arg("--until-end"));
    let held = held(lake.path());
    let all = held.rows.union(&held.quarantined).copied().collect();
    assert_eq!(places(4, usize::try_from(messages).expect("a count")), all);
    assert_eq!(held.quarantined.len(), 397);
    let proof = run(lakebed(&["verify", "--deep"]).env("DATA_LAKE_PATH", path));
    assert!(proof.contains("Nothing is lost and nothing is doubled"), "{proof}");
}

#[tokio::test]
async fn told_to_stop_while_the_store_is_slow_to_answer_its_first_request_it_stops_in_good_order() {
    let topic = Topic::new(1).await;
    let store = Proxy::of_store().await;
    let late = Toxic::Latency { ms: 1500, jitter: 0 };
    store.disturb(late, Stream::Answers, 100).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = archive(&topic.name, &bucket_lake());
    command.env("AWS_ENDPOINT_URL", format!("http://{}", store.address));
    let mut waits = start(&mut command, &folder.path().join("log"));
    terminate(&waits);
    assert_eq!(ended(&mut waits), Some(0));
    store.remove().await;
}

/// Starts an archiver that reaches Kafka through a proxy and has archived 400 messages when this returns.
async fn away_from_kafka(lake: &Path) -> (Topic, Proxy, Running) {
    let (topic, kafka) = (Topic::new(4).await, Proxy::of_kafka().await);
    topic.send((0..400).map(event));
    let mut command = archive(&topic.name, lake.to_str().expect("UTF-8"));
    command
        .env("KAFKA_BROKERS", &kafka.address)
        .env("BATCH_SIZE", "400")
        .env("TIMEOUT_SEC", "3600")
        .env("METRICS_LISTEN", "0");
    let archiver = start(&mut command, &lake.join("log"));
    eventually("the first messages are archived", || {
        committed_rows(lake, "raw_events") == 400
    });
    (topic, kafka, archiver)
}

/// Another archiver, which reaches Kafka, goes on: the lake then has this many messages, each once.
async fn another_archives(topic: &Topic, kafka: Proxy, lake: &Path, messages: usize) {
    kafka.remove().await;
    run(archive(&topic.name, lake.to_str().expect("UTF-8")).arg("--until-end"));
    assert_eq!(held(lake).rows, places(4, messages));
}

#[tokio::test]
async fn told_to_stop_while_kafka_is_away_it_stops_once_the_lake_has_all_that_was_read() {
    let lake = tempfile::tempdir().expect("a folder");
    let (topic, kafka, mut archiver) = away_from_kafka(lake.path()).await;
    kafka.cut().await;
    signal(&archiver, "TERM");
    assert_eq!(ended(&mut archiver), Some(0));
    another_archives(&topic, kafka, lake.path(), 400).await;
}

#[tokio::test]
async fn told_to_stop_while_kafka_is_away_it_says_what_it_leaves_there() {
    let lake = tempfile::tempdir().expect("a folder");
    let (topic, kafka, mut archiver) = away_from_kafka(lake.path()).await;
    topic.send((400..600).map(event));
    let metrics = port(&lake.path().join("log"));
    eventually("the next messages are read", || {
        scrape(&metrics).value("lakebed_messages_consumed_total") >= 600.0
    });
    let log = || std::fs::read_to_string(lake.path().join("log")).unwrap_or_default();
    kafka.cut().await;
    signal(&archiver, "TERM");
    assert_eq!(ended(&mut archiver), Some(1));
    assert!(log().contains("200 messages read and not archived"), "{}", log());
    another_archives(&topic, kafka, lake.path(), 600).await;
}

#[tokio::test]
async fn a_member_that_slept_through_its_session_does_not_double_what_another_archived() {
    let topic = Topic::new(2).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    let log = lake.path().join("log");
    let group = unique("group");
    let member = |log: &std::path::Path| {
        let mut command = archive(&topic.name, path);
        command
            .env("KAFKA_GROUP", &group)
            .env("BATCH_SIZE", "100000")
            .env("TIMEOUT_SEC", "3");
        start(&mut command, log)
    };
    topic.send((0..4000).map(event));
    let mut sleeper = member(&log);
    eventually("the first member reads", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains("reading partitions"))
    });
    signal(&sleeper, "STOP");
    let mut other = member(&lake.path().join("log2"));
    eventually("the second member archives all", || {
        committed_rows(lake.path(), "raw_events") == 4000
    });
    signal(&sleeper, "CONT");
    topic.send((4000..5000).map(event));
    eventually("the rest is archived", || {
        committed_rows(lake.path(), "raw_events") >= 5000
    });
    for child in [&mut sleeper, &mut other] {
        signal(child, "TERM");
        assert_eq!(ended(child), Some(0));
    }
    assert_eq!(held(lake.path()).rows, places(2, 5000));
}
