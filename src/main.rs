//! Parse, run, exit code.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use lakebed::cli::{Cli, LogFormat, kind_of};
use lakebed::config::file;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let settings_file = match file::load() {
        Ok(settings_file) => settings_file,
        Err(error) => return fail(&error.into(), LogFormat::Text),
    };
    let (cli, matches) = Cli::read();
    let format = cli.log_format;
    start_logs(format, cli.level(&matches));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("cannot start threads"), format),
    };
    match runtime.block_on(cli.run(&matches, &settings_file)) {
        Ok(code) => code,
        Err(error) => fail(&error, format),
    }
}

/// Says in one line why the command ends, whatever the level of the logs.
fn fail(error: &anyhow::Error, format: LogFormat) -> ExitCode {
    let kind = kind_of(error);
    let lines: Vec<String> = format!("{error:#}")
        .lines()
        .map(|line| line.trim().to_owned())
        .collect();
    let message = lines.join(" ");
    let line = match format {
        LogFormat::Text => format!("error: {message}"),
        LogFormat::Json => serde_json::json!({
            "timestamp": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            "level": "ERROR",
            "message": message,
            "kind": kind.as_str(),
            "exit_code": kind.exit_code(),
        })
        .to_string(),
    };
    // Where stderr is gone too, the exit code says the rest.
    let _ = writeln!(std::io::stderr(), "{line}");
    ExitCode::from(kind.exit_code())
}

/// Logs go to stderr: ours from `level` on, the libraries' warnings only where they tell what our errors do not.
fn start_logs(format: LogFormat, level: tracing::Level) {
    let quiet = if level >= tracing::Level::DEBUG { "info" } else { "off" };
    let filter = EnvFilter::new(format!("{quiet},lakebed={level}"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Json => logs.json().flatten_event(true).init(),
        LogFormat::Text => logs
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .init(),
    }
}
