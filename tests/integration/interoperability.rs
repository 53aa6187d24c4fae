//! What other programs read of what lakebed wrote.

use serde_json::json;

use crate::support::kafka::{Topic, event};
use crate::support::program::{archive, lakebed, run};
use crate::support::python;

#[tokio::test]
async fn duckdb_and_pyarrow_read_plain_hive_files_and_deltalake_reads_a_table_with_equal_counts() {
    let topic = Topic::new(3).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    // Columns come and go between the files, and there are more commits than a checkpoint's interval.
    let odd = (0..30).map(|number| {
        Some(format!(
            r#"{{"timestamp": {}, "extra_{number}": {number}}}"#,
            1_770_000_000 + number
        ))
    });
    topic.send((0..6000).map(event).chain(odd));
    run(archive(&topic.name, path).env("BATCH_SIZE", "10").arg("--until-end"));
    let counted = python::run("readers.py", &[path]);
    let row = json!({"rows": 6030, "bytes_changed": 2_997_000, "users": 97, "january": 6000, "february": 30});
    assert_eq!(counted, json!({"duckdb": row, "pyarrow": row, "deltalake": row}));
    let ours = run(lakebed(&[
        "query",
        "--format",
        "json",
        r#"SELECT count(*) AS "rows", sum(bytes_changed) AS bytes_changed, count(DISTINCT "user") AS users,
           count(*) FILTER (WHERE month = 1) AS january, count(*) FILTER (WHERE year = 2026 AND month = 2) AS february
           FROM raw_events"#,
    ])
    .env("DATA_LAKE_PATH", path));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&ours).expect("JSON"),
        json!([row])
    );
}

#[tokio::test]
async fn a_plain_lake_without_a_delta_log_is_read_as_it_is() {
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    python::run("plain_lake.py", &[path]);
    let rows = run(lakebed(&[
        "query",
        "--format",
        "csv",
        "SELECT timestamp, \"user\", language, year, month FROM raw_events ORDER BY 1",
    ])
    .env("DATA_LAKE_PATH", path));
    let expected = "timestamp,user,language,year,month\n1767225600,Ada,,2025,12\n1767225601,Bob,,2026,1\n1767225602,Cyd,en,2026,1\n";
    assert_eq!(rows, expected);
    let report = crate::support::program::json(
        lakebed(&["process", "--now", "2026-01-01T12:00:00Z", "--format", "json"]).env("DATA_LAKE_PATH", path),
    );
    assert_eq!(
        (&report["events_read"], &report["lake_version"]),
        (&json!(3), &json!(null))
    );
}
