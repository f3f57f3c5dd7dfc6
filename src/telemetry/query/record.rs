//! One row as it was read: names and values in the order of the columns, as JSON with what is JSON inside.

use std::rc::Rc;

use rusqlite::types::Value;
use rusqlite::{Row, Statement};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::telemetry::text::printable_json;

/// A row. Its JSON form is an object with the column names as keys.
#[derive(Clone, Debug)]
pub struct Record {
    names: Rc<[String]>,
    values: Vec<Value>,
}

/// Columns whose text is JSON already.
const JSON: &[&str] =
    &["request_headers", "response_headers", "usage", "websocket", "tool_calls", "tool_results", "command"];

/// The two leading columns of a query are the row's position and no part of it.
const POSITION: usize = 2;

pub(super) fn names(statement: &Statement) -> Rc<[String]> {
    statement.column_names().skip(POSITION).map(str::to_owned).collect()
}

impl Record {
    pub(super) fn read(names: &Rc<[String]>, row: &Row) -> rusqlite::Result<Self> {
        let values = (0..names.len()).map(|column| row.get(column + POSITION)).collect::<Result<_, _>>()?;
        Ok(Self { names: Rc::clone(names), values })
    }

    /// The value of a column; null where there is none.
    pub fn get(&self, name: &str) -> &Value {
        let column = self.names.iter().position(|known| known == name);
        column.map_or(&Value::Null, |column| &self.values[column])
    }

    /// A text column, empty where it is null.
    pub fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Value::Text(text) => text,
            _ => "",
        }
    }

    /// A number column.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// A column of bytes.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        match self.get(name) {
            Value::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The first field of this name among the request's headers, where they were stored.
    pub fn header(&self, name: &str) -> Option<String> {
        let fields: Vec<(String, String)> = serde_json::from_str(self.text("request_headers")).ok()?;
        fields.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The row as one line of JSON.
    pub fn to_json(&self) -> String {
        printable_json(serde_json::to_string(self).expect("texts and numbers have a JSON form"))
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (name, value) in self.names.iter().zip(&self.values) {
            match value {
                Value::Null => map.serialize_entry(name, &None::<i64>)?,
                Value::Integer(number) => map.serialize_entry(name, number)?,
                Value::Real(number) => map.serialize_entry(name, number)?,
                Value::Text(text) if JSON.contains(&name.as_str()) => {
                    match serde_json::from_str::<&RawValue>(text) {
                        Ok(inner) => map.serialize_entry(name, inner)?,
                        Err(_) => map.serialize_entry(name, text)?,
                    }
                }
                Value::Text(text) => map.serialize_entry(name, text)?,
                Value::Blob(bytes) => map.serialize_entry(name, &String::from_utf8_lossy(bytes))?,
            }
        }
        map.end()
    }
}
