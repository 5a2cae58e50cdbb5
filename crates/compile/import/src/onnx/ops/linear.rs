//! Recurrences of state-space language models: linear attention and its causal convolution.

use super::{
    super::call::{Call, Outputs, many},
    attention::{flat, heads},
};
use crate::network::{Builder, Fault};
use plan::{
    ArrayOp,
    array::{Conv, Map, Zip},
};
use tensor::DType;

/// One state for each key and value head, `[batch, heads, key, value]`, in single precision.
pub(super) fn attention(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let query = call.tensor(0)?;
    let (q_heads, kv_heads) = (call.int("q_num_heads", 0)?, call.int("kv_num_heads", 0)?);
    call.int("chunk_size", 0)?;
    let rule = call.text("update_rule", "gated_delta")?;
    let (gated, delta) = match rule {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => return Err(Fault::unsupported(format!("update_rule `{other}`"))),
    };
    let mut wide = |i: usize, count: i64| {
        let x = b.cast(call.tensor(i)?, DType::F32)?;
        heads(b, &x, count)
    };
    let (q, k, v) = (wide(0, q_heads)?, wide(1, kv_heads)?, wide(2, kv_heads)?);
    // One factor a head, or one an element of its key.
    let decay = if gated { Some(wide(4, kv_heads)?) } else { None };
    let beta = if delta {
        let count = call.tensor(5)?.dims.dims().last().map_or(0, |n| n.cast_signed());
        Some(wide(5, count)?)
    } else {
        None
    };
    let (&[batch, count, steps, key], &[_, own, _, value]) = (&q.dims[..], &v.dims[..]) else {
        return Err(Fault::invalid(format!("queries {}, values {}", q.dims, v.dims)));
    };
    let scale = match call.float("scale", 0.0)? {
        0.0 => 1.0 / (key as f64).sqrt(),
        scale => f64::from(scale),
    };
    let (mut state, result) = match call.optional(3)? {
        Some(past) => (b.cast(past, DType::F32)?, past.dtype),
        None => (b.filled(DType::F32, &[batch, own, key, value], 0.0)?, query.dtype),
    };
    if own == 0 || !count.is_multiple_of(own) {
        return Err(Fault::invalid(format!("{count} query heads over {own}")));
    }
    let mut rows = Vec::new();
    for t in 0..steps {
        let k_t = b.slice(&k, 2, t, 1, 1)?;
        let mut v_t = b.slice(&v, 2, t, 1, 1)?;
        let column = b.swap(&k_t, 2, 3)?;
        if let Some(decay) = &decay {
            let g = b.slice(decay, 2, t, 1, 1)?;
            let g = b.map(Map::Exp, &g)?;
            let g = b.swap(&g, 2, 3)?;
            state = b.mul(&state, &g)?;
        }
        if let Some(beta) = &beta {
            let known = b.matmul(&k_t, &state)?;
            let news = b.sub(&v_t, &known)?;
            let share = b.slice(beta, 2, t, 1, 1)?;
            v_t = b.mul(&share, &news)?;
        }
        let outer = b.mul(&column, &v_t)?;
        state = b.add(&state, &outer)?;
        let read = b.unsqueeze(&state, 2)?;
        let read = b.expand(&read, &[batch, own, count / own, key, value])?;
        let read = b.reshape(&read, &[batch, count, key, value])?;
        let q_t = b.slice(&q, 2, t, 1, 1)?;
        rows.push(b.matmul(&q_t, &read)?);
    }
    let y = b.concat(&rows, 2)?;
    let y = b.with(Zip::Multiply, &y, scale)?;
    let y = flat(b, &y)?;
    many([b.cast(&y, query.dtype)?, b.cast(&state, result)?])
}

pub(super) fn causal_conv(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, w) = (call.tensor(0)?, call.tensor(1)?);
    let (&[batch, channels, _], &[_, 1, taps]) = (&x.dims[..], &w.dims[..]) else {
        return Err(Fault::invalid(format!("an input of {}, weights of {}", x.dims, w.dims)));
    };
    let before = taps.checked_sub(1).ok_or_else(|| Fault::invalid("weights of no taps"))?;
    let past = match call.optional(3)? {
        Some(past) => past.clone(),
        None => b.filled(x.dtype, &[batch, channels, before], 0.0)?,
    };
    let padded = b.concat(&[past, x.clone()], 2)?;
    let number = |n: u64| u32::try_from(n).map_err(|_| Fault::invalid("more than 2^32 channels"));
    let list = |n: u32| crate::network::emit::list(&[n]);
    let conv = Conv {
        kernel: list(number(taps)?)?,
        strides: list(1)?,
        dilations: list(1)?,
        before: list(0)?,
        after: list(0)?,
        groups: number(channels)?,
    };
    let mut y = b.apply(ArrayOp::Conv(conv), &[Some(&padded), Some(w), call.optional(2)?])?;
    match call.text("activation", "none")? {
        "none" | "" => {}
        "silu" | "swish" => y = b.map(Map::Silu, &y)?,
        other => return Err(Fault::unsupported(format!("activation `{other}`"))),
    }
    let from = padded.dims.get(2).and_then(|length| length.checked_sub(before));
    let from = from.ok_or_else(|| Fault::invalid(format!("{} for {taps} taps", padded.dims)))?;
    let state = b.slice(&padded, 2, from, before, 1)?;
    many([y, state])
}
