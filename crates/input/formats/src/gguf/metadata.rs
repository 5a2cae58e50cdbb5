//! GGUF metadata: keys with values, in file order, asked for by type.
//!
//! Keys are unique. Integers of any width answer any integer getter when the value fits; floats
//! must be finite; a value of another kind is an error that names the key and both types.

use std::borrow::Cow;

use super::value::{Array, Integer, StrArray, Value};
use crate::{FormatError, Label, Place, memory};

/// The settings of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    entries: Vec<(Box<str>, Value)>,
    /// Indexes into `entries`, sorted by key.
    by_key: Vec<u32>,
}

impl Metadata {
    /// No settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes entries in file order.
    pub(crate) fn from_entries(entries: Vec<(Box<str>, Value)>) -> Result<Self, FormatError> {
        let mut by_key: Vec<u32> = memory::table(entries.len())?;
        by_key.extend((0u32..).take(entries.len()));
        let key = |idx: &u32| entries.get(*idx as usize).map_or("", |entry| &*entry.0);
        by_key.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        for (former, later) in by_key.iter().zip(by_key.iter().skip(1)) {
            if key(former) == key(later) {
                return Err(FormatError::Duplicate { what: "key", name: Label::new(key(later)) });
            }
        }
        Ok(Self { entries, by_key })
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All keys with their values, in file order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (&**key, value))
    }

    /// Sets a key; one that is there keeps its place in the order.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        let value = value.into();
        match self.find(key) {
            Ok(found) => {
                if let Some(entry) = self.entries.get_mut(found) {
                    entry.1 = value;
                }
            }
            Err(at) => {
                // Readers and the writer both cap the number of keys far below 2³².
                let idx = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
                self.by_key.insert(at, idx);
                self.entries.push((key.into(), value));
            }
        }
        self
    }

    /// Removes a key and returns its value, if it was there.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let found = self.find(key).ok()?;
        let (_, value) = self.entries.remove(found);
        let removed = u32::try_from(found).ok()?;
        self.by_key.retain(|&idx| idx != removed);
        for idx in &mut self.by_key {
            if *idx > removed {
                *idx = idx.saturating_sub(1);
            }
        }
        Some(value)
    }

    /// The index of a key in `entries`, or where it would stand in `by_key`.
    fn find(&self, key: &str) -> Result<usize, usize> {
        let order = |idx: &u32| self.entries.get(*idx as usize).map_or("", |e| &*e.0).cmp(key);
        let found = self.by_key.binary_search_by(order)?;
        Ok(self.by_key.get(found).map_or(0, |&idx| idx as usize))
    }

    /// The value of a key, whatever its type.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let found = self.find(key).ok()?;
        self.entries.get(found).map(|entry| &entry.1)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`FormatError::MissingKey`] if it is not there.
    pub fn require(&self, key: &str) -> Result<&Value, FormatError> {
        self.get(key).ok_or_else(|| FormatError::MissingKey { key: Label::new(key) })
    }

    fn read<'a, T>(
        &'a self,
        key: &str,
        want: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, FormatError> {
        let value = self.require(key)?;
        convert(value).ok_or_else(|| FormatError::WrongType {
            key: Label::new(key),
            want,
            got: value.describe(),
        })
    }

    fn integer<T: TryFrom<i128>>(&self, key: &str, want: &'static str) -> Result<T, FormatError> {
        self.read(key, want, |value| T::try_from(value.as_integer()?).ok())
    }

    /// An integer that fits 32 unsigned bits.
    ///
    /// # Errors
    /// If the key is missing, no integer, or the value does not fit. So with the next four.
    pub fn get_u32(&self, key: &str) -> Result<u32, FormatError> {
        self.integer(key, "an integer from 0 to 4294967295")
    }

    /// An integer that fits 64 unsigned bits.
    ///
    /// # Errors
    /// As [`get_u32`](Self::get_u32).
    pub fn get_u64(&self, key: &str) -> Result<u64, FormatError> {
        self.integer(key, "an integer of 0 or more")
    }

    /// An integer that fits 32 signed bits.
    ///
    /// # Errors
    /// As [`get_u32`](Self::get_u32).
    pub fn get_i32(&self, key: &str) -> Result<i32, FormatError> {
        self.integer(key, "an integer from -2147483648 to 2147483647")
    }

    /// A finite number; doubles are rounded.
    ///
    /// # Errors
    /// If the key is missing, not a float, or not finite as a single.
    pub fn get_f32(&self, key: &str) -> Result<f32, FormatError> {
        self.read(key, "a finite f32", |value| narrow(value.as_float()?))
    }

    /// A truth value.
    ///
    /// # Errors
    /// If the key is missing or of another type.
    pub fn get_bool(&self, key: &str) -> Result<bool, FormatError> {
        self.read(key, "a bool", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    /// A string.
    ///
    /// # Errors
    /// If the key is missing or of another type.
    pub fn get_str(&self, key: &str) -> Result<&str, FormatError> {
        self.read(key, "a string", |value| match value {
            Value::String(text) => Some(&**text),
            _ => None,
        })
    }

    /// An array of strings.
    ///
    /// # Errors
    /// If the key is missing or of another type.
    pub fn get_str_array(&self, key: &str) -> Result<&StrArray, FormatError> {
        self.read(key, "an array of strings", |value| match value {
            Value::Array(Array::String(strings)) => Some(strings),
            _ => None,
        })
    }

    /// An array of finite numbers; doubles are rounded.
    ///
    /// # Errors
    /// If the key is missing, of another type, or an element is not finite.
    pub fn get_f32_array(&self, key: &str) -> Result<Cow<'_, [f32]>, FormatError> {
        self.read(key, "an array of finite f32", |value| match value {
            Value::Array(Array::F32(a)) => {
                a.iter().all(|x| x.is_finite()).then_some(Cow::Borrowed(&**a))
            }
            Value::Array(Array::F64(a)) => {
                a.iter().map(|&x| narrow(x)).collect::<Option<Vec<f32>>>().map(Cow::Owned)
            }
            _ => None,
        })
    }

    fn integers<T: Integer>(
        &self,
        key: &str,
        want: &'static str,
    ) -> Result<Cow<'_, [T]>, FormatError> {
        self.read(key, want, |value| match value {
            Value::Array(array) => array.integers(),
            _ => None,
        })
    }

    /// An array of integers that fit 32 signed bits.
    ///
    /// # Errors
    /// If the key is missing, of another type, or an element does not fit.
    pub fn get_i32_array(&self, key: &str) -> Result<Cow<'_, [i32]>, FormatError> {
        self.integers(key, "an array of integers from -2147483648 to 2147483647")
    }

    /// An array of integers that fit 32 unsigned bits.
    ///
    /// # Errors
    /// As [`get_i32_array`](Self::get_i32_array).
    pub fn get_u32_array(&self, key: &str) -> Result<Cow<'_, [u32]>, FormatError> {
        self.integers(key, "an array of integers from 0 to 4294967295")
    }

    /// An array of bytes.
    ///
    /// # Errors
    /// As [`get_i32_array`](Self::get_i32_array).
    pub fn get_u8_array(&self, key: &str) -> Result<Cow<'_, [u8]>, FormatError> {
        self.integers(key, "an array of integers from 0 to 255")
    }

    /// An array of truth values.
    ///
    /// # Errors
    /// If the key is missing or of another type.
    pub fn get_bool_array(&self, key: &str) -> Result<&[bool], FormatError> {
        self.read(key, "an array of bool", |value| match value {
            Value::Array(Array::Bool(a)) => Some(&**a),
            _ => None,
        })
    }

    /// The alignment of tensors: `general.alignment`, or 32.
    ///
    /// # Errors
    /// If it is set and not a `u32` power of two within the limit.
    pub(crate) fn alignment(&self) -> Result<u64, FormatError> {
        const KEY: &str = super::KEY_ALIGNMENT;
        let alignment = match self.get(KEY) {
            None => super::ALIGNMENT,
            Some(Value::U32(n)) => u64::from(*n),
            Some(other) => {
                let got = other.describe();
                return Err(FormatError::WrongType { key: Label::new(KEY), want: "a u32", got });
            }
        };
        let place = Place::named(format_args!("{KEY}"));
        let limit = crate::limits::GGUF_ALIGNMENT;
        if !alignment.is_power_of_two() {
            return Err(FormatError::invalid(place, "a power of two", format_args!("{alignment}")));
        }
        if alignment > limit {
            return Err(FormatError::Limit { place, got: alignment, limit });
        }
        Ok(alignment)
    }
}

/// Rounds to single precision; `None` where the result is not finite.
fn narrow(x: f64) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "rounding is what is asked for")]
    let x = x as f32;
    x.is_finite().then_some(x)
}
