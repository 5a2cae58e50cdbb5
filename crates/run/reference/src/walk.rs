//! Going through the elements of a result, with places in operands that step along.

use crate::number::{Store, Wide, store};
use core::array;
use tensor::shape::RANK_MAX;
use tensor::{DType, Shape};

/// Steps in an operand for each dimension of a result; unused ones are 0.
pub(crate) type Strides = [isize; RANK_MAX];

/// A size that is known to fit an address: its array is in memory.
pub(crate) fn size(n: u64) -> usize {
    usize::try_from(n).expect("arrays in memory have sizes that fit addresses")
}

/// A place in an array, which is in memory and not negative.
pub(crate) fn place(n: isize) -> usize {
    usize::try_from(n).expect("the graph's rules keep reads inside")
}

/// A dense array's steps.
pub(crate) fn dense(dims: &[u64]) -> Strides {
    let mut strides = [0; RANK_MAX];
    let mut step = 1isize;
    for (stride, &dim) in strides[..dims.len()].iter_mut().zip(dims).rev() {
        *stride = step;
        step = step.saturating_mul(size(dim).cast_signed());
    }
    strides
}

/// The steps of a dense array that is repeated to `to`.
pub(crate) fn repeated(from: &[u64], to: &[u64]) -> Strides {
    let own = dense(from);
    let lead = to.len() - from.len();
    array::from_fn(|i| match i.checked_sub(lead).and_then(|own| from.get(own)) {
        Some(&dim) if dim > 1 => own[i - lead],
        Some(_) | None => 0,
    })
}

/// Coordinates of element `i` of an array.
pub(crate) fn coordinates(dims: &[u64], i: usize) -> [usize; RANK_MAX] {
    let mut rest = i;
    let mut found = [0; RANK_MAX];
    for (at, &dim) in found[..dims.len()].iter_mut().zip(dims).rev() {
        let dim = size(dim).max(1);
        *at = rest % dim;
        rest /= dim;
    }
    found
}

/// Calls `f(i, places)` for `count` elements of an array of `dims` from element `first` on, where
/// `i` counts from 0 and `places` are those in operands with these steps, beginning at `starts`.
pub(crate) fn each<const N: usize>(
    dims: &[u64],
    strides: &[Strides; N],
    starts: [isize; N],
    first: usize,
    count: usize,
    mut f: impl FnMut(usize, [isize; N]),
) {
    let rank = dims.len();
    let mut at = coordinates(dims, first);
    let mut places: [isize; N] = array::from_fn(|n| {
        let steps = at.iter().zip(&strides[n]).map(|(&at, &stride)| at.cast_signed() * stride);
        starts[n] + steps.sum::<isize>()
    });
    let mut i = 0;
    while i < count {
        f(i, places);
        i += 1;
        for d in (0..rank).rev() {
            at[d] += 1;
            for (place, strides) in places.iter_mut().zip(strides) {
                *place += strides[d];
            }
            if at[d] < size(dims[d]) {
                break;
            }
            for (place, strides) in places.iter_mut().zip(strides) {
                *place -= strides[d] * at[d].cast_signed();
            }
            at[d] = 0;
        }
    }
}

/// A result, or a run of its elements.
#[derive(Debug)]
pub struct Out<'a> {
    pub(crate) dtype: DType,
    pub(crate) dims: Shape,
    pub(crate) first: usize,
    pub(crate) bytes: &'a mut [u8],
}

impl<'a> Out<'a> {
    /// All of a result.
    ///
    /// # Panics
    /// If there are more or fewer bytes than it has.
    pub fn whole(dtype: DType, dims: Shape, bytes: &'a mut [u8]) -> Self {
        let out = Self::part(dtype, dims, 0, bytes);
        assert_eq!(dims.elements(), Some(out.len() as u64), "the bytes of {dtype} {dims}");
        out
    }

    /// Elements of a result from `first` on, as many as there are bytes for.
    pub fn part(dtype: DType, dims: Shape, first: usize, bytes: &'a mut [u8]) -> Self {
        Self { dtype, dims, first, bytes }
    }

    /// Elements in this part.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / size(self.dtype.bytes())
    }

    /// Writes every element of this part: `f(places)` at the operands' places.
    pub(crate) fn fill<const N: usize, W: Wide>(
        &mut self,
        strides: &[Strides; N],
        mut f: impl FnMut([isize; N]) -> W,
    ) {
        let store: Store<W> = store(self.dtype);
        let (dims, first, count) = (self.dims, self.first, self.len());
        each(&dims, strides, [0; N], first, count, |i, places| store(self.bytes, i, f(places)));
    }

    /// Writes every element of this part: `f(coordinates)`.
    pub(crate) fn fill_at<W: Wide>(&mut self, mut f: impl FnMut(&[usize; RANK_MAX]) -> W) {
        self.fill_each(|_, at| f(at));
    }

    /// Writes every element of this part: `f(element, coordinates)`.
    pub(crate) fn fill_each<W: Wide>(&mut self, mut f: impl FnMut(usize, &[usize; RANK_MAX]) -> W) {
        let store: Store<W> = store(self.dtype);
        for i in 0..self.len() {
            let at = coordinates(&self.dims, self.first + i);
            store(self.bytes, i, f(self.first + i, &at));
        }
    }
}

/// Rows of fewer elements are not worth being taken apart.
const SHORT: usize = 8;

/// Copies elements of `N` bytes: `f(places)` says which element of `from` an element gets.
fn copy_sized<const N: usize>(out: &mut Out<'_>, strides: Strides, start: isize, from: &[u8]) {
    let (dims, first, count) = (out.dims, out.first, out.len());
    let (inner, step) = match dims.len() {
        0 => (1, 0),
        rank => (size(dims[rank - 1]), strides[rank - 1]),
    };
    if inner < SHORT {
        each(&dims, &[strides], [start], first, count, |i, [at]| {
            out.bytes[i * N..][..N].copy_from_slice(&from[place(at) * N..][..N]);
        });
        return;
    }
    let mut done = 0;
    while done < count {
        let at = coordinates(&dims, first + done);
        let steps = at.iter().zip(&strides).map(|(&at, &stride)| at.cast_signed() * stride);
        let mut source = start + steps.sum::<isize>();
        let run = (inner - at[dims.len() - 1]).min(count - done);
        for to in out.bytes[done * N..(done + run) * N].chunks_exact_mut(N) {
            to.copy_from_slice(&from[place(source) * N..][..N]);
            source += step;
        }
        done += run;
    }
}

/// Copies the elements of `from` at these steps into the part.
pub(crate) fn copy(out: &mut Out<'_>, strides: Strides, start: isize, from: &[u8]) {
    match out.dtype.bytes() {
        1 => copy_sized::<1>(out, strides, start, from),
        2 => copy_sized::<2>(out, strides, start, from),
        4 => copy_sized::<4>(out, strides, start, from),
        _ => copy_sized::<8>(out, strides, start, from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_dimensions() {
        assert_eq!(dense(&[2, 3, 4])[..4], [12, 4, 1, 0]);
        assert_eq!(repeated(&[3, 1], &[2, 3, 4])[..3], [0, 1, 0]);
        assert_eq!(coordinates(&[2, 3, 4], 17)[..3], [1, 1, 1]);
        let mut seen = Vec::new();
        each(&[2, 3], &[[1, 2, 0, 0, 0, 0, 0, 0]], [10], 2, 3, |i, [at]| seen.push((i, at)));
        assert_eq!(seen, [(0, 14), (1, 11), (2, 13)]);
    }
}
