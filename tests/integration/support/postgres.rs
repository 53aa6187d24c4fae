//! A schema of a test's own on the real PostgreSQL, and what the server itself computes in it.

use std::io::Read;
use std::path::Path;

use tokio_postgres::{Client, NoTls};

use super::{service, unique};

/// A schema that goes with its test.
pub struct Schema {
    pub name: String,
    pub client: Client,
}

impl Schema {
    /// Makes a schema and connects to it.
    pub async fn new() -> Schema {
        let name = unique("test").replace('-', "_");
        let mut config = tokio_postgres::Config::new();
        config
            .host(service("POSTGRES_HOST"))
            .port(service("POSTGRES_PORT").parse().expect("a port"))
            .dbname(service("POSTGRES_DB"))
            .user(service("POSTGRES_USER"))
            .password(service("POSTGRES_PASSWORD"));
        let (client, connection) = config.connect(NoTls).await.expect("PostgreSQL answers");
        tokio::spawn(connection);
        client
            .batch_execute(&format!(
                "CREATE SCHEMA {name}; SET search_path TO {name}; SET TIME ZONE 'UTC'"
            ))
            .await
            .expect("a schema can be made");
        Schema { name, client }
    }

    /// Loads events straight from their file, by PostgreSQL's own reading of JSON.
    pub async fn load_events(&self, file: &Path) {
        let mut text = String::new();
        let file = std::fs::File::open(file).expect("the events are there");
        flate2::read::GzDecoder::new(file)
            .read_to_string(&mut text)
            .expect("the events are UTF-8");
        let lines: Vec<&str> = text.lines().collect();
        self.client
            .execute(r#"CREATE TEMPORARY TABLE lines (line json)"#, &[])
            .await
            .expect("a table can be made");
        self.client
            .execute(
                "INSERT INTO lines SELECT line::json FROM unnest($1::text[]) AS given (line)",
                &[&lines],
            )
            .await
            .expect("the lines are JSON");
        self.client
            .batch_execute(
                r#"CREATE TABLE events AS
                   SELECT (line->>'timestamp')::bigint AS "timestamp", line->>'user' AS "user", line->>'title' AS title,
                          line->>'server_name' AS server_name, line->>'type' AS type,
                          (line->>'bytes_changed')::bigint AS bytes_changed, (line->>'is_bot')::boolean AS is_bot,
                          (line->>'is_new_page')::boolean AS is_new_page, line->>'language' AS language,
                          line->>'project' AS project
                   FROM lines"#,
            )
            .await
            .expect("the events have the columns");
    }

    /// The rows of the published tables and of the oracle's that the other does not have, as text.
    pub async fn differences_from_oracle(&self, tables: &[&str], first: i64, last: i64) -> Vec<String> {
        self.client
            .batch_execute(&format!(
                "SELECT set_config('oracle.window_first', '{first}', false), set_config('oracle.window_last', '{last}', false)"
            ))
            .await
            .expect("settings can be made");
        self.client
            .batch_execute(include_str!("../../oracle/postgres.sql"))
            .await
            .expect("the oracle's SQL runs");
        let mut differences = Vec::new();
        for table in tables {
            for (from, without, side) in [
                (
                    format!("{}.{table}", self.name),
                    format!("oracle_{table}"),
                    "published only",
                ),
                (
                    format!("oracle_{table}"),
                    format!("{}.{table}", self.name),
                    "expected only",
                ),
            ] {
                let sql = format!(
                    "SELECT row_to_json(d)::text FROM (SELECT * FROM {from} EXCEPT ALL SELECT * FROM {without}) d"
                );
                let rows = self
                    .client
                    .query(&sql, &[])
                    .await
                    .expect("the tables have the same columns");
                differences.extend(
                    rows.iter()
                        .map(|row| format!("{table}, {side}: {}", row.get::<_, String>(0))),
                );
            }
            assert!(self.rows(table).await > 0, "{table} is empty");
        }
        differences
    }

    /// How many rows a table has.
    pub async fn rows(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {}.{table}", self.name);
        self.client
            .query_one(&sql, &[])
            .await
            .expect("the table is there")
            .get(0)
    }

    /// The outcome of each run, in their order.
    pub async fn outcomes(&self) -> Vec<String> {
        let sql = format!("SELECT outcome FROM {}.lakebed_runs ORDER BY started_at", self.name);
        let rows = self.client.query(&sql, &[]).await.expect("the table of runs is there");
        rows.iter().map(|row| row.get(0)).collect()
    }
}
