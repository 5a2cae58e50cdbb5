//! Attention over the run's positions and, with a cache, all earlier ones.

use super::{OpError, Operands};
use crate::Type;
use alloc::format;
use plan::op::{Attention, Mask};

pub(super) fn infer(operands: &Operands<'_>, attention: &Attention) -> Result<Type, OpError> {
    operands.at_most(5)?;
    let Attention { heads, kv_heads, head_dim, v_head_dim, .. } = *attention;
    operands.require(kv_heads > 0 && heads > 0 && heads.is_multiple_of(kv_heads), || {
        format!("{heads} query heads are no multiple of {kv_heads} key and value heads")
    })?;
    operands.require(head_dim > 0 && v_head_dim > 0, || "heads have no elements".into())?;
    operands.require(attention.scale.is_finite(), || {
        format!("the scale must be a number, is {}", attention.scale)
    })?;
    let tokens = operands.rows(0)?.0.dims[0];
    for (i, heads, dim) in
        [(0, heads, head_dim), (1, kv_heads, head_dim), (2, kv_heads, v_head_dim)]
    {
        let (ty, width) = operands.rows(i)?;
        let need = u64::from(heads) * u64::from(dim);
        operands.require(width == need && ty.dims[0] == tokens, || {
            format!("operand {i} must be [{tokens}, {need}], is {ty:?}")
        })?;
    }
    let cache = operands.optional_cache(3)?;
    if let Some(cache) = cache {
        let fits = (cache.kv_heads.get(), cache.head_dim.get(), cache.v_head_dim.get())
            == (kv_heads, head_dim, v_head_dim);
        operands.require(fits, || format!("the cache does not fit: {cache:?}"))?;
    }
    operands.require(cache.is_none() || attention.mask != Mask::Full, || {
        "a cache only serves causal attention".into()
    })?;
    operands.optional_weight_of(4, &[u64::from(heads)])?;
    Ok(Type::rows(tokens, u64::from(heads) * u64::from(v_head_dim)))
}
