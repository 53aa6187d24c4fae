//! Connections to PostgreSQL that are lost in the COMMIT of a publication: its outcome is found out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lakebed::config::LakeSettings;
use lakebed::lake::Lake;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

use crate::support::history::add_events;
use crate::support::postgres::Schema;
use crate::support::program::{fails, json, lakebed, run, with_postgres};
use crate::support::service;

const NOW: &str = "2015-09-13T00:00:00Z";
const LAST: i64 = 1_442_102_400;
/// As it stands on the wire.
const COMMIT: &[u8] = b"COMMIT\0";
/// A run's COMMIT that publishes comes after those of the table of runs and of the five.
const PUBLISHES: usize = 3;

/// When the connection goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lost {
    /// The server is never told to commit.
    Before,
    /// The server commits, and its answer is lost.
    After,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_that_was_lost_on_its_way_to_the_server_changed_nothing_and_that_is_said() {
    let (schema, lake, port) = (Schema::new().await, lake().await, lossy(Lost::Before).await);
    let mut process = process(&schema, lake.path(), port);
    let stderr = tokio::task::spawn_blocking(move || fails(process.args(["--retries", "0"]), 1))
        .await
        .expect("it ends");
    assert!(stderr.contains("nothing was changed"), "{stderr}");
    assert_eq!(schema.rows("historical_top_contributors").await, 0);
    assert_eq!(schema.outcomes().await, ["failed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_whose_answer_was_lost_has_published() {
    let (schema, lake, port) = (Schema::new().await, lake().await, lossy(Lost::After).await);
    let mut process = process(&schema, lake.path(), port);
    let report = tokio::task::spawn_blocking(move || json(process.args(["--retries", "0", "--format", "json"])))
        .await
        .expect("it ends");
    assert_eq!(report["outcome"], "published");
    assert_eq!(schema.rows("historical_top_contributors").await, 2);
    assert_eq!(schema.outcomes().await, ["published"]);
    let mut again = lakebed(&["process", "--now", NOW]);
    with_postgres(&mut again, &schema.name);
    run(again.env("DATA_LAKE_PATH", lake.path()));
    assert_eq!(schema.rows("historical_top_contributors").await, 2);
}

async fn lake() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = Lake::open(&LakeSettings::of_path(folder.path().to_str().expect("UTF-8"))).expect("a lake");
    add_events(&lake, LAST, &[Some("Ann"), Some("Bob")]).await;
    folder
}

fn process(schema: &Schema, lake: &std::path::Path, port: u16) -> std::process::Command {
    let mut command = lakebed(&["process", "--now", NOW]);
    with_postgres(&mut command, &schema.name);
    command
        .env("DATA_LAKE_PATH", lake)
        // What passes must be readable by the way.
        .env("POSTGRES_SSLMODE", "disable")
        .env("POSTGRES_PORT", port.to_string());
    command
}

/// A way to the server that is lost at the COMMIT which publishes, and holds from then on; its port.
async fn lossy(lost: Lost) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let commits = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let commits = Arc::clone(&commits);
            // Dropped, both connections are closed.
            tokio::spawn(async move { pass(client, lost, &commits).await });
        }
    });
    port
}

async fn pass(client: TcpStream, lost: Lost, commits: &AtomicUsize) -> std::io::Result<()> {
    let upstream = format!("{}:{}", service("POSTGRES_HOST"), service("POSTGRES_PORT"));
    let (mut from_server, mut to_server) = TcpStream::connect(upstream).await?.into_split();
    let (mut from_client, mut to_client) = client.into_split();
    let answers = tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
    let mut bytes = vec![0; 1 << 16];
    loop {
        let count = from_client.read(&mut bytes).await?;
        let asked = &bytes[..count];
        if count == 0 {
            return Ok(());
        }
        let is_commit = asked.windows(COMMIT.len()).any(|bytes| bytes == COMMIT);
        if is_commit && commits.fetch_add(1, Ordering::SeqCst) + 1 == PUBLISHES {
            answers.abort();
            let _ = answers.await;
            if lost == Lost::After {
                to_server.write_all(asked).await?;
            }
            return Ok(());
        }
        to_server.write_all(asked).await?;
    }
}
