//! The password: from a setting, from a file, or from libpq's file of passwords.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::{PostgresSettings, Secret};

/// The password to connect with; none where none is given.
///
/// # Errors
/// What is wrong with the file that holds it, and what to do.
pub(super) fn of(settings: &PostgresSettings, host: &str) -> Result<Option<Secret>, (String, &'static str)> {
    if let Some(password) = &settings.password {
        return Ok(Some(password.clone()));
    }
    if let Some(file) = &settings.password_file {
        let text = std::fs::read_to_string(file).map_err(|error| {
            let reason = format!("the password cannot be read: {}: {error}", file.display());
            (reason, "correct POSTGRES_PASSWORD_FILE")
        })?;
        return Ok(Some(secret(text.trim_end_matches(['\r', '\n']))));
    }
    Ok(passfile(settings).and_then(|text| find(&text, host, settings.port, &settings.db, &settings.user)))
}

/// The text of libpq's file of passwords. As there, one that is missing is as good as an empty one, and one that others can
/// read is left alone, which is said.
fn passfile(settings: &PostgresSettings) -> Option<String> {
    let file = settings.passfile.clone().or_else(default_passfile)?;
    let about = std::fs::metadata(&file).ok().filter(std::fs::Metadata::is_file)?;
    if about.mode() & 0o077 != 0 {
        tracing::warn!(file = %file.display(), "others can read this file of passwords, so it is not used; chmod 600 it");
        return None;
    }
    let text = std::fs::read_to_string(&file);
    text.inspect_err(|error| tracing::warn!(file = %file.display(), %error, "the file of passwords cannot be read"))
        .ok()
}

fn default_passfile() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(Path::new(&home).join(".pgpass"))
}

/// The password of the first line that fits: `host:port:database:user:password`, where `*` fits anything, and a colon or
/// a backslash within a field stands behind a backslash.
fn find(text: &str, host: &str, port: u16, database: &str, user: &str) -> Option<Secret> {
    // libpq calls a socket of the machine so.
    let host = if host.starts_with('/') { "localhost" } else { host };
    let wanted = [host, &port.to_string(), database, user];
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let mut rest = line;
            for wanted in wanted {
                let (field, behind) = field(rest)?;
                if rest.split_once(':')?.0 != "*" && field != wanted {
                    return None;
                }
                rest = behind;
            }
            Some(secret(&unescaped(rest)))
        })
        .next()
}

/// The first field of a line, and what stands behind its colon.
fn field(line: &str) -> Option<(String, &str)> {
    let mut escaped = false;
    let end = line.find(|c| {
        let ends = c == ':' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some((unescaped(&line[..end]), &line[end + 1..]))
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        });
    }
    plain
}

fn secret(text: &str) -> Secret {
    match text.parse() {
        Ok(secret) => secret,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, host: &str) -> Option<String> {
        find(text, host, 5432, "lake", "Ann").map(|secret| secret.reveal().to_owned())
    }

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let text = "# db:5432:lake:Ann:comment\ndb:5432:lake:Bob:theirs\ndb:1:lake:Ann:other\ndb:*:lake:Ann:first\n*:*:*:*:any";
        assert_eq!(found(text, "db"), Some("first".to_owned()));
        assert_eq!(found(text, "elsewhere"), Some("any".to_owned()));
        assert_eq!(found("db:5432:lake:Bob:theirs", "db"), None);
        assert_eq!(found("", "db"), None);
        assert_eq!(found("db:5432", "db"), None);
    }

    #[test]
    fn colons_and_backslashes_stand_behind_a_backslash() {
        assert_eq!(
            found(r"fe80\:\:1:*:*:*:a\:b\\c:d", "fe80::1"),
            Some(r"a:b\c:d".to_owned())
        );
        assert_eq!(found(r"\*:*:*:*:literally", "db"), None);
        assert_eq!(
            found("localhost:*:*:*:by socket", "/run/postgresql"),
            Some("by socket".to_owned())
        );
    }
}
