//! The grains of the rollup: their SQL and their columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use DataType::{Boolean, Int32, Int64, Utf8View};

use super::order;
use crate::history::scan::Codes;

/// What a row of the rollup stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::history) enum Grain {
    /// An hour and user.
    HourUsers,
    /// A day, user and is_bot.
    Users,
    /// A day, server_name, language, project and user.
    ServerUsers,
    /// An hour, server_name, language and project.
    Places,
    /// An hour.
    Hours,
    /// A user and is_bot, over some days: those with the most events ([`super::totals`]).
    TopUsers,
    /// A server_name, language and project, over the same days.
    Servers,
    /// One of these and a user, over the same days.
    Pairs,
    /// One of these, what happened there on the same days.
    PlacesOfDays,
}

/// The columns that make a server.
pub(super) const SERVER: [&str; 3] = ["server_name", "language", "project"];

/// Sums up events.
pub(in crate::history) const ROLLUP_SQL: &str = include_str!("../../../views/rollup.sql");
const HOUR_USERS_SQL: &str = include_str!("../../../views/rollup_hour_users.sql");
const USERS_SQL: &str = include_str!("../../../views/rollup_users.sql");
const SERVER_USERS_SQL: &str = include_str!("../../../views/rollup_server_users.sql");
const PLACES_SQL: &str = include_str!("../../../views/rollup_places.sql");
const HOURS_SQL: &str = include_str!("../../../views/rollup_hours.sql");

/// Tells rollups of one definition from those of another.
pub(super) fn definition() -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for text in [
        ROLLUP_SQL,
        HOUR_USERS_SQL,
        USERS_SQL,
        SERVER_USERS_SQL,
        PLACES_SQL,
        HOURS_SQL,
    ] {
        hasher.update(text.as_bytes());
    }
    hasher.update(order::VERSION.as_bytes());
    hasher.finalize()
}

impl Grain {
    const ALL: [Grain; 9] = [
        Grain::HourUsers,
        Grain::Users,
        Grain::ServerUsers,
        Grain::Places,
        Grain::Hours,
        Grain::TopUsers,
        Grain::Servers,
        Grain::Pairs,
        Grain::PlacesOfDays,
    ];

    /// Those that every partial has as a piece of its own.
    pub(super) const OF_PARTIALS: [Grain; 4] = [Grain::HourUsers, Grain::Users, Grain::ServerUsers, Grain::Places];

    /// Its name in the table that the lake keeps, and in SQL.
    pub(in crate::history) fn name(self) -> &'static str {
        match self {
            Grain::HourUsers => "hour_users",
            Grain::Users => "users",
            Grain::ServerUsers => "server_users",
            Grain::Places => "places",
            Grain::Hours => "hours",
            Grain::TopUsers => "top_users",
            Grain::Servers => "servers",
            Grain::Pairs => "pairs",
            Grain::PlacesOfDays => "places_of_days",
        }
    }

    /// The grain of this name.
    pub(super) fn named(name: &str) -> Option<Grain> {
        Grain::ALL.into_iter().find(|grain| grain.name() == name)
    }

    /// The SQL that defines it, over what [`ROLLUP_SQL`] gives, registered as `rollup`; none where it is of other grains.
    #[cfg(test)]
    pub(in crate::history) fn sql(self) -> Option<&'static str> {
        match self {
            Grain::HourUsers => Some(HOUR_USERS_SQL),
            Grain::Users => Some(USERS_SQL),
            Grain::ServerUsers => Some(SERVER_USERS_SQL),
            Grain::Places => Some(PLACES_SQL),
            Grain::Hours => Some(HOURS_SQL),
            Grain::TopUsers | Grain::Servers | Grain::Pairs | Grain::PlacesOfDays => None,
        }
    }

    /// The column that says when; those of whole days of a window have none.
    pub(super) fn bucket(self) -> &'static str {
        match self {
            Grain::Users | Grain::ServerUsers => "day_bucket",
            Grain::HourUsers | Grain::Places | Grain::Hours => "hour_bucket",
            Grain::TopUsers | Grain::Servers | Grain::Pairs | Grain::PlacesOfDays => "",
        }
    }

    /// Its columns, as its files and the engine have them.
    pub(super) fn columns(self) -> SchemaRef {
        let names: &[&str] = match self {
            Grain::HourUsers => &["hour_bucket", KEY_HIGH, KEY_LOW],
            Grain::Users => &["day_bucket", "user", "is_bot", "events", "bytes_sum", "new_pages"],
            Grain::ServerUsers => &["day_bucket", "server_name", "language", "project", KEY_HIGH, KEY_LOW],
            Grain::Places => &[
                "hour_bucket",
                "server_name",
                "language",
                "project",
                "events",
                "bytes_sum",
                "bot_events",
                "new_pages",
            ],
            Grain::Hours => &[
                "hour_bucket",
                "events",
                "bytes_sum",
                "bytes_known",
                "bot_events",
                "human_events",
                "unique_users",
            ],
            Grain::TopUsers => &["user", "is_bot", "events", "bytes_sum", "new_pages"],
            Grain::Servers => &["server_name", "language", "project", "unique_users"],
            Grain::Pairs => &[PAIR_HIGH, PAIR_LOW],
            Grain::PlacesOfDays => return Grain::Places.columns_but_bucket(),
        };
        self::columns(names)
    }

    /// The same without the one that says when.
    pub(super) fn columns_but_bucket(self) -> SchemaRef {
        let columns = self.columns();
        let fields = columns.fields().iter().filter(|field| field.name() != self.bucket());
        Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
    }
}

fn columns(names: &[&str]) -> SchemaRef {
    let fields: Vec<_> = names
        .iter()
        .map(|name| Field::new(*name, column_type(name), true))
        .collect();
    Arc::new(Schema::new(fields))
}

fn column_type(name: &str) -> DataType {
    match name {
        "hour_bucket" | "day_bucket" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "bytes_sum" => DataType::Decimal128(38, 0),
        "user" | "server_name" | "language" | "project" => Utf8View,
        "is_bot" => Boolean,
        KEY_LOW => Int32,
        _ => Int64,
    }
}

/// The columns as they are read to be coded: servers, of which there are few, as dictionaries.
pub(super) fn to_code(columns: &SchemaRef) -> SchemaRef {
    let fields = columns.fields().iter().map(|field| match field.name().as_str() {
        name if SERVER.contains(&name) => Field::new(name, Codes::few_texts(), true),
        _ => field.as_ref().clone(),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The columns of the table that the lake keeps: those of all grains, and the grain's name.
pub(super) fn table_columns() -> SchemaRef {
    let mut fields = vec![Field::new(GRAIN_COLUMN, DataType::Utf8, true)];
    for grain in Grain::ALL {
        for field in grain.columns().fields() {
            if fields.iter().all(|known| known.name() != field.name()) {
                let data_type = match field.data_type() {
                    Utf8View => DataType::Utf8,
                    other => other.clone(),
                };
                fields.push(Field::new(field.name(), data_type, true));
            }
        }
    }
    Arc::new(Schema::new(fields))
}

/// The columns that hold what tells the users of an hour or of a server apart ([`order`]).
pub(super) const KEY_HIGH: &str = "key_high";
/// Its lowest bits.
pub(super) const KEY_LOW: &str = "key_low";

/// The columns that hold the keys of pairs of a server and a user.
pub(super) const PAIR_HIGH: &str = "pair_high";
/// Their lower halves.
pub(super) const PAIR_LOW: &str = "pair_low";

/// The column that holds a grain's name; it stands in the files' folders.
pub(super) const GRAIN_COLUMN: &str = "grain";
