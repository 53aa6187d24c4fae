//! `lakebed config`

use clap::{ArgMatches, Args, CommandFactory};
use serde::Serialize;

use super::{Cli, Format, output};
use crate::config::file::SettingsFile;
use crate::config::report::{self, Setting};
use crate::config::{
    ArchiveSettings, ConsumerSettings, HistorySettings, KafkaSettings, LakeSettings, MonitorSettings, PostgresSettings,
    ScheduleSettings, ValidateSettings,
};

/// Show the settings in force and where each came from, secrets masked
#[derive(Debug, Args)]
pub struct ConfigCommand {
    /// What to print
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    kafka: KafkaSettings,
    #[command(flatten)]
    consumer: ConsumerSettings,
    #[command(flatten)]
    archive: ArchiveSettings,
    #[command(flatten)]
    monitor: MonitorSettings,
    #[command(flatten)]
    lake: LakeSettings,
    #[command(flatten)]
    history: HistorySettings,
    #[command(flatten)]
    schedule: ScheduleSettings,
    #[command(flatten)]
    limits: ValidateSettings,
    #[command(flatten)]
    postgres: PostgresSettings,
}

impl ConfigCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// Where stdout cannot be written to.
    pub fn run(&self, matches: &ArgMatches, file: &SettingsFile) -> anyhow::Result<()> {
        let mut cli = Cli::command();
        // Hands the settings of all commands down to each.
        cli.build();
        let settings = match (cli.find_subcommand("config"), matches.subcommand_matches("config")) {
            (Some(command), Some(given)) => report::settings(command, given, file),
            _ => Vec::new(),
        };
        output::print(self.format, &InForce { settings }, |all| text(&all.settings))
    }
}

/// What `--format json` prints.
#[derive(Serialize)]
struct InForce {
    settings: Vec<Setting>,
}

fn text(settings: &[Setting]) -> String {
    let wide = |of: fn(&Setting) -> &str| {
        settings
            .iter()
            .map(|setting| of(setting).len())
            .max()
            .unwrap_or_default()
    };
    let (names, values) = (wide(|setting| &setting.name), wide(|setting| setting.shown()).min(48));
    settings
        .iter()
        .map(|setting| {
            format!(
                "{:names$}  {:values$}  {}",
                setting.name,
                setting.shown(),
                setting.source
            )
        })
        .collect::<Vec<_>>()
        .join("\n")
}
