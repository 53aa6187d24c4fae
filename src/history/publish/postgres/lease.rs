//! The lease in PostgreSQL: an advisory lock of a transaction that is open while a run is at work.
//!
//! The server gives the lock back when the connection ends, and so when the process does. A machine that is gone without
//! a word is given up after a minute: the transaction is pinged more often than that, and the server ends one that says
//! nothing. Within a transaction, and not a session, it holds through a connection pooler too.

use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_postgres::{Client, Error};

use super::Postgres;
use crate::history::HistoryError;
use crate::history::lease::{Holder, Lease, Look, Process};

/// How often the server hears of the holder.
const PING: Duration = Duration::from_secs(15);
/// What sessions that hold the lease call themselves, before the name of the process.
const PREFIX: &str = "lakebed ";
/// The longest name that a session may have.
const LONGEST_NAME: usize = 63;

impl Postgres<'_> {
    /// Takes the lease of the schema if it is free.
    pub(in crate::history) async fn take_lease(&self, process: &Process) -> Result<Look, HistoryError> {
        let client = self.connect().await?;
        let asked = self.lock_or_holder(&client, process).await;
        let held = asked.map_err(|error| self.fault("take the lease that keeps runs apart", &error))?;
        Ok(match held {
            None => Look::Ours(Lease::kept(move |released| keep(client, released))),
            Some(holder) => Look::Held { holder, lives: true },
        })
    }

    /// Takes the lock in an open transaction, or tells who has it.
    async fn lock_or_holder(&self, client: &Client, process: &Process) -> Result<Option<Holder>, Error> {
        let schema = &self.settings.schema;
        let begin = "BEGIN; SET LOCAL idle_in_transaction_session_timeout TO '60s'";
        client.batch_execute(begin).await?;
        client
            .query_one("SELECT set_config('application_name', $1, true)", &[&name(process)])
            .await?;
        let ours: bool = client
            .query_one(
                "SELECT pg_try_advisory_xact_lock(hashtextextended('lakebed-run:' || $1::text, 0))",
                &[schema],
            )
            .await?
            .try_get(0)?;
        if ours {
            return Ok(None);
        }
        // A session of another user's does not show its name.
        let found = client
            .query_opt(
                "SELECT session.application_name, session.xact_start
                 FROM hashtextextended('lakebed-run:' || $1::text, 0) AS lock (key)
                 JOIN pg_locks ON locktype = 'advisory' AND granted AND objsubid = 1
                                  AND classid = ((key >> 32) & 4294967295)::oid AND objid = (key & 4294967295)::oid
                 JOIN pg_database ON pg_database.oid = pg_locks.database AND datname = current_database()
                 JOIN pg_stat_activity AS session USING (pid)
                 LIMIT 1",
                &[schema],
            )
            .await?;
        let Some(row) = found else {
            return Ok(Some(Holder { who: None, since: None }));
        };
        let name: Option<String> = row.try_get(0)?;
        let since: Option<SystemTime> = row.try_get(1)?;
        Ok(Some(Holder {
            who: name.and_then(|name| Some(name.strip_prefix(PREFIX)?.to_owned())),
            since: since.map(Into::into),
        }))
    }
}

/// Keeps the transaction open until it is told to end it, or the server has ended it.
async fn keep(client: Client, mut released: oneshot::Receiver<()>) {
    while timeout(PING, &mut released).await.is_err() {
        if let Err(error) = client.batch_execute("SELECT 1").await {
            let error = super::fault::reason(&error);
            tracing::warn!(
                error,
                "the lease is lost; another run may begin beside this one, and both publish in turn"
            );
            return;
        }
    }
    if let Err(error) = client.batch_execute("ROLLBACK").await {
        tracing::debug!(%error, "the lease ends with its connection");
    }
}

/// The process as the server's list of sessions shows it.
fn name(process: &Process) -> String {
    let shown = process.shown();
    let plain = shown.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' });
    PREFIX.chars().chain(plain).take(LONGEST_NAME).collect()
}
