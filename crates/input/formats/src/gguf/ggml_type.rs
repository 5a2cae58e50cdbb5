//! ggml's numbering of element types, as GGUF files store it.
//!
//! Every number that ggml ever gave out has a row with its name and size (`ggml.h`,
//! `enum ggml_type`, and the block structs of `ggml-common.h`), so that a file can be listed
//! and its extents checked whether or not the type can be decoded.

use tensor::{BlockType, DType, TensorType};

use crate::table::{ForeignType, StoredType};

/// One row of the table: the number in the file, and what it means.
type Row = (u32, StoredType);

const fn plain(id: u32, ty: DType) -> Row {
    (id, StoredType::Known(TensorType::Plain(ty)))
}

const fn block(id: u32, ty: BlockType) -> Row {
    (id, StoredType::Known(TensorType::Block(ty)))
}

/// A type by name, elements of a block and bytes of a block.
const fn foreign(id: u32, name: &'static str, block_elements: u64, bytes: u64) -> Row {
    (id, StoredType::Foreign(ForeignType { name, block_elements, block_bits: bytes << 3 }))
}

/// All types, by number. 4, 5, 31–33 and 36–38 were given out and later removed by ggml.
const TYPES: [Row; 43] = [
    plain(0, DType::F32),
    plain(1, DType::F16),
    block(2, BlockType::Q4_0),
    block(3, BlockType::Q4_1),
    foreign(4, "Q4_2", 16, 10),
    foreign(5, "Q4_3", 16, 12),
    block(6, BlockType::Q5_0),
    block(7, BlockType::Q5_1),
    block(8, BlockType::Q8_0),
    foreign(9, "Q8_1", 32, 36),
    block(10, BlockType::Q2_K),
    block(11, BlockType::Q3_K),
    block(12, BlockType::Q4_K),
    block(13, BlockType::Q5_K),
    block(14, BlockType::Q6_K),
    foreign(15, "Q8_K", 256, 292),
    foreign(16, "IQ2_XXS", 256, 66),
    foreign(17, "IQ2_XS", 256, 74),
    foreign(18, "IQ3_XXS", 256, 98),
    foreign(19, "IQ1_S", 256, 50),
    block(20, BlockType::IQ4_NL),
    foreign(21, "IQ3_S", 256, 110),
    foreign(22, "IQ2_S", 256, 82),
    block(23, BlockType::IQ4_XS),
    plain(24, DType::I8),
    plain(25, DType::I16),
    plain(26, DType::I32),
    plain(27, DType::I64),
    plain(28, DType::F64),
    foreign(29, "IQ1_M", 256, 56),
    plain(30, DType::BF16),
    foreign(31, "Q4_0_4_4", 32, 18),
    foreign(32, "Q4_0_4_8", 32, 18),
    foreign(33, "Q4_0_8_8", 32, 18),
    foreign(34, "TQ1_0", 256, 54),
    foreign(35, "TQ2_0", 256, 66),
    foreign(36, "IQ4_NL_4_4", 32, 18),
    foreign(37, "IQ4_NL_4_8", 32, 18),
    foreign(38, "IQ4_NL_8_8", 32, 18),
    block(39, BlockType::MXFP4),
    foreign(40, "NVFP4", 64, 36),
    foreign(41, "Q1_0", 128, 18),
    foreign(42, "Q2_0", 64, 18),
];

/// The largest number that has a meaning.
pub(crate) const LAST: u32 = 42;

/// What a number in a file means, or `None` if ggml has not given it out.
pub fn from_id(id: u32) -> Option<StoredType> {
    TYPES.iter().find(|row| row.0 == id).map(|row| row.1)
}

/// The number of a type, or `None` if GGUF has none for it (`U8`, `Bool` and so on).
pub fn id(ty: StoredType) -> Option<u32> {
    TYPES.iter().find(|row| row.1 == ty).map(|row| row.0)
}

/// All types that GGUF has a number for, by number.
pub fn all() -> impl Iterator<Item = (u32, StoredType)> {
    TYPES.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_every_block_type_has_one() {
        for (want, (number, ty)) in (0..).zip(all()) {
            assert_eq!((number, from_id(number), id(ty)), (want, Some(ty), Some(want)));
        }
        assert_eq!(from_id(LAST + 1), None);
        for ty in BlockType::ALL {
            assert!(id(StoredType::Known(ty.into())).is_some(), "{ty}");
        }
        assert_eq!(id(StoredType::Known(DType::Bool.into())), None);
    }
}
