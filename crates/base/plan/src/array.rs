//! Operators on dense arrays of any rank: what networks (ONNX, TFLite) are made of.
//!
//! Networks are imported for one binding of their free extents, so every extent and every
//! attribute here is a number: operands that files give as tensors (axes, shapes, pads, sizes)
//! have become attributes, and whatever only moves elements has become [`ArrayOp::View`]. Layout
//! is row-major with batch and channels first (`[n, c, spatial…]`) unless an operator says
//! otherwise. Types follow the operands; an operator never converts silently.
//!
//! The scalar reference of every operator is the `reference` crate; it is the specification.
//! Sources: ONNX operator schemas (opset 1 to 28) and TFLite's kernels (schema 3).

use alloc::vec::Vec;
use core::{fmt, ops::Deref};
use tensor::{DType, Shape, shape::RANK_MAX};

/// Up to eight numbers held inline: strides, pads, axes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct List<T> {
    items: [T; RANK_MAX],
    len: u8,
}

impl<T: Copy + Default> List<T> {
    /// A list of these items, or `None` if there are more than eight.
    pub fn new(items: &[T]) -> Option<Self> {
        let mut list =
            Self { items: [T::default(); RANK_MAX], len: u8::try_from(items.len()).ok()? };
        list.items.get_mut(..items.len())?.copy_from_slice(items);
        Some(list)
    }

    /// `len` times the same item, or `None` if that is more than eight.
    pub fn repeat(item: T, len: usize) -> Option<Self> {
        Self::new([item; RANK_MAX].get(..len)?)
    }
}

/// The empty list.
impl<T: Copy + Default> Default for List<T> {
    fn default() -> Self {
        Self { items: [T::default(); RANK_MAX], len: 0 }
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items[..usize::from(self.len)]
    }
}

impl<T: fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// An operator on dense arrays with its attributes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ArrayOp {
    /// `(x) → same`: a function of each element.
    Map(Map),
    /// `(a, b) → broadcast of both`: a function of pairs; comparisons give `Bool`. Extents of 1
    /// are repeated, missing leading ones too (NumPy's rule).
    Zip(Zip),
    /// `(condition: Bool, a, b) → broadcast of all three`: `condition ? a : b`.
    Select,
    /// `(x) → same extents` of type `to`: rounds to nearest even; floats to integers truncate.
    Cast {
        /// The result's type.
        to: DType,
        /// Whether float8 results clamp to the largest finite value instead of overflowing.
        saturate: bool,
    },
    /// `(x) → dims`: the same elements in the same order under other extents.
    Reshape {
        /// The result's extents; their product is that of the operand's.
        dims: Shape,
    },
    /// `(x) → dims`: reads `x` at `offset + Σ index[i] * strides[i]`, counted in elements: slices
    /// with any step, transpositions, repetitions (stride 0), and compositions of them.
    View(View),
    /// `(a, b, …) → like a`, longer along `axis`.
    Concat {
        /// The dimension along which the operands follow each other.
        axis: u8,
    },
    /// `(x, value?: []) → x with a border`; `value` is zero where absent.
    Pad(Pad),
    /// `(x) → x without, or with extent 1 in, the reduced dimensions`.
    Reduce(Reduce),
    /// `(x) → I64`: positions along `axis`, which is kept with extent 1.
    ArgReduce {
        /// Largest instead of smallest.
        largest: bool,
        /// The searched dimension.
        axis: u8,
        /// Last instead of first among equals.
        last: bool,
    },
    /// `(x) → same`: running sums or products along `axis`.
    Accumulate {
        /// Product instead of sum.
        product: bool,
        /// The dimension that is run along.
        axis: u8,
        /// Element `i` leaves out `x[i]` itself.
        exclusive: bool,
        /// From the end to the beginning.
        reverse: bool,
    },
    /// `(a: […, m, k], b: […, k, n]) → […, m, n]`, outer extents broadcast. Integers of 8 bits
    /// give I32; then `(a, b, a_zero?, b_zero?)` with zero points that broadcast to `[…, m, 1]` and
    /// `[…, 1, n]`. I16 and I8 give I64. Beside `a` of F32, `b` may be F16 or BF16.
    MatMul,
    /// `(x: [n, c, …], w: [m, c / groups, …], bias?: [m]) → [n, m, …]`. Integers of 8 bits give
    /// I32; then `(x, w, bias?, x_zero?: [], w_zero?: [] or [m])`, and padding reads `x_zero`.
    /// `x` of I16 and `w` of I8 give I64. Beside `x` of F32, `w` may be F16 or BF16.
    Conv(Conv),
    /// `(x: [n, …, c], w: [m, …, c / groups], bias?: [m], residual?: like the result, x_zero?: [],
    /// w_zero?: [] or [m], factor?: F64 [] or [m]) → [n, …, m]`: a [`ArrayOp::Conv`] of channels
    /// last with its [`Epilogue`]. Only passes make it.
    ConvLast {
        /// Window, steps and pads.
        conv: Conv,
        /// What is done with the sums.
        epilogue: Epilogue,
    },
    /// `(a: […, m, k], b: […, k, n], bias?: [n], residual?: like the result, a_zero?, b_zero?,
    /// factor?: F64 [] or [n]) → […, m, n]`: a [`ArrayOp::MatMul`] with its [`Epilogue`]. Only
    /// passes make it.
    MatMulFused(Epilogue),
    /// `(x: [n, c, …], w: [c, m / groups, …], bias?: [m]) → [n, m, …]`, extents `output`. Beside
    /// `x` of F32, `w` may be F16 or BF16.
    ConvTranspose {
        /// Window, steps and pads of the convolution that this one turns round.
        conv: Conv,
        /// Extents of the result's spatial dimensions.
        output: List<u32>,
    },
    /// `(x: [n, …, c], w: [m, …, c], bias?: [m], residual?: like the result) → [n, …, m]`: a
    /// [`ArrayOp::ConvTranspose`] of channels last and one group with its [`Epilogue`]. Only passes
    /// make it.
    ConvTransposeLast {
        /// Window, steps and pads of the convolution that this one turns round.
        conv: Conv,
        /// Extents of the result's spatial dimensions.
        output: List<u32>,
        /// What is done with the sums.
        epilogue: Epilogue,
    },
    /// `(x, w, offset, bias?, mask?) → like Conv`: each tap reads at a learned place (ONNX
    /// `DeformConv`, opset 19).
    DeformConv {
        /// Window, steps and pads.
        conv: Conv,
        /// Groups of channels that share offsets.
        offset_groups: u32,
    },
    /// `(x: [n, c, …]) → [n, c, …]`, or both with channels last: a statistic over windows.
    Pool(Pool),
    /// `(x: [n, c, …], index: same I64, into the flat result) → dims`: the inverse of max pooling.
    MaxUnpool {
        /// The result's extents.
        dims: Shape,
    },
    /// `(x, index: I32 or I64) → x` with dimension `axis` replaced by the extents of `index`.
    /// Negative indices count from the end.
    Gather {
        /// The dimension that is indexed.
        axis: u8,
        /// Leading dimensions that `x` and `index` share.
        batch: u8,
    },
    /// `(x, index) → like index`: `out[…i…] = x[…index[…i…]…]` along `axis`.
    GatherElements {
        /// The dimension that is indexed.
        axis: u8,
    },
    /// `(x, index: […, k]) → […] + x[k..]`: each row of `index` names a slice of `x`.
    GatherNd {
        /// Leading dimensions that `x` and `index` share.
        batch: u8,
    },
    /// `(x, index, updates: like index) → like x`: writes along `axis`.
    ScatterElements {
        /// The dimension that is indexed.
        axis: u8,
        /// How an update meets what is there.
        combine: Combine,
    },
    /// `(x, index: […, k], updates) → like x`: writes slices.
    ScatterNd {
        /// How an update meets what is there.
        combine: Combine,
    },
    /// `(index, values: [2] = off, on) → index` with a dimension of `depth` at `axis`.
    OneHot {
        /// Where the new dimension stands.
        axis: u8,
        /// Its extent.
        depth: u64,
    },
    /// `(x) → x with other extents`: samples of `x` along some dimensions.
    Resize(Resize),
    /// `(x: [n, c, …], grid: [n, …, dims]) → [n, c, …]`: samples at given places (opset 20).
    GridSample {
        /// Which samples are blended.
        mode: Interpolation,
        /// What is read outside.
        padding: GridPadding,
        /// Whether -1 and 1 mean the centres of the corner samples.
        align_corners: bool,
    },
    /// `(x: [n, c, h, w], rois: [r, 4], batch: [r] I64) → [r, c, height, width]`.
    RoiAlign(RoiAlign),
    /// `(x: [n, c * Π block, blocks]) → [n, c, image…]`: sums blocks into an image (opset 18).
    Col2Im {
        /// Extents of the image.
        image: List<u32>,
        /// Window, steps and pads; `groups` is 1.
        conv: Conv,
    },
    /// `(x) → I64` like `x` with extent `k` along `axis`: positions of the largest or smallest, best
    /// first, ties to the lower index.
    TopK {
        /// The searched dimension.
        axis: u8,
        /// How many are kept.
        k: u64,
        /// Largest instead of smallest.
        largest: bool,
    },
    /// `(x) → same`: `exp(x - max) / Σ exp(x - max)` along `axis`, or its logarithm.
    Softmax {
        /// The dimension that sums to 1.
        axis: u8,
        /// The logarithm of it.
        log: bool,
    },
    /// `(x, scale?, bias?) → same`: `(x - mean) / sqrt(variance + eps)` over the dimensions from
    /// `axis` on, two passes in double precision; `rms` leaves the mean out. Operands broadcast.
    Normalise {
        /// First of the dimensions that share one statistic.
        axis: u8,
        /// Added under the root.
        eps: f32,
        /// Root mean square alone.
        rms: bool,
    },
    /// `(x) → same`: local response normalisation over channels.
    LocalResponse {
        /// The dimension of the channels.
        axis: u8,
        /// Channels that count.
        size: u32,
        /// Factor on the mean of squares.
        alpha: f32,
        /// Exponent.
        beta: f32,
        /// Added before the power.
        bias: f32,
    },
    /// `(x: [t, n, i], w: [d, g*h, i], r: [d, g*h, h], b?: [d, 2*g*h], lengths?: [n] I32,
    /// h0?: [d, n, h], c0?: [d, n, h], p?: [d, 3*h]) → [s, t, d, n, h]`: hidden states of all
    /// steps, and for LSTM (`s = 2`) the cell states after them. Beyond a sequence's length both
    /// keep their last values; `t` counts the direction's own steps, so the last one is final.
    Recurrent(Recurrent),
    /// `(x: […, n, 1 or 2]) → […, m, 1 or 2]`: discrete Fourier transform along `axis`, computed
    /// in double precision and rounded once.
    Dft(Dft),
    /// `(x) → same`: zeros above (`upper: false`) or below diagonal `k` of the last two dimensions.
    Triangle {
        /// Which side stays.
        upper: bool,
        /// The diagonal, counted upwards from the main one.
        k: i64,
    },
    /// `(x, scale, zero?) → to`: `saturate(round(x / scale) + zero)`, nearest even.
    Quantize {
        /// Dimension along which scale and zero vary; unused when they are scalars.
        axis: u8,
        /// Elements along `axis` that share one scale; 0 when each index has its own.
        block: u32,
        /// The result's type.
        to: DType,
        /// Whether float8 results clamp instead of overflowing.
        saturate: bool,
    },
    /// `(x: integers or F32, factor: F64 [] or [n]) → to`: `clamp(round(x * factor) + zero)`, where
    /// `n` is the extent along `axis`.
    Requant(Requant),
    /// `(x: I8, U8 or I16, table: [256] or [65536]) → like x`, of the table's type: the table's
    /// element of each code, the least code's first.
    Lookup,
    /// `(a, b: I8 or U8) → codes, broadcast`: what [`ArrayOp::Quantize`] gives of the [`ArrayOp::Zip`]
    /// of both dequantised, in one step. Only passes make it.
    CodePairs(CodePairs),
    /// `(x, scale, zero?) → type of scale`: `(x - zero) * scale`.
    Dequantize {
        /// Dimension along which scale and zero vary.
        axis: u8,
        /// Elements along `axis` that share one scale; 0 when each index has its own.
        block: u32,
        /// The result's type.
        to: DType,
    },
}

/// How a scaled sum is rounded to a whole number. Where `q` is spoken of, a factor `r` is held as
/// `q * 2^(e - 31)` with `q` of 31 bits, as `TFLite` does, `left = max(e, 0)`, `n = max(-e, 0)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// The high half of the doubled product of `x << left` and `q`, halves away from zero; then
    /// `>> n`, halves away from zero. `TensorFlow` Lite Micro rounds so.
    Double,
    /// The same with both halves up.
    DoubleUp,
    /// One product of 64 bits and one shift, halves away from zero. Singles: halves away from zero.
    SingleAway,
    /// The product of `x` and `r` as singles, rounded to nearest even.
    Fp32Even,
    /// `(x * round(256 * r) + 128) >> 8`.
    Q8,
    /// The product of `x` and the upper 16 bits of `q`, rounded, and one shift, halves up: how sums
    /// of 64 bits are scaled.
    Reduced,
}

/// Attributes of [`ArrayOp::Requant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requant {
    /// How it is rounded.
    pub rounding: Rounding,
    /// Dimension along which factors vary; unused when there is one.
    pub axis: u8,
    /// Added after rounding.
    pub zero: i32,
    /// The least result.
    pub low: i32,
    /// The greatest result.
    pub high: i32,
    /// The result's type.
    pub to: DType,
}

/// How codes stand for real numbers: `(code - zero) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaled {
    /// What one code stands for.
    pub scale: f32,
    /// The code of 0.
    pub zero: i32,
}

/// Attributes of [`ArrayOp::CodePairs`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CodePairs {
    /// The function of the real numbers: a sum, a difference or a product.
    pub zip: Zip,
    /// What the operands' codes stand for.
    pub operands: [Scaled; 2],
    /// What the result's codes stand for.
    pub result: Scaled,
    /// The least result.
    pub low: i32,
    /// The greatest result.
    pub high: i32,
    /// The result's type, I8 or U8.
    pub to: DType,
}

/// What a product does with its sums before it stores them.
///
/// Sums of floats get the bias, then the residual, then the activation. Those of integers get the
/// bias, then the scaling, whose bounds carry an activation; without one, the sums come out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Epilogue {
    /// A function of each sum; floats only.
    pub activation: Option<Map>,
    /// How sums become codes; integers only. It needs the operand `factor`, which varies along the
    /// last dimension if at all.
    pub requant: Option<Requant>,
}

/// Attributes of [`ArrayOp::View`], in elements of the operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The result's extents.
    pub dims: Shape,
    /// Step in the operand for each dimension of the result; may be negative or 0.
    pub strides: List<i64>,
    /// Where the first element is read.
    pub offset: u64,
}

/// Functions of one element. Those that make no sense for a type (`Sqrt` of integers) are refused
/// by the graph's rule.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are those of mathematics; parameters are documented")]
pub enum Map {
    Abs,
    Negate,
    Sign,
    Ceil,
    Floor,
    /// Halves to even.
    Round,
    Sqrt,
    /// `1 / sqrt(x)`.
    Rsqrt,
    Reciprocal,
    Square,
    Exp,
    Log,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Asinh,
    Acosh,
    Atanh,
    Erf,
    Sigmoid,
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    Silu,
    /// `x * Φ(x)`.
    Gelu,
    /// GELU by tanh.
    GeluTanh,
    Softplus,
    /// `x / (1 + |x|)`.
    Softsign,
    /// `x * tanh(softplus(x))`.
    Mish,
    /// `x * min(max(x / 6 + 1/2, 0), 1)`.
    HardSwish,
    /// Logical, of `Bool`.
    Not,
    /// Bitwise, of integers.
    BitNot,
    /// Gives `Bool`.
    IsNan,
    /// Gives `Bool`.
    IsInf {
        negative: bool,
        positive: bool,
    },
    /// `x < 0 ? alpha * (exp(x) - 1) : x`.
    Elu {
        alpha: f32,
    },
    /// `max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`.
    Celu {
        alpha: f32,
    },
    /// `gamma * (x <= 0 ? alpha * (exp(x) - 1) : x)`.
    Selu {
        alpha: f32,
        gamma: f32,
    },
    /// `x < 0 ? alpha * x : x`.
    LeakyRelu {
        alpha: f32,
    },
    /// `x > alpha ? x : 0`.
    ThresholdedRelu {
        alpha: f32,
    },
    /// `min(max(alpha * x + beta, 0), 1)`.
    HardSigmoid {
        alpha: f32,
        beta: f32,
    },
    /// `x < -lambda ? x + bias : x > lambda ? x - bias : 0`.
    Shrink {
        bias: f32,
        lambda: f32,
    },
    /// `x * sigmoid(alpha * x)`.
    Swish {
        alpha: f32,
    },
    /// `min(max(x, low), high)`.
    Clamp {
        low: f32,
        high: f32,
    },
}

/// Functions of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it; traps are documented")]
pub enum Zip {
    Add,
    Subtract,
    Multiply,
    /// Integers truncate; division by zero gives 0.
    Divide,
    /// The result has the base's type; exponents may have another.
    Power,
    /// Sign of the divisor, as Python's `%`.
    Modulo,
    /// Sign of the dividend, as C's `fmod`.
    Remainder,
    /// NaN where either is.
    Minimum,
    /// NaN where either is.
    Maximum,
    /// `a < 0 ? a * b : a`.
    Prelu,
    /// Logical, of `Bool`.
    And,
    Or,
    Xor,
    /// Bitwise, of integers.
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// `atan2(a, b)`.
    Atan2,
    /// `(a - b)²`.
    SquaredDifference,
    /// Rounds the quotient towards minus infinity.
    FloorDivide,
}

/// What stands outside an array that is padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    /// The value operand.
    Constant,
    /// The nearest element.
    Edge,
    /// Mirrored at the border element, which is not repeated.
    Reflect,
    /// Mirrored behind the border element, which is repeated (TFLite SYMMETRIC).
    Symmetric,
    /// The other end.
    Wrap,
}

/// Attributes of [`ArrayOp::Pad`]; negative amounts crop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pad {
    /// What stands in the border.
    pub mode: PadMode,
    /// Elements added before each dimension.
    pub before: List<i64>,
    /// Elements added after each dimension.
    pub after: List<i64>,
}

/// What a [`ArrayOp::Reduce`] computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are ONNX's")]
pub enum ReduceKind {
    Sum,
    Mean,
    Product,
    Min,
    Max,
    /// `Σ |x|`.
    L1,
    /// `sqrt(Σ x²)`.
    L2,
    SumSquare,
    /// `ln Σ x`.
    LogSum,
    /// `ln Σ exp x`, shifted by the maximum.
    LogSumExp,
    /// Logical, of `Bool`.
    Any,
    /// Logical, of `Bool`.
    All,
}

/// Attributes of [`ArrayOp::Reduce`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// The statistic.
    pub kind: ReduceKind,
    /// Bit `i` is set where dimension `i` is reduced.
    pub axes: u8,
    /// Whether reduced dimensions stay with extent 1.
    pub keep: bool,
}

/// Window, steps and pads of a convolution; spatial dimensions only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Extents of the window.
    pub kernel: List<u32>,
    /// Steps of the window.
    pub strides: List<u32>,
    /// Steps inside the window.
    pub dilations: List<u32>,
    /// Padding before each dimension.
    pub before: List<u32>,
    /// Padding after each dimension.
    pub after: List<u32>,
    /// Independent groups of channels.
    pub groups: u32,
}

impl Conv {
    /// Elements that the window spans along spatial dimension `i`, its gaps included.
    ///
    /// # Panics
    /// If the window has no such dimension.
    pub fn span(&self, i: usize) -> u64 {
        u64::from(self.dilations[i]) * u64::from(self.kernel[i]).saturating_sub(1) + 1
    }

    /// Places of the window along spatial dimension `i` of `input` elements and their padding, or
    /// `None` if it has none there.
    ///
    /// # Panics
    /// If the window has no such dimension.
    pub fn extent(&self, i: usize, input: u64) -> Option<u64> {
        let padding = u64::from(self.before[i]) + u64::from(self.after[i]);
        let room = input.checked_add(padding)?.checked_sub(self.span(i))?;
        Some(room.checked_div(u64::from(self.strides[i]))? + 1)
    }
}

/// Where an image's channels stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// Before the spatial dimensions: `[n, c, …]`.
    First,
    /// Behind them: `[n, …, c]`.
    Last,
}

impl Channels {
    /// The dimension of the channels in an image of this rank.
    pub fn axis(self, rank: usize) -> usize {
        match self {
            Self::First => 1,
            Self::Last => rank.saturating_sub(1),
        }
    }

    /// The first of the spatial dimensions.
    pub fn spatial(self) -> usize {
        match self {
            Self::First => 2,
            Self::Last => 1,
        }
    }

    /// The extents of an image, its spatial ones in order.
    pub fn image(self, n: u64, c: u64, spatial: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut dims: Vec<u64> = spatial.into_iter().collect();
        dims.insert(0, n);
        let axis = self.axis(dims.len() + 1);
        dims.insert(axis, c);
        dims
    }
}

/// What a [`ArrayOp::Pool`] computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// The largest element; padding is never chosen.
    Max,
    /// Its position as I64 in the flat operand; `column_major` counts the last two swapped.
    /// Channels stand first.
    MaxIndex {
        /// Column-major order of the spatial dimensions.
        column_major: bool,
    },
    /// The mean; of integers rounded, halves away from zero.
    Average {
        /// Whether padding counts as zeros.
        count_padding: bool,
    },
    /// `(Σ |x|^p)^(1/p)`.
    Lp {
        /// The exponent.
        p: u32,
    },
}

/// Attributes of [`ArrayOp::Pool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The statistic.
    pub kind: PoolKind,
    /// Window, steps and pads; `groups` is 1.
    pub conv: Conv,
    /// Spatial extents of the result (rounding up is decided by the importer).
    pub output: List<u32>,
    /// Where the channels stand, in the operand and in the result.
    pub channels: Channels,
}

/// How an update meets the element that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Combine {
    Replace,
    Add,
    Multiply,
    Min,
    Max,
}

/// Which samples are blended into one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Interpolation {
    /// One sample.
    Nearest(Nearest),
    /// Two along each dimension.
    Linear,
    /// Four along each dimension, Keys' kernel.
    Cubic {
        /// Keys' parameter, usually -0.75.
        a: f32,
    },
}

/// Which of two neighbours is nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearest {
    /// Halves towards minus infinity.
    HalfDown,
    /// Halves towards plus infinity.
    HalfUp,
    /// Halves to even.
    HalfEven,
    /// The lower.
    Floor,
    /// The upper.
    Ceil,
}

/// Which place of the operand an index of the result means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are ONNX's coordinate_transformation_mode")]
pub enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    /// Samples `start + i * (end - start) …` of the roi; outside reads the extrapolation value.
    CropAndResize,
}

/// Attributes of [`ArrayOp::Resize`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resize {
    /// The result's extents.
    pub dims: Shape,
    /// Factor of each dimension, as given or as the quotient of extents; 1 leaves it alone.
    pub scales: List<f32>,
    /// Which samples are blended.
    pub mode: Interpolation,
    /// Where they are.
    pub coordinates: Coordinates,
    /// Whether weights outside the operand are left out and the others scaled up.
    pub exclude_outside: bool,
    /// Whether shrinking widens the kernel.
    pub antialias: bool,
    /// Region of interest: starts, then ends, of all dimensions; empty but for `CropAndResize`.
    pub roi_start: List<f32>,
    /// Ends of the region of interest.
    pub roi_end: List<f32>,
    /// What `CropAndResize` reads outside.
    pub extrapolation: f32,
}

/// What [`ArrayOp::GridSample`] reads outside of its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are ONNX's padding_mode")]
pub enum GridPadding {
    Zeros,
    Border,
    Reflection,
}

/// Attributes of [`ArrayOp::RoiAlign`] (ONNX opset 22; He et al. 2017).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoiAlign {
    /// Maximum instead of mean of the samples.
    pub max: bool,
    /// Height of the result.
    pub height: u64,
    /// Width of the result.
    pub width: u64,
    /// Samples per bin and dimension; 0 for as many as the bin has elements.
    pub sampling: u32,
    /// Factor on the coordinates of regions.
    pub scale: f32,
    /// Whether coordinates are shifted by half a pixel.
    pub half_pixel: bool,
}

/// Which cell a [`ArrayOp::Recurrent`] repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// One gate.
    Rnn,
    /// Gates z, r, h.
    Gru {
        /// Whether the reset gate is applied after the product with `r`.
        linear_before_reset: bool,
    },
    /// Gates i, o, f, c.
    Lstm {
        /// Whether the forget gate is `1 - input gate`.
        input_forget: bool,
    },
}

/// In which direction a sequence is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Direction {
    Forward,
    Reverse,
    Both,
}

/// Attributes of [`ArrayOp::Recurrent`] (ONNX LSTM, GRU and RNN, opset 22).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recurrent {
    /// The cell.
    pub cell: Cell,
    /// The direction, or both.
    pub direction: Direction,
    /// Width of the hidden state.
    pub hidden: u32,
    /// Bound on the gates' arguments, where given.
    pub clip: Option<f32>,
    /// Activations of the gates, three for each direction; unused ones repeat the first.
    pub activations: [Map; 6],
}

/// Attributes of [`ArrayOp::Dft`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dft {
    /// The transformed dimension.
    pub axis: u8,
    /// Points of the transform; the operand is cut or padded with zeros.
    pub length: u64,
    /// Inverse, divided by `length`.
    pub inverse: bool,
    /// Forward: real operand, only `length / 2 + 1` results. Inverse: such an operand, real result.
    pub onesided: bool,
}

impl ArrayOp {
    /// Multiplications of products of matrices, for operands `a`, `b` and a result of these extents;
    /// 0 for operators that are bound by memory or by what they compute of each element.
    pub fn macs(&self, a: &[u64], b: &[u64], out: &[u64]) -> u64 {
        let product = |dims: &[u64]| dims.iter().fold(1, |n: u64, dim| n.saturating_mul(*dim));
        match self {
            Self::MatMul | Self::MatMulFused(_) => {
                product(out).saturating_mul(a.last().copied().unwrap_or(1))
            }
            Self::Conv(_) | Self::ConvLast { .. } | Self::DeformConv { .. } => {
                product(out).saturating_mul(product(b.get(1..).unwrap_or_default()))
            }
            Self::ConvTranspose { .. } => {
                product(a).saturating_mul(product(b.get(1..).unwrap_or_default()))
            }
            Self::ConvTransposeLast { .. } => {
                let behind = b.len().saturating_sub(1);
                let taps = product(b.get(..behind).unwrap_or_default());
                product(a).saturating_mul(taps)
            }
            // The recurrent weights are as many as those of the input, where both are as wide.
            Self::Recurrent(cell) => {
                let [steps, batch] = [0, 1].map(|i| a.get(i).copied().unwrap_or(1));
                let [directions, gates] = [0, 1].map(|i| b.get(i).copied().unwrap_or(1));
                let own = directions * gates * u64::from(cell.hidden);
                (steps * batch).saturating_mul(product(b).saturating_add(own))
            }
            _ => 0,
        }
    }

    /// The operator's name in text forms, traces and messages.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Map(_) => "map",
            Self::Zip(_) => "zip",
            Self::Select => "select",
            Self::Cast { .. } => "cast",
            Self::Reshape { .. } => "reshape",
            Self::View(_) => "view",
            Self::Concat { .. } => "concat",
            Self::Pad(_) => "pad",
            Self::Reduce(_) => "reduce",
            Self::ArgReduce { .. } => "arg_reduce",
            Self::Accumulate { .. } => "accumulate",
            Self::MatMul => "matmul",
            Self::MatMulFused(_) => "matmul_fused",
            Self::Conv(_) => "conv",
            Self::ConvLast { .. } => "conv_last",
            Self::ConvTranspose { .. } => "conv_transpose",
            Self::ConvTransposeLast { .. } => "conv_transpose_last",
            Self::DeformConv { .. } => "deform_conv",
            Self::Pool(_) => "pool",
            Self::MaxUnpool { .. } => "max_unpool",
            Self::Gather { .. } => "gather",
            Self::GatherElements { .. } => "gather_elements",
            Self::GatherNd { .. } => "gather_nd",
            Self::ScatterElements { .. } => "scatter_elements",
            Self::ScatterNd { .. } => "scatter_nd",
            Self::OneHot { .. } => "one_hot",
            Self::Resize(_) => "resize",
            Self::GridSample { .. } => "grid_sample",
            Self::RoiAlign(_) => "roi_align",
            Self::Col2Im { .. } => "col2im",
            Self::TopK { .. } => "top_k",
            Self::Softmax { .. } => "softmax",
            Self::Normalise { .. } => "normalise",
            Self::LocalResponse { .. } => "local_response",
            Self::Recurrent(_) => "recurrent",
            Self::Dft(_) => "dft",
            Self::Triangle { .. } => "triangle",
            Self::Quantize { .. } => "quantize",
            Self::Dequantize { .. } => "dequantize",
            Self::Requant(_) => "requant",
            Self::Lookup => "lookup",
            Self::CodePairs(_) => "code_pairs",
        }
    }
}
