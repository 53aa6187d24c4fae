//! Ending a run between its steps.
//!
//! Until a run publishes, it may be dropped at any moment: what it has put into the lake by then is a rollup that is
//! whole or not there. Once it publishes it is let end, which has limits of its own, so that it is known how it ended.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::HistoryError;
use super::run::Step;
use crate::config::duration::shown;

/// Why a run is to end before it has published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The process was told to end.
    Told,
    /// It has taken longer than this.
    TimedOut(Duration),
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interruption::Told => f.write_str("was told to end"),
            Interruption::TimedOut(limit) => write!(f, "took longer than --timeout {} and was ended", shown(*limit)),
        }
    }
}

impl Interruption {
    /// What the person may do about it, to add to a message.
    pub fn help(self) -> &'static str {
        match self {
            Interruption::Told => "",
            Interruption::TimedOut(_) => "; give it a longer --timeout, or fewer --days",
        }
    }
}

/// What a run is about, between one step and the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It looks at the lake and at what is published.
    Prepare,
    /// It sums up the events.
    SumUp,
    /// It computes the tables.
    Tables,
    /// It publishes.
    Publish,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Phase; 4] = [Phase::Prepare, Phase::SumUp, Phase::Tables, Phase::Publish];

    /// The phase that a step begins; none where it is within one.
    pub fn begun_by(step: &Step) -> Option<Phase> {
        match step {
            Step::Reading { .. } => Some(Phase::SumUp),
            Step::Summed { .. } => Some(Phase::Tables),
            Step::Publishing { .. } => Some(Phase::Publish),
            Step::Computed { .. } => None,
        }
    }

    /// Its name, as metrics and reports have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Prepare => "prepare",
            Phase::SumUp => "sum_up",
            Phase::Tables => "tables",
            Phase::Publish => "publish",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Prepare => "before it had begun to read",
            Phase::SumUp => "while it summed up the events",
            Phase::Tables => "while it computed the tables",
            Phase::Publish => "while it published",
        })
    }
}

/// The phase that a run is in, told by its steps.
#[derive(Default)]
pub(super) struct Now(AtomicU8);

impl Now {
    pub(super) fn hear(&self, step: &Step) {
        let begun = Phase::begun_by(step).and_then(|phase| Phase::ALL.iter().position(|known| *known == phase));
        if let Some(index) = begun.and_then(|index| u8::try_from(index).ok()) {
            self.0.store(index, Ordering::Relaxed);
        }
    }

    fn phase(&self) -> Phase {
        let index = usize::from(self.0.load(Ordering::Relaxed));
        Phase::ALL.get(index).copied().unwrap_or(Phase::Publish)
    }
}

/// The outcome of a run's work, or that it was interrupted before it published.
pub(super) async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, HistoryError>>,
    interrupted: impl Future<Output = Interruption>,
    now: &Now,
) -> Result<T, HistoryError> {
    let mut work = pin!(work);
    let why = tokio::select! {
        biased;
        done = &mut work => return done,
        why = interrupted => why,
    };
    match now.phase() {
        Phase::Publish => work.await,
        during => Err(HistoryError::Interrupted { why, during }),
    }
}
