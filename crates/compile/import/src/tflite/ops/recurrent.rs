//! Cells that remember: their states are tensors of the file that outlive a run.
//!
//! An LSTM without bounds and projection is `ArrayOp::Recurrent` over all steps; one with them goes step by
//! step. Formulas are those of `TFLite`'s kernels (`lstm_eval`, `svdf`, `basic_rnn`); real numbers only.

use super::{
    super::importer::{Halt, Importer},
    Call, Value,
    elementwise::activate,
};
use crate::network::{Builder, Fault, Tensor};
use formats::tflite::options::{self, Activation};
use plan::{
    ArrayOp,
    array::{Cell, Direction, Map, Recurrent, ReduceKind, Zip},
};
use tensor::DType;

/// The most steps that are taken one by one.
const STEPS_MAX: u64 = 1 << 12;

type Results = Result<Vec<Value>, Halt>;

/// Operand `i`, of real numbers.
fn real(b: &mut Builder<'_>, call: &Call<'_>, i: usize) -> Result<Tensor, Fault> {
    optional(b, call, i)?.ok_or_else(|| Fault::invalid(format!("input {i} is missing")))
}

fn optional(b: &mut Builder<'_>, call: &Call<'_>, i: usize) -> Result<Option<Tensor>, Fault> {
    let Some(array) = call.optional(i)? else { return Ok(None) };
    if array.dtype() != DType::F32 {
        return Err(Fault::unsupported(format!("a recurrent cell with {}", array.dtype())));
    }
    Ok(Some(array.tensor(b)?))
}

/// Remembers a state, which is operand `i`.
fn remember(
    importer: &mut Importer<'_, '_>,
    call: &Call<'_>,
    i: usize,
    value: Tensor,
) -> Result<(), Fault> {
    let idx = call.operator.inputs.get(i).copied().flatten();
    let place = idx.and_then(|idx| importer.held(call.graph, usize::try_from(idx).ok()?));
    let none = || Fault::unsupported("a state that is no variable of the first graph");
    importer.variables.assign(place.ok_or_else(none)?, value)
}

/// `x · wᵀ`.
fn product(b: &mut Builder<'_>, x: &Tensor, w: &Tensor) -> Result<Tensor, Fault> {
    if w.rank() != 2 {
        return Err(Fault::invalid(format!("weights of {}", w.dims)));
    }
    let w = b.swap(w, 0, 1)?;
    b.matmul(x, &w)
}

/// Filters over what the last steps gave: features first, then time.
pub(super) fn svdf<'a>(importer: &mut Importer<'a, '_>, call: &Call<'a>) -> Results {
    let options = options::Svdf::read(&call.operator.options)?;
    let b = &mut importer.builder;
    let (x, features, time) = (real(b, call, 0)?, real(b, call, 1)?, real(b, call, 2)?);
    let (bias, state) = (optional(b, call, 3)?, real(b, call, 4)?);
    let bad = || Fault::invalid(format!("filters of {} and {}", features.dims, time.dims));
    let (&[batch, _], &[filters, memory]) = (&*x.dims, &*time.dims) else {
        return Err(bad().into());
    };
    let rank = u64::try_from(options.rank).ok().filter(|&rank| rank > 0).ok_or_else(bad)?;
    if filters % rank != 0 || memory == 0 {
        return Err(bad().into());
    }
    let held = b.reshape(&state, &[batch, filters, memory])?;
    let new = product(b, &x, &features)?;
    let new = b.reshape(&new, &[batch, filters, 1])?;
    let old = b.slice(&held, 2, 1, memory - 1, 1)?;
    let held = b.concat(&[old, new], 2)?;
    let parts = b.mul(&held, &time)?;
    let sums = b.reduce(ReduceKind::Sum, &parts, &[2], false)?;
    let sums = b.reshape(&sums, &[batch, filters / rank, rank])?;
    let mut result = b.reduce(ReduceKind::Sum, &sums, &[2], false)?;
    if let Some(bias) = bias {
        result = b.add(&result, &bias)?;
    }
    let result = activate(b, result, options.activation)?;
    let held = b.reshape(&held, &state.dims)?;
    remember(importer, call, 4, held)?;
    Ok(vec![result.into()])
}

/// The function of an activation.
fn function(activation: Activation) -> Result<Map, Fault> {
    Ok(match activation {
        Activation::Relu => Map::Relu,
        Activation::ReluN1To1 => Map::Clamp { low: -1.0, high: 1.0 },
        Activation::Relu6 => Map::Relu6,
        Activation::Tanh => Map::Tanh,
        // No bounds.
        Activation::None => Map::Clamp { low: f32::NEG_INFINITY, high: f32::INFINITY },
        Activation::SignBit => return Err(Fault::unsupported("the activation SIGN_BIT")),
    })
}

/// What is cut out of all steps: the hidden states, and the last of those and of the cells.
fn steps(
    b: &mut Builder<'_>,
    (op, all): (Recurrent, [Option<&Tensor>; 8]),
    batch_first: bool,
) -> Result<(Tensor, Vec<Tensor>), Fault> {
    let states = b.apply(ArrayOp::Recurrent(op), &all)?;
    let &[kinds, time, _, batch, hidden] = &*states.dims else {
        return Err(Fault::invalid("a cell without states"));
    };
    let mut last = Vec::new();
    for kind in 0..kinds {
        let one = b.slice(&states, 0, kind, 1, 1)?;
        let one = b.slice(&one, 1, time.saturating_sub(1), 1, 1)?;
        last.push(b.reshape(&one, &[batch, hidden])?);
    }
    let all = b.slice(&states, 0, 0, 1, 1)?;
    let all = b.reshape(&all, &[time, batch, hidden])?;
    Ok((if batch_first { b.swap(&all, 0, 1)? } else { all }, last))
}

/// Steps, batch and features of a sequence with time first.
fn sequence(b: &mut Builder<'_>, x: &Tensor, time_major: bool) -> Result<Tensor, Fault> {
    match x.rank() {
        3 if time_major => Ok(x.clone()),
        3 => b.swap(x, 0, 1),
        2 => b.reshape(x, &[1, x.dims[0], x.dims[1]]),
        _ => Err(Fault::invalid(format!("a sequence of {}", x.dims))),
    }
}

pub(super) fn rnn<'a>(importer: &mut Importer<'a, '_>, call: &Call<'a>) -> Results {
    let activation = options::Rnn::read(&call.operator.options)?.activation;
    simple(importer, call, true, activation)
}

pub(super) fn sequence_rnn<'a>(importer: &mut Importer<'a, '_>, call: &Call<'a>) -> Results {
    let options = options::SequenceRnn::read(&call.operator.options)?;
    simple(importer, call, options.time_major, options.activation)
}

fn simple<'a>(
    importer: &mut Importer<'a, '_>,
    call: &Call<'a>,
    time_major: bool,
    activation: Activation,
) -> Results {
    let b = &mut importer.builder;
    let (x, w, r) = (real(b, call, 0)?, real(b, call, 1)?, real(b, call, 2)?);
    let (bias, state) = (real(b, call, 3)?, real(b, call, 4)?);
    let flat = x.rank() == 2;
    let x = sequence(b, &x, time_major)?;
    let (op, w, r) = (cell(Cell::Rnn, &r, [function(activation)?; 3])?, lead(b, &w)?, lead(b, &r)?);
    let nothing = b.filled(DType::F32, &bias.dims, 0.0)?;
    let bias = b.concat(&[bias, nothing], 0)?;
    let (bias, first) = (lead(b, &bias)?, lead(b, &state)?);
    let all = [Some(&x), Some(&w), Some(&r), Some(&bias), None, Some(&first), None, None];
    let (mut result, mut last) = steps(b, (op, all), !time_major)?;
    if flat {
        result = b.reshape(&result, &state.dims)?;
    }
    if let Some(hidden) = last.pop() {
        remember(importer, call, 4, hidden)?;
    }
    Ok(vec![result.into()])
}

/// A cell of one direction, as wide as the recurrent weights `[gates, hidden]`.
fn cell(cell: Cell, r: &Tensor, [a, b, c]: [Map; 3]) -> Result<Recurrent, Fault> {
    let hidden = u32::try_from(r.dims.last()).map_err(|_| Fault::invalid("a state too wide"))?;
    let activations = [a, b, c, a, b, c];
    Ok(Recurrent { cell, direction: Direction::Forward, hidden, clip: None, activations })
}

/// With a leading dimension: of the one direction.
fn lead(b: &mut Builder<'_>, x: &Tensor) -> Result<Tensor, Fault> {
    let mut dims = vec![1];
    dims.extend(x.dims.iter());
    b.reshape(x, &dims)
}

/// The settings of an LSTM.
struct Settings {
    time_major: bool,
    activation: Activation,
    cell_clip: f32,
    projection_clip: f32,
}

pub(super) fn lstm<'a>(importer: &mut Importer<'a, '_>, call: &Call<'a>) -> Results {
    let options = options::Lstm::read(&call.operator.options)?;
    if options.kernel != options::LstmKernel::Full {
        return Err(Fault::unsupported("one weight for all gates").into());
    }
    let options::Lstm { activation, cell_clip, projection_clip, .. } = options;
    gated(importer, call, &Settings { time_major: true, activation, cell_clip, projection_clip })
}

pub(super) fn sequence_lstm<'a>(importer: &mut Importer<'a, '_>, call: &Call<'a>) -> Results {
    let options = options::SequenceLstm::read(&call.operator.options)?;
    if options.diagonal_recurrent {
        return Err(Fault::unsupported("diagonal weights").into());
    }
    let options::SequenceLstm { activation, cell_clip, projection_clip, time_major, .. } = options;
    gated(importer, call, &Settings { time_major, activation, cell_clip, projection_clip })
}

/// Places of the operands, in the order of gates: input, forget, cell, output.
const W: usize = 1;
const R: usize = 5;
const PEEPHOLE: usize = 9;
const BIAS: usize = 12;
const PROJECTION: usize = 16;
const HIDDEN: usize = 18;
const CELLS: usize = 19;
const NORM: usize = 20;

/// Weights of one gate.
struct Gate {
    w: Tensor,
    r: Tensor,
    peephole: Option<Tensor>,
    bias: Option<Tensor>,
}

impl Gate {
    /// Gate `i`; the input's is the forget's turned round where it is left out: what is not forgotten.
    fn of(b: &mut Builder<'_>, call: &Call<'_>, i: usize) -> Result<Self, Fault> {
        let coupled = i == 0 && call.optional(W)?.is_none();
        let from = if coupled { 1 } else { i };
        let peephole = match from {
            2 => None,
            3 => optional(b, call, PEEPHOLE + 2)?,
            from => optional(b, call, PEEPHOLE + from)?,
        };
        let own = Self {
            w: real(b, call, W + from)?,
            r: real(b, call, R + from)?,
            peephole,
            bias: optional(b, call, BIAS + from)?,
        };
        if !coupled {
            return Ok(own);
        }
        let mut negate = |x: Tensor| b.map(Map::Negate, &x);
        Ok(Self {
            w: negate(own.w)?,
            r: negate(own.r)?,
            peephole: own.peephole.map(&mut negate).transpose()?,
            bias: own.bias.map(negate).transpose()?,
        })
    }

    /// What the gate's function is applied to.
    fn sum(&self, b: &mut Builder<'_>, [x, h, c]: [&Tensor; 3]) -> Result<Tensor, Fault> {
        let (own, held) = (product(b, x, &self.w)?, product(b, h, &self.r)?);
        let mut sum = b.add(&own, &held)?;
        if let Some(peephole) = &self.peephole {
            let seen = b.mul(c, peephole)?;
            sum = b.add(&sum, &seen)?;
        }
        match &self.bias {
            Some(bias) => b.add(&sum, bias),
            None => Ok(sum),
        }
    }
}

fn gated<'a>(importer: &mut Importer<'a, '_>, call: &Call<'a>, settings: &Settings) -> Results {
    let b = &mut importer.builder;
    for i in NORM..NORM + 4 {
        if optional(b, call, i)?.is_some() {
            return Err(Fault::unsupported("gates that are normalised").into());
        }
    }
    let x = real(b, call, 0)?;
    let flat = x.rank() == 2;
    let x = sequence(b, &x, settings.time_major)?;
    let (h, c) = (real(b, call, HIDDEN)?, real(b, call, CELLS)?);
    let mut gates = Vec::with_capacity(4);
    for i in 0..4 {
        gates.push(Gate::of(b, call, i)?);
    }
    let projection = optional(b, call, PROJECTION)?;
    let plain = projection.is_none() && settings.cell_clip <= 0.0;
    let (result, h, c) = if plain {
        together(b, &x, &gates, (&h, &c), function(settings.activation)?)?
    } else {
        let shift = optional(b, call, PROJECTION + 1)?;
        apart(b, &x, &gates, (h, c), (projection.as_ref(), shift.as_ref()), settings)?
    };
    let result = match (flat, settings.time_major) {
        (true, _) => b.reshape(&result, &h.dims)?,
        (false, true) => result,
        (false, false) => b.swap(&result, 0, 1)?,
    };
    remember(importer, call, HIDDEN, h)?;
    remember(importer, call, CELLS, c)?;
    Ok(vec![result.into()])
}

/// All steps by one operator, whose gates stand as input, output, forget, cell.
fn together(
    b: &mut Builder<'_>,
    x: &Tensor,
    gates: &[Gate],
    (h, c): (&Tensor, &Tensor),
    activation: Map,
) -> Result<(Tensor, Tensor, Tensor), Fault> {
    let order = [0, 3, 1, 2];
    let hidden = gates[1].r.dims.last();
    let none = b.filled(DType::F32, &[hidden], 0.0)?;
    let each = |of: &dyn Fn(&Gate) -> Tensor, order: &[usize]| -> Vec<Tensor> {
        order.iter().map(|&i| of(&gates[i])).collect()
    };
    let w = b.concat(&each(&|gate| gate.w.clone(), &order), 0)?;
    let r = b.concat(&each(&|gate| gate.r.clone(), &order), 0)?;
    let mut biases = each(&|gate| gate.bias.clone().unwrap_or_else(|| none.clone()), &order);
    biases.extend(vec![none.clone(); 4]);
    let bias = b.concat(&biases, 0)?;
    let has_peepholes = gates.iter().any(|gate| gate.peephole.is_some());
    let peepholes = each(&|gate| gate.peephole.clone().unwrap_or_else(|| none.clone()), &[0, 3, 1]);
    let peepholes = b.concat(&peepholes, 0)?;
    let op = cell(Cell::Lstm { input_forget: false }, &r, [Map::Sigmoid, activation, activation])?;
    let (w, r, bias) = (lead(b, &w)?, lead(b, &r)?, lead(b, &bias)?);
    let (h, c, peepholes) = (lead(b, h)?, lead(b, c)?, lead(b, &peepholes)?);
    let peepholes = has_peepholes.then_some(&peepholes);
    let all = [Some(x), Some(&w), Some(&r), Some(&bias), None, Some(&h), Some(&c), peepholes];
    let (result, last) = steps(b, (op, all), false)?;
    match <[Tensor; 2]>::try_from(last) {
        Ok([h, c]) => Ok((result, h, c)),
        Err(_) => Err(Fault::invalid("an LSTM has two states")),
    }
}

/// Step by step, with bounds and a projection.
fn apart(
    b: &mut Builder<'_>,
    x: &Tensor,
    gates: &[Gate],
    (mut h, mut c): (Tensor, Tensor),
    (projection, shift): (Option<&Tensor>, Option<&Tensor>),
    settings: &Settings,
) -> Result<(Tensor, Tensor, Tensor), Fault> {
    let &[time, batch, features] = &*x.dims else {
        return Err(Fault::invalid(format!("a sequence of {}", x.dims)));
    };
    if time > STEPS_MAX {
        return Err(Fault::unsupported(format!("more than {STEPS_MAX} steps with bounds")));
    }
    let clipped = |b: &mut Builder<'_>, x: Tensor, most: f32| {
        if most > 0.0 { b.map(Map::Clamp { low: -most, high: most }, &x) } else { Ok(x) }
    };
    let mut all = Vec::new();
    for step in 0..time {
        let now = b.slice(x, 0, step, 1, 1)?;
        let now = b.reshape(&now, &[batch, features])?;
        let sum =
            |b: &mut Builder<'_>, i: usize, h: &Tensor, c: &Tensor| gates[i].sum(b, [&now, h, c]);
        let (input, forget) = (sum(b, 0, &h, &c)?, sum(b, 1, &h, &c)?);
        let (input, forget) = (b.map(Map::Sigmoid, &input)?, b.map(Map::Sigmoid, &forget)?);
        let new = sum(b, 2, &h, &c)?;
        let new = activate(b, new, settings.activation)?;
        let (kept, new) = (b.mul(&forget, &c)?, b.mul(&input, &new)?);
        let cells = b.zip(Zip::Add, &kept, &new)?;
        c = clipped(b, cells, settings.cell_clip)?;
        let output = sum(b, 3, &h, &c)?;
        let output = b.map(Map::Sigmoid, &output)?;
        let shown = activate(b, c.clone(), settings.activation)?;
        h = b.mul(&output, &shown)?;
        if let Some(projection) = projection {
            h = product(b, &h, projection)?;
            if let Some(shift) = shift {
                h = b.add(&h, shift)?;
            }
            h = clipped(b, h, settings.projection_clip)?;
        }
        all.push(lead(b, &h)?);
    }
    Ok((b.concat(&all, 0)?, h, c))
}
