//! Publishing into a real PostgreSQL, which `POSTGRES_HOST`, `_PORT`, `_DB`, `_USER` and `_PASSWORD` name; each test
//! makes a schema of its own and drops it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{BooleanArray, Int64Array, RecordBatch, StringArray};
use chrono::{DateTime, Utc};
use clap::Parser;
use deltalake_core::kernel::Action;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use lakebed::config::history::PublishMode;
use lakebed::config::{ExpectationSettings, HistorySettings, LakeSettings, PostgresSettings};
use lakebed::error::{HasKind, Kind};
use lakebed::history::{HISTORY_TABLES, HistoryError, Outcome, RunReport, run};
use lakebed::lake::datafile::{self, NewFile, writer_properties};
use lakebed::lake::{Lake, RAW_EVENTS, TableWriter};
use tokio_postgres::{Client, NoTls};

/// 2015-09-13T00:00:00Z.
const NOW: i64 = 1_442_102_400;

#[derive(Parser)]
struct FromEnvironment {
    #[command(flatten)]
    postgres: PostgresSettings,
}

/// A lake in a temporary folder, and a schema that is not there yet.
struct Place {
    _folder: tempfile::TempDir,
    lake: Lake,
    postgres: PostgresSettings,
}

impl Place {
    async fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(&LakeSettings::of_path(folder.path().to_str().unwrap())).unwrap();
        let schema = format!("Test \"{}\"", uuid::Uuid::new_v4().simple());
        let postgres = FromEnvironment::parse_from(["test", "--postgres-schema", &schema]).postgres;
        assert!(postgres.host.is_some(), "POSTGRES_HOST is not set");
        Place {
            _folder: folder,
            lake,
            postgres,
        }
    }

    /// A connection of somebody else's, who looks into the schema first.
    async fn client(&self) -> Client {
        let mut config = tokio_postgres::Config::new();
        config
            .host(self.postgres.host.as_deref().unwrap())
            .port(self.postgres.port)
            .dbname(&self.postgres.db)
            .user(&self.postgres.user);
        if let Some(password) = &self.postgres.password {
            config.password(password.reveal());
        }
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
            .batch_execute(&format!("SET search_path TO {}", self.schema()))
            .await
            .unwrap();
        client
    }

    fn schema(&self) -> String {
        format!("\"{}\"", self.postgres.schema.replace('"', "\"\""))
    }

    async fn archive(&self, users: &[Option<&str>]) {
        let count = users.len();
        let times: Int64Array = (0..count).map(|n| Some(NOW - 60 * n as i64)).collect();
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("timestamp", Arc::new(times) as _, true),
            (
                "user",
                Arc::new(users.iter().copied().collect::<StringArray>()) as _,
                true,
            ),
            ("is_bot", Arc::new(BooleanArray::from(vec![true; count])) as _, true),
        ])
        .unwrap();
        let mut writer = TableWriter::open_or_create(&self.lake, RAW_EVENTS, &batch.schema(), &[])
            .await
            .unwrap();
        let file = NewFile {
            path: format!("{}.parquet", uuid::Uuid::new_v4()),
            partition_values: Vec::new(),
            tags: Vec::new(),
            batch,
            properties: writer_properties().build(),
        };
        let add = datafile::write(&self.lake, RAW_EVENTS, file).await.unwrap();
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: None,
            predicate: None,
        };
        writer
            .commit(vec![Action::Add(add)], Vec::new(), operation)
            .await
            .unwrap();
    }

    async fn run(&self, mode: PublishMode) -> Result<RunReport, HistoryError> {
        self.run_at(mode, DateTime::from_timestamp(NOW, 0).unwrap()).await
    }

    async fn run_at(&self, mode: PublishMode, now: DateTime<Utc>) -> Result<RunReport, HistoryError> {
        run(&settings(mode), &self.lake, Some(&self.postgres), now, &|_| ()).await
    }

    async fn finish(self) {
        let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema());
        self.client().await.batch_execute(&drop).await.unwrap();
    }
}

fn settings(mode: PublishMode) -> HistorySettings {
    HistorySettings {
        days: 2,
        from: None,
        to: None,
        now: None,
        full: false,
        skip_corrupt: false,
        mode,
        validate: false,
        expectations: ExpectationSettings::default(),
    }
}

async fn count(client: &Client, table: &str) -> i64 {
    let query = format!("SELECT count(*) FROM {table}");
    client.query_one(&query, &[]).await.unwrap().get(0)
}

async fn texts(client: &Client, query: &str) -> Vec<Option<String>> {
    let rows = client.query(query, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn the_modes_and_the_rows_that_runs_leave() {
    let place = Place::new().await;
    place.archive(&[Some("Ann"), Some("Bob"), None]).await;
    let first = place.run(PublishMode::Error).await.unwrap();
    assert_eq!((first.outcome, first.events_read), (Outcome::Published, Some(3)));
    place.run(PublishMode::Overwrite).await.unwrap();
    let client = place.client().await;
    assert_eq!(count(&client, "historical_top_contributors").await, 3);
    assert_eq!(place.run(PublishMode::Ignore).await.unwrap().outcome, Outcome::Ignored);
    let error = place.run(PublishMode::Error).await.unwrap_err();
    assert!(matches!(error, HistoryError::Occupied { .. }), "{error}");
    assert_eq!(error.kind(), Kind::Data);
    assert_eq!(count(&client, "historical_top_contributors").await, 3);
    place.run(PublishMode::Append).await.unwrap();
    assert_eq!(count(&client, "historical_top_contributors").await, 6);
    let outcomes = texts(&client, "SELECT outcome FROM lakebed_runs ORDER BY started_at").await;
    let outcomes: Vec<_> = outcomes.iter().flatten().collect();
    assert_eq!(outcomes, ["published", "published", "ignored", "failed", "published"]);
    let described = client
        .query_one(
            "SELECT lake_version, (rows_per_table ->> 'historical_hourly_trends')::int, window_end
             FROM lakebed_runs WHERE id = $1::text::uuid",
            &[&first.id],
        )
        .await
        .unwrap();
    assert_eq!((described.get(0), described.get(1)), (Some(1_i64), Some(2_i32)));
    let later = DateTime::from_timestamp(NOW, 0).unwrap() + chrono::TimeDelta::days(10);
    place.run_at(PublishMode::Overwrite, later).await.unwrap();
    for table in &HISTORY_TABLES {
        assert_eq!(count(&client, table.name).await, 0);
    }
    place.finish().await;
}

#[tokio::test]
async fn an_older_lake_version_changes_nothing() {
    let place = Place::new().await;
    place.archive(&[Some("Ann")]).await;
    let report = place.run(PublishMode::Overwrite).await.unwrap();
    let client = place.client().await;
    client
        .execute(
            "INSERT INTO lakebed_runs (id, outcome, started_at, ended_at, window_start, window_end, mode, lake_id, lake_version)
             VALUES (gen_random_uuid(), 'published', now(), now(), now(), now(), 'overwrite', $1, 7)",
            &[&report.lake_id],
        )
        .await
        .unwrap();
    place.archive(&[Some("Bob")]).await;
    let late = place.run(PublishMode::Overwrite).await.unwrap();
    assert_eq!((late.outcome, late.lake_version), (Outcome::Superseded, Some(2)));
    let users = texts(&client, "SELECT \"user\" FROM historical_top_contributors").await;
    assert_eq!(users, [Some("Ann".to_owned())]);
    place.finish().await;
}

#[tokio::test]
async fn tables_with_other_columns_are_refused_by_name() {
    let place = Place::new().await;
    place.archive(&[Some("Ann")]).await;
    let client = place.client().await;
    let ddl = format!(
        "CREATE SCHEMA {0}; CREATE TABLE {0}.historical_server_rankings (server_name text, rank integer)",
        place.schema()
    );
    client.batch_execute(&ddl).await.unwrap();
    let error = place.run(PublishMode::Overwrite).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Configuration);
    let text = error.to_string();
    for part in [
        "historical_server_rankings",
        "rank is integer instead of bigint",
        "percentile",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let errors = texts(&client, "SELECT error FROM lakebed_runs").await;
    assert_eq!(errors, [Some(text)]);
    place.finish().await;
}

#[tokio::test]
async fn what_others_put_on_the_tables_survives_and_nul_is_replaced() {
    let place = Place::new().await;
    place.archive(&[Some("A\0nn"), Some("")]).await;
    place.run(PublishMode::Overwrite).await.unwrap();
    let client = place.client().await;
    client
        .batch_execute(
            "CREATE INDEX theirs ON historical_top_contributors (edit_count);
             CREATE VIEW best AS SELECT \"user\" FROM historical_top_contributors;
             GRANT SELECT ON historical_top_contributors TO PUBLIC",
        )
        .await
        .unwrap();
    place.run(PublishMode::Overwrite).await.unwrap();
    let users = texts(&client, "SELECT * FROM best ORDER BY 1").await;
    assert_eq!(users, [Some(String::new()), Some("A\u{FFFD}nn".to_owned())]);
    let kept = texts(
        &client,
        "SELECT to_regclass('theirs')::text FROM pg_class
         WHERE oid = 'historical_top_contributors'::regclass AND relacl::text LIKE '%=r/%'",
    )
    .await;
    assert_eq!(kept, [Some("theirs".to_owned())]);
    place.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn publishers_take_turns_and_readers_never_wait_nor_see_half_a_set() {
    let place = Arc::new(Place::new().await);
    place.archive(&vec![Some("Ann"); 500]).await;
    place.run(PublishMode::Overwrite).await.unwrap();
    let client = place.client().await;
    let publishers: Vec<_> = (0..4)
        .map(|_| {
            let place = Arc::clone(&place);
            tokio::spawn(async move {
                for _ in 0..3 {
                    place.run(PublishMode::Overwrite).await.unwrap();
                }
            })
        })
        .collect();
    let mut longest = Duration::ZERO;
    while !publishers.iter().all(tokio::task::JoinHandle::is_finished) {
        let begun = Instant::now();
        let row = client
            .query_one(
                "SELECT (SELECT count(*) FROM historical_hourly_patterns), (SELECT count(*) FROM historical_server_rankings)",
                &[],
            )
            .await
            .unwrap();
        longest = longest.max(begun.elapsed());
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (10, 1));
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    assert!(longest < Duration::from_secs(2), "a reader waited {longest:?}");
    assert_eq!(count(&client, "lakebed_runs").await, 13);
    Arc::into_inner(place).unwrap().finish().await;
}

#[tokio::test]
async fn a_server_that_refuses_or_is_away_is_named_without_the_password() {
    let place = Place::new().await;
    let wrong = |change: fn(&mut PostgresSettings)| {
        let mut postgres = place.postgres.clone();
        postgres.password = Some("not-the-password".parse().unwrap());
        change(&mut postgres);
        postgres
    };
    let cases = [
        (wrong(|_| ()), Kind::Configuration),
        (wrong(|postgres| postgres.port = 1), Kind::Retry),
    ];
    for (postgres, kind) in cases {
        let settings = settings(PublishMode::Overwrite);
        let error = run(&settings, &place.lake, Some(&postgres), Utc::now(), &|_| ())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(
            text.contains(&format!("{}:{}", postgres.host.unwrap(), postgres.port)),
            "{text}"
        );
        assert!(!text.contains("not-the-password"), "{text}");
    }
    place.finish().await;
}

#[tokio::test]
async fn a_table_of_runs_that_an_earlier_version_made_gets_the_columns_it_lacks() {
    let place = Place::new().await;
    place.archive(&[Some("Ann")]).await;
    place.run(PublishMode::Overwrite).await.unwrap();
    let client = place.client().await;
    let earlier = "ALTER TABLE lakebed_runs DROP COLUMN corrupt_files, DROP COLUMN figures";
    client.batch_execute(earlier).await.unwrap();
    place.run(PublishMode::Overwrite).await.unwrap();
    let sql = "SELECT figures ->> 'files_pruned', (figures #>> '{requests,gets}')::int > 0, (figures -> 'step_ms' ->> 'tables') IS NOT NULL
               FROM lakebed_runs ORDER BY started_at DESC LIMIT 1";
    let row = client.query_one(sql, &[]).await.unwrap();
    assert_eq!(
        (row.get(0), row.get(1), row.get(2)),
        (Some("1"), Some(true), Some(true))
    );
    assert_eq!(count(&client, "lakebed_runs").await, 2);
    place.finish().await;
}
