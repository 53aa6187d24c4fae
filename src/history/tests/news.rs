//! What is new since the tables were last published.

use super::kept_rollup::{commit, removed};
use super::publish_lake::settings;
use super::*;
use crate::config::history::PublishMode;
use crate::history::news::{News, news};
use crate::history::run;

fn edits(times: impl IntoIterator<Item = i64>) -> Vec<Event> {
    let event = |timestamp| Event {
        timestamp,
        user: Some("Ann"),
        ..Event::default()
    };
    times.into_iter().map(event).collect()
}

async fn publish(lake: &Lake) {
    run(&settings(PublishMode::Overwrite), lake, None, now(), &|_| ())
        .await
        .unwrap();
}

async fn found(lake: &Lake) -> News {
    news(lake, None).await.unwrap()
}

fn hour(second: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(second - second.rem_euclid(HOUR), 0)
}

#[tokio::test]
async fn new_is_what_was_added_after_the_version_that_was_published_from() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(&folder);
    assert!(matches!(
        news(&lake, None).await,
        Err(HistoryError::Lake(LakeError::Missing { .. }))
    ));
    archive(&lake, &edits([NOW - 10, NOW - 20])).await;
    let first = found(&lake).await;
    assert_eq!(
        (first.new, first.published_version, first.lake_version),
        (true, None, Some(1))
    );
    assert_eq!((first.files, first.events), (Some(1), Some(2)));
    assert!(!folder.path().join("history").exists(), "it only reads");

    publish(&lake).await;
    let none = found(&lake).await;
    assert_eq!(
        (none.new, none.published_version, none.files, none.events),
        (false, Some(1), Some(0), Some(0))
    );
    assert_eq!((none.oldest_hour, none.removed_files), (None, 0));
    assert!(none.published_at.is_some());

    // Two months, of which one is older than the window, in two commits.
    archive(&lake, &edits([NOW - 40 * 24 * HOUR, NOW - 30])).await;
    archive(&lake, &edits([NOW - 5])).await;
    let later = found(&lake).await;
    assert_eq!(
        (later.new, later.published_version, later.lake_version),
        (true, Some(1), Some(3))
    );
    assert_eq!((later.files, later.events), (Some(3), Some(3)));
    assert_eq!(
        (later.oldest_hour, later.newest_hour),
        (hour(NOW - 40 * 24 * HOUR), hour(NOW - 5))
    );
    let files = raw_events(&lake).await.files;
    let old = files.iter().map(|file| file.size).sum::<u64>();
    assert!(later.bytes.is_some_and(|bytes| bytes > 0 && bytes < old), "{later:?}");
    publish(&lake).await;
    assert!(!found(&lake).await.new);
}

#[tokio::test]
async fn files_that_go_are_told_and_are_nothing_new() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(&folder);
    archive(&lake, &edits([NOW - 10])).await;
    publish(&lake).await;
    let gone = raw_events(&lake).await.files;
    commit(&lake, RAW_EVENTS, vec![removed(&lake, RAW_EVENTS, &gone[0], true)]).await;
    let without = found(&lake).await;
    assert_eq!((without.new, without.files, without.removed_files), (false, Some(0), 1));
    // A file that comes and goes between two runs was never in the tables.
    archive(&lake, &edits([NOW - 20])).await;
    let passing = raw_events(&lake).await.files;
    commit(&lake, RAW_EVENTS, vec![removed(&lake, RAW_EVENTS, &passing[0], true)]).await;
    let without = found(&lake).await;
    assert_eq!((without.new, without.files, without.removed_files), (false, Some(0), 1));
    // Compaction takes a new file away and leaves its rows.
    archive(&lake, &edits([NOW - 30])).await;
    let compacted = raw_events(&lake).await.files;
    commit(
        &lake,
        RAW_EVENTS,
        vec![removed(&lake, RAW_EVENTS, &compacted[0], false)],
    )
    .await;
    let with = found(&lake).await;
    assert_eq!((with.new, with.files, with.events), (true, Some(1), Some(1)));
}

#[tokio::test]
async fn where_the_log_does_not_say_there_may_be_something_new() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(&folder);
    archive(&lake, &edits([NOW - 10])).await;
    publish(&lake).await;
    archive(&lake, &edits([NOW - 20])).await;
    let plain = tempfile::tempdir().unwrap();
    let copy = plain.path().join("raw_events/year=2015/month=09");
    std::fs::create_dir_all(&copy).unwrap();
    for file in std::fs::read_dir(folder.path().join("raw_events/year=2015/month=09")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    let lake_of_plain = lake_in(&plain);
    let unpublished = found(&lake_of_plain).await;
    assert_eq!(
        (unpublished.new, unpublished.lake_version, unpublished.events),
        (true, None, Some(2))
    );
    publish(&lake_of_plain).await;
    let published = found(&lake_of_plain).await;
    assert_eq!((published.new, published.files), (true, None));
    assert!(published.reason.is_some(), "{published:?}");
    // The log is cleaned up: a checkpoint stands for its first commits.
    for _ in 0..100 {
        commit(&lake, RAW_EVENTS, Vec::new()).await;
    }
    let log = folder.path().join("raw_events/_delta_log");
    for version in 0..50 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    let cleaned = found(&lake).await;
    assert_eq!(
        (cleaned.new, cleaned.published_version, cleaned.files),
        (true, Some(1), None)
    );
    assert!(cleaned.reason.is_some(), "{cleaned:?}");
}
