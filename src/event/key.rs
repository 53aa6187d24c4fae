//! The names of columns as messages write them.

use super::text::quote;

/// A column's name as JSON text, its first bytes apart to be compared at once.
#[derive(Debug)]
pub(super) struct Key {
    head: u128,
    mask: u128,
    tail: Box<[u8]>,
    length: usize,
}

const HEAD: usize = size_of::<u128>();

impl Key {
    pub fn new(name: &str) -> Self {
        let mut text = String::new();
        quote(name, &mut text);
        let (mut head, mut mask) = ([0; HEAD], [0; HEAD]);
        for (place, byte) in text.bytes().take(HEAD).enumerate() {
            (head[place], mask[place]) = (byte, u8::MAX);
        }
        Self {
            head: u128::from_le_bytes(head),
            mask: u128::from_le_bytes(mask),
            tail: text.as_bytes().get(HEAD..).unwrap_or_default().into(),
            length: text.len(),
        }
    }

    /// The length of the text, quotes included.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether `text` begins with this key. Of a text too short to be compared at once, and of another way to write the
    /// same name, it does not.
    #[inline(always)]
    pub fn begins(&self, text: &[u8]) -> bool {
        text.split_first_chunk().is_some_and(|(head, rest)| {
            u128::from_le_bytes(*head) & self.mask == self.head
                && (self.tail.is_empty() || rest.starts_with(&self.tail))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        let rest = " : 1, and so on";
        let long = "x".repeat(50);
        for name in [
            "",
            "id",
            "thirteen_char",
            "fourteen_chars",
            "fifteen__chars_",
            "über",
            &long,
        ] {
            let key = Key::new(name);
            assert_eq!(key.len(), name.len() + 2);
            assert!(key.begins(format!("\"{name}\"{rest}").as_bytes()), "{name}");
            assert!(!key.begins(format!("\"{name}x\"{rest}").as_bytes()), "{name}");
            assert!(!key.begins(format!("\"x{name}\"{rest}").as_bytes()), "{name}");
            assert!(!key.begins(format!("\"{name}").as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_name_that_needs_escapes_is_not_taken_for_what_it_looks_like() {
        let rest = " and so on and on";
        assert!(!Key::new(r#"a":5"#).begins(format!(r#""a":5"{rest}"#).as_bytes()));
        assert!(!Key::new(r"a\b").begins(format!(r#""a\b"{rest}"#).as_bytes()));
        assert!(Key::new(r"a\b").begins(format!(r#""a\\b"{rest}"#).as_bytes()));
    }
}
