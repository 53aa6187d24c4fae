//! The members of a JSON object, found without parsing what they hold.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Some members of one object, their values as the text that they came as.
#[derive(Debug)]
pub struct Members<'a>(Vec<(&'static str, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The wanted members of the object that the text is; none where it is anything but one whole object.
    pub fn read(text: &'a str, wanted: &'static [&'static str]) -> Option<Members<'a>> {
        let mut json = serde_json::Deserializer::from_str(text);
        let members = json.deserialize_map(Wanted(wanted)).ok()?;
        json.end().ok()?;
        Some(members)
    }

    /// A member's value.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

struct Wanted(&'static [&'static str]);

impl<'de> Visitor<'de> for Wanted {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found: Vec<(&'static str, &'de RawValue)> = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            let value = map.next_value()?;
            let Some(name) = self.0.iter().find(|wanted| **wanted == name) else {
                continue;
            };
            // Of a name that comes twice the last counts, as most readers of JSON have it.
            match found.iter_mut().find(|(known, _)| known == name) {
                Some(member) => member.1 = value,
                None => found.push((name, value)),
            }
        }
        Ok(Members(found))
    }
}

/// A member's name, borrowed unless it has escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
