//! A network run step by step, with its states carried from each run to the next.
//!
//! An input with one dimension more than the network takes holds a step in each row; the others are the
//! same in all of them. Outputs are stacked likewise; those that are states are not given.

use crate::failure::{Failure, Result};
use engine::Network;
use ledge::{Array, NetworkStream};
use std::borrow::Cow;

/// Ties outputs to inputs that names do not tell.
pub(in crate::verbs) fn bind<'a>(
    flags: &'a [String],
    noted: impl Iterator<Item = (&'a str, &'a str)>,
    stream: &mut NetworkStream<'_>,
) -> Result<()> {
    let mut pairs: Vec<(&str, &str)> = noted.collect();
    for flag in flags {
        pairs.push(flag.split_once('=').ok_or_else(|| {
            Failure::usage(format!("`{flag}` names no output"))
                .at("--state")
                .hint("write INPUT=OUTPUT")
        })?);
    }
    for (input, output) in pairs {
        stream.bind_state(input, output).map_err(|error| {
            Failure::usage(&error).at("--state").hint("`ledge inspect` lists inputs and outputs")
        })?;
    }
    Ok(())
}

/// The rows of an input that has one dimension more than is declared.
fn rows(network: &Network, name: &str, array: &Array) -> Option<u64> {
    let declared = network.inputs().iter().find(|declared| declared.name == name)?;
    let rank = declared.dims.as_ref()?.len();
    (array.shape().len() == rank + 1).then(|| array.shape()[0])
}

/// One row of an array.
fn row(array: &Array, place: u64) -> Result<Array> {
    let shape = array.shape();
    let size = array.bytes().len() / usize::try_from(shape[0]).unwrap_or(1).max(1);
    let start = size * usize::try_from(place).unwrap_or(usize::MAX);
    let bytes = array.bytes()[start..start + size].to_vec();
    Array::new(array.dtype(), &shape[1..], bytes).map_err(Failure::usage)
}

/// Runs all steps and gives the stacked outputs.
pub(super) fn run(
    network: &Network,
    inputs: &[(String, Array)],
    states: &[String],
) -> Result<Vec<(String, Array)>> {
    let counts: Vec<Option<u64>> =
        inputs.iter().map(|(name, array)| rows(network, name, array)).collect();
    let mut found = counts.iter().flatten();
    let Some(&count) = found.next().filter(|&&count| count > 0) else {
        return Err(Failure::usage("no input holds steps")
            .at("--steps")
            .hint("give an array with one dimension more than the network takes: [steps, …]"));
    };
    if let Some(other) = found.find(|&&other| other != count) {
        return Err(Failure::usage(format!("inputs hold {count} and {other} steps")).at("--steps"));
    }
    let mut stream = network.stream();
    bind(states, std::iter::empty(), &mut stream)?;
    let carried: Vec<String> = stream.states().map(|(_, output)| output.to_owned()).collect();
    let mut stacked: Vec<(String, Array, Vec<u8>)> = Vec::new();
    for step in 0..count {
        let mut given = Vec::with_capacity(inputs.len());
        for ((name, array), rows) in inputs.iter().zip(&counts) {
            given.push(match rows {
                Some(_) => (name.as_str(), Cow::Owned(row(array, step)?)),
                None => (name.as_str(), Cow::Borrowed(array)),
            });
        }
        let views: Vec<_> = given.iter().map(|(name, array)| (*name, array.view())).collect();
        let outputs = stream.run(&views)?;
        let outputs = outputs.into_iter().filter(|(name, _)| !carried.contains(name));
        for (place, (name, array)) in outputs.enumerate() {
            match stacked.get_mut(place) {
                Some((_, first, bytes)) if first.shape() == array.shape() => {
                    bytes.extend_from_slice(array.bytes());
                }
                Some((name, ..)) => {
                    let what = format!("`{name}` has another shape in step {step}");
                    return Err(Failure::usage(what).at("--steps"));
                }
                None => {
                    let bytes = array.bytes().to_vec();
                    stacked.push((name, array, bytes));
                }
            }
        }
    }
    let whole = |(name, first, bytes): (String, Array, Vec<u8>)| {
        let dims: Vec<u64> = [count].into_iter().chain(first.shape().iter().copied()).collect();
        Ok((name, Array::new(first.dtype(), &dims, bytes).map_err(Failure::usage)?))
    };
    stacked.into_iter().map(whole).collect()
}
