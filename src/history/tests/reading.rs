//! Reading a table of the lake by its files.

use super::*;
use crate::error::{HasKind, Kind};
use crate::history::{HistoryError, register_table, session};
use crate::lake::LakeError;

fn at(timestamp: i64) -> Event {
    Event {
        timestamp,
        ..Event::default()
    }
}

async fn one_cell(lake: &Lake, sql: &str) -> String {
    let ctx = session().unwrap();
    register_table(&ctx, lake, "raw_events", &raw_events(lake).await).unwrap();
    let batches = ctx.sql(sql).await.unwrap().collect().await.unwrap();
    let options = FormatOptions::new().with_null("␀");
    ArrayFormatter::try_new(batches[0].column(0), &options)
        .unwrap()
        .value(0)
        .to_string()
}

#[tokio::test]
async fn partition_columns_are_integers_and_prune() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(&folder);
    archive(&lake, &[at(NOW), at(NOW - 40 * 24 * HOUR), at(NOW - 40 * 24 * HOUR)]).await;
    assert_eq!(
        one_cell(&lake, "SELECT count(*) FROM raw_events WHERE month = 8").await,
        "2"
    );
    assert_eq!(
        one_cell(&lake, "SELECT arrow_typeof(year) FROM raw_events").await,
        "Int32"
    );
    assert_eq!(
        one_cell(&lake, "SELECT sum(year + month) FROM raw_events").await,
        "6070"
    );
    // What the filter rules out is not opened: the files of August may be gone.
    std::fs::remove_dir_all(folder.path().join("raw_events/year=2015/month=08")).unwrap();
    assert_eq!(
        one_cell(&lake, "SELECT count(*) FROM raw_events WHERE month = 9").await,
        "1"
    );
    let by_time = format!("SELECT count(*) FROM raw_events WHERE \"timestamp\" >= {}", NOW - HOUR);
    assert_eq!(one_cell(&lake, &by_time).await, "1");
    assert_eq!(
        one_cell(&lake, "SELECT count(*) FROM raw_events WHERE year = 1999").await,
        "0"
    );
}

async fn failure(lake: &Lake) -> HistoryError {
    compute_tables(lake, &raw_events(lake).await, &two_days(), &|_| ())
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_missing_or_broken_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(&folder);
    let events: Vec<Event> = (0..1000).map(|n| at(NOW - n)).collect();
    archive(&lake, &events).await;
    let name = raw_events(&lake).await.files[0].path.to_string();
    let path = std::path::Path::new("/").join(&name);
    let bytes = std::fs::read(&path).unwrap();
    let garbage = {
        let mut garbage = bytes.clone();
        garbage[4..200].fill(0xEE);
        garbage
    };
    for broken in [&bytes[..bytes.len() / 2], &bytes[..3], &[], &garbage[..]] {
        std::fs::write(&path, broken).unwrap();
        let error = failure(&lake).await;
        assert_eq!(error.kind(), Kind::Data, "{error}");
        assert!(error.to_string().contains(&name), "{} bytes: {error}", broken.len());
    }
    std::fs::remove_file(&path).unwrap();
    let error = failure(&lake).await;
    assert!(
        matches!(&error, HistoryError::File { file, .. } if *file == name),
        "{error}"
    );
}

#[tokio::test]
async fn a_lake_that_is_not_there_says_where_it_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(&folder);
    let settings = super::publish_lake::settings(crate::config::history::PublishMode::Overwrite);
    let error = crate::history::run(&settings, &lake, None, now(), &|_| ())
        .await
        .unwrap_err();
    assert!(matches!(&error, HistoryError::Lake(LakeError::Missing { place, .. }) if place.ends_with("/raw_events")));
    assert!(error.to_string().contains("DATA_LAKE_PATH"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
