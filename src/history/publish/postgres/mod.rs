//! Publishing into PostgreSQL: five tables and the run's row in one transaction.
//!
//! DELETE and COPY in one transaction keep readers on what they saw until the COMMIT, and leave the grants, indexes
//! and views of others alone; TRUNCATE would make readers wait, a swap of tables would lose what hangs on them.

mod connect;
mod copy;
mod definition;
mod fault;
mod holders;
mod lease;
mod password;
mod read;
mod release;
mod row;
mod tls;

pub(in crate::history) use connect::CONNECT;

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, IsolationLevel, Transaction};

use fault::BEGIN;
pub use read::read_published_in_postgres;

use super::decide;
use crate::config::PostgresSettings;
use crate::config::duration::shown;
use crate::config::history::PublishMode;
use crate::fail_point::{self, Step};
use crate::history::HistoryError;
use crate::history::runs::{Outcome, RunReport};
use crate::history::tables::{HISTORY_TABLES, TableRows};

/// What a publication may take beside its longest statement and its longest wait for a lock, before it counts as hung.
const BESIDE_STATEMENTS: Duration = Duration::from_secs(60);
/// How long the server may take to answer a COMMIT before we ask on another connection how it ended.
const COMMIT_DEADLINE: Duration = Duration::from_secs(60);
/// How long a server that was lost during a COMMIT has to come back, in pauses of [`SETTLE_PAUSE`].
const SETTLE_ATTEMPTS: u32 = 12;
const SETTLE_PAUSE: Duration = Duration::from_secs(5);

/// A PostgreSQL server to publish to.
pub(in crate::history) struct Postgres<'a> {
    settings: &'a PostgresSettings,
    host: &'a str,
}

impl<'a> Postgres<'a> {
    pub(super) fn new(settings: &'a PostgresSettings, host: &'a str) -> Postgres<'a> {
        Postgres { settings, host }
    }

    /// The place as a person reads it.
    pub(super) fn place(&self) -> String {
        let settings = self.settings;
        format!(
            "schema {} of postgresql://{}:{}/{}",
            settings.schema, self.host, settings.port, settings.db
        )
    }

    /// A table of the schema, as SQL names it.
    pub(super) fn qualified(&self, table: &str) -> String {
        format!("{}.{}", quoted(&self.settings.schema), quoted(table))
    }

    /// That the server does not answer.
    pub(in crate::history) fn away(&self, what: &str, reason: String) -> HistoryError {
        HistoryError::PostgresAway {
            server: self.server(),
            what: what.to_owned(),
            reason,
        }
    }

    /// The server as an error names it; never the password.
    fn server(&self) -> String {
        let settings = self.settings;
        format!(
            "{}:{}, database {}, user {}",
            self.host, settings.port, settings.db, settings.user
        )
    }

    /// Makes the schema and the tables that are missing, and refuses tables that have other columns.
    pub(super) async fn prepare(&self, mode: PublishMode) -> Result<(), HistoryError> {
        self.within_deadline("prepare the tables", async {
            let mut client = self.connect().await?;
            // In a transaction of its own, so that a run that is refused for its tables can leave its row.
            let of_tables: &[&str] = match mode {
                PublishMode::Overwrite => &["SELECT", "INSERT", "DELETE"],
                PublishMode::Append | PublishMode::Ignore | PublishMode::Error => &["SELECT", "INSERT"],
            };
            for (tables, rights) in [
                (definition::RUNS, &["SELECT", "INSERT"][..]),
                (definition::HISTORY, of_tables),
            ] {
                let transaction = self.begin(&mut client).await?;
                definition::prepare(self, &transaction, tables).await?;
                definition::need(self, &transaction, tables, rights).await?;
                transaction
                    .commit()
                    .await
                    .map_err(|error| self.fault("make the tables", &error))?;
            }
            Ok(())
        })
        .await
    }

    /// Publishes the tables as the mode says, with the run's row.
    pub(super) async fn publish(
        &self,
        rows: &[TableRows],
        mode: PublishMode,
        report: &mut RunReport,
    ) -> Result<(), HistoryError> {
        let mut client = self.connect().await?;
        let filled = self.within_deadline("publish the tables", async {
            let transaction = self.begin(&mut client).await?;
            self.fill(&transaction, rows, mode, report).await?;
            Ok(transaction)
        });
        let transaction = filled.await?;
        fail_point::reached(Step::BeforePostgresCommit);
        let committed = timeout(COMMIT_DEADLINE, transaction.commit()).await;
        fail_point::reached(Step::AfterPostgresCommit);
        let reason = match committed {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) if error.as_db_error().is_some() => {
                return Err(self.fault("commit the tables", &error));
            }
            Ok(Err(error)) => fault::reason(&error),
            Err(_) => format!("no answer to COMMIT within {} s", COMMIT_DEADLINE.as_secs()),
        };
        drop(client);
        self.settle(&report.id, &reason).await
    }

    /// Leaves a run's row alone.
    pub(super) async fn record(&self, report: &RunReport) -> Result<(), HistoryError> {
        self.within_deadline("note the run", async {
            let mut client = self.connect().await?;
            let transaction = self.begin(&mut client).await?;
            row::insert(self, &transaction, report).await?;
            transaction
                .commit()
                .await
                .map_err(|error| self.fault("note the run", &error))
        })
        .await
    }

    async fn fill(
        &self,
        transaction: &Transaction<'_>,
        rows: &[TableRows],
        mode: PublishMode,
        report: &mut RunReport,
    ) -> Result<(), HistoryError> {
        let newest = row::newest_published(self, transaction, &report.lake_id).await?;
        let occupied = self.first_with_rows(transaction).await?;
        let outcome = decide(mode, newest, report, occupied, || self.place())?;
        if outcome == Outcome::Published {
            for rows in rows {
                fail_point::reached(Step::BeforePostgresTable);
                if mode == PublishMode::Overwrite {
                    let delete = format!("DELETE FROM {}", rows.table.name);
                    transaction
                        .batch_execute(&delete)
                        .await
                        .map_err(|error| self.fault(&format!("empty {}", rows.table.name), &error))?;
                }
                copy::copy(transaction, rows)
                    .await
                    .map_err(|error| self.fault(&format!("fill {}", rows.table.name), &error))?;
            }
        }
        report.ends(outcome);
        row::insert(self, transaction, report).await
    }

    async fn first_with_rows(&self, transaction: &Transaction<'_>) -> Result<Option<&'static str>, HistoryError> {
        for table in &HISTORY_TABLES {
            let query = format!("SELECT EXISTS (SELECT FROM {})", table.name);
            let found = transaction
                .query_one(&query, &[])
                .await
                .and_then(|row| row.try_get::<_, bool>(0))
                .map_err(|error| self.fault(&format!("look into {}", table.name), &error))?;
            if found {
                return Ok(Some(table.name));
            }
        }
        Ok(None)
    }

    /// A transaction that sees the schema first and that no other publisher of the schema runs beside.
    async fn begin<'c>(&self, client: &'c mut Client) -> Result<Transaction<'c>, HistoryError> {
        let fault = |error| self.fault(BEGIN, &error);
        // Whatever the server, the database or the role makes of transactions that do not say: one that begins while
        // another publishes must see what that one has published once it has the lock.
        let transaction = client
            .build_transaction()
            .isolation_level(IsolationLevel::ReadCommitted)
            .read_only(false)
            .start()
            .await
            .map_err(fault)?;
        // A publisher whose machine is gone must not keep the lock for the hours that TCP would give it.
        let settings = format!(
            "SET LOCAL search_path TO {}; {}; SET LOCAL idle_in_transaction_session_timeout TO '60s'",
            quoted(&self.settings.schema),
            self.limits()
        );
        transaction.batch_execute(&settings).await.map_err(fault)?;
        transaction
            .query(
                "SELECT pg_advisory_xact_lock(hashtextextended('lakebed:' || $1::text, 0))",
                &[&self.settings.schema],
            )
            .await
            .map_err(|error| self.fault("get the lock that publishers take turns by", &error))?;
        Ok(transaction)
    }

    /// Finds out how a COMMIT ended whose answer was lost: the run's row tells.
    async fn settle(&self, run: &str, lost: &str) -> Result<(), HistoryError> {
        let mut reason = lost.to_owned();
        for attempt in 0..SETTLE_ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(SETTLE_PAUSE).await;
            }
            let asked = self.within_deadline("ask how a COMMIT ended", async {
                let mut client = self.connect().await?;
                // The lost transaction holds the lock until it has ended either way: having it, we cannot be early.
                let transaction = self.begin(&mut client).await?;
                row::exists(self, &transaction, run).await
            });
            match asked.await {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    return Err(self.away("commit the tables", format!("{lost}; nothing was changed")));
                }
                Err(error) => reason = error.to_string(),
            }
        }
        Err(HistoryError::CommitUnknown {
            server: self.server(),
            id: run.to_owned(),
            reason,
        })
    }

    /// What a transaction's statements may take, as SQL.
    fn limits(&self) -> String {
        let settings = self.settings;
        format!(
            "SET LOCAL lock_timeout TO {}; SET LOCAL statement_timeout TO {}",
            milliseconds(settings.lock_timeout),
            milliseconds(settings.statement_timeout)
        )
    }

    async fn within_deadline<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, HistoryError>>,
    ) -> Result<T, HistoryError> {
        let settings = self.settings;
        let deadline = settings.lock_timeout + settings.statement_timeout + BESIDE_STATEMENTS;
        match timeout(deadline, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(self.name_holders(error).await),
            Err(_) => Err(self.away(what, format!("no end within {}", shown(deadline)))),
        }
    }
}

/// As the server's settings count time; 0 would mean no limit.
fn milliseconds(duration: Duration) -> u128 {
    duration.as_millis().max(1)
}

/// An SQL identifier.
fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
