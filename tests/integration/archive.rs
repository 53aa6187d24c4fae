//! `lakebed archive` on a real broker, when nothing goes wrong.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::kafka::{Topic, event};
use crate::support::lake::{bucket_lake, committed_rows, eventually, held, places};
use crate::support::program::{archive, ended, fails, json, run, signal, start};
use crate::support::{python, unique};

#[tokio::test]
async fn rows_quarantine_and_tombstones_add_up_to_all_messages() {
    let topic = Topic::new(3).await;
    let broken: [Option<Vec<u8>>; 9] = [
        Some(b"not json".to_vec()),
        Some(b"\xff\xfe".to_vec()),
        Some(b"".to_vec()),
        Some(b"[1]".to_vec()),
        Some(b"{}".to_vec()),
        Some(br#"{"timestamp": "soon"}"#.to_vec()),
        Some(br#"{"timestamp": 979516799}"#.to_vec()),
        Some(br#"{"timestamp": 99999999999}"#.to_vec()),
        None,
    ];
    let good = (0..1200).map(|number| event(number).map(String::into_bytes));
    topic.send(good.chain(broken));

    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    let report = json(archive(&topic.name, path).args(["--until-end", "--format", "json"]));
    assert_eq!(
        (
            &report["messages"],
            &report["rows"],
            &report["quarantined"],
            &report["tombstones"]
        ),
        (&json!(1209), &json!(1200), &json!(8), &json!(1))
    );
    let held = held(lake.path());
    let expected = places(3, 1208);
    assert_eq!(
        held.rows.union(&held.quarantined).copied().collect::<BTreeSet<_>>(),
        expected
    );
    let reasons = python::run("quarantine.py", &[path]);
    let expected = json!([["not_a_json_key", "key-0", "not_json", "6e6f74206a736f6e"],]);
    assert_eq!(reasons["first"][1], expected[0][1]);
    assert_eq!(reasons["first"][2], expected[0][2]);
    assert_eq!(reasons["first"][3], expected[0][3]);
    assert_eq!(
        reasons["reasons"],
        json!({
            "not_json": 3, "not_an_object": 1, "timestamp_missing": 1, "timestamp_invalid": 1, "timestamp_too_old": 1,
            "timestamp_in_future": 1
        })
    );
}

#[tokio::test]
async fn the_lake_says_where_reading_begins_whatever_the_group() {
    let topic = Topic::new(2).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    topic.send((0..700).map(event));
    // Each of these runs is in a group of its own, which knows no offset.
    let counts: Vec<u64> = [0, 300, 1]
        .into_iter()
        .scan(700, |sent, more| {
            topic.send((*sent..*sent + more).map(event));
            *sent += more;
            json(archive(&topic.name, path).args(["--until-end", "--format", "json"]))["messages"].as_u64()
        })
        .collect();
    assert_eq!(counts, [700, 300, 1]);
    assert_eq!(held(lake.path()).rows.len(), 1001);
}

#[tokio::test]
async fn latest_holds_from_the_first_start_even_when_that_process_is_killed_before_its_first_flush() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    topic.send((0..10).map(event));
    let log = lake.path().join("log");
    let mut command = archive(&topic.name, path);
    command.env("AUTO_OFFSET_RESET", "latest").env("TIMEOUT_SEC", "3600");
    let mut first = start(&mut command, &log);
    eventually("the first archiver reads", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains("reading partitions"))
    });
    topic.send((10..30).map(event));
    signal(&first, "KILL");
    assert_eq!(ended(&mut first), None);
    let mut second = archive(&topic.name, path);
    second
        .env("AUTO_OFFSET_RESET", "latest")
        .args(["--until-end", "--format", "json"]);
    assert_eq!(json(&mut second)["rows"], json!(20));
    assert_eq!(held(lake.path()).rows.first(), Some(&(0, 10)));
}

#[tokio::test]
async fn partitions_that_are_added_later_are_read_from_their_beginning() {
    let mut topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    topic.send((0..5).map(event));
    run(archive(&topic.name, path)
        .env("AUTO_OFFSET_RESET", "latest")
        .arg("--until-end"));
    topic.grow(3).await;
    topic.send((0..9).map(event));
    run(archive(&topic.name, path)
        .env("AUTO_OFFSET_RESET", "latest")
        .arg("--until-end"));
    let expected: BTreeSet<_> = [(0, 5), (0, 6), (0, 7), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)].into();
    assert_eq!(held(lake.path()).rows, expected);
}

#[tokio::test]
async fn a_topic_that_was_made_anew_is_refused_loudly() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    topic.send((0..30).map(event));
    run(archive(&topic.name, path).arg("--until-end"));
    topic.make_anew().await;
    topic.send((0..10).map(event));
    let error = fails(archive(&topic.name, path).arg("--until-end"), 1);
    assert!(error.contains(&topic.name) && error.contains("made anew"), "{error}");
    assert_eq!(held(lake.path()).rows, places(1, 30));
}

#[tokio::test]
async fn a_batch_is_flushed_by_size_and_by_time_and_on_sigterm() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    let log = lake.path().join("log");
    let mut by_size_and_time = start(archive(&topic.name, path).env("BATCH_SIZE", "40"), &log);
    topic.send((0..100).map(event));
    eventually("two full batches and the rest after a second", || {
        committed_rows(lake.path(), "raw_events") == 100
    });
    signal(&by_size_and_time, "TERM");
    assert_eq!(ended(&mut by_size_and_time), Some(0));

    let mut long = start(
        archive(&topic.name, path)
            .env("TIMEOUT_SEC", "3600")
            .env("LOG_LEVEL", "debug"),
        &log,
    );
    topic.send((100..130).map(event));
    eventually("the second archiver has read", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.matches("reading partitions").count() == 2)
    });
    signal(&long, "TERM");
    assert_eq!(ended(&mut long), Some(0));
    let found = python::run("files.py", &[path]);
    let rows: Vec<u64> = serde_json::from_value(found["rows"].clone()).expect("counts");
    assert!(rows.iter().all(|rows| *rows <= 40), "{rows:?}");
    let name = found["names"][0].as_str().expect("a name");
    let parts: Vec<&str> = name.split('/').collect();
    assert_eq!(parts[..2], ["year=2026", "month=01"], "{name}");
    assert!(
        parts[2].starts_with("wiki_events_20") && parts[2].ends_with(".parquet"),
        "{name}"
    );
    assert_eq!(parts[2].split('_').count(), 5, "{name}");
    assert_eq!(found["compression"], json!("SNAPPY"));
}

#[tokio::test]
async fn each_month_has_its_folder() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    let times = [
        "2026-01-31T23:59:59Z",
        "2026-02-01T00:00:00Z",
        "2001-01-15T00:00:00Z",
        "2026-01-01T00:00:00Z",
    ];
    topic.send(times.map(|time| Some(format!(r#"{{"timestamp": "{time}"}}"#))));
    run(archive(&topic.name, path).arg("--until-end"));
    let found = python::run("files.py", &[path]);
    let folders: BTreeSet<String> = found["names"]
        .as_array()
        .expect("names")
        .iter()
        .filter_map(|name| Some(name.as_str()?.rsplit_once('/')?.0.to_owned()))
        .collect();
    assert_eq!(
        folders,
        ["year=2001/month=01", "year=2026/month=01", "year=2026/month=02"]
            .map(str::to_owned)
            .into()
    );
    assert_eq!(found["by_month"], json!([[2001, 1, 1], [2026, 1, 2], [2026, 2, 1]]));
}

#[tokio::test]
async fn a_column_keeps_its_first_type_over_runs_and_what_does_not_fit_is_rescued() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    for values in [
        r#""wiki": "enwiki", "n": 1"#,
        r#""wiki": 7, "n": "x", "more": true"#,
        r#""Wiki": 1, "n": 2.5"#,
    ] {
        topic.send([Some(format!(r#"{{"timestamp": 1767225600, {values}}}"#))]);
        run(archive(&topic.name, path).arg("--until-end"));
    }
    let found = python::run("columns.py", &[path, "wiki", "n", "more", "_rescued"]);
    assert_eq!(
        found,
        json!([
            ["enwiki", 1, null, null],
            [null, null, true, r#"{"wiki":7,"n":"x"}"#],
            [null, null, null, r#"{"Wiki":1,"n":2.5}"#],
        ])
    );
}

#[tokio::test]
async fn two_members_share_a_group_and_archive_everything_once_into_a_bucket() {
    let topic = Topic::new(4).await;
    let lake = bucket_lake();
    let group = unique("group");
    let folder = tempfile::tempdir().expect("a folder");
    let member = |name: &str| {
        let log = folder.path().join(name);
        start(
            archive(&topic.name, &lake)
                .env("KAFKA_GROUP", &group)
                .args(["--until-end"]),
            &log,
        )
    };
    topic.send((0..6000).map(event));
    let (mut first, mut second) = (member("first"), member("second"));
    assert_eq!(ended(&mut first), Some(0));
    assert_eq!(ended(&mut second), Some(0));
    let found = python::run("bucket.py", &[&lake]);
    assert_eq!(found, json!({"rows": 6000, "places": 6000}));
}
