//! `lakebed process`

use chrono::Utc;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};

use super::{Format, output};
use crate::config::{HistorySettings, LakeSettings, PostgresSettings, SettingsError};
use crate::history::{self, Outcome, RunReport, Step};
use crate::lake::Lake;

/// Compute the five history tables from the lake and publish them, once
///
/// They go to PostgreSQL where POSTGRES_HOST is set, else into the lake. All five, and the row that describes the run
/// in lakebed_runs, become visible in one step.
#[derive(Debug, Args)]
pub struct ProcessCommand {
    /// What to print at the end
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    history: HistorySettings,
    #[command(flatten)]
    lake: LakeSettings,
    #[command(flatten)]
    postgres: PostgresSettings,
}

impl ProcessCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// [`history::HistoryError`], and [`crate::lake::LakeError`] where the lake cannot be opened.
    pub async fn run(self, matches: &ArgMatches) -> anyhow::Result<()> {
        let days = matches
            .subcommand_matches("process")
            .and_then(|given| given.value_source("days"));
        if self.history.from.is_some() && days == Some(ValueSource::CommandLine) {
            return Err(SettingsError::Value {
                name: "--days",
                reason: "--from says where the window begins; leave one of the two out".to_owned(),
            }
            .into());
        }
        let lake = Lake::open(&self.lake)?;
        let now = self.history.now.unwrap_or_else(Utc::now);
        let report = history::run(&self.history, &lake, Some(&self.postgres), now, &log).await?;
        output::print(self.format, &report, text)
    }
}

/// One line of the log for each step.
fn log(step: Step) {
    match step {
        Step::Reading { files, lake_version } => tracing::info!(files, lake_version, "reading the lake"),
        Step::Summed {
            events,
            rollup_rows,
            files,
            rollup,
            reason,
        } => match reason {
            None => tracing::info!(events, rollup_rows, files, rollup = rollup.as_str(), "events summed up"),
            Some(reason) => {
                tracing::info!(
                    events,
                    rollup_rows,
                    files,
                    rollup = rollup.as_str(),
                    reason,
                    "events summed up"
                );
            }
        },
        Step::Computed { table, rows } => tracing::info!(table, rows, "table computed"),
        Step::Publishing { place } => tracing::info!(place, "publishing"),
    }
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
        .collect::<Vec<_>>()
        .join("\n")
}
