//! Attention, rotary positions and caches of language models that come as networks. They are
//! compositions: what a step of a fixed length needs is known when it is bound.

use super::{
    super::call::{Call, Outputs, one},
    Rule, elementwise,
};
use crate::network::{Builder, Fault, Tensor};
use plan::array::{Combine, Map, PadMode, ReduceKind, Zip};
use tensor::DType;

/// Operators of `ai.onnx.preview`.
pub(super) const PREVIEW: &[(&str, Rule)] = &[];

/// How scores become an attention's result.
pub(super) struct Scores<'t> {
    pub(super) scale: Option<f32>,
    pub(super) soft_cap: f32,
    pub(super) causal: bool,
    /// Positions seen to the left and to the right; -1 for all.
    pub(super) window: [i64; 2],
    pub(super) mask: Option<&'t Tensor>,
    /// Keys that count, one number for each of the batch.
    pub(super) lengths: Option<Vec<i64>>,
    /// Keys that stand before the first query.
    pub(super) past: i64,
    /// The type in which the softmax is computed.
    pub(super) precision: Option<DType>,
}

/// `[batch, tokens, heads * width]` as `[batch, heads, tokens, width]`.
pub(super) fn heads(b: &mut Builder<'_>, x: &Tensor, heads: i64) -> Result<Tensor, Fault> {
    if x.rank() == 4 {
        return Ok(x.clone());
    }
    let (&[batch, tokens, wide], Ok(heads)) = (&x.dims[..], u64::try_from(heads)) else {
        return Err(Fault::invalid(format!("{heads} heads of {}", x.dims)));
    };
    if heads == 0 || !wide.is_multiple_of(heads) {
        return Err(Fault::invalid(format!("{heads} heads of {}", x.dims)));
    }
    let split = b.reshape(x, &[batch, tokens, heads, wide / heads])?;
    b.swap(&split, 1, 2)
}

/// `[batch, heads, tokens, width]` as `[batch, tokens, heads * width]`.
pub(super) fn flat(b: &mut Builder<'_>, x: &Tensor) -> Result<Tensor, Fault> {
    let &[batch, heads, tokens, wide] = &x.dims[..] else {
        return Err(Fault::invalid(format!("heads of {}", x.dims)));
    };
    let y = b.swap(x, 1, 2)?;
    b.reshape(&y, &[batch, tokens, heads * wide])
}

/// Each key and value head for all query heads of its group.
fn grouped(b: &mut Builder<'_>, x: &Tensor, heads: u64) -> Result<Tensor, Fault> {
    let &[batch, own, tokens, wide] = &x.dims[..] else {
        return Err(Fault::invalid(format!("heads of {}", x.dims)));
    };
    if own == heads {
        return Ok(x.clone());
    }
    if own == 0 || !heads.is_multiple_of(own) {
        return Err(Fault::invalid(format!("{heads} query heads over {own}")));
    }
    let x = b.unsqueeze(x, 2)?;
    let x = b.expand(&x, &[batch, own, heads / own, tokens, wide])?;
    b.reshape(&x, &[batch, heads, tokens, wide])
}

/// What is added to the scores: 0 where a key may be seen, minus infinity elsewhere.
fn bias(
    b: &mut Builder<'_>,
    scores: &Scores<'_>,
    (queries, keys): (u64, u64),
    dtype: DType,
) -> Result<Option<Tensor>, Fault> {
    let zero = b.scalar(dtype, 0.0);
    let minus = b.scalar(dtype, f64::NEG_INFINITY);
    let mut sum: Option<Tensor> = None;
    if let Some(mask) = scores.mask {
        let last = mask.rank().checked_sub(1).ok_or_else(|| Fault::invalid("a mask of rank 0"))?;
        let mut mask = match mask.dtype {
            DType::Bool => b.select(mask, &zero, &minus)?,
            _ => b.cast(mask, dtype)?,
        };
        if mask.dims[last] < keys && mask.dims[last] != 1 {
            let mut after = vec![0; mask.rank()];
            after[last] = (keys - mask.dims[last]).cast_signed();
            let before = vec![0; mask.rank()];
            mask = b.pad(&mask, PadMode::Constant, &before, &after, Some(&minus))?;
        }
        sum = Some(mask);
    }
    let sequences = scores.lengths.as_ref().map_or(1, Vec::len) as u64;
    b.room(queries.saturating_mul(sequences).saturating_add(keys), DType::I64)?;
    let key: Vec<i64> = (0..keys.cast_signed()).collect();
    let key = b.integers(&[keys], &key)?;
    // Positions of the queries among the keys: [queries, 1], or [batch, 1, queries, 1].
    let offsets = match &scores.lengths {
        Some(list) => list.iter().map(|n| n.saturating_sub(queries.cast_signed())).collect(),
        None => vec![scores.past],
    };
    let row = |offset: i64| (0..queries.cast_signed()).map(move |i| offset.saturating_add(i));
    let places: Vec<i64> = offsets.into_iter().flat_map(row).collect();
    let place = match &scores.lengths {
        Some(list) => b.integers(&[list.len() as u64, 1, queries, 1], &places)?,
        None => b.integers(&[queries, 1], &places)?,
    };
    let [left, right] = scores.window;
    let mut rules = Vec::new();
    if scores.causal {
        rules.push(b.zip(Zip::LessOrEqual, &key, &place)?);
    }
    if left >= 0 {
        let least = b.with(Zip::Subtract, &place, left as f64)?;
        rules.push(b.zip(Zip::GreaterOrEqual, &key, &least)?);
    }
    if right >= 0 {
        let most = b.with(Zip::Add, &place, right as f64)?;
        rules.push(b.zip(Zip::LessOrEqual, &key, &most)?);
    }
    if let Some(list) = &scores.lengths {
        let ends = b.integers(&[list.len() as u64, 1, 1, 1], list)?;
        rules.push(b.zip(Zip::Less, &key, &ends)?);
    }
    for rule in rules {
        let term = b.select(&rule, &zero, &minus)?;
        sum = Some(match sum {
            Some(sum) => b.add(&sum, &term)?,
            None => term,
        });
    }
    Ok(sum)
}

/// `(result, scores)`: `q`, `k`, `v` as `[batch, heads, tokens, width]`; `mode` picks the scores
/// after the product, the cap, the mask or the softmax.
pub(super) fn attend(
    b: &mut Builder<'_>,
    (q, k, v): (&Tensor, &Tensor, &Tensor),
    scores: &Scores<'_>,
    mode: i64,
) -> Result<(Tensor, Tensor), Fault> {
    let (&[_, count, queries, wide], &[_, _, keys, _]) = (&q.dims[..], &k.dims[..]) else {
        return Err(Fault::invalid(format!("queries {}, keys {}", q.dims, k.dims)));
    };
    let scale = scores.scale.map_or_else(|| 1.0 / (wide as f64).sqrt(), f64::from);
    let k = grouped(b, k, count)?;
    let v = grouped(b, v, count)?;
    // Half of the scale on each side keeps 16-bit products in range.
    let root = scale.abs().sqrt();
    let left = b.with(Zip::Multiply, q, root * scale.signum())?;
    let right = b.with(Zip::Multiply, &k, root)?;
    let right = b.swap(&right, 2, 3)?;
    let mut qk = b.matmul(&left, &right)?;
    let product = qk.clone();
    if scores.soft_cap > 0.0 {
        let cap = f64::from(scores.soft_cap);
        qk = b.with(Zip::Divide, &qk, cap)?;
        qk = b.map(Map::Tanh, &qk)?;
        qk = b.with(Zip::Multiply, &qk, cap)?;
    }
    let capped = qk.clone();
    let bias = bias(b, scores, (queries, keys), q.dtype)?;
    if let Some(bias) = &bias {
        qk = b.add(&qk, bias)?;
    }
    let masked = qk.clone();
    let precision = scores.precision.unwrap_or(q.dtype);
    let wide = b.cast(&qk, precision)?;
    let mut shares = b.softmax(&wide, 3)?;
    shares = b.cast(&shares, q.dtype)?;
    if let Some(bias) = &bias {
        // A query that may see no key at all gets nothing.
        let most = b.reduce(ReduceKind::Max, bias, &[bias.rank() - 1], true)?;
        let blind = b.map(Map::IsInf { negative: true, positive: false }, &most)?;
        let zero = b.scalar(q.dtype, 0.0);
        shares = b.select(&blind, &zero, &shares)?;
    }
    let result = b.matmul(&shares, &v)?;
    let shown = match mode {
        0 => product,
        1 => capped,
        2 => masked,
        3 => shares,
        other => return Err(Fault::invalid(format!("qk_matmul_output_mode {other}"))),
    };
    Ok((result, shown))
}

pub(super) fn attention(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let query = call.tensor(0)?;
    let is_flat = query.rank() == 3;
    let (q_heads, kv_heads) = (call.int("q_num_heads", 0)?, call.int("kv_num_heads", 0)?);
    let q = heads(b, query, q_heads)?;
    let mut k = heads(b, call.tensor(1)?, kv_heads)?;
    let mut v = heads(b, call.tensor(2)?, kv_heads)?;
    let mut past = 0;
    if let (Some(past_k), Some(past_v)) = (call.optional(4)?, call.optional(5)?) {
        past = past_k.dims.get(2).map_or(0, |n| n.cast_signed());
        k = b.concat(&[past_k.clone(), k], 2)?;
        v = b.concat(&[past_v.clone(), v], 2)?;
    }
    let lengths = call.optional(6)?.map(|lengths| b.ints(lengths)).transpose()?;
    let precision = match call.int("softmax_precision", 0)? {
        0 => None,
        code => Some(super::super::constant::element(elementwise::code(code)?)?.0),
    };
    let scores = Scores {
        scale: call.attribute("scale").map(|_| call.float("scale", 1.0)).transpose()?,
        soft_cap: call.float("softcap", 0.0)?,
        causal: call.flag("is_causal", false)?,
        window: [call.int("left_window_size", -1)?, call.int("right_window_size", -1)?],
        mask: call.optional(3)?,
        lengths,
        past,
        precision,
    };
    let mode = call.int("qk_matmul_output_mode", 0)?;
    let (y, shown) = attend(b, (&q, &k, &v), &scores, mode)?;
    let y = if is_flat { flat(b, &y)? } else { y };
    Ok(vec![y.into(), k.into(), v.into(), shown.into()])
}

/// Turns the leading `dims` of each head; `x: [batch, tokens, heads, width]`, tables
/// `[batch, tokens, 1, dims / 2]`.
fn turn(
    b: &mut Builder<'_>,
    x: &Tensor,
    (cos, sin): (&Tensor, &Tensor),
    dims: u64,
    interleaved: bool,
) -> Result<Tensor, Fault> {
    let wide = x.dims[3];
    let half = dims / 2;
    let body = b.slice(x, 3, 0, dims, 1)?;
    let (p, q) = if interleaved {
        (b.slice(&body, 3, 0, half, 2)?, b.slice(&body, 3, 1, half, 2)?)
    } else {
        (b.slice(&body, 3, 0, half, 1)?, b.slice(&body, 3, half, half, 1)?)
    };
    let (pc, qs) = (b.mul(&p, cos)?, b.mul(&q, sin)?);
    let (ps, qc) = (b.mul(&p, sin)?, b.mul(&q, cos)?);
    let (real, imaginary) = (b.sub(&pc, &qs)?, b.add(&ps, &qc)?);
    let turned = if interleaved {
        let (real, imaginary) = (b.unsqueeze(&real, 4)?, b.unsqueeze(&imaginary, 4)?);
        let pairs = b.concat(&[real, imaginary], 4)?;
        b.reshape(&pairs, &body.dims)?
    } else {
        b.concat(&[real, imaginary], 3)?
    };
    if dims == wide {
        return Ok(turned);
    }
    let rest = b.slice(x, 3, dims, wide - dims, 1)?;
    b.concat(&[turned, rest], 3)
}

/// Rotary positions for `[batch, heads, tokens, width]` or `[batch, tokens, heads * width]`.
pub(super) fn rotate(
    b: &mut Builder<'_>,
    x: &Tensor,
    (cos, sin, places): (&Tensor, &Tensor, Option<&Tensor>),
    (count, dims): (i64, i64),
    interleaved: bool,
) -> Result<Tensor, Fault> {
    let by_token = match (&x.dims[..], u64::try_from(count)) {
        (&[_, _, _, _], _) => b.swap(x, 1, 2)?,
        (&[batch, tokens, wide], Ok(count)) => {
            // Without a number of heads, a head is twice as wide as the tables.
            let table = cos.dims.dims().last().copied().unwrap_or(0) * 2;
            let count = if count == 0 { wide / table.max(1) } else { count };
            b.reshape(x, &[batch, tokens, count, wide / count.max(1)])?
        }
        _ => return Err(Fault::invalid(format!("rotary positions of {}", x.dims))),
    };
    let dims = match u64::try_from(dims) {
        Ok(0) | Err(_) => by_token.dims[3].min(cos.dims.dims().last().copied().unwrap_or(0) * 2),
        Ok(dims) => dims,
    };
    if dims % 2 == 1 || dims > by_token.dims[3] {
        return Err(Fault::invalid(format!("{dims} rotated elements of {}", by_token.dims)));
    }
    let mut table = |t: &Tensor| {
        let rows = match places {
            Some(places) => b.gather(t, places, 0)?,
            None => t.clone(),
        };
        let last = rows.rank().checked_sub(1);
        let last = last.ok_or_else(|| Fault::invalid("a table of rotations of rank 0"))?;
        let rows = b.slice(&rows, last, 0, dims / 2, 1)?;
        b.unsqueeze(&rows, last)
    };
    let (cos, sin) = (table(cos)?, table(sin)?);
    let y = turn(b, &by_token, (&cos, &sin), dims, interleaved)?;
    if x.rank() == 4 { b.swap(&y, 1, 2) } else { b.reshape(&y, &x.dims) }
}

pub(super) fn rotary(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let interleaved = call.flag("interleaved", false)?;
    let sizes = (call.int("num_heads", 0)?, call.int("rotary_embedding_dim", 0)?);
    let tables = (call.tensor(1)?, call.tensor(2)?, call.optional(3)?);
    one(rotate(b, call.tensor(0)?, tables, sizes, interleaved)?)
}

pub(super) fn tensor_scatter(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (past, update) = (call.tensor(0)?, call.tensor(1)?);
    let axis = past.axis(call.int("axis", -2)?)?;
    let circular = match call.text("mode", "linear")? {
        "linear" => false,
        "circular" => true,
        other => return Err(Fault::unsupported(format!("mode `{other}`"))),
    };
    let rank = update.rank();
    if rank != past.rank() || axis == 0 {
        return Err(Fault::invalid(format!("an update of {} along {axis}", update.dims)));
    }
    b.room(update.dims[axis], DType::I64)?;
    let steps: Vec<i64> = (0..update.dims[axis].cast_signed()).collect();
    let mut dims = vec![1; rank];
    dims[axis] = update.dims[axis];
    let mut index = b.integers(&dims, &steps)?;
    if let Some(start) = call.optional(2)? {
        let mut dims = vec![1; rank];
        dims[0] = start.elements();
        let start = b.cast(start, DType::I64)?;
        let start = b.reshape(&start, &dims)?;
        index = b.add(&start, &index)?;
    }
    if circular {
        index = b.with(Zip::Modulo, &index, past.dims[axis] as f64)?;
    }
    let index = b.expand(&index, &update.dims)?;
    one(b.scatter(past, &index, update, axis, Combine::Replace)?)
}
