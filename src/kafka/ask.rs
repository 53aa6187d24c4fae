//! Asking brokers something, until they answer, refuse us or the time is up.

use std::time::{Duration, Instant};

use rdkafka::error::KafkaResult;

use super::{KafkaFault, Notes};

/// How long brokers may take to answer before it is looked whether they refuse us, and how long after that. The client
/// library itself says of a refusal no more than that no broker came up in time.
const PATIENCE: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(8)];
/// How long the callbacks that explain a failure are served.
const SERVE: Duration = Duration::from_millis(100);

/// Asks `request` until there is an answer; `serve` polls the client, which serves its callbacks.
///
/// # Errors
/// [`KafkaFault`]: a refusal at once, else that nobody answered in time.
pub fn ask<T>(
    brokers: &str,
    what: &'static str,
    notes: &Notes,
    serve: impl Fn(Duration),
    request: impl Fn(Duration) -> KafkaResult<T>,
) -> Result<T, KafkaFault> {
    ask_within(PATIENCE, brokers, what, notes, serve, request)
}

/// As [`ask`], with a patience of the caller's: for the first attempt, and for the second, which is left out where it is
/// zero.
///
/// # Errors
/// As [`ask`].
pub fn ask_within<T>(
    [first, rest]: [Duration; 2],
    brokers: &str,
    what: &'static str,
    notes: &Notes,
    serve: impl Fn(Duration),
    request: impl Fn(Duration) -> KafkaResult<T>,
) -> Result<T, KafkaFault> {
    // What was noted before explains nothing of what comes.
    notes.take();
    attempt(brokers, what, notes, &serve, || request(first)).or_else(|fault| {
        match fault.may_pass() && !rest.is_zero() {
            true => attempt(brokers, what, notes, &serve, || request(rest)),
            false => Err(fault),
        }
    })
}

fn attempt<T>(
    brokers: &str,
    what: &'static str,
    notes: &Notes,
    serve: &impl Fn(Duration),
    request: impl Fn() -> KafkaResult<T>,
) -> Result<T, KafkaFault> {
    request().map_err(|error| {
        // One poll serves one callback, and what the client logs are callbacks too.
        let begun = Instant::now();
        while begun.elapsed() < SERVE {
            serve(SERVE / 10);
        }
        KafkaFault::of(brokers, what, &error, notes.last())
    })
}
