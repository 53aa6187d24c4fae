//! Offset arithmetic: which ranges may be committed on top of the marks that the lake holds. Pure.
//!
//! Ranges are half open, `start..end`. A partition's mark is the offset that comes next: all before it is archived.
//!
//! | mark | ranges that follow each other | outcome |
//! |---|---|---|
//! | equals the first range's start | all are committed | [`Standing::Next`] |
//! | equals the end of one of them | that one and those before it were committed already; the rest are committed | [`Standing::Covered`], then [`Standing::Next`] |
//! | anything else | none is committed | [`Standing::Superseded`] |
//!
//! The second row is a commit whose answer was lost: sent, taken, and tried again. The third is a member that lost
//! its partition without noticing: the lake has moved on by another's hand, and what it buffered must not land.

use std::ops::Range;

/// How one range stands to the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It begins where the lake ends: commit it.
    Next,
    /// The lake has it already.
    Covered,
    /// The lake has moved on by another's hand: drop it and read again from the mark.
    Superseded,
}

/// How each of a partition's ranges, in the order in which they were read, stands to the lake's mark.
///
/// A lake without a mark takes nothing: a partition's first mark is set before it is read.
pub fn standings(mark: Option<i64>, ranges: &[Range<i64>]) -> Vec<Standing> {
    let Some(mark) = mark else {
        return vec![Standing::Superseded; ranges.len()];
    };
    let covered = if ranges.first().is_some_and(|first| first.start == mark) {
        Some(0)
    } else {
        ranges.iter().position(|range| range.end == mark).map(|last| last + 1)
    };
    let Some(covered) = covered else {
        return vec![Standing::Superseded; ranges.len()];
    };
    let mut next = mark;
    ranges
        .iter()
        .enumerate()
        .map(|(index, range)| {
            if index < covered {
                return Standing::Covered;
            }
            if range.start != next {
                // A gap between what was read and what is to be committed: nothing behind it may land.
                next = i64::MIN;
                return Standing::Superseded;
            }
            next = range.end;
            Standing::Next
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Standing::{Covered, Next, Superseded};
    use proptest::prelude::*;

    #[test]
    fn truth_table() {
        let two = [(10, 20), (20, 30)].as_slice();
        let one = &two[..1];
        let apart = [(10, 20), (25, 30)].as_slice();
        let table = [
            (Some(10), &[][..], vec![]),
            (Some(10), one, vec![Next]),
            (Some(10), two, vec![Next, Next]),
            (Some(20), two, vec![Covered, Next]),
            (Some(30), two, vec![Covered, Covered]),
            (Some(15), two, vec![Superseded, Superseded]),
            (Some(5), one, vec![Superseded]),
            (Some(40), one, vec![Superseded]),
            (Some(10), apart, vec![Next, Superseded]),
            (None, one, vec![Superseded]),
        ];
        for (mark, ranges, expected) in table {
            let ranges: Vec<Range<i64>> = ranges.iter().map(|(start, end)| *start..*end).collect();
            assert_eq!(standings(mark, &ranges), expected, "mark {mark:?}, ranges {ranges:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_committed_continues_the_mark_without_gap_or_overlap(
            mark in 0i64..50,
            cuts in proptest::collection::vec((0i64..5, 0i64..10), 0..8),
        ) {
            let mut start = mark - 20;
            let ranges: Vec<Range<i64>> = cuts
                .iter()
                .map(|(gap, length)| {
                    let range = start + gap..start + gap + length;
                    start = range.end;
                    range
                })
                .collect();
            let mut next = mark;
            for (range, standing) in ranges.iter().zip(standings(Some(mark), &ranges)) {
                match standing {
                    Next => {
                        prop_assert_eq!(range.start, next);
                        next = range.end;
                    }
                    Covered => prop_assert!(range.end <= mark),
                    Superseded => {}
                }
            }
        }
    }
}
