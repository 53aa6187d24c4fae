//! What commands print on stdout: text for people, or one JSON object for programs.

use std::io::{self, Write};

use anyhow::Context;
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
    let mut out = Stdout::new();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .context("cannot write to stdout")
}

/// Stdout, for a reader who may close the pipe once they have seen enough: what comes later goes nowhere.
pub struct Stdout {
    open: bool,
}

impl Stdout {
    /// Stdout as the process was given it.
    pub fn new() -> Stdout {
        Stdout { open: true }
    }

    fn accept_closed<T>(&mut self, written: io::Result<T>, as_if: T) -> io::Result<T> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.open = false;
                Ok(as_if)
            }
            other => other,
        }
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.open {
            return Ok(bytes.len());
        }
        let written = io::stdout().write(bytes);
        self.accept_closed(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = io::stdout().flush();
        self.accept_closed(flushed, ())
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
