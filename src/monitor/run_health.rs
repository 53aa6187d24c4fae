//! Whether a process that runs again and again gets on: the rule behind its /healthz. Pure: values in, verdict out. The
//! first line that applies is the verdict:
//!
//! | what holds | verdict |
//! |---|---|
//! | it was told to end | healthy |
//! | the newest run failed, and no later one has succeeded | not healthy |
//! | a run has been due for longer than the limit, and none is at work | not healthy |
//! | anything else: a run is at work, or none is due | healthy |
//!
//! A time that is left out because another process is at work is no failure.

use std::time::Duration;

use serde::Serialize;

use super::health::Verdict;
use crate::config::duration::shown;

/// What is to be judged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFacts {
    /// Whether the process was told to end.
    pub ending: bool,
    /// For how long a run has been at work.
    pub at_work: Option<Duration>,
    /// How long until the next run is due.
    pub due_in: Option<Duration>,
    /// For how long it has been due.
    pub overdue: Duration,
    /// Runs that have failed since the last that did not, and why the newest did.
    pub failed: Option<(u64, String)>,
    /// How long ago a run last ended well.
    pub succeeded: Option<Duration>,
}

/// What such a process is about, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// A run is at work.
    Running,
    /// It waits for the next time.
    Waiting,
    /// The newest run failed.
    Failing,
    /// A run is due and does not begin.
    Overdue,
    /// It was told to end.
    Ending,
}

/// Judges a process that runs again and again; `limit` is how long a run may be due without beginning.
pub fn judge(facts: &RunFacts, limit: Duration) -> Verdict<RunStatus> {
    let verdict = |healthy, status, reason: String| Verdict {
        healthy,
        status,
        reason,
    };
    if facts.ending {
        return verdict(true, RunStatus::Ending, "told to end".to_owned());
    }
    if let Some((count, error)) = &facts.failed {
        let runs = match count {
            1 => "the last run failed".to_owned(),
            count => format!("the last {count} runs failed"),
        };
        return verdict(false, RunStatus::Failing, format!("{runs}: {error}; {}", next(facts)));
    }
    if facts.at_work.is_none() && facts.overdue > limit {
        let reason = format!("a run has been due for {} and does not begin", shown(facts.overdue));
        return verdict(false, RunStatus::Overdue, reason);
    }
    let status = match facts.at_work {
        Some(_) => RunStatus::Running,
        None => RunStatus::Waiting,
    };
    let last = match facts.succeeded {
        Some(ago) => format!("the last run ended well {} ago", shown(ago)),
        None => "no run has ended yet".to_owned(),
    };
    verdict(true, status, format!("{last}; {}", next(facts)))
}

fn next(facts: &RunFacts) -> String {
    match (facts.at_work, facts.due_in) {
        (Some(time), _) => format!("one has been at work for {}", shown(time)),
        (None, Some(wait)) => format!("the next is due in {}", shown(wait)),
        (None, None) => "no further one is due".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(300);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_truth_table() {
        let waiting = RunFacts {
            due_in: Some(MINUTE),
            ..RunFacts::default()
        };
        let failing = RunFacts {
            failed: Some((2, "the server was away".to_owned())),
            ..waiting.clone()
        };
        let overdue = RunFacts {
            overdue: LIMIT + MINUTE,
            ..waiting.clone()
        };
        let at_work = Some(MINUTE);
        let table = [
            (waiting.clone(), true, RunStatus::Waiting, "due in 1m"),
            (
                RunFacts {
                    succeeded: Some(MINUTE),
                    ..waiting.clone()
                },
                true,
                RunStatus::Waiting,
                "ended well 1m ago",
            ),
            (
                RunFacts { at_work, ..waiting },
                true,
                RunStatus::Running,
                "at work for 1m",
            ),
            (
                failing.clone(),
                false,
                RunStatus::Failing,
                "the last 2 runs failed: the server was away",
            ),
            (
                RunFacts {
                    at_work,
                    ..failing.clone()
                },
                false,
                RunStatus::Failing,
                "one has been at work",
            ),
            (overdue.clone(), false, RunStatus::Overdue, "due for 6m"),
            (
                RunFacts {
                    overdue: LIMIT,
                    ..overdue.clone()
                },
                true,
                RunStatus::Waiting,
                "",
            ),
            (RunFacts { at_work, ..overdue }, true, RunStatus::Running, ""),
            (
                RunFacts {
                    ending: true,
                    ..failing
                },
                true,
                RunStatus::Ending,
                "",
            ),
        ];
        for (facts, healthy, status, words) in table {
            let verdict = judge(&facts, LIMIT);
            assert_eq!((verdict.healthy, verdict.status), (healthy, status), "{facts:?}");
            assert!(verdict.reason.contains(words), "{}", verdict.reason);
        }
    }
}
