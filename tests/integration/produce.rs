//! `lakebed produce` from files, standard input and the web.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread::JoinHandle;

use serde_json::json;

use crate::support::kafka::{Topic, event};
use crate::support::lake::{committed_rows, eventually};
use crate::support::program::{archive, ended, json, lakebed, run, signal, start};
use crate::support::{python, service};

const RECENT_CHANGES: &str = concat!(
    r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{"domain":"en.wikipedia.org","stream":"mediawiki.recentchange"},"id":1,"type":"new","namespace":0,"title":"A","comment":"c","timestamp":1767225600,"user":"Ada","bot":false,"minor":true,"length":{"new":120},"revision":{"new":9},"server_name":"en.wikipedia.org","wiki":"enwiki"}"#,
    "\n",
    r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{"domain":"canary","stream":"mediawiki.recentchange"},"id":2,"type":"edit","timestamp":1767225600,"server_name":"canary","wiki":"x"}"#,
    "\n",
    r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{"domain":"www.wikidata.org","stream":"mediawiki.recentchange"},"id":3,"type":"edit","title":"Q1","timestamp":1767225601,"user":"Bot","bot":true,"length":{"old":10,"new":4},"revision":{"old":7,"new":8},"server_name":"www.wikidata.org","wiki":"wikidatawiki"}"#,
    "\n"
);

#[tokio::test]
async fn recent_changes_from_standard_input_are_mapped_and_canaries_left_out() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    let mut produce = produce(&topic, "-");
    let mut child = produce.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
    child.stdin.take().expect("stdin").write_all(RECENT_CHANGES.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report, json!({"lines": 3, "delivered": 2, "canaries": 1}));
    run(archive(&topic.name, path).arg("--until-end"));
    let columns = ["bytes_changed", "is_bot", "is_new_page", "language", "project", "revision_old", "wiki", "_rescued"];
    let found = python::run("columns.py", &[&[path], columns.as_slice()].concat());
    assert_eq!(
        found,
        json!([
            [120, false, true, "en", "wikipedia", null, "enwiki", null],
            [-6, true, false, null, "wikidata", 7, "wikidatawiki", null],
        ])
    );
}

#[tokio::test]
async fn a_file_on_a_web_server_is_fed_like_a_local_one() {
    let topic = Topic::new(1).await;
    let (url, server) = answer_once("application/gzip", {
        let lines: String = (0..500).filter_map(event).map(|line| line + "\n").collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(lines.as_bytes()).expect("memory");
        gzip.finish().expect("memory")
    });
    assert_eq!(json(&mut produce(&topic, &url)), json!({"lines": 500, "delivered": 500, "canaries": 0}));
    server.join().expect("the server ends");
}

#[tokio::test]
async fn a_live_stream_is_followed_until_sigterm() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    let events: String = RECENT_CHANGES.lines().map(|line| format!("event: message\nid: [1]\ndata: {line}\n\n")).collect();
    let (url, server) = answer_once("text/event-stream", events.into_bytes());
    let mut following = start(&mut produce(&topic, &url), &lake.path().join("log"));
    let mut archiving = start(&mut archive(&topic.name, path), &lake.path().join("log2"));
    eventually("both events are archived", || committed_rows(lake.path(), "raw_events") == 2);
    for child in [&mut following, &mut archiving] {
        signal(child, "TERM");
        assert_eq!(ended(child), Some(0));
    }
    server.join().expect("the server ends");
}

#[tokio::test]
async fn a_rate_is_kept() {
    let topic = Topic::new(1).await;
    let lines = tempfile::NamedTempFile::new().expect("a file");
    let text: String = (0..30).filter_map(event).map(|line| line + "\n").collect();
    std::fs::write(lines.path(), text).expect("a file");
    let begun = std::time::Instant::now();
    run(produce(&topic, lines.path().to_str().expect("UTF-8")).args(["--rate", "20"]));
    // The promise is an upper bound on the rate, so only too fast is wrong.
    assert!(begun.elapsed().as_secs_f64() > 1.4, "{:?}", begun.elapsed());
}

fn produce(topic: &Topic, input: &str) -> std::process::Command {
    let mut command = lakebed(&["produce", input, "--format", "json"]);
    command.env("KAFKA_BROKERS", service("KAFKA_BROKERS")).env("KAFKA_TOPIC", &topic.name);
    command
}

/// A web server that answers its first request with this body and then is gone.
fn answer_once(kind: &'static str, body: Vec<u8>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/events", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a request");
        let mut request = [0; 4096];
        let _ = connection.read(&mut request).expect("a request");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        connection.write_all(head.as_bytes()).expect("somebody reads");
        connection.write_all(&body).expect("somebody reads");
    });
    (url, server)
}
