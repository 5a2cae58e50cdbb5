//! Products of bytes: matrices, and convolutions whose windows are read where they lie.
//!
//! A position's operand is some runs of bytes at fixed distances from its beginning: one row of a
//! matrix, or the rows of a window. Weights stand as `[panel][run][4 bytes of it][16 channels][4]`,
//! so that an instruction multiplies four bytes of a position with 16 channels; what is behind a
//! run's end is multiplied by zeros. Tiles of 8 positions by 2 panels fill the registers; where
//! fewer positions are left, the last tile begins earlier and computes some of them again.

use super::{Finish, Params, Scale};
use crate::isa::{Isa, Kernel, LANES, Simd};

/// Bytes of panels that pass over all positions before the next do.
const CACHED: usize = 192 << 10;

/// Where the operands of positions begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Positions.
    pub count: usize,
    /// Positions in a line.
    pub width: usize,
    /// Bytes from a position to the next in its line.
    pub step: usize,
    /// Bytes from a line to the next.
    pub line: usize,
}

impl Places {
    /// Where `N` neighbouring positions begin.
    #[inline(always)]
    fn of<const N: usize>(&self, first: usize) -> [usize; N] {
        // A division takes longer than a small product.
        let (mut line, mut column) =
            if first < self.width { (0, first) } else { (first / self.width, first % self.width) };
        let mut places = [0; N];
        for place in &mut places {
            *place = line * self.line + column * self.step;
            column += 1;
            if column == self.width {
                (line, column) = (line + 1, 0);
            }
        }
        places
    }
}

/// What a position's operand is made of.
#[derive(Clone, Copy, Debug)]
pub struct Runs<'a> {
    /// Where each run begins, behind a position's beginning.
    pub at: &'a [u32],
    /// Bytes of each.
    pub len: usize,
}

impl Runs<'_> {
    /// Groups of four bytes in a run, the last filled up.
    pub const fn quads(len: usize) -> usize {
        len.div_ceil(4)
    }

    /// Bytes of a panel of 16 channels.
    pub const fn panel_bytes(runs: usize, len: usize) -> usize {
        64 * runs * Self::quads(len)
    }
}

/// Packs a panel: `weight(channel, run, i)` for up to 16 channels.
///
/// # Panics
/// If `panel` has not the bytes of these runs.
pub fn pack(
    panel: &mut [u8],
    channels: usize,
    (runs, len): (usize, usize),
    weight: impl Fn(usize, usize, usize) -> i8,
) {
    assert_eq!(panel.len(), Runs::panel_bytes(runs, len), "the bytes of a panel");
    let quads = Runs::quads(len);
    for (at, quad) in panel.as_chunks_mut::<64>().0.iter_mut().enumerate() {
        let (run, first) = (at / quads, at % quads * 4);
        *quad = core::array::from_fn(|b| {
            let (lane, i) = (b / 4, first + b % 4);
            if lane < channels && i < len { weight(lane, run, i).cast_unsigned() } else { 0 }
        });
    }
}

/// A product to be computed.
#[derive(Debug)]
pub struct Product<'a> {
    /// The bytes of positions, readable to the end of the last group of four of every run.
    pub x: &'a [u8],
    /// Where positions begin.
    pub places: Places,
    /// What their operands are made of.
    pub runs: Runs<'a>,
    /// Packed weights of 16 channels each.
    pub panels: &'a [u8],
    /// What each panel adds and how it scales.
    pub params: &'a [Params],
    /// How sums become numbers.
    pub scale: &'a Scale,
    /// Zero point of the bytes of `x`, unless biases contain it: 0 there.
    pub x_zero: i32,
    /// Whether weights have zero points.
    pub has_w_zero: bool,
    /// Channels of the result.
    pub channels: usize,
    /// The result: `[positions, channels]`, rows `step` bytes apart.
    pub out: &'a mut [u8],
    /// Bytes from one row of the result to the next.
    pub step: usize,
}

impl Product<'_> {
    /// Computes it.
    ///
    /// # Panics
    /// If an operand is shorter than the others say.
    pub fn run(self, isa: Isa) {
        assert!(self.params.len() * LANES >= self.channels, "parameters for every channel");
        if self.places.count > 0 && self.places.width > 0 {
            isa.run_dots(self);
        }
    }
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let panel = Runs::panel_bytes(self.runs.at.len(), self.runs.len);
        let all = self.channels.div_ceil(LANES);
        let some = if panel * all <= CACHED { all } else { (CACHED / panel).max(2) & !1 };
        let mut first = 0;
        while first < all {
            let panels = first..all.min(first + some);
            first = panels.end;
            if S::TILE >= 8 && self.places.count >= 8 {
                rows::<S, 8>(s, &mut self, panels);
            } else if S::TILE >= 2 && self.places.count >= 4 {
                rows::<S, 4>(s, &mut self, panels);
            } else {
                rows::<S, 1>(s, &mut self, panels);
            }
        }
    }
}

/// All positions, `N` at a time, with some panels.
#[inline(always)]
fn rows<S: Simd, const N: usize>(s: S, p: &mut Product<'_>, panels: core::ops::Range<usize>) {
    let count = p.places.count;
    let mut row = 0;
    while row < count {
        let first = row.min(count - N);
        row = first + N;
        let places = p.places.of::<N>(first);
        let mut sums = [0; N];
        if p.has_w_zero {
            for t in 0..N {
                sums[t] = total::<S>(p.x, places[t], p.runs);
            }
        }
        let mut panel = panels.start;
        while panel < panels.end {
            if S::TILE >= 8 && N > 1 && panel + 2 <= panels.end {
                tile::<S, N, 2>(s, p, &places, &sums, first, panel);
                panel += 2;
            } else {
                tile::<S, N, 1>(s, p, &places, &sums, first, panel);
                panel += 1;
            }
        }
    }
}

/// The sum of a position's bytes.
#[inline(always)]
fn total<S: Simd>(x: &[u8], place: usize, runs: Runs<'_>) -> i32 {
    let mut sum = 0;
    for &run in runs.at {
        for &byte in &x[place + run as usize..][..runs.len] {
            sum += if S::SHIFT == 0 { i32::from(byte.cast_signed()) } else { i32::from(byte) };
        }
    }
    sum
}

/// `N` positions by `P` panels.
#[inline(always)]
fn tile<S: Simd, const N: usize, const P: usize>(
    s: S,
    p: &mut Product<'_>,
    places: &[usize; N],
    sums: &[i32; N],
    first: usize,
    panel: usize,
) {
    let quads = Runs::quads(p.runs.len);
    let each = quads * p.runs.at.len();
    let all = &p.panels.as_chunks::<64>().0[panel * each..][..P * each];
    let mut acc = [[s.splat_i(0); N]; P];
    let mut at = 0;
    for &run in p.runs.at {
        let mut x: [&[[u8; 4]]; N] = [&[]; N];
        for t in 0..N {
            x[t] = &p.x[places[t] + run as usize..].as_chunks().0[..quads];
        }
        let mut w: [&[[u8; 64]]; P] = [&[]; P];
        for i in 0..P {
            w[i] = &all[i * each + at..][..quads];
        }
        acc = if N == 1 { chains(s, acc, x, w) } else { quadruples(s, acc, x, w, 0..quads) };
        at += quads;
    }
    for i in 0..P {
        let params = &p.params[panel + i];
        let mut out = [[0; LANES]; N];
        for t in 0..N {
            s.store_i(acc[i][t], &mut out[t]);
        }
        if p.has_w_zero {
            let zero = s.load_i(&params.words[4]);
            for t in 0..N {
                let excess = s.mul_i(zero, s.splat_i(sums[t]));
                s.store_i(s.sub_i(acc[i][t], excess), &mut out[t]);
            }
        }
        let channel = (panel + i) * LANES;
        let lanes = LANES.min(p.channels - channel);
        let finish = Finish { scale: p.scale, params, x_zero: p.x_zero, step: p.step, lanes };
        let start = first * p.step + channel * p.scale.to.bytes();
        finish.store(s, &out, &mut p.out[start..]);
    }
}

/// Adds the products of some groups of four bytes.
#[inline(always)]
fn quadruples<S: Simd, const N: usize, const P: usize>(
    s: S,
    mut acc: [[S::I; N]; P],
    x: [&[[u8; 4]]; N],
    w: [&[[u8; 64]]; P],
    range: core::ops::Range<usize>,
) -> [[S::I; N]; P] {
    for q in range {
        let mut weights = [s.splat_b(0); P];
        for i in 0..P {
            weights[i] = s.load_b(&w[i][q]);
        }
        for t in 0..N {
            let bytes = i32::from_le_bytes(x[t][q]);
            for i in 0..P {
                acc[i][t] = s.dot4(acc[i][t], weights[i], bytes);
            }
        }
    }
    acc
}

/// Adds the products of one position in four chains, which hide the latency of an instruction.
#[inline(always)]
fn chains<S: Simd, const N: usize, const P: usize>(
    s: S,
    acc: [[S::I; N]; P],
    x: [&[[u8; 4]]; N],
    w: [&[[u8; 64]]; P],
) -> [[S::I; N]; P] {
    let quads = x[0].len();
    let (fours, _) = x[0].as_chunks::<4>();
    let (panels, _) = w[0].as_chunks::<4>();
    let mut parts = [s.splat_i(0); 4];
    for (x, w) in fours.iter().zip(panels) {
        for c in 0..4 {
            parts[c] = s.dot4(parts[c], s.load_b(&w[c]), i32::from_le_bytes(x[c]));
        }
    }
    let mut acc = quadruples(s, acc, x, w, quads / 4 * 4..quads);
    let (one, two) = (s.add_i(parts[0], parts[1]), s.add_i(parts[2], parts[3]));
    acc[0][0] = s.add_i(acc[0][0], s.add_i(one, two));
    acc
}
