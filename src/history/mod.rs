//! The five history tables: computed from the lake's events, published into PostgreSQL or into the lake.
//!
//! One run ([`run::run`]): [`window`] says which events, [`rollup`] sums them up by `views/rollup.sql`, those files
//! only that the rollup in the lake does not have yet, [`tables`] makes the five tables by the files
//! `views/historical_*.sql`, [`publish`] makes them and the run's row ([`runs`]) visible in one step. [`release`] reads
//! that back, and [`expectations`] says what must hold of it.

mod compute;
pub mod expectations;
mod figures;
mod interruption;
pub mod lease;
mod mixed;
pub mod news;
mod presence;
pub mod publish;
mod read_fault;
pub mod release;
pub mod rollup;
pub mod run;
pub mod runs;
mod scan;
mod session;
pub mod snapshot_table;
pub mod tables;
mod temporary;
#[cfg(test)]
mod tests;
pub mod window;

pub use compute::compute_tables;
pub use figures::Figures;
pub use interruption::{Interruption, Phase};
pub use publish::lake::{read_published, read_published_tables};
pub use publish::postgres::read_published_in_postgres;
pub(crate) use read_fault::query_fault;
pub use release::{Release, read_release};
pub use rollup::{RollupReport, RollupState};
pub use run::{Step, run, run_until};
pub use runs::{Outcome, RunReport};
pub use session::session;
pub use snapshot_table::register_table;
pub use tables::{HISTORY_TABLES, HistoryTable, TableRows};
pub use window::Window;

use crate::config::SettingsError;
use crate::error::{HasKind, Kind};
use crate::lake::LakeError;

/// What can go wrong with a run.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The window is none.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A file that the lake's table names cannot be read.
    #[error(
        "cannot read the data file {file}: {reason}; bring the file back, take it out of the table's log, or go on without it with --skip-corrupt"
    )]
    File {
        /// The file, from the root of its store.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store was away while a file was being read.
    #[error("the store failed while {file} was being read: {reason}")]
    Store {
        /// The file, from the root of its store.
        file: String,
        /// The store's own words.
        reason: String,
    },
    /// The computation needs more memory than it may take.
    #[error("{what} does not fit in the memory that a run may take: {reason}; take fewer --days")]
    Memory {
        /// What was being computed.
        what: String,
        /// How much was missing.
        reason: String,
    },
    /// What is too large for memory has no place on the disk either.
    #[error(
        "cannot write into the temporary folder {folder}: {reason}; make room there, or set TMPDIR to one that has it"
    )]
    Temporary {
        /// The folder.
        folder: String,
        /// The system's own words.
        reason: String,
    },
    /// The computation failed.
    #[error("cannot compute {what}: {reason}")]
    Query {
        /// What was being computed.
        what: String,
        /// What failed.
        reason: String,
    },
    /// A value outgrew its column.
    #[error(
        "{table}.{column} does not fit its type {column_type}: {reason}; look for absurd bytes_changed in the events of the window"
    )]
    TooLarge {
        /// The table.
        table: &'static str,
        /// The column.
        column: String,
        /// The column's type.
        column_type: String,
        /// The value.
        reason: String,
    },
    /// `--mode error`, and there is something already.
    #[error(
        "{table} in {place} has rows already and the mode is error; publish with --mode overwrite or append, or empty the table"
    )]
    Occupied {
        /// The table.
        table: &'static str,
        /// Where it is.
        place: String,
    },
    /// A table is there but is not ours.
    #[error(
        "the table {table} in {place} has other columns than lakebed publishes: {difference}; rename it or drop it, or name another POSTGRES_SCHEMA"
    )]
    OtherColumns {
        /// The table.
        table: &'static str,
        /// Where it is.
        place: String,
        /// How its columns differ.
        difference: String,
    },
    /// PostgreSQL refused us, and will until a setting or a right is changed.
    #[error("PostgreSQL at {server}: cannot {what}: {reason}; {help}")]
    PostgresRefused {
        /// Host, port, database, user.
        server: String,
        /// What was asked for.
        what: String,
        /// The server's own words.
        reason: String,
        /// What to do.
        help: &'static str,
    },
    /// PostgreSQL was away or overloaded.
    #[error(
        "PostgreSQL at {server}: cannot {what}: {reason}; check POSTGRES_HOST and POSTGRES_PORT, and that the server is up and reachable, then run again"
    )]
    PostgresAway {
        /// Host, port, database, user.
        server: String,
        /// What was asked for.
        what: String,
        /// The server's or the system's own words.
        reason: String,
    },
    /// Somebody else held what a publisher must lock.
    #[error(
        "PostgreSQL at {server}: cannot {what}: the lock it needs was held for longer than {waited} {holders}; wait for that or end it (pg_terminate_backend), or raise POSTGRES_LOCK_TIMEOUT, then run again"
    )]
    PostgresLocked {
        /// Host, port, database, user.
        server: String,
        /// What was asked for.
        what: String,
        /// For how long it was waited.
        waited: String,
        /// Who held it, in words.
        holders: String,
    },
    /// The connection was lost during COMMIT, and the server did not come back to say how it ended.
    #[error(
        "PostgreSQL at {server} was lost during COMMIT and did not come back ({reason}): whether run {id} was published is not known; lakebed_runs has its row if it was. Running again is safe"
    )]
    CommitUnknown {
        /// Host, port, database, user.
        server: String,
        /// The run.
        id: String,
        /// The last attempt's error.
        reason: String,
    },
    /// The run was ended before it had published.
    #[error("the run {why} {during}; nothing was published{}", .why.help())]
    Interrupted {
        /// Who ended it.
        why: Interruption,
        /// What it was about.
        during: Phase,
    },
    /// Another run is at work.
    #[error(
        "another run publishes into {place}: {holder}; this one waited {waited} and did nothing; run again when that one has ended"
    )]
    Held {
        /// Where the tables are published.
        place: String,
        /// The other run's process.
        holder: lease::Holder,
        /// How long it was waited for.
        waited: String,
    },
    /// A file of expectations says what cannot be meant.
    #[error("{file}: {reason}; docs/expectations.md has the kinds of expectations and what each may say")]
    Expectations {
        /// The file, or its folder.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The computed tables do not meet what is expected of them.
    #[error("{}", not_met(failures))]
    NotMet {
        /// The expectations that they do not meet.
        failures: Vec<expectations::CheckResult>,
    },
    /// Other publishers were first, again and again.
    #[error("other runs kept publishing into {place} while this one tried to; run again when they are done")]
    Busy {
        /// Where the tables are published.
        place: String,
    },
}

/// Expectations that are not met, in one line.
fn not_met(failures: &[expectations::CheckResult]) -> String {
    let shown: Vec<String> = failures
        .iter()
        .take(expectations::SHOWN_ROWS)
        .map(ToString::to_string)
        .collect();
    let more = match failures.len().saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let help = failures.iter().find_map(|failure| Some(&failure.failure()?.help));
    let help = help.map_or_else(String::new, |help| format!("; {help}"));
    format!(
        "nothing was published, since the computed tables do not meet what is expected of them: {}{more}{help}",
        shown.join("; ")
    )
}

impl HasKind for HistoryError {
    fn kind(&self) -> Kind {
        match self {
            HistoryError::Lake(error) => error.kind(),
            HistoryError::Settings(error) => error.kind(),
            HistoryError::Temporary { .. } => Kind::Resource,
            HistoryError::File { .. } | HistoryError::TooLarge { .. } | HistoryError::Occupied { .. } => Kind::Data,
            HistoryError::Store { .. }
            | HistoryError::PostgresAway { .. }
            | HistoryError::PostgresLocked { .. }
            | HistoryError::CommitUnknown { .. }
            | HistoryError::Interrupted { .. }
            | HistoryError::Held { .. }
            | HistoryError::Busy { .. } => Kind::Retry,
            HistoryError::Memory { .. }
            | HistoryError::OtherColumns { .. }
            | HistoryError::Expectations { .. }
            | HistoryError::PostgresRefused { .. } => Kind::Configuration,
            HistoryError::NotMet { .. } => Kind::Unmet,
            HistoryError::Query { .. } => Kind::Bug,
        }
    }
}
