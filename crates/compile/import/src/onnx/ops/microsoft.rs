//! Operators of `com.microsoft` that exporters and onnxruntime's optimiser put into files.

use super::{
    super::call::{Call, Outputs, Value, one},
    Rule,
    attention::{Scores, attend, flat, heads, rotate},
    matmul::product,
    quant::{integer_product, rescale, to_float, to_integer},
    recurrent::lstm_of,
};
use crate::network::{Builder, Fault, Tensor, emit::dim};
use plan::{
    ArrayOp,
    array::{Map, ReduceKind, Zip},
};
use tensor::DType;

use Rule::Op;

pub(super) const OPERATORS: &[(&str, Rule)] = &[
    ("BiasGelu", Op(bias_gelu)),
    ("DynamicQuantizeLSTM", Op(dynamic_quantize_lstm)),
    ("FastGelu", Op(fast_gelu)),
    ("FusedMatMul", Op(fused_matmul)),
    ("Gelu", Rule::Map(Map::Gelu)),
    ("GroupQueryAttention", Op(group_query_attention)),
    ("MatMulNBits", Op(matmul_n_bits)),
    ("MultiHeadAttention", Op(multi_head_attention)),
    ("QGemm", Op(qgemm)),
    ("QLinearAdd", Op(qlinear_add)),
    ("QLinearAveragePool", Op(qlinear_average_pool)),
    ("QLinearConcat", Op(qlinear_concat)),
    ("QLinearGlobalAveragePool", Op(qlinear_global_average_pool)),
    ("QLinearLeakyRelu", Op(qlinear_leaky_relu)),
    ("QLinearMul", Op(qlinear_mul)),
    ("QLinearSigmoid", Op(qlinear_sigmoid)),
    ("QLinearSoftmax", Op(qlinear_softmax)),
    ("QuickGelu", Op(quick_gelu)),
    ("RotaryEmbedding", Op(rotary)),
    ("SimplifiedLayerNormalization", Op(simplified_layer_norm)),
    ("SkipLayerNormalization", Op(skip_layer_norm)),
    ("SkipSimplifiedLayerNormalization", Op(skip_simplified_layer_norm)),
];

fn bias_gelu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = b.add(call.tensor(0)?, call.tensor(1)?)?;
    one(b.map(Map::Gelu, &x)?)
}

fn fast_gelu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = match call.optional(1)? {
        Some(bias) => b.add(call.tensor(0)?, bias)?,
        None => call.tensor(0)?.clone(),
    };
    one(b.map(Map::GeluTanh, &x)?)
}

fn quick_gelu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let alpha = call.float("alpha", 1.702)?;
    one(b.map(Map::Swish { alpha }, call.tensor(0)?)?)
}

fn fused_matmul(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (mut x, mut y) = (call.tensor(0)?.clone(), call.tensor(1)?.clone());
    let alpha = call.float("alpha", 1.0)?;
    if call.flag("transBatchA", false)? || call.flag("transBatchB", false)? {
        return Err(Fault::unsupported("batches in another place"));
    }
    if call.flag("transA", false)? && x.rank() > 1 {
        x = b.swap(&x, x.rank() - 1, x.rank() - 2)?;
    }
    if call.flag("transB", false)? && y.rank() > 1 {
        y = b.swap(&y, y.rank() - 1, y.rank() - 2)?;
    }
    let result = product(b, &x, &y)?;
    one(b.with(Zip::Multiply, &result, f64::from(alpha))?)
}

fn norm(
    b: &mut Builder<'_>,
    x: &Tensor,
    (scale, bias): (Option<&Tensor>, Option<&Tensor>),
    (axis, eps, rms): (usize, f32, bool),
) -> Result<Tensor, Fault> {
    b.apply(ArrayOp::Normalise { axis: dim(axis), eps, rms }, &[Some(x), scale, bias])
}

fn simplified_layer_norm(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let axis = x.axis(call.int("axis", -1)?)?;
    let eps = call.float("epsilon", 1e-5)?;
    call.int("stash_type", 1)?;
    one(norm(b, x, (call.optional(1)?, None), (axis, eps, true))?)
}

/// `x + skip + bias`, normalised; the sum is the fourth output.
fn skip(b: &mut Builder<'_>, call: &Call<'_>, rms: bool) -> Outputs {
    let eps = call.float("epsilon", 1e-12)?;
    let (scale, beta, bias) = if rms {
        (call.tensor(2)?, None, call.optional(3)?)
    } else {
        (call.tensor(2)?, call.optional(3)?, call.optional(4)?)
    };
    let mut sum = b.add(call.tensor(0)?, call.tensor(1)?)?;
    if let Some(bias) = bias {
        sum = b.add(&sum, bias)?;
    }
    let axis = sum.axis(-1)?;
    let y = norm(b, &sum, (Some(scale), beta), (axis, eps, rms))?;
    if call.wants(1) || call.wants(2) {
        return Err(Fault::unsupported("the statistics as outputs"));
    }
    Ok(vec![y.into(), Value::Nothing, Value::Nothing, sum.into()])
}

fn skip_layer_norm(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    skip(b, call, false)
}

fn skip_simplified_layer_norm(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    skip(b, call, true)
}

/// Operands `i`, `i + 1` and `i + 2` are numbers, their scale and their zero point.
fn real(b: &mut Builder<'_>, call: &Call<'_>, i: usize) -> Result<Tensor, Fault> {
    to_float(b, call.tensor(i)?, call.tensor(i + 1)?, call.optional(i + 2)?)
}

/// The result in the type and range that operands `i` and `i + 1` give.
fn integer(b: &mut Builder<'_>, call: &Call<'_>, x: &Tensor, i: usize) -> Outputs {
    let default = call.tensor(0)?.dtype;
    one(to_integer(b, x, call.tensor(i)?, call.optional(i + 1)?, default)?)
}

/// `a · b + c` of integers; in floats where no scale of the result is given.
fn qgemm(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let turned = |b: &mut Builder<'_>, name: &'static str, i: usize| -> Result<Tensor, Fault> {
        let x = call.tensor(i)?;
        if x.rank() != 2 {
            return Err(Fault::invalid(format!("a factor of {}", x.dims)));
        }
        if call.flag(name, false)? { b.swap(x, 0, 1) } else { Ok(x.clone()) }
    };
    let (x, y) = (turned(b, "transA", 0)?, turned(b, "transB", 3)?);
    let alpha = f64::from(call.float("alpha", 1.0)?);
    let mut acc = integer_product(b, (&x, &y), (call.optional(2)?, call.optional(5)?))?;
    if let Some(bias) = call.optional(6)? {
        acc = b.add(&acc, bias)?;
    }
    let factor = b.mul(call.tensor(1)?, call.tensor(4)?)?;
    let factor = b.with(Zip::Multiply, &factor, alpha)?;
    let Some(scale) = call.optional(7)? else {
        let real = b.cast(&acc, DType::F32)?;
        return one(b.mul(&real, &factor)?);
    };
    let factor = b.div(&factor, scale)?;
    let axis = acc.rank().saturating_sub(1);
    one(rescale(b, &acc, &factor, (call.tensor(8)?, axis))?)
}

/// An LSTM whose weights are integers. Only they are: input and state are not rounded to integers
/// on the way as they are in onnxruntime, which is closer to the network before it was quantised.
fn dynamic_quantize_lstm(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    // `[directions, from, 4 * hidden]`, with a scale for each direction or each column of it.
    let mut weight = |i: usize, scale: usize| -> Result<Tensor, Fault> {
        let x = b.cast(call.tensor(i)?, DType::F32)?;
        let by_column = |b: &mut Builder<'_>, x: &Tensor| match &x.dims[..] {
            [d] => b.reshape(x, &[*d, 1, 1]),
            [d, columns] => b.reshape(x, &[*d, 1, *columns]),
            _ => Err(Fault::invalid(format!("scales of {}", x.dims))),
        };
        let mut x = x;
        if let Some(zero) = call.optional(scale + 1)? {
            let zero = by_column(b, zero)?;
            let zero = b.cast(&zero, DType::F32)?;
            x = b.sub(&x, &zero)?;
        }
        let scale = by_column(b, call.tensor(scale)?)?;
        let x = b.mul(&x, &scale)?;
        b.swap(&x, 1, 2)
    };
    let (w, r) = (weight(1, 8)?, weight(2, 10)?);
    lstm_of(b, call, [&w, &r])
}

fn qlinear_zip(b: &mut Builder<'_>, call: &Call<'_>, zip: Zip) -> Outputs {
    let (x, y) = (real(b, call, 0)?, real(b, call, 3)?);
    let result = b.zip(zip, &x, &y)?;
    integer(b, call, &result, 6)
}

fn qlinear_add(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    qlinear_zip(b, call, Zip::Add)
}

fn qlinear_mul(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    qlinear_zip(b, call, Zip::Multiply)
}

fn qlinear_sigmoid(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = real(b, call, 0)?;
    let y = b.map(Map::Sigmoid, &x)?;
    integer(b, call, &y, 3)
}

fn qlinear_leaky_relu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let alpha = call.float("alpha", 0.01)?;
    let x = real(b, call, 0)?;
    let y = b.map(Map::LeakyRelu { alpha }, &x)?;
    integer(b, call, &y, 3)
}

fn qlinear_softmax(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = real(b, call, 0)?;
    let axis = x.axis(call.int("axis", -1)?)?;
    let opset = call.int("opset", 13)?;
    let y = if opset >= 13 {
        b.softmax(&x, axis)?
    } else {
        let flat = b.reshape(&x, &[x.span(0..axis), x.span(axis..x.rank())])?;
        let y = b.softmax(&flat, 1)?;
        b.reshape(&y, &x.dims)?
    };
    integer(b, call, &y, 3)
}

fn qlinear_concat(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let count = call.inputs.len().saturating_sub(2) / 3;
    let parts: Vec<Tensor> =
        (0..count).map(|i| real(b, call, 2 + 3 * i)).collect::<Result<_, _>>()?;
    let first = parts.first().ok_or_else(|| Fault::invalid("there is no input"))?;
    let axis = first.axis(call.int("axis", 0)?)?;
    let joined = b.concat(&parts, axis)?;
    one(to_integer(b, &joined, call.tensor(0)?, call.optional(1)?, DType::U8)?)
}

/// Refuses channels behind space.
fn channels_first(call: &Call<'_>) -> Result<(), Fault> {
    if call.flag("channels_last", false)? {
        return Err(Fault::unsupported("channels_last"));
    }
    Ok(())
}

fn qlinear_global_average_pool(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    channels_first(call)?;
    let x = real(b, call, 0)?;
    let axes: Vec<usize> = (2..x.rank()).collect();
    let y = b.reduce(ReduceKind::Mean, &x, &axes, true)?;
    integer(b, call, &y, 3)
}

fn qlinear_average_pool(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    channels_first(call)?;
    let x = real(b, call, 0)?;
    let y = super::window::average_of(b, call, &x)?;
    integer(b, call, &y, 3)
}

/// `x · wᵀ` with weights of few bits: `[n, blocks, bytes]`, one scale and zero point a block.
fn matmul_n_bits(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let extent = |name: &'static str| {
        u64::try_from(call.int(name, 0)?).map_err(|_| Fault::invalid(name.to_owned()))
    };
    let (k, n, block) = (extent("K")?, extent("N")?, extent("block_size")?);
    let bits = call.int("bits", 4)?;
    call.int("accuracy_level", 0)?;
    if call.optional(4)?.is_some() {
        return Err(Fault::unsupported("g_idx"));
    }
    if !matches!(bits, 4 | 8) || block == 0 {
        return Err(Fault::unsupported(format!("{bits} bits in blocks of {block}")));
    }
    let blocks = k.div_ceil(block);
    let w = unpacked(b, call.tensor(1)?, bits, &[n, blocks * block])?;
    let scales = b.reshape(call.tensor(2)?, &[n, blocks])?;
    let zeros = match call.optional(3)? {
        Some(zeros) if zeros.dtype == DType::U8 => {
            let row = if bits == 4 { blocks.div_ceil(2) * 2 } else { blocks };
            let all = unpacked(b, zeros, bits, &[n, row])?;
            b.slice(&all, 1, 0, blocks, 1)?
        }
        Some(_) => return Err(Fault::unsupported("zero points of a float type")),
        None => b.filled(DType::U8, &[n, blocks], f64::from(1u32 << (bits - 1)))?,
    };
    let block = u32::try_from(block).map_err(|_| Fault::invalid("block_size"))?;
    let op = ArrayOp::Dequantize { axis: 1, block, to: scales.dtype };
    let w = b.apply(op, &[Some(&w), Some(&scales), Some(&zeros)])?;
    let w = b.slice(&w, 1, 0, k, 1)?;
    let w = b.cast(&w, x.dtype)?;
    let w = b.swap(&w, 0, 1)?;
    let mut y = product(b, x, &w)?;
    if let Some(bias) = call.optional(5)? {
        y = b.add(&y, bias)?;
    }
    one(y)
}

/// Packed numbers, one a byte.
fn unpacked(b: &mut Builder<'_>, x: &Tensor, bits: i64, dims: &[u64]) -> Result<Tensor, Fault> {
    if bits == 8 {
        return b.reshape(x, dims);
    }
    let bytes = b.bytes(x)?;
    let list = bytes.iter().flat_map(|byte| [byte & 15, byte >> 4]).collect();
    b.known(DType::U8, dims, list)
}

fn rotary(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let sizes = (call.int("num_heads", 0)?, call.int("rotary_embedding_dim", 0)?);
    let interleaved = call.flag("interleaved", false)?;
    call.int("is_packed_batching", 0)?;
    if (call.float("scale", 1.0)? - 1.0).abs() > 0.0 {
        return Err(Fault::unsupported("a scale"));
    }
    let places = call.tensor(1)?;
    let (batch, tokens) = match &x.dims[..] {
        [batch, tokens, _] | [batch, _, tokens, _] => (*batch, *tokens),
        _ => return Err(Fault::invalid(format!("rotary positions of {}", x.dims))),
    };
    // One number is the first position of all sequences.
    let places = if places.elements() == 1 && places.rank() == 1 {
        b.room(tokens, DType::I64)?;
        let steps: Vec<i64> = (0..tokens.cast_signed()).collect();
        let steps = b.integers(&[1, tokens], &steps)?;
        let places = b.add(places, &steps)?;
        b.expand(&places, &[batch, tokens])?
    } else {
        places.clone()
    };
    let tables = (call.tensor(2)?, call.tensor(3)?, Some(&places));
    one(rotate(b, x, tables, sizes, interleaved)?)
}

fn multi_head_attention(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let count = call.int("num_heads", 0)?;
    let scale = call.attribute("scale").map(|_| call.float("scale", 1.0)).transpose()?;
    let causal = call.flag("unidirectional", false)?;
    call.float("mask_filter_value", -10_000.0)?;
    let query = call.tensor(0)?;
    let (Some(key), Some(value)) = (call.optional(1)?, call.optional(2)?) else {
        return Err(Fault::unsupported("packed queries, keys and values"));
    };
    let (mut query, mut key, mut value) = (query.clone(), key.clone(), value.clone());
    if let Some(bias) = call.optional(3)? {
        let wide = query.dims.dims().last().copied().unwrap_or(0);
        let v_wide = value.dims.dims().last().copied().unwrap_or(0);
        let part = |b: &mut Builder<'_>, start, len| b.slice(bias, 0, start, len, 1);
        let (q, k, v) = (part(b, 0, wide)?, part(b, wide, wide)?, part(b, 2 * wide, v_wide)?);
        query = b.add(&query, &q)?;
        if key.rank() == 3 {
            key = b.add(&key, &k)?;
            value = b.add(&value, &v)?;
        }
    }
    let q = heads(b, &query, count)?;
    let (mut k, mut v) = (heads(b, &key, count)?, heads(b, &value, count)?);
    let mut past = 0;
    if let (Some(past_k), Some(past_v)) = (call.optional(6)?, call.optional(7)?) {
        past = past_k.dims.get(2).map_or(0, |n| n.cast_signed());
        k = b.concat(&[past_k.clone(), k], 2)?;
        v = b.concat(&[past_v.clone(), v], 2)?;
    }
    let padding = match call.optional(4)? {
        Some(mask) if mask.rank() == 2 => {
            let mask = b.cast(mask, DType::Bool)?;
            Some(b.reshape(&mask, &[mask.dims[0], 1, 1, mask.dims[1]])?)
        }
        Some(_) => return Err(Fault::unsupported("a mask that is no [batch, keys]")),
        None => None,
    };
    let mask = match (padding, call.optional(5)?) {
        (Some(padding), Some(bias)) => {
            let zero = b.scalar(bias.dtype, 0.0);
            let minus = b.scalar(bias.dtype, f64::NEG_INFINITY);
            let padding = b.select(&padding, &zero, &minus)?;
            Some(b.add(bias, &padding)?)
        }
        (padding, bias) => padding.or(bias.cloned()),
    };
    let scores = Scores {
        scale,
        soft_cap: 0.0,
        causal,
        window: [-1, -1],
        mask: mask.as_ref(),
        lengths: None,
        past,
        precision: None,
    };
    let (y, shown) = attend(b, (&q, &k, &v), &scores, 0)?;
    Ok(vec![flat(b, &y)?.into(), k.into(), v.into(), shown.into()])
}

/// Causal attention with a cache in which the new keys follow the old ones; `seqlens_k` counts
/// the keys of each sequence less one.
fn group_query_attention(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (q_heads, kv_heads) = (call.int("num_heads", 0)?, call.int("kv_num_heads", 0)?);
    let scale = call.float("scale", 0.0)?;
    let window = call.int("local_window_size", -1)?;
    let rotated = call.flag("do_rotary", false)?;
    let interleaved = call.flag("rotary_interleaved", false)?;
    call.int("smooth_softmax", 0)?;
    let soft_cap = call.float("softcap", 0.0)?;
    let (query, key, value) = match (call.tensor(0)?, call.optional(1)?, call.optional(2)?) {
        (q, Some(k), Some(v)) => (q.clone(), k.clone(), v.clone()),
        (all, None, None) => {
            let wide = all.dims.dims().last().copied().unwrap_or(0);
            if [q_heads, kv_heads].iter().any(|n| !(0..1 << 16).contains(n)) {
                return Err(Fault::invalid(format!("{q_heads} and {kv_heads} heads")));
            }
            let one = wide / u64::try_from(q_heads + 2 * kv_heads).unwrap_or(1).max(1);
            let (q, kv) = (one * q_heads.cast_unsigned(), one * kv_heads.cast_unsigned());
            (b.slice(all, 2, 0, q, 1)?, b.slice(all, 2, q, kv, 1)?, b.slice(all, 2, q + kv, kv, 1)?)
        }
        _ => return Err(Fault::invalid("keys without values")),
    };
    let ends: Vec<i64> = b.ints(call.tensor(5)?)?.iter().map(|n| n.saturating_add(1)).collect();
    let tokens = query.dims.get(1).map_or(0, |n| n.cast_signed());
    let past = call.optional(3)?.zip(call.optional(4)?);
    let held = past.map_or(0, |(k, _)| k.dims.get(2).map_or(0, |n| n.cast_signed()));
    let total = ends.iter().copied().max().unwrap_or(0);
    if ends.iter().any(|&end| end != total) || held > 0 && total != held + tokens {
        return Err(Fault::unsupported("sequences of different lengths, or a cache with room"));
    }
    let mut q = query;
    let mut k = key;
    if rotated {
        let first = total.saturating_sub(tokens);
        b.room(total.saturating_sub(first).unsigned_abs(), DType::I64)?;
        let places: Vec<i64> = (first..total).collect();
        let batch = q.dims.first().copied().unwrap_or(1);
        let places = b.integers(&[1, places.len() as u64], &places)?;
        let places = b.expand(&places, &[batch, tokens.cast_unsigned()])?;
        let tables = (call.tensor(7)?, call.tensor(8)?);
        let tables = (tables.0, tables.1, Some(&places));
        q = rotate(b, &q, tables, (q_heads, 0), interleaved)?;
        k = rotate(b, &k, tables, (kv_heads, 0), interleaved)?;
    }
    let q = heads(b, &q, q_heads)?;
    let (mut k, mut v) = (heads(b, &k, kv_heads)?, heads(b, &value, kv_heads)?);
    if let Some((past_k, past_v)) = past {
        k = b.concat(&[past_k.clone(), k], 2)?;
        v = b.concat(&[past_v.clone(), v], 2)?;
    }
    let scores = Scores {
        scale: (scale.abs() > 0.0).then_some(scale),
        soft_cap,
        causal: true,
        // The window counts the query's own position.
        window: [if window > 0 { window - 1 } else { -1 }, -1],
        mask: None,
        lengths: None,
        past: held,
        precision: None,
    };
    let (y, _) = attend(b, (&q, &k, &v), &scores, 0)?;
    Ok(vec![flat(b, &y)?.into(), k.into(), v.into()])
}
