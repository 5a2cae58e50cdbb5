//! A value of a file while it is imported, with channels last as the file has it, or first as
//! windows want it. Each form is made when it is first asked for, and kept.

use crate::network::{Builder, Fault, Tensor};
use std::{cell::OnceCell, rc::Rc};
use tensor::{DType, Shape};

/// An array, or what stands where there is none.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// An array.
    Array(Array),
    /// A variable, by its place among those of the network.
    Variable(usize),
    /// What an operator gives that is not supported; everything that reads it is left out.
    Unknown,
}

/// An array in one or two layouts.
#[derive(Clone, Debug)]
pub(super) struct Array(Rc<Forms>);

#[derive(Debug, Default)]
struct Forms {
    last: OnceCell<Tensor>,
    /// Of four dimensions always.
    first: OnceCell<Tensor>,
    /// A constant of half precision that reads as one of single precision.
    half: Option<Tensor>,
}

/// Where the channels of images stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `[n, h, w, c]`, and arrays of any other rank as they are.
    Last,
    /// `[n, c, h, w]`.
    First,
}

const TO_FIRST: [usize; 4] = [0, 3, 1, 2];
const TO_LAST: [usize; 4] = [0, 2, 3, 1];

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Self::Array(tensor.into())
    }
}

impl From<Array> for Value {
    fn from(array: Array) -> Self {
        Self::Array(array)
    }
}

/// As the file has it.
impl From<Tensor> for Array {
    fn from(tensor: Tensor) -> Self {
        Self(Rc::new(Forms { last: tensor.into(), ..Forms::default() }))
    }
}

impl Array {
    /// An array in a layout.
    pub(super) fn new(layout: Layout, tensor: Tensor) -> Self {
        match layout {
            Layout::Last => tensor.into(),
            Layout::First => Self(Rc::new(Forms { first: tensor.into(), ..Forms::default() })),
        }
    }

    /// A constant of half precision that stands for one of single precision.
    pub(super) fn half(tensor: Tensor) -> Self {
        Self(Rc::new(Forms { half: Some(tensor), ..Forms::default() }))
    }

    fn any(&self) -> &Tensor {
        let forms = &self.0;
        let any = forms.last.get().or(forms.first.get()).or(forms.half.as_ref());
        any.expect("every array was made of one form")
    }

    /// Element type.
    pub(super) fn dtype(&self) -> DType {
        if self.0.half.is_some() { DType::F32 } else { self.any().dtype }
    }

    /// Extents as in the file.
    pub(super) fn dims(&self) -> Shape {
        let dims = self.any().dims;
        if self.0.last.get().is_some() || self.0.half.is_some() {
            return dims;
        }
        let order: Vec<u64> = TO_LAST.iter().filter_map(|&axis| dims.get(axis).copied()).collect();
        Shape::new(&order).unwrap_or(dims)
    }

    /// Number of dimensions.
    pub(super) fn rank(&self) -> usize {
        self.any().rank()
    }

    /// A dimension counted from either end.
    pub(super) fn axis(&self, axis: i64) -> Result<usize, Fault> {
        crate::network::emit::axis_of(axis, self.rank())
    }

    /// The elements as in the file.
    pub(super) fn tensor(&self, b: &mut Builder<'_>) -> Result<Tensor, Fault> {
        let forms = &self.0;
        if let Some(tensor) = forms.last.get() {
            return Ok(tensor.clone());
        }
        let made = match (&forms.half, forms.first.get()) {
            (Some(half), _) => b.cast(half, DType::F32)?,
            (None, Some(first)) => b.transpose(first, &TO_LAST)?,
            (None, None) => return Err(Fault::invalid("an array without elements")),
        };
        Ok(forms.last.get_or_init(|| made).clone())
    }

    /// As a weight of a product: constants of half precision stay what they are.
    pub(super) fn weight(&self, b: &mut Builder<'_>) -> Result<Tensor, Fault> {
        match &self.0.half {
            Some(half) => Ok(half.clone()),
            None => self.tensor(b),
        }
    }

    /// With channels first; fewer than four dimensions are filled up with leading ones.
    pub(super) fn first(&self, b: &mut Builder<'_>) -> Result<Tensor, Fault> {
        if let Some(tensor) = self.0.first.get() {
            return Ok(tensor.clone());
        }
        let mut tensor = self.tensor(b)?;
        let Some(lead) = 4usize.checked_sub(tensor.rank()) else {
            return Err(Fault::unsupported(format!("an image of {}", tensor.dims)));
        };
        if lead > 0 {
            let mut dims = vec![1; lead];
            dims.extend(tensor.dims.iter());
            tensor = b.reshape(&tensor, &dims)?;
        }
        let made = b.transpose(&tensor, &TO_FIRST)?;
        Ok(self.0.first.get_or_init(|| made).clone())
    }

    /// In a layout.
    pub(super) fn form(&self, b: &mut Builder<'_>, layout: Layout) -> Result<Tensor, Fault> {
        match layout {
            Layout::Last => self.tensor(b),
            Layout::First => self.first(b),
        }
    }

    fn is_first_alone(&self) -> bool {
        self.0.last.get().is_none() && self.0.first.get().is_some()
    }

    fn has_first(&self, b: &Builder<'_>) -> bool {
        let small = self.rank() <= 4;
        self.0.first.get().is_some() || (small && b.is_known(self.any()))
    }
}

/// The layout in which operands are at hand, for operators that go element by element.
pub(super) fn shared_layout(b: &Builder<'_>, arrays: &[&Array]) -> Layout {
    let first = arrays.iter().any(|array| array.is_first_alone())
        && arrays.iter().all(|array| array.has_first(b));
    if first { Layout::First } else { Layout::Last }
}

/// Where a dimension of an image stands in a layout.
pub(super) fn placed(layout: Layout, axis: usize) -> usize {
    match layout {
        Layout::Last => axis,
        Layout::First => TO_LAST.get(axis).copied().unwrap_or(axis),
    }
}
