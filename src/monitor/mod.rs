//! Metrics and health: what a process that goes on does, over HTTP, for Prometheus and for whoever restarts processes.
//!
//! Like a log, this stands below everything else: an archiver says what happens by one call each ([`archiver()`]), and so
//! does a process that runs again and again ([`processor()`]); nothing here knows who listens. [`serve_archiver`] and
//! [`serve_processor`] serve it where METRICS_LISTEN asks for it. Counting costs the archiver a few atomic additions a
//! flush or a burst of messages, never one a message.
//!
//! [`health`] and [`run_health`] hold the rules that /healthz answers by, which are pure; [`state`] what the archiver's
//! is computed from. Each name that is served stands in docs/metrics.md, which a test compares with what is served.

mod archiver;
mod families;
mod gauges;
pub mod health;
mod processor;
pub mod run_health;
mod serve;
mod state;

use std::sync::LazyLock;

pub use archiver::{Archiver, Peer, Tally};
pub use processor::{Processor, Read, Skip};
pub use serve::{MonitorError, serve_archiver, serve_processor};

/// The archiver of this process, of which there is one at most.
pub fn archiver() -> &'static Archiver {
    static ARCHIVER: LazyLock<Archiver> = LazyLock::new(Archiver::new);
    &ARCHIVER
}

/// The figures of this process's runs.
pub fn processor() -> &'static Processor {
    static PROCESSOR: LazyLock<Processor> = LazyLock::new(Processor::new);
    &PROCESSOR
}

#[cfg(test)]
mod tests;
