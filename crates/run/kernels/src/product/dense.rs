//! Dense micro-kernels: weights that were unpacked to bytes, times many tiles of tokens.
//!
//! What differs between types of weights is gone once they are unpacked ([`Slice`]), so a few
//! forms ([`Form`]) serve all types. Same operations in the same order as the fused kernels: the
//! same bits. Slices of k stay in the first-level cache while all tiles pass over them.

use core::marker::PhantomData;

use super::{
    PANELS, SLICES,
    tile::{
        begin, centered, fold_minimums, fold_super, is_narrow, number, quants, scaled, super_plane,
    },
};
use crate::{
    acts::{ANCHOR, ActKind, Terms},
    isa::{Bound, Isa, Kernel, LANES, Simd, UpTo},
};

/// 256 elements of sixteen rows, unpacked.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Slice {
    /// A byte a weight: chunks of four elements of sixteen rows each.
    pub weights: [[u8; 64]; 64],
    /// The eight blocks' scales; of a super-block the first alone.
    pub scales: [[f32; LANES]; 8],
    /// The scales times −[`ANCHOR`], or the super-block's scale of minimums.
    pub offsets: [[f32; LANES]; 8],
    /// The eight blocks' minimums.
    pub minimums: [[f32; LANES]; 8],
    /// The sub-blocks' scales.
    pub factors: [[i32; LANES]; 16],
    /// The sub-blocks' minimums, two in a lane.
    pub pairs: [[u8; 64]; 8],
}

impl Slice {
    /// Nothing yet.
    pub(super) const EMPTY: Self = Self {
        weights: [[0; 64]; 64],
        scales: [[0.0; LANES]; 8],
        offsets: [[0.0; LANES]; 8],
        minimums: [[0.0; LANES]; 8],
        factors: [[0; LANES]; 16],
        pairs: [[0; 64]; 8],
    };
}

/// What a dense kernel multiplies.
#[derive(Debug)]
pub(super) struct Operands<'a> {
    /// Consecutive elements of panels.
    pub panels: &'a [[Slice; SLICES]],
    /// A tile's records of the same elements.
    pub tile: &'a [u8],
    /// The largest peak at which integer sums of sub-blocks fit in 16 bits.
    pub narrow_limit: i32,
    /// The sums so far, `[width][panel][16]`, which the products are added to.
    pub out: &'a mut [Sums],
}

/// A token's sums of the rows of each panel.
pub(super) type Sums = [[f32; LANES]; PANELS];

/// How unpacked weights are multiplied.
pub(super) trait Form {
    /// Adds the products of one panel and a tile to `sums`.
    fn multiply<S: Simd, const N: usize>(
        s: S,
        slices: &[Slice],
        records: &[u8],
        narrow_limit: i32,
        sums: [S::F; N],
    ) -> [S::F; N];
}

/// The kernel of a form.
///
/// By reference: a copied structure would be read in wider pieces than it was just written in,
/// which waits for every store before it, such as those of the tile before to distant lines.
pub(super) struct DenseTile<'r, 'a, M>(&'r mut Operands<'a>, PhantomData<M>);

impl<M: Form> DenseTile<'_, '_, M> {
    /// Multiplies on the instruction set `isa`.
    pub(super) fn eval(isa: Isa, operands: &mut Operands<'_>) {
        isa.run_dots(DenseTile::<M>(operands, PhantomData));
    }
}

impl<M: Form> Kernel for DenseTile<'_, '_, M> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.0.out.len() {
            1 => tile::<S, M, 1>(s, self.0),
            2 if S::TILE >= 2 => tile::<S, M, 2>(s, self.0),
            4 if S::TILE >= 4 => tile::<S, M, 4>(s, self.0),
            8 if S::TILE >= 8 => tile::<S, M, 8>(s, self.0),
            12 if S::TILE >= 12 => tile::<S, M, 12>(s, self.0),
            width => unreachable!("no tile has {width} tokens"),
        }
    }
}

/// Multiplies panel after panel.
#[inline(always)]
fn tile<S: Simd, M: Form, const N: usize>(s: S, operands: &mut Operands<'_>) {
    let Operands { panels, tile, narrow_limit, out } = operands;
    let out: &mut [Sums; N] = (&mut **out).try_into().expect("the caller has matched the length");
    for (p, slices) in panels.iter().enumerate() {
        let mut sums = [s.splat(0.0); N];
        for t in 0..N {
            sums[t] = s.load(&out[t][p]);
        }
        sums = M::multiply::<S, N>(s, slices, tile, *narrow_limit, sums);
        for t in 0..N {
            s.store(sums[t], &mut out[t][p]);
        }
    }
}

/// Sixteen elements' weights: four chunks from `first` on.
#[inline(always)]
fn bytes<S: Simd>(s: S, slice: &Slice, first: usize) -> [S::B; 4] {
    [
        s.load_b(&slice.weights[first]),
        s.load_b(&slice.weights[first + 1]),
        s.load_b(&slice.weights[first + 2]),
        s.load_b(&slice.weights[first + 3]),
    ]
}

/// Blocks of 32 with weight bytes of at most `MAX`.
pub(super) struct BlockForm<const MAX: u32, const MINIMUM: bool>;

impl<const MAX: u32, const MINIMUM: bool> Form for BlockForm<MAX, MINIMUM> {
    #[inline(always)]
    fn multiply<S: Simd, const N: usize>(
        s: S,
        slices: &[Slice],
        records: &[u8],
        _narrow_limit: i32,
        mut f: [S::F; N],
    ) -> [S::F; N] {
        let record_bytes = N * ActKind::Q8(Terms::Sum).record_bytes();
        let plane = if MINIMUM || centered::<S, UpTo<MAX>>() { None } else { Some(36 * N) };
        for i in 0..records.len() / record_bytes {
            let (slice, b) = (&slices[i / 8], i % 8);
            let record = &records[i * record_bytes..(i + 1) * record_bytes];
            let mut acc = begin(s, record, plane, ANCHOR.to_bits().cast_signed());
            let x = quants(record, 0);
            let (first, second) = (bytes(s, slice, 8 * b), bytes(s, slice, 8 * b + 4));
            acc = s.dot32::<N, UpTo<MAX>>(acc, first, second, x);
            let (scale, offset) = (s.load(&slice.scales[b]), s.load(&slice.offsets[b]));
            for t in 0..N {
                let dot = s.anchored(acc[t], scale, offset);
                f[t] = s.fma(dot, s.splat(number(record, 32 * N + 4 * t)), f[t]);
            }
            if MINIMUM {
                let minimum = s.load(&slice.minimums[b]);
                for t in 0..N {
                    f[t] = s.fma(minimum, s.splat(number(record, 36 * N + 4 * t)), f[t]);
                }
            }
        }
        f
    }
}

/// Super-blocks whose terms are those of `T`.
pub(super) struct SuperForm<T>(PhantomData<T>);

/// What distinguishes forms of super-blocks.
pub(super) trait SuperTerms {
    /// What weight bytes do not exceed.
    type Range: Bound;
    /// The tokens' terms.
    const TERMS: Terms;
}

/// Sub-blocks of 32 with minimums: Q4_K, Q5_K.
pub(super) struct Minimums32;

impl SuperTerms for Minimums32 {
    type Range = UpTo<31>;
    const TERMS: Terms = Terms::Pairs32;
}

/// Minimums every 16, weights that were multiplied by their sub-blocks' scales: Q2_K.
pub(super) struct Minimums16;

impl SuperTerms for Minimums16 {
    type Range = UpTo<45>;
    const TERMS: Terms = Terms::Pairs16;
}

/// Sub-blocks of 16 with a zero point: Q6_K, Q3_K.
pub(super) struct Zero16;

impl SuperTerms for Zero16 {
    type Range = UpTo<63>;
    const TERMS: Terms = Terms::Zero16(0);
}

/// Sub-blocks of 32 with a zero point: `IQ4_XS`.
pub(super) struct Zero32;

impl SuperTerms for Zero32 {
    type Range = UpTo<255>;
    const TERMS: Terms = Terms::Zero32(0);
}

impl<T: SuperTerms> Form for SuperForm<T> {
    #[inline(always)]
    fn multiply<S: Simd, const N: usize>(
        s: S,
        slices: &[Slice],
        records: &[u8],
        narrow_limit: i32,
        mut f: [S::F; N],
    ) -> [S::F; N] {
        let record_bytes = N * ActKind::Q8K(T::TERMS).record_bytes();
        for i in 0..records.len() / record_bytes {
            let slice = &slices[i];
            let record = &records[i * record_bytes..(i + 1) * record_bytes];
            let sums = match T::TERMS {
                Terms::Pairs16 => whole::<S, T, N>(s, slice, record),
                Terms::Zero32(_) => steps::<S, T, N, false>(s, slice, record),
                _ if is_narrow::<N>(record, T::TERMS, narrow_limit) => {
                    steps::<S, T, N, true>(s, slice, record)
                }
                _ => steps::<S, T, N, false>(s, slice, record),
            };
            let scale = s.load(&slice.scales[0]);
            if matches!(T::TERMS, Terms::Pairs16 | Terms::Pairs32) {
                let mut pairs = [s.splat_b(0); 8];
                for p in 0..T::TERMS.per_256() {
                    pairs[p] = s.load_b(&slice.pairs[p]);
                }
                let min_scale = s.load(&slice.offsets[0]);
                f = fold_minimums(s, T::TERMS, record, sums, scale, &pairs, min_scale, f);
            } else {
                f = fold_super(s, record, sums, scale, f);
            }
        }
        f
    }
}

/// Integer sums of a super-block whose weights have been scaled.
#[inline(always)]
fn whole<S: Simd, T: SuperTerms, const N: usize>(s: S, slice: &Slice, record: &[u8]) -> [S::I; N] {
    let mut sums = [s.splat_i(0); N];
    for b in 0..8 {
        let x = quants(record, 32 * N * b);
        let (first, second) = (bytes(s, slice, 8 * b), bytes(s, slice, 8 * b + 4));
        sums = s.dot32::<N, T::Range>(sums, first, second, x);
    }
    sums
}

/// Integer sums of a super-block: those of its sub-blocks times their scales.
#[inline(always)]
fn steps<S: Simd, T: SuperTerms, const N: usize, const NARROW: bool>(
    s: S,
    slice: &Slice,
    record: &[u8],
) -> [S::I; N] {
    let mut sums = [s.splat_i(0); N];
    for b in 0..8 {
        let x = quants(record, 32 * N * b);
        let plane = super_plane::<S, T::Range, N>(T::TERMS, b);
        let acc = begin(s, record, plane, 0);
        let (first, second) = (bytes(s, slice, 8 * b), bytes(s, slice, 8 * b + 4));
        if matches!(T::TERMS, Terms::Zero16(_)) {
            let acc = s.dot16::<N, T::Range>(acc, first, x, 0);
            sums = scaled(s, sums, acc, s.load_i(&slice.factors[2 * b]), NARROW);
            let acc = begin(s, record, plane.map(|at| at + 4 * N), 0);
            let acc = s.dot16::<N, T::Range>(acc, second, x, 1);
            sums = scaled(s, sums, acc, s.load_i(&slice.factors[2 * b + 1]), NARROW);
        } else {
            let acc = s.dot32::<N, T::Range>(acc, first, second, x);
            sums = scaled(s, sums, acc, s.load_i(&slice.factors[b]), NARROW);
        }
    }
    sums
}
