//! Arguments of a call, by position and by name.

use super::glyphs::{Glyph, Text, plain};
use super::value::{Result, Value, wrong};

/// Evaluated arguments.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    pub(super) positional: Vec<Value>,
    pub(super) named: Vec<(String, Value)>,
}

impl Values {
    /// The argument at `position`, or called `name`.
    pub(super) fn get(&self, position: usize, name: &str) -> Option<&Value> {
        self.positional
            .get(position)
            .or_else(|| self.named.iter().find(|(given, _)| given == name).map(|(_, value)| value))
    }

    /// As [`Self::get`], where the argument must be there.
    pub(super) fn need(&self, position: usize, name: &str) -> Result<&Value> {
        match self.get(position, name) {
            Some(value) => Ok(value),
            None => wrong(format!("missing a required argument: '{name}'")),
        }
    }

    /// A string argument; `None` counts as absent.
    pub(super) fn text(&self, position: usize, name: &str) -> Result<Option<Text>> {
        match self.get(position, name) {
            None | Some(Value::None) => Ok(None),
            Some(Value::Str(text)) => Ok(Some(text.clone())),
            Some(other) => {
                wrong(format!("argument '{name}' must be str, not {}", other.type_name()))
            }
        }
    }

    /// A string argument that must be there.
    pub(super) fn need_text(&self, position: usize, name: &str) -> Result<Text> {
        match self.need(position, name)? {
            Value::Str(text) => Ok(text.clone()),
            other => wrong(format!("argument '{name}' must be str, not {}", other.type_name())),
        }
    }

    /// A string argument as a plain string.
    pub(super) fn word(&self, position: usize, name: &str) -> Result<Option<String>> {
        Ok(self.text(position, name)?.map(|text| plain(&text)))
    }

    /// An integer argument; `None` counts as absent.
    pub(super) fn integer(&self, position: usize, name: &str) -> Result<Option<i64>> {
        match self.get(position, name) {
            None | Some(Value::None) => Ok(None),
            Some(value) => match value.integer() {
                Some(integer) => Ok(Some(integer)),
                None => wrong(format!("argument '{name}' must be int, not {}", value.type_name())),
            },
        }
    }

    /// A count: an integer argument, 0 where it is negative.
    pub(super) fn count(&self, position: usize, name: &str) -> Result<Option<usize>> {
        Ok(self.integer(position, name)?.map(|count| usize::try_from(count).unwrap_or(0)))
    }

    /// A count where absent or negative means all.
    pub(super) fn count_or_all(&self, position: usize, name: &str) -> Result<usize> {
        let count = self.integer(position, name)?.and_then(|count| usize::try_from(count).ok());
        Ok(count.unwrap_or(usize::MAX))
    }

    /// Whether a flag is set; absent is `default`.
    pub(super) fn flag(&self, position: usize, name: &str, default: Flag) -> bool {
        match self.get(position, name) {
            None => default == Flag::On,
            Some(Value::Bool(truth)) => *truth,
            Some(value) => value.integer() != Some(0) && !matches!(value, Value::None),
        }
    }
}

/// What a flag is when it is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    On,
    Off,
}

/// A glyph slice as a value's text.
pub(super) fn text_of(glyphs: &[Glyph]) -> Text {
    glyphs.into()
}
