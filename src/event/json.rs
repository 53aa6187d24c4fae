//! JSON syntax (RFC 8259): where values begin and end and of what kind they are, without building them.
//!
//! Accepts what `serde_json` accepts, lone surrogates in escapes included, and nests to any depth without recursion.

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
    pub fn inner(self) -> &'a str {
        &self.text[1..self.text.len() - 1]
    }
}

/// Walks over a text. Each method reads one thing from where the one before left off; None means that it is not there and
/// the text is not JSON.
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
    pub fn position(&self) -> usize {
        self.at
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Reads the next byte.
    #[inline]
    pub fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Reads `expected` if it is what comes next.
    #[inline]
    pub fn take(&mut self, expected: &[u8]) -> Option<()> {
        self.text[self.at..]
            .starts_with(expected)
            .then(|| self.at += expected.len())
    }

    #[inline]
    pub fn whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Reads the whitespace at the end of the text.
    pub fn end(&mut self) -> Option<()> {
        self.whitespace();
        (self.at == self.text.len()).then_some(())
    }

    /// Reads what stands between a key and its value.
    #[inline]
    pub fn colon(&mut self) -> Option<()> {
        self.whitespace();
        self.take(b":")?;
        self.whitespace();
        Some(())
    }

    /// Reads a value. `nesting` is room to work in.
    #[inline]
    pub fn value(&mut self, nesting: &mut Vec<u8>) -> Option<Kind> {
        match self.peek()? {
            b'{' => self.nested(nesting).map(|()| Kind::Object),
            b'[' => self.nested(nesting).map(|()| Kind::List),
            _ => self.scalar(),
        }
    }

    /// Reads a string.
    #[inline]
    pub fn string(&mut self) -> Option<Kind> {
        self.take(b"\"")?;
        let mut kind = Kind::Plain;
        loop {
            self.at = stop(self.text, self.at);
            match self.next()? {
                b'"' => return Some(kind),
                b'\\' => self.escape()?,
                _ => return None,
            }
            kind = Kind::Escaped;
        }
    }

    #[inline]
    fn scalar(&mut self) -> Option<Kind> {
        match self.peek()? {
            b'"' => self.string(),
            b'n' => self.take(b"null").map(|()| Kind::Null),
            b't' => self.take(b"true").map(|()| Kind::True),
            b'f' => self.take(b"false").map(|()| Kind::False),
            _ => self.number(),
        }
    }

    /// Reads the rest of an escape.
    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    #[inline]
    fn number(&mut self) -> Option<Kind> {
        let mut kind = Kind::Integer;
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.next()? {
            b'0' => {}
            b'1'..=b'9' => while self.digit().is_some() {},
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
            kind = Kind::Decimal;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
            kind = Kind::Decimal;
        }
        Some(kind)
    }

    /// Reads one or more digits.
    fn digits(&mut self) -> Option<()> {
        self.digit()?;
        while self.digit().is_some() {}
        Some(())
    }

    #[inline]
    fn digit(&mut self) -> Option<()> {
        self.peek()?.is_ascii_digit().then(|| self.at += 1)
    }

    /// Reads an object or a list with all that is in it.
    fn nested(&mut self, nesting: &mut Vec<u8>) -> Option<()> {
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
                let Some(&close) = nesting.last() else { return Some(()) };
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
    fn member(&mut self, close: u8) -> Option<()> {
        if close == b'}' {
            self.string()?;
            self.colon()?;
        }
        Some(())
    }
}

/// The first place from `at` on that may end a run of plain characters in a string: a quote, a backslash, a control
/// character or the end of the text.
#[inline]
fn stop(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    while let Some((word, _)) = text[at..].split_first_chunk() {
        let word = u64::from_le_bytes(*word);
        // The high bit of a byte is set where the byte is zero, or below 32; a borrow can only set it wrongly above the first
        // place where it is set rightly.
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
        let found = (below(quote, 1) | below(backslash, 1) | below(word, 32)) & HIGH;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = text[at..]
        .iter()
        .position(|&byte| byte == b'"' || byte == b'\\' || byte < 32);
    rest.map_or(text.len(), |rest| at + rest)
}
