//! `_rescued`: what suited no column, as a JSON object.

use super::text::compact;

/// The room for text that is kept from one message to the next.
pub(super) const MAX_KEPT: usize = 1 << 16;

/// The `_rescued` object of one row as it grows.
#[derive(Debug, Default)]
pub(super) struct Rescue {
    text: String,
}

impl Rescue {
    /// Empties the object, and gives back what one large object needed.
    pub fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(MAX_KEPT);
    }

    /// Begins with the members of an object that is there already.
    pub fn extend(&mut self, object: &str) {
        if object != "{}" {
            self.text.push_str(object.strip_suffix('}').unwrap_or(object));
        }
    }

    /// Adds a member, given the JSON texts of its key and its value.
    pub fn add(&mut self, key: &str, value: &str) {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
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
