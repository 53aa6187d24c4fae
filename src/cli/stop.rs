//! SIGTERM and SIGINT as a wish to end in good order; a second one ends at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// Signals this close together are one wish: some senders signal a process and then its group.
const ONE_WISH: Duration = Duration::from_secs(1);

/// A flag that the first SIGTERM or SIGINT sets.
///
/// # Errors
/// Where the process may not handle signals.
pub fn on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let wish = Arc::new(AtomicBool::new(false));
    let first = Arc::new(OnceLock::new());
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).context("cannot listen for SIGTERM and SIGINT")?;
        let (wish, first) = (Arc::clone(&wish), Arc::clone(&first));
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                let since: &Instant = first.get_or_init(Instant::now);
                if !wish.swap(true, Ordering::Relaxed) {
                    tracing::info!("ending: flushing what was read; once more ends at once");
                } else if since.elapsed() > ONE_WISH {
                    tracing::warn!("ending at once; what was read and not archived is still in Kafka");
                    #[expect(clippy::disallowed_methods, reason = "the user asked twice not to wait for anything")]
                    std::process::exit(1);
                }
            }
        });
    }
    Ok(wish)
}
