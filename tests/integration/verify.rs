//! `lakebed verify` on lakes that are whole, and on lakes that were damaged on purpose.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::kafka::{Topic, event};
use crate::support::lake::copy;
use crate::support::program::{archive, lakebed, refuses, run};
use crate::support::{parallel, python, service};

#[tokio::test]
async fn a_whole_lake_is_verified_also_where_flushes_left_no_rows() {
    let topic = Topic::new(2).await;
    let lake = tempfile::tempdir().expect("a folder");
    let broken = |count: u64| (0..count).map(|number| Some(format!("broken {number}")));
    let tombstones = |count: u64| (0..count).map(|_| None::<String>);
    topic.send((0..300).map(event));
    archive_all(&topic, lake.path());
    topic.send(broken(5));
    archive_all(&topic, lake.path());
    topic.send(tombstones(4));
    archive_all(&topic, lake.path());
    topic.send((300..400).map(event).chain(broken(3)).chain(tombstones(2)));
    archive_all(&topic, lake.path());
    let (report, code) = verify(lake.path(), true);
    assert_eq!((code, &report["findings"]), (Some(0), &json!([])), "{report}");
    let sum = |name: &str| -> u64 {
        let partitions = report["partitions"].as_array().expect("partitions");
        partitions
            .iter()
            .map(|partition| partition[name].as_u64().expect("a count"))
            .sum()
    };
    assert_eq!(
        (sum("rows"), sum("quarantined"), sum("tombstones"), sum("next")),
        (400, 8, 6, 414)
    );
}

/// What a damage is found as: by the records alone, and by every row; and where, as far as one place is meant.
#[derive(Debug, Clone, Copy)]
struct Found {
    damage: &'static str,
    by_records: &'static [&'static str],
    deep: &'static [&'static str],
    names: Names,
}

/// What a finding must name.
#[derive(Debug, Clone, Copy)]
enum Names {
    File,
    QuarantineFile,
    Offset,
    Nothing,
}

const fn found(
    damage: &'static str,
    by_records: &'static [&'static str],
    deep: &'static [&'static str],
    names: Names,
) -> Found {
    Found {
        damage,
        by_records,
        deep,
        names,
    }
}

const DAMAGES: [Found; 34] = [
    found("delete_file", &["missing_file"], &["missing_file"], Names::File),
    found(
        "cut_file",
        &["file_size"],
        &["file_size", "unreadable_file"],
        Names::File,
    ),
    found("corrupt_file", &[], &["file_changed"], Names::File),
    found("corrupt_footer", &[], &["file_changed", "unreadable_file"], Names::File),
    found("swap_files", &["file_size"], &["unclaimed"], Names::File),
    found("unreadable_file", &["missing_file"], &["missing_file"], Names::File),
    found("remove_from_log", &["gap"], &["gap"], Names::File),
    found("double_row", &[], &["duplicate", "rows"], Names::File),
    found("row_added", &[], &["duplicate", "file_rows"], Names::File),
    found("lose_offset", &[], &["rows", "file_rows"], Names::File),
    found("lying_log", &["file_size"], &["rows", "file_size"], Names::File),
    found("offset_elsewhere", &[], &["unclaimed", "rows"], Names::File),
    found(
        "offset_of_another",
        &[],
        &["unclaimed", "duplicate", "rows"],
        Names::File,
    ),
    found("file_twice", &["flush_rows"], &["duplicate"], Names::File),
    found(
        "file_twice_as_another_flush",
        &["overlap"],
        &["overlap", "duplicate"],
        Names::File,
    ),
    found("foreign_file", &["foreign_file"], &["foreign_file"], Names::Nothing),
    found("stray_file", &["stray_file"], &["stray_file"], Names::Nothing),
    found(
        "optimize",
        &["foreign_file", "gap"],
        &["foreign_file", "gap"],
        Names::File,
    ),
    found("mark_forward", &["gap"], &["gap"], Names::Nothing),
    found("mark_back", &["beyond_mark"], &["beyond_mark"], Names::Nothing),
    found("first_forward", &["before_first"], &["before_first"], Names::Nothing),
    found("range_of_nothing", &["bad_ledger", "gap"], &["bad_ledger"], Names::File),
    found("range_below_zero", &["bad_ledger", "gap"], &["bad_ledger"], Names::File),
    found("range_too_full", &["bad_ledger", "gap"], &["bad_ledger"], Names::File),
    found("ledger_garbled", &["bad_ledger", "gap"], &["bad_ledger"], Names::File),
    found(
        "range_without_end",
        &["overlap", "beyond_mark"],
        &["overlap", "beyond_mark"],
        Names::File,
    ),
    found(
        "quarantine_deleted",
        &["missing_file"],
        &["missing_file"],
        Names::Nothing,
    ),
    found(
        "quarantine_file_deleted",
        &["missing_file"],
        &["missing_file"],
        Names::QuarantineFile,
    ),
    found(
        "quarantine_file_removed_from_log",
        &["quarantine_rows"],
        &["quarantined"],
        Names::Nothing,
    ),
    found("quarantine_row_doubled", &[], &["duplicate"], Names::QuarantineFile),
    found("quarantine_row_lost", &[], &["quarantined"], Names::QuarantineFile),
    found(
        "quarantine_emptied",
        &[],
        &["quarantined", "file_rows"],
        Names::QuarantineFile,
    ),
    found("row_in_quarantine_too", &[], &["row_and_quarantined"], Names::Offset),
    found("quarantine_of_unknown_topic", &[], &["unclaimed"], Names::Nothing),
];

#[tokio::test]
async fn each_damage_is_found_and_named() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let broken = |count: u64| (0..count).map(|number| Some(format!("broken {number}")));
    for round in 0..4 {
        topic.send((round * 50..round * 50 + 50).map(event).chain(broken(5)));
        archive_all(&topic, lake.path());
    }
    assert_eq!(verify(lake.path(), true).1, Some(0));
    parallel::each(DAMAGES.to_vec(), 2, |found| found_and_named(&found, lake.path()));
}

fn found_and_named(
    Found {
        damage,
        by_records,
        deep,
        names,
    }: &Found,
    lake: &Path,
) {
    let copy = copy_of(lake);
    let done = python::run("damage.py", &[copy.path().to_str().expect("UTF-8"), damage]);
    for (is_deep, expected) in [(false, by_records), (true, deep)] {
        let (report, code) = verify(copy.path(), is_deep);
        let code_of_findings = if expected.is_empty() { 0 } else { 12 };
        assert_eq!(code, Some(code_of_findings), "{damage}: {report}");
        let findings = report["findings"].as_array().expect("findings");
        for kind in *expected {
            assert!(
                findings.iter().any(|finding| finding["finding"] == *kind),
                "{damage}: {report}"
            );
        }
        let text = report["findings"].to_string();
        let named = match names {
            _ if expected.is_empty() => true,
            Names::File => text.contains(done["file"].as_str().expect("a file")),
            Names::QuarantineFile => text.contains(done["quarantine_file"].as_str().expect("a file")),
            Names::Offset => text.contains(&format!("[{0},{0}]", done["offset"])),
            Names::Nothing => true,
        };
        assert!(named, "{damage}, {done}: {report}");
    }
    let mut shown = lakebed(&["verify", "--no-broker", "--deep"]);
    let shown = shown
        .env("DATA_LAKE_PATH", copy.path())
        .output()
        .expect("the program starts");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("not as"), "{damage}");
}

#[tokio::test]
async fn what_waits_and_what_kafka_dropped_is_told_where_the_broker_answers() {
    let mut topic = Topic::new(2).await;
    let lake = tempfile::tempdir().expect("a folder");
    topic.send((0..60).map(event));
    archive_all(&topic, lake.path());
    topic.send((60..70).map(event));
    topic.grow(3).await;
    let (report, code) = verify_with_broker(&topic.name, lake.path());
    let broker = &report["broker"];
    assert_eq!((code, &broker["state"]), (Some(0), &json!("answered")), "{report}");
    let waiting: Vec<(&Value, &Value)> = broker["partitions"]
        .as_array()
        .expect("partitions")
        .iter()
        .map(|partition| (&partition["next"], &partition["waiting"]))
        .collect();
    assert_eq!(
        waiting,
        [
            (&json!(30), &json!(5)),
            (&json!(30), &json!(5)),
            (&Value::Null, &json!(0))
        ]
    );
    assert!(broker["partitions"][0]["oldest"].is_string(), "{report}");
    topic.drop_before(1, 33).await;
    let (report, code) = verify_with_broker(&topic.name, lake.path());
    let finding = &report["findings"][0];
    assert_eq!((code, &finding["finding"]), (Some(12), &json!("dropped")), "{report}");
    assert_eq!(finding["places"][0]["offsets"], json!([[30, 32]]), "{report}");
    for (name, state) in [("no-such-topic", "no_answer"), ("", "left_out")] {
        let (report, code) = match name {
            "" => verify(lake.path(), false),
            name => verify_with_broker(name, lake.path()),
        };
        assert_eq!((code, &report["broker"]["state"]), (Some(0), &json!(state)), "{report}");
    }
}

#[tokio::test]
async fn a_partition_that_no_flush_has_touched_and_an_empty_lake_are_told() {
    let topic = Topic::new(3).await;
    let lake = tempfile::tempdir().expect("a folder");
    archive_all(&topic, lake.path());
    let (report, code) = verify(lake.path(), true);
    let partitions = report["partitions"].as_array().expect("partitions");
    assert_eq!((code, partitions.len()), (Some(0), 3), "{report}");
    assert!(
        partitions
            .iter()
            .all(|partition| partition["next"] == 0 && partition["ranges"] == json!([])),
        "{report}"
    );
    let empty = tempfile::tempdir().expect("a folder");
    let words = ["no table of archived events", "DATA_LAKE_PATH"];
    refuses(
        lakebed(&["verify", "--no-broker"]).env("DATA_LAKE_PATH", empty.path()),
        1,
        &words,
    );
    let plain = tempfile::tempdir().expect("a folder");
    python::run("plain_lake.py", &[plain.path().to_str().expect("UTF-8")]);
    let words = ["no Delta log", "no record"];
    refuses(
        lakebed(&["verify", "--no-broker"]).env("DATA_LAKE_PATH", plain.path()),
        1,
        &words,
    );
}

fn archive_all(topic: &Topic, lake: &Path) {
    run(archive(&topic.name, lake.to_str().expect("UTF-8"))
        .env("BATCH_SIZE", "20")
        .arg("--until-end"));
}

fn verify(lake: &Path, deep: bool) -> (Value, Option<i32>) {
    let mut command = lakebed(&["verify", "--format", "json", "--no-broker"]);
    command.args(deep.then_some("--deep")).env("DATA_LAKE_PATH", lake);
    report_of(&mut command)
}

fn verify_with_broker(topic: &str, lake: &Path) -> (Value, Option<i32>) {
    let mut command = lakebed(&["verify", "--format", "json"]);
    command
        .env("DATA_LAKE_PATH", lake)
        .env("KAFKA_BROKERS", service("KAFKA_BROKERS"))
        .env("KAFKA_TOPIC", topic);
    report_of(&mut command)
}

fn report_of(command: &mut Command) -> (Value, Option<i32>) {
    let output = command.output().expect("the program starts");
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (report, output.status.code())
}

fn copy_of(lake: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    copy(lake, folder.path());
    folder
}
