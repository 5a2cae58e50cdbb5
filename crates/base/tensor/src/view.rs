//! A borrowed tensor: bytes with their type and shape, checked to agree once. A view that exists
//! can be decoded without further checks.

use crate::{Bytes, Shape, TensorType};

/// Bytes that hold a tensor.
#[derive(Clone, Copy, Debug)]
pub struct TensorRef<'a> {
    ty: TensorType,
    shape: Shape,
    bytes: &'a [u8],
}

/// Why bytes do not hold the tensor that was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// The shape does not describe a size: it overflows, or a row is no whole number of blocks.
    #[error("a {ty} tensor cannot have shape {shape}: rows are blocks of {}", ty.block_elements())]
    Shape {
        /// The claimed type.
        ty: TensorType,
        /// The claimed shape.
        shape: Shape,
    },
    /// There are more or fewer bytes than the shape needs.
    #[error("the shape needs {need:?}, there are {have:?}")]
    Size {
        /// What type and shape need.
        need: Bytes,
        /// What was given.
        have: Bytes,
    },
}

/// Bytes that a tensor of this type and shape occupies; the only place that computes it.
///
/// # Errors
/// If a row is no whole number of blocks, or the size overflows.
pub fn tensor_bytes(ty: TensorType, shape: Shape) -> Result<Bytes, ViewError> {
    let bytes = || ty.row_bytes(shape.last())?.checked_mul(shape.rows()?);
    bytes().map(Bytes).ok_or(ViewError::Shape { ty, shape })
}

impl<'a> TensorRef<'a> {
    /// Binds bytes to a type and a shape.
    ///
    /// # Errors
    /// If the bytes are not exactly what type and shape need.
    pub fn new(ty: TensorType, shape: Shape, bytes: &'a [u8]) -> Result<Self, ViewError> {
        let need = tensor_bytes(ty, shape)?;
        let have = Bytes(bytes.len() as u64);
        if need == have {
            Ok(Self { ty, shape, bytes })
        } else {
            Err(ViewError::Size { need, have })
        }
    }

    /// How elements are stored.
    pub fn ty(&self) -> TensorType {
        self.ty
    }

    /// The extents, outermost first.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The stored bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlockType;

    #[test]
    fn bytes_must_match_type_and_shape() {
        let shape = Shape::new(&[2, 32]).unwrap();
        let ty = TensorType::Block(BlockType::Q8_0);
        assert!(TensorRef::new(ty, shape, &[0; 68]).is_ok());
        assert!(matches!(TensorRef::new(ty, shape, &[0; 67]), Err(ViewError::Size { .. })));
        let odd = Shape::new(&[2, 33]).unwrap();
        assert!(matches!(TensorRef::new(ty, odd, &[0; 70]), Err(ViewError::Shape { .. })));
    }
}
