//! Runs of the history, once or again and again: when, one at a time, how often tried, and how ended.
//!
//! [`plan`] says when, which is pure; [`turn`] takes the lease, runs, and tries again what may succeed later;
//! [`mod@repeat`] is the loop of a process that goes on. A turn that fails is said and counted, and the schedule goes on.

mod observer;
pub mod plan;
mod repeat;
mod turn;

use std::future::pending;

use tokio::sync::watch;

pub use plan::Plan;
pub use repeat::repeat;
pub use turn::{Job, once};

/// The wish that the process end, which comes from a signal.
pub type Stop = watch::Receiver<bool>;

/// Waits until the process is told to end.
async fn told(stop: &Stop) {
    let mut stop = stop.clone();
    if stop.wait_for(|told| *told).await.is_err() {
        // Nobody is left who could tell.
        pending::<()>().await;
    }
}
