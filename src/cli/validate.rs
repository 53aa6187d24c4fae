//! `lakebed validate`

use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;

use super::output::grouped;
use super::progress::FileBar;
use super::{Format, output};
use crate::config::history::parse_time;
use crate::config::{ExpectationSettings, LakeSettings, PostgresSettings, ValidateSettings};
use crate::error::Kind;
use crate::history::expectations::{CheckResult, Failure, SHOWN_ROWS, Verdict};
use crate::lake::Lake;
use crate::validate::{self, LakeSummary, Part, Request, TablesSummary, ValidateReport};

/// Check lake and tables against every expectation; exit 11 where one is not met
///
/// Of the lake: the columns and their types; that each row has its time, its place in Kafka, and lies in the folder of
/// its month; how much is in quarantine. What the table's log says of a file is not read from it. Of the five tables,
/// where they are published: what stands beside each view, such as unique keys, ranges, and sums that must agree. They
/// are read as of one moment.
#[derive(Debug, Args)]
pub struct ValidateCommand {
    /// Check only a part
    #[arg(long, default_value = "all", value_name = "PART")]
    only: Part,

    /// What the clock shows, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    now: Option<DateTime<Utc>>,

    /// What to print
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    expectations: ExpectationSettings,
    #[command(flatten)]
    limits: ValidateSettings,
    #[command(flatten)]
    lake: LakeSettings,
    #[command(flatten)]
    postgres: PostgresSettings,
}

impl ValidateCommand {
    /// Runs the command; the exit code says whether every expectation is met.
    ///
    /// # Errors
    /// [`crate::history::HistoryError`], and [`crate::lake::LakeError`] where the lake cannot be opened.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let lake = Lake::open(&self.lake)?;
        let request = Request {
            lake: &lake,
            postgres: Some(&self.postgres),
            limits: &self.limits,
            expectations: &self.expectations,
            part: self.only,
            now: self.now.unwrap_or_else(Utc::now),
        };
        let report = validate::validate(request, &FileBar::new()).await?;
        output::print(self.format, &report, text)?;
        Ok(match report.met {
            true => ExitCode::SUCCESS,
            false => ExitCode::from(Kind::Unmet.exit_code()),
        })
    }
}

fn text(report: &ValidateReport) -> String {
    let mut lines = Vec::new();
    lines.extend(report.lake.as_ref().map(lake_line));
    lines.extend(report.tables.as_ref().map(tables_line));
    lines.extend(not_checked(&report.checks));
    let tally = report.expectations;
    let met = grouped(tally.met as u64);
    lines.push(match tally.not_met {
        0 => format!("All of {met} expectations are met."),
        1 => format!("One expectation is not met, {met} are:"),
        not_met => format!("{} expectations are not met, {met} are:", grouped(not_met as u64)),
    });
    for check in &report.checks {
        if let Some(failure) = check.failure() {
            lines.extend(failure_lines(check, failure));
        }
    }
    lines.join("\n")
}

fn lake_line(lake: &LakeSummary) -> String {
    let version = match lake.version {
        Some(version) => format!("at version {version}"),
        None => "plain Parquet without a log".to_owned(),
    };
    let counted = |count: u64, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{} {what}s", grouped(count)),
    };
    format!(
        "Lake: {}, {version}, {} in {} ({} of them read), {} in quarantine.",
        lake.place,
        counted(lake.rows, "row"),
        counted(lake.files, "file"),
        grouped(lake.files_read),
        counted(lake.quarantined, "message"),
    )
}

fn tables_line(tables: &TablesSummary) -> String {
    let place = &tables.place;
    match (&tables.run, tables.published_at) {
        (Some(run), Some(at)) => format!(
            "Tables: {place}, published by run {run} at {}.",
            at.to_rfc3339_opts(SecondsFormat::Secs, true)
        ),
        _ => format!("Tables: {place}, not published yet."),
    }
}

/// Expectations that were not checked, by the reason.
fn not_checked(checks: &[CheckResult]) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for check in checks {
        let Verdict::NotChecked { reason } = &check.verdict else {
            continue;
        };
        let name = format!("{} {}", check.table, check.expectation);
        match reasons.iter_mut().find(|(known, _)| *known == reason.as_str()) {
            Some((_, names)) => names.push(name),
            None => reasons.push((reason, vec![name])),
        }
    }
    reasons
        .into_iter()
        .map(|(reason, names)| {
            let shown: Vec<&str> = names.iter().take(SHOWN_ROWS).map(String::as_str).collect();
            let more = match names.len().saturating_sub(shown.len()) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("Not checked, since {reason}: {}{more}.", shown.join(", "))
        })
        .collect()
}

fn failure_lines(check: &CheckResult, failure: &Failure) -> Vec<String> {
    let because = failure
        .because
        .as_ref()
        .map_or_else(String::new, |because| format!(" ({because})"));
    let mut lines = vec![format!(
        "  {}: {}: {}{because}",
        check.table, check.expectation, failure.reason
    )];
    lines.extend(failure.rows.iter().map(|row| format!("    {row}")));
    let shown = failure.rows.len() as u64;
    if shown > 0 && failure.offending > shown {
        lines.push(format!("    and {} more", grouped(failure.offending - shown)));
    }
    lines.push(format!("    To do: {}.", failure.help));
    lines
}
