//! Each kind of expectation, where it holds and where it does not.

use super::*;

/// What one expectation of a table finds in tables that are as they should be.
async fn verdict(table: &str, file: &str) -> Verdict {
    let expectations = parse("test.toml", Relation::named(table).unwrap(), file).unwrap();
    query::plan(&expectations).await.unwrap();
    let results = check(&expectations, &Published::new().release(), now()).await.unwrap();
    let name = expectations[0].name();
    let found = results
        .iter()
        .find(|result| result.table == table && result.expectation == name);
    found.unwrap().verdict.clone()
}

#[tokio::test]
async fn each_kind_holds_and_fails() {
    let cases = [
        (
            CONTRIBUTORS,
            "[[unique]]\ncolumns = ['user', 'is_bot']",
            "[[unique]]\ncolumns = ['user']",
            "more than one row has the same user",
        ),
        (
            CONTRIBUTORS,
            "[[not_null]]\ncolumns = ['edit_count']",
            "[[not_null]]\ncolumns = ['user']",
            "1 row without user",
        ),
        (
            SERVERS,
            "[[range]]\ncolumns = ['percentile']\nat_least = 0.0\nat_most = 1.0",
            "[[range]]\ncolumns = ['percentile']\nat_most = 0.5",
            "1 row whose percentile is not at most 0.5",
        ),
        (
            TRENDS,
            "[[range]]\ncolumns = ['total_bytes']\nat_least = -1",
            "[[range]]\ncolumns = ['total_bytes']\nat_least = 31\nat_most = 40",
            "1 row whose total_bytes is not at least 31 and at most 40",
        ),
        (
            TRENDS,
            "[[always]]\nthat = 'total_bytes > 0 -- null is not false'",
            "[[always]]\nthat = 'unique_users < 2'",
            "1 row of which that is not true",
        ),
        (
            LANGUAGES,
            "[[sum]]\ncolumn = 'edit_count'\nequals = 'historical_top_contributors.edit_count'",
            "[[sum]]\ncolumn = 'edit_count'\nequals = 'historical_top_contributors.pages_created'",
            "the sum of edit_count is not that of historical_top_contributors.pages_created",
        ),
        (
            LANGUAGES,
            "[[sum]]\ncolumn = 'new_pages'\nat_most = 'lakebed_runs.events_read'",
            "[[sum]]\ncolumn = 'edit_count'\nat_most = 'historical_server_rankings.rank'",
            "the sum of edit_count is more than that of historical_server_rankings.rank",
        ),
        (
            LANGUAGES,
            "[[agrees]]\nwith = 'historical_server_rankings'\non = ['language', 'project']\ncolumns = { edit_count = 'edit_count', total_bytes = 'total_bytes' }",
            "[[agrees]]\nwith = 'historical_server_rankings'\non = ['language']\ncolumns = { bot_edits = 'unique_users' }",
            "1 row that historical_server_rankings does not have, or has otherwise",
        ),
        (
            SERVERS,
            "[[dense]]\ncolumn = 'rank'\norder = 'percentile'",
            "[[dense]]\ncolumn = 'edit_count'\norder = 'edit_count'",
            "1 row whose edit_count is not its place, counted from 1, by edit_count",
        ),
        (
            SERVERS,
            "[[rows]]\nat_least = 2\nat_most = 2",
            "[[rows]]\nat_least = 3",
            "the number of rows is not at least 3",
        ),
        (
            SERVERS,
            "[[query]]\nname = 'n'\nsql = 'SELECT 1 FROM historical_server_rankings WHERE false'",
            "[[query]]\nname = 'n'\nsql = '''SELECT user, edit_count FROM (SELECT \"user\" AS user, edit_count FROM historical_top_contributors) -- all'''",
            "3 rows against that",
        ),
        (
            RUNS_NAME,
            "[[fresh]]\ncolumn = 'ended_at'\nwithin_hours = 1",
            "[[fresh]]\ncolumn = 'window_start'\nwithin_hours = 48",
            "the newest window_start lies further back than 48 h, or there is none",
        ),
    ];
    for (table, holds, fails, reason) in cases {
        assert_eq!(verdict(table, holds).await, Verdict::Met, "{holds}");
        let Verdict::NotMet(failure) = verdict(table, fails).await else {
            panic!("met: {fails}");
        };
        assert_eq!(failure.reason, reason);
        assert!(!failure.rows.is_empty(), "{fails}");
    }
    let recorded = "[[rows]]\nrecorded = true";
    assert_eq!(verdict(SERVERS, recorded).await, Verdict::Met);
    let less = Published::new().run(|run| {
        run.rows_per_table.insert(SERVERS.to_owned(), 3);
    });
    let expectations = parse("test.toml", Relation::named(SERVERS).unwrap(), recorded).unwrap();
    let found = failures(&expectations, &less.release(), now()).await;
    assert_eq!(
        found[0].failure().unwrap().rows,
        [Row::of([("rows", json!(2)), ("published", json!(3))])]
    );
}
