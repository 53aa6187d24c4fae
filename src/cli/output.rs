//! What commands print on stdout: text for people, or one JSON object for programs.

use std::io::{self, Write};

use serde::Serialize;

/// What a command prints when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// Prints a command's result in the format that was asked for.
///
/// # Errors
/// Where stdout cannot be written to; a reader that has gone away is no error.
pub fn print<T: Serialize>(format: Format, result: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
    let printed = match format {
        Format::Text => text(result),
        Format::Json => serde_json::to_string(result)?,
    };
    print_line(&printed)
}

/// Prints a line.
///
/// # Errors
/// Where stdout cannot be written to; a reader that has gone away is no error.
pub fn print_line(line: &str) -> anyhow::Result<()> {
    accept_closed(writeln!(io::stdout().lock(), "{line}"))
}

/// Takes it that a reader who has seen enough closes the pipe.
///
/// # Errors
/// Every other error of writing.
pub fn accept_closed(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// A whole number as people read it, such as 39,244.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    digits
        .bytes()
        .enumerate()
        .flat_map(|(index, digit)| {
            let comma = index > 0 && (digits.len() - index).is_multiple_of(3);
            comma.then_some(',').into_iter().chain([char::from(digit)])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_set_apart() {
        let numbers = [0, 7, 999, 1_000, 39_244, 1_000_000];
        let expected = ["0", "7", "999", "1,000", "39,244", "1,000,000"];
        assert_eq!(numbers.map(grouped), expected);
    }
}
