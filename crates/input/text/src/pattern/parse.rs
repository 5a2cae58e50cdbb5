//! From a pattern's text to a tree.
//!
//! Recursion is bounded by [`DEPTH_MAX`]; errors are a few words and the index of the character.

use super::class::Class;
use crate::unicode::Categories;

/// Deepest nesting of groups.
const DEPTH_MAX: usize = 16;
/// Largest count in braces.
const COUNT_MAX: u32 = 1024;

type Fail = (&'static str, usize);

/// A pattern as a tree.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Class(Class),
    Sequence(Vec<Node>),
    Alternatives(Vec<Node>),
    Repeat { node: Box<Node>, min: u32, max: Option<u32>, mode: Mode },
    Look { node: Box<Node>, negated: bool },
    Start,
    End,
    Boundary { negated: bool },
}

/// How a repetition chooses its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Greedy,
    Lazy,
    Possessive,
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    fold_case: bool,
    depth: usize,
}

/// Reads a whole pattern.
pub(super) fn parse(source: &str) -> Result<Node, Fail> {
    let mut parser = Parser { chars: source.chars().collect(), at: 0, fold_case: false, depth: 0 };
    if parser.eat("(?i)") {
        parser.fold_case = true;
    }
    let node = parser.alternatives()?;
    if parser.at < parser.chars.len() {
        return Err(("unmatched `)`", parser.at));
    }
    Ok(node)
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Result<char, Fail> {
        let c = self.peek().ok_or(("ends too early", self.at))?;
        self.at += 1;
        Ok(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        let length = text.chars().count();
        let found = self
            .chars
            .get(self.at..self.at + length)
            .is_some_and(|chars| chars.iter().copied().eq(text.chars()));
        if found {
            self.at += length;
        }
        found
    }

    fn alternatives(&mut self) -> Result<Node, Fail> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(("nested deeper than 16", self.at));
        }
        let mut branches = vec![self.sequence()?];
        while self.eat("|") {
            branches.push(self.sequence()?);
        }
        self.depth -= 1;
        Ok(match branches.pop() {
            Some(only) if branches.is_empty() => only,
            last => {
                branches.extend(last);
                Node::Alternatives(branches)
            }
        })
    }

    fn sequence(&mut self) -> Result<Node, Fail> {
        let mut nodes = Vec::new();
        while let Some(c) = self.peek() {
            if matches!(c, '|' | ')') {
                break;
            }
            let node = self.atom()?;
            nodes.push(self.quantified(node)?);
        }
        Ok(Node::Sequence(nodes))
    }

    fn quantified(&mut self, node: Node) -> Result<Node, Fail> {
        let start = self.at;
        let (min, max) = match self.peek() {
            Some('?') => (0, Some(1)),
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('{') => match self.counts()? {
                Some(counts) => counts,
                None => return Ok(node),
            },
            _ => return Ok(node),
        };
        if self.at == start {
            self.at += 1;
        }
        let mode = if self.eat("?") {
            Mode::Lazy
        } else if self.eat("+") {
            Mode::Possessive
        } else {
            Mode::Greedy
        };
        if matches!(self.peek(), Some('*' | '+' | '?')) {
            return Err(("repeated repetition", self.at));
        }
        Ok(Node::Repeat { node: Box::new(node), min, max, mode })
    }

    /// `{n}`, `{n,}`, `{n,m}`; `None` (and nothing eaten) where the brace is an ordinary one.
    fn counts(&mut self) -> Result<Option<(u32, Option<u32>)>, Fail> {
        let start = self.at;
        self.at += 1;
        let low = self.number()?;
        let Some(min) = low else {
            self.at = start;
            return Ok(None);
        };
        let max = if self.eat(",") { self.number()? } else { Some(min) };
        if !self.eat("}") || max.is_some_and(|max| max < min) {
            return Err(("bad counts in braces", start));
        }
        Ok(Some((min, max)))
    }

    fn number(&mut self) -> Result<Option<u32>, Fail> {
        let mut number = None;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            let value = number.unwrap_or(0) * 10 + digit;
            if value > COUNT_MAX {
                return Err(("a count above 1024", self.at));
            }
            number = Some(value);
            self.at += 1;
        }
        Ok(number)
    }

    fn atom(&mut self) -> Result<Node, Fail> {
        let at = self.at;
        match self.next()? {
            '(' => self.group(at),
            '[' => Ok(Node::Class(self.class()?)),
            '.' => Ok(Node::Class(Class::dot())),
            '^' => Ok(Node::Start),
            '$' => Ok(Node::End),
            '\\' => self.escape(at),
            '*' | '+' | '?' => Err(("nothing to repeat", at)),
            c => Ok(Node::Class(Class::of_char(c, self.fold_case))),
        }
    }

    fn group(&mut self, at: usize) -> Result<Node, Fail> {
        let fold_case = self.fold_case;
        let look = if self.eat("?=") {
            Some(false)
        } else if self.eat("?!") {
            Some(true)
        } else {
            if self.eat("?i:") {
                self.fold_case = true;
            } else if !self.eat("?:") && self.peek() == Some('?') {
                return Err(("this kind of group is not supported", at));
            }
            None
        };
        let node = self.alternatives()?;
        self.fold_case = fold_case;
        if !self.eat(")") {
            return Err(("unmatched `(`", at));
        }
        Ok(match look {
            None => node,
            Some(negated) => Node::Look { node: Box::new(node), negated },
        })
    }

    fn escape(&mut self, at: usize) -> Result<Node, Fail> {
        match self.peek() {
            Some('b') => {
                self.at += 1;
                Ok(Node::Boundary { negated: false })
            }
            Some('B') => {
                self.at += 1;
                Ok(Node::Boundary { negated: true })
            }
            Some('A') => {
                self.at += 1;
                Ok(Node::Start)
            }
            Some('z' | 'Z') => {
                self.at += 1;
                Ok(Node::End)
            }
            Some('1'..='9') => Err(("back references are not supported", at)),
            _ => {
                let mut class = Class::default();
                if let Some(c) = self.class_escape(&mut class)? {
                    return Ok(Node::Class(Class::of_char(c, self.fold_case)));
                }
                Ok(Node::Class(class.sealed()))
            }
        }
    }

    /// What follows a backslash, inside or outside brackets: one character, or a set that is
    /// added to `class`.
    fn class_escape(&mut self, class: &mut Class) -> Result<Option<char>, Fail> {
        let at = self.at;
        let c = self.next()?;
        Ok(Some(match c {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'f' => '\u{C}',
            'v' => '\u{B}',
            'a' => '\u{7}',
            'e' => '\u{1B}',
            '0' => '\0',
            'x' | 'u' => self.hexadecimal(if c == 'x' { 2 } else { 4 })?,
            's' | 'S' => {
                class.add_space(c == 'S');
                return Ok(None);
            }
            'w' | 'W' => {
                class.add_word(c == 'W');
                return Ok(None);
            }
            'd' | 'D' => {
                let digits = Categories::named("Nd").unwrap_or_default();
                class.add_categories(if c == 'd' { digits } else { digits.complement() });
                return Ok(None);
            }
            'p' | 'P' => {
                self.property(class, c == 'P')?;
                return Ok(None);
            }
            c if c.is_ascii_alphanumeric() => return Err(("unknown escape", at)),
            c => c,
        }))
    }

    fn property(&mut self, class: &mut Class, outer_negated: bool) -> Result<(), Fail> {
        let at = self.at;
        let mut name = String::new();
        if self.eat("{") {
            loop {
                match self.next()? {
                    '}' => break,
                    c => name.push(c),
                }
            }
        } else {
            name.push(self.next()?);
        }
        let (name, negated) = match name.strip_prefix('^') {
            Some(rest) => (rest, !outer_negated),
            None => (name.as_str(), outer_negated),
        };
        let short = match name {
            "Han" | "Script=Han" if !negated => {
                class.add_han();
                return Ok(());
            }
            "Letter" => "L",
            "Mark" => "M",
            "Number" | "Numeric" => "N",
            "Punctuation" | "Punct" => "P",
            "Symbol" => "S",
            "Separator" => "Z",
            "Other" => "C",
            name => name,
        };
        let set = Categories::named(short).ok_or(("unknown character property", at))?;
        class.add_categories(if negated { set.complement() } else { set });
        Ok(())
    }

    fn hexadecimal(&mut self, width: usize) -> Result<char, Fail> {
        let at = self.at;
        let mut value = 0_u32;
        let mut digits = 0;
        let braced = self.eat("{");
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) {
            if digits == if braced { 6 } else { width } {
                break;
            }
            value = value * 16 + digit;
            digits += 1;
            self.at += 1;
        }
        if digits == 0 || (braced && !self.eat("}")) {
            return Err(("bad character number", at));
        }
        char::from_u32(value).ok_or(("no such character", at))
    }

    /// The rest of a class after its opening bracket.
    fn class(&mut self) -> Result<Class, Fail> {
        let at = self.at - 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(("nested deeper than 16", at));
        }
        let mut class = Class::default();
        let negated = self.eat("^");
        let mut first = true;
        loop {
            if self.eat("&&") {
                // The rest stands in brackets of its own in every pattern seen.
                let mut other = Class::default();
                if self.eat("[") {
                    other = self.class()?;
                } else if self.eat("\\") {
                    if let Some(c) = self.class_escape(&mut other)? {
                        other.add_range(c, c, self.fold_case);
                    }
                    other = other.sealed();
                } else {
                    return Err(("a class must follow `&&`", self.at));
                }
                class.intersect(other);
                continue;
            }
            let low = match self.next().map_err(|_| ("unmatched `[`", at))? {
                ']' if !first => break,
                '\\' => self.class_escape(&mut class)?,
                '[' => return Err(("a class inside a class is not supported", self.at)),
                c => Some(c),
            };
            first = false;
            let Some(low) = low else { continue };
            let is_range =
                self.peek() == Some('-') && self.chars.get(self.at + 1).is_some_and(|&c| c != ']');
            let mut high = low;
            if is_range {
                self.at += 1;
                high = match self.next()? {
                    '\\' => self
                        .class_escape(&mut Class::default())?
                        .ok_or(("a range that ends in a set", self.at))?,
                    c => c,
                };
                if high < low {
                    return Err(("a range that runs backwards", self.at));
                }
            }
            class.add_range(low, high, self.fold_case);
        }
        self.depth -= 1;
        if negated {
            class.negate();
        }
        Ok(class.sealed())
    }
}
