//! What persists between runs. Nothing else does.

use core::num::NonZeroU32;
use tensor::{Bytes, DType};

/// Names a state of one graph or plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateId(pub u32);

/// Positions are stored in groups of this many; the last group is allocated whole.
pub const KV_PAGE: u64 = 64;

/// Keys and values of earlier positions of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvCache {
    /// Key and value heads.
    pub kv_heads: NonZeroU32,
    /// Elements of a key head.
    pub head_dim: NonZeroU32,
    /// Elements of a value head.
    pub v_head_dim: NonZeroU32,
    /// Stored as F32 or F16.
    pub ty: DType,
    /// Positions that fit.
    pub positions: u64,
}

impl KvCache {
    /// Bytes of keys and values for all positions, whole pages.
    pub fn bytes(&self) -> Bytes {
        let heads = u64::from(self.kv_heads.get());
        let widths = u64::from(self.head_dim.get()) + u64::from(self.v_head_dim.get());
        let pages = self.positions.div_ceil(KV_PAGE);
        let elements = heads
            .checked_mul(widths)
            .and_then(|n| n.checked_mul(pages))
            .and_then(|n| n.checked_mul(KV_PAGE * self.ty.bytes()));
        Bytes(elements.unwrap_or(u64::MAX))
    }
}
