//! `lakebed produce`

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use clap::value_parser;
use indicatif::ProgressBar;
use url::Url;

use super::progress::bytes_bar;
use super::{Format, output, stop};
use crate::config::KafkaSettings;
use crate::produce::{Delivery, Input, ProduceError, ProduceReport, feed, stream};

/// Feed the topic from NDJSON: events as they are, or Wikimedia recentchange events
///
/// The kind of each line is recognised: recentchange events are mapped to the topic's events, canary events left out,
/// everything else is sent byte for byte. Compressed input (.gz, .zst) is recognised by its content.
#[derive(Debug, Args)]
pub struct ProduceCommand {
    /// The file to read; - reads standard input; a URL is fetched, and followed where it is a live stream
    #[arg(value_name = "FILE|-|URL")]
    input: String,

    /// Send at most this many messages a second
    #[arg(long, value_parser = value_parser!(u32).range(1..), value_name = "MESSAGES")]
    rate: Option<u32>,

    /// What to print at the end
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    kafka: KafkaSettings,
}

impl ProduceCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// [`ProduceError`].
    pub async fn run(self) -> anyhow::Result<()> {
        let wish = stop::on_signal()?;
        let (settings, rate) = (self.kafka.clone(), self.rate);
        let url = Url::parse(&self.input)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"));
        let body = match &url {
            Some(url) => Some(stream::open(url.clone(), Arc::clone(&wish)).await?),
            None => None,
        };
        let name = self.input;
        let fed = tokio::task::spawn_blocking(move || -> Result<ProduceReport, ProduceError> {
            let (delivery, mut input) = match body {
                Some(body) => (Delivery::open(&settings)?, Input::from_reader(&name, body)?),
                None => open(&settings, Path::new(&name))?,
            };
            let bar: ProgressBar = bytes_bar(input.total_bytes());
            let report = feed(&mut input, delivery, rate, &wish, &|bytes| bar.set_position(bytes));
            bar.finish_and_clear();
            report
        });
        let report = fed.await.context("feeding ended on its own")??;
        output::print(self.format, &report, |report| text(report, &self.kafka.topic))
    }
}

/// Opens both; a wrong path is told without a broker's help, and standard input is waited for last.
fn open(settings: &KafkaSettings, path: &Path) -> Result<(Delivery, Input), ProduceError> {
    if path.as_os_str() == "-" {
        return Ok((Delivery::open(settings)?, Input::open(path)?));
    }
    let input = Input::open(path)?;
    Ok((Delivery::open(settings)?, input))
}

fn text(report: &ProduceReport, topic: &str) -> String {
    let number = output::grouped;
    let canaries = match report.canaries {
        0 => String::new(),
        canaries => format!("; {} canary events left out", number(canaries)),
    };
    format!(
        "{} messages delivered to {topic}, from {} lines{canaries}.",
        number(report.delivered),
        number(report.lines)
    )
}
