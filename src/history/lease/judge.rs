//! What another process makes of the newest claim to a lease. Pure: the first line that applies is the verdict.
//!
//! | what holds | the lease |
//! |---|---|
//! | the claim was given back | is free |
//! | its process is of this machine and has ended | is free |
//! | it has stood unchanged before our eyes for [`TIME_TO_LIVE`] | is free: the holder is dead, or as good as |
//! | it was put longer ago than [`LONG_AGO`], by the clocks | is free |
//! | it was renewed before our eyes, or put just now by a process of this machine that is there | is held, by one that lives |
//! | anything else | is held, by one that may be dead |
//!
//! What was watched is measured on a steady clock of our own, so that no two clocks need to agree. Where they are
//! compared, it spares whoever comes hours after a crash, or while a neighbour is at work, the watching.

use std::time::Duration;

/// A claim that is not renewed for so long is void.
pub const TIME_TO_LIVE: Duration = Duration::from_secs(20);
/// How often the holder renews it.
pub const RENEWAL: Duration = Duration::from_secs(5);
/// More than clocks are apart: stores refuse requests whose clock is a quarter of an hour off.
pub const LONG_AGO: Duration = Duration::from_secs(20 * 60);

/// What was seen of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Whether the newest claim was given back.
    pub given_back: bool,
    /// For how long it has been the newest, before our eyes.
    pub unchanged: Duration,
    /// Whether it followed another of the same holder before our eyes.
    pub renewed: bool,
    /// How long ago it was put, by the store's clock and ours.
    pub age: Duration,
    /// Whether its process is there; none where that cannot be seen from here.
    pub process_is_there: Option<bool>,
}

/// Whether a lease can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It can.
    Free,
    /// It cannot; `lives` where the holder is known to be at work.
    Held {
        /// Whether it is known that the holder is at work.
        lives: bool,
    },
}

/// Judges the newest claim.
pub fn judge(seen: &Sighting) -> Verdict {
    let void = seen.given_back
        || seen.process_is_there == Some(false)
        || seen.unchanged >= TIME_TO_LIVE
        || (seen.age >= LONG_AGO && !seen.renewed);
    if void {
        return Verdict::Free;
    }
    Verdict::Held {
        lives: seen.renewed || (seen.process_is_there == Some(true) && seen.age < TIME_TO_LIVE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;
    const SHORT: Duration = Duration::from_millis(19_999);

    #[test]
    fn the_truth_table() {
        const FREE: Verdict = Verdict::Free;
        const LIVES: Verdict = Verdict::Held { lives: true };
        const MAY_BE_DEAD: Verdict = Verdict::Held { lives: false };
        // given back, unchanged, renewed, age, process is there
        let table = [
            (true, NONE, false, NONE, None, FREE),
            (true, NONE, true, NONE, Some(true), FREE),
            (false, NONE, false, NONE, Some(false), FREE),
            (false, NONE, true, NONE, Some(false), FREE),
            (false, TIME_TO_LIVE, false, NONE, None, FREE),
            (false, TIME_TO_LIVE, true, NONE, None, FREE),
            (false, TIME_TO_LIVE, false, NONE, Some(true), FREE),
            (false, NONE, false, LONG_AGO, None, FREE),
            (false, NONE, true, LONG_AGO, None, LIVES),
            (false, SHORT, true, NONE, None, LIVES),
            (false, SHORT, false, SHORT, Some(true), LIVES),
            (false, NONE, false, TIME_TO_LIVE, Some(true), MAY_BE_DEAD),
            (false, NONE, false, NONE, None, MAY_BE_DEAD),
            (false, SHORT, false, LONG_AGO - SHORT, None, MAY_BE_DEAD),
        ];
        for (given_back, unchanged, renewed, age, process_is_there, verdict) in table {
            let seen = Sighting {
                given_back,
                unchanged,
                renewed,
                age,
                process_is_there,
            };
            assert_eq!(judge(&seen), verdict, "{seen:?}");
        }
    }

    #[test]
    fn a_holder_that_misses_two_renewals_keeps_the_lease() {
        assert!(RENEWAL * 3 < TIME_TO_LIVE);
    }
}
