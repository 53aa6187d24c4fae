//! `lakebed process`

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};

use super::progress::RunBar;
use super::{Format, output, stop};
use crate::config::{
    HistorySettings, LakeSettings, MonitorSettings, PostgresSettings, ScheduleSettings, SettingsError,
};
use crate::history::{Figures, Outcome, RunReport, Step};
use crate::lake::Lake;
use crate::monitor;
use crate::schedule::{self, Job, Plan};

/// Compute the five history tables from the lake and publish them, once or again and again
///
/// They go to PostgreSQL where POSTGRES_HOST is set, else into the lake. All five, and the row that describes the run
/// in lakebed_runs, become visible in one step.
///
/// One run is at work at a time, whichever process and machine it is of: a run that happens once waits for another's
/// end, ten minutes or --timeout at most, and under --every and --cron that time is left out. Under these two the
/// window moves with the clock, or begins at --from; a run that fails is said, and the next one comes; SIGUSR1, or POST
/// /run on the port of METRICS_LISTEN, asks for a run now and leaves the next time as it is; SIGTERM and SIGINT end a
/// run that does not publish yet, and exit 0.
#[derive(Debug, Args)]
pub struct ProcessCommand {
    /// What to print at the end of a run; under --every and --cron, json is one object a line, and text goes to the log
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    history: HistorySettings,
    #[command(flatten)]
    schedule: ScheduleSettings,
    #[command(flatten)]
    lake: LakeSettings,
    #[command(flatten)]
    postgres: PostgresSettings,
    #[command(flatten)]
    monitor: MonitorSettings,
}

impl ProcessCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// [`crate::history::HistoryError`], [`crate::lake::LakeError`] where the lake cannot be opened, and
    /// [`monitor::MonitorError`] where the port for metrics is taken.
    pub async fn run(self, matches: &ArgMatches) -> anyhow::Result<()> {
        self.check(matches)?;
        let stop = stop::between_steps()?;
        let (lake, counts) = Lake::open(&self.lake)?.counted();
        let job = Job {
            settings: &self.history,
            lake: &lake,
            postgres: &self.postgres,
            retries: self.schedule.retries,
            timeout: self.schedule.timeout,
        };
        let Some(plan) = Plan::of(&self.schedule)? else {
            let bar = RunBar::new(counts);
            let progress = |step: Step| bar.turn_to(&step.clone(), || log(step));
            let report = schedule::once(&job, &stop, &progress).await;
            drop(bar);
            let report = report?;
            return output::print(self.format, &report, text);
        };
        let trigger = stop::trigger()?;
        monitor::serve_processor(&self.monitor, trigger.clone())?;
        let print = |report: &RunReport| match self.format {
            Format::Text => Ok(()),
            Format::Json => output::print(self.format, report, text),
        };
        schedule::repeat(&job, &plan, &stop, &trigger, &log, print).await
    }

    /// Refuses settings that contradict each other.
    fn check(&self, matches: &ArgMatches) -> Result<(), SettingsError> {
        let given = matches.subcommand_matches("process");
        let days = given.and_then(|given| given.value_source("days"));
        let refused = |name, reason: &str| {
            Err(SettingsError::Value {
                name,
                reason: reason.to_owned(),
            })
        };
        if self.history.from.is_some() && days == Some(ValueSource::CommandLine) {
            return refused(
                "--days",
                "--from says where the window begins; leave one of the two out",
            );
        }
        let repeats = self.schedule.every.is_some() || self.schedule.cron.is_some();
        if self.history.now.is_some() && repeats {
            return refused(
                "--now",
                "a clock that stands still and runs that come again do not go together; leave out --now, or --every and --cron",
            );
        }
        Ok(())
    }
}

/// One line of the log for each step.
fn log(step: Step) {
    match step {
        Step::Reading { files, lake_version } => tracing::info!(files, lake_version, "reading the lake"),
        Step::Summed {
            events,
            files,
            rollup,
            reason,
        } => match reason {
            None => tracing::info!(events, files, rollup = rollup.as_str(), "events summed up"),
            Some(reason) => {
                tracing::info!(events, files, rollup = rollup.as_str(), reason, "events summed up");
            }
        },
        Step::Computed { table, rows } => tracing::info!(table, rows, "table computed"),
        Step::Publishing { place } => tracing::info!(place, "publishing"),
    }
}

/// What the run has cost, in a line.
fn cost(figures: &Figures) -> String {
    let seconds = |ms: u64| format!("{}.{:02} s", ms / 1000, ms % 1000 / 10);
    let cpu = figures
        .cpu_ms
        .map_or_else(String::new, |ms| format!(", {} of processor time", seconds(ms)));
    let memory = figures
        .peak_memory_bytes
        .map_or_else(String::new, |bytes| format!(", {} MB of memory at most", bytes >> 20));
    format!(
        "Took {}{cpu}{memory}; {} of {} data files were read, {} bytes.",
        seconds(figures.step_ms.values().sum()),
        output::grouped(figures.files_read),
        output::grouped(figures.files_read + figures.files_pruned),
        output::grouped(figures.bytes_read),
    )
}

fn text(report: &RunReport) -> String {
    let events = output::grouped(report.events_read.unwrap_or_default());
    let window = format!(
        "{} to {}",
        report.window_start.to_rfc3339(),
        report.window_end.to_rfc3339()
    );
    let found = match report.events_read {
        Some(0) => format!("There are no events from {window}: the tables are empty."),
        _ => format!("{events} events from {window}."),
    };
    let outcome = match report.outcome {
        Outcome::Published => format!("Published to {}:", report.published_to),
        Outcome::Ignored => format!(
            "Nothing was published: {} has rows already, and the mode is ignore.",
            report.published_to
        ),
        Outcome::Superseded => format!(
            "Nothing was published: {} shows a newer version of this lake already.",
            report.published_to
        ),
        Outcome::Failed => "Nothing was published.".to_owned(),
    };
    let rows = report
        .rows_per_table
        .iter()
        .map(|(table, rows)| format!("  {table:<34} {rows:>7} rows"));
    let left_out = (!report.corrupt_file_names.is_empty()).then(|| {
        let names = report.corrupt_file_names.iter().map(|file| format!("  {file}"));
        ["Without these data files, which cannot be read:".to_owned()]
            .into_iter()
            .chain(names)
            .collect::<Vec<_>>()
            .join("\n")
    });
    [Some(found), left_out, Some(outcome)]
        .into_iter()
        .flatten()
        .chain(rows.filter(|_| report.outcome == Outcome::Published))
        .chain(report.figures.as_ref().map(cost))
        .collect::<Vec<_>>()
        .join("\n")
}
