//! Connecting to PostgreSQL, and telling its errors apart by what their reader must do.

use std::path::Path;
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use postgres_openssl::MakeTlsConnector;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error};

use super::Postgres;
use crate::config::postgres::SslMode;
use crate::history::HistoryError;

/// What is asked for of a server that cannot be reached, in the words of errors.
pub(in crate::history) const CONNECT: &str = "connect";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Where systems keep the certificates that they trust; the OpenSSL that is built in does not know.
const SYSTEM_CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

impl Postgres<'_> {
    /// A connection, protected as the settings say.
    pub(in crate::history::publish) async fn connect(&self) -> Result<Client, HistoryError> {
        match self.settings.sslmode {
            // A socket of this machine carries no TLS.
            _ if self.host.starts_with('/') => self.connect_with(tokio_postgres::config::SslMode::Disable).await,
            SslMode::Disable => self.connect_with(tokio_postgres::config::SslMode::Disable).await,
            SslMode::Prefer => match self.connect_once(tokio_postgres::config::SslMode::Prefer).await {
                Err(Attempt::Failed(error)) if is_tls(&error) => {
                    self.connect_with(tokio_postgres::config::SslMode::Disable).await
                }
                done => done.map_err(|error| self.not_connected(error)),
            },
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                self.connect_with(tokio_postgres::config::SslMode::Require).await
            }
        }
    }

    async fn connect_with(&self, mode: tokio_postgres::config::SslMode) -> Result<Client, HistoryError> {
        self.connect_once(mode).await.map_err(|error| self.not_connected(error))
    }

    async fn connect_once(&self, mode: tokio_postgres::config::SslMode) -> Result<Client, Attempt> {
        let settings = self.settings;
        let mut config = Config::new();
        config
            .host(self.host)
            .port(settings.port)
            .dbname(&settings.db)
            .user(&settings.user)
            .application_name("lakebed")
            .ssl_mode(mode)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(Duration::from_secs(60))
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(3);
        if let Some(password) = &settings.password {
            config.password(password.reveal());
        }
        if let Some(file) = &settings.sslrootcert {
            std::fs::File::open(file).map_err(|error| Attempt::Certificates(format!("{file}: {error}")))?;
        }
        let tls = self.tls().map_err(|error| Attempt::Certificates(error.to_string()))?;
        let (client, connection) = timeout(CONNECT_TIMEOUT, config.connect(tls))
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

    fn tls(&self) -> Result<MakeTlsConnector, ErrorStack> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        let verify = matches!(self.settings.sslmode, SslMode::VerifyCa | SslMode::VerifyFull);
        if verify {
            match &self.settings.sslrootcert {
                Some(file) => builder.set_ca_file(file)?,
                None => {
                    for file in SYSTEM_CERTIFICATES.iter().filter(|file| Path::new(file).exists()) {
                        builder.set_ca_file(file)?;
                    }
                }
            }
        } else {
            builder.set_verify(SslVerifyMode::NONE);
        }
        let names_host = self.settings.sslmode == SslMode::VerifyFull;
        let mut connector = MakeTlsConnector::new(builder.build());
        connector.set_callback(move |connection, _| {
            connection.set_verify_hostname(names_host);
            Ok(())
        });
        Ok(connector)
    }

    fn not_connected(&self, error: Attempt) -> HistoryError {
        match error {
            Attempt::Failed(error) => self.fault(CONNECT, &error),
            Attempt::TimedOut => HistoryError::PostgresAway {
                server: self.server(),
                what: CONNECT.to_owned(),
                reason: format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
            },
            Attempt::Certificates(reason) => HistoryError::PostgresRefused {
                server: self.server(),
                what: CONNECT.to_owned(),
                reason: format!("the certificates to trust cannot be read: {reason}"),
                help: "correct POSTGRES_SSLROOTCERT",
            },
        }
    }

    /// What the server, or the way to it, says, as an error of the run; `what` is what was asked for.
    pub(in crate::history::publish) fn fault(&self, what: &str, error: &Error) -> HistoryError {
        let refused = |help| HistoryError::PostgresRefused {
            server: self.server(),
            what: what.to_owned(),
            reason: reason(error),
            help,
        };
        let Some(said) = error.as_db_error() else {
            let text = reason(error);
            if is_tls(error) {
                return refused("check POSTGRES_SSLMODE and POSTGRES_SSLROOTCERT");
            }
            if text.contains("password missing") {
                return refused("set POSTGRES_PASSWORD");
            }
            return HistoryError::PostgresAway {
                server: self.server(),
                what: what.to_owned(),
                reason: text,
            };
        };
        match said.code() {
            code if code.code().starts_with("28") => {
                refused("check POSTGRES_USER and POSTGRES_PASSWORD, and the server's pg_hba.conf")
            }
            &SqlState::INVALID_CATALOG_NAME => refused("create the database, or correct POSTGRES_DB"),
            // A table in a schema without USAGE does not exist, as the server puts it.
            &SqlState::INSUFFICIENT_PRIVILEGE | &SqlState::UNDEFINED_TABLE => refused(
                "grant POSTGRES_USER USAGE on the schema and SELECT, INSERT and DELETE on its tables (CREATE where they are missing), or name another POSTGRES_SCHEMA",
            ),
            // Connection lost, resources short, operator intervention, deadlock, lock timeout, system error.
            code if ["08", "40", "53", "55", "57", "58"]
                .iter()
                .any(|class| code.code().starts_with(class)) =>
            {
                HistoryError::PostgresAway {
                    server: self.server(),
                    what: what.to_owned(),
                    reason: reason(error),
                }
            }
            _ => refused("mend what the server names"),
        }
    }
}

enum Attempt {
    Failed(Error),
    TimedOut,
    Certificates(String),
}

fn is_tls(error: &Error) -> bool {
    error.to_string().contains("TLS")
}

/// An error and its causes in one line.
pub(super) fn reason(error: &Error) -> String {
    if let Some(said) = error.as_db_error() {
        let detail = said.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        return format!("{}{detail}", said.message());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}
