//! Emits operators, or computes them at once where all operands are known.
//!
//! A result is computed here if it is small beside its operands or small at all; a constant
//! whose elements are all equal stays one number whatever its extents; an array without elements
//! is known by definition. Constants become weights of the stage when a node reads them.

use super::{
    Constant, Fault, Host, HostError, Narrow, Numbers, Origin, Port, Stage, Stored, Tensor,
    budget::Budget,
    tensor::{Live, Source},
    values::encode,
};
use graph::{Input, Type, ValueId, ops::array::Array};
use plan::{ArrayOp, Dim, Op, Weight, WeightId};
use std::{
    cell::Cell,
    collections::HashMap,
    rc::{Rc, Weak},
    sync::Arc,
};
use tensor::{DType, Shape, TensorRef, TensorType};

/// Results up to this size are computed when they can be.
const FOLD_BYTES: u64 = 64 << 10;
/// Results of at most this multiple of their operands too.
const FOLD_FACTOR: u64 = 2;
/// Turned matrices of a file from this size on are left to the passes, which turn them while a backend
/// packs them: they need not be read before.
const LATER_BYTES: u64 = 256 << 10;
/// Inputs up to this many elements may become part of the binding.
const BOUND_ELEMENTS: u64 = 64;
/// The largest constant that a network gives out.
const CONSTANT_BYTES: u64 = 1 << 31;

/// Builds the stages of one network for one binding.
pub struct Builder<'h> {
    pub(super) host: &'h mut dyn Host,
    stage: Stage,
    /// Stages that were given away.
    pub(super) stages: usize,
    lives: Vec<Weak<Live>>,
    /// Weights of this stage by what they hold.
    weights: HashMap<Key, Input>,
    names: usize,
    budget: Budget,
    /// What messages call the file's node that is being imported.
    pub(super) node: String,
}

/// What makes two constants one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// The memory, which a clone of the constant keeps.
    Bytes(usize, DType, Shape),
    Stored(Stored, DType, Shape),
    Splat([u8; 8], DType, Shape),
}

impl std::fmt::Debug for Builder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("stages", &self.stages).finish_non_exhaustive()
    }
}

impl<'h> Builder<'h> {
    /// Begins with an empty stage.
    pub fn new(host: &'h mut dyn Host) -> Self {
        Self {
            host,
            stage: Stage::default(),
            stages: 0,
            lives: Vec::new(),
            weights: HashMap::new(),
            names: 0,
            budget: Budget::default(),
            node: String::new(),
        }
    }

    /// Names the file's node that operators come from until the next one.
    pub fn enter(&mut self, node: String) {
        self.node = node;
    }

    /// An input of the network.
    pub fn input(&mut self, place: usize, dtype: DType, dims: Shape) -> Tensor {
        if dims.contains(&0) {
            return Tensor::constant(dtype, dims, []);
        }
        self.live(dtype, dims, None, Some(Origin::Input(place)))
    }

    pub(super) fn live(
        &mut self,
        dtype: DType,
        dims: Shape,
        here: Option<ValueId>,
        home: Option<Origin>,
    ) -> Tensor {
        let live = Rc::new(Live { here: Cell::new(here), home: Cell::new(home) });
        self.lives.push(Rc::downgrade(&live));
        Tensor { dtype, narrow: None, dims, source: Source::Live(live) }
    }

    /// The result of an operator: computed now if everything is known, else by a node.
    ///
    /// # Errors
    /// If the operands do not fit the operator.
    pub fn apply(&mut self, op: ArrayOp, operands: &[Option<&Tensor>]) -> Result<Tensor, Fault> {
        self.budget.operator()?;
        let (dtype, dims) = result(&op, operands)?;
        self.check_indices(&op, operands)?;
        if let (ArrayOp::Reshape { .. }, Some(Some(x))) = (&op, operands.first()) {
            if x.dims == dims {
                return Ok((*x).clone());
            }
            if let Source::Constant(constant) = &x.source {
                return Ok(Tensor::of(dtype, dims, constant.clone()).narrowed(x.narrow));
            }
        }
        if let (ArrayOp::View(view), Some(Some(x))) = (&op, operands.first())
            && view.offset == 0
            && dims == x.dims
            && view.strides[..] == contiguous(&dims)[..]
        {
            return Ok((*x).clone());
        }
        if let Some(known) = self.fold(&op, operands, dtype, dims)? {
            return Ok(known);
        }
        if dims.contains(&0) {
            return Ok(Tensor::constant(dtype, dims, []));
        }
        let mut inputs = Vec::with_capacity(operands.len());
        for operand in operands {
            inputs.push(match operand {
                Some(tensor) => self.operand(tensor)?,
                None => Input::Absent,
            });
        }
        if indexes(&op) {
            self.stage.indexed.push((op.name(), self.node.clone()));
        }
        let value = self.stage.graph.push(Op::Array(op), inputs, None)?;
        Ok(self.live(dtype, dims, Some(value), None))
    }

    /// Refuses known indices that are outside of what they point into: a run would find them, but
    /// not the node's name.
    fn check_indices(&mut self, op: &ArrayOp, operands: &[Option<&Tensor>]) -> Result<(), Fault> {
        let (&[Some(x), Some(index), ..], true) = (operands, indexes(op)) else { return Ok(()) };
        if !self.is_known(index) || index.bytes() > FOLD_BYTES {
            return Ok(());
        }
        let rows = matches!(op, ArrayOp::GatherNd { .. } | ArrayOp::ScatterNd { .. });
        let (axis, width) = match *op {
            ArrayOp::Gather { axis, .. }
            | ArrayOp::GatherElements { axis }
            | ArrayOp::ScatterElements { axis, .. } => (usize::from(axis), 1),
            ArrayOp::GatherNd { batch } => (usize::from(batch), index.dims.last()),
            _ => (0, index.dims.last()),
        };
        let width = if rows { usize::try_from(width).unwrap_or(1).max(1) } else { 1 };
        for (place, number) in self.ints(index)?.into_iter().enumerate() {
            let extent = x.dims.get(axis + place % width).copied().unwrap_or(1).cast_signed();
            if number >= extent || number < -extent {
                let reason = format!("index {number} is outside of {extent} elements");
                return Err(Fault::invalid(reason));
            }
        }
        Ok(())
    }

    /// The result if it is known without a run.
    fn fold(
        &mut self,
        op: &ArrayOp,
        operands: &[Option<&Tensor>],
        dtype: DType,
        dims: Shape,
    ) -> Result<Option<Tensor>, Fault> {
        let mut splats = true;
        let (mut bytes, mut repeated) = (0u64, 0u64);
        for operand in operands.iter().flatten() {
            match &operand.source {
                Source::Constant(Constant::Splat(_)) => {
                    repeated = repeated.saturating_add(operand.bytes());
                }
                Source::Constant(_) => {
                    splats &= operand.elements() == 1;
                    bytes = bytes.saturating_add(operand.bytes());
                }
                Source::Live(_) => return Ok(None),
            }
        }
        // Weights stay codes, so that passes find them: what they stand for is computed later.
        if let (ArrayOp::Dequantize { .. }, Some(Some(x))) = (op, operands.first())
            && x.elements() > 1
            && !dims.contains(&0)
        {
            return Ok(None);
        }
        let splats = splats && !dims.contains(&0);
        let elementwise = matches!(
            op,
            ArrayOp::Map(_) | ArrayOp::Zip(_) | ArrayOp::Select | ArrayOp::Cast { .. }
        );
        if splats && matches!(op, ArrayOp::View(_)) && operands.first().is_some_and(Option::is_some)
        {
            let x = operands[0].expect("the operand is there");
            return Ok(Some(Tensor::of(dtype, dims, Constant::Splat(self.first(x)?))));
        }
        if splats && elementwise {
            let ones: Vec<Tensor> = operands
                .iter()
                .flatten()
                .map(|x| {
                    let one = self.first(x)?;
                    let bytes = one[..width(x.dtype)].to_vec();
                    Ok::<_, Fault>(Tensor::constant(x.dtype, Shape::SCALAR, bytes))
                })
                .collect::<Result<_, _>>()?;
            let ones: Vec<Option<&Tensor>> = ones.iter().map(Some).collect();
            let one = self.evaluate(op, &ones, dtype, Shape::SCALAR)?;
            let mut splat = [0; 8];
            splat[..one.len()].copy_from_slice(&one);
            return Ok(Some(Tensor::of(dtype, dims, Constant::Splat(splat))));
        }
        if let (ArrayOp::View(_), [Some(x)], 2) = (op, operands, dims.len())
            && let Source::Constant(Constant::Stored(_)) = x.source
            && x.bytes() >= LATER_BYTES
        {
            return Ok(None);
        }
        let size = size(dtype, &dims)?;
        let most = FOLD_BYTES.max(bytes.saturating_mul(FOLD_FACTOR));
        if size > most || repeated > most {
            return Ok(None);
        }
        for operand in operands.iter().flatten() {
            if let Source::Constant(Constant::Stored(stored)) = &operand.source {
                self.budget.read(stored);
            }
        }
        let operations = work(op, operands, dtype, dims).saturating_add(bytes / 8);
        if !self.budget.affords(size, operations) {
            return Ok(None);
        }
        let bytes = self.evaluate(op, operands, dtype, dims)?;
        Ok(Some(Tensor::constant(dtype, dims, bytes)))
    }

    fn evaluate(
        &mut self,
        op: &ArrayOp,
        operands: &[Option<&Tensor>],
        dtype: DType,
        dims: Shape,
    ) -> Result<Vec<u8>, Fault> {
        let mut held = Vec::with_capacity(operands.len());
        for operand in operands {
            held.push(match operand {
                Some(tensor) => Some((self.bytes(tensor)?, *tensor)),
                None => None,
            });
        }
        let mut refs = Vec::with_capacity(held.len());
        for entry in &held {
            refs.push(match entry {
                Some((bytes, tensor)) => {
                    let view = TensorRef::new(tensor.dtype.into(), tensor.dims, bytes);
                    Some(view.map_err(|error| Fault::invalid(error.to_string()))?)
                }
                None => None,
            });
        }
        Ok(self.host.evaluate(op, &refs, (dtype, dims))?)
    }

    /// The bytes of the first element.
    fn first(&mut self, tensor: &Tensor) -> Result<[u8; 8], Fault> {
        match &tensor.source {
            Source::Constant(Constant::Splat(bytes)) => Ok(*bytes),
            Source::Constant(_) | Source::Live(_) => {
                let bytes = self.bytes(tensor)?;
                let mut out = [0; 8];
                let len = width(tensor.dtype).min(bytes.len());
                out[..len].copy_from_slice(&bytes[..len]);
                Ok(out)
            }
        }
    }

    /// Whether the elements are known without a run.
    pub fn is_known(&self, tensor: &Tensor) -> bool {
        matches!(tensor.source, Source::Constant(_))
    }

    /// The elements: of a constant as they are, of a small input by making it part of the
    /// binding, of anything else by running what has been built.
    ///
    /// # Errors
    /// If they cannot be read, or the host does not run.
    pub fn bytes(&mut self, tensor: &Tensor) -> Result<Arc<[u8]>, Fault> {
        let live = match &tensor.source {
            Source::Constant(Constant::Bytes(bytes)) => return Ok(bytes.clone()),
            Source::Constant(Constant::Stored(stored)) => {
                self.budget.read(stored);
                return Ok(self.host.read(stored)?);
            }
            Source::Constant(Constant::Splat(one)) => {
                let size = size(tensor.dtype, &tensor.dims)?;
                self.budget.take(size)?;
                return Ok(one[..width(tensor.dtype)]
                    .iter()
                    .copied()
                    .cycle()
                    .take(usize::try_from(size).map_err(|_| too_large(&tensor.dims))?)
                    .collect());
            }
            Source::Live(live) => live.clone(),
        };
        if let Some(Origin::Input(place)) = live.home.get()
            && tensor.elements() <= BOUND_ELEMENTS
        {
            return Ok(self.host.input(place)?);
        }
        if let Some(origin) = live.home.get() {
            return Ok(self.host.value(origin)?);
        }
        let stage = self.cut();
        let Some(Origin::Stage { output, .. }) = live.home.get() else {
            return Err(Fault::invalid("a value has no place in its stage"));
        };
        let mut bytes = self.host.run(stage, &[output])?;
        bytes.pop().ok_or_else(|| HostError::Stage("an output is missing".into()).into())
    }

    /// Ends the stage: everything that is still held becomes an output of it.
    pub(super) fn cut(&mut self) -> Stage {
        let mut outputs = 0;
        for live in self.lives.iter().filter_map(Weak::upgrade) {
            let Some(value) = live.here.take() else { continue };
            if live.home.get().is_none() {
                self.stage.graph.output(&format!("#{outputs}"), value);
                live.home.set(Some(Origin::Stage { stage: self.stages, output: outputs }));
                outputs += 1;
            }
        }
        self.lives.retain(|live| live.strong_count() > 0);
        self.weights.clear();
        self.stages += 1;
        std::mem::take(&mut self.stage)
    }

    /// Room for constants that an operator makes itself; asked for before they are made.
    ///
    /// # Errors
    /// If it is more than an import may make.
    pub fn room(&self, elements: u64, dtype: DType) -> Result<(), Fault> {
        self.budget.take(elements.saturating_mul(dtype.bytes()))
    }

    /// Counts what costs as much as an operator: a constant of a body that is entered once more.
    ///
    /// # Errors
    /// If there are more than one import may have.
    pub fn count(&mut self, operators: usize) -> Result<(), Fault> {
        (0..operators).try_for_each(|_| self.budget.operator())
    }

    /// Ends the network: the last stage, and where each of these tensors comes from.
    ///
    /// # Errors
    /// If a constant output is larger than any that is given out.
    pub fn finish(mut self, outputs: &[&Tensor]) -> Result<(Stage, Vec<Port>), Fault> {
        for tensor in outputs {
            if self.is_known(tensor) && tensor.bytes() > CONSTANT_BYTES {
                return Err(too_large(&tensor.dims));
            }
        }
        // Only the outputs count now, whatever else is still held.
        let kept: Vec<Rc<Live>> = outputs
            .iter()
            .filter_map(|tensor| match &tensor.source {
                Source::Live(live) => Some(live.clone()),
                Source::Constant(_) => None,
            })
            .collect();
        self.lives = kept.iter().map(Rc::downgrade).collect();
        let stage = self.cut();
        let ports = outputs
            .iter()
            .map(|tensor| match &tensor.source {
                Source::Constant(constant) => Port::Constant(constant.clone()),
                Source::Live(live) => Port::Live(live.home.get().unwrap_or(Origin::Input(0))),
            })
            .collect();
        Ok((stage, ports))
    }

    /// A node's operand in the stage that is being built.
    fn operand(&mut self, tensor: &Tensor) -> Result<Input, Fault> {
        match &tensor.source {
            Source::Live(live) => {
                if let Some(value) = live.here.get() {
                    return Ok(value.into());
                }
                let Some(home) = live.home.get() else {
                    return Err(Fault::invalid("a value has no place"));
                };
                let name = format!("#{}", self.stage.inputs.len());
                let value = self.stage.graph.input(&name, ty(tensor));
                self.stage.inputs.push(home);
                live.here.set(Some(value));
                self.lives.push(Rc::downgrade(live));
                Ok(value.into())
            }
            Source::Constant(constant) => {
                let key = match constant {
                    Constant::Bytes(bytes) => {
                        Key::Bytes(bytes.as_ptr().addr(), tensor.dtype, tensor.dims)
                    }
                    Constant::Stored(stored) => {
                        Key::Stored(stored.clone(), tensor.dtype, tensor.dims)
                    }
                    Constant::Splat(one) => Key::Splat(*one, tensor.dtype, tensor.dims),
                };
                if let Some(input) = self.weights.get(&key) {
                    return Ok(*input);
                }
                let name = format!("#{}", self.names);
                self.names += 1;
                let weight = Weight {
                    tensor: name.clone(),
                    ty: TensorType::Plain(tensor.dtype),
                    shape: tensor.dims,
                    first: 0,
                };
                self.stage.constants.insert(name, constant.clone());
                // Names differ, so none of them is there already: no search through all.
                let weights = &mut self.stage.graph.weights;
                let place = u32::try_from(weights.len()).map_err(|_| too_large(&tensor.dims))?;
                weights.push(weight);
                let input = Input::from(WeightId(place));
                self.weights.insert(key, input);
                Ok(input)
            }
        }
    }

    /// All elements as whole numbers; see [`Builder::bytes`].
    ///
    /// # Errors
    /// As there, or if they are none.
    pub fn ints(&mut self, tensor: &Tensor) -> Result<Vec<i64>, Fault> {
        let bytes = self.bytes(tensor)?;
        self.room(tensor.elements(), DType::I64)?;
        Numbers { dtype: tensor.dtype, bytes: &bytes }.ints()
    }

    /// All elements in double precision; see [`Builder::bytes`].
    ///
    /// # Errors
    /// As there.
    pub fn floats(&mut self, tensor: &Tensor) -> Result<Vec<f64>, Fault> {
        let bytes = self.bytes(tensor)?;
        self.room(tensor.elements(), DType::F64)?;
        Ok(Numbers { dtype: tensor.dtype, bytes: &bytes }.floats())
    }

    /// One number of a type.
    pub fn scalar(&self, dtype: DType, value: f64) -> Tensor {
        Tensor::of(dtype, Shape::SCALAR, Constant::Splat(encode(dtype, value)))
    }

    /// One number, repeated.
    ///
    /// # Errors
    /// If there are more than eight extents or their product is too large.
    pub fn filled(&self, dtype: DType, dims: &[u64], value: f64) -> Result<Tensor, Fault> {
        let dims = shape(dims)?;
        size(dtype, &dims)?;
        if dims.contains(&0) {
            return Ok(Tensor::constant(dtype, dims, []));
        }
        Ok(Tensor::of(dtype, dims, Constant::Splat(encode(dtype, value))))
    }

    /// Whole numbers as a constant.
    ///
    /// # Errors
    /// If there are more than eight extents or they do not match the list.
    pub fn integers(&self, dims: &[u64], list: &[i64]) -> Result<Tensor, Fault> {
        let bytes: Vec<u8> = list.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.known(DType::I64, dims, bytes)
    }

    /// Numbers of a type as a constant.
    ///
    /// # Errors
    /// If there are more than eight extents or they do not match the list.
    pub fn numbers(&self, dtype: DType, dims: &[u64], list: &[f64]) -> Result<Tensor, Fault> {
        let bytes: Vec<u8> =
            list.iter().flat_map(|n| encode(dtype, *n).into_iter().take(width(dtype))).collect();
        self.known(dtype, dims, bytes)
    }

    /// Little-endian elements as a constant.
    ///
    /// # Errors
    /// If there are more than eight extents or they do not match the bytes.
    pub fn known(&self, dtype: DType, dims: &[u64], bytes: Vec<u8>) -> Result<Tensor, Fault> {
        let dims = shape(dims)?;
        if size(dtype, &dims)? != bytes.len() as u64 {
            let have = bytes.len();
            return Err(Fault::invalid(format!("{have} bytes for {dtype} {dims}")));
        }
        Ok(Tensor::constant(dtype, dims, bytes))
    }

    /// The same elements with their narrow type, which must be held in this one.
    pub fn narrow(&self, tensor: Tensor, narrow: Option<Narrow>) -> Tensor {
        tensor.narrowed(narrow)
    }
}

fn width(dtype: DType) -> usize {
    usize::try_from(dtype.bytes()).unwrap_or(8)
}

/// Steps of a row-major array.
pub(crate) fn contiguous(dims: &[u64]) -> Vec<i64> {
    let mut strides = vec![0; dims.len()];
    let mut step = 1i64;
    for (stride, &dim) in strides.iter_mut().zip(dims).rev() {
        *stride = step;
        step = step.saturating_mul(i64::try_from(dim).unwrap_or(i64::MAX));
    }
    strides
}

/// Extents as a shape.
pub(super) fn shape(dims: &[u64]) -> Result<Shape, Fault> {
    Shape::new(dims).ok_or_else(|| {
        Fault::unsupported(format!("{} dimensions; at most 8 are supported", dims.len()))
    })
}

fn too_large(dims: &Shape) -> Fault {
    Fault::invalid(format!("an array of {dims} is larger than any memory"))
}

/// Bytes of an array.
pub(super) fn size(dtype: DType, dims: &Shape) -> Result<u64, Fault> {
    let elements = dims.elements().filter(|&n| n <= graph::ops::array::ELEMENTS_MAX);
    elements.and_then(|n| n.checked_mul(dtype.bytes())).ok_or_else(|| too_large(dims))
}

fn ty(tensor: &Tensor) -> Type {
    Type { dtype: tensor.dtype, dims: tensor.dims.iter().map(|&n| Dim::Fixed(n)).collect() }
}

/// Whether operand 1 holds places in operand 0.
fn indexes(op: &ArrayOp) -> bool {
    matches!(
        op,
        ArrayOp::Gather { .. }
            | ArrayOp::GatherElements { .. }
            | ArrayOp::GatherNd { .. }
            | ArrayOp::ScatterElements { .. }
            | ArrayOp::ScatterNd { .. }
            | ArrayOp::RoiAlign(_)
    )
}

/// Operations of an operator.
fn work(op: &ArrayOp, operands: &[Option<&Tensor>], dtype: DType, dims: Shape) -> u64 {
    let array = |tensor: &&Tensor| Array { dtype: tensor.dtype, dims: tensor.dims };
    let operands: Vec<Option<Array>> =
        operands.iter().map(|operand| operand.as_ref().map(array)).collect();
    graph::work::of(op, &operands, &Array { dtype, dims }).operations
}

/// Type and extents of what an operator gives, by the graph's own rule.
fn result(op: &ArrayOp, operands: &[Option<&Tensor>]) -> Result<(DType, Shape), Fault> {
    let array = |tensor: &&Tensor| Array { dtype: tensor.dtype, dims: tensor.dims };
    let operands: Vec<Option<Array>> =
        operands.iter().map(|operand| operand.as_ref().map(array)).collect();
    let result = graph::ops::array::result(op, &operands)?;
    Ok((result.dtype, result.dims))
}
