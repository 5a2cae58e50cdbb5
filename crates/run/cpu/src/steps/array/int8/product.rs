//! Matrices and windows of bytes by all channels.
//!
//! Lines of the result are shared out to the threads, each of which copies the bands it needs; one
//! row alone is cut by its columns.

use super::bands::Bands;
use super::layer::{At, Layer, Zero};
use super::{Constant, Operands, Panels, Worker, bytes, scaling, weight};
use crate::pool::{Parts, Split, Tiles};
use crate::steps::Maker;
use crate::steps::array::Packing;
use core::ops::Range;
use kernels::Isa;
use kernels::int8::product::{Places, Runs};
use kernels::int8::{Params, Scale, Weights, Word};
use kernels::isa::LANES;
use plan::Step;

/// Multiplications below which dividing work costs more than it saves.
pub(super) const SMALL: usize = 1 << 20;

/// A product or a convolution, ready to run.
#[derive(Debug)]
pub(crate) struct Product {
    layer: Layer,
    bands: Bands,
    offsets: Vec<u32>,
    /// Bytes of a run.
    run: usize,
    /// Parameters of all panels, groups behind each other.
    params: Vec<Params>,
    zero: Zero,
    scale: Scale,
    has_w_zero: bool,
    /// Whether it is not worth dividing.
    small: bool,
}

/// Scaling of a layer's sums with the word of each channel.
pub(super) fn words(maker: &Maker<'_>, step: &Step, layer: &Layer) -> (Scale, Vec<Word>) {
    let Some(requant) = &layer.requant else {
        return (Scale::SUMS, vec![Word::NONE; layer.outputs]);
    };
    let factors = layer.at.factor.and_then(|i| Constant::of(maker, step, i));
    let factors = factors.expect("a layer that scales has constant factors");
    scaling(requant, factors, layer.outputs).expect("a layer's result is of a known type")
}

/// A constant zero point.
pub(super) fn zero(constant: Option<Constant<'_>>, i: usize) -> i32 {
    constant.map_or(0, |zero| zero.integer(i))
}

impl Product {
    pub(super) fn new(maker: &Maker<'_>, step: &Step, layer: Layer) -> Self {
        let shift = maker.isa.shift();
        let At { bias, w_zero, .. } = layer.at;
        let bias = bias.and_then(|i| Constant::of(maker, step, i));
        let w_zero = Constant::of(maker, step, w_zero);
        // Bytes as kernels take them exceed signed codes by `shift`; the operand's zero too.
        let x_zero = layer.zero(maker, step, shift);
        let (scale, words) = words(maker, step, &layer);
        let w_shift = i32::from(!layer.w_signed) * 128;
        let id = weight(step, 1).expect("weights are constant");
        let packing = Packing::Bytes(Panels::of(&layer));
        let panels = &maker.weights[maker.placement.packed(id, packing)];
        let (runs, run) = layer.runs();
        let panel_bytes = Runs::panel_bytes(runs, run);
        let each = layer.outputs / layer.groups;
        let mut params = vec![Params::NONE; each.div_ceil(LANES) * layer.groups];
        let mut has_w_zero = false;
        for channel in 0..layer.outputs {
            let (group, within) = (channel / each, channel % each);
            let panel = group * each.div_ceil(LANES) + within / LANES;
            let column = &panels[panel * panel_bytes..][..panel_bytes];
            let lane = within % LANES;
            let of_lane = |quad: &[u8; 64]| -> i32 {
                quad[4 * lane..4 * lane + 4].iter().map(|&w| i32::from(w.cast_signed())).sum()
            };
            let sum: i32 = column.as_chunks().0.iter().map(of_lane).sum();
            let w_zero = zero(w_zero, channel) - w_shift;
            has_w_zero |= w_zero != 0;
            let length = i32::try_from(layer.window()).expect("weights are in memory");
            let total = sum.wrapping_sub(length.wrapping_mul(w_zero));
            let bias = zero(bias, channel).wrapping_sub(x_zero.fixed().wrapping_mul(total));
            params[panel].set(lane, bias, words[channel], Weights { zero: w_zero, total });
        }
        let flip = shift ^ if layer.signed { 0 } else { 0x80 };
        let bands = Bands::new(&layer, flip);
        let merged = runs == 1 && layer.kernel[0] > 1 && layer.width() != layer.image[1];
        let bands = bands.in_place(&layer, run.is_multiple_of(4) && !merged);
        let offsets = layer.offsets(bands.line());
        let short = |n: usize| u32::try_from(n).expect("windows are below 4 GiB");
        let offsets = offsets.into_iter().map(short).collect();
        let small = layer.work() < SMALL;
        Self { layer, bands, offsets, run, params, zero: x_zero, scale, has_w_zero, small }
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [u8]) {
        let (x, panels) = (bytes(&operands, 0), bytes(&operands, 1));
        let Worker { team, isa, scratch } = &mut *worker;
        let isa = *isa;
        let (zero, fill) = self.zero.now(&operands);
        let (x, panels) = ((x, fill), (panels, zero));
        let lines = self.layer.images * self.layer.out[0];
        let width = self.layer.outputs * self.scale.to().bytes();
        let line = self.layer.out[1] * width;
        if self.small || team.threads() == 1 {
            return self.lines(isa, x, panels, scratch, 0..lines, out);
        }
        let each = self.bands.scratch();
        if lines * self.layer.out[1] == 1 && self.layer.groups == 1 {
            let some = (self.layer.outputs / (4 * team.threads())).next_multiple_of(2 * LANES);
            let parts = Parts::new(scratch, each);
            let size = self.scale.to().bytes();
            let mut tiles = [Tiles::new(out, width, 1, some * size)];
            team.tiles(&mut tiles, &parts, Split::Runs(1), |scratch, _, mut tile| {
                let columns = tile.columns();
                let columns = columns.start / size..columns.end / size;
                self.bands.each(x, scratch, 0..1, |band, _, _| {
                    self.columns(isa, band, panels, &columns, (1, 1), tile.row(0));
                });
            });
            return;
        }
        let some = (lines / (4 * team.threads())).max(8usize.div_ceil(self.layer.out[1])).max(1);
        let parts = Parts::new(scratch, each);
        let mut tiles = [Tiles::new(out, line, some, line)];
        team.tiles(&mut tiles, &parts, Split::Runs(1), |scratch, _, mut tile| {
            let rows = tile.rows();
            self.lines(isa, x, panels, scratch, rows, tile.all());
        });
    }

    /// Some lines of the result.
    fn lines(
        &self,
        isa: Isa,
        x: (&[u8], u8),
        panels: (&[u8], i32),
        scratch: &mut [u8],
        lines: Range<usize>,
        out: &mut [u8],
    ) {
        let layer = &self.layer;
        let line = layer.out[1] * layer.outputs * self.scale.to().bytes();
        self.bands.each(x, scratch, lines, |band, first, count| {
            let out = &mut out[first * line..][..count * line];
            self.columns(isa, band, panels, &(0..layer.outputs), (count, layer.out[1]), out);
        });
    }

    /// Some columns of some lines; all of them where there are groups.
    fn columns(
        &self,
        isa: Isa,
        band: &[u8],
        (panels, x_zero): (&[u8], i32),
        columns: &Range<usize>,
        (lines, width): (usize, usize),
        out: &mut [u8],
    ) {
        let layer = &self.layer;
        let size = self.scale.to().bytes();
        let each = layer.outputs / layer.groups;
        let panel_bytes = Runs::panel_bytes(self.offsets.len(), self.run);
        let count = each.div_ceil(LANES);
        for group in 0..layer.groups {
            let first = group * count + columns.start / LANES;
            let channels = if layer.groups == 1 { columns.len() } else { each };
            kernels::int8::Product {
                x: &band[group * layer.per_group()..],
                places: Places {
                    count: lines * width,
                    width,
                    step: layer.strides[1] * layer.channels,
                    line: layer.strides[0] * self.bands.line(),
                },
                runs: Runs { at: &self.offsets, len: self.run },
                panels: &panels[first * panel_bytes..],
                params: &self.params[first..],
                x_zero,
                scale: &self.scale,
                has_w_zero: self.has_w_zero,
                channels,
                step: if layer.groups == 1 { columns.len() } else { layer.outputs } * size,
                out: &mut out[group * each * size..],
            }
            .run(isa);
        }
    }
}
