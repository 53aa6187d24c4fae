//! Files of expectations, read strictly.

use super::*;

#[tokio::test]
async fn the_documents_name_each_kind_and_their_example_can_be_taken() {
    let text = include_str!("../../../../docs/expectations.md");
    for kind in kind::KINDS {
        assert!(text.contains(&format!("| `{kind}` |")), "{kind}");
    }
    let example = text
        .split("```toml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let expectations = parse("docs/expectations.md", Relation::named(LANGUAGES).unwrap(), example).unwrap();
    assert_eq!(expectations.len(), 2);
    query::plan(&expectations).await.unwrap();
}

#[test]
fn what_a_file_may_not_say_is_refused_with_its_line() {
    let cases = [
        ("[[unique]", "line 1: "),
        (
            "[[uniqe]]\ncolumns = ['hour_bucket']",
            "line 1: [[uniqe]]: there is no such kind; the kinds are unique, ",
        ),
        (
            "\n\n[unique]\ncolumns = ['hour_bucket']",
            "line 3: unique is to be written as [[unique]]",
        ),
        (
            "[[unique]]\ncolumn = 'hour_bucket'",
            "line 1: [[unique]]: unknown field `column`, expected `columns`",
        ),
        ("[[unique]]\ncolumns = []", "line 1: [[unique]]: it names no column"),
        (
            "[[unique]]\ncolumns = ['hour']",
            "historical_hourly_trends has no column hour",
        ),
        (
            "[[not_null]]\ncolumns = ['hour_bucket']\nbecause = 1",
            "because is to be a text and is 1",
        ),
        (
            "[[range]]\ncolumns = ['total_events']",
            "it has neither at_least nor at_most",
        ),
        (
            "[[range]]\ncolumns = ['hour_bucket']\nat_least = 1",
            "historical_hourly_trends.hour_bucket is of type timestamp with time zone",
        ),
        (
            "[[range]]\ncolumns = ['total_events']\nat_least = 1\nat_last = 2",
            "unknown field `at_last`",
        ),
        (
            "[[range]]\ncolumns = ['total_events']\nat_least = '1'",
            "line 1: [[range]]: ",
        ),
        (
            "[[range]]\ncolumns = ['total_events']\nat_least = nan",
            "a number must be finite",
        ),
        (
            "[[range]]\ncolumns = ['total_events']\nat_least = 2026-01-15",
            "a time has no meaning here",
        ),
        ("[[always]]\nthat = 'true'\nwhen = 'false'", "unknown field `when`"),
        ("[[always]]", "missing field `that`"),
        (
            "[[sum]]\ncolumn = 'total_events'",
            "it is to have one of equals and at_most",
        ),
        (
            "[[sum]]\ncolumn = 'total_events'\nequals = 'total_events'",
            "total_events is to be written as table.column",
        ),
        (
            "[[sum]]\ncolumn = 'total_events'\nequals = 'hours.events'",
            "there is no table hours",
        ),
        (
            "[[sum]]\ncolumn = 'events_24h_avg'\nequals = 'lakebed_runs.events_read'",
            "is of type double precision",
        ),
        (
            "[[agrees]]\nwith = 'historical_server_rankings'\non = ['hour_bucket']\ncolumns = {}",
            "historical_server_rankings has no column hour_bucket",
        ),
        (
            "[[agrees]]\nwith = 'historical_hourly_patterns'\non = ['hour_bucket']\ncolumns = {}",
            "it names no column",
        ),
        (
            "[[dense]]\ncolumn = 'events_24h_avg'\norder = 'hour_bucket'",
            "is of type double precision",
        ),
        ("[[rows]]", "it has none of at_least, at_most and recorded = true"),
        ("[[rows]]\nat_most = -1", "line 1: [[rows]]: "),
        (
            "[[fresh]]\ncolumn = 'total_events'\nwithin_hours = 1",
            "is of type bigint",
        ),
        (
            "[[query]]\nname = 'n'\n[query.sql]\na = 1",
            "sql is a table of its own; write it on one line",
        ),
    ];
    for (file, expected) in cases {
        let error = parse("of/mine.toml", Relation::named(TRENDS).unwrap(), file)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("of/mine.toml: line ") && error.contains(expected),
            "{file}: {error}"
        );
    }
}

#[tokio::test]
async fn a_folder_of_ones_own_is_read_as_strictly() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ExpectationSettings {
        folder: Some(folder.path().to_owned()),
    };
    let mine = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let refused = async || load(&settings, None).await.unwrap_err().to_string();
    assert!(refused().await.contains("there is no file <table>.toml in it"));
    mine("hours.toml", "");
    assert!(
        refused()
            .await
            .contains("it is named after none of the tables historical_hourly_patterns, ")
    );
    std::fs::remove_file(folder.path().join("hours.toml")).unwrap();
    for (sql, reason) in [
        ("total_event > 1", "total_event"),
        ("total_events >", "SQL"),
        ("total_events + 'x'", "x"),
    ] {
        mine(
            "historical_hourly_trends.toml",
            &format!("[[always]]\nthat = \"{sql}\""),
        );
        let error = refused().await;
        assert!(
            error.contains("historical_hourly_trends.toml, line 1: always(") && error.contains(reason),
            "{error}"
        );
    }
    for sql in [
        "DELETE FROM historical_hourly_trends",
        "SELECT * FROM nobody",
        "CREATE TABLE t AS SELECT 1",
    ] {
        mine(
            "historical_hourly_trends.toml",
            &format!("[[query]]\nname = 'q'\nsql = '{sql}'"),
        );
        assert!(refused().await.contains("query(q)"), "{sql}");
    }
    mine("historical_hourly_trends.toml", "[[rows]]\nat_most = 1");
    let all = load(&settings, None).await.unwrap();
    assert_eq!(all.len(), ours().await.len() + 1);
    let found = failures(&all, &Published::new().release(), now()).await;
    assert_eq!(names(&found), ["historical_hourly_trends: rows"]);
}
