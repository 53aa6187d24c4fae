//! An outage as one state with a clock: when to say that it has begun, that it lasts, and that it is over.

use std::time::{Duration, Instant};

/// How often an outage that lasts is said again.
const AGAIN: Duration = Duration::from_secs(60);

/// What there is to say of an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It has begun, or lasts for so long.
    Away(Duration),
    /// It is over, and lasted for so long.
    Over(Duration),
}

/// Knows what of an outage has been said.
#[derive(Debug, Default)]
pub struct OutageClock {
    since: Option<Instant>,
    said: Option<Instant>,
}

impl OutageClock {
    /// When the present outage began; none where there is none.
    pub fn since(&self) -> Option<Instant> {
        self.since
    }

    /// What there is to say at a time, given since when the peer has been away, if it is.
    pub fn look(&mut self, away_since: Option<Instant>, now: Instant) -> Option<Word> {
        let Some(away_since) = away_since else {
            self.said = None;
            return self.since.take().map(|since| Word::Over(now.duration_since(since)));
        };
        let since = *self.since.get_or_insert(away_since);
        if self.said.is_some_and(|said| now.duration_since(said) < AGAIN) {
            return None;
        }
        self.said = Some(now);
        Some(Word::Away(now.duration_since(since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_at_its_beginning_each_minute_and_at_its_end() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut clock = OutageClock::default();
        assert_eq!(clock.look(None, begin), None);
        let said: Vec<(u64, Word)> = (0..200)
            .filter_map(|second| Some((second, clock.look(Some(begin), at(second))?)))
            .collect();
        let away = |seconds| (seconds, Word::Away(Duration::from_secs(seconds)));
        assert_eq!(said, [away(0), away(60), away(120), away(180)]);
        assert_eq!(clock.since(), Some(begin));
        assert_eq!(clock.look(None, at(200)), Some(Word::Over(Duration::from_secs(200))));
        assert_eq!(clock.look(None, at(201)), None);
        assert_eq!(clock.since(), None);
    }

    #[test]
    fn the_next_outage_is_said_at_once() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut clock = OutageClock::default();
        assert_eq!(clock.look(Some(begin), begin), Some(Word::Away(Duration::ZERO)));
        assert_eq!(clock.look(None, at(1)), Some(Word::Over(Duration::from_secs(1))));
        assert_eq!(clock.look(Some(at(2)), at(2)), Some(Word::Away(Duration::ZERO)));
    }
}
