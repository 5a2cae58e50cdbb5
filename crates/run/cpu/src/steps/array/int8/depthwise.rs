//! Windows of bytes of each channel by itself.
//!
//! Lines of the result are shared out to the threads, each of which copies the bands it needs.

use super::bands::Bands;
use super::layer::{At, Layer, Zero};
use super::product::{SMALL, words, zero};
use super::{Constant, Operands, Panels, Worker, bytes, weight};
use crate::layout::numbers;
use crate::pool::{Parts, Split, Tiles};
use crate::steps::Maker;
use crate::steps::array::Packing;
use core::ops::Range;
use kernels::Isa;
use kernels::int8::depthwise::Line;
use kernels::int8::{Params, Scale, Weights};
use kernels::isa::LANES;
use plan::Step;

/// A multiplication here costs about as much as so many of a product.
const COST: usize = 8;

/// A convolution of each channel by itself, ready to run.
#[derive(Debug)]
pub(crate) struct Depthwise {
    layer: Layer,
    bands: Bands,
    taps: Vec<u32>,
    params: Vec<Params>,
    zero: Zero,
    scale: Scale,
    line: Line,
}

/// Results of a line until weights repeat. Where windows are neighbours, channels follow each other
/// without end, so that a round fills whole registers.
pub(super) fn round(layer: &Layer) -> usize {
    let c = layer.channels;
    if layer.strides[1] != 1 || layer.out[1] == 1 {
        return c;
    }
    let shared = 1 << c.trailing_zeros().min(LANES.trailing_zeros());
    let round = c * (LANES / shared);
    // Few columns are not worth weights that repeat.
    if round <= c * layer.out[1] { round } else { c }
}

impl Depthwise {
    pub(super) fn new(maker: &Maker<'_>, step: &Step, layer: Layer) -> Self {
        let At { bias, w_zero, .. } = layer.at;
        let bias = bias.and_then(|i| Constant::of(maker, step, i));
        let w_zero = Constant::of(maker, step, w_zero);
        let x_zero = layer.zero(maker, step, 0);
        let (scale, words) = words(maker, step, &layer);
        let id = weight(step, 1).expect("weights are constant");
        let packing = Packing::Bytes(Panels::of(&layer));
        let weights: &[i32] = numbers(&maker.weights[maker.placement.packed(id, packing)]);
        let (weights, _) = weights.as_chunks::<LANES>();
        let taps = layer.window();
        let round = round(&layer);
        let mut params = vec![Params::NONE; round.div_ceil(LANES)];
        for at in 0..round {
            let (panel, lane, channel) = (at / LANES, at % LANES, at % layer.channels);
            let w_zero = zero(w_zero, channel);
            let column = &weights[panel * taps..][..taps];
            let total: i32 = column.iter().map(|weights| weights[lane] - w_zero).sum();
            let bias = zero(bias, channel).wrapping_sub(x_zero.fixed().wrapping_mul(total));
            params[panel].set(lane, bias, words[channel], Weights { zero: w_zero, total });
        }
        let flip = if layer.signed { 0 } else { 0x80 };
        let bands = Bands::new(&layer, flip);
        let bands = bands.in_place(&layer, layer.channels.is_multiple_of(LANES));
        let place = |y: usize, x: usize| {
            let place =
                y * layer.dilations[0] * bands.line() + x * layer.dilations[1] * layer.channels;
            u32::try_from(place).expect("windows are below 4 GiB")
        };
        let [kh, kw] = layer.kernel;
        let taps = (0..kh).flat_map(|y| (0..kw).map(move |x| place(y, x))).collect();
        let line = Line {
            len: layer.out[1] * layer.channels,
            round,
            step: if round == layer.channels { layer.strides[1] * round } else { round },
        };
        Self { layer, bands, taps, params, zero: x_zero, scale, line }
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [u8]) {
        let (x, weights) = (bytes(&operands, 0), operands.elements(1));
        let (weights, _) = weights.as_chunks::<LANES>();
        let Worker { team, isa, scratch } = &mut *worker;
        let isa = *isa;
        let (zero, fill) = self.zero.now(&operands);
        let x = (x, fill);
        let weights = (weights, zero);
        let lines = self.layer.images * self.layer.out[0];
        if COST * self.layer.work() < SMALL || team.threads() == 1 {
            return self.lines(isa, x, weights, scratch, 0..lines, out);
        }
        let line = self.line.len * self.scale.to().bytes();
        let some = (lines / (4 * team.threads())).max(1);
        let parts = Parts::new(scratch, self.bands.scratch());
        let mut tiles = [Tiles::new(out, line, some, line)];
        team.tiles(&mut tiles, &parts, Split::Runs(1), |scratch, _, mut tile| {
            let rows = tile.rows();
            self.lines(isa, x, weights, scratch, rows, tile.all());
        });
    }

    /// Some lines of the result.
    fn lines(
        &self,
        isa: Isa,
        x: (&[u8], u8),
        (weights, x_zero): (&[[i32; LANES]], i32),
        scratch: &mut [u8],
        lines: Range<usize>,
        out: &mut [u8],
    ) {
        let line = self.line.len * self.scale.to().bytes();
        self.bands.each(x, scratch, lines, |band, first, count| {
            kernels::int8::Depthwise {
                x: band,
                taps: &self.taps,
                weights,
                params: &self.params,
                x_zero,
                scale: &self.scale,
                line: self.line,
                x_line: self.layer.strides[0] * self.bands.line(),
                out: &mut out[first * line..][..count * line],
            }
            .run(isa);
        });
    }
}
