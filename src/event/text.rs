//! The text of JSON strings and values: unescaped, compacted, quoted.
//!
//! What comes in has passed the [`Scanner`](super::json::Scanner).

/// Appends the characters of a string, given its text between the quotes. False where it holds a lone surrogate, which no
/// UTF-8 can write.
pub(super) fn unescape(mut inner: &str, out: &mut String) -> bool {
    while let Some(at) = inner.find('\\') {
        let (plain, rest) = inner.split_at(at);
        let (point, length) = escape(rest);
        let Some(character) = char::from_u32(point) else {
            return false;
        };
        out.push_str(plain);
        out.push(character);
        inner = &rest[length..];
    }
    out.push_str(inner);
    true
}

/// The code points of a string, given its text between the quotes: its characters and its lone surrogates.
pub(super) fn code_points(mut inner: &str) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let character = inner.chars().next()?;
        let (point, length) = if character == '\\' {
            escape(inner)
        } else {
            (character as u32, character.len_utf8())
        };
        inner = &inner[length..];
        Some(point)
    })
}

/// Appends a JSON value without insignificant whitespace, its strings as plain UTF-8 wherever JSON
/// permits. Numbers and lone surrogates stay as they are written. The result is never longer.
pub(super) fn compact(value: &str, out: &mut String) {
    let bytes = value.as_bytes();
    // What lies between `run` and `at` is to be copied as it is.
    let (mut run, mut at, mut in_string) = (0, 0, false);
    loop {
        if in_string {
            at = stop(bytes, at);
        }
        let Some(byte) = bytes.get(at) else { break };
        match byte {
            b'"' => {
                in_string = !in_string;
                at += 1;
            }
            b'\\' => {
                out.push_str(&value[run..at]);
                let (point, length) = escape(&value[at..]);
                match char::from_u32(point) {
                    Some(character) => push(character, out),
                    None => out.push_str(&value[at..at + length]),
                }
                at += length;
                run = at;
            }
            b' ' | b'\n' | b'\r' | b'\t' => {
                out.push_str(&value[run..at]);
                at += 1;
                run = at;
            }
            _ => at += 1,
        }
    }
    out.push_str(&value[run..]);
}

/// Appends `text` as a JSON string.
pub(super) fn quote(text: &str, out: &mut String) {
    out.push('"');
    text.chars().for_each(|character| push(character, out));
    out.push('"');
}

/// Appends one character of a JSON string.
fn push(character: char, out: &mut String) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0'..='\x1f' => {
            let digit = |value| char::from_digit(value, 16).unwrap_or('0');
            out.push_str("\\u00");
            out.push(digit(character as u32 >> 4));
            out.push(digit(character as u32 & 15));
        }
        _ => out.push(character),
    }
}

/// The code point of the escape that begins `text`, and the length of the escape; two escapes that are a surrogate pair
/// count as one.
fn escape(text: &str) -> (u32, usize) {
    let text = text.as_bytes();
    let short = |character: char| (character as u32, 2);
    match text.get(1) {
        Some(b'b') => short('\u{8}'),
        Some(b'f') => short('\u{c}'),
        Some(b'n') => short('\n'),
        Some(b'r') => short('\r'),
        Some(b't') => short('\t'),
        Some(b'u') => match (unit(text), text.get(6..).map_or(0, unit)) {
            (high @ 0xd800..=0xdbff, low @ 0xdc00..=0xdfff) => (0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), 12),
            (unit, _) => (unit, 6),
        },
        Some(&character) => (character.into(), 2),
        None => (0xfffd, 1),
    }
}

/// The number in the `\uXXXX` that begins `text`; 0 where none does.
fn unit(text: &[u8]) -> u32 {
    let [b'\\', b'u', digits @ ..] = text else {
        return 0;
    };
    let value = |digit: &u8| char::from(*digit).to_digit(16).unwrap_or(0);
    digits.iter().take(4).fold(0, |unit, digit| unit << 4 | value(digit))
}

/// The first place from `at` on that may end a run of plain characters in a string: a quote, a backslash, a control
/// character or the end of the text.
#[inline(always)]
pub(super) fn stop(text: &[u8], mut at: usize) -> usize {
    while let Some((block, _)) = text[at..].split_first_chunk() {
        let found = block::stops(block);
        if found != 0 {
            return at + block::first(found);
        }
        at += block::SIZE;
    }
    let rest = text[at..]
        .iter()
        .position(|&byte| byte == b'"' || byte == b'\\' || byte < 32);
    rest.map_or(text.len(), |rest| at + rest)
}

/// Blocks of bytes that are looked at at once: with SSE2, which every x86-64 has.
#[cfg(target_arch = "x86_64")]
mod block {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_max_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };

    pub const SIZE: usize = 16;

    /// A bit for each byte that is a quote, a backslash or a control character.
    #[inline(always)]
    pub fn stops(block: &[u8; SIZE]) -> u32 {
        let bits = u128::from_le_bytes(*block);
        // SAFETY: these touch no memory, and every x86-64 has them.
        unsafe {
            let bytes = _mm_set_epi64x((bits >> 64) as i64, bits as i64);
            let quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
            let backslashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
            // Where 31 is the larger one, the byte is a control character.
            let limit = _mm_set1_epi8(31);
            let controls = _mm_cmpeq_epi8(_mm_max_epu8(bytes, limit), limit);
            _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quotes, backslashes), controls)) as u32
        }
    }

    /// The first byte that was found.
    #[inline(always)]
    pub fn first(found: u32) -> usize {
        found.trailing_zeros() as usize
    }
}

/// Blocks of bytes that are looked at at once: as one number.
#[cfg(not(target_arch = "x86_64"))]
mod block {
    pub const SIZE: usize = 8;

    /// The high bit of each byte that is a quote, a backslash or a control character; of those behind the first one it may
    /// be set wrongly.
    #[inline(always)]
    pub fn stops(block: &[u8; SIZE]) -> u64 {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = 0x8080_8080_8080_8080;
        let word = u64::from_le_bytes(*block);
        // The high bit of a byte is set where the byte is zero, or below 32; a borrow can only set it wrongly above the
        // first place where it is set rightly.
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
        (below(quote, 1) | below(backslash, 1) | below(word, 32)) & HIGH
    }

    /// The first byte that was found.
    #[inline(always)]
    pub fn first(found: u64) -> usize {
        found.trailing_zeros() as usize / 8
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn many_bytes_at_a_time_find_what_one_at_a_time_do(
            text in prop::collection::vec(prop_oneof![any::<u8>(), b' '..=b'#', b'['..=b']', 0x80..=0xff_u8], 0..40),
            at in 0..40_usize,
        ) {
            let at = at.min(text.len());
            let found = (at..text.len()).find(|&at| matches!(text[at], b'"' | b'\\' | 0..32));
            prop_assert_eq!(stop(&text, at), found.unwrap_or(text.len()));
        }
    }

    fn unescaped(inner: &str) -> Option<String> {
        let mut out = String::new();
        unescape(inner, &mut out).then_some(out)
    }

    fn compacted(value: &str) -> String {
        let mut out = String::new();
        compact(value, &mut out);
        out
    }

    #[test]
    fn escapes_become_characters() {
        assert_eq!(
            unescaped(r#"a\"\\\/\b\f\n\r\tz"#).as_deref(),
            Some("a\"\\/\u{8}\u{c}\n\r\tz")
        );
        assert_eq!(
            unescaped(r"us\u0065r \u00E9\u00e9 \u0000 \ud83d\ude00").as_deref(),
            Some("user éé \0 😀")
        );
        assert_eq!(unescaped("äöü").as_deref(), Some("äöü"));
        assert_eq!(
            unescaped(r"\ud800\udc00\uDBFF\uDFFF").as_deref(),
            Some("\u{10000}\u{10ffff}")
        );
        for lone in [
            r"\ud800",
            r"\udc00",
            r"\ud800x",
            r"\ud800\n",
            r"\udc00\ud800",
            r"\ud800\ud800\udc0",
            r"a\uDfFf",
        ] {
            assert_eq!(unescaped(lone), None, "{lone}");
        }
        assert!(code_points(r"\ud800\ud83d\ude00\udc00é\n").eq([0xd800, 0x1f600, 0xdc00, 0xe9, 0xa]));
    }

    #[test]
    fn values_become_compact() {
        for (value, expected) in [
            (
                "{ \"a b\" :\t[ 1.50 ,\r\n-0e+05 , null ] }",
                r#"{"a b":[1.50,-0e+05,null]}"#,
            ),
            (r#"["\u00e9\/\ud83d\ude00\u2028\u007f"]"#, "[\"é/😀\u{2028}\u{7f}\"]"),
            (r#"["\u0022\u005c\"\\"]"#, r#"["\"\\\"\\"]"#),
            (
                r#"["\u0008\u000C\u000a\u000d\u0009\u0000\u001F"]"#,
                r#"["\b\f\n\r\t\u0000\u001f"]"#,
            ),
            (
                r#"["\uD800 \uDC00\ud83d\ude00\uDBFFx"]"#,
                r#"["\uD800 \uDC00😀\uDBFFx"]"#,
            ),
            (r#"{"a":1, "a":2}"#, r#"{"a":1,"a":2}"#),
        ] {
            assert_eq!(compacted(value), expected);
        }
    }

    #[test]
    fn quoting_and_unescaping_are_inverse() {
        let text: String = ('\0'..'\u{300}').chain(['😀', '\u{10ffff}']).collect();
        let mut quoted = String::new();
        quote(&text, &mut quoted);
        assert_eq!(unescaped(&quoted[1..quoted.len() - 1]), Some(text));
    }
}
