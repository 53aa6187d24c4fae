//! PostgreSQL's errors, told apart by what their reader must do.

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use super::Postgres;
use crate::config::duration::shown;
use crate::history::HistoryError;

/// What is asked for first, in the words of errors.
pub(super) const BEGIN: &str = "begin a transaction";
const RIGHTS: &str = "grant POSTGRES_USER USAGE on the schema and SELECT, INSERT and DELETE on its tables (CREATE where they are missing), or name another POSTGRES_SCHEMA";

impl Postgres<'_> {
    /// What the server, or the way to it, says, as an error of the run; `what` is what was asked for.
    pub(in crate::history::publish) fn fault(&self, what: &str, error: &Error) -> HistoryError {
        let refused = |help| self.refused(what, reason(error), help);
        match error.as_db_error() {
            Some(said) => self.said(what, said, reason(error)),
            None if is_tls(error) => refused(
                "check POSTGRES_SSLMODE and POSTGRES_SSLROOTCERT, and POSTGRES_SSLCERT where the server wants a certificate",
            ),
            None if reason(error).contains("password missing") => refused(
                "set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE, or give PGPASSFILE a line for this server, database and user",
            ),
            None => self.away(what, reason(error)),
        }
    }

    /// That rights are missing.
    pub(super) fn lacks_rights(&self, what: &str, reason: String) -> HistoryError {
        self.refused(what, reason, RIGHTS)
    }

    /// That the server refuses until something is changed.
    pub(super) fn refused(&self, what: &str, reason: String, help: &'static str) -> HistoryError {
        HistoryError::PostgresRefused {
            server: self.server(),
            what: what.to_owned(),
            reason,
            help,
        }
    }

    fn said(&self, what: &str, said: &DbError, reason: String) -> HistoryError {
        let settings = self.settings;
        match said.code() {
            code if code.code().starts_with("28") => self.refused(
                what,
                reason,
                "check POSTGRES_USER, the password (POSTGRES_PASSWORD, POSTGRES_PASSWORD_FILE, PGPASSFILE), POSTGRES_SSLMODE, and the server's pg_hba.conf",
            ),
            &SqlState::INVALID_CATALOG_NAME => {
                self.refused(what, reason, "create the database, or correct POSTGRES_DB")
            }
            // A table in a schema without USAGE does not exist, as the server puts it.
            &SqlState::INSUFFICIENT_PRIVILEGE | &SqlState::UNDEFINED_TABLE => self.lacks_rights(what, reason),
            // A standby says the second where it is told to begin a transaction that writes.
            code if *code == SqlState::READ_ONLY_SQL_TRANSACTION
                || (what == BEGIN && *code == SqlState::FEATURE_NOT_SUPPORTED) =>
            {
                self.refused(
                what,
                reason,
                "name the primary server in POSTGRES_HOST: this one takes no writes",
            )
            }
            &SqlState::LOCK_NOT_AVAILABLE => HistoryError::PostgresLocked {
                server: self.server(),
                what: what.to_owned(),
                waited: shown(settings.lock_timeout),
                holders: "by whom is not known".to_owned(),
            },
            &SqlState::QUERY_CANCELED => {
                let limit = shown(settings.statement_timeout);
                self.away(what, format!("{reason} (POSTGRES_STATEMENT_TIMEOUT is {limit})"))
            }
            &SqlState::DISK_FULL => self.away(what, format!("{reason} (the server's disk is full: make room there)")),
            &SqlState::TOO_MANY_CONNECTIONS => self.away(
                what,
                format!("{reason} (its max_connections, or the role's or the database's limit, is reached)"),
            ),
            // Connection lost, transaction to be tried again, resources short, not in the right state, operator
            // intervention, system error.
            code if ["08", "40", "53", "55", "57", "58"]
                .iter()
                .any(|class| code.code().starts_with(class)) =>
            {
                self.away(what, reason)
            }
            _ => self.refused(what, reason, "mend what the server names"),
        }
    }
}

/// Whether TLS is what failed.
pub(super) fn is_tls(error: &Error) -> bool {
    error.to_string().contains("TLS")
}

/// An error and its causes in one line.
pub(super) fn reason(error: &Error) -> String {
    if let Some(said) = error.as_db_error() {
        let detail = said.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        return format!("{}{detail}", said.message());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}
