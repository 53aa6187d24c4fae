//! Each kind of expectation where it holds and where it does not; what lakebed expects of its own tables, over tables
//! that are damaged in one way each.

mod files;
mod kinds;

use std::collections::BTreeMap;
use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::json::ReaderBuilder;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::definition::parse;
use super::*;
use crate::history::release::{PublishedRun, Release};
use crate::history::{HISTORY_TABLES, TableRows};

const PATTERNS: &str = "historical_hourly_patterns";
const TRENDS: &str = "historical_hourly_trends";
const CONTRIBUTORS: &str = "historical_top_contributors";
const LANGUAGES: &str = "historical_language_distribution";
const SERVERS: &str = "historical_server_rankings";
const RUNS_NAME: &str = "lakebed_runs";

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Tables that meet all expectations, as rows of JSON, and the run that published them.
#[derive(Clone)]
struct Published {
    rows: BTreeMap<&'static str, Vec<Map<String, Value>>>,
    runs: Vec<PublishedRun>,
}

impl Published {
    fn new() -> Published {
        let tables = [
            (
                PATTERNS,
                json!([
                    {"hour_bucket": "2026-01-15T06:00:00Z", "total_events": 3, "total_bytes": 30, "avg_bytes": 10.0, "bot_events": 1, "human_events": 1},
                    {"hour_bucket": "2026-01-15T07:00:00Z", "total_events": 1, "total_bytes": null, "avg_bytes": null, "bot_events": 0, "human_events": 1},
                ]),
            ),
            (
                TRENDS,
                json!([
                    {"hour_bucket": "2026-01-15T06:00:00Z", "total_events": 3, "total_bytes": 30, "bot_count": 1, "human_count": 1, "unique_users": 2, "events_24h_avg": 3.0, "bytes_24h_avg": 30.0},
                    {"hour_bucket": "2026-01-15T07:00:00Z", "total_events": 1, "total_bytes": null, "bot_count": 0, "human_count": 1, "unique_users": 1, "events_24h_avg": 2.0, "bytes_24h_avg": 30.0},
                ]),
            ),
            (
                CONTRIBUTORS,
                json!([
                    {"user": "Ann", "is_bot": false, "edit_count": 2, "total_bytes": 20, "pages_created": 1},
                    {"user": null, "is_bot": null, "edit_count": 1, "total_bytes": null, "pages_created": 0},
                    {"user": "Ann", "is_bot": true, "edit_count": 1, "total_bytes": 10, "pages_created": 0},
                ]),
            ),
            (
                LANGUAGES,
                json!([
                    {"language": "en", "project": "wikipedia", "edit_count": 3, "total_bytes": 30, "bot_edits": 1, "new_pages": 1},
                    {"language": null, "project": null, "edit_count": 1, "total_bytes": null, "bot_edits": 0, "new_pages": 0},
                ]),
            ),
            (
                SERVERS,
                json!([
                    {"server_name": "en.wikipedia.org", "language": "en", "project": "wikipedia", "edit_count": 3, "total_bytes": 30, "unique_users": 2, "rank": 1, "percentile": 0.0},
                    {"server_name": null, "language": null, "project": null, "edit_count": 1, "total_bytes": null, "unique_users": 0, "rank": 2, "percentile": 1.0},
                ]),
            ),
        ];
        let rows: BTreeMap<&'static str, Vec<Map<String, Value>>> = tables
            .into_iter()
            .map(|(table, rows)| (table, serde_json::from_value(rows).unwrap()))
            .collect();
        let run = PublishedRun {
            id: "0199".to_owned(),
            mode: "overwrite".to_owned(),
            started_at: time("2026-01-15T07:30:00Z"),
            ended_at: time("2026-01-15T07:30:05Z"),
            window_start: time("2026-01-13T07:30:00Z"),
            window_end: time("2026-01-15T07:30:00Z"),
            lake_version: Some(5),
            events_read: Some(4),
            rows_per_table: rows
                .iter()
                .map(|(table, rows)| ((*table).to_owned(), i64::try_from(rows.len()).unwrap()))
                .collect(),
        };
        Published { rows, runs: vec![run] }
    }

    fn set(mut self, table: &'static str, row: usize, column: &str, value: Value) -> Published {
        let row = &mut self.rows.get_mut(table).unwrap()[row];
        assert!(row.insert(column.to_owned(), value).is_some(), "{table}.{column}");
        self
    }

    fn change(mut self, table: &'static str, change: impl FnOnce(&mut Vec<Map<String, Value>>)) -> Published {
        change(self.rows.get_mut(table).unwrap());
        self
    }

    fn run(mut self, change: impl FnOnce(&mut PublishedRun)) -> Published {
        change(&mut self.runs[0]);
        self
    }

    fn release(&self) -> Release {
        let tables = HISTORY_TABLES.iter().map(|table| {
            let batch = batch(Relation::named(table.name).unwrap(), &self.rows[table.name]);
            (table, Ok(TableRows { table, batch }))
        });
        Release {
            place: "here".to_owned(),
            tables: tables.collect(),
            runs: Ok(self.runs.clone()),
        }
    }
}

fn batch(table: Relation, rows: &[Map<String, Value>]) -> RecordBatch {
    let lines: String = rows.iter().map(|row| Value::from(row.clone()).to_string()).collect();
    let reader = ReaderBuilder::new(table.schema()).with_strict_mode(true);
    let batches: Result<Vec<_>, _> = reader.build(Cursor::new(lines)).unwrap().collect();
    concat_batches(&table.schema(), &batches.unwrap()).unwrap()
}

fn now() -> Occasion {
    Occasion::Published {
        now: time("2026-01-15T08:00:00Z"),
    }
}

async fn ours() -> Vec<Expectation> {
    load(&ExpectationSettings::default(), None).await.unwrap()
}

/// The tables and expectations that are not met.
async fn failures(expectations: &[Expectation], release: &Release, occasion: Occasion) -> Vec<CheckResult> {
    let mut results = check(expectations, release, occasion).await.unwrap();
    results.retain(|result| result.failure().is_some());
    results
}

fn names(results: &[CheckResult]) -> Vec<String> {
    let names = results
        .iter()
        .map(|result| format!("{}: {}", result.table, result.expectation));
    names.collect()
}

#[tokio::test]
async fn lakebeds_own_files_are_read_and_the_engine_takes_them() {
    let ours = ours().await;
    query::plan(&ours).await.unwrap();
    for relation in Relation::all() {
        let of_table: Vec<_> = ours.iter().filter(|found| found.table.name == relation.name).collect();
        assert!(of_table.len() > 4, "{}: {}", relation.name, of_table.len());
    }
}

#[tokio::test]
async fn tables_as_they_should_be_meet_all_of_them() {
    let all = load(&ExpectationSettings::default(), Some(24)).await.unwrap();
    let results = check(&all, &Published::new().release(), now()).await.unwrap();
    for result in &results {
        assert_eq!(result.verdict, Verdict::Met, "{result}");
    }
    assert!(results.len() > 60, "{}", results.len());
}

#[tokio::test]
async fn each_damage_is_named_by_table_and_expectation() {
    let twice = |table| Published::new().change(table, |rows| rows.push(rows[0].clone()));
    let without = |table| {
        Published::new().change(table, |rows| {
            rows.pop();
        })
    };
    let set = |table, column, value| Published::new().set(table, 0, column, value);
    let cases = [
        (twice(PATTERNS), "historical_hourly_patterns: unique(hour_bucket)"),
        (twice(TRENDS), "historical_hourly_trends: unique(hour_bucket)"),
        (twice(CONTRIBUTORS), "historical_top_contributors: unique(user, is_bot)"),
        (
            twice(LANGUAGES),
            "historical_language_distribution: unique(language, project)",
        ),
        (
            twice(SERVERS),
            "historical_server_rankings: unique(server_name, language, project)",
        ),
        (
            without(PATTERNS),
            "historical_hourly_patterns: agrees(historical_hourly_trends)",
        ),
        (without(TRENDS), "historical_hourly_trends: rows(recorded)"),
        (
            without(CONTRIBUTORS),
            "historical_top_contributors: query(where not cut to 100, the rows are all contributors)",
        ),
        (
            without(LANGUAGES),
            "historical_language_distribution: sum(edit_count, historical_hourly_trends)",
        ),
        (without(SERVERS), "historical_server_rankings: rows(recorded)"),
        (
            set(PATTERNS, "hour_bucket", Value::Null),
            "historical_hourly_patterns: not_null(hour_bucket)",
        ),
        (
            set(PATTERNS, "hour_bucket", json!("2026-01-15T06:00:01Z")),
            "historical_hourly_patterns: always(hour_bucket = date_bin(INTERVAL '1 hour', hour_bucket))",
        ),
        (
            set(PATTERNS, "total_events", Value::Null),
            "historical_hourly_patterns: not_null(total_events)",
        ),
        (
            set(PATTERNS, "total_events", json!(0)),
            "historical_hourly_patterns: range(total_events)",
        ),
        (
            set(PATTERNS, "total_bytes", Value::Null),
            "historical_hourly_patterns: always((total_bytes IS NULL) = (avg_bytes IS NULL))",
        ),
        (
            set(PATTERNS, "total_bytes", json!(31)),
            "historical_hourly_patterns: agrees(historical_hourly_trends)",
        ),
        (
            set(PATTERNS, "avg_bytes", json!(0.1)),
            "historical_hourly_patterns: always(abs(avg_bytes) * total_events >= abs(CAST(total_bytes AS DOUBLE)) * 0.999999)",
        ),
        (
            set(PATTERNS, "bot_events", json!(-1)),
            "historical_hourly_patterns: range(bot_events)",
        ),
        (
            set(PATTERNS, "human_events", json!(3)),
            "historical_hourly_patterns: always(bot_events <= total_events - human_events)",
        ),
        (
            set(TRENDS, "total_events", json!(4)),
            "historical_hourly_patterns: sum(total_events, historical_hourly_trends)",
        ),
        (
            set(TRENDS, "bot_count", json!(i64::MAX)),
            "historical_hourly_trends: always(bot_count <= total_events - human_count)",
        ),
        (
            set(TRENDS, "human_count", Value::Null),
            "historical_hourly_trends: not_null(human_count)",
        ),
        (
            set(TRENDS, "unique_users", json!(4)),
            "historical_hourly_trends: always(unique_users <= total_events)",
        ),
        (
            set(TRENDS, "events_24h_avg", json!(3.1)),
            "historical_hourly_trends: query(events_24h_avg is the average of total_events over the day that ends with the hour)",
        ),
        (
            set(TRENDS, "bytes_24h_avg", Value::Null),
            "historical_hourly_trends: query(bytes_24h_avg is the average of total_bytes over the day that ends with the hour)",
        ),
        (
            set(TRENDS, "hour_bucket", json!("2026-01-13T06:00:00Z")),
            "historical_hourly_trends: query(hours lie within the window)",
        ),
        (
            set(CONTRIBUTORS, "edit_count", json!(5)),
            "historical_top_contributors: sum(edit_count, historical_hourly_trends)",
        ),
        (
            set(CONTRIBUTORS, "pages_created", json!(3)),
            "historical_top_contributors: always(pages_created <= edit_count)",
        ),
        (
            set(LANGUAGES, "bot_edits", json!(2)),
            "historical_language_distribution: sum(bot_edits, historical_hourly_trends)",
        ),
        (
            set(LANGUAGES, "total_bytes", json!(31)),
            "historical_language_distribution: sum(total_bytes, historical_hourly_trends)",
        ),
        (
            set(LANGUAGES, "new_pages", json!(4)),
            "historical_language_distribution: always(new_pages <= edit_count)",
        ),
        (
            set(SERVERS, "rank", json!(3)),
            "historical_server_rankings: dense(rank)",
        ),
        (
            set(SERVERS, "rank", Value::Null),
            "historical_server_rankings: not_null(rank)",
        ),
        (
            set(SERVERS, "percentile", json!(1.5)),
            "historical_server_rankings: range(percentile)",
        ),
        (
            set(SERVERS, "percentile", json!(0.5)),
            "historical_server_rankings: query(percentile is 0 for the busiest and grows where edit_count falls)",
        ),
        (
            set(SERVERS, "edit_count", json!(4)),
            "historical_server_rankings: query(no language and project has more edits on its servers than in all)",
        ),
        (
            set(SERVERS, "unique_users", json!(-1)),
            "historical_server_rankings: range(unique_users)",
        ),
        (
            Published::new().run(|run| run.events_read = Some(5)),
            "historical_hourly_trends: sum(total_events, lakebed_runs)",
        ),
        (
            Published::new().run(|run| run.window_start = run.window_end + TimeDelta::days(1)),
            "lakebed_runs: always(window_start <= window_end)",
        ),
        (
            Published::new().run(|run| run.ended_at = time("2026-01-14T07:59:59Z")),
            "lakebed_runs: fresh(ended_at)",
        ),
    ];
    let ours = ours().await;
    for (damaged, expected) in cases {
        let of_case = |found: &&Expectation| format!("{}: {}", found.table.name, found.name()) == expected;
        let asked: Vec<Expectation> = ours.iter().filter(of_case).cloned().collect();
        assert_eq!(asked.len(), 1, "{expected}");
        let found = failures(&asked, &damaged.release(), now()).await;
        assert_eq!(names(&found), [expected]);
        let failure = found[0].failure().unwrap();
        assert!(!failure.help.is_empty() && failure.offending > 0, "{failure:?}");
        assert!(!failure.rows.is_empty(), "{failure:?}");
    }
}

#[tokio::test]
async fn a_ranking_against_its_order_is_named_row_by_row() {
    let swapped = Published::new()
        .set(SERVERS, 0, "rank", json!(2))
        .set(SERVERS, 1, "rank", json!(1));
    let found = failures(&ours().await, &swapped.release(), now()).await;
    let dense = found.iter().find(|result| result.expectation == "dense(rank)").unwrap();
    let failure = dense.failure().unwrap();
    assert_eq!(failure.offending, 2);
    assert_eq!(
        failure.rows[0].to_string(),
        "server_name=null language=null project=null edit_count=1 total_bytes=null unique_users=0 rank=1 percentile=1.0 place=2"
    );
}

#[tokio::test]
async fn a_table_that_is_not_there_is_named_and_what_needs_it_is_not_checked() {
    let mut release = Published::new().release();
    release.tables[1].1 = Err("there is no such table".to_owned());
    let results = check(&ours().await, &release, now()).await.unwrap();
    let failed: Vec<_> = results.iter().filter(|result| result.failure().is_some()).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(
        failed[0].to_string(),
        "historical_hourly_trends: columns: there is no such table"
    );
    let unchecked = results
        .iter()
        .filter(|result| matches!(result.verdict, Verdict::NotChecked { .. }));
    assert!(
        unchecked
            .clone()
            .any(|result| result.expectation == "agrees(historical_hourly_trends)")
    );
    assert!(
        unchecked
            .clone()
            .any(|result| result.table == LANGUAGES && result.expectation.starts_with("sum("))
    );
    assert!(
        unchecked
            .clone()
            .all(|result| result.table != SERVERS || result.expectation.contains("sum("))
    );
}

#[tokio::test]
async fn where_nothing_has_been_published_one_thing_is_wrong() {
    let release = Release::none("here".to_owned(), Ok(Vec::new()));
    let found = failures(&ours().await, &release, now()).await;
    assert_eq!(names(&found), ["lakebed_runs: published"]);
    let unreadable = Release::none("here".to_owned(), Err("mode is bytea instead of text".to_owned()));
    let found = failures(&ours().await, &unreadable, now()).await;
    assert_eq!(found.len(), 6, "{:?}", names(&found));
}

#[tokio::test]
async fn tables_that_several_runs_appended_to_are_held_to_what_adds_up() {
    let mut twice = Published::new();
    for rows in twice.rows.values_mut() {
        rows.extend(rows.clone());
    }
    twice.runs.push(PublishedRun {
        id: "019a".to_owned(),
        mode: "append".to_owned(),
        ..twice.runs[0].clone()
    });
    let results = check(&ours().await, &twice.release(), now()).await.unwrap();
    let tally = Tally::of(&results);
    assert_eq!(tally.not_met, 0, "{results:#?}");
    assert!(tally.met > 40 && tally.not_checked > 8, "{tally:?}");
    let damaged = twice.set(LANGUAGES, 0, "edit_count", json!(2));
    let found = failures(&ours().await, &damaged.release(), now()).await;
    assert_eq!(
        names(&found),
        ["historical_language_distribution: sum(edit_count, historical_hourly_trends)"]
    );
}

#[tokio::test]
async fn rows_of_a_run_up_to_its_present_are_to_be_as_fresh_as_is_said() {
    let strict = load(&ExpectationSettings::default(), Some(24)).await.unwrap();
    let old = |published: &Published| {
        let mut old = published.clone();
        for table in [PATTERNS, TRENDS] {
            for row in old.rows.get_mut(table).unwrap() {
                let hour = row["hour_bucket"].as_str().unwrap().replace("-15T", "-14T");
                row.insert("hour_bucket".to_owned(), json!(hour));
            }
        }
        old
    };
    let stale = old(&Published::new());
    let found = failures(&strict, &stale.release(), now()).await;
    assert_eq!(names(&found), ["historical_hourly_trends: fresh(hour_bucket)"]);
    assert!(found[0].failure().unwrap().help.contains("archiver"));
    // A window that ends at a time that was given says nothing about the present, and nothing becomes fresher by not
    // being published; how old events may be is for a setting to say.
    let given = stale.clone().run(|run| run.started_at = time("2026-01-15T09:30:00Z"));
    let patient = load(&ExpectationSettings::default(), Some(48)).await.unwrap();
    for (expectations, published, occasion) in [
        (&strict, &given, now()),
        (&strict, &stale, Occasion::Computed),
        (&patient, &stale, now()),
        (&ours().await, &stale, now()),
    ] {
        let found = failures(expectations, &published.release(), occasion).await;
        assert_eq!(names(&found), Vec::<String>::new());
    }
    let empty = Published::new().change(TRENDS, Vec::clear);
    let found = failures(&strict, &empty.release(), now()).await;
    assert!(names(&found).contains(&"historical_hourly_trends: fresh(hour_bucket)".to_owned()));
}

#[tokio::test]
async fn not_a_number_is_in_no_range() {
    let mut release = Published::new().release();
    let Ok(rows) = &mut release.tables[4].1 else {
        panic!("no rows");
    };
    let mut columns = rows.batch.columns().to_vec();
    columns[7] = std::sync::Arc::new(arrow::array::Float64Array::from(vec![f64::NAN, -f64::NAN]));
    rows.batch = RecordBatch::try_new(rows.batch.schema(), columns).unwrap();
    let found = failures(&ours().await, &release, now()).await;
    let range = found
        .iter()
        .find(|result| result.expectation == "range(percentile)")
        .unwrap();
    assert_eq!(range.failure().unwrap().offending, 2);
}

#[tokio::test]
async fn what_json_has_no_number_for_is_shown_as_text() {
    let release = Published::new().release();
    let rows = release.tables[0].1.as_ref().unwrap();
    let mut columns = rows.batch.columns().to_vec();
    columns[0] =
        std::sync::Arc::new(arrow::array::TimestampMicrosecondArray::from(vec![i64::MAX, 0]).with_timezone("UTC"));
    columns[3] = std::sync::Arc::new(arrow::array::Float64Array::from(vec![f64::INFINITY, -0.5]));
    let batch = RecordBatch::try_new(rows.batch.schema(), columns).unwrap();
    let shown = result::rows_without("total_bytes", &[batch]).unwrap();
    assert_eq!(
        shown[0].to_string(),
        r#"hour_bucket="out of range" total_events=3 avg_bytes="inf" bot_events=1 human_events=1"#
    );
    assert_eq!(
        shown[1].to_string(),
        r#"hour_bucket="1970-01-01T00:00:00Z" total_events=1 avg_bytes=-0.5 bot_events=0 human_events=1"#
    );
}

#[tokio::test]
async fn more_rows_than_are_shown_are_counted() {
    let many = Published::new().change(CONTRIBUTORS, |rows| {
        for n in 0..20 {
            let mut row = rows[0].clone();
            row.insert("user".to_owned(), json!(format!("user {n}")));
            row.insert("pages_created".to_owned(), json!(-1));
            rows.push(row);
        }
    });
    let found = failures(&ours().await, &many.release(), now()).await;
    let range = found
        .iter()
        .find(|result| result.expectation == "range(pages_created)")
        .unwrap();
    let failure = range.failure().unwrap();
    assert_eq!((failure.offending, failure.rows.len()), (20, SHOWN_ROWS));
    assert_eq!(failure.reason, "20 rows whose pages_created is not at least 0");
    assert!(
        failure
            .rows
            .iter()
            .all(|row| !row.to_string().contains(query::OFFENDING)),
        "{failure:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_computed_over_the_rows_is_not_met() {
    let far = Published::new().set(TRENDS, 1, "hour_bucket", json!("9999-01-15T07:00:00Z"));
    let found = failures(&ours().await, &far.release(), now()).await;
    let hour = found
        .iter()
        .find(|result| result.expectation.starts_with("always(hour_bucket ="));
    let reason = &hour.unwrap().failure().unwrap().reason;
    assert!(
        reason.starts_with("it cannot be computed over these rows: "),
        "{reason}"
    );
    let not_null = found.iter().any(|result| result.expectation.starts_with("not_null"));
    assert!(!not_null, "what can be computed is: {:?}", names(&found));
}

#[test]
fn a_row_is_shown_so_that_it_does_a_terminal_no_harm() {
    let cells = [
        ("user", json!("a\u{1b}[31m\u{202e}")),
        ("edit_count", json!(3)),
        ("b\u{7}", Value::Null),
    ];
    let shown = Row::of(cells).to_string();
    assert_eq!(shown, r#"user="a\u{1b}[31m\u{202e}" edit_count=3 b\u{7}=null"#);
}
