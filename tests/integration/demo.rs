//! `lakebed demo`, as somebody runs it who has nothing but the program.

use crate::support::program::{fails, lakebed, run};

#[test]
fn the_demo_needs_nothing_and_works_again() {
    let folder = tempfile::tempdir().expect("a folder");
    // Whatever is set, the demo talks to no server.
    let demo = || {
        let mut demo = lakebed(&["demo"]);
        demo.current_dir(&folder)
            .env("KAFKA_BROKERS", "127.0.0.1:1")
            .env("POSTGRES_HOST", "127.0.0.1")
            .env("DATA_LAKE_PATH", "s3://no/where");
        demo
    };
    for _ in 0..2 {
        let shown = run(&mut demo());
        for part in [
            "24,000 messages",
            "23,912 rows, 72 messages in quarantine, 16 without a value",
            "not_json",
            "timestamp_in_future",
            "historical_hourly_patterns",
            "historical_hourly_trends",
            "historical_top_contributors",
            "historical_language_distribution",
            "historical_server_rankings",
            "en.wikipedia.org",
            "data/demo/lake",
        ] {
            assert!(shown.contains(part), "{part} is not shown:\n{shown}");
        }
    }
    let lake = folder.path().join("data/demo/lake");
    let counted = run(
        lakebed(&["query", "--format", "csv", "SELECT count(*) AS n FROM raw_events"]).env("DATA_LAKE_PATH", &lake),
    );
    assert_eq!(counted, "n\n23912\n");
}

#[test]
fn the_demo_empties_no_folder_that_it_did_not_make() {
    let folder = tempfile::tempdir().expect("a folder");
    let precious = folder.path().join("precious");
    std::fs::write(&precious, "mine").expect("a file");
    let error = fails(lakebed(&["demo", "--folder"]).arg(folder.path()), 2);
    assert!(error.contains("--folder"), "{error}");
    assert!(precious.exists());
}
