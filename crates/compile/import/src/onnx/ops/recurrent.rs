//! LSTM, GRU and RNN: operands as ONNX has them, results in its order.

use super::{
    super::call::{Call, Outputs, many},
    index::reverse,
};
use crate::network::{Builder, Fault, Tensor};
use plan::{
    ArrayOp,
    array::{Cell, Direction, Map, Recurrent, Zip},
};
use tensor::DType;

pub(super) fn lstm(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    lstm_of(b, call, [call.tensor(1)?, call.tensor(2)?])
}

/// An LSTM with these weights for the input and for the state, `[directions, 4 * hidden, from]`.
pub(super) fn lstm_of(b: &mut Builder<'_>, call: &Call<'_>, weights: [&Tensor; 2]) -> Outputs {
    let input_forget = call.flag("input_forget", false)?;
    run(b, call, weights, Cell::Lstm { input_forget }, &["Sigmoid", "Tanh", "Tanh"])
}

pub(super) fn gru(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let linear_before_reset = call.flag("linear_before_reset", false)?;
    let weights = [call.tensor(1)?, call.tensor(2)?];
    run(b, call, weights, Cell::Gru { linear_before_reset }, &["Sigmoid", "Tanh"])
}

pub(super) fn rnn(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    run(b, call, [call.tensor(1)?, call.tensor(2)?], Cell::Rnn, &["Tanh"])
}

/// An activation by ONNX's name, with its parameters' defaults.
fn activation(name: &str, alpha: Option<f32>, beta: Option<f32>) -> Result<Map, Fault> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "sigmoid" => Map::Sigmoid,
        "tanh" => Map::Tanh,
        "relu" => Map::Relu,
        "softplus" => Map::Softplus,
        "softsign" => Map::Softsign,
        "leakyrelu" => Map::LeakyRelu { alpha: alpha.unwrap_or(0.01) },
        "thresholdedrelu" => Map::ThresholdedRelu { alpha: alpha.unwrap_or(1.0) },
        "hardsigmoid" => {
            Map::HardSigmoid { alpha: alpha.unwrap_or(0.2), beta: beta.unwrap_or(0.5) }
        }
        "elu" => Map::Elu { alpha: alpha.unwrap_or(1.0) },
        _ => return Err(Fault::unsupported(format!("activation `{name}`"))),
    })
}

fn activations(call: &Call<'_>, defaults: &[&str], directions: usize) -> Result<[Map; 6], Fault> {
    let names = call.texts("activations")?;
    let alphas = call.floats("activation_alpha")?.unwrap_or_default();
    let betas = call.floats("activation_beta")?.unwrap_or_default();
    let names = names.unwrap_or_else(|| defaults.repeat(directions));
    let gates = defaults.len();
    if names.len() != gates * directions {
        return Err(Fault::invalid(format!("{} activations", names.len())));
    }
    let list: Vec<Map> = names
        .iter()
        .enumerate()
        .map(|(i, name)| activation(name, alphas.get(i).copied(), betas.get(i).copied()))
        .collect::<Result<_, _>>()?;
    let mut out = [list[0]; 6];
    for direction in 0..2 {
        for gate in 0..3 {
            let from = direction.min(directions - 1) * gates;
            out[direction * 3 + gate] = if gate < gates { list[from + gate] } else { list[from] };
        }
    }
    Ok(out)
}

fn run(
    b: &mut Builder<'_>,
    call: &Call<'_>,
    [w, r]: [&Tensor; 2],
    cell: Cell,
    defaults: &[&str],
) -> Outputs {
    let batch_first = call.flag("layout", false)?;
    let is_lstm = matches!(cell, Cell::Lstm { .. });
    call.int("output_sequence", 1)?;
    let x = call.tensor(0)?;
    if x.rank() != 3 {
        return Err(Fault::invalid(format!("must have 3 dimensions, has {}", x.dims)));
    }
    let time_first = |b: &mut Builder<'_>, x: &Tensor| {
        if batch_first { b.swap(x, 0, 1) } else { Ok(x.clone()) }
    };
    let x = time_first(b, x)?;
    let direction = match call.text("direction", "forward")? {
        "forward" => Direction::Forward,
        "reverse" => Direction::Reverse,
        "bidirectional" => Direction::Both,
        other => return Err(Fault::invalid(format!("direction `{other}`"))),
    };
    let directions = if direction == Direction::Both { 2 } else { 1 };
    let hidden = call.int("hidden_size", r.dims.dims().last().map_or(0, |n| n.cast_signed()))?;
    let clip = call.float("clip", 0.0)?;
    let op = Recurrent {
        cell,
        direction,
        hidden: u32::try_from(hidden).map_err(|_| Fault::invalid("hidden_size"))?,
        clip: (clip > 0.0).then_some(clip),
        activations: activations(call, defaults, directions)?,
    };
    let lengths = call.optional(4)?.map(|lengths| b.ints(lengths)).transpose()?;
    let steps = x.dims.first().copied().unwrap_or(0);
    // Lengths that are all whole sequences say nothing.
    let lengths = lengths.filter(|list| list.iter().any(|&n| n.cast_unsigned() != steps));
    let known = match &lengths {
        Some(list) => {
            let list = b.integers(&[list.len() as u64], list)?;
            Some(b.cast(&list, DType::I32)?)
        }
        None => None,
    };
    let mut state = |i: usize| match call.optional(i)? {
        Some(state) => time_first(b, state).map(Some),
        None => Ok(None),
    };
    let h0 = state(5)?;
    let (c0, peepholes) = if is_lstm { (state(6)?, call.optional(7)?) } else { (None, None) };
    let operands = [
        Some(&x),
        Some(w),
        Some(r),
        call.optional(3)?,
        known.as_ref(),
        h0.as_ref(),
        c0.as_ref(),
        peepholes,
    ];
    let all = b.apply(ArrayOp::Recurrent(op), &operands)?;
    let &[_, t, d, n, h] = &all.dims[..] else {
        return Err(Fault::invalid(format!("a result of {}", all.dims)));
    };
    let mut last = |which: u64| {
        let part = b.slice(&all, 0, which, 1, 1)?;
        let part = b.slice(&part, 1, t.saturating_sub(1), 1, 1)?;
        let part = b.reshape(&part, &[d, n, h])?;
        time_first(b, &part)
    };
    let final_h = last(0)?;
    let final_c = if is_lstm { Some(last(1)?) } else { None };
    let y = b.slice(&all, 0, 0, 1, 1)?;
    let y = b.reshape(&y, &[t, d, n, h])?;
    let y = in_order(b, &y, direction, lengths.as_deref())?;
    let y = if batch_first { b.transpose(&y, &[2, 0, 1, 3])? } else { y };
    match final_c {
        Some(c) => many([y, final_h, c]),
        None => many([y, final_h]),
    }
}

/// Steps of a direction's own order in the order of the input, zero beyond each length.
fn in_order(
    b: &mut Builder<'_>,
    y: &Tensor,
    direction: Direction,
    lengths: Option<&[i64]>,
) -> Result<Tensor, Fault> {
    let steps = y.dims[0];
    let mut parts = Vec::new();
    for d in 0..y.dims[1] {
        let part = b.slice(y, 1, d, 1, 1)?;
        let backwards = direction == Direction::Reverse || d == 1;
        let part = match lengths {
            _ if !backwards => part,
            None => b.slice(&part, 0, steps.saturating_sub(1), steps, -1)?,
            Some(lengths) => {
                // [t, 1, n, h]: sequences stand in dimension 2.
                let flat = b.squeeze(&part, &[1])?;
                let turned = reverse(b, &flat, (0, 1), lengths)?;
                b.unsqueeze(&turned, 1)?
            }
        };
        parts.push(part);
    }
    let y = b.concat(&parts, 1)?;
    let Some(lengths) = lengths else { return Ok(y) };
    b.room(steps, DType::I64)?;
    let time: Vec<i64> = (0..steps.cast_signed()).collect();
    let time = b.integers(&[steps, 1, 1, 1], &time)?;
    let ends = b.integers(&[lengths.len() as u64, 1], lengths)?;
    let inside = b.zip(Zip::Less, &time, &ends)?;
    let zero = b.scalar(y.dtype, 0.0);
    b.select(&inside, &y, &zero)
}
