//! The five tables as DuckDB computes them straight from the events, and Spark too where it is asked for.

use std::process::Command;

use serde_json::json;

use super::program::{lakebed, run};
use super::python;

/// The tables that are compared.
pub const TABLES: [&str; 5] = [
    "historical_hourly_patterns",
    "historical_hourly_trends",
    "historical_top_contributors",
    "historical_language_distribution",
    "historical_server_rankings",
];

/// Exports the published tables with `lakebed query`, set up by `settings`, and compares them with DuckDB's, and with
/// Spark's where `LAKEBED_TEST_SPARK=1`: it takes a quarter of a minute each time.
pub fn others_compute_the_same(events: &str, first: i64, last: i64, settings: impl Fn(&mut Command)) {
    let exports = tempfile::tempdir().expect("a folder");
    for table in TABLES {
        let output = exports.path().join(format!("{table}.parquet"));
        let sql = format!("SELECT * FROM {table}");
        let mut query = lakebed(&[
            "query",
            &sql,
            "--format",
            "parquet",
            "--output",
            output.to_str().expect("UTF-8"),
        ]);
        settings(&mut query);
        run(&mut query);
    }
    let exports = exports.path().to_str().expect("UTF-8");
    let (first, last) = (first.to_string(), last.to_string());
    let none: serde_json::Map<_, _> = TABLES.iter().map(|table| ((*table).to_owned(), json!([]))).collect();
    let spark = std::env::var("LAKEBED_TEST_SPARK").is_ok_and(|asked| asked == "1");
    for script in ["duckdb_oracle.py"]
        .into_iter()
        .chain(spark.then_some("spark_oracle.py"))
    {
        let differences = python::run(script, &[events, &first, &last, exports]);
        assert_eq!(differences, json!(none), "{script}: another system computes otherwise");
    }
}
