//! Replays over a store that fails or loses its answer at every one of its calls, beside each other, beside an archiver,
//! and after one that died; in the end each message is a row once, and the lake is verified.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use super::*;
use crate::archive::buffer::{Buffer, Limits};
use crate::archive::committer::{Committer as Archiver, Fate, Group};
use crate::archive::flush::{Cause, Flush};
use crate::archive::writer;
use crate::error::{HasKind, Kind};
use crate::event::EventSchema;
use crate::kafka::Message;
use crate::lake::RAW_EVENTS;
use crate::lake::faulty::{self, Fault, Trouble, at_each_call};
use crate::lake::snapshot::unnamed;
use crate::quality::places::{self, Columns};
use crate::quality::{self, Finding};

const TOPIC: &str = "events";
const NOW: i64 = 1_768_000_000;

/// Nobody watches.
struct Quiet;

impl Progress for Quiet {
    fn read(&self, _: u64, _: u64) {}
}

struct Place(tempfile::TempDir);

impl Place {
    fn lake(&self) -> Lake {
        faulty::lake(self.0.path(), Fault::none())
    }

    /// The offsets of partition 0 that are rows, each once; and a proof that all else is right.
    async fn rows(&self) -> BTreeSet<u64> {
        let lake = self.lake();
        let snapshot = TableSnapshot::load(&lake, RAW_EVENTS, AsOf::Newest)
            .await
            .expect("readable");
        let mut rows = BTreeSet::new();
        for file in snapshot.expect("there").files {
            let found = places::read(&lake, &file.path, file.size, Columns::Events)
                .await
                .expect("readable");
            for offset in found.partitions.into_values().flat_map(|offsets| offsets.held) {
                assert!(rows.insert(offset), "{offset} is there twice");
            }
        }
        let report = quality::verify(&lake, true, None, &Quiet).await.expect("readable");
        let findings: Vec<String> = report.findings.iter().map(Finding::to_string).collect();
        assert!(findings.is_empty(), "{findings:?}");
        rows
    }

    async fn unnamed(&self) -> usize {
        unnamed(&self.lake(), RAW_EVENTS).await.expect("readable").len()
    }
}

/// A lake whose every third message is in quarantine for counting milliseconds, two months of them.
async fn place(offsets: Range<i64>) -> Place {
    let place = Place(tempfile::tempdir().expect("a folder"));
    let lake = place.lake();
    let mut archiver = Archiver::open(&lake, TOPIC, 200).await.expect("the lake opens");
    let start = [(0, offsets.start)].into();
    archiver.adopt(&start).await.expect("a mark is set");
    archive(&mut archiver, &lake, offsets).await;
    place
}

async fn archive(archiver: &mut Archiver, lake: &Lake, offsets: Range<i64>) {
    archiver.resume(&[0]).await.expect("marks are there");
    let flush = read(archiver.schema(), offsets);
    let written = writer::write(lake, TOPIC, flush, Utc::now())
        .await
        .expect("it is written");
    let fates = archiver
        .commit(&mut Group::from(vec![written]))
        .await
        .expect("it is settled");
    assert!(
        fates.iter().all(|(_, fate)| matches!(fate, Fate::Archived(_))),
        "{fates:?}"
    );
}

fn read(schema: &EventSchema, offsets: Range<i64>) -> Flush {
    let limits = Limits {
        messages: u64::MAX,
        bytes: usize::MAX,
        wait: Duration::MAX,
    };
    let mut buffer = Buffer::new(schema.clone(), limits);
    buffer.begin(0, offsets.start, HashSet::new());
    for offset in offsets {
        let second = NOW - offset % 2 * 40 * 86_400;
        let value = match offset % 3 {
            0 => format!(r#"{{"timestamp": {second}000, "new": {offset}}}"#),
            _ => format!(r#"{{"timestamp": {second}}}"#),
        };
        let message = Message {
            partition: 0,
            offset,
            key: None,
            value: Some(value.as_bytes()),
            timestamp: None,
        };
        buffer.push(message, NOW, Instant::now());
    }
    buffer.cut(Cause::Size).expect("something was read")
}

fn job(batch_rows: usize) -> ReplayJob {
    ReplayJob {
        selection: Selection::default(),
        unit: Some(TimeUnit::Milliseconds),
        zone: None,
        missing_is_archived_at: false,
        dry_run: false,
        max_columns: 200,
        now: DateTime::from_timestamp(NOW, 0).expect("a time"),
        batch_rows,
        batch_bytes: usize::MAX,
    }
}

fn all(offsets: Range<u64>) -> BTreeSet<u64> {
    offsets.collect()
}

#[tokio::test]
async fn a_replay_makes_each_message_a_row_once_and_another_finds_nothing_to_do() {
    let place = place(0..30).await;
    let looked = replay(
        &place.lake(),
        &ReplayJob {
            dry_run: true,
            ..job(4)
        },
        &Quiet,
    )
    .await
    .expect("looked");
    assert_eq!((looked.messages, looked.replayed, looked.lake_version), (10, 10, 2));
    let first = replay(&place.lake(), &job(4), &Quiet).await.expect("replayed");
    // Four rows a commit.
    assert_eq!(
        (first.messages, first.replayed, first.already, first.left),
        (10, 10, 0, 0)
    );
    assert_eq!(first.lake_version, 5);
    let again = replay(&place.lake(), &job(4), &Quiet).await.expect("replayed");
    assert_eq!(
        (again.messages, again.replayed, again.already, again.lake_version),
        (10, 0, 10, 5)
    );
    assert_eq!(place.rows().await, all(0..30));
}

#[tokio::test]
async fn without_the_assumption_or_of_another_reason_nothing_becomes_a_row() {
    let place = place(0..9).await;
    let strict = ReplayJob { unit: None, ..job(100) };
    let report = replay(&place.lake(), &strict, &Quiet).await.expect("replayed");
    assert_eq!((report.messages, report.left), (3, 3));
    let selection = Selection {
        reasons: vec![Reason::NotJson],
        topics: Vec::new(),
    };
    let other = ReplayJob { selection, ..job(100) };
    assert_eq!(
        replay(&place.lake(), &other, &Quiet).await.expect("replayed").messages,
        0
    );
    // The clock has moved on: milliseconds as seconds lie in the year 58,000.
    let later = ReplayJob {
        now: DateTime::from_timestamp(NOW * 1000, 0).expect("a time"),
        ..strict
    };
    assert_eq!(
        replay(&place.lake(), &later, &Quiet).await.expect("replayed").replayed,
        3
    );
}

#[tokio::test]
async fn whatever_call_of_the_store_fails_or_loses_its_answer_each_message_becomes_a_row_once() {
    at_each_call([Trouble::Refused, Trouble::AnswerLost], async |fault, when| {
        let place = place(0..6).await;
        let lake = faulty::lake(place.0.path(), fault);
        loop {
            // As after a kill: from the beginning.
            match replay(&lake, &job(1), &Quiet).await {
                Ok(_) => break,
                Err(error) => assert!(matches!(error.kind(), Kind::Retry | Kind::Data), "{when}: {error}"),
            }
        }
        assert_eq!(place.rows().await, all(0..6), "{when}");
        assert_eq!(place.unnamed().await, 0, "{when} leaves files");
    })
    .await;
}

#[tokio::test]
async fn replays_at_once_make_each_message_a_row_once() {
    let place = place(0..60).await;
    let (first, second, third) = (place.lake(), place.lake(), place.lake());
    let (two, three, five) = (job(2), job(3), job(5));
    let reports = tokio::join!(
        replay(&first, &two, &Quiet),
        replay(&second, &three, &Quiet),
        replay(&third, &five, &Quiet)
    );
    let reports = [reports.0, reports.1, reports.2].map(|report| report.expect("replayed"));
    assert_eq!(
        reports.iter().map(|report| report.replayed).sum::<u64>(),
        20,
        "{reports:?}"
    );
    assert!(
        reports.iter().all(|report| report.replayed + report.already == 20),
        "{reports:?}"
    );
    assert_eq!(place.rows().await, all(0..60));
    assert_eq!(place.unnamed().await, 0);
}

#[tokio::test]
async fn a_replay_beside_an_archiver_comes_to_its_end() {
    let place = place(0..60).await;
    let lake = place.lake();
    let archiving = async {
        let mut archiver = Archiver::open(&lake, TOPIC, 200).await.expect("the lake opens");
        for round in 0..20 {
            archive(&mut archiver, &lake, 60 + round * 3..63 + round * 3).await;
            archiver.sweep().await.expect("swept");
        }
    };
    let (own, job_of_one) = (place.lake(), job(1));
    let (report, ()) = tokio::join!(replay(&own, &job_of_one, &Quiet), archiving);
    assert_eq!(report.expect("replayed").replayed, 20);
    replay(&place.lake(), &job(100), &Quiet).await.expect("replayed");
    assert_eq!(place.rows().await, all(0..120));
}

/// A replay that has written its files and not committed them.
async fn on_the_way(lake: &Lake) -> (Committer, Batch) {
    let committer = Committer::open(lake, 200).await.expect("opened").expect("there");
    let mut buffer = EventBuffer::new(committer.schema().clone());
    for offset in (0..12).step_by(3) {
        let value = format!(r#"{{"timestamp": {NOW}}}"#);
        buffer.push(value.as_bytes(), 0, offset, NOW).expect("an event");
    }
    let topics = vec![TopicRows {
        topic: TOPIC.to_owned(),
        rows: buffer.take(),
    }];
    let batch = Batch { topics };
    committer.write_only(&batch).await;
    (committer, batch)
}

#[tokio::test]
async fn files_of_a_replay_that_lives_are_let_be_by_archivers_and_those_of_a_dead_one_go() {
    let place = place(0..12).await;
    let (mut living, batch) = on_the_way(&place.lake()).await;
    let lake = place.lake();
    let mut archiver = Archiver::open(&lake, TOPIC, 200).await.expect("the lake opens");
    archive(&mut archiver, &lake, 12..15).await;
    archiver.sweep().await.expect("swept");
    assert_eq!(place.unnamed().await, 1);
    // Once it has committed, what it had written before is nobody's.
    assert_eq!(living.commit(batch).await.expect("committed"), Places::new());
    assert_eq!(place.unnamed().await, 1);
    archiver.sweep().await.expect("swept");
    assert_eq!(place.unnamed().await, 0);
    let report = replay(&place.lake(), &job(100), &Quiet).await.expect("replayed");
    assert_eq!((report.replayed, report.already), (1, 4));
    assert_eq!(place.rows().await, all(0..15));
}

#[tokio::test]
async fn a_replay_that_another_took_for_dead_lands_nothing_twice() {
    let place = place(0..12).await;
    let (mut sleeper, batch) = on_the_way(&place.lake()).await;
    let report = replay(&place.lake(), &job(100), &Quiet).await.expect("replayed");
    assert_eq!(report.replayed, 4);
    assert_eq!(place.unnamed().await, 0);
    let left_out = sleeper.commit(batch).await.expect("settled");
    assert_eq!(left_out.values().map(RoaringTreemap::len).sum::<u64>(), 4);
    replay(&place.lake(), &job(100), &Quiet).await.expect("replayed");
    assert_eq!(place.rows().await, all(0..12));
    assert_eq!(place.unnamed().await, 0);
}
