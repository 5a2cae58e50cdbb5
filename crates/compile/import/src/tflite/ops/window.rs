//! Windows that slide over images: convolutions, pools, and images of another size.

use super::{
    super::value::{Array, Layout},
    Call, Outputs,
    elementwise::activate,
    extents, one,
};
use crate::network::{Builder, Fault, Tensor, emit::list};
use formats::tflite::options::{self, Padding};
use plan::{
    ArrayOp,
    array::{
        Channels, Conv, Coordinates, Interpolation, List, Map, Nearest, Pool, PoolKind, Resize,
    },
};
use tensor::Shape;

/// A window over height and width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) kernel: [u64; 2],
    pub(super) strides: [i32; 2],
    pub(super) dilations: [i32; 2],
    pub(super) padding: Padding,
    pub(super) groups: u64,
}

impl Window {
    /// The window as an attribute over an image of these extents, and its places.
    pub(super) fn over(&self, image: [u64; 2]) -> Result<(Conv, [u32; 2]), Fault> {
        let bad = || Fault::invalid(format!("{self:?} over {image:?}"));
        let small = |n: u64| u32::try_from(n).map_err(|_| bad());
        let positive = |n: i32| u32::try_from(n).ok().filter(|&n| n > 0).ok_or_else(bad);
        let (mut before, mut after, mut places) = ([0; 2], [0; 2], [0; 2]);
        let (mut kernel, mut strides, mut dilations) = ([0; 2], [0; 2], [0; 2]);
        for i in 0..2 {
            kernel[i] = small(self.kernel[i])?;
            strides[i] = positive(self.strides[i])?;
            dilations[i] = positive(self.dilations[i])?;
            let stride = u64::from(strides[i]);
            let span = u64::from(kernel[i]).checked_sub(1).ok_or_else(bad)?;
            let span = span.saturating_mul(dilations[i].into()).saturating_add(1);
            let place = match self.padding {
                Padding::Same => image[i].div_ceil(stride),
                Padding::Valid => image[i].checked_sub(span).ok_or_else(bad)? / stride + 1,
            };
            let reach = place.saturating_sub(1).saturating_mul(stride).saturating_add(span);
            if self.padding == Padding::Same {
                let total = small(reach.saturating_sub(image[i]))?;
                before[i] = total / 2;
                after[i] = total - total / 2;
            }
            places[i] = small(place)?;
        }
        let conv = Conv {
            kernel: list(&kernel)?,
            strides: list(&strides)?,
            dilations: list(&dilations)?,
            before: list(&before)?,
            after: list(&after)?,
            groups: small(self.groups)?,
        };
        Ok((conv, places))
    }
}

/// Channels, height and width of an image with channels first.
pub(super) fn image(x: &Tensor) -> Result<(u64, [u64; 2]), Fault> {
    match &*x.dims {
        &[_, c, h, w] => Ok((c, [h, w])),
        _ => Err(Fault::invalid(format!("an image of {}", x.dims))),
    }
}

/// The window of a `CONV_2D`, with the weights' extents `[out, h, w, in]`.
pub(super) fn conv_window(call: &Call<'_>, channels: u64) -> Result<Window, Fault> {
    let options = options::Conv2d::read(call.options())?;
    let dims = call.array(1)?.dims();
    let &[_, h, w, depth] = &*dims else {
        return Err(Fault::invalid(format!("weights of {dims}")));
    };
    Ok(Window {
        kernel: [h, w],
        strides: [options.stride_h, options.stride_w],
        dilations: [options.dilation_h, options.dilation_w],
        padding: options.padding,
        groups: channels.checked_div(depth).unwrap_or(0),
    })
}

/// The window of a `DEPTHWISE_CONV_2D`, with the weights' extents `[1, h, w, out]`.
pub(super) fn depthwise_window(call: &Call<'_>, channels: u64) -> Result<Window, Fault> {
    let options = options::DepthwiseConv2d::read(call.options())?;
    let dims = call.array(1)?.dims();
    let &[1, h, w, _] = &*dims else {
        return Err(Fault::invalid(format!("weights of {dims}")));
    };
    Ok(Window {
        kernel: [h, w],
        strides: [options.stride_h, options.stride_w],
        dilations: [options.dilation_h, options.dilation_w],
        padding: options.padding,
        groups: channels,
    })
}

pub(super) fn conv(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let activation = options::Conv2d::read(call.options())?.activation;
    let x = call.array(0)?.first(b)?;
    let (channels, space) = image(&x)?;
    let (conv, _) = conv_window(call, channels)?.over(space)?;
    let w = call.array(1)?.weight(b)?;
    let w = b.transpose(&w, &[0, 3, 1, 2])?;
    let bias = call.optional(2)?.map(|bias| bias.tensor(b)).transpose()?;
    let result = b.apply(ArrayOp::Conv(conv), &[Some(&x), Some(&w), bias.as_ref()])?;
    one(Array::new(Layout::First, activate(b, result, activation)?))
}

pub(super) fn depthwise(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let activation = options::DepthwiseConv2d::read(call.options())?.activation;
    let x = call.array(0)?.first(b)?;
    let (channels, space) = image(&x)?;
    let (conv, _) = depthwise_window(call, channels)?.over(space)?;
    let w = call.array(1)?.weight(b)?;
    let w = b.transpose(&w, &[3, 0, 1, 2])?;
    let bias = call.optional(2)?.map(|bias| bias.tensor(b)).transpose()?;
    let result = b.apply(ArrayOp::Conv(conv), &[Some(&x), Some(&w), bias.as_ref()])?;
    one(Array::new(Layout::First, activate(b, result, activation)?))
}

pub(super) fn transpose_conv(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let options = options::TransposeConv::read(call.options())?;
    let size = extents(&call.ints(b, 0)?)?;
    let &[_, h, w, _] = size.as_slice() else {
        return Err(Fault::invalid(format!("an output of {size:?}")));
    };
    let turned = Turned {
        x: call.array(2)?,
        w: call.array(1)?,
        bias: call.optional(3)?,
        strides: [options.stride_h, options.stride_w],
        output: [h, w],
    };
    let result = turned.emit(b)?;
    one(Array::new(Layout::First, activate(b, result, options.activation)?))
}

/// An operator of `MediaPipe`: its settings are padding and strides as plain numbers.
pub(super) fn conv_transpose_bias(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (numbers, _) = call.operator.custom_options.as_chunks::<4>();
    let numbers: Vec<i32> = numbers.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect();
    let &[padding, stride_w, stride_h, ..] = numbers.as_slice() else {
        return Err(Fault::invalid("its settings are no padding and strides"));
    };
    let (x, w) = (call.array(0)?, call.array(1)?);
    let (&[_, h, width, _], &[_, kh, kw, _]) = (&*x.dims(), &*w.dims()) else {
        return Err(Fault::invalid(format!("weights of {} for {}", w.dims(), x.dims())));
    };
    let strides = [stride_h, stride_w];
    let size = |input: u64, kernel: u64, stride: i32| {
        let stride = u64::try_from(stride).unwrap_or(0);
        let beyond = if padding == 2 { kernel.saturating_sub(stride) } else { 0 };
        input.saturating_mul(stride).saturating_add(beyond)
    };
    let output = [size(h, kh, stride_h), size(width, kw, stride_w)];
    let turned = Turned { x, w, bias: call.optional(2)?, strides, output };
    one(Array::new(Layout::First, turned.emit(b)?))
}

/// A convolution turned round, with weights of `[out, h, w, in]`.
struct Turned<'c> {
    x: &'c Array,
    w: &'c Array,
    bias: Option<&'c Array>,
    strides: [i32; 2],
    output: [u64; 2],
}

impl Turned<'_> {
    fn emit(&self, b: &mut Builder<'_>) -> Result<Tensor, Fault> {
        let x = self.x.first(b)?;
        let (conv, output) = self.window(&x)?;
        let w = self.w.weight(b)?;
        let w = b.transpose(&w, &[3, 0, 1, 2])?;
        let bias = self.bias.map(|bias| bias.tensor(b)).transpose()?;
        let op = ArrayOp::ConvTranspose { conv, output };
        b.apply(op, &[Some(&x), Some(&w), bias.as_ref()])
    }

    /// The window of the convolution that is turned round, and the output's extents.
    fn window(&self, x: &Tensor) -> Result<(Conv, List<u32>), Fault> {
        let (_, space) = image(x)?;
        let dims = self.w.dims();
        let &[_, h, w, _] = &*dims else {
            return Err(Fault::invalid(format!("weights of {dims}")));
        };
        let kernel = [h, w];
        let bad = || Fault::invalid(format!("{:?} from {space:?} by {kernel:?}", self.output));
        let small = |n: u64| u32::try_from(n).map_err(|_| bad());
        let (mut before, mut after, mut output) = ([0; 2], [0; 2], [0; 2]);
        let mut strides = [0; 2];
        for i in 0..2 {
            let stride = u64::try_from(self.strides[i]).ok().filter(|&n| n > 0).ok_or_else(bad)?;
            strides[i] = small(stride)?;
            let reach = space[i].saturating_sub(1).saturating_mul(stride) + kernel[i];
            let total = small(reach.saturating_sub(self.output[i]))?;
            before[i] = total / 2;
            after[i] = total - total / 2;
            output[i] = small(self.output[i])?;
        }
        let conv = Conv {
            kernel: list(&[small(kernel[0])?, small(kernel[1])?])?,
            strides: list(&strides)?,
            dilations: list(&[1, 1])?,
            before: list(&before)?,
            after: list(&after)?,
            groups: 1,
        };
        Ok((conv, list(&output)?))
    }
}

/// A statistic over the windows of a pool.
pub(super) fn pooled(
    b: &mut Builder<'_>,
    call: &Call<'_>,
    x: &Tensor,
    kind: PoolKind,
) -> Result<Tensor, Fault> {
    let options = options::Pool2d::read(call.options())?;
    let extent = |n: i32| u64::try_from(n).unwrap_or(0);
    let window = Window {
        kernel: [extent(options.filter_h), extent(options.filter_w)],
        strides: [options.stride_h, options.stride_w],
        dilations: [1, 1],
        padding: options.padding,
        groups: 1,
    };
    let (_, space) = image(x)?;
    let (conv, places) = window.over(space)?;
    b.apply(
        ArrayOp::Pool(Pool { kind, conv, output: list(&places)?, channels: Channels::First }),
        &[Some(x)],
    )
}

fn pool(b: &mut Builder<'_>, call: &Call<'_>, kind: PoolKind) -> Outputs {
    let activation = options::Pool2d::read(call.options())?.activation;
    let x = call.array(0)?.first(b)?;
    let result = pooled(b, call, &x, kind)?;
    one(Array::new(Layout::First, activate(b, result, activation)?))
}

pub(super) fn average_pool(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    pool(b, call, PoolKind::Average { count_padding: false })
}

pub(super) fn max_pool(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    pool(b, call, PoolKind::Max)
}

pub(super) fn l2_pool(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let activation = options::Pool2d::read(call.options())?.activation;
    let x = call.array(0)?.first(b)?;
    let squares = b.map(Map::Square, &x)?;
    let means = pooled(b, call, &squares, PoolKind::Average { count_padding: false })?;
    let result = b.map(Map::Sqrt, &means)?;
    one(Array::new(Layout::First, activate(b, result, activation)?))
}

/// Height and width that input 1 asks for.
pub(super) fn size(b: &mut Builder<'_>, call: &Call<'_>) -> Result<[u64; 2], Fault> {
    let size = extents(&call.ints(b, 1)?)?;
    match *size.as_slice() {
        [h, w] if h > 0 && w > 0 => Ok([h, w]),
        _ => Err(Fault::invalid(format!("an image of {size:?}"))),
    }
}

/// Samples of an image, at places that two settings tell.
fn resize(
    b: &mut Builder<'_>,
    call: &Call<'_>,
    mode: Interpolation,
    coordinates: Coordinates,
) -> Outputs {
    let [h, w] = size(b, call)?;
    let x = call.array(0)?.first(b)?;
    let &[n, c, from_h, from_w] = &*x.dims else {
        return Err(Fault::invalid(format!("an image of {}", x.dims)));
    };
    if [h, w] == [from_h, from_w] {
        return one(Array::new(Layout::First, x));
    }
    let dims = Shape::new(&[n, c, h, w]).ok_or_else(|| Fault::invalid("too many dimensions"))?;
    let scale = |to: u64, from: u64| to as f32 / from.max(1) as f32;
    let op = Resize {
        dims,
        scales: list(&[1.0, 1.0, scale(h, from_h), scale(w, from_w)])?,
        mode,
        coordinates,
        exclude_outside: false,
        antialias: false,
        roi_start: List::default(),
        roi_end: List::default(),
        extrapolation: 0.0,
    };
    one(Array::new(Layout::First, b.apply(ArrayOp::Resize(op), &[Some(&x)])?))
}

pub(super) fn resize_bilinear(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let options = options::ResizeBilinear::read(call.options())?;
    let coordinates = match (options.align_corners, options.half_pixel_centers) {
        (true, _) => Coordinates::AlignCorners,
        (false, true) => Coordinates::HalfPixel,
        (false, false) => Coordinates::Asymmetric,
    };
    resize(b, call, Interpolation::Linear, coordinates)
}

pub(super) fn resize_nearest(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let options = options::ResizeNearest::read(call.options())?;
    let (coordinates, nearest) = match (options.align_corners, options.half_pixel_centers) {
        (true, _) => (Coordinates::AlignCorners, Nearest::HalfUp),
        (false, true) => (Coordinates::HalfPixel, Nearest::HalfUp),
        (false, false) => (Coordinates::Asymmetric, Nearest::Floor),
    };
    resize(b, call, Interpolation::Nearest(nearest), coordinates)
}
