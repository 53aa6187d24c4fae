//! Publishing into a real PostgreSQL, which `POSTGRES_HOST`, `_PORT`, `_DB`, `_USER` and `_PASSWORD` name; each test
//! makes a schema of its own and drops it.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Parser;
use lakebed::config::history::PublishMode;
use lakebed::config::{ExpectationSettings, HistorySettings, LakeSettings, PostgresSettings};
use lakebed::error::{HasKind, Kind};
use lakebed::history::{HISTORY_TABLES, HistoryError, Outcome, RunReport, run};
use lakebed::lake::Lake;
use tokio_postgres::{Client, NoTls};

use crate::support::history::add_events;
use crate::support::lake::eventually_async;
use crate::support::unique;

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

    /// The statement that gets the lock by which publishers of the schema take turns.
    fn take_turn(&self) -> String {
        format!(
            "SELECT pg_advisory_xact_lock(hashtextextended('lakebed:{}', 0))",
            self.postgres.schema
        )
    }

    async fn archive(&self, users: &[Option<&str>]) {
        add_events(&self.lake, NOW, users).await;
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
                for _ in 0..25 {
                    place.run(PublishMode::Overwrite).await.unwrap();
                }
            })
        })
        .collect();
    // Neither reader could wait for a lock, and neither sees anything but whole sets.
    let (other, tables) = (
        place.client().await,
        HISTORY_TABLES.iter().map(|table| table.name).collect::<Vec<_>>(),
    );
    for reader in [&client, &other] {
        reader.batch_execute("SET lock_timeout TO '1ms'").await.unwrap();
    }
    let patterns = format!("SELECT sum(total_events)::bigint FROM {}", tables[0]);
    let rankings = format!("SELECT sum(edit_count)::bigint FROM {}", tables[4]);
    let both = format!("SELECT ({patterns}), ({rankings})");
    while !publishers.iter().all(tokio::task::JoinHandle::is_finished) {
        let row = client.query_one(&both, &[]).await.unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (500, 500));
        other
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await
            .unwrap();
        for sum in [&patterns, &rankings] {
            assert_eq!(other.query_one(sum, &[]).await.unwrap().get::<_, i64>(0), 500);
        }
        other.batch_execute("COMMIT").await.unwrap();
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    assert_eq!(count(&client, "lakebed_runs").await, 101);
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

#[tokio::test]
async fn what_a_role_defaults_to_changes_nothing_and_rights_that_it_lacks_are_named_before_any_work() {
    let place = Place::new().await;
    place.archive(&[Some("Ann"), Some("Bob")]).await;
    place.run(PublishMode::Overwrite).await.unwrap();
    let client = place.client().await;
    let (role, schema) = (unique("role").replace('-', "_"), place.schema());
    let ddl = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'of a role';
         ALTER ROLE {role} SET default_transaction_isolation TO 'serializable';
         ALTER ROLE {role} SET default_transaction_read_only TO on;
         ALTER ROLE {role} SET statement_timeout TO '2s';
         GRANT USAGE ON SCHEMA {schema} TO {role};
         GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA {schema} TO {role};
         GRANT DELETE ON historical_hourly_trends TO {role}"
    );
    client.batch_execute(&ddl).await.unwrap();
    let as_role = PostgresSettings {
        user: role.clone(),
        password: Some("of a role".parse().unwrap()),
        ..place.postgres.clone()
    };
    let now = DateTime::from_timestamp(NOW, 0).unwrap();
    let publish = async |mode| run(&settings(mode), &place.lake, Some(&as_role), now, &|_| ()).await;

    let error = publish(PublishMode::Overwrite).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Configuration);
    let text = error.to_string();
    for part in [
        "DELETE on historical_hourly_patterns",
        "DELETE on historical_server_rankings",
        "grant",
        &role,
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("historical_hourly_trends"), "{text}");

    // A transaction sees others' activity as it first saw it: who looks is not who holds the lock.
    let holder = place.client().await;
    holder
        .batch_execute(&format!("BEGIN; {}", place.take_turn()))
        .await
        .unwrap();
    let released_late = async {
        let waits_for_longer = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = $1
            AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > '2500ms')";
        eventually_async("the role waits for longer than it may by default", async || {
            client.query_one(waits_for_longer, &[&role]).await.unwrap().get(0)
        })
        .await;
        holder.batch_execute("COMMIT").await.unwrap();
        Ok(())
    };
    let (published, ()) = tokio::try_join!(publish(PublishMode::Append), released_late).unwrap();
    assert_eq!(published.outcome, Outcome::Published);

    client
        .batch_execute(&format!("GRANT DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"))
        .await
        .unwrap();
    assert_eq!(
        publish(PublishMode::Overwrite).await.unwrap().outcome,
        Outcome::Published
    );
    assert_eq!(count(&client, "historical_top_contributors").await, 2);
    client
        .batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .await
        .unwrap();
    place.finish().await;
}

#[tokio::test]
async fn who_holds_a_lock_for_too_long_is_named() {
    let place = Place::new().await;
    place.archive(&[Some("Ann")]).await;
    place.run(PublishMode::Overwrite).await.unwrap();
    let client = place.client().await;
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let hasty = PostgresSettings {
        lock_timeout: Duration::from_millis(200),
        ..place.postgres.clone()
    };
    let now = DateTime::from_timestamp(NOW, 0).unwrap();
    for hold in [
        "LOCK TABLE historical_top_contributors IN ACCESS EXCLUSIVE MODE".to_owned(),
        place.take_turn(),
    ] {
        client
            .batch_execute(&format!("BEGIN; SET LOCAL application_name TO 'a migration'; {hold}"))
            .await
            .unwrap();
        let error = run(
            &settings(PublishMode::Overwrite),
            &place.lake,
            Some(&hasty),
            now,
            &|_| (),
        )
        .await
        .unwrap_err();
        assert_eq!(error.kind(), Kind::Retry, "{error}");
        let text = error.to_string();
        for part in [&format!("process {pid} (a migration"), "200ms", "POSTGRES_LOCK_TIMEOUT"] {
            assert!(text.contains(part), "{text}");
        }
        client.batch_execute("COMMIT").await.unwrap();
    }
    place.run(PublishMode::Overwrite).await.unwrap();
    place.finish().await;
}

#[tokio::test]
async fn a_password_may_come_from_a_file_or_from_that_of_libpq() {
    let place = Place::new().await;
    place.archive(&[Some("Ann")]).await;
    let given = place.postgres.password.clone().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String, mode| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let (plain, line) = (
        format!("{}\n", given.reveal()),
        format!("*:*:*:{}:{}\n", place.postgres.user, given.reveal()),
    );
    let without = PostgresSettings {
        password: None,
        passfile: Some(folder.path().join("none")),
        ..place.postgres.clone()
    };
    let from_file = PostgresSettings {
        password_file: Some(file("password", plain, 0o644)),
        ..without.clone()
    };
    let from_passfile = PostgresSettings {
        passfile: Some(file("pgpass", line.clone(), 0o600)),
        ..without.clone()
    };
    let from_open_passfile = PostgresSettings {
        passfile: Some(file("open", line, 0o644)),
        ..without.clone()
    };
    let from_missing_file = PostgresSettings {
        password_file: Some(folder.path().join("none")),
        ..without.clone()
    };
    for (postgres, refusal) in [
        (from_file, None),
        (from_passfile, None),
        (from_open_passfile, Some("PGPASSFILE")),
        (from_missing_file, Some("correct POSTGRES_PASSWORD_FILE")),
        (without, Some("POSTGRES_PASSWORD_FILE")),
    ] {
        let done = run(
            &settings(PublishMode::Overwrite),
            &place.lake,
            Some(&postgres),
            Utc::now(),
            &|_| (),
        )
        .await;
        match (done, refusal) {
            (Ok(_), None) => {}
            (Err(error), Some(part)) => {
                assert_eq!(error.kind(), Kind::Configuration, "{error}");
                assert!(error.to_string().contains(part), "{error}");
            }
            (done, refusal) => panic!("{done:?} instead of {refusal:?}"),
        }
    }
    place.finish().await;
}
