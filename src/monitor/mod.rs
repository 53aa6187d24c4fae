//! Metrics and health: what an archiver does, over HTTP, for Prometheus and for whoever restarts processes.
//!
//! Like a log, this stands below everything else: the archiver says what happens by one call each ([`archiver()`]), and
//! nothing here knows who listens. [`serve_archiver`] serves it where METRICS_LISTEN asks for it. Counting costs the archiver
//! a few atomic additions a flush or a burst of messages, never one a message.
//!
//! [`health`] holds the rule that /healthz answers by, which is pure; [`state`] what it and the gauges are computed
//! from. Each name that is served stands in docs/metrics.md, which a test compares with what is served.

mod archiver;
mod families;
mod gauges;
pub mod health;
mod serve;
mod state;

use std::sync::LazyLock;

pub use archiver::{Archiver, Peer, Tally};
pub use serve::{MonitorError, serve_archiver};

/// The archiver of this process, of which there is one at most.
pub fn archiver() -> &'static Archiver {
    static ARCHIVER: LazyLock<Archiver> = LazyLock::new(Archiver::new);
    &ARCHIVER
}

#[cfg(test)]
mod tests;
