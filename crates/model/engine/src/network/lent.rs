//! Outputs of a run where they lie: lent to the caller until the next run.
//!
//! Who runs a network again and again reads its outputs here, and nothing is copied or allocated.

use super::{Array, Binding};
use std::sync::MutexGuard;
use tensor::TensorRef;

/// The outputs of a run, in the file's order; the network is not run while they are looked at.
#[derive(Debug)]
pub struct Lent<'n> {
    /// The last binding is the one that ran.
    bindings: MutexGuard<'n, Vec<Binding>>,
    /// Outputs of the file; behind them are the variables' new values.
    declared: usize,
}

impl<'n> Lent<'n> {
    pub(super) fn new(bindings: MutexGuard<'n, Vec<Binding>>, declared: usize) -> Self {
        Self { bindings, declared }
    }

    fn binding(&self) -> &Binding {
        self.bindings.last().expect("what ran is kept")
    }

    /// Number of outputs.
    pub fn len(&self) -> usize {
        self.binding().outputs.len().min(self.declared)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The output of this name.
    pub fn get(&self, name: &str) -> Option<TensorRef<'_>> {
        let outputs = &self.binding().outputs[..self.len()];
        let place = outputs.iter().position(|output| output.name == name)?;
        self.binding().view(place)
    }

    /// All outputs with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, TensorRef<'_>)> {
        let binding = self.binding();
        let outputs = binding.outputs.iter().enumerate().take(self.len());
        outputs.filter_map(|(place, output)| Some((output.name.as_str(), binding.view(place)?)))
    }

    /// Copies of all outputs with their names.
    pub fn to_arrays(&self) -> Vec<(String, Array)> {
        self.arrays(0..self.len())
    }

    /// Copies of the variables' new values.
    pub(super) fn variables(&self) -> Vec<Array> {
        let all = self.arrays(self.len()..self.binding().outputs.len());
        all.into_iter().map(|(_, array)| array).collect()
    }

    fn arrays(&self, range: std::ops::Range<usize>) -> Vec<(String, Array)> {
        let binding = self.binding();
        let copy = |place: usize| {
            let output = &binding.outputs[place];
            let bytes = binding.elements(place).unwrap_or_default().to_vec();
            let array = Array::of_parts(output.dtype, output.narrow, output.dims, bytes);
            (output.name.clone(), array)
        };
        range.map(copy).collect()
    }
}
