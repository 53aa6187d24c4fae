//! Where Kafka is and how to log in, under the names that Kafka's users know.

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use super::Secret;

/// How to reach the brokers, for every command that talks to Kafka.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaSettings {
    /// Brokers to start from, as host:port, separated by commas
    #[arg(
        long = "kafka-brokers",
        env = "KAFKA_BROKERS",
        default_value = "localhost:9092",
        value_name = "HOST:PORT,…"
    )]
    pub brokers: String,

    /// The topic that holds the events
    #[arg(
        long = "kafka-topic",
        env = "KAFKA_TOPIC",
        default_value = "wiki-raw-events",
        value_name = "TOPIC"
    )]
    pub topic: String,

    /// How to talk to the brokers
    #[arg(long = "kafka-security-protocol", env = "KAFKA_SECURITY_PROTOCOL", default_value = "PLAINTEXT", ignore_case = true,
          value_parser = PossibleValuesParser::new(["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), value_name = "PROTOCOL")]
    pub security_protocol: String,

    /// How to log in under SASL_PLAINTEXT and SASL_SSL
    #[arg(long = "kafka-sasl-mechanism", env = "KAFKA_SASL_MECHANISM", default_value = "PLAIN", ignore_case = true,
          value_parser = PossibleValuesParser::new(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]), value_name = "MECHANISM")]
    pub sasl_mechanism: String,

    /// The user for SASL
    #[arg(long = "kafka-sasl-username", env = "KAFKA_SASL_USERNAME", value_name = "USER")]
    pub sasl_username: Option<String>,

    /// The password for SASL; prefer the variable or the file, since a process list shows flags
    #[arg(
        long = "kafka-sasl-password",
        env = "KAFKA_SASL_PASSWORD",
        hide_env_values = true,
        value_name = "PASSWORD"
    )]
    pub sasl_password: Option<Secret>,

    /// Certificates to trust, PEM; without it, the system's
    #[arg(long = "kafka-ssl-ca-location", env = "KAFKA_SSL_CA_LOCATION", value_name = "FILE")]
    pub ssl_ca_location: Option<String>,

    /// The client's certificate, PEM
    #[arg(
        long = "kafka-ssl-certificate-location",
        env = "KAFKA_SSL_CERTIFICATE_LOCATION",
        value_name = "FILE"
    )]
    pub ssl_certificate_location: Option<String>,

    /// The client's private key, PEM
    #[arg(long = "kafka-ssl-key-location", env = "KAFKA_SSL_KEY_LOCATION", value_name = "FILE")]
    pub ssl_key_location: Option<String>,
}

/// How this process takes part in the consumer group.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kafka")]
pub struct ConsumerSettings {
    /// The consumer group, whose members share the partitions
    #[arg(
        long = "kafka-group",
        env = "KAFKA_GROUP",
        default_value = "wiki-batch-archiver-group",
        value_name = "GROUP"
    )]
    pub group: String,

    /// Where to start in a partition that the lake has never seen
    #[arg(long, env = "AUTO_OFFSET_RESET", default_value = "latest", value_name = "WHERE")]
    pub auto_offset_reset: OffsetReset,

    /// A name that stays the same over restarts of this member, so that a restart takes its partitions back at once
    #[arg(long = "kafka-group-instance-id", env = "KAFKA_GROUP_INSTANCE_ID", value_name = "ID")]
    pub group_instance_id: Option<String>,

    /// How the group shares out the partitions; all its members must have a strategy of one kind, cooperative or eager
    #[arg(long = "kafka-partition-assignment-strategy", env = "KAFKA_PARTITION_ASSIGNMENT_STRATEGY", default_value = "cooperative-sticky",
          value_parser = PossibleValuesParser::new(["cooperative-sticky", "range", "roundrobin", "range,roundrobin"]), value_name = "STRATEGY")]
    pub partition_assignment_strategy: String,

    /// Milliseconds without a heartbeat after which the group gives this member's partitions to others
    #[arg(
        long = "kafka-session-timeout-ms",
        env = "KAFKA_SESSION_TIMEOUT_MS",
        default_value_t = 45_000,
        value_name = "MS"
    )]
    pub session_timeout_ms: u32,
}

/// Where to start in a partition that the lake has never seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OffsetReset {
    /// At the oldest message that Kafka still has.
    Earliest,
    /// Behind the newest message: only what comes from now on.
    Latest,
}
