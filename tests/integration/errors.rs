//! What goes wrong, told in one readable line, with the exit code of the contract; and that nothing is left behind that
//! a later run trips over.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::kafka::{Topic, event};
use crate::support::lake::{committed_rows, held, places};
use crate::support::program::{SECRET, archive, hides_secrets, json, lakebed, refuses, run, with_postgres, with_store};
use crate::support::{service, unique};

/// The end of the window that holds the events of [`event`].
const NOW: &str = "2026-01-02T00:00:00Z";
/// Settings by their environment names.
type Settings<'a> = &'a [(&'a str, &'a str)];
/// The words that an error must have.
type Words<'a> = &'a [&'a str];

/// A port where nobody listens.
const NOBODY: &str = "127.0.0.1:1";

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// `lakebed produce` of ten events.
fn produce(folder: &Path, topic: &str) -> Command {
    let file = folder.join("events.json");
    let lines: Vec<String> = (0..10).filter_map(event).collect();
    std::fs::write(&file, lines.join("\n")).expect("a file");
    let mut command = lakebed(&["produce", text(&file)]);
    command
        .env("KAFKA_BROKERS", service("KAFKA_BROKERS"))
        .env("KAFKA_TOPIC", topic);
    command
}

fn process(lake: &str) -> Command {
    let mut command = lakebed(&["process", "--now", NOW]);
    command.env("DATA_LAKE_PATH", lake);
    command
}

fn query(lake: &str) -> Command {
    let mut command = lakebed(&["query", "SELECT count(*) FROM raw_events"]);
    command.env("DATA_LAKE_PATH", lake);
    command
}

/// A topic of ten events, all of which are in a lake.
async fn small_lake(lake: &Path) -> Topic {
    let topic = Topic::new(1).await;
    topic.send((0..10).map(event));
    run(archive(&topic.name, text(lake)).arg("--until-end"));
    topic
}

/// The only data file of raw_events.
fn data_file(lake: &Path) -> PathBuf {
    let mut folder = lake.join("raw_events");
    loop {
        let entries = std::fs::read_dir(&folder).expect("a folder");
        let entry = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|kind| kind == "parquet") || text(path).contains("="))
            .expect("a data file");
        if entry.is_file() {
            return entry;
        }
        folder = entry;
    }
}

#[test]
fn wrong_usage_is_refused_by_name() {
    let cases: [(&[&str], &[&str]); 15] = [
        (&["archive", "--nonsense"], &["--nonsense"]),
        (&["nonsense"], &["nonsense"]),
        (&["archive", "--batch-size", "0"], &["--batch-size", "1..=10000000"]),
        (&["archive", "--batch-size", "abc"], &["--batch-size", "abc"]),
        (&["archive", "--timeout-sec", "0"], &["--timeout-sec"]),
        (
            &["archive", "--auto-offset-reset", "newest"],
            &["--auto-offset-reset", "newest"],
        ),
        (&["process", "--now", "yesterday"], &["--now", "2026-01-15T07:00:00Z"]),
        (&["process", "--mode", "nonsense"], &["--mode", "nonsense"]),
        (&["process", "--days", "0"], &["--days", "1..=3650"]),
        (&["process", "--days", "3651"], &["--days", "1..=3650"]),
        (&["process", "--postgres-port", "99999"], &["--postgres-port"]),
        (&["produce"], &["required arguments"]),
        (
            &["query", "SELECT 1", "--at", "soon"],
            &["--at", "2026-01-15T07:00:00Z"],
        ),
        (&["query", "SELECT 1", "--format", "xml"], &["--format", "xml"]),
        (&["config", "--log-level", "loud"], &["--log-level", "loud"]),
    ];
    for (arguments, words) in cases {
        refuses(&mut lakebed(arguments), 2, words);
    }
    for (name, value) in [
        ("BATCH_SIZE", "0"),
        ("BATCH_SIZE", "abc"),
        ("TIMEOUT_SEC", "-1"),
        ("BATCH_DAYS", "none"),
        ("POSTGRES_SSLMODE", "maybe"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("LOG_FORMAT", "xml"),
    ] {
        refuses(lakebed(&["config"]).env(name, value), 2, &[value]);
    }
}

#[tokio::test]
async fn a_kafka_that_cannot_be_used_is_told_by_what_is_wrong_with_it() {
    type Case = (i32, Vec<(&'static str, String)>, Vec<String>);
    let (plain, ssl, sasl) = (
        service("KAFKA_BROKERS"),
        service("LAKEBED_TEST_KAFKA_SSL"),
        service("LAKEBED_TEST_KAFKA_SASL"),
    );
    let topic = Topic::new(1).await;
    let folder = folder();
    let (other_ca, junk) = (folder.path().join("other.pem"), folder.path().join("junk.pem"));
    let made = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=other -keyout".split(' '))
        .args([&folder.path().join("other.key"), Path::new("-out"), &other_ca])
        .output()
        .expect("openssl starts");
    assert!(made.status.success(), "{made:?}");
    std::fs::write(&junk, "no certificate").expect("a file");
    let on = |brokers: &str, protocol: &str| -> Vec<(&'static str, String)> {
        vec![
            ("KAFKA_BROKERS", brokers.to_owned()),
            ("KAFKA_SECURITY_PROTOCOL", protocol.to_owned()),
        ]
    };
    let with = |mut settings: Vec<(&'static str, String)>, more: &[(&'static str, &str)]| {
        settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        settings
    };
    let login = |mechanism: &'static str, user: &'static str| {
        with(
            on(&sasl, "SASL_PLAINTEXT"),
            &[
                ("KAFKA_SASL_MECHANISM", mechanism),
                ("KAFKA_SASL_USERNAME", user),
                ("KAFKA_SASL_PASSWORD", SECRET),
            ],
        )
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let cases: Vec<Case> = vec![
        (
            1,
            on(NOBODY, "PLAINTEXT"),
            words(&[NOBODY, "Connection refused", "KAFKA_BROKERS"]),
        ),
        (
            1,
            on("no.such.host.invalid:9092", "PLAINTEXT"),
            words(&["no.such.host.invalid:9092", "resolve", "KAFKA_BROKERS"]),
        ),
        (
            2,
            with(on(&plain, "PLAINTEXT"), &[("KAFKA_TOPIC", "no-such-topic")]),
            words(&["no-such-topic", &plain, "KAFKA_TOPIC"]),
        ),
        (
            2,
            login("PLAIN", "lakebed"),
            words(&[&sasl, "Invalid username or password", "KAFKA_SASL_"]),
        ),
        (
            2,
            login("SCRAM-SHA-256", "lakebed"),
            words(&[&sasl, "SCRAM-SHA-256", "KAFKA_SASL_"]),
        ),
        (
            2,
            login("SCRAM-SHA-512", "nobody"),
            words(&[&sasl, "SCRAM-SHA-512", "KAFKA_SASL_"]),
        ),
        (
            2,
            on(&sasl, "SASL_PLAINTEXT"),
            words(&["KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"]),
        ),
        (
            2,
            with(on(&ssl, "SSL"), &[("KAFKA_SSL_CA_LOCATION", text(&other_ca))]),
            words(&[&ssl, "certificate", "KAFKA_SSL_"]),
        ),
        (2, on(&ssl, "SSL"), words(&[&ssl, "certificate", "KAFKA_SSL_"])),
        (
            2,
            with(on(&ssl, "SSL"), &[("KAFKA_SSL_CA_LOCATION", "/no/such/ca.pem")]),
            words(&["KAFKA_SSL_CA_LOCATION", "/no/such/ca.pem"]),
        ),
        (
            2,
            with(on(&ssl, "SSL"), &[("KAFKA_SSL_CA_LOCATION", text(&junk))]),
            words(&["ssl.ca.location", "KAFKA_"]),
        ),
        (
            2,
            with(on(&ssl, "SSL"), &[("KAFKA_SSL_CERTIFICATE_LOCATION", text(&other_ca))]),
            words(&["KAFKA_SSL_CERTIFICATE_LOCATION", "KAFKA_SSL_KEY_LOCATION"]),
        ),
        (2, on(&ssl, "PLAINTEXT"), words(&[&ssl, "KAFKA_SECURITY_PROTOCOL"])),
        (2, on(&sasl, "PLAINTEXT"), words(&[&sasl, "KAFKA_SECURITY_PROTOCOL"])),
        (
            2,
            with(
                on(&plain, "SSL"),
                &[("KAFKA_SSL_CA_LOCATION", &service("LAKEBED_TEST_CA"))],
            ),
            words(&[&plain, "KAFKA_SECURITY_PROTOCOL"]),
        ),
    ];
    // Most of the time of each goes by in waiting.
    std::thread::scope(|scope| {
        for (index, (code, settings, words)) in cases.iter().enumerate() {
            let (topic, folder) = (&topic.name, folder.path());
            let envs = settings.iter().map(|(name, value)| (*name, value.clone()));
            let check = move |command: &mut Command| {
                let begun = std::time::Instant::now();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                refuses(command.envs(envs.clone()), *code, &words);
                assert!(begun.elapsed().as_secs() < 20, "{command:?} took {:?}", begun.elapsed());
            };
            let fed = check.clone();
            scope.spawn(move || fed(&mut produce(folder, topic)));
            scope.spawn(move || check(&mut archive(topic, text(&folder.join(format!("lake{index}"))))));
        }
    });
    // Where an archiver was refused, the next one finds nothing in its way.
    run(&mut produce(folder.path(), &topic.name));
    for index in [0, 2, 3] {
        let lake = folder.path().join(format!("lake{index}"));
        run(archive(&topic.name, text(&lake)).arg("--until-end"));
        assert_eq!(held(&lake).rows, places(1, 10));
    }
}

#[tokio::test]
async fn a_lake_that_cannot_be_used_is_told_by_what_is_wrong_with_it() {
    let topic = Topic::new(1).await;
    let folder = folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "something else").expect("a file");
    let bucket = format!("s3://{}/lake", service("LAKEBED_TEST_BUCKET"));
    let under = file.join("lake");
    let none: Settings = &[];
    let cases: [(i32, &str, Settings, Words); 13] = [
        (2, "gs://bucket/lake", none, &["gs://bucket/lake", "DATA_LAKE_PATH"]),
        (2, "s3://", none, &["s3://", "bucket"]),
        (
            2,
            "s3://no-such-bucket/lake",
            none,
            &["no-such-bucket", "does not exist", "DATA_LAKE_PATH"],
        ),
        (2, "s3://a bucket/lake", none, &["s3://a bucket/lake"]),
        (
            2,
            &bucket,
            &[("AWS_SECRET_ACCESS_KEY", SECRET)],
            &[&bucket, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"],
        ),
        (
            2,
            &bucket,
            &[("AWS_ACCESS_KEY_ID", "nobody")],
            &[&bucket, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"],
        ),
        (2, &bucket, &[("AWS_ACCESS_KEY_ID", "")], &["AWS_ACCESS_KEY_ID"]),
        (
            2,
            &bucket,
            &[("AWS_ACCESS_KEY_ID", "with\na-line-break")],
            &["AWS_ACCESS_KEY_ID"],
        ),
        (2, &bucket, &[("AWS_REGION", "no region")], &["AWS_REGION"]),
        (2, &bucket, &[("AWS_ENDPOINT_URL", "localhost")], &["AWS_ENDPOINT_URL"]),
        (
            1,
            &bucket,
            &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")],
            &[&bucket, "127.0.0.1:1", "Connection refused"],
        ),
        (2, text(&file), none, &[text(&file), "DATA_LAKE_PATH"]),
        (2, text(&under), none, &[text(&under), "DATA_LAKE_PATH"]),
    ];
    std::thread::scope(|scope| {
        for (code, lake, settings, words) in &cases {
            for command in [archive(&topic.name, lake), process(lake), query(lake)] {
                scope.spawn(move || {
                    let mut command = command;
                    with_store(&mut command);
                    refuses(command.envs(settings.iter().copied()), *code, words);
                });
            }
        }
    });
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), "something else");
    refuses(
        &mut archive(&topic.name, "/proc/lake"),
        2,
        &["/proc/lake", "DATA_LAKE_PATH"],
    );
}

#[test]
fn a_lake_that_is_not_there_is_named_and_not_made() {
    let folder = folder();
    let lake = folder.path().join("lake");
    refuses(
        &mut process(text(&lake)),
        1,
        &[text(&lake), "raw_events", "DATA_LAKE_PATH"],
    );
    refuses(
        &mut query(text(&lake)),
        1,
        &[text(&lake), "raw_events", "DATA_LAKE_PATH"],
    );
    let mut tables = lakebed(&["query", "SELECT * FROM historical_hourly_trends"]);
    refuses(
        tables.env("DATA_LAKE_PATH", text(&lake)),
        1,
        &[text(&lake), "lakebed process"],
    );
    assert!(!lake.exists());
}

#[tokio::test]
async fn a_damaged_lake_is_told_by_the_file_and_works_again_once_that_is_mended() {
    let folder = folder();
    let lake = folder.path();
    let topic = small_lake(lake).await;
    let file = data_file(lake);
    let whole = std::fs::read(&file).expect("a file");
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    let mut noisy = whole.clone();
    (100..whole.len() / 2)
        .step_by(37)
        .for_each(|index| noisy[index] ^= 0x5a);
    let columns = "SELECT sum(bytes_changed) FROM raw_events";
    for damaged in [&whole[..whole.len() / 2], b"", b"not Parquet at all, but long enough"] {
        std::fs::write(&file, damaged).expect("a file");
        refuses(&mut process(text(lake)), 1, &[name]);
        refuses(lakebed(&["query", columns]).env("DATA_LAKE_PATH", lake), 1, &[name]);
    }
    std::fs::write(&file, &noisy).expect("a file");
    refuses(&mut process(text(lake)), 1, &[name, "bring the file back"]);
    std::fs::remove_file(&file).expect("removed");
    refuses(&mut process(text(lake)), 1, &[name]);
    std::fs::write(&file, &whole).expect("a file");
    run(&mut process(text(lake)));
    // What an earlier run has summed up is missed all the same.
    std::fs::write(&file, &whole[..whole.len() / 2]).expect("a file");
    refuses(&mut process(text(lake)), 1, &[name, "bytes"]);
    let skipped = run(process(text(lake)).arg("--skip-corrupt"));
    assert!(skipped.contains(name), "{skipped}");
    std::fs::remove_file(&file).expect("removed");
    refuses(&mut process(text(lake)), 1, &[name, "not there"]);
    std::fs::write(&file, &whole).expect("a file");
    run(&mut process(text(lake)));

    let (commit, aside) = (
        lake.join("raw_events/_delta_log/00000000000000000001.json"),
        lake.join("aside"),
    );
    std::fs::rename(&commit, &aside).expect("moved");
    for mut command in [process(text(lake)), query(text(lake)), archive(&topic.name, text(lake))] {
        refuses(
            &mut command,
            1,
            &["raw_events", "00000000000000000002.json", "_delta_log"],
        );
    }
    std::fs::rename(&aside, &commit).expect("moved");
    let whole = std::fs::read(&commit).expect("a commit");
    for damaged in [&b"{\"add\": {\"path\""[..], b"nonsense\n"] {
        std::fs::write(&commit, damaged).expect("a commit");
        for mut command in [process(text(lake)), query(text(lake)), archive(&topic.name, text(lake))] {
            refuses(&mut command, 1, &["raw_events", "_delta_log"]);
        }
    }
    std::fs::write(&commit, &whole).expect("a commit");
    run(&mut process(text(lake)));
    topic.send((10..20).map(event));
    run(archive(&topic.name, text(lake)).arg("--until-end"));
    assert_eq!(held(lake).rows, places(1, 20));
}

/// `lakebed archive --until-end` that may write no file of more than 20 KB, as on a disk that is full.
fn archive_without_room(topic: &str, lake: &Path) -> Command {
    let archive = archive(topic, text(lake));
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f 40; exec \"$0\" \"$@\""])
        .arg(archive.get_program())
        .args(archive.get_args())
        .arg("--until-end")
        .envs(archive.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[tokio::test]
async fn without_room_the_archiver_ends_and_the_next_with_room_archives_everything_once() {
    let topic = Topic::new(2).await;
    topic.send((0..5000).map(event));
    let folder = folder();
    let lake = folder.path();
    let mut command = archive_without_room(&topic.name, lake);
    refuses(command.env("BATCH_SIZE", "5000"), 1, &["no room", text(lake)]);
    let json = archive_without_room(&topic.name, lake)
        .env("BATCH_SIZE", "5000")
        .env("LOG_FORMAT", "json")
        .output()
        .expect("the program starts");
    assert_eq!(json.status.code(), Some(1));
    let lines: Vec<Value> = String::from_utf8_lossy(&json.stderr)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(lines.len() > 1, "{lines:?}");
    let last = lines.last().expect("a line");
    assert_eq!(
        (&last["level"], &last["kind"], &last["exit_code"]),
        (&json!("ERROR"), &json!("resource"), &json!(1))
    );
    assert!(
        last["message"]
            .as_str()
            .is_some_and(|message| message.contains("no room")),
        "{last}"
    );

    run(archive(&topic.name, text(lake)).arg("--until-end"));
    assert_eq!(held(lake).rows, places(2, 5000));
}

#[tokio::test]
async fn a_disk_that_fills_up_on_the_way_loses_and_doubles_nothing() {
    let topic = Topic::new(2).await;
    let messages = 40_000;
    topic.send((0..messages).map(event));
    let folder = folder();
    let (small, lake) = (folder.path().join("small"), folder.path().join("lake"));
    for place in [&small, &lake] {
        std::fs::create_dir(place).expect("a folder");
    }
    let archive_small = archive(&topic.name, text(&small));
    // The disk is there for this process only, so what it holds is copied before it goes.
    let script = "place=$1 copy=$2; shift 2
        mount -t tmpfs -o size=1m lakebed-test \"$place\" || exit 90
        \"$0\" \"$@\"; code=$?; cp -a \"$place/.\" \"$copy\"; exit $code";
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .arg(archive_small.get_program())
        .args([&small, &lake])
        .args(archive_small.get_args())
        .arg("--until-end")
        .env("LOG_LEVEL", "warn")
        .envs(
            archive_small
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    let probe = Command::new("unshare")
        .args([
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            "mount -t tmpfs -o size=1m lakebed-test \"$0\"",
            text(&small),
        ])
        .output();
    if !probe.as_ref().is_ok_and(|output| output.status.success()) {
        println!("skipped: no disk of a test's own can be mounted here: {probe:?}");
        return;
    }
    refuses(&mut command, 1, &["no room", "No space left on device", text(&small)]);
    // A file that no commit names may lie about until the next run sweeps it.
    let before = committed_rows(&lake, "raw_events");
    assert!(before > 0 && before < 40_000, "{before} rows fit");
    run(archive(&topic.name, text(&lake)).arg("--until-end"));
    assert_eq!(held(&lake).rows, places(2, 40_000));
}

#[tokio::test]
async fn a_result_that_does_not_fit_is_an_error() {
    for format in ["text", "json"] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full");
        let output = lakebed(&["config", "--format", format])
            .stdout(full)
            .output()
            .expect("the program starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.starts_with("error: cannot write to stdout: No space left"),
            "{stderr}"
        );
    }
    for format in ["table", "csv", "json", "parquet"] {
        refuses(
            &mut lakebed(&["query", "SELECT 1", "--format", format, "--output", "/dev/full"]),
            1,
            &["No space left"],
        );
    }
    refuses(
        &mut lakebed(&["query", "SELECT 1", "--output", "/no/such/file"]),
        2,
        &["--output", "/no/such/file"],
    );
}

/// Runs statements as the user who owns the test's database.
async fn sql(statements: &str) {
    let mut config = tokio_postgres::Config::new();
    config
        .host(service("POSTGRES_HOST"))
        .port(service("POSTGRES_PORT").parse().expect("a port"))
        .dbname(service("POSTGRES_DB"))
        .user(service("POSTGRES_USER"))
        .password(service("POSTGRES_PASSWORD"));
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("PostgreSQL answers");
    let served = tokio::spawn(connection);
    client.batch_execute(statements).await.expect("the statements run");
    drop(client);
    let _ = served.await;
}

#[tokio::test]
async fn a_postgresql_that_cannot_be_used_is_told_by_what_is_wrong_with_it() {
    let folder = folder();
    let lake = folder.path();
    small_lake(lake).await;
    let schema = unique("errors").replace('-', "_");
    let user = unique("role").replace('-', "_");
    let (host, port) = (service("POSTGRES_HOST"), service("POSTGRES_PORT"));
    let server = format!("{host}:{port}");
    sql(&format!("CREATE ROLE {user} LOGIN PASSWORD '{SECRET}'")).await;
    let cases: [(i32, Settings, Words); 9] = [
        (
            1,
            &[("POSTGRES_PORT", "1")],
            &["127.0.0.1:1", "Connection refused", "POSTGRES_PORT"],
        ),
        (
            1,
            &[("POSTGRES_HOST", "no.such.host.invalid")],
            &["no.such.host.invalid", "POSTGRES_HOST"],
        ),
        (
            2,
            &[("POSTGRES_PASSWORD", SECRET)],
            &[&server, "password authentication failed", "POSTGRES_PASSWORD"],
        ),
        (2, &[("POSTGRES_PASSWORD", "")], &[&server, "POSTGRES_PASSWORD"]),
        (2, &[("POSTGRES_USER", "nobody")], &[&server, "nobody", "POSTGRES_USER"]),
        (
            2,
            &[("POSTGRES_DB", "no_such_db")],
            &[&server, "no_such_db", "POSTGRES_DB"],
        ),
        (
            2,
            &[("POSTGRES_USER", &user), ("POSTGRES_PASSWORD", SECRET)],
            &[&server, &schema, "permission denied", "POSTGRES_SCHEMA"],
        ),
        (
            2,
            &[("POSTGRES_SSLMODE", "verify-full")],
            &[&server, "certificate", "POSTGRES_SSLROOTCERT"],
        ),
        (
            2,
            &[
                ("POSTGRES_SSLMODE", "verify-full"),
                ("POSTGRES_SSLROOTCERT", "/no/such/ca.pem"),
            ],
            &["/no/such/ca.pem", "POSTGRES_SSLROOTCERT"],
        ),
    ];
    std::thread::scope(|scope| {
        for (code, settings, words) in &cases {
            let mut table = lakebed(&["query", "SELECT * FROM historical_hourly_trends"]);
            table.env("DATA_LAKE_PATH", lake);
            let needs_no_rights = words.contains(&"permission denied");
            for (index, mut command) in [process(text(lake)), table].into_iter().enumerate() {
                if index == 0 || !needs_no_rights {
                    with_postgres(&mut command, &schema);
                    scope.spawn(move || {
                        refuses(command.envs(settings.iter().copied()), *code, words);
                    });
                }
            }
        }
    });
    let mut command = process(text(lake));
    with_postgres(&mut command, &schema);
    let report = json(command.args(["--format", "json"]));
    assert_eq!(report["events_read"], json!(10));
    sql(&format!("DROP SCHEMA {schema} CASCADE; DROP ROLE {user}")).await;
}

#[tokio::test]
async fn a_table_with_other_columns_is_refused_by_name_before_any_work() {
    let folder = folder();
    let lake = folder.path();
    small_lake(lake).await;
    let schema = unique("columns").replace('-', "_");
    sql(&format!(
        "CREATE SCHEMA {schema}; CREATE TABLE {schema}.historical_server_rankings (server text)"
    ))
    .await;
    let mut command = process(text(lake));
    with_postgres(&mut command, &schema);
    let words = [
        "historical_server_rankings",
        &schema,
        "server text is one too many",
        "POSTGRES_SCHEMA",
    ];
    let stderr = refuses(&mut command, 2, &words);
    assert!(!stderr.contains("reading the lake"), "{stderr}");
    sql(&format!("DROP TABLE {schema}.historical_server_rankings")).await;
    run(&mut command);
    sql(&format!("DROP SCHEMA {schema} CASCADE")).await;
}

#[tokio::test]
async fn input_that_cannot_be_read_is_told_and_what_came_before_is_fed() {
    let topic = Topic::new(1).await;
    let folder = folder();
    let feed = |file: &Path| {
        let mut command = lakebed(&["produce", text(file), "--format", "json"]);
        command
            .env("KAFKA_BROKERS", service("KAFKA_BROKERS"))
            .env("KAFKA_TOPIC", &topic.name);
        command
    };
    refuses(
        &mut feed(&folder.path().join("none.json")),
        2,
        &["none.json", "no file"],
    );
    refuses(&mut feed(folder.path()), 2, &[text(folder.path()), "folder"]);

    let file = folder.path().join("events.json.gz");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for number in 0..3000 {
        writeln!(encoder, "{}", event(number).expect("an event")).expect("written");
    }
    let whole = encoder.finish().expect("compressed");
    std::fs::write(&file, &whole[..whole.len() / 2]).expect("a file");
    let stderr = refuses(&mut feed(&file), 1, &["events.json.gz", "ends too early"]);
    let fed: usize = stderr
        .split_once("after ")
        .and_then(|(_, rest)| rest.split_once(" whole lines")?.0.parse().ok())
        .expect("the number of lines");
    assert!(fed > 0 && fed < 3000, "{stderr}");
    let lake = folder.path().join("lake");
    run(archive(&topic.name, text(&lake)).arg("--until-end"));
    assert_eq!(held(&lake).rows, places(1, fed));
}

#[tokio::test]
async fn a_message_that_the_broker_does_not_take_is_counted_as_undelivered() {
    let topic = Topic::new(1).await;
    let folder = folder();
    let file = folder.path().join("events.json");
    // Noise, since the broker's limit holds for what is compressed.
    let mut seed: u64 = 20_260_115;
    let noise: String = (0..20_000_000)
        .map(|_| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            char::from(b'0' + (seed >> 33) as u8 % 64)
        })
        .collect();
    std::fs::write(&file, format!("{}\n{noise}\n", event(0).expect("an event"))).expect("a file");
    let mut command = lakebed(&["produce", text(&file), "--format", "json"]);
    command
        .env("KAFKA_BROKERS", service("KAFKA_BROKERS"))
        .env("KAFKA_TOPIC", &topic.name);
    refuses(
        &mut command,
        1,
        &["1 messages were not delivered", "1 were", &topic.name, "too large"],
    );
    let lake = folder.path().join("lake");
    run(archive(&topic.name, text(&lake)).arg("--until-end"));
    let held = held(&lake);
    assert_eq!(held.rows.len() + held.quarantined.len(), 1);
}

#[test]
fn the_settings_file_is_told_by_line_and_without_its_secrets() {
    let folder = folder();
    let file = folder.path().join("settings.env");
    for content in [
        format!("KAFKA_TOPIC=a\nAWS_SECRET_ACCESS_KEY=two {SECRET}\n"),
        format!("KAFKA_TOPIC=a\nPOSTGRES_PASSWORD='{SECRET}\n"),
        format!("# passwords\n{SECRET}\n"),
    ] {
        std::fs::write(&file, content).expect("a file");
        let mut command = lakebed(&["config"]);
        refuses(
            command.env("LAKEBED_CONFIG", &file),
            2,
            &[text(&file), "line 2", "LAKEBED_CONFIG"],
        );
    }
    let missing = folder.path().join("none.env");
    let mut command = lakebed(&["config"]);
    refuses(
        command.env("LAKEBED_CONFIG", &missing),
        2,
        &[text(&missing), "LAKEBED_CONFIG"],
    );
}

#[test]
fn errors_show_no_secret_at_any_level_of_the_logs() {
    let folder = folder();
    for (name, arguments) in [
        ("KAFKA_SASL_PASSWORD", &["produce", "/dev/null"][..]),
        ("AWS_SECRET_ACCESS_KEY", &["process"]),
        ("AWS_SESSION_TOKEN", &["process"]),
        ("POSTGRES_PASSWORD", &["process"]),
    ] {
        let mut command = lakebed(arguments);
        command
            .envs([("RUST_BACKTRACE", "1"), ("LOG_LEVEL", "trace"), ("RUST_LOG", "trace")])
            .env("KAFKA_BROKERS", service("LAKEBED_TEST_KAFKA_SASL"))
            .envs([
                ("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
                ("KAFKA_SASL_USERNAME", "lakebed"),
            ])
            .env("DATA_LAKE_PATH", folder.path());
        if name.starts_with("AWS") {
            with_store(&mut command);
            command.env(
                "DATA_LAKE_PATH",
                format!("s3://{}/lake", service("LAKEBED_TEST_BUCKET")),
            );
        }
        if name.starts_with("POSTGRES") {
            with_postgres(&mut command, "public");
        }
        let output = command.env(name, SECRET).output().expect("the program starts");
        assert!(!output.status.success(), "{name}");
        let all = [output.stdout, output.stderr].concat();
        hides_secrets(&String::from_utf8_lossy(&all));
    }
}
