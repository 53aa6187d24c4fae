//! `lakebed demo`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use chrono::{DateTime, Utc};
use clap::{Args, Command as ClapCommand, FromArgMatches};

use super::output::{grouped, print_line};
use super::progress::ArchiveBar;
use crate::archive::{self, ArchiveReport, Job};
use crate::config::kafka::OffsetReset;
use crate::config::{ArchiveSettings, ConsumerSettings, HistorySettings, KafkaSettings, LakeSettings, SettingsError};
use crate::demo::{Broker, day};
use crate::history::{self, RunReport, TableRows};
use crate::lake::Lake;
use crate::lake::snapshot::AsOf;
use crate::produce::Delivery;
use crate::query;

const TOPIC: &str = "wiki-raw-events";
const PARTITIONS: i32 = 4;
const MESSAGES: usize = 24_000;
/// Rows of each table that are printed.
const SHOWN: usize = 8;
/// Marks a folder that a demo made and the next one may empty.
const MARKER: &str = ".lakebed-demo";

/// Run the whole layer on this machine on a generated day of events: no server, no setting
///
/// A generated day of Wikipedia-like edits, odd and broken messages among them, goes through an embedded broker, the
/// archiver and the processor, and comes out as five tables. Nothing is read from the environment, and each run begins
/// afresh.
#[derive(Debug, Args)]
pub struct DemoCommand {
    /// Where to make the lake; emptied first where an earlier demo made it
    #[arg(long, default_value = "./data/demo", value_name = "FOLDER")]
    folder: PathBuf,

    /// What the generated day is drawn from: the same seed gives the same events
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
}

impl DemoCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the archiver and the processor, and where the folder cannot be used.
    pub async fn run(self) -> anyhow::Result<()> {
        empty(&self.folder)?;
        let place = self.folder.join("lake").display().to_string();
        let now = Utc::now();
        let (sent, archived) = stream(self.seed, now, &place).await?;
        let (run, tables) = process(now, &place).await?;
        let reasons = quarantined(&place).await?;
        print_line(&text(sent, &archived, &reasons, &run, &tables, &place)?)
    }
}

/// Makes the folder; what an earlier demo left there goes, anything else is left alone.
fn empty(folder: &Path) -> anyhow::Result<()> {
    let shown = folder.display();
    if folder.exists() {
        let foreign = std::fs::read_dir(folder)
            .with_context(|| format!("cannot read {shown}"))?
            .next()
            .is_some();
        if foreign && !folder.join(MARKER).exists() {
            return Err(SettingsError::Value {
                name: "--folder",
                reason: format!("{shown} holds something that no demo made; name another place"),
            }
            .into());
        }
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot empty {shown}"))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {shown}"))?;
    std::fs::write(folder.join(MARKER), "made by lakebed demo\n").with_context(|| format!("cannot write into {shown}"))
}

/// A generated day through the embedded broker into the lake: the messages sent, and what became of them.
async fn stream(seed: u64, now: DateTime<Utc>, place: &str) -> anyhow::Result<(u64, ArchiveReport)> {
    let broker = Broker::start(TOPIC, PARTITIONS).context("the embedded broker did not start")?;
    let kafka = KafkaSettings {
        brokers: broker.address(),
        topic: TOPIC.to_owned(),
        ..defaults::<KafkaSettings>()?
    };
    let settings = kafka.clone();
    let start = now.timestamp() - 86_400;
    let sent = tokio::task::spawn_blocking(move || -> anyhow::Result<u64> {
        let delivery = Delivery::open(&settings)?;
        for message in day(seed, MESSAGES, start) {
            delivery.send(message.key.as_deref(), message.value.as_deref())?;
        }
        Ok(delivery.finish()?)
    })
    .await??;
    let job = Job {
        kafka,
        consumer: ConsumerSettings {
            auto_offset_reset: OffsetReset::Earliest,
            ..defaults()?
        },
        archive: defaults::<ArchiveSettings>()?,
        until_end: true,
        accept_loss: false,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let archived = archive::run(job, lake(place)?, stop, Arc::new(ArchiveBar::new())).await?;
    Ok((sent, archived))
}

async fn process(now: DateTime<Utc>, place: &str) -> anyhow::Result<(RunReport, Vec<TableRows>)> {
    let settings = HistorySettings {
        days: 2,
        now: Some(now),
        ..defaults()?
    };
    let lake = lake(place)?;
    let report = history::run(&settings, &lake, None, now, &|_| {}).await?;
    Ok((report, history::read_published(&lake).await?))
}

/// What is in quarantine and why, as a table.
async fn quarantined(place: &str) -> anyhow::Result<String> {
    let sql = "SELECT reason, count(*) AS messages FROM quarantine GROUP BY reason ORDER BY messages DESC, reason";
    let rows = query::run(sql, &lake(place)?, &defaults()?, AsOf::Newest).await?;
    let mut table = Vec::new();
    query::output::write(rows, query::QueryFormat::Table, &mut table).await?;
    Ok(String::from_utf8_lossy(&table).into_owned())
}

fn lake(place: &str) -> anyhow::Result<Lake> {
    Ok(Lake::open(&LakeSettings {
        path: place.to_owned(),
        ..defaults()?
    })?)
}

/// Settings as they are where nobody sets anything: the environment is not looked at.
fn defaults<S: Args + FromArgMatches>() -> anyhow::Result<S> {
    let command = S::augment_args(ClapCommand::new("defaults")).mut_args(|argument| argument.env(None::<&str>));
    Ok(S::from_arg_matches(&command.try_get_matches_from(["defaults"])?)?)
}

fn text(
    sent: u64,
    archived: &ArchiveReport,
    reasons: &str,
    run: &RunReport,
    tables: &[TableRows],
    place: &str,
) -> anyhow::Result<String> {
    let mut text = format!(
        "A generated day: {} messages sent to an embedded broker.\n\
         Archived: {} rows, {} messages in quarantine, {} without a value.\n\n\
         In quarantine, byte for byte:\n{reasons}\n\
         Processed: {} events of {} to {}.\n",
        grouped(sent),
        grouped(archived.rows),
        grouped(archived.quarantined),
        grouped(archived.tombstones),
        grouped(run.events_read.unwrap_or_default()),
        run.window_start.format("%Y-%m-%d %H:%M"),
        run.window_end.format("%Y-%m-%d %H:%M UTC"),
    );
    let format = FormatOptions::default()
        .with_null("NULL")
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M"));
    for rows in tables {
        let count = rows.batch.num_rows();
        let head = rows.batch.slice(0, count.min(SHOWN));
        let printed = pretty_format_batches_with_options(&[head], &format)?;
        let more = match count.saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!("… and {more} more rows\n"),
        };
        write!(text, "\n{}\n{printed}\n{more}", rows.table.name)?;
    }
    let absolute = std::path::absolute(place)?;
    let absolute = absolute.display();
    write!(
        text,
        "\nThe lake lies in {absolute}:\n  \
         raw_events/   a Delta table, and plain Parquet by year and month\n  \
         quarantine/   a Delta table of what is no event\n  \
         history/      the five tables and lakebed_runs, a Delta table each\n\n\
         Try next:\n  \
         lakebed query --data-lake-path {absolute} \"SELECT \\\"user\\\", count(*) AS edits FROM raw_events GROUP BY 1 ORDER BY 2 DESC LIMIT 5\"\n  \
         lakebed query --data-lake-path {absolute} \"SELECT reason, TRY_CAST(value AS VARCHAR) FROM quarantine LIMIT 5\"\n  \
         lakebed process --data-lake-path {absolute} --days 1\n  \
         lakebed archive --help   to begin with a Kafka of your own"
    )?;
    Ok(text)
}
