//! Functions of each element, and of pairs.

use super::{
    super::value::{Array, Layout, Value, shared_layout},
    Call, Outputs, one,
};
use crate::network::{Builder, Fault, Tensor};
use formats::tflite::options::{self, Activation};
use plan::array::{Map, Zip};
use tensor::DType;

/// What is done to a result before it is stored.
pub(super) fn activate(
    b: &mut Builder<'_>,
    x: Tensor,
    activation: Activation,
) -> Result<Tensor, Fault> {
    let map = match activation {
        Activation::None => return Ok(x),
        Activation::Relu => Map::Relu,
        Activation::ReluN1To1 => Map::Clamp { low: -1.0, high: 1.0 },
        Activation::Relu6 => Map::Relu6,
        Activation::Tanh => Map::Tanh,
        Activation::SignBit => return Err(Fault::unsupported("the activation SIGN_BIT")),
    };
    b.map(map, &x)
}

pub(super) fn map(b: &mut Builder<'_>, call: &Call<'_>, map: Map) -> Outputs {
    each(b, call.array(0)?, |b, x| b.map(map, x))
}

/// A function of each element, in the layout that is at hand.
fn each(
    b: &mut Builder<'_>,
    x: &Array,
    f: impl FnOnce(&mut Builder<'_>, &Tensor) -> Result<Tensor, Fault>,
) -> Outputs {
    let layout = shared_layout(b, &[x]);
    let x = x.form(b, layout)?;
    one(Array::new(layout, f(b, &x)?))
}

pub(super) fn zip(b: &mut Builder<'_>, call: &Call<'_>, zip: Zip) -> Outputs {
    pairs(b, call, zip, Activation::None)
}

fn pairs(b: &mut Builder<'_>, call: &Call<'_>, zip: Zip, activation: Activation) -> Outputs {
    let (layout, list) = forms(b, &[call.array(0)?, call.array(1)?])?;
    let result = b.zip(zip, &list[0], &list[1])?;
    one(Array::new(layout, activate(b, result, activation)?))
}

/// Operands in the layout that they share.
pub(super) fn forms(
    b: &mut Builder<'_>,
    arrays: &[&Array],
) -> Result<(Layout, Vec<Tensor>), Fault> {
    let layout = shared_layout(b, arrays);
    let list: Result<Vec<Tensor>, Fault> =
        arrays.iter().map(|array| array.form(b, layout)).collect();
    Ok((layout, list?))
}

pub(super) fn add(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    pairs(b, call, Zip::Add, options::Add::read(call.options())?.activation)
}

pub(super) fn sub(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    pairs(b, call, Zip::Subtract, options::Sub::read(call.options())?.activation)
}

pub(super) fn mul(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    pairs(b, call, Zip::Multiply, options::Mul::read(call.options())?.activation)
}

pub(super) fn div(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    pairs(b, call, Zip::Divide, options::Div::read(call.options())?.activation)
}

pub(super) fn floor_div(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    if !call.array(0)?.dtype().is_float() {
        return zip(b, call, Zip::FloorDivide);
    }
    let (layout, list) = forms(b, &[call.array(0)?, call.array(1)?])?;
    let quotient = b.div(&list[0], &list[1])?;
    one(Array::new(layout, b.map(Map::Floor, &quotient)?))
}

pub(super) fn add_n(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (layout, list) = forms(b, &call.arrays()?)?;
    let mut rest = list.into_iter();
    let mut sum = rest.next().ok_or_else(|| Fault::invalid("nothing to add"))?;
    for x in rest {
        sum = b.add(&sum, &x)?;
    }
    one(Array::new(layout, sum))
}

pub(super) fn gelu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let approximate = options::Gelu::read(call.options())?.approximate;
    map(b, call, if approximate { Map::GeluTanh } else { Map::Gelu })
}

pub(super) fn leaky_relu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let alpha = options::LeakyRelu::read(call.options())?.alpha;
    map(b, call, Map::LeakyRelu { alpha })
}

/// The elements as they are: sparse constants were expanded when they were read.
pub(super) fn same(_: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    one(call.array(0)?.clone())
}

/// Constants of half precision stay so, for the operators that can take them.
pub(super) fn dequantize(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(b, 0)?;
    if matches!(x.dtype, DType::F16 | DType::BF16) && b.is_known(&x) {
        return one(Value::Array(Array::half(x)));
    }
    if !x.dtype.is_float() {
        return Err(Fault::unsupported(format!("{} without a scale", x.dtype)));
    }
    each(b, call.array(0)?, |b, x| b.cast(x, DType::F32))
}

/// Quantised results have rules of their own; others have no scale.
pub(super) fn unscaled(_: &mut Builder<'_>, _: &Call<'_>) -> Outputs {
    Err(Fault::unsupported("a result without a scale"))
}

pub(super) fn cast(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let ty = call.output(0)?.ty;
    let to = ty.dtype().ok_or_else(|| Fault::unsupported(format!("a cast to {ty}")))?;
    each(b, call.array(0)?, |b, x| b.cast(x, to))
}

pub(super) fn select(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let arrays = [call.array(0)?, call.array(1)?, call.array(2)?];
    let (condition, like) = (arrays[0].dims(), arrays[1].dims());
    // The older operator takes one condition a row.
    if condition.len() == 1 && like.len() > 1 && condition.first() == like.first() {
        let mut dims = vec![1; like.len()];
        dims[0] = condition[0];
        let rows = arrays[0].tensor(b)?;
        let rows = b.reshape(&rows, &dims)?;
        let (x, y) = (arrays[1].tensor(b)?, arrays[2].tensor(b)?);
        return one(b.select(&rows, &x, &y)?);
    }
    let (layout, list) = forms(b, &arrays)?;
    one(Array::new(layout, b.select(&list[0], &list[1], &list[2])?))
}
