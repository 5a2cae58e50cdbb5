//! JSON text into a tree, without what makes a text mean two things.
//!
//! A key that occurs twice in one object is an error (`serde_json` alone keeps the last), as is
//! nesting beyond 128. The tree takes at most 4 × the text + 16 MiB; a text that would take more,
//! such as a million empty arrays, is refused.

use std::{cell::Cell, fmt};

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

use crate::{FormatError, Label, Place, limits};

pub use serde_json::{Map, Value};

/// Reads a whole text; `what` names it in errors, such as `config.json`.
///
/// # Errors
/// [`FormatError::Json`] with line and column if the text is not JSON, repeats a key, is nested too
/// deeply or would take too much memory.
pub fn parse(text: &[u8], what: &str) -> Result<Value, FormatError> {
    let budget = Budget::for_text(text.len());
    let mut reader = serde_json::Deserializer::from_slice(text);
    Tree { budget: &budget }
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| wrap(&error, what))
}

/// The error of `serde_json` as ours.
pub(crate) fn wrap(error: &serde_json::Error, what: &str) -> FormatError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let tail = format!(" at line {line} column {column}");
    let why = Label::sentence(text.strip_suffix(&tail).unwrap_or(&text));
    FormatError::Json { place: Place::named(format_args!("{what}")), line, column, why }
}

/// Memory left for a tree.
#[derive(Debug)]
pub(crate) struct Budget(Cell<u64>);

impl Budget {
    pub(crate) fn for_text(len: usize) -> Self {
        let bytes = (len as u64).saturating_mul(limits::MEMORY_FACTOR);
        Self(Cell::new(bytes.saturating_add(limits::MEMORY_BYTES)))
    }

    /// Takes `bytes` from the budget.
    fn charge<E: de::Error>(&self, bytes: usize) -> Result<(), E> {
        match self.0.get().checked_sub(bytes as u64) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => Err(E::custom("the text would take more than 4 times its size in memory")),
        }
    }
}

/// Builds a value and everything in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree<'b> {
    pub(crate) budget: &'b Budget,
}

/// Room that one element of an array takes at most: a vector that doubles has, for a moment, its
/// old place and a new one of twice the size.
const ELEMENT: usize = size_of::<Value>() * 3;
/// As [`ELEMENT`], for an object's entry: key, value, hash and index table.
const ENTRY: usize = (size_of::<Value>() + size_of::<String>() + 24) * 3;

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_f64<E: de::Error>(self, x: f64) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        self.budget.charge(text.len())?;
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(self)? {
            // The smallest vector has room for four.
            self.budget.charge(if values.is_empty() { ELEMENT * 2 } else { ELEMENT })?;
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            self.budget.charge(key.len())?;
            self.budget.charge(if entries.is_empty() { ENTRY * 2 } else { ENTRY })?;
            if entries.contains_key(&key) {
                return Err(de::Error::custom(repeated(&key)));
            }
            let value = map.next_value_seed(self)?;
            entries.insert(key, value);
        }
        Ok(Value::Object(entries))
    }
}

/// What is said about a key that occurs twice.
pub(crate) fn repeated(key: &str) -> String {
    format!("key \"{}\" occurs twice", Label::new(key))
}
