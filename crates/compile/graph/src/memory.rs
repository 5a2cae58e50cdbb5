//! Offsets for values that do not all live at once: the memory planner.
//!
//! Each value has a size and a lifetime in steps; two that live at once must not overlap. The
//! planner places values greedily at the lowest free offset, once for each of three orders
//! (larger first, longer-lived first, in order of birth), and keeps the smallest arena, as
//! Pisarchyk and Lee 2020 ("Efficient memory management for deep neural net inference") do.

use alloc::{vec, vec::Vec};

/// Alignment of every offset.
pub const ALIGN: u64 = 64;

/// One value to be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its size in bytes.
    pub bytes: u64,
    /// The step that writes it.
    pub first: usize,
    /// The last step that reads it.
    pub last: usize,
}

impl Life {
    fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Where values go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Offset of each value, in the order given; multiples of [`ALIGN`].
    pub offsets: Vec<u64>,
    /// Size of the arena.
    pub bytes: u64,
}

/// Places all values in the smallest of three arenas.
pub fn place(lives: &[Life]) -> Layout {
    let mut by_size: Vec<usize> = (0..lives.len()).collect();
    let mut by_life = by_size.clone();
    let by_birth = by_size.clone();
    by_size.sort_by_key(|&i| core::cmp::Reverse(lives[i].bytes));
    by_life.sort_by_key(|&i| core::cmp::Reverse((lives[i].last - lives[i].first, lives[i].bytes)));
    [by_size, by_life, by_birth]
        .into_iter()
        .map(|order| in_order(lives, &order))
        .min_by_key(|layout| layout.bytes)
        .unwrap_or_default()
}

/// The least that any placement needs: the most bytes alive in one step.
pub fn lower_bound(lives: &[Life]) -> u64 {
    let alive = |step| -> u64 {
        let lives = lives.iter().filter(|life| life.first <= step && step <= life.last);
        lives.map(|life| life.bytes.next_multiple_of(ALIGN)).sum()
    };
    lives.iter().map(|life| alive(life.first)).max().unwrap_or(0)
}

fn in_order(lives: &[Life], order: &[usize]) -> Layout {
    let mut offsets = vec![0; lives.len()];
    let mut placed: Vec<usize> = Vec::with_capacity(lives.len());
    let mut bytes = 0;
    for &i in order {
        let size = lives[i].bytes.next_multiple_of(ALIGN);
        let mut offset = 0;
        // `placed` is sorted by offset: the first gap that is wide enough is the lowest one.
        for &other in placed.iter().filter(|&&other| lives[other].meets(&lives[i])) {
            if offset + size <= offsets[other] {
                break;
            }
            offset = offset.max(offsets[other] + lives[other].bytes.next_multiple_of(ALIGN));
        }
        offsets[i] = offset;
        bytes = bytes.max(offset + size);
        let place = placed.partition_point(|&other| offsets[other] <= offset);
        placed.insert(place, i);
    }
    Layout { offsets, bytes }
}
