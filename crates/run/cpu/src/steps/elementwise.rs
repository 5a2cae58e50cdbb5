//! Functions of one or two elements.

use super::{Frame, Maker, by_rows};
use crate::layout::{View, borrow};
use crate::weights::Vector;
use kernels::elementwise::{self as kernel, Activation};
use plan::op::{Binary, Unary};
use plan::{Op, Operand, Step};

/// The kernel's name of a function.
pub(super) fn activation(op: Unary) -> Activation {
    match op {
        Unary::Silu => Activation::Silu,
        Unary::Gelu => Activation::Gelu,
        Unary::GeluTanh => Activation::GeluTanh,
        Unary::Relu => Activation::Relu,
        Unary::ReluSquared => Activation::ReluSquared,
        Unary::Tanh => Activation::Tanh,
        Unary::Sigmoid => Activation::Sigmoid,
    }
}

/// The second operand.
#[derive(Clone, Copy, Debug)]
enum Second {
    Absent,
    Value(View),
    Row(Vector),
}

/// What is computed.
#[derive(Clone, Copy, Debug)]
enum Function {
    Unary(Activation),
    Binary(Binary),
    Gated(Activation),
    Scale(f32),
    SoftCap(f32),
}

/// The operators that work element by element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elementwise {
    function: Function,
    x: View,
    y: Second,
    pub(super) out: View,
}

/// What one of them does with products that it alone reads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    /// Adds another value.
    Add(View),
    /// Multiplies the second product by a function of the first.
    Gate(Activation),
}

impl Elementwise {
    pub(super) fn new(maker: &Maker<'_>, step: &Step) -> Self {
        let function = match step.op {
            Op::Unary(op) => Function::Unary(activation(op)),
            Op::Binary(op) => Function::Binary(op),
            Op::Gated { activation: op } => Function::Gated(activation(op)),
            Op::Scale { factor } => Function::Scale(factor),
            Op::SoftCap { cap } => Function::SoftCap(cap),
            ref other => unreachable!("{} is not elementwise", other.name()),
        };
        let y = match step.input(1) {
            Operand::Slot(slot) => Second::Value(maker.view(slot)),
            Operand::Weight(id) => Second::Row(maker.placement.vector(*id)),
            Operand::State(_) | Operand::Absent => Second::Absent,
        };
        Self { function, x: maker.input(step, 0), y, out: maker.output(step) }
    }

    /// What it does with `product`, if it adds another value of the same extents.
    pub(super) fn adds_to(&self, product: View) -> Option<Ending> {
        let (Function::Binary(Binary::Add), Second::Value(y)) = (self.function, self.y) else {
            return None;
        };
        let other = if self.x == product { y } else { self.x };
        let both = (self.x == product) != (y == product);
        (both && other.is_like(product) && self.out.is_like(product)).then_some(Ending::Add(other))
    }

    /// What it does with two products, if it applies the first as a gate to the second.
    pub(super) fn gates(&self, gate: View, up: View) -> Option<Ending> {
        match (self.function, self.y) {
            (Function::Gated(op), Second::Value(y)) if self.x == gate && y == up => {
                Some(Ending::Gate(op))
            }
            _ => None,
        }
    }

    pub(super) fn run(&self, frame: &mut Frame<'_, '_>) {
        let [write, x] = [&self.out, &self.x].map(|view| view.range(frame.extents));
        let y = match self.y {
            Second::Value(view) => view.range(frame.extents),
            Second::Absent | Second::Row(_) => 0..0,
        };
        let ([out], [x, y]) = borrow(frame.values, &[write], &[x, y]);
        let y = if let Second::Row(vector) = self.y { vector.of(frame.weights) } else { y };
        let (width, isa) = (self.out.width, frame.isa);
        // One row serves all where the second operand has no more.
        let broadcast = y.len() == width;
        by_rows(frame.team, out, width, |first, out| {
            out.copy_from_slice(&x[first * width..][..out.len()]);
            match self.function {
                Function::Unary(op) => kernel::activate(isa, op, out),
                Function::Scale(factor) => kernel::scale(isa, out, factor),
                Function::SoftCap(cap) => kernel::soft_cap(isa, out, cap),
                Function::Binary(op) => {
                    for (row, out) in (first..).zip(out.chunks_exact_mut(width)) {
                        let y = &y[if broadcast { 0 } else { row * width }..][..width];
                        match op {
                            Binary::Add => kernel::add(isa, out, y),
                            Binary::Mul => kernel::multiply(isa, out, y),
                        }
                    }
                }
                Function::Gated(op) => kernel::gate(isa, op, out, &y[first * width..][..out.len()]),
            }
        });
    }
}
