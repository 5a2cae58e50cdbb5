//! Activations as products read them: quantised, in tiles of tokens, with the sums they need.
//!
//! A tile holds `n` tokens, record after record along k, so that a product reads one stream. All
//! numbers are little endian. Widths of tiles are what the instruction set's registers hold
//! ([`TileWidths`]); results do not depend on them.
//!
//! | kind | k of a record | bytes of a record, in order |
//! |---|---|---|
//! | [`ActKind::F32`] | 1 | `[n] f32` |
//! | [`ActKind::Q8`] | 32 | `[n][32] i8`, `[n] f32` scale, `[n]` term |
//! | [`ActKind::Q8K`] | 256 | `[8][n][32] i8`, `[n] f32` scale, `[…][n]` terms, for some terms `[n] u32` peak |
//!
//! A peak bounds the integer sums of sub-blocks, so that products know when they fit in 16 bits:
//! the largest, over the sub-blocks, of the quants' magnitudes' sum (for [`Terms::Zero16`]) or of
//! the sums of positive and of negative quants (for [`Terms::Pairs32`]).
//!
//! Quantisation follows llama.cpp (ggml-quants.c, `quantize_row_q8_0_ref`, `quantize_row_q8_K_ref`),
//! so that integer products agree with its own.

use tensor::{BlockType, DType, TensorType};

use crate::isa::Isa;

mod quantise;

/// What a product of a weight type wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActKind {
    /// Single precision.
    F32,
    /// Signed bytes, a scale every 32.
    Q8(Terms),
    /// Signed bytes, a scale every 256.
    Q8K(Terms),
}

/// Sums of a token's quants that stand for the weights' zero points and minimums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Terms {
    /// i32: sum of 32 quants times minus the zero point; for [`ActKind::Q8`] plus the bits of
    /// `ANCHOR`.
    Zero32(u8),
    /// i32: sum of 16 quants times minus the zero point.
    Zero16(u8),
    /// f32: sum of 32 quants times the scale before it was rounded, as a half unless it overflows.
    Sum,
    /// Two i16: sums of 32 quants each.
    Pairs32,
    /// Two i16: sums of 16 quants each.
    Pairs16,
}

impl ActKind {
    /// The kind for weights of type `ty`, or `None` if there is no product for it.
    pub const fn of(ty: TensorType) -> Option<Self> {
        Some(match ty {
            TensorType::Plain(DType::F32 | DType::F16 | DType::BF16) => Self::F32,
            TensorType::Plain(_) => return None,
            TensorType::Block(block) => match block {
                BlockType::Q4_0 => Self::Q8(Terms::Zero32(8)),
                BlockType::Q5_0 => Self::Q8(Terms::Zero32(16)),
                BlockType::Q8_0 | BlockType::IQ4_NL => Self::Q8(Terms::Zero32(128)),
                BlockType::MXFP4 => Self::Q8(Terms::Zero32(12)),
                BlockType::Q4_1 | BlockType::Q5_1 => Self::Q8(Terms::Sum),
                BlockType::Q2_K => Self::Q8K(Terms::Pairs16),
                BlockType::Q3_K => Self::Q8K(Terms::Zero16(4)),
                BlockType::Q4_K | BlockType::Q5_K => Self::Q8K(Terms::Pairs32),
                BlockType::Q6_K => Self::Q8K(Terms::Zero16(32)),
                BlockType::IQ4_XS => Self::Q8K(Terms::Zero32(128)),
            },
        })
    }

    /// Elements of a token in one record.
    pub const fn record_k(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Q8(_) => 32,
            Self::Q8K(_) => 256,
        }
    }

    /// Bytes of a token in one record.
    pub(crate) const fn record_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Q8(_) => 32 + 4 + 4,
            Self::Q8K(terms) => 256 + 4 + 4 * (terms.per_256() + terms.has_peak() as usize),
        }
    }

    /// Records of a token; the last ones may lie beyond `k` and are zero, as panels have no tails.
    const fn records(self, k: usize) -> usize {
        match self {
            Self::F32 => k.next_multiple_of(2),
            Self::Q8(_) => k.next_multiple_of(128) / 32,
            Self::Q8K(_) => k.div_ceil(256),
        }
    }

    /// Bytes of one token of `k` elements.
    pub const fn token_bytes(self, k: usize) -> usize {
        self.records(k) * self.record_bytes()
    }

    /// Bytes of `tokens` tokens of `k` elements.
    pub const fn bytes(self, k: usize, tokens: usize) -> usize {
        tokens * self.token_bytes(k)
    }
}

impl Terms {
    /// Terms of a token in 256 elements.
    pub(crate) const fn per_256(self) -> usize {
        match self {
            Self::Zero16(_) => 16,
            Self::Zero32(_) | Self::Sum | Self::Pairs16 => 8,
            Self::Pairs32 => 4,
        }
    }

    /// Whether a record of 256 ends with a peak.
    pub(crate) const fn has_peak(self) -> bool {
        matches!(self, Self::Zero16(_) | Self::Pairs32)
    }
}

/// A number whose last bit counts one: integer sums below 2²² that start at its bits are, read as
/// a float, this number plus the sum. So a conversion to float costs nothing.
pub(crate) const ANCHOR: f32 = 12_582_912.0;

/// Fewer tokens than this do not pay for unpacking weights beforehand.
pub const DENSE_MIN: usize = 16;

/// The widest tile of few tokens.
pub(crate) const FUSED_TILE_MAX: usize = 8;

/// Widths of the tiles that tokens are cut into: as many of the widest as fit, then narrower ones.
#[derive(Clone, Debug)]
pub struct TileWidths {
    left: usize,
    widest: usize,
}

impl TileWidths {
    /// Cuts `tokens` into tiles for `isa`.
    pub fn new(isa: Isa, tokens: usize) -> Self {
        let widest = if tokens < DENSE_MIN { isa.tile().min(FUSED_TILE_MAX) } else { isa.tile() };
        Self { left: tokens, widest }
    }
}

impl Iterator for TileWidths {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let width = [12, 8, 4, 2, 1].into_iter().find(|&w| w <= self.left.min(self.widest))?;
        self.left -= width;
        Some(width)
    }
}

/// Quantised tokens in tiles, as products read them.
#[derive(Clone, Copy, Debug)]
pub struct Acts<'a> {
    isa: Isa,
    kind: ActKind,
    k: usize,
    tokens: usize,
    bytes: &'a [u8],
}

/// One tile of an [`Acts`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile<'a> {
    /// The first token.
    pub token: usize,
    /// Tokens in the tile.
    pub width: usize,
    /// Its records.
    pub bytes: &'a [u8],
}

/// Consecutive tiles of one width.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    kind: ActKind,
    /// The first token.
    pub token: usize,
    /// Tokens in all of them.
    pub tokens: usize,
    /// Tokens in each.
    pub width: usize,
    bytes: &'a [u8],
}

impl<'a> Run<'a> {
    /// The records of tile `i` for `k` elements from element `from` on.
    pub(crate) fn records(&self, i: usize, from: usize, k: usize) -> &'a [u8] {
        let tile_bytes = self.bytes.len() / (self.tokens / self.width);
        let record_bytes = self.width * self.kind.record_bytes();
        let start = i * tile_bytes + from / self.kind.record_k() * record_bytes;
        let len = k / self.kind.record_k() * record_bytes;
        &self.bytes[start..start + len]
    }
}

impl<'a> Acts<'a> {
    /// Quantises `x`: `[tokens, k] f32` into `bytes`, of which the first
    /// [`ActKind::bytes`] are used.
    ///
    /// A block with an infinite or NaN element becomes zeros with that scale, so that products
    /// with it are NaN.
    ///
    /// # Panics
    /// If `x` is no whole number of rows, `k` no multiple of the kind's block, or `bytes` too
    /// short.
    pub fn quantise(isa: Isa, kind: ActKind, k: usize, x: &[f32], bytes: &'a mut [u8]) -> Self {
        assert!(k > 0 && x.len().is_multiple_of(k), "whole rows of {k} elements, not {}", x.len());
        assert!(k.is_multiple_of(kind.record_k()), "{k} is no multiple of {}", kind.record_k());
        let tokens = x.len() / k;
        let bytes = &mut bytes[..kind.bytes(k, tokens)];
        Self::quantise_part(isa, kind, k, tokens, 0, x, bytes);
        Self { isa, kind, k, tokens, bytes }
    }

    /// Quantises some of `tokens` tokens, those of `x` from token `first` on, into their `bytes`.
    ///
    /// So that threads may share the work: parts begin at multiples of [`Isa::tile`].
    ///
    /// # Panics
    /// As [`quantise`](Self::quantise) does, and if `x` ends neither at such a multiple nor with
    /// the last token.
    pub fn quantise_part(
        isa: Isa,
        kind: ActKind,
        k: usize,
        tokens: usize,
        first: usize,
        x: &[f32],
        bytes: &mut [u8],
    ) {
        assert!(first.is_multiple_of(isa.tile()), "token {first} begins a tile");
        let mut widths = TileWidths::new(isa, tokens);
        widths.left -= first;
        let (mut x, mut rest) = (x, bytes);
        while !x.is_empty() {
            let width = widths.next().expect("a part ends with the last token at the latest");
            let (rows, later) = x.split_at(width * k);
            let (tile, after) = rest.split_at_mut(kind.bytes(k, width));
            isa.run(quantise::Rows { kind, k, x: rows, tile });
            (x, rest) = (later, after);
        }
    }

    /// Sees bytes that [`quantise`](Self::quantise) wrote with the same arguments.
    ///
    /// # Panics
    /// If `bytes` is too short.
    pub fn from_bytes(isa: Isa, kind: ActKind, k: usize, tokens: usize, bytes: &'a [u8]) -> Self {
        Self { isa, kind, k, tokens, bytes: &bytes[..kind.bytes(k, tokens)] }
    }

    /// The instruction set whose tiles these are.
    pub const fn isa(&self) -> Isa {
        self.isa
    }

    /// What the tokens were quantised to.
    pub const fn kind(&self) -> ActKind {
        self.kind
    }

    /// Elements of a token.
    pub const fn k(&self) -> usize {
        self.k
    }

    /// Number of tokens.
    pub const fn tokens(&self) -> usize {
        self.tokens
    }

    /// The tiles of `tokens` tokens from `first` on, both at borders of tiles, by their widths.
    pub(crate) fn runs(self, first: usize, tokens: usize) -> impl Iterator<Item = Run<'a>> {
        let (mut token, end) = (first, first + tokens);
        let mut widths = TileWidths::new(self.isa, self.tokens);
        widths.left -= first;
        core::iter::from_fn(move || {
            let width = widths.next()?;
            let tokens = if token < end { width * ((end - token) / width) } else { return None };
            widths.left -= tokens - width;
            let start = self.kind.bytes(self.k, token);
            let bytes = &self.bytes[start..start + self.kind.bytes(self.k, tokens)];
            let run = Run { kind: self.kind, token, tokens, width, bytes };
            token += tokens;
            Some(run)
        })
    }

    /// The tiles in the order of their tokens.
    pub(crate) fn tiles(self) -> impl Iterator<Item = Tile<'a>> {
        let (mut token, mut rest) = (0, self.bytes);
        TileWidths::new(self.isa, self.tokens).map(move |width| {
            let (bytes, after) = rest.split_at(self.kind.bytes(self.k, width));
            let tile = Tile { token, width, bytes };
            (token, rest) = (token + width, after);
            tile
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
