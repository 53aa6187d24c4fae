//! `lakebed verify` on lakes that are whole, and on lakes that were damaged on purpose.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::kafka::{Topic, event};
use crate::support::program::{archive, lakebed, run};
use crate::support::python;

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

#[tokio::test]
async fn each_damage_is_found_and_named() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    for round in 0..4 {
        topic.send((round * 50..round * 50 + 50).map(event));
        archive_all(&topic, lake.path());
    }
    assert_eq!(verify(lake.path(), true).1, Some(0));
    let damages: [(&str, &[&str], bool); 5] = [
        ("delete_file", &["missing_file"], false),
        ("remove_from_log", &["gap"], false),
        ("double_row", &["duplicate", "messages"], true),
        ("lose_offset", &["messages"], true),
        ("foreign_file", &["foreign_file"], false),
    ];
    for (damage, findings, deep_only) in damages {
        let copy = copy_of(lake.path());
        python::run("damage.py", &[copy.path().to_str().expect("UTF-8"), damage]);
        if deep_only {
            assert_eq!(verify(copy.path(), false).1, Some(0), "{damage}");
        }
        let (report, code) = verify(copy.path(), deep_only);
        assert_eq!(code, Some(12), "{damage}: {report}");
        let found: Vec<&str> = report["findings"]
            .as_array()
            .expect("findings")
            .iter()
            .filter_map(|finding| finding["finding"].as_str())
            .collect();
        for finding in findings {
            assert!(found.contains(finding), "{damage}: {report}");
        }
    }
}

fn archive_all(topic: &Topic, lake: &Path) {
    run(archive(&topic.name, lake.to_str().expect("UTF-8"))
        .env("BATCH_SIZE", "20")
        .arg("--until-end"));
}

fn verify(lake: &Path, deep: bool) -> (Value, Option<i32>) {
    let mut command = lakebed(&["verify", "--format", "json"]);
    command.args(deep.then_some("--deep")).env("DATA_LAKE_PATH", lake);
    let output = command.output().expect("the program starts");
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (report, output.status.code())
}

fn copy_of(lake: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    let mut folders: Vec<PathBuf> = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        std::fs::create_dir_all(copy.path().join(&folder)).expect("a folder");
        for entry in std::fs::read_dir(lake.join(&folder)).expect("readable") {
            let entry = entry.expect("readable");
            let path = folder.join(entry.file_name());
            if entry.file_type().expect("readable").is_dir() {
                folders.push(path);
            } else {
                std::fs::copy(entry.path(), copy.path().join(&path)).expect("copied");
            }
        }
    }
    copy
}
