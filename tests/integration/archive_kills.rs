//! `lakebed archive` killed at each step that it names.
#![cfg(debug_assertions)] // A release build has no such steps.

use std::process::Command;

use lakebed::fail_point::Step;

use crate::support::kafka::{Topic, event};
use crate::support::lake::{Held, age, bucket_lake, fetch, held, place_of};
use crate::support::parallel;
use crate::support::program::{archive, lakebed, run, with_store};

const MESSAGES: u64 = 300;
/// The next version of a table that has none yet comes with a checkpoint.
const LAST_WITHOUT_CHECKPOINT: u64 = 98;
const PARTITIONS: i32 = 2;

#[test]
fn killed_at_any_step_each_message_is_there_once() {
    let others = [
        Step::OF_REPLAYS,
        Step::OF_RUNS_INTO_THE_LAKE,
        Step::OF_RUNS_INTO_POSTGRES,
    ]
    .concat();
    let steps = Step::ALL.iter().copied().filter(|step| !others.contains(step));
    parallel::each(steps.collect(), 4, |step| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(kill_at(step));
    });
}

async fn kill_at(step: Step) {
    let topic = Topic::new(PARTITIONS).await;
    let lake = bucket_lake();
    let run_to_end = || {
        let mut command = archive(&topic.name, &lake);
        command.env("BATCH_SIZE", "20").arg("--until-end");
        command
    };
    if matches!(step, Step::BeforeCheckpoint | Step::AfterCheckpoint) {
        run(&mut run_to_end());
        age(&lake, "raw_events", LAST_WITHOUT_CHECKPOINT).await;
    }
    topic.send((0..MESSAGES).map(message));
    if matches!(step, Step::BeforeSweep | Step::AfterSweep) {
        // So that there is a file to sweep.
        assert!(
            is_killed(&mut run_to_end(), Step::AfterEventsFile, 1),
            "nothing to sweep"
        );
    }
    assert!(is_killed(&mut run_to_end(), step, 1), "not killed at {}", step.name());
    // And once more on what that left, where the step comes again.
    is_killed(&mut run_to_end(), step, 2);
    run(&mut run_to_end());

    let mut verify = lakebed(&["verify", "--deep"]);
    with_store(&mut verify);
    let proof = run(verify.env("DATA_LAKE_PATH", &lake));
    assert!(proof.contains("Nothing is lost and nothing is doubled"), "{proof}");
    let copy = tempfile::tempdir().expect("a folder");
    fetch(&lake, copy.path()).await;
    let of_kind = |kind: Kind| {
        (0..MESSAGES)
            .filter(|number| kind_of(*number) == kind)
            .map(|number| place_of(PARTITIONS, number))
            .collect()
    };
    let expected = Held {
        rows: of_kind(Kind::Row),
        quarantined: of_kind(Kind::Broken),
    };
    assert_eq!(held(copy.path()), expected, "{}", step.name());
}

/// Whether the program was killed at the nth passage of a step.
pub fn is_killed(run: &mut Command, step: Step, nth: u32) -> bool {
    let output = run
        .env("LAKEBED_KILL_AT", format!("{}:{nth}", step.name()))
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        matches!(output.status.code(), None | Some(0)),
        "{}: {stderr}",
        step.name()
    );
    output.status.code().is_none()
}

#[derive(PartialEq, Eq)]
enum Kind {
    Row,
    Broken,
    Tombstone,
}

fn kind_of(number: u64) -> Kind {
    match number % 11 {
        3 => Kind::Broken,
        7 => Kind::Tombstone,
        _ => Kind::Row,
    }
}

fn message(number: u64) -> Option<String> {
    match kind_of(number) {
        Kind::Row => event(number),
        Kind::Broken => Some(format!("broken {number}")),
        Kind::Tombstone => None,
    }
}
