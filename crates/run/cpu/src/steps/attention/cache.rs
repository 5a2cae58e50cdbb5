//! Where keys and values lie in a head's part of a cache, for each way of storing them.
//!
//! Heads follow each other; each has room for all positions. What is stored is never read before
//! it was written. The layouts are those of [`kernels::attention`].

use super::Sizes;
use core::marker::PhantomData;
use core::ops::Range;
use kernels::Isa;
use kernels::attention::{self, PAGE, Partial, Queries, Scores, Stored, bytes};
use tensor::cast::Number;

/// One attention of some queries with one head.
pub(super) struct Attend<'a, 'b> {
    pub(super) isa: Isa,
    pub(super) scores: Scores,
    pub(super) queries: Queries<'a>,
    /// Segments of positions.
    pub(super) segments: Range<usize>,
    /// [`Cache::scratch_len`] numbers.
    pub(super) scratch: &'a mut [f32],
    pub(super) total: &'a mut Partial<'b>,
}

/// A way of storing keys and values.
pub(super) trait Cache {
    /// What a head's part consists of.
    type Element: Number + Send + Sync;

    /// Elements of one head's part.
    fn head_len(sizes: &Sizes) -> usize;

    /// Numbers of scratch for so many queries.
    fn scratch_len(sizes: &Sizes, queries: usize) -> usize;

    /// Stores a position in a head's part.
    fn store(
        isa: Isa,
        sizes: &Sizes,
        head: &mut [Self::Element],
        position: usize,
        key: &[f32],
        value: &[f32],
    );

    /// Adds segments of a head's part to sums.
    fn attend(sizes: &Sizes, head: &[Self::Element], attend: Attend<'_, '_>);
}

/// Keys and values as numbers of type `T`: keys of all positions, then their values.
pub(super) struct Numbers<T>(PhantomData<T>);

impl<T: Stored + Number> Cache for Numbers<T> {
    type Element = T;

    fn head_len(sizes: &Sizes) -> usize {
        sizes.positions * (sizes.head_dim + sizes.v_head_dim)
    }

    fn scratch_len(sizes: &Sizes, queries: usize) -> usize {
        attention::scratch_len(queries, sizes.head_dim, sizes.v_head_dim)
    }

    fn store(isa: Isa, sizes: &Sizes, head: &mut [T], position: usize, key: &[f32], value: &[f32]) {
        let (keys, values) = head.split_at_mut(sizes.positions * sizes.head_dim);
        attention::store(isa, keys, values, position, key, value);
    }

    fn attend(sizes: &Sizes, head: &[T], attend: Attend<'_, '_>) {
        let Attend { isa, scores, queries, segments, scratch, total } = attend;
        let (keys, values) = head.split_at(sizes.positions * sizes.head_dim);
        let (head_dim, v_head_dim) = (sizes.head_dim, sizes.v_head_dim);
        let head = attention::Head { keys, values, head_dim, v_head_dim };
        attention::attend(isa, scores, &head, &queries, segments, scratch, total);
    }
}

/// Keys and values as bytes with scales, page by page.
pub(super) struct Quants;

impl Cache for Quants {
    type Element = u8;

    fn head_len(sizes: &Sizes) -> usize {
        sizes.positions / PAGE * bytes::page_bytes(sizes.head_dim, sizes.v_head_dim)
    }

    fn scratch_len(sizes: &Sizes, queries: usize) -> usize {
        bytes::scratch_len(queries, sizes.head_dim, sizes.v_head_dim)
    }

    fn store(isa: Isa, _: &Sizes, head: &mut [u8], position: usize, key: &[f32], value: &[f32]) {
        bytes::store(isa, head, position, key, value);
    }

    fn attend(sizes: &Sizes, head: &[u8], attend: Attend<'_, '_>) {
        let Attend { isa, scores, queries, segments, scratch, total } = attend;
        let (head_dim, v_head_dim) = (sizes.head_dim, sizes.v_head_dim);
        let head = bytes::Head { pages: head, head_dim, v_head_dim };
        bytes::attend(isa, scores, &head, &queries, segments, scratch, total);
    }
}
