//! One row as it was read: its values in the order of the columns, as JSON with what is JSON inside.
//!
//! A row is read into the room of the one before it. Whoever keeps it clones it.

use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::telemetry::text::{json_line, json_text};

/// A row. Its JSON form is an object with the column names as keys.
#[derive(Clone, Debug)]
pub struct Record {
    columns: Rc<[Column]>,
    values: Vec<Value>,
    /// All texts, one after another.
    texts: String,
    /// All blobs, one after another.
    blobs: Vec<u8>,
}

#[derive(Debug)]
struct Column {
    name: String,
    /// The name as a key of an object, with the colon.
    key: Vec<u8>,
    /// Its text is JSON already.
    is_json: bool,
}

#[derive(Clone, Debug)]
enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(Range<usize>),
    Blob(Range<usize>),
}

/// A header field as rows hold it, `["name", "value"]`; or a parameter of a query. Written as an object.
#[derive(Debug, Deserialize, Serialize)]
pub struct Field<'a> {
    /// The name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// The value.
    #[serde(borrow)]
    pub value: Cow<'a, str>,
}

/// Columns whose text is JSON already.
const JSON: &[&str] =
    &["request_headers", "response_headers", "usage", "websocket", "tool_calls", "tool_results", "command"];

/// The two leading columns of a query are the row's position and no part of it.
const POSITION: usize = 2;

impl Record {
    /// A row that nothing was read into yet.
    pub(super) fn of(statement: &Statement) -> Self {
        let columns = statement.column_names().skip(POSITION).map(Column::new).collect();
        Self { columns, values: Vec::new(), texts: String::new(), blobs: Vec::new() }
    }

    /// Reads the next row in place of this one.
    pub(super) fn read(&mut self, row: &Row) -> rusqlite::Result<()> {
        self.values.clear();
        self.texts.clear();
        self.blobs.clear();
        for column in POSITION..POSITION + self.columns.len() {
            let value = match row.get_ref(column)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Integer(number),
                ValueRef::Real(number) => Value::Real(number),
                ValueRef::Text(text) => {
                    let text = str::from_utf8(text).map_err(|why| rusqlite::Error::Utf8Error(column, why))?;
                    self.texts.push_str(text);
                    Value::Text(self.texts.len() - text.len()..self.texts.len())
                }
                ValueRef::Blob(bytes) => {
                    self.blobs.extend_from_slice(bytes);
                    Value::Blob(self.blobs.len() - bytes.len()..self.blobs.len())
                }
            };
            self.values.push(value);
        }
        Ok(())
    }

    /// A text column, empty where it is null.
    pub fn text(&self, name: &str) -> &str {
        match self.value(name) {
            Some(Value::Text(range)) => &self.texts[range.clone()],
            _ => "",
        }
    }

    /// A number column.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.value(name)? {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// A column of bytes.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        match self.value(name)? {
            Value::Blob(range) => Some(&self.blobs[range.clone()]),
            _ => None,
        }
    }

    /// The header fields in a column, where they were stored.
    pub fn fields(&self, name: &str) -> Vec<Field<'_>> {
        serde_json::from_str(self.text(name)).unwrap_or_default()
    }

    /// The first field of this name among the request's headers, where they were stored.
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut fields = self.fields("request_headers").into_iter();
        fields.find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// Appends the row as JSON, on one line and with nothing in it that a terminal would obey.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        self.write_members(out);
        out.push(b'}');
    }

    /// The same without braces, for an object that says more.
    pub fn write_members(&self, out: &mut Vec<u8>) {
        for (index, (column, value)) in self.columns.iter().zip(&self.values).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&column.key);
            match value {
                Value::Null => out.extend_from_slice(b"null"),
                Value::Integer(number) => json_number(number, out),
                Value::Real(number) => json_number(number, out),
                Value::Text(range) if column.is_json => json_inside(&self.texts[range.clone()], out),
                Value::Text(range) => json_text(&self.texts[range.clone()], out),
                Value::Blob(range) => json_text(&String::from_utf8_lossy(&self.blobs[range.clone()]), out),
            }
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(self.columns.iter().position(|column| column.name == name)?)
    }
}

impl Column {
    fn new(name: &str) -> Self {
        let mut key = Vec::new();
        json_text(name, &mut key);
        key.push(b':');
        Self { name: name.to_owned(), key, is_json: JSON.contains(&name) }
    }
}

fn json_number(number: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, number).expect("a number has a JSON form, and memory takes it");
}

/// What is JSON already; as a text where it is none, whoever wrote it.
fn json_inside(text: &str, out: &mut Vec<u8>) {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(inner) => json_line(inner.get(), out),
        Err(_) => json_text(text, out),
    }
}
