//! Shorthands over [`Builder::apply`]: one function for each everyday operator, so that an
//! operator of a file reads like its definition. Extents are checked by the graph's rules, which
//! each of them passes through.

use super::{Builder, Fault, Tensor, builder::shape};
use plan::{
    ArrayOp,
    array::{Combine, List, Map, Pad, PadMode, Reduce, ReduceKind, View, Zip},
};
use tensor::{DType, Shape};

pub(crate) use super::builder::contiguous;

/// A list for an attribute.
///
/// # Errors
/// If there are more than eight items.
pub fn list<T: Copy + Default>(items: &[T]) -> Result<List<T>, Fault> {
    List::new(items)
        .ok_or_else(|| Fault::unsupported(format!("{} dimensions; at most 8", items.len())))
}

/// A dimension as an attribute of an operator.
///
/// # Panics
/// If it is 256 or more: axes were checked against a rank of at most 8.
pub fn dim(axis: usize) -> u8 {
    u8::try_from(axis).expect("axes are below the rank, which is at most 8")
}

impl Tensor {
    /// A dimension counted from either end.
    ///
    /// # Errors
    /// If the tensor has no such dimension.
    pub fn axis(&self, axis: i64) -> Result<usize, Fault> {
        axis_of(axis, self.rank())
    }

    /// The extents from a dimension on, multiplied.
    pub fn span(&self, range: std::ops::Range<usize>) -> u64 {
        self.dims.get(range).unwrap_or_default().iter().fold(1, |n, &dim| n.saturating_mul(dim))
    }
}

/// A dimension of `rank`, counted from either end.
///
/// # Errors
/// If there is no such dimension.
pub fn axis_of(axis: i64, rank: usize) -> Result<usize, Fault> {
    let signed = i64::try_from(rank).unwrap_or(i64::MAX);
    let place = if axis < 0 { axis.checked_add(signed) } else { Some(axis) };
    place
        .and_then(|place| usize::try_from(place).ok())
        .filter(|&place| place < rank)
        .ok_or_else(|| Fault::invalid(format!("axis {axis} of an array of {rank} dimensions")))
}

impl Builder<'_> {
    /// A function of each element.
    ///
    /// # Errors
    /// If the type does not have it.
    pub fn map(&mut self, map: Map, x: &Tensor) -> Result<Tensor, Fault> {
        self.apply(ArrayOp::Map(map), &[Some(x)])
    }

    /// A function of pairs.
    ///
    /// # Errors
    /// If types or extents do not fit.
    pub fn zip(&mut self, zip: Zip, a: &Tensor, b: &Tensor) -> Result<Tensor, Fault> {
        self.apply(ArrayOp::Zip(zip), &[Some(a), Some(b)])
    }

    /// `a + b`.
    ///
    /// # Errors
    /// If types or extents do not fit.
    pub fn add(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor, Fault> {
        self.zip(Zip::Add, a, b)
    }

    /// `a - b`.
    ///
    /// # Errors
    /// If types or extents do not fit.
    pub fn sub(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor, Fault> {
        self.zip(Zip::Subtract, a, b)
    }

    /// `a * b`.
    ///
    /// # Errors
    /// If types or extents do not fit.
    pub fn mul(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor, Fault> {
        self.zip(Zip::Multiply, a, b)
    }

    /// `a / b`.
    ///
    /// # Errors
    /// If types or extents do not fit.
    pub fn div(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor, Fault> {
        self.zip(Zip::Divide, a, b)
    }

    /// A function of pairs whose second operand is one number of the first one's type.
    ///
    /// # Errors
    /// If the type does not have it.
    pub fn with(&mut self, zip: Zip, a: &Tensor, number: f64) -> Result<Tensor, Fault> {
        let number = self.scalar(a.dtype, number);
        self.zip(zip, a, &number)
    }

    /// `condition ? a : b`.
    ///
    /// # Errors
    /// If types or extents do not fit.
    pub fn select(&mut self, condition: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor, Fault> {
        self.apply(ArrayOp::Select, &[Some(condition), Some(a), Some(b)])
    }

    /// Another type.
    ///
    /// # Errors
    /// If there is no such conversion.
    pub fn cast(&mut self, x: &Tensor, to: DType) -> Result<Tensor, Fault> {
        if x.dtype == to {
            return Ok(x.clone().narrowed(None));
        }
        self.apply(ArrayOp::Cast { to, saturate: true }, &[Some(x)])
    }

    /// Other extents for the same elements.
    ///
    /// # Errors
    /// If their product is not the same.
    pub fn reshape(&mut self, x: &Tensor, dims: &[u64]) -> Result<Tensor, Fault> {
        let narrow = x.narrow;
        let dims = shape(dims)?;
        Ok(self.apply(ArrayOp::Reshape { dims }, &[Some(x)])?.narrowed(narrow))
    }

    /// Elements at regular places.
    ///
    /// # Errors
    /// If a place is outside.
    pub fn view(
        &mut self,
        x: &Tensor,
        dims: &[u64],
        strides: &[i64],
        offset: u64,
    ) -> Result<Tensor, Fault> {
        let narrow = x.narrow;
        let view = View { dims: shape(dims)?, strides: list(strides)?, offset };
        Ok(self.apply(ArrayOp::View(view), &[Some(x)])?.narrowed(narrow))
    }

    /// The dimensions in another order: dimension `i` of the result is `order[i]` of `x`.
    ///
    /// # Errors
    /// If `order` is no permutation.
    pub fn transpose(&mut self, x: &Tensor, order: &[usize]) -> Result<Tensor, Fault> {
        let mut seen = vec![false; x.rank()];
        for &axis in order {
            match seen.get_mut(axis) {
                Some(once @ false) => *once = true,
                _ => return Err(Fault::invalid(format!("{order:?} is no order of dimensions"))),
            }
        }
        if order.len() != x.rank() {
            return Err(Fault::invalid(format!("{order:?} does not name all dimensions")));
        }
        let strides = contiguous(&x.dims);
        // Where only extents of 1 move, the elements stay where they are.
        let mut moving = order.iter().filter(|&&axis| x.dims[axis] != 1);
        let dims: Vec<u64> = order.iter().map(|&axis| x.dims[axis]).collect();
        if moving.clone().zip(moving.clone().skip(1)).all(|(a, b)| a < b) || moving.next().is_none()
        {
            return self.reshape(x, &dims);
        }
        let strides: Vec<i64> = order.iter().map(|&axis| strides[axis]).collect();
        self.view(x, &dims, &strides, 0)
    }

    /// Two dimensions exchanged.
    ///
    /// # Errors
    /// If there are no such dimensions.
    pub fn swap(&mut self, x: &Tensor, a: usize, b: usize) -> Result<Tensor, Fault> {
        let mut order: Vec<usize> = (0..x.rank()).collect();
        if a.max(b) >= x.rank() {
            return Err(Fault::invalid(format!("no dimension {} of {}", a.max(b), x.dims)));
        }
        order.swap(a, b);
        self.transpose(x, &order)
    }

    /// `len` elements along a dimension from `start` on, every `step`-th.
    ///
    /// # Errors
    /// If one of them is outside.
    pub fn slice(
        &mut self,
        x: &Tensor,
        axis: usize,
        start: u64,
        len: u64,
        step: i64,
    ) -> Result<Tensor, Fault> {
        let mut dims = x.dims.to_vec();
        let mut strides = contiguous(&x.dims);
        let (Some(dim), Some(stride)) = (dims.get_mut(axis), strides.get_mut(axis)) else {
            return Err(Fault::invalid(format!("no dimension {axis} of {}", x.dims)));
        };
        let offset = start.saturating_mul(stride.unsigned_abs());
        *dim = len;
        *stride = stride.saturating_mul(step);
        self.view(x, &dims, &strides, if len == 0 { 0 } else { offset })
    }

    /// Repeated to these extents by NumPy's rule.
    ///
    /// # Errors
    /// If an extent other than 1 would change.
    pub fn expand(&mut self, x: &Tensor, dims: &[u64]) -> Result<Tensor, Fault> {
        let Some(lead) = dims.len().checked_sub(x.rank()) else {
            return Err(Fault::invalid(format!("{} does not broadcast to {dims:?}", x.dims)));
        };
        let mut strides = vec![0; dims.len()];
        for (i, stride) in contiguous(&x.dims).into_iter().enumerate() {
            strides[lead + i] = match (x.dims[i], dims[lead + i]) {
                (have, want) if have == want => stride,
                (1, _) => 0,
                _ => {
                    return Err(Fault::invalid(format!("{} does not fill {dims:?}", x.dims)));
                }
            };
        }
        if x.dims[..] == *dims {
            return Ok(x.clone());
        }
        if dims.iter().try_fold(1u64, |n, &dim| n.checked_mul(dim)) == Some(x.elements()) {
            return self.reshape(x, dims);
        }
        self.view(x, dims, &strides, 0)
    }

    /// One after the other along a dimension.
    ///
    /// # Errors
    /// If types or other extents differ.
    pub fn concat(&mut self, parts: &[Tensor], axis: usize) -> Result<Tensor, Fault> {
        let narrow = parts.first().and_then(|part| part.narrow);
        let full: Vec<&Tensor> =
            parts.iter().filter(|part| part.dims.get(axis).is_none_or(|&dim| dim > 0)).collect();
        match (full.as_slice(), parts) {
            ([one], _) if parts.iter().all(|part| part.rank() == one.rank()) => Ok((*one).clone()),
            ([], [first, ..]) => Ok(first.clone()),
            _ => {
                let operands: Vec<Option<&Tensor>> = full.into_iter().map(Some).collect();
                let op = ArrayOp::Concat { axis: dim(axis) };
                Ok(self.apply(op, &operands)?.narrowed(narrow))
            }
        }
    }

    /// A border around the elements.
    ///
    /// # Errors
    /// If an amount crops too much, or mirrors beyond the other end.
    pub fn pad(
        &mut self,
        x: &Tensor,
        mode: PadMode,
        before: &[i64],
        after: &[i64],
        value: Option<&Tensor>,
    ) -> Result<Tensor, Fault> {
        if before.iter().chain(after).all(|&n| n == 0) {
            return Ok(x.clone());
        }
        let pad = Pad { mode, before: list(before)?, after: list(after)? };
        self.apply(ArrayOp::Pad(pad), &[Some(x), value])
    }

    /// A statistic over some dimensions; over none, the elements as they are.
    ///
    /// # Errors
    /// If the type does not have it.
    pub fn reduce(
        &mut self,
        kind: ReduceKind,
        x: &Tensor,
        axes: &[usize],
        keep: bool,
    ) -> Result<Tensor, Fault> {
        let axes = axes.iter().fold(0u8, |set, &axis| set | 1 << (axis & 7));
        self.apply(ArrayOp::Reduce(Reduce { kind, axes, keep }), &[Some(x)])
    }

    /// `a · b` over the last two dimensions.
    ///
    /// # Errors
    /// If types or extents do not fit.
    pub fn matmul(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor, Fault> {
        self.apply(ArrayOp::MatMul, &[Some(a), Some(b)])
    }

    /// Elements of `x` at indices along a dimension.
    ///
    /// # Errors
    /// If types or extents do not fit.
    pub fn gather(&mut self, x: &Tensor, index: &Tensor, axis: usize) -> Result<Tensor, Fault> {
        let op = ArrayOp::Gather { axis: dim(axis), batch: 0 };
        Ok(self.apply(op, &[Some(x), Some(index)])?.narrowed(x.narrow))
    }

    /// `updates` written over elements of `x` along a dimension.
    ///
    /// # Errors
    /// If types or extents do not fit.
    pub fn scatter(
        &mut self,
        x: &Tensor,
        index: &Tensor,
        updates: &Tensor,
        axis: usize,
        combine: Combine,
    ) -> Result<Tensor, Fault> {
        let op = ArrayOp::ScatterElements { axis: dim(axis), combine };
        self.apply(op, &[Some(x), Some(index), Some(updates)])
    }

    /// Numbers whose sum along a dimension is 1.
    ///
    /// # Errors
    /// If the type is no float.
    pub fn softmax(&mut self, x: &Tensor, axis: usize) -> Result<Tensor, Fault> {
        self.apply(ArrayOp::Softmax { axis: dim(axis), log: false }, &[Some(x)])
    }

    /// Without the dimensions in `axes`, which have extent 1.
    ///
    /// # Errors
    /// If one has another extent.
    pub fn squeeze(&mut self, x: &Tensor, axes: &[usize]) -> Result<Tensor, Fault> {
        let dims: Vec<u64> = x
            .dims
            .iter()
            .enumerate()
            .filter(|(i, _)| !axes.contains(i))
            .map(|(_, &dim)| dim)
            .collect();
        self.reshape(x, &dims)
    }

    /// With a new dimension of extent 1 before `axis`.
    ///
    /// # Errors
    /// If there are eight dimensions already.
    pub fn unsqueeze(&mut self, x: &Tensor, axis: usize) -> Result<Tensor, Fault> {
        let mut dims = x.dims.to_vec();
        dims.insert(axis.min(dims.len()), 1);
        self.reshape(x, &dims)
    }

    /// The extents of both, repeated to each other.
    ///
    /// # Errors
    /// If an extent fits neither way.
    pub fn broadcast(&self, a: &Shape, b: &Shape) -> Result<Vec<u64>, Fault> {
        let rank = a.len().max(b.len());
        let extent = |dims: &Shape, i: usize| {
            (i + dims.len()).checked_sub(rank).and_then(|i| dims.get(i).copied()).unwrap_or(1)
        };
        (0..rank)
            .map(|i| match (extent(a, i), extent(b, i)) {
                (x, y) if x == y => Ok(x),
                (1, y) => Ok(y),
                (x, 1) => Ok(x),
                _ => Err(Fault::invalid(format!("{a} and {b} do not broadcast"))),
            })
            .collect()
    }
}
