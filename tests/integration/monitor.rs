//! Metrics and health of `lakebed archive`.

use std::io::{Read, Write};

use serde_json::Value;

use crate::support::http::{self, connect, get, request};
use crate::support::kafka::{Topic, event};
use crate::support::lake::{bucket_lake, committed_rows, eventually, held};
use crate::support::metrics::{Scrape, port, scrape};
use crate::support::program::{Running, archive, ended, hides_secrets, refuses, signal, start};
use crate::support::toxiproxy::Proxy;

/// The status code and the JSON of /healthz.
fn health(address: &str) -> (u16, Value) {
    let answer = get(address, "/healthz");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    hides_secrets(&answer.body);
    let verdict: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(verdict["healthy"], answer.status == 200, "{verdict}");
    assert!(
        verdict["reason"].as_str().is_some_and(|reason| !reason.is_empty()),
        "{verdict}"
    );
    (answer.status, verdict)
}

#[tokio::test]
async fn metrics_add_up_to_what_is_archived() {
    let topic = Topic::new(2).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    let log = lake.path().join("log");
    let mut archiver = start(
        archive(&topic.name, path)
            .env("METRICS_LISTEN", "0")
            .env("TIMEOUT_SEC", "3600"),
        &log,
    );
    let address = port(&log);
    assert!(
        address.starts_with("127.0.0.1:"),
        "a bare port is this machine's alone: {address}"
    );

    let odd = [
        Some("no JSON".to_owned()),
        Some("[1]".to_owned()),
        Some("{}".to_owned()),
        None,
    ];
    let messages: Vec<Option<String>> = (0..900)
        .map(event)
        .chain(odd.iter().cycle().take(100).cloned())
        .collect();
    let bytes: usize = messages.iter().flatten().map(String::len).sum::<usize>() + messages.len() * "key-0".len();
    topic.send(messages);
    let mut found = scrape(&address);
    eventually("the lag falls to nothing", || {
        found = scrape(&address);
        found.value("lakebed_rows_archived_total") > 899.0 && found.values("lakebed_lag_messages") == [0.0, 0.0]
    });
    assert!(
        get(&address, "/metrics")
            .body
            .contains(&format!("topic=\"{}\"", topic.name))
    );

    let held = held(lake.path());
    assert_eq!(found.value("lakebed_rows_archived_total"), held.rows.len() as f64);
    assert_eq!(
        found.values("lakebed_messages_quarantined_total").iter().sum::<f64>(),
        held.quarantined.len() as f64
    );
    for (sample, expected) in [
        ("lakebed_messages_consumed_total", 1000.0),
        ("lakebed_consumed_bytes_total", bytes as f64),
        ("lakebed_rows_archived_total", 900.0),
        (r#"lakebed_messages_quarantined_total{reason="not_json"}"#, 25.0),
        (r#"lakebed_messages_quarantined_total{reason="not_an_object"}"#, 25.0),
        (
            r#"lakebed_messages_quarantined_total{reason="timestamp_missing"}"#,
            25.0,
        ),
        (r#"lakebed_messages_quarantined_total{reason="unknown"}"#, 0.0),
        ("lakebed_tombstones_total", 25.0),
        (r#"lakebed_flushes_total{cause="size"}"#, 2.0),
        (r#"lakebed_flushes_total{cause="time"}"#, 0.0),
        (r#"lakebed_flushes_total{cause="stop"}"#, 0.0),
        ("lakebed_assigned_partitions", 2.0),
        ("lakebed_halted_partitions", 0.0),
        ("lakebed_buffered_bytes", 0.0),
        ("lakebed_memory_budget_bytes", 268_435_456.0),
        ("lakebed_superseded_total", 0.0),
        (r#"lakebed_outage{peer="kafka"}"#, 0.0),
        (r#"lakebed_outage{peer="store"}"#, 0.0),
        (
            &format!(r#"lakebed_build_info{{version="{}"}}"#, env!("CARGO_PKG_VERSION")),
            1.0,
        ),
    ] {
        assert_eq!(found.value(sample), expected, "{sample}");
    }
    assert!(found.value(r#"lakebed_rebalances_total{kind="assigned"}"#) >= 1.0);
    assert!(found.value("process_resident_memory_bytes") > 1e6);
    for name in ["lakebed_commit_duration_seconds", "lakebed_put_duration_seconds"] {
        assert_histogram(&found, name);
    }
    let (status, verdict) = health(&address);
    assert_eq!((status, &verdict["status"]), (200, &Value::from("idle")), "{verdict}");
    assert_documented(&found);

    ends_although_clients_hang_on(&address, &mut archiver);
}

/// Buckets grow up to the count, which is not nothing.
fn assert_histogram(found: &Scrape, name: &str) {
    let buckets = found.buckets(name);
    assert!(buckets.is_sorted_by_key(|(_, count)| *count), "{name}: {buckets:?}");
    let (bound, all) = *buckets.last().expect("buckets");
    assert_eq!(
        (bound, all),
        (f64::INFINITY, found.value(&format!("{name}_count"))),
        "{name}"
    );
    assert!(all >= 1.0 && found.value(&format!("{name}_sum")) > 0.0, "{name}");
}

/// Each name that is served stands in the document with its type.
fn assert_documented(found: &Scrape) {
    let document = include_str!("../../docs/metrics.md");
    for (name, kind) in &found.types {
        assert!(
            document.contains(&format!("| `{name}` | {kind} |")),
            "{name}, a {kind}, is not documented"
        );
    }
}

/// SIGTERM ends the archiver although one client keeps its connection open and another has sent half a request.
fn ends_although_clients_hang_on(address: &str, archiver: &mut Running) {
    let mut idle = connect(address);
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("a request can be sent");
    let mut first = [0; 12];
    idle.read_exact(&mut first).expect("an answer comes");
    assert_eq!(&first, b"HTTP/1.1 200");
    let mut half = connect(address);
    half.write_all(b"GET /metrics HTTP/1.1\r\nHost:")
        .expect("half a request can be sent");
    signal(archiver, "TERM");
    assert_eq!(ended(archiver), Some(0));
    drop((idle, half));
}

#[tokio::test]
async fn health_tells_that_the_store_is_away_and_that_it_is_back() {
    let topic = Topic::new(1).await;
    let store = Proxy::of_store().await;
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let mut command = archive(&topic.name, &bucket_lake());
    command
        .env("AWS_ENDPOINT_URL", format!("http://{}", store.address))
        .env("METRICS_LISTEN", "127.0.0.1:0")
        .env("UNHEALTHY_AFTER_SEC", "3");
    let mut archiver = start(&mut command, &log);
    let address = port(&log);
    topic.send((0..100).map(event));
    eventually("all is archived", || {
        scrape(&address).value("lakebed_rows_archived_total") > 99.0
    });
    eventually("nothing waits", || health(&address).1["status"] == "idle");
    assert!(scrape(&address).value(r#"lakebed_flushes_total{cause="time"}"#) >= 1.0);

    store.cut().await;
    topic.send((100..200).map(event));
    eventually("messages that wait are unhealthy", || health(&address).0 == 503);
    let (_, verdict) = health(&address);
    assert_eq!(verdict["status"], "stalled", "{verdict}");
    assert!(
        verdict["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("messages wait")),
        "{verdict}"
    );
    eventually("the store's outage shows", || {
        scrape(&address).value(r#"lakebed_outage{peer="store"}"#) > 0.0
    });
    let found = scrape(&address);
    assert!(found.value(r#"lakebed_outage_start_timestamp_seconds{peer="store"}"#) > 1.7e9);
    assert!(found.value(r#"lakebed_errors_total{peer="store"}"#) >= 1.0);
    let (_, verdict) = health(&address);
    assert!(
        verdict["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("the lake's store has been away")),
        "{verdict}"
    );

    store.heal().await;
    eventually("what waited is archived", || {
        scrape(&address).value("lakebed_rows_archived_total") > 199.0
    });
    eventually("it is healthy again", || health(&address).0 == 200);
    assert_eq!(scrape(&address).value(r#"lakebed_outage{peer="store"}"#), 0.0);
    signal(&archiver, "TERM");
    assert_eq!(ended(&mut archiver), Some(0));
    store.remove().await;
}

#[tokio::test]
async fn health_tells_that_kafka_is_away_and_that_it_is_back_though_no_message_comes() {
    let topic = Topic::new(1).await;
    let kafka = Proxy::of_kafka().await;
    let lake = tempfile::tempdir().expect("a folder");
    let log = lake.path().join("log");
    let mut command = archive(&topic.name, lake.path().to_str().expect("UTF-8"));
    command
        .env("KAFKA_BROKERS", &kafka.address)
        .env("METRICS_LISTEN", "0")
        .env("UNHEALTHY_AFTER_SEC", "3");
    let mut archiver = start(&mut command, &log);
    let address = port(&log);
    topic.send((0..10).map(event));
    eventually("all is archived, and nothing waits", || {
        scrape(&address).value("lakebed_rows_archived_total") > 9.0 && health(&address).1["status"] == "idle"
    });
    kafka.cut().await;
    eventually("an outage of Kafka is unhealthy, and named", || {
        let (status, verdict) = health(&address);
        status == 503
            && verdict["reason"]
                .as_str()
                .is_some_and(|reason| reason.contains("Kafka has been away"))
    });
    assert_eq!(scrape(&address).value(r#"lakebed_outage{peer="kafka"}"#), 1.0);
    kafka.heal().await;
    eventually("it is healthy again", || health(&address).1["status"] == "idle");
    assert_eq!(scrape(&address).value(r#"lakebed_outage{peer="kafka"}"#), 0.0);
    signal(&archiver, "TERM");
    assert_eq!(ended(&mut archiver), Some(0));
    kafka.remove().await;
}

#[tokio::test]
async fn requests_have_limits_and_other_paths_are_not_there() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let log = lake.path().join("log");
    let mut command = archive(&topic.name, lake.path().to_str().expect("UTF-8"));
    let mut archiver = start(command.args(["--metrics-listen", "127.0.0.1:0"]), &log);
    let address = port(&log);
    assert_eq!(get(&address, "/").status, 404);
    assert_eq!(get(&address, "/metrics/../secret").status, 404);
    assert_eq!(request(&address, "POST", "/metrics", "{}").status, 405);
    assert_eq!(get(&address, "/healthz?verbose=1").status, 200);
    let long = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(http::send(&address, &long).status, 431);
    let mut slow = connect(&address);
    slow.write_all(b"GET /metrics HTTP/1.1\r\nX:")
        .expect("half a request can be sent");
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest)
        .expect("the server closes a connection that sends nothing");
    signal(&archiver, "TERM");
    assert_eq!(ended(&mut archiver), Some(0));
}

#[tokio::test]
async fn a_port_that_is_taken_is_refused_before_any_work() {
    let topic = Topic::new(1).await;
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().join("lake");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let path = lake.to_str().expect("UTF-8");
    refuses(
        archive(&topic.name, path).env("METRICS_LISTEN", &address),
        2,
        &[&address, "METRICS_LISTEN"],
    );
    assert!(!lake.exists() && committed_rows(&lake, "raw_events") == 0);
}
