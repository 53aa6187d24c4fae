//! `lakebed process` killed at each step that it names: readers see the set of the run before or the one of this run, and
//! the next run is right.
#![cfg(debug_assertions)] // A release build has no such steps.

use std::path::Path;
use std::process::Command;

use lakebed::config::LakeSettings;
use lakebed::fail_point::Step;
use lakebed::lake::Lake;

use crate::archive_kills::is_killed;
use crate::support::history::add_events;
use crate::support::parallel;
use crate::support::postgres::Schema;
use crate::support::program::{lakebed, run, with_postgres};

const NOW: &str = "2015-09-13T00:00:00Z";
const LAST: i64 = 1_442_102_400;
/// What each of the five tables adds up to, in one query: the number of events of the set that it is of.
const SUMS: &str = "SELECT (SELECT sum(total_events) FROM historical_hourly_patterns),
                           (SELECT sum(total_events) FROM historical_hourly_trends),
                           (SELECT sum(edit_count) FROM historical_top_contributors),
                           (SELECT sum(edit_count) FROM historical_language_distribution),
                           (SELECT sum(edit_count) FROM historical_server_rankings)";

#[test]
fn killed_at_any_step_of_a_run_readers_see_one_set_and_the_next_run_is_right() {
    let into_the_lake = Step::OF_RUNS_INTO_THE_LAKE.iter().map(|step| (*step, false));
    let into_postgres = Step::OF_RUNS_INTO_POSTGRES.iter().map(|step| (*step, true));
    parallel::each(
        into_the_lake.chain(into_postgres).collect(),
        4,
        |(step, into_postgres)| {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(kill_at(step, into_postgres));
        },
    );
}

async fn kill_at(step: Step, into_postgres: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = Lake::open(&LakeSettings::of_path(folder.path().to_str().expect("UTF-8"))).expect("a lake");
    let schema = if into_postgres { Some(Schema::new().await) } else { None };
    let command = |arguments: &[&str]| command(folder.path(), schema.as_ref(), arguments);
    let process = ["process", "--now", NOW];
    let sums = || sums(run(&mut command(&["query", SUMS, "--format", "csv"])));

    add_events(&lake, LAST, &[Some("Ann"), Some("Bob"), None]).await;
    run(&mut command(&process));
    assert_eq!(sums(), [3; 5]);
    add_events(&lake, LAST - 7200, &[Some("Ann"), Some("Cid")]).await;
    assert!(
        is_killed(&mut command(&process), step, 1),
        "not killed at {}",
        step.name()
    );
    let published = matches!(step, Step::AfterRunRow | Step::AfterPostgresCommit);
    assert_eq!(sums(), [if published { 5 } else { 3 }; 5], "{}", step.name());
    // Where the step comes several times in a run, the last time too.
    is_killed(&mut command(&process), step, 5);
    assert!(
        [vec![3; 5], vec![5; 5]].contains(&sums()),
        "{}: {:?}",
        step.name(),
        sums()
    );
    run(&mut command(&process));
    assert_eq!(sums(), [5; 5], "{}", step.name());
    run(&mut command(&["process", "--now", NOW, "--full"]));
    assert_eq!(sums(), [5; 5], "{}", step.name());
}

fn command(lake: &Path, schema: Option<&Schema>, arguments: &[&str]) -> Command {
    let mut command = lakebed(arguments);
    command.env("DATA_LAKE_PATH", lake);
    if let Some(schema) = schema {
        with_postgres(&mut command, &schema.name);
    }
    command
}

/// The numbers of the row of a CSV.
fn sums(csv: String) -> Vec<i64> {
    let row = csv.lines().nth(1).expect("a row");
    row.split(',').map(|number| number.parse().expect("a number")).collect()
}
