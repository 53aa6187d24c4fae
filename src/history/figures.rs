//! What a run has cost: what it read and left unread, time, processor, memory, requests.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::interruption::Phase;
use super::run::Step;
use crate::lake::counted::{Counts, Requests};
use crate::lake::{Lake, TableSnapshot};

/// The kernel tells processor time in hundredths of a second, whatever the machine.
const TICK_MS: u64 = 10;

/// A run's own figures. In the run's row they end where the row is written; in a report they are of the whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Data files of raw_events that were opened.
    pub files_read: u64,
    /// Those of the lake's version that were not: they lie outside the window, or an earlier run had summed them up.
    pub files_pruned: u64,
    /// Bytes that were read of data files.
    pub bytes_read: u64,
    /// Bytes of those that were not opened.
    pub bytes_pruned: u64,
    /// Milliseconds of each step.
    pub step_ms: BTreeMap<&'static str, u64>,
    /// Milliseconds of processor time, of all cores together; none where the system does not say.
    pub cpu_ms: Option<u64>,
    /// The most memory that the process held meanwhile; none where the system does not say.
    pub peak_memory_bytes: Option<u64>,
    /// What the lake's store was asked for.
    pub requests: Requests,
}

/// Measures a run.
pub(super) struct Meter {
    counts: Arc<Counts>,
    cpu_before: Option<u64>,
    clock: Mutex<Clock>,
    /// Files of the version that is read, and their bytes.
    version: Mutex<(u64, u64)>,
}

struct Clock {
    phase: Phase,
    since: Instant,
    spent: BTreeMap<&'static str, Duration>,
}

impl Meter {
    /// Begins to measure, and the lake through which it sees what is asked for.
    pub(super) fn begin(lake: &Lake) -> (Meter, Lake) {
        let (lake, counts) = lake.counted();
        // From here on the kernel keeps the peak anew; where it does not, it is that of the process's whole life.
        let _ = fs::write("/proc/self/clear_refs", "5");
        let meter = Meter {
            counts,
            cpu_before: cpu_ms(),
            clock: Mutex::new(Clock {
                phase: Phase::Prepare,
                since: Instant::now(),
                spent: BTreeMap::new(),
            }),
            version: Mutex::default(),
        };
        (meter, lake)
    }

    /// Hears that a step has come.
    pub(super) fn hear(&self, step: &Step) {
        if let Some(phase) = Phase::begun_by(step) {
            self.clock.lock().unwrap_or_else(PoisonError::into_inner).turn_to(phase);
        }
    }

    /// Hears which version is read.
    pub(super) fn reads(&self, events: &TableSnapshot) {
        let bytes = events.files.iter().map(|file| file.size).sum();
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = (events.files.len() as u64, bytes);
    }

    /// The figures up to now.
    pub(super) fn figures(&self) -> Figures {
        let opened = self.counts.opened();
        let (files, bytes) = *self.version.lock().unwrap_or_else(PoisonError::into_inner);
        let step_ms = {
            let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
            let phase = clock.phase;
            clock.turn_to(phase);
            let in_ms = |(phase, spent): (&&'static str, &Duration)| {
                (*phase, u64::try_from(spent.as_millis()).unwrap_or(u64::MAX))
            };
            clock.spent.iter().map(in_ms).collect()
        };
        let spent = |now: u64| now.saturating_sub(self.cpu_before.unwrap_or_default());
        Figures {
            files_read: opened.files,
            files_pruned: files.saturating_sub(opened.files),
            bytes_read: opened.bytes_read,
            bytes_pruned: bytes.saturating_sub(opened.bytes),
            step_ms,
            cpu_ms: self.cpu_before.and_then(|_| cpu_ms()).map(spent),
            peak_memory_bytes: peak_memory(),
            requests: self.counts.requests(),
        }
    }
}

impl Clock {
    fn turn_to(&mut self, phase: Phase) {
        let now = Instant::now();
        let spent = now.saturating_duration_since(self.since);
        *self.spent.entry(self.phase.as_str()).or_default() += spent;
        (self.phase, self.since) = (phase, now);
    }
}

/// Processor time of this process so far.
fn cpu_ms() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/stat").ok()?;
    // The name comes second, in parentheses, and may hold anything.
    let (_, behind) = status.rsplit_once(')')?;
    let mut fields = behind.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) * TICK_MS)
}

/// The most memory that this process has held.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_what_this_process_has_used() {
        assert!(peak_memory().is_some_and(|bytes| bytes > 1 << 20));
        let (begun, before) = (Instant::now(), cpu_ms().expect("a time"));
        while begun.elapsed() < Duration::from_millis(200) {
            std::hint::spin_loop();
        }
        let spent = cpu_ms().expect("a time") - before;
        assert!(spent >= 20, "{spent}");
    }
}
