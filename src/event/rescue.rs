//! `_rescued`: what suited no column, as a JSON object.

use super::text::compact;

/// The `_rescued` object of one row as it grows.
#[derive(Debug, Default)]
pub(super) struct Rescue {
    text: String,
}

impl Rescue {
    /// Empties the object.
    pub fn clear(&mut self) {
        self.text.clear();
    }

    /// Begins with the members of an object that is there already.
    pub fn extend(&mut self, object: &str) {
        self.text.push_str(object.strip_suffix('}').unwrap_or(object));
    }

    /// Adds a member, given the JSON texts of its key and its value.
    pub fn add(&mut self, key: &str, value: &str) {
        let separator = if self.text.len() > 1 { ',' } else { '{' };
        self.text.push(separator);
        compact(key, &mut self.text);
        self.text.push(':');
        compact(value, &mut self.text);
    }

    /// The object's text, or None if it has no members.
    pub fn finish(&mut self) -> Option<&str> {
        if self.text.is_empty() {
            return None;
        }
        self.text.push('}');
        Some(&self.text)
    }
}
