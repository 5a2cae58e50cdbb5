//! Methods of Python's strings, lists and dicts.
//!
//! Only what templates can reasonably use; results keep the origin of every character. Methods
//! that change a list or dict work too, although Hugging Face's sandbox forbids them: templates in
//! circulation call them.

use super::arguments::{Flag, Values, text_of};
use super::glyphs::{Glyph, Sides, Text, find, plain, rfind, scaffold, strip};
use super::operators::place;
use super::print::print;
use super::value::{Heap, Result, Value, wrong};

const STR: &[&str] = &[
    "capitalize",
    "center",
    "count",
    "endswith",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
];
const LIST: &[&str] =
    &["append", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse"];
const DICT: &[&str] =
    &["clear", "copy", "get", "items", "keys", "pop", "setdefault", "update", "values"];

/// Whether a value has a method of this name.
pub(super) fn is_method(value: &Value, name: &str) -> bool {
    match value {
        Value::Str(_) => STR.contains(&name),
        Value::List(_) => LIST.contains(&name),
        Value::Tuple(_) => matches!(name, "count" | "index"),
        Value::Dict(_) => DICT.contains(&name),
        Value::Loop(_) => matches!(name, "cycle" | "changed"),
        _ => false,
    }
}

/// Calls a method of a string, list or dict.
pub(super) fn call(heap: &mut Heap, value: &Value, name: &str, args: &Values) -> Result<Value> {
    match value {
        Value::Str(text) => string(heap, text, name, args),
        Value::List(id) | Value::Tuple(id) => list(heap, *id, name, args),
        Value::Dict(id) => dict(heap, *id, name, args),
        other => wrong(format!("'{} object' has no attribute '{name}'", other.type_name())),
    }
}

fn string(heap: &mut Heap, text: &Text, name: &str, args: &Values) -> Result<Value> {
    let longest = args.positional.iter().map(|value| match value {
        Value::Str(text) => text.len(),
        _ => 1,
    });
    heap.search(text.len(), longest.max().unwrap_or(1))?;
    match name {
        "strip" | "lstrip" | "rstrip" => {
            let sides = match name {
                "strip" => Sides::Both,
                "lstrip" => Sides::Left,
                _ => Sides::Right,
            };
            let of = args.text(0, "chars")?;
            heap.text(text_of(strip(text, of.as_deref(), sides)))
        }
        "upper" | "lower" | "title" | "capitalize" | "swapcase" => change_case(heap, text, name),
        "startswith" | "endswith" => {
            let candidates = match args.need(0, "prefix")? {
                Value::Tuple(id) => heap.list(*id).to_vec(),
                other => vec![other.clone()],
            };
            for candidate in candidates {
                let Value::Str(affix) = candidate else {
                    return wrong(format!("{name} first arg must be str or a tuple of str"));
                };
                let found = match name {
                    "startswith" => text.starts_with(&affix),
                    _ => text.ends_with(&affix),
                };
                if found {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        "split" => split(heap, text, args, Sides::Left),
        "rsplit" => split(heap, text, args, Sides::Right),
        "splitlines" => split_lines(heap, text, args.flag(0, "keepends", Flag::Off)),
        "partition" | "rpartition" => partition(heap, text, name, &args.need_text(0, "sep")?),
        "replace" => {
            let (old, new) = (args.need_text(0, "old")?, args.need_text(1, "new")?);
            replace(heap, text, &old, &new, args.integer(2, "count")?)
        }
        "removeprefix" | "removesuffix" => {
            let affix = args.need_text(0, "prefix")?;
            let rest = match name {
                "removeprefix" => text.strip_prefix(affix.as_ref()),
                _ => text.strip_suffix(affix.as_ref()),
            };
            heap.text(text_of(rest.unwrap_or(text)))
        }
        "find" | "rfind" | "index" => {
            let needle = args.need_text(0, "sub")?;
            let from = args.count(1, "start")?.unwrap_or(0);
            let found =
                if name == "rfind" { rfind(text, &needle) } else { find(text, &needle, from) };
            match found.and_then(|place| i64::try_from(place).ok()) {
                Some(place) => Ok(Value::Int(place)),
                None if name == "index" => wrong("substring not found"),
                None => Ok(Value::Int(-1)),
            }
        }
        "count" => {
            let needle = args.need_text(0, "sub")?;
            let mut count = 0;
            let mut from = 0;
            while let Some(place) = find(text, &needle, from) {
                count += 1;
                from = place + needle.len().max(1);
            }
            Ok(Value::Int(count))
        }
        "join" => {
            let items = heap.items(args.need(0, "iterable")?)?;
            let mut joined = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let Value::Str(piece) = item else {
                    return wrong(format!(
                        "sequence item {index}: expected str instance, {} found",
                        item.type_name()
                    ));
                };
                heap.budget.take(piece.len() + text.len(), size_of::<Glyph>())?;
                if index > 0 {
                    joined.extend_from_slice(text);
                }
                joined.extend_from_slice(piece);
            }
            heap.text(joined)
        }
        "center" | "ljust" | "rjust" => {
            let width = args.count(0, "width")?.unwrap_or(0);
            let fill = args.text(1, "fillchar")?.unwrap_or_else(|| scaffold(" "));
            pad(heap, text, width, &fill, name)
        }
        "zfill" => {
            let width = args.count(0, "width")?.unwrap_or(0);
            let signed = text.first().is_some_and(|sign| matches!(sign.character(), '+' | '-'));
            let (sign, digits) = text.split_at(usize::from(signed));
            let zeros = width.saturating_sub(text.len());
            heap.budget.take(zeros, size_of::<Glyph>())?;
            heap.text([sign, scaffold("0").repeat(zeros).as_slice(), digits].concat())
        }
        "format" => format_braces(heap, text, args),
        _ => Ok(Value::Bool(is_kind(text, name))),
    }
}

/// The `is…` methods: true where every character is of the kind and there is one at all.
fn is_kind(text: &[Glyph], name: &str) -> bool {
    let all = |kind: fn(char) -> bool| {
        !text.is_empty() && text.iter().all(|glyph| kind(glyph.character()))
    };
    let cased = text.iter().any(|glyph| {
        let character = glyph.character();
        character.is_lowercase() || character.is_uppercase()
    });
    match name {
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isdigit" | "isnumeric" => all(char::is_numeric),
        "isspace" => !text.is_empty() && text.iter().all(|glyph| glyph.is_space()),
        "islower" => cased && !text.iter().any(|glyph| glyph.character().is_uppercase()),
        "isupper" => cased && !text.iter().any(|glyph| glyph.character().is_lowercase()),
        _ => false,
    }
}

/// Changes the case of a string as the method `name` does.
pub(super) fn change_case(heap: &mut Heap, text: &[Glyph], name: &str) -> Result<Value> {
    heap.budget.take(text.len(), 2 * size_of::<Glyph>())?;
    let mut changed = Vec::with_capacity(text.len());
    let mut inside_word = false;
    for (place, &glyph) in text.iter().enumerate() {
        let character = glyph.character();
        let upper = match name {
            "upper" => true,
            "lower" => false,
            "title" => !inside_word,
            "capitalize" => place == 0,
            _ => character.is_lowercase(),
        };
        inside_word = character.is_alphabetic();
        if upper {
            changed.extend(character.to_uppercase().map(|character| glyph.with(character)));
        } else {
            changed.extend(character.to_lowercase().map(|character| glyph.with(character)));
        }
    }
    heap.text(changed)
}

fn split(heap: &mut Heap, text: &[Glyph], args: &Values, from: Sides) -> Result<Value> {
    let most = args.count_or_all(1, "maxsplit")?;
    let pieces = match args.text(0, "sep")? {
        Some(separator) if separator.is_empty() => return wrong("empty separator"),
        Some(separator) => split_at(text, &separator, most, from),
        None => split_words(text, most, from),
    };
    let mut items = Vec::with_capacity(pieces.len());
    for piece in pieces {
        items.push(heap.text(text_of(piece))?);
    }
    heap.new_list(items)
}

fn split_at<'t>(text: &'t [Glyph], by: &[Glyph], most: usize, from: Sides) -> Vec<&'t [Glyph]> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while pieces.len() < most {
        if from == Sides::Left {
            let Some(place) = find(rest, by, 0) else { break };
            pieces.push(&rest[..place]);
            rest = &rest[place + by.len()..];
        } else {
            let Some(place) = rfind(rest, by) else { break };
            pieces.push(&rest[place + by.len()..]);
            rest = &rest[..place];
        }
    }
    pieces.push(rest);
    if from == Sides::Right {
        pieces.reverse();
    }
    pieces
}

fn split_words(text: &[Glyph], most: usize, from: Sides) -> Vec<&[Glyph]> {
    let mut pieces = Vec::new();
    let mut rest = strip(text, None, from);
    while !rest.is_empty() && pieces.len() < most {
        if from == Sides::Left {
            let end = rest.iter().position(|glyph| glyph.is_space()).unwrap_or(rest.len());
            pieces.push(&rest[..end]);
            rest = strip(&rest[end..], None, from);
        } else {
            let begin = rest.iter().rposition(|glyph| glyph.is_space()).map_or(0, |at| at + 1);
            pieces.push(&rest[begin..]);
            rest = strip(&rest[..begin], None, from);
        }
    }
    if !rest.is_empty() {
        pieces.push(strip(rest, None, Sides::Both));
    }
    if from == Sides::Right {
        pieces.reverse();
    }
    pieces
}

fn split_lines(heap: &mut Heap, text: &[Glyph], keep_ends: bool) -> Result<Value> {
    let mut items = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.iter().position(|glyph| matches!(glyph.character(), '\n' | '\r'));
        let (line, after) = match end {
            None => (rest.len(), rest.len()),
            Some(end) => {
                let pair = rest[end].character() == '\r'
                    && rest.get(end + 1).is_some_and(|glyph| glyph.character() == '\n');
                (end, end + 1 + usize::from(pair))
            }
        };
        items.push(heap.text(text_of(&rest[..if keep_ends { after } else { line }]))?);
        rest = &rest[after..];
    }
    heap.new_list(items)
}

fn partition(heap: &mut Heap, text: &[Glyph], name: &str, by: &[Glyph]) -> Result<Value> {
    if by.is_empty() {
        return wrong("empty separator");
    }
    let found = if name == "partition" { find(text, by, 0) } else { rfind(text, by) };
    let parts: [&[Glyph]; 3] = match found {
        Some(place) => {
            let end = place + by.len();
            [&text[..place], &text[place..end], &text[end..]]
        }
        None if name == "partition" => [text, &[], &[]],
        None => [&[], &[], text],
    };
    let mut items = Vec::new();
    for part in parts {
        items.push(heap.text(text_of(part))?);
    }
    heap.new_tuple(items)
}

/// Replaces `old` by `new`, at most `most` times if that is given and not negative.
pub(super) fn replace(
    heap: &mut Heap,
    text: &[Glyph],
    old: &[Glyph],
    new: &[Glyph],
    most: Option<i64>,
) -> Result<Value> {
    heap.search(text.len(), old.len())?;
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let mut replaced = Vec::new();
    let mut from = 0;
    let mut count = 0;
    while count < most
        && let Some(place) = find(text, old, from)
    {
        // An empty `old` stands before every character and at the end.
        let step = usize::from(old.is_empty() && place < text.len());
        heap.budget.take(place - from + new.len() + 1, size_of::<Glyph>())?;
        replaced.extend_from_slice(&text[from..place]);
        replaced.extend_from_slice(new);
        replaced.extend_from_slice(&text[place..place + step]);
        from = place + old.len() + step;
        count += 1;
        if old.is_empty() && step == 0 {
            break;
        }
    }
    heap.budget.take(text.len() - from, size_of::<Glyph>())?;
    replaced.extend_from_slice(&text[from..]);
    heap.text(replaced)
}

/// Fills a string up to `width` as the method `name` does.
pub(super) fn pad(
    heap: &mut Heap,
    text: &[Glyph],
    width: usize,
    fill: &[Glyph],
    name: &str,
) -> Result<Value> {
    let [fill] = fill else {
        return wrong("the fill character must be exactly one character long");
    };
    let missing = width.saturating_sub(text.len());
    heap.budget.take(missing, size_of::<Glyph>())?;
    let left = match name {
        "ljust" => 0,
        "rjust" => missing,
        // Where the sides differ, Python puts more on the left for odd widths.
        _ => missing / 2 + (missing & width & 1),
    };
    heap.text([vec![*fill; left].as_slice(), text, vec![*fill; missing - left].as_slice()].concat())
}

/// `str.format` for `{}`, `{0}` and `{name}`, without format specifications.
fn format_braces(heap: &mut Heap, text: &[Glyph], args: &Values) -> Result<Value> {
    let mut formatted = Vec::new();
    let mut next = 0;
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let doubled = after.first().is_some_and(|second| second == first);
        match first.character() {
            '{' | '}' if doubled => {
                formatted.push(*first);
                rest = &after[1..];
            }
            '{' => {
                let Some(end) = after.iter().position(|glyph| glyph.character() == '}') else {
                    return wrong("expected '}' before end of string");
                };
                let field = plain(&after[..end]);
                let value = if field.is_empty() {
                    next += 1;
                    args.positional.get(next - 1)
                } else if let Ok(position) = field.parse::<usize>() {
                    args.positional.get(position)
                } else {
                    args.get(usize::MAX, &field)
                };
                let Some(value) = value else {
                    return wrong(format!("no value for the replacement field '{field}'"));
                };
                formatted.extend(print(heap, value)?);
                rest = &after[end + 1..];
            }
            '}' => return wrong("Single '}' encountered in format string"),
            _ => {
                formatted.push(*first);
                rest = after;
            }
        }
    }
    heap.text(formatted)
}

/// Python's `%` formatting: `%s`, `%r`, `%d`, `%i`, `%f`, `%%`, with width and precision.
pub(super) fn printf(heap: &mut Heap, format: &[Glyph], arguments: &[Value]) -> Result<Value> {
    let mut formatted: Vec<Glyph> = Vec::new();
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let [first, after @ ..] = rest {
        rest = after;
        if first.character() != '%' {
            formatted.push(*first);
            continue;
        }
        let end = rest.iter().position(|glyph| {
            let character = glyph.character();
            !character.is_ascii_digit() && !matches!(character, '.' | '-' | '0' | '+' | ' ')
        });
        let Some(end) = end else { return wrong("incomplete format") };
        let flags = plain(&rest[..end]);
        let conversion = rest[end].character();
        rest = &rest[end + 1..];
        if conversion == '%' {
            formatted.push(*first);
            continue;
        }
        let Some(argument) = arguments.next() else {
            return wrong("not enough arguments for format string");
        };
        let (width, precision) = flags.split_once('.').unwrap_or((&flags, ""));
        let precision = precision.parse::<usize>().ok().map(|digits| digits.min(64));
        let piece = match conversion {
            's' => print(heap, argument)?,
            'r' => {
                let quoted = heap.new_list(vec![argument.clone()])?;
                let quoted = print(heap, &quoted)?;
                quoted[1..quoted.len() - 1].to_vec()
            }
            'd' | 'i' | 'f' => match (argument.number(), argument.integer()) {
                (Some(_), Some(integer)) if conversion != 'f' => {
                    scaffold(&integer.to_string()).to_vec()
                }
                (Some(number), _) if conversion != 'f' => {
                    scaffold(&format!("{:.0}", number.trunc())).to_vec()
                }
                (Some(number), _) => {
                    scaffold(&format!("{number:.*}", precision.unwrap_or(6))).to_vec()
                }
                _ => return wrong("%d format: a real number is required"),
            },
            other => return wrong(format!("unsupported format character '{other}'")),
        };
        let side = if width.starts_with('-') { "ljust" } else { "rjust" };
        let zeros = width.starts_with('0') && conversion != 's';
        let width = width.trim_start_matches(['-', '+', ' ']).parse::<usize>().unwrap_or(0);
        let fill = scaffold(if zeros { "0" } else { " " });
        if let Value::Str(padded) = pad(heap, &piece, width, &fill, side)? {
            formatted.extend_from_slice(&padded);
        }
    }
    heap.text(formatted)
}

fn list(heap: &mut Heap, id: usize, name: &str, args: &Values) -> Result<Value> {
    heap.walk(heap.list(id).len() / 8)?;
    match name {
        "append" => {
            let item = args.need(0, "object")?.clone();
            heap.budget.take(1, size_of::<Value>())?;
            heap.list_mut(id).push(item);
            Ok(Value::None)
        }
        "extend" => {
            let items = heap.items(args.need(0, "iterable")?)?;
            heap.list_mut(id).extend(items);
            Ok(Value::None)
        }
        "insert" => {
            let length = heap.list(id).len();
            let index = args.integer(0, "index")?.unwrap_or(0);
            let at = place(index, length).unwrap_or(if index < 0 { 0 } else { length });
            let item = args.need(1, "object")?.clone();
            heap.budget.take(1, size_of::<Value>())?;
            heap.list_mut(id).insert(at, item);
            Ok(Value::None)
        }
        "pop" => {
            let length = heap.list(id).len();
            match place(args.integer(0, "index")?.unwrap_or(-1), length) {
                Some(at) => Ok(heap.list_mut(id).remove(at)),
                None => wrong("pop index out of range"),
            }
        }
        "reverse" => {
            heap.list_mut(id).reverse();
            Ok(Value::None)
        }
        "copy" => {
            let items = heap.list(id).to_vec();
            heap.new_list(items)
        }
        "count" | "index" | "remove" => {
            let wanted = args.need(0, "value")?;
            let mut count = 0;
            for at in 0..heap.list(id).len() {
                if heap.equal(&heap.list(id)[at], wanted, 0)? {
                    match name {
                        "index" => return Ok(Value::Int(i64::try_from(at).unwrap_or(i64::MAX))),
                        "remove" => {
                            heap.list_mut(id).remove(at);
                            return Ok(Value::None);
                        }
                        _ => count += 1,
                    }
                }
            }
            if name == "count" { Ok(Value::Int(count)) } else { wrong("value is not in list") }
        }
        other => wrong(format!("'list object' has no attribute '{other}'")),
    }
}

fn dict(heap: &mut Heap, id: usize, name: &str, args: &Values) -> Result<Value> {
    let default = || args.get(1, "default").cloned();
    match name {
        "get" => {
            let found = heap.get(id, args.need(0, "key")?)?;
            Ok(found.or_else(default).unwrap_or(Value::None))
        }
        "items" => items(heap, id),
        "keys" => {
            let keys = heap.dict(id).iter().map(|(key, _)| key.clone()).collect();
            heap.new_list(keys)
        }
        "values" => {
            let values = heap.dict(id).iter().map(|(_, value)| value.clone()).collect();
            heap.new_list(values)
        }
        "pop" => match heap.find(id, args.need(0, "key")?)? {
            Some(at) => Ok(heap.dict_mut(id).remove(at).1),
            None => match default() {
                Some(default) => Ok(default),
                None => wrong("key not found"),
            },
        },
        "setdefault" => {
            let key = args.need(0, "key")?;
            if let Some(found) = heap.get(id, key)? {
                return Ok(found);
            }
            let value = default().unwrap_or(Value::None);
            heap.set(id, key.clone(), value.clone())?;
            Ok(value)
        }
        "update" => {
            let other = match args.positional.first() {
                Some(Value::Dict(other)) => heap.dict(*other).clone(),
                Some(_) => return wrong("update expects a dict"),
                None => Vec::new(),
            };
            let named = args.named.iter();
            let named = named.map(|(key, value)| (Value::word(key), value.clone()));
            for (key, value) in other.into_iter().chain(named) {
                heap.set(id, key, value)?;
            }
            Ok(Value::None)
        }
        "copy" => {
            let entries = heap.dict(id).clone();
            heap.new_dict(entries)
        }
        "clear" => {
            heap.dict_mut(id).clear();
            Ok(Value::None)
        }
        other => wrong(format!("'dict object' has no attribute '{other}'")),
    }
}

/// The entries of a dict as a list of pairs.
pub(super) fn items(heap: &mut Heap, id: usize) -> Result<Value> {
    let entries = heap.dict(id).clone();
    let mut pairs = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        pairs.push(heap.new_tuple(vec![key, value])?);
    }
    heap.new_list(pairs)
}
