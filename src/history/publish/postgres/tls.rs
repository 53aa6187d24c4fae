//! TLS to PostgreSQL: whom to trust, and who we are.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslFiletype, SslMethod, SslVerifyMode};
use postgres_openssl::MakeTlsConnector;

use crate::config::PostgresSettings;
use crate::config::postgres::SslMode;

/// Where systems keep the certificates that they trust; the OpenSSL that is built in does not know.
const SYSTEM_CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// The name of these in POSTGRES_SSLROOTCERT, as in libpq.
const SYSTEM: &str = "system";

/// What is wrong, and what to do.
type Refusal = (String, &'static str);

/// What makes connections secure as the settings say.
///
/// # Errors
/// A file that cannot be used.
pub(super) fn connector(settings: &PostgresSettings) -> Result<MakeTlsConnector, Refusal> {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(|error| plain(&error))?;
    trust(&mut builder, settings)?;
    if let (Some(certificate), Some(key)) = (&settings.sslcert, &settings.sslkey) {
        identify(&mut builder, certificate, key)?;
    }
    let names_host = settings.sslmode == SslMode::VerifyFull;
    let mut connector = MakeTlsConnector::new(builder.build());
    connector.set_callback(move |connection, _| {
        connection.set_verify_hostname(names_host);
        Ok(())
    });
    Ok(connector)
}

fn trust(builder: &mut SslConnectorBuilder, settings: &PostgresSettings) -> Result<(), Refusal> {
    const HELP: &str = "correct POSTGRES_SSLROOTCERT";
    let file = settings.sslrootcert.as_deref();
    // A name that anybody may have a certificate for must be looked at: every authority of the system signs some.
    if file == Some(SYSTEM) && settings.sslmode != SslMode::VerifyFull {
        let reason = "the system's authorities sign certificates for anybody".to_owned();
        return Err((
            reason,
            "with POSTGRES_SSLROOTCERT=system, set POSTGRES_SSLMODE=verify-full",
        ));
    }
    let verifies = match settings.sslmode {
        SslMode::VerifyCa | SslMode::VerifyFull => true,
        SslMode::Require => file.is_some(),
        SslMode::Disable | SslMode::Allow | SslMode::Prefer => false,
    };
    if !verifies {
        builder.set_verify(SslVerifyMode::NONE);
        return Ok(());
    }
    let unreadable = |error: &dyn std::fmt::Display| {
        let file = file.unwrap_or(SYSTEM);
        (
            format!("the certificates to trust cannot be read: {file}: {error}"),
            HELP,
        )
    };
    match file {
        Some(file) if file != SYSTEM => {
            std::fs::File::open(file).map_err(|error| unreadable(&error))?;
            builder.set_ca_file(file).map_err(|error| unreadable(&error))
        }
        _ => SYSTEM_CERTIFICATES
            .iter()
            .filter(|file| Path::new(file).exists())
            .try_for_each(|file| builder.set_ca_file(file))
            .map_err(|error| unreadable(&error)),
    }
}

fn identify(builder: &mut SslConnectorBuilder, certificate: &Path, key: &Path) -> Result<(), Refusal> {
    const CERTIFICATE: &str = "correct POSTGRES_SSLCERT";
    const KEY: &str = "correct POSTGRES_SSLKEY";
    let unusable = |file: &Path, error: &dyn std::fmt::Display, help| (format!("{}: {error}", file.display()), help);
    std::fs::File::open(certificate).map_err(|error| unusable(certificate, &error, CERTIFICATE))?;
    builder
        .set_certificate_chain_file(certificate)
        .map_err(|error| unusable(certificate, &error, CERTIFICATE))?;
    let about = std::fs::metadata(key).map_err(|error| unusable(key, &error, KEY))?;
    // As libpq has it: a file of root's may be read by its group.
    let others = if about.uid() == 0 { 0o037 } else { 0o077 };
    if about.mode() & others != 0 {
        let reason = "others can read this key";
        return Err(unusable(key, &reason, "chmod 600 the file that POSTGRES_SSLKEY names"));
    }
    builder
        .set_private_key_file(key, SslFiletype::PEM)
        .and_then(|()| builder.check_private_key())
        .map_err(|error| unusable(key, &error, KEY))
}

fn plain(error: &ErrorStack) -> Refusal {
    (error.to_string(), "check POSTGRES_SSLMODE")
}
