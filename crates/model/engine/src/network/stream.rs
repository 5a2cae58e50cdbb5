//! Networks with state: variables of the file, and outputs of one run that are inputs of the next.
//!
//! Pairs are found by name (`state` and `stateN`, `h` and `hn`, `past_key_values.*` and
//! `present.*`) where types agree, or named by the caller. Such a state begins
//! as zeros; variables begin as the file says.

use super::{Array, Network};
use crate::error::EngineError;
use import::onnx::{self, Declared, Extent};
use plan::Uncontrolled;
use tensor::{Shape, TensorRef};

/// Names that are no pair.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` and `{output}` are no state: {reason}")]
pub struct StreamError {
    /// The input.
    pub input: String,
    /// The output.
    pub output: String,
    /// Why not.
    pub reason: &'static str,
}

/// A network whose states are carried from run to run.
#[derive(Debug)]
pub struct Stream<'n> {
    network: &'n Network,
    pairs: Vec<Pair>,
    variables: Vec<Array>,
}

#[derive(Debug)]
struct Pair {
    input: String,
    output: String,
    state: Option<Array>,
}

impl Network {
    /// Runs that carry states along, with the pairs that names tell.
    pub fn stream(&self) -> Stream<'_> {
        let pairs = self.inputs().iter().filter_map(|input| {
            let output = self.outputs().iter().find(|output| is_pair(input, output))?;
            let (input, output) = (input.name.clone(), output.name.clone());
            Some(Pair { input, output, state: None })
        });
        Stream { network: self, pairs: pairs.collect(), variables: self.first.clone() }
    }
}

/// Whether names and types say that an output is an input of the next run.
fn is_pair(input: &Declared, output: &Declared) -> bool {
    let suffixed = ["N", "n", "_out", "_new", "_next", "new"]
        .iter()
        .any(|suffix| output.name.strip_suffix(suffix) == Some(&input.name));
    let cached = input
        .name
        .strip_prefix("past_key_values.")
        .is_some_and(|rest| output.name.strip_prefix("present.") == Some(rest));
    let fits = |a: &Extent, b: &Extent| match (a, b) {
        (Extent::Fixed(a), Extent::Fixed(b)) => a == b,
        _ => true,
    };
    let same = match (&input.dims, &output.dims) {
        (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| fits(a, b)),
        _ => true,
    };
    (suffixed || cached) && same && input.element == output.element
}

impl Stream<'_> {
    /// Makes an output of each run an input of the next.
    ///
    /// # Errors
    /// If there is no such input or output, or their types differ.
    pub fn bind_state(&mut self, input: &str, output: &str) -> Result<(), StreamError> {
        let error = |reason| {
            Err(StreamError { input: input.to_owned(), output: output.to_owned(), reason })
        };
        let Some(from) = self.network.inputs().iter().find(|known| known.name == input) else {
            return error("there is no such input");
        };
        let Some(to) = self.network.outputs().iter().find(|known| known.name == output) else {
            return error("there is no such output");
        };
        if from.element != to.element {
            return error("their types differ");
        }
        self.pairs.retain(|pair| pair.input != input);
        self.pairs.push(Pair { input: input.to_owned(), output: output.to_owned(), state: None });
        Ok(())
    }

    /// The pairs of inputs and outputs that are carried.
    pub fn states(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|pair| (pair.input.as_str(), pair.output.as_str()))
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        self.variables = self.network.first.clone();
        for pair in &mut self.pairs {
            pair.state = None;
        }
    }

    /// Runs with these inputs and the states of the run before; gives all outputs.
    ///
    /// # Errors
    /// As [`Network::run`]; the states are then as they were.
    pub fn run(
        &mut self,
        inputs: &[(&str, TensorRef<'_>)],
    ) -> Result<Vec<(String, Array)>, EngineError> {
        for pair in &mut self.pairs {
            if pair.state.is_none() {
                pair.state = zeros(self.network, &pair.input);
            }
        }
        let mut all = inputs.to_vec();
        for pair in &self.pairs {
            if let Some(state) = &pair.state
                && inputs.iter().all(|(name, _)| *name != pair.input)
            {
                all.push((&pair.input, state.view()));
            }
        }
        let lent = self.network.lend_from(&all, &self.variables, &Uncontrolled)?;
        let (outputs, variables) = (lent.to_arrays(), lent.variables());
        self.variables = variables;
        for pair in &mut self.pairs {
            if let Some((_, array)) = outputs.iter().find(|(name, _)| *name == pair.output) {
                pair.state = Some(array.clone());
            }
        }
        Ok(outputs)
    }
}

/// A state before the first run: free extents are 1, a growing axis begins empty.
fn zeros(network: &Network, input: &str) -> Option<Array> {
    let declared = network.inputs().iter().find(|declared| declared.name == input)?;
    let dtype = onnx::stored_as(declared.element?)?;
    let is_cache = input.starts_with("past_key_values.");
    let dims: Vec<u64> = declared
        .dims
        .as_ref()?
        .iter()
        .enumerate()
        .map(|(i, dim)| match dim {
            Extent::Fixed(n) => *n,
            Extent::Named(_) | Extent::Free if is_cache && i > 0 => 0,
            Extent::Named(_) | Extent::Free => 1,
        })
        .collect();
    let elements = Shape::new(&dims)?.elements()?.checked_mul(dtype.bytes())?;
    Array::new(dtype, &dims, vec![0; usize::try_from(elements).ok()?]).ok()
}
