//! The merging that all BPE variants share: symbols in a row, the best pair joined first.
//!
//! A variant says what two neighbours make ([`Pairs`]); smaller ranks go first, the leftmost
//! first among equals. Short words scan for the best pair, long ones keep a heap, so a megabyte
//! of one letter costs n·log n. Follows Sennrich et al. 2016, §3.2.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Longest word, in symbols, that is merged by scanning.
const SCAN_MAX: usize = 48;
/// The rank of a pair that makes nothing.
pub(crate) const NEVER: u32 = u32::MAX;
const NONE: u32 = u32::MAX;

/// One symbol: an id of the variant's choosing and the bytes of the word that it covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbol {
    pub(crate) id: u32,
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// What two neighbours make.
pub(crate) trait Pairs {
    /// Rank and id of what the two symbols make; `NEVER` where they make nothing.
    fn pair(&self, left: Symbol, right: Symbol) -> (u32, u32);
}

/// Memory that merging reuses from word to word.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The word: symbols in, merged symbols out.
    pub(crate) symbols: Vec<Symbol>,
    /// Rank and product of the pair that begins at each symbol.
    made: Vec<(u32, u32)>,
    links: Vec<(u32, u32)>,
    heap: BinaryHeap<Reverse<(u32, u32)>>,
}

/// Merges `scratch.symbols` until no pair makes anything.
pub(crate) fn merge(pairs: &impl Pairs, scratch: &mut Scratch) {
    if scratch.symbols.len() < 2 {
        return;
    }
    scratch.made.clear();
    scratch.made.extend(scratch.symbols.windows(2).map(|two| pairs.pair(two[0], two[1])));
    scratch.made.push((NEVER, 0));
    if scratch.symbols.len() <= SCAN_MAX {
        scan(pairs, &mut scratch.symbols, &mut scratch.made);
    } else {
        queue(pairs, scratch);
    }
}

fn join(left: Symbol, right: Symbol, id: u32) -> Symbol {
    Symbol { id, start: left.start, len: left.len + right.len }
}

fn scan(pairs: &impl Pairs, symbols: &mut Vec<Symbol>, made: &mut Vec<(u32, u32)>) {
    loop {
        let mut best = NEVER;
        let mut at = 0;
        for (idx, &(rank, _)) in made.iter().enumerate() {
            if rank < best {
                (best, at) = (rank, idx);
            }
        }
        if best == NEVER {
            return;
        }
        symbols[at] = join(symbols[at], symbols[at + 1], made[at].1);
        symbols.remove(at + 1);
        made.remove(at + 1);
        made[at] = match symbols.get(at + 1) {
            Some(&right) => pairs.pair(symbols[at], right),
            None => (NEVER, 0),
        };
        if at > 0 {
            made[at - 1] = pairs.pair(symbols[at - 1], symbols[at]);
        }
    }
}

fn queue(pairs: &impl Pairs, scratch: &mut Scratch) {
    let Scratch { symbols, made, links, heap } = scratch;
    let count = u32::try_from(symbols.len()).unwrap_or(NONE);
    links.clear();
    links.extend((0..count).map(|at| {
        (at.checked_sub(1).unwrap_or(NONE), if at + 1 == count { NONE } else { at + 1 })
    }));
    // Built at once: n steps, where n pushes would take n·log n.
    let mut entries = std::mem::take(heap).into_vec();
    entries.clear();
    entries.extend(
        (0..count)
            .zip(made.iter())
            .filter(|(_, made)| made.0 != NEVER)
            .map(|(at, &(rank, _))| Reverse((rank, at))),
    );
    *heap = BinaryHeap::from(entries);
    while let Some(Reverse((rank, at))) = heap.pop() {
        let left = at as usize;
        // A stale entry: its left symbol has merged into another or makes something else now.
        if made[left].0 != rank {
            continue;
        }
        let next = links[left].1 as usize;
        symbols[left] = join(symbols[left], symbols[next], made[left].1);
        symbols[next].len = 0;
        made[next].0 = NEVER;
        let (before, after) = (links[left].0, links[next].1);
        links[left].1 = after;
        if after != NONE {
            links[after as usize].0 = at;
        }
        let mut renew = |first: u32, second: u32| {
            let product = if first == NONE || second == NONE {
                (NEVER, 0)
            } else {
                pairs.pair(symbols[first as usize], symbols[second as usize])
            };
            if first != NONE {
                made[first as usize] = product;
                if product.0 != NEVER {
                    heap.push(Reverse((product.0, first)));
                }
            }
        };
        renew(at, after);
        renew(before, at);
    }
    symbols.retain(|symbol| symbol.len > 0);
}
