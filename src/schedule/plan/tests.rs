//! Times to come, as tables.

use super::*;
use proptest::prelude::*;

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("a time").with_timezone(&Utc)
}

fn moment(text: &str) -> Moment {
    Moment {
        wall: at(text),
        steady: Instant::now(),
    }
}

fn cron(expression: &str, zone: &str) -> Plan {
    Plan {
        timetable: Timetable::Cron(
            Box::new(expression.parse().expect("an expression")),
            zone.parse().expect("a zone"),
        ),
        jitter: Duration::ZERO,
    }
}

fn every(seconds: u64) -> Plan {
    Plan {
        timetable: Timetable::Every(Duration::from_secs(seconds)),
        jitter: Duration::ZERO,
    }
}

/// The times that come one after the other, each run being over at once.
fn times(plan: &Plan, from: &str, count: usize) -> Vec<String> {
    let mut due = plan.first(moment(from), 0.0).expect("a time");
    let mut times = Vec::new();
    while times.len() < count {
        times.push(due.time.format("%m-%dT%H:%M").to_string());
        let ended = Moment {
            wall: due.time + TimeDelta::seconds(1),
            steady: Instant::now(),
        };
        due = plan
            .following(due, Cause::Schedule, ended, 0.0)
            .expect("a next time")
            .due;
    }
    times
}

#[test]
fn a_cron_expression_names_the_times_of_its_zone() {
    let table: [(&str, &str, &str, &[&str]); 7] = [
        (
            "7 * * * *",
            "UTC",
            "2026-01-15T07:30:00Z",
            &["01-15T08:07", "01-15T09:07"],
        ),
        (
            "7 * * * *",
            "UTC",
            "2026-01-15T08:07:00Z",
            &["01-15T09:07", "01-15T10:07"],
        ),
        (
            "0 9 * * *",
            "Europe/Berlin",
            "2026-01-15T07:30:00Z",
            &["01-15T08:00", "01-16T08:00"],
        ),
        (
            "0 9 * * *",
            "Europe/Berlin",
            "2026-07-15T06:30:00Z",
            &["07-15T07:00", "07-16T07:00"],
        ),
        (
            "0 0 * * MON",
            "Asia/Kolkata",
            "2026-01-15T00:00:00Z",
            &["01-18T18:30", "01-25T18:30"],
        ),
        // The clock goes from 2 to 3: the time that is left out comes at once behind the gap, and one time only.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            &["03-29T01:00", "03-30T00:30"],
        ),
        // The clock goes from 3 back to 2: a time of day comes once.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            &["10-25T00:30", "10-26T01:30"],
        ),
    ];
    for (expression, zone, from, expected) in table {
        let times = times(&cron(expression, zone), from, expected.len());
        assert_eq!(times, expected, "{expression} in {zone} from {from}");
    }
}

#[test]
fn steps_go_on_through_a_change_of_the_clock() {
    let forward = times(&cron("*/30 * * * *", "Europe/Berlin"), "2026-03-29T00:15:00Z", 4);
    assert_eq!(forward, ["03-29T00:30", "03-29T01:00", "03-29T01:30", "03-29T02:00"]);
    let back = times(&cron("*/30 * * * *", "Europe/Berlin"), "2026-10-24T23:45:00Z", 6);
    assert_eq!(
        back,
        [
            "10-25T00:00",
            "10-25T00:30",
            "10-25T01:00",
            "10-25T01:30",
            "10-25T02:00",
            "10-25T02:30"
        ]
    );
}

#[test]
fn an_interval_counts_from_the_end_of_a_run_and_the_first_is_due_at_once() {
    let plan = every(3600);
    let start = moment("2026-01-15T07:00:00Z");
    let first = plan.first(start, 0.9).expect("a time");
    assert_eq!((first.time, first.wait(start)), (start.wall, Duration::ZERO));
    let ended = Moment {
        wall: at("2026-01-15T07:20:00Z"),
        steady: start.steady + Duration::from_secs(1200),
    };
    let next = plan.following(first, Cause::Schedule, ended, 0.0).expect("a next time");
    assert_eq!((next.due.time, next.missed), (at("2026-01-15T08:20:00Z"), 0));
    // The clock on the wall is set: the interval stays what it is.
    let set = Moment {
        wall: at("2026-01-16T00:00:00Z"),
        steady: ended.steady + Duration::from_secs(600),
    };
    assert_eq!(next.due.wait(set), Duration::from_secs(3000));
}

#[test]
fn times_that_pass_during_a_run_are_counted_and_left_out() {
    let plan = cron("*/10 * * * *", "UTC");
    let due = plan.first(moment("2026-01-15T07:01:00Z"), 0.0).expect("a time");
    let ended = moment("2026-01-15T07:45:00Z");
    let next = plan.following(due, Cause::Schedule, ended, 0.0).expect("a next time");
    assert_eq!((next.due.time, next.missed), (at("2026-01-15T07:50:00Z"), 3));
    let soon = plan.following(due, Cause::Schedule, moment("2026-01-15T07:10:01Z"), 0.0);
    assert_eq!(soon.map(|next| next.missed), Some(0));
}

#[test]
fn a_machine_that_slept_runs_once_and_not_for_each_time_that_passed() {
    let plan = cron("0 3 * * *", "UTC");
    let due = plan.first(moment("2026-01-15T01:00:00Z"), 0.0).expect("a time");
    let woken = moment("2026-01-18T09:00:00Z");
    assert_eq!(due.wait(woken), Duration::ZERO);
    let next = plan.following(due, Cause::Schedule, woken, 0.0).expect("a next time");
    assert_eq!((next.due.time, next.missed), (at("2026-01-19T03:00:00Z"), 3));
}

#[test]
fn a_run_that_was_asked_for_leaves_the_next_time_as_it_is() {
    for plan in [every(3600), cron("0 * * * *", "UTC")] {
        let start = moment("2026-01-15T07:00:01Z");
        let first = plan.first(start, 0.0).expect("a time");
        let due = plan
            .following(first, Cause::Schedule, start, 0.0)
            .expect("a next time")
            .due;
        let asked = Moment {
            wall: start.wall + TimeDelta::minutes(20),
            steady: start.steady + Duration::from_secs(1200),
        };
        let next = plan.following(due, Cause::Trigger, asked, 0.7).expect("a next time");
        assert_eq!(next, Following { due, missed: 0 }, "{plan:?}");
    }
}

#[test]
fn a_run_that_was_asked_for_and_is_still_at_work_when_the_next_is_due_is_taken_for_it() {
    let start = moment("2026-01-15T07:30:00Z");
    let ended = Moment {
        wall: at("2026-01-15T08:40:00Z"),
        steady: start.steady + Duration::from_secs(70 * 60),
    };
    let hourly = cron("0 * * * *", "UTC");
    let due = hourly.first(start, 0.0).expect("a time");
    let next = hourly.following(due, Cause::Trigger, ended, 0.0).expect("a next time");
    assert_eq!((next.due.time, next.missed), (at("2026-01-15T09:00:00Z"), 1));
    let plan = every(3600);
    let first = plan.first(start, 0.0).expect("a time");
    let due = plan
        .following(first, Cause::Schedule, start, 0.0)
        .expect("a next time")
        .due;
    let next = plan.following(due, Cause::Trigger, ended, 0.0).expect("a next time");
    assert_eq!((next.due.time, next.missed), (at("2026-01-15T09:40:00Z"), 0));
}

#[test]
fn many_times_that_pass_cost_little() {
    let plan = cron("* * * * * *", "UTC");
    let due = plan.first(moment("2020-01-01T00:00:00Z"), 0.0).expect("a time");
    let next = plan
        .following(due, Cause::Schedule, moment("2026-01-01T00:00:00Z"), 0.0)
        .expect("a next time");
    assert_eq!((next.due.time, next.missed), (at("2026-01-01T00:00:01Z"), MOST_MISSED));
}

#[test]
fn times_are_shown_in_the_zone_of_the_expression() {
    let time = at("2026-07-15T07:00:00Z");
    assert_eq!(
        cron("0 9 * * *", "Europe/Berlin").shown(time),
        "2026-07-15T09:00:00+02:00 (Europe/Berlin)"
    );
    assert_eq!(every(60).shown(time), "2026-07-15T07:00:00Z");
    assert_eq!(every(5400).described(), "at once, and 1h 30m after the end of each run");
}

proptest! {
    #[test]
    fn jitter_adds_something_between_nothing_and_itself(
        chance in prop_oneof![0.0..=1.0_f64, Just(f64::NAN), Just(-1.0), Just(2.0)],
        jitter in 0..100_000_u64,
        every in 1..100_000_u64,
    ) {
        let jitter = Duration::from_millis(jitter);
        let start = moment("2026-01-15T07:00:00Z");
        let bounds = |named: DateTime<Utc>, due: Due| {
            let more = due.time - named;
            more >= TimeDelta::zero() && more.to_std().is_ok_and(|more| more <= jitter)
        };
        let plan = Plan { jitter, ..cron("0 * * * *", "UTC") };
        let first = plan.first(start, chance).expect("a time");
        prop_assert!(bounds(at("2026-01-15T08:00:00Z"), first), "{first:?}");
        let plan = Plan { jitter, timetable: Timetable::Every(Duration::from_secs(every)) };
        let first = plan.first(start, chance).expect("a time");
        prop_assert_eq!(first.time, start.wall);
        let next = plan.following(first, Cause::Schedule, start, chance).expect("a next time").due;
        prop_assert!(bounds(start.wall + TimeDelta::seconds(every as i64), next), "{next:?}");
        prop_assert!(next.wait(start) >= Duration::from_secs(every));
    }
}
