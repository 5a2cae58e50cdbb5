//! Chains of views and reshapes as one: where each element of a value is found in another value.
//!
//! A dimension of the moved value is a product of *atoms*, each a run of places at one step in the
//! root (row-major, outermost first). Views and reshapes compose on atoms; what does not compose
//! (a slice across two atoms, a reshape that cuts one) begins a new root. Whatever the chain was,
//! it comes back as at most one view and one reshape, or as nothing at all.

use alloc::{vec, vec::Vec};
use plan::array::{List, View};
use tensor::{Shape, shape::RANK_MAX};

/// A run of places in the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Atom {
    size: u64,
    stride: i64,
}

/// A value as places in a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    dims: Vec<Vec<Atom>>,
    offset: i64,
}

/// The least that realises a [`Moved`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Movement {
    /// The root itself.
    None,
    /// Other extents alone.
    Reshape(Shape),
    /// A copy.
    View(View),
    /// A copy, then other extents.
    Both(View, Shape),
}

impl Moved {
    /// The root itself; none if it has no elements.
    pub(super) fn root(dims: &[u64]) -> Option<Self> {
        let mut step = 1i64;
        let mut atoms = Vec::with_capacity(dims.len());
        for &size in dims.iter().rev() {
            atoms.push(if size == 1 { vec![] } else { vec![Atom { size, stride: step }] });
            step = step.checked_mul(i64::try_from(size).ok()?)?;
        }
        atoms.reverse();
        (step > 0).then_some(Self { dims: atoms, offset: 0 })
    }

    /// Extents.
    pub(super) fn dims(&self) -> Vec<u64> {
        self.dims.iter().map(|atoms| atoms.iter().map(|atom| atom.size).product()).collect()
    }

    /// A view of this.
    pub(super) fn view(&self, view: &View) -> Option<Self> {
        let atoms: Vec<Atom> = self.dims.iter().flatten().copied().collect();
        let mut steps = vec![1i64; atoms.len()];
        for i in (0..atoms.len().saturating_sub(1)).rev() {
            steps[i] = steps[i + 1].checked_mul(atoms[i + 1].size.cast_signed())?;
        }
        // Where the view begins, and how far it reaches, within each atom.
        let mut rest = view.offset.cast_signed();
        let mut reach: Vec<(i64, i64)> = Vec::with_capacity(atoms.len());
        let mut offset = self.offset;
        for (atom, &step) in atoms.iter().zip(&steps) {
            let digit = rest / step;
            rest %= step;
            offset += digit * atom.stride;
            reach.push((digit, digit));
        }
        if rest != 0 {
            return None;
        }
        let mut dims = Vec::with_capacity(view.dims.len());
        for (&size, &stride) in view.dims.iter().zip(view.strides.iter()) {
            if size == 0 {
                return None;
            }
            if size == 1 {
                dims.push(vec![]);
                continue;
            }
            if stride == 0 {
                dims.push(vec![Atom { size, stride: 0 }]);
                continue;
            }
            let at = steps.iter().position(|&step| {
                step.unsigned_abs() <= stride.unsigned_abs() && stride % step == 0
            })?;
            let times = stride / steps[at];
            let span = times.checked_mul(size.cast_signed() - 1)?;
            let (low, high) = reach[at];
            let (low, high) = (low + span.min(0), high + span.max(0));
            if low >= 0 && high < atoms[at].size.cast_signed() {
                reach[at] = (low, high);
                dims.push(vec![Atom { size, stride: times * atoms[at].stride }]);
                continue;
            }
            // Whole atoms, the inner ones first.
            let mut first = at + 1;
            let mut need = size;
            while need > 1 && first > 0 && times == 1 {
                first -= 1;
                if !need.is_multiple_of(atoms[first].size) || reach[first] != (0, 0) {
                    return None;
                }
                need /= atoms[first].size;
                reach[first] = (0, atoms[first].size.cast_signed() - 1);
            }
            if need > 1 {
                return None;
            }
            dims.push(atoms[first..=at].to_vec());
        }
        Some(Self { dims, offset })
    }

    /// This with other extents.
    pub(super) fn reshape(&self, dims: &[u64]) -> Option<Self> {
        let mut atoms = self.dims.iter().flatten().copied().filter(|atom| atom.size > 1);
        let mut left: Option<Atom> = None;
        let mut all = Vec::with_capacity(dims.len());
        for &size in dims {
            let (mut need, mut own) = (size, vec![]);
            while need > 1 {
                let atom = left.take().or_else(|| atoms.next())?;
                if need.is_multiple_of(atom.size) {
                    need /= atom.size;
                    own.push(atom);
                } else if atom.size.is_multiple_of(need) {
                    let inner = atom.size / need;
                    let stride = atom.stride.checked_mul(inner.cast_signed())?;
                    own.push(Atom { size: need, stride });
                    left = Some(Atom { size: inner, stride: atom.stride });
                    need = 1;
                } else {
                    return None;
                }
            }
            all.push(own);
        }
        (left.is_none() && atoms.next().is_none())
            .then_some(Self { dims: all, offset: self.offset })
    }

    /// The dimensions in another order: dimension `i` of the result is `order[i]` of this.
    pub(super) fn permuted(&self, order: &[usize]) -> Self {
        Self { dims: order.iter().map(|&i| self.dims[i].clone()).collect(), offset: self.offset }
    }

    /// Atoms that follow each other as one, dimension by dimension.
    fn merged(&self) -> Vec<Vec<Atom>> {
        self.dims.iter().map(|atoms| merge(atoms.iter().copied())).collect()
    }

    /// Whether every element of a root of these extents is there once.
    pub(super) fn keeps_all(&self, root: &[u64]) -> bool {
        let mut atoms: Vec<Atom> = self.dims.iter().flatten().copied().collect();
        atoms.sort_by_key(|atom| core::cmp::Reverse(atom.stride));
        let whole = merge(atoms.into_iter());
        let elements = root.iter().product();
        self.offset == 0
            && match whole[..] {
                [] => elements == 1,
                [atom] => atom == (Atom { size: elements, stride: 1 }),
                _ => false,
            }
    }

    /// How to make this from a root of these extents; `None` if it takes more than eight dimensions.
    pub(super) fn movement(&self, root: &[u64]) -> Option<Movement> {
        let dims = Shape::new(&self.dims())?;
        let elements: u64 = root.iter().product();
        let all = merge(self.dims.iter().flatten().copied());
        let still = self.offset == 0
            && match all[..] {
                [] => elements == 1,
                [atom] => atom == (Atom { size: elements, stride: 1 }),
                _ => false,
            };
        if still {
            return Some(if *dims == *root { Movement::None } else { Movement::Reshape(dims) });
        }
        let offset = self.offset.unsigned_abs();
        let merged = self.merged();
        if merged.iter().all(|atoms| atoms.len() <= 1) {
            let steps: Vec<i64> =
                merged.iter().map(|atoms| atoms.first().map_or(0, |atom| atom.stride)).collect();
            return Some(Movement::View(View { dims, strides: List::new(&steps)?, offset }));
        }
        let atoms: Vec<Atom> = merged.into_iter().flatten().collect();
        if atoms.len() > RANK_MAX {
            return None;
        }
        let sizes: Vec<u64> = atoms.iter().map(|atom| atom.size).collect();
        let steps: Vec<i64> = atoms.iter().map(|atom| atom.stride).collect();
        let view = View { dims: Shape::new(&sizes)?, strides: List::new(&steps)?, offset };
        Some(Movement::Both(view, dims))
    }

    /// The order of dimensions in which steps fall, if each dimension has one step at most and they
    /// are all different: dimension `order[i]` of this is the `i`-th in the root's own order.
    /// Dimensions of one element stay where a root of the same rank has them, or come last but for
    /// the batch.
    pub(super) fn order(&self, root: &[u64]) -> Option<Vec<usize>> {
        let merged = self.merged();
        if merged.iter().any(|atoms| atoms.len() > 1 || atoms.iter().any(|atom| atom.stride <= 0)) {
            return None;
        }
        let mut moving: Vec<usize> = (0..merged.len()).filter(|&i| !merged[i].is_empty()).collect();
        moving.sort_by_key(|&i| core::cmp::Reverse(merged[i][0].stride));
        let ones: Vec<usize> = (0..merged.len()).filter(|&i| merged[i].is_empty()).collect();
        let root_ones = root.iter().filter(|&&dim| dim == 1).count();
        let (mut moving, mut ones) = (moving.into_iter(), ones.into_iter());
        if root.len() == merged.len() && root_ones == ones.len() {
            return root
                .iter()
                .map(|&dim| if dim == 1 { ones.next() } else { moving.next() })
                .collect();
        }
        // Otherwise as they stand: every one before the dimension that it precedes.
        let mut order: Vec<usize> = moving.collect();
        for one in ones {
            order.insert(one.min(order.len()), one);
        }
        Some(order)
    }
}

/// Atoms of which each continues the one before as one.
fn merge(atoms: impl Iterator<Item = Atom>) -> Vec<Atom> {
    let mut all: Vec<Atom> = Vec::new();
    for atom in atoms.filter(|atom| atom.size > 1) {
        match all.last_mut() {
            Some(last) if Some(last.stride) == atom.stride.checked_mul(atom.size.cast_signed()) => {
                *last = Atom { size: last.size * atom.size, stride: atom.stride };
            }
            _ => all.push(atom),
        }
    }
    all
}
