//! The views against tables computed by hand, and against themselves over any split of the events.

use proptest::prelude::*;

use super::*;
use crate::history::HistoryError;

fn event(timestamp: i64, user: Option<&'static str>, is_bot: Option<bool>, bytes_changed: Option<i64>) -> Event {
    Event {
        timestamp,
        user,
        is_bot,
        bytes_changed,
        ..Event::default()
    }
}

/// More contributors than the table takes, of whom many have as many events as the last one that it takes, whose names
/// decide.
#[tokio::test]
async fn ties_at_the_end_of_the_contributors_are_decided_by_their_names() {
    for all in [150, 300_usize] {
        let users: Vec<&'static str> = (0..all).map(|number| &*format!("User {number:03}").leak()).collect();
        for (few, many) in [(90, 20), (0, 1), (100, 2), (120, 3)] {
            let of_user = |number: usize| {
                let user = users[(number * 7919) % all];
                let count = if number < few { many } else { 1 };
                (0..count).map(move |again| {
                    event(
                        NOW - again * 3000 - number as i64,
                        Some(user),
                        Some(number.is_multiple_of(2)),
                        None,
                    )
                })
            };
            let events: Vec<Event> = (0..all).flat_map(of_user).collect();
            let folder = tempfile::tempdir().unwrap();
            let lake = lake_in(&folder);
            for part in events.chunks(150) {
                archive(&lake, part).await;
            }
            assert_eq!(texts(&tables_of(&lake).await), texts(&computed(&events).await.unwrap()));
        }
    }
}

#[tokio::test]
async fn tables_computed_by_hand() {
    let start = NOW - 48 * HOUR;
    let en = |event: Event| Event {
        server_name: Some("en.wikipedia.org"),
        language: Some("en"),
        project: Some("wikipedia"),
        is_new_page: Some(true),
        ..event
    };
    let events = [
        event(start - 1, Some("outside"), None, Some(1_000_000)),
        en(event(start, Some("Ann"), Some(false), Some(10))),
        en(event(start + 1, Some("Ann"), Some(true), Some(-4))),
        event(start + HOUR - 1, None, None, None),
        // An hour whose bytes are all null, then 21 empty ones.
        event(start + HOUR, Some("ann"), Some(false), None),
        en(event(start + 23 * HOUR, Some("Bob"), Some(true), Some(8))),
        event(start + 24 * HOUR, Some("Bob"), Some(true), Some(1)),
        event(NOW, Some("Bob"), Some(true), Some(i64::MAX - 9)),
        event(NOW + 1, Some("outside"), None, Some(1_000_000)),
    ];
    let tables = texts(&computed(&events).await.unwrap());
    assert_eq!(
        tables[0],
        [
            "2015-09-11T00:00:00Z|3|6|3.0|1|1",
            "2015-09-11T01:00:00Z|1|␀|␀|0|1",
            "2015-09-11T23:00:00Z|1|8|8.0|1|0",
            "2015-09-12T00:00:00Z|1|1|1.0|1|0",
            "2015-09-13T00:00:00Z|1|9223372036854775798|9.223372036854776e18|1|0",
        ]
    );
    assert_eq!(
        tables[1],
        [
            "2015-09-11T00:00:00Z|3|6|1|1|1|3.0|6.0",
            "2015-09-11T01:00:00Z|1|␀|0|1|1|2.0|6.0",
            // The first hour is still among the 24, the hours in between are not there.
            "2015-09-11T23:00:00Z|1|8|1|0|1|1.6666666666666667|7.0",
            "2015-09-12T00:00:00Z|1|1|1|0|1|1.0|4.5",
            "2015-09-13T00:00:00Z|1|9223372036854775798|1|0|1|1.0|9.223372036854776e18",
        ]
    );
    assert_eq!(
        tables[2],
        [
            "Bob|true|3|9223372036854775807|1",
            "␀|␀|1|␀|0",
            "Ann|false|1|10|1",
            "Ann|true|1|-4|1",
            "ann|false|1|␀|0",
        ]
    );
    assert_eq!(tables[3], ["␀|␀|4|9223372036854775799|2|0", "en|wikipedia|3|14|2|3"]);
    assert_eq!(
        tables[4],
        [
            "␀|␀|␀|4|9223372036854775799|2|1|0.0",
            "en.wikipedia.org|en|wikipedia|3|14|2|2|1.0",
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_split_of_the_events_into_files_gives_the_same_tables(
        (events, shuffled) in events().prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (whole, split) = runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let lake = lake_in(&folder);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(shuffled.len() + 1)).collect();
            cuts.extend([0, shuffled.len()]);
            cuts.sort_unstable();
            for cut in cuts.windows(2) {
                archive(&lake, &shuffled[cut[0]..cut[1]]).await;
            }
            (computed(&events).await.unwrap(), tables_of(&lake).await)
        });
        prop_assert_eq!(texts(&whole), texts(&split));
    }
}

#[tokio::test]
async fn a_sum_that_outgrows_its_column_names_table_and_column() {
    let events = [
        event(NOW, Some("Ann"), None, Some(i64::MAX)),
        event(NOW, Some("Bob"), None, Some(i64::MAX)),
    ];
    let error = computed(&events).await.unwrap_err();
    assert!(matches!(&error, HistoryError::TooLarge { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with("historical_hourly_patterns.total_bytes does not fit its type bigint"),
        "{text}"
    );
    assert!(text.contains("18446744073709551614"), "{text}");
}

/// The tables as a run computes them, which are those that SQL alone gives.
async fn of_a_run(events: &[Event]) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_in(&folder);
    archive(&lake, events).await;
    let tables = texts(&tables_of(&lake).await);
    assert_eq!(tables, texts(&computed(events).await.unwrap()));
    tables
}

#[tokio::test]
async fn ties_at_the_cut_ascend_by_bytes_nulls_first() {
    let names: Vec<&'static str> = (0..150)
        .map(|n| -> &'static str { format!("u{n:03}").leak() })
        .collect();
    let mut events: Vec<Event> = names
        .iter()
        .rev()
        .map(|name| event(NOW, Some(name), Some(true), None))
        .collect();
    events.push(event(NOW, Some("u000"), None, None));
    events.push(event(NOW, None, Some(false), None));
    events.push(event(NOW, Some("Z"), Some(false), None));
    let top = &of_a_run(&events).await[2];
    assert_eq!(top.len(), 100);
    assert_eq!(
        top[..4],
        ["␀|false|1|␀|0", "Z|false|1|␀|0", "u000|␀|1|␀|0", "u000|true|1|␀|0"]
    );
    assert_eq!(top[99], "u096|true|1|␀|0");
}

#[tokio::test]
async fn ranks_and_percentiles_are_among_all_servers() {
    let names: Vec<&'static str> = (0..60).map(|n| -> &'static str { format!("s{n:02}").leak() }).collect();
    let on = |name| Event {
        timestamp: NOW,
        server_name: Some(name),
        ..Event::default()
    };
    let mut events: Vec<Event> = names.iter().map(|name| on(*name)).collect();
    events.push(on("s59"));
    let servers = &of_a_run(&events).await[4];
    assert_eq!(servers.len(), 50);
    assert_eq!(servers[0], "s59|␀|␀|2|␀|0|1|0.0");
    assert_eq!(servers[1], format!("s00|␀|␀|1|␀|0|2|{}", 1.0 / 59.0));
    assert_eq!(servers[49], format!("s48|␀|␀|1|␀|0|50|{}", 1.0 / 59.0));
}
