//! The operators by domain and name. Most are one small function in the file of their kind; those
//! that need nothing but a word are rows of this table.
//!
//! Operators of `com.microsoft` are also found under ONNX's own domain, where exporters put them.

mod attention;
mod combine;
mod elementwise;
mod index;
mod linear;
mod matmul;
mod movement;
mod norm;
mod quant;
mod random;
mod recurrent;
mod reduce;
mod sample;
mod shape;
mod signal;
mod training;
mod window;

mod control;
mod sequence;
mod microsoft;

use super::{
    call::{Call, Outputs, one},
    importer::{Halt, Importer},
};
use crate::network::Builder;
use plan::array::{Map, ReduceKind, Zip};

/// How a node of one operator is imported.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// A function of each element.
    Map(Map),
    /// A function of pairs.
    Zip(Zip),
    /// The same function between any number of operands.
    Fold(Zip),
    /// A statistic.
    Reduce(ReduceKind),
    /// A composition.
    Op(fn(&mut Builder<'_>, &Call<'_>) -> Outputs),
    /// A composition with constants out of attributes.
    Constant(fn(&mut Builder<'_>, &Call<'_>, &[u8]) -> Outputs),
    /// What runs sub-graphs.
    Control(Control),
}

/// What imports an operator with sub-graphs.
pub(super) type Control =
    for<'a> fn(&mut Importer<'a, '_>, &Call<'a>) -> Result<Vec<super::call::Value>, Halt>;

impl Rule {
    /// Imports a node without sub-graphs; `file` is the file that it was read out of.
    pub(super) fn apply(self, builder: &mut Builder<'_>, call: &Call<'_>, file: &[u8]) -> Outputs {
        match self {
            Self::Map(map) => one(builder.map(map, call.tensor(0)?)?),
            Self::Zip(zip) => elementwise::zip(builder, call, zip),
            Self::Fold(zip) => one(elementwise::fold(builder, call, zip)?),
            Self::Reduce(kind) => reduce::reduce(builder, call, kind),
            Self::Op(op) => op(builder, call),
            Self::Constant(op) => op(builder, call, file),
            Self::Control(_) => Err(crate::network::Fault::invalid("needs sub-graphs")),
        }
    }
}

/// The name of an operator for people.
pub(super) fn qualified(domain: &str, name: &str) -> String {
    if domain.is_empty() { name.to_owned() } else { format!("{domain}.{name}") }
}

/// The rule of an operator.
pub(super) fn find(domain: &str, name: &str) -> Option<Rule> {
    let row = |table: &[(&str, Rule)]| {
        table.iter().find(|(known, _)| *known == name).map(|(_, rule)| *rule)
    };
    match domain {
        "" => row(OPERATORS).or_else(|| row(microsoft::OPERATORS)),
        "com.microsoft" => row(microsoft::OPERATORS).or_else(|| row(OPERATORS)),
        "ai.onnx.preview.training" => row(training::OPTIMISERS),
        "ai.onnx.preview" => row(attention::PREVIEW),
        _ => None,
    }
}

use Rule::{Constant, Control as Graphs, Fold, Op, Reduce};

/// ONNX's own operators.
const OPERATORS: &[(&str, Rule)] = &[
    ("Abs", Rule::Map(Map::Abs)),
    ("Acos", Rule::Map(Map::Acos)),
    ("Acosh", Rule::Map(Map::Acosh)),
    ("Add", Rule::Zip(Zip::Add)),
    ("AffineGrid", Op(sample::affine_grid)),
    ("And", Rule::Zip(Zip::And)),
    ("ArgMax", Op(reduce::arg_max)),
    ("ArgMin", Op(reduce::arg_min)),
    ("Asin", Rule::Map(Map::Asin)),
    ("Asinh", Rule::Map(Map::Asinh)),
    ("Atan", Rule::Map(Map::Atan)),
    ("Atanh", Rule::Map(Map::Atanh)),
    ("Attention", Op(attention::attention)),
    ("AveragePool", Op(window::average_pool)),
    ("BatchNormalization", Op(norm::batch)),
    ("Bernoulli", Op(random::bernoulli)),
    ("BitCast", Op(elementwise::bit_cast)),
    ("BitShift", Op(elementwise::bit_shift)),
    ("BitwiseAnd", Rule::Zip(Zip::BitAnd)),
    ("BitwiseNot", Rule::Map(Map::BitNot)),
    ("BitwiseOr", Rule::Zip(Zip::BitOr)),
    ("BitwiseXor", Rule::Zip(Zip::BitXor)),
    ("BlackmanWindow", Op(signal::blackman)),
    ("Cast", Op(elementwise::cast)),
    ("CastLike", Op(elementwise::cast_like)),
    ("CausalConvWithState", Op(linear::causal_conv)),
    ("Ceil", Rule::Map(Map::Ceil)),
    ("Celu", Op(elementwise::celu)),
    ("CenterCropPad", Op(movement::center_crop_pad)),
    ("Clip", Op(elementwise::clip)),
    ("Col2Im", Op(window::col2im)),
    ("Compress", Op(index::compress)),
    ("Concat", Op(movement::concat)),
    ("Constant", Constant(shape::constant)),
    ("ConstantOfShape", Constant(shape::constant_of_shape)),
    ("Conv", Op(window::conv)),
    ("ConvInteger", Op(quant::conv_integer)),
    ("ConvTranspose", Op(window::conv_transpose)),
    ("Cos", Rule::Map(Map::Cos)),
    ("Cosh", Rule::Map(Map::Cosh)),
    ("CumProd", Op(reduce::cum_prod)),
    ("CumSum", Op(reduce::cum_sum)),
    ("DFT", Op(signal::dft)),
    ("DeformConv", Op(window::deform_conv)),
    ("DepthToSpace", Op(movement::depth_to_space)),
    ("DequantizeLinear", Op(quant::dequantize)),
    ("Det", Op(matmul::det)),
    ("Div", Rule::Zip(Zip::Divide)),
    ("Dropout", Op(elementwise::dropout)),
    ("DynamicQuantizeLinear", Op(quant::dynamic_quantize)),
    ("Einsum", Op(matmul::einsum)),
    ("Elu", Op(elementwise::elu)),
    ("Equal", Rule::Zip(Zip::Equal)),
    ("Erf", Rule::Map(Map::Erf)),
    ("Exp", Rule::Map(Map::Exp)),
    ("Expand", Op(shape::expand)),
    ("EyeLike", Op(shape::eye_like)),
    ("Flatten", Op(shape::flatten)),
    ("Floor", Rule::Map(Map::Floor)),
    ("GRU", Op(recurrent::gru)),
    ("Gather", Op(index::gather)),
    ("GatherElements", Op(index::gather_elements)),
    ("GatherND", Op(index::gather_nd)),
    ("Gelu", Op(elementwise::gelu)),
    ("Gemm", Op(matmul::gemm)),
    ("GlobalAveragePool", Op(window::global_average)),
    ("GlobalLpPool", Op(window::global_lp)),
    ("GlobalMaxPool", Op(window::global_max)),
    ("Greater", Rule::Zip(Zip::Greater)),
    ("GreaterOrEqual", Rule::Zip(Zip::GreaterOrEqual)),
    ("GridSample", Op(sample::grid_sample)),
    ("GroupNormalization", Op(norm::group)),
    ("HammingWindow", Op(signal::hamming)),
    ("HannWindow", Op(signal::hann)),
    ("HardSigmoid", Op(elementwise::hard_sigmoid)),
    ("HardSwish", Rule::Map(Map::HardSwish)),
    ("Hardmax", Op(norm::hardmax)),
    ("Identity", Op(sequence::identity)),
    ("If", Graphs(control::conditional)),
    ("InstanceNormalization", Op(norm::instance)),
    ("IsInf", Op(elementwise::is_inf)),
    ("IsNaN", Rule::Map(Map::IsNan)),
    ("LRN", Op(norm::local_response)),
    ("LSTM", Op(recurrent::lstm)),
    ("LayerNormalization", Op(norm::layer)),
    ("LeakyRelu", Op(elementwise::leaky_relu)),
    ("Less", Rule::Zip(Zip::Less)),
    ("LessOrEqual", Rule::Zip(Zip::LessOrEqual)),
    ("LinearAttention", Op(linear::attention)),
    ("Log", Rule::Map(Map::Log)),
    ("LogSoftmax", Op(norm::log_softmax)),
    ("Loop", Graphs(control::repeat)),
    ("LpNormalization", Op(norm::lp)),
    ("LpPool", Op(window::lp_pool)),
    ("MatMul", Op(matmul::matmul)),
    ("MatMulInteger", Op(quant::matmul_integer)),
    ("Max", Fold(Zip::Maximum)),
    ("MaxPool", Op(window::max_pool)),
    ("MaxUnpool", Op(window::max_unpool)),
    ("Mean", Op(elementwise::mean)),
    ("MeanVarianceNormalization", Op(norm::mean_variance)),
    ("MelWeightMatrix", Op(signal::mel_weights)),
    ("Min", Fold(Zip::Minimum)),
    ("Mish", Rule::Map(Map::Mish)),
    ("Mod", Op(elementwise::modulo)),
    ("Mul", Rule::Zip(Zip::Multiply)),
    ("Neg", Rule::Map(Map::Negate)),
    ("NegativeLogLikelihoodLoss", Op(training::negative_log_likelihood)),
    ("NonMaxSuppression", Op(index::non_max_suppression)),
    ("NonZero", Op(index::non_zero)),
    ("Not", Rule::Map(Map::Not)),
    ("OneHot", Op(index::one_hot)),
    ("Optional", Op(sequence::optional)),
    ("OptionalGetElement", Op(sequence::optional_get)),
    ("OptionalHasElement", Op(sequence::optional_has)),
    ("Or", Rule::Zip(Zip::Or)),
    ("PRelu", Op(elementwise::prelu)),
    ("Pad", Op(movement::pad)),
    ("Pow", Rule::Zip(Zip::Power)),
    ("QLinearConv", Op(quant::qlinear_conv)),
    ("QLinearMatMul", Op(quant::qlinear_matmul)),
    ("QuantizeLinear", Op(quant::quantize)),
    ("RMSNormalization", Op(norm::rms)),
    ("RNN", Op(recurrent::rnn)),
    ("RandomNormal", Op(random::normal)),
    ("RandomNormalLike", Op(random::normal_like)),
    ("RandomUniform", Op(random::uniform)),
    ("RandomUniformLike", Op(random::uniform_like)),
    ("Range", Op(shape::range)),
    ("Reciprocal", Rule::Map(Map::Reciprocal)),
    ("ReduceL1", Reduce(ReduceKind::L1)),
    ("ReduceL2", Reduce(ReduceKind::L2)),
    ("ReduceLogSum", Reduce(ReduceKind::LogSum)),
    ("ReduceLogSumExp", Reduce(ReduceKind::LogSumExp)),
    ("ReduceMax", Reduce(ReduceKind::Max)),
    ("ReduceMean", Reduce(ReduceKind::Mean)),
    ("ReduceMin", Reduce(ReduceKind::Min)),
    ("ReduceProd", Reduce(ReduceKind::Product)),
    ("ReduceSum", Reduce(ReduceKind::Sum)),
    ("ReduceSumSquare", Reduce(ReduceKind::SumSquare)),
    ("Relu", Rule::Map(Map::Relu)),
    ("Reshape", Op(shape::reshape)),
    ("Resize", Op(sample::resize)),
    ("ReverseSequence", Op(index::reverse_sequence)),
    ("RoiAlign", Op(sample::roi_align)),
    ("RotaryEmbedding", Op(attention::rotary)),
    ("Round", Rule::Map(Map::Round)),
    ("STFT", Op(signal::stft)),
    ("Scan", Graphs(control::scan)),
    ("Scatter", Op(index::scatter_elements)),
    ("ScatterElements", Op(index::scatter_elements)),
    ("ScatterND", Op(index::scatter_nd)),
    ("Selu", Op(elementwise::selu)),
    ("SequenceAt", Op(sequence::at)),
    ("SequenceConstruct", Op(sequence::construct)),
    ("SequenceEmpty", Op(sequence::empty)),
    ("SequenceErase", Op(sequence::erase)),
    ("SequenceInsert", Op(sequence::insert)),
    ("SequenceLength", Op(sequence::length)),
    ("SequenceMap", Graphs(control::sequence_map)),
    ("Shape", Op(shape::shape)),
    ("Shrink", Op(elementwise::shrink)),
    ("Sigmoid", Rule::Map(Map::Sigmoid)),
    ("Sign", Rule::Map(Map::Sign)),
    ("Sin", Rule::Map(Map::Sin)),
    ("Sinh", Rule::Map(Map::Sinh)),
    ("Size", Op(shape::size)),
    ("Slice", Op(movement::slice)),
    ("Softmax", Op(norm::softmax)),
    ("SoftmaxCrossEntropyLoss", Op(training::softmax_cross_entropy)),
    ("Softplus", Rule::Map(Map::Softplus)),
    ("Softsign", Rule::Map(Map::Softsign)),
    ("SpaceToDepth", Op(movement::space_to_depth)),
    ("Split", Op(movement::split)),
    ("SplitToSequence", Op(sequence::split)),
    ("ConcatFromSequence", Op(sequence::concat)),
    ("Sqrt", Rule::Map(Map::Sqrt)),
    ("Squeeze", Op(shape::squeeze)),
    ("Sub", Rule::Zip(Zip::Subtract)),
    ("Sum", Fold(Zip::Add)),
    ("SwiGLU", Op(combine::swiglu)),
    ("Swish", Op(elementwise::swish)),
    ("Tan", Rule::Map(Map::Tan)),
    ("Tanh", Rule::Map(Map::Tanh)),
    ("TensorScatter", Op(attention::tensor_scatter)),
    ("ThresholdedRelu", Op(elementwise::thresholded_relu)),
    ("Tile", Op(movement::tile)),
    ("TopK", Op(index::top_k)),
    ("Transpose", Op(movement::transpose)),
    ("Trilu", Op(movement::trilu)),
    ("Unique", Op(index::unique)),
    ("Unsqueeze", Op(shape::unsqueeze)),
    ("Upsample", Op(sample::upsample)),
    ("Where", Op(elementwise::select)),
    ("Xor", Rule::Zip(Zip::Xor)),
];
