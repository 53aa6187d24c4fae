//! Where the tables are published.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Secret;
use super::duration::parse_duration;

/// The PostgreSQL server that the tables are published to; without a host they go into the lake.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "PostgreSQL")]
pub struct PostgresSettings {
    /// The server; without it the tables are published into the lake
    #[arg(long = "postgres-host", env = "POSTGRES_HOST", value_name = "HOST")]
    pub host: Option<String>,

    /// The server's port
    #[arg(
        long = "postgres-port",
        env = "POSTGRES_PORT",
        default_value_t = 5432,
        value_name = "PORT"
    )]
    pub port: u16,

    /// The database
    #[arg(
        long = "postgres-db",
        env = "POSTGRES_DB",
        default_value = "postgres",
        value_name = "DATABASE"
    )]
    pub db: String,

    /// The user
    #[arg(
        long = "postgres-user",
        env = "POSTGRES_USER",
        default_value = "postgres",
        value_name = "USER"
    )]
    pub user: String,

    /// The password; prefer the variable or the file, since a process list shows flags
    #[arg(
        long = "postgres-password",
        env = "POSTGRES_PASSWORD",
        hide_env_values = true,
        value_name = "PASSWORD"
    )]
    pub password: Option<Secret>,

    /// A file that holds the password and nothing else
    #[arg(
        long = "postgres-password-file",
        env = "POSTGRES_PASSWORD_FILE",
        value_name = "FILE",
        conflicts_with = "password"
    )]
    pub password_file: Option<PathBuf>,

    /// libpq's file of passwords, for when none is given; ~/.pgpass where this is not set
    #[arg(long = "postgres-passfile", env = "PGPASSFILE", value_name = "FILE")]
    pub passfile: Option<PathBuf>,

    /// The schema that holds the tables
    #[arg(
        long = "postgres-schema",
        env = "POSTGRES_SCHEMA",
        default_value = "public",
        value_name = "SCHEMA"
    )]
    pub schema: String,

    /// Whether and how far to trust TLS, as libpq's users know it
    #[arg(
        long = "postgres-sslmode",
        env = "POSTGRES_SSLMODE",
        default_value = "prefer",
        value_name = "MODE"
    )]
    pub sslmode: SslMode,

    /// Certificates to trust under verify-ca and verify-full, PEM; require with a file of them is verify-ca. Without it, or
    /// as `system`, those that the system trusts
    #[arg(long = "postgres-sslrootcert", env = "POSTGRES_SSLROOTCERT", value_name = "FILE")]
    pub sslrootcert: Option<String>,

    /// The certificate that says who we are, PEM, with those of its issuers
    #[arg(
        long = "postgres-sslcert",
        env = "POSTGRES_SSLCERT",
        value_name = "FILE",
        requires = "sslkey"
    )]
    pub sslcert: Option<PathBuf>,

    /// The key of that certificate, PEM, readable by its owner alone
    #[arg(
        long = "postgres-sslkey",
        env = "POSTGRES_SSLKEY",
        value_name = "FILE",
        requires = "sslcert"
    )]
    pub sslkey: Option<PathBuf>,

    /// How long the server may take to accept a connection
    #[arg(
        long = "postgres-connect-timeout",
        env = "POSTGRES_CONNECT_TIMEOUT",
        default_value = "10s",
        value_parser = parse_duration,
        value_name = "DURATION"
    )]
    pub connect_timeout: Duration,

    /// How long to wait for the locks of others: another publisher, or somebody who alters a table
    #[arg(
        long = "postgres-lock-timeout",
        env = "POSTGRES_LOCK_TIMEOUT",
        default_value = "2m",
        value_parser = parse_duration,
        value_name = "DURATION"
    )]
    pub lock_timeout: Duration,

    /// How long one statement may take, its waiting for locks included
    #[arg(
        long = "postgres-statement-timeout",
        env = "POSTGRES_STATEMENT_TIMEOUT",
        default_value = "5m",
        value_parser = parse_duration,
        value_name = "DURATION"
    )]
    pub statement_timeout: Duration,
}

/// How the connection to PostgreSQL is protected; the words are libpq's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS where the server wants nothing else, unverified.
    Allow,
    /// TLS where the server offers it, unverified.
    Prefer,
    /// Always TLS, unverified unless POSTGRES_SSLROOTCERT names a file.
    Require,
    /// Always TLS, the server's certificate signed by a trusted authority.
    VerifyCa,
    /// As verify-ca, and the certificate names this host.
    VerifyFull,
}
