//! The closed set of operators, their attributes, and what each one computes.
//!
//! Kinds and attributes live here as data, so that backends and delegates match on them
//! exhaustively: a new operator breaks the build wherever it must be handled. Shape rules,
//! verification and passes live in `graph`.
//!
//! Conventions: rows are tokens, `x: [rows, width] F32`; weights are `[outputs, inputs]`
//! row-major. Heads lie side by side in a row: `q: [tokens, heads * head_dim]`. `position(t)` is
//! the number of positions already in the state plus `t`.

use crate::ArrayOp;
use core::num::NonZeroU32;

/// An operator with its attributes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "operators are copied while graphs and plans are made, never while they run"
)]
pub enum Op {
    /// `(ids: [tokens] U32, table: [vocabulary, width]) → [tokens, width]`:
    /// `out[t] = table[ids[t]] * scale`.
    Embed {
        /// Factor on every element; 1 for most families.
        scale: f32,
    },
    /// `(like: [tokens, width], table: [positions, width]) → [tokens, width]`:
    /// `out[t] = table[position(t)]`. `like` only gives the number of rows.
    EmbedPositions,
    /// `(x: [rows, width], weight?: [group], bias?: [group]) → [rows, width]`:
    /// normalises each run of `group` elements.
    Norm(Norm),
    /// `(x: [rows, inputs], weight: [outputs, inputs], bias?: [outputs]) → [rows, outputs]`:
    /// `out = x · weightᵀ + bias`.
    Linear,
    /// `(x: [tokens, heads * head_dim], factors?: [dims / 2]) → same`: rotary positions.
    Rope(Rope),
    /// `(q, k, v: [tokens, …], cache?, sinks?: [heads]) → [tokens, heads * v_head_dim]`.
    Attention(Attention),
    /// `(x) → same`, element by element.
    Unary(Unary),
    /// `(a, b) → like a`; `b` has the shape of `a`, or is one row that serves every row of `a`.
    Binary(Binary),
    /// `(gate, up: [rows, width]) → same`: `out = activation(gate) * up`.
    Gated {
        /// What is applied to the gate.
        activation: Unary,
    },
    /// `(x: [rows, width], router: [rows, experts], gate, up: [experts, hidden, width],
    /// down: [experts, width, hidden]) → [rows, width]`.
    Experts(Experts),
    /// `(x) → same`: `out = x * factor`.
    Scale {
        /// The factor.
        factor: f32,
    },
    /// `(x) → same`: `out = cap * tanh(x / cap)`.
    SoftCap {
        /// The bound that is approached.
        cap: f32,
    },
    /// `(x: [rows, width], index: [chosen] U32) → [chosen, width]`: `out[i] = x[index[i]]`.
    SelectRows,
    /// An operator of a network on dense arrays.
    Array(ArrayOp),
}

/// What a [`Op::Norm`] divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// `x / sqrt(mean(x²) + eps)` (Zhang and Sennrich 2019).
    Rms,
    /// `(x - mean) / sqrt(variance + eps)` (Ba et al. 2016).
    Layer,
}

/// Attributes of [`Op::Norm`]: `out = normalised(x) * (weight + offset) + bias`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// The statistic.
    pub kind: NormKind,
    /// Added under the root.
    pub eps: f32,
    /// Added to the weight: 1 where a family stores weights around zero.
    pub offset: f32,
    /// Elements that are normalised together: a row's width, or `head_dim` for each head.
    pub group: NonZeroU32,
}

/// Which elements of a head are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairs {
    /// `(x[2i], x[2i + 1])`, as Su et al. 2021 write it; GGUF's llama layout.
    Interleaved,
    /// `(x[i], x[i + dims / 2])`, as Hugging Face and GPT-NeoX do.
    Half,
}

/// Attributes of [`Op::Rope`]: pair `i` turns by `position * frequency(i)`.
///
/// `frequency(i) = base^(-2i / dims)`, divided by `factors[i]` where that operand is present,
/// then blended towards `frequency * scale` by [`Yarn`]; without it every frequency is multiplied
/// by `scale`. Cosine and sine are multiplied by `magnitude`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// Which elements form a pair.
    pub pairs: RopePairs,
    /// Elements of one head.
    pub head_dim: u32,
    /// Leading elements of each head that are rotated (even); the rest pass through.
    pub dims: u32,
    /// Base of the geometric row of frequencies.
    pub base: f32,
    /// Position interpolation: 1, or `1 / factor` for linear scaling (Chen et al. 2023).
    pub scale: f32,
    /// YaRN blending (Peng et al. 2023), where used.
    pub yarn: Option<Yarn>,
    /// Factor on cosine and sine; 1 for most families.
    pub magnitude: f32,
}

/// How YaRN blends interpolated and original frequencies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// Weight of the original frequencies inside the ramp, usually 1.
    pub mix: f32,
    /// Rotations over the original context above which a frequency is kept.
    pub beta_fast: f32,
    /// Rotations below which it is fully interpolated.
    pub beta_slow: f32,
    /// Positions that the model was trained on.
    pub original_positions: u32,
}

/// Which positions a query may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Its own and all earlier ones; with a window `w`, only the last `w` of them.
    Causal {
        /// Number of positions seen, the query's own included.
        window: Option<NonZeroU32>,
    },
    /// All positions of the run, before and after (encoders).
    Full,
}

/// Attributes of [`Op::Attention`]:
/// `out[h] = softmax(cap(q[h] · K[g]ᵀ * scale))) · V[g]`, where `g = h / (heads / kv_heads)`; a sink
/// is one more score of a head, of which no value comes (Xiao et al. 2023, as gpt-oss learns them).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// Query heads, a multiple of `kv_heads`.
    pub heads: u32,
    /// Key and value heads.
    pub kv_heads: u32,
    /// Elements of a query and key head.
    pub head_dim: u32,
    /// Elements of a value head.
    pub v_head_dim: u32,
    /// Factor on the scores, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// Scores become `cap * tanh(score / cap)`, where present.
    pub soft_cap: Option<f32>,
    /// Which positions are seen.
    pub mask: Mask,
}

/// Functions of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// `x / (1 + exp(-x))`.
    Silu,
    /// `x * Φ(x)`, exact.
    Gelu,
    /// GELU by tanh: `x/2 (1 + tanh(sqrt(2/π) (x + 0.044715 x³)))`.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)²`.
    ReluSquared,
    /// `tanh(x)`.
    Tanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

/// Functions of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a * b`.
    Mul,
}

/// How the router's scores become the weights of the chosen experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gating {
    /// Softmax over all experts; the chosen ones' shares are used as they are.
    Softmax,
    /// Softmax over all experts, then the chosen ones' shares are divided by their sum.
    SoftmaxNormalised,
}

/// Attributes of [`Op::Experts`]: `out = Σ share[e] * down[e](activation(gate[e](x)) * up[e](x))`
/// over the `used` experts of highest score, ties to the lower index, summed in that order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experts {
    /// All experts.
    pub count: u32,
    /// Experts that each row visits.
    pub used: u32,
    /// Width of an expert's hidden layer.
    pub hidden: u32,
    /// What is applied to the gate.
    pub activation: Unary,
    /// How shares are made from scores.
    pub gating: Gating,
    /// Factor on the shares; 1 for most families.
    pub scale: f32,
}

impl Op {
    /// The operator's name in text forms, traces and messages.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Embed { .. } => "embed",
            Self::EmbedPositions => "embed_positions",
            Self::Norm(_) => "norm",
            Self::Linear => "linear",
            Self::Rope(_) => "rope",
            Self::Attention(_) => "attention",
            Self::Unary(_) => "unary",
            Self::Binary(_) => "binary",
            Self::Gated { .. } => "gated",
            Self::Experts(_) => "experts",
            Self::Scale { .. } => "scale",
            Self::SoftCap { .. } => "soft_cap",
            Self::SelectRows => "select_rows",
            Self::Array(op) => op.name(),
        }
    }
}
