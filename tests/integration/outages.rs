//! `lakebed archive` while the lake's store is away, hangs, or both it and the group are in trouble.

use std::path::Path;
use std::process::Command;

use crate::support::kafka::{Topic, event};
use crate::support::lake::{bucket_lake, eventually};
use crate::support::program::{Running, archive, ended, json, lakebed, process_id, run, signal, start, with_store};
use crate::support::toxiproxy::{Proxy, Stream, Toxic};
use crate::support::{python, unique};

const AWAY: &str = "the lake's store is away";
const BACK: &str = "the lake's store answers again";

/// A topic, and a lake on the S3 server that the archiver reaches through a proxy.
struct Place {
    topic: Topic,
    lake: String,
    proxy: Proxy,
    folder: tempfile::TempDir,
}

impl Place {
    async fn new(config: &[(&str, &str)]) -> Place {
        Place {
            topic: Topic::with_config(4, config).await,
            lake: bucket_lake(),
            proxy: Proxy::of_store().await,
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn archive(&self) -> Command {
        let mut command = archive(&self.topic.name, &self.lake);
        command.env("AWS_ENDPOINT_URL", format!("http://{}", self.proxy.address));
        command
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Starts an archiver, which has archived these messages when this returns.
    fn starts(&self, messages: u64) -> Running {
        let running = start(&mut self.archive(), &self.folder.path().join("log"));
        self.topic.send((0..messages).map(event));
        eventually("the first messages are archived", || self.rows() == messages);
        running
    }

    /// Rows in the lake, as it says itself.
    fn rows(&self) -> u64 {
        let mut query = lakebed(&["query", "SELECT count(*) AS rows FROM raw_events", "--format", "json"]);
        query.env("DATA_LAKE_PATH", &self.lake);
        with_store(&mut query);
        let output = query.output().expect("the program starts");
        serde_json::from_slice::<serde_json::Value>(&output.stdout)
            .map_or(0, |rows| rows[0]["rows"].as_u64().unwrap_or(0))
    }

    /// Each message is in the lake once.
    async fn proves(self, messages: u64) {
        let found = python::run("bucket.py", &[&self.lake]);
        assert_eq!(
            (found["rows"].as_u64(), found["places"].as_u64()),
            (Some(messages), Some(messages))
        );
        let mut verify = lakebed(&["verify", "--deep"]);
        verify.env("DATA_LAKE_PATH", &self.lake);
        with_store(&mut verify);
        assert!(run(&mut verify).contains("Nothing is lost and nothing is doubled"));
        self.proxy.remove().await;
    }
}

fn leaves(mut archiver: Running) {
    signal(&archiver, "TERM");
    assert_eq!(ended(&mut archiver), Some(0));
}

#[tokio::test]
async fn a_store_that_goes_away_is_one_outage_that_is_told_and_heals_by_itself() {
    let place = Place::new(&[("retention.ms", "3600000"), ("retention.bytes", "1000000000")]).await;
    let archiver = place.starts(1000);
    place.proxy.cut().await;
    place.topic.send((1000..4000).map(event));
    eventually("the outage is told", || place.log().contains(AWAY));
    place.proxy.heal().await;
    eventually("its end is told", || place.log().contains(BACK));
    eventually("all is archived", || place.rows() == 4000);
    leaves(archiver);
    let log = place.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains(AWAY)).collect();
    // An hour is less than what is left to people to act in.
    for words in [
        "ERROR",
        "since=",
        "waiting_messages=",
        "waiting_bytes=",
        "kafka_drops_them_in_hours=1.0",
        "kafka_drops_by_size_too=true",
        "reason=",
    ] {
        assert!(told[0].contains(words), "no {words} in {told:?}");
    }
    assert!(!log.contains("trying again"), "each try is told: {log}");
    place.proves(4000).await;
}

#[tokio::test]
async fn a_store_that_hangs_is_an_outage_too() {
    let place = Place::new(&[("retention.ms", "-1")]).await;
    let archiver = place.starts(1000);
    place
        .proxy
        .disturb(Toxic::Silence { ms: 0 }, Stream::Answers, 100)
        .await;
    place.topic.send((1000..4000).map(event));
    eventually("a request is given up", || place.log().contains(AWAY));
    assert!(
        place.log().contains("kafka_drops_them_in_hours=never"),
        "{}",
        place.log()
    );
    place.proxy.heal().await;
    eventually("all is archived", || place.rows() == 4000);
    leaves(archiver);
    place.proves(4000).await;
}

#[tokio::test]
async fn an_archiver_that_is_stopped_while_the_store_is_away_says_what_it_leaves_in_kafka() {
    let place = Place::new(&[]).await;
    let mut archiver = place.starts(1000);
    place.proxy.cut().await;
    place.topic.send((1000..1400).map(event));
    eventually("the outage is told", || place.log().contains(AWAY));
    signal(&archiver, "TERM");
    assert_eq!(ended(&mut archiver), Some(1));
    let log = place.log();
    assert!(
        log.contains("error: stopped with 400 messages read and not archived"),
        "{log}"
    );
    place.proxy.heal().await;
    let report = json(place.archive().args(["--until-end", "--format", "json"]));
    assert_eq!(report["messages"].as_u64(), Some(400));
    place.proves(1400).await;
}

#[tokio::test]
async fn memory_stays_within_its_budget_whatever_waits() {
    // The broker packs the messages, so that a small answer of its unpacks to a large one.
    let place = Place::new(&[("compression.type", "zstd")]).await;
    let mut command = place.archive();
    command.env("MEMORY_BUDGET_MB", "128").env("BATCH_SIZE", "5000");
    let archiver = start(&mut command, &place.folder.path().join("log"));
    let messages = 80_000;
    let long = |number: u64| {
        let short = event(number).expect("an event");
        Some(short.replacen('}', &format!(r#", "comment": "{}"}}"#, "lorem ipsum ".repeat(100)), 1))
    };
    place.topic.send((0..1000).map(long));
    eventually("the first messages are archived", || place.rows() == 1000);
    place.proxy.cut().await;
    place.topic.send((1000..messages).map(long));
    eventually("reading is paused", || place.log().contains("reading is paused"));
    place.proxy.heal().await;
    eventually("all is archived", || place.rows() == messages);
    let peak = peak_mb(process_id(&archiver));
    leaves(archiver);
    assert!(peak <= 128, "{peak} MB");
    place.proves(messages).await;
}

/// What the code of an optimised build takes, MB. That of a build for tests takes twice as much, which nobody runs.
const CODE_MB: u64 = 48;

/// The most memory that a process has had at once, MB, as an optimised build would.
fn peak_mb(process: u32) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"));
    let status = status.expect("the process is there");
    let megabytes = |name: &str| -> u64 {
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes: Option<u64> = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
        kilobytes.unwrap_or_else(|| panic!("no {name} in {status}")) / 1024
    };
    megabytes("VmHWM:") - megabytes("RssFile:") + CODE_MB
}

#[tokio::test]
async fn members_whose_store_is_away_answer_the_group_and_go_on_afterwards() {
    let place = Place::new(&[]).await;
    let log = |name: &str| place.folder.path().join(name);
    let said = |name: &str, words: &str| std::fs::read_to_string(log(name)).is_ok_and(|log| log.contains(words));
    let group = unique("group");
    let [first, second, third] = ["first", "second", "third"].map(|name| {
        let member = start(place.archive().env("KAFKA_GROUP", &group), &log(name));
        eventually("a member reads", || said(name, "reading partitions"));
        member
    });
    place.topic.send((0..1000).map(event));
    eventually("the first messages are archived", || place.rows() == 1000);
    place.proxy.cut().await;
    place.topic.send((1000..3000).map(event));
    let put_off = "the partitions are taken, and wait for it";
    for dead in [first, second] {
        signal(&dead, "KILL");
    }
    // The last member is assigned all partitions, in one rebalance or two, and keeps neither waiting.
    eventually("the group goes on", || said("third", put_off));
    place.proxy.heal().await;
    eventually("all is archived", || place.rows() == 3000);
    leaves(third);
    place.proves(3000).await;
}
