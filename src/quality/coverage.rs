//! Whether the ranges that flushes claim cover a partition without gap or overlap. Pure.
//!
//! A claim of raw_events stands with the commit that moved the partition's mark. A claim of the quarantine stands for a
//! flush that left no file in raw_events, and was committed before the mark moved: it counts where raw_events has no
//! claim for the same offsets, for the process may have died in between and the next may have cut its flush elsewhere.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};

use super::finding::{Finding, FindingKind};

/// What one flush claims of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The first offset.
    pub start: i64,
    /// One past the last offset, which is greater than the first.
    pub end: i64,
    /// Messages that became rows.
    pub rows: u64,
    /// Messages that went to quarantine.
    pub quarantined: u64,
    /// Messages without a value.
    pub tombstones: u64,
    /// When it was recorded that Kafka dropped these offsets before they were archived; none where it did not.
    pub lost: Option<DateTime<Utc>>,
    /// The flush's files.
    pub files: Arc<[String]>,
}

impl Claim {
    /// How many offsets of the range Kafka had dropped before they were archived.
    pub fn lost_offsets(&self) -> u64 {
        match self.lost {
            Some(_) => u64::try_from(self.end.saturating_sub(self.start))
                .unwrap_or_default()
                .saturating_sub(self.quarantined),
            None => 0,
        }
    }
}

/// How the claims of a partition cover it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The claims that count.
    pub claims: Vec<Claim>,
    /// What they cover, from the first to the last offset of each range.
    pub covered: Vec<[i64; 2]>,
    /// What they leave out.
    pub gaps: Vec<[i64; 2]>,
    /// What more than one of them covers.
    pub overlaps: Vec<[i64; 2]>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Follows the claims from `first`, or where that is not known from the first of them, to the mark.
pub fn check(
    topic: &str,
    partition: i32,
    first: Option<i64>,
    mark: Option<i64>,
    mut events: Vec<Claim>,
    mut fillers: Vec<Claim>,
) -> Coverage {
    events.sort_by_key(|claim| (claim.start, claim.end));
    // Where one says that a range is lost and another that it is archived, the latter has what the former missed.
    fillers.sort_by_key(|claim| (claim.start, claim.end, claim.lost.is_none()));
    let begin = events.iter().chain(&fillers).map(|claim| claim.start).min();
    let finding = |kind: FindingKind, from: i64, until: i64| {
        Finding::new(kind).at(topic, partition, vec![[from, until.saturating_sub(1)]])
    };
    let mut coverage = Coverage::default();
    // Fillers from before the first claim that counts may be left over from a process that died.
    let earliest = events.first().map(|claim| claim.start);
    let mut next = match (first, earliest) {
        (Some(first), Some(earliest)) => first.min(earliest),
        (Some(first), None) => first,
        (None, _) => begin.or(mark).unwrap_or_default(),
    };
    if let Some(first) = first.filter(|first| next < *first) {
        let early = events.iter().filter(|claim| claim.start < first);
        let files = early.flat_map(|claim| claim.files.iter().cloned());
        coverage
            .findings
            .push(finding(FindingKind::BeforeFirst, next, first).files(files));
    }
    let mut last: Option<Claim> = None;
    for claim in events {
        next = coverage.fill(&fillers, next, claim.start);
        if claim.start > next {
            coverage.gaps.push([next, claim.start - 1]);
            coverage.findings.push(finding(FindingKind::Gap, next, claim.start));
        } else if claim.start < next {
            let until = next.min(claim.end);
            let files = last.iter().flat_map(|last| last.files.iter()).chain(claim.files.iter());
            coverage.overlaps.push([claim.start, until - 1]);
            coverage
                .findings
                .push(finding(FindingKind::Overlap, claim.start, until).files(files.cloned()));
        }
        if claim.end > next {
            last = Some(claim.clone());
        }
        next = next.max(claim.end);
        coverage.count(claim);
    }
    let mark_or_none = mark.unwrap_or(next);
    next = coverage.fill(&fillers, next, mark_or_none);
    if next < mark_or_none {
        coverage.gaps.push([next, mark_or_none - 1]);
        coverage.findings.push(finding(FindingKind::Gap, next, mark_or_none));
    } else if mark.is_none_or(|mark| next > mark) && !coverage.claims.is_empty() {
        let from = mark.or(begin).unwrap_or_default();
        let beyond = coverage.claims.iter().filter(|claim| claim.end > from);
        let files: Vec<String> = beyond.flat_map(|claim| claim.files.iter().cloned()).collect();
        let found = finding(FindingKind::BeyondMark, from, next).files(files);
        coverage.findings.push(match mark {
            Some(mark) => found.because(format!("the mark is {mark}")),
            None => found.because("there is no mark"),
        });
    }
    let lost: Vec<Finding> = coverage
        .claims
        .iter()
        .filter_map(|claim| {
            let at = claim.lost?.to_rfc3339_opts(SecondsFormat::Secs, true);
            let lost = finding(FindingKind::Lost, claim.start, claim.end).files(claim.files.iter().cloned());
            Some(lost.because(format!("recorded at {at}")))
        })
        .collect();
    coverage.findings.extend(lost);
    coverage
}

impl Coverage {
    /// Goes on from `next` by claims of the quarantine as far as they lead, at most to `until`.
    fn fill(&mut self, fillers: &[Claim], mut next: i64, until: i64) -> i64 {
        while next < until {
            let from = fillers.partition_point(|claim| claim.start < next);
            let longest = fillers[from..]
                .iter()
                .take_while(|claim| claim.start == next)
                .filter(|claim| claim.end <= until)
                .last();
            let Some(claim) = longest else {
                break;
            };
            next = claim.end;
            self.count(claim.clone());
        }
        next
    }

    fn count(&mut self, claim: Claim) {
        match self.covered.last_mut() {
            Some([_, to]) if claim.start <= to.saturating_add(1) => *to = (*to).max(claim.end - 1),
            _ => self.covered.push([claim.start, claim.end - 1]),
        }
        self.claims.push(claim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(start: i64, end: i64) -> Claim {
        Claim {
            start,
            end,
            rows: u64::try_from(end - start).unwrap_or_default(),
            quarantined: 0,
            tombstones: 0,
            lost: None,
            files: Arc::new([format!("{start}")]),
        }
    }

    fn found(first: Option<i64>, mark: Option<i64>, events: &[(i64, i64)], quarantine: &[(i64, i64)]) -> String {
        let claims = |ranges: &[(i64, i64)]| ranges.iter().map(|(start, end)| claim(*start, *end)).collect();
        let coverage = check("t", 0, first, mark, claims(events), claims(quarantine));
        let words: Vec<String> = coverage
            .findings
            .iter()
            .map(|finding| {
                let [from, to] = finding.places[0].offsets[0];
                let name = serde_json::to_string(&finding.finding).expect("a name");
                format!("{} {from}-{to}", name.trim_matches('"'))
            })
            .collect();
        words.join(", ")
    }

    #[test]
    fn truth_table() {
        let table = [
            (Some(0), Some(0), &[][..], &[][..], ""),
            (Some(7), Some(7), &[], &[], ""),
            (Some(0), Some(30), &[(0, 10), (10, 30)], &[], ""),
            (Some(0), Some(30), &[(10, 30), (0, 10)], &[], ""),
            (Some(0), Some(30), &[(0, 10), (20, 30)], &[], "gap 10-19"),
            (Some(0), Some(30), &[(0, 10), (20, 30)], &[(10, 20)], ""),
            (Some(0), Some(30), &[(0, 10), (20, 30)], &[(10, 14), (14, 20)], ""),
            (Some(0), Some(30), &[(0, 10), (20, 30)], &[(10, 25)], "gap 10-19"),
            // The quarantine's claim of a process that died; the next cut its flush elsewhere.
            (Some(0), Some(30), &[(0, 10), (10, 30)], &[(10, 17)], ""),
            (Some(0), Some(30), &[(0, 12), (10, 30)], &[], "overlap 10-11"),
            (Some(0), Some(30), &[(0, 30), (10, 20)], &[], "overlap 10-19"),
            (
                Some(0),
                Some(30),
                &[(0, 30), (5, 9), (9, 12)],
                &[],
                "overlap 5-8, overlap 9-11",
            ),
            (Some(0), Some(40), &[(0, 30)], &[], "gap 30-39"),
            (Some(0), Some(40), &[(0, 30)], &[(30, 40)], ""),
            // The mark was moved back, or forward; so was the first one.
            (Some(0), Some(20), &[(0, 30)], &[], "beyond_mark 20-29"),
            (Some(0), Some(99), &[(0, 30)], &[], "gap 30-98"),
            (Some(0), None, &[(0, 30)], &[], "beyond_mark 0-29"),
            (Some(0), Some(30), &[(10, 30)], &[], "gap 0-9"),
            (Some(15), Some(30), &[(10, 20), (20, 30)], &[], "before_first 10-14"),
            (None, Some(30), &[(10, 30)], &[], ""),
            (Some(5), Some(9), &[], &[(5, 9)], ""),
            (Some(5), Some(9), &[], &[], "gap 5-8"),
        ];
        for (first, mark, events, quarantine, expected) in table {
            assert_eq!(
                found(first, mark, events, quarantine),
                expected,
                "{events:?} {quarantine:?} from {first:?} to {mark:?}"
            );
        }
    }

    #[test]
    fn what_kafka_dropped_is_named_once_and_counts_as_covered() {
        let gap = Claim {
            rows: 0,
            lost: Some(DateTime::UNIX_EPOCH),
            ..claim(10, 20)
        };
        let lost = |events: &[(i64, i64)], quarantine: &[&Claim]| -> Vec<[i64; 2]> {
            let events = events.iter().map(|(start, end)| claim(*start, *end)).collect();
            let quarantine = quarantine.iter().copied().cloned().collect();
            let coverage = check("t", 0, Some(0), Some(30), events, quarantine);
            assert_eq!(coverage.covered, [[0, 29]]);
            let found = coverage.findings.iter();
            found
                .map(|finding| {
                    assert_eq!(finding.finding, FindingKind::Lost);
                    assert_eq!(finding.reason.as_deref(), Some("recorded at 1970-01-01T00:00:00Z"));
                    finding.places[0].offsets[0]
                })
                .collect()
        };
        let around = [(0, 10), (20, 30)];
        assert_eq!(lost(&around, &[&gap]), [[10, 19]]);
        // Recorded twice, by a process that died before it moved the mark and by the next one.
        assert_eq!(lost(&around, &[&gap, &gap]), [[10, 19]]);
        // Recorded, but what it names was archived after all.
        assert_eq!(lost(&[(0, 10), (10, 30)], &[&gap]), [[0; 2]; 0]);
        assert_eq!(lost(&around, &[&gap, &claim(10, 20)]), [[0; 2]; 0]);
    }

    #[test]
    fn ranges_that_meet_are_one() {
        let claims = vec![claim(0, 10), claim(10, 20), claim(25, 30), claim(27, 40)];
        let coverage = check("t", 0, Some(0), Some(40), claims, Vec::new());
        assert_eq!(coverage.covered, [[0, 19], [25, 39]]);
        assert_eq!((coverage.gaps, coverage.overlaps), (vec![[20, 24]], vec![[27, 29]]));
    }
}
