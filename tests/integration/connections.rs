//! Every way to connect that the settings offer, to servers that demand it.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::kafka::{Topic, event};
use crate::support::program::{archive, json, lakebed, run, with_postgres};
use crate::support::{service, unique};

type Settings = Vec<(&'static str, String)>;

fn ssl() -> Settings {
    vec![
        ("KAFKA_BROKERS", service("LAKEBED_TEST_KAFKA_SSL")),
        ("KAFKA_SECURITY_PROTOCOL", "SSL".to_owned()),
        ("KAFKA_SSL_CA_LOCATION", service("LAKEBED_TEST_CA")),
    ]
}

fn with_client_certificate(mut settings: Settings) -> Settings {
    settings.extend([
        ("KAFKA_SSL_CERTIFICATE_LOCATION", service("LAKEBED_TEST_CLIENT_CERT")),
        ("KAFKA_SSL_KEY_LOCATION", service("LAKEBED_TEST_CLIENT_KEY")),
    ]);
    settings
}

fn sasl(mechanism: &str) -> Settings {
    vec![
        ("KAFKA_BROKERS", service("LAKEBED_TEST_KAFKA_SASL")),
        ("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT".to_owned()),
        ("KAFKA_SASL_MECHANISM", mechanism.to_owned()),
        ("KAFKA_SASL_USERNAME", service("LAKEBED_TEST_KAFKA_USER")),
        ("KAFKA_SASL_PASSWORD", service("LAKEBED_TEST_KAFKA_PASSWORD")),
    ]
}

fn sasl_ssl(mechanism: &str) -> Settings {
    let mut settings = sasl(mechanism);
    settings.extend([
        ("KAFKA_BROKERS", service("LAKEBED_TEST_KAFKA_SASL_SSL")),
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL".to_owned()),
        ("KAFKA_SSL_CA_LOCATION", service("LAKEBED_TEST_CA")),
    ]);
    settings
}

fn write_events(file: &Path, count: u64) {
    let lines: String = (0..count)
        .flat_map(|number| event(number).into_iter().chain(["\n".to_owned()]))
        .collect();
    std::fs::write(file, lines).expect("a file");
}

/// Ten messages through a connection into the topic, and through it out of there.
fn there_and_back(topic: &str, settings: &Settings) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("events.json");
    write_events(&file, 10);
    let connected = |command: &mut Command| {
        command.envs(settings.iter().map(|(name, value)| (*name, value)));
        json(command.args(["--format", "json"]))
    };
    let fed = connected(lakebed(&["produce", file.to_str().expect("UTF-8")]).env("KAFKA_TOPIC", topic));
    assert_eq!(fed["delivered"], json!(10), "{settings:?}");
    let lake = folder.path().join("lake");
    let archived = connected(archive(topic, lake.to_str().expect("UTF-8")).arg("--until-end"));
    assert_eq!(archived["rows"], json!(10), "{settings:?}");
}

#[tokio::test]
async fn ten_messages_pass_through_each_kind_of_connection_to_kafka() {
    let ways = [
        ssl(),
        with_client_certificate(ssl()),
        sasl("PLAIN"),
        sasl("SCRAM-SHA-256"),
        sasl("SCRAM-SHA-512"),
        sasl_ssl("PLAIN"),
        sasl_ssl("SCRAM-SHA-256"),
        sasl_ssl("SCRAM-SHA-512"),
        // As people write it.
        vec![
            ("KAFKA_BROKERS", service("KAFKA_BROKERS")),
            ("KAFKA_SECURITY_PROTOCOL", "plaintext".to_owned()),
        ],
    ];
    let mut topics = Vec::new();
    for _ in &ways {
        topics.push(Topic::new(1).await.name);
    }
    std::thread::scope(|scope| {
        for (way, topic) in ways.iter().zip(&topics) {
            scope.spawn(move || there_and_back(topic, way));
        }
    });
}

#[tokio::test]
async fn tables_are_published_over_each_kind_of_connection_to_postgresql() {
    let topic = Topic::new(1).await;
    let lake = tempfile::tempdir().expect("a folder");
    let path = lake.path().to_str().expect("UTF-8");
    topic.send((0..10).map(event));
    run(archive(&topic.name, path).arg("--until-end"));
    let ca = service("LAKEBED_TEST_CA");
    let ways = [
        ("disable", None),
        ("prefer", None),
        ("require", None),
        ("verify-ca", Some(&ca)),
        ("verify-full", Some(&ca)),
    ];
    for (mode, ca) in ways {
        let schema = unique("tls").replace('-', "_");
        let mut command = lakebed(&["process", "--now", "2026-01-02T00:00:00Z", "--format", "json"]);
        with_postgres(&mut command, &schema);
        command.env("DATA_LAKE_PATH", path).env("POSTGRES_SSLMODE", mode);
        if let Some(ca) = ca {
            command.env("POSTGRES_SSLROOTCERT", ca);
        }
        assert_eq!(json(&mut command)["events_read"], json!(10), "{mode}");
    }
}
