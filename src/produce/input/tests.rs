//! The same lines, however they come.

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::error::{HasKind, Kind};

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(text, 1).unwrap()
}

fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, Option<InputError>) {
    drain(Input::from_reader("events", Cursor::new(bytes.to_vec())).unwrap())
}

fn drain(mut input: Input) -> (Vec<Vec<u8>>, Option<InputError>) {
    let mut lines = Vec::new();
    loop {
        match input.next_line() {
            Ok(Some(line)) => lines.push(line.to_vec()),
            Ok(None) => return (lines, None),
            Err(error) => {
                assert!(matches!(input.next_line(), Ok(None)), "an error ends the input");
                assert_eq!(input.lines(), lines.len() as u64);
                return (lines, Some(error));
            }
        }
    }
}

/// Lines long enough, and different enough, to fill several blocks of any compression.
fn many_lines() -> Vec<Vec<u8>> {
    let number = |line: u64, word: u64| (line * 1009 + word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let line = |line: u64| {
        (0..line % 97)
            .map(|word| format!("{:x}", number(line, word)))
            .collect::<String>()
    };
    (0..1500).map(|n| line(n).into_bytes()).collect()
}

#[test]
fn compression_changes_nothing() {
    let lines = many_lines();
    let text = lines.join(&b'\n');
    let (a, b) = text.split_at(text.len() / 3);
    let skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc";
    for (what, bytes) in [
        ("plain", text.clone()),
        ("with a last line end", [&text[..], b"\n"].concat()),
        ("with carriage returns", lines.join(&b"\r\n"[..])),
        ("after a byte order mark", [b"\xef\xbb\xbf", &text[..]].concat()),
        ("gzip", gzip(&text)),
        ("gzip of many members", [gzip(a), gzip(b""), gzip(b)].concat()),
        ("zstd", zstd(&text)),
        (
            "zstd of many frames",
            [&skippable[..], &zstd(a), &zstd(b""), &zstd(b)].concat(),
        ),
    ] {
        let (found, error) = read(&bytes);
        assert!(error.is_none(), "{what}: {error:?}");
        assert_eq!(found, lines, "{what}");
    }
}

#[test]
fn line_ends_are_taken_off_and_nothing_else() {
    for (text, lines) in [
        (&b""[..], &[][..]),
        (b"\n", &[&b""[..]]),
        (b"a", &[b"a"]),
        (b"a\n\r\nb\r\r\n c \r", &[b"a", b"", b"b\r", b" c \r"]),
        (b"\xff\0\n\xef\xbb\xbf", &[b"\xff\0", b"\xef\xbb\xbf"]),
    ] {
        assert_eq!(read(text).0, lines, "{text:?}");
        assert_eq!(read(&gzip(text)).0, lines, "{text:?}");
    }
}

#[test]
fn what_is_cut_short_gives_its_whole_lines_and_an_error() {
    let lines = many_lines();
    let text = lines.join(&b'\n');
    for (format, whole) in [("gzip", gzip(&text)), ("zstd", zstd(&text))] {
        let (found, error) = read(&whole[..whole.len() / 2]);
        assert!(found.len() > lines.len() / 4, "{format}: {} lines", found.len());
        assert_eq!(found, lines[..found.len()], "{format}");
        let error = error.unwrap();
        assert_eq!(error.kind(), Kind::Data);
        let expected = format!(
            "the {format} data of events ends too early, after {} whole lines",
            found.len()
        );
        assert!(error.to_string().starts_with(&expected), "{error}");

        for left in 1..20 {
            let (_, error) = read(&whole[..whole.len() - left]);
            assert!(
                matches!(error, Some(InputError::Damaged { .. })),
                "{format} without its last {left} bytes"
            );
        }
    }
    for head in 2..18 {
        let (found, error) = read(&gzip(b"a\n")[..head]);
        assert!(
            found.len() < 2 && matches!(error, Some(InputError::Damaged { .. })),
            "{head} bytes of gzip"
        );
    }
}

#[test]
fn what_is_damaged_is_named() {
    let text = many_lines().join(&b'\n');
    for (format, mut bytes) in [("gzip", gzip(&text)), ("zstd", zstd(&text))] {
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0);
        let (_, error) = read(&bytes);
        let message = error.unwrap().to_string();
        assert!(
            message.contains(&format!("the {format} data of events is damaged (")),
            "{message}"
        );
        let (_, error) = read(
            &[
                if format == "gzip" { gzip(&text) } else { zstd(&text) },
                b"and more".to_vec(),
            ]
            .concat(),
        );
        assert!(matches!(error, Some(InputError::Damaged { .. })), "{format}: {error:?}");
    }
}

#[test]
fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
    for end in ["", "\n", "\r\n"] {
        for (length, fits) in [
            (9, true),
            (10, true),
            (11, false),
            (12, false),
            (13, false),
            (1000, false),
        ] {
            let text = format!("first\n{}{end}", "x".repeat(length));
            let mut input = Input::from_reader("events", Cursor::new(text)).unwrap();
            input.max_line_bytes = 10;
            let (lines, error) = drain(input);
            assert_eq!(lines.len(), if fits { 2 } else { 1 }, "{length} {end:?}");
            assert_eq!(error.is_none(), fits, "{length} {end:?}");
            if let Some(error) = error {
                assert!(
                    error
                        .to_string()
                        .starts_with("line 2 of events is longer than 10 bytes"),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn a_byte_order_mark_does_not_count() {
    for (length, fits) in [(10, true), (11, false)] {
        let text = format!("\u{feff}{}\r\n", "x".repeat(length));
        let mut input = Input::from_reader("events", Cursor::new(text)).unwrap();
        input.max_line_bytes = 10;
        let (lines, error) = drain(input);
        assert_eq!((lines.len(), error.is_none()), (usize::from(fits), fits));
    }
}

#[test]
fn files_report_how_much_of_them_is_read() {
    let folder = tempfile::tempdir().unwrap();
    // The name says nothing: the bytes do.
    let path = folder.path().join("events.txt");
    let bytes = zstd(&many_lines().join(&b'\n'));
    std::fs::write(&path, &bytes).unwrap();
    let mut input = Input::open(&path).unwrap();
    assert_eq!(input.total_bytes(), Some(bytes.len() as u64));
    assert!(input.consumed() < bytes.len() as u64);
    while input.next_line().unwrap().is_some() {}
    assert_eq!(input.consumed(), bytes.len() as u64);
    assert_eq!(input.lines(), 1500);
}

#[test]
fn what_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent.ndjson");
    let beyond_file = folder.path().join("file/below");
    std::fs::write(folder.path().join("file"), "").unwrap();
    for (path, words) in [
        (&absent, "there is no file "),
        (&folder.path().to_path_buf(), "is a folder"),
        (&beyond_file, "cannot open "),
    ] {
        let error = Input::open(path).err().unwrap();
        assert_eq!(error.kind(), Kind::Configuration);
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    let refused = unopened("secret", &io::Error::from(ErrorKind::PermissionDenied));
    assert!(matches!(refused, InputError::Refused { .. }) && refused.kind() == Kind::Configuration);
}

#[test]
fn a_reader_that_fails_is_no_damaged_file() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the cable is cut"))
        }
    }
    let text = many_lines().join(&b'\n');
    for bytes in [text.clone(), gzip(&text), zstd(&text)] {
        let half = bytes[..bytes.len() / 2].to_vec();
        let (_, error) = drain(Input::from_reader("socket", Cursor::new(half).chain(Broken)).unwrap());
        let error = error.unwrap();
        assert!(
            matches!(error, InputError::Failed { .. }) && error.kind() == Kind::Retry,
            "{error}"
        );
        assert!(
            error.to_string().contains("reading socket failed") && error.to_string().contains("cable"),
            "{error}"
        );
    }
    assert!(matches!(
        Input::from_reader("socket", Broken),
        Err(InputError::Failed { lines: 0, .. })
    ));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), head in 0usize..4) {
        let heads: [&[u8]; 4] = [b"", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"];
        read(&[heads[head], &bytes].concat());
    }
}
