//! The top-level fields of one message: the syntax of the whole checked, the values found but not yet read.

use std::cmp::Ordering;

use super::Reason;
use super::json::{Kind, Scanner, Value};
use super::key::Key;
use super::schema::EventSchema;
use super::text::{code_points, unescape};

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

    pub fn value<'a>(&self, text: &'a str) -> Value<'a> {
        Value {
            kind: self.kind,
            text: self.value.of(text),
        }
    }

    /// The text of its name between the quotes.
    pub fn name<'a>(&self, text: &'a str) -> &'a str {
        let key = self.key(text);
        &key[1..key.len() - 1]
    }
}

/// The fields of the message scanned last, and what helps to find those of the next.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// In the order of the message, each name once: a name that comes again replaces the value of the first.
    fields: Vec<Field>,
    /// By slot: the field's place in `fields` plus one, 0 if the message has none.
    places: Vec<u32>,
    /// Places of the fields that have no column.
    strays: Vec<u32>,
    /// By slot.
    keys: Vec<Key>,
    /// By slot: the slot that followed it last; the last entry is for the slot that came first.
    next: Vec<u32>,
    nesting: Vec<u8>,
}

impl Fields {
    pub fn new(schema: &EventSchema) -> Self {
        let mut fields = Self {
            next: vec![0],
            ..Self::default()
        };
        schema.columns().for_each(|(name, _)| fields.learn(name));
        fields
    }

    /// Adds the name of the column in the next slot.
    pub fn learn(&mut self, name: &str) {
        self.keys.push(Key::new(name));
        self.places.push(0);
        // Fields are first expected in the order of the columns.
        self.next.insert(self.next.len() - 1, self.keys.len() as u32);
    }

    /// Finds the fields of the object that `text` is.
    pub fn scan(&mut self, text: &str, schema: &EventSchema) -> Result<(), Reason> {
        self.forget();
        let mut scanner = Scanner::new(text);
        scanner.whitespace();
        if scanner.peek() == Some(b'{') {
            self.object(scanner, text, schema).ok_or(Reason::NotJson)?;
            self.join_strays(text);
            return Ok(());
        }
        scanner
            .value(&mut self.nesting)
            .and_then(|_| scanner.end())
            .ok_or(Reason::NotJson)?;
        Err(Reason::NotAnObject)
    }

    /// The fields in the order of the message, to be given back. One that a later field of the same name replaced may be
    /// left as a null.
    pub fn lend(&mut self) -> Vec<Field> {
        std::mem::take(&mut self.fields)
    }

    /// Takes back what was lent.
    pub fn give_back(&mut self, fields: Vec<Field>) {
        self.fields = fields;
    }

    /// The value of the field of this slot.
    pub fn get<'a>(&self, slot: usize, text: &'a str) -> Option<Value<'a>> {
        let place = self.places.get(slot)?.checked_sub(1)?;
        self.fields.get(place as usize).map(|field| field.value(text))
    }

    fn forget(&mut self) {
        for field in &self.fields {
            if let Some(slot) = field.slot() {
                self.places[slot] = 0;
            }
        }
        self.fields.clear();
        self.strays.clear();
        // What one huge message needed is not kept for ever.
        self.fields.shrink_to(1 << 12);
        self.strays.shrink_to(1 << 12);
        self.nesting.clear();
        self.nesting.shrink_to(1 << 16);
    }

    /// Reads the whole text, which begins as an object.
    fn object(&mut self, mut scanner: Scanner, text: &str, schema: &EventSchema) -> Option<()> {
        scanner.take(b"{")?;
        scanner.whitespace();
        if scanner.take(b"}").is_some() {
            return scanner.end();
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
            self.record(Field { key, value, kind, slot });
            scanner.whitespace();
            match scanner.next()? {
                b',' => scanner.whitespace(),
                b'}' => return scanner.end(),
                _ => return None,
            }
        }
    }

    #[inline]
    fn record(&mut self, field: Field) {
        let place = self.fields.len() as u32;
        match field.slot() {
            None => self.strays.push(place),
            Some(slot) if self.places[slot] == 0 => self.places[slot] = place + 1,
            Some(slot) => {
                let first = &mut self.fields[self.places[slot] as usize - 1];
                (first.value, first.kind) = (field.value, field.kind);
                return;
            }
        }
        self.fields.push(field);
    }

    /// Does for fields without a column what `record` does for the others: the last value of a name replaces the first, and
    /// those between are nulled.
    fn join_strays(&mut self, text: &str) {
        if self.strays.len() < 2 {
            return;
        }
        let Self { fields, strays, .. } = self;
        strays.sort_unstable_by(|&a, &b| compare(&fields[a as usize], &fields[b as usize], text).then(a.cmp(&b)));
        for place in (1..strays.len()).rev() {
            let (earlier, later) = (strays[place - 1] as usize, strays[place] as usize);
            if compare(&fields[earlier], &fields[later], text).is_eq() {
                (fields[earlier].value, fields[earlier].kind) = (fields[later].value, fields[later].kind);
                fields[later].kind = Kind::Null;
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

/// Orders fields by their names.
fn compare(a: &Field, b: &Field, text: &str) -> Ordering {
    let (a, b) = (a.name(text), b.name(text));
    // Code points order as UTF-8 does.
    if a.contains('\\') || b.contains('\\') {
        code_points(a).cmp(code_points(b))
    } else {
        a.cmp(b)
    }
}
