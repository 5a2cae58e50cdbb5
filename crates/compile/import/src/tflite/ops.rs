//! The operators by name, each one small function in the file of its kind.
//!
//! What only moves elements takes any type. What computes is given real numbers alone: an operator
//! with quantised operands that has no rule for them is reported as unsupported.

mod control;
mod elementwise;
mod landmarks;
mod linear;
mod movement;
mod quant;
mod recurrent;
mod reduce;
mod shape;
mod window;

use super::{
    Profile,
    importer::{Halt, Importer},
    value::{Array, Value},
};
use crate::network::{Builder, Fault, Tensor, custom};
use formats::tflite::{self, Operator, OperatorCode, Options, Quantization, SubGraph};
use plan::array::{Map, ReduceKind, Zip};
use tensor::DType;

/// What an operator gives.
type Outputs = Result<Vec<Value>, Fault>;

/// The only output of an operator.
#[expect(clippy::unnecessary_wraps, reason = "the tail of functions that can fail")]
fn one(value: impl Into<Value>) -> Outputs {
    Ok(vec![value.into()])
}

/// What imports an operator with graphs of its own, or with variables.
type Control = for<'a> fn(&mut Importer<'a, '_>, &Call<'a>) -> Result<Vec<Value>, Halt>;

/// What imports an operator.
type Import = fn(&mut Builder<'_>, &Call<'_>) -> Outputs;

/// How an operator is imported.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// A function of each element.
    Map(Map),
    /// A function of pairs.
    Zip(Zip),
    /// A statistic.
    Reduce(ReduceKind),
    /// A function of each real number that a code stands for.
    Unary(Map),
    /// A comparison of codes of one scale.
    Alike(Zip),
    /// The least or greatest code.
    Extreme(ReduceKind),
    /// A composition for real numbers.
    Real(Import),
    /// A composition for all types, quantised ones among them.
    Any(Import),
    /// What runs other graphs, or remembers.
    Graphs(Control),
}

impl Rule {
    /// Imports an operator without graphs of its own.
    pub(super) fn apply(self, b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
        match self {
            Self::Map(map) => elementwise::map(b, call, map),
            Self::Zip(zip) => elementwise::zip(b, call, zip),
            Self::Reduce(kind) => reduce::reduce(b, call, kind),
            Self::Real(import) | Self::Any(import) => import(b, call),
            Self::Unary(map) => quant::map(b, call, map),
            Self::Alike(zip) => quant::zip(b, call, zip),
            Self::Extreme(kind) => quant::reduce(b, call, kind),
            Self::Graphs(_) => Err(Fault::invalid("needs other graphs")),
        }
    }
}

/// One use of an operator with its operands.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) graph: &'a SubGraph<'a>,
    pub(super) operator: &'a Operator<'a>,
    pub(super) inputs: Vec<Option<Value>>,
    /// Whose rounding quantised operators follow.
    pub(super) profile: Profile,
}

impl<'a> Call<'a> {
    /// The settings.
    fn options(&self) -> &Options<'a> {
        &self.operator.options
    }

    /// Input `i`.
    fn array(&self, i: usize) -> Result<&Array, Fault> {
        self.optional(i)?.ok_or_else(|| Fault::invalid(format!("input {i} is missing")))
    }

    /// Input `i`, if it is there.
    fn optional(&self, i: usize) -> Result<Option<&Array>, Fault> {
        match self.inputs.get(i) {
            None | Some(None) => Ok(None),
            Some(Some(Value::Array(array))) => Ok(Some(array)),
            Some(Some(Value::Variable(_) | Value::Unknown)) => {
                Err(Fault::invalid(format!("input {i} is no array")))
            }
        }
    }

    /// Input `i` as the file has it.
    fn tensor(&self, b: &mut Builder<'_>, i: usize) -> Result<Tensor, Fault> {
        self.array(i)?.tensor(b)
    }

    /// All inputs.
    fn arrays(&self) -> Result<Vec<&Array>, Fault> {
        (0..self.inputs.len()).map(|i| self.array(i)).collect()
    }

    /// The whole numbers of input `i`, which must be known.
    fn ints(&self, b: &mut Builder<'_>, i: usize) -> Result<Vec<i64>, Fault> {
        let tensor = self.tensor(b, i)?;
        b.ints(&tensor)
    }

    /// The one whole number of input `i`.
    fn int(&self, b: &mut Builder<'_>, i: usize) -> Result<i64, Fault> {
        match self.ints(b, i)?.as_slice() {
            [one] => Ok(*one),
            list => Err(Fault::invalid(format!("input {i} has {} numbers, not 1", list.len()))),
        }
    }

    fn tensor_of(&self, list: &[Option<u32>], i: usize) -> Option<&tflite::Tensor<'a>> {
        let idx = list.get(i).copied().flatten()?;
        self.graph.tensors.get(usize::try_from(idx).ok()?)
    }

    /// The file's tensor of input `i`.
    fn input(&self, i: usize) -> Result<&tflite::Tensor<'a>, Fault> {
        let found = self.tensor_of(&self.operator.inputs, i);
        found.ok_or_else(|| Fault::invalid(format!("input {i} is missing")))
    }

    /// The file's tensor of output `i`.
    fn output(&self, i: usize) -> Result<&tflite::Tensor<'a>, Fault> {
        let found = self.tensor_of(&self.operator.outputs, i);
        found.ok_or_else(|| Fault::invalid(format!("output {i} is missing")))
    }

    /// Whether numbers of an input or output stand for other ones.
    fn is_quantised(&self) -> bool {
        let quantised = |tensor: &tflite::Tensor<'_>| {
            let scaled = tensor.quantization.as_deref().is_some_and(has_scales);
            let whole = tensor.ty.dtype().is_none_or(DType::is_integer);
            scaled && whole
        };
        let (inputs, outputs) = (&self.operator.inputs, &self.operator.outputs);
        let mut given = (0..inputs.len()).filter_map(|i| self.tensor_of(inputs, i));
        let mut gives = (0..outputs.len()).filter_map(|i| self.tensor_of(outputs, i));
        given.any(quantised) || gives.any(quantised)
    }
}

fn has_scales(quantization: &Quantization<'_>) -> bool {
    !quantization.scales.is_empty() || quantization.details.is_some()
}

/// Extents that a file gives as whole numbers.
fn extents(list: &[i64]) -> Result<Vec<u64>, Fault> {
    let extent = |&n: &i64| {
        u64::try_from(n).map_err(|_| Fault::invalid(format!("an extent of {n} in {list:?}")))
    };
    list.iter().map(extent).collect()
}

/// The rule of one use of an operator, which depends on what its operands stand for.
pub(super) fn rule(code: &OperatorCode<'_>, call: &Call<'_>) -> Result<Rule, Fault> {
    let unknown = || Fault::unsupported("the operator is not known");
    let rule = find(code).ok_or_else(unknown)?;
    if matches!(rule, Any(_) | Graphs(_)) || !call.is_quantised() {
        return Ok(rule);
    }
    let quantised = code.name().and_then(|name| quant::find(name, rule));
    quantised.ok_or_else(|| Fault::unsupported("quantised operands"))
}

/// An operator that was registered.
pub(super) fn custom(b: &mut Builder<'_>, name: &str, call: &Call<'_>) -> Outputs {
    let mut held = Vec::with_capacity(call.inputs.len());
    let mut used = custom::Call {
        name: name.to_owned(),
        options: call.operator.custom_options.to_vec(),
        ..custom::Call::default()
    };
    for i in 0..call.inputs.len() {
        let tensor = call.optional(i)?.map(|array| array.tensor(b)).transpose()?;
        let scale = || call.input(i).ok().and_then(super::scale);
        let operand = |x: &Tensor| custom::Operand { dtype: x.dtype, dims: x.dims, scale: scale() };
        used.operands.push(tensor.as_ref().map(operand));
        held.push(tensor);
    }
    for i in 0..call.operator.outputs.len() {
        let tensor = call.tensor_of(&call.operator.outputs, i);
        used.results.push(custom::Declared {
            dtype: tensor.and_then(|tensor| tensor.ty.dtype()),
            scale: tensor.and_then(super::scale),
        });
    }
    let operands: Vec<Option<&Tensor>> = held.iter().map(Option::as_ref).collect();
    Ok(b.custom(used, &operands)?.into_iter().map(Value::from).collect())
}

/// The rule of an operator.
pub(super) fn find(code: &OperatorCode<'_>) -> Option<Rule> {
    let name = code.name()?;
    let table = if code.is_custom() { CUSTOM } else { OPERATORS };
    table.iter().find(|(known, _)| *known == name).map(|(_, rule)| *rule)
}

use Rule::{Any, Graphs, Real};

/// Operators that `MediaPipe` adds.
const CUSTOM: &[(&str, Rule)] = &[
    ("Convolution2DTransposeBias", Real(window::conv_transpose_bias)),
    ("Landmarks2TransformMatrix", Real(landmarks::to_matrix)),
    ("TransformLandmarks", Real(landmarks::transform)),
    ("TransformTensorBilinear", Real(landmarks::sample)),
];

/// TFLite's own operators.
const OPERATORS: &[(&str, Rule)] = &[
    ("ABS", Rule::Map(Map::Abs)),
    ("ADD", Real(elementwise::add)),
    ("ADD_N", Real(elementwise::add_n)),
    ("ARG_MAX", Real(reduce::arg_max)),
    ("ARG_MIN", Real(reduce::arg_min)),
    ("ASSIGN_VARIABLE", Graphs(control::assign)),
    ("ATAN2", Rule::Zip(Zip::Atan2)),
    ("AVERAGE_POOL_2D", Real(window::average_pool)),
    ("BATCH_MATMUL", Real(linear::batch_matmul)),
    ("BATCH_TO_SPACE_ND", Any(movement::batch_to_space)),
    ("BITWISE_XOR", Rule::Zip(Zip::BitXor)),
    ("BROADCAST_ARGS", Any(shape::broadcast_args)),
    ("BROADCAST_TO", Any(shape::broadcast_to)),
    ("CALL_ONCE", Graphs(control::once)),
    ("CAST", Any(elementwise::cast)),
    ("CEIL", Rule::Map(Map::Ceil)),
    ("CONCATENATION", Real(movement::concatenation)),
    ("CONV_2D", Real(window::conv)),
    ("COS", Rule::Map(Map::Cos)),
    ("CUMSUM", Real(reduce::cumsum)),
    ("DENSIFY", Any(elementwise::same)),
    ("DEPTHWISE_CONV_2D", Real(window::depthwise)),
    ("DEPTH_TO_SPACE", Any(movement::depth_to_space)),
    ("DEQUANTIZE", Real(elementwise::dequantize)),
    ("DIV", Real(elementwise::div)),
    ("ELU", Rule::Map(Map::Elu { alpha: 1.0 })),
    ("EQUAL", Rule::Zip(Zip::Equal)),
    ("EXP", Rule::Map(Map::Exp)),
    ("EXPAND_DIMS", Any(shape::expand_dims)),
    ("FILL", Any(shape::fill)),
    ("FLOOR", Rule::Map(Map::Floor)),
    ("FLOOR_DIV", Real(elementwise::floor_div)),
    ("FLOOR_MOD", Rule::Zip(Zip::Modulo)),
    ("FULLY_CONNECTED", Real(linear::fully_connected)),
    ("GATHER", Any(movement::gather)),
    ("GATHER_ND", Any(movement::gather_nd)),
    ("GELU", Real(elementwise::gelu)),
    ("GREATER", Rule::Zip(Zip::Greater)),
    ("GREATER_EQUAL", Rule::Zip(Zip::GreaterOrEqual)),
    ("HARD_SWISH", Rule::Map(Map::HardSwish)),
    ("IF", Graphs(control::conditional)),
    ("L2_NORMALIZATION", Real(reduce::l2_normalization)),
    ("L2_POOL_2D", Real(window::l2_pool)),
    ("LEAKY_RELU", Real(elementwise::leaky_relu)),
    ("LESS", Rule::Zip(Zip::Less)),
    ("LESS_EQUAL", Rule::Zip(Zip::LessOrEqual)),
    ("LOCAL_RESPONSE_NORMALIZATION", Real(reduce::local_response)),
    ("LOG", Rule::Map(Map::Log)),
    ("LOGICAL_AND", Rule::Zip(Zip::And)),
    ("LOGICAL_NOT", Rule::Map(Map::Not)),
    ("LOGICAL_OR", Rule::Zip(Zip::Or)),
    ("LOGISTIC", Rule::Map(Map::Sigmoid)),
    ("LSTM", Graphs(recurrent::lstm)),
    ("LOG_SOFTMAX", Real(reduce::log_softmax)),
    ("MAXIMUM", Rule::Zip(Zip::Maximum)),
    ("MAX_POOL_2D", Real(window::max_pool)),
    ("MEAN", Rule::Reduce(ReduceKind::Mean)),
    ("MINIMUM", Rule::Zip(Zip::Minimum)),
    ("MIRROR_PAD", Any(movement::mirror_pad)),
    ("MUL", Real(elementwise::mul)),
    ("NEG", Rule::Map(Map::Negate)),
    ("NOT_EQUAL", Rule::Zip(Zip::NotEqual)),
    ("ONE_HOT", Real(reduce::one_hot)),
    ("PACK", Any(movement::pack)),
    ("PAD", Real(movement::pad)),
    ("PADV2", Real(movement::pad)),
    ("POW", Rule::Zip(Zip::Power)),
    ("PRELU", Rule::Zip(Zip::Prelu)),
    ("QUANTIZE", Real(elementwise::unscaled)),
    ("RANGE", Real(shape::range)),
    ("RANK", Any(shape::rank)),
    ("READ_VARIABLE", Graphs(control::read)),
    ("REDUCE_ALL", Rule::Reduce(ReduceKind::All)),
    ("REDUCE_ANY", Rule::Reduce(ReduceKind::Any)),
    ("REDUCE_MAX", Rule::Reduce(ReduceKind::Max)),
    ("REDUCE_MIN", Rule::Reduce(ReduceKind::Min)),
    ("REDUCE_PROD", Rule::Reduce(ReduceKind::Product)),
    ("RELU", Rule::Map(Map::Relu)),
    ("RELU6", Rule::Map(Map::Relu6)),
    ("RELU_0_TO_1", Rule::Map(Map::Clamp { low: 0.0, high: 1.0 })),
    ("RELU_N1_TO_1", Rule::Map(Map::Clamp { low: -1.0, high: 1.0 })),
    ("RESHAPE", Any(shape::reshape)),
    ("RESIZE_BILINEAR", Real(window::resize_bilinear)),
    ("RESIZE_NEAREST_NEIGHBOR", Any(window::resize_nearest)),
    ("REVERSE_V2", Any(movement::reverse)),
    ("RNN", Graphs(recurrent::rnn)),
    ("ROUND", Rule::Map(Map::Round)),
    ("RSQRT", Rule::Map(Map::Rsqrt)),
    ("SELECT", Any(elementwise::select)),
    ("SELECT_V2", Any(elementwise::select)),
    ("SHAPE", Any(shape::shape)),
    ("SIGN", Rule::Map(Map::Sign)),
    ("SIN", Rule::Map(Map::Sin)),
    ("SLICE", Any(movement::slice)),
    ("SOFTMAX", Real(reduce::softmax)),
    ("SPACE_TO_BATCH_ND", Real(movement::space_to_batch)),
    ("SPACE_TO_DEPTH", Any(movement::space_to_depth)),
    ("SPLIT", Any(movement::split)),
    ("SPLIT_V", Any(movement::split_v)),
    ("SQRT", Rule::Map(Map::Sqrt)),
    ("SQUARE", Rule::Map(Map::Square)),
    ("SQUARED_DIFFERENCE", Rule::Zip(Zip::SquaredDifference)),
    ("SQUEEZE", Any(shape::squeeze)),
    ("STRIDED_SLICE", Any(movement::strided_slice)),
    ("SUB", Real(elementwise::sub)),
    ("SUM", Rule::Reduce(ReduceKind::Sum)),
    ("SVDF", Graphs(recurrent::svdf)),
    ("TANH", Rule::Map(Map::Tanh)),
    ("TILE", Any(movement::tile)),
    ("TOPK_V2", Any(reduce::top_k)),
    ("TRANSPOSE", Any(movement::transpose)),
    ("TRANSPOSE_CONV", Real(window::transpose_conv)),
    ("UNIDIRECTIONAL_SEQUENCE_LSTM", Graphs(recurrent::sequence_lstm)),
    ("UNIDIRECTIONAL_SEQUENCE_RNN", Graphs(recurrent::sequence_rnn)),
    ("UNPACK", Any(movement::unpack)),
    ("VAR_HANDLE", Graphs(control::variable)),
    ("WHILE", Graphs(control::repeat)),
    ("ZEROS_LIKE", Real(shape::zeros_like)),
];
