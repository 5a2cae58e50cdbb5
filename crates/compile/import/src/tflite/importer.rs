//! Walks a file's graphs in order, binding tensors to values; branches and loops are entered as
//! what they depend on becomes known.

use super::{
    Network, Profile, constant, label,
    ops::{self, Call, Rule},
    value::{Array, Value},
    variables::{self, Variable, Variables},
};
use crate::{
    network::{Builder, Fault, Host, HostError, Tensor},
    onnx::{Bound, Imported, NetworkError, Output, Unsupported},
};
use formats::tflite::{Model, Operator, SubGraph};
use std::sync::Arc;
use tensor::{DType, Shape};

/// Graphs inside each other.
const DEPTH_MAX: usize = 64;
/// Operators of one import, loops unrolled.
const OPERATORS_MAX: u64 = 1 << 18;

/// The state of one import.
pub(super) struct Importer<'a, 'h> {
    file: &'a [u8],
    pub(super) model: &'a Model<'a>,
    pub(super) builder: Builder<'h>,
    pub(super) variables: Variables<'a, 'a>,
    unsupported: Vec<Unsupported>,
    profile: Profile,
    depth: usize,
    operators: u64,
}

/// Why a graph inside an operator stopped: the operator's own fault, or that of one inside.
pub(super) enum Halt {
    Network(NetworkError),
    Fault(Fault),
}

impl<T: Into<Fault>> From<T> for Halt {
    fn from(fault: T) -> Self {
        Self::Fault(fault.into())
    }
}

/// Type, extents and elements.
type Known = (DType, Shape, Arc<[u8]>);

/// What the graphs of `CALL_ONCE` write into each variable.
pub(super) fn first_values(
    network: &Network<'_>,
    host: &mut dyn Host,
) -> Result<Vec<(String, Option<Known>)>, NetworkError> {
    let variables = Variables::beginning(&network.named);
    let mut importer = Importer::new(network, Profile::default(), Builder::new(host), variables);
    let mut done = Vec::new();
    for (number, node) in variables::beginnings(network.model) {
        if done.contains(&number) {
            continue;
        }
        done.push(number);
        let missing = || {
            let reason = format!("there is no graph {number}");
            NetworkError::Node { node, op: "CALL_ONCE".into(), reason }
        };
        let number = usize::try_from(number).map_err(|_| missing())?;
        importer.graph(number, Vec::new())?;
    }
    importer.check_supported()?;
    let Importer { variables, mut builder, .. } = importer;
    let known = |(name, value): (String, Option<Tensor>)| {
        let Some(value) = value else { return Ok((name, None)) };
        match builder.bytes(&value) {
            Ok(bytes) => Ok((name, Some((value.dtype, value.dims, bytes)))),
            Err(fault) => Err(NetworkError::Structure { node: name, reason: fault.to_string() }),
        }
    };
    variables.finish().map(known).collect()
}

/// Imports the first graph of a network.
pub(super) fn import(
    network: &Network<'_>,
    (bound, variables): (&[Bound], &[Variable]),
    profile: Profile,
    host: &mut dyn Host,
) -> Result<Imported, NetworkError> {
    let mut builder = Builder::new(host);
    let held = Variables::given(&network.named, variables, bound.len(), &mut builder);
    let mut importer = Importer::new(network, profile, builder, held);
    let args = bound
        .iter()
        .enumerate()
        .map(|(place, bound)| Value::from(importer.builder.input(place, bound.dtype, bound.dims)));
    let args: Vec<Value> = args.collect();
    let values = importer.graph(0, args);
    // What is not known comes first: it is why the rest could not be imported.
    importer.check_supported()?;
    let mut results: Vec<(String, Tensor)> = Vec::new();
    for (value, declared) in values?.iter().zip(&network.outputs) {
        let name = declared.name.clone();
        let broken = |reason| NetworkError::Structure { node: declared.name.clone(), reason };
        match value {
            Value::Array(array) => {
                let tensor = array.tensor(&mut importer.builder);
                results.push((name, tensor.map_err(|fault| broken(fault.to_string()))?));
            }
            Value::Variable(_) => return Err(broken("a variable is no output".into())),
            Value::Unknown => {}
        }
    }
    let Importer { builder, variables, .. } = importer;
    results.extend(variables.finish().filter_map(|(name, value)| Some((name, value?))));
    let refs: Vec<&Tensor> = results.iter().map(|(_, tensor)| tensor).collect();
    let (stage, ports) = builder.finish(&refs).map_err(|fault| NetworkError::Structure {
        node: "outputs".into(),
        reason: fault.to_string(),
    })?;
    let outputs = results.iter().zip(ports).map(|((name, tensor), port)| Output {
        name: name.clone(),
        dtype: tensor.dtype,
        narrow: tensor.narrow,
        dims: tensor.dims,
        port,
    });
    Ok(Imported { stage, outputs: outputs.collect() })
}

impl<'a, 'h> Importer<'a, 'h> {
    fn new(
        network: &'a Network<'a>,
        profile: Profile,
        builder: Builder<'h>,
        variables: Variables<'a, 'a>,
    ) -> Self {
        Self {
            file: network.file,
            model: network.model,
            builder,
            variables,
            unsupported: Vec::new(),
            profile,
            depth: 0,
            operators: 0,
        }
    }

    fn check_supported(&mut self) -> Result<(), NetworkError> {
        match std::mem::take(&mut self.unsupported) {
            list if list.is_empty() => Ok(()),
            list => Err(NetworkError::Unsupported(list)),
        }
    }

    /// Runs a graph with these inputs.
    pub(super) fn graph(
        &mut self,
        number: usize,
        args: Vec<Value>,
    ) -> Result<Vec<Value>, NetworkError> {
        let broken =
            |reason: String| NetworkError::Structure { node: format!("graph {number}"), reason };
        let model = self.model;
        let Some(graph) = model.subgraphs.get(number) else {
            return Err(broken("does not exist".into()));
        };
        if args.len() != graph.inputs.len() {
            let (want, have) = (graph.inputs.len(), args.len());
            return Err(broken(format!("is given {have} inputs, takes {want}")));
        }
        if self.depth >= DEPTH_MAX {
            return Err(broken(format!("graphs are nested deeper than {DEPTH_MAX}")));
        }
        let mut values: Vec<Option<Value>> = vec![None; graph.tensors.len()];
        for (slot, value) in graph.inputs.iter().zip(args) {
            if let Some(slot) = values.get_mut(*slot) {
                *slot = Some(value);
            }
        }
        // Values are dropped after their last use, so that no stage keeps what nobody reads.
        let mut last = vec![usize::MAX; graph.tensors.len()];
        for (place, operator) in graph.operators.iter().enumerate() {
            for &idx in operator.inputs.iter().flatten() {
                if let Some(last) = usize::try_from(idx).ok().and_then(|idx| last.get_mut(idx)) {
                    *last = place;
                }
            }
        }
        for &idx in &graph.outputs {
            if let Some(last) = last.get_mut(idx) {
                *last = usize::MAX;
            }
        }
        self.depth += 1;
        for (place, operator) in graph.operators.iter().enumerate() {
            let results = self.operator(graph, operator, &values)?;
            for (idx, value) in operator.outputs.iter().zip(results) {
                let slot = idx.and_then(|idx| values.get_mut(usize::try_from(idx).ok()?));
                if let Some(slot) = slot {
                    *slot = Some(value);
                }
            }
            for idx in operator.inputs.iter().flatten().filter_map(|&i| usize::try_from(i).ok()) {
                if last.get(idx) == Some(&place) {
                    values[idx] = None;
                }
            }
        }
        self.depth -= 1;
        let outputs = graph.outputs.iter().map(|&idx| {
            self.value(graph, idx, &values)
                .map_err(|fault| broken(fault.to_string()))?
                .ok_or_else(|| broken(format!("output {idx} has no value")))
        });
        outputs.collect()
    }

    /// What a tensor holds: what was computed, or the file's constant.
    fn value(
        &self,
        graph: &SubGraph<'a>,
        idx: usize,
        values: &[Option<Value>],
    ) -> Result<Option<Value>, Fault> {
        if let Some(Some(value)) = values.get(idx) {
            return Ok(Some(value.clone()));
        }
        let Some(tensor) = graph.tensors.get(idx) else { return Ok(None) };
        if tensor.is_variable
            && let Some(place) = self.held(graph, idx)
        {
            return Ok(Some(self.variables.read(place)?.into()));
        }
        let constant = constant::constant(self.file, self.model, tensor)?;
        Ok(constant.map(|constant| Array::from(constant).into()))
    }

    /// The place among the variables of a tensor that outlives a run.
    pub(super) fn held(&self, graph: &SubGraph<'a>, idx: usize) -> Option<usize> {
        let first = self.model.subgraphs.first()?;
        if std::ptr::eq(first, graph) { self.variables.place_of(idx) } else { None }
    }

    fn operator(
        &mut self,
        graph: &'a SubGraph<'a>,
        operator: &'a Operator<'a>,
        values: &[Option<Value>],
    ) -> Result<Vec<Value>, NetworkError> {
        let code = self.model.code(operator);
        let node = || label(graph, operator);
        let invalid =
            |reason: String| NetworkError::Node { node: node(), op: code.to_string(), reason };
        self.operators += 1;
        if self.operators > OPERATORS_MAX {
            return Err(invalid(format!("loops unroll to more than {OPERATORS_MAX} operators")));
        }
        let unknown = || vec![Value::Unknown; operator.outputs.len()];
        let result = self.inputs(graph, operator, values).map_err(Halt::Fault);
        let result = result.and_then(|inputs| {
            if inputs.iter().flatten().any(|value| matches!(value, Value::Unknown)) {
                return Ok(unknown());
            }
            self.builder.enter(node());
            let call = Call { graph, operator, inputs, profile: self.profile };
            if let Some(name) = code.name()
                && ops::find(&code).is_none()
                && self.builder.knows(name)
            {
                return Ok(ops::custom(&mut self.builder, name, &call)?);
            }
            match ops::rule(&code, &call)? {
                Rule::Graphs(control) => control(self, &call),
                rule => Ok(rule.apply(&mut self.builder, &call)?),
            }
        });
        match result {
            Ok(values) if values.len() < operator.outputs.len() => {
                Err(invalid(format!("gives {} outputs", values.len())))
            }
            Ok(values) => Ok(values),
            Err(Halt::Network(error)) => Err(error),
            Err(Halt::Fault(Fault::Unsupported(reason))) => {
                self.unsupported.push(Unsupported {
                    op: code.to_string(),
                    version: code.version.into(),
                    node: node(),
                    reason,
                });
                Ok(unknown())
            }
            Err(Halt::Fault(Fault::Invalid(reason) | Fault::Host(HostError::Evaluate(reason)))) => {
                Err(invalid(reason))
            }
            Err(Halt::Fault(Fault::Host(HostError::Pending))) => {
                Err(NetworkError::Pending { node: node(), op: code.to_string() })
            }
            Err(Halt::Fault(Fault::Host(source))) => {
                Err(NetworkError::Host { node: node(), source })
            }
        }
    }

    fn inputs(
        &self,
        graph: &SubGraph<'a>,
        operator: &Operator<'a>,
        values: &[Option<Value>],
    ) -> Result<Vec<Option<Value>>, Fault> {
        let mut inputs = Vec::with_capacity(operator.inputs.len());
        for (i, idx) in operator.inputs.iter().enumerate() {
            let Some(idx) = idx.and_then(|idx| usize::try_from(idx).ok()) else {
                inputs.push(None);
                continue;
            };
            let value = self.value(graph, idx, values)?;
            let unwritten = || Fault::invalid(format!("input {i} is read before it is written"));
            inputs.push(Some(value.ok_or_else(unwritten)?));
        }
        Ok(inputs)
    }
}
