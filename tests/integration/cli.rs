//! Commands, settings and formats as their user meets them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::kafka::{Topic, event};
use crate::support::program::{SECRET, archive, fails, hides_secrets, json, lakebed, refuses, run};
use crate::support::{python, service};

const COMMANDS: [&str; 10] = [
    "demo",
    "produce",
    "archive",
    "process",
    "check",
    "query",
    "validate",
    "verify",
    "quarantine",
    "config",
];
/// Commands of the contract that the program does not have yet: one that comes moves to [`COMMANDS`].
const TO_COME: [&str; 5] = ["status", "serve", "maintain", "import", "replay"];
const KAFKA: [&str; 9] = [
    "KAFKA_BROKERS",
    "KAFKA_TOPIC",
    "KAFKA_SECURITY_PROTOCOL",
    "KAFKA_SASL_MECHANISM",
    "KAFKA_SASL_USERNAME",
    "KAFKA_SASL_PASSWORD",
    "KAFKA_SSL_CA_LOCATION",
    "KAFKA_SSL_CERTIFICATE_LOCATION",
    "KAFKA_SSL_KEY_LOCATION",
];
const ARCHIVE: [&str; 5] = [
    "KAFKA_GROUP",
    "AUTO_OFFSET_RESET",
    "BATCH_SIZE",
    "TIMEOUT_SEC",
    "MAX_COLUMNS",
];
const LAKE: [&str; 6] = [
    "DATA_LAKE_PATH",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
];
const POSTGRES: [&str; 8] = [
    "POSTGRES_HOST",
    "POSTGRES_PORT",
    "POSTGRES_DB",
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "POSTGRES_SCHEMA",
    "POSTGRES_SSLMODE",
    "POSTGRES_SSLROOTCERT",
];
const HISTORY: [&str; 4] = ["BATCH_DAYS", "BATCH_INTERVAL_SECONDS", "VALIDATE", "EXPECTATIONS"];
const VALIDATE: [&str; 3] = ["EXPECTATIONS", "MAX_QUARANTINED_PERCENT", "MAX_AGE_HOURS"];
const LOGS: [&str; 2] = ["LOG_FORMAT", "LOG_LEVEL"];
const SECRETS: [&str; 4] = [
    "KAFKA_SASL_PASSWORD",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "POSTGRES_PASSWORD",
];

#[test]
fn help_lists_every_command_and_the_settings_that_each_obeys() {
    let help = run(&mut lakebed(&["--help"]));
    let listed = |name: &str| {
        help.lines()
            .any(|line| line.trim_start().starts_with(&format!("{name} ")))
    };
    for name in COMMANDS {
        assert!(listed(name), "no {name} in: {help}");
    }
    let short = run(&mut lakebed(&["-h"]));
    assert_eq!(fails(&mut lakebed(&[]), 2).trim(), short.trim(), "without a command");
    for name in TO_COME {
        assert!(!listed(name), "{name} in: {help}");
        refuses(&mut lakebed(&[name]), 2, &[name]);
    }
    let obeyed: [(&str, &[&[&str]]); 9] = [
        ("produce", &[&KAFKA, &LOGS]),
        ("archive", &[&KAFKA, &ARCHIVE, &LAKE, &LOGS]),
        ("process", &[&HISTORY, &LAKE, &POSTGRES, &["METRICS_LISTEN"], &LOGS]),
        ("check", &[&LAKE, &POSTGRES, &LOGS]),
        ("query", &[&LAKE, &POSTGRES, &LOGS]),
        ("validate", &[&VALIDATE, &LAKE, &POSTGRES, &LOGS]),
        ("verify", &[&LAKE, &KAFKA, &LOGS]),
        ("quarantine", &[&LAKE, &LOGS]),
        (
            "config",
            &[&KAFKA, &ARCHIVE, &LAKE, &HISTORY, &VALIDATE, &POSTGRES, &LOGS],
        ),
    ];
    for (command, settings) in obeyed {
        let help = run(lakebed(&[command, "--help"]).envs(SECRETS.map(|name| (name, SECRET))));
        for name in settings.iter().copied().flatten() {
            assert!(help.contains(&format!("[env: {name}")), "no {name} in: {help}");
        }
        assert!(!help.contains(SECRET), "{help}");
    }
}

/// What `lakebed config` says of a setting: its value and where it came from.
fn setting(command: &mut Command, name: &str) -> (Option<String>, String) {
    let all = json(command.args(["--format", "json"]));
    let found = all["settings"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|setting| setting["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {all}"));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    (text(&found["value"]), text(&found["source"]).unwrap_or_default())
}

#[test]
fn a_flag_goes_before_the_environment_before_the_file_before_the_default() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.env");
    std::fs::write(&file, "# ours\nKAFKA_TOPIC=of-the-file\nBATCH_SIZE=7\nPOSTGRES_HOST=\n").expect("a file");
    let shown = file.to_str().expect("UTF-8");
    let config = || {
        let mut command = lakebed(&["config"]);
        command.env("LAKEBED_CONFIG", &file);
        command
    };
    let of = |value: &str, source: &str| (Some(value.to_owned()), source.to_owned());
    let from_file = format!("file {shown}");
    let both = |command: &mut Command| setting(command.env("KAFKA_TOPIC", "of-the-environment"), "KAFKA_TOPIC");
    assert_eq!(
        both(config().args(["--kafka-topic", "of-the-flag"])),
        of("of-the-flag", "flag")
    );
    assert_eq!(both(&mut config()), of("of-the-environment", "environment"));
    assert_eq!(setting(&mut config(), "KAFKA_TOPIC"), of("of-the-file", &from_file));
    assert_eq!(
        setting(&mut config(), "KAFKA_GROUP"),
        of("wiki-batch-archiver-group", "default")
    );
    assert_eq!(setting(&mut config(), "POSTGRES_HOST"), (None, "not set".to_owned()));
    assert_eq!(
        setting(config().env("LOG_LEVEL", "warn"), "LOG_LEVEL"),
        of("warn", "environment")
    );
    // An empty variable counts as not set.
    assert_eq!(
        setting(config().env("KAFKA_TOPIC", ""), "KAFKA_TOPIC"),
        of("of-the-file", &from_file)
    );
    // What the file sets is obeyed and checked as if it were in the environment.
    std::fs::write(&file, "BATCH_SIZE=none\n").expect("a file");
    refuses(&mut config(), 2, &["none"]);
}

#[test]
fn the_settings_file_of_the_working_directory_is_read_unless_another_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("lakebed.env"), "KAFKA_TOPIC=of-the-folder\n").expect("a file");
    std::fs::write(folder.path().join("other.env"), "KAFKA_GROUP=of-the-other\n").expect("a file");
    let config = |file: &str| {
        let mut command = lakebed(&["config"]);
        command.current_dir(folder.path()).env("LAKEBED_CONFIG", file);
        command
    };
    let of = |value: &str, source: &str| (Some(value.to_owned()), source.to_owned());
    assert_eq!(
        setting(&mut config(""), "KAFKA_TOPIC"),
        of("of-the-folder", "file lakebed.env")
    );
    assert_eq!(
        setting(&mut config("other.env"), "KAFKA_TOPIC"),
        of("wiki-raw-events", "default")
    );
    assert_eq!(
        setting(&mut config("other.env"), "KAFKA_GROUP"),
        of("of-the-other", "file other.env")
    );
}

#[test]
fn config_masks_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.env");
    let lines: String = SECRETS.iter().map(|name| format!("{name}={SECRET}\n")).collect();
    std::fs::write(&file, lines).expect("a file");
    let endpoint = format!("https://key:{SECRET}@storage.example:9000/path");
    for format in ["text", "json"] {
        let commands = [
            lakebed(&["config", "--format", format])
                .envs(SECRETS.map(|name| (name, SECRET)))
                .output(),
            lakebed(&["config", "--format", format])
                .env("LAKEBED_CONFIG", &file)
                .output(),
            lakebed(&["config", "--format", format, "--postgres-password", SECRET]).output(),
            lakebed(&["config", "--format", format])
                .env("AWS_ENDPOINT_URL", &endpoint)
                .output(),
            lakebed(&["config", "--format", format, "--log-level", "trace"])
                .envs(SECRETS.map(|name| (name, SECRET)))
                .env("RUST_BACKTRACE", "1")
                .output(),
        ];
        for output in commands {
            let output = output.expect("the program starts");
            let all = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success() && all.contains("********"), "{all}");
            hides_secrets(&all);
        }
    }
}

#[tokio::test]
async fn a_command_under_format_json_prints_one_object_and_nothing_else() {
    let topic = Topic::new(1).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (file, lake) = (folder.path().join("events.json"), folder.path().join("lake"));
    std::fs::write(&file, event(1).expect("an event")).expect("a file");
    for mut command in [
        archive(&topic.name, lake.to_str().expect("UTF-8")),
        lakebed(&["produce", file.to_str().expect("UTF-8")]),
        lakebed(&["process"]),
        lakebed(&["validate"]),
        lakebed(&["config"]),
    ] {
        if command.get_args().next().is_some_and(|name| name == "archive") {
            command.arg("--until-end");
        }
        command
            .args(["--format", "json", "--log-level", "trace"])
            .env("KAFKA_BROKERS", service("KAFKA_BROKERS"))
            .env("KAFKA_TOPIC", &topic.name)
            .env("DATA_LAKE_PATH", &lake);
        let printed = run(&mut command);
        assert_eq!(printed.lines().count(), 1, "{printed}");
        assert!(
            serde_json::from_str::<Value>(&printed).is_ok_and(|value| value.is_object()),
            "{printed}"
        );
    }
}

/// A lake of 3000 events.
async fn lake(folder: &Path) {
    let topic = Topic::new(1).await;
    topic.send((0..3000).map(event));
    let path = folder.to_str().expect("UTF-8");
    run(archive(&topic.name, path).env("BATCH_SIZE", "3000").arg("--until-end"));
}

fn query(lake: &Path, sql: &str, more: &[&str]) -> Command {
    let mut command = lakebed(&["query", sql]);
    command.args(more).env("DATA_LAKE_PATH", lake);
    command
}

#[tokio::test]
async fn rows_come_in_each_format() {
    let folder = tempfile::tempdir().expect("a folder");
    lake(folder.path()).await;
    let sql = "SELECT \"user\", count(*) AS edits, sum(bytes_changed) AS bytes, NULL AS nothing FROM raw_events
        WHERE \"user\" < 'user-11' GROUP BY 1 ORDER BY 1";
    let rows = |format: &str| run(&mut query(folder.path(), sql, &["--format", format]));
    let (table, csv) = (rows("table"), rows("csv"));
    let expected: Value = serde_json::from_str(&rows("json")).expect("one JSON value");
    let expected = expected.as_array().expect("rows");
    assert_eq!(expected.len(), 3, "{expected:?}");
    assert_eq!(expected[0]["user"], json!("user-0"));
    assert_eq!(expected[0]["edits"], json!(31));
    assert_eq!(expected[0]["nothing"], Value::Null);
    let bytes = |row: &Value| row["bytes"].to_string();
    let lines: Vec<String> = expected
        .iter()
        .map(|row| {
            format!(
                "{},{},{},",
                row["user"].as_str().unwrap_or_default(),
                row["edits"],
                bytes(row)
            )
        })
        .collect();
    assert_eq!(
        csv.trim_end(),
        format!("user,edits,bytes,nothing\n{}", lines.join("\n"))
    );
    assert!(
        table.contains("| user ") && table.contains("NULL") && table.contains(&bytes(&expected[0])),
        "{table}"
    );

    let file = folder.path().join("rows.parquet");
    let shown = file.to_str().expect("UTF-8");
    assert_eq!(
        run(&mut query(
            folder.path(),
            sql,
            &["--format", "parquet", "--output", shown]
        )),
        ""
    );
    assert_eq!(python::run("parquet.py", &[shown]), json!(expected));
    let piped = query(folder.path(), sql, &["--format", "parquet"])
        .output()
        .expect("the program starts");
    std::fs::write(&file, piped.stdout).expect("a file");
    assert_eq!(python::run("parquet.py", &[shown]), json!(expected));

    let none = "SELECT \"user\" FROM raw_events WHERE false";
    let rows = |format: &str| run(&mut query(folder.path(), none, &["--format", format]));
    assert_eq!((rows("csv").as_str(), rows("json").as_str()), ("user\n", "[]\n"));
}

#[tokio::test]
async fn a_reader_who_has_seen_enough_is_no_error() {
    let folder = tempfile::tempdir().expect("a folder");
    lake(folder.path()).await;
    for format in ["csv", "json", "table", "parquet"] {
        // More than a pipe holds, so that the program writes when nobody reads any more.
        let sql = "SELECT a.title, b.title FROM raw_events a JOIN raw_events b ON a.\"user\" = b.\"user\"";
        let mut child = query(folder.path(), sql, &["--format", format])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = Vec::new();
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        out.read_until(b'\n', &mut line).expect("a line");
        drop(out);
        let output = child.wait_with_output().expect("the program ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && stderr.is_empty(),
            "{format}: {} {stderr}",
            output.status
        );
    }
}

#[tokio::test]
async fn queries_only_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake_path = folder.path().join("lake");
    lake(&lake_path).await;
    let file = folder.path().join("out.csv");
    let files = || walk(&lake_path);
    let before = files();
    let copy = format!("COPY (SELECT 1) TO '{}'", file.display());
    let external = format!("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '{}'", file.display());
    for sql in [
        "DROP TABLE raw_events",
        "DELETE FROM raw_events",
        "UPDATE raw_events SET title = 'x'",
        "INSERT INTO raw_events (title) VALUES ('x')",
        "CREATE TABLE x AS SELECT 1",
        "CREATE VIEW x AS SELECT 1",
        "SET datafusion.execution.batch_size = 1",
        "BEGIN",
        "PREPARE x AS SELECT 1",
        "SELECT 1; SELECT 2",
        "SELECT count(*) FROM raw_events; DROP TABLE raw_events",
        "",
        "SELEC 1",
        "SELECT * FROM no_such_table",
        "SELECT no_such_column FROM raw_events",
        "SELECT * FROM '/etc/passwd'",
        &copy,
        &external,
        "EXPLAIN ANALYZE INSERT INTO raw_events (title) VALUES ('x')",
    ] {
        refuses(
            &mut query(&lake_path, sql, &["--format", "json"]),
            2,
            &["cannot run this query"],
        );
    }
    assert!(!file.exists());
    assert_eq!(files(), before);
    for sql in [
        "EXPLAIN SELECT 1",
        "DESCRIBE raw_events",
        "WITH a AS (SELECT 1 AS b) SELECT b FROM a",
        "SELECT 1;",
    ] {
        run(&mut query(&lake_path, sql, &[]));
    }
    refuses(
        &mut query(&lake_path, "SELECT 1 / 0", &["--format", "json"]),
        1,
        &["query failed", "zero"],
    );
}

/// All files below a folder with their sizes.
fn walk(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push((path.display().to_string(), path.metadata().expect("a file").len()));
        }
    }
    found.sort();
    found
}
