//! `lakebed check`

use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;

use super::Format;
use super::output::{self, grouped};
use crate::config::{LakeSettings, PostgresSettings};
use crate::history::news::{News, news};
use crate::lake::Lake;

/// The exit code where nothing is new (contract, section 7).
const NOTHING_NEW: u8 = 10;

/// Tell whether the lake has data that the published tables lack: exit 0 where it has, 10 where nothing is new
///
/// New are files that were added to raw_events, by archivers or anybody else, after the version that the newest
/// published run was over. What they hold is told from the table's log: no data file is read, and nothing is written.
/// That the window of process moves with the clock is not new: tables over the same files an hour later differ at the
/// window's edges, and the next run brings them up to date.
#[derive(Debug, Args)]
pub struct CheckCommand {
    /// What to print
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    lake: LakeSettings,
    #[command(flatten)]
    postgres: PostgresSettings,
}

impl CheckCommand {
    /// Runs the command; the exit code says whether anything is new.
    ///
    /// # Errors
    /// [`crate::history::HistoryError`], and [`crate::lake::LakeError`] where the lake cannot be opened.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let lake = Lake::open(&self.lake)?;
        let found = news(&lake, Some(&self.postgres)).await?;
        output::print(self.format, &found, text)?;
        Ok(match found.new {
            true => ExitCode::SUCCESS,
            false => ExitCode::from(NOTHING_NEW),
        })
    }
}

fn text(news: &News) -> String {
    let published = match (news.published_version, news.published_at) {
        (Some(version), Some(at)) => format!("published from version {version} of the lake at {}", shown(at)),
        (Some(version), None) => format!("published from version {version} of the lake"),
        (None, _) if news.lake_version.is_none() && news.reason.is_some() => "published".to_owned(),
        (None, _) => "not published yet".to_owned(),
    };
    let lake = match news.lake_version {
        Some(version) => format!("the lake is at version {version}"),
        None => "the lake is plain Parquet".to_owned(),
    };
    let mut lines = vec![format!("The tables in {} are {published}; {lake}.", news.published_to)];
    lines.push(match (&news.reason, news.files) {
        (Some(reason), _) => format!("There may be new data: {reason}."),
        (None, Some(0) | None) => "Nothing is new.".to_owned(),
        (None, Some(files)) => found(news, files),
    });
    match news.removed_files {
        0 => {}
        1 => lines.push("A file that they were computed from is no longer part of raw_events.".to_owned()),
        files => lines.push(format!(
            "{} files that they were computed from are no longer part of raw_events.",
            grouped(files)
        )),
    }
    lines.join("\n")
}

fn found(news: &News, files: u64) -> String {
    let events = match news.events {
        Some(1) => "1 event".to_owned(),
        Some(events) => format!("{} events", grouped(events)),
        None => "events whose number the log does not say".to_owned(),
    };
    let files = match files {
        1 => "1 file".to_owned(),
        files => format!("{} files", grouped(files)),
    };
    let bytes = grouped(news.bytes.unwrap_or_default());
    let hours = match (news.oldest_hour, news.newest_hour) {
        (Some(oldest), Some(newest)) if oldest == newest => format!(", of the hour {}", shown(oldest)),
        (Some(oldest), Some(newest)) => format!(", of the hours {} to {}", shown(oldest), shown(newest)),
        _ => String::new(),
    };
    format!("New: {events} in {files}, {bytes} bytes{hours}.")
}

fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
