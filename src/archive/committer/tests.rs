//! The commit protocol step by step: who may commit on top of what, over a store that answers, fails, takes a request
//! and loses the answer, or keeps a request hanging and carries it out when its sender has long given it up, at every
//! one of its calls.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::archive::buffer::{Buffer, Limits};
use crate::archive::flush::{Cause, Flush};
use crate::error::{HasKind, Kind};
use crate::kafka::Message;
use crate::lake::TableSnapshot;
use crate::lake::faulty::{self, Fault, Trouble, at_each_call};
use crate::lake::snapshot::AsOf;
use crate::quality::{self, FindingKind, Progress, VerifyReport};

const TOPIC: &str = "events";
const NOW: i64 = 1_768_000_000;
const UNLIMITED: Limits = Limits {
    messages: u64::MAX,
    bytes: usize::MAX,
    wait: Duration::MAX,
};

/// A lake in a folder of its own, through a store that misbehaves once.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn lake(&self) -> Lake {
        self.faulty(Fault::none())
    }

    fn faulty(&self, fault: Arc<Fault>) -> Lake {
        faulty::lake(self.folder.path(), fault)
    }

    async fn verified(&self) -> VerifyReport {
        quality::verify(&self.lake(), true, None, &Quiet)
            .await
            .expect("readable")
    }

    async fn committer(&self) -> Committer {
        committer(&self.lake()).await
    }

    /// The places of all rows of raw_events and of the quarantine, each exactly once.
    async fn held(&self) -> (BTreeSet<(i32, i64)>, BTreeSet<(i32, i64)>) {
        let rows = places(&self.lake(), RAW_EVENTS, ["_partition", "_offset"]).await;
        let quarantined = places(&self.lake(), QUARANTINE, ["partition", "offset"]).await;
        assert!(rows.is_disjoint(&quarantined), "a message is a row and in quarantine");
        (rows, quarantined)
    }

    /// The data files in the folder of raw_events, as readers see them who look at no log.
    async fn files(&self) -> BTreeSet<Path> {
        let lake = self.lake();
        let log = lake.path(RAW_EVENTS).join("_delta_log");
        let all: Vec<ObjectMeta> = lake
            .store()
            .list(Some(&lake.path(RAW_EVENTS)))
            .try_collect()
            .await
            .expect("a list");
        let files = all.into_iter().map(|object| object.location);
        files.filter(|path| !path.prefix_matches(&log)).collect()
    }

    /// Those that the log names.
    async fn named(&self) -> BTreeSet<Path> {
        let snapshot = TableSnapshot::load(&self.lake(), RAW_EVENTS, AsOf::Newest)
            .await
            .expect("readable")
            .expect("there");
        snapshot.files.into_iter().map(|file| file.path).collect()
    }
}

struct Quiet;

impl Progress for Quiet {
    fn read(&self, _files: u64, _total: u64) {}
}

async fn committer(lake: &Lake) -> Committer {
    Committer::open(lake, TOPIC, 200).await.expect("the lake opens")
}

async fn places(lake: &Lake, table: &str, columns: [&str; 2]) -> BTreeSet<(i32, i64)> {
    let snapshot = TableSnapshot::load(lake, table, AsOf::Newest)
        .await
        .expect("readable")
        .expect("there");
    let mut places = BTreeSet::new();
    for file in snapshot.files {
        let bytes = lake
            .store()
            .get(&file.path)
            .await
            .expect("there")
            .bytes()
            .await
            .expect("whole");
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
            .expect("Parquet")
            .build()
            .expect("Parquet");
        for batch in reader {
            let batch = batch.expect("Parquet");
            let partitions = batch
                .column_by_name(columns[0])
                .expect("there")
                .as_primitive::<Int32Type>()
                .clone();
            let offsets = batch
                .column_by_name(columns[1])
                .expect("there")
                .as_primitive::<Int64Type>()
                .clone();
            for (partition, offset) in partitions.values().iter().zip(offsets.values()) {
                assert!(
                    places.insert((*partition, *offset)),
                    "{table} holds {partition}:{offset} twice"
                );
            }
        }
    }
    places
}

/// Reads these offsets of these partitions; every third message is broken.
fn read(schema: &EventSchema, offsets: &[(i32, Range<i64>)], extra: &str) -> Flush {
    let mut buffer = Buffer::new(schema.clone(), UNLIMITED);
    for (partition, range) in offsets {
        buffer.begin(*partition, range.start, HashSet::new());
        for offset in range.clone() {
            let value = match offset % 3 {
                0 => "broken".to_owned(),
                _ => format!(r#"{{"timestamp": {NOW}{extra}}}"#),
            };
            let message = Message {
                partition: *partition,
                offset,
                key: None,
                value: Some(value.as_bytes()),
                timestamp: None,
            };
            buffer.push(message, NOW, Instant::now());
        }
    }
    buffer.cut(Cause::Size).expect("something was read")
}

async fn written(lake: &Lake, flush: Flush) -> Result<Written, ArchiveError> {
    writer::write(lake, TOPIC, flush, Utc::now()).await
}

async fn commit(committer: &mut Committer, lake: &Lake, offsets: &[(i32, Range<i64>)]) -> Vec<(i32, Fate)> {
    let flush = read(committer.schema(), offsets, "");
    let mut group = Group::from(vec![written(lake, flush).await.expect("it is written")]);
    committer.commit(&mut group).await.expect("it is settled")
}

async fn begin(committer: &mut Committer, partitions: &[i32]) {
    let starts = partitions.iter().map(|partition| (*partition, 0)).collect();
    committer.adopt(&starts).await.expect("marks are set");
    committer.resume(partitions).await.expect("marks are there");
}

fn archived(fates: &[(i32, Fate)]) -> Vec<i32> {
    let mut partitions: Vec<i32> = fates
        .iter()
        .filter(|(_, fate)| matches!(fate, Fate::Archived(_)))
        .map(|(partition, _)| *partition)
        .collect();
    partitions.sort_unstable();
    partitions
}

fn all(partition: i32, offsets: Range<i64>) -> BTreeSet<(i32, i64)> {
    offsets.map(|offset| (partition, offset)).collect()
}

#[tokio::test]
async fn a_member_that_was_superseded_commits_nothing() {
    let place = Place::new();
    let lake = place.lake();
    let (mut sleeper, mut other) = (place.committer().await, place.committer().await);
    begin(&mut sleeper, &[0]).await;
    other.resume(&[0]).await.expect("marks are there");
    let stale = read(sleeper.schema(), &[(0, 0..7)], "");
    let mut stale = Group::from(vec![written(&lake, stale).await.expect("it is written")]);

    assert_eq!(archived(&commit(&mut other, &lake, &[(0, 0..10)]).await), [0]);
    let fates = sleeper.commit(&mut stale).await.expect("it is settled");
    assert!(
        matches!(fates.as_slice(), [(0, Fate::Superseded(covered))] if covered.offsets == (0..7)),
        "{fates:?}"
    );

    let resumed = sleeper.resume(&[0]).await.expect("marks are there");
    assert_eq!(resumed[&0].mark, 10);
    assert_eq!(archived(&commit(&mut sleeper, &lake, &[(0, 10..12)]).await), [0]);
    let (rows, quarantined) = place.held().await;
    assert_eq!(&rows | &quarantined, all(0, 0..12));
}

#[tokio::test]
async fn of_a_flush_only_the_superseded_partition_is_dropped() {
    let place = Place::new();
    let lake = place.lake();
    let (mut first, mut second) = (place.committer().await, place.committer().await);
    begin(&mut first, &[0, 1]).await;
    second.resume(&[1]).await.expect("marks are there");
    commit(&mut second, &lake, &[(1, 0..4)]).await;
    let fates = commit(&mut first, &lake, &[(0, 0..6), (1, 0..9)]).await;
    assert_eq!(archived(&fates), [0]);
    let (rows, quarantined) = place.held().await;
    assert_eq!(&rows | &quarantined, &all(0, 0..6) | &all(1, 0..4));
}

#[tokio::test]
async fn members_with_different_partitions_do_not_disturb_each_other() {
    let place = Place::new();
    let lake = place.lake();
    let (mut first, mut second) = (place.committer().await, place.committer().await);
    begin(&mut first, &[0]).await;
    begin(&mut second, &[1]).await;
    for round in 0..5 {
        let offsets = round * 4..round * 4 + 4;
        assert_eq!(archived(&commit(&mut first, &lake, &[(0, offsets.clone())]).await), [0]);
        assert_eq!(archived(&commit(&mut second, &lake, &[(1, offsets)]).await), [1]);
    }
    let (rows, quarantined) = place.held().await;
    assert_eq!(&rows | &quarantined, &all(0, 0..20) | &all(1, 0..20));
}

#[tokio::test]
async fn a_process_that_died_between_the_two_commits_leaves_nothing_to_write_twice() {
    let place = Place::new();
    let lake = place.lake();
    let mut dies = place.committer().await;
    begin(&mut dies, &[0]).await;
    let flush = read(dies.schema(), &[(0, 0..10)], "");
    let group = Group::from(vec![written(&lake, flush).await.expect("it is written")]);
    assert!(matches!(
        dies.commit_quarantine(&group).await,
        Ok(CommitOutcome::Committed(_))
    ));
    drop(dies);

    let mut next = place.committer().await;
    let resume = next
        .resume(&[0])
        .await
        .expect("marks are there")
        .remove(&0)
        .expect("a mark");
    assert_eq!((resume.mark, &resume.quarantined), (0, &HashSet::from([0, 3, 6, 9])));
    let mut buffer = Buffer::new(next.schema().clone(), UNLIMITED);
    buffer.begin(0, resume.mark, resume.quarantined);
    for offset in 0..12 {
        // This time every message is an event: what is in quarantine stays there all the same.
        let value = format!(r#"{{"timestamp": {NOW}}}"#);
        let message = Message {
            partition: 0,
            offset,
            key: None,
            value: Some(value.as_bytes()),
            timestamp: None,
        };
        buffer.push(message, NOW, Instant::now());
    }
    let flush = buffer.cut(Cause::Size).expect("something was read");
    let mut group = Group::from(vec![written(&lake, flush).await.expect("it is written")]);
    assert_eq!(archived(&next.commit(&mut group).await.expect("it is settled")), [0]);
    let (rows, quarantined) = place.held().await;
    assert_eq!(quarantined, BTreeSet::from([(0, 0), (0, 3), (0, 6), (0, 9)]));
    assert_eq!(&rows | &quarantined, all(0, 0..12));
}

#[tokio::test]
async fn quarantine_rows_of_a_superseded_member_make_the_other_read_again() {
    let place = Place::new();
    let lake = place.lake();
    let (mut sleeper, mut other) = (place.committer().await, place.committer().await);
    begin(&mut sleeper, &[0]).await;
    other.resume(&[0]).await.expect("marks are there");
    let stale = read(sleeper.schema(), &[(0, 0..8)], "");
    let stale = Group::from(vec![written(&lake, stale).await.expect("it is written")]);
    sleeper.commit_quarantine(&stale).await.expect("it lands");

    assert_eq!(
        archived(&commit(&mut other, &lake, &[(0, 0..5)]).await),
        Vec::<i32>::new()
    );
    let resume = other
        .resume(&[0])
        .await
        .expect("marks are there")
        .remove(&0)
        .expect("a mark");
    assert_eq!((resume.mark, resume.quarantined), (0, HashSet::from([0, 3, 6])));
}

#[tokio::test]
async fn a_type_that_another_member_gave_a_column_first_holds() {
    let place = Place::new();
    let lake = place.lake();
    let (mut first, mut second) = (place.committer().await, place.committer().await);
    begin(&mut first, &[0, 1]).await;
    second.resume(&[1]).await.expect("marks are there");
    let numbers = read(first.schema(), &[(0, 1..3)], r#", "wiki": 7"#);
    let texts = read(second.schema(), &[(1, 1..3)], r#", "wiki": "en""#);
    let mut starts = (numbers, texts);
    for flush in [&mut starts.0, &mut starts.1] {
        flush.covered.values_mut().for_each(|covered| covered.offsets.start = 0);
    }
    let mut numbers = Group::from(vec![written(&lake, starts.0).await.expect("it is written")]);
    let mut texts = Group::from(vec![written(&lake, starts.1).await.expect("it is written")]);
    assert_eq!(archived(&first.commit(&mut numbers).await.expect("settled")), [0]);
    assert_eq!(archived(&second.commit(&mut texts).await.expect("settled")), [1]);
    assert_eq!(
        second.schema().extra(),
        [("wiki".to_owned(), crate::event::ColumnType::Int64)]
    );
}

#[tokio::test]
async fn a_type_that_another_member_gives_a_column_at_the_same_moment_holds() {
    let place = Place::new();
    let lake = place.lake();
    let (mut first, mut second) = (place.committer().await, place.committer().await);
    begin(&mut first, &[0, 1]).await;
    second.resume(&[1]).await.expect("marks are there");
    let texts = read(second.schema(), &[(1, 0..3)], r#", "wiki": "en""#);
    let mut texts = Group::from(vec![written(&lake, texts).await.expect("it is written")]);
    second.settle(&mut texts).await.expect("it may land");

    let numbers = read(first.schema(), &[(0, 0..3)], r#", "wiki": 7"#);
    let mut numbers = Group::from(vec![written(&lake, numbers).await.expect("it is written")]);
    assert_eq!(archived(&first.commit(&mut numbers).await.expect("settled")), [0]);

    let outcome = second.commit_events(&texts).await.expect("it is decided");
    assert_eq!(outcome, CommitOutcome::Conflict);
    assert_eq!(archived(&second.commit(&mut texts).await.expect("settled")), [1]);
    let wiki = ("wiki".to_owned(), crate::event::ColumnType::Int64);
    assert_eq!(second.schema().extra(), [wiki]);
    for file in place.named().await {
        let bytes = lake
            .store()
            .get(&file)
            .await
            .expect("there")
            .bytes()
            .await
            .expect("whole");
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("Parquet");
        let field = reader.schema().field_with_name("wiki").expect("there").clone();
        assert_eq!(field.data_type(), &DataType::Int64, "{file}");
    }
}

#[tokio::test]
async fn whatever_call_of_the_store_fails_hangs_or_loses_its_answer_each_message_lands_once() {
    let late = [1, 2, 4].map(Trouble::Late);
    at_each_call(
        [Trouble::Refused, Trouble::AnswerLost].into_iter().chain(late),
        async |fault, when| {
            let place = Place::new();
            let mut before = place.committer().await;
            begin(&mut before, &[0, 1]).await;
            let lake = place.faulty(fault);
            let mut committer = until(async || Committer::open(&lake, TOPIC, 200).await).await;
            loop {
                match committer.resume(&[0, 1]).await {
                    Ok(_) => break,
                    Err(error) => assert_eq!(error.kind(), Kind::Retry, "{error}"),
                }
            }
            for offsets in [0..7, 7..15, 15..16] {
                let flush = read(
                    committer.schema(),
                    &[(0, offsets.clone()), (1, offsets)],
                    r#", "wiki": 7"#,
                );
                let mut group = Group::from(vec![until(async || written(&lake, flush.clone()).await).await]);
                loop {
                    match committer.commit(&mut group).await {
                        Ok(fates) => {
                            assert_eq!(archived(&fates), [0, 1], "{when}");
                            break;
                        }
                        Err(error) => assert_eq!(error.kind(), Kind::Retry, "{when}: {error}"),
                    }
                }
            }
            let (rows, quarantined) = place.held().await;
            assert_eq!(&rows | &quarantined, &all(0, 0..16) | &all(1, 0..16), "{when}");
            place.committer().await.sweep().await.expect("it is swept");
            assert_eq!(place.files().await, place.named().await, "{when}");
        },
    )
    .await;
}

#[tokio::test]
async fn a_store_that_fails_one_request_is_reached_all_the_same() {
    let place = Place::new();
    let fault = Fault::at(0, Trouble::Refused);
    let lake = place.faulty(Arc::clone(&fault));
    lake.reach().await.expect("the next request is answered");
    assert!(fault.came());
}

/// Reads on from the lake's marks while Kafka holds partition 0 from offset 20 on, and partition 1 whole; to be told to
/// accept that.
async fn archive_behind_the_gap(lake: &Lake) -> Result<(), ArchiveError> {
    let mut committer = Committer::open(lake, TOPIC, 200).await?;
    let mut buffer = Buffer::new(committer.schema().clone(), UNLIMITED);
    let mut flushes = Vec::new();
    for (partition, resume) in committer.resume(&[0, 1]).await? {
        let next = if partition == 0 {
            resume.mark.max(20)
        } else {
            resume.mark
        };
        buffer.begin(partition, resume.mark, resume.quarantined);
        flushes.extend(buffer.lose(partition, next, Utc::now()));
        for offset in next..27 {
            let value = if offset % 3 == 0 {
                "broken".to_owned()
            } else {
                format!(r#"{{"timestamp": {NOW}}}"#)
            };
            let message = Message {
                partition,
                offset,
                key: None,
                value: Some(value.as_bytes()),
                timestamp: None,
            };
            buffer.push(message, NOW, Instant::now());
        }
    }
    flushes.extend(buffer.cut(Cause::Size));
    for flush in flushes {
        let mut group = Group::from(vec![written(lake, flush).await?]);
        committer.commit(&mut group).await?;
    }
    Ok(())
}

#[tokio::test]
async fn wherever_a_process_dies_a_gap_is_recorded_once() {
    at_each_call([Trouble::Refused, Trouble::AnswerLost], async |fault, when| {
        let place = Place::new();
        let mut before = place.committer().await;
        begin(&mut before, &[0, 1]).await;
        commit(&mut before, &place.lake(), &[(0, 0..7), (1, 0..7)]).await;
        let lake = place.faulty(fault);
        // Each failure is the death of a process, and the next one begins where the lake says.
        until(async || archive_behind_the_gap(&lake).await).await;
        let (rows, quarantined) = place.held().await;
        assert_eq!(
            &rows | &quarantined,
            &(&all(0, 0..7) | &all(0, 20..27)) | &all(1, 0..27),
            "{when}"
        );
        let findings = place.verified().await.findings;
        let places: Vec<_> = findings
            .iter()
            .map(|finding| (finding.finding, &finding.places))
            .collect();
        assert!(
            matches!(places.as_slice(), [(FindingKind::Lost, lost)] if lost[0].partition == 0 && lost[0].offsets == [[7, 19]]),
            "{when}: {findings:?}"
        );
    })
    .await;
}

/// Reads all of a topic that was made anew and holds nine messages.
async fn archive_made_anew(lake: &Lake) -> Result<(), ArchiveError> {
    let mut committer = Committer::open(lake, TOPIC, 200).await?;
    let present = TopicId::from_mark(2);
    if committer.know(Some(present), &[0]).await? != Some(present) {
        let starts = BTreeMap::from([(0, 0)]);
        assert!(
            committer.begin_generation(present, &starts).await?,
            "nobody else is there"
        );
    }
    let resume = committer
        .resume(&[0])
        .await?
        .remove(&0)
        .ok_or(ArchiveError::NoMark { partition: 0 })?;
    if resume.mark < 9 {
        let mut flush = read(committer.schema(), &[(0, resume.mark..9)], "");
        flush.rejected.retain(|row| !resume.quarantined.contains(&row.offset));
        let written = writer::write(lake, committer.archive(), flush, Utc::now()).await?;
        let mut group = Group::from(vec![written]);
        committer.commit(&mut group).await?;
    }
    Ok(())
}

#[tokio::test]
async fn wherever_a_process_dies_a_topic_made_anew_is_archived_once_beside_the_former_one() {
    at_each_call([Trouble::Refused, Trouble::AnswerLost], async |fault, when| {
        let place = Place::new();
        let mut before = place.committer().await;
        before.know(Some(TopicId::from_mark(1)), &[0]).await.expect("readable");
        begin(&mut before, &[0]).await;
        commit(&mut before, &place.lake(), &[(0, 0..7)]).await;
        let lake = place.faulty(fault);
        until(async || archive_made_anew(&lake).await).await;
        let report = place.verified().await;
        assert_eq!(report.findings, [], "{when}");
        let archives: Vec<(&str, i64, u64)> = report
            .partitions
            .iter()
            .map(|found| {
                (
                    found.topic.as_str(),
                    found.next.unwrap_or_default(),
                    found.rows + found.quarantined,
                )
            })
            .collect();
        assert_eq!(archives, [("events", 7, 7), ("events#1", 9, 9)], "{when}");
    })
    .await;
}

#[tokio::test]
async fn a_member_that_still_holds_the_former_topic_commits_nothing_of_it() {
    let place = Place::new();
    let lake = place.lake();
    let mut sleeper = place.committer().await;
    sleeper.know(Some(TopicId::from_mark(1)), &[0]).await.expect("readable");
    begin(&mut sleeper, &[0]).await;
    let stale = read(sleeper.schema(), &[(0, 0..7)], "");
    let mut stale = Group::from(vec![written(&lake, stale).await.expect("it is written")]);
    archive_made_anew(&lake).await.expect("it is archived");
    assert!(matches!(sleeper.commit(&mut stale).await, Err(ArchiveError::Anew)));
    let (rows, quarantined) = place.held().await;
    assert_eq!(&rows | &quarantined, all(0, 0..9));
    // What it wrote is swept by the next.
    let mut next = place.committer().await;
    next.sweep().await.expect("it is swept");
    assert!(!next.has_litter());
}

#[tokio::test]
async fn the_id_of_the_topic_is_kept_from_the_first_mark_on_and_given_to_lakes_that_have_none() {
    let (first, second) = (Some(TopicId::from_mark(1)), Some(TopicId::from_mark(2)));
    let place = Place::new();
    let mut without = place.committer().await;
    assert_eq!(without.know(None, &[0]).await.expect("readable"), None);
    begin(&mut without, &[0]).await;
    // A lake from before ids were kept takes the first that it is told.
    assert_eq!(
        place.committer().await.know(first, &[0]).await.expect("readable"),
        first
    );
    assert_eq!(
        place.committer().await.know(second, &[0]).await.expect("readable"),
        first
    );

    let place = Place::new();
    let mut with = place.committer().await;
    assert_eq!(with.know(first, &[0]).await.expect("readable"), first);
    // Nothing is kept of a topic of which nothing is archived.
    assert_eq!(
        place.committer().await.know(second, &[0]).await.expect("readable"),
        second
    );
    begin(&mut with, &[0]).await;
    assert_eq!(
        place.committer().await.know(second, &[0]).await.expect("readable"),
        first
    );
}

async fn until<T>(mut call: impl AsyncFnMut() -> Result<T, ArchiveError>) -> T {
    loop {
        match call().await {
            Ok(done) => return done,
            Err(error) => assert_eq!(error.kind(), Kind::Retry, "{error}"),
        }
    }
}
