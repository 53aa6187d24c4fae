//! Whether the ranges that flushes claim cover a partition without gap or overlap, and hold what they claim. Pure.
//!
//! A claim of raw_events stands with the commit that moved the partition's mark. A claim of the quarantine stands for a
//! flush that left no file in raw_events, and was committed before the mark moved: it counts where raw_events has no
//! claim for the same offsets, for the process may have died in between and the next may have cut its flush elsewhere.

use std::fmt;

use serde::Serialize;

/// What one flush claims of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The first offset.
    pub start: i64,
    /// One past the last offset.
    pub end: i64,
    /// Messages that became rows.
    pub rows: u64,
    /// Messages that went to quarantine.
    pub quarantined: u64,
    /// Messages without a value.
    pub tombstones: u64,
    /// The flush's files.
    pub files: Vec<String>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// No flush covers these offsets.
    Gap {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The first offset.
        from: i64,
        /// The last offset.
        to: i64,
    },
    /// More than one flush covers these offsets.
    Overlap {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The first offset.
        from: i64,
        /// The last offset.
        to: i64,
        /// The files of the later flush.
        files: Vec<String>,
    },
    /// The lake holds more than its mark says is archived.
    BeyondMark {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The mark.
        mark: i64,
        /// One past the last offset that a flush covers.
        end: i64,
    },
    /// A flush's files hold another number of rows than it archived.
    Rows {
        /// The topic.
        topic: String,
        /// Rows that the flush archived.
        archived: u64,
        /// Rows that its files hold.
        held: u64,
        /// The files.
        files: Vec<String>,
    },
    /// A file that the table's log names is not there.
    MissingFile {
        /// The file.
        file: String,
        /// What it covered, where its ledger says so.
        covered: String,
    },
    /// A file without a ledger: another writer's.
    ForeignFile {
        /// The file.
        file: String,
    },
    /// A message is in the lake more than once.
    Duplicate {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// How often.
        times: u64,
    },
    /// A range holds another number of messages than was archived of it.
    Messages {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The first offset of the range.
        from: i64,
        /// The last offset of the range.
        to: i64,
        /// Rows and quarantined messages that were archived.
        archived: u64,
        /// Rows and quarantined messages that are there.
        held: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Gap {
                topic,
                partition,
                from,
                to,
            } => {
                write!(f, "gap: no flush covers offsets {from} to {to} of {topic}[{partition}]")
            }
            Finding::Overlap {
                topic,
                partition,
                from,
                to,
                files,
            } => write!(
                f,
                "overlap: offsets {from} to {to} of {topic}[{partition}] are covered again by {}",
                files.join(", ")
            ),
            Finding::BeyondMark {
                topic,
                partition,
                mark,
                end,
            } => write!(
                f,
                "beyond the mark: files cover {topic}[{partition}] up to offset {}, but its mark is {mark}",
                end - 1
            ),
            Finding::Rows {
                topic,
                archived,
                held,
                files,
            } => write!(
                f,
                "rows: a flush of {topic} archived {archived}, but its files hold {held}: {}",
                files.join(", ")
            ),
            Finding::MissingFile { file, covered } => write!(f, "missing file: {file} (it covered {covered})"),
            Finding::ForeignFile { file } => {
                write!(
                    f,
                    "foreign file: {file} bears no ledger, so another writer made or rewrote it"
                )
            }
            Finding::Duplicate {
                topic,
                partition,
                offset,
                times,
            } => {
                write!(
                    f,
                    "duplicate: offset {offset} of {topic}[{partition}] is there {times} times"
                )
            }
            Finding::Messages {
                topic,
                partition,
                from,
                to,
                archived,
                held,
            } => write!(
                f,
                "messages: of offsets {from} to {to} of {topic}[{partition}], {archived} were archived and {held} are there"
            ),
        }
    }
}

/// Checks that the claims lead from `first` to `mark` without gap or overlap; what is wrong, and the claims that count.
pub fn check(
    topic: &str,
    partition: i32,
    first: Option<i64>,
    mark: i64,
    events: Vec<Claim>,
    quarantine: Vec<Claim>,
) -> (Vec<Finding>, Vec<Claim>) {
    let mut events = events;
    events.sort_by_key(|claim| (claim.start, claim.end));
    let mut fillers = quarantine;
    fillers.sort_by_key(|claim| (claim.start, claim.end));
    let begin = events.iter().chain(&fillers).map(|claim| claim.start).min();
    let mut next = first.or(begin).unwrap_or(mark);
    let mut findings = Vec::new();
    let mut counted = Vec::new();
    for claim in events {
        next = fill(&fillers, next, claim.start, &mut counted);
        if claim.start > next {
            findings.push(gap(topic, partition, next, claim.start));
        } else if claim.start < next {
            findings.push(Finding::Overlap {
                topic: topic.to_owned(),
                partition,
                from: claim.start,
                to: next.min(claim.end) - 1,
                files: claim.files.clone(),
            });
        }
        next = next.max(claim.end);
        counted.push(claim);
    }
    next = fill(&fillers, next, mark, &mut counted);
    if next < mark {
        findings.push(gap(topic, partition, next, mark));
    } else if next > mark {
        findings.push(Finding::BeyondMark {
            topic: topic.to_owned(),
            partition,
            mark,
            end: next,
        });
    }
    (findings, counted)
}

/// Goes on from `next` by claims of the quarantine as far as they lead, at most to `until`.
fn fill(fillers: &[Claim], next: i64, until: i64, counted: &mut Vec<Claim>) -> i64 {
    let mut next = next;
    while next < until {
        let longest = fillers
            .iter()
            .filter(|claim| claim.start == next && claim.end > next && claim.end <= until)
            .max_by_key(|claim| claim.end);
        let Some(claim) = longest else {
            break;
        };
        next = claim.end;
        counted.push(claim.clone());
    }
    next
}

fn gap(topic: &str, partition: i32, from: i64, until: i64) -> Finding {
    Finding::Gap {
        topic: topic.to_owned(),
        partition,
        from,
        to: until - 1,
    }
}

/// Checks each offset that is there: none twice, and in each claim's range as many as it archived. `offsets` are those
/// of the partition's rows and quarantined messages, in any order.
pub fn check_offsets(topic: &str, partition: i32, claims: &[Claim], mut offsets: Vec<i64>) -> Vec<Finding> {
    offsets.sort_unstable();
    let mut findings: Vec<Finding> = offsets
        .chunk_by(|a, b| a == b)
        .filter(|same| same.len() > 1)
        .map(|same| Finding::Duplicate {
            topic: topic.to_owned(),
            partition,
            offset: same[0],
            times: same.len() as u64,
        })
        .collect();
    offsets.dedup();
    for claim in claims {
        let from = offsets.partition_point(|offset| *offset < claim.start);
        let to = offsets.partition_point(|offset| *offset < claim.end);
        let (archived, held) = (claim.rows + claim.quarantined, (to - from) as u64);
        if archived != held {
            findings.push(Finding::Messages {
                topic: topic.to_owned(),
                partition,
                from: claim.start,
                to: claim.end - 1,
                archived,
                held,
            });
        }
    }
    findings
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
            files: vec![format!("{start}")],
        }
    }

    fn found(first: Option<i64>, mark: i64, events: &[(i64, i64)], quarantine: &[(i64, i64)]) -> String {
        let claims = |ranges: &[(i64, i64)]| ranges.iter().map(|(start, end)| claim(*start, *end)).collect();
        let (findings, _) = check("t", 0, first, mark, claims(events), claims(quarantine));
        let words: Vec<String> = findings
            .iter()
            .map(|finding| match finding {
                Finding::Gap { from, to, .. } => format!("gap {from}-{to}"),
                Finding::Overlap { from, to, .. } => format!("overlap {from}-{to}"),
                Finding::BeyondMark { mark, end, .. } => format!("{end} beyond {mark}"),
                other => format!("{other:?}"),
            })
            .collect();
        words.join(", ")
    }

    #[test]
    fn truth_table() {
        let table = [
            (Some(0), 0, &[][..], &[][..], ""),
            (Some(0), 30, &[(0, 10), (10, 30)], &[], ""),
            (Some(0), 30, &[(10, 30), (0, 10)], &[], ""),
            (Some(0), 30, &[(0, 10), (20, 30)], &[], "gap 10-19"),
            (Some(0), 30, &[(0, 10), (20, 30)], &[(10, 20)], ""),
            (Some(0), 30, &[(0, 10), (20, 30)], &[(10, 14), (14, 20)], ""),
            (Some(0), 30, &[(0, 10), (20, 30)], &[(10, 25)], "gap 10-19"),
            // The quarantine's claim of a process that died; the next cut its flush elsewhere.
            (Some(0), 30, &[(0, 10), (10, 30)], &[(10, 17)], ""),
            (Some(0), 30, &[(0, 12), (10, 30)], &[], "overlap 10-11"),
            (Some(0), 40, &[(0, 30)], &[], "gap 30-39"),
            (Some(0), 40, &[(0, 30)], &[(30, 40)], ""),
            (Some(0), 20, &[(0, 30)], &[], "30 beyond 20"),
            (Some(0), 30, &[(10, 30)], &[], "gap 0-9"),
            (None, 30, &[(10, 30)], &[], ""),
            (Some(5), 9, &[], &[(5, 9)], ""),
        ];
        for (first, mark, events, quarantine, expected) in table {
            assert_eq!(
                found(first, mark, events, quarantine),
                expected,
                "{events:?} {quarantine:?} to {mark}"
            );
        }
    }

    #[test]
    fn offsets_are_counted_in_each_claim() {
        let claims = [claim(0, 3), claim(3, 5)];
        assert_eq!(check_offsets("t", 0, &claims, vec![4, 0, 1, 3, 2]), []);
        let findings = check_offsets("t", 0, &claims, vec![0, 1, 1, 2, 4]);
        assert!(
            matches!(
                findings[0],
                Finding::Duplicate {
                    offset: 1,
                    times: 2,
                    ..
                }
            ),
            "{findings:?}"
        );
        assert!(
            matches!(
                findings[1],
                Finding::Messages {
                    from: 3,
                    to: 4,
                    archived: 2,
                    held: 1,
                    ..
                }
            ),
            "{findings:?}"
        );
        assert_eq!(findings.len(), 2);
    }
}
