//! Connecting to PostgreSQL, as libpq's users know it.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::config::SslMode as Negotiation;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error};

use super::fault::{is_tls, reason};
use super::{Postgres, password, tls};
use crate::config::duration::shown;
use crate::config::postgres::SslMode;
use crate::history::HistoryError;

/// What is asked for of a server that cannot be reached, in the words of errors.
pub(in crate::history) const CONNECT: &str = "connect";

/// Why there is no connection.
enum Attempt {
    Failed(Error),
    TimedOut,
    /// A file that a setting names cannot be used: why, and the setting.
    Settings(String, &'static str),
}

impl Postgres<'_> {
    /// A connection, protected as the settings say.
    pub(in crate::history::publish) async fn connect(&self) -> Result<Client, HistoryError> {
        let (first, second) = match self.settings.sslmode {
            // A socket of this machine carries no TLS.
            _ if self.host.starts_with('/') => (Negotiation::Disable, None),
            SslMode::Disable => (Negotiation::Disable, None),
            SslMode::Allow => (Negotiation::Disable, Some(Negotiation::Require)),
            SslMode::Prefer => (Negotiation::Prefer, Some(Negotiation::Disable)),
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => (Negotiation::Require, None),
        };
        let done = match (self.connect_once(first).await, second) {
            (Err(Attempt::Failed(error)), Some(second)) if may_differ(&error) => self.connect_once(second).await,
            (done, _) => done,
        };
        done.map_err(|error| self.not_connected(error))
    }

    async fn connect_once(&self, negotiation: Negotiation) -> Result<Client, Attempt> {
        let settings = self.settings;
        let mut config = Config::new();
        config
            .host(self.host)
            .port(settings.port)
            .dbname(&settings.db)
            .user(&settings.user)
            .application_name("lakebed")
            .ssl_mode(negotiation)
            .connect_timeout(settings.connect_timeout)
            .tcp_user_timeout(Duration::from_secs(60))
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(3);
        let password = password::of(settings, self.host);
        if let Some(password) = password.map_err(|(reason, help)| Attempt::Settings(reason, help))? {
            config.password(password.reveal());
        }
        let tls = tls::connector(settings).map_err(|(reason, help)| Attempt::Settings(reason, help))?;
        let (client, connection) = timeout(settings.connect_timeout, config.connect(tls))
            .await
            .map_err(|_| Attempt::TimedOut)?
            .map_err(Attempt::Failed)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %reason(&error), "a connection to PostgreSQL ended");
            }
        });
        Ok(client)
    }

    fn not_connected(&self, error: Attempt) -> HistoryError {
        match error {
            Attempt::Failed(error) => self.fault(CONNECT, &error),
            Attempt::TimedOut => self.away(
                CONNECT,
                format!(
                    "no answer within {} (POSTGRES_CONNECT_TIMEOUT)",
                    shown(self.settings.connect_timeout)
                ),
            ),
            Attempt::Settings(reason, help) => self.refused(CONNECT, reason, help),
        }
    }
}

/// Whether a server that did not take this connection may take one with TLS, or without.
fn may_differ(error: &Error) -> bool {
    is_tls(error) || error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}
