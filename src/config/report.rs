//! The settings in force and where each came from.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use serde::Serialize;

use super::file::SettingsFile;

/// One setting in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its environment name.
    pub name: String,
    /// Its value, a secret's masked; none where it is not set.
    pub value: Option<String>,
    /// Where the value came from.
    pub source: String,
}

impl Setting {
    /// The value, or a dash.
    pub fn shown(&self) -> &str {
        self.value.as_deref().unwrap_or("-")
    }
}

/// The settings that a command obeys, in the order of its help.
pub fn settings(command: &Command, given: &ArgMatches, file: &SettingsFile) -> Vec<Setting> {
    command
        .get_arguments()
        .filter_map(|argument| setting(argument, given, file))
        .collect()
}

/// An address without the user and the password that it may hold.
fn without_login(value: &str) -> String {
    match value
        .split_once("://")
        .map(|(scheme, rest)| (scheme, rest.split_once('@')))
    {
        Some((scheme, Some((login, rest)))) if !login.contains('/') => format!("{scheme}://********@{rest}"),
        _ => value.to_owned(),
    }
}

fn setting(argument: &Arg, given: &ArgMatches, file: &SettingsFile) -> Option<Setting> {
    let name = argument.get_env()?.to_str()?.to_owned();
    let id = argument.get_id().as_str();
    let source = match given.value_source(id) {
        Some(ValueSource::CommandLine) => "flag".to_owned(),
        Some(ValueSource::EnvVariable) if file.names.contains(&name) => format!("file {}", file.path),
        Some(ValueSource::EnvVariable) => "environment".to_owned(),
        Some(_) => "default".to_owned(),
        None => "not set".to_owned(),
    };
    let value =
        given
            .get_raw(id)
            .and_then(|mut values| values.next())
            .map(|value| match argument.is_hide_env_values_set() {
                true => "********".to_owned(),
                false => without_login(&value.to_string_lossy()),
            });
    Some(Setting { name, value, source })
}
