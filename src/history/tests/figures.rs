//! What a run says of its own cost.

use super::publish_lake::settings;
use super::*;
use crate::config::history::PublishMode;
use crate::history::{Figures, RunReport, run, session};
use crate::lake::counted::Requests;

async fn figures(lake: &Lake) -> (RunReport, Figures) {
    let report = run(&settings(PublishMode::Overwrite), lake, None, now(), &|_| ())
        .await
        .unwrap();
    let figures = report.figures.clone().unwrap();
    (report, figures)
}

fn edits(from: i64, count: i64) -> Vec<Event> {
    let event = |n| Event {
        timestamp: from - n,
        user: Some("Ann"),
        ..Event::default()
    };
    (0..count).map(event).collect()
}

#[tokio::test]
async fn a_run_tells_what_it_read_and_what_it_left_unread() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(&folder);
    // Three files: of the window, and of months before it.
    archive(&lake, &edits(NOW - 2 * HOUR, 50)).await;
    archive(&lake, &edits(NOW - 60 * 24 * HOUR, 50)).await;
    archive(&lake, &edits(NOW - 90 * 24 * HOUR, 50)).await;
    let sizes: u64 = raw_events(&lake).await.files.iter().map(|file| file.size).sum();
    let (report, first) = figures(&lake).await;
    assert_eq!(first.files_read + first.files_pruned, 3, "{first:?}");
    assert!(first.files_read >= 1 && first.bytes_read > 0, "{first:?}");
    assert!(first.bytes_pruned < sizes, "{first:?}");
    let steps: Vec<_> = first.step_ms.keys().copied().collect();
    assert_eq!(steps, ["prepare", "publish", "sum_up", "tables"]);
    let took = (report.ended_at - report.started_at).num_milliseconds();
    let measured: u64 = first.step_ms.values().sum();
    assert!(i64::try_from(measured).unwrap() + 5 >= took, "{measured} {took}");
    assert!(first.cpu_ms.is_some() && first.peak_memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
    let Requests {
        gets,
        puts,
        lists,
        bytes_got,
        bytes_put,
        ..
    } = first.requests;
    // A table, its log and the run's row are put at the least, and the rollup.
    assert!(puts >= 12 && gets >= 3 && lists >= 1, "{first:?}");
    assert!(bytes_got >= first.bytes_read && bytes_put > 1000, "{first:?}");

    let (_, again) = figures(&lake).await;
    assert_eq!(
        (again.files_read, again.files_pruned, again.bytes_read),
        (0, 3, 0),
        "{again:?}"
    );
    assert_eq!(again.bytes_pruned, sizes);
    archive(&lake, &edits(NOW - HOUR, 20)).await;
    let (_, one) = figures(&lake).await;
    assert_eq!(
        (one.files_read, one.files_pruned, one.bytes_pruned),
        (1, 3, sizes),
        "{one:?}"
    );
}

#[tokio::test]
async fn they_stand_in_the_runs_row_also_of_one_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(&folder);
    archive(&lake, &edits(NOW - 10, 10)).await;
    figures(&lake).await;
    let failed = run(&settings(PublishMode::Error), &lake, None, now(), &|_| ()).await;
    assert!(failed.is_err());
    let snapshot = TableSnapshot::load(&lake, "history/lakebed_runs", AsOf::Newest)
        .await
        .unwrap()
        .unwrap();
    let ctx = session().unwrap();
    crate::history::register_table(&ctx, &lake, "runs", &snapshot).unwrap();
    let rows = ctx
        .sql("SELECT outcome, figures FROM runs ORDER BY started_at")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let text = arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string();
    let of = |outcome: &str| {
        let line = text.lines().find(|line| line.contains(outcome)).unwrap_or_default();
        let json = line.split('|').nth(2).unwrap_or_default();
        serde_json::from_str::<serde_json::Value>(json.trim()).unwrap()
    };
    assert_eq!(of("published")["files_read"], 1);
    assert_eq!(of("failed")["files_read"], 0);
    assert!(of("failed")["requests"]["gets"].as_u64().is_some_and(|gets| gets > 0));
    assert!(of("published")["step_ms"]["sum_up"].is_u64());
}
