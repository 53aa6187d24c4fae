//! Whether the lake's store is away: whether requests to it fail at present that are tried until they succeed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::ArchiveError;
use crate::monitor::{self, Peer};
use crate::retry::Patience;

/// Since when the store has been away, and its last words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away {
    /// When the first of the requests that fail now failed.
    pub since: Instant,
    /// Why the last of them did.
    pub reason: String,
}

/// The store as those see it who wait for it.
#[derive(Debug, Clone, Default)]
pub struct StoreOutage(Arc<Mutex<Failing>>);

#[derive(Debug, Default)]
struct Failing {
    requests: usize,
    away: Option<Away>,
}

impl StoreOutage {
    /// Since when the store has been away; none where nothing waits for it in vain.
    pub fn away(&self) -> Option<Away> {
        self.failing().away.clone()
    }

    /// Patience for a request; `what` completes "could not …".
    pub fn attempts(&self, what: &'static str) -> Attempts {
        Attempts {
            what,
            patience: Patience::new(what),
            store: self.clone(),
            failing: false,
        }
    }

    fn failing(&self) -> MutexGuard<'_, Failing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The attempts at one request, from the first to the one that succeeds.
pub struct Attempts {
    what: &'static str,
    patience: Patience,
    store: StoreOutage,
    failing: bool,
}

impl Attempts {
    /// Notes a failure and waits before the next try.
    ///
    /// # Errors
    /// The failure itself, where waiting does not mend it.
    pub async fn bear(&mut self, failure: ArchiveError) -> Result<(), ArchiveError> {
        let reason = failure.to_string();
        monitor::archiver().failed(Peer::Store);
        let wait = self.patience.wait_after(failure)?;
        tracing::debug!(
            reason,
            "could not {}; trying again in {} ms",
            self.what,
            wait.as_millis()
        );
        {
            let mut failing = self.store.failing();
            let now = Instant::now();
            let since = failing.away.as_ref().map_or(now, |away| away.since);
            failing.away = Some(Away { since, reason });
            failing.requests += usize::from(!self.failing);
        }
        self.failing = true;
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

impl Drop for Attempts {
    fn drop(&mut self) {
        if self.failing {
            let mut failing = self.store.failing();
            failing.requests -= 1;
            if failing.requests == 0 {
                failing.away = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::LakeError;

    fn failure(reason: &str) -> ArchiveError {
        let (place, reason) = ("there".to_owned(), reason.to_owned());
        LakeError::Store { place, reason }.into()
    }

    #[tokio::test]
    async fn the_store_is_away_while_any_request_waits_for_it() {
        let store = StoreOutage::default();
        let (mut first, mut second) = (store.attempts("write"), store.attempts("commit"));
        assert_eq!(store.away(), None);
        first.bear(failure("one")).await.expect("it may pass");
        let begun = store.away().expect("it is away");
        second.bear(failure("two")).await.expect("it may pass");
        first.bear(failure("three")).await.expect("it may pass");
        let away = store.away().expect("it is away");
        assert_eq!(away.since, begun.since);
        assert!(away.reason.contains("three"), "{away:?}");
        drop(first);
        assert!(store.away().is_some());
        drop(second);
        assert_eq!(store.away(), None);
    }

    #[tokio::test]
    async fn what_waiting_does_not_mend_is_no_outage() {
        let store = StoreOutage::default();
        let mut attempts = store.attempts("write");
        let refused = LakeError::Refused {
            place: "there".to_owned(),
            reason: "no".to_owned(),
        };
        assert!(attempts.bear(refused.into()).await.is_err());
        assert_eq!(store.away(), None);
    }
}
