//! What a run says of its steps, handed on, and timed for the metrics.

use std::sync::Mutex;
use std::time::Instant;

use crate::history::{Phase, Step};
use crate::monitor;

/// A listener to the steps of one run.
pub(super) struct Observer<'a> {
    progress: &'a (dyn Fn(Step) + Sync),
    present: Mutex<(Phase, Instant)>,
}

impl<'a> Observer<'a> {
    /// A listener from a run's beginning on, which hands the steps on.
    pub(super) fn new(progress: &'a (dyn Fn(Step) + Sync)) -> Observer<'a> {
        Observer {
            progress,
            present: Mutex::new((Phase::Prepare, Instant::now())),
        }
    }

    pub(super) fn hear(&self, step: Step) {
        if let Some(next) = Phase::begun_by(&step) {
            self.turn_to(next);
        }
        (self.progress)(step);
    }

    /// Whether the lake and the database have answered.
    pub(super) fn has_begun(&self) -> bool {
        self.present.lock().is_ok_and(|present| present.0 != Phase::Prepare)
    }

    /// The run has ended, well or not.
    pub(super) fn ends(&self) {
        self.turn_to(Phase::Prepare);
    }

    fn turn_to(&self, next: Phase) {
        let now = Instant::now();
        let mut present = self.present.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (phase, since) = std::mem::replace(&mut *present, (next, now));
        monitor::processor().step(phase.as_str(), now.saturating_duration_since(since));
    }
}
