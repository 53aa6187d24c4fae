//! `lakebed quarantine`: what is there, and what a replay makes of it, also when it is killed, beside others like it and
//! beside an archiver.

use std::path::Path;
use std::process::Command;

use lakebed::fail_point::Step;
use serde_json::{Value, json};

use crate::support::kafka::{Topic, event};
use crate::support::lake::{bucket_lake, committed_rows, copy, eventually, places, replayed};
use crate::support::program::{archive, ended, json as json_of, lakebed, refuses, run, signal, start, with_store};
use crate::support::{parallel, python};

const DAY: u64 = 1_767_225_600;

/// An event whose timestamp counts milliseconds.
fn milliseconds(number: u64) -> Option<String> {
    let event = event(number)?;
    Some(event.replacen(", ", "123, ", 1))
}

fn quarantine(lake: &str, arguments: &[&str]) -> Command {
    let mut command = lakebed(&["quarantine"]);
    command.args(arguments).env("DATA_LAKE_PATH", lake);
    command
}

fn replay(lake: &Path, arguments: &[&str]) -> Value {
    let lake = lake.to_str().expect("UTF-8");
    json_of(quarantine(lake, &["replay", "--format", "json"]).args(arguments))
}

fn verified(lake: &Path) -> Value {
    json_of(lakebed(&["verify", "--deep", "--no-broker", "--format", "json"]).env("DATA_LAKE_PATH", lake))
}

fn sum(report: &Value, name: &str) -> u64 {
    let partitions = report["partitions"].as_array().expect("partitions");
    partitions
        .iter()
        .map(|partition| partition[name].as_u64().expect("a count"))
        .sum()
}

#[tokio::test]
async fn what_is_there_is_listed_by_reason_with_samples_that_can_be_shown() {
    let (first, second) = (Topic::new(2).await, Topic::new(1).await);
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    let listed = quarantine(path, &[]).output().expect("it starts");
    assert!(listed.status.success() && String::from_utf8_lossy(&listed.stdout).contains("no quarantine"));
    first.send((0..20).map(event));
    first.send((0..5).map(|number| Some(format!("broken\x1b[31m {number}").into_bytes())));
    first.send([Some(b"\xff\xfe".to_vec()), Some(vec![b'x'; 5000])]);
    second.send([Some("[1]"), Some("[2]"), Some(r#"{"user": "nobody"}"#)]);
    run(archive(&first.name, path).arg("--until-end"));
    run(archive(&second.name, path).arg("--until-end"));

    let all = json_of(&mut quarantine(path, &["--format", "json", "--samples", "2"]));
    let reasons: Vec<(&Value, &Value)> = all["reasons"]
        .as_array()
        .expect("reasons")
        .iter()
        .map(|reason| (&reason["reason"], &reason["messages"]))
        .collect();
    assert_eq!(
        reasons,
        [
            (&json!("not_json"), &json!(7)),
            (&json!("not_an_object"), &json!(2)),
            (&json!("timestamp_missing"), &json!(1))
        ]
    );
    let not_json = &all["reasons"][0];
    assert_eq!(not_json["samples"].as_array().map(Vec::len), Some(2), "{not_json}");
    assert_eq!(
        not_json["topics"][0]["partitions"].as_array().map(Vec::len),
        Some(2),
        "{not_json}"
    );
    assert!(not_json["first"].is_string() && not_json["last"].is_string());

    let shown = run(&mut quarantine(path, &["--samples", "100"]));
    assert!(
        shown.contains(r"broken\u{1b}[31m 0") && shown.contains(r"\xff\xfe"),
        "{shown}"
    );
    assert!(
        shown.contains("(5,000 bytes)") && !shown.contains(&"x".repeat(1000)),
        "{shown}"
    );
    assert!(
        shown
            .chars()
            .all(|character| character == '\n' || !character.is_control()),
        "{shown}"
    );
    let of = |arguments: &[&str]| {
        let listing = json_of(quarantine(path, &["--format", "json"]).args(arguments));
        listing["messages"].as_u64()
    };
    assert_eq!(of(&["--reason", "not_json"]), Some(7));
    assert_eq!(of(&["--reason", "not_json", "--reason", "timestamp_missing"]), Some(8));
    assert_eq!(of(&["--topic", &second.name]), Some(3));
    assert_eq!(of(&["--topic", &second.name, "--reason", "not_json"]), Some(0));
    refuses(&mut quarantine(path, &["--reason", "boredom"]), 2, &["boredom"]);
    refuses(
        &mut quarantine(path, &["replay", "--assume", "timestamp-unit=hours"]),
        2,
        &["timestamp-unit"],
    );
}

#[tokio::test]
async fn what_now_decodes_becomes_a_row_once_and_stays_in_quarantine() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    let odd = [
        format!(r#"{{"timestamp": {DAY}123, "user": "milliseconds", "of_replay": "yes"}}"#),
        format!(r#"{{"timestamp": "{DAY}123", "user": "milliseconds as text"}}"#),
        r#"{"timestamp": "2025-12-31T23:30:00", "user": "no zone"}"#.to_owned(),
        r#"{"user": "no timestamp"}"#.to_owned(),
        "not JSON".to_owned(),
    ];
    topic.send((0..10).map(event).chain(odd.map(Some)));
    run(archive(&topic.name, path).arg("--until-end"));
    let before = verified(lake.path());
    assert_eq!(
        (
            sum(&before, "rows"),
            sum(&before, "quarantined"),
            sum(&before, "replayed")
        ),
        (10, 5, 0)
    );

    assert_eq!(replay(lake.path(), &[])["replayed"], 0);
    let unit = ["--assume", "timestamp-unit=milliseconds"];
    let looked = replay(lake.path(), &[&unit[..], &["--dry-run"]].concat());
    assert_eq!(
        (&looked["dry_run"], &looked["replayed"], &looked["left"]),
        (&json!(true), &json!(2), &json!(3))
    );
    assert_eq!(committed_rows(lake.path(), "raw_events"), 10);
    let by_reason = replay(lake.path(), &[&unit[..], &["--reason", "not_json"]].concat());
    assert_eq!((&by_reason["messages"], &by_reason["replayed"]), (&json!(1), &json!(0)));
    let done = replay(lake.path(), &unit);
    assert_eq!(
        (&done["replayed"], &done["already"], &done["left"]),
        (&json!(2), &json!(0), &json!(3))
    );
    let zone = replay(
        lake.path(),
        &[
            "--assume",
            "time-zone=-01:00",
            "--assume",
            "missing-timestamp=archived_at",
        ],
    );
    assert_eq!(
        (&zone["replayed"], &zone["already"], &zone["left"]),
        (&json!(2), &json!(2), &json!(1))
    );
    assert_eq!(zone["reasons"]["not_json"]["left"], 1);

    let held = replayed(lake.path());
    assert_eq!(held.rows, places(1, 14));
    assert_eq!(
        held.quarantined,
        places(1, 15).difference(&places(1, 10)).copied().collect()
    );
    let after = verified(lake.path());
    assert_eq!(
        (sum(&after, "rows"), sum(&after, "quarantined"), sum(&after, "replayed")),
        (10, 5, 4)
    );
    let sql = r#"SELECT "user", "timestamp", month, of_replay FROM raw_events WHERE _offset BETWEEN 10 AND 12 ORDER BY _offset"#;
    let rows = json_of(lakebed(&["query", sql, "--format", "json"]).env("DATA_LAKE_PATH", path));
    assert_eq!(
        rows,
        json!([
            {"user": "milliseconds", "timestamp": DAY, "month": 1, "of_replay": "yes"},
            {"user": "milliseconds as text", "timestamp": DAY, "month": 1, "of_replay": null},
            {"user": "no zone", "timestamp": DAY + 1800, "month": 1, "of_replay": null},
        ])
    );
    let listing = json_of(&mut quarantine(path, &["--format", "json"]));
    assert_eq!((&listing["messages"], &listing["replayed"]), (&json!(5), &json!(4)));
    // The archiver goes on with the column that the replay brought along.
    topic.send([Some(format!(r#"{{"timestamp": {DAY}, "of_replay": "too"}}"#))]);
    run(archive(&topic.name, path).arg("--until-end"));
    assert_eq!(sum(&verified(lake.path()), "rows"), 11);
}

#[tokio::test]
async fn killed_at_random_beside_an_archiver_each_message_becomes_a_row_once() {
    let topic = Topic::new(2).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    let log = lake.path().join("log");
    let odd_ones = |numbers: std::ops::Range<u64>| {
        numbers.map(|number| {
            if number.is_multiple_of(4) {
                milliseconds(number)
            } else {
                event(number)
            }
        })
    };
    topic.send(odd_ones(0..8000));
    run(archive(&topic.name, path).arg("--until-end"));
    let unit = ["replay", "--assume", "timestamp-unit=milliseconds"];
    let small = |command: &mut Command| {
        command.env("BATCH_SIZE", "20");
    };
    let mut archiver = archive(&topic.name, path);
    small(&mut archiver);
    let mut archiver = start(&mut archiver, &log);
    topic.send(odd_ones(8000..12_000));
    for kill in 1..=5 {
        let before = committed_rows(lake.path(), "raw_events");
        let mut command = quarantine(path, &unit);
        small(&mut command);
        let mut replaying = start(&mut command, &log);
        eventually("some more rows are there", || {
            committed_rows(lake.path(), "raw_events") > before + kill * 37
        });
        signal(&replaying, "KILL");
        ended(&mut replaying);
    }
    eventually("all is archived", || committed_rows(lake.path(), "quarantine") == 3000);
    let pair = [0, 1].map(|_| {
        let mut command = quarantine(path, &unit);
        small(&mut command);
        start(&mut command, &log)
    });
    for mut replaying in pair {
        assert_eq!(ended(&mut replaying), Some(0));
    }
    eventually("all is archived", || {
        committed_rows(lake.path(), "raw_events") == 12_000
    });
    signal(&archiver, "TERM");
    assert_eq!(ended(&mut archiver), Some(0));
    let last = replay(lake.path(), &unit[1..]);
    assert_eq!(
        (&last["messages"], &last["replayed"], &last["already"]),
        (&json!(3000), &json!(0), &json!(3000))
    );
    let held = replayed(lake.path());
    assert_eq!(held.rows, places(2, 12_000));
    assert_eq!(held.quarantined.len(), 3000);
    let report = verified(lake.path());
    assert_eq!((sum(&report, "rows"), sum(&report, "replayed")), (9000, 3000));
    assert_eq!(report["uncommitted"], json!([]));
}

#[cfg(debug_assertions)] // A release build has no such steps.
#[tokio::test]
async fn killed_at_any_step_of_a_replay_each_message_becomes_a_row_once() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    topic.send((0..40).map(milliseconds).chain((40..60).map(event)));
    run(archive(&topic.name, lake.path().to_str().expect("UTF-8")).arg("--until-end"));
    let steps: Vec<Step> = Step::OF_REPLAYS
        .iter()
        .copied()
        .chain([Step::BeforeSweep, Step::AfterSweep])
        .collect();
    parallel::each(steps, 2, |step| {
        let folder = tempfile::tempdir().expect("a folder");
        copy(lake.path(), folder.path());
        let is_killed = |step: Step, nth: u32| {
            let mut command = quarantine(folder.path().to_str().expect("UTF-8"), &["replay"]);
            command
                .args(["--assume", "timestamp-unit=milliseconds"])
                .env("BATCH_SIZE", "15")
                .env("LAKEBED_KILL_AT", format!("{}:{nth}", step.name()));
            command.output().expect("it starts").status.code().is_none()
        };
        // So that there is a file to be rid of.
        assert!(is_killed(Step::AfterReplayFile, 1));
        assert!(is_killed(step, 1), "not killed at {}", step.name());
        is_killed(step, 2);
        let last = replay(folder.path(), &["--assume", "timestamp-unit=milliseconds"]);
        assert_eq!(
            (&last["messages"], &last["left"]),
            (&json!(40), &json!(0)),
            "{}",
            step.name()
        );
        let held = replayed(folder.path());
        assert_eq!(
            (held.rows, held.quarantined.len()),
            (places(1, 60), 40),
            "{}",
            step.name()
        );
        let report = verified(folder.path());
        assert_eq!(
            (sum(&report, "replayed"), &report["uncommitted"]),
            (40, &json!([])),
            "{}",
            step.name()
        );
    });
}

#[tokio::test]
async fn damage_to_what_was_replayed_is_found_and_lost_records_double_nothing() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    topic.send((0..20).map(milliseconds).chain((20..40).map(event)));
    run(archive(&topic.name, path).arg("--until-end"));
    let unit = ["--assume", "timestamp-unit=milliseconds"];
    assert_eq!(replay(lake.path(), &unit)["replayed"], 20);
    for (damage, kinds) in [
        ("replay_twice", &["replayed_twice"][..]),
        ("replay_of_a_row", &["duplicate", "replayed_unknown"]),
        ("quarantine_rows_gone", &["replayed_unknown", "quarantined"]),
    ] {
        let damaged = tempfile::tempdir().expect("a folder");
        copy(lake.path(), damaged.path());
        python::run("damage_replay.py", &[damaged.path().to_str().expect("UTF-8"), damage]);
        let mut command = lakebed(&["verify", "--deep", "--no-broker", "--format", "json"]);
        let output = command
            .env("DATA_LAKE_PATH", damaged.path())
            .output()
            .expect("it starts");
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(output.status.code(), Some(12), "{damage}: {report}");
        let findings = report["findings"].as_array().expect("findings");
        for kind in kinds {
            assert!(
                findings.iter().any(|finding| finding["finding"] == *kind),
                "{damage}: {report}"
            );
        }
    }
    // Another writer's OPTIMIZE drops the records; the rows themselves tell what was replayed.
    python::run("damage_replay.py", &[path, "optimize"]);
    let again = replay(lake.path(), &unit);
    assert_eq!((&again["replayed"], &again["already"]), (&json!(0), &json!(20)));
}

#[tokio::test]
async fn a_lake_in_a_bucket_is_replayed_and_verified_too() {
    let topic = Topic::new(2).await;
    let lake = bucket_lake();
    topic.send((0..100).map(event).chain((100..140).map(milliseconds)));
    run(archive(&topic.name, &lake).arg("--until-end"));
    let mut command = quarantine(
        &lake,
        &["replay", "--assume", "timestamp-unit=milliseconds", "--format", "json"],
    );
    with_store(&mut command);
    assert_eq!(json_of(&mut command)["replayed"], 40);
    let mut command = lakebed(&["verify", "--deep", "--no-broker", "--format", "json"]);
    with_store(&mut command);
    let report = json_of(command.env("DATA_LAKE_PATH", &lake));
    assert_eq!((sum(&report, "rows"), sum(&report, "replayed")), (100, 40));
}
