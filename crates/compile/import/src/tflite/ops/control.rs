//! Operators that run other graphs (the one that a condition names, or one again and again), and
//! those on variables, which outlive a run.

use super::{
    super::importer::{Halt, Importer},
    Call, Value,
};
use crate::network::Fault;
use formats::tflite::options;

/// The most turns of one loop.
const TURNS_MAX: u64 = 1 << 20;

fn place(idx: i32) -> Result<usize, Fault> {
    usize::try_from(idx).map_err(|_| Fault::invalid(format!("there is no graph {idx}")))
}

fn values(call: &Call<'_>, first: usize) -> Result<Vec<Value>, Fault> {
    let list = call.inputs.get(first..).unwrap_or_default();
    let missing = || Fault::invalid("an input is missing");
    list.iter().map(|value| value.clone().ok_or_else(missing)).collect()
}

/// Whether a condition holds; it is made known.
fn holds(importer: &mut Importer<'_, '_>, value: &Value) -> Result<bool, Fault> {
    let Value::Array(array) = value else {
        return Err(Fault::invalid("the condition is no array"));
    };
    let tensor = array.tensor(&mut importer.builder)?;
    match &*importer.builder.bytes(&tensor)? {
        [one] => Ok(*one != 0),
        list => Err(Fault::invalid(format!("a condition of {} bytes", list.len()))),
    }
}

pub(super) fn conditional<'a>(
    importer: &mut Importer<'a, '_>,
    call: &Call<'a>,
) -> Result<Vec<Value>, Halt> {
    let options = options::If::read(&call.operator.options)?;
    let condition = Value::from(call.array(0)?.clone());
    let chosen =
        if holds(importer, &condition)? { options.then_subgraph } else { options.else_subgraph };
    importer.graph(place(chosen)?, values(call, 1)?).map_err(Halt::Network)
}

pub(super) fn repeat<'a>(
    importer: &mut Importer<'a, '_>,
    call: &Call<'a>,
) -> Result<Vec<Value>, Halt> {
    let options = options::While::read(&call.operator.options)?;
    let (condition, body) = (place(options.condition_subgraph)?, place(options.body_subgraph)?);
    let mut state = values(call, 0)?;
    for _ in 0..TURNS_MAX {
        let answer = importer.graph(condition, state.clone()).map_err(Halt::Network)?;
        let answer = answer.first().ok_or_else(|| Fault::invalid("the condition gives nothing"))?;
        if !holds(importer, answer)? {
            return Ok(state);
        }
        state = importer.graph(body, state).map_err(Halt::Network)?;
    }
    Err(Fault::invalid(format!("a loop takes more than {TURNS_MAX} turns")).into())
}

/// Which variable an operator names.
pub(super) fn variable<'a>(
    importer: &mut Importer<'a, '_>,
    call: &Call<'a>,
) -> Result<Vec<Value>, Halt> {
    let (container, name) = options::variable(&call.operator.options)?;
    Ok(vec![Value::Variable(importer.variables.place(container, name)?)])
}

fn named(call: &Call<'_>) -> Result<usize, Fault> {
    match call.inputs.first() {
        Some(Some(Value::Variable(place))) => Ok(*place),
        _ => Err(Fault::invalid("the first input is no variable")),
    }
}

pub(super) fn read<'a>(
    importer: &mut Importer<'a, '_>,
    call: &Call<'a>,
) -> Result<Vec<Value>, Halt> {
    Ok(vec![importer.variables.read(named(call)?)?.into()])
}

pub(super) fn assign<'a>(
    importer: &mut Importer<'a, '_>,
    call: &Call<'a>,
) -> Result<Vec<Value>, Halt> {
    let value = call.tensor(&mut importer.builder, 1)?;
    importer.variables.assign(named(call)?, value)?;
    Ok(Vec::new())
}

/// Runs the graph that gives variables their first values, unless that was done before the run.
pub(super) fn once<'a>(
    importer: &mut Importer<'a, '_>,
    call: &Call<'a>,
) -> Result<Vec<Value>, Halt> {
    let options = options::CallOnce::read(&call.operator.options)?;
    if importer.variables.is_beginning() {
        importer.graph(place(options.init_subgraph)?, Vec::new()).map_err(Halt::Network)?;
    }
    Ok(Vec::new())
}
