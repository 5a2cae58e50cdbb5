//! Sizes and constants of a model, read from GGUF metadata or from `config.json`.
//!
//! Readers convert and check each number once; the builder relies on these invariants: no size is
//! zero, `heads` is a multiple of `kv_heads`, every float is finite, and the limits of
//! [`limits`] hold.

mod config;
mod gguf;

pub use config::from_config;
pub use gguf::from_gguf;

use crate::error::ImportError;
use plan::op::{Unary, Yarn};

/// Bounds on sizes from files; a larger number is an error that prints the bound.
pub mod limits {
    /// Layers.
    pub const LAYERS: u64 = 1024;
    /// Heads of any kind.
    pub const HEADS: u64 = 1024;
    /// Experts.
    pub const EXPERTS: u64 = 1024;
    /// Tokens of the vocabulary.
    pub const VOCABULARY: u64 = 1 << 22;
    /// Widths of rows.
    pub const WIDTH: u64 = 1 << 20;
    /// Positions.
    pub const CONTEXT: u64 = 1 << 24;
}

/// How rotary frequencies are changed for longer contexts.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeSettings {
    /// Base of the frequencies.
    pub base: f32,
    /// Base in windowed layers.
    pub base_windowed: f32,
    /// Whether windowed layers are scaled like the others.
    pub scale_windowed: bool,
    /// Rotated elements of a head.
    pub dims: u32,
    /// Factor on angles; 1 without scaling.
    pub scale: f32,
    /// YaRN blending.
    pub yarn: Option<Yarn>,
    /// Factor on cosine and sine.
    pub magnitude: f32,
    /// Where per-frequency divisors come from.
    pub factors: RopeFactors,
}

/// Divisors of rotary frequencies.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeFactors {
    /// A tensor of the file, where it is there.
    Stored,
    /// Tensors of the file for contexts up to, and above, this many positions.
    StoredByContext(u64),
    /// These numbers, one for each rotated pair.
    Given(Vec<f32>),
    /// These for contexts up to `original`, those above it.
    GivenByContext {
        /// For contexts up to `original`.
        short: Vec<f32>,
        /// For longer ones.
        long: Vec<f32>,
        /// Positions that the model was first trained on.
        original: u64,
    },
}

/// Experts of each layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpertSettings {
    /// How many there are.
    pub count: u32,
    /// How many a row visits.
    pub used: u32,
    /// Width of an expert's hidden layer.
    pub hidden: u64,
}

/// How an encoder's rows become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The mean of all rows.
    Mean,
    /// The first row.
    First,
    /// The last row.
    Last,
}

/// Sizes and constants of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The model's name, where the file gives one.
    pub name: Option<String>,
    /// Tokens.
    pub vocabulary: u64,
    /// Width of a row between layers.
    pub width: u64,
    /// Number of layers.
    pub layers: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads.
    pub kv_heads: u32,
    /// Elements of a query and key head.
    pub head_dim: u32,
    /// Elements of a value head.
    pub v_head_dim: u32,
    /// Width of the feed-forward's hidden layer.
    pub hidden: u64,
    /// Positions that the model was made for.
    pub context: u64,
    /// Added under the root of norms.
    pub eps: f32,
    /// Rotary positions, where the family has them.
    pub rope: RopeSettings,
    /// Whether rotary positions are used at all.
    pub rope_used: bool,
    /// Positions that a windowed layer sees.
    pub window: Option<u32>,
    /// A window that a GGUF file names but that is not used in its family, as in llama.cpp.
    pub window_unused: Option<u32>,
    /// Which layers are windowed, where the file says so.
    pub windowed: Option<Vec<bool>>,
    /// Factor on attention scores, where the file gives one.
    pub attention_scale: Option<f32>,
    /// Soft cap of attention scores.
    pub attention_cap: Option<f32>,
    /// Soft cap of logits.
    pub logit_cap: Option<f32>,
    /// Factor on the embedding, where the file gives one.
    pub embed_scale: Option<f32>,
    /// Factor on each branch before it is added.
    pub residual_scale: Option<f32>,
    /// Factor on the logits.
    pub logit_scale: Option<f32>,
    /// Experts, where there are any.
    pub experts: Option<ExpertSettings>,
    /// The feed-forward's function, where the file decides it.
    pub activation: Option<Unary>,
    /// Added to norm weights.
    pub norm_offset: f32,
    /// How rows are pooled for embeddings, where the file says so.
    pub pooling: Option<Pooling>,
    /// Whether the file is a folder in Hugging Face's layout (halves are paired in rope).
    pub folder: bool,
}

impl Settings {
    /// Checks what no single number shows.
    pub(crate) fn check(self) -> Result<Self, ImportError> {
        if !self.heads.is_multiple_of(self.kv_heads) {
            let reason = format!("{} heads are no multiple of {}", self.heads, self.kv_heads);
            return Err(ImportError::setting("head_count", reason));
        }
        if self.rope_used {
            let (dims, head_dim) = (self.rope.dims, self.head_dim);
            if !dims.is_multiple_of(2) || dims == 0 || dims > head_dim {
                let reason = format!("{dims} must be even, above zero and at most {head_dim}");
                return Err(ImportError::setting("rope.dimension_count", reason));
            }
        }
        if let Some(experts) = self.experts
            && (experts.used == 0 || experts.used > experts.count)
        {
            let reason = format!("{} of {} experts", experts.used, experts.count);
            return Err(ImportError::setting("expert_used_count", reason));
        }
        Ok(self)
    }
}

/// A size from a file: above zero and at most `max`.
pub(crate) fn size(key: &str, value: u64, max: u64) -> Result<u64, ImportError> {
    if value == 0 || value > max {
        return Err(ImportError::setting(key, format!("{value} is not between 1 and {max}")));
    }
    Ok(value)
}

/// As [`size`], for numbers whose bound fits 32 bits.
pub(crate) fn size_u32(key: &str, value: u64, max: u64) -> Result<u32, ImportError> {
    let checked = size(key, value, max)?;
    u32::try_from(checked).map_err(|_| ImportError::setting(key, format!("{value} is too large")))
}

/// A factor from a file: finite.
pub(crate) fn finite(key: &str, value: f64) -> Result<f32, ImportError> {
    #[expect(clippy::cast_possible_truncation, reason = "settings are single precision")]
    let single = value as f32;
    if single.is_finite() {
        Ok(single)
    } else {
        Err(ImportError::setting(key, format!("{value} is not a number that can be computed with")))
    }
}

/// A factor from a file: finite and above zero.
pub(crate) fn positive(key: &str, value: f64) -> Result<f32, ImportError> {
    let single = finite(key, value)?;
    if single > 0.0 {
        Ok(single)
    } else {
        Err(ImportError::setting(key, format!("{value} is not above 0")))
    }
}
