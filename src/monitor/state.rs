//! What an archiver is about: how far each partition is archived, and what keeps it from going on. Pure: the clock
//! comes in as an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::health::{Facts, Phase, Waiting};

/// How far Kafka's client is in a partition, as its statistics tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// One past the last offset that a reader can see.
    pub end: i64,
    /// The offset that the client fetches next.
    pub next: i64,
    /// Messages that it has fetched and not handed over yet.
    pub queued: i64,
    /// One past the last message that it has handed over; negative before the first.
    pub handed_over: i64,
}

/// A partition of this archiver.
#[derive(Debug, Clone, Copy)]
struct Partition {
    /// The offset that comes next in the lake.
    archived: i64,
    fetched: Option<Fetched>,
    /// Since when its messages have waited without one of its commits.
    waiting_since: Option<Instant>,
}

/// Something that is away.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    begun: Instant,
    /// Since when, by the clock.
    pub since: DateTime<Utc>,
}

/// What an archiver is about.
#[derive(Debug)]
pub struct State {
    started: Instant,
    joined: bool,
    settling_since: Option<Instant>,
    heard: Option<Instant>,
    answers: Option<i64>,
    ending: bool,
    partitions: BTreeMap<i32, Partition>,
    halted: BTreeMap<i32, String>,
    /// When the last commit was made.
    pub last_commit: Option<(Instant, DateTime<Utc>)>,
    /// Kafka's outage, where there is one.
    pub kafka: Option<Outage>,
    /// The store's outage, where there is one.
    pub store: Option<Outage>,
    /// When Kafka drops the oldest message that is not archived.
    pub loss: Option<Instant>,
}

impl State {
    /// An archiver that starts.
    pub fn new(now: Instant) -> State {
        State {
            started: now,
            joined: false,
            settling_since: None,
            heard: None,
            answers: None,
            ending: false,
            partitions: BTreeMap::new(),
            halted: BTreeMap::new(),
            last_commit: None,
            kafka: None,
            store: None,
            loss: None,
        }
    }

    /// Begins, or begins anew, to read a partition at the lake's mark.
    pub fn begin(&mut self, partition: i32, mark: i64) {
        let begun = Partition {
            archived: mark,
            fetched: None,
            waiting_since: None,
        };
        self.partitions.insert(partition, begun);
        self.halted.remove(&partition);
    }

    /// Forgets a partition.
    pub fn end(&mut self, partition: i32) {
        self.partitions.remove(&partition);
        self.halted.remove(&partition);
    }

    /// Takes in the client's statistics: whether the group is not sharing out partitions, how many answers brokers have
    /// given so far, and how far each partition is.
    pub fn hear(
        &mut self,
        steady: bool,
        answers: i64,
        fetched: impl IntoIterator<Item = (i32, Fetched)>,
        now: Instant,
    ) {
        self.heard = Some(now);
        // On an idle topic nothing else tells that an outage has passed.
        if self.answers.replace(answers).is_some_and(|before| answers > before) {
            self.kafka = None;
        }
        self.joined |= steady;
        self.settling_since = (!steady).then(|| self.settling_since.unwrap_or(now));
        for (partition, fetched) in fetched {
            if let Some(known) = self.partitions.get_mut(&partition) {
                known.fetched = Some(fetched);
                let waits = known.lag().is_some_and(|lag| lag > 0);
                known.waiting_since = waits.then(|| known.waiting_since.unwrap_or(now));
            }
        }
    }

    /// Notes that Kafka failed. What brokers had answered until then tells nothing of how it goes on.
    pub fn kafka_fails(&mut self, now: Instant, clock: DateTime<Utc>) {
        self.answers = None;
        self.kafka.get_or_insert(Outage::new(now, clock));
    }

    /// Notes that the store failed.
    pub fn store_fails(&mut self, now: Instant, clock: DateTime<Utc>) {
        self.store.get_or_insert(Outage::new(now, clock));
    }

    /// Notes that a partition is in the lake up to `next`.
    pub fn archived(&mut self, partition: i32, next: i64, now: Instant) {
        if let Some(known) = self.partitions.get_mut(&partition)
            && next > known.archived
        {
            known.archived = next;
            known.waiting_since = known.lag().is_some_and(|lag| lag > 0).then_some(now);
        }
    }

    /// Notes that a partition is not read on until somebody acts.
    pub fn halt(&mut self, partition: i32, reason: String) {
        self.halted.insert(partition, reason);
    }

    /// Notes that the archiver was told to end.
    pub fn end_all(&mut self) {
        self.ending = true;
    }

    /// Offsets of each partition that are not archived; partitions of which Kafka's client has said nothing yet are
    /// left out.
    pub fn lags(&self) -> impl Iterator<Item = (i32, u64)> {
        self.partitions
            .iter()
            .filter_map(|(partition, known)| Some((*partition, known.lag()?)))
    }

    /// How many partitions this archiver has.
    pub fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// How many of them are halted.
    pub fn halted(&self) -> usize {
        self.halted.len()
    }

    /// How long ago the last commit was made; before the first, how long ago the archiver started.
    pub fn since_commit(&self, now: Instant) -> Duration {
        let since = self.last_commit.map_or(self.started, |(instant, _)| instant);
        now.saturating_duration_since(since)
    }

    /// What is to be judged.
    pub fn facts(&self, now: Instant) -> Facts {
        let ago = |since: Instant| now.saturating_duration_since(since);
        let phase = if self.ending {
            Phase::Ending
        } else if !self.joined {
            Phase::Starting(ago(self.started))
        } else if let Some(since) = self.settling_since {
            Phase::Settling(ago(since))
        } else {
            Phase::Reading
        };
        let longest = self
            .partitions
            .iter()
            .filter(|(partition, _)| !self.halted.contains_key(partition))
            .filter_map(|(partition, known)| Some((known.waiting_since?, *partition)))
            .min();
        Facts {
            phase,
            partitions: self.partitions.len(),
            waiting: longest.map(|(since, partition)| Waiting {
                messages: self.lags().map(|(_, lag)| lag).sum(),
                partition,
                without_commit: ago(since),
            }),
            silent: self.heard.map(ago),
            kafka_away: self.kafka.map(|outage| ago(outage.begun)),
            store_away: self.store.map(|outage| ago(outage.begun)),
            halted: self
                .halted
                .iter()
                .map(|(partition, reason)| (*partition, reason.clone()))
                .collect(),
        }
    }
}

impl Partition {
    /// Offsets that are not archived. Behind its last message a partition may have offsets that no reader sees
    /// (control records, aborted messages): where all that is visible is archived, nothing waits.
    fn lag(&self) -> Option<u64> {
        let fetched = self.fetched?;
        let unread = fetched.next < fetched.end || fetched.queued > 0;
        if !unread && fetched.handed_over <= self.archived {
            return Some(0);
        }
        Some(u64::try_from(fetched.end - self.archived).unwrap_or_default())
    }
}

impl Outage {
    fn new(begun: Instant, since: DateTime<Utc>) -> Outage {
        Outage { begun, since }
    }
}

#[cfg(test)]
mod tests {
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
}
