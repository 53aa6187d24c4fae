//! `lakebed check`: whether the lake has data that the published tables lack, where these are in the lake and where they
//! are in PostgreSQL.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::kafka::{Topic, event};
use crate::support::lake::bucket_lake;
use crate::support::postgres::Schema;
use crate::support::program::{archive, fails, json, lakebed, refuses, run, with_postgres, with_store};

/// `lakebed check` and its exit code.
fn check(command: &mut Command) -> (Value, Option<i32>) {
    let output = command.args(["--format", "json"]).output().expect("the program starts");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(
        text.lines().count(),
        1,
        "{text} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    (
        serde_json::from_str(&text).expect("one JSON object"),
        output.status.code(),
    )
}

/// A lake that grows, and tables that follow it, wherever both are.
async fn follows(lake: &str, settings: impl Fn(&mut Command)) {
    let topic = Topic::new(1).await;
    topic.send((0..1200).map(event));
    let archive = || run(archive(&topic.name, lake).arg("--until-end"));
    archive();
    let command = |arguments: &[&str]| {
        let mut command = lakebed(arguments);
        command.env("DATA_LAKE_PATH", lake);
        settings(&mut command);
        command
    };
    let (first, code) = check(&mut command(&["check"]));
    assert_eq!(
        (code, &first["new"], &first["published_version"]),
        (Some(0), &true.into(), &Value::Null),
        "{first}"
    );
    assert_eq!(
        (&first["events"], &first["files"]),
        (&1200.into(), &3.into()),
        "{first}"
    );
    assert_eq!(first["oldest_hour"], "2026-01-01T00:00:00Z", "{first}");
    let text = run(&mut command(&["check"]));
    assert!(
        text.contains("not published yet") && text.contains("New: 1,200 events in 3 files"),
        "{text}"
    );

    let published = json(&mut command(&["process", "--days", "3650", "--format", "json"]));
    let (none, code) = check(&mut command(&["check"]));
    assert_eq!(
        (code, &none["new"], &none["events"]),
        (Some(10), &false.into(), &0.into()),
        "{none}"
    );
    assert_eq!(none["published_version"], published["lake_version"], "{none}");
    assert!(
        none["published_at"].is_string() && none["oldest_hour"].is_null(),
        "{none}"
    );
    // The window moves with the clock; the lake does not.
    run(&mut command(&["process", "--days", "1"]));
    assert_eq!(check(&mut command(&["check"])).1, Some(10));
    run(&mut command(&["process", "--days", "3650"]));

    topic.send((7200..7300).map(event));
    archive();
    let (some, code) = check(&mut command(&["check"]));
    assert_eq!(
        (code, &some["events"], &some["files"]),
        (Some(0), &100.into(), &1.into()),
        "{some}"
    );
    assert_eq!(some["oldest_hour"], "2026-01-01T02:00:00Z", "{some}");
    assert!(some["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{some}");
    // A run that fails, or publishes nothing, leaves it new.
    fails(&mut command(&["process", "--mode", "error"]), 1);
    run(&mut command(&["process", "--mode", "ignore"]));
    assert_eq!(check(&mut command(&["check"])).1, Some(0));
    run(&mut command(&["process"]));
    assert_eq!(check(&mut command(&["check"])).1, Some(10));
}

#[tokio::test]
async fn what_is_new_is_told_where_the_tables_are_in_the_lake() {
    let folder = tempfile::tempdir().expect("a folder");
    follows(folder.path().to_str().expect("UTF-8"), |_| ()).await;
}

#[tokio::test]
async fn what_is_new_is_told_where_the_tables_are_in_postgres_and_the_lake_in_a_bucket() {
    let schema = Schema::new().await;
    follows(&bucket_lake(), |command| {
        with_store(command);
        with_postgres(command, &schema.name);
    })
    .await;
}

#[tokio::test]
async fn it_makes_nothing_and_says_where_there_is_no_lake() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().join("lake");
    let check = |lake: &Path| {
        let mut command = lakebed(&["check"]);
        command.env("DATA_LAKE_PATH", lake);
        command
    };
    refuses(&mut check(&lake), 1, &["no table of archived events", "DATA_LAKE_PATH"]);
    assert!(!lake.exists());
    let topic = Topic::new(1).await;
    topic.send((0..10).map(event));
    run(archive(&topic.name, lake.to_str().expect("UTF-8")).arg("--until-end"));
    let schema = Schema::new().await;
    run(check(&lake).env("LOG_LEVEL", "trace"));
    let mut with_server = check(&lake);
    with_postgres(&mut with_server, &schema.name);
    run(&mut with_server);
    assert!(!lake.join("history").exists());
    let tables = schema
        .client
        .query_one("SELECT count(*) FROM pg_tables WHERE schemaname = $1", &[&schema.name])
        .await
        .expect("an answer");
    assert_eq!(tables.get::<_, i64>(0), 0);
    let mut wrong = check(&lake);
    with_postgres(&mut wrong, &schema.name);
    refuses(wrong.env("POSTGRES_PASSWORD", "wrong"), 2, &["POSTGRES_PASSWORD"]);
}
