//! Publishing into the lake: the modes, races, and what a run leaves behind.

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;

use super::*;
use crate::config::history::PublishMode;
use crate::config::{ExpectationSettings, HistorySettings};
use crate::history::{HISTORY_TABLES, HistoryError, Outcome, RunReport, read_published, register_table, run, session};

pub(super) fn settings(mode: PublishMode) -> HistorySettings {
    HistorySettings {
        days: 2,
        from: None,
        to: None,
        now: None,
        full: false,
        skip_corrupt: false,
        mode,
        validate: false,
        expectations: ExpectationSettings::default(),
    }
}

async fn run_once(lake: &Lake, mode: PublishMode) -> Result<RunReport, HistoryError> {
    run(&settings(mode), lake, None, now(), &|_| ()).await
}

fn some_events(count: i64) -> Vec<Event> {
    (0..count)
        .map(|n| Event {
            timestamp: NOW - n * 100,
            user: Some(["Ann", "Bob", "Cid"][(n % 3) as usize]),
            bytes_changed: Some(n),
            is_bot: Some(n % 2 == 0),
            language: Some("en"),
            ..Event::default()
        })
        .collect()
}

pub(super) async fn lake_with(count: i64) -> (tempfile::TempDir, Lake) {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(&folder);
    archive(&lake, &some_events(count)).await;
    (folder, lake)
}

pub(super) async fn runs(lake: &Lake, columns: &str) -> Vec<String> {
    let snapshot = TableSnapshot::load(lake, "history/lakebed_runs", AsOf::Newest)
        .await
        .unwrap()
        .unwrap();
    let ctx = session().unwrap();
    register_table(&ctx, lake, "runs", &snapshot).unwrap();
    let sql = format!("SELECT concat_ws('|', {columns}) FROM runs ORDER BY started_at, id");
    let batches = ctx.sql(&sql).await.unwrap().collect().await.unwrap();
    batches
        .iter()
        .flat_map(|batch| {
            let column = arrow::compute::cast(batch.column(0), &DataType::Utf8).unwrap();
            let texts: Vec<_> = column.as_string::<i32>().iter().flatten().map(str::to_owned).collect();
            texts
        })
        .collect()
}

#[tokio::test]
async fn overwrite_replaces_and_append_adds() {
    let (_folder, lake) = lake_with(300).await;
    let first = run_once(&lake, PublishMode::Overwrite).await.unwrap();
    assert_eq!(first.outcome, Outcome::Published);
    assert_eq!(first.events_read, Some(300));
    assert_eq!(first.lake_version, Some(1));
    let expected = texts(&tables_of(&lake).await);
    assert_eq!(texts(&read_published(&lake).await.unwrap()), expected);

    run_once(&lake, PublishMode::Overwrite).await.unwrap();
    assert_eq!(texts(&read_published(&lake).await.unwrap()), expected);

    run_once(&lake, PublishMode::Append).await.unwrap();
    let appended = texts(&read_published(&lake).await.unwrap());
    for (appended, once) in appended.iter().zip(&expected) {
        let mut twice = [once.as_slice(), once.as_slice()].concat();
        let mut appended = appended.clone();
        twice.sort_unstable();
        appended.sort_unstable();
        assert_eq!(appended, twice);
    }
    assert_eq!(runs(&lake, "outcome, mode, events_read").await.len(), 3);
}

#[tokio::test]
async fn published_tables_have_exactly_the_types_of_the_contract() {
    let (_folder, lake) = lake_with(10).await;
    run_once(&lake, PublishMode::Overwrite).await.unwrap();
    for (rows, table) in read_published(&lake).await.unwrap().iter().zip(&HISTORY_TABLES) {
        assert_eq!(rows.batch.schema(), table.schema());
        let snapshot = TableSnapshot::load(&lake, &table.folder(), AsOf::Newest)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(snapshot.schema, table.schema());
    }
}

#[tokio::test]
async fn ignore_and_error_publish_only_where_nothing_is() {
    for mode in [PublishMode::Ignore, PublishMode::Error] {
        let (_folder, lake) = lake_with(10).await;
        assert_eq!(run_once(&lake, mode).await.unwrap().outcome, Outcome::Published);
    }
    let (_folder, lake) = lake_with(10).await;
    run_once(&lake, PublishMode::Overwrite).await.unwrap();
    let before = texts(&read_published(&lake).await.unwrap());
    archive(&lake, &some_events(5)).await;
    assert_eq!(
        run_once(&lake, PublishMode::Ignore).await.unwrap().outcome,
        Outcome::Ignored
    );
    let error = run_once(&lake, PublishMode::Error).await.unwrap_err();
    assert!(matches!(error, HistoryError::Occupied { .. }), "{error}");
    assert_eq!(texts(&read_published(&lake).await.unwrap()), before);
    let rows = runs(&lake, "outcome, mode, error").await;
    assert_eq!(rows[..2], ["published|overwrite", "ignored|ignore"]);
    assert!(
        rows[2].starts_with("failed|error|historical_hourly_patterns in "),
        "{}",
        rows[2]
    );
}

#[tokio::test]
async fn an_empty_window_publishes_empty_tables() {
    let (_folder, lake) = lake_with(10).await;
    run_once(&lake, PublishMode::Overwrite).await.unwrap();
    let later = now() + chrono::TimeDelta::days(30);
    let report = run(&settings(PublishMode::Overwrite), &lake, None, later, &|_| ())
        .await
        .unwrap();
    assert_eq!((report.outcome, report.events_read), (Outcome::Published, Some(0)));
    assert!(report.rows_per_table.len() == 5 && report.rows_per_table.values().all(|rows| *rows == 0));
    let tables = read_published(&lake).await.unwrap();
    assert!(tables.iter().all(|rows| rows.batch.num_rows() == 0));
    // Empty tables are as good as none.
    let report = run_once(&lake, PublishMode::Error).await.unwrap();
    assert_eq!(report.outcome, Outcome::Published);
}

#[tokio::test]
async fn an_older_lake_version_never_replaces_a_newer() {
    let (_folder, lake) = lake_with(10).await;
    let old = raw_events(&lake).await;
    let (_, old_rows) = compute_tables(&lake, &old, &two_days(), &|_| ()).await.unwrap();
    archive(&lake, &some_events(7)).await;
    run_once(&lake, PublishMode::Overwrite).await.unwrap();
    let newer = texts(&read_published(&lake).await.unwrap());

    let mut late = RunReport::begin(&two_days(), PublishMode::Overwrite, String::new());
    late.reads(&old);
    crate::history::publish::lake::publish(&lake, &old_rows, PublishMode::Overwrite, &mut late)
        .await
        .unwrap();
    assert_eq!(late.outcome, Outcome::Superseded);
    assert_eq!(texts(&read_published(&lake).await.unwrap()), newer);
    assert_eq!(runs(&lake, "outcome").await, ["published", "superseded"]);
}

#[tokio::test]
async fn a_version_that_no_run_names_is_never_read_nor_appended_to() {
    let (_folder, lake) = lake_with(10).await;
    run_once(&lake, PublishMode::Overwrite).await.unwrap();
    let before = texts(&read_published(&lake).await.unwrap());
    // A publisher died between a table's commit and the run's row: the table has lost its file and nobody says so.
    let table = &HISTORY_TABLES[0];
    let newest = TableSnapshot::load(&lake, &table.folder(), AsOf::Newest)
        .await
        .unwrap()
        .unwrap();
    let mut writer = TableWriter::open(&lake, &table.folder()).await.unwrap().unwrap();
    let removals = newest
        .files
        .iter()
        .map(|file| crate::history::publish::lake::removal(&lake, &table.folder(), file));
    writer
        .commit(removals.collect(), Vec::new(), write_operation(true))
        .await
        .unwrap();
    assert_eq!(texts(&read_published(&lake).await.unwrap()), before);
    run_once(&lake, PublishMode::Append).await.unwrap();
    assert_eq!(
        read_published(&lake).await.unwrap()[0].batch.num_rows(),
        2 * before[0].len()
    );
    run_once(&lake, PublishMode::Overwrite).await.unwrap();
    assert_eq!(texts(&read_published(&lake).await.unwrap()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn publishers_at_the_same_time_each_have_their_row_and_one_whole_set_wins() {
    let (_folder, lake) = lake_with(50).await;
    let rows = tables_of(&lake).await;
    let events = raw_events(&lake).await;
    let publishers: Vec<_> = (0..6)
        .map(|_| {
            let (lake, rows, events) = (lake.clone(), rows.clone(), events.clone());
            tokio::spawn(async move {
                let mut report = RunReport::begin(&two_days(), PublishMode::Append, String::new());
                report.reads(&events);
                crate::history::publish::lake::publish(&lake, &rows, PublishMode::Append, &mut report)
                    .await
                    .unwrap();
            })
        })
        .collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    for (published, once) in read_published(&lake).await.unwrap().iter().zip(&rows) {
        assert_eq!(
            published.batch.num_rows(),
            6 * once.batch.num_rows(),
            "{}",
            once.table.name
        );
    }
    assert_eq!(runs(&lake, "outcome").await, ["published"; 6]);
}

#[tokio::test]
async fn the_table_of_runs_keeps_every_row_in_few_files() {
    let (folder, lake) = lake_with(3).await;
    run_once(&lake, PublishMode::Overwrite).await.unwrap();
    let published = texts(&read_published(&lake).await.unwrap());
    for _ in 0..70 {
        let report = RunReport::begin(&two_days(), PublishMode::Overwrite, String::new());
        crate::history::publish::lake::record(&lake, &report).await.unwrap();
    }
    assert_eq!(runs(&lake, "id").await.len(), 71);
    assert_eq!(texts(&read_published(&lake).await.unwrap()), published);
    forget_tags(&folder, "lakebed_runs");
    assert_eq!(texts(&read_published(&lake).await.unwrap()), published);
    let snapshot = TableSnapshot::load(&lake, "history/lakebed_runs", AsOf::Newest)
        .await
        .unwrap()
        .unwrap();
    assert!(snapshot.files.len() <= 32, "{} files", snapshot.files.len());
}

/// Takes the tags of all files out of a table's log, as an earlier version of lakebed wrote it without.
fn forget_tags(folder: &tempfile::TempDir, table: &str) {
    for commit in std::fs::read_dir(folder.path().join("history").join(table).join("_delta_log")).unwrap() {
        let path = commit.unwrap().path();
        let lines: Vec<String> = std::fs::read_to_string(&path)
            .unwrap()
            .lines()
            .map(|line| {
                let mut action: serde_json::Value = serde_json::from_str(line).unwrap();
                if let Some(add) = action.get_mut("add") {
                    add["tags"] = serde_json::Value::Null;
                }
                action.to_string()
            })
            .collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
    }
}

#[tokio::test]
async fn what_runs_published_that_left_no_note_and_what_others_did_since_is_told_apart_by_time() {
    let (folder, lake) = lake_with(3).await;
    run_once(&lake, PublishMode::Overwrite).await.unwrap();
    let first = texts(&read_published(&lake).await.unwrap());
    forget_tags(&folder, "lakebed_runs");
    run_once(&lake, PublishMode::Append).await.unwrap();
    let second = texts(&read_published(&lake).await.unwrap());
    assert_eq!(second[0].len(), 2 * first[0].len());
    forget_tags(&folder, "lakebed_runs");
    assert_eq!(texts(&read_published(&lake).await.unwrap()), second);
}

#[tokio::test]
async fn the_newest_row_has_the_latest_end_whatever_the_clocks_say() {
    let (_folder, lake) = lake_with(3).await;
    let mut ends = Vec::new();
    for _ in 0..3 {
        ends.push(
            run_once(&lake, PublishMode::Overwrite)
                .await
                .unwrap()
                .ended_at
                .timestamp_micros(),
        );
    }
    assert!(ends.is_sorted());
    let snapshot = TableSnapshot::load(&lake, "history/lakebed_runs", AsOf::Newest)
        .await
        .unwrap()
        .unwrap();
    let ctx = session().unwrap();
    register_table(&ctx, &lake, "runs", &snapshot).unwrap();
    let batches = ctx
        .sql("SELECT ended_at FROM runs ORDER BY ended_at")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let written: Vec<i64> = batches
        .iter()
        .flat_map(|batch| {
            batch
                .column(0)
                .as_primitive::<TimestampMicrosecondType>()
                .values()
                .to_vec()
        })
        .collect();
    assert_eq!(written, ends);
}

#[tokio::test]
async fn a_lake_without_any_event_yet_publishes_empty_tables() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(&folder);
    archive(&lake, &[]).await;
    let report = run_once(&lake, PublishMode::Overwrite).await.unwrap();
    assert_eq!((report.outcome, report.events_read), (Outcome::Published, Some(0)));
    assert!(
        read_published(&lake)
            .await
            .unwrap()
            .iter()
            .all(|rows| rows.batch.num_rows() == 0)
    );
}

#[tokio::test]
async fn a_table_of_the_lake_with_other_columns_is_refused_by_name() {
    let (_folder, lake) = lake_with(3).await;
    let other = Schema::new(vec![Field::new("hour", DataType::Int64, true)]);
    TableWriter::open_or_create(&lake, &HISTORY_TABLES[1].folder(), &Arc::new(other), &[])
        .await
        .unwrap();
    let error = run_once(&lake, PublishMode::Overwrite).await.unwrap_err().to_string();
    assert!(error.contains("history/historical_hourly_trends"), "{error}");
    assert_eq!(runs(&lake, "outcome").await, ["failed"]);
}
