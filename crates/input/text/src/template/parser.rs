//! Reads the statements and expressions of a template.
//!
//! The grammar and its precedences are those of Jinja's own parser: `or`, `and`, `not`,
//! comparison, `+ -`, `~`, `* / // %`, `**`, sign, then attributes, calls, filters and tests.
//! Every level of nesting counts against [`DEPTH_MAX`].

use super::TemplateError;
use super::glyphs::scaffold;
use super::lexer::{Kind, Segment, Token, segments};
use super::limits::DEPTH_MAX;
use super::syntax::{
    Arguments, Comparison, Expression, For, Literal, Macro, Operator, Statement, StatementKind,
    Step, Target,
};

type Result<T> = std::result::Result<T, TemplateError>;

/// Parses a whole template.
pub(super) fn parse(source: &str) -> Result<Vec<Statement>> {
    let mut parser = Parser {
        segments: segments(source)?.into_iter(),
        tokens: Vec::new().into_iter().peekable(),
        line: 1,
        depth: 0,
        ended_by: String::new(),
        loops: 0,
    };
    let body = parser.body(&[])?;
    Ok(body)
}

struct Parser {
    segments: std::vec::IntoIter<Segment>,
    /// What is left of the current tag.
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    line: u32,
    depth: usize,
    /// The tag at which the last body ended.
    ended_by: String,
    /// Loops around the current tag.
    loops: usize,
}

impl Parser {
    fn error<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(TemplateError::Syntax { line: self.line, message: message.into() })
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == DEPTH_MAX {
            return Err(TemplateError::Limit { what: "depth of nesting", line: Some(self.line) });
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    // Tokens.

    fn peek(&mut self) -> Option<&Kind> {
        self.tokens.peek().map(|token| &token.kind)
    }

    fn next(&mut self) -> Option<Kind> {
        let token = self.tokens.next()?;
        self.line = token.line;
        Some(token.kind)
    }

    fn at(&mut self, operator: &str) -> bool {
        matches!(self.peek(), Some(Kind::Op(found)) if *found == operator)
    }

    fn at_word(&mut self, word: &str) -> bool {
        matches!(self.peek(), Some(Kind::Name(found)) if found == word)
    }

    fn skip(&mut self, operator: &str) -> bool {
        let found = self.at(operator);
        if found {
            self.next();
        }
        found
    }

    fn skip_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        if found {
            self.next();
        }
        found
    }

    fn expect(&mut self, operator: &str) -> Result<()> {
        if self.skip(operator) { Ok(()) } else { self.unexpected(&format!("`{operator}`")) }
    }

    fn unexpected<T>(&mut self, wanted: &str) -> Result<T> {
        let found = match self.next() {
            Some(Kind::Name(name)) => format!("`{name}`"),
            Some(Kind::Str(_)) => "a string".to_owned(),
            Some(Kind::Int(_) | Kind::Float(_)) => "a number".to_owned(),
            Some(Kind::Op(operator)) => format!("`{operator}`"),
            None => "the end of the tag".to_owned(),
        };
        self.error(format!("expected {wanted}, found {found}"))
    }

    fn name(&mut self) -> Result<String> {
        if let Some(Kind::Name(_)) = self.peek()
            && let Some(Kind::Name(name)) = self.next()
        {
            return Ok(name);
        }
        self.unexpected("a name")
    }

    fn end(&mut self) -> Result<()> {
        if self.tokens.peek().is_none() { Ok(()) } else { self.unexpected("the end of the tag") }
    }

    // Statements.

    /// Statements up to one of the tags in `ends`, whose name goes to `ended_by`; the rest of that
    /// tag is left in `tokens`. With no `ends`, up to the end of the template.
    fn body(&mut self, ends: &[&str]) -> Result<Vec<Statement>> {
        self.nested(|parser| parser.body_inner(ends))
    }

    fn body_inner(&mut self, ends: &[&str]) -> Result<Vec<Statement>> {
        let mut body = Vec::new();
        loop {
            let (tokens, line, output) = match self.segments.next() {
                None if ends.is_empty() => return Ok(body),
                None => return self.error(format!("missing `{}`", ends.join("` or `"))),
                Some(Segment::Text(text)) => {
                    let kind = StatementKind::Text(scaffold(&text));
                    body.push(Statement { line: self.line, kind });
                    continue;
                }
                Some(Segment::Output(tokens, line)) => (tokens, line, true),
                Some(Segment::Tag(tokens, line)) => (tokens, line, false),
            };
            self.tokens = tokens.into_iter().peekable();
            self.line = line;
            let kind = if output {
                let value = self.tuple()?;
                StatementKind::Output(value)
            } else {
                let tag = self.name()?;
                if ends.contains(&tag.as_str()) {
                    self.ended_by = tag;
                    return Ok(body);
                }
                self.statement(&tag)?
            };
            self.end()?;
            body.push(Statement { line, kind });
        }
    }

    fn statement(&mut self, tag: &str) -> Result<StatementKind> {
        match tag {
            "if" => self.conditional(),
            "for" => self.for_loop(),
            "set" => self.set(),
            "with" => self.with(),
            "filter" => {
                let filters = self.filters()?;
                self.end()?;
                let body = self.body(&["endfilter"])?;
                Ok(StatementKind::Filter { filters, body })
            }
            "generation" => {
                // Marks what an assistant says, for training; rendering passes it through.
                self.end()?;
                let body = self.body(&["endgeneration"])?;
                Ok(StatementKind::With { bindings: Vec::new(), body })
            }
            "macro" => {
                let name = self.name()?;
                self.expect("(")?;
                let parameters = self.parameters()?;
                let body = self.macro_body("endmacro")?;
                Ok(StatementKind::Macro(Box::new(Macro { name, parameters, body })))
            }
            "call" => {
                let parameters = if self.skip("(") { self.parameters()? } else { Vec::new() };
                let call = self.expression()?;
                let body = self.macro_body("endcall")?;
                let name = "caller".to_owned();
                let body = Box::new(Macro { name, parameters, body });
                Ok(StatementKind::Call { body, call })
            }
            "break" | "continue" if self.loops == 0 => {
                self.error(format!("`{tag}` stands outside of a loop"))
            }
            "break" => Ok(StatementKind::Break),
            "continue" => Ok(StatementKind::Continue),
            "include" | "import" | "from" | "extends" | "block" => {
                self.error(format!("`{tag}` is not available: a template stands alone"))
            }
            other => self.error(format!("unknown tag `{other}`")),
        }
    }

    fn conditional(&mut self) -> Result<StatementKind> {
        let mut branches = Vec::new();
        let mut otherwise = Vec::new();
        loop {
            let condition = self.tuple()?;
            self.end()?;
            branches.push((condition, self.body(&["elif", "else", "endif"])?));
            match self.ended_by.as_str() {
                "elif" => {}
                "else" => {
                    self.end()?;
                    otherwise = self.body(&["endif"])?;
                    break;
                }
                _ => break,
            }
        }
        Ok(StatementKind::If { branches, otherwise })
    }

    fn for_loop(&mut self) -> Result<StatementKind> {
        let target = self.target()?;
        if !self.skip_word("in") {
            return self.unexpected("`in`");
        }
        let items = self.tuple_without_choice()?;
        let only_if = if self.skip_word("if") { Some(self.expression()?) } else { None };
        if self.at_word("recursive") {
            return self.error("recursive loops are not available");
        }
        self.end()?;
        self.loops += 1;
        let body = self.body(&["else", "endfor"]);
        self.loops -= 1;
        let body = body?;
        let otherwise = if self.ended_by == "else" {
            self.end()?;
            self.body(&["endfor"])?
        } else {
            Vec::new()
        };
        Ok(StatementKind::For(Box::new(For { target, items, only_if, body, otherwise })))
    }

    fn set(&mut self) -> Result<StatementKind> {
        let target = self.target()?;
        if self.skip("=") {
            return Ok(StatementKind::Set { target, value: self.tuple()? });
        }
        let filters = if self.skip("|") { self.filters()? } else { Vec::new() };
        self.end()?;
        let body = self.body(&["endset"])?;
        Ok(StatementKind::SetBlock { target, filters, body })
    }

    fn with(&mut self) -> Result<StatementKind> {
        let mut bindings = Vec::new();
        while self.peek().is_some() {
            let target = self.target_element()?;
            self.expect("=")?;
            bindings.push((target, self.expression()?));
            if !self.skip(",") {
                break;
            }
        }
        self.end()?;
        let body = self.body(&["endwith"])?;
        Ok(StatementKind::With { bindings, body })
    }

    /// Parameters of a macro, after the opening bracket.
    fn parameters(&mut self) -> Result<Vec<(String, Option<Expression>)>> {
        let mut parameters = Vec::new();
        while !self.skip(")") {
            let name = self.name()?;
            let default = if self.skip("=") { Some(self.expression()?) } else { None };
            parameters.push((name, default));
            if !self.at(")") {
                self.expect(",")?;
            }
        }
        Ok(parameters)
    }

    fn macro_body(&mut self, end: &'static str) -> Result<Vec<Statement>> {
        self.end()?;
        let loops = std::mem::take(&mut self.loops);
        let body = self.body(&[end]);
        self.loops = loops;
        // Jinja allows the macro's name after `endmacro`.
        if end == "endmacro" && self.peek().is_some() {
            self.name()?;
        }
        body
    }

    /// `a`, `a, b` or `ns.a`.
    fn target(&mut self) -> Result<Target> {
        let first = self.target_element()?;
        if !self.at(",") {
            return Ok(first);
        }
        let mut targets = vec![first];
        while self.skip(",") {
            if self.at_word("in") || self.at("=") || self.peek().is_none() {
                break;
            }
            targets.push(self.target_element()?);
        }
        Ok(Target::Tuple(targets))
    }

    fn target_element(&mut self) -> Result<Target> {
        if self.skip("(") {
            let target = self.nested(Self::target)?;
            self.expect(")")?;
            return Ok(target);
        }
        let name = self.name()?;
        if self.skip(".") {
            return Ok(Target::Attribute(name, self.name()?));
        }
        Ok(Target::Name(name))
    }

    /// `f(a) | g`.
    fn filters(&mut self) -> Result<Vec<Step>> {
        let mut filters = Vec::new();
        loop {
            filters.push(self.filter()?);
            if !self.skip("|") {
                return Ok(filters);
            }
        }
    }

    // Expressions, loosest first.

    /// `a` or `a, b`.
    fn tuple(&mut self) -> Result<Expression> {
        let first = self.expression()?;
        self.rest_of_tuple(first)
    }

    /// As [`Self::tuple`], but an `if` that follows belongs to the loop.
    fn tuple_without_choice(&mut self) -> Result<Expression> {
        let first = self.nested(Self::or)?;
        self.rest_of_tuple(first)
    }

    fn rest_of_tuple(&mut self, first: Expression) -> Result<Expression> {
        if !self.at(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip(",") {
            if self.peek().is_none() || self.at(")") {
                break;
            }
            items.push(self.expression()?);
        }
        Ok(Expression::Tuple(items))
    }

    fn expression(&mut self) -> Result<Expression> {
        self.nested(Self::choice)
    }

    fn choice(&mut self) -> Result<Expression> {
        let mut value = self.or()?;
        let mut choices = Vec::new();
        while self.skip_word("if") {
            choices.push((self.or()?, value));
            if !self.skip_word("else") {
                return Ok(Expression::Choice(choices, None));
            }
            value = self.or()?;
        }
        if choices.is_empty() {
            return Ok(value);
        }
        Ok(Expression::Choice(choices, Some(Box::new(value))))
    }

    fn or(&mut self) -> Result<Expression> {
        let first = self.and()?;
        let mut all = vec![first];
        while self.skip_word("or") {
            all.push(self.and()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::Or(all) })
    }

    fn and(&mut self) -> Result<Expression> {
        let first = self.not()?;
        let mut all = vec![first];
        while self.skip_word("and") {
            all.push(self.not()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::And(all) })
    }

    fn not(&mut self) -> Result<Expression> {
        if self.skip_word("not") {
            return Ok(Expression::Not(Box::new(self.nested(Self::not)?)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expression> {
        let first = self.sum()?;
        let mut rest = Vec::new();
        loop {
            let comparison = match self.peek() {
                Some(Kind::Op("==")) => Comparison::Equal,
                Some(Kind::Op("!=")) => Comparison::NotEqual,
                Some(Kind::Op("<")) => Comparison::Less,
                Some(Kind::Op("<=")) => Comparison::LessOrEqual,
                Some(Kind::Op(">")) => Comparison::Greater,
                Some(Kind::Op(">=")) => Comparison::GreaterOrEqual,
                Some(Kind::Name(name)) if name == "in" => Comparison::In,
                Some(Kind::Name(name)) if name == "not" => Comparison::NotIn,
                _ => break,
            };
            self.next();
            if comparison == Comparison::NotIn && !self.skip_word("in") {
                return self.unexpected("`in`");
            }
            rest.push((comparison, self.sum()?));
        }
        Ok(if rest.is_empty() { first } else { Expression::Compare(Box::new(first), rest) })
    }

    fn sum(&mut self) -> Result<Expression> {
        let operators = [("+", Operator::Add), ("-", Operator::Subtract)];
        self.arithmetic(&operators, Self::concatenation)
    }

    fn concatenation(&mut self) -> Result<Expression> {
        self.arithmetic(&[("~", Operator::Concatenate)], Self::product)
    }

    fn product(&mut self) -> Result<Expression> {
        let operators = [
            ("*", Operator::Multiply),
            ("/", Operator::Divide),
            ("//", Operator::FloorDivide),
            ("%", Operator::Remainder),
        ];
        self.arithmetic(&operators, Self::power)
    }

    fn power(&mut self) -> Result<Expression> {
        self.arithmetic(&[("**", Operator::Power)], |parser| parser.unary(Filters::Allowed))
    }

    fn arithmetic(
        &mut self,
        operators: &[(&str, Operator)],
        mut operand: impl FnMut(&mut Self) -> Result<Expression>,
    ) -> Result<Expression> {
        let first = operand(self)?;
        let mut rest = Vec::new();
        while let Some(Kind::Op(found)) = self.peek()
            && let Some((_, operator)) = operators.iter().find(|(text, _)| text == found)
        {
            self.next();
            rest.push((*operator, operand(self)?));
        }
        Ok(if rest.is_empty() { first } else { Expression::Arithmetic(Box::new(first), rest) })
    }

    fn unary(&mut self, filters: Filters) -> Result<Expression> {
        let signed = if self.skip("-") {
            let operand = self.nested(|parser| parser.unary(Filters::Outside))?;
            Expression::Negative(Box::new(operand))
        } else if self.skip("+") {
            let operand = self.nested(|parser| parser.unary(Filters::Outside))?;
            Expression::Positive(Box::new(operand))
        } else {
            self.primary()?
        };
        let mut steps = Vec::new();
        self.postfix(&mut steps)?;
        if filters == Filters::Allowed {
            self.filters_and_tests(&mut steps)?;
        }
        Ok(if steps.is_empty() { signed } else { Expression::Postfix(Box::new(signed), steps) })
    }

    fn primary(&mut self) -> Result<Expression> {
        let literal = match self.peek() {
            Some(Kind::Name(name)) => match name.as_str() {
                "true" | "True" => Literal::Bool(true),
                "false" | "False" => Literal::Bool(false),
                "none" | "None" => Literal::None,
                _ => return Ok(Expression::Name(self.name()?)),
            },
            Some(Kind::Int(integer)) => Literal::Int(*integer),
            Some(Kind::Float(float)) => Literal::Float(*float),
            Some(Kind::Str(_)) => {
                let mut text = String::new();
                while let Some(Kind::Str(_)) = self.peek()
                    && let Some(Kind::Str(piece)) = self.next()
                {
                    text.push_str(&piece);
                }
                return Ok(Expression::Literal(Literal::Str(scaffold(&text))));
            }
            Some(Kind::Op("(")) => {
                self.next();
                if self.skip(")") {
                    return Ok(Expression::Tuple(Vec::new()));
                }
                let inner = self.tuple()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Some(Kind::Op("[")) => {
                self.next();
                return Ok(Expression::List(self.items("]")?));
            }
            Some(Kind::Op("{")) => {
                self.next();
                return self.dict();
            }
            _ => return self.unexpected("an expression"),
        };
        self.next();
        Ok(Expression::Literal(literal))
    }

    /// Expressions up to `close`.
    fn items(&mut self, close: &str) -> Result<Vec<Expression>> {
        let mut items = Vec::new();
        while !self.skip(close) {
            items.push(self.expression()?);
            if !self.at(close) {
                self.expect(",")?;
            }
        }
        Ok(items)
    }

    fn dict(&mut self) -> Result<Expression> {
        let mut entries = Vec::new();
        while !self.skip("}") {
            let key = self.expression()?;
            self.expect(":")?;
            entries.push((key, self.expression()?));
            if !self.at("}") {
                self.expect(",")?;
            }
        }
        Ok(Expression::Dict(entries))
    }

    /// Attributes, subscripts and calls.
    fn postfix(&mut self, steps: &mut Vec<Step>) -> Result<()> {
        loop {
            if self.skip(".") {
                steps.push(match self.next() {
                    Some(Kind::Name(name)) => Step::Attribute(name),
                    Some(Kind::Int(index)) => Step::Item(Expression::Literal(Literal::Int(index))),
                    _ => return self.error("expected a name after `.`"),
                });
            } else if self.skip("[") {
                steps.push(self.subscript()?);
            } else if self.skip("(") {
                steps.push(Step::Call(self.arguments()?));
            } else {
                return Ok(());
            }
        }
    }

    fn subscript(&mut self) -> Result<Step> {
        let mut parts = [None, None, None];
        let mut colons = 0;
        loop {
            if self.skip("]") {
                break;
            }
            if self.skip(":") {
                colons += 1;
                if colons > 2 {
                    return self.error("a slice has at most three parts");
                }
            } else if parts[colons].is_none() {
                parts[colons] = Some(self.tuple()?);
            } else {
                return self.unexpected("`]`");
            }
        }
        match (parts, colons) {
            ([Some(item), _, _], 0) => Ok(Step::Item(item)),
            (_, 0) => self.error("a subscript is empty"),
            ([start, stop, stride], _) => Ok(Step::Slice(start, stop, stride)),
        }
    }

    /// Arguments of a call, after the opening bracket.
    fn arguments(&mut self) -> Result<Arguments> {
        let mut arguments = Arguments::default();
        while !self.skip(")") {
            if self.at("*") || self.at("**") {
                return self.error("`*` and `**` in a call are not available");
            }
            let value = self.expression()?;
            match value {
                Expression::Name(name) if self.skip("=") => {
                    arguments.named.push((name, self.expression()?));
                }
                value => arguments.positional.push(value),
            }
            if !self.at(")") {
                self.expect(",")?;
            }
        }
        Ok(arguments)
    }

    fn filters_and_tests(&mut self, steps: &mut Vec<Step>) -> Result<()> {
        loop {
            if self.skip("|") {
                steps.push(self.filter()?);
            } else if self.skip_word("is") {
                steps.push(self.test()?);
            } else if self.skip("(") {
                steps.push(Step::Call(self.arguments()?));
            } else {
                return Ok(());
            }
        }
    }

    fn filter(&mut self) -> Result<Step> {
        let name = self.name()?;
        let arguments = if self.skip("(") { self.arguments()? } else { Arguments::default() };
        Ok(Step::Filter(name, arguments))
    }

    fn test(&mut self) -> Result<Step> {
        let negated = self.skip_word("not");
        let name = self.name()?;
        let mut arguments = Arguments::default();
        let has_argument = match self.peek() {
            Some(Kind::Name(next)) => {
                !matches!(next.as_str(), "else" | "or" | "and" | "if" | "in" | "not" | "is")
            }
            Some(Kind::Str(_) | Kind::Int(_) | Kind::Float(_) | Kind::Op("[" | "{")) => true,
            _ => false,
        };
        if self.skip("(") {
            arguments = self.arguments()?;
        } else if has_argument {
            let argument = self.nested(|parser| parser.unary(Filters::Outside))?;
            arguments.positional.push(argument);
        }
        Ok(Step::Test { name, arguments, negated })
    }
}

/// Whether filters bind to an operand or to the sign before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Filters {
    Allowed,
    Outside,
}
