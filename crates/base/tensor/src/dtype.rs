//! What one element is: a plain number or a member of a quantised block.
//!
//! `DType` lists plain numbers, `BlockType` GGUF's quantised blocks (ggml's `ggml_type` table,
//! GGUF specification version 3); `TensorType` is either. All are stored little endian.

use core::{fmt, str::FromStr};

/// A plain number type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single: 8 exponent bits, 7 fraction bits.
    BF16,
    /// IEEE double precision.
    F64,
    /// 8 bits: 4 of exponent, 3 of fraction, no infinities.
    F8E4M3,
    /// 8 bits: 5 of exponent, 2 of fraction.
    F8E5M2,
    /// Signed 8 bit.
    I8,
    /// Unsigned 8 bit.
    U8,
    /// Signed 16 bit.
    I16,
    /// Unsigned 16 bit.
    U16,
    /// Signed 32 bit.
    I32,
    /// Unsigned 32 bit.
    U32,
    /// Signed 64 bit.
    I64,
    /// Unsigned 64 bit.
    U64,
    /// One byte: zero is false.
    Bool,
}

impl DType {
    /// All plain types, in the order of the enum.
    pub const ALL: [Self; 15] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::F64,
        Self::F8E4M3,
        Self::F8E5M2,
        Self::I8,
        Self::U8,
        Self::I16,
        Self::U16,
        Self::I32,
        Self::U32,
        Self::I64,
        Self::U64,
        Self::Bool,
    ];

    /// Bytes of one element.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::F8E4M3 | Self::F8E5M2 | Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// Whether it is a floating-point type that is computed with.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::BF16 | Self::F64)
    }

    /// Whether it is a whole number of 8 to 64 bits.
    pub const fn is_integer(self) -> bool {
        self.is_signed_integer() || matches!(self, Self::U8 | Self::U16 | Self::U32 | Self::U64)
    }

    /// Whether it is a signed whole number of 8 to 64 bits.
    pub const fn is_signed_integer(self) -> bool {
        matches!(self, Self::I8 | Self::I16 | Self::I32 | Self::I64)
    }

    /// The name that users see and type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F64 => "F64",
            Self::F8E4M3 => "F8_E4M3",
            Self::F8E5M2 => "F8_E5M2",
            Self::I8 => "I8",
            Self::U8 => "U8",
            Self::I16 => "I16",
            Self::U16 => "U16",
            Self::I32 => "I32",
            Self::U32 => "U32",
            Self::I64 => "I64",
            Self::U64 => "U64",
            Self::Bool => "Bool",
        }
    }
}

/// A quantised block of GGUF: a fixed number of weights with their scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(non_camel_case_types, reason = "the field's names: Q4_K is not Q4K to anyone")]
pub enum BlockType {
    /// 32 × 4 bit, one scale.
    Q4_0,
    /// 32 × 4 bit, scale and minimum.
    Q4_1,
    /// 32 × 5 bit, one scale.
    Q5_0,
    /// 32 × 5 bit, scale and minimum.
    Q5_1,
    /// 32 × 8 bit, one scale.
    Q8_0,
    /// 256 × 2 bit, 4-bit scales and minimums per 16.
    Q2_K,
    /// 256 × 3 bit, 6-bit scales per 16.
    Q3_K,
    /// 256 × 4 bit, 6-bit scales and minimums per 32.
    Q4_K,
    /// 256 × 5 bit, 6-bit scales and minimums per 32.
    Q5_K,
    /// 256 × 6 bit, 8-bit scales per 16.
    Q6_K,
    /// 32 × 4-bit index into a non-linear table, one scale.
    IQ4_NL,
    /// 256 × 4-bit index into the same table, 6-bit scales per 32.
    IQ4_XS,
    /// 32 × 4-bit float (E2M1) with a shared power-of-two scale (OCP Microscaling 1.0).
    MXFP4,
}

impl BlockType {
    /// All block types, in the order of the enum.
    pub const ALL: [Self; 13] = [
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
        Self::IQ4_NL,
        Self::IQ4_XS,
        Self::MXFP4,
    ];

    /// Weights in one block.
    pub const fn elements(self) -> u64 {
        match self {
            Self::Q4_0
            | Self::Q4_1
            | Self::Q5_0
            | Self::Q5_1
            | Self::Q8_0
            | Self::IQ4_NL
            | Self::MXFP4 => 32,
            Self::Q2_K | Self::Q3_K | Self::Q4_K | Self::Q5_K | Self::Q6_K | Self::IQ4_XS => 256,
        }
    }

    /// Bytes of one block.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::MXFP4 => 17,
            Self::Q4_0 | Self::IQ4_NL => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2_K => 84,
            Self::Q3_K => 110,
            Self::IQ4_XS => 136,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
        }
    }

    /// The name that users see and type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2_K => "Q2_K",
            Self::Q3_K => "Q3_K",
            Self::Q4_K => "Q4_K",
            Self::Q5_K => "Q5_K",
            Self::Q6_K => "Q6_K",
            Self::IQ4_NL => "IQ4_NL",
            Self::IQ4_XS => "IQ4_XS",
            Self::MXFP4 => "MXFP4",
        }
    }
}

/// How a tensor's elements are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TensorType {
    /// One number an element.
    Plain(DType),
    /// Quantised blocks along the last dimension.
    Block(BlockType),
}

impl TensorType {
    /// Single precision, the type of activations.
    pub const F32: Self = Self::Plain(DType::F32);

    /// Elements that are stored together: 1 for plain types.
    pub const fn block_elements(self) -> u64 {
        match self {
            Self::Plain(_) => 1,
            Self::Block(block) => block.elements(),
        }
    }

    /// Bytes of `block_elements` elements.
    pub const fn block_bytes(self) -> u64 {
        match self {
            Self::Plain(dtype) => dtype.bytes(),
            Self::Block(block) => block.bytes(),
        }
    }

    /// Bytes of a row of `elements`, or `None` if that is no whole number of blocks or overflows.
    pub const fn row_bytes(self, elements: u64) -> Option<u64> {
        let per_block = self.block_elements();
        if !elements.is_multiple_of(per_block) {
            return None;
        }
        (elements / per_block).checked_mul(self.block_bytes())
    }

    /// The name that users see and type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain(dtype) => dtype.name(),
            Self::Block(block) => block.name(),
        }
    }

    /// All storage types, plain ones first.
    pub fn all() -> impl Iterator<Item = Self> {
        DType::ALL.map(Self::Plain).into_iter().chain(BlockType::ALL.map(Self::Block))
    }
}

impl From<DType> for TensorType {
    fn from(dtype: DType) -> Self {
        Self::Plain(dtype)
    }
}

impl From<BlockType> for TensorType {
    fn from(block: BlockType) -> Self {
        Self::Block(block)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for BlockType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an element type: F32, F16, BF16, Q8_0, Q4_K and so on")]
pub struct ParseTypeError;

impl FromStr for TensorType {
    type Err = ParseTypeError;

    /// Reads a name in any case.
    fn from_str(name: &str) -> Result<Self, ParseTypeError> {
        Self::all().find(|ty| ty.name().eq_ignore_ascii_case(name)).ok_or(ParseTypeError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for ty in TensorType::all() {
            assert_eq!(ty.name().parse(), Ok(ty));
            assert_eq!(ty.name().to_ascii_lowercase().parse(), Ok(ty));
        }
        assert_eq!("Q9_X".parse::<TensorType>(), Err(ParseTypeError));
    }

    #[test]
    fn a_row_is_a_whole_number_of_blocks() {
        assert_eq!(TensorType::Block(BlockType::Q4_0).row_bytes(64), Some(36));
        assert_eq!(TensorType::Block(BlockType::Q4_K).row_bytes(64), None);
        assert_eq!(TensorType::F32.row_bytes(u64::MAX), None);
    }
}
