//! From field to field of one message: the syntax of the whole checked, each value handed on as it is found and not yet
//! read.

use std::mem::replace;
use std::str::from_utf8_unchecked;

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
    /// Of its column among the steps, or that of none.
    place: u32,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The span of `text`, the message that the scanner went through.
    #[inline(always)]
    fn of(self, text: &str) -> &str {
        let (start, end) = (self.start as usize, self.end as usize);
        debug_assert!(
            text.is_char_boundary(start) && text.is_char_boundary(end),
            "{self:?} of {text}"
        );
        // SAFETY: what the scanner reads as one begins and ends with an ASCII character, so that none is cut in two. To
        // look again would take a twentieth of a message's time.
        unsafe { from_utf8_unchecked(&text.as_bytes()[start..end]) }
    }
}

impl Field {
    /// The slot of its column, if it has one.
    pub fn slot(&self) -> Option<usize> {
        (self.place as usize).checked_sub(1)
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
#[derive(Debug)]
pub(super) struct Walk {
    /// What stands before all fields, then the columns by their slots.
    steps: Vec<Step>,
    nesting: Vec<u8>,
}

/// A column's name, and the place among the steps of the column that followed it last.
#[derive(Debug)]
struct Step {
    key: Key,
    next: u32,
}

/// The place of what stands before all fields, which is no column's.
const NO_COLUMN: u32 = 0;

impl Walk {
    pub fn new(schema: &EventSchema) -> Self {
        let (steps, nesting) = (Vec::new(), Vec::new());
        let mut walk = Self { steps, nesting };
        walk.learn("");
        schema.columns().for_each(|(name, _)| walk.learn(name));
        walk
    }

    /// Adds the name of the column in the next slot.
    pub fn learn(&mut self, name: &str) {
        let key = Key::new(name);
        // Fields are first expected in the order of the columns.
        let next = self.steps.len() as u32 + 1;
        self.steps.push(Step { key, next });
    }

    /// How many columns are known.
    pub fn columns(&self) -> usize {
        self.steps.len() - 1
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
        let mut before = NO_COLUMN;
        // Producers write their fields in the same order every time: the key is mostly the one that came after the one
        // before it in the last message too.
        let mut expected = self.steps[0].next;
        loop {
            let start = scanner.position() as u32;
            let step = self.steps.get(expected as usize);
            let place = match step.filter(|step| step.key.begins(scanner.rest())) {
                Some(step) => {
                    scanner.skip(step.key.len());
                    before = replace(&mut expected, step.next);
                    before
                }
                None => {
                    let kind = scanner.string()?;
                    let name = &text[start as usize + 1..scanner.position() - 1];
                    let place = place_of(name, kind, schema);
                    if place != NO_COLUMN {
                        self.steps[before as usize].next = place;
                        expected = self.steps[place as usize].next;
                        before = place;
                    }
                    place
                }
            };
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
            if !take(Field {
                key,
                value,
                kind,
                place,
            }) {
                return Some(false);
            }
            if scanner.separator(b',').is_none() {
                scanner.whitespace();
                match scanner.next()? {
                    b',' => scanner.whitespace(),
                    b'}' => return scanner.end().map(|()| true),
                    _ => return None,
                }
            }
        }
    }
}

/// The place of the column of this name, given as the text of a string of this kind between its quotes.
#[inline(never)]
fn place_of(name: &str, kind: Kind, schema: &EventSchema) -> u32 {
    let mut unescaped = String::new();
    let slot = match kind {
        Kind::Plain => schema.slot(name),
        _ if unescape(name, &mut unescaped) => schema.slot(&unescaped),
        _ => None,
    };
    slot.map_or(NO_COLUMN, |slot| slot as u32 + 1)
}
