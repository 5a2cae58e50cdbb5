//! Arithmetic, membership, attributes, subscripts and slices, with Python's rules and messages.

use std::sync::Arc;

use super::glyphs::{Glyph, Text, find, plain};
use super::limits::RANGE_MAX;
use super::methods;
use super::print::print;
use super::syntax::{Comparison, Operator};
use super::value::{Heap, Result, Value, wrong};

/// Applies an arithmetic operator.
pub(super) fn arithmetic(
    heap: &mut Heap,
    operator: Operator,
    left: &Value,
    right: &Value,
) -> Result<Value> {
    if operator == Operator::Concatenate {
        let mut joined = print(heap, left)?;
        joined.extend(print(heap, right)?);
        return heap.text(joined);
    }
    for value in [left, right] {
        if let Value::Undefined(what) = value {
            return wrong(format!("{what} is undefined"));
        }
    }
    match (operator, left, right) {
        (Operator::Add, Value::Str(a), Value::Str(b)) => {
            heap.budget.take(a.len() + b.len(), size_of::<Glyph>())?;
            heap.text([a.as_ref(), b.as_ref()].concat())
        }
        (Operator::Add, Value::List(a), Value::List(b)) => {
            let joined = [heap.list(*a), heap.list(*b)].concat();
            heap.new_list(joined)
        }
        (Operator::Add, Value::Tuple(a), Value::Tuple(b)) => {
            let joined = [heap.list(*a), heap.list(*b)].concat();
            heap.new_tuple(joined)
        }
        (Operator::Multiply, Value::Str(text), count)
        | (Operator::Multiply, count, Value::Str(text))
            if count.integer().is_some() =>
        {
            let count = times(count);
            heap.budget.take(text.len().saturating_mul(count), size_of::<Glyph>())?;
            heap.text(text.repeat(count))
        }
        (Operator::Multiply, Value::List(id), count) if count.integer().is_some() => {
            let count = times(count);
            let length = heap.list(*id).len().saturating_mul(count);
            heap.budget.take(length, size_of::<Value>())?;
            let items = heap.list(*id);
            let repeated = items.iter().cycle().take(length).cloned().collect();
            heap.new_list(repeated)
        }
        (Operator::Remainder, Value::Str(format), arguments) => {
            let arguments = match arguments {
                Value::Tuple(id) => heap.list(*id).to_vec(),
                other => vec![other.clone()],
            };
            methods::printf(heap, format, &arguments)
        }
        _ => numbers(operator, left, right),
    }
}

fn times(count: &Value) -> usize {
    usize::try_from(count.integer().unwrap_or(0)).unwrap_or(0)
}

fn numbers(operator: Operator, left: &Value, right: &Value) -> Result<Value> {
    if let (Some(a), Some(b)) = (left.integer(), right.integer()) {
        let result = match operator {
            Operator::Add => a.checked_add(b),
            Operator::Subtract => a.checked_sub(b),
            Operator::Multiply => a.checked_mul(b),
            Operator::Power if b >= 0 => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
            Operator::FloorDivide | Operator::Remainder if b == 0 => {
                return wrong("integer division or modulo by zero");
            }
            Operator::FloorDivide => a.checked_div_euclid(b).map(|quotient| {
                // Euclid rounds towards the divisor's sign only for positive divisors.
                if b < 0 && a.rem_euclid(b) != 0 { quotient - 1 } else { quotient }
            }),
            Operator::Remainder => {
                a.checked_rem_euclid(b).map(|rest| if b < 0 && rest != 0 { rest + b } else { rest })
            }
            Operator::Divide | Operator::Power | Operator::Concatenate => {
                return floats(operator, a as f64, b as f64);
            }
        };
        return match result {
            Some(integer) => Ok(Value::Int(integer)),
            None => wrong("an integer is too large"),
        };
    }
    match (left.number(), right.number()) {
        (Some(a), Some(b)) => floats(operator, a, b),
        _ if operator == Operator::Add && matches!(left, Value::Str(_)) => {
            wrong(format!("can only concatenate str (not \"{}\") to str", right.type_name()))
        }
        _ => wrong(format!(
            "unsupported operand type(s) for {}: '{}' and '{}'",
            symbol(operator),
            left.type_name(),
            right.type_name()
        )),
    }
}

fn floats(operator: Operator, a: f64, b: f64) -> Result<Value> {
    let divides =
        matches!(operator, Operator::Divide | Operator::FloorDivide | Operator::Remainder);
    if divides && b.abs() <= 0.0 {
        return wrong("division by zero");
    }
    Ok(Value::Float(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::FloorDivide => (a / b).floor(),
        Operator::Remainder => a - b * (a / b).floor(),
        Operator::Power => a.powf(b),
        Operator::Concatenate => return wrong("numbers are not joined by `~`"),
    }))
}

fn symbol(operator: Operator) -> &'static str {
    match operator {
        Operator::Add => "+",
        Operator::Subtract => "-",
        Operator::Multiply => "*",
        Operator::Divide => "/",
        Operator::FloorDivide => "//",
        Operator::Remainder => "%",
        Operator::Power => "**",
        Operator::Concatenate => "~",
    }
}

/// `-value`.
pub(super) fn negative(value: &Value) -> Result<Value> {
    match value {
        Value::Float(float) => Ok(Value::Float(-float)),
        other => match other.integer() {
            Some(integer) => Ok(Value::Int(integer.saturating_neg())),
            None => wrong(format!("bad operand type for unary -: '{}'", other.type_name())),
        },
    }
}

/// Applies a comparison.
pub(super) fn compare(
    heap: &mut Heap,
    comparison: Comparison,
    left: &Value,
    right: &Value,
) -> Result<bool> {
    heap.walk(1)?;
    Ok(match comparison {
        Comparison::Equal => heap.equal(left, right, 0)?,
        Comparison::NotEqual => !heap.equal(left, right, 0)?,
        Comparison::Less => heap.order(left, right, 0)?.is_lt(),
        Comparison::LessOrEqual => heap.order(left, right, 0)?.is_le(),
        Comparison::Greater => heap.order(left, right, 0)?.is_gt(),
        Comparison::GreaterOrEqual => heap.order(left, right, 0)?.is_ge(),
        Comparison::In => contains(heap, right, left)?,
        Comparison::NotIn => !contains(heap, right, left)?,
    })
}

/// `item in container`.
pub(super) fn contains(heap: &mut Heap, container: &Value, item: &Value) -> Result<bool> {
    match container {
        Value::Str(text) => match item {
            Value::Str(needle) => {
                heap.search(text.len(), needle.len())?;
                Ok(find(text, needle, 0).is_some())
            }
            other => wrong(format!(
                "'in <string>' requires string as left operand, not {}",
                other.type_name()
            )),
        },
        Value::List(id) | Value::Tuple(id) => {
            heap.walk(heap.list(*id).len())?;
            for member in heap.list(*id) {
                if heap.equal(member, item, 0)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Dict(id) => Ok(heap.find(*id, item)?.is_some()),
        Value::Undefined(_) => Ok(false),
        other => wrong(format!("argument of type '{}' is not iterable", other.type_name())),
    }
}

/// `value.name`.
pub(super) fn attribute(heap: &mut Heap, value: &Value, name: &str) -> Result<Value> {
    match value {
        Value::Undefined(what) => wrong(format!("{what} is undefined")),
        Value::Namespace(id) | Value::Dict(id) => {
            if matches!(value, Value::Dict(_)) && methods::is_method(value, name) {
                return Ok(bound(value, name));
            }
            let found = heap.get(*id, &Value::word(name))?;
            Ok(found.unwrap_or_else(|| missing(value, name)))
        }
        _ if methods::is_method(value, name) => Ok(bound(value, name)),
        _ => Ok(missing(value, name)),
    }
}

fn bound(value: &Value, name: &str) -> Value {
    Value::Bound(Box::new((value.clone(), Arc::from(name))))
}

fn missing(value: &Value, name: &str) -> Value {
    Value::undefined(format!("'{} object' has no attribute '{name}', which", value.type_name()))
}

/// `value[key]`.
pub(super) fn item(heap: &mut Heap, value: &Value, key: &Value) -> Result<Value> {
    let found = match value {
        Value::Undefined(what) => return wrong(format!("{what} is undefined")),
        Value::Dict(id) | Value::Namespace(id) => heap.get(*id, key)?,
        Value::List(id) | Value::Tuple(id) => {
            let list = heap.list(*id);
            key.integer().and_then(|index| list.get(place(index, list.len())?).cloned())
        }
        Value::Str(text) => key
            .integer()
            .and_then(|index| text.get(place(index, text.len())?))
            .map(|glyph| Value::Str([*glyph].into())),
        _ => None,
    };
    if let Some(found) = found {
        return Ok(found);
    }
    match key {
        Value::Str(name) if methods::is_method(value, &plain(name)) => {
            Ok(bound(value, &plain(name)))
        }
        Value::Str(name) => Ok(missing(value, &plain(name))),
        _ => {
            Ok(Value::undefined(format!("{} object has no such element, which", value.type_name())))
        }
    }
}

/// The place that a Python index names in a sequence of `length` items.
pub(super) fn place(index: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    let place = if index < 0 { index + length } else { index };
    if place < length { usize::try_from(place).ok() } else { None }
}

/// `value[start:stop:stride]`.
pub(super) fn slice(heap: &mut Heap, value: &Value, parts: &[Option<Value>; 3]) -> Result<Value> {
    let mut numbers = [None; 3];
    for (number, part) in numbers.iter_mut().zip(parts) {
        *number = match part {
            None | Some(Value::None) => None,
            Some(part) => match part.integer() {
                Some(integer) => Some(integer),
                None => {
                    return wrong(
                        "slice indices must be integers or None or have an __index__ method",
                    );
                }
            },
        };
    }
    let places = places(heap.length(value)?, numbers)?;
    match value {
        Value::Str(text) => {
            let cut: Text = places.into_iter().map(|place| text[place]).collect();
            heap.text(cut)
        }
        Value::List(id) => {
            let cut = places.into_iter().map(|place| heap.list(*id)[place].clone()).collect();
            heap.new_list(cut)
        }
        Value::Tuple(id) => {
            let cut = places.into_iter().map(|place| heap.list(*id)[place].clone()).collect();
            heap.new_tuple(cut)
        }
        Value::Undefined(what) => wrong(format!("{what} is undefined")),
        other => wrong(format!("'{}' object is not subscriptable", other.type_name())),
    }
}

/// The places that a slice takes, in its order.
fn places(length: usize, [start, stop, stride]: [Option<i64>; 3]) -> Result<Vec<usize>> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let stride = stride.unwrap_or(1);
    if stride == 0 {
        return wrong("slice step cannot be zero");
    }
    let (low, high) = if stride > 0 { (0, length) } else { (-1, length - 1) };
    let clamp = |index: i64| {
        let index = if index < 0 { index.saturating_add(length) } else { index };
        index.clamp(low, high)
    };
    let start = start.map_or(if stride > 0 { low } else { high }, clamp);
    let stop = stop.map_or(if stride > 0 { high } else { low }, clamp);
    let mut places = Vec::new();
    let mut place = start;
    while (stride > 0 && place < stop) || (stride < 0 && place > stop) {
        places.extend(usize::try_from(place));
        place = place.saturating_add(stride);
    }
    Ok(places)
}

/// The numbers of a `range`.
pub(super) fn range(heap: &mut Heap, arguments: &[Value]) -> Result<Value> {
    let mut numbers = Vec::new();
    for argument in arguments {
        match argument.integer() {
            Some(integer) => numbers.push(integer),
            None => {
                return wrong(format!(
                    "'{}' object cannot be interpreted as an integer",
                    argument.type_name()
                ));
            }
        }
    }
    let (start, stop, stride) = match numbers.as_slice() {
        [stop] => (0, *stop, 1),
        [start, stop] => (*start, *stop, 1),
        [start, stop, stride] => (*start, *stop, *stride),
        _ => return wrong("range expected 1 to 3 arguments"),
    };
    if stride == 0 {
        return wrong("range() arg 3 must not be zero");
    }
    let mut items = Vec::new();
    let mut number = start;
    while (stride > 0 && number < stop) || (stride < 0 && number > stop) {
        if items.len() == RANGE_MAX {
            return wrong("range too big: the maximum size is 100000");
        }
        items.push(Value::Int(number));
        number = number.saturating_add(stride);
    }
    heap.new_list(items)
}
