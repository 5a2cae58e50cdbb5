//! Offsets for values that do not all live at once: the memory planner.
//!
//! Each value has a size and a lifetime in steps; two that live at once must not overlap. No placement
//! needs less than the most bytes alive in one step, so the first that needs no more is taken. Values
//! are placed greedily in several orders (larger first, as Pisarchyk and Lee 2020, "Efficient memory
//! management for deep neural net inference", do; then by the breadth of their steps, by area, by life
//! and by birth); where none of these reaches the bound, the best is changed a little a few hundred times
//! and changes that do not harm are kept. The numbers behind that are always the same, so plans are.

use alloc::{vec, vec::Vec};
use core::cmp::Reverse;

/// Alignment of every offset.
pub const ALIGN: u64 = 64;

/// Changes that are tried where no order reaches the bound.
const MOVES: usize = 300;

/// Values for which all of these are tried; of more values, fewer.
const MOVES_VALUES: usize = 1000;

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
    fn size(&self) -> u64 {
        self.bytes.next_multiple_of(ALIGN)
    }

    fn len(&self) -> u64 {
        (self.last - self.first) as u64 + 1
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

/// Places all values in the smallest arena that is found.
pub fn place(lives: &[Life]) -> Layout {
    let alive = Alive::of(lives);
    let mut placer = Placer::new(lives);
    let mut best: Option<(Layout, Vec<usize>)> = None;
    for order in orders(lives, &alive) {
        let most = best.as_ref().map_or(u64::MAX, |(best, _)| best.bytes - 1);
        let Some(layout) = placer.place(&order, most) else { continue };
        if layout.bytes <= alive.most {
            return layout;
        }
        best = Some((layout, order));
    }
    let Some((layout, order)) = best else { return Layout::default() };
    search(lives, &mut placer, layout, order, alive.most)
}

/// The least that any placement needs: the most bytes alive in one step.
pub fn lower_bound(lives: &[Life]) -> u64 {
    Alive::of(lives).most
}

/// Bytes alive in each step.
struct Alive {
    steps: Vec<u64>,
    most: u64,
}

impl Alive {
    fn of(lives: &[Life]) -> Self {
        let len = lives.iter().map(|life| life.last + 1).max().unwrap_or(0);
        let (mut born, mut dead) = (vec![0; len], vec![0; len + 1]);
        for life in lives {
            born[life.first] += life.size();
            dead[life.last + 1] += life.size();
        }
        let mut now = 0;
        let steps: Vec<u64> = born
            .iter()
            .zip(&dead)
            .map(|(born, dead)| {
                now += born;
                now -= dead;
                now
            })
            .collect();
        let most = steps.iter().copied().max().unwrap_or(0);
        Self { steps, most }
    }
}

/// Orders in which to place, the most promising first.
fn orders<'a>(lives: &'a [Life], alive: &'a Alive) -> impl Iterator<Item = Vec<usize>> + 'a {
    let breadth = |life: &Life| alive.steps[life.first..=life.last].iter().copied().max();
    (0..5).map(move |kind| {
        let mut keys: Vec<([u64; 2], usize)> = lives
            .iter()
            .enumerate()
            .map(|(i, life)| {
                let key = match kind {
                    0 => [life.bytes, life.len()],
                    1 => [breadth(life).unwrap_or(0), life.bytes],
                    2 => [life.bytes.saturating_mul(life.len()), life.bytes],
                    3 => [life.len(), life.bytes],
                    _ => [u64::MAX - life.first as u64, life.bytes],
                };
                (key, i)
            })
            .collect();
        keys.sort_unstable_by_key(|&(key, i)| (Reverse(key), i));
        keys.into_iter().map(|(_, i)| i).collect()
    })
}

/// Moves single values in the order, as long as that does no harm.
fn search(
    lives: &[Life],
    placer: &mut Placer<'_>,
    mut best: Layout,
    mut order: Vec<usize>,
    bound: u64,
) -> Layout {
    let moves = MOVES.min(MOVES * MOVES_VALUES / lives.len().max(1));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..moves {
        // What reaches the end of the arena came too late.
        let ends = |&i: &usize| best.offsets[i] + lives[i].size() == best.bytes;
        let Some(late) = order.iter().position(ends) else { break };
        let from = if random.below(2) == 0 { late } else { random.below(order.len()) };
        let to = random.below(from.max(1));
        let mut changed = order.clone();
        let value = changed.remove(from);
        changed.insert(to, value);
        if let Some(layout) = placer.place(&changed, best.bytes) {
            (best, order) = (layout, changed);
        }
        if best.bytes <= bound {
            break;
        }
    }
    best
}

/// Numbers that look random (Marsaglia 2003, "Xorshift RNGs").
struct Random(u64);

impl Random {
    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % bound as u64).expect("it is below a usize")
    }
}

/// Places values in any order; knows which of them live at once.
struct Placer<'l> {
    lives: &'l [Life],
    /// For each value, where its neighbours begin in `neighbours`.
    starts: Vec<usize>,
    neighbours: Vec<u32>,
    /// Ranges taken while a value is placed.
    taken: Vec<(u64, u64)>,
}

/// What a value that is not placed yet has for an offset.
const UNPLACED: u64 = u64::MAX;

impl<'l> Placer<'l> {
    fn new(lives: &'l [Life]) -> Self {
        let id = |i: usize| u32::try_from(i).expect("fewer than 2^32 values");
        let mut by_birth: Vec<usize> = (0..lives.len()).collect();
        by_birth.sort_unstable_by_key(|&i| lives[i].first);
        let mut lists: Vec<Vec<u32>> = vec![Vec::new(); lives.len()];
        for (place, &i) in by_birth.iter().enumerate() {
            let later = by_birth[place + 1..].iter();
            for &j in later.take_while(|&&j| lives[j].first <= lives[i].last) {
                lists[i].push(id(j));
                lists[j].push(id(i));
            }
        }
        let mut starts = Vec::with_capacity(lives.len() + 1);
        let mut neighbours = Vec::with_capacity(lists.iter().map(Vec::len).sum());
        for list in lists {
            starts.push(neighbours.len());
            neighbours.extend(list);
        }
        starts.push(neighbours.len());
        Self { lives, starts, neighbours, taken: Vec::new() }
    }

    /// Places each value at the lowest offset that is free; none if that needs more than `most` bytes,
    /// which is noticed at the first value that is too high.
    fn place(&mut self, order: &[usize], most: u64) -> Option<Layout> {
        let mut offsets = vec![UNPLACED; self.lives.len()];
        let mut bytes = 0;
        for &i in order {
            let neighbours = &self.neighbours[self.starts[i]..self.starts[i + 1]];
            self.taken.clear();
            self.taken.extend(neighbours.iter().filter_map(|&other| {
                let other = other as usize;
                let offset = offsets[other];
                (offset != UNPLACED).then(|| (offset, offset + self.lives[other].size()))
            }));
            self.taken.sort_unstable();
            let size = self.lives[i].size();
            let mut offset = 0;
            for &(start, end) in &self.taken {
                if offset + size <= start {
                    break;
                }
                offset = offset.max(end);
            }
            if offset + size > most {
                return None;
            }
            offsets[i] = offset;
            bytes = bytes.max(offset + size);
        }
        Some(Layout { offsets, bytes })
    }
}
