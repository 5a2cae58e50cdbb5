//! Formulas that files spell out, as the one operator that they are: activations and
//! normalisations.
//!
//! `x * clip(x + 3, 0, 6) / 6` is a hard swish, `x * sigmoid(x)` a `SiLU`, half of `x * (1 + erf(x /
//! √2))` a GELU, `(x - mean) / √(variance + ε)` a normalisation. Constants are taken for what they
//! are meant to be within a relative 1e-4, as exporters round them. The parts may be read elsewhere
//! too: then they stay beside the operator.

use super::rewrite::Rewriter;
use crate::{Input, Node};
use alloc::vec::Vec;
use core::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};
use plan::array::{Map, Reduce, ReduceKind, Zip};
use plan::{ArrayOp, Op};

/// How far a constant may be from what it is meant to be.
const TOLERANCE: f64 = 1e-4;

/// Runs the pass.
pub(super) fn run(graph: &mut Rewriter<'_>) -> usize {
    graph.each(rule)
}

fn rule(graph: &mut Rewriter<'_>, node: &Node) -> Option<Input> {
    let Op::Array(ArrayOp::Zip(zip)) = node.op else { return None };
    let (a, b) = (*node.inputs.first()?, *node.inputs.get(1)?);
    if !graph.array(a)?.dtype.is_float() {
        return None;
    }
    let (x, map) = match zip {
        Zip::Power => power(graph, a, b)?,
        Zip::Multiply => {
            if let Some(found) = normalised(graph, node, a, b).or_else(|| scaled(graph, a, b)) {
                return Some(found);
            }
            gelu(graph, a, b)
                .or_else(|| gated(graph, a, b))
                .or_else(|| gated(graph, b, a))
                .or_else(|| sixth(graph, a, b))
                .or_else(|| sixth(graph, b, a))?
        }
        Zip::Divide => {
            if let Some(found) = normalised(graph, node, a, b) {
                return Some(found);
            }
            gelu(graph, a, b).or_else(|| sixth(graph, a, b))?
        }
        Zip::Add => return shifted(graph, a, b).or_else(|| more(graph, node, a, b)),
        Zip::Maximum => leaky(graph, a, b).or_else(|| leaky(graph, b, a))?,
        _ => return None,
    };
    if graph.array(x)?.dims != graph.array(node.output.into())?.dims {
        return None;
    }
    graph.push(ArrayOp::Map(map), [x]).map(Input::Value)
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * b.abs()
}

/// The operand of a function.
fn mapped(graph: &Rewriter<'_>, x: Input) -> Option<(Map, Input)> {
    match graph.writer(x)? {
        (ArrayOp::Map(map), inputs) => Some((map, inputs[0])),
        _ => None,
    }
}

/// The operands of a function of pairs.
fn zipped(graph: &Rewriter<'_>, x: Input, zip: Zip) -> Option<(Input, Input)> {
    match graph.writer(x)? {
        (ArrayOp::Zip(found), inputs) if found == zip => Some((inputs[0], inputs[1])),
        _ => None,
    }
}

/// A value and the number that it is combined with, whichever stands first.
fn with_number(graph: &mut Rewriter<'_>, x: Input, zip: Zip) -> Option<(Input, f64)> {
    let (a, b) = zipped(graph, x, zip)?;
    match graph.number(b) {
        Some(n) => Some((a, n)),
        None => Some((b, graph.number(a)?)),
    }
}

/// `x * n` or `x / n` as a factor of `x`.
fn factor(graph: &mut Rewriter<'_>, x: Input) -> Option<(Input, f64)> {
    if let Some(found) = with_number(graph, x, Zip::Multiply) {
        return Some(found);
    }
    let (a, b) = zipped(graph, x, Zip::Divide)?;
    Some((a, 1.0 / graph.number(b)?))
}

#[expect(clippy::float_cmp, reason = "exponents are whole or halves")]
fn power(graph: &mut Rewriter<'_>, x: Input, exponent: Input) -> Option<(Input, Map)> {
    let n = graph.number(exponent)?;
    match n {
        _ if n == 2.0 => Some((x, Map::Square)),
        _ if n == 0.5 => Some((x, Map::Sqrt)),
        _ if n == -1.0 => Some((x, Map::Reciprocal)),
        _ => None,
    }
}

/// `x * f(x)`.
fn gated(graph: &mut Rewriter<'_>, x: Input, gate: Input) -> Option<(Input, Map)> {
    let (map, of) = mapped(graph, gate)?;
    if of == x {
        return match map {
            Map::Sigmoid => Some((x, Map::Silu)),
            Map::HardSigmoid { alpha, beta }
                if near(alpha.into(), 1.0 / 6.0) && near(beta.into(), 0.5) =>
            {
                Some((x, Map::HardSwish))
            }
            _ => None,
        };
    }
    match map {
        Map::Tanh => match mapped(graph, of)? {
            (Map::Softplus, inner) if inner == x => Some((x, Map::Mish)),
            _ => None,
        },
        Map::Sigmoid => {
            let (inner, alpha) = factor(graph, of)?;
            let alpha = single(alpha)?;
            (inner == x).then_some((x, Map::Swish { alpha }))
        }
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "constants of graphs are singles")]
fn single(n: f64) -> Option<f32> {
    n.is_finite().then_some(n as f32)
}

/// `clip(x + 3, 0, 6)`: gives `x`.
fn ramp(graph: &mut Rewriter<'_>, x: Input) -> Option<Input> {
    let (map, sum) = mapped(graph, x)?;
    let clips = match map {
        Map::Relu6 => true,
        Map::Clamp { low, high } => low.abs() == 0.0 && near(high.into(), 6.0),
        _ => false,
    };
    let (x, n) = with_number(graph, sum, Zip::Add)?;
    (clips && near(n, 3.0)).then_some(x)
}

/// A sixth of `x * clip(x + 3, 0, 6)`, or of `clip(x + 3, 0, 6)`: `value` by `by`, which is the
/// divisor 6 or the factor 1/6.
fn sixth(graph: &mut Rewriter<'_>, value: Input, by: Input) -> Option<(Input, Map)> {
    let n = graph.number(by)?;
    if !near(n, 6.0) && !near(n, 1.0 / 6.0) {
        return None;
    }
    if let Some(x) = ramp(graph, value) {
        return Some((x, Map::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }));
    }
    let (a, b) = zipped(graph, value, Zip::Multiply)?;
    let swish = ramp(graph, b) == Some(a) || ramp(graph, a) == Some(b);
    let x = if ramp(graph, b) == Some(a) { a } else { b };
    swish.then_some((x, Map::HardSwish))
}

/// The factors of a product, and the number by which they are multiplied.
fn factors(graph: &mut Rewriter<'_>, x: Input, depth: u32, all: &mut Vec<Input>) -> f64 {
    if let Some(n) = graph.number(x) {
        return n;
    }
    if depth > 0 {
        if let Some((a, b)) = zipped(graph, x, Zip::Multiply) {
            let left = factors(graph, a, depth - 1, all);
            return left * factors(graph, b, depth - 1, all);
        }
        if let Some((a, b)) = zipped(graph, x, Zip::Divide)
            && let Some(n) = graph.number(b)
        {
            return factors(graph, a, depth - 1, all) / n;
        }
    }
    all.push(x);
    1.0
}

/// Half of `x * (1 + erf(x / √2))`, or with `tanh(√(2/π) * (x + 0.044715 x³))` for the function.
fn gelu(graph: &mut Rewriter<'_>, a: Input, b: Input) -> Option<(Input, Map)> {
    let mut all = Vec::new();
    let half = factors(graph, a, 2, &mut all) * factors(graph, b, 2, &mut all);
    let &[a, b] = &all[..] else { return None };
    if !near(half, 0.5) {
        return None;
    }
    let (x, gate) = if mapped_sum(graph, b).is_some() { (a, b) } else { (b, a) };
    let (map, of) = mapped_sum(graph, gate)?;
    match map {
        Map::Erf => {
            let (inner, n) = factor(graph, of)?;
            (inner == x && near(n, FRAC_1_SQRT_2)).then_some((x, Map::Gelu))
        }
        Map::Tanh => {
            let (sum, n) = factor(graph, of)?;
            let (p, q) = zipped(graph, sum, Zip::Add)?;
            let cubic = if p == x { q } else { p };
            let mut parts = Vec::new();
            let third = factors(graph, cubic, 3, &mut parts);
            let cube = parts[..] == [x, x, x]
                || (parts.len() == 2 && parts.contains(&x) && {
                    let other = if parts[0] == x { parts[1] } else { parts[0] };
                    mapped(graph, other) == Some((Map::Square, x))
                })
                || (parts.len() == 1 && cubed(graph, parts[0]) == Some(x));
            let scale = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
            let fits = (p == x || q == x) && near(n, scale) && near(third, 0.044_715);
            (fits && cube).then_some((x, Map::GeluTanh))
        }
        _ => None,
    }
}

#[expect(clippy::float_cmp, reason = "exponents are whole")]
fn cubed(graph: &mut Rewriter<'_>, x: Input) -> Option<Input> {
    let (base, exponent) = zipped(graph, x, Zip::Power)?;
    (graph.number(exponent)? == 3.0).then_some(base)
}

/// `1 + f(x)`.
fn mapped_sum(graph: &mut Rewriter<'_>, x: Input) -> Option<(Map, Input)> {
    let (value, one) = with_number(graph, x, Zip::Add)?;
    let (map, of) = mapped(graph, value)?;
    (near(one, 1.0) && matches!(map, Map::Erf | Map::Tanh)).then_some((map, of))
}

/// `max(x, a * x)` for `a` from 0 to 1.
fn leaky(graph: &mut Rewriter<'_>, x: Input, scaled: Input) -> Option<(Input, Map)> {
    if let Some((Map::LeakyRelu { alpha }, of)) = mapped(graph, scaled)
        && of == x
        && (0.0..=1.0).contains(&alpha)
    {
        return Some((x, Map::LeakyRelu { alpha }));
    }
    let (of, alpha) = factor(graph, scaled)?;
    let alpha = single(alpha)?;
    (of == x && (0.0..=1.0).contains(&alpha)).then_some((x, Map::LeakyRelu { alpha }))
}

/// A mean over the trailing dimensions from `axis` on, kept with extent 1.
fn mean(graph: &Rewriter<'_>, x: Input) -> Option<(Input, u8)> {
    let (ArrayOp::Reduce(Reduce { kind: ReduceKind::Mean, axes, keep: true }), inputs) =
        graph.writer(x)?
    else {
        return None;
    };
    let rank = graph.array(inputs[0])?.dims.len();
    let axis = axes.trailing_zeros();
    let trailing = (u16::from(axes) >> axis) + 1 == 1 << (u32::try_from(rank).ok()? - axis);
    trailing.then_some((inputs[0], u8::try_from(axis).ok()?))
}

/// `(x - mean) / √(variance + ε)`, the root perhaps as a factor.
fn normalised(graph: &mut Rewriter<'_>, node: &Node, a: Input, b: Input) -> Option<Input> {
    let Op::Array(ArrayOp::Zip(zip)) = node.op else { return None };
    let root = |graph: &Rewriter<'_>, x: Input| -> Option<Input> {
        let (map, of) = mapped(graph, x)?;
        match (zip, map) {
            (Zip::Divide, Map::Sqrt) | (Zip::Multiply, Map::Rsqrt) => Some(of),
            (Zip::Multiply, Map::Reciprocal) => match mapped(graph, of)? {
                (Map::Sqrt, of) => Some(of),
                _ => None,
            },
            _ => None,
        }
    };
    let (centred, sum) = match (root(graph, b), root(graph, a)) {
        (Some(sum), _) => (a, sum),
        (None, Some(sum)) if zip == Zip::Multiply => (b, sum),
        _ => return None,
    };
    let (variance, eps) = with_number(graph, sum, Zip::Add)?;
    let (squares, axis) = mean(graph, variance)?;
    let of = match graph.writer(squares)? {
        (ArrayOp::Map(Map::Square), inputs) => inputs[0],
        (ArrayOp::Zip(Zip::Multiply), inputs) if inputs[0] == inputs[1] => inputs[0],
        (ArrayOp::Zip(Zip::Power), inputs) => {
            let (base, exponent) = (inputs[0], inputs[1]);
            near(graph.number(exponent)?, 2.0).then_some(base)?
        }
        _ => return None,
    };
    let eps = single(eps)?;
    if of != centred {
        return None;
    }
    // Without a mean it is the root mean square alone.
    let (x, rms) = match zipped(graph, centred, Zip::Subtract) {
        Some((x, average)) if mean(graph, average) == Some((x, axis)) => (x, false),
        _ => (centred, true),
    };
    graph.push(ArrayOp::Normalise { axis, eps, rms }, [x]).map(Input::Value)
}

/// A normalisation that still takes a scale or a term of these extents.
fn open(graph: &Rewriter<'_>, x: Input, constant: Input) -> Option<(ArrayOp, Vec<Input>)> {
    let (op, inputs) = graph.sole_writer(x)?;
    let ArrayOp::Normalise { axis, .. } = op else { return None };
    let (of, constant) = (graph.array(x)?, graph.array(constant)?);
    let trailing = constant.dims.len() <= of.dims.len() - usize::from(axis);
    (super::rewrite::is_weight(*inputs.first()?) || trailing).then_some((op, inputs))
}

/// `normalise(x) * scale`.
fn scaled(graph: &mut Rewriter<'_>, a: Input, b: Input) -> Option<Input> {
    let (x, scale) = if super::rewrite::is_weight(b) { (a, b) } else { (b, a) };
    let (op, mut inputs) = open(graph, x, scale)?;
    if !super::rewrite::is_weight(scale) || inputs.len() > 1 {
        return None;
    }
    inputs.push(scale);
    graph.push(op, inputs).map(Input::Value)
}

/// `normalise(x) + term`.
fn shifted(graph: &mut Rewriter<'_>, a: Input, b: Input) -> Option<Input> {
    let (x, term) = if super::rewrite::is_weight(b) { (a, b) } else { (b, a) };
    let (op, mut inputs) = open(graph, x, term)?;
    if !super::rewrite::is_weight(term) || inputs.len() > 2 {
        return None;
    }
    inputs.resize(2, Input::Absent);
    inputs.push(term);
    graph.push(op, inputs).map(Input::Value)
}

/// `x + x * s` with a smaller `s`: `x * (s + 1)`, which reads `x` once.
fn more(graph: &mut Rewriter<'_>, node: &Node, a: Input, b: Input) -> Option<Input> {
    let parts = |graph: &Rewriter<'_>, x: Input, product: Input| {
        let (ArrayOp::Zip(Zip::Multiply), inputs) = graph.sole_writer(product)? else {
            return None;
        };
        match inputs[..] {
            [p, q] if p == x => Some(q),
            [p, q] if q == x => Some(p),
            _ => None,
        }
    };
    let (x, small) = match (parts(graph, a, b), parts(graph, b, a)) {
        (Some(small), _) => (a, small),
        (None, Some(small)) => (b, small),
        (None, None) => return None,
    };
    let elements = |graph: &Rewriter<'_>, x| graph.array(x)?.dims.elements();
    let dims = graph.array(x)?.dims;
    if elements(graph, small)? >= dims.elements()?
        || graph.array(node.output.into())?.dims != dims
        || graph.sole_writer(small).is_none()
    {
        return None;
    }
    let one = graph.one(graph.array(x)?.dtype)?;
    let factor = graph.push(ArrayOp::Zip(Zip::Add), [small, one])?;
    graph.push(ArrayOp::Zip(Zip::Multiply), [x, factor.into()]).map(Input::Value)
}
