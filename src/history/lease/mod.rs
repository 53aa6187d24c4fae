//! One run at a time, across processes and machines.
//!
//! A lease spares a run the work that another is doing already. Nothing that is published hangs on it: publishing
//! compares versions of the lake and takes turns by itself ([`super::publish`]). A lease that fails or is lost costs
//! work, never a table.
//!
//! It is kept where the tables are published. In PostgreSQL it is an advisory lock of an open transaction
//! (`publish/postgres/lease.rs`): it ends with its connection, and so with its process. In the lake it is a row of
//! claims ([`claims`]) that the holder renews, and [`judge`] says what another process makes of them.

mod claims;
mod judge;
mod process;

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::HistoryError;
use super::publish::Target;
use crate::config::PostgresSettings;
use crate::lake::{Lake, LakeError, RAW_EVENTS};
use claims::Claims;
pub(super) use process::Process;

/// How long giving a lease back may take; after that it is left to end by itself.
const RELEASE_TIME: Duration = Duration::from_secs(5);

/// How long the place may take to answer a look.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// A run's way to the lease of a place.
///
/// It remembers what it has seen, so one is to be used for as long as one run waits, and another for the next.
pub struct Leases<'a> {
    target: Target<'a>,
    claims: Option<Claims>,
}

/// What a look at the lease has found.
pub enum Look {
    /// It is ours until [`Lease::release`].
    Ours(Lease),
    /// There is no lake yet: a claim would make one where a wrong path points.
    NoLake,
    /// Another run has it.
    Held {
        /// Who, and since when.
        holder: Holder,
        /// Whether it is known that the holder is at work, rather than dead since a moment ago.
        lives: bool,
    },
}

/// Who has a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The process and its machine, where these are known.
    pub who: Option<String>,
    /// Since when, where that is known.
    pub since: Option<DateTime<Utc>>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.who.as_deref().unwrap_or("a process that is not known"))?;
        match self.since {
            Some(since) => write!(f, ", since {}", since.to_rfc3339_opts(SecondsFormat::Secs, true)),
            None => Ok(()),
        }
    }
}

/// A lease that is ours. Dropped, it is given back in the background.
pub struct Lease {
    release: oneshot::Sender<()>,
    keeper: JoinHandle<()>,
}

impl Lease {
    /// A lease that a task keeps, until it is told to give it back.
    pub(super) fn kept<K>(keep: impl FnOnce(oneshot::Receiver<()>) -> K) -> Lease
    where
        K: Future<Output = ()> + Send + 'static,
    {
        let (release, released) = oneshot::channel();
        Lease {
            release,
            keeper: tokio::spawn(keep(released)),
        }
    }

    /// Gives it back; one that cannot be given back ends by itself.
    pub async fn release(self) {
        // Where the keeper has ended, the lease was lost already.
        let _ = self.release.send(());
        if timeout(RELEASE_TIME, self.keeper).await.is_err() {
            tracing::debug!("the lease was not given back in time; it ends by itself");
        }
    }
}

impl<'a> Leases<'a> {
    /// The way to the lease of where the tables are published: PostgreSQL where its settings name a host, else the
    /// lake.
    pub fn new(lake: &'a Lake, postgres: Option<&'a PostgresSettings>) -> Leases<'a> {
        Leases {
            target: Target::new(lake, postgres),
            claims: None,
        }
    }

    /// The place as a person reads it.
    pub fn place(&self) -> String {
        self.target.shown()
    }

    /// Takes the lease if it is free.
    ///
    /// # Errors
    /// [`HistoryError`] where the place cannot be asked, or does not answer soon: a place that does not answer at all
    /// is the run's to tell.
    pub async fn look(&mut self) -> Result<Look, HistoryError> {
        let what = "ask for the lease that keeps runs apart";
        let reason = format!("no answer within {} s", ANSWER_TIME.as_secs());
        match &self.target {
            Target::Postgres(postgres) => {
                let process = Process::this();
                let look = timeout(ANSWER_TIME, postgres.take_lease(&process)).await;
                look.unwrap_or_else(|_| Err(postgres.away(what, reason)))
            }
            Target::Lake(lake) => {
                let claims = self.claims.get_or_insert_with(|| Claims::new(lake, Process::this()));
                let look = async {
                    match lake.has_any(RAW_EVENTS).await? {
                        true => claims.look().await,
                        false => Ok(Look::NoLake),
                    }
                };
                let away = || LakeError::Store {
                    place: self.target.shown(),
                    reason,
                };
                Ok(timeout(ANSWER_TIME, look).await.unwrap_or_else(|_| Err(away()))?)
            }
        }
    }
}
