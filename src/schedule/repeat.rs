//! The loop of a process that runs again and again, until it is told to end.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use uuid::Uuid;

use super::plan::{Cause, Due, Following, Moment, Plan};
use super::turn::{Job, Manner, turn};
use super::{Stop, told};
use crate::config::duration::shown;
use crate::history::{HistoryError, Interruption, Outcome, RunReport, Step};
use crate::monitor::{self, Read, Skip};

/// The clock on the wall is looked at again after so long: it may be set, and a machine may have slept.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Runs as the plan says, and whenever `trigger` asks for it, until the process is told to end. A run that fails is
/// said, and the next one comes. `done` is told of each run that has ended well.
///
/// # Errors
/// Those of `done`.
pub async fn repeat<E>(
    job: &Job<'_>,
    plan: &Plan,
    stop: &Stop,
    trigger: &Notify,
    progress: &(dyn Fn(Step) + Sync),
    done: impl Fn(&RunReport) -> Result<(), E>,
) -> Result<(), E> {
    tracing::info!("running {}", plan.described());
    let mut due = plan.first(Moment::now(), chance());
    while let Some(next) = due {
        announce(plan, &next);
        let Some(cause) = wait(&next, stop, trigger).await else {
            break;
        };
        tracing::info!(cause = cause.as_str(), "a run begins");
        monitor::processor().begins();
        let begun = std::time::Instant::now();
        let ended = turn(job, Manner::Repeated, stop, progress).await;
        let told_to_end = matches!(
            ended,
            Err(HistoryError::Interrupted {
                why: Interruption::Told,
                ..
            })
        );
        say(&ended, begun.elapsed());
        if let Ok(report) = &ended {
            done(report)?;
        }
        if told_to_end {
            break;
        }
        due = plan
            .following(next, cause, Moment::now(), chance())
            .map(|Following { due, missed }| {
                if missed > 0 {
                    tracing::warn!(
                        times = missed,
                        "the run took until after the next times, which are left out"
                    );
                    monitor::processor().skipped(Skip::Late, missed);
                }
                due
            });
    }
    monitor::processor().ending();
    Ok(())
}

/// Waits until a run is to begin; none where the process is told to end.
async fn wait(due: &Due, stop: &Stop, trigger: &Notify) -> Option<Cause> {
    loop {
        // What was asked for while a run was at work is kept, and comes next.
        let time = due.wait(Moment::now());
        tokio::select! {
            biased;
            () = told(stop) => return None,
            () = sleep(time.min(LOOK_AGAIN)) => {
                if due.wait(Moment::now()) == Duration::ZERO {
                    return Some(Cause::Schedule);
                }
            }
            () = trigger.notified() => return Some(Cause::Trigger),
        }
    }
}

fn announce(plan: &Plan, due: &Due) {
    let wait = due.wait(Moment::now());
    monitor::processor().next(wait);
    if wait > Duration::ZERO {
        tracing::info!("next run at {}, in {}", plan.shown(due.time), shown(wait));
    }
}

/// Says how a turn ended, to the log and to the metrics.
fn say(ended: &Result<RunReport, HistoryError>, took: Duration) {
    let metrics = monitor::processor();
    match ended {
        Ok(report) => {
            metrics.ended(report.outcome.as_str(), took);
            metrics.reads(&read(report));
            metrics.succeeds(report.lake_version.filter(|_| report.outcome == Outcome::Published));
            tracing::info!(
                outcome = report.outcome.as_str(),
                events = report.events_read,
                lake_version = report.lake_version,
                run = report.id,
                "the run has ended, after {}",
                shown(took)
            );
        }
        Err(HistoryError::Held { holder, .. }) => {
            metrics.skipped(Skip::Held, 1);
            tracing::warn!(%holder, "another run is at work; this time is left out");
        }
        Err(HistoryError::Interrupted {
            why: Interruption::Told,
            ..
        }) => {
            metrics.ended("failed", took);
            tracing::info!("told to end: the run was given up before it published");
        }
        Err(error) => {
            metrics.ended("failed", took);
            metrics.fails(&error.to_string());
            tracing::error!(%error, "the run failed; the next one comes as planned");
        }
    }
}

/// What a run has read, as the metrics count it.
fn read(report: &RunReport) -> Read {
    let figures = report.figures.as_ref();
    let requests = figures.map(|figures| figures.requests).unwrap_or_default();
    Read {
        events: report.events_read.unwrap_or_default(),
        files: figures.map_or(0, |figures| figures.files_read),
        bytes: figures.map_or(0, |figures| figures.bytes_read),
        requests: [
            ("get", requests.gets),
            ("put", requests.puts),
            ("list", requests.lists),
            ("delete", requests.deletes),
        ],
    }
}

/// A number drawn from 0 to 1.
fn chance() -> f64 {
    let (drawn, _) = Uuid::new_v4().as_u64_pair();
    drawn as f64 / u64::MAX as f64
}
