//! `lakebed archive` where Kafka no longer has what comes next, and what `lakebed verify` says of it afterwards.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::kafka::{Topic, event};
use crate::support::lake::{committed_rows, eventually, held, places};
use crate::support::program::{archive, ended, fails, json, lakebed, run, signal, start, verify};

#[tokio::test]
async fn a_partition_that_lost_offsets_is_named_and_the_others_are_archived() {
    let topic = Topic::new(2).await;
    let lake = tempfile::tempdir().expect("a folder");
    topic.send((0..200).map(event));
    run(&mut until_end(&topic, lake.path()));
    topic.send((200..400).map(event));
    topic.drop_before(0, 150).await;

    let error = fails(&mut until_end(&topic, lake.path()), 1);
    let last = error.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: ") && last.contains(&topic.name), "{error}");
    assert!(
        last.contains("partition 0") && last.contains("100 to 149") && !last.contains("partition 1"),
        "{error}"
    );
    let others = &places(2, 200) | &places(2, 400).into_iter().filter(|(p, _)| *p == 1).collect();
    assert_eq!(held(lake.path()).rows, others);
    // Nothing is recorded before somebody has said so.
    assert_eq!(verify(lake.path(), true), (json!([]), Some(0)));

    let report = json(until_end(&topic, lake.path()).args(["--accept-loss", "--format", "json"]));
    assert_eq!((&report["rows"], &report["lost"]), (&json!(50), &json!(50)));
    let left = places(2, 400)
        .into_iter()
        .filter(|place| !lost(0, 100, 149).contains(place))
        .collect();
    assert_eq!(held(lake.path()).rows, left);
    the_gap_is_told(&topic, lake.path(), 100, 149);
    // It is told for good, and in nobody's way.
    topic.send((400..402).map(event));
    run(&mut until_end(&topic, lake.path()));
    the_gap_is_told(&topic, lake.path(), 100, 149);
}

#[tokio::test]
async fn offsets_that_are_dropped_while_an_archiver_runs_are_noticed_by_it() {
    for accept in [false, true] {
        let topic = Topic::new(2).await;
        let lake = tempfile::tempdir().expect("a folder");
        let log = lake.path().join("log");
        let logged = |words: &str| std::fs::read_to_string(&log).is_ok_and(|log| log.contains(words));
        let mut command = archive(&topic.name, lake.path().to_str().expect("UTF-8"));
        command
            .env("KAFKA_SESSION_TIMEOUT_MS", "45000")
            .args(accept.then_some("--accept-loss"));
        let mut archiver = start(&mut command, &log);
        topic.send((0..200).map(event));
        eventually("the first messages are archived", || {
            committed_rows(lake.path(), "raw_events") == 200
        });
        signal(&archiver, "STOP");
        // The fetch that is under way is answered with the first of these, and no other is sent.
        topic.send((200..210).map(event));
        topic.send((210..2000).map(event));
        topic.drop_before(0, 900).await;
        signal(&archiver, "CONT");
        let words = if accept {
            "the gap is recorded"
        } else {
            "not archived any further"
        };
        eventually("the loss is said", || logged(words));
        topic.send((2000..2100).map(event));
        // What it had fetched of partition 0 before the rest was dropped is its secret.
        eventually("the other partition is archived", || {
            held(lake.path()).rows.contains(&(1, 1049))
        });
        if accept {
            eventually("what comes behind the gap is archived", || {
                held(lake.path()).rows.contains(&(0, 1049))
            });
        }
        signal(&archiver, "TERM");
        assert_eq!(ended(&mut archiver), Some(if accept { 0 } else { 1 }));
        let rows = held(lake.path()).rows;
        let read = (0..900).take_while(|offset| rows.contains(&(0, *offset))).count();
        let first_lost = i64::try_from(read).expect("an offset");
        let missing: BTreeSet<_> = places(2, 2100).difference(&rows).copied().collect();
        if accept {
            assert_eq!(missing, lost(0, first_lost, 899));
            the_gap_is_told(&topic, lake.path(), first_lost, 899);
        } else {
            assert_eq!(missing, lost(0, first_lost, 1049));
            assert!(logged(&format!("offsets {first_lost} to 899")), "the range is named");
            assert_eq!(verify(lake.path(), true), (json!([]), Some(0)));
        }
    }
}

#[tokio::test]
async fn a_topic_that_was_made_anew_is_archived_when_told_to_and_beside_the_former_one() {
    let topic = Topic::new(2).await;
    let lake = tempfile::tempdir().expect("a folder");
    let broken = |count: u64| (0..count).map(|number| Some(format!("broken {number}")));
    topic.send(broken(4).chain((0..60).map(event)));
    run(&mut until_end(&topic, lake.path()));
    topic.make_anew().await;
    // It has outgrown the marks at once, and has broken messages at the offsets of the former topic's.
    topic.send(broken(4).chain((1000..1200).map(event)));

    let error = fails(&mut until_end(&topic, lake.path()), 1);
    let last = error.lines().last().unwrap_or_default();
    assert!(last.contains(&topic.name) && last.contains("made anew"), "{error}");
    assert_eq!(numbers(lake.path()), (0..60).collect::<Vec<_>>());
    assert_eq!(verify(lake.path(), true), (json!([]), Some(0)));

    let report = json(until_end(&topic, lake.path()).args(["--accept-loss", "--format", "json"]));
    assert_eq!((&report["rows"], &report["quarantined"]), (&json!(200), &json!(4)));
    topic.send((1200..1203).map(event));
    run(&mut until_end(&topic, lake.path()));
    assert_eq!(numbers(lake.path()), (0..60).chain(1000..1203).collect::<Vec<_>>());
    assert_eq!(verify(lake.path(), true), (json!([]), Some(0)));
}

#[tokio::test]
async fn a_topic_that_is_made_anew_under_a_running_archiver_is_noticed_before_anything_of_it_is_archived() {
    for accept in [false, true] {
        let topic = Topic::new(2).await;
        let lake = tempfile::tempdir().expect("a folder");
        let log = lake.path().join("log");
        let mut command = archive(&topic.name, lake.path().to_str().expect("UTF-8"));
        command.args(accept.then_some("--accept-loss"));
        let mut archiver = start(&mut command, &log);
        topic.send((0..100).map(event));
        eventually("the first messages are archived", || {
            committed_rows(lake.path(), "raw_events") == 100
        });
        topic.make_anew().await;
        topic.send((1000..1400).map(event));
        let words = if accept {
            "another name of its own"
        } else {
            "was deleted and made anew"
        };
        eventually("it is said", || {
            std::fs::read_to_string(&log).is_ok_and(|log| log.contains(words))
        });
        let mut expected: Vec<u64> = (0..100).collect();
        if accept {
            eventually("the new topic is archived", || {
                committed_rows(lake.path(), "raw_events") == 500
            });
            expected.extend(1000..1400);
        }
        signal(&archiver, "TERM");
        assert_eq!(ended(&mut archiver), Some(if accept { 0 } else { 1 }));
        assert_eq!(numbers(lake.path()), expected);
        assert_eq!(verify(lake.path(), true), (json!([]), Some(0)));
    }
}

/// The numbers of all events in the lake.
fn numbers(lake: &Path) -> Vec<u64> {
    let mut query = lakebed(&[
        "query",
        "SELECT number FROM raw_events ORDER BY number",
        "--format",
        "json",
    ]);
    let rows = json(query.env("DATA_LAKE_PATH", lake));
    let numbers = rows.as_array().into_iter().flatten();
    numbers.filter_map(|row| row["number"].as_u64()).collect()
}

fn until_end(topic: &Topic, lake: &Path) -> Command {
    let mut command = archive(&topic.name, lake.to_str().expect("UTF-8"));
    command.arg("--until-end");
    command
}

fn lost(partition: i64, from: i64, to: i64) -> BTreeSet<(i64, i64)> {
    (from..=to).map(|offset| (partition, offset)).collect()
}

/// `verify --deep` names one gap of partition 0 and nothing else.
fn the_gap_is_told(topic: &Topic, lake: &Path, from: i64, to: i64) {
    let (findings, code) = verify(lake, true);
    assert_eq!(code, Some(12), "{findings}");
    assert_eq!(findings.as_array().map(Vec::len), Some(1), "{findings}");
    let found = &findings[0];
    let places = json!([{"topic": topic.name, "partition": 0, "offsets": [[from, to]]}]);
    assert_eq!((&found["finding"], &found["places"]), (&json!("lost"), &places));
    let reason = found["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("recorded at 20"), "{findings}");
}
