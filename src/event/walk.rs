//! From field to field of one message: the syntax of the whole checked, each value handed on as it is found and not yet
//! read.

use super::Reason;
use super::json::{Kind, Scanner, Value};
use super::key::Key;
use super::schema::EventSchema;
use super::text::unescape;

/// A field of the message. Positions are 32 bits wide, which no message exceeds that fits in a column of strings: a message
/// of nothing but tiny fields must not take many times its own size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    key: Span,
    value: Span,
    kind: Kind,
    slot: u32,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn of(self, text: &str) -> &str {
        &text[self.start as usize..self.end as usize]
    }
}

/// The slot of a field that has no column.
const NO_SLOT: u32 = u32::MAX;

impl Field {
    /// The slot of its column, if it has one.
    pub fn slot(&self) -> Option<usize> {
        (self.slot != NO_SLOT).then_some(self.slot as usize)
    }

    /// The JSON text of its name.
    pub fn key<'a>(&self, text: &'a str) -> &'a str {
        self.key.of(text)
    }

    /// Whether its value is null.
    pub fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }

    pub fn value<'a>(&self, text: &'a str) -> Value<'a> {
        Value {
            kind: self.kind,
            text: self.value.of(text),
        }
    }

    /// Takes the value of another field of the same name.
    pub fn replace(&mut self, other: &Field) {
        (self.value, self.kind) = (other.value, other.kind);
    }

    /// Takes null for its value.
    pub fn nullify(&mut self) {
        self.kind = Kind::Null;
    }

    /// The text of its name between the quotes.
    pub fn name<'a>(&self, text: &'a str) -> &'a str {
        let key = self.key(text);
        &key[1..key.len() - 1]
    }
}

/// What helps to find the fields of the next message.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// By slot.
    keys: Vec<Key>,
    /// By slot: the slot that followed it last; the last entry is for the slot that came first.
    next: Vec<u32>,
    nesting: Vec<u8>,
}

impl Walk {
    pub fn new(schema: &EventSchema) -> Self {
        let mut walk = Self {
            next: vec![0],
            ..Self::default()
        };
        schema.columns().for_each(|(name, _)| walk.learn(name));
        walk
    }

    /// Adds the name of the column in the next slot.
    pub fn learn(&mut self, name: &str) {
        self.keys.push(Key::new(name));
        // Fields are first expected in the order of the columns.
        self.next.insert(self.next.len() - 1, self.keys.len() as u32);
    }

    /// How many columns are known.
    pub fn columns(&self) -> usize {
        self.keys.len()
    }

    /// Hands on the fields of the object that `text` is, in its order, a name that comes again included. False where one
    /// was not taken, which ends the walk; the syntax of the rest is not known then.
    #[inline(always)]
    pub fn fields(
        &mut self,
        text: &str,
        schema: &EventSchema,
        take: impl FnMut(Field) -> bool,
    ) -> Result<bool, Reason> {
        self.nesting.clear();
        // What one huge message needed is not kept for ever.
        self.nesting.shrink_to(1 << 16);
        let mut scanner = Scanner::new(text);
        scanner.whitespace();
        if scanner.peek() == Some(b'{') {
            return self.object(scanner, text, schema, take).ok_or(Reason::NotJson);
        }
        scanner
            .value(&mut self.nesting)
            .and_then(|_| scanner.end())
            .ok_or(Reason::NotJson)?;
        Err(Reason::NotAnObject)
    }

    /// Reads the whole text, which begins as an object, or up to a field that is not taken.
    #[inline(always)]
    fn object(
        &mut self,
        mut scanner: Scanner,
        text: &str,
        schema: &EventSchema,
        mut take: impl FnMut(Field) -> bool,
    ) -> Option<bool> {
        scanner.take(b"{")?;
        scanner.whitespace();
        if scanner.take(b"}").is_some() {
            return scanner.end().map(|()| true);
        }
        let mut before = self.keys.len();
        loop {
            let start = scanner.position() as u32;
            // Producers write their fields in the same order every time: the key is mostly the one that came after the one
            // before it in the last message too.
            let mut slot = self.next[before];
            match self.keys.get(slot as usize).filter(|key| key.begins(scanner.rest())) {
                Some(key) => scanner.skip(key.len()),
                None => {
                    let kind = scanner.string()?;
                    let name = &text[start as usize + 1..scanner.position() - 1];
                    slot = slot_of(name, kind, schema);
                }
            }
            if slot != NO_SLOT {
                self.next[before] = slot;
                before = slot as usize;
            }
            let key = Span {
                start,
                end: scanner.position() as u32,
            };
            scanner.colon()?;
            let start = scanner.position() as u32;
            let kind = scanner.value(&mut self.nesting)?;
            let value = Span {
                start,
                end: scanner.position() as u32,
            };
            if !take(Field { key, value, kind, slot }) {
                return Some(false);
            }
            scanner.whitespace();
            match scanner.next()? {
                b',' => scanner.whitespace(),
                b'}' => return scanner.end().map(|()| true),
                _ => return None,
            }
        }
    }
}

/// The slot of the column of this name, given as the text of a string of this kind between its quotes.
#[inline(never)]
fn slot_of(name: &str, kind: Kind, schema: &EventSchema) -> u32 {
    let mut unescaped = String::new();
    let slot = match kind {
        Kind::Plain => schema.slot(name),
        _ if unescape(name, &mut unescaped) => schema.slot(&unescaped),
        _ => None,
    };
    slot.map_or(NO_SLOT, |slot| slot as u32)
}
