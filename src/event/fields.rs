//! The fields of one message, each name once.

use std::cmp::Ordering;

use super::Reason;
use super::json::Value;
use super::schema::EventSchema;
use super::text::code_points;
use super::walk::{Field, Walk};

/// The fields of the message scanned last.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// In the order of the message, each name once: a name that comes again replaces the value of the first.
    fields: Vec<Field>,
    /// By slot: the field's place in `fields` plus one, 0 if the message has none.
    places: Vec<u32>,
    /// Places of the fields that have no column.
    strays: Vec<u32>,
}

impl Fields {
    /// Finds the fields of the object that `text` is.
    pub fn scan(&mut self, text: &str, schema: &EventSchema, walk: &mut Walk) -> Result<(), Reason> {
        self.forget(walk.columns());
        walk.fields(text, schema, |field| {
            self.record(field);
            true
        })?;
        self.join_strays(text);
        Ok(())
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

    fn forget(&mut self, columns: usize) {
        self.places.clear();
        self.places.resize(columns, 0);
        self.fields.clear();
        self.strays.clear();
        // What one huge message needed is not kept for ever.
        self.fields.shrink_to(1 << 12);
        self.strays.shrink_to(1 << 12);
    }

    #[inline]
    fn record(&mut self, field: Field) {
        let place = self.fields.len() as u32;
        match field.slot() {
            None => self.strays.push(place),
            Some(slot) if self.places[slot] == 0 => self.places[slot] = place + 1,
            Some(slot) => {
                self.fields[self.places[slot] as usize - 1].replace(&field);
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
                let field = fields[later];
                fields[earlier].replace(&field);
                fields[later].nullify();
            }
        }
    }
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
