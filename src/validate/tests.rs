//! The lake's rows: settled by the log, or read.

use std::sync::Arc;

use arrow::array::{Int32Array, Int64Array, RecordBatch};
use deltalake_core::kernel::{Action, Add};
use deltalake_core::protocol::{DeltaOperation, SaveMode};

use super::*;
use crate::archive::columns::{PARTITION_COLUMNS, new_table};
use crate::config::LakeSettings;
use crate::event::EventSchema;
use crate::lake::datafile::{self, NewFile, writer_properties};
use crate::lake::{RAW_EVENTS, TableWriter};

/// 2026-01-15T08:00:00Z.
const NOW: i64 = 1_768_464_000;

struct Silent;

impl Progress for Silent {
    fn read(&self, _: u64, _: u64) {}
}

struct Place {
    folder: tempfile::TempDir,
    lake: Lake,
}

type Row = (Option<i64>, Option<i32>, Option<i64>);

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(&LakeSettings::of_path(folder.path().to_str().unwrap())).unwrap();
        Place { folder, lake }
    }

    /// Adds a file of rows to raw_events, in this folder, after a change of its Add action.
    async fn add(&self, month: &str, rows: &[Row], change: impl FnOnce(&mut Add)) {
        let batch = RecordBatch::try_from_iter_with_nullable([
            (
                "timestamp",
                Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()) as _,
                true,
            ),
            (
                "_partition",
                Arc::new(rows.iter().map(|row| row.1).collect::<Int32Array>()) as _,
                true,
            ),
            (
                "_offset",
                Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()) as _,
                true,
            ),
        ])
        .unwrap();
        let schema = new_table(&EventSchema::new(0));
        let mut writer = TableWriter::open_or_create(&self.lake, RAW_EVENTS, &schema, &PARTITION_COLUMNS)
            .await
            .unwrap();
        let values = month.split('/').map(|part| {
            let (name, value) = part.split_once('=').unwrap();
            (name.to_owned(), value.trim_start_matches('0').to_owned())
        });
        let file = NewFile {
            path: format!("{month}/{}.parquet", uuid::Uuid::new_v4()),
            partition_values: values.collect(),
            tags: Vec::new(),
            batch,
            properties: writer_properties().build(),
        };
        let mut add = datafile::write(&self.lake, RAW_EVENTS, file).await.unwrap();
        change(&mut add);
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: None,
            predicate: None,
        };
        writer
            .commit(vec![Action::Add(add)], Vec::new(), operation)
            .await
            .unwrap();
    }

    async fn validate(&self) -> ValidateReport {
        self.try_validate().await.unwrap()
    }

    async fn try_validate(&self) -> Result<ValidateReport, HistoryError> {
        let limits = ValidateSettings {
            max_quarantined_percent: 5.0,
            max_age_hours: None,
        };
        let request = Request {
            lake: &self.lake,
            postgres: None,
            limits: &limits,
            expectations: &ExpectationSettings::default(),
            part: Part::Lake,
            now: DateTime::from_timestamp(NOW, 0).unwrap(),
        };
        validate(request, &Silent).await
    }
}

fn failures(report: &ValidateReport) -> Vec<String> {
    let failures = report.checks.iter().filter(|check| check.failure().is_some());
    failures.map(ToString::to_string).collect()
}

const JANUARY: &str = "year=2026/month=01";
const GOOD: [Row; 2] = [(Some(NOW), Some(0), Some(7)), (Some(NOW - 86_400), Some(0), Some(8))];

#[tokio::test]
async fn what_the_log_settles_is_not_read() {
    let place = Place::new();
    place.add(JANUARY, &GOOD, |_| ()).await;
    place
        .add(
            "year=2025/month=12",
            &[(Some(NOW - 30 * 86_400), Some(1), Some(0))],
            |_| (),
        )
        .await;
    for entry in std::fs::read_dir(place.folder.path().join("raw_events").join(JANUARY)).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let report = place.validate().await;
    assert_eq!(failures(&report), Vec::<String>::new());
    let lake = report.lake.unwrap();
    assert_eq!((lake.files_read, lake.files, lake.rows, lake.quarantined), (0, 2, 3, 0));
    assert!(report.met && report.tables.is_none());
}

#[tokio::test]
async fn what_a_checkpoint_says_settles_it_too() {
    let place = Place::new();
    place.add(JANUARY, &GOOD, |_| ()).await;
    let mut writer = TableWriter::open(&place.lake, RAW_EVENTS).await.unwrap().unwrap();
    for mark in 0..100 {
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: None,
            predicate: None,
        };
        let marks = vec![("mark".to_owned(), mark)];
        writer.commit(Vec::new(), marks, operation).await.unwrap();
    }
    let log = place.folder.path().join("raw_events/_delta_log");
    assert!(log.join("_last_checkpoint").exists());
    for version in 0..10 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    let report = place.validate().await;
    assert_eq!(failures(&report), Vec::<String>::new());
    assert_eq!(report.lake.unwrap().files_read, 0);
}

#[tokio::test]
async fn what_the_log_does_not_settle_is_read() {
    let place = Place::new();
    place.add(JANUARY, &GOOD, |add| add.stats = None).await;
    place
        .add(JANUARY, &GOOD, |add| {
            add.stats = Some(r#"{"numRecords": 2}"#.to_owned())
        })
        .await;
    let report = place.validate().await;
    assert_eq!(failures(&report), Vec::<String>::new());
    let lake = report.lake.unwrap();
    assert_eq!((lake.files_read, lake.rows), (2, 4));
}

#[tokio::test]
async fn each_damage_to_rows_is_named_with_the_row() {
    let january = |row: Row| (JANUARY, row);
    let cases = [
        (
            january((None, Some(0), Some(9))),
            "raw_events: not_null(timestamp): 1 row without a timestamp: _partition=0 _offset=9",
        ),
        (
            january((Some(NOW), None, Some(9))),
            "raw_events: not_null(_partition): 1 row without their partition in Kafka: _partition=null _offset=9",
        ),
        (
            january((Some(NOW), Some(3), None)),
            "raw_events: not_null(_offset): 1 row without their offset in Kafka: _partition=3 _offset=null",
        ),
        (
            ("year=2001/month=01", (Some(979_516_799), Some(0), Some(9))),
            "raw_events: range(timestamp): 1 row with a timestamp before 2001-01-15",
        ),
        (
            january((Some(NOW + 86_401), Some(0), Some(9))),
            "raw_events: range(timestamp): 1 row with a timestamp before 2001-01-15",
        ),
        (
            ("year=2026/month=02", (Some(NOW), Some(0), Some(9))),
            "raw_events: folder: 1 row in the folder of another month",
        ),
        (
            ("year=2025/month=01", (Some(NOW), Some(0), Some(9))),
            "raw_events: folder: 1 row in the folder of another month",
        ),
    ];
    for ((month, row), expected) in cases {
        let place = Place::new();
        place.add(JANUARY, &GOOD, |_| ()).await;
        place.add(month, &[row], |_| ()).await;
        let report = place.validate().await;
        let found = failures(&report);
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{found:?} is not {expected}"
        );
        assert!(!report.met);
        assert_eq!(report.lake.unwrap().files_read, 1);
    }
    for row in [(Some(979_516_800), "year=2001/month=01"), (Some(NOW + 86_400), JANUARY)] {
        let place = Place::new();
        place.add(row.1, &[(row.0, Some(0), Some(9))], |_| ()).await;
        assert_eq!(failures(&place.validate().await), Vec::<String>::new());
    }
}

#[tokio::test]
async fn rows_of_many_files_are_counted_and_a_few_shown() {
    let place = Place::new();
    for offset in 0..4 {
        let rows: Vec<Row> = (0..3).map(|n| (None, Some(n), Some(offset))).collect();
        place.add(JANUARY, &rows, |_| ()).await;
    }
    let report = place.validate().await;
    let failure = report.checks.iter().find_map(CheckResult::failure).unwrap();
    assert_eq!((failure.offending, failure.rows.len()), (12, 5));
}

#[tokio::test]
async fn a_log_that_says_another_folder_than_the_path_is_named() {
    let place = Place::new();
    let december = |add: &mut Add| {
        add.partition_values = [("year", "2025"), ("month", "12")]
            .map(|(name, value)| (name.to_owned(), Some(value.to_owned())))
            .into();
    };
    place.add(JANUARY, &GOOD, december).await;
    let report = place.validate().await;
    assert!(
        failures(&report)[0].starts_with("raw_events: folder: 2 rows"),
        "{:?}",
        failures(&report)
    );
}

#[tokio::test]
async fn a_file_that_had_to_be_read_and_is_damaged_or_gone_is_named() {
    let damage: [fn(&std::path::Path); 2] = [
        |file| std::fs::write(file, "no Parquet at all").unwrap(),
        |file| std::fs::remove_file(file).unwrap(),
    ];
    for damage in damage {
        for stats in [None, Some(r#"{"numRecords": 2}"#)] {
            let place = Place::new();
            place
                .add(JANUARY, &GOOD, |add| add.stats = stats.map(str::to_owned))
                .await;
            for entry in std::fs::read_dir(place.folder.path().join("raw_events").join(JANUARY)).unwrap() {
                damage(&entry.unwrap().path());
            }
            let found = failures(&place.validate().await);
            assert!(
                found[0].starts_with("raw_events: readable: 1 file cannot be read: file="),
                "{found:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_lake_that_is_not_there_is_a_failure_to_run() {
    let error = Place::new().try_validate().await.unwrap_err();
    assert!(error.to_string().contains("no table of archived events"), "{error}");
}
