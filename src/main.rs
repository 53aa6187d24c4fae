//! Parse, run, exit code.

use std::io::IsTerminal;
use std::process::ExitCode;

use lakebed::cli::{Cli, LogFormat};
use lakebed::config::file;
use lakebed::error::kind_of;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let settings_file = match file::load() {
        Ok(settings_file) => settings_file,
        Err(error) => return fail(&error.into()),
    };
    let (cli, matches) = Cli::read();
    start_logs(cli.log_format, cli.level(&matches));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("cannot start threads")),
    };
    match runtime.block_on(cli.run(&matches, &settings_file)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    kind_of(error).exit_code()
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
