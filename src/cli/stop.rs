//! SIGTERM and SIGINT as a wish to end in good order; a second one ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// A flag that the first SIGTERM or SIGINT sets.
///
/// # Errors
/// Where the process may not handle signals.
pub fn on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let wish = Arc::new(AtomicBool::new(false));
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).context("cannot listen for SIGTERM and SIGINT")?;
        let wish = Arc::clone(&wish);
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if wish.swap(true, Ordering::Relaxed) {
                    tracing::warn!("ending at once; what was read and not archived is still in Kafka");
                    std::process::exit(1);
                }
                tracing::info!("ending: flushing what was read; once more ends at once");
            }
        });
    }
    Ok(wish)
}
