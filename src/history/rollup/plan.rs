//! What of the lake a run must sum up, given what the kept rollup covers.

use std::collections::{BTreeSet, HashSet};

use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::cut::{HOUR, Seconds, floor};
use crate::history::Window;
use crate::lake::DataFile;
use crate::lake::changes::Changes;

/// The times that a rollup can hold: the years 1 to 9999.
pub(super) const EVER: Seconds = (-62_135_596_800, 253_402_300_799);

/// What a kept rollup covers: of one version of raw_events, all events from one hour to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Coverage {
    /// Tells its definition from others.
    pub(super) definition: u32,
    /// The id of raw_events.
    pub(super) raw_events: String,
    /// The version of raw_events.
    pub(super) version: u64,
    /// Tells that version from the same one of another history.
    pub(super) commit: u32,
    /// The first second that is covered
    pub(super) first: i64,
    /// and the last; both are the edges of hours.
    pub(super) last: i64,
    /// Files of that version that could not be read, of which nothing is covered.
    pub(super) left_out: BTreeSet<String>,
}

/// Files to be summed up, and which of their events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) files: Vec<DataFile>,
    pub(super) seconds: Seconds,
    /// Whether other events of these files are covered already.
    pub(super) extends: bool,
}

/// What a run does with a kept rollup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// Adds this to it; it then covers these seconds.
    Add { work: Vec<Work>, covers: Seconds },
    /// Replaces it, since it cannot be added to.
    Anew { reason: String },
    /// Leaves it alone and computes its window from the events.
    Apart { reason: String },
}

/// The plan for a window over these files of raw_events, which `changes` led to since the rollup was kept.
pub(super) fn plan(covered: &Coverage, changes: &Changes, files: &[DataFile], window: &Window) -> Plan {
    let added: HashSet<&Path> = changes.added.iter().map(|file| &file.path).collect();
    let gone = changes
        .removed
        .iter()
        .filter(|path| !added.contains(path) && !covered.left_out.contains(path.as_ref()))
        .count();
    if gone > 0 {
        let reason = format!("{gone} of the files that it covers were removed from raw_events or rewritten");
        return Plan::Anew { reason };
    }
    let wanted = hours_of(window);
    if wanted.1 < covered.first - 1 {
        let reason = "the window lies before what it covers".to_owned();
        return Plan::Apart { reason };
    }
    if wanted.0 > covered.last + 1 {
        let reason = "the window lies after what it covers".to_owned();
        return Plan::Anew { reason };
    }
    let reach = reach(wanted, files);
    let mut covers = (covered.first, covered.last);
    let mut work = Vec::new();
    if wanted.0 < covered.first {
        covers.0 = reach.0;
        work.push(extension(files, (reach.0, covered.first - 1)));
    }
    if wanted.1 > covered.last {
        covers.1 = reach.1;
        work.push(extension(files, (covered.last + 1, reach.1)));
    }
    // A new file may have been compacted into another one since; its rows are still where it was.
    let removed: HashSet<&Path> = changes.removed.iter().collect();
    let still = changes.added.iter().filter(|file| !removed.contains(&file.path));
    let left_out = files
        .iter()
        .filter(|file| covered.left_out.contains(file.path.as_ref()));
    let mut seen = HashSet::new();
    let new: Vec<DataFile> = still
        .chain(left_out)
        .filter(|file| seen.insert(&file.path))
        .cloned()
        .collect();
    work.push(work_on(&new, (covered.first, covered.last)));
    work.retain(|work| !work.files.is_empty());
    Plan::Add { work, covers }
}

/// The hours of a window, whole.
pub(super) fn hours_of(window: &Window) -> Seconds {
    let (first, last) = (window.first_second().max(EVER.0), window.last_second().min(EVER.1));
    (floor(first, HOUR), floor(last, HOUR) + HOUR - 1)
}

/// As far as can be covered for these hours: without end where no file has events further on.
pub(super) fn reach((first, last): Seconds, files: &[DataFile]) -> Seconds {
    let open_below = !may_hold(files, (i64::MIN, first - 1));
    let open_above = !may_hold(files, (last + 1, i64::MAX));
    (
        if open_below { EVER.0 } else { first },
        if open_above { EVER.1 } else { last },
    )
}

/// The work on those of the files that may have events in these seconds.
pub(super) fn work_on(files: &[DataFile], seconds: Seconds) -> Work {
    let files = files.iter().filter(|file| file.may_hold(seconds)).cloned().collect();
    Work {
        files,
        seconds,
        extends: false,
    }
}

fn extension(files: &[DataFile], seconds: Seconds) -> Work {
    Work {
        extends: true,
        ..work_on(files, seconds)
    }
}

/// Whether any of the files may have an event in these seconds.
pub(super) fn may_hold(files: &[DataFile], seconds: Seconds) -> bool {
    files.iter().any(|file| file.may_hold(seconds))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;

    use super::*;
    use crate::lake::NullCounts;

    fn file(name: &str, first: i64, last: i64) -> DataFile {
        DataFile {
            path: Path::from(name),
            size: 1,
            rows: Some(1),
            timestamps: Some((first, last)),
            nulls: NullCounts::default(),
            partition_values: BTreeMap::new(),
            tags: BTreeMap::new(),
        }
    }

    fn window(first: i64, last: i64) -> Window {
        let time = |second| DateTime::from_timestamp(second, 0).unwrap();
        Window {
            start: time(first),
            end: time(last),
        }
    }

    fn covered(first: i64, last: i64, left_out: &[&str]) -> Coverage {
        Coverage {
            definition: 0,
            raw_events: String::new(),
            version: 1,
            commit: 0,
            first,
            last,
            left_out: left_out.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn changes(added: &[DataFile], removed: &[&str]) -> Changes {
        Changes {
            added: added.to_vec(),
            removed: removed.iter().map(|name| Path::from(*name)).collect(),
        }
    }

    fn added(plan: Plan) -> (Vec<(Vec<String>, Seconds)>, Seconds) {
        let Plan::Add { work, covers } = plan else {
            panic!("{plan:?}");
        };
        let names = |work: Work| work.files.iter().map(|file| file.path.to_string()).collect();
        (
            work.into_iter()
                .map(|work| (names(work.clone()), work.seconds))
                .collect(),
            covers,
        )
    }

    #[test]
    fn only_new_files_are_summed_up_compacted_or_not() {
        let (old, new, merged) = (file("old", 0, 10), file("new", 5, 20), file("merged", 0, 20));
        let covered = covered(EVER.0, EVER.1, &[]);
        for live in [vec![old.clone(), new.clone()], vec![merged]] {
            let plan = plan(
                &covered,
                &changes(std::slice::from_ref(&new), &[]),
                &live,
                &window(0, 20),
            );
            assert_eq!(added(plan), (vec![(vec!["new".to_owned()], EVER)], EVER));
        }
        let plan = plan(&covered, &Changes::default(), &[old], &window(0, 20));
        assert_eq!(added(plan), (Vec::new(), EVER));
    }

    #[test]
    fn a_wider_window_adds_what_was_not_covered() {
        let files = [
            file("first", 0, HOUR),
            file("second", 2 * HOUR, 3 * HOUR),
            file("third", 9 * HOUR, 9 * HOUR),
        ];
        let covered = covered(2 * HOUR, 4 * HOUR - 1, &[]);
        let plan = plan(
            &covered,
            &changes(&[files[1].clone()], &[]),
            &files,
            &window(HOUR, 5 * HOUR),
        );
        let expected = vec![
            (vec!["first".to_owned()], (HOUR, 2 * HOUR - 1)),
            (vec!["second".to_owned()], (2 * HOUR, 4 * HOUR - 1)),
        ];
        assert_eq!(added(plan), (expected, (HOUR, 6 * HOUR - 1)));
    }

    #[test]
    fn covered_files_that_are_gone_make_it_void() {
        let covered = covered(EVER.0, EVER.1, &["broken"]);
        let anew = plan(&covered, &changes(&[], &["old"]), &[], &window(0, 20));
        assert!(matches!(anew, Plan::Anew { .. }), "{anew:?}");
        // One that came and went in between, and one that was never read, are no loss.
        let new = file("new", 0, 5);
        let plan = plan(&covered, &changes(&[new], &["new", "broken"]), &[], &window(0, 20));
        assert_eq!(added(plan), (Vec::new(), EVER));
    }

    #[test]
    fn what_could_not_be_read_is_new_until_it_can() {
        let covered = covered(EVER.0, EVER.1, &["broken"]);
        let plan = plan(&covered, &Changes::default(), &[file("broken", 0, 5)], &window(0, 20));
        assert_eq!(added(plan).0, vec![(vec!["broken".to_owned()], EVER)]);
    }

    #[test]
    fn windows_apart_from_what_is_covered_stay_apart() {
        let covered = covered(10 * HOUR, 20 * HOUR - 1, &[]);
        let of = |first, last| plan(&covered, &Changes::default(), &[], &window(first, last));
        assert!(matches!(of(HOUR, 5 * HOUR), Plan::Apart { .. }));
        assert!(matches!(of(30 * HOUR, 40 * HOUR), Plan::Anew { .. }));
        assert!(matches!(of(HOUR, 10 * HOUR - 1), Plan::Add { .. }));
        assert!(matches!(of(20 * HOUR, 25 * HOUR), Plan::Add { .. }));
    }

    #[test]
    fn reaches_on_where_nothing_follows() {
        let files = [file("a", 0, 5 * HOUR)];
        assert_eq!(reach((0, 6 * HOUR - 1), &files), EVER);
        assert_eq!(reach((HOUR, 2 * HOUR - 1), &files), (HOUR, 2 * HOUR - 1));
        let unknown = DataFile {
            timestamps: None,
            ..files[0].clone()
        };
        assert_eq!(reach((0, HOUR - 1), &[unknown]), (0, HOUR - 1));
    }
}
