//! Where the tables are published.

use clap::Args;

use super::Secret;

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

    /// Certificates to trust under verify-ca and verify-full, PEM; without it, the system's
    #[arg(long = "postgres-sslrootcert", env = "POSTGRES_SSLROOTCERT", value_name = "FILE")]
    pub sslrootcert: Option<String>,
}

/// How the connection to PostgreSQL is protected; the words are libpq's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS where the server offers it, unverified.
    Prefer,
    /// Always TLS, unverified.
    Require,
    /// Always TLS, the server's certificate signed by a trusted authority.
    VerifyCa,
    /// As verify-ca, and the certificate names this host.
    VerifyFull,
}
