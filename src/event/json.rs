//! JSON syntax (RFC 8259): where values begin and end and of what kind they are, without building them.
//!
//! Accepts what `serde_json` accepts, lone surrogates in escapes included, and nests to any depth without recursion.

use super::number::{no_digits, word};
use super::text::stop;

/// What a value is, as its syntax alone tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    True,
    False,
    /// A number without fraction and exponent.
    Integer,
    /// Any other number.
    Decimal,
    /// A string without escapes.
    Plain,
    /// A string with escapes.
    Escaped,
    Object,
    List,
}

/// A value: its kind and its text in the message, quotes included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pub kind: Kind,
    pub text: &'a str,
}

impl<'a> Value<'a> {
    /// The text of a string between its quotes, escapes as they are.
    #[inline(always)]
    pub fn inner(self) -> &'a str {
        &self.text[1..self.text.len() - 1]
    }
}

/// Walks over a text. Each method reads one thing from where the one before left off; None means that it is not there and
/// the text is not JSON.
///
/// Only what is inlined borrows the scanner, so that its position stays in a register; calls pass it by value.
#[derive(Clone, Copy)]
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            text: text.as_bytes(),
            at: 0,
        }
    }

    /// How far the text has been read.
    #[inline(always)]
    pub fn position(&self) -> usize {
        self.at
    }

    /// What has not been read.
    #[inline(always)]
    pub fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    #[inline(always)]
    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Reads the next byte.
    #[inline(always)]
    pub fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Reads `length` bytes that are known to be there.
    #[inline(always)]
    pub fn skip(&mut self, length: usize) {
        self.at += length;
    }

    /// Reads `expected` if it is what comes next.
    #[inline(always)]
    pub fn take(&mut self, expected: &[u8]) -> Option<()> {
        self.rest().starts_with(expected).then(|| self.skip(expected.len()))
    }

    #[inline(always)]
    pub fn whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Reads the whitespace at the end of the text.
    #[inline(always)]
    pub fn end(&mut self) -> Option<()> {
        self.whitespace();
        self.peek().is_none().then_some(())
    }

    /// Reads what stands between a key and its value.
    #[inline(always)]
    pub fn colon(&mut self) -> Option<()> {
        if self.separator(b':').is_none() {
            self.whitespace();
            self.take(b":")?;
            self.whitespace();
        }
        Some(())
    }

    /// Reads a separator with one space or none behind it, as nearly all producers write it, if another token follows. Of
    /// what is written otherwise it reads nothing.
    #[inline(always)]
    pub fn separator(&mut self, separator: u8) -> Option<()> {
        let next = u32::from_le_bytes(*self.rest().first_chunk()?);
        let [first, second, third, _] = next.to_le_bytes();
        let length = match () {
            () if next as u16 == u16::from_le_bytes([separator, b' ']) && third > b' ' => 2,
            () if first == separator && second > b' ' => 1,
            () => return None,
        };
        self.skip(length);
        Some(())
    }

    /// Reads a value. `nesting` is room to work in.
    #[inline(always)]
    pub fn value(&mut self, nesting: &mut Vec<u8>) -> Option<Kind> {
        match self.peek()? {
            b'{' => {
                *self = self.nested(nesting)?;
                Some(Kind::Object)
            }
            b'[' => {
                *self = self.nested(nesting)?;
                Some(Kind::List)
            }
            _ => self.scalar(),
        }
    }

    /// Reads a string.
    #[inline(always)]
    pub fn string(&mut self) -> Option<Kind> {
        self.take(b"\"")?;
        self.at = stop(self.text, self.at);
        match self.next()? {
            b'"' => Some(Kind::Plain),
            b'\\' => {
                *self = self.escaped()?;
                Some(Kind::Escaped)
            }
            _ => None,
        }
    }

    /// Reads the rest of a string after the backslash of its first escape.
    #[inline(never)]
    fn escaped(mut self) -> Option<Self> {
        loop {
            self.escape()?;
            self.at = stop(self.text, self.at);
            match self.next()? {
                b'"' => return Some(self),
                b'\\' => {}
                _ => return None,
            }
        }
    }

    /// Reads the rest of an escape.
    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.rest().first_chunk::<4>()?;
                self.skip(digits.len());
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn scalar(&mut self) -> Option<Kind> {
        match self.peek()? {
            b'"' => self.string(),
            b'n' => self.take(b"null").map(|()| Kind::Null),
            b't' => self.take(b"true").map(|()| Kind::True),
            b'f' => self.take(b"false").map(|()| Kind::False),
            _ => self.number(),
        }
    }

    #[inline(always)]
    fn number(&mut self) -> Option<Kind> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.next()? {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return None,
        }
        if let Some(b'.' | b'e' | b'E') = self.peek() {
            *self = self.decimal()?;
            return Some(Kind::Decimal);
        }
        Some(Kind::Integer)
    }

    /// Reads the rest of a number after its integer part.
    #[inline(never)]
    fn decimal(mut self) -> Option<Self> {
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digit()?;
            self.digits();
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digit()?;
            self.digits();
        }
        Some(self)
    }

    #[inline(always)]
    fn digits(&mut self) {
        while let Some(eight) = self.rest().first_chunk() {
            let end = no_digits(word(eight));
            if end != 0 {
                return self.skip(end.trailing_zeros() as usize / 8);
            }
            self.skip(eight.len());
        }
        while self.digit().is_some() {}
    }

    #[inline(always)]
    fn digit(&mut self) -> Option<()> {
        self.peek()?.is_ascii_digit().then(|| self.at += 1)
    }

    /// Reads an object or a list with all that is in it.
    #[inline(never)]
    fn nested(mut self, nesting: &mut Vec<u8>) -> Option<Self> {
        nesting.clear();
        loop {
            // Here a value begins: enter it, or read it whole.
            let opened = match self.peek()? {
                b'{' => Some(b'}'),
                b'[' => Some(b']'),
                _ => self.scalar().map(|_| None)?,
            };
            if let Some(close) = opened {
                self.at += 1;
                self.whitespace();
                if self.peek()? == close {
                    self.at += 1;
                } else {
                    nesting.push(close);
                    self.member(close)?;
                    continue;
                }
            }
            // Here a value ended: leave all that ends with it.
            loop {
                let Some(&close) = nesting.last() else {
                    return Some(self);
                };
                self.whitespace();
                match self.next()? {
                    b',' => {
                        self.whitespace();
                        self.member(close)?;
                        break;
                    }
                    byte if byte == close => nesting.truncate(nesting.len() - 1),
                    _ => return None,
                }
            }
        }
    }

    /// Reads what precedes a value in what `close` ends: its key in an object, nothing in a list.
    #[inline(always)]
    fn member(&mut self, close: u8) -> Option<()> {
        if close == b'}' {
            self.string()?;
            self.colon()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_positions() {
        for (text, kind, rest) in [
            ("null,", Kind::Null, ","),
            ("true", Kind::True, ""),
            ("false]", Kind::False, "]"),
            ("-10}", Kind::Integer, "}"),
            ("12345678, and more", Kind::Integer, ", and more"),
            ("1234567:", Kind::Integer, ":"),
            ("12345678901234567/ and more", Kind::Integer, "/ and more"),
            ("-1234567890123456789012", Kind::Integer, ""),
            ("00", Kind::Integer, "0"),
            ("1.5 ", Kind::Decimal, " "),
            ("1e-5", Kind::Decimal, ""),
            (r#""é" "#, Kind::Plain, " "),
            (r#""\""""#, Kind::Escaped, "\""),
            (r#"{ "a" : [ 1 , { } ] } ]"#, Kind::Object, " ]"),
            ("[[],[]][", Kind::List, "["),
        ] {
            let mut scanner = Scanner::new(text);
            assert_eq!(scanner.value(&mut Vec::new()), Some(kind), "{text}");
            assert_eq!(&text[scanner.position()..], rest);
        }
    }
}
