//! The bytes under the lines: counted as they come, decompressed where they need it.

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

/// How the input is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Not at all.
    Plain,
    /// gzip, of one member or many.
    Gzip,
    /// Zstandard, of one frame or many.
    Zstd,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Plain => "plain",
            Format::Gzip => "gzip",
            Format::Zstd => "zstd",
        })
    }
}

impl Format {
    fn of(head: &[u8]) -> Format {
        match head {
            [0x1f, 0x8b, ..] => Format::Gzip,
            // A frame, or one of the sixteen kinds that readers skip, with which some tools begin a file.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Format::Zstd,
            _ => Format::Plain,
        }
    }
}

/// Bytes to read that take at least this much at a time from below.
const BLOCK: usize = 128 * 1024;

/// The decompressed bytes of a reader.
pub struct Source {
    format: Format,
    decoded: Box<dyn BufRead + Send>,
    progress: Arc<Progress>,
}

impl Source {
    /// Reads the first bytes and sets up what they call for.
    pub fn new(reader: impl Read + Send + 'static) -> io::Result<Source> {
        let progress = Arc::new(Progress::default());
        let mut counted = Counted {
            reader,
            progress: Arc::clone(&progress),
        };
        let mut head = Vec::new();
        counted.by_ref().take(4).read_to_end(&mut head)?;
        let format = Format::of(&head);
        let whole = BufReader::with_capacity(BLOCK, Cursor::new(head).chain(counted));
        let decoded: Box<dyn BufRead + Send> = match format {
            Format::Plain => Box::new(whole),
            Format::Gzip => Box::new(BufReader::with_capacity(BLOCK, MultiGzDecoder::new(whole))),
            Format::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
                Box::new(BufReader::with_capacity(BLOCK, decoder))
            }
        };
        Ok(Source {
            format,
            decoded,
            progress,
        })
    }

    /// How the reader's bytes are compressed.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Bytes taken from the reader.
    pub fn consumed(&self) -> u64 {
        self.progress.consumed.load(Ordering::Relaxed)
    }

    /// Whether the reader itself failed, rather than the decompression of what it gave.
    pub fn failed(&self) -> bool {
        self.progress.failed.load(Ordering::Relaxed)
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoded.read(buffer)
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.decoded.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.decoded.consume(amount);
    }
}

#[derive(Default)]
struct Progress {
    consumed: AtomicU64,
    failed: AtomicBool,
}

struct Counted<R> {
    reader: R,
    progress: Arc<Progress>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer);
        match &read {
            Ok(bytes) => {
                self.progress.consumed.fetch_add(*bytes as u64, Ordering::Relaxed);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.progress.failed.store(true, Ordering::Relaxed),
        }
        read
    }
}
