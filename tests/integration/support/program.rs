//! The program under test, run as its user runs it.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use super::lake::eventually;
use super::{service, unique};

/// Variables of the machine's that must not reach the program but by a test's own hand.
const CLEAN: [&str; 14] = [
    "KAFKA_BROKERS",
    "KAFKA_TOPIC",
    "KAFKA_GROUP",
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "POSTGRES_HOST",
    "POSTGRES_PORT",
    "POSTGRES_DB",
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "POSTGRES_SCHEMA",
    "DATA_LAKE_PATH",
];

/// `lakebed` with these arguments and no settings.
pub fn lakebed(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakebed"));
    command.args(arguments).stdin(Stdio::null());
    for name in CLEAN {
        command.env_remove(name);
    }
    command
}

/// `lakebed archive` of a topic into a lake, from its beginning, in a group of its own, with small flushes.
pub fn archive(topic: &str, lake: &str) -> Command {
    let mut command = lakebed(&["archive"]);
    command
        .env("KAFKA_BROKERS", service("KAFKA_BROKERS"))
        .env("KAFKA_TOPIC", topic)
        .env("KAFKA_GROUP", unique("group"))
        .env("KAFKA_SESSION_TIMEOUT_MS", "1000")
        .env("AUTO_OFFSET_RESET", "earliest")
        .env("BATCH_SIZE", "500")
        .env("TIMEOUT_SEC", "1")
        .env("DATA_LAKE_PATH", lake);
    with_store(&mut command);
    command
}

/// Adds the login of the S3 server.
pub fn with_store(command: &mut Command) {
    for name in [
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
    ] {
        command.env(name, service(name));
    }
}

/// Adds the login of PostgreSQL, and a schema.
pub fn with_postgres(command: &mut Command, schema: &str) {
    for name in [
        "POSTGRES_HOST",
        "POSTGRES_PORT",
        "POSTGRES_DB",
        "POSTGRES_USER",
        "POSTGRES_PASSWORD",
    ] {
        command.env(name, service(name));
    }
    command.env("POSTGRES_SCHEMA", schema);
}

/// Runs to the end; stdout where it exits 0.
pub fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}\n{}", shown(&output));
    String::from_utf8(output.stdout).expect("stdout is UTF-8")
}

/// Runs to the end and expects this exit code; stderr.
pub fn fails(command: &mut Command, code: i32) -> String {
    let output = command.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{}", shown(&output));
    assert!(
        !String::from_utf8_lossy(&output.stderr).contains("panicked"),
        "{}",
        shown(&output)
    );
    String::from_utf8(output.stderr).expect("stderr is UTF-8")
}

/// The JSON object that a command prints under `--format json`.
pub fn json(command: &mut Command) -> serde_json::Value {
    let text = run(command);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What `lakebed verify` finds in a local lake, and its exit code.
pub fn verify(lake: &Path, deep: bool) -> (serde_json::Value, Option<i32>) {
    let mut command = lakebed(&["verify", "--format", "json"]);
    command.args(deep.then_some("--deep")).env("DATA_LAKE_PATH", lake);
    let output = command.output().expect("the program starts");
    let mut report: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", shown(&output)));
    (report["findings"].take(), output.status.code())
}

/// A program in the background, which does not outlive its test.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts in the background, logs into a file.
pub fn start(command: &mut Command, log: &Path) -> Running {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(log)
        .expect("a log file");
    Running(
        command
            .stderr(log)
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts"),
    )
}

/// The process's id.
pub fn process_id(child: &Running) -> u32 {
    child.0.id()
}

/// Sends a signal, as `kill` does.
pub fn signal(child: &Running, name: &str) {
    let id = child.0.id().to_string();
    let status = Command::new("kill").args([format!("-{name}"), id]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
}

/// Sends SIGTERM once the process listens to it: in its first moments it would simply die.
pub fn terminate(child: &Running) {
    let status = format!("/proc/{}/status", child.0.id());
    eventually("the process listens to SIGTERM", || {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        // Signal n is bit n - 1; a process that has ended has no mask.
        caught.is_none_or(|mask| mask >> 14 & 1 == 1)
    });
    signal(child, "TERM");
}

/// Whether a process has ended by now, and its exit code, none where a signal ended it.
pub fn has_ended(child: &mut Running) -> Option<Option<i32>> {
    let status = child.0.try_wait().expect("a child can be waited for");
    status.map(|status| status.code())
}

/// Waits until a process has ended; its exit code, none where a signal ended it.
pub fn ended(child: &mut Running) -> Option<i32> {
    let mut code = None;
    eventually("the process ends", || {
        code = has_ended(child);
        code.is_some()
    });
    code.flatten()
}

fn shown(output: &Output) -> String {
    format!(
        "{}\nstdout: {}\nstderr: {}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A secret that tests hand over and that no output may show.
pub const SECRET: &str = "hunter2-is-secret";

/// Runs to the end and expects this exit code, nothing on stdout, and one error that has all these words and no
/// secret; stderr.
pub fn refuses(command: &mut Command, code: i32, words: &[&str]) -> String {
    let output = command.output().expect("the program starts");
    let shown = format!("{command:?}\n{}", shown(&output));
    assert_eq!(output.status.code(), Some(code), "{shown}");
    assert!(output.stdout.is_empty(), "{shown}");
    let stderr = String::from_utf8(output.stderr).expect("stderr is UTF-8");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "one error: {shown}");
    for word in words {
        assert!(errors[0].contains(word), "no {word:?} in the error: {shown}");
    }
    assert!(!stderr.contains("panicked"), "{shown}");
    assert!(stderr.lines().count() < 12, "more than a person reads: {shown}");
    hides_secrets(&stderr);
    stderr
}

/// Fails where a text shows a secret.
pub fn hides_secrets(text: &str) {
    let of_servers = [
        "AWS_SECRET_ACCESS_KEY",
        "POSTGRES_PASSWORD",
        "LAKEBED_TEST_KAFKA_PASSWORD",
    ]
    .map(service);
    for secret in of_servers.iter().map(String::as_str).chain([SECRET]) {
        assert!(!text.contains(secret), "a secret shows in: {text}");
    }
}
