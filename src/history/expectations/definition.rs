//! A file of expectations, read strictly: what is not known is refused, and so is what cannot be meant.

use serde_json::Value;

use super::kind::{Kind, kinds};
use super::relation::Relation;
use super::toml::{self, Entry};
use crate::history::HistoryError;

/// One thing that is expected of a table.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// The table.
    pub table: Relation,
    /// What is expected.
    pub(super) kind: Kind,
    /// Why.
    pub(super) because: Option<String>,
    /// What to do where it is not met, if that is particular.
    pub(super) help: Option<String>,
    /// Where it is written.
    pub(super) place: String,
}

impl Expectation {
    /// Takes another age than the file's, where it is about one.
    pub(super) fn allow_age(&mut self, hours: u32) {
        if let Kind::Fresh { within_hours, .. } = &mut self.kind {
            *within_hours = Some(hours);
        }
    }
}

/// The expectations that a file has of a table.
///
/// # Errors
/// [`HistoryError::Expectations`] where it says what is not known or cannot be meant.
pub(super) fn parse(file: &str, table: Relation, text: &str) -> Result<Vec<Expectation>, HistoryError> {
    let fault = |reason: String| HistoryError::Expectations {
        file: file.to_owned(),
        reason,
    };
    let mut all = Vec::new();
    for entry in toml::entries(text).map_err(fault)? {
        let Entry { name, line, mut value } = entry;
        let fault = |reason: String| fault(format!("line {line}: [[{name}]]: {reason}"));
        let because = text_of(&mut value, "because").map_err(fault)?;
        let help = text_of(&mut value, "help").map_err(fault)?;
        for kind in kinds(table, &name, value).map_err(fault)? {
            all.push(Expectation {
                table,
                kind,
                because: because.clone(),
                help: help.clone(),
                place: format!("{file}, line {line}"),
            });
        }
    }
    Ok(all)
}

/// Takes a text out of an entry that any kind may have.
fn text_of(entry: &mut Value, name: &str) -> Result<Option<String>, String> {
    match entry.as_object_mut().and_then(|entry| entry.remove(name)) {
        None => Ok(None),
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text)),
        Some(other) => Err(format!("{name} is to be a text and is {other}")),
    }
}
