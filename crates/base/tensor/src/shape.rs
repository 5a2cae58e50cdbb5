//! The extents of a tensor: up to eight dimensions, held inline, outermost first. Products of
//! extents are checked, so a shape from a file cannot overflow a size.

use core::{fmt, ops::Deref};

/// The largest number of dimensions.
pub const RANK_MAX: usize = 8;

/// Extents of a tensor, outermost first; the last dimension is contiguous.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [u64; RANK_MAX],
    rank: u8,
}

impl Shape {
    /// The shape of a single number.
    pub const SCALAR: Self = Self { dims: [0; RANK_MAX], rank: 0 };

    /// A shape of these dimensions, or `None` if there are more than eight.
    pub fn new(dims: &[u64]) -> Option<Self> {
        let mut shape = Self { rank: u8::try_from(dims.len()).ok()?, ..Self::SCALAR };
        shape.dims.get_mut(..dims.len())?.copy_from_slice(dims);
        Some(shape)
    }

    /// The dimensions, outermost first.
    pub fn dims(&self) -> &[u64] {
        &self.dims[..usize::from(self.rank)]
    }

    /// Number of elements, or `None` on overflow.
    pub fn elements(&self) -> Option<u64> {
        self.dims().iter().try_fold(1u64, |product, &dim| product.checked_mul(dim))
    }

    /// The contiguous dimension; 1 for a scalar.
    pub fn last(&self) -> u64 {
        self.dims().last().copied().unwrap_or(1)
    }

    /// The shape that both are repeated to, by NumPy's rule: extents of 1 repeat, also missing
    /// leading ones. `None` if an extent fits neither way.
    pub fn broadcast(&self, other: &Self) -> Option<Self> {
        let (long, short) = if self.rank >= other.rank { (self, other) } else { (other, self) };
        let mut shape = *long;
        let lead = long.len() - short.len();
        for (dim, &other) in shape.dims.iter_mut().skip(lead).zip(short.dims()) {
            *dim = match (*dim, other) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return None,
            };
        }
        Some(shape)
    }

    /// The product of all dimensions but the last, or `None` on overflow.
    pub fn rows(&self) -> Option<u64> {
        let outer = self.dims().len().saturating_sub(1);
        self.dims().iter().take(outer).try_fold(1u64, |product, &dim| product.checked_mul(dim))
    }
}

impl Deref for Shape {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        self.dims()
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Prints `[2, 3]`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, dim) in self.dims().iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{dim}")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn sizes_are_checked() {
        let shape = Shape::new(&[2, 3, 4]).unwrap();
        assert_eq!((shape.elements(), shape.rows(), shape.last()), (Some(24), Some(6), 4));
        assert_eq!(shape.to_string(), "[2, 3, 4]");
        assert_eq!(Shape::new(&[1 << 40, 1 << 40]).unwrap().elements(), None);
        assert_eq!(Shape::new(&[1; 9]), None);
        assert_eq!(Shape::SCALAR.elements(), Some(1));
    }

    #[test]
    fn extents_of_one_repeat() {
        let shape = |dims: &[u64]| Shape::new(dims).unwrap();
        let check = |a: &[u64], b: &[u64], both: Option<&[u64]>| {
            assert_eq!(shape(a).broadcast(&shape(b)), both.map(shape), "{a:?} {b:?}");
            assert_eq!(shape(b).broadcast(&shape(a)), both.map(shape), "{b:?} {a:?}");
        };
        check(&[2, 3], &[3], Some(&[2, 3]));
        check(&[4, 1], &[2, 1, 5], Some(&[2, 4, 5]));
        check(&[], &[7], Some(&[7]));
        check(&[0], &[1], Some(&[0]));
        check(&[2], &[3], None);
    }
}
