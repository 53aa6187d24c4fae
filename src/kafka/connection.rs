//! The settings as Kafka's client library takes them, and what it notes about its connections.

use std::fs::File;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use super::KafkaFault;
use crate::config::KafkaSettings;

/// What every client of ours starts from.
pub fn client_config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", "lakebed")
        .set("security.protocol", &settings.security_protocol)
        .set("reconnect.backoff.max.ms", "2000")
        // The client library's own figures, which it would keep per message, for brokers that ask for them.
        .set("enable.metrics.push", "false")
        // Why a connection was closed is told at this level only.
        .set_log_level(RDKafkaLogLevel::Info);
    if uses_sasl(settings) {
        config.set("sasl.mechanism", &settings.sasl_mechanism);
        if let Some(user) = &settings.sasl_username {
            config.set("sasl.username", user);
        }
        if let Some(password) = &settings.sasl_password {
            config.set("sasl.password", password.reveal());
        }
    }
    if uses_ssl(settings) {
        // The OpenSSL that is built in does not know where systems keep the certificates that they trust.
        config.set("ssl.ca.location", "probe");
        for (_, name, file) in files(settings) {
            if let Some(file) = file {
                config.set(name, file);
            }
        }
    }
    config
}

/// Looks for what the client library would refuse in words that name no setting.
///
/// # Errors
/// [`KafkaFault::Settings`] where a file cannot be read or a setting is missing beside another.
pub fn check(settings: &KafkaSettings) -> Result<(), KafkaFault> {
    let fault = |reason: String| Err(KafkaFault::Settings(reason));
    if uses_sasl(settings) && (settings.sasl_username.is_none() || settings.sasl_password.is_none()) {
        return fault(format!(
            "KAFKA_SECURITY_PROTOCOL={} needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
            settings.security_protocol
        ));
    }
    if !uses_ssl(settings) {
        return Ok(());
    }
    if settings.ssl_certificate_location.is_some() != settings.ssl_key_location.is_some() {
        return fault("KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION need each other".to_owned());
    }
    for (variable, _, file) in files(settings) {
        if let Some(file) = file
            && let Err(error) = File::open(file)
        {
            return fault(format!("{variable} names {file}, which cannot be read: {error}"));
        }
    }
    Ok(())
}

fn uses_sasl(settings: &KafkaSettings) -> bool {
    settings.security_protocol.to_ascii_uppercase().starts_with("SASL")
}

fn uses_ssl(settings: &KafkaSettings) -> bool {
    settings.security_protocol.to_ascii_uppercase().ends_with("SSL")
}

/// The files of TLS: our name of the setting, the client library's, and the file.
fn files(settings: &KafkaSettings) -> [(&'static str, &'static str, Option<&String>); 3] {
    [
        (
            "KAFKA_SSL_CA_LOCATION",
            "ssl.ca.location",
            settings.ssl_ca_location.as_ref(),
        ),
        (
            "KAFKA_SSL_CERTIFICATE_LOCATION",
            "ssl.certificate.location",
            settings.ssl_certificate_location.as_ref(),
        ),
        (
            "KAFKA_SSL_KEY_LOCATION",
            "ssl.key.location",
            settings.ssl_key_location.as_ref(),
        ),
    ]
}

/// The client library's last words about its connections, kept for the error that they explain.
///
/// The library reports a broker that is away by a callback and then again as the failure of whatever was asked, so
/// the callback's words are kept here and shown once, with that failure.
#[derive(Debug, Default)]
pub struct Notes {
    last: Mutex<Option<String>>,
    answered: AtomicBool,
}

impl Notes {
    /// Keeps what an error callback said.
    pub fn keep(&self, error: &KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka's client reports");
        let mut kept = self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // "All brokers are down" follows the reason why; the reason is the one to show.
        let vague = ["brokers are down", "Broken pipe", "Connection reset"];
        if kept.is_none() || !vague.iter().any(|words| reason.contains(words)) {
            *kept = Some(reason.to_owned());
        }
    }

    /// Keeps what the client library logs about a connection that the broker closed: no error callback says it.
    pub fn hear(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Notes::log(level, facility, message);
        if message.contains("Disconnected") {
            let mut kept = self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let told = message.split_once("]: ").map_or(message, |(_, told)| told);
            *kept = Some(told.to_owned());
        }
    }

    /// Keeps that a broker has answered.
    pub fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether a broker has ever answered.
    pub fn have_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// The last words.
    pub fn last(&self) -> Option<String> {
        self.last
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }

    /// The last words, which are forgotten.
    pub fn take(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }

    /// Passes on what the client library logs, at the level of a detail.
    pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, "{message}");
    }
}
