//! What a message must become, worked out in the most straightforward way, by serde_json.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::schema::CORE;
use super::{ColumnType, Reason};
