//! What is expected of the tables, of those that are computed and of those that were published into a lake.

use super::publish_lake::{lake_with, runs, settings};
use super::*;
use crate::config::ExpectationSettings;
use crate::config::history::PublishMode;
use crate::history::expectations::{CheckResult, Occasion, check, load};
use crate::history::{Outcome, Release, RunReport, read_published, read_release, run};

/// What is not met.
async fn failures(release: &Release, occasion: Occasion) -> Vec<CheckResult> {
    let expectations = load(&ExpectationSettings::default(), None).await.unwrap();
    let mut results = check(&expectations, release, occasion).await.unwrap();
    results.retain(|result| result.failure().is_some());
    results
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5))]
    #[test]
    fn the_tables_of_any_events_meet_all_of_them(events in events()) {
        let window = two_days();
        let seconds = window.first_second()..=window.last_second();
        let inside = events.iter().filter(|event| seconds.contains(&event.timestamp)).count();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let failures = runtime.block_on(async {
            let rows = computed(&events).await.unwrap();
            let mut report = RunReport::begin(&window, PublishMode::Overwrite, String::new());
            report.events_read = Some(inside as u64);
            report.rows_per_table = rows.iter().map(|rows| (rows.table.name, rows.batch.num_rows())).collect();
            failures(&Release::computed(&rows, &report), Occasion::Computed).await
        });
        prop_assert_eq!(failures, Vec::new());
    }
}

#[tokio::test]
async fn what_was_published_into_a_lake_is_read_back_and_meets_them() {
    let (_folder, lake) = lake_with(300).await;
    let nothing = failures(
        &read_release(&lake, None).await.unwrap(),
        Occasion::Published { now: now() },
    )
    .await;
    assert_eq!(nothing.len(), 1, "{nothing:?}");
    assert!(
        nothing[0]
            .to_string()
            .starts_with("lakebed_runs: published: no run has published")
    );

    let first = run(&settings(PublishMode::Overwrite), &lake, None, now(), &|_| ())
        .await
        .unwrap();
    let release = read_release(&lake, None).await.unwrap();
    let published = release.runs.clone().unwrap();
    assert_eq!(published.len(), 1);
    assert_eq!((&published[0].id, published[0].events_read), (&first.id, Some(300)));
    assert_eq!(published[0].window_end, now());
    let read: Vec<TableRows> = release.tables.iter().map(|(_, rows)| rows.clone().unwrap()).collect();
    assert_eq!(texts(&read), texts(&read_published(&lake).await.unwrap()));
    let occasion = Occasion::Published { now: Utc::now() };
    assert_eq!(failures(&release, occasion).await, Vec::new());

    run(&settings(PublishMode::Append), &lake, None, now(), &|_| ())
        .await
        .unwrap();
    let release = read_release(&lake, None).await.unwrap();
    assert_eq!(release.runs.as_ref().unwrap().len(), 2);
    assert_eq!(failures(&release, occasion).await, Vec::new());
    run(&settings(PublishMode::Overwrite), &lake, None, now(), &|_| ())
        .await
        .unwrap();
    assert_eq!(read_release(&lake, None).await.unwrap().runs.unwrap().len(), 1);
}

#[tokio::test]
async fn a_published_table_that_is_damaged_in_the_lake_is_named() {
    type Damage = fn(&std::path::Path);
    let damage: [(&str, Damage); 3] = [
        ("there is no such table", |table| {
            std::fs::remove_dir_all(table).unwrap()
        }),
        ("cannot read the data file", |table| {
            for entry in std::fs::read_dir(table).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    std::fs::write(path, "no Parquet").unwrap();
                }
            }
        }),
        ("it has no version", |table| {
            std::fs::remove_file(table.join("_delta_log/00000000000000000001.json")).unwrap();
        }),
    ];
    for (expected, damage) in damage {
        let (folder, lake) = lake_with(300).await;
        run(&settings(PublishMode::Overwrite), &lake, None, now(), &|_| ())
            .await
            .unwrap();
        damage(&folder.path().join("history/historical_server_rankings"));
        let release = read_release(&lake, None).await.unwrap();
        let found = failures(&release, Occasion::Published { now: Utc::now() }).await;
        assert_eq!(found.len(), 1, "{expected}: {found:#?}");
        let text = found[0].to_string();
        assert!(
            text.starts_with("historical_server_rankings: columns: ") && text.contains(expected),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_run_that_is_to_be_valid_publishes_nothing_else() {
    let (folder, lake) = lake_with(300).await;
    let mine = tempfile::tempdir().unwrap();
    let mut settings = settings(PublishMode::Overwrite);
    settings.validate = true;
    let run = async |settings| run(&settings, &lake, None, now(), &|_| ()).await;
    assert_eq!(run(settings.clone()).await.unwrap().outcome, Outcome::Published);
    let before = texts(&read_published(&lake).await.unwrap());
    archive(
        &lake,
        &[Event {
            timestamp: NOW,
            ..Event::default()
        }],
    )
    .await;

    let file = mine.path().join("historical_top_contributors.toml");
    std::fs::write(&file, "[[not_null]]\ncolumns = ['user']\nbecause = 'it is a test'").unwrap();
    settings.expectations.folder = Some(mine.path().to_owned());
    let error = run(settings.clone()).await.unwrap_err();
    assert_eq!(crate::error::HasKind::kind(&error), crate::error::Kind::Unmet);
    let text = error.to_string();
    for part in [
        "nothing was published",
        "historical_top_contributors: not_null(user): 1 row",
        "edit_count=1",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(texts(&read_published(&lake).await.unwrap()), before);
    let rows = runs(&lake, "outcome, error").await;
    assert_eq!(rows.len(), 2);
    assert!(
        rows[0] == "published" && rows[1] == format!("failed|{text}"),
        "{rows:?}"
    );
    let kept = folder
        .path()
        .join("history/rollup/_delta_log/00000000000000000002.json");
    assert!(!kept.exists(), "the rollup behind the refused tables was kept");

    std::fs::write(&file, "[[not_null]]\ncolumns = ['users']").unwrap();
    let error = run(settings.clone()).await.unwrap_err();
    assert_eq!(crate::error::HasKind::kind(&error), crate::error::Kind::Configuration);
    assert_eq!(runs(&lake, "outcome").await.len(), 2);

    settings.validate = false;
    assert_eq!(run(settings).await.unwrap().outcome, Outcome::Published);
    assert_ne!(texts(&read_published(&lake).await.unwrap()), before);
}
