//! Settings of TFLite's operators: a table for each kind, read when an operator is understood.
//!
//! An operator whose settings are left out has the schema's defaults. Kinds without a type here
//! have no settings, or are read by field number ([`Options::scalar`], [`Options::list`]).

use super::{List, Scalar, TensorType};
use crate::{FormatError, Label, flatbuffer::Table};

/// A table of settings, and which one it is.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    kind: u8,
    table: Option<Table<'a>>,
    holder: Table<'a>,
}

impl<'a> Options<'a> {
    /// The union in two fields of an operator.
    pub(super) fn read(
        operator: &Table<'a>,
        kind: usize,
        table: usize,
    ) -> Result<Self, FormatError> {
        let kind = operator.scalar(kind, 0u8)?;
        let table = if kind == 0 { None } else { operator.table(table, "builtin options")? };
        Ok(Self { kind, table, holder: *operator })
    }

    /// Which table it is: a code of `BuiltinOptions` or `BuiltinOptions2`; 0 for none.
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// A number by its field, or `default` if it is not there.
    ///
    /// # Errors
    /// If the field is not within the table.
    pub fn scalar<T: Scalar>(&self, field: usize, default: T) -> Result<T, FormatError> {
        self.table.map_or(Ok(default), |table| table.scalar(field, default))
    }

    /// Numbers by their field; none if it is not there.
    ///
    /// # Errors
    /// If they are not within the file.
    pub fn list<T: Scalar>(&self, field: usize) -> Result<List<'a, T>, FormatError> {
        self.table.map_or(Ok(List::default()), |table| table.list(field))
    }

    /// A name by its field; empty if it is not there.
    ///
    /// # Errors
    /// If it is not within the file, no UTF-8 or too long.
    pub fn name(&self, field: usize) -> Result<&'a str, FormatError> {
        self.table.map_or(Ok(""), |table| table.name(field, "name"))
    }

    /// Refuses the settings of another operator.
    fn expect(&self, kind: u8, what: &'static str) -> Result<(), FormatError> {
        if self.kind == kind || self.kind == 0 {
            return Ok(());
        }
        let place = self.holder.place("builtin_options");
        Err(FormatError::invalid(place, what, format_args!("kind {}", self.kind)))
    }

    /// A code of a closed set.
    fn code<T: Copy>(&self, field: usize, set: &[T], what: &str) -> Result<T, FormatError> {
        let code: i8 = self.scalar(field, 0)?;
        let found = usize::try_from(code).ok().and_then(|idx| set.get(idx)).copied();
        found.ok_or_else(|| FormatError::Unsupported {
            place: self.holder.place(what),
            got: Label::from(format_args!("code {code}")),
            instead: "it is not in version 3 of the schema",
        })
    }
}

/// How a window may hang over the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Padded so that there is an output for every stride; the odd one is at the end.
    Same,
    /// Not at all.
    Valid,
}

/// What is done to the result before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// At least 0.
    Relu,
    /// From −1 to 1.
    ReluN1To1,
    /// From 0 to 6.
    Relu6,
    /// Hyperbolic tangent.
    Tanh,
    /// The sign bit.
    SignBit,
}

/// How a mirror treats the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirror {
    /// The edge is not repeated.
    Reflect,
    /// The edge is repeated.
    Symmetric,
}

/// What an LSTM cell is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LstmKernel {
    /// Inputs for each gate, with projection, peepholes and normalisation.
    Full,
    /// One weight for all gates.
    Basic,
}

/// A setting that can be read by its field.
trait Setting: Sized {
    fn read(
        options: &Options<'_>,
        field: usize,
        default: Option<Self>,
    ) -> Result<Self, FormatError>;
}

macro_rules! scalar_settings {
    ($($ty:ty),*) => { $(
        impl Setting for $ty {
            fn read(
                options: &Options<'_>,
                field: usize,
                default: Option<Self>,
            ) -> Result<Self, FormatError> {
                options.scalar(field, default.unwrap_or_default())
            }
        }
    )* };
}
scalar_settings!(i32, u32, i64, f32, bool);

impl Setting for Padding {
    fn read(options: &Options<'_>, field: usize, _: Option<Self>) -> Result<Self, FormatError> {
        options.code(field, &[Self::Same, Self::Valid], "padding")
    }
}

impl Setting for Activation {
    fn read(options: &Options<'_>, field: usize, _: Option<Self>) -> Result<Self, FormatError> {
        let all = [Self::None, Self::Relu, Self::ReluN1To1, Self::Relu6, Self::Tanh, Self::SignBit];
        options.code(field, &all, "fused_activation_function")
    }
}

impl Setting for Mirror {
    fn read(options: &Options<'_>, field: usize, _: Option<Self>) -> Result<Self, FormatError> {
        options.code(field, &[Self::Reflect, Self::Symmetric], "mode")
    }
}

impl Setting for LstmKernel {
    fn read(options: &Options<'_>, field: usize, _: Option<Self>) -> Result<Self, FormatError> {
        options.code(field, &[Self::Full, Self::Basic], "kernel_type")
    }
}

impl Setting for TensorType {
    fn read(
        options: &Options<'_>,
        field: usize,
        default: Option<Self>,
    ) -> Result<Self, FormatError> {
        // The first type is the schema's default unless it says otherwise.
        let default = default.unwrap_or(Self::Float32) as i8;
        let code = options.scalar(field, default)?;
        Self::read(code, || options.holder.place("a type"))
    }
}

/// Declares the settings of operators: type, code of the union, then each field with its number
/// in the table and its default where that is not zero.
macro_rules! options {
    ($($(#[$doc:meta])* $name:ident = $kind:literal {
        $($(#[$field_doc:meta])* $field:ident: $ty:ty = $id:literal $(or $default:expr)?,)*
    })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $ty,)*
        }

        impl $name {
            /// Reads the settings of an operator.
            ///
            /// # Errors
            /// If they are another operator's, not within the file, or of a newer schema.
            pub fn read(options: &Options<'_>) -> Result<Self, FormatError> {
                options.expect($kind, stringify!($name))?;
                Ok(Self { $($field: Setting::read(options, $id, None $(.or(Some($default)))?)?,)* })
            }
        }
    )* };
}

options! {
    /// Of `CONV_2D`.
    Conv2d = 1 {
        /// What happens at the edge.
        padding: Padding = 0,
        /// Step along the width.
        stride_w: i32 = 1,
        /// Step along the height.
        stride_h: i32 = 2,
        /// Done to the result.
        activation: Activation = 3,
        /// Distance of the filter's columns.
        dilation_w: i32 = 4 or 1,
        /// Distance of the filter's rows.
        dilation_h: i32 = 5 or 1,
    }
    /// Of `DEPTHWISE_CONV_2D`.
    DepthwiseConv2d = 2 {
        /// What happens at the edge.
        padding: Padding = 0,
        /// Step along the width.
        stride_w: i32 = 1,
        /// Step along the height.
        stride_h: i32 = 2,
        /// Outputs of each input channel; the weights' shape says it, too.
        depth_multiplier: i32 = 3,
        /// Done to the result.
        activation: Activation = 4,
        /// Distance of the filter's columns.
        dilation_w: i32 = 5 or 1,
        /// Distance of the filter's rows.
        dilation_h: i32 = 6 or 1,
    }
    /// Of `AVERAGE_POOL_2D`, `MAX_POOL_2D` and `L2_POOL_2D`.
    Pool2d = 5 {
        /// What happens at the edge.
        padding: Padding = 0,
        /// Step along the width.
        stride_w: i32 = 1,
        /// Step along the height.
        stride_h: i32 = 2,
        /// Width of the window.
        filter_w: i32 = 3,
        /// Height of the window.
        filter_h: i32 = 4,
        /// Done to the result.
        activation: Activation = 5,
    }
    /// Of `SVDF`.
    Svdf = 6 {
        /// Filters that make up one unit.
        rank: i32 = 0,
        /// Done to the result.
        activation: Activation = 1,
        /// Whether inputs are quantised row by row with a zero point.
        asymmetric_inputs: bool = 2,
    }
    /// Of `RNN`.
    Rnn = 7 {
        /// Done to the result.
        activation: Activation = 0,
        /// Whether inputs are quantised row by row with a zero point.
        asymmetric_inputs: bool = 1,
    }
    /// Of `FULLY_CONNECTED`.
    FullyConnected = 8 {
        /// Done to the result.
        activation: Activation = 0,
        /// 0 for rows of weights, 1 for blocks of 4 × 16.
        weights_format: bool = 1,
        /// Whether the result has the input's outer dimensions.
        keep_num_dims: bool = 2,
        /// Whether inputs are quantised row by row with a zero point.
        asymmetric_inputs: bool = 3,
    }
    /// Of `SOFTMAX`.
    Softmax = 9 {
        /// What the input is multiplied with.
        beta: f32 = 0,
    }
    /// Of `CONCATENATION`.
    Concatenation = 10 {
        /// Along which dimension; negative ones count from the last.
        axis: i32 = 0,
        /// Done to the result.
        activation: Activation = 1,
    }
    /// Of `ADD`.
    Add = 11 {
        /// Done to the result.
        activation: Activation = 0,
        /// Whether scales of 16-bit values are powers of two.
        pot_scale_int16: bool = 1 or true,
    }
    /// Of `L2_NORMALIZATION`.
    L2Norm = 12 {
        /// Done to the result.
        activation: Activation = 0,
    }
    /// Of `LOCAL_RESPONSE_NORMALIZATION`.
    LocalResponseNorm = 13 {
        /// Half the window along the channels.
        radius: i32 = 0,
        /// Added to the scaled sum.
        bias: f32 = 1,
        /// What the sum of squares is multiplied with.
        alpha: f32 = 2,
        /// The power.
        beta: f32 = 3,
    }
    /// Of `LSTM`.
    Lstm = 14 {
        /// Done to the cell.
        activation: Activation = 0,
        /// Bound of the cell's values; 0 for none.
        cell_clip: f32 = 1,
        /// Bound of the projection's values; 0 for none.
        projection_clip: f32 = 2,
        /// What the cell is made of.
        kernel: LstmKernel = 3,
        /// Whether inputs are quantised row by row with a zero point.
        asymmetric_inputs: bool = 4,
    }
    /// Of `RESIZE_BILINEAR`.
    ResizeBilinear = 15 {
        /// Whether the corners' centres are kept.
        align_corners: bool = 2,
        /// Whether pixels have their centres at half.
        half_pixel_centers: bool = 3,
    }
    /// Of `CALL`.
    Call = 16 {
        /// Index of the graph to run.
        subgraph: i32 = 0,
    }
    /// Of `SPACE_TO_DEPTH`.
    SpaceToDepth = 19 {
        /// Edge of a block.
        block_size: i32 = 0,
    }
    /// Of `MUL`.
    Mul = 21 {
        /// Done to the result.
        activation: Activation = 0,
    }
    /// Of `GATHER`.
    Gather = 23 {
        /// Along which dimension.
        axis: i32 = 0,
        /// Outer dimensions that data and indices share.
        batch_dims: i32 = 1,
    }
    /// Of `MEAN`, `SUM` and `REDUCE_…`.
    Reducer = 27 {
        /// Whether reduced dimensions stay, as 1.
        keep_dims: bool = 0,
    }
    /// Of `SUB`.
    Sub = 28 {
        /// Done to the result.
        activation: Activation = 0,
        /// Whether scales of 16-bit values are powers of two.
        pot_scale_int16: bool = 1 or true,
    }
    /// Of `DIV`.
    Div = 29 {
        /// Done to the result.
        activation: Activation = 0,
    }
    /// Of `UNIDIRECTIONAL_SEQUENCE_RNN`.
    SequenceRnn = 31 {
        /// Whether time is the first dimension.
        time_major: bool = 0,
        /// Done to the result.
        activation: Activation = 1,
        /// Whether inputs are quantised row by row with a zero point.
        asymmetric_inputs: bool = 2,
    }
    /// Of `STRIDED_SLICE`; bit i of a mask is of dimension i.
    StridedSlice = 32 {
        /// Dimensions that begin at their start.
        begin_mask: i32 = 0,
        /// Dimensions that end at their end.
        end_mask: i32 = 1,
        /// The place of all dimensions that are not named.
        ellipsis_mask: i32 = 2,
        /// New dimensions of 1.
        new_axis_mask: i32 = 3,
        /// Dimensions that are taken away.
        shrink_axis_mask: i32 = 4,
        /// Whether ends count from the begins.
        offset: bool = 5,
    }
    /// Of `SPLIT`.
    Split = 35 {
        /// Number of parts.
        parts: i32 = 0,
    }
    /// Of `CAST`.
    Cast = 37 {
        /// From this type.
        from: TensorType = 0,
        /// To this type.
        to: TensorType = 1,
    }
    /// Of `ARG_MAX`.
    ArgMax = 40 {
        /// Type of the indices.
        output: TensorType = 0,
    }
    /// Of `TRANSPOSE_CONV`.
    TransposeConv = 49 {
        /// What happens at the edge.
        padding: Padding = 0,
        /// Step along the width.
        stride_w: i32 = 1,
        /// Step along the height.
        stride_h: i32 = 2,
        /// Done to the result.
        activation: Activation = 3,
    }
    /// Of `SPARSE_TO_DENSE`.
    SparseToDense = 50 {
        /// Whether indices are sorted and occur once.
        validate: bool = 0,
    }
    /// Of `SHAPE`.
    Shape = 55 {
        /// Type of the extents.
        output: TensorType = 0,
    }
    /// Of `ARG_MIN`.
    ArgMin = 57 {
        /// Type of the indices.
        output: TensorType = 0,
    }
    /// Of `FAKE_QUANT`.
    FakeQuant = 58 {
        /// The smallest value.
        min: f32 = 0,
        /// The largest value.
        max: f32 = 1,
        /// Bits of a number.
        bits: i32 = 2,
        /// Whether the lowest number is left out.
        narrow_range: bool = 3,
    }
    /// Of `PACK`.
    Pack = 59 {
        /// Number of inputs.
        count: i32 = 0,
        /// The new dimension.
        axis: i32 = 1,
    }
    /// Of `ONE_HOT`.
    OneHot = 61 {
        /// The new dimension; −1 for the last.
        axis: i32 = 0,
    }
    /// Of `UNPACK`.
    Unpack = 64 {
        /// Number of outputs.
        count: i32 = 0,
        /// The dimension that is taken away.
        axis: i32 = 1,
    }
    /// Of `BIDIRECTIONAL_SEQUENCE_LSTM`.
    BidirectionalLstm = 69 {
        /// Done to the cell.
        activation: Activation = 0,
        /// Bound of the cell's values; 0 for none.
        cell_clip: f32 = 1,
        /// Bound of the projection's values; 0 for none.
        projection_clip: f32 = 2,
        /// Whether both directions are one result.
        merge_outputs: bool = 3,
        /// Whether time is the first dimension.
        time_major: bool = 4 or true,
        /// Whether inputs are quantised row by row with a zero point.
        asymmetric_inputs: bool = 5,
    }
    /// Of `BIDIRECTIONAL_SEQUENCE_RNN`.
    BidirectionalRnn = 70 {
        /// Whether time is the first dimension.
        time_major: bool = 0,
        /// Done to the result.
        activation: Activation = 1,
        /// Whether both directions are one result.
        merge_outputs: bool = 2,
        /// Whether inputs are quantised row by row with a zero point.
        asymmetric_inputs: bool = 3,
    }
    /// Of `UNIDIRECTIONAL_SEQUENCE_LSTM`.
    SequenceLstm = 71 {
        /// Done to the cell.
        activation: Activation = 0,
        /// Bound of the cell's values; 0 for none.
        cell_clip: f32 = 1,
        /// Bound of the projection's values; 0 for none.
        projection_clip: f32 = 2,
        /// Whether time is the first dimension.
        time_major: bool = 3,
        /// Whether inputs are quantised row by row with a zero point.
        asymmetric_inputs: bool = 4,
        /// Whether recurrent weights are diagonals.
        diagonal_recurrent: bool = 5,
    }
    /// Of `RESIZE_NEAREST_NEIGHBOR`.
    ResizeNearest = 74 {
        /// Whether the corners' centres are kept.
        align_corners: bool = 0,
        /// Whether pixels have their centres at half.
        half_pixel_centers: bool = 1,
    }
    /// Of `LEAKY_RELU`.
    LeakyRelu = 75 {
        /// What negative values are multiplied with.
        alpha: f32 = 0,
    }
    /// Of `MIRROR_PAD`.
    MirrorPad = 77 {
        /// What the edge does.
        mode: Mirror = 0,
    }
    /// Of `SPLIT_V`.
    SplitV = 79 {
        /// Number of parts.
        parts: i32 = 0,
    }
    /// Of `UNIQUE`.
    Unique = 80 {
        /// Type of the indices.
        output: TensorType = 0 or TensorType::Int32,
    }
    /// Of `REVERSE_SEQUENCE`.
    ReverseSequence = 87 {
        /// The dimension that is reversed.
        seq_dim: i32 = 0,
        /// The dimension whose lengths are given.
        batch_dim: i32 = 1,
    }
    /// Of `IF`.
    If = 92 {
        /// Index of the graph to run if true.
        then_subgraph: i32 = 0,
        /// Index of the graph to run if false.
        else_subgraph: i32 = 1,
    }
    /// Of `WHILE`.
    While = 93 {
        /// Index of the graph that says whether to go on.
        condition_subgraph: i32 = 0,
        /// Index of the graph to run again and again.
        body_subgraph: i32 = 1,
    }
    /// Of `DEPTH_TO_SPACE`.
    DepthToSpace = 94 {
        /// Edge of a block.
        block_size: i32 = 0,
    }
    /// Of `BATCH_MATMUL`.
    BatchMatmul = 101 {
        /// Whether the left matrices are transposed.
        transpose_left: bool = 0,
        /// Whether the right matrices are transposed.
        transpose_right: bool = 1,
        /// Whether inputs are quantised row by row with a zero point.
        asymmetric_inputs: bool = 2,
    }
    /// Of `CUMSUM`.
    Cumsum = 102 {
        /// Whether an element's sum is without itself.
        exclusive: bool = 0,
        /// Whether it runs from the end.
        reverse: bool = 1,
    }
    /// Of `CALL_ONCE`.
    CallOnce = 103 {
        /// Index of the graph that gives variables their first values.
        init_subgraph: i32 = 0,
    }
    /// Of `CONV_3D` and `CONV_3D_TRANSPOSE`.
    Conv3d = 106 {
        /// What happens at the edge.
        padding: Padding = 0,
        /// Step along the depth.
        stride_d: i32 = 1,
        /// Step along the width.
        stride_w: i32 = 2,
        /// Step along the height.
        stride_h: i32 = 3,
        /// Done to the result.
        activation: Activation = 4,
        /// Distance of the filter's planes.
        dilation_d: i32 = 5 or 1,
        /// Distance of the filter's columns.
        dilation_w: i32 = 6 or 1,
        /// Distance of the filter's rows.
        dilation_h: i32 = 7 or 1,
    }
    /// Of `RANDOM_UNIFORM`, `RANDOM_STANDARD_NORMAL` and `MULTINOMIAL`.
    Random = 114 {
        /// The first seed.
        seed: i64 = 0,
        /// The second seed.
        seed2: i64 = 1,
    }
    /// Of `GELU`.
    Gelu = 116 {
        /// Whether it is the one with the hyperbolic tangent.
        approximate: bool = 0,
    }
}

/// Of `RESHAPE`, where the shape is no input: the new extents, −1 for what is left.
///
/// # Errors
/// If the settings are another operator's, or not within the file.
pub fn reshape<'a>(options: &Options<'a>) -> Result<List<'a, i32>, FormatError> {
    options.expect(17, "ReshapeOptions")?;
    options.list(0)
}

/// Of `SQUEEZE`: the dimensions to take away; none for all of 1.
///
/// # Errors
/// If the settings are another operator's, or not within the file.
pub fn squeeze<'a>(options: &Options<'a>) -> Result<List<'a, i32>, FormatError> {
    options.expect(30, "SqueezeOptions")?;
    options.list(0)
}

/// Of `BUCKETIZE`: the borders of the buckets.
///
/// # Errors
/// If the settings are another operator's, or not within the file.
pub fn bucketize<'a>(options: &Options<'a>) -> Result<List<'a, f32>, FormatError> {
    options.expect(115, "BucketizeOptions")?;
    options.list(0)
}

/// Of `VAR_HANDLE`: container and name that tell a variable from others.
///
/// # Errors
/// If the settings are another operator's, or not within the file.
pub fn variable<'a>(options: &Options<'a>) -> Result<(&'a str, &'a str), FormatError> {
    options.expect(111, "VarHandleOptions")?;
    Ok((options.name(0)?, options.name(1)?))
}
