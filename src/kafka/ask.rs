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

/// As [`ask`], with a patience of the caller's: for the first attempt, and for all that follow, which are left out where
/// it is zero.
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
    let mut answer = attempt(brokers, what, notes, &serve, || request(first));
    // An attempt ends early where a connection is closed: how often that happens says nothing of how long it goes on.
    let until = Instant::now() + rest;
    while answer.as_ref().is_err_and(KafkaFault::may_pass) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        answer = attempt(brokers, what, notes, &serve, || request(left));
    }
    if answer.is_ok() {
        notes.answered();
    }
    answer
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
        let fault = KafkaFault::of(brokers, what, &error, notes.last());
        if notes.have_answered() {
            fault
        } else {
            fault.at_first_contact()
        }
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rdkafka::error::{KafkaError, RDKafkaErrorCode};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Asks brokers that close the first connections and then answer; with the number of times that they were asked.
    fn asked(closed: u32, rest: Duration) -> (Result<(), KafkaFault>, u32) {
        asked_with(&Notes::default(), closed, rest)
    }

    fn asked_with(notes: &Notes, closed: u32, rest: Duration) -> (Result<(), KafkaFault>, u32) {
        let asked = Cell::new(0);
        let failure = KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure);
        let answer = ask_within(
            [LONG, rest],
            "host:9",
            "answer",
            notes,
            |_| (),
            |_| {
                asked.set(asked.get() + 1);
                if asked.get() > closed {
                    return Ok(());
                }
                notes.keep(
                    &failure,
                    "host:9/bootstrap: Disconnected: closed by peer (after 134ms in state UP)",
                );
                Err(failure.clone())
            },
        );
        (answer, asked.get())
    }

    #[test]
    fn connections_that_are_closed_again_and_again_are_no_refusal_before_the_time_is_up() {
        assert!(matches!(asked(4, LONG), (Ok(()), 5)));
        assert!(matches!(asked(4, Duration::ZERO), (Err(KafkaFault::Refused { .. }), 1)));
        assert!(matches!(
            asked(u32::MAX, Duration::from_millis(150)),
            (Err(KafkaFault::Refused { .. }), 2..)
        ));
    }

    #[test]
    fn brokers_that_have_answered_refuse_nothing_by_closing_connections() {
        let notes = Notes::default();
        assert!(matches!(asked_with(&notes, 0, Duration::ZERO), (Ok(()), 1)));
        assert!(matches!(
            asked_with(&notes, u32::MAX, Duration::ZERO),
            (Err(KafkaFault::Unreachable { .. }), 1)
        ));
    }
}
