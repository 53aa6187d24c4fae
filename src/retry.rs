//! Trying again what may succeed later.

use std::fmt::Display;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::error::{HasKind, Kind};

/// Bears failures that pass, each with a longer wait.
pub struct Patience {
    what: &'static str,
    waits: ExponentialBackoff,
}

impl Patience {
    /// Patience for something that is tried until it works; `what` completes "could not …".
    pub fn new(what: &'static str) -> Patience {
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(10))
            .with_jitter()
            .without_max_times()
            .build();
        Patience { what, waits }
    }

    /// Patience for something that is tried so many times more, seconds apart at first.
    pub fn of(what: &'static str, times: u32) -> Patience {
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_secs(1))
            .with_max_delay(Duration::from_secs(60))
            .with_jitter()
            .with_max_times(usize::try_from(times).unwrap_or(usize::MAX))
            .build();
        Patience { what, waits }
    }

    /// How long to wait before the next try.
    ///
    /// # Errors
    /// The failure itself, where its kind is not [`Kind::Retry`], so that waiting does not mend it, or where it was tried
    /// often enough.
    pub fn wait_after<E: HasKind + Display>(&mut self, failure: E) -> Result<Duration, E> {
        match self.waits.next() {
            Some(wait) if failure.kind() == Kind::Retry => Ok(wait),
            _ => Err(failure),
        }
    }

    /// Logs a failure and waits before the next try.
    ///
    /// # Errors
    /// Those of [`Patience::wait_after`].
    pub async fn bear<E: HasKind + Display>(&mut self, failure: E) -> Result<(), E> {
        let told = failure.to_string();
        let wait = self.wait_after(failure)?;
        tracing::warn!(
            error = told,
            "could not {}; trying again in {} ms",
            self.what,
            wait.as_millis()
        );
        tokio::time::sleep(wait).await;
        Ok(())
    }
}
