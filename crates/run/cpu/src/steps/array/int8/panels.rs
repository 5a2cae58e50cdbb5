//! How the weights of integer products are laid out: panels of 16 channels.
//!
//! The layout is the kernels' (`kernels::int8`); here stands what of it a step wants, which is part
//! of what packed weights are found by.

use super::layer::Layer;
use crate::layout::index;
use crate::steps::array::packing::Pieces;
use kernels::int8::product::{Runs, pack};
use kernels::isa::LANES;
use plan::Weight;
use tensor::{DType, TensorType};

/// The order in which a kernel reads weights of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Panels {
    /// `[m, window]`: a window as so many runs; groups of channels apart.
    Rows {
        /// Groups.
        groups: u32,
        /// Runs of a window.
        runs: u32,
        /// Bytes of a run.
        len: u32,
    },
    /// `[k, m]`.
    Columns,
    /// `[c, taps]`, numbers of 32 bits, repeated over so many results.
    Channels {
        /// Results until weights repeat.
        round: u32,
    },
}

impl Panels {
    /// The order that a layer wants.
    pub(super) fn of(layer: &Layer) -> Self {
        let small = |n: usize| u32::try_from(n).expect("extents of weights fit 32 bits");
        if layer.is_depthwise() {
            Self::Channels { round: small(super::depthwise::round(layer)) }
        } else if layer.turned {
            Self::Columns
        } else {
            let (runs, len) = layer.runs();
            Self::Rows { groups: small(layer.groups), runs: small(runs), len: small(len) }
        }
    }

    /// What is packed at once of this weight.
    pub(crate) fn pieces(self, weight: &Weight) -> Pieces {
        let dims = weight.shape.dims();
        let all = weight.stored_bytes().0;
        let lanes = LANES as u64;
        match self {
            Self::Rows { groups, runs, len } => {
                let window = u64::from(runs) * u64::from(len);
                let panel = Runs::panel_bytes(runs as usize, len as usize);
                if groups == 1 {
                    let count = dims[0].div_ceil(lanes);
                    return Pieces { stored_bytes: lanes * window, packed_bytes: panel, count };
                }
                let each = dims[0] / u64::from(groups);
                let packed_bytes = index(each.div_ceil(lanes)) * panel;
                Pieces { stored_bytes: each * window, packed_bytes, count: groups.into() }
            }
            Self::Columns => {
                let panel = Runs::panel_bytes(1, index(dims[0]));
                let packed_bytes = index(dims[1].div_ceil(lanes)) * panel;
                Pieces { stored_bytes: all, packed_bytes, count: 1 }
            }
            Self::Channels { round } => {
                let taps = index(all / dims[0].max(1));
                let packed_bytes = (round as usize).div_ceil(LANES) * taps * 4 * LANES;
                Pieces { stored_bytes: all, packed_bytes, count: 1 }
            }
        }
    }

    /// Packs a piece. Unsigned bytes become signed ones, less 128, but for channels by themselves.
    pub(crate) fn pack(self, weight: &Weight, stored: &[u8], packed: &mut [u8]) {
        let flip = if weight.ty == TensorType::Plain(DType::U8) { 0x80 } else { 0 };
        let signed = |byte: u8| (byte ^ flip).cast_signed();
        match self {
            Self::Rows { runs, len, .. } => {
                let (runs, len) = (runs as usize, len as usize);
                let window = runs * len;
                let panels = packed.chunks_exact_mut(Runs::panel_bytes(runs, len));
                for (panel, rows) in panels.zip(stored.chunks(LANES * window)) {
                    pack(panel, rows.len() / window, (runs, len), |lane, run, i| {
                        signed(rows[lane * window + run * len + i])
                    });
                }
            }
            Self::Columns => {
                let columns = index(weight.shape.last());
                let k = stored.len() / columns;
                for (p, panel) in packed.chunks_exact_mut(Runs::panel_bytes(1, k)).enumerate() {
                    let first = p * LANES;
                    pack(panel, LANES.min(columns - first), (1, k), |lane, _, i| {
                        signed(stored[i * columns + first + lane])
                    });
                }
            }
            Self::Channels { round } => {
                let channels = index(weight.shape[0]);
                let taps = stored.len() / channels;
                for (at, number) in packed.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    let (panel, tap, lane) = (at / LANES / taps, at / LANES % taps, at % LANES);
                    let c = panel * LANES + lane;
                    let byte = stored[c % channels * taps + tap];
                    let value = if flip == 0 { i32::from(byte.cast_signed()) } else { byte.into() };
                    *number = if c < round as usize { value } else { 0 }.to_le_bytes();
                }
            }
        }
    }
}
