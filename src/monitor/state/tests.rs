//! What waits, since when, and in which phase.

use super::*;

fn fetched(end: i64, next: i64, queued: i64, handed_over: i64) -> Fetched {
    Fetched {
        end,
        next,
        queued,
        handed_over,
    }
}

#[test]
fn lag_is_what_the_lake_lacks_and_a_reader_can_see() {
    let table = [
        ("nothing is there", 0, fetched(0, 0, 0, -1001), 0),
        ("all is archived", 10, fetched(10, 10, 0, 10), 0),
        ("some is not fetched", 4, fetched(10, 4, 0, 4), 6),
        ("some is queued", 4, fetched(10, 10, 6, 4), 6),
        ("some is buffered", 4, fetched(10, 10, 0, 10), 6),
        ("only control records follow", 8, fetched(10, 10, 0, 8), 0),
        (
            "only control records follow, after a restart",
            8,
            fetched(10, 10, 0, -1001),
            0,
        ),
        ("statistics older than the commit", 12, fetched(10, 9, 0, 9), 0),
    ];
    for (what, archived, fetched, lag) in table {
        let partition = Partition {
            archived,
            fetched: Some(fetched),
            waiting_since: None,
        };
        assert_eq!(partition.lag(), Some(lag), "{what}");
    }
}

#[test]
fn a_wait_begins_with_the_first_message_and_anew_with_each_commit() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let waited = |state: &State, now| state.facts(now).waiting.map(|waiting| waiting.without_commit.as_secs());
    let mut state = State::new(start);
    state.begin(0, 0);
    state.hear(true, 0, [(0, fetched(0, 0, 0, -1001))], at(5));
    assert_eq!(waited(&state, at(1000)), None);
    state.hear(true, 0, [(0, fetched(10, 10, 0, 10))], at(1000));
    state.hear(true, 0, [(0, fetched(20, 20, 0, 20))], at(1005));
    assert_eq!(waited(&state, at(1006)), Some(6));
    state.archived(0, 10, at(1010));
    assert_eq!(waited(&state, at(1012)), Some(2));
    state.archived(0, 20, at(1020));
    assert_eq!(waited(&state, at(1021)), None);
    assert_eq!(state.lags().collect::<Vec<_>>(), [(0, 0)]);
}

#[test]
fn one_partition_that_stands_still_shows_beside_one_that_moves() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut state = State::new(start);
    for partition in [0, 1] {
        state.begin(partition, 0);
    }
    for second in 0..100 {
        let end = i64::try_from(second).expect("small") * 10 + 10;
        state.hear(
            true,
            0,
            [0, 1].map(|partition| (partition, fetched(end, end, 0, end))),
            at(second),
        );
        state.archived(0, end - 5, at(second));
    }
    let waiting = state.facts(at(100)).waiting.expect("messages wait");
    assert_eq!((waiting.partition, waiting.without_commit.as_secs()), (1, 100));
    state.end(1);
    assert_eq!(state.facts(at(100)).waiting.map(|waiting| waiting.partition), Some(0));
}

#[test]
fn phases_follow_the_group() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut state = State::new(start);
    assert_eq!(state.facts(at(3)).phase, Phase::Starting(Duration::from_secs(3)));
    state.hear(false, 0, [], at(4));
    assert_eq!(state.facts(at(5)).phase, Phase::Starting(Duration::from_secs(5)));
    state.hear(true, 0, [], at(6));
    assert_eq!(state.facts(at(7)).phase, Phase::Reading);
    state.hear(false, 0, [], at(8));
    state.hear(false, 0, [], at(12));
    assert_eq!(state.facts(at(13)).phase, Phase::Settling(Duration::from_secs(5)));
    assert_eq!(state.facts(at(14)).silent, Some(Duration::from_secs(2)));
    state.end_all();
    assert_eq!(state.facts(at(14)).phase, Phase::Ending);
}

#[test]
fn an_outage_of_kafka_has_passed_once_brokers_answer_again() {
    let now = Instant::now();
    let mut state = State::new(now);
    state.hear(true, 7, [], now);
    state.kafka_fails(now, Utc::now());
    for answers in [9, 9] {
        state.hear(true, answers, [], now);
        assert!(
            state.kafka.is_some(),
            "what was answered before the outage does not end it"
        );
    }
    state.hear(true, 10, [], now);
    assert!(state.kafka.is_none());
}
