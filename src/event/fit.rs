//! Which values suit which column.

use super::columns::Cell;
use super::json::{Kind, Value};
use super::number::{double, exact_double, exact_integer, integer, rfc3339, whole};
use super::schema::{CORE, ColumnType};
use super::text::{compact, unescape};

/// The values that a column accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Whole numbers, integers as strings, RFC 3339 times.
    Timestamp,
    /// Whole numbers, integers as strings.
    Count,
    /// true and false, also as strings.
    Flag,
    /// Strings; numbers and booleans as their JSON text.
    Text,
    /// Strings; objects and lists as their JSON text.
    Json,
    /// Whole numbers.
    Integer,
    /// Finite numbers, integers only if a float is exactly them.
    Double,
    /// true and false.
    Boolean,
}

impl Rule {
    /// The rule for the column of this name and type.
    pub fn of(name: &str, column_type: ColumnType) -> Self {
        let core = CORE.iter().any(|(core, _)| *core == name);
        match column_type {
            ColumnType::Int64 if name == "timestamp" => Rule::Timestamp,
            ColumnType::Int64 if core => Rule::Count,
            ColumnType::Boolean if core => Rule::Flag,
            ColumnType::String if core && name != "log_params" => Rule::Text,
            ColumnType::String => Rule::Json,
            ColumnType::Int64 => Rule::Integer,
            ColumnType::Double => Rule::Double,
            ColumnType::Boolean => Rule::Boolean,
        }
    }
}

/// What a column that accepts by `rule` holds for `value`, if that suits it. `room` is room to work in.
#[inline(always)]
pub(super) fn fit<'a>(rule: Rule, value: Value<'a>, room: &'a mut String) -> Option<Cell<'a>> {
    match rule {
        Rule::Text => match value.kind {
            Kind::Plain | Kind::Escaped => string(value, room).map(Cell::String),
            Kind::True | Kind::False | Kind::Integer | Kind::Decimal => Some(Cell::String(value.text)),
            Kind::Null | Kind::Object | Kind::List => None,
        },
        Rule::Json => match value.kind {
            Kind::Object | Kind::List => {
                room.clear();
                compact(value.text, room);
                Some(Cell::String(room))
            }
            _ => string(value, room).map(Cell::String),
        },
        Rule::Timestamp => match string(value, room) {
            Some(text) => integer(text).or_else(|| rfc3339(text)),
            None => number(value),
        }
        .map(Cell::Int64),
        Rule::Count => match string(value, room) {
            Some(text) => integer(text),
            None => number(value),
        }
        .map(Cell::Int64),
        Rule::Integer => number(value).map(Cell::Int64),
        Rule::Double => match value.kind {
            Kind::Integer => integer(value.text).and_then(exact_double).map(Cell::Double),
            Kind::Decimal => double(value.text).map(Cell::Double),
            _ => None,
        },
        Rule::Flag => match string(value, room) {
            Some("true") => Some(Cell::Boolean(true)),
            Some("false") => Some(Cell::Boolean(false)),
            Some(_) => None,
            None => boolean(value),
        },
        Rule::Boolean => boolean(value),
    }
}

/// The type of the column that a value brings along. None: it fits a column of no type.
#[cold]
pub(super) fn column_type(value: Value, room: &mut String) -> Option<ColumnType> {
    let (column_type, rule) = match value.kind {
        Kind::Null => return None,
        Kind::True | Kind::False => (ColumnType::Boolean, Rule::Boolean),
        Kind::Integer => (ColumnType::Int64, Rule::Integer),
        Kind::Decimal => (ColumnType::Double, Rule::Double),
        Kind::Plain | Kind::Escaped | Kind::Object | Kind::List => (ColumnType::String, Rule::Json),
    };
    fit(rule, value, room).map(|_| column_type)
}

/// What a column of `column_type` beyond the core ones holds for a value that comes from a column of another type.
pub(super) fn refit(cell: Cell, column_type: ColumnType) -> Option<Cell> {
    match (column_type, cell) {
        (ColumnType::Int64, Cell::Double(float)) => exact_integer(float).map(Cell::Int64),
        (ColumnType::Double, Cell::Int64(integer)) => exact_double(integer).map(Cell::Double),
        (ColumnType::String, Cell::String(_))
        | (ColumnType::Int64, Cell::Int64(_))
        | (ColumnType::Double, Cell::Double(_))
        | (ColumnType::Boolean, Cell::Boolean(_)) => Some(cell),
        _ => None,
    }
}

/// The characters of a string.
#[inline]
fn string<'a>(value: Value<'a>, room: &'a mut String) -> Option<&'a str> {
    match value.kind {
        Kind::Plain => Some(value.inner()),
        Kind::Escaped => {
            room.clear();
            unescape(value.inner(), room).then_some(&**room)
        }
        _ => None,
    }
}

/// A number without fraction.
#[inline]
fn number(value: Value) -> Option<i64> {
    match value.kind {
        Kind::Integer => integer(value.text),
        Kind::Decimal => whole(value.text),
        _ => None,
    }
}

fn boolean<'a>(value: Value) -> Option<Cell<'a>> {
    match value.kind {
        Kind::True => Some(Cell::Boolean(true)),
        Kind::False => Some(Cell::Boolean(false)),
        _ => None,
    }
}
