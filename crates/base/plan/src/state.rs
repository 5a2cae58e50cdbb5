//! What persists between runs. Nothing else does.

use core::{fmt, num::NonZeroU32, str::FromStr};
use tensor::Bytes;

/// Names a state of one graph or plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateId(pub u32);

/// Positions are stored in groups of this many; the last group is allocated whole.
pub const KV_PAGE: u64 = 64;

/// Keys and values in bytes are padded to a multiple of this.
const Q8_GROUP: u64 = 16;

/// Elements of a key in bytes that share a scale.
const Q8_BLOCK: u64 = 32;

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvType {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// Signed bytes with scales in half precision, for each 32 elements of a key and for each
    /// value: 8.4 bits an element of a head of 64.
    Q8_0,
}

impl KvType {
    /// All types, the most precise first.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Q8_0];

    /// The name that users see and type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
        }
    }

    /// Bytes of one position of a head whose keys and values have these widths.
    fn position_bytes(self, head_dim: u64, v_head_dim: u64) -> u64 {
        match self {
            Self::F32 => 4 * (head_dim + v_head_dim),
            Self::F16 => 2 * (head_dim + v_head_dim),
            Self::Q8_0 => {
                let [key, value] = [head_dim, v_head_dim].map(|n| n.next_multiple_of(Q8_GROUP));
                key + value + 2 * (head_dim.div_ceil(Q8_BLOCK) + 1)
            }
        }
    }
}

impl fmt::Display for KvType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no [`KvType`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("keys and values are stored as f32, f16 or q8_0")]
pub struct ParseKvTypeError;

impl FromStr for KvType {
    type Err = ParseKvTypeError;

    /// Finds the type of this name, in small or large letters.
    fn from_str(name: &str) -> Result<Self, ParseKvTypeError> {
        let found = Self::ALL.into_iter().find(|ty| ty.name().eq_ignore_ascii_case(name));
        found.ok_or(ParseKvTypeError)
    }
}

/// Keys and values of earlier positions of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvCache {
    /// Key and value heads.
    pub kv_heads: NonZeroU32,
    /// Elements of a key head.
    pub head_dim: NonZeroU32,
    /// Elements of a value head.
    pub v_head_dim: NonZeroU32,
    /// How they are stored.
    pub ty: KvType,
    /// Positions that fit.
    pub positions: u64,
}

impl KvCache {
    /// Bytes of keys and values for all positions, whole pages.
    pub fn bytes(&self) -> Bytes {
        let heads = u64::from(self.kv_heads.get());
        let widths = [self.head_dim, self.v_head_dim].map(|n| u64::from(n.get()));
        let position = self.ty.position_bytes(widths[0], widths[1]);
        let pages = self.positions.div_ceil(KV_PAGE);
        let bytes = heads
            .checked_mul(position)
            .and_then(|n| n.checked_mul(pages))
            .and_then(|n| n.checked_mul(KV_PAGE));
        Bytes(bytes.unwrap_or(u64::MAX))
    }
}
