//! The lease in the lake: a row of numbered claims under `history/lease/`, of which the newest counts.
//!
//! Each claim, each renewal and each release is an object of its own, put under the next number if nobody else has put
//! it: the one thing that all stores can do ([`crate::lake::commit`] stands on the same). Whoever puts one deletes the
//! older ones, so an object is left. A writer that was slow may find its number free again for that reason; it looks
//! once more after it has put its claim, and one that is not the newest is no claim.

use std::time::Instant;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::judge::{RENEWAL, Sighting, Verdict, judge};
use super::{Holder, Lease, Look, Process};
use crate::lake::snapshot::store_fault;
use crate::lake::{Lake, LakeError};

const FOLDER: &str = "history/lease";
/// How often a look begins anew because others put or deleted claims meanwhile.
const ATTEMPTS: usize = 10;

/// A claim to the lease, as its object holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    /// Which lease it belongs to; its renewals have the same.
    lease: Uuid,
    process: Process,
    since: DateTime<Utc>,
    /// Whether it was given back.
    given_back: bool,
}

/// An object of the row.
#[derive(Debug, Clone)]
struct Entry {
    number: u64,
    path: Path,
    put_at: DateTime<Utc>,
}

/// A watcher of the row, who may come to claim the lease.
pub(super) struct Claims {
    lake: Lake,
    process: Process,
    /// The newest claim that was seen, and when first; its lease, where it could be read.
    seen: Option<(u64, Instant, Option<Uuid>)>,
    renewed: bool,
}

impl Claims {
    /// Claims on behalf of a process, of which one run is at work at a time.
    pub(super) fn new(lake: &Lake, process: Process) -> Claims {
        Claims {
            lake: lake.clone(),
            process,
            seen: None,
            renewed: false,
        }
    }

    /// Claims the lease if it is free.
    pub(super) async fn look(&mut self) -> Result<Look, LakeError> {
        for _ in 0..ATTEMPTS {
            let newest = self.row().await?.pop();
            let next = newest.as_ref().map_or(0, |entry| entry.number + 1);
            if let Some(entry) = newest {
                let Some(bytes) = self.read(&entry.path).await? else {
                    continue;
                };
                // What is no claim is somebody's all the same, and void once it does not change.
                let claim: Option<Claim> = serde_json::from_slice(&bytes).ok();
                if let Verdict::Held { lives } = judge(&self.sighting(&entry, claim.as_ref())) {
                    return Ok(Look::Held {
                        holder: Holder {
                            who: claim.as_ref().map(|claim| claim.process.shown()),
                            since: claim.map(|claim| claim.since),
                        },
                        lives,
                    });
                }
            }
            let claim = Claim {
                lease: Uuid::now_v7(),
                process: self.process.clone(),
                since: Utc::now(),
                given_back: false,
            };
            if let Some(number) = self.put(next, &claim).await? {
                return Ok(Look::Ours(self.kept(number, claim)));
            }
        }
        // So many others are at it that one of them has it.
        Ok(Look::Held {
            holder: Holder { who: None, since: None },
            lives: true,
        })
    }

    fn sighting(&mut self, entry: &Entry, claim: Option<&Claim>) -> Sighting {
        let lease = claim.map(|claim| claim.lease);
        let (number, since) = match self.seen {
            Some((number, since, _)) if number == entry.number => (number, since),
            Some((_, _, before)) => {
                self.renewed = before.is_some() && before == lease;
                (entry.number, Instant::now())
            }
            None => (entry.number, Instant::now()),
        };
        self.seen = Some((number, since, lease));
        // What an earlier run of this very process could not give back is nobody's any more.
        let given_back = claim.is_some_and(|claim| claim.given_back || claim.process == self.process);
        Sighting {
            given_back,
            unchanged: since.elapsed(),
            renewed: self.renewed,
            age: (Utc::now() - entry.put_at).to_std().unwrap_or_default(),
            process_is_there: claim.and_then(|claim| claim.process.is_there()),
        }
    }

    /// The lease of this claim, renewed by a task until it is given back or lost.
    fn kept(&self, number: u64, claim: Claim) -> Lease {
        let claims = Claims::new(&self.lake, self.process.clone());
        Lease::kept(move |released| async move { claims.keep(number, claim, released).await })
    }

    async fn keep(self, mut number: u64, mut claim: Claim, mut released: oneshot::Receiver<()>) {
        while !claim.given_back {
            claim.given_back = tokio::time::timeout(RENEWAL, &mut released).await.is_ok();
            match self.put_after(number, &claim).await {
                Ok(Some(put)) => number = put,
                Ok(None) => {
                    tracing::warn!(
                        "another run has taken the lease over, as if this one were dead; both go on, and publish in turn"
                    );
                    return;
                }
                // Not renewed for long enough, it is void.
                Err(error) => tracing::debug!(%error, "the lease was not renewed"),
            }
        }
    }

    /// Puts a claim behind our own of this number; none where somebody else has put one.
    async fn put_after(&self, number: u64, claim: &Claim) -> Result<Option<u64>, LakeError> {
        let mut next = number + 1;
        for _ in 0..ATTEMPTS {
            if let Some(put) = self.put(next, claim).await? {
                return Ok(Some(put));
            }
            // It may be one of our own, whose answer was lost.
            let Some(entry) = self.row().await?.pop() else {
                return Ok(None);
            };
            let found = self.read(&entry.path).await?;
            let found: Option<Claim> = found.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            match found {
                Some(found) if found.lease == claim.lease => next = entry.number + 1,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Puts a claim under a number and deletes the older ones; none where it is not the newest of all.
    async fn put(&self, number: u64, claim: &Claim) -> Result<Option<u64>, LakeError> {
        let path = self.path(number);
        let bytes = serde_json::to_vec(claim).map_err(|error| LakeError::Encode {
            place: self.lake.shown(FOLDER),
            reason: error.to_string(),
        })?;
        let options = PutOptions::from(PutMode::Create);
        match self
            .lake
            .store()
            .put_opts(&path, PutPayload::from(bytes), options)
            .await
        {
            Ok(_) => {}
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(self.fault(&error)),
        }
        let row = self.row().await?;
        let is_newest = row.last().is_some_and(|entry| entry.number == number);
        let gone: Vec<Path> = match is_newest {
            true => row
                .iter()
                .filter(|entry| entry.number < number)
                .map(|entry| entry.path.clone())
                .collect(),
            false => vec![path],
        };
        self.delete(gone).await;
        Ok(is_newest.then_some(number))
    }

    /// All objects of the row, the newest last.
    async fn row(&self) -> Result<Vec<Entry>, LakeError> {
        let objects = self.lake.store().list(Some(&self.lake.path(FOLDER)));
        let mut row: Vec<Entry> = objects
            .try_filter_map(|object| async move {
                let number = object.location.filename().and_then(number_of);
                Ok(number.map(|number| Entry {
                    number,
                    path: object.location,
                    put_at: object.last_modified,
                }))
            })
            .try_collect()
            .await
            .map_err(|error| self.fault(&error))?;
        row.sort_by_key(|entry| entry.number);
        Ok(row)
    }

    /// An object's bytes; none where it is gone.
    async fn read(&self, path: &Path) -> Result<Option<Bytes>, LakeError> {
        let read = async { self.lake.store().get(path).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.fault(&error)),
        }
    }

    /// What cannot be deleted does no harm.
    async fn delete(&self, paths: Vec<Path>) {
        let paths = futures::stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut deleted = self.lake.store().delete_stream(paths);
        while let Some(result) = deleted.next().await {
            if let Err(error) = result {
                tracing::debug!(%error, "an old claim to the lease is still there");
            }
        }
    }

    fn path(&self, number: u64) -> Path {
        self.lake.path(FOLDER).join(format!("{number:020}.json"))
    }

    fn fault(&self, error: &object_store::Error) -> LakeError {
        store_fault(&self.lake.shown(FOLDER), error)
    }
}

fn number_of(file: &str) -> Option<u64> {
    file.strip_suffix(".json")?.parse().ok()
}

#[cfg(test)]
mod tests;
