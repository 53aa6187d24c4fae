//! What is to be fed, read line by line: a file, standard input or any other reader, compressed or not.

mod error;
mod source;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufRead, ErrorKind, Read};
use std::path::Path;

pub use self::error::InputError;
use self::source::{Format, Source};

/// A longer line is refused: no event is so long, and Kafka would not take it.
pub const MAX_LINE_BYTES: usize = 100 * 1024 * 1024;

/// What a buffer that one long line has grown may keep for the lines after it.
const KEPT_BUFFER_BYTES: usize = 1024 * 1024;

/// Lines of plain, gzip or zstd text, told apart by how the bytes begin, never by a name.
pub struct Input {
    name: String,
    source: Source,
    total_bytes: Option<u64>,
    max_line_bytes: usize,
    lines: u64,
    line: Vec<u8>,
    ended: bool,
}

impl Input {
    /// Opens a file, or standard input where the path is `-`, and waits for its first bytes.
    ///
    /// # Errors
    /// [`InputError`] where there is no such file, or none that can be read.
    pub fn open(path: &Path) -> Result<Input, InputError> {
        if path.as_os_str() == "-" {
            return Input::from_reader("standard input", io::stdin());
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| unopened(&name, &error))?;
        let metadata = file.metadata().map_err(|error| unopened(&name, &error))?;
        if metadata.is_dir() {
            return Err(InputError::Folder { name });
        }
        let mut input = Input::from_reader(&name, file)?;
        input.total_bytes = metadata.is_file().then_some(metadata.len());
        Ok(input)
    }

    /// Reads from anything else, such as an answer's body, called `name` in messages; waits for its first bytes.
    ///
    /// # Errors
    /// [`InputError::Failed`] where not even these can be read.
    pub fn from_reader(name: &str, reader: impl Read + Send + 'static) -> Result<Input, InputError> {
        let source = Source::new(reader).map_err(|error| InputError::Failed {
            name: name.to_owned(),
            lines: 0,
            reason: error.to_string(),
        })?;
        Ok(Input {
            name: name.to_owned(),
            source,
            total_bytes: None,
            max_line_bytes: MAX_LINE_BYTES,
            lines: 0,
            line: Vec::new(),
            ended: false,
        })
    }

    /// The next line without its end (`\n` or `\r\n`); none after the last one or after an error.
    ///
    /// # Errors
    /// [`InputError`] where the line is too long, the compressed data is damaged or ends too early, or reading failed;
    /// every whole line before that was returned.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, InputError> {
        if self.ended {
            return Ok(None);
        }
        let read = self.read_line();
        self.ended = !matches!(read, Ok(true));
        Ok(read?.then_some(&self.line))
    }

    /// The input as messages name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lines returned so far: the number of the last one, counted from 1.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The file's size as it lies on disk; none where there is no file or it has no size, as pipes.
    pub fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// How many of these bytes have been read, a buffer ahead of the lines; a file that grows may yield more than
    /// [`Input::total_bytes`].
    pub fn consumed(&self) -> u64 {
        self.source.consumed()
    }

    fn read_line(&mut self) -> Result<bool, InputError> {
        self.line.clear();
        self.line.shrink_to(KEPT_BUFFER_BYTES);
        let with_ends = (self.max_line_bytes + BYTE_ORDER_MARK.len() + b"\r\n".len()) as u64;
        let read = self.source.by_ref().take(with_ends).read_until(b'\n', &mut self.line);
        if read.map_err(|error| self.unread(&error))? == 0 {
            return Ok(false);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            if self.line.last() == Some(&b'\r') {
                self.line.pop();
            }
        }
        if self.lines == 0 && self.line.starts_with(BYTE_ORDER_MARK) {
            self.line.drain(..BYTE_ORDER_MARK.len());
        }
        if self.line.len() > self.max_line_bytes {
            return Err(InputError::TooLong {
                name: self.name.clone(),
                line: self.lines + 1,
                max: self.max_line_bytes,
            });
        }
        self.lines += 1;
        Ok(true)
    }

    fn unread(&self, error: &io::Error) -> InputError {
        let (name, lines) = (self.name.clone(), self.lines);
        match self.source.format() {
            Format::Plain => InputError::Failed {
                name,
                lines,
                reason: error.to_string(),
            },
            _ if self.source.failed() => InputError::Failed {
                name,
                lines,
                reason: error.to_string(),
            },
            format => InputError::Damaged {
                name,
                lines,
                format,
                reason: match error.kind() {
                    ErrorKind::UnexpectedEof => "ends too early".to_owned(),
                    _ => format!("is damaged ({error})"),
                },
            },
        }
    }
}

/// Some editors begin a UTF-8 file with it; it belongs to the file, not to its first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn unopened(name: &str, error: &io::Error) -> InputError {
    let name = name.to_owned();
    match error.kind() {
        ErrorKind::NotFound => InputError::Missing { name },
        ErrorKind::PermissionDenied => InputError::Refused { name },
        ErrorKind::IsADirectory => InputError::Folder { name },
        _ => InputError::Unopened {
            name,
            reason: error.to_string(),
        },
    }
}
