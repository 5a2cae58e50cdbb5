//! Where packed weights lie: in memory of our own, or in a place that keeps them for the next start.
//!
//! The bytes are the same, so that nothing else knows the difference. Kept bytes are used only after a
//! sum over all of them was compared, with all threads; what does not agree is packed anew. Programs of
//! one backend whose weights are the same and lie alike (a network for other extents of its inputs)
//! share their memory.

use crate::load::load;
use crate::memory::{Pages, Region};
use crate::pool::Team;
use crate::weights::{Held, Placement};
use plan::pack::{Slot, Wanted};
use plan::{Control, Grant, Kept, LoadError, Plan, Weight, WeightSource};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Counts changes of a panel's bytes: part of what kept weights are found by. A test holds the bytes
/// of each type to this number.
const LAYOUT_VERSION: u32 = 1;

/// Bytes that are summed up together.
const PIECE: usize = 1 << 20;

/// All weights of a program, packed.
#[derive(Debug)]
pub(crate) enum Packed {
    /// In memory of our own.
    Own(Arc<Region>),
    /// In a store.
    Kept(Box<dyn Kept>),
}

/// Weights in memory of our own that programs use now, by what they are and how they lie.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    list: Mutex<Vec<(String, Weak<Region>)>>,
}

impl Shared {
    fn find(&self, key: &str) -> Option<Arc<Region>> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.iter().find(|(known, _)| known == key)?.1.upgrade()
    }

    fn add(&self, key: String, region: &Arc<Region>) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|(_, region)| region.strong_count() > 0);
        list.push((key, Arc::downgrade(region)));
    }
}

/// What a source's weights are and how they lie, if the source can tell.
fn key(plan: &Plan, placement: &Placement, source: &dyn WeightSource) -> Option<String> {
    let mut text = String::new();
    for (id, held) in placement.iter().filter(|(_, held)| *held != Held::Source) {
        let weight = &plan.weights[id.0 as usize];
        let (identity, Weight { ty, shape, first, .. }) = (source.identity(weight)?, weight);
        writeln!(text, "{identity:x} {ty} {:?} {first} {held:?}", shape.dims())
            .expect("strings take everything");
    }
    Some(text)
}

impl Packed {
    /// Finds or packs the weights of `placement`; takes a grant for memory of our own only.
    pub(crate) fn load(
        (plan, placement): (&Plan, &Placement),
        source: &dyn WeightSource,
        shared: &Shared,
        team: &mut Team<'_>,
        grant: &mut Grant,
        control: &dyn Control,
    ) -> Result<Self, LoadError> {
        let bytes = placement.bytes;
        if let Some(store) = source.packs() {
            let held = placement.iter().filter(|(_, held)| *held != Held::Source);
            let weights: Vec<&Weight> = held.map(|(id, _)| &plan.weights[id.0 as usize]).collect();
            let layout = layout(placement, &weights);
            let wanted = Wanted { layout: &layout, bytes, weights: &weights, source };
            let slot = match store.open(&wanted)? {
                Slot::Kept(kept) if sum(team, kept.bytes()) == kept.sum() => {
                    return Ok(Self::Kept(kept));
                }
                Slot::Kept(damaged) => store.replace(&wanted, damaged)?,
                slot => slot,
            };
            if let Slot::New(mut making) = slot {
                load(plan, placement, source, making.bytes_mut(), team, control)?;
                let sum = sum(team, making.bytes_mut());
                return Ok(Self::Kept(making.keep(sum)));
            }
        }
        grant.take(bytes)?;
        let key = key(plan, placement, source);
        if let Some(region) = key.as_deref().and_then(|key| shared.find(key)) {
            let looked_up = placement.iter().any(|(_, held)| held == Held::Source);
            for weight in plan.weights.iter().filter(|_| !looked_up) {
                source.release(weight);
            }
            return Ok(Self::Own(region));
        }
        let mut region =
            Region::new(bytes, Pages::of(plan)).map_err(|_| LoadError::Memory { bytes })?;
        load(plan, placement, source, region.bytes_mut(), team, control)?;
        let region = Arc::new(region);
        if let Some(key) = key {
            shared.add(key, &region);
        }
        Ok(Self::Own(region))
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(region) => region.bytes(),
            Self::Kept(kept) => kept.bytes(),
        }
    }
}

/// Which weight lies where and how.
fn layout(placement: &Placement, weights: &[&Weight]) -> String {
    let mut text = format!("cpu {LAYOUT_VERSION}\n");
    let held = placement.iter().filter(|(_, held)| *held != Held::Source);
    for ((_, held), weight) in held.zip(weights) {
        let Weight { tensor, ty, shape, first } = weight;
        writeln!(text, "{tensor} {ty} {:?} {first} {held:?}", shape.dims())
            .expect("strings take everything");
    }
    text
}

/// A sum over bytes in which every bit and its place count; by all threads, the same for any number.
pub(crate) fn sum(team: &mut Team<'_>, bytes: &[u8]) -> u64 {
    let pieces = bytes.len().div_ceil(PIECE);
    let (next, total) = (AtomicU64::new(0), AtomicU64::new(bytes.len() as u64));
    team.run(&|_| {
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            let Some(place) = usize::try_from(piece).ok().filter(|&place| place < pieces) else {
                return;
            };
            let start = place * PIECE;
            let own = piece_sum(&bytes[start..bytes.len().min(start + PIECE)]);
            // Pieces are mixed with their places, so that the order of threads does not count.
            let own = mix(own ^ mix(piece.wrapping_add(1)));
            total.fetch_add(own, Ordering::Relaxed);
        }
    });
    total.into_inner()
}

/// Odd, with bits at random: the multiplier of `SplitMix64`'s last step (Steele et al. 2014).
const FACTOR: u64 = 0x94D0_49BB_1331_11EB;

fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 32)).wrapping_mul(FACTOR);
    x ^ (x >> 29)
}

/// Eight lanes, each a polynomial of its words, so that processors multiply without waiting.
fn piece_sum(bytes: &[u8]) -> u64 {
    let mut lanes = [FACTOR; 8];
    let (chunks, rest) = bytes.as_chunks::<64>();
    let mut last = [0; 64];
    last[..rest.len()].copy_from_slice(rest);
    for chunk in chunks.iter().chain([&last]) {
        let (words, _) = chunk.as_chunks::<8>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = (lane.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
        }
    }
    lanes.iter().fold(0, |sum, &lane| mix(sum.rotate_left(9) ^ lane))
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "remainders below 256")]
mod tests {
    use super::*;
    use crate::pool::Pool;
    use core::num::NonZeroUsize;
    use tensor::TensorType;

    /// Kept weights of an older build must not be found by a newer one that lays them out otherwise:
    /// whoever changes a panel's bytes raises [`LAYOUT_VERSION`] and writes the new sum here.
    #[test]
    fn the_version_stands_for_the_bytes_of_all_panels() {
        let pool = Pool::new(NonZeroUsize::MIN).unwrap();
        let plain = [tensor::DType::F32, tensor::DType::F16, tensor::DType::BF16];
        let types = plain.into_iter().map(TensorType::Plain);
        let types = types.chain(tensor::BlockType::ALL.map(TensorType::Block));
        let mut all = Vec::new();
        for ty in types {
            let bytes = usize::try_from(ty.row_bytes(512).unwrap()).unwrap();
            let rows: Vec<Vec<u8>> = (0..16)
                .map(|row| (0..bytes).map(|i| ((row + 1) * (i + 7) % 253) as u8).collect())
                .collect();
            let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
            let mut panel = vec![0; kernels::panel::panel_bytes(ty, 512).unwrap()];
            kernels::panel::pack(ty, 512, &rows, &mut panel);
            all.extend(panel);
        }
        assert_eq!((LAYOUT_VERSION, sum(&mut pool.team(), &all)), (1, 16_064_872_559_309_708_147));
    }

    #[test]
    fn every_bit_counts_and_threads_do_not() {
        let bytes: Vec<u8> = (0..PIECE + 4099).map(|i| (i * 31 % 251) as u8).collect();
        let pools = [1, 3].map(|n| Pool::new(NonZeroUsize::new(n).unwrap()).unwrap());
        let [one, three] = pools.each_ref().map(|pool| sum(&mut pool.team(), &bytes));
        assert_eq!(one, three);
        for at in [0, 1, 63, 64, PIECE - 1, PIECE, PIECE + 4098] {
            for bit in [0, 7] {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                assert_ne!(sum(&mut pools[1].team(), &other), one, "{at} {bit}");
            }
        }
        assert_ne!(sum(&mut pools[0].team(), &bytes[..PIECE + 4098]), one);
        let mut swapped = bytes.clone();
        swapped.swap(5, 6);
        assert_ne!(sum(&mut pools[0].team(), &swapped), one);
    }
}
