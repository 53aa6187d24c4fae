//! What is expected of lake and tables: damage of each sort is named, by the table and by the expectation.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::kafka::{Topic, event};
use crate::support::postgres::Schema;
use crate::support::program::{archive, json, lakebed, refuses, run, with_postgres};
use crate::support::{python, service};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sample/events.ndjson.gz");
/// The end of the sample's window.
const NOW: &str = "2026-01-17T00:00:00Z";

const TABLES: [&str; 6] = [
    "historical_hourly_patterns",
    "historical_hourly_trends",
    "historical_top_contributors",
    "historical_language_distribution",
    "historical_server_rankings",
    "lakebed_runs",
];

/// A lake of the sample.
async fn sample(lake: &Path) {
    let topic = Topic::new(2).await;
    let mut produce = lakebed(&["produce", SAMPLE]);
    run(produce
        .env("KAFKA_BROKERS", service("KAFKA_BROKERS"))
        .env("KAFKA_TOPIC", &topic.name));
    run(archive(&topic.name, lake.to_str().expect("UTF-8")).arg("--until-end"));
}

fn process(lake: &Path, more: &[&str]) -> Command {
    let mut process = lakebed(&["process", "--now", NOW, "--format", "json"]);
    process.args(more).env("DATA_LAKE_PATH", lake);
    process
}

fn validate(lake: &Path, more: &[&str]) -> Command {
    let mut validate = lakebed(&["validate", "--format", "json"]);
    validate.args(more).env("DATA_LAKE_PATH", lake);
    validate
}

/// The expectations that are not met, as `table: expectation`, with the exit code that says so.
fn not_met(command: &mut Command) -> Vec<String> {
    let output = command.output().expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    let failed = report["checks"].as_array().expect("a list").iter();
    let failed: Vec<&Value> = failed.filter(|check| check["state"] == "not_met").collect();
    let code = if failed.is_empty() { 0 } else { 11 };
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(report["met"], json!(failed.is_empty()), "{text}");
    assert_eq!(report["expectations"]["not_met"], json!(failed.len()), "{text}");
    for check in &failed {
        assert!(check["help"].as_str().is_some_and(|help| help.len() > 10), "{check}");
    }
    let name = |check: &Value| -> Option<String> {
        Some(format!(
            "{}: {}",
            check["table"].as_str()?,
            check["expectation"].as_str()?
        ))
    };
    failed.into_iter().filter_map(name).collect()
}

#[tokio::test]
async fn each_damage_in_postgresql_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path();
    sample(lake).await;
    let schema = Schema::new().await;
    let mut publish = process(lake, &["--validate"]);
    with_postgres(&mut publish, &schema.name);
    assert_eq!(json(&mut publish)["outcome"], json!("published"));
    let check = |more: &[&str]| {
        let mut validate = validate(lake, more);
        with_postgres(&mut validate, &schema.name);
        not_met(&mut validate)
    };
    assert_eq!(check(&[]), Vec::<String>::new());
    let sql = async |sql: &str| {
        let done = schema.client.batch_execute(sql).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    };
    for table in TABLES {
        sql(&format!("CREATE TABLE kept_{table} AS TABLE {table}")).await;
    }
    let first = |table: &str| format!("WHERE ctid = (SELECT min(ctid) FROM {table})");
    let twice = |table: &str| format!("INSERT INTO {table} SELECT * FROM {table} {}", first(table));
    let set = |table: &str, what: &str| format!("UPDATE {table} SET {what} {}", first(table));
    let delete = |table: &str| format!("DELETE FROM {table} {}", first(table));
    let [patterns, trends, contributors, languages, servers, runs] = TABLES;
    let cases = [
        (twice(patterns), "historical_hourly_patterns: unique(hour_bucket)"),
        (twice(trends), "historical_hourly_trends: unique(hour_bucket)"),
        (twice(contributors), "historical_top_contributors: unique(user, is_bot)"),
        (
            twice(languages),
            "historical_language_distribution: unique(language, project)",
        ),
        (
            twice(servers),
            "historical_server_rankings: unique(server_name, language, project)",
        ),
        (
            set(patterns, "total_events = NULL"),
            "historical_hourly_patterns: not_null(total_events)",
        ),
        (
            set(trends, "unique_users = NULL"),
            "historical_hourly_trends: not_null(unique_users)",
        ),
        (
            set(contributors, "pages_created = NULL"),
            "historical_top_contributors: not_null(pages_created)",
        ),
        (
            set(languages, "edit_count = NULL"),
            "historical_language_distribution: not_null(edit_count)",
        ),
        (
            set(servers, "percentile = NULL"),
            "historical_server_rankings: not_null(percentile)",
        ),
        (
            set(patterns, "human_events = -1"),
            "historical_hourly_patterns: range(human_events)",
        ),
        (
            set(trends, "bot_count = -1"),
            "historical_hourly_trends: range(bot_count)",
        ),
        (
            set(contributors, "edit_count = -1"),
            "historical_top_contributors: range(edit_count)",
        ),
        (
            set(languages, "new_pages = -1"),
            "historical_language_distribution: range(new_pages)",
        ),
        (
            set(servers, "unique_users = -1"),
            "historical_server_rankings: range(unique_users)",
        ),
        (delete(patterns), "historical_hourly_patterns: rows(recorded)"),
        (
            delete(trends),
            "historical_hourly_trends: sum(total_events, lakebed_runs)",
        ),
        (delete(contributors), "historical_top_contributors: rows(recorded)"),
        (
            delete(languages),
            "historical_language_distribution: sum(edit_count, historical_hourly_trends)",
        ),
        (delete(servers), "historical_server_rankings: dense(rank)"),
        (
            set(patterns, "hour_bucket = 'infinity'"),
            "historical_hourly_patterns: agrees(historical_hourly_trends)",
        ),
        (
            set(servers, "percentile = 'NaN'"),
            "historical_server_rankings: range(percentile)",
        ),
        (
            format!("UPDATE {runs} SET ended_at = now() - interval '25 hours'"),
            "lakebed_runs: fresh(ended_at)",
        ),
        (
            format!("UPDATE {runs} SET events_read = NULL"),
            "lakebed_runs: not_null(events_read)",
        ),
        (
            format!("UPDATE {runs} SET window_start = '-infinity', rows_per_table = '[1]'"),
            "",
        ),
        (format!("DELETE FROM {runs}"), "lakebed_runs: published"),
    ];
    for (damage, expected) in cases {
        sql(&damage).await;
        let found = check(&["--only", "tables"]);
        assert!(
            expected.is_empty() || found.contains(&expected.to_owned()),
            "{damage}: {expected} not in {found:#?}"
        );
        for table in TABLES {
            sql(&format!(
                "DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}"
            ))
            .await;
        }
    }
    let definitions = [
        (
            format!("ALTER TABLE {trends} RENAME TO away"),
            "there is no such table",
            format!("ALTER TABLE away RENAME TO {trends}"),
        ),
        (
            format!("ALTER TABLE {trends} ADD COLUMN more integer"),
            "more integer is one too many",
            format!("ALTER TABLE {trends} DROP COLUMN more"),
        ),
        (
            format!("ALTER TABLE {trends} RENAME TO away; CREATE VIEW {trends} AS TABLE away"),
            "what bears its name is no table",
            format!("DROP VIEW {trends}; ALTER TABLE away RENAME TO {trends}"),
        ),
    ];
    for (damage, reason, mend) in definitions {
        sql(&damage).await;
        assert_eq!(check(&["--only", "tables"]), [format!("{trends}: columns")], "{damage}");
        let mut text = lakebed(&["validate", "--only", "tables"]);
        with_postgres(&mut text, &schema.name);
        let output = text.output().expect("the program starts");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains(reason) && text.contains("To do: ") && text.contains("Not checked"),
            "{text}"
        );
        sql(&mend).await;
    }
    sql(&format!("DROP TABLE {}", TABLES.join(", "))).await;
    assert_eq!(check(&["--only", "tables"]), ["lakebed_runs: published"]);
    assert_eq!(check(&["--only", "lake"]), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tables_are_read_as_of_one_moment_while_others_publish() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path();
    sample(lake).await;
    let schema = Schema::new().await;
    let publish = |days: &str| {
        let mut publish = process(lake, &["--days", days]);
        with_postgres(&mut publish, &schema.name);
        run(&mut publish);
    };
    publish("2");
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            for _ in 0..4 {
                publish("1");
                publish("2");
            }
            ended.store(true, Ordering::SeqCst);
        });
        while !ended.load(Ordering::SeqCst) && !publisher.is_finished() {
            let mut validate = validate(lake, &["--only", "tables"]);
            with_postgres(&mut validate, &schema.name);
            assert_eq!(not_met(&mut validate), Vec::<String>::new());
        }
        publisher.join().expect("the publisher ended");
    });
}

#[tokio::test]
async fn what_another_writer_put_into_the_lake_is_named() {
    let whole = tempfile::tempdir().expect("a folder");
    sample(whole.path()).await;
    run(&mut process(whole.path(), &[]));
    assert_eq!(not_met(&mut validate(whole.path(), &[])), Vec::<String>::new());
    let rest = |found: &[&str]| {
        found
            .iter()
            .map(|name| format!("raw_events: {name}"))
            .collect::<Vec<_>>()
    };
    let cases = [
        ("no_timestamp", rest(&["not_null(timestamp)"])),
        ("no_place", rest(&["not_null(_partition)", "not_null(_offset)"])),
        ("too_old", rest(&["range(timestamp)"])),
        ("too_new", rest(&["range(timestamp)"])),
        ("other_month", rest(&["folder"])),
        ("other_type", rest(&["column(bytes_changed)"])),
        ("column_away", rest(&["column(user)"])),
        ("added_type", rest(&["columns(added)"])),
    ];
    for (damage, expected) in cases {
        let copy = tempfile::tempdir().expect("a folder");
        crate::support::lake::copy(whole.path(), copy.path());
        python::run("damage_rows.py", &[copy.path().to_str().expect("UTF-8"), damage]);
        assert_eq!(not_met(&mut validate(copy.path(), &[])), expected, "{damage}");
    }
}

#[tokio::test]
async fn the_share_of_the_quarantine_is_limited() {
    let folder = tempfile::tempdir().expect("a folder");
    let topic = Topic::new(1).await;
    topic.send(
        (0..18)
            .map(event)
            .chain(["no event", "[]"].map(|text| Some(text.to_owned()))),
    );
    let lake = folder.path();
    run(archive(&topic.name, lake.to_str().expect("UTF-8")).arg("--until-end"));
    let only_lake = ["--only", "lake"];
    assert_eq!(not_met(&mut validate(lake, &only_lake)), ["quarantine: share"]);
    let mut patient = validate(lake, &only_lake);
    assert_eq!(
        not_met(patient.env("MAX_QUARANTINED_PERCENT", "10")),
        Vec::<String>::new()
    );
    let text = lakebed(&["validate", "--only", "lake"])
        .env("DATA_LAKE_PATH", lake)
        .output();
    let text = String::from_utf8(text.expect("the program starts").stdout).expect("UTF-8");
    for part in [
        "10.00 %",
        r#"reason="not_json" messages=1"#,
        "no event",
        "lakebed quarantine replay",
        "18 rows",
    ] {
        assert!(text.contains(part), "{part} not in {text}");
    }
}

#[tokio::test]
async fn a_run_that_is_to_be_valid_publishes_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, mine) = (folder.path().join("lake"), folder.path().join("mine"));
    sample(&lake).await;
    std::fs::create_dir(&mine).expect("a folder");
    let file = mine.join("historical_language_distribution.toml");
    std::fs::write(
        &file,
        "[[rows]]\nat_most = 1\nbecause = 'there is one language'\nhelp = 'learn more languages'\n",
    )
    .expect("a file");
    let schema = Schema::new().await;
    let process = |more: &[&str]| {
        let mut process = process(&lake, more);
        with_postgres(&mut process, &schema.name);
        process.env("EXPECTATIONS", &mine);
        process
    };
    let words = [
        "nothing was published",
        "historical_language_distribution: rows",
        "learn more languages",
    ];
    let refused = refuses(&mut process(&["--validate"]), 11, &words);
    assert_eq!(schema.rows("historical_language_distribution").await, 0);
    assert_eq!(schema.outcomes().await, ["failed"]);
    let error = format!("SELECT error FROM {}.lakebed_runs", schema.name);
    let error: String = schema.client.query_one(&error, &[]).await.expect("a row").get(0);
    assert!(refused.contains(&error), "{error} not in {refused}");
    refuses(process(&[]).env("VALIDATE", "true"), 11, &words);
    // Unless it is asked for, nothing is checked.
    run(&mut process(&[]));
    assert!(schema.rows("historical_language_distribution").await > 1);
    let mut published = validate(&lake, &["--expectations", mine.to_str().expect("UTF-8")]);
    with_postgres(&mut published, &schema.name);
    assert_eq!(not_met(&mut published), ["historical_language_distribution: rows"]);
    std::fs::write(&file, "[[rows]]\nat_moist = 1").expect("a file");
    refuses(
        &mut process(&["--validate"]),
        2,
        &["historical_language_distribution.toml", "line 1", "at_moist"],
    );
    refuses(
        &mut published,
        2,
        &["historical_language_distribution.toml", "line 1", "at_moist"],
    );
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_a_failure_and_not_a_verdict() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("nowhere");
    refuses(
        &mut validate(&nowhere, &[]),
        1,
        &["nowhere", "no table of archived events"],
    );
    assert!(!nowhere.exists());
    let schema = Schema::new().await;
    let tables = |name: &str, value: &str| {
        let mut validate = validate(&nowhere, &["--only", "tables"]);
        with_postgres(&mut validate, &schema.name);
        validate.env(name, value);
        validate
    };
    refuses(&mut tables("POSTGRES_PORT", "1"), 1, &["cannot connect"]);
    refuses(
        &mut tables("POSTGRES_PASSWORD", "not-the-password"),
        2,
        &["POSTGRES_PASSWORD"],
    );
    refuses(&mut tables("MAX_AGE_HOURS", "0"), 2, &["--max-age-hours", "1..=87600"]);
    refuses(
        &mut tables("MAX_QUARANTINED_PERCENT", "101"),
        2,
        &["not a number from 0 to 100"],
    );
    refuses(
        &mut tables("EXPECTATIONS", "/not/there"),
        2,
        &["/not/there", "cannot be read"],
    );
    refuses(&mut lakebed(&["validate", "--only", "nothing"]), 2, &["nothing"]);
}
