//! Attributes of [`ArrayOp`]s as `key=value`, both ways from one list.
//!
//! [`fields`] names each attribute once; whether it prints or reads is the codec's affair. Lists
//! are written `[1,2]`, enums by name with their parameters behind colons (`elu:0.5`).

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use plan::ArrayOp;
use plan::array::{
    Cell, Channels, CodePairs, Combine, Conv, Coordinates, Dft, Direction, Epilogue, GridPadding,
    Interpolation, List, Map, Nearest, Pad, PadMode, Pool, PoolKind, Recurrent, Reduce, ReduceKind,
    Requant, Resize, RoiAlign, Rounding, Scaled, View, Zip,
};
use tensor::{DType, Shape, TensorType};

/// A value of an attribute, without blanks.
pub(super) trait Text: Sized {
    fn print(&self) -> String;
    fn read(text: &str) -> Option<Self>;
}

/// Prints or reads one attribute after the other.
pub(super) trait Codec {
    fn field<T: Text>(&mut self, key: &'static str, value: &mut T) -> Result<(), String>;
}

/// All attributes of `op`, in a fixed order.
pub(super) fn fields(op: &mut ArrayOp, codec: &mut impl Codec) -> Result<(), String> {
    match op {
        ArrayOp::Map(map) => codec.field("fn", map),
        ArrayOp::Zip(zip) => codec.field("fn", zip),
        ArrayOp::Select | ArrayOp::MatMul | ArrayOp::Lookup => Ok(()),
        ArrayOp::Cast { to, saturate } => {
            codec.field("to", to)?;
            codec.field("saturate", saturate)
        }
        ArrayOp::Reshape { dims } | ArrayOp::MaxUnpool { dims } => codec.field("dims", dims),
        ArrayOp::View(View { dims, strides, offset }) => {
            codec.field("dims", dims)?;
            codec.field("strides", strides)?;
            codec.field("offset", offset)
        }
        ArrayOp::Concat { axis } | ArrayOp::GatherElements { axis } => codec.field("axis", axis),
        ArrayOp::Pad(Pad { mode, before, after }) => {
            codec.field("mode", mode)?;
            codec.field("before", before)?;
            codec.field("after", after)
        }
        ArrayOp::Reduce(Reduce { kind, axes, keep }) => {
            codec.field("fn", kind)?;
            codec.field("axes", axes)?;
            codec.field("keep", keep)
        }
        ArrayOp::ArgReduce { largest, axis, last } => {
            codec.field("largest", largest)?;
            codec.field("axis", axis)?;
            codec.field("last", last)
        }
        ArrayOp::Accumulate { product, axis, exclusive, reverse } => {
            codec.field("product", product)?;
            codec.field("axis", axis)?;
            codec.field("exclusive", exclusive)?;
            codec.field("reverse", reverse)
        }
        ArrayOp::MatMulFused(epilogue) => fused(epilogue, codec),
        ArrayOp::Conv(conv) => window(conv, codec),
        ArrayOp::ConvLast { conv, epilogue } => {
            window(conv, codec)?;
            fused(epilogue, codec)
        }
        ArrayOp::ConvTranspose { conv, output } => {
            window(conv, codec)?;
            codec.field("output", output)
        }
        ArrayOp::ConvTransposeLast { conv, output, epilogue } => {
            window(conv, codec)?;
            codec.field("output", output)?;
            fused(epilogue, codec)
        }
        ArrayOp::DeformConv { conv, offset_groups } => {
            window(conv, codec)?;
            codec.field("offset_groups", offset_groups)
        }
        ArrayOp::Pool(Pool { kind, conv, output, channels }) => {
            codec.field("fn", kind)?;
            window(conv, codec)?;
            codec.field("output", output)?;
            codec.field("channels", channels)
        }
        ArrayOp::Gather { axis, batch } => {
            codec.field("axis", axis)?;
            codec.field("batch", batch)
        }
        ArrayOp::GatherNd { batch } => codec.field("batch", batch),
        ArrayOp::ScatterElements { axis, combine } => {
            codec.field("axis", axis)?;
            codec.field("combine", combine)
        }
        ArrayOp::ScatterNd { combine } => codec.field("combine", combine),
        ArrayOp::OneHot { axis, depth } => {
            codec.field("axis", axis)?;
            codec.field("depth", depth)
        }
        ArrayOp::Resize(op) => {
            codec.field("dims", &mut op.dims)?;
            codec.field("scales", &mut op.scales)?;
            codec.field("mode", &mut op.mode)?;
            codec.field("coordinates", &mut op.coordinates)?;
            codec.field("exclude_outside", &mut op.exclude_outside)?;
            codec.field("antialias", &mut op.antialias)?;
            codec.field("roi_start", &mut op.roi_start)?;
            codec.field("roi_end", &mut op.roi_end)?;
            codec.field("extrapolation", &mut op.extrapolation)
        }
        ArrayOp::GridSample { mode, padding, align_corners } => {
            codec.field("mode", mode)?;
            codec.field("padding", padding)?;
            codec.field("align_corners", align_corners)
        }
        ArrayOp::RoiAlign(op) => {
            codec.field("max", &mut op.max)?;
            codec.field("height", &mut op.height)?;
            codec.field("width", &mut op.width)?;
            codec.field("sampling", &mut op.sampling)?;
            codec.field("scale", &mut op.scale)?;
            codec.field("half_pixel", &mut op.half_pixel)
        }
        ArrayOp::Col2Im { image, conv } => {
            codec.field("image", image)?;
            window(conv, codec)
        }
        ArrayOp::TopK { axis, k, largest } => {
            codec.field("axis", axis)?;
            codec.field("k", k)?;
            codec.field("largest", largest)
        }
        ArrayOp::Softmax { axis, log } => {
            codec.field("axis", axis)?;
            codec.field("log", log)
        }
        ArrayOp::Normalise { axis, eps, rms } => {
            codec.field("axis", axis)?;
            codec.field("eps", eps)?;
            codec.field("rms", rms)
        }
        ArrayOp::LocalResponse { axis, size, alpha, beta, bias } => {
            codec.field("axis", axis)?;
            codec.field("size", size)?;
            codec.field("alpha", alpha)?;
            codec.field("beta", beta)?;
            codec.field("bias", bias)
        }
        ArrayOp::Recurrent(op) => {
            codec.field("cell", &mut op.cell)?;
            codec.field("direction", &mut op.direction)?;
            codec.field("hidden", &mut op.hidden)?;
            codec.field("clip", &mut op.clip)?;
            codec.field("activations", &mut op.activations)
        }
        ArrayOp::Dft(Dft { axis, length, inverse, onesided }) => {
            codec.field("axis", axis)?;
            codec.field("length", length)?;
            codec.field("inverse", inverse)?;
            codec.field("onesided", onesided)
        }
        ArrayOp::Triangle { upper, k } => {
            codec.field("upper", upper)?;
            codec.field("k", k)
        }
        ArrayOp::Quantize { axis, block, to, saturate } => {
            codec.field("axis", axis)?;
            codec.field("block", block)?;
            codec.field("to", to)?;
            codec.field("saturate", saturate)
        }
        ArrayOp::Dequantize { axis, block, to } => {
            codec.field("axis", axis)?;
            codec.field("block", block)?;
            codec.field("to", to)
        }
        ArrayOp::Requant(Requant { rounding, axis, zero, low, high, to }) => {
            codec.field("rounding", rounding)?;
            codec.field("axis", axis)?;
            codec.field("zero", zero)?;
            codec.field("low", low)?;
            codec.field("high", high)?;
            codec.field("to", to)
        }
        ArrayOp::CodePairs(CodePairs { zip, operands: [a, b], result, low, high, to }) => {
            codec.field("fn", zip)?;
            codec.field("a_scale", &mut a.scale)?;
            codec.field("a_zero", &mut a.zero)?;
            codec.field("b_scale", &mut b.scale)?;
            codec.field("b_zero", &mut b.zero)?;
            codec.field("scale", &mut result.scale)?;
            codec.field("zero", &mut result.zero)?;
            codec.field("low", low)?;
            codec.field("high", high)?;
            codec.field("to", to)
        }
    }
}

fn window(conv: &mut Conv, codec: &mut impl Codec) -> Result<(), String> {
    codec.field("kernel", &mut conv.kernel)?;
    codec.field("strides", &mut conv.strides)?;
    codec.field("dilations", &mut conv.dilations)?;
    codec.field("before", &mut conv.before)?;
    codec.field("after", &mut conv.after)?;
    codec.field("groups", &mut conv.groups)
}

fn fused(epilogue: &mut Epilogue, codec: &mut impl Codec) -> Result<(), String> {
    codec.field("activation", &mut epilogue.activation)?;
    codec.field("requant", &mut epilogue.requant)
}

/// Collects what is printed.
struct Printer(Vec<(&'static str, String)>);

impl Codec for Printer {
    fn field<T: Text>(&mut self, key: &'static str, value: &mut T) -> Result<(), String> {
        self.0.push((key, value.print()));
        Ok(())
    }
}

/// The attributes of `op` as text.
pub(super) fn print(op: &ArrayOp) -> Vec<(&'static str, String)> {
    let mut printer = Printer(Vec::new());
    fields(&mut op.clone(), &mut printer).expect("printing does not fail");
    printer.0
}

/// The operator of this name with attributes that mean nothing yet, to be read.
pub(super) fn blank(name: &str) -> Option<ArrayOp> {
    all().into_iter().find(|op| op.name() == name)
}

/// One operator of each kind.
fn all() -> [ArrayOp; 42] {
    let (none, to) = (List::default(), DType::F32);
    let (dims, axis, combine) = (Shape::SCALAR, 0, Combine::Replace);
    let conv =
        Conv { kernel: none, strides: none, dilations: none, before: none, after: none, groups: 1 };
    let nearest = Interpolation::Nearest(Nearest::Floor);
    [
        ArrayOp::Map(Map::Abs),
        ArrayOp::Zip(Zip::Add),
        ArrayOp::Select,
        ArrayOp::Cast { to, saturate: true },
        ArrayOp::Reshape { dims },
        ArrayOp::View(View { dims, strides: List::default(), offset: 0 }),
        ArrayOp::Concat { axis },
        ArrayOp::Pad(Pad {
            mode: PadMode::Constant,
            before: List::default(),
            after: List::default(),
        }),
        ArrayOp::Reduce(Reduce { kind: ReduceKind::Sum, axes: 0, keep: false }),
        ArrayOp::ArgReduce { largest: true, axis, last: false },
        ArrayOp::Accumulate { product: false, axis, exclusive: false, reverse: false },
        ArrayOp::MatMul,
        ArrayOp::MatMulFused(Epilogue::default()),
        ArrayOp::Conv(conv),
        ArrayOp::ConvLast { conv, epilogue: Epilogue::default() },
        ArrayOp::ConvTranspose { conv, output: none },
        ArrayOp::ConvTransposeLast { conv, output: none, epilogue: Epilogue::default() },
        ArrayOp::DeformConv { conv, offset_groups: 1 },
        ArrayOp::Pool(Pool { kind: PoolKind::Max, conv, output: none, channels: Channels::First }),
        ArrayOp::MaxUnpool { dims },
        ArrayOp::Gather { axis, batch: 0 },
        ArrayOp::GatherElements { axis },
        ArrayOp::GatherNd { batch: 0 },
        ArrayOp::ScatterElements { axis, combine },
        ArrayOp::ScatterNd { combine },
        ArrayOp::OneHot { axis, depth: 0 },
        ArrayOp::Resize(Resize {
            dims,
            scales: List::default(),
            mode: nearest,
            coordinates: Coordinates::Asymmetric,
            exclude_outside: false,
            antialias: false,
            roi_start: List::default(),
            roi_end: List::default(),
            extrapolation: 0.0,
        }),
        ArrayOp::GridSample { mode: nearest, padding: GridPadding::Zeros, align_corners: false },
        ArrayOp::RoiAlign(RoiAlign {
            max: false,
            height: 1,
            width: 1,
            sampling: 0,
            scale: 1.0,
            half_pixel: true,
        }),
        ArrayOp::Col2Im { image: none, conv },
        ArrayOp::TopK { axis, k: 0, largest: true },
        ArrayOp::Softmax { axis, log: false },
        ArrayOp::Normalise { axis, eps: 0.0, rms: false },
        ArrayOp::LocalResponse { axis, size: 1, alpha: 1.0, beta: 1.0, bias: 0.0 },
        ArrayOp::Recurrent(Recurrent {
            cell: Cell::Rnn,
            direction: Direction::Forward,
            hidden: 0,
            clip: None,
            activations: [Map::Tanh; 6],
        }),
        ArrayOp::Dft(Dft { axis, length: 1, inverse: false, onesided: false }),
        ArrayOp::Triangle { upper: false, k: 0 },
        ArrayOp::Quantize { axis, block: 0, to, saturate: true },
        ArrayOp::Dequantize { axis, block: 0, to },
        ArrayOp::Requant(Requant {
            rounding: Rounding::Double,
            axis,
            zero: 0,
            low: 0,
            high: 0,
            to,
        }),
        ArrayOp::Lookup,
        ArrayOp::CodePairs(CodePairs {
            zip: Zip::Add,
            operands: [Scaled { scale: 1.0, zero: 0 }; 2],
            result: Scaled { scale: 1.0, zero: 0 },
            low: 0,
            high: 0,
            to,
        }),
    ]
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Text for $number {
            fn print(&self) -> String {
                self.to_string()
            }

            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        })*
    };
}

numbers!(u8, u32, u64, i32, i64, f32, bool);

/// `name` for a variant without parameters, `name:a:b` for one with them.
macro_rules! enums {
    ($($type:ident { $($variant:ident $({ $($field:ident),* })? $(($inner:ident))? = $name:literal),*
    $(,)? })*) => {
        $(impl Text for $type {
            fn print(&self) -> String {
                match self {
                    $(Self::$variant $({ $($field),* })? $(($inner))? => {
                        [$name.to_string() $($(, $field.print())*)? $(, $inner.print())?].join(":")
                    })*
                }
            }

            fn read(text: &str) -> Option<Self> {
                let mut parts = text.splitn(2, ':');
                let name = parts.next()?;
                let mut rest = parts.next().unwrap_or("").split(':').filter(|part| !part.is_empty());
                let value = match name {
                    $($name => Self::$variant $({ $($field: Text::read(rest.next()?)?),* })?
                        $(({ let $inner = rest.next()?; Text::read($inner)? }))?,)*
                    _ => return None,
                };
                rest.next().is_none().then_some(value)
            }
        })*
    };
}

enums! {
    Map {
        Abs = "abs", Negate = "negate", Sign = "sign", Ceil = "ceil", Floor = "floor",
        Round = "round", Sqrt = "sqrt", Rsqrt = "rsqrt", Reciprocal = "reciprocal",
        Square = "square", Exp = "exp", Log = "log", Sin = "sin", Cos = "cos", Tan = "tan",
        Asin = "asin", Acos = "acos", Atan = "atan", Sinh = "sinh", Cosh = "cosh", Tanh = "tanh",
        Asinh = "asinh", Acosh = "acosh", Atanh = "atanh", Erf = "erf", Sigmoid = "sigmoid",
        Relu = "relu", Relu6 = "relu6", Silu = "silu", Gelu = "gelu", GeluTanh = "gelu_tanh",
        Softplus = "softplus", Softsign = "softsign", Mish = "mish", HardSwish = "hard_swish",
        Not = "not", BitNot = "bit_not", IsNan = "is_nan",
        IsInf { negative, positive } = "is_inf", Elu { alpha } = "elu", Celu { alpha } = "celu",
        Selu { alpha, gamma } = "selu", LeakyRelu { alpha } = "leaky_relu",
        ThresholdedRelu { alpha } = "thresholded_relu",
        HardSigmoid { alpha, beta } = "hard_sigmoid", Shrink { bias, lambda } = "shrink",
        Swish { alpha } = "swish", Clamp { low, high } = "clamp",
    }
    Zip {
        Add = "add", Subtract = "subtract", Multiply = "multiply", Divide = "divide",
        Power = "power", Modulo = "modulo", Remainder = "remainder", Minimum = "minimum",
        Maximum = "maximum", Prelu = "prelu", And = "and", Or = "or", Xor = "xor",
        BitAnd = "bit_and", BitOr = "bit_or", BitXor = "bit_xor", ShiftLeft = "shift_left",
        ShiftRight = "shift_right", Equal = "equal", NotEqual = "not_equal", Less = "less",
        LessOrEqual = "less_or_equal", Greater = "greater", GreaterOrEqual = "greater_or_equal",
        Atan2 = "atan2", SquaredDifference = "squared_difference", FloorDivide = "floor_divide",
    }
    PadMode {
        Constant = "constant", Edge = "edge", Reflect = "reflect", Symmetric = "symmetric",
        Wrap = "wrap",
    }
    ReduceKind {
        Sum = "sum", Mean = "mean", Product = "product", Min = "min", Max = "max", L1 = "l1",
        L2 = "l2", SumSquare = "sum_square", LogSum = "log_sum", LogSumExp = "log_sum_exp",
        Any = "any", All = "all",
    }
    PoolKind {
        Max = "max", MaxIndex { column_major } = "max_index",
        Average { count_padding } = "average", Lp { p } = "lp",
    }
    Channels { First = "first", Last = "last" }
    Combine { Replace = "replace", Add = "add", Multiply = "multiply", Min = "min", Max = "max" }
    Interpolation { Nearest(which) = "nearest", Linear = "linear", Cubic { a } = "cubic" }
    Nearest {
        HalfDown = "half_down", HalfUp = "half_up", HalfEven = "half_even", Floor = "floor",
        Ceil = "ceil",
    }
    Coordinates {
        HalfPixel = "half_pixel", HalfPixelSymmetric = "half_pixel_symmetric",
        PytorchHalfPixel = "pytorch_half_pixel", AlignCorners = "align_corners",
        Asymmetric = "asymmetric", CropAndResize = "crop_and_resize",
    }
    Rounding {
        Double = "double", DoubleUp = "double_up", SingleAway = "single_away",
        Fp32Even = "fp32_even", Q8 = "q8", Reduced = "reduced",
    }
    GridPadding { Zeros = "zeros", Border = "border", Reflection = "reflection" }
    Cell {
        Rnn = "rnn", Gru { linear_before_reset } = "gru", Lstm { input_forget } = "lstm",
    }
    Direction { Forward = "forward", Reverse = "reverse", Both = "both" }
}

impl Text for DType {
    fn print(&self) -> String {
        self.name().into()
    }

    fn read(text: &str) -> Option<Self> {
        match text.parse() {
            Ok(TensorType::Plain(dtype)) => Some(dtype),
            Ok(TensorType::Block(_)) | Err(_) => None,
        }
    }
}

impl<T: Text> Text for Vec<T> {
    fn print(&self) -> String {
        let items: Vec<String> = self.iter().map(Text::print).collect();
        format!("[{}]", items.join(","))
    }

    fn read(text: &str) -> Option<Self> {
        let items = text.strip_prefix('[')?.strip_suffix(']')?;
        items.split(',').filter(|item| !item.is_empty()).map(Text::read).collect()
    }
}

impl<T: Text + Copy + Default> Text for List<T> {
    fn print(&self) -> String {
        self.to_vec().print()
    }

    fn read(text: &str) -> Option<Self> {
        Self::new(&<Vec<T> as Text>::read(text)?)
    }
}

impl Text for Shape {
    fn print(&self) -> String {
        self.to_vec().print()
    }

    fn read(text: &str) -> Option<Self> {
        Self::new(&<Vec<u64> as Text>::read(text)?)
    }
}

impl Text for [Map; 6] {
    fn print(&self) -> String {
        self.to_vec().print()
    }

    fn read(text: &str) -> Option<Self> {
        <Vec<Map> as Text>::read(text)?.try_into().ok()
    }
}

/// All fields behind each other: `double:3:-1:-128:127:I8`.
impl Text for Requant {
    fn print(&self) -> String {
        let Self { rounding, axis, zero, low, high, to } = self;
        let numbers = [zero, low, high].map(Text::print).join(":");
        format!("{}:{axis}:{numbers}:{to}", rounding.print())
    }

    fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let [rounding, axis, zero, low, high, to] = parts[..] else { return None };
        Some(Self {
            rounding: Text::read(rounding)?,
            axis: Text::read(axis)?,
            zero: Text::read(zero)?,
            low: Text::read(low)?,
            high: Text::read(high)?,
            to: Text::read(to)?,
        })
    }
}

impl<T: Text> Text for Option<T> {
    fn print(&self) -> String {
        self.as_ref().map_or_else(|| "none".into(), Text::print)
    }

    fn read(text: &str) -> Option<Self> {
        if text == "none" { Some(None) } else { T::read(text).map(Some) }
    }
}

#[cfg(test)]
mod tests;
