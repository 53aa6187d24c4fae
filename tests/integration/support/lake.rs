//! What a lake holds, read without the program.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;

use super::python;
use super::{service, unique};

/// A lake on the S3 server that no other test has.
pub fn bucket_lake() -> String {
    format!("s3a://{}/{}", service("LAKEBED_TEST_BUCKET"), unique("lake"))
}

/// The names of the objects of a lake on the S3 server that lie under a folder of it.
pub async fn objects(lake: &str, under: &str) -> Vec<String> {
    let (store, prefix) = store(lake);
    let folder = format!("{prefix}/{under}").into();
    let objects: Vec<_> = store.list(Some(&folder)).try_collect().await.expect("a list");
    objects.iter().map(|object| object.location.to_string()).collect()
}

/// Puts commits that change nothing into a table's log, up to this version.
pub async fn age(lake: &str, table: &str, version: u64) {
    let (store, prefix) = store(lake);
    let log = format!("{prefix}/{table}/_delta_log");
    let present = objects(lake, &format!("{table}/_delta_log")).await.len() as u64;
    for version in present..=version {
        let nothing = r#"{"commitInfo":{"timestamp":0,"operation":"WRITE","operationParameters":{}}}"#;
        let commit = format!("{log}/{version:020}.json").into();
        store.put(&commit, nothing.into()).await.expect("a commit");
    }
}

/// The S3 server's store, and the lake's prefix in it.
fn store(lake: &str) -> (impl ObjectStore, String) {
    let bucket = service("LAKEBED_TEST_BUCKET");
    let prefix = lake.trim_start_matches(&format!("s3a://{bucket}/"));
    let store = AmazonS3Builder::new()
        .with_bucket_name(&bucket)
        .with_endpoint(service("AWS_ENDPOINT_URL"))
        .with_region(service("AWS_REGION"))
        .with_access_key_id(service("AWS_ACCESS_KEY_ID"))
        .with_secret_access_key(service("AWS_SECRET_ACCESS_KEY"))
        .with_allow_http(true)
        .build()
        .expect("a store");
    (store, prefix.to_owned())
}

/// Copies a lake on the S3 server into a folder.
pub async fn fetch(lake: &str, folder: &Path) {
    let (store, prefix) = store(lake);
    let prefix = prefix.as_str();
    let objects: Vec<_> = store.list(Some(&prefix.into())).try_collect().await.expect("a list");
    for object in objects {
        let bytes = store.get(&object.location).await.expect("there").bytes().await;
        let under = object
            .location
            .as_ref()
            .trim_start_matches(prefix)
            .trim_start_matches('/');
        let path = folder.join(under);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes.expect("whole")).expect("written");
    }
}

/// What the two tables hold, as the Delta log says and as plain Parquet says.
#[derive(Debug, PartialEq, Eq)]
pub struct Held {
    /// The place of each row of raw_events.
    pub rows: BTreeSet<(i64, i64)>,
    /// The place of each row of the quarantine.
    pub quarantined: BTreeSet<(i64, i64)>,
}

/// Reads a local lake through deltalake and, again, as plain Hive-partitioned files through DuckDB; the two must
/// agree, and no place may be there twice.
pub fn held(lake: &Path) -> Held {
    let held = replayed(lake);
    assert!(
        held.rows.is_disjoint(&held.quarantined),
        "a message is a row and in quarantine"
    );
    held
}

/// As [`held`], of a lake of which some of the quarantine was replayed, and so is both.
pub fn replayed(lake: &Path) -> Held {
    let found = python::run("held.py", &[lake.to_str().expect("a UTF-8 path")]);
    let places = |name: &str| -> BTreeSet<(i64, i64)> {
        let listed: Vec<(i64, i64)> = found[name]
            .as_array()
            .expect("a list")
            .iter()
            .map(|place| {
                (
                    place[0].as_i64().expect("a partition"),
                    place[1].as_i64().expect("an offset"),
                )
            })
            .collect();
        let set: BTreeSet<(i64, i64)> = listed.iter().copied().collect();
        assert_eq!(set.len(), listed.len(), "{name}: a message is there twice");
        set
    };
    assert_eq!(
        places("delta_rows"),
        places("plain_rows"),
        "the log and the plain files differ"
    );
    Held {
        rows: places("delta_rows"),
        quarantined: places("delta_quarantine"),
    }
}

/// Copies a lake in a folder into an empty one.
pub fn copy(from: &Path, to: &Path) {
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        std::fs::create_dir_all(to.join(&folder)).expect("a folder");
        for entry in std::fs::read_dir(from.join(&folder)).expect("readable") {
            let entry = entry.expect("readable");
            let path = folder.join(entry.file_name());
            if entry.file_type().expect("readable").is_dir() {
                folders.push(path);
            } else {
                std::fs::copy(entry.path(), to.join(&path)).expect("copied");
            }
        }
    }
}

/// All places of a topic whose partitions hold these many messages.
pub fn places(partitions: i32, messages: usize) -> BTreeSet<(i64, i64)> {
    (0..messages as u64)
        .map(|message| place_of(partitions, message))
        .collect()
}

/// The place of a message that was sent as one of many, round-robin.
pub fn place_of(partitions: i32, message: u64) -> (i64, i64) {
    let (partitions, message) = (i64::from(partitions), i64::try_from(message).expect("a count"));
    (message % partitions, message / partitions)
}

/// Waits until a condition holds, and fails when it does not within a minute.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// As [`eventually`], of a condition that has to be waited for itself.
pub async fn eventually_async(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Rows that the Delta log of a local lake's table names by now, from the counts in its commits.
pub fn committed_rows(lake: &Path, table: &str) -> u64 {
    let log = lake.join(table).join("_delta_log");
    let Ok(entries) = std::fs::read_dir(log) else {
        return 0;
    };
    entries
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok())
        .flat_map(|commit| commit.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
        .filter_map(|action| {
            let stats = action.get("add")?.get("stats")?.as_str()?;
            serde_json::from_str::<Value>(stats).ok()?.get("numRecords")?.as_u64()
        })
        .sum()
}
