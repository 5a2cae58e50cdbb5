//! Cuts a template into text and tags, and tags into tokens.
//!
//! Whitespace around tags follows Jinja's documentation, "Whitespace Control", with
//! `trim_blocks` and `lstrip_blocks` on: a block tag takes the newline behind it and the blanks
//! before it along; `-` takes all whitespace on its side, `+` keeps it. One newline at the very
//! end of the source is dropped.

use super::TemplateError;
use super::glyphs::is_space;
use super::limits::{INTEGER_MAX, TAG_TOKENS_MAX};

/// A piece of a template.
#[derive(Clone, Debug)]
pub(super) enum Segment {
    Text(String),
    /// `{{ … }}`.
    Output(Vec<Token>, u32),
    /// `{% … %}`.
    Tag(Vec<Token>, u32),
}

/// A token inside a tag, with its line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) line: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Name(String),
    Str(String),
    Int(i64),
    Float(f64),
    Op(&'static str),
}

/// Longest first.
const OPERATORS: [&str; 28] = [
    "==", "!=", "<=", ">=", "//", "**", "+", "-", "*", "/", "%", "~", "<", ">", "(", ")", "[", "]",
    "{", "}", "|", ",", ".", ":", "=", ";", "!", "?",
];

struct Lexer<'s> {
    rest: &'s str,
    line: u32,
    /// Whether what comes next stands at the beginning of a line.
    line_start: bool,
    segments: Vec<Segment>,
}

/// Cuts `source` into segments.
pub(super) fn segments(source: &str) -> Result<Vec<Segment>, TemplateError> {
    let unix = source.replace("\r\n", "\n").replace('\r', "\n");
    let text = unix.strip_suffix('\n').unwrap_or(&unix);
    let mut lexer = Lexer { rest: text, line: 1, line_start: true, segments: Vec::new() };
    while lexer.step()? {}
    Ok(lexer.segments)
}

impl<'s> Lexer<'s> {
    fn error<T>(&self, message: impl Into<String>) -> Result<T, TemplateError> {
        Err(TemplateError::Syntax { line: self.line, message: message.into() })
    }

    /// Moves over `bytes`.
    fn take(&mut self, bytes: usize) -> &'s str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += u32::try_from(taken.matches('\n').count()).unwrap_or(u32::MAX);
        self.rest = rest;
        if let Some(last) = taken.chars().last() {
            self.line_start = last == '\n';
        }
        taken
    }

    /// Handles the text up to the next tag, and the tag. False at the end.
    fn step(&mut self) -> Result<bool, TemplateError> {
        // One pass: looking for each mark by itself would read the whole rest for every tag.
        let pairs = self.rest.as_bytes().windows(2);
        let mut pairs = pairs.enumerate();
        let begin = pairs.find(|(_, pair)| matches!(pair, [b'{', b'{' | b'%' | b'#']));
        let Some((begin, _)) = begin else {
            let text = self.take(self.rest.len());
            self.text(text);
            return Ok(false);
        };
        let starts_line = self.line_start;
        let text = self.take(begin);
        let mark = self.take(2);
        let sign = self.rest.chars().next().filter(|sign| matches!(sign, '-' | '+'));
        if let Some(sign) = sign {
            self.take(sign.len_utf8());
        }
        let kept = match sign {
            Some('-') => text.trim_end_matches(is_space),
            None if mark != "{{" => strip_blanks(text, starts_line),
            _ => text,
        };
        self.text(kept);
        let line = self.line;
        match mark {
            "{#" => self.comment()?,
            "{{" => {
                let tokens = self.tokens("}}")?;
                self.segments.push(Segment::Output(tokens, line));
            }
            _ => {
                let tokens = self.tokens("%}")?;
                if let [Token { kind: Kind::Name(name), .. }] = tokens.as_slice()
                    && name == "raw"
                {
                    self.raw()?;
                } else {
                    self.segments.push(Segment::Tag(tokens, line));
                }
            }
        }
        Ok(true)
    }

    fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.segments.push(Segment::Text(text.to_owned()));
        }
    }

    fn comment(&mut self) -> Result<(), TemplateError> {
        let Some(end) = self.rest.find("#}") else {
            return self.error("a comment is not closed by `#}`");
        };
        let sign = self.take(end).chars().last().filter(|sign| matches!(sign, '-' | '+'));
        self.take(2);
        self.after_tag(sign, true);
        Ok(())
    }

    /// Everything up to `{% endraw %}` is text.
    fn raw(&mut self) -> Result<(), TemplateError> {
        let whole = self.rest;
        let mut from = 0;
        while let Some(place) = whole.get(from..).and_then(|rest| rest.find("{%")) {
            let (body, rest) = whole.split_at(from + place);
            let inner = rest.trim_start_matches("{%");
            let sign = inner.chars().next().filter(|sign| matches!(sign, '-' | '+'));
            let word = inner.trim_start_matches(['-', '+']).trim_start_matches(is_space);
            if let Some(after) = word.strip_prefix("endraw") {
                let after = after.trim_start_matches(is_space);
                let close = after.chars().next().filter(|sign| matches!(sign, '-' | '+'));
                let after = after.trim_start_matches(['-', '+']);
                if let Some(after) = after.strip_prefix("%}") {
                    let starts_line = self.line_start;
                    let kept = match sign {
                        Some('-') => body.trim_end_matches(is_space),
                        Some(_) => body,
                        None => strip_blanks(body, starts_line),
                    };
                    self.text(kept);
                    self.take(whole.len() - after.len());
                    self.after_tag(close, true);
                    return Ok(());
                }
            }
            from += place + 2;
        }
        self.error("`raw` is not closed by `endraw`")
    }

    /// Drops the whitespace that a tag takes along behind it.
    fn after_tag(&mut self, sign: Option<char>, block: bool) {
        match sign {
            Some('-') => {
                let stripped = self.rest.trim_start_matches(is_space);
                self.take(self.rest.len() - stripped.len());
            }
            None if block && self.rest.starts_with('\n') => {
                self.take(1);
            }
            _ => {}
        }
    }

    /// The tokens up to `close`.
    fn tokens(&mut self, close: &'static str) -> Result<Vec<Token>, TemplateError> {
        let mut tokens = Vec::new();
        let mut open_brackets = 0_usize;
        loop {
            let blanks = self.rest.len() - self.rest.trim_start_matches(is_space).len();
            self.take(blanks);
            let Some(first) = self.rest.chars().next() else {
                return self.error(format!("a tag is not closed by `{close}`"));
            };
            if open_brackets == 0 {
                let signed = matches!(first, '-' | '+')
                    && self.rest.get(1..).is_some_and(|rest| rest.starts_with(close));
                if signed || self.rest.starts_with(close) {
                    self.take(close.len() + usize::from(signed));
                    self.after_tag(signed.then_some(first), close == "%}");
                    return Ok(tokens);
                }
            }
            if tokens.len() == TAG_TOKENS_MAX {
                return Err(TemplateError::Limit {
                    what: "number of tokens in a tag",
                    line: Some(self.line),
                });
            }
            let line = self.line;
            let kind = self.token(first)?;
            match kind {
                Kind::Op("(" | "[" | "{") => open_brackets += 1,
                Kind::Op(")" | "]" | "}") => open_brackets = open_brackets.saturating_sub(1),
                _ => {}
            }
            tokens.push(Token { kind, line });
        }
    }

    fn token(&mut self, first: char) -> Result<Kind, TemplateError> {
        if first.is_alphabetic() || first == '_' {
            let word = |character: char| character.is_alphanumeric() || character == '_';
            let end = self.rest.find(|character| !word(character)).unwrap_or(self.rest.len());
            return Ok(Kind::Name(self.take(end).to_owned()));
        }
        if first.is_ascii_digit() {
            return self.number();
        }
        if matches!(first, '\'' | '"') {
            return self.string(first);
        }
        match OPERATORS.iter().find(|operator| self.rest.starts_with(**operator)) {
            Some(operator) => {
                self.take(operator.len());
                Ok(Kind::Op(operator))
            }
            None => self.error(format!("unexpected character {first:?}")),
        }
    }

    fn number(&mut self) -> Result<Kind, TemplateError> {
        let digits = |text: &str| {
            text.find(|character: char| !character.is_ascii_digit() && character != '_')
                .unwrap_or(text.len())
        };
        let mut number = self.take(digits(self.rest)).replace('_', "");
        let mut float = false;
        let digit = |rest: &str| rest.starts_with(|character: char| character.is_ascii_digit());
        if let Some(rest) = self.rest.strip_prefix('.')
            && digit(rest)
        {
            number.push_str(&self.take(1 + digits(rest)).replace('_', ""));
            float = true;
        }
        if let Some(rest) = self.rest.strip_prefix(['e', 'E']) {
            let sign = usize::from(rest.starts_with(['+', '-']));
            if let Some(rest) = rest.get(sign..)
                && digit(rest)
            {
                number.push_str(&self.take(1 + sign + digits(rest)).replace('_', ""));
                float = true;
            }
        }
        if float {
            return match number.parse() {
                Ok(float) => Ok(Kind::Float(float)),
                Err(_) => self.error("a number cannot be read"),
            };
        }
        match number.parse() {
            Ok(integer) if integer <= INTEGER_MAX => Ok(Kind::Int(integer)),
            _ => Err(TemplateError::Limit { what: "size of an integer", line: Some(self.line) }),
        }
    }

    /// A string with Python's escapes.
    fn string(&mut self, quote: char) -> Result<Kind, TemplateError> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((place, character)) = characters.next() {
            if character == quote {
                self.take(place + 1);
                return Ok(Kind::Str(text));
            }
            if character != '\\' {
                text.push(character);
                continue;
            }
            let Some((_, escape)) = characters.next() else { break };
            let digits = match escape {
                'x' => 2,
                'u' => 4,
                'U' => 8,
                _ => 0,
            };
            match escape {
                'x' | 'u' | 'U' | '\n' => {}
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                'b' => text.push('\u{8}'),
                'f' => text.push('\u{c}'),
                'v' => text.push('\u{b}'),
                'a' => text.push('\u{7}'),
                '0' => text.push('\0'),
                '\\' | '\'' | '"' => text.push(escape),
                other => text.extend(['\\', other]),
            }
            if digits > 0 {
                let hex: String = characters.by_ref().take(digits).map(|pair| pair.1).collect();
                let code = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32);
                match code {
                    Some(character) if hex.len() == digits => text.push(character),
                    _ => return self.error(format!("the escape \\{escape}{hex} is no character")),
                }
            }
        }
        self.error("a string is not closed")
    }
}

/// Drops the blanks between the beginning of the line and a tag.
fn strip_blanks(text: &str, starts_line: bool) -> &str {
    let kept = text.trim_end_matches([' ', '\t']);
    if kept.ends_with('\n') || (kept.is_empty() && starts_line) { kept } else { text }
}
