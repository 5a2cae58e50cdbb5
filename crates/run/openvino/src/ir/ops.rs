//! Steps as layers: an operator of ours is one of `OpenVINO`'s, or a few.
//!
//! Our images may have their channels last; its convolutions and pools have them first, so those
//! stand between transpositions, which its own passes take out again.

use super::{Fault, Node, Writer, extents, list};
use plan::{
    ArrayOp, Op, Step,
    array::{Channels, Conv, Epilogue, Map, Pool, PoolKind, Reduce, ReduceKind, View, Zip},
};
use tensor::DType;

type Written = Result<Node, Fault>;

/// Writes a step.
pub(super) fn step(w: &mut Writer<'_>, step: &Step) -> Written {
    let Op::Array(op) = &step.op else { return Err("operators of language models".into()) };
    if step.output.dtype != DType::F32 {
        return Err(format!("arrays of {} are not handed over", step.output.dtype).into());
    }
    let dims = extents(&step.output);
    if dims.contains(&0) {
        return Err("nothing is to be computed".into());
    }
    match op {
        ArrayOp::Map(function) => {
            let x = w.needed(step, 0)?;
            map(w, &x, function)
        }
        ArrayOp::Zip(function) => {
            let (a, b) = (w.needed(step, 0)?, w.needed(step, 1)?);
            let kind = zip(*function)?;
            w.layer(
                kind,
                "opset1",
                "auto_broadcast=\"numpy\"",
                &[&a, &b],
                Some((&dims, DType::F32)),
            )
        }
        ArrayOp::Reshape { .. } => {
            let x = w.needed(step, 0)?;
            w.reshaped(x, &dims)
        }
        ArrayOp::View(moved) => {
            let x = w.needed(step, 0)?;
            view(w, x, moved)
        }
        ArrayOp::Concat { axis } => {
            let parts: Vec<Node> =
                (0..step.inputs.len()).map(|i| w.needed(step, i)).collect::<Result<_, _>>()?;
            let parts: Vec<&Node> = parts.iter().collect();
            let axis = format!("axis=\"{axis}\"");
            w.layer("Concat", "opset1", &axis, &parts, Some((&dims, DType::F32)))
        }
        ArrayOp::Reduce(reduced) => reduce(w, step, *reduced, &dims),
        ArrayOp::Softmax { axis, log } => {
            let x = w.needed(step, 0)?;
            let (kind, version) =
                if *log { ("LogSoftmax", "opset5") } else { ("SoftMax", "opset1") };
            let axis = format!("axis=\"{axis}\"");
            w.layer(kind, version, &axis, &[&x], Some((&dims, DType::F32)))
        }
        ArrayOp::MatMul => {
            if [2, 3].iter().any(|&i| !matches!(step.input(i), plan::Operand::Absent)) {
                return Err("products with zero points".into());
            }
            product(w, step, &dims)
        }
        ArrayOp::MatMulFused(epilogue) => {
            let sums = product(w, step, &dims)?;
            finish(w, step, sums, epilogue)
        }
        ArrayOp::Conv(conv) => {
            let (x, weights) = (w.needed(step, 0)?, w.needed(step, 1)?);
            if !matches!(step.input(3), plan::Operand::Absent) {
                return Err("convolutions with zero points".into());
            }
            let sums = convolution(w, &x, weights, conv, &dims)?;
            match w.operand(step, 2)? {
                Some(bias) => {
                    let mut wide = vec![1; dims.len()];
                    wide[1] = dims[1];
                    let bias = w.reshaped(bias, &wide)?;
                    add(w, &sums, &bias)
                }
                None => Ok(sums),
            }
        }
        ArrayOp::ConvLast { conv, epilogue } => {
            let (x, weights) = (w.needed(step, 0)?, w.needed(step, 1)?);
            let (x, weights) = (first(w, &x)?, first(w, &weights)?);
            let rank = dims.len();
            let mut out = dims.clone();
            out[1..].rotate_right(1);
            let sums = convolution(w, &x, weights, conv, &out)?;
            let order: Vec<usize> = std::iter::once(0).chain(2..rank).chain([1]).collect();
            let sums = w.transposed(&sums, &order)?;
            finish(w, step, sums, epilogue)
        }
        ArrayOp::Pool(windows) => pool(w, step, windows, &dims),
        other => Err(format!("{} has no counterpart", other.name()).into()),
    }
}

/// Channels, which stand last, before the dimensions of the image.
fn first(w: &mut Writer<'_>, x: &Node) -> Written {
    let rank = x.dims.len();
    let order: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    w.transposed(x, &order)
}

fn add(w: &mut Writer<'_>, a: &Node, b: &Node) -> Written {
    let dims = a.dims.clone();
    w.layer("Add", "opset1", "auto_broadcast=\"numpy\"", &[a, b], Some((&dims, DType::F32)))
}

/// Bias, residual and activation of a fused product, in that order.
fn finish(w: &mut Writer<'_>, step: &Step, mut sums: Node, epilogue: &Epilogue) -> Written {
    if epilogue.requant.is_some() {
        return Err("sums of whole numbers".into());
    }
    for place in [2, 3] {
        if let Some(operand) = w.operand(step, place)? {
            sums = add(w, &sums, &operand)?;
        }
    }
    match &epilogue.activation {
        Some(function) => map(w, &sums, function),
        None => Ok(sums),
    }
}

fn product(w: &mut Writer<'_>, step: &Step, dims: &[u64]) -> Written {
    let (a, b) = (w.needed(step, 0)?, w.needed(step, 1)?);
    let settings = "transpose_a=\"false\" transpose_b=\"false\"";
    w.layer("MatMul", "opset1", settings, &[&a, &b], Some((dims, DType::F32)))
}

fn window(conv: &Conv) -> String {
    format!(
        "strides=\"{}\" pads_begin=\"{}\" pads_end=\"{}\" auto_pad=\"explicit\"",
        list(conv.strides.iter()),
        list(conv.before.iter()),
        list(conv.after.iter())
    )
}

/// `x` and `weights` with channels first.
fn convolution(w: &mut Writer<'_>, x: &Node, weights: Node, conv: &Conv, dims: &[u64]) -> Written {
    let settings = format!("{} dilations=\"{}\"", window(conv), list(conv.dilations.iter()));
    if conv.groups <= 1 {
        return w.layer(
            "Convolution",
            "opset1",
            &settings,
            &[x, &weights],
            Some((dims, DType::F32)),
        );
    }
    let groups = u64::from(conv.groups);
    let mut grouped = vec![groups, weights.dims[0] / groups];
    grouped.extend(&weights.dims[1..]);
    let weights = w.reshaped(weights, &grouped)?;
    w.layer("GroupConvolution", "opset1", &settings, &[x, &weights], Some((dims, DType::F32)))
}

fn pool(w: &mut Writer<'_>, step: &Step, pool: &Pool, dims: &[u64]) -> Written {
    let (kind, exclude) = match pool.kind {
        PoolKind::Max => ("MaxPool", ""),
        PoolKind::Average { count_padding: false } => ("AvgPool", " exclude-pad=\"true\""),
        PoolKind::Average { count_padding: true } => ("AvgPool", " exclude-pad=\"false\""),
        PoolKind::MaxIndex { .. } | PoolKind::Lp { .. } => return Err("this kind of pool".into()),
    };
    let conv = &pool.conv;
    if conv.dilations.iter().any(|&step| step != 1) {
        return Err("pools with gaps".into());
    }
    let x = w.needed(step, 0)?;
    let (last, rank) = (pool.channels == Channels::Last, dims.len());
    let x = if last { first(w, &x)? } else { x };
    let fits = |(i, &want): (usize, &u32)| conv.extent(i, x.dims[i + 2]) == Some(want.into());
    if !pool.output.iter().enumerate().all(fits) {
        return Err("pools whose last window is cut".into());
    }
    let settings = format!(
        "{} kernel=\"{}\" rounding_type=\"floor\"{exclude}",
        window(conv),
        list(conv.kernel.iter())
    );
    let mut out = dims.to_vec();
    if last {
        out[1..].rotate_right(1);
    }
    let pooled = w.layer(kind, "opset1", &settings, &[&x], Some((&out, DType::F32)))?;
    if !last {
        return Ok(pooled);
    }
    let order: Vec<usize> = std::iter::once(0).chain(2..rank).chain([1]).collect();
    w.transposed(&pooled, &order)
}

fn reduce(w: &mut Writer<'_>, step: &Step, reduced: Reduce, dims: &[u64]) -> Written {
    let kind = match reduced.kind {
        ReduceKind::Sum => "ReduceSum",
        ReduceKind::Mean => "ReduceMean",
        ReduceKind::Max => "ReduceMax",
        ReduceKind::Min => "ReduceMin",
        ReduceKind::Product => "ReduceProd",
        _ => return Err("this statistic".into()),
    };
    let x = w.needed(step, 0)?;
    let axes: Vec<u64> = (0..8).filter(|axis| reduced.axes >> axis & 1 == 1).collect();
    let axes = w.integers(&axes)?;
    let settings = format!("keep_dims=\"{}\"", reduced.keep);
    w.layer(kind, "opset1", &settings, &[&x, &axes], Some((dims, DType::F32)))
}

/// A view that only orders dimensions anew.
fn view(w: &mut Writer<'_>, x: Node, moved: &View) -> Written {
    let dims = moved.dims.dims();
    let mut order: Vec<usize> = (0..dims.len()).collect();
    // Dimensions of one element may stand anywhere.
    order.sort_by_key(|&i| std::cmp::Reverse((dims[i] > 1, moved.strides[i])));
    let mut step = 1i64;
    for &i in order.iter().rev().filter(|&&i| dims[i] > 1) {
        if moved.strides[i] != step {
            return Err("views that leave out or repeat elements".into());
        }
        step = step.saturating_mul(dims[i].cast_signed());
    }
    if moved.offset != 0 || step.cast_unsigned() != x.dims.iter().product::<u64>() {
        return Err("views that leave out or repeat elements".into());
    }
    let from: Vec<u64> = order.iter().map(|&i| dims[i]).collect();
    let x = w.reshaped(x, &from)?;
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, &i)| back[i] = place);
    w.transposed(&x, &back)
}

fn zip(function: Zip) -> Result<&'static str, Fault> {
    Ok(match function {
        Zip::Add => "Add",
        Zip::Subtract => "Subtract",
        Zip::Multiply => "Multiply",
        Zip::Divide => "Divide",
        Zip::Minimum => "Minimum",
        Zip::Maximum => "Maximum",
        Zip::SquaredDifference => "SquaredDifference",
        other => return Err(format!("{other:?} of pairs").into()),
    })
}

fn map(w: &mut Writer<'_>, x: &Node, function: &Map) -> Written {
    let dims = x.dims.clone();
    let clamp = |low: f32, high: f32| format!("min=\"{low}\" max=\"{high}\"");
    let none = String::new();
    let (kind, version, settings) = match function {
        Map::Abs => ("Abs", "opset1", none),
        Map::Negate => ("Negative", "opset1", none),
        Map::Ceil => ("Ceiling", "opset1", none),
        Map::Floor => ("Floor", "opset1", none),
        Map::Sqrt => ("Sqrt", "opset1", none),
        Map::Exp => ("Exp", "opset1", none),
        Map::Log => ("Log", "opset1", none),
        Map::Tanh => ("Tanh", "opset1", none),
        Map::Erf => ("Erf", "opset1", none),
        Map::Sigmoid => ("Sigmoid", "opset1", none),
        Map::Relu => ("ReLU", "opset1", none),
        Map::Relu6 => ("Clamp", "opset1", clamp(0.0, 6.0)),
        Map::Clamp { low, high } if low.is_finite() && high.is_finite() => {
            ("Clamp", "opset1", clamp(*low, *high))
        }
        Map::Silu => ("Swish", "opset4", none),
        Map::HardSwish => ("HSwish", "opset4", none),
        Map::Mish => ("Mish", "opset4", none),
        Map::Softplus => ("SoftPlus", "opset4", none),
        Map::Gelu => ("Gelu", "opset7", "approximation_mode=\"ERF\"".to_owned()),
        Map::GeluTanh => ("Gelu", "opset7", "approximation_mode=\"TANH\"".to_owned()),
        Map::Elu { alpha } => ("Elu", "opset1", format!("alpha=\"{alpha}\"")),
        other => return Err(format!("{other:?} of elements").into()),
    };
    w.layer(kind, version, &settings, &[x], Some((&dims, DType::F32)))
}
