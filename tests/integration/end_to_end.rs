//! Events through Kafka, the lake on the S3 server and the processor into PostgreSQL: the five tables, cell by cell,
//! against SQL that other systems compute straight from the same events.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::kafka::Topic;
use crate::support::lake::bucket_lake;
use crate::support::oracle::{TABLES, others_compute_the_same};
use crate::support::postgres::Schema;
use crate::support::program::{archive, json, lakebed, run, with_postgres, with_store};
use crate::support::{service, unique};

/// Two days that are hard on the five tables; tests/sample/generate.py makes them.
fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sample/events.ndjson.gz")
}

#[tokio::test]
async fn the_tables_of_the_sample_are_what_two_other_systems_compute() {
    whole_way(&sample(), "2026-01-17T00:00:00Z", 1_768_608_000).await;
}

#[tokio::test]
async fn the_tables_of_real_edits_are_what_two_other_systems_compute() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/wiki-edits-2015-09-12.ndjson.gz");
    if !shared.exists() {
        eprintln!("no real edits at {}: only the sample was compared", shared.display());
        return;
    }
    let events = whole_way(&shared, "2015-09-13T00:00:00Z", 1_442_102_400).await;
    assert_eq!(events, 39_244);
}

/// Runs the whole way and compares; the events that the window holds.
async fn whole_way(file: &Path, now: &str, last: i64) -> u64 {
    let first = last - 2 * 86_400;
    let topic = Topic::new(4).await;
    let lake = bucket_lake();
    let schema = Schema::new().await;
    let path = file.to_str().expect("UTF-8");

    let mut produce = lakebed(&["produce", path, "--format", "json"]);
    produce
        .env("KAFKA_BROKERS", service("KAFKA_BROKERS"))
        .env("KAFKA_TOPIC", &topic.name);
    let produced = json(&mut produce);
    let archived =
        json(
            archive(&topic.name, &lake)
                .env("BATCH_SIZE", "5000")
                .args(["--until-end", "--format", "json"]),
        );
    assert_eq!(archived["rows"], produced["delivered"]);
    assert_eq!(archived["quarantined"], json!(0));

    let mut process = lakebed(&["process", "--days", "2", "--now", now, "--format", "json"]);
    process.env("DATA_LAKE_PATH", &lake);
    with_store(&mut process);
    with_postgres(&mut process, &schema.name);
    let report = json(&mut process);
    assert_eq!(report["outcome"], json!("published"));
    let mut validate = lakebed(&["validate", "--format", "json"]);
    validate.env("DATA_LAKE_PATH", &lake);
    with_store(&mut validate);
    with_postgres(&mut validate, &schema.name);
    assert_eq!(json(&mut validate)["met"], json!(true));

    schema.load_events(file).await;
    let differences = schema.differences_from_oracle(&TABLES, first, last).await;
    assert_eq!(differences, Vec::<String>::new(), "PostgreSQL computes otherwise");

    others_compute_the_same(path, first, last, |query| {
        query.env("DATA_LAKE_PATH", &lake);
        with_store(query);
        with_postgres(query, &schema.name);
    });
    report["events_read"].as_u64().expect("a count")
}

#[tokio::test]
async fn without_postgres_the_same_tables_are_published_into_the_lake() {
    let topic = Topic::new(2).await;
    let lake = tempfile::tempdir().expect("a folder");
    let place = lake.path().to_str().expect("UTF-8");
    let file = sample();
    let path = file.to_str().expect("UTF-8");
    let mut produce = lakebed(&["produce", path]);
    run(produce
        .env("KAFKA_BROKERS", service("KAFKA_BROKERS"))
        .env("KAFKA_TOPIC", &topic.name));
    run(archive(&topic.name, place).arg("--until-end"));
    run(lakebed(&["process", "--now", "2026-01-17T00:00:00Z", "--validate"]).env("DATA_LAKE_PATH", place));
    run(lakebed(&["validate"]).env("DATA_LAKE_PATH", place));
    others_compute_the_same(path, 1_768_435_200, 1_768_608_000, |query| {
        query.env("DATA_LAKE_PATH", place);
    });
}

#[tokio::test]
async fn modes_and_an_empty_window_do_what_they_say() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let place = lake.path().to_str().expect("UTF-8");
    let schema = Schema::new().await;
    let mut produce = lakebed(&["produce", sample().to_str().expect("UTF-8")]);
    run(produce
        .env("KAFKA_BROKERS", service("KAFKA_BROKERS"))
        .env("KAFKA_TOPIC", &topic.name));
    run(archive(&topic.name, place).arg("--until-end"));
    let process = |now: &str, mode: &str| {
        let mut process = lakebed(&["process", "--now", now, "--mode", mode, "--format", "json"]);
        process.env("DATA_LAKE_PATH", place);
        with_postgres(&mut process, &schema.name);
        process
    };
    let (full, empty) = ("2026-01-17T00:00:00Z", "2020-01-01T00:00:00Z");
    let report = json(&mut process(empty, "error"));
    assert_eq!(
        (&report["outcome"], &report["events_read"]),
        (&json!("published"), &json!(0))
    );
    assert_eq!(schema.rows("historical_hourly_patterns").await, 0);

    assert_eq!(json(&mut process(full, "error"))["outcome"], json!("published"));
    let rows = schema.rows("historical_hourly_patterns").await;
    assert!(rows > 40, "{rows}");
    assert_eq!(json(&mut process(full, "ignore"))["outcome"], json!("ignored"));
    let refused = crate::support::program::fails(&mut process(full, "error"), 1);
    assert!(refused.contains("historical_hourly_patterns"), "{refused}");
    assert_eq!(schema.rows("historical_hourly_patterns").await, rows);
    assert_eq!(json(&mut process(full, "append"))["outcome"], json!("published"));
    assert_eq!(schema.rows("historical_hourly_patterns").await, 2 * rows);
    assert_eq!(json(&mut process(full, "overwrite"))["outcome"], json!("published"));
    assert_eq!(schema.rows("historical_hourly_patterns").await, rows);
    let outcomes = schema.outcomes().await;
    assert_eq!(
        outcomes,
        ["published", "published", "ignored", "failed", "published", "published"]
    );
}

#[tokio::test]
async fn a_lake_that_is_not_there_is_named() {
    let lake = std::env::temp_dir().join(unique("no-lake"));
    let place = lake.to_str().expect("UTF-8");
    let error = crate::support::program::fails(lakebed(&["process"]).env("DATA_LAKE_PATH", place), 1);
    assert!(error.contains(place), "{error}");
    assert!(!lake.exists(), "a lake was made where there was none");
}
