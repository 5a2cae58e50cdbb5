//! Runs a parsed template.
//!
//! Scopes follow Jinja: `if` has none of its own, each turn of a loop, each macro and each `with`
//! has one, and a macro sees the variables around its definition as they are when it is called.
//! Recursion of every kind is counted in one number, bounded by [`CALL_DEPTH_MAX`].

use std::sync::Arc;

use super::arguments::Values;
use super::clock::CivilTime;
use super::filters::{filter, test};
use super::glyphs::{Glyph, plain, scaffold};
use super::limits::CALL_DEPTH_MAX;
use super::methods;
use super::operators::{arithmetic, attribute, compare, item, negative, range, slice};
use super::print::print;
use super::syntax::{
    Arguments, Expression, For, Literal, Macro, Operator, Statement, StatementKind, Step, Target,
};
use super::value::{Fail, Function, Heap, Result, Value, wrong};

/// Where a failure happened.
pub(super) struct Stopped {
    pub(super) fail: Fail,
    pub(super) line: u32,
}

/// Renders `template` with the given variables.
pub(super) fn render(
    template: &[Statement],
    heap: Heap,
    variables: Vec<(String, Value)>,
    now: Option<CivilTime>,
) -> std::result::Result<Vec<Glyph>, Stopped> {
    let mut interpreter = Interpreter {
        heap,
        globals: variables,
        scopes: vec![Vec::new()],
        loops: Vec::new(),
        macros: Vec::new(),
        out: Vec::new(),
        now,
        depth: 0,
        line: 0,
    };
    match interpreter.body(template) {
        Ok(_) => Ok(interpreter.out),
        Err(fail) => Err(Stopped { fail, line: interpreter.line }),
    }
}

struct Interpreter<'t> {
    heap: Heap,
    globals: Vec<(String, Value)>,
    scopes: Vec<Vec<(&'t str, Value)>>,
    loops: Vec<Loop>,
    macros: Vec<Closure<'t>>,
    out: Vec<Glyph>,
    now: Option<CivilTime>,
    depth: usize,
    line: u32,
}

struct Loop {
    items: Vec<Value>,
    index: usize,
    depth: usize,
    changed: Option<Vec<Value>>,
}

/// A macro and how many scopes it sees.
#[derive(Clone, Copy)]
struct Closure<'t> {
    definition: &'t Macro,
    scopes: usize,
}

/// How a statement ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

impl<'t> Interpreter<'t> {
    fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        self.heap.walk(1)?;
        if self.depth > CALL_DEPTH_MAX { Err(Fail::Limit("depth of the render")) } else { Ok(()) }
    }

    fn body(&mut self, body: &'t [Statement]) -> Result<Flow> {
        self.enter()?;
        for statement in body {
            self.line = statement.line;
            self.heap.walk(1)?;
            let flow = self.statement(statement)?;
            if flow != Flow::Next {
                self.depth -= 1;
                return Ok(flow);
            }
        }
        self.depth -= 1;
        Ok(Flow::Next)
    }

    /// Runs a body in a scope of its own.
    fn scoped(&mut self, body: &'t [Statement]) -> Result<Flow> {
        self.scopes.push(Vec::new());
        let flow = self.body(body);
        self.scopes.pop();
        flow
    }

    /// Runs a body and gives back what it wrote.
    fn captured(&mut self, body: &'t [Statement]) -> Result<Vec<Glyph>> {
        let outer = std::mem::take(&mut self.out);
        let flow = self.scoped(body);
        let written = std::mem::replace(&mut self.out, outer);
        flow?;
        Ok(written)
    }

    fn write(&mut self, text: &[Glyph]) -> Result<()> {
        self.heap.budget.take(text.len(), size_of::<Glyph>())?;
        self.heap.budget.output(self.out.len() + text.len())?;
        self.out.extend_from_slice(text);
        Ok(())
    }

    fn statement(&mut self, statement: &'t Statement) -> Result<Flow> {
        match &statement.kind {
            StatementKind::Text(text) => self.write(text)?,
            StatementKind::Output(expression) => {
                let value = self.value(expression)?;
                let text = print(&mut self.heap, &value)?;
                self.write(&text)?;
            }
            StatementKind::If { branches, otherwise } => {
                for (condition, body) in branches {
                    let value = self.value(condition)?;
                    if self.heap.truthy(&value) {
                        return self.body(body);
                    }
                }
                return self.body(otherwise);
            }
            StatementKind::For(each) => return self.each(each),
            StatementKind::Set { target, value } => {
                let value = self.value(value)?;
                self.assign(target, value)?;
            }
            StatementKind::SetBlock { target, filters, body } => {
                let written = self.captured(body)?;
                let value = self.heap.text(written)?;
                let value = self.steps(value, filters)?;
                self.assign(target, value)?;
            }
            StatementKind::With { bindings, body } => {
                let mut values = Vec::with_capacity(bindings.len());
                for (_, expression) in bindings {
                    values.push(self.value(expression)?);
                }
                self.scopes.push(Vec::new());
                for ((target, _), value) in bindings.iter().zip(values) {
                    self.assign(target, value)?;
                }
                let flow = self.body(body);
                self.scopes.pop();
                return flow;
            }
            StatementKind::Filter { filters, body } => {
                let written = self.captured(body)?;
                let value = self.heap.text(written)?;
                let value = self.steps(value, filters)?;
                let text = print(&mut self.heap, &value)?;
                self.write(&text)?;
            }
            StatementKind::Macro(definition) => {
                let value = self.close(definition)?;
                self.bind(&definition.name, value);
            }
            StatementKind::Call { body, call } => {
                let caller = self.close(body)?;
                self.scopes.push(vec![("caller", caller)]);
                let value = self.value(call);
                self.scopes.pop();
                let text = print(&mut self.heap, &value?)?;
                self.write(&text)?;
            }
            StatementKind::Break => return Ok(Flow::Break),
            StatementKind::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn each(&mut self, each: &'t For) -> Result<Flow> {
        let walked = self.value(&each.items)?;
        let mut items = self.heap.items(&walked)?;
        if let Some(condition) = &each.only_if {
            let mut kept = Vec::new();
            for value in items {
                self.scopes.push(Vec::new());
                self.assign(&each.target, value.clone())?;
                let holds = self.value(condition)?;
                self.scopes.pop();
                if self.heap.truthy(&holds) {
                    kept.push(value);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            return self.scoped(&each.otherwise);
        }
        let count = items.len();
        let id = self.loops.len();
        let depth = self.loops.len();
        self.loops.push(Loop { items, index: 0, depth, changed: None });
        for index in 0..count {
            self.loops[id].index = index;
            let value = self.loops[id].items[index].clone();
            self.scopes.push(vec![("loop", Value::Loop(id))]);
            self.assign(&each.target, value)?;
            let flow = self.body(&each.body);
            self.scopes.pop();
            match flow? {
                Flow::Break => break,
                Flow::Next | Flow::Continue => {}
            }
        }
        self.loops.truncate(id);
        Ok(Flow::Next)
    }

    // Variables.

    fn bind(&mut self, name: &'t str, value: Value) {
        let Some(scope) = self.scopes.last_mut() else { return };
        match scope.iter_mut().find(|(bound, _)| *bound == name) {
            Some((_, old)) => *old = value,
            None => scope.push((name, value)),
        }
    }

    fn assign(&mut self, target: &'t Target, value: Value) -> Result<()> {
        match target {
            Target::Name(name) => self.bind(name, value),
            Target::Attribute(name, attribute) => match self.lookup(name) {
                Value::Namespace(id) => self.heap.set(id, Value::word(attribute), value)?,
                _ => return wrong("cannot assign attribute on non-namespace object"),
            },
            Target::Tuple(targets) => {
                let items = self.heap.items(&value)?;
                if items.len() != targets.len() {
                    return wrong(format!(
                        "cannot unpack {} values into {} names",
                        items.len(),
                        targets.len()
                    ));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.assign(target, item)?;
                }
            }
        }
        Ok(())
    }

    fn lookup(&self, name: &str) -> Value {
        for scope in self.scopes.iter().rev() {
            if let Some((_, value)) = scope.iter().find(|(bound, _)| *bound == name) {
                return value.clone();
            }
        }
        if let Some((_, value)) = self.globals.iter().find(|(bound, _)| bound == name) {
            return value.clone();
        }
        match name {
            "range" => Value::Function(Function::Range),
            "dict" => Value::Function(Function::Dict),
            "namespace" => Value::Function(Function::Namespace),
            "raise_exception" => Value::Function(Function::Raise),
            "strftime_now" if self.now.is_some() => Value::Function(Function::StrftimeNow),
            _ => Value::undefined(format!("'{name}'")),
        }
    }

    // Expressions.

    fn value(&mut self, expression: &'t Expression) -> Result<Value> {
        self.enter()?;
        let value = self.value_inner(expression)?;
        self.depth -= 1;
        Ok(value)
    }

    fn value_inner(&mut self, expression: &'t Expression) -> Result<Value> {
        Ok(match expression {
            Expression::Literal(literal) => match literal {
                Literal::None => Value::None,
                Literal::Bool(truth) => Value::Bool(*truth),
                Literal::Int(integer) => Value::Int(*integer),
                Literal::Float(float) => Value::Float(*float),
                Literal::Str(text) => Value::Str(Arc::clone(text)),
            },
            Expression::Name(name) => self.lookup(name),
            Expression::List(items) => {
                let items = self.values(items)?;
                self.heap.new_list(items)?
            }
            Expression::Tuple(items) => {
                let items = self.values(items)?;
                self.heap.new_tuple(items)?
            }
            Expression::Dict(entries) => {
                let id = self.heap.add_dict(Vec::new())?;
                for (key, value) in entries {
                    let key = self.value(key)?;
                    let value = self.value(value)?;
                    self.heap.set(id, key, value)?;
                }
                Value::Dict(id)
            }
            Expression::And(all) => self.shortcut(all, Shortcut::AtFalse)?,
            Expression::Or(all) => self.shortcut(all, Shortcut::AtTrue)?,
            Expression::Not(inner) => {
                let value = self.value(inner)?;
                Value::Bool(!self.heap.truthy(&value))
            }
            Expression::Negative(inner) => negative(&self.value(inner)?)?,
            Expression::Positive(inner) => self.value(inner)?,
            Expression::Arithmetic(first, rest) => self.chain(first, rest)?,
            Expression::Compare(first, rest) => {
                let mut left = self.value(first)?;
                for (comparison, right) in rest {
                    let right = self.value(right)?;
                    if !compare(&mut self.heap, *comparison, &left, &right)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Value::Bool(true)
            }
            Expression::Choice(choices, otherwise) => {
                for (condition, value) in choices {
                    let holds = self.value(condition)?;
                    if self.heap.truthy(&holds) {
                        return self.value(value);
                    }
                }
                match otherwise {
                    Some(otherwise) => self.value(otherwise)?,
                    None => Value::undefined("the value of an `if` without `else`"),
                }
            }
            Expression::Postfix(first, steps) => {
                let value = self.value(first)?;
                self.steps(value, steps)?
            }
        })
    }

    fn values(&mut self, expressions: &'t [Expression]) -> Result<Vec<Value>> {
        let mut values = Vec::with_capacity(expressions.len());
        for expression in expressions {
            values.push(self.value(expression)?);
        }
        Ok(values)
    }

    fn shortcut(&mut self, all: &'t [Expression], at: Shortcut) -> Result<Value> {
        let mut value = Value::None;
        for expression in all {
            value = self.value(expression)?;
            if self.heap.truthy(&value) == (at == Shortcut::AtTrue) {
                break;
            }
        }
        Ok(value)
    }

    fn chain(
        &mut self,
        first: &'t Expression,
        rest: &'t [(Operator, Expression)],
    ) -> Result<Value> {
        let mut value = self.value(first)?;
        for (operator, right) in rest {
            let right = self.value(right)?;
            value = arithmetic(&mut self.heap, *operator, &value, &right)?;
        }
        Ok(value)
    }

    fn steps(&mut self, value: Value, steps: &'t [Step]) -> Result<Value> {
        let mut value = value;
        for step in steps {
            self.heap.walk(1)?;
            value = match step {
                Step::Attribute(name) => match value {
                    Value::Loop(id) if !methods::is_method(&value, name) => {
                        self.loop_attribute(id, name)
                    }
                    _ => attribute(&mut self.heap, &value, name)?,
                },
                Step::Item(key) => {
                    let key = self.value(key)?;
                    match (&value, &key) {
                        (Value::Loop(id), Value::Str(name)) => {
                            self.loop_attribute(*id, &plain(name))
                        }
                        _ => item(&mut self.heap, &value, &key)?,
                    }
                }
                Step::Slice(start, stop, stride) => {
                    let mut parts = [None, None, None];
                    for (part, expression) in parts.iter_mut().zip([start, stop, stride]) {
                        if let Some(expression) = expression {
                            *part = Some(self.value(expression)?);
                        }
                    }
                    slice(&mut self.heap, &value, &parts)?
                }
                Step::Call(arguments) => {
                    let arguments = self.arguments(arguments)?;
                    self.call(&value, arguments)?
                }
                Step::Filter(name, arguments) => {
                    let arguments = self.arguments(arguments)?;
                    filter(&mut self.heap, name, &value, &arguments)?
                }
                Step::Test { name, arguments, negated } => {
                    let arguments = self.arguments(arguments)?;
                    let holds = test(&mut self.heap, name, &value, &arguments)?;
                    Value::Bool(holds != *negated)
                }
            };
        }
        Ok(value)
    }

    fn arguments(&mut self, arguments: &'t Arguments) -> Result<Values> {
        let positional = self.values(&arguments.positional)?;
        let mut named = Vec::with_capacity(arguments.named.len());
        for (name, expression) in &arguments.named {
            named.push((name.clone(), self.value(expression)?));
        }
        Ok(Values { positional, named })
    }

    fn loop_attribute(&self, id: usize, name: &str) -> Value {
        let Some(state) = self.loops.get(id) else { return Value::undefined("'loop'") };
        let (index, count) = (state.index, state.items.len());
        let number = |number: usize| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        let neighbour = |at: Option<usize>| {
            let found = at.and_then(|at| state.items.get(at)).cloned();
            found.unwrap_or_else(|| Value::undefined("there is no such item, which"))
        };
        match name {
            "index" => number(index + 1),
            "index0" => number(index),
            "revindex" => number(count - index),
            "revindex0" => number(count - index - 1),
            "first" => Value::Bool(index == 0),
            "last" => Value::Bool(index + 1 == count),
            "length" => number(count),
            "depth" => number(state.depth + 1),
            "depth0" => number(state.depth),
            "previtem" => neighbour(index.checked_sub(1)),
            "nextitem" => neighbour(Some(index + 1)),
            other => Value::undefined(format!("'loop.{other}'")),
        }
    }

    // Calls.

    fn close(&mut self, definition: &'t Macro) -> Result<Value> {
        self.heap.budget.take(1, size_of::<Closure<'_>>())?;
        self.macros.push(Closure { definition, scopes: self.scopes.len() });
        Ok(Value::Macro(self.macros.len() - 1))
    }

    fn call(&mut self, callee: &Value, arguments: Values) -> Result<Value> {
        match callee {
            Value::Macro(id) => self.call_macro(self.macros[*id], &arguments),
            Value::Bound(bound) => {
                let (value, name) = bound.as_ref();
                match value {
                    Value::Loop(id) => self.call_loop(*id, name, &arguments),
                    _ => methods::call(&mut self.heap, value, name, &arguments),
                }
            }
            Value::Function(function) => self.call_function(*function, arguments),
            Value::Undefined(what) => wrong(format!("{what} is undefined")),
            other => wrong(format!("'{}' object is not callable", other.type_name())),
        }
    }

    fn call_macro(&mut self, closure: Closure<'t>, arguments: &Values) -> Result<Value> {
        let definition = closure.definition;
        // What `{% call %}` left for this macro stands in the innermost scope.
        let caller = self.scopes.last().and_then(|scope| {
            scope.iter().find(|(name, _)| *name == "caller").map(|(_, value)| value.clone())
        });
        if arguments.positional.len() > definition.parameters.len() {
            return wrong(format!(
                "macro '{}' takes not more than {} argument(s)",
                definition.name,
                definition.parameters.len()
            ));
        }
        for (name, _) in &arguments.named {
            if !definition.parameters.iter().any(|(parameter, _)| parameter == name) {
                return wrong(format!(
                    "macro '{}' takes no keyword argument '{name}'",
                    definition.name
                ));
            }
        }
        self.enter()?;
        let hidden = self.scopes.split_off(closure.scopes.min(self.scopes.len()));
        let mut scope = Vec::new();
        scope.extend(caller.map(|caller| ("caller", caller)));
        self.scopes.push(scope);
        let result = self.macro_body(definition, arguments);
        self.scopes.truncate(closure.scopes);
        self.scopes.extend(hidden);
        self.depth -= 1;
        let written = result?;
        self.heap.text(written)
    }

    fn macro_body(&mut self, definition: &'t Macro, arguments: &Values) -> Result<Vec<Glyph>> {
        for (position, (name, default)) in definition.parameters.iter().enumerate() {
            let value = match (arguments.get(position, name), default) {
                (Some(value), _) => value.clone(),
                (None, Some(default)) => self.value(default)?,
                (None, None) => Value::undefined(format!("parameter '{name}'")),
            };
            self.bind(name, value);
        }
        let outer = std::mem::take(&mut self.out);
        let flow = self.body(&definition.body);
        let written = std::mem::replace(&mut self.out, outer);
        flow?;
        Ok(written)
    }

    fn call_loop(&mut self, id: usize, name: &str, arguments: &Values) -> Result<Value> {
        let Some(state) = self.loops.get_mut(id) else { return wrong("the loop has ended") };
        if name == "cycle" {
            let count = arguments.positional.len();
            if count == 0 {
                return wrong("no items for cycling given");
            }
            return Ok(arguments.positional[state.index % count].clone());
        }
        let before = state.changed.replace(arguments.positional.clone());
        let Some(before) = before else { return Ok(Value::Bool(true)) };
        let mut same = before.len() == arguments.positional.len();
        for (old, new) in before.iter().zip(&arguments.positional) {
            same = same && self.heap.equal(old, new, 0)?;
        }
        Ok(Value::Bool(!same))
    }

    fn call_function(&mut self, function: Function, arguments: Values) -> Result<Value> {
        match function {
            Function::Range => range(&mut self.heap, &arguments.positional),
            Function::Dict | Function::Namespace => {
                let entries = match arguments.positional.first() {
                    Some(Value::Dict(id)) => self.heap.dict(*id).clone(),
                    Some(_) => return wrong("expected a dict"),
                    None => Vec::new(),
                };
                let id = self.heap.add_dict(entries)?;
                for (name, value) in arguments.named {
                    self.heap.set(id, Value::word(&name), value)?;
                }
                if function == Function::Dict {
                    Ok(Value::Dict(id))
                } else {
                    Ok(Value::Namespace(id))
                }
            }
            Function::Raise => {
                let message = print(&mut self.heap, arguments.need(0, "message")?)?;
                Err(Fail::Raised(plain(&message)))
            }
            Function::StrftimeNow => {
                let format = arguments.need_text(0, "format")?;
                let Some(now) = self.now else { return wrong("no time is given") };
                self.heap.budget.take(format.len(), 16 * size_of::<Glyph>())?;
                let text = scaffold(&now.format(&plain(&format)));
                self.heap.text(text)
            }
        }
    }
}

/// Where `and` and `or` stop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shortcut {
    AtFalse,
    AtTrue,
}
