//! What is expected of the five tables, whatever the events are, and whether it holds.
//!
//! The expectations of a table stand beside its definition, in `views/<table>.toml`, and of the runs that published the
//! tables in `views/lakebed_runs.toml`. [`definition`] reads these files strictly, [`query`] turns an expectation into
//! the query that finds the rows which do not meet it, [`check()`] runs these queries over a [`Release`]: one that was
//! read back, or one that is about to be published.
//!
//! [`Release`]: super::release::Release

mod check;
mod definition;
mod gate;
mod kind;
mod query;
mod relation;
mod result;
#[cfg(test)]
mod tests;
mod toml;
mod wording;

pub use check::{Occasion, check};
pub use definition::Expectation;
pub(in crate::history) use gate::Gate;
pub(in crate::history) use relation::RUNS;
pub use relation::Relation;
pub use result::{CheckResult, Failure, Row, SHOWN_ROWS, Tally, Verdict};

use std::path::Path;

use super::HistoryError;
use crate::config::ExpectationSettings;

/// The expectations that lakebed has of its own tables, and those of the files in a folder of the user's. Where a number
/// of hours is given, lakebed's own take it for the age that they allow.
///
/// # Errors
/// [`HistoryError::Expectations`] where a file says what cannot be meant.
pub async fn load(
    settings: &ExpectationSettings,
    max_age_hours: Option<u32>,
) -> Result<Vec<Expectation>, HistoryError> {
    let mut all = Vec::new();
    for relation in Relation::all() {
        let file = format!("views/{}.toml", relation.name);
        all.extend(definition::parse(&file, relation, relation.expectations)?);
    }
    if let Some(hours) = max_age_hours {
        all.iter_mut().for_each(|expectation| expectation.allow_age(hours));
    }
    if let Some(folder) = &settings.folder {
        let theirs = of_folder(folder)?;
        query::plan(&theirs).await?;
        all.extend(theirs);
    }
    Ok(all)
}

/// The expectations of a folder's files, each named after the table that it is about.
fn of_folder(folder: &Path) -> Result<Vec<Expectation>, HistoryError> {
    let fault = |path: &Path, reason: String| HistoryError::Expectations {
        file: path.display().to_string(),
        reason,
    };
    let unreadable = |path: &Path, error: std::io::Error| fault(path, format!("it cannot be read: {error}"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
        let path = entry.map_err(|error| unreadable(folder, error))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(fault(folder, "there is no file <table>.toml in it".to_owned()));
    }
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let table = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let relation = Relation::named(table).ok_or_else(|| {
            let names: Vec<&str> = Relation::all().map(|relation| relation.name).collect();
            fault(
                &path,
                format!("it is named after none of the tables {}", names.join(", ")),
            )
        })?;
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
        all.extend(definition::parse(&path.display().to_string(), relation, &text)?);
    }
    Ok(all)
}
