//! Variables: what a network of this format remembers from one run to the next.
//!
//! They are found in the whole file before anything is imported: those that operators name, which are told
//! apart by container and name, and tensors of the first graph that outlive a run. First values come from
//! the graphs of `CALL_ONCE`; what no such graph writes begins as zeros. A run takes them as inputs behind the network's own and gives them back as
//! outputs behind its own, so that whoever runs it decides where they are kept and when they begin
//! anew. Types and extents never change.

use super::{Model, Network, importer, label};
use crate::{
    network::{Builder, Fault, Host, Tensor},
    onnx::NetworkError,
};
use formats::tflite::{Operator, SubGraph, options};
use std::{collections::BTreeMap, sync::Arc};
use tensor::{DType, Shape};

/// A variable with its first value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name; with its container where it has one.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub dims: Shape,
    /// The elements before the first run, little endian.
    pub first: Arc<[u8]>,
}

/// The variables of a file: those that its operators name, in the order in which they stand there, then
/// tensors that are variables themselves, by their places in the first graph.
#[derive(Debug, Default)]
pub(super) struct Named<'a> {
    handles: Vec<(&'a str, &'a str)>,
    tensors: Vec<(usize, &'a str)>,
}

impl<'a> Named<'a> {
    /// Finds them. What cannot be read here is told when it is imported.
    pub(super) fn of(model: &Model<'a>) -> Self {
        let mut list = Vec::new();
        for graph in &model.subgraphs {
            for operator in operators(model, graph, "VAR_HANDLE") {
                if let Ok(name) = options::variable(&operator.options)
                    && !list.contains(&name)
                {
                    list.push(name);
                }
            }
        }
        let tensors = model.subgraphs.first().map_or(&[][..], |graph| &graph.tensors);
        let tensors = tensors.iter().enumerate().filter(|(_, tensor)| tensor.is_variable);
        Self { handles: list, tensors: tensors.map(|(idx, tensor)| (idx, tensor.name)).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.handles.len() + self.tensors.len()
    }

    fn name(&self, place: usize) -> String {
        match self.handles.get(place) {
            None => match self.tensors.get(place.saturating_sub(self.handles.len())) {
                None => String::new(),
                Some((idx, "")) => format!("state {idx}"),
                Some((_, name)) => (*name).to_owned(),
            },
            Some(("", name)) => (*name).to_owned(),
            Some((container, name)) => format!("{container}/{name}"),
        }
    }
}

fn operators<'m, 'a>(
    model: &'m Model<'a>,
    graph: &'m SubGraph<'a>,
    name: &'static str,
) -> impl Iterator<Item = &'m Operator<'a>> {
    graph.operators.iter().filter(move |operator| model.code(operator).name() == Some(name))
}

/// The values of variables while operators are walked.
#[derive(Debug)]
pub(super) struct Variables<'n, 'a> {
    named: &'n Named<'a>,
    values: Vec<Option<Tensor>>,
    /// Whether first values are being found.
    is_beginning: bool,
}

impl<'n, 'a> Variables<'n, 'a> {
    /// None has a value.
    pub(super) fn beginning(named: &'n Named<'a>) -> Self {
        Self { named, values: vec![None; named.len()], is_beginning: true }
    }

    /// With the values of inputs behind the first `inputs` ones.
    pub(super) fn given(
        named: &'n Named<'a>,
        list: &[Variable],
        inputs: usize,
        builder: &mut Builder<'_>,
    ) -> Self {
        let value = |(i, variable): (usize, &Variable)| {
            Some(builder.input(inputs + i, variable.dtype, variable.dims))
        };
        let values = list.iter().enumerate().map(value).collect();
        Self { named, values, is_beginning: false }
    }

    pub(super) fn is_beginning(&self) -> bool {
        self.is_beginning
    }

    pub(super) fn place(&self, container: &str, name: &str) -> Result<usize, Fault> {
        let found = self.named.handles.iter().position(|known| *known == (container, name));
        found.ok_or_else(|| Fault::invalid(format!("there is no variable `{name}`")))
    }

    /// The place of a tensor of the first graph, if it is a variable.
    pub(super) fn place_of(&self, tensor: usize) -> Option<usize> {
        let found = self.named.tensors.iter().position(|(idx, _)| *idx == tensor);
        Some(self.named.handles.len() + found?)
    }

    pub(super) fn read(&self, place: usize) -> Result<Tensor, Fault> {
        let unwritten = || {
            let name = self.named.name(place);
            Fault::invalid(format!("the variable `{name}` is read before it is written"))
        };
        self.values.get(place).cloned().flatten().ok_or_else(unwritten)
    }

    pub(super) fn assign(&mut self, place: usize, value: Tensor) -> Result<(), Fault> {
        let name = || self.named.name(place);
        let unknown = || Fault::invalid("there is no such variable");
        let slot = self.values.get_mut(place).ok_or_else(unknown)?;
        if let Some(held) = slot
            && (held.dtype, held.dims) != (value.dtype, value.dims)
        {
            let (from, to) = (held.dims, value.dims);
            return Err(Fault::unsupported(format!(
                "the variable `{}` changes from {} {from} to {} {to}",
                name(),
                held.dtype,
                value.dtype
            )));
        }
        *slot = Some(value);
        Ok(())
    }

    /// The values after the run.
    pub(super) fn finish(self) -> impl Iterator<Item = (String, Option<Tensor>)> {
        let named = self.named;
        self.values.into_iter().enumerate().map(|(place, value)| (named.name(place), value))
    }
}

/// The first values of all variables of a network.
pub(super) fn first(
    network: &Network<'_>,
    host: &mut dyn Host,
) -> Result<Vec<Variable>, NetworkError> {
    if network.named.len() == 0 {
        return Ok(Vec::new());
    }
    let mut declared = types(network);
    let mut list = Vec::new();
    for (place, (name, value)) in importer::first_values(network, host)?.into_iter().enumerate() {
        list.push(match (value, declared.remove(&place)) {
            (Some((dtype, dims, first)), _) => Variable { name, dtype, dims, first },
            (None, Some((dtype, dims))) => {
                let bytes = dims.elements().and_then(|n| n.checked_mul(dtype.bytes()));
                let bytes = bytes.filter(|&n| n <= VARIABLE_BYTES_MAX);
                let Some(bytes) = bytes.and_then(|n| usize::try_from(n).ok()) else {
                    let reason = format!("a variable of {dims}");
                    return Err(NetworkError::Structure { node: name, reason });
                };
                Variable { name, dtype, dims, first: vec![0; bytes].into() }
            }
            (None, None) => {
                let reason = "a variable that nothing reads or writes".into();
                return Err(NetworkError::Structure { node: name, reason });
            }
        });
    }
    Ok(list)
}

/// The largest variable that may begin as zeros.
const VARIABLE_BYTES_MAX: u64 = 1 << 28;

/// Types of variables as the tensors say that operators read or write.
fn types(network: &Network<'_>) -> BTreeMap<usize, (DType, Shape)> {
    let (model, named) = (network.model, &network.named);
    let mut found = BTreeMap::new();
    for (place, (idx, _)) in named.tensors.iter().enumerate() {
        let tensor = model.subgraphs.first().and_then(|graph| graph.tensors.get(*idx));
        if let Some(tensor) = tensor
            && let (Some(dtype), Some(dims)) = (tensor.ty.dtype(), Shape::new(&tensor.shape))
        {
            found.insert(named.handles.len() + place, (dtype, dims));
        }
    }
    for graph in &model.subgraphs {
        let mut holders = BTreeMap::new();
        for operator in operators(model, graph, "VAR_HANDLE") {
            let name = options::variable(&operator.options).ok();
            let place = name.and_then(|name| named.handles.iter().position(|known| *known == name));
            if let (Some(place), Some(Some(idx))) = (place, operator.outputs.first()) {
                holders.insert(*idx, place);
            }
        }
        let reads = operators(model, graph, "READ_VARIABLE")
            .map(|operator| (operator, operator.outputs.first().copied().flatten()));
        let writes = operators(model, graph, "ASSIGN_VARIABLE")
            .map(|operator| (operator, operator.inputs.get(1).copied().flatten()));
        for (operator, idx) in reads.chain(writes) {
            let holder = operator.inputs.first().copied().flatten();
            let place = holder.and_then(|holder| holders.get(&holder));
            let tensor = idx.and_then(|idx| graph.tensors.get(usize::try_from(idx).ok()?));
            if let (Some(&place), Some(tensor)) = (place, tensor)
                && let (Some(dtype), Some(dims)) = (tensor.ty.dtype(), Shape::new(&tensor.shape))
            {
                found.entry(place).or_insert((dtype, dims));
            }
        }
    }
    found
}

/// The operators that run graphs of first values, with what messages call them.
pub(super) fn beginnings<'m, 'a>(
    model: &'m Model<'a>,
) -> impl Iterator<Item = (i32, String)> + use<'m, 'a> {
    model.subgraphs.iter().flat_map(move |graph| {
        operators(model, graph, "CALL_ONCE").filter_map(move |operator| {
            let options = options::CallOnce::read(&operator.options).ok()?;
            Some((options.init_subgraph, label(graph, operator)))
        })
    })
}
