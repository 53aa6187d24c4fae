//! The settings file: `NAME=value` lines, read into the environment where the environment has no such name.

use std::collections::BTreeSet;
use std::path::Path;

use super::SettingsError;

/// Names the settings file; without it `lakebed.env` in the working directory is read where it exists.
pub const FILE_VARIABLE: &str = "LAKEBED_CONFIG";
const DEFAULT_FILE: &str = "lakebed.env";

/// The settings file that was read, and the names that it set.
#[derive(Debug, Default, Clone)]
pub struct SettingsFile {
    /// The file as it was named; none was read where this is empty.
    pub path: String,
    /// The names whose values came from the file.
    pub names: BTreeSet<String>,
}

/// Reads the settings file into the environment.
///
/// Must run while the process has a single thread, since it changes the environment.
///
/// # Errors
/// [`SettingsError::File`] where a file that was named is not there, or any file cannot be parsed.
pub fn load() -> Result<SettingsFile, SettingsError> {
    drop_empty_variables();
    let named = std::env::var(FILE_VARIABLE).ok();
    let path = named.clone().unwrap_or_else(|| DEFAULT_FILE.to_owned());
    if named.is_none() && !Path::new(&path).exists() {
        return Ok(SettingsFile::default());
    }
    let fault = |reason: String| SettingsError::File {
        path: path.clone(),
        reason,
    };
    let before: BTreeSet<String> = environment_names();
    dotenvy::from_path(&path).map_err(|error| fault(reason(&path, &error)))?;
    drop_empty_variables();
    let names = environment_names().difference(&before).cloned().collect();
    Ok(SettingsFile { path, names })
}

/// What is wrong with the file. The library's own words quote the line, which may hold a secret.
fn reason(path: &str, error: &dotenvy::Error) -> String {
    let dotenvy::Error::LineParse(rest, _) = error else {
        return error.to_string();
    };
    let rest = rest.lines().next().unwrap_or_default();
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let place = text
        .lines()
        .position(|line| line.ends_with(rest))
        .map(|index| format!("line {}", index + 1));
    let place = place.unwrap_or_else(|| "a line".to_owned());
    format!("{place} is not NAME=value, or its value has a space or an open quote; put it in 'single quotes'")
}

fn environment_names() -> BTreeSet<String> {
    std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .collect()
}

fn drop_empty_variables() {
    for (name, value) in std::env::vars_os() {
        if value.is_empty() {
            // SAFETY: `load` runs first in `main`, before any thread is started.
            #[expect(clippy::disallowed_methods, reason = "this is the one place")]
            unsafe {
                std::env::remove_var(name);
            }
        }
    }
}
