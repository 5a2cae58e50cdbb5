//! Products and convolutions of bytes as one thing: windows over lines of an image.
//!
//! A matrix is an image of one column whose channels are its columns; a convolution of one
//! dimension is an image of one line. All of it follows from the step, so that what is promised,
//! what is packed and what runs is decided alike.

use super::{Constant, Operands, bytes, dtype_of, extents, to, weight};
use crate::steps::Maker;
use plan::array::{Conv, Requant};
use plan::{ArrayOp, Op, Operand, Plan, Step};
use tensor::DType;

/// Bytes beyond which the lines that one line of a result reads are not copied.
const BAND_MAX: usize = 1 << 30;

/// A product or a convolution of bytes with constant weights.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Images, one behind the other.
    pub(super) images: usize,
    /// Lines and columns of an image.
    pub(super) image: [usize; 2],
    /// Channels of the image.
    pub(super) channels: usize,
    pub(super) kernel: [usize; 2],
    pub(super) strides: [usize; 2],
    pub(super) dilations: [usize; 2],
    /// Lines and columns of the border before the image.
    pub(super) before: [usize; 2],
    /// Lines and columns of the result.
    pub(super) out: [usize; 2],
    pub(super) groups: usize,
    /// Channels of the result.
    pub(super) outputs: usize,
    /// Whether weights stand as `[channels, outputs]`.
    pub(super) turned: bool,
    /// Whether the image's bytes are signed.
    pub(super) signed: bool,
    /// Whether the weights' bytes are.
    pub(super) w_signed: bool,
    /// Scaling of the sums.
    pub(super) requant: Option<Requant>,
    pub(super) at: At,
}

/// Which operand is which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) bias: Option<usize>,
    pub(super) x_zero: usize,
    pub(super) w_zero: usize,
    pub(super) factor: Option<usize>,
}

/// The zero point of an image's bytes, as a kernel takes these bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Zero {
    /// A constant, which biases contain.
    Constant(i32),
    /// The code that an operand holds, moved.
    Computed {
        /// Which operand.
        at: usize,
        /// Whether its byte is signed.
        signed: bool,
        /// By how much it is moved.
        by: i32,
    },
}

impl Zero {
    /// What biases contain.
    pub(super) fn fixed(self) -> i32 {
        match self {
            Self::Constant(zero) => zero,
            Self::Computed { .. } => 0,
        }
    }

    /// What is still to be taken from sums in this run, and the byte that stands for nothing.
    #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "a byte")]
    pub(super) fn now(self, operands: &Operands<'_>) -> (i32, u8) {
        match self {
            Self::Constant(zero) => (0, zero as u8),
            Self::Computed { at, signed, by } => {
                let byte = bytes(operands, at)[0];
                let zero = by + if signed { byte.cast_signed().into() } else { i32::from(byte) };
                (zero, zero as u8)
            }
        }
    }
}

impl Layer {
    /// The layer that a step is, if the kernels here compute it.
    pub(super) fn of(step: &Step, plan: &Plan) -> Option<Self> {
        let Op::Array(op) = &step.op else { return None };
        let Operand::Slot(x) = step.input(0) else { return None };
        let is_byte = |dtype| matches!(dtype, DType::I8 | DType::U8);
        let id = weight(step, 1)?;
        let w_type = dtype_of(plan, id)?;
        if !is_byte(x.dtype) || !is_byte(w_type) {
            return None;
        }
        let w: Vec<usize> = plan.weights[id.0 as usize]
            .shape
            .iter()
            .map(|&dim| usize::try_from(dim).ok())
            .collect::<Option<_>>()?;
        let dims = extents(step, 0, plan)?;
        let fused = |requant| At {
            bias: Some(2),
            x_zero: 4,
            w_zero: 5,
            factor: Option::map(requant, |_: Requant| 6),
        };
        let mut layer = match op {
            ArrayOp::ConvLast { conv, epilogue } => {
                let layer = Self::convolution(conv, &dims, &w)?;
                Self { requant: epilogue.requant, at: fused(epilogue.requant), ..layer }
            }
            ArrayOp::MatMulFused(epilogue) => Self {
                requant: epilogue.requant,
                at: fused(epilogue.requant),
                ..Self::matrix(&dims, &w)?
            },
            ArrayOp::MatMul => Self::matrix(&dims, &w)?,
            _ => return None,
        };
        (layer.signed, layer.w_signed) = (x.dtype == DType::I8, w_type == DType::I8);
        layer.has_constants(step, plan).then_some(layer)
    }

    fn matrix(dims: &[usize], w: &[usize]) -> Option<Self> {
        let (&[ref rows @ .., k], &[w_k, outputs]) = (dims, w) else { return None };
        let rows: usize = rows.iter().product();
        if rows == 0 || k == 0 || outputs == 0 || w_k != k {
            return None;
        }
        Some(Self {
            images: 1,
            image: [rows, 1],
            channels: k,
            kernel: [1, 1],
            strides: [1, 1],
            dilations: [1, 1],
            before: [0, 0],
            out: [rows, 1],
            groups: 1,
            outputs,
            turned: true,
            signed: true,
            w_signed: true,
            requant: None,
            at: At { bias: None, x_zero: 2, w_zero: 3, factor: None },
        })
    }

    fn convolution(conv: &Conv, dims: &[usize], w: &[usize]) -> Option<Self> {
        let pair = |list: &[u32], one: usize| match *list {
            [x] => Some([one, usize::try_from(x).ok()?]),
            [y, x] => Some([usize::try_from(y).ok()?, usize::try_from(x).ok()?]),
            _ => None,
        };
        let (images, image, channels) = match *dims {
            [n, x, c] => (n, [1, x], c),
            [n, y, x, c] => (n, [y, x], c),
            _ => return None,
        };
        let kernel = pair(&conv.kernel, 1)?;
        let (strides, dilations) = (pair(&conv.strides, 1)?, pair(&conv.dilations, 1)?);
        let (before, after) = (pair(&conv.before, 0)?, pair(&conv.after, 0)?);
        let (mut out, mut spans, mut reach) = ([0; 2], [0; 2], [0usize; 2]);
        for d in 0..2 {
            spans[d] = dilations[d] * kernel[d].checked_sub(1)? + 1;
            let room = (image[d] + before[d] + after[d]).checked_sub(spans[d])?;
            out[d] = room.checked_div(strides[d])? + 1;
            reach[d] = (out[d] - 1).checked_mul(strides[d])?.checked_add(spans[d])?;
        }
        // What one line of the result reads is copied with its border.
        let band = reach[1].checked_mul(channels)?.checked_mul(spans[0])?;
        if band > BAND_MAX {
            return None;
        }
        let (groups, outputs) = (usize::try_from(conv.groups).ok()?, w[0]);
        let empty = images == 0 || channels == 0 || outputs == 0 || groups == 0;
        if empty || !channels.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            return None;
        }
        let plain = kernel == [1, 1] && strides == [1, 1] && before == [0, 0] && after == [0, 0];
        if plain && groups == 1 {
            let rows = images * image[0] * image[1];
            let matrix = Self::matrix(&[rows, channels], &[channels, outputs])?;
            return Some(Self { turned: false, ..matrix });
        }
        Some(Self {
            images,
            image,
            channels,
            kernel,
            strides,
            dilations,
            before,
            out,
            groups,
            outputs,
            turned: false,
            ..Self::matrix(&[1, 1], &[1, 1])?
        })
    }

    /// Whether everything but the image and its zero point is constant, and of extents that are
    /// known here.
    fn has_constants(&self, step: &Step, plan: &Plan) -> bool {
        let elements = |i: usize| {
            let id = weight(step, i)?;
            plan.weights[id.0 as usize].shape.elements()
        };
        let absent = |i: usize| *step.input(i) == Operand::Absent;
        let each = |n: u64| n == 1 || n == self.outputs as u64;
        let At { bias, x_zero, w_zero, factor } = self.at;
        let has_bias = bias.is_none_or(|i| absent(i) || elements(i) == Some(self.outputs as u64));
        has_bias
            && (absent(x_zero) || elements(x_zero) == Some(1) || self.has_one_zero(step, plan))
            && (absent(w_zero) || elements(w_zero).is_some_and(each))
            && factor.is_none_or(|i| elements(i).is_some_and(each))
            && self.requant.is_none_or(|op| to(op.to).is_some())
    }

    /// Whether the image's zero point is computed, and one for all of it.
    fn has_one_zero(&self, step: &Step, plan: &Plan) -> bool {
        extents(step, self.at.x_zero, plan).is_some_and(|dims| dims.iter().all(|&dim| dim == 1))
    }

    /// The zero point of the image's bytes for kernels that take signed codes moved by `shift`.
    pub(super) fn zero(&self, maker: &Maker<'_>, step: &Step, shift: u8) -> Zero {
        let by = i32::from(shift) - i32::from(!self.signed) * 128;
        if matches!(step.input(self.at.x_zero), Operand::Slot(_)) {
            return Zero::Computed { at: self.at.x_zero, signed: self.signed, by };
        }
        let constant = Constant::of(maker, step, self.at.x_zero);
        Zero::Constant(constant.map_or(0, |zero| zero.integer(0)) + by)
    }

    /// Whether each channel has weights of its own and one result.
    pub(super) fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.channels && self.groups == self.outputs
    }

    /// Columns of the image that are read, borders included.
    pub(super) fn width(&self) -> usize {
        (self.out[1] - 1) * self.strides[1] + self.dilations[1] * (self.kernel[1] - 1) + 1
    }

    /// Lines of the image that so many lines of the result read.
    pub(super) fn height(&self, lines: usize) -> usize {
        (lines - 1) * self.strides[0] + self.dilations[0] * (self.kernel[0] - 1) + 1
    }

    /// Whether no window reaches beyond the image.
    pub(super) fn is_inside(&self) -> bool {
        self.before == [0, 0]
            && self.width() <= self.image[1]
            && self.height(self.out[0]) <= self.image[0]
    }

    /// Channels of a group of the image.
    pub(super) fn per_group(&self) -> usize {
        self.channels / self.groups
    }

    /// Bytes that a window holds of a group.
    pub(super) fn window(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.per_group()
    }

    /// How many runs of bytes a window is, and how long they are: lines of it where its columns
    /// are neighbours, all of it where its lines are.
    pub(super) fn runs(&self) -> (usize, usize) {
        let [kh, kw] = self.kernel;
        let neighbours = self.groups == 1 && (self.dilations[1] == 1 || kw == 1);
        if neighbours && self.width() == kw && (self.dilations[0] == 1 || kh == 1) {
            (1, self.window())
        } else if neighbours {
            (kh, kw * self.channels)
        } else {
            (kh * kw, self.per_group())
        }
    }

    /// Where the runs begin in an image whose lines have so many bytes.
    pub(super) fn offsets(&self, line: usize) -> Vec<usize> {
        let [kh, kw] = self.kernel;
        let (runs, _) = self.runs();
        let across = runs / kh.min(runs);
        let lines = if runs == 1 { 1 } else { kh };
        debug_assert_eq!(lines * across, runs, "runs of {kh} by {kw}");
        let place = |y: usize, x: usize| {
            y * self.dilations[0] * line + x * self.dilations[1] * self.channels
        };
        (0..lines).flat_map(|y| (0..across).map(move |x| place(y, x))).collect()
    }

    /// Multiplications.
    pub(super) fn work(&self) -> usize {
        let positions = self.images * self.out[0] * self.out[1];
        positions.saturating_mul(self.outputs).saturating_mul(self.window())
    }
}
