//! Reads the text form; every line is checked as it is read.
//!
//! Numbers of values may be left out and need not ascend: passes leave gaps, and write what they replace
//! under new numbers.

use super::attributes::{self, Attributes};
use crate::{Graph, Input, Node, Type, ValueId};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::str::FromStr;
use plan::{Dim, KvCache, StateId, SymbolId, Weight, WeightId};
use tensor::{DType, Shape, TensorType};

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// Counted from one.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// How far the number of a value may lie beyond those before it.
const GAP_MAX: usize = 1 << 16;

/// A graph that is being read.
#[derive(Default)]
struct Reader {
    graph: Graph,
    /// Whether each value is there; the others are numbers that were passed over.
    known: Vec<bool>,
}

/// Reads the text form.
///
/// # Errors
/// The first line that is malformed or breaks an operator's rule.
pub fn parse(text: &str) -> Result<Graph, ParseError> {
    let mut reader = Reader::default();
    for (i, line) in text.lines().enumerate() {
        let content = without_comment(line).trim();
        if !content.is_empty() {
            read_line(&mut reader, content).map_err(|reason| ParseError { line: i + 1, reason })?;
        }
    }
    Ok(reader.graph)
}

impl Reader {
    /// Makes room for a value of this number, which must be new.
    fn claim(&mut self, value: ValueId) -> Result<(), String> {
        let (place, len) = (value.index(), self.known.len());
        if self.known.get(place) == Some(&true) {
            return Err(format!("{value} is there already"));
        }
        if place > len + GAP_MAX {
            return Err(format!("{value} is far beyond v{len}"));
        }
        let nothing = Type { dtype: DType::F32, dims: Vec::new() };
        self.known.resize(len.max(place + 1), false);
        self.graph.values.resize(len.max(place + 1), nothing);
        self.known[place] = true;
        Ok(())
    }

    /// Whether a value is there.
    fn has(&self, value: ValueId) -> bool {
        self.known.get(value.index()) == Some(&true)
    }
}

fn read_line(reader: &mut Reader, line: &str) -> Result<(), String> {
    let graph = &mut reader.graph;
    let (head, rest) = line.split_once(' ').ok_or("one word is no line")?;
    let mut words = Words { rest: rest.trim() };
    match head {
        "symbol" => {
            let name = words.next()?;
            let max = words.parse("the bound")?;
            graph.symbol(name, max);
        }
        "weight" => {
            words.id('w', graph.weights.len())?;
            let tensor = words.quoted()?;
            let first = match words.rest.strip_prefix('+') {
                Some(rest) => {
                    words.rest = rest;
                    words.parse("the first element")?
                }
                None => 0,
            };
            let ty: TensorType = words.parse("the type")?;
            let dims: Vec<u64> = words.list()?;
            let shape = Shape::new(&dims).ok_or("too many dimensions")?;
            graph.weights.push(Weight { tensor, ty, shape, first });
        }
        "state" => {
            words.id('s', graph.states.len())?;
            let mut a = words.attributes()?;
            graph.state(KvCache {
                kv_heads: a.take("kv_heads")?,
                head_dim: a.take("head_dim")?,
                v_head_dim: a.take("v_head_dim")?,
                ty: a.take("ty")?,
                positions: a.take("positions")?,
            });
            nothing_left(&a)?;
        }
        "input" => {
            let value = value_id(words.next()?)?;
            let name = words.quoted()?;
            let dtype = dtype(words.next()?)?;
            let dims = words.list::<DimText>()?.into_iter().map(|dim| dim.0).collect();
            reader.claim(value)?;
            reader.graph.values[value.index()] = Type { dtype, dims };
            reader.graph.inputs.push((name, value));
        }
        "output" => {
            let value = value_id(words.next()?)?;
            let name = words.quoted()?;
            if !reader.has(value) {
                return Err(format!("{value} does not exist"));
            }
            reader.graph.output(&name, value);
        }
        _ => read_node(reader, head, words)?,
    }
    Ok(())
}

fn read_node(reader: &mut Reader, result: &str, mut words: Words<'_>) -> Result<(), String> {
    let output = value_id(result)?;
    words.rest = words.rest.strip_prefix("= ").ok_or("`=` is missing")?;
    let (name, rest) = words.rest.split_once('(').ok_or("`(` is missing")?;
    let (list, rest) = rest.split_once(')').ok_or("`)` is missing")?;
    let inputs: Vec<Input> = list
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(operand)
        .collect::<Result<_, _>>()?;
    let mut words = Words { rest: rest.trim() };
    let layer = match words.rest.rsplit_once('@') {
        Some((before, layer)) => {
            let layer = layer.parse().map_err(|_| format!("`@{layer}` is no layer"))?;
            words.rest = before.trim();
            Some(layer)
        }
        None => None,
    };
    let mut list = words.attributes()?;
    let op = attributes::op(name, &mut list)?;
    nothing_left(&list)?;
    for input in &inputs {
        if let Input::Value(value) = *input
            && !reader.has(value)
        {
            return Err(format!("{value} does not exist"));
        }
    }
    let ty = crate::ops::infer(&reader.graph, &op, &inputs).map_err(|error| error.to_string())?;
    reader.claim(output)?;
    reader.graph.values[output.index()] = ty;
    reader.graph.nodes.push(Node { op, inputs, output, layer });
    Ok(())
}

fn nothing_left(attributes: &Attributes<'_>) -> Result<(), String> {
    match attributes.list.first() {
        Some((key, _)) => Err(format!("{key}= does not belong here")),
        None => Ok(()),
    }
}

fn operand(word: &str) -> Result<Input, String> {
    let number = |rest: &str| rest.parse::<u32>().map_err(|_| format!("`{word}` is no operand"));
    match word.split_at_checked(1) {
        Some(("_", "")) => Ok(Input::Absent),
        Some(("v", rest)) => Ok(Input::Value(ValueId(number(rest)?))),
        Some(("w", rest)) => Ok(Input::Weight(WeightId(number(rest)?))),
        Some(("s", rest)) => Ok(Input::State(StateId(number(rest)?))),
        _ => Err(format!("`{word}` is no operand")),
    }
}

fn value_id(word: &str) -> Result<ValueId, String> {
    match operand(word) {
        Ok(Input::Value(id)) => Ok(id),
        _ => Err(format!("`{word}` is no value")),
    }
}

fn dtype(name: &str) -> Result<DType, String> {
    match name.parse() {
        Ok(TensorType::Plain(dtype)) => Ok(dtype),
        Ok(TensorType::Block(_)) | Err(_) => Err(format!("`{name}` is no plain type")),
    }
}

struct DimText(Dim);

impl FromStr for DimText {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |digits: &str| digits.parse::<u64>().map_err(|_| ());
        Ok(Self(match text.strip_prefix('%') {
            Some(digits) => Dim::Symbol(SymbolId(digits.parse().map_err(|_| ())?)),
            None => Dim::Fixed(number(text)?),
        }))
    }
}

/// What is left of a line.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Result<&'a str, String> {
        let (word, rest) = self.rest.split_once(' ').unwrap_or((self.rest, ""));
        self.rest = rest.trim();
        if word.is_empty() { Err("the line ends too early".into()) } else { Ok(word) }
    }

    fn parse<T: FromStr>(&mut self, what: &str) -> Result<T, String> {
        let word = self.next()?;
        word.parse().map_err(|_| format!("`{word}` cannot be {what}"))
    }

    fn id(&mut self, prefix: char, next: usize) -> Result<(), String> {
        let word = self.next()?;
        let id = word.strip_prefix(prefix).and_then(|digits| digits.parse().ok());
        if id == Some(next) {
            Ok(())
        } else {
            Err(format!("expected {prefix}{next}, found {word}"))
        }
    }

    fn quoted(&mut self) -> Result<String, String> {
        let body = self.rest.strip_prefix('"').ok_or("a name in quotes is missing")?;
        let mut name = String::new();
        let mut chars = body.char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = body.get(i + 1..).unwrap_or("").trim();
                    return Ok(name);
                }
                '\\' => match chars.next() {
                    Some((_, escaped @ ('"' | '\\'))) => name.push(escaped),
                    Some((_, 'u')) => {
                        let digits = chars.by_ref().map(|(_, c)| c).skip_while(|c| *c == '{');
                        let digits: String = digits.take_while(|c| *c != '}').collect();
                        let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                        name.push(code.ok_or_else(|| format!("`{digits}` is no character"))?);
                    }
                    _ => return Err("only \\\", \\\\ and \\u{…} are escapes".into()),
                },
                c => name.push(c),
            }
        }
        Err("a name has no closing quote".into())
    }

    fn list<T: FromStr>(&mut self) -> Result<Vec<T>, String> {
        let body = self.rest.strip_prefix('[').ok_or("`[` is missing")?;
        let (body, rest) = body.split_once(']').ok_or("`]` is missing")?;
        self.rest = rest.trim();
        body.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| item.parse().map_err(|_| format!("`{item}` is no extent")))
            .collect()
    }

    fn attributes(&mut self) -> Result<Attributes<'a>, String> {
        let list = self
            .rest
            .split_whitespace()
            .map(|word| word.split_once('=').ok_or_else(|| format!("`{word}` is no key=value")))
            .collect::<Result<_, _>>()?;
        self.rest = "";
        Ok(Attributes { list })
    }
}

/// A line up to its comment; a `#` in a name begins none.
fn without_comment(line: &str) -> &str {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let comment = |&(_, c): &(usize, char)| {
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        c == '#' && !is_quoted
    };
    let end = line.char_indices().find(comment).map_or(line.len(), |(at, _)| at);
    line.get(..end).unwrap_or(line)
}
