//! Commands and their flags; each command's file says what it takes and what it prints.

mod archive;
mod check;
mod config;
mod demo;
mod kind;
mod output;
mod process;
mod produce;
mod progress;
mod quarantine;
mod query;
mod stop;
mod validate;
mod verify;

use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::file::SettingsFile;

pub use kind::kind_of;
pub use output::Format;

/// The batch layer of a Lambda architecture in one binary: Wikipedia edits from Kafka into an exactly-once
/// Parquet/Delta lake, and from the lake into five history tables.
#[derive(Debug, Parser)]
#[command(name = "lakebed", version, max_term_width = 110, arg_required_else_help = true)]
#[command(
    after_help = "Each setting is a flag or an environment variable, as its help shows; a settings file of NAME=value lines \
(LAKEBED_CONFIG, else ./lakebed.env) sets what the environment does not. `lakebed config` shows what is in force.\n\
Exit codes: 0 success, 1 failure, 2 wrong usage or configuration."
)]
pub struct Cli {
    /// How logs are written to stderr
    #[arg(
        long,
        env = "LOG_FORMAT",
        default_value = "text",
        global = true,
        value_name = "FORMAT",
        help_heading = "Logs"
    )]
    pub log_format: LogFormat,

    /// The least severe level that is logged: error, warn, info, debug or trace
    #[arg(
        long,
        env = "LOG_LEVEL",
        default_value = "info",
        global = true,
        value_name = "LEVEL",
        help_heading = "Logs"
    )]
    pub log_level: tracing::Level,

    #[command(subcommand)]
    command: Command,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoCommand),
    Produce(produce::ProduceCommand),
    Archive(archive::ArchiveCommand),
    // Boxed for the size of its settings, and `config` for that of all.
    Process(Box<process::ProcessCommand>),
    Check(check::CheckCommand),
    Query(query::QueryCommand),
    Validate(validate::ValidateCommand),
    Verify(verify::VerifyCommand),
    Quarantine(quarantine::QuarantineCommand),
    Config(Box<config::ConfigCommand>),
}

impl Cli {
    /// Reads the command line and the environment; wrong usage ends the process with exit code 2.
    pub fn read() -> (Cli, ArgMatches) {
        let matches = Cli::command().get_matches();
        match Cli::from_arg_matches(&matches) {
            Ok(cli) => (cli, matches),
            Err(error) => error.exit(),
        }
    }

    /// The least severe level that is logged. The demo tells its own story, so it logs warnings only unless asked.
    pub fn level(&self, matches: &ArgMatches) -> tracing::Level {
        let asked = matches.value_source("log_level") != Some(ValueSource::DefaultValue);
        match self.command {
            Command::Demo(_) if !asked => tracing::Level::WARN,
            _ => self.log_level,
        }
    }

    /// Runs the command; its exit code where it ends without an error.
    ///
    /// # Errors
    /// The command's; [`kind_of`] tells the kind.
    pub async fn run(self, matches: &ArgMatches, file: &SettingsFile) -> anyhow::Result<ExitCode> {
        let done = match self.command {
            Command::Demo(command) => command.run().await,
            Command::Produce(command) => command.run().await,
            Command::Archive(command) => command.run().await,
            Command::Process(command) => command.run(matches).await,
            Command::Check(command) => return command.run().await,
            Command::Query(command) => command.run().await,
            Command::Validate(command) => return command.run().await,
            Command::Verify(command) => return command.run().await,
            Command::Quarantine(command) => command.run().await,
            Command::Config(command) => command.run(matches, file),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}
