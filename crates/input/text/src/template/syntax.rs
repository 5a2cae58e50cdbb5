//! The syntax tree of a template.
//!
//! Chains (`a + b + c`, `x | f | g`, `a if p else b`, `elif`) are lists, not nested nodes: the
//! tree is no deeper than the brackets and blocks of the source.

use super::glyphs::Text;

/// A statement, with the line on which it begins.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) line: u32,
    pub(super) kind: StatementKind,
}

#[derive(Clone, Debug)]
pub(super) enum StatementKind {
    Text(Text),
    Output(Expression),
    If {
        branches: Vec<(Expression, Vec<Statement>)>,
        otherwise: Vec<Statement>,
    },
    For(Box<For>),
    Set {
        target: Target,
        value: Expression,
    },
    /// `{% set x %}…{% endset %}`, with filters.
    SetBlock {
        target: Target,
        filters: Vec<Step>,
        body: Vec<Statement>,
    },
    With {
        bindings: Vec<(Target, Expression)>,
        body: Vec<Statement>,
    },
    Filter {
        filters: Vec<Step>,
        body: Vec<Statement>,
    },
    Macro(Box<Macro>),
    /// `{% call(…) f() %}…{% endcall %}`.
    Call {
        body: Box<Macro>,
        call: Expression,
    },
    Break,
    Continue,
}

#[derive(Clone, Debug)]
pub(super) struct For {
    pub(super) target: Target,
    pub(super) items: Expression,
    pub(super) only_if: Option<Expression>,
    pub(super) body: Vec<Statement>,
    pub(super) otherwise: Vec<Statement>,
}

#[derive(Clone, Debug)]
pub(super) struct Macro {
    pub(super) name: String,
    pub(super) parameters: Vec<(String, Option<Expression>)>,
    pub(super) body: Vec<Statement>,
}

/// What is assigned to.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Name(String),
    Tuple(Vec<Target>),
    /// An attribute of a namespace.
    Attribute(String, String),
}

#[derive(Clone, Debug)]
pub(super) enum Expression {
    Literal(Literal),
    Name(String),
    List(Vec<Expression>),
    Tuple(Vec<Expression>),
    Dict(Vec<(Expression, Expression)>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    Negative(Box<Expression>),
    Positive(Box<Expression>),
    /// `first op a op b`, from left to right.
    Arithmetic(Box<Expression>, Vec<(Operator, Expression)>),
    /// `first < a < b`, as Python chains it.
    Compare(Box<Expression>, Vec<(Comparison, Expression)>),
    /// `value if condition else …`: the first value whose condition holds, else the last.
    Choice(Vec<(Expression, Expression)>, Option<Box<Expression>>),
    /// Attributes, subscripts, calls, filters and tests, from left to right.
    Postfix(Box<Expression>, Vec<Step>),
}

#[derive(Clone, Debug)]
pub(super) enum Literal {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Text),
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Attribute(String),
    Item(Expression),
    Slice(Option<Expression>, Option<Expression>, Option<Expression>),
    Call(Arguments),
    Filter(String, Arguments),
    Test { name: String, arguments: Arguments, negated: bool },
}

#[derive(Clone, Debug, Default)]
pub(super) struct Arguments {
    pub(super) positional: Vec<Expression>,
    pub(super) named: Vec<(String, Expression)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Power,
    Concatenate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}
