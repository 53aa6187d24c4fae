//! `lakebed process` again and again, and one run at a time: schedules, triggers, limits, and what becomes of the lease
//! when its holder waits, ends or dies.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::http::{get, request, send};
use crate::support::kafka::{Topic, event};
use crate::support::lake::{bucket_lake, eventually, eventually_async, objects};
use crate::support::metrics::{port, scrape};
use crate::support::postgres::Schema;
use crate::support::program::{
    Running, archive, ended, has_ended, json as json_of, lakebed, process_id, refuses, run, signal, start, terminate,
    with_postgres, with_store,
};
use crate::support::python;
use crate::support::toxiproxy::{Proxy, Stream, Toxic};

const RUNS: &str = r#"lakebed_runs_total{outcome="published"}"#;
const FAILED: &str = r#"lakebed_runs_total{outcome="failed"}"#;
const HELD: &str = r#"lakebed_runs_skipped_total{reason="held"}"#;

/// `lakebed process` over all events that tests send, with a port for its metrics where it repeats.
fn process(lake: &str, arguments: &[&str]) -> Command {
    let mut command = lakebed(&["process", "--days", "3650"]);
    command
        .args(arguments)
        .env("DATA_LAKE_PATH", lake)
        .env("METRICS_LISTEN", "0");
    command
}

/// A lake of so many events.
async fn filled(topic: &Topic, lake: &str, events: std::ops::Range<u64>) {
    topic.send(events.map(event));
    run(archive(&topic.name, lake).arg("--until-end"));
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn log_has(log: &Path, words: &str) -> bool {
    std::fs::read_to_string(log).unwrap_or_default().contains(words)
}

fn told_to_end(program: &mut Running) -> Option<i32> {
    terminate(program);
    ended(program)
}

/// Rows of a query over the lake.
fn rows(lake: &str, sql: &str) -> Value {
    let mut command = lakebed(&["query", sql, "--format", "json"]);
    command.env("DATA_LAKE_PATH", lake);
    with_store(&mut command);
    json_of(&mut command)
}

/// Keeps publishers of a schema waiting, before they have read anything, for as long as it lives.
struct Gate(Schema);

impl Gate {
    async fn closed() -> Gate {
        let schema = Schema::new().await;
        let lock = format!(
            "SELECT pg_advisory_lock(hashtextextended('lakebed:{}', 0))",
            schema.name
        );
        schema.client.batch_execute(&lock).await.expect("a lock");
        Gate(schema)
    }

    async fn open(&self) {
        let open = "SELECT pg_advisory_unlock_all()";
        self.0.client.batch_execute(open).await.expect("no lock");
    }

    /// Waits until a run has the lease.
    async fn until_held(&self) {
        let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
                   AND (classid::bigint << 32) | objid::bigint = hashtextextended('lakebed-run:' || $1::text, 0)";
        let held = async || {
            let held = self.0.client.query_one(sql, &[&self.0.name]).await.expect("an answer");
            held.get::<_, i64>(0) > 0
        };
        eventually_async("a run has the lease", held).await;
    }
}

#[tokio::test]
async fn it_runs_at_once_and_again_and_takes_in_what_is_new() {
    let topic = Topic::new(1).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, log) = (folder.path().join("lake"), folder.path().join("log"));
    let lake = text(&lake);
    filled(&topic, lake, 0..600).await;
    let mut program = start(process(lake, &["--every", "1s"]).env("LOG_FORMAT", "json"), &log);
    let address = port(&log);
    eventually("two runs", || scrape(&address).value(RUNS) >= 2.0);
    let first = scrape(&address);
    let version = first.value("lakebed_published_lake_version");
    assert!(first.value("lakebed_last_success_timestamp_seconds") > 1.7e9);
    assert_eq!(
        (first.value("lakebed_run_files_total"), first.value(FAILED)),
        (2.0, 0.0)
    );
    assert!(first.value("lakebed_run_bytes_total") > 1000.0);
    filled(&topic, lake, 600..900).await;
    eventually("the new version is published", || {
        scrape(&address).value("lakebed_published_lake_version") > version
    });
    let found = scrape(&address);
    assert_eq!(found.value("lakebed_run_files_total"), 3.0, "files are read once");
    assert!(found.value("lakebed_run_events_total") >= 2100.0);
    for step in ["prepare", "sum_up", "tables", "publish"] {
        let count = format!("lakebed_run_step_duration_seconds_count{{step=\"{step}\"}}");
        assert!(found.value(&count) >= 3.0, "{step}");
    }
    for (name, kind) in &found.types {
        let document = include_str!("../../docs/metrics.md");
        assert!(document.contains(&format!("| `{name}` | {kind} |")), "{name}");
    }
    let health = get(&address, "/healthz");
    assert_eq!(health.status, 200, "{}", health.body);
    assert_eq!(told_to_end(&mut program), Some(0));
    let sums = rows(
        lake,
        "SELECT sum(total_events) AS events FROM historical_hourly_patterns",
    );
    assert_eq!(sums, json!([{"events": 900}]));
    let log = std::fs::read_to_string(&log).expect("a log");
    assert!(
        log.contains("next run at") && log.contains("1s after the end of each run"),
        "{log}"
    );
}

#[tokio::test]
async fn a_run_that_is_asked_for_leaves_the_next_time_as_it_is() {
    let topic = Topic::new(1).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, log) = (folder.path().join("lake"), folder.path().join("log"));
    filled(&topic, text(&lake), 0..100).await;
    let mut program = start(
        process(text(&lake), &["--every"]).env("BATCH_INTERVAL_SECONDS", "1000"),
        &log,
    );
    let address = port(&log);
    let waits = |runs: f64| {
        eventually("a run has ended, and the next waits", || {
            let found = scrape(&address);
            found.value(RUNS) == runs && !found.values("lakebed_until_next_run_seconds").is_empty()
        });
        scrape(&address).value("lakebed_until_next_run_seconds")
    };
    let first = waits(1.0);
    assert!(first > 900.0 && first <= 1000.0, "{first}");
    signal(&program, "USR1");
    let second = waits(2.0);
    let asked = request(&address, "POST", "/run", "");
    assert_eq!(asked.status, 202, "{}", asked.body);
    let third = waits(3.0);
    assert!(
        second < first && third < second,
        "the next time has moved: {first} {second} {third}"
    );
    // There is no login: other pages and other methods are refused.
    let of_a_page = format!(
        "POST /run HTTP/1.1\r\nHost: {address}\r\nOrigin: http://example.org\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(send(&address, &of_a_page).status, 403);
    assert_eq!(get(&address, "/run").status, 405);
    assert_eq!(scrape(&address).value(RUNS), 3.0);
    assert_eq!(told_to_end(&mut program), Some(0));
    let log = std::fs::read_to_string(&log).expect("a log");
    assert_eq!(log.matches("trigger").count(), 2, "{log}");
}

#[tokio::test]
async fn cron_times_are_told_in_their_zone_and_kept() {
    let topic = Topic::new(1).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, log) = (folder.path().join("lake"), folder.path().join("log"));
    filled(&topic, text(&lake), 0..100).await;
    let mut program = start(
        &mut process(text(&lake), &["--cron", "* * * * * *", "--jitter", "100ms"]),
        &log,
    );
    let address = port(&log);
    eventually("some runs", || scrape(&address).value(RUNS) >= 3.0);
    assert_eq!(told_to_end(&mut program), Some(0));

    let log = folder.path().join("rare");
    let mut rare = start(
        &mut process(text(&lake), &["--cron", "30 3 1 1 *", "--time-zone", "Asia/Kolkata"]),
        &log,
    );
    eventually("the next time is told", || {
        log_has(&log, "-01-01T03:30:00+05:30 (Asia/Kolkata)") && log_has(&log, "in Asia/Kolkata")
    });
    let address = port(&log);
    let found = scrape(&address);
    assert!(found.value("lakebed_until_next_run_seconds") > 1.0 && found.value(RUNS) == 0.0);
    assert_eq!(get(&address, "/healthz").status, 200);
    assert_eq!(told_to_end(&mut rare), Some(0));
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (arguments, words) in [
        (
            &["--every", "1h", "--cron", "* * * * *"] as &[&str],
            &["--every", "--cron"] as &[&str],
        ),
        (&["--every", "soon"], &["--every", "90s"]),
        (&["--every", "0s"], &["--every"]),
        (&["--cron", "every day"], &["--cron", "minute, hour"]),
        (&["--cron", "0 0 30 2 *"], &["--cron", "no such time"]),
        (
            &["--cron", "* * * * *", "--time-zone", "Mars"],
            &["--time-zone", "Europe/Berlin"],
        ),
        (&["--time-zone", "Europe/Berlin"], &["--time-zone", "--cron"]),
        (&["--jitter", "1m"], &["--jitter", "--every"]),
        (&["--every", "--now", "2026-01-02T00:00:00Z"], &["--now", "--every"]),
        (&["--timeout", "0"], &["--timeout"]),
        (&["--retries", "many"], &["--retries"]),
    ] {
        refuses(lakebed(&["process"]).args(arguments), 2, words);
    }
}

#[tokio::test]
async fn one_run_at_a_time_publishes_and_the_others_wait_or_leave_it_out() {
    let topic = Topic::new(1).await;
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().join("lake");
    filled(&topic, text(&lake), 0..100).await;
    let gate = Gate::closed().await;
    let of_gate = |arguments: &[&str]| {
        let mut command = process(text(&lake), arguments);
        with_postgres(&mut command, &gate.0.name);
        command
    };
    let logs = ["first", "second", "third"].map(|name| folder.path().join(name));
    let mut first = start(&mut of_gate(&[]), &logs[0]);
    gate.until_held().await;
    let mut second = start(&mut of_gate(&[]), &logs[1]);
    let holder = format!("process {} on ", process_id(&first));
    eventually("the second says whom it waits for", || {
        log_has(&logs[1], "waiting for its end") && log_has(&logs[1], &holder) && log_has(&logs[1], ", since 20")
    });
    let mut third = start(&mut of_gate(&["--every", "1000s"]), &logs[2]);
    let address = port(&logs[2]);
    eventually("the third leaves this time out", || scrape(&address).value(HELD) == 1.0);
    assert!(log_has(&logs[2], "this time is left out") && log_has(&logs[2], &holder));
    assert_eq!(get(&address, "/healthz").status, 200, "it is no failure");
    // One that is told to end while it waits has nothing to wait for.
    let mut fourth = start(&mut of_gate(&[]), &folder.path().join("fourth"));
    assert_eq!(told_to_end(&mut fourth), Some(1));
    refuses(
        &mut of_gate(&["--timeout", "8s"]),
        1,
        &["another run publishes into", &holder, "run again"],
    );

    gate.open().await;
    assert_eq!((ended(&mut first), ended(&mut second)), (Some(0), Some(0)));
    signal(&third, "USR1");
    eventually("the third runs when it is asked to", || {
        scrape(&address).value(RUNS) == 1.0
    });
    assert_eq!(told_to_end(&mut third), Some(0));
    assert_eq!(gate.0.outcomes().await, ["published"; 3]);
    let overlaps = format!(
        "SELECT count(*) FROM {0}.lakebed_runs a JOIN {0}.lakebed_runs b ON a.id < b.id AND b.started_at < a.ended_at",
        gate.0.name
    );
    let overlaps = gate.0.client.query_one(&overlaps, &[]).await.expect("an answer");
    assert_eq!(overlaps.get::<_, i64>(0), 0, "runs were at work at the same time");
}

#[tokio::test]
async fn a_holder_that_is_killed_loses_the_lease_at_once() {
    let topic = Topic::new(1).await;
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().join("lake");
    filled(&topic, text(&lake), 0..100).await;
    let gate = Gate::closed().await;
    let mut command = process(text(&lake), &[]);
    with_postgres(&mut command, &gate.0.name);
    let (log, next) = (folder.path().join("first"), folder.path().join("second"));
    let mut first = start(&mut command, &log);
    gate.until_held().await;
    let mut second = start(&mut command, &next);
    eventually("the second waits", || log_has(&next, "waiting for its end"));
    signal(&first, "KILL");
    assert_eq!(ended(&mut first), None);
    gate.open().await;
    assert_eq!(ended(&mut second), Some(0));
    assert_eq!(gate.0.outcomes().await, ["published"]);
}

#[tokio::test]
async fn runs_into_the_lake_take_turns_and_a_killed_one_leaves_it_free() {
    let topic = Topic::new(1).await;
    let lake = bucket_lake();
    filled(&topic, &lake, 0..100).await;
    let folder = tempfile::tempdir().expect("a folder");
    let slow = Proxy::of_store().await;
    slow.disturb(Toxic::Latency { ms: 200, jitter: 0 }, Stream::Answers, 100)
        .await;
    let of_lake = |arguments: &[&str], through: Option<&Proxy>| {
        let mut command = process(&lake, arguments);
        with_store(&mut command);
        if let Some(proxy) = through {
            command.env("AWS_ENDPOINT_URL", format!("http://{}", proxy.address));
        }
        command
    };
    let claimed = async || !objects(&lake, "history/lease").await.is_empty();
    let mut first = start(&mut of_lake(&[], Some(&slow)), &folder.path().join("first"));
    eventually_async("the first has claimed the lease", claimed).await;
    let log = folder.path().join("second");
    let mut second = start(&mut of_lake(&["--every", "1000s"], None), &log);
    let address = port(&log);
    eventually("another process leaves this time out", || {
        scrape(&address).value(HELD) == 1.0
    });
    assert!(log_has(&log, &format!("process {} on ", process_id(&first))));
    assert_eq!(has_ended(&mut first), None, "it is still at work");
    signal(&first, "KILL");
    assert_eq!(ended(&mut first), None);
    let report = json_of(of_lake(&["--format", "json"], None).env("METRICS_LISTEN", ""));
    assert_eq!(report["outcome"], "published", "{report}");
    signal(&second, "USR1");
    eventually("and the other runs when it is asked to", || {
        scrape(&address).value(RUNS) == 1.0
    });
    assert_eq!(told_to_end(&mut second), Some(0));
    assert_eq!(objects(&lake, "history/lease").await.len(), 1, "one object is left");
    slow.remove().await;
}

#[tokio::test]
async fn a_holder_of_another_machine_that_says_nothing_loses_the_lease_after_a_while() {
    let topic = Topic::new(1).await;
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().join("lake");
    filled(&topic, text(&lake), 0..100).await;
    let leases = lake.join("history/lease");
    std::fs::create_dir_all(&leases).expect("a folder");
    let claim = json!({
        "lease": uuid::Uuid::new_v4(),
        "process": {"host": "far-away", "id": 12, "started": 1, "within": "another kernel"},
        "since": "2026-01-15T07:00:00Z",
        "given_back": false,
    });
    std::fs::write(leases.join(format!("{:020}.json", 41)), claim.to_string()).expect("a claim");
    let log = folder.path().join("log");
    let mut program = start(&mut process(text(&lake), &[]), &log);
    eventually("it says whom it waits for", || {
        log_has(&log, "process 12 on far-away, since 2026-01-15T07:00:00Z")
    });
    assert_eq!(ended(&mut program), Some(0));
    let left: Vec<_> = std::fs::read_dir(&leases).expect("a folder").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn told_to_end_a_run_publishes_nothing_and_the_next_one_is_right() {
    let topic = Topic::new(1).await;
    let lake = bucket_lake();
    filled(&topic, &lake, 0..100).await;
    let folder = tempfile::tempdir().expect("a folder");
    let slow = Proxy::of_store().await;
    slow.disturb(Toxic::Latency { ms: 100, jitter: 0 }, Stream::Answers, 100)
        .await;
    let through = |arguments: &[&str]| {
        let mut command = process(&lake, arguments);
        with_store(&mut command);
        command.env("AWS_ENDPOINT_URL", format!("http://{}", slow.address));
        command
    };
    for (name, arguments, code) in [("once", &[] as &[&str], 1), ("repeated", &["--every", "1000s"], 0)] {
        let log = folder.path().join(name);
        let mut program = start(&mut through(arguments), &log);
        eventually("it reads the lake", || log_has(&log, "reading the lake"));
        assert_eq!(told_to_end(&mut program), Some(code), "{name}");
        assert!(log_has(&log, "told to end") && !log_has(&log, "publishing"), "{name}");
    }
    let failed = python::run("runs.py", &[&lake]);
    for run in failed.as_array().expect("rows") {
        assert_eq!(run["outcome"], "failed");
        assert!(
            run["error"].as_str().is_some_and(|error| error.contains("told to end")),
            "{run}"
        );
    }
    assert_eq!(failed.as_array().map(Vec::len), Some(2), "{failed}");
    slow.heal().await;
    run(&mut through(&[]));
    let sums = rows(
        &lake,
        "SELECT sum(total_events) AS events FROM historical_hourly_patterns",
    );
    assert_eq!(sums, json!([{"events": 100}]));
    slow.remove().await;
}

#[tokio::test]
async fn told_to_end_while_it_publishes_a_run_publishes_and_ends() {
    let topic = Topic::new(1).await;
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().join("lake");
    filled(&topic, text(&lake), 0..100).await;
    let schema = Schema::new().await;
    let of_schema = |arguments: &[&str]| {
        let mut command = process(text(&lake), arguments);
        with_postgres(&mut command, &schema.name);
        command
    };
    run(&mut of_schema(&[]));
    for (name, arguments) in [
        ("once", &["--timeout", "1m"] as &[&str]),
        ("repeated", &["--every", "1000s"]),
    ] {
        let lock = "BEGIN; LOCK TABLE historical_server_rankings IN SHARE MODE";
        schema.client.batch_execute(lock).await.expect("a lock");
        let log = folder.path().join(name);
        let mut program = start(&mut of_schema(arguments), &log);
        eventually("it publishes", || log_has(&log, "publishing"));
        terminate(&program);
        eventually("it was told to end", || log_has(&log, "ending"));
        assert_eq!(has_ended(&mut program), None, "{name}: its outcome would not be known");
        schema.client.batch_execute("ROLLBACK").await.expect("no lock");
        assert_eq!(ended(&mut program), Some(0), "{name}");
    }
    assert_eq!(schema.outcomes().await, ["published"; 3]);
}

#[tokio::test]
async fn a_run_that_takes_too_long_fails_and_the_schedule_goes_on() {
    let topic = Topic::new(1).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, log) = (folder.path().join("lake"), folder.path().join("log"));
    filled(&topic, text(&lake), 0..100).await;
    let gate = Gate::closed().await;
    // Longer than a run takes on a machine that is busy.
    let mut command = process(text(&lake), &["--every", "1s", "--timeout", "10s"]);
    with_postgres(&mut command, &gate.0.name);
    let mut program = start(&mut command, &log);
    let address = port(&log);
    eventually("a run fails", || scrape(&address).value(FAILED) >= 1.0);
    let health = get(&address, "/healthz");
    assert_eq!(health.status, 503, "{}", health.body);
    assert!(
        health.body.contains("failing") && health.body.contains("--timeout 10s"),
        "{}",
        health.body
    );
    gate.open().await;
    eventually("a later one does not", || scrape(&address).value(RUNS) >= 1.0);
    let found = scrape(&address);
    assert_eq!(
        (found.value("lakebed_failed_runs"), get(&address, "/healthz").status),
        (0.0, 200)
    );
    assert_eq!(
        found.value("lakebed_run_retries_total"),
        0.0,
        "a run that took too long is not tried again"
    );
    assert_eq!(told_to_end(&mut program), Some(0));
}

#[tokio::test]
async fn what_may_succeed_later_is_tried_again_and_what_will_not_is_not() {
    let topic = Topic::new(1).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, log) = (folder.path().join("lake"), folder.path().join("log"));
    filled(&topic, text(&lake), 0..100).await;
    let schema = Schema::new().await;
    let server = Proxy::of_postgres().await;
    server.cut().await;
    let mut command = process(text(&lake), &["--every", "1000s", "--retries", "20"]);
    with_postgres(&mut command, &schema.name);
    command.env("POSTGRES_PORT", server.address.rsplit(':').next().expect("a port"));
    let mut program = start(&mut command, &log);
    let address = port(&log);
    eventually("it is tried again", || {
        scrape(&address).value("lakebed_run_retries_total") >= 1.0
    });
    assert!(log_has(&log, "trying again in") && log_has(&log, "of 21"));
    server.heal().await;
    eventually("and succeeds", || scrape(&address).value(RUNS) == 1.0);
    assert_eq!(scrape(&address).value(FAILED), 0.0);
    assert_eq!(told_to_end(&mut program), Some(0));
    server.remove().await;

    let log = folder.path().join("refused");
    let mut command = process(text(&lake), &["--every", "1s", "--mode", "error"]);
    with_postgres(&mut command, &schema.name);
    let mut program = start(&mut command, &log);
    let address = port(&log);
    eventually("runs fail, and the schedule goes on", || {
        scrape(&address).value(FAILED) >= 2.0
    });
    assert_eq!(scrape(&address).value("lakebed_run_retries_total"), 0.0);
    assert_eq!(get(&address, "/healthz").status, 503);
    assert_eq!(told_to_end(&mut program), Some(0));
}
