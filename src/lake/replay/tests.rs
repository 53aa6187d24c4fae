use std::fs;

use deltalake_core::DeltaTable;
use deltalake_core::checkpoints::create_checkpoint;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::config::LakeSettings;
use crate::lake::snapshot::{AsOf, unnamed};
use crate::lake::{Lake, LakeError, TableSnapshot};

/// Files of the table, as the log has their paths.
const NAMES: [&str; 5] = [
    "year=2026/month=01/a.parquet",
    "year=2026/month=01/b%20c.parquet",
    "year=2025/month=12/%C3%A4.parquet",
    "d%2525.parquet",
    "e.parquet",
];

/// A table whose log is written by hand.
struct Log {
    folder: TempDir,
    version: u64,
}

impl Log {
    fn begin(protocol: Value, configuration: Value) -> Log {
        let log = Log {
            folder: tempfile::tempdir().unwrap(),
            version: 0,
        };
        fs::create_dir_all(log.folder.path().join("table/_delta_log")).unwrap();
        let field = |name: &str, kind: &str| json!({"name": name, "type": kind, "nullable": true, "metadata": {}});
        let schema = json!({"type": "struct", "fields": [field("timestamp", "long"), field("year", "integer")]});
        let metadata = json!({"metaData": {
            "id": "5f6d1f0e-64a4-4c0c-9a5c-5d1e3b8c1a10", "format": {"provider": "parquet", "options": {}},
            "schemaString": schema.to_string(), "partitionColumns": ["year"], "configuration": configuration,
        }});
        log.commit(0, &[json!({"protocol": protocol}), metadata]);
        log
    }

    fn plain() -> Log {
        Log::begin(json!({"minReaderVersion": 1, "minWriterVersion": 2}), json!({}))
    }

    fn commit(&self, version: u64, actions: &[Value]) {
        let lines: Vec<String> = actions.iter().map(Value::to_string).collect();
        let file = format!("table/_delta_log/{version:020}.json");
        fs::write(self.folder.path().join(file), lines.join("\n")).unwrap();
    }

    fn next(&mut self, actions: &[Value]) {
        self.version += 1;
        self.commit(self.version, actions);
    }

    fn lake(&self) -> Lake {
        Lake::open(&LakeSettings::of_path(self.folder.path().to_str().unwrap())).unwrap()
    }

    async fn delta(&self) -> DeltaTable {
        let mut table = DeltaTable::new(self.lake().log_store("table"));
        table.load().await.unwrap();
        table
    }

    async fn load(&self) -> Result<TableSnapshot, LakeError> {
        let loaded = TableSnapshot::load(&self.lake(), "table", AsOf::Newest).await;
        loaded.map(|snapshot| snapshot.expect("a table"))
    }
}

fn add(name: &str, rows: u64) -> Value {
    let stats = json!({
        "numRecords": rows, "minValues": {"timestamp": rows}, "maxValues": {"timestamp": 2 * rows}, "nullCount": {"timestamp": 0},
    });
    let tags = if rows.is_multiple_of(2) {
        json!({"rows": rows.to_string(), "none": null})
    } else {
        Value::Null
    };
    json!({"add": {
        "path": name, "partitionValues": {"year": if rows.is_multiple_of(3) { None } else { Some("2026") }}, "size": 100 + rows,
        "modificationTime": 0, "dataChange": true, "stats": stats.to_string(), "tags": tags,
    }})
}

fn remove(name: &str) -> Value {
    json!({"remove": {"path": name, "dataChange": true, "deletionTimestamp": chrono::Utc::now().timestamp_millis()}})
}

/// The files as another reader of Delta finds them.
async fn as_others_find(log: &Log) -> Vec<DataFile> {
    let (table, folder) = (log.delta().await, log.lake().path("table"));
    let found = table.snapshot().unwrap().log_data();
    #[allow(deprecated, reason = "no other public way leads to a file's tags")]
    let files = found.iter().map(|view| data_file(&folder, view.add_action()));
    files.collect()
}

fn sorted(mut files: Vec<DataFile>) -> Vec<DataFile> {
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_log_has_the_files_that_others_find_in_it(
        // Which file comes or goes, or comes anew with other rows; after which commits a checkpoint is written.
        commits in prop::collection::vec((prop::collection::vec((0..NAMES.len(), any::<bool>()), 1..4), prop::bool::weighted(0.2)), 0..12),
    ) {
        let mut log = Log::plain();
        let runtime = Runtime::new().unwrap();
        let (mut there, mut rows) = ([false; NAMES.len()], 0);
        for (changes, checkpoint) in commits {
            let mut touched = [false; NAMES.len()];
            let mut actions = Vec::new();
            for (file, stays) in changes {
                if std::mem::replace(&mut touched[file], true) {
                    continue;
                }
                rows += 1;
                actions.push(if there[file] && !stays { remove(NAMES[file]) } else { add(NAMES[file], rows) });
                there[file] = !there[file] || stays;
            }
            log.next(&actions);
            if checkpoint {
                runtime.block_on(async { create_checkpoint(&log.delta().await, None).await }).unwrap();
            }
        }
        let ours = runtime.block_on(log.load()).unwrap();
        prop_assert_eq!(ours.version, Some(log.version));
        prop_assert_eq!(ours.files.len(), there.iter().filter(|there| **there).count());
        prop_assert_eq!(sorted(ours.files), sorted(runtime.block_on(as_others_find(&log))));
    }
}

fn with_features(features: &[&str]) -> Value {
    json!({"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features})
}

#[tokio::test]
async fn rows_that_others_have_deleted_without_rewriting_the_file_are_not_taken_for_rows() {
    let mut log = Log::begin(
        with_features(&["deletionVectors"]),
        json!({"delta.enableDeletionVectors": "true"}),
    );
    log.next(&[add(NAMES[0], 1), add(NAMES[4], 2)]);
    assert_eq!(log.load().await.unwrap().files.len(), 2);

    let vector = json!({"storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "offset": 4, "sizeInBytes": 40, "cardinality": 1});
    let mut deleted = add(NAMES[4], 2);
    deleted["add"]["deletionVector"] = vector.clone();
    log.next(&[deleted, remove(NAMES[4])]);
    let error = log.load().await.unwrap_err().to_string();
    assert!(
        error.contains("e.parquet") && error.contains("deletion vector"),
        "{error}"
    );

    let mut gone = remove(NAMES[4]);
    gone["remove"]["deletionVector"] = vector;
    log.next(&[gone, add("f.parquet", 1)]);
    assert_eq!(
        sorted(log.load().await.unwrap().files)[0].path,
        log.lake().path("table").join("f.parquet")
    );
}

#[tokio::test]
async fn columns_that_have_other_names_in_the_files_are_not_taken_for_empty_ones() {
    let log = Log::begin(
        json!({"minReaderVersion": 2, "minWriterVersion": 5}),
        json!({"delta.columnMapping.mode": "name"}),
    );
    let error = log.load().await.unwrap_err().to_string();
    assert!(error.contains("columnMapping"), "{error}");
}

#[tokio::test]
async fn where_the_log_is_gone_no_file_is_called_one_that_it_does_not_name() {
    let mut log = Log::plain();
    log.next(&[add(NAMES[4], 1)]);
    let table = log.folder.path().join("table");
    fs::write(table.join(NAMES[4]), "").unwrap();
    fs::write(table.join("stray.parquet"), "").unwrap();
    let found = unnamed(&log.lake(), "table").await.unwrap();
    let places: Vec<&str> = found.iter().map(|object| object.location.as_ref()).collect();
    assert_eq!(places.len(), 1);
    assert!(places[0].ends_with("table/stray.parquet"), "{places:?}");

    fs::remove_dir_all(table.join("_delta_log")).unwrap();
    let error = unnamed(&log.lake(), "table").await.unwrap_err().to_string();
    assert!(error.contains("its log is gone"), "{error}");
}

#[tokio::test]
async fn without_a_log_there_is_no_table_whichever_version_is_asked_for() {
    let log = Log::plain();
    for as_of in [AsOf::Newest, AsOf::Version(0), AsOf::Time(chrono::Utc::now())] {
        let loaded = TableSnapshot::load(&log.lake(), "nothing", as_of).await;
        assert!(matches!(loaded, Ok(None)), "{as_of:?}: {loaded:?}");
    }
}
