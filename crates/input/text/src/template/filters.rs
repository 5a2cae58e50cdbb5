//! Filters (`value | name`) and tests (`value is name`).
//!
//! They follow Jinja's documentation, "List of Builtin Filters" and "List of Builtin Tests";
//! `tojson` is Hugging Face's: Python's `json.dumps` without escaping for HTML.

use std::cmp::Ordering;

use super::arguments::{Flag, Values, text_of};
use super::glyphs::{Glyph, Sides, Text, find, glyphs, plain, scaffold, strip};
use super::methods;
use super::operators::{arithmetic, attribute, contains, item};
use super::print::{JsonStyle, json, print};
use super::syntax::Operator;
use super::value::{Fail, Heap, Result, Value, wrong};

/// Applies a filter.
pub(super) fn filter(heap: &mut Heap, name: &str, value: &Value, args: &Values) -> Result<Value> {
    match name {
        "abs" => match value {
            Value::Float(float) => Ok(Value::Float(float.abs())),
            other => match other.integer() {
                Some(integer) => Ok(Value::Int(integer.saturating_abs())),
                None => wrong(format!("bad operand type for abs(): '{}'", other.type_name())),
            },
        },
        "attr" => attribute(heap, value, &args.word(0, "name")?.unwrap_or_default()),
        "capitalize" | "lower" | "upper" | "title" => {
            let text = print(heap, value)?;
            methods::change_case(heap, &text, name)
        }
        "center" => {
            let text = print(heap, value)?;
            let width = args.count(0, "width")?.unwrap_or(80);
            methods::pad(heap, &text, width, &scaffold(" "), "center")
        }
        "count" | "length" => {
            Ok(Value::Int(i64::try_from(heap.length(value)?).unwrap_or(i64::MAX)))
        }
        "d" | "default" => {
            let absent =
                value.is_undefined() || (args.flag(1, "boolean", Flag::Off) && !heap.truthy(value));
            if !absent {
                return Ok(value.clone());
            }
            Ok(args.get(0, "default_value").cloned().unwrap_or_else(|| Value::word("")))
        }
        "dictsort" => dictsort(heap, value, args),
        "e" | "escape" | "forceescape" => escape(heap, value),
        "first" | "last" => {
            let items = heap.items(value)?;
            let found = if name == "first" { items.first() } else { items.last() };
            Ok(found.cloned().unwrap_or_else(|| Value::undefined("an item of an empty sequence")))
        }
        "float" => {
            let fallback = args.get(0, "default").cloned().unwrap_or(Value::Float(0.0));
            let parsed = match value {
                Value::Str(text) => plain(text).trim().parse().ok(),
                other => other.number(),
            };
            Ok(parsed.map_or(fallback, Value::Float))
        }
        "int" => {
            let fallback = args.get(0, "default").cloned().unwrap_or(Value::Int(0));
            Ok(to_integer(value).map_or(fallback, Value::Int))
        }
        "format" => {
            let text = print(heap, value)?;
            methods::printf(heap, &text, &args.positional)
        }
        "indent" => indent(heap, value, args),
        "items" => match value {
            Value::Dict(id) => methods::items(heap, *id),
            Value::Undefined(_) => heap.new_list(Vec::new()),
            _ => wrong("Can only get item pairs from a mapping."),
        },
        "join" => join(heap, value, args),
        "list" => {
            let items = heap.items(value)?;
            heap.new_list(items)
        }
        "map" => map(heap, value, args),
        "max" | "min" => {
            let items = sorted(heap, value, args, Case::from_args(args, 0), None)?;
            let found = if name == "min" { items.first() } else { items.last() };
            Ok(found.cloned().unwrap_or_else(|| Value::undefined("an item of an empty sequence")))
        }
        "select" | "reject" | "selectattr" | "rejectattr" => select(heap, name, value, args),
        "replace" => {
            let text = print(heap, value)?;
            let old = print(heap, args.need(0, "old")?)?;
            let new = print(heap, args.need(1, "new")?)?;
            methods::replace(heap, &text, &old, &new, args.integer(2, "count")?)
        }
        "reverse" => match value {
            Value::Str(text) => heap.text(text.iter().rev().copied().collect::<Text>()),
            other => {
                let mut items = heap.items(other)?;
                items.reverse();
                heap.new_list(items)
            }
        },
        "round" => round(value, args),
        "safe" => Ok(value.clone()),
        "batch" | "slice" => batch(heap, name, value, args),
        "sort" => {
            let attribute = args.word(2, "attribute")?;
            let mut items = sorted(heap, value, args, Case::from_args(args, 1), attribute)?;
            if args.flag(0, "reverse", Flag::Off) {
                items.reverse();
            }
            heap.new_list(items)
        }
        "string" => match value {
            Value::Str(_) => Ok(value.clone()),
            other => {
                let text = print(heap, other)?;
                heap.text(text)
            }
        },
        "sum" => {
            let mut total = args.get(1, "start").cloned().unwrap_or(Value::Int(0));
            for member in heap.items(value)? {
                let member = match args.word(0, "attribute")? {
                    Some(path) => follow(heap, &member, &path)?,
                    None => member,
                };
                total = arithmetic(heap, Operator::Add, &total, &member)?;
            }
            Ok(total)
        }
        "tojson" => to_json(heap, value, args),
        "trim" => {
            let text = print(heap, value)?;
            let of = args.text(0, "chars")?;
            heap.text(text_of(strip(&text, of.as_deref(), Sides::Both)))
        }
        "truncate" => truncate(heap, value, args),
        "unique" => {
            let case = Case::from_args(args, 0);
            let mut kept: Vec<Value> = Vec::new();
            for member in heap.items(value)? {
                heap.walk(kept.len())?;
                let mut seen = false;
                for other in &kept {
                    seen = seen || compare(heap, &member, other, case)?.is_eq();
                }
                if !seen {
                    kept.push(member);
                }
            }
            heap.new_list(kept)
        }
        "wordcount" => {
            let text = plain(&print(heap, value)?);
            Ok(Value::Int(i64::try_from(text.split_whitespace().count()).unwrap_or(i64::MAX)))
        }
        other => wrong(format!("No filter named '{other}'.")),
    }
}

/// Applies a test.
pub(super) fn test(heap: &mut Heap, name: &str, value: &Value, args: &Values) -> Result<bool> {
    let divides =
        |by: i64| value.integer().is_some_and(|integer| integer.checked_rem(by) == Some(0));
    Ok(match name {
        "defined" => !value.is_undefined(),
        "undefined" => value.is_undefined(),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)),
        "string" => matches!(value, Value::Str(_)),
        "mapping" => matches!(value, Value::Dict(_)),
        "sequence" => matches!(
            value,
            Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::Undefined(_)
        ),
        "iterable" => matches!(
            value,
            Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::Undefined(_)
        ),
        "callable" => {
            matches!(value, Value::Macro(_) | Value::Function(_) | Value::Bound(_))
        }
        "sameas" => same(value, args.need(0, "other")?),
        "even" => divides(2),
        "odd" => value.integer().is_some_and(|integer| integer.rem_euclid(2) == 1),
        "divisibleby" => divides(args.integer(0, "num")?.unwrap_or(0)),
        "lower" | "upper" => {
            let text = plain(&print(heap, value)?);
            let cased = text.chars().any(|c| c.is_lowercase() || c.is_uppercase());
            let breaks =
                |c: char| if name == "lower" { c.is_uppercase() } else { c.is_lowercase() };
            cased && !text.chars().any(breaks)
        }
        "in" => contains(heap, args.need(0, "seq")?, value)?,
        "eq" | "equalto" => heap.equal(value, args.need(0, "other")?, 0)?,
        "ne" => !heap.equal(value, args.need(0, "other")?, 0)?,
        "lt" | "lessthan" => heap.order(value, args.need(0, "other")?, 0)?.is_lt(),
        "le" => heap.order(value, args.need(0, "other")?, 0)?.is_le(),
        "gt" | "greaterthan" => heap.order(value, args.need(0, "other")?, 0)?.is_gt(),
        "ge" => heap.order(value, args.need(0, "other")?, 0)?.is_ge(),
        other => return wrong(format!("No test named '{other}'.")),
    })
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::None, Value::None) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::List(a), Value::List(b)) | (Value::Dict(a), Value::Dict(b)) => a == b,
        (Value::Str(a), Value::Str(b)) => a == b,
        _ => false,
    }
}

/// What Python's `int` makes of a value.
fn to_integer(value: &Value) -> Option<i64> {
    match value {
        Value::Str(text) => {
            let text = plain(text);
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse().ok().and_then(whole))
        }
        Value::Float(float) => whole(*float),
        other => other.integer(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(float: f64) -> Option<i64> {
    (float.abs() < 9e18).then_some(float as i64)
}

/// Whether letters of different case are the same to a filter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Matters,
    Ignored,
}

impl Case {
    fn from_args(args: &Values, position: usize) -> Self {
        if args.flag(position, "case_sensitive", Flag::Off) { Self::Matters } else { Self::Ignored }
    }
}

fn compare(heap: &mut Heap, a: &Value, b: &Value, case: Case) -> Result<Ordering> {
    match (a, b) {
        (Value::Str(a), Value::Str(b)) if case == Case::Ignored => {
            heap.walk((a.len() + b.len()) / 4)?;
            Ok(plain(a).to_lowercase().cmp(&plain(b).to_lowercase()))
        }
        _ => heap.order(a, b, 0),
    }
}

/// Sorts and keeps the first error.
fn sort_with(heap: &mut Heap, keyed: &mut [(Value, Value)], case: Case) -> Result<()> {
    heap.walk(keyed.len() * 16)?;
    let mut failed: Option<Fail> = None;
    keyed.sort_by(|a, b| match compare(heap, &a.0, &b.0, case) {
        Ok(order) => order,
        Err(fail) => {
            failed.get_or_insert(fail);
            Ordering::Equal
        }
    });
    failed.map_or(Ok(()), Err)
}

fn sorted(
    heap: &mut Heap,
    value: &Value,
    args: &Values,
    case: Case,
    attribute: Option<String>,
) -> Result<Vec<Value>> {
    let attribute = match attribute {
        Some(attribute) => Some(attribute),
        None => args
            .get(usize::MAX, "attribute")
            .map(|_| args.word(usize::MAX, "attribute"))
            .transpose()?
            .flatten(),
    };
    let mut keyed = Vec::new();
    for member in heap.items(value)? {
        let key = match &attribute {
            Some(path) => follow(heap, &member, path)?,
            None => member.clone(),
        };
        keyed.push((key, member));
    }
    sort_with(heap, &mut keyed, case)?;
    Ok(keyed.into_iter().map(|(_, member)| member).collect())
}

fn dictsort(heap: &mut Heap, value: &Value, args: &Values) -> Result<Value> {
    let Value::Dict(id) = value else { return wrong("dictsort expects a mapping") };
    let case = Case::from_args(args, 0);
    let by_value = args.word(1, "by")?.as_deref() == Some("value");
    let mut keyed = Vec::new();
    for (key, member) in heap.dict(*id).clone() {
        let sort_key = if by_value { member.clone() } else { key.clone() };
        keyed.push((sort_key, heap.new_tuple(vec![key, member])?));
    }
    sort_with(heap, &mut keyed, case)?;
    let mut pairs: Vec<Value> = keyed.into_iter().map(|(_, pair)| pair).collect();
    if args.flag(2, "reverse", Flag::Off) {
        pairs.reverse();
    }
    heap.new_list(pairs)
}

fn escape(heap: &mut Heap, value: &Value) -> Result<Value> {
    let text = print(heap, value)?;
    heap.budget.take(text.len(), 5 * size_of::<Glyph>())?;
    let mut escaped = Vec::with_capacity(text.len());
    for glyph in text {
        let entity = match glyph.character() {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&#34;",
            '\'' => "&#39;",
            _ => {
                escaped.push(glyph);
                continue;
            }
        };
        escaped.extend(glyphs(entity, glyph.origin()));
    }
    heap.text(escaped)
}

fn indent(heap: &mut Heap, value: &Value, args: &Values) -> Result<Value> {
    let text = print(heap, value)?;
    let step = if let Some(Value::Str(step)) = args.get(0, "width") {
        step.clone()
    } else {
        let width = args.count(0, "width")?.unwrap_or(4);
        heap.budget.take(width, size_of::<Glyph>())?;
        scaffold(&" ".repeat(width))
    };
    let first = args.flag(1, "first", Flag::Off);
    let blank = args.flag(2, "blank", Flag::Off);
    let mut indented = Vec::new();
    for (index, line) in text.split(|glyph| glyph.character() == '\n').enumerate() {
        heap.budget.take(line.len() + step.len() + 1, size_of::<Glyph>())?;
        if index > 0 {
            indented.extend(glyphs("\n", super::glyphs::Origin::Scaffold));
        }
        if (index > 0 || first) && (blank || !line.is_empty()) {
            indented.extend_from_slice(&step);
        }
        indented.extend_from_slice(line);
    }
    heap.text(indented)
}

fn join(heap: &mut Heap, value: &Value, args: &Values) -> Result<Value> {
    let separator = match args.get(0, "d") {
        Some(separator) => print(heap, separator)?,
        None => Vec::new(),
    };
    let path = args.word(1, "attribute")?;
    let mut joined = Vec::new();
    for (index, member) in heap.items(value)?.into_iter().enumerate() {
        if index > 0 {
            heap.budget.take(separator.len(), size_of::<Glyph>())?;
            joined.extend_from_slice(&separator);
        }
        let member = match &path {
            Some(path) => follow(heap, &member, path)?,
            None => member,
        };
        joined.extend(print(heap, &member)?);
    }
    heap.text(joined)
}

/// `a.b.0`: attributes and indices, one after the other.
fn follow(heap: &mut Heap, value: &Value, path: &str) -> Result<Value> {
    let mut value = value.clone();
    for step in path.split('.') {
        let key = step.parse().map_or_else(|_| Value::word(step), Value::Int);
        value = item(heap, &value, &key)?;
    }
    Ok(value)
}

fn map(heap: &mut Heap, value: &Value, args: &Values) -> Result<Value> {
    let path = args.get(usize::MAX, "attribute").cloned();
    let default = args.get(usize::MAX, "default").cloned();
    let mut mapped = Vec::new();
    for member in heap.items(value)? {
        mapped.push(if let Some(path) = &path {
            let path = plain(&print(heap, path)?);
            let found = follow(heap, &member, &path)?;
            match &default {
                Some(default) if found.is_undefined() => default.clone(),
                _ => found,
            }
        } else {
            let name = plain(&args.need_text(0, "name")?);
            let rest = args.positional.iter().skip(1).cloned().collect();
            let inner = Values { positional: rest, named: args.named.clone() };
            filter(heap, &name, &member, &inner)?
        });
    }
    heap.new_list(mapped)
}

fn select(heap: &mut Heap, name: &str, value: &Value, args: &Values) -> Result<Value> {
    let by_attribute = name.ends_with("attr");
    let wanted = name.starts_with("select");
    let skip = usize::from(by_attribute);
    let path = if by_attribute { plain(&args.need_text(0, "attribute")?) } else { String::new() };
    let test_name = args.word(skip, "test")?;
    let rest = args.positional.iter().skip(skip + 1).cloned().collect();
    let inner = Values { positional: rest, named: args.named.clone() };
    let mut kept = Vec::new();
    for member in heap.items(value)? {
        let examined = if by_attribute { follow(heap, &member, &path)? } else { member.clone() };
        let holds = match &test_name {
            Some(test_name) => test(heap, test_name, &examined, &inner)?,
            None => heap.truthy(&examined),
        };
        if holds == wanted {
            kept.push(member);
        }
    }
    heap.new_list(kept)
}

fn round(value: &Value, args: &Values) -> Result<Value> {
    let Some(number) = value.number() else {
        return wrong(format!("type {} doesn't define __round__ method", value.type_name()));
    };
    let digits = args.integer(0, "precision")?.unwrap_or(0).clamp(-300, 300);
    let scale = 10_f64.powi(i32::try_from(digits).unwrap_or(0));
    let scaled = number * scale;
    let rounded = match args.word(1, "method")?.as_deref() {
        Some("ceil") => scaled.ceil(),
        Some("floor") => scaled.floor(),
        _ => scaled.round_ties_even(),
    };
    Ok(Value::Float(rounded / scale))
}

/// `batch` makes lists of the given length, `slice` the given number of lists.
fn batch(heap: &mut Heap, name: &str, value: &Value, args: &Values) -> Result<Value> {
    let items = heap.items(value)?;
    let count = args.count(0, "linecount")?.unwrap_or(0);
    if count == 0 {
        return wrong(format!("{name} expects a positive number"));
    }
    let fill = args.get(1, "fill_with").filter(|fill| !matches!(fill, Value::None));
    let mut lists = Vec::new();
    if name == "batch" {
        for chunk in items.chunks(count) {
            let mut list = chunk.to_vec();
            if let Some(fill) = fill {
                heap.budget.take(count, size_of::<Value>())?;
                list.resize(count, fill.clone());
            }
            lists.push(heap.new_list(list)?);
        }
    } else {
        heap.budget.take(count, size_of::<Value>())?;
        let (size, extra) = (items.len() / count, items.len() % count);
        let mut rest = items.as_slice();
        for index in 0..count {
            let (now, after) = rest.split_at(size + usize::from(index < extra));
            rest = after;
            let mut list = now.to_vec();
            if let Some(fill) = fill
                && index >= extra
                && extra > 0
            {
                list.push(fill.clone());
            }
            lists.push(heap.new_list(list)?);
        }
    }
    heap.new_list(lists)
}

fn to_json(heap: &mut Heap, value: &Value, args: &Values) -> Result<Value> {
    let indent = match args.get(usize::MAX, "indent").or_else(|| args.positional.first()) {
        None | Some(Value::None) => None,
        Some(Value::Str(step)) => Some(step.to_vec()),
        Some(other) => {
            let Some(width) = other.integer() else { return wrong("indent must be an integer") };
            let width = usize::try_from(width).unwrap_or(0);
            heap.budget.take(width, size_of::<Glyph>())?;
            Some(scaffold(&" ".repeat(width)).to_vec())
        }
    };
    let mut separators =
        [if indent.is_some() { scaffold(",") } else { scaffold(", ") }, scaffold(": ")];
    if let Some(given) = args.get(usize::MAX, "separators")
        && !matches!(given, Value::None)
    {
        let given = heap.items(given)?;
        let [Value::Str(items), Value::Str(keys)] = given.as_slice() else {
            return wrong("separators must be two strings");
        };
        separators = [items.clone(), keys.clone()];
    }
    let style = JsonStyle {
        indent,
        item_separator: separators[0].to_vec(),
        key_separator: separators[1].to_vec(),
        sort_keys: args.flag(usize::MAX, "sort_keys", Flag::Off),
        ascii: args.flag(usize::MAX, "ensure_ascii", Flag::Off),
    };
    let written = json(heap, value, &style)?;
    heap.text(written)
}

fn truncate(heap: &mut Heap, value: &Value, args: &Values) -> Result<Value> {
    let text = print(heap, value)?;
    let length = args.count(0, "length")?.unwrap_or(255);
    let end = args.text(2, "end")?.unwrap_or_else(|| scaffold("..."));
    let leeway = args.count(3, "leeway")?.unwrap_or(5);
    if text.len() <= length.saturating_add(leeway) {
        return heap.text(text);
    }
    let mut kept = &text[..length.saturating_sub(end.len())];
    if !args.flag(1, "killwords", Flag::Off) {
        let space = scaffold(" ");
        let mut last = None;
        while let Some(place) = find(kept, &space, last.map_or(0, |place| place + 1)) {
            last = Some(place);
        }
        kept = &kept[..last.unwrap_or(kept.len())];
    }
    heap.text([kept, end.as_ref()].concat())
}
