//! What is quantised: its codes from the codes that it was computed from.

use super::Codes;
use crate::passes::rewrite::{Rewriter, is_weight};
use crate::{Input, Node};
use alloc::{vec, vec::Vec};
use plan::ArrayOp;
use plan::array::{CodePairs, Map, Requant, Rounding, Scaled, Zip};
use tensor::DType;

/// Functions in a row that become one table at most.
const CHAIN_MAX: usize = 16;

/// The codes that are wanted.
#[derive(Clone, Copy)]
struct Wanted {
    scale: Input,
    zero: Input,
    of: Scaled,
    low: i32,
    high: i32,
    to: DType,
}

/// The least and the greatest code of a type of one byte.
const fn limits(dtype: DType) -> Option<(i32, i32)> {
    match dtype {
        DType::I8 => Some((-128, 127)),
        DType::U8 => Some((0, 255)),
        _ => None,
    }
}

/// `Quantize` of something that is made of codes.
pub(super) fn quantise(graph: &mut Rewriter<'_>, node: &Node, to: DType) -> Option<Input> {
    let (low, high) = limits(to)?;
    let (scale, zero) = (*node.inputs.get(1)?, *node.inputs.get(2).unwrap_or(&Input::Absent));
    let dims = graph.array(node.output.into())?.dims;
    let target = Codes { x: node.output.into(), dtype: to, dims, scale, zero, axis: 0 };
    let constant = is_weight(scale) && (is_weight(zero) || zero == Input::Absent);
    if !constant || !target.is_even(graph)? {
        return None;
    }
    let of = target.scaled(graph)?;
    converted(graph, *node.inputs.first()?, &Wanted { scale, zero, of, low, high, to })
}

/// The codes of `x`, in the scale that is wanted.
fn converted(graph: &mut Rewriter<'_>, x: Input, wanted: &Wanted) -> Option<Input> {
    if let Some(found) = scaled(graph, x, wanted) {
        return Some(found);
    }
    let (op, inputs) = graph.writer(x)?;
    let inputs = inputs.to_vec();
    match op {
        ArrayOp::Map(map @ (Map::Relu | Map::Relu6 | Map::Clamp { .. })) => {
            converted(graph, inputs[0], &wanted.within(map)?)
        }
        ArrayOp::Reshape { .. } | ArrayOp::View(_) => {
            let codes = converted(graph, inputs[0], wanted)?;
            graph.push(op, [codes]).map(Input::Value)
        }
        ArrayOp::Concat { .. } => {
            let parts = inputs.iter().map(|&part| converted(graph, part, wanted));
            let parts: Vec<Input> = parts.collect::<Option<_>>()?;
            graph.push(op, parts).map(Input::Value)
        }
        ArrayOp::Zip(zip @ (Zip::Add | Zip::Subtract | Zip::Multiply)) => {
            table(graph, x, wanted).or_else(|| pair(graph, zip, &inputs, wanted))
        }
        _ => table(graph, x, wanted),
    }
}

impl Wanted {
    /// Within the bounds that a function keeps.
    fn within(&self, map: Map) -> Option<Self> {
        let (low, high) = match map {
            Map::Relu => (0.0, f32::INFINITY),
            Map::Relu6 => (0.0, 6.0),
            Map::Clamp { low, high } => (low, high),
            _ => return None,
        };
        let code = |x: f32| {
            let steps = nearest(x / self.of.scale);
            steps.saturating_add(self.of.zero).clamp(self.low, self.high)
        };
        let (low, high) = (code(low), code(high));
        (low <= high).then_some(Self { low, high, ..*self })
    }
}

/// The nearest whole number, halves to even.
#[expect(clippy::cast_possible_truncation, reason = "`as` clamps, which is what is wanted")]
fn nearest(x: f32) -> i32 {
    let whole = x as i32;
    let rest = f64::from(x) - f64::from(whole);
    let up = rest.abs() > 0.5 || (rest.abs() >= 0.5 && whole % 2 != 0);
    if up { whole.saturating_add(if rest > 0.0 { 1 } else { -1 }) } else { whole }
}

/// Codes, or sums of products of codes, in another scale.
fn scaled(graph: &mut Rewriter<'_>, x: Input, wanted: &Wanted) -> Option<Input> {
    let codes = Codes::of(graph, x)?;
    if is_weight(codes.x) {
        return None;
    }
    if codes.dtype != DType::I32 {
        let even = codes.is_even(graph)?;
        let same = even
            && codes.dtype == wanted.to
            && limits(wanted.to) == Some((wanted.low, wanted.high))
            && codes.scaled(graph)? == wanted.of;
        return if same { Some(codes.x) } else { looked_up(graph, &codes, &[], wanted) };
    }
    if codes.zero != Input::Absent {
        return None;
    }
    let factor = graph.derive(ArrayOp::Zip(Zip::Divide), &[codes.scale, wanted.scale])?;
    let factor = graph.derive(ArrayOp::Cast { to: DType::F64, saturate: true }, &[factor])?;
    let axis = u8::try_from(codes.axis).ok()?;
    let op = Requant { axis, ..wanted.requant(wanted.of.zero) };
    graph.push(ArrayOp::Requant(op), [codes.x, factor]).map(Input::Value)
}

impl Wanted {
    /// How scaled sums become codes.
    const fn requant(&self, zero: i32) -> Requant {
        let Self { low, high, to, .. } = *self;
        Requant { rounding: Rounding::Fp32Even, axis: 0, zero, low, high, to }
    }
}

/// A function of one element, and the place of the element among its operands.
type Link = (ArrayOp, usize, Vec<Input>);

/// Functions of each element behind codes, as one table.
fn table(graph: &mut Rewriter<'_>, x: Input, wanted: &Wanted) -> Option<Input> {
    let mut chain: Vec<Link> = Vec::new();
    let mut at = x;
    while chain.len() < CHAIN_MAX {
        let (op, inputs) = graph.writer(at)?;
        let inputs = inputs.to_vec();
        let place = match op {
            ArrayOp::Map(_) => 0,
            ArrayOp::Zip(_) => usize::from(is_weight(inputs[0])),
            _ => break,
        };
        let number = |input: Input| {
            is_weight(input) && graph.array(input).is_some_and(|array| array.dims.is_empty())
        };
        if !inputs.iter().enumerate().all(|(i, &input)| i == place || number(input)) {
            break;
        }
        at = inputs[place];
        if graph.array(at)?.dtype != DType::F32 {
            return None;
        }
        chain.push((op, place, inputs));
    }
    if chain.is_empty() {
        return None;
    }
    let codes = Codes::even_bytes(graph, at)?;
    chain.reverse();
    looked_up(graph, &codes, &chain, wanted)
}

/// The table of what becomes of each code, and what it gives.
fn looked_up(
    graph: &mut Rewriter<'_>,
    codes: &Codes,
    chain: &[Link],
    wanted: &Wanted,
) -> Option<Input> {
    if is_weight(codes.x) || !codes.is_even(graph)? {
        return None;
    }
    let with_zero = |x: Input, scale: Input, zero: Input| {
        if zero == Input::Absent { vec![x, scale] } else { vec![x, scale, zero] }
    };
    let all = graph.all_codes(codes.dtype)?;
    let real = ArrayOp::Dequantize { axis: 0, block: 0, to: DType::F32 };
    let mut x = graph.derive(real, &with_zero(all, codes.scale, codes.zero))?;
    for (op, place, inputs) in chain {
        let mut inputs = inputs.clone();
        inputs[*place] = x;
        x = graph.derive(*op, &inputs)?;
    }
    let op = ArrayOp::Quantize { axis: 0, block: 0, to: wanted.to, saturate: true };
    let mut table = graph.derive(op, &with_zero(x, wanted.scale, wanted.zero))?;
    if limits(wanted.to) != Some((wanted.low, wanted.high)) {
        let one = graph.constant(DType::F64, 1.0)?;
        table = graph.derive(ArrayOp::Requant(wanted.requant(0)), &[table, one])?;
    }
    graph.push(ArrayOp::Lookup, [codes.x, table]).map(Input::Value)
}

/// A sum, a difference or a product of codes.
fn pair(graph: &mut Rewriter<'_>, zip: Zip, inputs: &[Input], wanted: &Wanted) -> Option<Input> {
    let (a, b) = (*inputs.first()?, *inputs.get(1)?);
    let (a, b) = (Codes::even_bytes(graph, a)?, Codes::even_bytes(graph, b)?);
    let operands = [a.scaled(graph)?, b.scaled(graph)?];
    let Wanted { of, low, high, to, .. } = *wanted;
    let op = CodePairs { zip, operands, result: of, low, high, to };
    graph.push(ArrayOp::CodePairs(op), [a.x, b.x]).map(Input::Value)
}
