//! The settings as Kafka's client library takes them, and what it notes about its connections.

use std::sync::Mutex;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use crate::config::KafkaSettings;

/// What every client of ours starts from.
pub fn client_config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", "lakebed")
        .set("security.protocol", &settings.security_protocol)
        .set("reconnect.backoff.max.ms", "2000")
        .set_log_level(RDKafkaLogLevel::Warning);
    if settings.security_protocol.to_ascii_uppercase().starts_with("SASL") {
        config.set("sasl.mechanism", &settings.sasl_mechanism);
        if let Some(user) = &settings.sasl_username {
            config.set("sasl.username", user);
        }
        if let Some(password) = &settings.sasl_password {
            config.set("sasl.password", password.reveal());
        }
    }
    if settings.security_protocol.to_ascii_uppercase().ends_with("SSL") {
        let files = [
            ("ssl.ca.location", &settings.ssl_ca_location),
            ("ssl.certificate.location", &settings.ssl_certificate_location),
            ("ssl.key.location", &settings.ssl_key_location),
        ];
        for (name, file) in files {
            if let Some(file) = file {
                config.set(name, file);
            }
        }
    }
    config
}

/// The client library's last words about its connections, kept for the error that they explain.
///
/// The library reports a broker that is away by a callback and then again as the failure of whatever was asked, so
/// the callback's words are kept here and shown once, with that failure.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Option<String>>);

impl Notes {
    /// Keeps what an error callback said.
    pub fn keep(&self, error: &KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka's client reports");
        let mut kept = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // "All brokers are down" follows the reason why; the reason is the one to show.
        if kept.is_none() || !reason.contains("brokers are down") {
            *kept = Some(reason.to_owned());
        }
    }

    /// The last words, which are forgotten.
    pub fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }

    /// Passes on what the client library logs, at the level of a detail.
    pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }
}
