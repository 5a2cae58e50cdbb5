//! Values as text: as Python prints them, and as its `json.dumps` writes them.
//!
//! Characters of strings keep their origin; what is written around them belongs to the template.

use super::glyphs::{Glyph, Origin, glyphs};
use super::value::{Fail, Heap, Result, Value, deeper, wrong};

/// What Python's `str` makes of a value.
pub(super) fn print(heap: &mut Heap, value: &Value) -> Result<Vec<Glyph>> {
    let mut writer = Writer::new(heap);
    match value {
        Value::Str(text) => writer.glyphs(text)?,
        Value::Undefined(_) => {}
        other => writer.repr(other, 0)?,
    }
    Ok(writer.out)
}

/// How `tojson` lays a value out.
#[derive(Clone, Debug)]
pub(super) struct JsonStyle {
    /// Text of one level of indentation; `None` writes one line.
    pub(super) indent: Option<Vec<Glyph>>,
    pub(super) item_separator: Vec<Glyph>,
    pub(super) key_separator: Vec<Glyph>,
    pub(super) sort_keys: bool,
    pub(super) ascii: bool,
}

/// What Python's `json.dumps(value, ensure_ascii=False)` makes of a value.
pub(super) fn json(heap: &mut Heap, value: &Value, style: &JsonStyle) -> Result<Vec<Glyph>> {
    let mut writer = Writer::new(heap);
    writer.json(value, style, 0)?;
    Ok(writer.out)
}

struct Writer<'h> {
    heap: &'h mut Heap,
    out: Vec<Glyph>,
}

impl<'h> Writer<'h> {
    fn new(heap: &'h mut Heap) -> Self {
        Self { heap, out: Vec::new() }
    }

    fn word(&mut self, text: &str) -> Result<()> {
        self.heap.budget.take(text.len(), size_of::<Glyph>())?;
        self.out.extend(glyphs(text, Origin::Scaffold));
        Ok(())
    }

    fn glyphs(&mut self, text: &[Glyph]) -> Result<()> {
        self.heap.budget.take(text.len(), size_of::<Glyph>())?;
        self.out.extend_from_slice(text);
        Ok(())
    }

    /// Writes `text` in place of `glyph`, with its origin.
    fn escape(&mut self, glyph: Glyph, text: &str) -> Result<()> {
        self.heap.budget.take(text.len(), size_of::<Glyph>())?;
        self.out.extend(text.chars().map(|character| glyph.with(character)));
        Ok(())
    }

    fn repr(&mut self, value: &Value, depth: usize) -> Result<()> {
        deeper(depth)?;
        match value {
            Value::Undefined(_) => self.word("Undefined"),
            Value::None => self.word("None"),
            Value::Bool(true) => self.word("True"),
            Value::Bool(false) => self.word("False"),
            Value::Int(integer) => self.word(&integer.to_string()),
            Value::Float(float) => self.word(&float_repr(*float, ["inf", "nan"])),
            Value::Str(text) => self.quoted(text),
            Value::List(id) => self.sequence(*id, "[", "]", depth),
            Value::Tuple(id) if self.heap.list(*id).len() == 1 => {
                self.sequence(*id, "(", ",)", depth)
            }
            Value::Tuple(id) => self.sequence(*id, "(", ")", depth),
            Value::Dict(id) => {
                self.word("{")?;
                self.entries(*id, depth)?;
                self.word("}")
            }
            Value::Namespace(id) => {
                self.word("<Namespace {")?;
                self.entries(*id, depth)?;
                self.word("}>")
            }
            other => self.word(&format!("<{}>", other.type_name())),
        }
    }

    fn sequence(&mut self, id: usize, open: &str, close: &str, depth: usize) -> Result<()> {
        self.word(open)?;
        for index in 0..self.heap.list(id).len() {
            if index > 0 {
                self.word(", ")?;
            }
            let item = self.heap.list(id)[index].clone();
            self.repr(&item, depth + 1)?;
        }
        self.word(close)
    }

    fn entries(&mut self, id: usize, depth: usize) -> Result<()> {
        for index in 0..self.heap.dict(id).len() {
            if index > 0 {
                self.word(", ")?;
            }
            let (key, value) = self.heap.dict(id)[index].clone();
            self.repr(&key, depth + 1)?;
            self.word(": ")?;
            self.repr(&value, depth + 1)?;
        }
        Ok(())
    }

    /// Python's `repr` of a string.
    fn quoted(&mut self, text: &[Glyph]) -> Result<()> {
        let has = |wanted: char| text.iter().any(|glyph| glyph.character() == wanted);
        let quote = if has('\'') && !has('"') { '"' } else { '\'' };
        let mark = quote.to_string();
        self.word(&mark)?;
        for &glyph in text {
            let character = glyph.character();
            match character {
                '\\' => self.escape(glyph, "\\\\")?,
                '\n' => self.escape(glyph, "\\n")?,
                '\r' => self.escape(glyph, "\\r")?,
                '\t' => self.escape(glyph, "\\t")?,
                _ if character == quote => self.escape(glyph, &format!("\\{quote}"))?,
                _ if unprintable(character) => {
                    let code = u32::from(character);
                    let escaped = match code {
                        0..=0xff => format!("\\x{code:02x}"),
                        0x100..=0xffff => format!("\\u{code:04x}"),
                        _ => format!("\\U{code:08x}"),
                    };
                    self.escape(glyph, &escaped)?;
                }
                _ => self.glyphs(&[glyph])?,
            }
        }
        self.word(&mark)
    }

    fn json(&mut self, value: &Value, style: &JsonStyle, depth: usize) -> Result<()> {
        deeper(depth)?;
        match value {
            Value::None => self.word("null"),
            Value::Bool(true) => self.word("true"),
            Value::Bool(false) => self.word("false"),
            Value::Int(integer) => self.word(&integer.to_string()),
            Value::Float(float) => self.word(&float_repr(*float, ["Infinity", "NaN"])),
            Value::Str(text) => self.json_string(text, style),
            Value::List(id) | Value::Tuple(id) => {
                let count = self.heap.list(*id).len();
                self.word("[")?;
                for index in 0..count {
                    self.separate(index, style, depth)?;
                    let item = self.heap.list(*id)[index].clone();
                    self.json(&item, style, depth + 1)?;
                }
                self.close(count, style, depth)?;
                self.word("]")
            }
            Value::Dict(id) => {
                let mut entries = self.heap.dict(*id).clone();
                self.heap.budget.take(entries.len(), 2 * size_of::<Value>())?;
                if style.sort_keys {
                    sort_by_key(self.heap, &mut entries)?;
                }
                self.word("{")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    self.separate(index, style, depth)?;
                    self.json_key(key, style, depth)?;
                    self.glyphs(&style.key_separator)?;
                    self.json(value, style, depth + 1)?;
                }
                self.close(entries.len(), style, depth)?;
                self.word("}")
            }
            other => {
                wrong(format!("Object of type {} is not JSON serializable", other.type_name()))
            }
        }
    }

    fn json_key(&mut self, key: &Value, style: &JsonStyle, depth: usize) -> Result<()> {
        match key {
            Value::Str(text) => self.json_string(text, style),
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                self.word("\"")?;
                self.json(key, style, depth + 1)?;
                self.word("\"")
            }
            other => wrong(format!(
                "keys must be str, int, float, bool or None, not {}",
                other.type_name()
            )),
        }
    }

    /// What stands before item `index`.
    fn separate(&mut self, index: usize, style: &JsonStyle, depth: usize) -> Result<()> {
        if index > 0 {
            self.glyphs(&style.item_separator)?;
        }
        self.new_line(style, depth + 1)
    }

    /// What stands after the last of `count` items.
    fn close(&mut self, count: usize, style: &JsonStyle, depth: usize) -> Result<()> {
        if count > 0 { self.new_line(style, depth) } else { Ok(()) }
    }

    fn new_line(&mut self, style: &JsonStyle, depth: usize) -> Result<()> {
        let Some(indent) = &style.indent else { return Ok(()) };
        self.word("\n")?;
        for _ in 0..depth {
            self.glyphs(indent)?;
        }
        Ok(())
    }

    fn json_string(&mut self, text: &[Glyph], style: &JsonStyle) -> Result<()> {
        self.word("\"")?;
        for &glyph in text {
            match glyph.character() {
                '"' => self.escape(glyph, "\\\"")?,
                '\\' => self.escape(glyph, "\\\\")?,
                '\n' => self.escape(glyph, "\\n")?,
                '\r' => self.escape(glyph, "\\r")?,
                '\t' => self.escape(glyph, "\\t")?,
                '\u{8}' => self.escape(glyph, "\\b")?,
                '\u{c}' => self.escape(glyph, "\\f")?,
                control @ '\0'..'\u{20}' => {
                    self.escape(glyph, &format!("\\u{:04x}", u32::from(control)))?;
                }
                other if style.ascii && !other.is_ascii() => {
                    for unit in other.encode_utf16(&mut [0; 2]) {
                        self.escape(glyph, &format!("\\u{unit:04x}"))?;
                    }
                }
                _ => self.glyphs(&[glyph])?,
            }
        }
        self.word("\"")
    }
}

/// Sorts entries by their keys.
pub(super) fn sort_by_key(heap: &mut Heap, entries: &mut [(Value, Value)]) -> Result<()> {
    heap.walk(entries.len() * 16)?;
    let mut failed: Option<Fail> = None;
    entries.sort_by(|a, b| match heap.order(&a.0, &b.0, 0) {
        Ok(order) => order,
        Err(fail) => {
            failed = Some(fail);
            std::cmp::Ordering::Equal
        }
    });
    failed.map_or(Ok(()), Err)
}

/// Python's shortest form of a float; `names` are those of infinity and of what is no number.
fn float_repr(float: f64, names: [&str; 2]) -> String {
    if float.is_nan() {
        return names[1].to_owned();
    }
    if float.is_infinite() {
        let sign = if float < 0.0 { "-" } else { "" };
        return format!("{sign}{}", names[0]);
    }
    let scientific = format!("{float:e}");
    let exponent = scientific.split_once('e').and_then(|(_, power)| power.parse::<i32>().ok());
    match (scientific.split_once('e'), exponent) {
        (Some((mantissa, _)), Some(power)) if !(-4..16).contains(&power) => {
            let sign = if power < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", power.abs())
        }
        _ => {
            let plain = float.to_string();
            if plain.contains('.') { plain } else { format!("{plain}.0") }
        }
    }
}

/// Roughly what Python's `str.isprintable` denies: controls, separators but the space, private
/// and unassigned areas.
fn unprintable(character: char) -> bool {
    character.is_control()
        || (character.is_whitespace() && character != ' ')
        || matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(character, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}')
        || matches!(character, '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}')
}
