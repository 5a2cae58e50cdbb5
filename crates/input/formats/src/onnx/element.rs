//! What one element of an ONNX tensor is. Every code of `TensorProto.DataType` has a variant, so
//! that files whose types cannot be computed with are still listed and checked.

use std::fmt;

use tensor::DType;

use crate::{FormatError, Label, Place};

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ElementType {
    /// IEEE single precision.
    Float,
    /// Unsigned 8 bit.
    Uint8,
    /// Signed 8 bit.
    Int8,
    /// Unsigned 16 bit.
    Uint16,
    /// Signed 16 bit.
    Int16,
    /// Signed 32 bit.
    Int32,
    /// Signed 64 bit.
    Int64,
    /// Bytes of any length, UTF-8 mostly.
    String,
    /// One byte: 0 or 1.
    Bool,
    /// IEEE half precision.
    Float16,
    /// IEEE double precision.
    Double,
    /// Unsigned 32 bit.
    Uint32,
    /// Unsigned 64 bit.
    Uint64,
    /// Two singles.
    Complex64,
    /// Two doubles.
    Complex128,
    /// The upper half of a single.
    Bfloat16,
    /// 8 bit: 4 exponent, 3 fraction bits, no infinities.
    Float8E4m3fn,
    /// As `Float8E4m3fn`, without negative zero.
    Float8E4m3fnuz,
    /// 8 bit: 5 exponent, 2 fraction bits, as IEEE.
    Float8E5m2,
    /// As `Float8E5m2`, without infinities and negative zero.
    Float8E5m2fnuz,
    /// Unsigned 4 bit, the first of a pair in the low half of its byte.
    Uint4,
    /// Signed 4 bit, the first of a pair in the low half of its byte.
    Int4,
    /// 4 bit: 2 exponent bits, 1 fraction bit (OCP Microscaling).
    Float4E2m1,
    /// 8 exponent bits: a power of two (OCP Microscaling).
    Float8E8m0,
    /// Unsigned 2 bit, four a byte, the first in the lowest bits.
    Uint2,
    /// Signed 2 bit, four a byte, the first in the lowest bits.
    Int2,
    /// 6 bit: 2 exponent, 3 fraction bits (OCP Microscaling).
    Float6E2m3,
    /// 6 bit: 3 exponent, 2 fraction bits (OCP Microscaling).
    Float6E3m2,
}

/// Which list of a `TensorProto` holds the elements, by its field number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    Float = 4,
    Int32 = 5,
    String = 6,
    Int64 = 7,
    Double = 10,
    Uint64 = 11,
}

/// The facts of each type, in the order of the codes, from 1.
const TABLE: [(ElementType, &str, u64, List); 28] = {
    use ElementType as E;
    [
        (E::Float, "float32", 32, List::Float),
        (E::Uint8, "uint8", 8, List::Int32),
        (E::Int8, "int8", 8, List::Int32),
        (E::Uint16, "uint16", 16, List::Int32),
        (E::Int16, "int16", 16, List::Int32),
        (E::Int32, "int32", 32, List::Int32),
        (E::Int64, "int64", 64, List::Int64),
        (E::String, "string", 0, List::String),
        (E::Bool, "bool", 8, List::Int32),
        (E::Float16, "float16", 16, List::Int32),
        (E::Double, "float64", 64, List::Double),
        (E::Uint32, "uint32", 32, List::Uint64),
        (E::Uint64, "uint64", 64, List::Uint64),
        (E::Complex64, "complex64", 64, List::Float),
        (E::Complex128, "complex128", 128, List::Double),
        (E::Bfloat16, "bfloat16", 16, List::Int32),
        (E::Float8E4m3fn, "float8e4m3fn", 8, List::Int32),
        (E::Float8E4m3fnuz, "float8e4m3fnuz", 8, List::Int32),
        (E::Float8E5m2, "float8e5m2", 8, List::Int32),
        (E::Float8E5m2fnuz, "float8e5m2fnuz", 8, List::Int32),
        (E::Uint4, "uint4", 4, List::Int32),
        (E::Int4, "int4", 4, List::Int32),
        (E::Float4E2m1, "float4e2m1", 4, List::Int32),
        (E::Float8E8m0, "float8e8m0", 8, List::Int32),
        (E::Uint2, "uint2", 2, List::Int32),
        (E::Int2, "int2", 2, List::Int32),
        (E::Float6E2m3, "float6e2m3", 6, List::Int32),
        (E::Float6E3m2, "float6e3m2", 6, List::Int32),
    ]
};

impl ElementType {
    /// All types, in the order of their codes.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// The type of a code of `TensorProto.DataType`; `None` for 0 and for codes without a type.
    pub fn from_code(code: i64) -> Option<Self> {
        let idx = usize::try_from(code.checked_sub(1)?).ok()?;
        TABLE.get(idx).map(|row| row.0)
    }

    /// The code in `TensorProto.DataType`, from 1.
    pub fn code(self) -> i64 {
        // The variants stand in the order of the codes (tested).
        (self as i64).saturating_add(1)
    }

    fn row(self) -> &'static (Self, &'static str, u64, List) {
        const FIRST: &(ElementType, &str, u64, List) = &TABLE[0];
        TABLE.get(self as usize).unwrap_or(FIRST)
    }

    /// The name that users see, such as `float32`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Bits of one element; `None` for strings.
    pub fn bits(self) -> Option<u64> {
        Some(self.row().2).filter(|&bits| bits > 0)
    }

    /// Bytes of `elements` packed without gaps; `None` for strings and on overflow.
    pub fn packed_bytes(self, elements: u64) -> Option<u64> {
        Some(elements.checked_mul(self.bits()?)?.div_ceil(8))
    }

    /// The list that holds elements which are not raw bytes.
    pub(crate) fn list(self) -> List {
        self.row().3
    }

    /// The type that the rest of Ledge computes with, where there is one.
    pub fn dtype(self) -> Option<DType> {
        Some(match self {
            Self::Float => DType::F32,
            Self::Uint8 => DType::U8,
            Self::Int8 => DType::I8,
            Self::Uint16 => DType::U16,
            Self::Int16 => DType::I16,
            Self::Int32 => DType::I32,
            Self::Int64 => DType::I64,
            Self::Bool => DType::Bool,
            Self::Float16 => DType::F16,
            Self::Double => DType::F64,
            Self::Uint32 => DType::U32,
            Self::Uint64 => DType::U64,
            Self::Bfloat16 => DType::BF16,
            Self::String
            | Self::Complex64
            | Self::Complex128
            | Self::Float8E4m3fn
            | Self::Float8E4m3fnuz
            | Self::Float8E5m2
            | Self::Float8E5m2fnuz
            | Self::Uint4
            | Self::Int4
            | Self::Float4E2m1
            | Self::Float8E8m0
            | Self::Uint2
            | Self::Int2
            | Self::Float6E2m3
            | Self::Float6E3m2 => return None,
        })
    }

    /// The type of a code out of a file.
    pub(crate) fn read(code: i64, place: impl FnOnce() -> Place) -> Result<Self, FormatError> {
        Self::from_code(code).ok_or_else(|| FormatError::Unsupported {
            place: place(),
            got: Label::from(format_args!("element type {code}")),
            instead: "types 1 to 28 of ONNX 1.23 are read",
        })
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_types_match() {
        for (code, ty) in (1..).zip(ElementType::all()) {
            assert_eq!((ElementType::from_code(code), ty.code()), (Some(ty), code));
            if let Some(dtype) = ty.dtype() {
                assert_eq!(ty.bits(), Some(dtype.bytes() * 8), "{ty}");
            }
        }
        for code in [i64::MIN, -1, 0, 29, i64::MAX] {
            assert_eq!(ElementType::from_code(code), None);
        }
    }

    #[test]
    fn sub_byte_types_are_packed_over_the_whole_tensor() {
        assert_eq!(ElementType::Int4.packed_bytes(3), Some(2));
        assert_eq!(ElementType::Uint2.packed_bytes(5), Some(2));
        assert_eq!(ElementType::Float6E2m3.packed_bytes(4), Some(3));
        assert_eq!(ElementType::Double.packed_bytes(u64::MAX), None);
        assert_eq!(ElementType::String.packed_bytes(1), None);
    }
}
