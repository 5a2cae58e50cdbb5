//! Arrays that callers own: what they give to a network and what it gives back.

use crate::error::EngineError;
use import::network::Narrow;
use tensor::{DType, Shape, TensorRef};

/// An array in memory, row-major and little endian.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    dtype: DType,
    narrow: Option<Narrow>,
    shape: Shape,
    bytes: Vec<u8>,
}

/// Elements that do not fill the shape that was claimed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{have} bytes do not fill {dtype} of {dims:?}")]
pub struct ArrayError {
    /// The claimed type.
    pub dtype: DType,
    /// The claimed extents.
    pub dims: Vec<u64>,
    /// The bytes that there are.
    pub have: usize,
}

impl Array {
    /// An array of little-endian elements.
    ///
    /// # Errors
    /// If there are more or fewer than the extents say, or more than eight dimensions.
    pub fn new(dtype: DType, dims: &[u64], bytes: Vec<u8>) -> Result<Self, ArrayError> {
        let error = || ArrayError { dtype, dims: dims.to_vec(), have: bytes.len() };
        let shape = Shape::new(dims).ok_or_else(error)?;
        TensorRef::new(dtype.into(), shape, &bytes).map_err(|_| error())?;
        Ok(Self { dtype, narrow: None, shape, bytes })
    }

    /// An array of single-precision numbers.
    ///
    /// # Errors
    /// As [`Array::new`].
    pub fn from_f32(dims: &[u64], elements: &[f32]) -> Result<Self, ArrayError> {
        let bytes = elements.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self::new(DType::F32, dims, bytes)
    }

    /// An array of whole numbers.
    ///
    /// # Errors
    /// As [`Array::new`].
    pub fn from_i64(dims: &[u64], elements: &[i64]) -> Result<Self, ArrayError> {
        let bytes = elements.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self::new(DType::I64, dims, bytes)
    }

    /// The elements of a tensor of an ONNX file, such as a test's input.
    ///
    /// # Errors
    /// If they are strings, in another file, or of a type that is not known here.
    pub fn from_onnx(tensor: &formats::onnx::Tensor<'_>) -> Result<Self, EngineError> {
        let (dtype, narrow, shape, bytes) = import::onnx::elements(tensor).map_err(|fault| {
            EngineError::NotAModel { file: tensor.name.to_owned(), reason: fault.to_string() }
        })?;
        Ok(Self { dtype, narrow, shape, bytes })
    }

    pub(super) fn of_parts(
        dtype: DType,
        narrow: Option<Narrow>,
        shape: Shape,
        bytes: Vec<u8>,
    ) -> Self {
        Self { dtype, narrow, shape, bytes }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// What the elements really are, where they are narrower than their type.
    pub fn narrow(&self) -> Option<Narrow> {
        self.narrow
    }

    /// Extents, outermost first.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The elements.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The array for a run.
    ///
    /// # Panics
    /// Never: the bytes were checked when the array was made.
    pub fn view(&self) -> TensorRef<'_> {
        let view = TensorRef::new(self.dtype.into(), self.shape, &self.bytes);
        view.expect("the bytes were checked when the array was made")
    }

    /// The elements as single-precision numbers, if that is what they are.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        let (chunks, _) = self.bytes.as_chunks::<4>();
        (self.dtype == DType::F32).then(|| chunks.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }
}
