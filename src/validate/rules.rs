//! What each row of raw_events is expected to have, and the rows that do not.

use serde_json::json;

use crate::history::expectations::{CheckResult, Failure, Row, SHOWN_ROWS};
use crate::lake::{DataFile, RAW_EVENTS};

/// What each row is expected to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Timestamp,
    Partition,
    Offset,
    Limits,
    Folder,
}

/// All of them.
pub(super) const RULES: [Rule; 5] = [
    Rule::Timestamp,
    Rule::Partition,
    Rule::Offset,
    Rule::Limits,
    Rule::Folder,
];

impl Rule {
    /// As it is named in results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Rule::Timestamp => "not_null(timestamp)",
            Rule::Partition => "not_null(_partition)",
            Rule::Offset => "not_null(_offset)",
            Rule::Limits => "range(timestamp)",
            Rule::Folder => "folder",
        }
    }

    fn reason(self, rows: u64) -> String {
        let rows = match rows {
            1 => "1 row".to_owned(),
            rows => format!("{rows} rows"),
        };
        match self {
            Rule::Timestamp => format!("{rows} without a timestamp"),
            Rule::Partition => format!("{rows} without their partition in Kafka"),
            Rule::Offset => format!("{rows} without their offset in Kafka"),
            Rule::Limits => format!("{rows} with a timestamp before 2001-01-15 or more than a day ahead of the clock"),
            Rule::Folder => format!("{rows} in the folder of another month than their own"),
        }
    }

    fn because(self) -> &'static str {
        match self {
            Rule::Timestamp => "an event without a time belongs in quarantine",
            Rule::Partition | Rule::Offset => "every row has its place in Kafka; lakebed verify --deep stands on it",
            Rule::Limits => "an event of such a time belongs in quarantine",
            Rule::Folder => "readers leave out the folders of other months than they ask for",
        }
    }
}

/// Rows that are not as expected, by rule.
#[derive(Default)]
pub(super) struct Found {
    rows: [u64; RULES.len()],
    shown: [Vec<Row>; RULES.len()],
    unreadable: u64,
    files: Vec<Row>,
}

impl Found {
    /// Adds what was found in another file.
    pub(super) fn add(&mut self, other: Found) {
        for rule in 0..RULES.len() {
            self.rows[rule] += other.rows[rule];
        }
        for (shown, more) in self.shown.iter_mut().zip(other.shown) {
            let room = SHOWN_ROWS.saturating_sub(shown.len());
            shown.extend(more.into_iter().take(room));
        }
    }

    /// Adds a row that is not as a rule expects.
    pub(super) fn row(&mut self, rule: Rule, row: impl FnOnce() -> Row) {
        let rule = rule as usize;
        self.rows[rule] += 1;
        if self.shown[rule].len() < SHOWN_ROWS {
            self.shown[rule].push(row());
        }
    }

    /// Adds a file that could not be read.
    pub(super) fn unreadable(&mut self, file: &DataFile, reason: &str) {
        self.unreadable += 1;
        if self.files.len() < SHOWN_ROWS {
            let name = json!(file.path.to_string());
            self.files.push(Row::of([("file", name), ("error", json!(reason))]));
        }
    }

    /// What came of a rule.
    pub(super) fn result(&self, rule: Rule) -> CheckResult {
        let rows = self.rows[rule as usize];
        if rows == 0 {
            return CheckResult::met(RAW_EVENTS, rule.name());
        }
        let failure = Failure {
            reason: rule.reason(rows),
            because: Some(rule.because().to_owned()),
            offending: rows,
            rows: self.shown[rule as usize].clone(),
            help: "find out which writer these files are of (lakebed verify names files without a record), and take them out of the table's log or write them anew".to_owned(),
        };
        CheckResult::not_met(RAW_EVENTS, rule.name(), failure)
    }

    /// Whether all files that had to be read could be.
    pub(super) fn readable(&self) -> CheckResult {
        if self.unreadable == 0 {
            return CheckResult::met(RAW_EVENTS, "readable");
        }
        let failure = Failure {
            reason: match self.unreadable {
                1 => "1 file cannot be read".to_owned(),
                files => format!("{files} files cannot be read"),
            },
            because: Some(
                "what the table's log says of them does not tell whether their rows are as expected".to_owned(),
            ),
            offending: self.unreadable,
            rows: self.files.clone(),
            help: "bring the files back; lakebed verify --deep reads all of them".to_owned(),
        };
        CheckResult::not_met(RAW_EVENTS, "readable", failure)
    }
}
