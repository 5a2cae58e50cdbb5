//! Operators that are in no format's list: how a file uses one, as whoever registered it sees it.
//!
//! A registered operator runs in a stage of its own, between what comes before it and what reads
//! its results; types and extents are known when the network is imported, elements only in a run.

use super::{Builder, Fault, HostError, Origin, Port, Tensor, tensor::Source};
use crate::tflite::Scale;
use std::collections::BTreeMap;
use tensor::{DType, Shape};

/// One use of a registered operator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Call {
    /// The operator's name: a custom operator's own in TFLite, `domain.Name` in ONNX.
    pub name: String,
    /// What messages call the node.
    pub node: String,
    /// Its settings as one piece of bytes, as TFLite has them.
    pub options: Vec<u8>,
    /// Its settings by name, as ONNX has them.
    pub attributes: BTreeMap<String, Setting>,
    /// The operands; none where one is left out.
    pub operands: Vec<Option<Operand>>,
    /// What the file says of each result.
    pub results: Vec<Declared>,
}

/// A setting of an operator.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f32),
    /// A text.
    Text(String),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// Numbers.
    Floats(Vec<f32>),
}

/// Type and extents of an operand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operand {
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost first.
    pub dims: Shape,
    /// What whole numbers stand for, if the file says it.
    pub scale: Option<Scale>,
}

/// What a file says of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Declared {
    /// Element type; none where the file does not say.
    pub dtype: Option<DType>,
    /// What whole numbers stand for, if the file says it.
    pub scale: Option<Scale>,
}

impl Builder<'_> {
    /// Whether an operator of this name was registered.
    pub fn knows(&self, name: &str) -> bool {
        self.host.knows(name)
    }

    /// What a registered operator gives. `call` holds all but the node and the operands' types.
    ///
    /// # Errors
    /// If it does not take the operands, or what comes before it cannot be run.
    pub fn custom(
        &mut self,
        mut call: Call,
        operands: &[Option<&Tensor>],
    ) -> Result<Vec<Tensor>, Fault> {
        self.count(1)?;
        call.node.clone_from(&self.node);
        for (place, operand) in operands.iter().enumerate() {
            let scale = call.operands.get(place).copied().flatten().and_then(|given| given.scale);
            let known = operand.map(|x| Operand { dtype: x.dtype, dims: x.dims, scale });
            match call.operands.get_mut(place) {
                Some(slot) => *slot = known,
                None => call.operands.push(known),
            }
        }
        let results = self.host.results(&call)?;
        if results.len() < call.results.len() {
            let (have, need) = (results.len(), call.results.len());
            return Err(Fault::invalid(format!("gives {have} results, the file reads {need}")));
        }
        for (dtype, dims) in &results {
            self.room(super::builder::size(*dtype, dims)? / dtype.bytes(), *dtype)?;
        }
        let stage = self.cut();
        match self.host.run(stage, &[]) {
            // A host that only plans runs nothing, and here it need not.
            Ok(_) | Err(HostError::Pending) => {}
            Err(error) => return Err(error.into()),
        }
        let port = |tensor: &Tensor| match &tensor.source {
            Source::Constant(constant) => Port::Constant(constant.clone()),
            Source::Live(live) => Port::Live(live.home.get().unwrap_or(Origin::Input(0))),
        };
        let ports = operands.iter().map(|operand| operand.map(port)).collect();
        self.host.call(call, ports, &results)?;
        let stage = self.stages;
        self.stages += 1;
        let live = |(output, (dtype, dims)): (usize, (DType, Shape))| {
            if dims.contains(&0) {
                return Tensor::constant(dtype, dims, []);
            }
            self.live(dtype, dims, None, Some(Origin::Stage { stage, output }))
        };
        Ok(results.into_iter().enumerate().map(live).collect())
    }
}
