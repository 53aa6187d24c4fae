//! The rollup that the lake keeps: whatever became of it, the tables are those of the events.

use std::fmt;

use chrono::TimeDelta;
use deltalake_core::kernel::{Add, Remove};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult,
};

use super::*;
use crate::history::compute::compute as compute_all;
use crate::history::rollup::{self, FOLDER, MARK, Request};
use crate::history::{RollupReport, RollupState};
use crate::lake::faulty::{self, Fault, Trouble, at_each_call};

/// Computes the tables with what is kept, as a run does, and keeps what is new.
async fn try_run(
    lake: &Lake,
    window: &Window,
    full: bool,
    skip_corrupt: bool,
) -> Result<(Vec<Vec<String>>, RollupReport, usize), HistoryError> {
    let found = rollup::find(lake).await?;
    let events = TableSnapshot::load(lake, RAW_EVENTS, AsOf::Newest).await?.unwrap();
    let request = Request {
        lake,
        events: &events,
        window,
        skip_corrupt,
    };
    let computed = compute_all(request, Ok(found), full, &|_| ()).await?;
    let tables = texts(&computed.rows);
    let left_out = computed.left_out.len();
    Ok((tables, computed.summed.keep(lake).await, left_out))
}

/// What a run has summed up before it keeps it.
async fn compute_summed(lake: &Lake, window: &Window) -> rollup::Summed {
    let found = rollup::find(lake).await.unwrap();
    let events = raw_events(lake).await;
    let request = Request {
        lake,
        events: &events,
        window,
        skip_corrupt: false,
    };
    compute_all(request, Ok(found), false, &|_| ()).await.unwrap().summed
}

/// One run, whose tables must be those of the events.
async fn run_over(lake: &Lake, events: &[Event], window: &Window) -> RollupReport {
    let (tables, report, left_out) = try_run(lake, window, false, false).await.unwrap();
    assert_eq!(tables, texts(&computed_within(events, window).await.unwrap()));
    assert_eq!(left_out, 0);
    report
}

fn state(report: &RollupReport) -> (RollupState, usize) {
    (report.state, report.files_summed)
}

fn edit(timestamp: i64, user: &'static str) -> Event {
    Event {
        timestamp,
        user: Some(user),
        server_name: Some("en.wikipedia.org"),
        bytes_changed: Some(timestamp % 1000),
        is_bot: Some(timestamp % 3 == 0),
        language: Some("en"),
        ..Event::default()
    }
}

/// Ten events, the last one `hours` before now.
fn ten(hours: i64) -> Vec<Event> {
    let users = ["Ann", "Bob", "Cid", "Dee"];
    (0..10)
        .map(|n| edit(NOW - hours * HOUR - n * 401, users[(n % 4) as usize]))
        .collect()
}

async fn grow(lake: &Lake, events: &mut Vec<Event>, more: Vec<Event>) {
    archive(lake, &more).await;
    events.extend(more);
}

fn lake_of(folder: &tempfile::TempDir) -> (Lake, Vec<Event>) {
    (lake_in(folder), Vec::new())
}

async fn kept_files(lake: &Lake) -> Vec<crate::lake::DataFile> {
    let snapshot = TableSnapshot::load(lake, FOLDER, AsOf::Newest).await.unwrap();
    snapshot.map(|snapshot| snapshot.files).unwrap_or_default()
}

#[tokio::test]
async fn a_table_that_an_earlier_version_made_gets_the_columns_that_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, mut events) = lake_of(&folder);
    grow(&lake, &mut events, ten(3)).await;
    let earlier = Arc::new(Schema::new(vec![
        Field::new("grain", DataType::Utf8, true),
        Field::new("user", DataType::Utf8, true),
        Field::new("of_old", DataType::Int64, true),
    ]));
    TableWriter::open_or_create(&lake, FOLDER, &earlier, &["grain"])
        .await
        .unwrap();
    assert_eq!(
        state(&run_over(&lake, &events, &two_days()).await).0,
        RollupState::Rebuilt
    );
    let table = TableWriter::open(&lake, FOLDER).await.unwrap().unwrap();
    for column in ["grain", "user", "of_old", "key_high", "key_low", "unique_users"] {
        assert!(table.schema().field_with_name(column).is_ok(), "{column}");
    }
    assert_eq!(
        state(&run_over(&lake, &events, &two_days()).await).0,
        RollupState::Current
    );
}

#[tokio::test]
async fn a_run_sums_up_only_what_is_new_late_and_early_events_included() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, mut all) = lake_of(&folder);
    grow(&lake, &mut all, ten(1)).await;
    grow(&lake, &mut all, ten(5)).await;
    assert_eq!(
        state(&run_over(&lake, &all, &two_days()).await),
        (RollupState::Rebuilt, 2)
    );
    assert_eq!(
        state(&run_over(&lake, &all, &two_days()).await),
        (RollupState::Current, 0)
    );
    for hours in [0, 5, 47, 30 * 24, -3] {
        let files = archived_months(&ten(hours));
        grow(&lake, &mut all, ten(hours)).await;
        assert_eq!(
            state(&run_over(&lake, &all, &two_days()).await),
            (RollupState::Refreshed, files)
        );
    }
    let mut table = TableWriter::open(&lake, FOLDER).await.unwrap().unwrap();
    assert_eq!(
        table.mark(MARK).await.unwrap(),
        raw_events(&lake).await.version.map(|version| version as i64)
    );
}

fn archived_months(events: &[Event]) -> usize {
    let mut months: Vec<_> = events
        .iter()
        .map(|event| DateTime::from_timestamp(event.timestamp, 0).unwrap().month())
        .collect();
    months.sort_unstable();
    months.dedup();
    months.len()
}

#[tokio::test]
async fn windows_move_widen_and_narrow() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, mut all) = lake_of(&folder);
    for hours in [0, 3, 20, 26, 49, 100, 400, 2000] {
        grow(&lake, &mut all, ten(hours)).await;
    }
    let at = |hours: i64, seconds: i64| now() - TimeDelta::hours(hours) + TimeDelta::milliseconds(seconds * 1000 + 1);
    let days = |end: DateTime<Utc>, days: u32| Window::before(end, days);
    // Its events are older and newer than the window, so it ends where the window does.
    assert_eq!(
        run_over(&lake, &all, &days(at(20, 77), 1)).await.state,
        RollupState::Rebuilt
    );
    run_over(&lake, &all, &days(at(19, 0), 1)).await;
    assert_eq!(
        run_over(&lake, &all, &days(now(), 2)).await.state,
        RollupState::Refreshed
    );
    assert_eq!(
        run_over(&lake, &all, &days(at(3, -500), 30)).await.state,
        RollupState::Refreshed
    );
    assert_eq!(
        run_over(&lake, &all, &days(at(3, -500), 1)).await.state,
        RollupState::Current
    );
    let long_ago = Window {
        start: at(2100, 0),
        end: at(1000, 0),
    };
    assert_eq!(run_over(&lake, &all, &long_ago).await.state, RollupState::Unkept);
    assert_eq!(
        run_over(&lake, &all, &days(now(), 3650)).await.state,
        RollupState::Refreshed
    );
    assert_eq!(run_over(&lake, &all, &long_ago).await.state, RollupState::Current);
    let instant = Window {
        start: at(0, -402),
        end: at(0, -401),
    };
    assert_eq!(run_over(&lake, &all, &instant).await.state, RollupState::Current);
}

#[tokio::test]
async fn many_small_refreshes_leave_few_files() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, mut all) = lake_of(&folder);
    for round in 0..16 {
        grow(&lake, &mut all, ten(round % 7 * 11)).await;
        try_run(&lake, &two_days(), false, false).await.unwrap();
    }
    run_over(&lake, &all, &two_days()).await;
    let files = kept_files(&lake).await.len();
    assert!(files < 4 * 16, "{files} files");
}

#[tokio::test]
async fn what_had_to_wait_is_moved_into_the_table_and_what_a_kill_left_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, mut all) = lake_of(&folder);
    let waiting = folder.path().join(FOLDER).join("_waiting");
    std::fs::create_dir_all(&waiting).unwrap();
    let left = |name: &str, days: u64| {
        let file = std::fs::File::create(waiting.join(name)).unwrap();
        let age = std::time::Duration::from_secs(days * 86_400);
        file.set_modified(std::time::SystemTime::now() - age).unwrap();
    };
    left("old", 2);
    left("new", 0);
    for hours in 0..30 {
        grow(&lake, &mut all, ten(hours)).await;
    }
    let entries = || {
        let entries = std::fs::read_dir(&waiting).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let summed = compute_summed(&lake, &two_days()).await;
    assert!(entries().len() > 2, "{:?}", entries());
    summed.keep(&lake).await;
    assert_eq!(entries(), ["new"]);
    assert_eq!(run_over(&lake, &all, &two_days()).await.state, RollupState::Current);
}

#[tokio::test]
async fn a_damaged_rollup_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, mut all) = lake_of(&folder);
    grow(&lake, &mut all, ten(1)).await;
    grow(&lake, &mut all, ten(30)).await;
    run_over(&lake, &all, &two_days()).await;
    // What happened on days is looked at where the window has other days than the last, the hours' users and the pairs of
    // servers and users where something is new.
    for (grain, damage, days, grows) in [
        (Grain::Users, "removed", 3, false),
        (Grain::ServerUsers, "cut short", 4, false),
        (Grain::TopUsers, "removed", 4, false),
        (Grain::Servers, "cut short", 4, false),
        (Grain::Pairs, "changed", 4, true),
        (Grain::Places, "changed", 3, false),
        (Grain::PlacesOfDays, "cut short", 3, false),
        (Grain::Hours, "empty", 4, false),
        (Grain::HourUsers, "changed", 4, true),
    ] {
        let folder_name = format!("grain={}/", grain.name());
        let files = kept_files(&lake).await;
        let mut names = files.iter().map(|file| file.path.to_string());
        let name = names.find(|name| name.contains(&folder_name)).unwrap();
        let path = std::path::Path::new("/").join(&name);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        match damage {
            "removed" => std::fs::remove_file(&path).unwrap(),
            "cut short" => std::fs::write(&path, &bytes[..middle]).unwrap(),
            "empty" => std::fs::write(&path, b"").unwrap(),
            _ => std::fs::write(&path, &bytes).unwrap(),
        }
        if grows {
            grow(&lake, &mut all, ten(1)).await;
        }
        let report = run_over(&lake, &all, &Window::before(now(), days)).await;
        assert_eq!(report.state, RollupState::Rebuilt, "{} {damage}", grain.name());
        assert!(report.reason.as_ref().unwrap().contains(&name), "{report:?}");
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, mut all) = lake_of(&folder);
    grow(&lake, &mut all, ten(1)).await;
    let log = folder.path().join(FOLDER).join("_delta_log");
    for damage in ["nonsense", "gap", "gone"] {
        run_over(&lake, &all, &two_days()).await;
        match damage {
            "nonsense" => std::fs::write(log.join("00000000000000000001.json"), b"{\"add\": ").unwrap(),
            "gap" => std::fs::remove_file(log.join("00000000000000000000.json")).unwrap(),
            _ => std::fs::remove_dir_all(&log).unwrap(),
        }
        let report = run_over(&lake, &all, &two_days()).await;
        assert_eq!(report.state, RollupState::Rebuilt, "{damage}: {report:?}");
        assert_eq!(
            run_over(&lake, &all, &two_days()).await.state,
            RollupState::Current,
            "{damage}"
        );
    }
}

/// Commits to a table's log, by hand.
pub(super) async fn commit(lake: &Lake, table: &str, actions: Vec<Action>) {
    let mut writer = TableWriter::open(lake, table).await.unwrap().unwrap();
    let outcome = writer.commit(actions, Vec::new(), write_operation(true)).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)));
}

fn relative(lake: &Lake, table: &str, file: &crate::lake::DataFile) -> String {
    file.path
        .prefix_match(&lake.path(table))
        .unwrap()
        .collect::<Path>()
        .to_string()
}

pub(super) fn removed(lake: &Lake, table: &str, file: &crate::lake::DataFile, data_change: bool) -> Action {
    Action::Remove(Remove {
        path: relative(lake, table, file),
        data_change,
        deletion_timestamp: Some(0),
        extended_file_metadata: Some(true),
        partition_values: Some(file.partition_values.clone().into_iter().collect()),
        ..Remove::default()
    })
}

#[tokio::test]
async fn a_rollup_of_another_definition_or_history_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, mut all) = lake_of(&folder);
    grow(&lake, &mut all, ten(1)).await;
    for (word, reason) in [
        ("definition", "another definition"),
        ("version", "ahead of the lake"),
        ("commit", "not as it was"),
        ("first", "cannot be read"),
    ] {
        run_over(&lake, &all, &two_days()).await;
        let hours = kept_files(&lake).await;
        let hours = hours
            .iter()
            .find(|file| file.tags.contains_key("lakebed.covers"))
            .unwrap();
        let mut tags = hours.tags.clone();
        let mut covers: serde_json::Value = serde_json::from_str(&tags["lakebed.covers"]).unwrap();
        covers[word] = match word {
            "first" => serde_json::json!("x"),
            _ => serde_json::json!(99),
        };
        tags.insert("lakebed.covers".to_owned(), covers.to_string());
        let again = Action::Add(Add {
            path: relative(&lake, FOLDER, hours),
            partition_values: hours.partition_values.clone().into_iter().collect(),
            size: hours.size as i64,
            data_change: true,
            tags: Some(tags.into_iter().map(|(name, value)| (name, Some(value))).collect()),
            ..Add::default()
        });
        commit(&lake, FOLDER, vec![again]).await;
        let report = run_over(&lake, &all, &two_days()).await;
        assert_eq!(report.state, RollupState::Rebuilt, "{word}");
        assert!(report.reason.as_ref().unwrap().contains(reason), "{word}: {report:?}");
    }
    // Another table of events in the same place.
    std::fs::remove_dir_all(folder.path().join(RAW_EVENTS)).unwrap();
    let other = ten(2);
    archive(&lake, &other).await;
    let report = run_over(&lake, &other, &two_days()).await;
    assert!(report.reason.as_ref().unwrap().contains("another table"), "{report:?}");
}

#[tokio::test]
async fn compaction_changes_nothing_and_retention_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, mut all) = lake_of(&folder);
    grow(&lake, &mut all, ten(1)).await;
    grow(&lake, &mut all, ten(9)).await;
    run_over(&lake, &all, &two_days()).await;
    // A new file is compacted together with those that are covered before a run has seen it.
    grow(&lake, &mut all, ten(4)).await;
    let files = raw_events(&lake).await.files;
    let file = NewFile {
        path: "year=2015/month=09/compacted.parquet".to_owned(),
        partition_values: vec![
            ("year".to_owned(), "2015".to_owned()),
            ("month".to_owned(), "9".to_owned()),
        ],
        tags: Vec::new(),
        batch: batch(&all),
        properties: writer_properties().build(),
    };
    let compacted = datafile::write(&lake, RAW_EVENTS, file).await.unwrap();
    let mut actions: Vec<Action> = files
        .iter()
        .map(|file| removed(&lake, RAW_EVENTS, file, false))
        .collect();
    actions.push(Action::Add(Add {
        data_change: false,
        ..compacted
    }));
    commit(&lake, RAW_EVENTS, actions).await;
    assert_eq!(
        state(&run_over(&lake, &all, &two_days()).await),
        (RollupState::Refreshed, 1)
    );
    assert_eq!(
        state(&run_over(&lake, &all, &two_days()).await),
        (RollupState::Current, 0)
    );
    grow(&lake, &mut all, ten(2)).await;
    run_over(&lake, &all, &two_days()).await;
    let files = raw_events(&lake).await.files;
    let newest = files
        .iter()
        .find(|file| !file.path.as_ref().contains("compacted"))
        .unwrap();
    commit(&lake, RAW_EVENTS, vec![removed(&lake, RAW_EVENTS, newest, true)]).await;
    all.truncate(all.len() - 10);
    let report = run_over(&lake, &all, &two_days()).await;
    assert_eq!(report.state, RollupState::Rebuilt);
    assert!(report.reason.unwrap().contains("removed"));
}

#[tokio::test]
async fn a_broken_file_is_left_out_when_asked_for_and_taken_in_once_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, mut all) = lake_of(&folder);
    grow(&lake, &mut all, ten(1)).await;
    run_over(&lake, &all, &two_days()).await;
    archive(&lake, &ten(6)).await;
    let files = raw_events(&lake).await.files;
    let new = files
        .iter()
        .max_by_key(|file| std::cmp::Reverse(file.timestamps))
        .unwrap();
    let path = std::path::Path::new("/").join(new.path.as_ref());
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let refused = try_run(&lake, &two_days(), false, false).await.unwrap_err();
    assert!(
        matches!(&refused, HistoryError::File { file, .. } if *file == new.path.to_string()),
        "{refused}"
    );
    let without = texts(&computed(&all).await.unwrap());
    for full in [false, false, true, false] {
        let (tables, _, left_out) = try_run(&lake, &two_days(), full, true).await.unwrap();
        assert_eq!((tables, left_out), (without.clone(), 1), "full: {full}");
    }
    assert!(try_run(&lake, &two_days(), false, false).await.is_err());
    std::fs::write(&path, &bytes).unwrap();
    all.extend(ten(6));
    assert_eq!(
        state(&run_over(&lake, &all, &two_days()).await),
        (RollupState::Refreshed, 1)
    );
}

#[tokio::test]
async fn a_broken_file_outside_the_window_is_not_missed_until_the_window_reaches_it() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, mut all) = lake_of(&folder);
    grow(&lake, &mut all, ten(1)).await;
    run_over(&lake, &all, &two_days()).await;
    archive(&lake, &ten(100)).await;
    let files = raw_events(&lake).await.files;
    let old = files.iter().min_by_key(|file| file.timestamps).unwrap();
    let path = std::path::Path::new("/").join(old.path.as_ref());
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    run_over(&lake, &all, &two_days()).await;
    assert!(try_run(&lake, &Window::before(now(), 9), false, false).await.is_err());
    std::fs::write(&path, &bytes).unwrap();
    all.extend(ten(100));
    run_over(&lake, &all, &Window::before(now(), 9)).await;
}

#[tokio::test]
async fn a_lake_that_cannot_be_written_to_still_gives_its_tables() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, mut all) = lake_of(&folder);
    grow(&lake, &mut all, ten(1)).await;
    let read_only = read_only(&folder);
    for _ in 0..2 {
        let report = run_over(&read_only, &all, &two_days()).await;
        assert_eq!(report.state, RollupState::Unkept);
    }
    run_over(&lake, &all, &two_days()).await;
    grow(&lake, &mut all, ten(3)).await;
    let report = run_over(&read_only, &all, &two_days()).await;
    assert_eq!(state(&report), (RollupState::Unkept, 1));
}

#[tokio::test]
async fn whatever_request_fails_the_next_run_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, mut all) = lake_of(&folder);
    grow(&lake, &mut all, ten(1)).await;
    grow(&lake, &mut all, ten(40)).await;
    run_over(&lake, &all, &two_days()).await;
    grow(&lake, &mut all, ten(0)).await;
    let expected = texts(&computed(&all).await.unwrap());
    let mut faults = 0;
    loop {
        let failing = faulty::lake(folder.path(), Fault::at(faults, Trouble::Refused));
        if let Ok((tables, report, _)) = try_run(&failing, &two_days(), false, false).await {
            assert_eq!(tables, expected, "request {faults} failed");
            if report.state == RollupState::Refreshed {
                break;
            }
        }
        faults += 1;
    }
    assert!(faults > 10, "only {faults} requests");
    run_over(&lake, &all, &two_days()).await;
}

#[tokio::test]
async fn what_was_kept_although_the_answer_was_lost_stays() {
    at_each_call([Trouble::Repeated], async |fault, when| {
        let folder = tempfile::tempdir().unwrap();
        let (lake, mut all) = lake_of(&folder);
        grow(&lake, &mut all, ten(1)).await;
        run_over(&faulty::lake(folder.path(), fault), &all, &two_days()).await;
        let report = run_over(&lake, &all, &two_days()).await;
        assert_eq!(state(&report), (RollupState::Current, 0), "{when}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_at_the_same_time_do_each_other_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, mut all) = lake_of(&folder);
    for round in 0..2 {
        grow(&lake, &mut all, ten(round * 13)).await;
        let runs: Vec<_> = (0..5)
            .map(|number| {
                let lake = lake.clone();
                tokio::spawn(async move { try_run(&lake, &two_days(), number == 4, false).await.unwrap().0 })
            })
            .collect();
        let expected = texts(&computed(&all).await.unwrap());
        for run in runs {
            assert_eq!(run.await.unwrap(), expected);
        }
    }
    assert_eq!(run_over(&lake, &all, &two_days()).await.state, RollupState::Current);
}

#[derive(Debug, Clone)]
enum Happening {
    Archive(Vec<Event>),
    Run { window: Window, full: bool },
    FailingRun { request: usize },
    Damage(prop::sample::Index),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let window = (0..60_i64, -3..3_i64, 1..5_u32).prop_map(|(hours, seconds, days)| {
        Window::before(now() - TimeDelta::seconds(hours * HOUR / 2 + seconds), days)
    });
    let happening = prop_oneof![
        4 => events().prop_map(Happening::Archive),
        4 => (window, prop::bool::weighted(0.1)).prop_map(|(window, full)| Happening::Run { window, full }),
        1 => (0..40_usize).prop_map(|request| Happening::FailingRun { request }),
        1 => any::<prop::sample::Index>().prop_map(Happening::Damage),
    ];
    prop::collection::vec(happening, 1..9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn any_history_gives_the_tables_of_the_events(first in events(), happenings in happenings()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let (lake, mut all) = lake_of(&folder);
            grow(&lake, &mut all, first).await;
            for happening in happenings {
                match happening {
                    Happening::Archive(more) => grow(&lake, &mut all, more).await,
                    Happening::Run { window, full } => {
                        let (tables, ..) = try_run(&lake, &window, full, false).await.unwrap();
                        assert_eq!(tables, texts(&computed_within(&all, &window).await.unwrap()));
                    }
                    Happening::FailingRun { request } => {
                        let failing = faulty::lake(folder.path(), Fault::at(request, Trouble::AnswerLost));
                        let _ = try_run(&failing, &two_days(), false, false).await;
                    }
                    Happening::Damage(index) => {
                        let files = kept_files(&lake).await;
                        if !files.is_empty() {
                            let path = std::path::Path::new("/").join(index.get(&files).path.as_ref());
                            std::fs::write(path, b"PAR1 no more").unwrap();
                        }
                    }
                }
            }
            run_over(&lake, &all, &two_days()).await;
        });
    }
}

/// A lake whose store refuses whatever writes.
fn read_only(folder: &tempfile::TempDir) -> Lake {
    Lake::open_through(&settings_of(folder), |inner| Arc::new(ReadOnlyStore(inner))).unwrap()
}

#[derive(Debug)]
struct ReadOnlyStore(Arc<dyn ObjectStore>);

fn refusal(location: &Path) -> object_store::Error {
    object_store::Error::PermissionDenied {
        path: location.to_string(),
        source: "nothing is written here".into(),
    }
}

impl fmt::Display for ReadOnlyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "read-only {}", self.0)
    }
}

#[async_trait::async_trait]
impl ObjectStore for ReadOnlyStore {
    async fn put_opts(&self, location: &Path, _: PutPayload, _: PutOptions) -> object_store::Result<PutResult> {
        Err(refusal(location))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        Err(refusal(location))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        locations.map(|location| Err(refusal(&location?))).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, to: &Path, _: CopyOptions) -> object_store::Result<()> {
        Err(refusal(to))
    }
}
