//! SIGTERM and SIGINT as a wish to end in good order, a second one ending at once; and SIGUSR1 as a wish for a run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

use crate::schedule::Stop;

/// Signals this close together are one wish: some senders signal a process and then its group.
const ONE_WISH: Duration = Duration::from_secs(1);

/// What the process says when it is told to end.
#[derive(Clone, Copy)]
struct Words {
    first: &'static str,
    again: &'static str,
}

/// A flag that the first SIGTERM or SIGINT sets.
///
/// # Errors
/// Where the process may not handle signals.
pub fn on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let wish = Arc::new(AtomicBool::new(false));
    let words = Words {
        first: "ending: flushing what was read; once more ends at once",
        again: "ending at once; what was read and not archived is still in Kafka",
    };
    let flag = Arc::clone(&wish);
    listen(words, move || flag.store(true, Ordering::Relaxed))?;
    Ok(wish)
}

/// What the first SIGTERM or SIGINT changes, for those who wait for it.
///
/// # Errors
/// Where the process may not handle signals.
pub fn between_steps() -> anyhow::Result<Stop> {
    let (told, stop) = watch::channel(false);
    let words = Words {
        first: "ending: a run that has not begun to publish is given up; once more ends at once",
        again: "ending at once; what is not published by now will not be",
    };
    listen(words, move || {
        told.send_replace(true);
    })?;
    Ok(stop)
}

/// What each SIGUSR1 notifies.
///
/// # Errors
/// Where the process may not handle signals.
pub fn trigger() -> anyhow::Result<Arc<Notify>> {
    let trigger = Arc::new(Notify::new());
    let mut signals = signal(SignalKind::user_defined1()).context("cannot listen for SIGUSR1")?;
    let notify = Arc::clone(&trigger);
    tokio::spawn(async move {
        while signals.recv().await.is_some() {
            notify.notify_one();
        }
    });
    Ok(trigger)
}

/// Calls `wish` on the first signal, and ends the process on a later one.
fn listen(words: Words, wish: impl Fn() + Send + Sync + 'static) -> anyhow::Result<()> {
    let wish = Arc::new(wish);
    let first: Arc<OnceLock<Instant>> = Arc::new(OnceLock::new());
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).context("cannot listen for SIGTERM and SIGINT")?;
        let (wish, first) = (Arc::clone(&wish), Arc::clone(&first));
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if first.set(Instant::now()).is_ok() {
                    tracing::info!("{}", words.first);
                    wish();
                } else if first.get().is_some_and(|since| since.elapsed() > ONE_WISH) {
                    tracing::warn!("{}", words.again);
                    #[expect(clippy::disallowed_methods, reason = "the user asked twice not to wait for anything")]
                    std::process::exit(1);
                }
            }
        });
    }
    Ok(())
}
