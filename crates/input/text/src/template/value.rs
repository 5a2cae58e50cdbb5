//! Values of the template language, and the heap that holds its lists and dicts.
//!
//! Lists and dicts are indices into the [`Heap`], as in Python they are shared and can change.
//! The heap is dropped as a whole: no value owns another, so neither a cycle nor deep nesting can
//! leak or overflow the stack. Every walk over nested values counts its depth, everything that is
//! allocated or computed is charged against the render's budget before it happens.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::Value as Json;

use super::glyphs::{Glyph, Origin, Text, glyphs, scaffold};
use super::limits::{Budget, NESTING_MAX};

/// Why a template stops.
#[derive(Clone, Debug)]
pub(super) enum Fail {
    /// It called `raise_exception`.
    Raised(String),
    /// It went over a limit.
    Limit(&'static str),
    /// It did what Python would not.
    Wrong(String),
}

pub(super) type Result<T> = std::result::Result<T, Fail>;

/// A mistake in the template, in Python's words where it has some.
pub(super) fn wrong<T>(message: impl Into<String>) -> Result<T> {
    Err(Fail::Wrong(message.into()))
}

/// A value of the template language.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing by that name; says what was missing.
    Undefined(Arc<str>),
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Text),
    List(usize),
    Tuple(usize),
    Dict(usize),
    Namespace(usize),
    /// The variable `loop`.
    Loop(usize),
    Macro(usize),
    Function(Function),
    /// A method together with its object: `message.get`.
    Bound(Box<(Value, Arc<str>)>),
}

/// Functions that the environment provides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Range,
    Dict,
    Namespace,
    Raise,
    StrftimeNow,
}

/// A dict keeps its keys in the order in which they came.
pub(super) type Dict = Vec<(Value, Value)>;

/// All lists and dicts of one render, and what it may still use.
#[derive(Debug)]
pub(super) struct Heap {
    lists: Vec<Vec<Value>>,
    dicts: Vec<Dict>,
    pub(super) budget: Budget,
}

impl Heap {
    pub(super) fn new(budget: Budget) -> Self {
        Self { lists: Vec::new(), dicts: Vec::new(), budget }
    }

    pub(super) fn list(&self, id: usize) -> &[Value] {
        &self.lists[id]
    }

    pub(super) fn list_mut(&mut self, id: usize) -> &mut Vec<Value> {
        &mut self.lists[id]
    }

    pub(super) fn dict(&self, id: usize) -> &Dict {
        &self.dicts[id]
    }

    pub(super) fn dict_mut(&mut self, id: usize) -> &mut Dict {
        &mut self.dicts[id]
    }

    pub(super) fn new_list(&mut self, items: Vec<Value>) -> Result<Value> {
        self.add(items).map(Value::List)
    }

    pub(super) fn new_tuple(&mut self, items: Vec<Value>) -> Result<Value> {
        self.add(items).map(Value::Tuple)
    }

    pub(super) fn new_dict(&mut self, entries: Dict) -> Result<Value> {
        self.add_dict(entries).map(Value::Dict)
    }

    fn add(&mut self, items: Vec<Value>) -> Result<usize> {
        self.budget.take(items.len() + 4, size_of::<Value>())?;
        self.lists.push(items);
        Ok(self.lists.len() - 1)
    }

    pub(super) fn add_dict(&mut self, entries: Dict) -> Result<usize> {
        self.budget.take(entries.len() + 4, 2 * size_of::<Value>())?;
        self.dicts.push(entries);
        Ok(self.dicts.len() - 1)
    }

    /// A string value; its glyphs are charged.
    pub(super) fn text(&mut self, text: impl Into<Text>) -> Result<Value> {
        let text = text.into();
        self.budget.take(text.len() + 4, size_of::<Glyph>())?;
        Ok(Value::Str(text))
    }

    /// Charges for looking at every item once.
    pub(super) fn walk(&self, items: usize) -> Result<()> {
        self.budget.work(items)
    }

    /// Charges for the worst case of a search for `needle` glyphs in `text` glyphs.
    pub(super) fn search(&self, text: usize, needle: usize) -> Result<()> {
        self.budget.work(1 + text / 4 + text.saturating_mul(needle) / 16)
    }

    /// Finds `key` among the entries of a dict.
    pub(super) fn find(&mut self, id: usize, key: &Value) -> Result<Option<usize>> {
        self.walk(1 + self.dicts[id].len() / 4)?;
        for place in 0..self.dicts[id].len() {
            if self.equal(&self.dicts[id][place].0, key, 0)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    pub(super) fn get(&mut self, id: usize, key: &Value) -> Result<Option<Value>> {
        Ok(self.find(id, key)?.map(|place| self.dicts[id][place].1.clone()))
    }

    pub(super) fn set(&mut self, id: usize, key: Value, value: Value) -> Result<()> {
        if let Some(place) = self.find(id, &key)? {
            self.dicts[id][place].1 = value;
            return Ok(());
        }
        let hashable =
            matches!(key, Value::None | Value::Bool(_) | Value::Str(_) | Value::Tuple(_))
                || key.number().is_some();
        if !hashable {
            return wrong(format!("unhashable type: '{}'", key.type_name()));
        }
        self.budget.take(1, 2 * size_of::<Value>())?;
        self.dicts[id].push((key, value));
        Ok(())
    }

    /// The value of a piece of JSON, with all its strings marked as `origin`.
    pub(super) fn import(&mut self, json: &Json, origin: Origin) -> Result<Value> {
        self.import_at(json, origin, 0)
    }

    fn import_at(&mut self, json: &Json, origin: Origin, depth: usize) -> Result<Value> {
        deeper(depth)?;
        Ok(match json {
            Json::Null => Value::None,
            Json::Bool(truth) => Value::Bool(*truth),
            Json::Number(number) => match number.as_i64() {
                Some(integer) => Value::Int(integer),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => self.text(glyphs(text, origin).collect::<Text>())?,
            Json::Array(items) => {
                let items: Result<Vec<Value>> =
                    items.iter().map(|item| self.import_at(item, origin, depth + 1)).collect();
                self.new_list(items?)?
            }
            Json::Object(entries) => {
                let mut dict = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    // A message's role is a word of the protocol, not text: templates build
                    // special tokens out of it.
                    let role = key == "role" && value.as_str().is_some_and(is_word);
                    let inner = if role { Origin::Scaffold } else { origin };
                    let value = self.import_at(value, inner, depth + 1)?;
                    dict.push((self.text(glyphs(key, origin).collect::<Text>())?, value));
                }
                self.new_dict(dict)?
            }
        })
    }

    /// Python's `==`.
    pub(super) fn equal(&self, a: &Value, b: &Value, depth: usize) -> Result<bool> {
        deeper(depth)?;
        // Lists can share their parts, so a short program can make a long comparison.
        self.walk(1)?;
        Ok(match (a, b) {
            (Value::Str(a), Value::Str(b)) => {
                self.walk(a.len().min(b.len()) / 16)?;
                a == b
            }
            (Value::None, Value::None) | (Value::Undefined(_), Value::Undefined(_)) => true,
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                a == b || self.equal_lists(self.list(*a), self.list(*b), depth)?
            }
            (Value::Dict(a), Value::Dict(b)) => a == b || self.equal_dicts(*a, *b, depth)?,
            (Value::Namespace(a), Value::Namespace(b))
            | (Value::Macro(a), Value::Macro(b))
            | (Value::Loop(a), Value::Loop(b)) => a == b,
            (Value::Function(a), Value::Function(b)) => a == b,
            _ => matches!(number_order(a, b), Some(Ordering::Equal)),
        })
    }

    fn equal_lists(&self, a: &[Value], b: &[Value], depth: usize) -> Result<bool> {
        if a.len() != b.len() {
            return Ok(false);
        }
        for (a, b) in a.iter().zip(b) {
            if !self.equal(a, b, depth + 1)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn equal_dicts(&self, a: usize, b: usize, depth: usize) -> Result<bool> {
        let (a, b) = (self.dict(a), self.dict(b));
        if a.len() != b.len() {
            return Ok(false);
        }
        for (key, value) in a {
            let mut found = false;
            for (other, theirs) in b {
                if self.equal(key, other, depth + 1)? {
                    found = self.equal(value, theirs, depth + 1)?;
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Python's order, where it has one.
    pub(super) fn order(&self, a: &Value, b: &Value, depth: usize) -> Result<Ordering> {
        deeper(depth)?;
        self.walk(1)?;
        match (a, b) {
            (Value::Str(a), Value::Str(b)) => {
                self.walk(a.len().min(b.len()) / 16)?;
                Ok(a.cmp(b))
            }
            (Value::List(x), Value::List(y)) | (Value::Tuple(x), Value::Tuple(y)) => {
                for (a, b) in self.list(*x).iter().zip(self.list(*y)) {
                    let order = self.order(a, b, depth + 1)?;
                    if order.is_ne() {
                        return Ok(order);
                    }
                }
                Ok(self.list(*x).len().cmp(&self.list(*y).len()))
            }
            _ => match number_order(a, b) {
                Some(order) => Ok(order),
                None => wrong(format!(
                    "'<' not supported between instances of '{}' and '{}'",
                    a.type_name(),
                    b.type_name()
                )),
            },
        }
    }

    /// Python's truth.
    pub(super) fn truthy(&self, value: &Value) -> bool {
        match value {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(truth) => *truth,
            Value::Int(integer) => *integer != 0,
            Value::Float(float) => float.abs() > 0.0 || float.is_nan(),
            Value::Str(text) => !text.is_empty(),
            Value::List(id) | Value::Tuple(id) => !self.list(*id).is_empty(),
            Value::Dict(id) => !self.dict(*id).is_empty(),
            Value::Namespace(_)
            | Value::Loop(_)
            | Value::Macro(_)
            | Value::Function(_)
            | Value::Bound(_) => true,
        }
    }

    /// What a `for` walks over.
    pub(super) fn items(&mut self, value: &Value) -> Result<Vec<Value>> {
        let items = match value {
            Value::List(id) | Value::Tuple(id) => self.list(*id).to_vec(),
            Value::Dict(id) => self.dict(*id).iter().map(|(key, _)| key.clone()).collect(),
            Value::Str(text) => text.iter().map(|glyph| Value::Str([*glyph].into())).collect(),
            Value::Undefined(_) => Vec::new(),
            other => return wrong(format!("'{}' object is not iterable", other.type_name())),
        };
        self.budget.take(items.len(), size_of::<Value>())?;
        Ok(items)
    }

    pub(super) fn length(&self, value: &Value) -> Result<usize> {
        match value {
            Value::List(id) | Value::Tuple(id) => Ok(self.list(*id).len()),
            Value::Dict(id) => Ok(self.dict(*id).len()),
            Value::Str(text) => Ok(text.len()),
            Value::Undefined(_) => Ok(0),
            other => wrong(format!("object of type '{}' has no len()", other.type_name())),
        }
    }
}

impl Value {
    /// A string that the template may be taken to have written.
    pub(super) fn word(text: &str) -> Self {
        Self::Str(scaffold(text))
    }

    pub(super) fn undefined(what: impl Into<Arc<str>>) -> Self {
        Self::Undefined(what.into())
    }

    pub(super) fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined(_))
    }

    /// The name of the type in Python.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined(_) => "Undefined",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::Namespace(_) => "Namespace",
            Self::Loop(_) => "LoopContext",
            Self::Macro(_) => "Macro",
            Self::Function(_) => "function",
            Self::Bound(_) => "builtin_function_or_method",
        }
    }

    /// An integer, if the value counts as one.
    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Int(integer) => Some(*integer),
            Self::Bool(truth) => Some(i64::from(*truth)),
            _ => None,
        }
    }

    /// A number, if the value counts as one.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Float(float) => Some(*float),
            _ => self.integer().map(|integer| integer as f64),
        }
    }
}

fn number_order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a.integer(), b.integer()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.number()?.partial_cmp(&b.number()?),
    }
}

/// Refuses nesting that could exhaust the stack.
pub(super) fn deeper(depth: usize) -> Result<()> {
    if depth > NESTING_MAX { Err(Fail::Limit("nesting of values")) } else { Ok(()) }
}

/// Whether a role is a plain word.
fn is_word(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(word)
}
