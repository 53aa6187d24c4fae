//! One turn: the lease, a run, and its further tries.

use std::time::Duration;

use chrono::Utc;
use tokio::time::{Instant, sleep, sleep_until};

use super::observer::Observer;
use super::{Stop, told};
use crate::config::duration::shown;
use crate::config::{HistorySettings, PostgresSettings};
use crate::error::{HasKind, Kind};
use crate::history::lease::{Holder, Lease, Leases, Look};
use crate::history::{HistoryError, Interruption, Phase, RunReport, Step, run_until};
use crate::lake::Lake;
use crate::monitor;
use crate::retry::Patience;

/// How long a run that happens once waits for another one's end where it has no --timeout.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often the lease is looked at while another run has it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What a turn does, and within which limits.
pub struct Job<'a> {
    /// The window and the mode of the runs.
    pub settings: &'a HistorySettings,
    /// The lake that they read.
    pub lake: &'a Lake,
    /// Where they publish.
    pub postgres: &'a PostgresSettings,
    /// How often a run is tried again.
    pub retries: u32,
    /// How long a turn may take.
    pub timeout: Option<Duration>,
}

/// How a turn deals with what is in its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// It is the only one: it waits for another run's end, and tells at once where nothing answers at all.
    Once,
    /// The next one comes: it leaves another run its way, and bears whatever passes.
    Repeated,
}

/// Runs once: waits for the end of another run that is at work, and tries again what may succeed later.
///
/// # Errors
/// That of the last try; [`HistoryError::Held`] where another run did not end in time, and
/// [`HistoryError::Interrupted`] where this one was told to end or took too long.
pub async fn once(job: &Job<'_>, stop: &Stop, progress: &(dyn Fn(Step) + Sync)) -> Result<RunReport, HistoryError> {
    turn(job, Manner::Once, stop, progress).await
}

/// One turn; [`HistoryError::Held`] where another run is at work.
pub(super) async fn turn(
    job: &Job<'_>,
    manner: Manner,
    stop: &Stop,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<RunReport, HistoryError> {
    let limits = Limits {
        stop,
        deadline: job.timeout.map(|limit| (Instant::now() + limit, limit)),
    };
    let lease = match take(job, manner, &limits).await {
        Err(error @ (HistoryError::Held { .. } | HistoryError::Interrupted { .. })) => return Err(error),
        // Without one the run goes on: what keeps it from the lease may keep it from publishing too, and then says so.
        lease => lease,
    };
    let done = tries(job, manner, &limits, progress).await;
    match lease {
        Ok(Some(lease)) => lease.release().await,
        Ok(None) => {}
        Err(error) if done.is_ok() => {
            tracing::warn!(%error, "another run could have been at work beside this one: the lease that keeps them apart could not be taken");
        }
        Err(_) => {}
    }
    done
}

/// What ends a turn before its time.
struct Limits<'a> {
    stop: &'a Stop,
    deadline: Option<(Instant, Duration)>,
}

impl Limits<'_> {
    async fn reached(&self) -> Interruption {
        let timed_out = async {
            match self.deadline {
                Some((deadline, limit)) => {
                    sleep_until(deadline).await;
                    limit
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = told(self.stop) => Interruption::Told,
            limit = timed_out => Interruption::TimedOut(limit),
        }
    }

    /// Waits, unless a limit is reached first.
    async fn wait(&self, time: Duration) -> Result<(), HistoryError> {
        tokio::select! {
            () = sleep(time) => Ok(()),
            why = self.reached() => Err(HistoryError::Interrupted { why, during: Phase::Prepare }),
        }
    }
}

/// The lease; none where there is no lake yet, whose place is not to be written to.
async fn take(job: &Job<'_>, manner: Manner, limits: &Limits<'_>) -> Result<Option<Lease>, HistoryError> {
    let mut leases = Leases::new(job.lake, Some(job.postgres));
    let begun = Instant::now();
    let place = leases.place();
    let held = |holder: Holder| HistoryError::Held {
        place: place.clone(),
        holder,
        waited: shown(begun.elapsed()),
    };
    // Who has waited in vain is told for whom.
    let in_vain = |why: Interruption, holder: Option<Holder>| match (why, holder) {
        (Interruption::TimedOut(_), Some(holder)) => held(holder),
        (why, _) => HistoryError::Interrupted {
            why,
            during: Phase::Prepare,
        },
    };
    let mut waits_for: Option<Holder> = None;
    loop {
        let look = tokio::select! {
            look = leases.look() => look,
            why = limits.reached() => return Err(in_vain(why, waits_for)),
        };
        let (holder, lives) = match (look, waits_for.take()) {
            (Ok(Look::Ours(lease)), _) => return Ok(Some(lease)),
            (Ok(Look::NoLake), _) => return Ok(None),
            (Ok(Look::Held { holder, lives }), before) => {
                if manner == Manner::Once && before.as_ref() != Some(&holder) {
                    tracing::info!(%holder, "another run is at work; waiting for its end");
                }
                (holder, lives)
            }
            // Whoever had it a moment ago is taken to have it still.
            (Err(_), Some(holder)) => (holder, false),
            (Err(error), None) => return Err(error),
        };
        let leaves_it_its_way = manner == Manner::Repeated && lives;
        let enough = job.timeout.is_none() && begun.elapsed() >= PATIENCE;
        if leaves_it_its_way || enough {
            return Err(held(holder));
        }
        tokio::select! {
            () = sleep(LOOK_AGAIN) => waits_for = Some(holder),
            why = limits.reached() => return Err(in_vain(why, Some(holder))),
        }
    }
}

/// A run, tried again after growing waits for as long as what fails may succeed later.
async fn tries(
    job: &Job<'_>,
    manner: Manner,
    limits: &Limits<'_>,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<RunReport, HistoryError> {
    let mut patience = Patience::of("publish the tables", job.retries);
    let mut attempt = 1_u64;
    loop {
        let observer = Observer::new(progress);
        let now = job.settings.now.unwrap_or_else(Utc::now);
        let hear = |step| observer.hear(step);
        let (lake, postgres) = (job.lake, Some(job.postgres));
        let done = run_until(job.settings, lake, postgres, now, &hear, limits.reached()).await;
        let has_begun = observer.has_begun();
        observer.ends();
        let failure = match done {
            Err(error) if error.kind() == Kind::Retry && (has_begun || manner == Manner::Repeated) => error,
            done => return done,
        };
        if matches!(failure, HistoryError::Interrupted { .. }) {
            return Err(failure);
        }
        let reason = failure.to_string();
        let wait = patience.wait_after(failure)?;
        monitor::processor().retried();
        tracing::warn!(
            error = reason,
            "the run failed; trying again in {} (try {} of {})",
            shown(wait),
            attempt + 1,
            u64::from(job.retries) + 1
        );
        limits.wait(wait).await?;
        attempt += 1;
    }
}
